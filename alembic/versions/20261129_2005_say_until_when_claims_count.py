"""Say until when a claim counts, and find the open ones by that.

Revision: 0013, after: 0012

A relay fills the dates in, from the statements that were read.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INSTANT = {"postgresql": "TIMESTAMP WITH TIME ZONE", "sqlite": "TEXT"}
INDEX = (
    "CREATE INDEX record_cut_off ON record (destination, cut_off, id) "
    "WHERE part <> '' AND state <> 'in_step'"
)


def upgrade() -> None:
    """Add the date and its index."""
    op.execute(f"ALTER TABLE record ADD COLUMN cut_off {INSTANT[op.get_bind().dialect.name]}")
    op.execute(INDEX)


def downgrade() -> None:
    """Forget the dates."""
    op.execute("DROP INDEX record_cut_off")
    op.execute("ALTER TABLE record DROP COLUMN cut_off")
