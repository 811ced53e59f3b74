"""Let readers of the feed keep their place, and tell them what became of events.

Revision: 0007, after: 0006

What was closed before is not told any more: who reads the feed from now on has never waited for it.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SUBSCRIBER = """
CREATE TABLE subscriber (
    destination TEXT NOT NULL,
    name TEXT NOT NULL,
    position BIGINT,
    walk_source TEXT,
    walk_id TEXT,
    handled BIGINT DEFAULT '0' NOT NULL,
    moved_at TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT '0' NOT NULL,
    retry_at TIMESTAMP WITH TIME ZONE,
    held_at TIMESTAMP WITH TIME ZONE,
    stuck_at TEXT,
    error TEXT,
    token BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT subscriber_pk PRIMARY KEY (destination, name),
    CONSTRAINT subscriber_walk_whole CHECK ((walk_source IS NULL) = (walk_id IS NULL) AND (walk_source IS NULL OR position IS NOT NULL)),
    CONSTRAINT subscriber_held_has_reason CHECK (held_at IS NULL OR error IS NOT NULL)
)
"""

BOTH = (
    "ALTER TABLE outbox_entry ADD COLUMN told TEXT",
    "UPDATE outbox_entry SET told = closed_as WHERE state = 'closed'",
    "CREATE INDEX outbox_entry_untold ON outbox_entry (destination, id) "
    "WHERE state = 'closed' AND told IS NULL",
    "CREATE INDEX remote_record_gone ON remote_record (gone_since) WHERE gone_since IS NOT NULL",
    "ALTER TABLE feed_end ADD COLUMN pruned BIGINT DEFAULT '0' NOT NULL",
)

KNOWN = "kind IN ('new', 'updated', 'withdrawn', 'gone', 'merged', 'settled', 'rebound')"
KNOWN_BEFORE = "kind IN ('new', 'updated', 'withdrawn', 'gone', 'merged')"
OF_SOMETHING = "kind IN ('rebound', 'settled') OR remote_id IS NOT NULL"
FATE_WHOLE = (
    "(kind = 'settled') = (entry_id IS NOT NULL) AND (kind = 'settled') = (outcome IS NOT NULL)"
)

FEED = (
    "ALTER TABLE feed ALTER COLUMN remote_id DROP NOT NULL",
    "ALTER TABLE feed ADD COLUMN entry_id BIGINT",
    "ALTER TABLE feed ADD COLUMN event_id TEXT",
    "ALTER TABLE feed ADD COLUMN outcome TEXT",
    "ALTER TABLE feed ADD COLUMN reason TEXT",
    "ALTER TABLE feed DROP CONSTRAINT feed_kind_known",
    f"ALTER TABLE feed ADD CONSTRAINT feed_kind_known CHECK ({KNOWN})",
    f"ALTER TABLE feed ADD CONSTRAINT feed_of_something CHECK ({OF_SOMETHING})",
    f"ALTER TABLE feed ADD CONSTRAINT feed_fate_whole CHECK ({FATE_WHOLE})",
)

COLUMNS = (
    'destination, position, kind, source, remote_id, record_keys, changed, "before", "after", '
    "remote_updated_at, at, run_id"
)


def _sqlite_feed(*, remote_id: str, more: str, known: str, rules: str) -> tuple[str, ...]:
    """SQLite changes no rule of a table; it is built anew."""
    return (
        "ALTER TABLE feed RENAME TO feed_before",
        "DROP INDEX feed_of_thing",
        f"""
CREATE TABLE feed (
    destination TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id {remote_id},
    record_keys JSON NOT NULL,
    changed JSON NOT NULL,
    "before" JSON,
    "after" JSON,
    remote_updated_at TEXT,
    at TEXT NOT NULL,
    run_id INTEGER,{more}
    CONSTRAINT feed_pk PRIMARY KEY (destination, position),
    CONSTRAINT feed_kind_known CHECK ({known}),
    CONSTRAINT feed_real CHECK (kind <> 'updated' OR (before IS NOT NULL AND after IS NOT NULL)),{rules}
    CONSTRAINT feed_run_id_fk FOREIGN KEY(run_id) REFERENCES poll_run (id)
)
""",
        f"INSERT INTO feed ({COLUMNS}) SELECT {COLUMNS} FROM feed_before",
        "DROP TABLE feed_before",
        "CREATE INDEX feed_of_thing ON feed (destination, source, remote_id, position)",
    )


def upgrade() -> None:
    """Add what readers need; a feed may tell of events, which are no remote thing."""
    if op.get_bind().dialect.name == "sqlite":
        feed = _sqlite_feed(
            remote_id="TEXT",
            more="""
    entry_id BIGINT,
    event_id TEXT,
    outcome TEXT,
    reason TEXT,""",
            known=KNOWN,
            rules=f"""
    CONSTRAINT feed_of_something CHECK ({OF_SOMETHING}),
    CONSTRAINT feed_fate_whole CHECK ({FATE_WHOLE}),""",
        )
        table = SUBSCRIBER.replace("TIMESTAMP WITH TIME ZONE", "TEXT")
    else:
        feed, table = FEED, SUBSCRIBER
    for statement in (*BOTH, *feed, table):
        op.execute(statement)


FEED_BACK = (
    "ALTER TABLE feed DROP CONSTRAINT feed_fate_whole",
    "ALTER TABLE feed DROP CONSTRAINT feed_of_something",
    "ALTER TABLE feed DROP CONSTRAINT feed_kind_known",
    f"ALTER TABLE feed ADD CONSTRAINT feed_kind_known CHECK ({KNOWN_BEFORE})",
    "ALTER TABLE feed DROP COLUMN reason",
    "ALTER TABLE feed DROP COLUMN outcome",
    "ALTER TABLE feed DROP COLUMN event_id",
    "ALTER TABLE feed DROP COLUMN entry_id",
    "ALTER TABLE feed ALTER COLUMN remote_id SET NOT NULL",
)

BOTH_BACK = (
    "DROP TABLE subscriber",
    "ALTER TABLE feed_end DROP COLUMN pruned",
    "DROP INDEX remote_record_gone",
    "DROP INDEX outbox_entry_untold",
    "ALTER TABLE outbox_entry DROP COLUMN told",
)


def downgrade() -> None:
    """Forget what was told of events, and who has read how far."""
    op.execute("DELETE FROM feed WHERE kind IN ('settled', 'rebound')")
    feed = FEED_BACK
    if op.get_bind().dialect.name == "sqlite":
        feed = _sqlite_feed(remote_id="TEXT NOT NULL", more="", known=KNOWN_BEFORE, rules="")
    for statement in (*feed, *BOTH_BACK):
        op.execute(statement)
