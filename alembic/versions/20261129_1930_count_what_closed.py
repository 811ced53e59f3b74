"""Count what closed and what was called, and find what is open by destination.

Revision: 0010, after: 0009

Entries that closed before are counted here once, by the day; a relay counts the calls, from the first
one on. The index of open records is made anew: it finds the longest waiting of each reason too.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

POSTGRESQL = (
    r"""
CREATE TABLE tally (
    destination TEXT NOT NULL,
    span TEXT NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    number BIGINT NOT NULL,
    CONSTRAINT tally_pk PRIMARY KEY (destination, span, start, subject, outcome),
    CONSTRAINT tally_span_known CHECK (span IN ('minute', 'hour', 'day')),
    CONSTRAINT tally_subject_known CHECK (subject IN ('entry', 'call', 'read'))
)
    """,
    r"""
CREATE TABLE tally_note (
    destination TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    outcome TEXT NOT NULL,
    number BIGINT NOT NULL
)
    """,
    r"""
CREATE TABLE tally_end (
    destination TEXT NOT NULL,
    counted_to TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT tally_end_pk PRIMARY KEY (destination)
)
    """,
)

SQLITE = tuple(one.replace("TIMESTAMP WITH TIME ZONE", "TEXT") for one in POSTGRESQL)

COUNT = """
INSERT INTO tally (destination, span, start, subject, outcome, number)
SELECT destination, 'day', {day}, 'entry', closed_as, count(*)
FROM outbox_entry WHERE state = 'closed'
GROUP BY destination, {day}, closed_as
"""
DAY = {
    "postgresql": "date_trunc('day', closed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
    "sqlite": "substr(closed_at, 1, 10) || 'T00:00:00.000000Z'",
}
BEGIN = """
INSERT INTO tally_end (destination, counted_to)
SELECT destination, min(marked_at) FROM (
    SELECT destination, marked_at FROM attempt UNION ALL SELECT destination, marked_at FROM request_log
) AS made GROUP BY destination
"""

OPEN = "CREATE INDEX record_open ON record ({columns}) WHERE state <> 'in_step'"


def upgrade() -> None:
    """Create the tables, count what is there, and make the index anew."""
    dialect = op.get_bind().dialect.name
    for statement in SQLITE if dialect == "sqlite" else POSTGRESQL:
        op.execute(statement)
    op.execute(COUNT.format(day=DAY[dialect]))
    op.execute(BEGIN)
    op.execute("DROP INDEX record_open")
    op.execute(OPEN.format(columns="destination, state, reason, oldest_entry"))


def downgrade() -> None:
    """Put back the index as it was, and forget the numbers."""
    op.execute("DROP INDEX record_open")
    op.execute(OPEN.format(columns="state, reason"))
    for table in ("tally_end", "tally_note", "tally"):
        op.execute(f"DROP TABLE {table}")
