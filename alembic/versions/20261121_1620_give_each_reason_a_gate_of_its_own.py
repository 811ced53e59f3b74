"""Give each reason a gate of its own, and share those of a key.

Revision: 0005, after: 0004

A shut gate stays shut: one of a key goes to the name of the key that its destination is bound to.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEEP = "CREATE TABLE gate_before AS SELECT * FROM gate"
DROP = "DROP TABLE gate"

POSTGRESQL = r"""
CREATE TABLE gate (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    turn INTEGER DEFAULT '1' NOT NULL,
    probe TEXT,
    probe_until TIMESTAMP WITH TIME ZONE,
    key_print TEXT,
    actor TEXT,
    detail TEXT,
    CONSTRAINT gate_pk PRIMARY KEY (scope, name, reason),
    CONSTRAINT gate_reason_known CHECK (reason IN ('throttled', 'key_refused', 'breaker', 'paused')),
    CONSTRAINT gate_scope_known CHECK (scope IN ('key', 'destination')),
    CONSTRAINT gate_scope_of_its_reason CHECK ((scope = 'key') = (reason IN ('throttled', 'key_refused'))),
    CONSTRAINT gate_probe_has_end CHECK ((probe IS NULL) = (probe_until IS NULL))
)
"""

SQLITE = POSTGRESQL.replace("TIMESTAMP WITH TIME ZONE", "TEXT")

MOVE = """
INSERT INTO gate (scope, name, reason, since, until, actor, detail)
SELECT
    CASE WHEN reason IN ('throttled', 'key_refused') THEN 'key' ELSE 'destination' END,
    CASE WHEN reason IN ('throttled', 'key_refused') THEN coalesce(
        (SELECT key_name FROM binding WHERE binding.destination = gate_before.destination),
        gate_before.destination
    ) ELSE gate_before.destination END,
    reason, since, until, actor, detail
FROM gate_before
WHERE true
ON CONFLICT DO NOTHING
"""
"""Of two destinations that share a key one row is enough."""


def upgrade() -> None:
    """Build the table anew: its primary key changes."""
    here = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    for statement in (KEEP, DROP, here, MOVE, "DROP TABLE gate_before"):
        op.execute(statement)


FORMER = r"""
CREATE TABLE gate (
    destination TEXT NOT NULL,
    reason TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT,
    detail TEXT,
    CONSTRAINT gate_pk PRIMARY KEY (destination),
    CONSTRAINT gate_reason_known CHECK (reason IN ('throttled', 'key_refused', 'breaker', 'paused'))
)
"""

BACK = """
INSERT INTO gate (destination, reason, until, since, actor, detail)
SELECT name, reason, until, since, actor, detail FROM gate_before WHERE reason = 'paused'
"""
"""What a person stopped stays so; the rest is found out again by the next call."""


def downgrade() -> None:
    """Go back to one gate a destination."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    here = FORMER.replace("TIMESTAMP WITH TIME ZONE", "TEXT") if sqlite else FORMER
    for statement in (KEEP, DROP, here, BACK, "DROP TABLE gate_before"):
        op.execute(statement)
