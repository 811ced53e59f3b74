"""Book hours for full syncs, with whoever agreed them.

Revision: 0009, after: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

POSTGRESQL = (
    r"""
CREATE TABLE booking (
    id BIGSERIAL NOT NULL,
    destination TEXT NOT NULL,
    source TEXT DEFAULT '' NOT NULL,
    hours TEXT NOT NULL,
    agreed_by TEXT NOT NULL,
    booked_by TEXT NOT NULL,
    booked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT booking_pk PRIMARY KEY (id),
    CONSTRAINT booking_agreed CHECK (agreed_by <> '')
)
    """,
    r"""
CREATE UNIQUE INDEX booking_hours ON booking (destination, source, hours)
    """,
)

SQLITE = tuple(
    one.replace("BIGSERIAL", "INTEGER").replace("TIMESTAMP WITH TIME ZONE", "TEXT")
    for one in POSTGRESQL
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    op.drop_table("booking")
