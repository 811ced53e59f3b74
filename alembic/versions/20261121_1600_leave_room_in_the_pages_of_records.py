"""Leave room in the pages of records.

Revision: 0003, after: 0002

A wish that comes while its record waits, or is on its way, changes no indexed column: with room on
its page the new version is put beside the old one, and none of the indexes is touched. PostgreSQL
only; pages that are full already keep no room until they are written anew.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this version."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE record SET (fillfactor = 75)")


def downgrade() -> None:
    """Take this version back."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE record RESET (fillfactor)")
