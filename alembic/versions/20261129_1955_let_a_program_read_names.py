"""Let a program's token have the right to names, as a person's account may.

Revision: 0012, after: 0011

No token that is there gets it: an admin makes another one.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the right; nobody has it yet."""
    op.execute(
        "ALTER TABLE console_token ADD COLUMN may_reveal INTEGER DEFAULT '0' NOT NULL "
        "CONSTRAINT console_token_may_reveal_known CHECK (may_reveal IN (0, 1))"
    )


def downgrade() -> None:
    """Take the right away."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("console_token") as table:
            table.drop_constraint("console_token_may_reveal_known", type_="check")
            table.drop_column("may_reveal")
        return
    op.execute("ALTER TABLE console_token DROP COLUMN may_reveal")
