"""Create the tables of the incoming half.

Revision: 0006, after: 0005

Written out for each database, so that it stays what it was when the tables move on.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

POSTGRESQL = (
    r"""
CREATE TABLE checkpoint (
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    watermark TIMESTAMP WITH TIME ZONE,
    watermark_here TIMESTAMP WITH TIME ZONE,
    high_water TIMESTAMP WITH TIME ZONE,
    completed_run BIGINT,
    full_opened_at TIMESTAMP WITH TIME ZONE,
    next_poll_at TIMESTAMP WITH TIME ZONE,
    paused_at TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT '0' NOT NULL,
    token BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT checkpoint_pk PRIMARY KEY (destination, source),
    CONSTRAINT checkpoint_watermark_whole CHECK ((watermark IS NULL) = (watermark_here IS NULL) AND (watermark IS NULL) = (completed_run IS NULL))
)
    """,
    r"""
CREATE TABLE poll_run (
    id BIGSERIAL NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    trigger TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    pages INTEGER DEFAULT '0' NOT NULL,
    requests INTEGER DEFAULT '0' NOT NULL,
    seen INTEGER DEFAULT '0' NOT NULL,
    applied INTEGER DEFAULT '0' NOT NULL,
    unchanged INTEGER DEFAULT '0' NOT NULL,
    held INTEGER DEFAULT '0' NOT NULL,
    failed INTEGER DEFAULT '0' NOT NULL,
    gone INTEGER DEFAULT '0' NOT NULL,
    drifted INTEGER DEFAULT '0' NOT NULL,
    reason TEXT,
    progress JSONB NOT NULL,
    CONSTRAINT poll_run_pk PRIMARY KEY (id),
    CONSTRAINT poll_run_state_known CHECK (state IN ('open', 'complete', 'braked', 'abandoned')),
    CONSTRAINT poll_run_kind_known CHECK (kind IN ('poll', 'full')),
    CONSTRAINT poll_run_trigger_known CHECK (trigger IN ('timer', 'hand', 'gap')),
    CONSTRAINT poll_run_counts_add_up CHECK (seen = applied + unchanged + held + failed),
    CONSTRAINT poll_run_ended_has_time CHECK ((state = 'open') = (ended_at IS NULL)),
    CONSTRAINT poll_run_complete_has_start CHECK (state <> 'complete' OR started_at IS NOT NULL)
)
    """,
    r"""
CREATE INDEX poll_run_latest ON poll_run (destination, source, id)
    """,
    r"""
CREATE UNIQUE INDEX poll_run_open ON poll_run (destination, source, kind) WHERE state = 'open'
    """,
    r"""
CREATE TABLE remote_record (
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    read_began_at TIMESTAMP WITH TIME ZONE NOT NULL,
    remote_updated_at TIMESTAMP WITH TIME ZONE,
    gone_since TIMESTAMP WITH TIME ZONE,
    merged_into TEXT,
    seen_run BIGINT NOT NULL,
    content JSONB NOT NULL,
    CONSTRAINT remote_record_pk PRIMARY KEY (destination, source, remote_id),
    CONSTRAINT remote_record_merged_is_gone CHECK (merged_into IS NULL OR gone_since IS NOT NULL)
)
    """,
    r"""
CREATE INDEX remote_record_unseen ON remote_record (destination, source, seen_run) WHERE gone_since IS NULL
    """,
    r"""
CREATE TABLE alias (
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    old_id TEXT NOT NULL,
    new_id TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT alias_pk PRIMARY KEY (destination, source, old_id),
    CONSTRAINT alias_leads_on CHECK (old_id <> new_id)
)
    """,
    r"""
CREATE TABLE held_row (
    id BIGSERIAL NOT NULL,
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    ref TEXT NOT NULL,
    reason TEXT NOT NULL,
    times INTEGER DEFAULT '1' NOT NULL,
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_run BIGINT NOT NULL,
    cleared_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT held_row_pk PRIMARY KEY (id)
)
    """,
    r"""
CREATE UNIQUE INDEX held_row_open ON held_row (destination, source, ref) WHERE cleared_at IS NULL
    """,
    r"""
CREATE TABLE feed_end (
    destination TEXT NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT feed_end_pk PRIMARY KEY (destination)
)
    """,
    r"""
CREATE TABLE feed (
    destination TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    record_keys JSONB NOT NULL,
    changed JSONB NOT NULL,
    before JSONB,
    after JSONB,
    remote_updated_at TIMESTAMP WITH TIME ZONE,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_id BIGINT,
    CONSTRAINT feed_pk PRIMARY KEY (destination, position),
    CONSTRAINT feed_kind_known CHECK (kind IN ('new', 'updated', 'withdrawn', 'gone', 'merged')),
    CONSTRAINT feed_real CHECK (kind <> 'updated' OR (before IS NOT NULL AND after IS NOT NULL)),
    CONSTRAINT feed_run_id_fk FOREIGN KEY(run_id) REFERENCES poll_run (id)
)
    """,
    r"""
CREATE INDEX feed_of_thing ON feed (destination, source, remote_id, position)
    """,
    r"""
CREATE TABLE request_log (
    id BIGSERIAL NOT NULL,
    destination TEXT NOT NULL,
    lane TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    run_id BIGINT,
    path TEXT NOT NULL,
    marked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    status INTEGER,
    request_id TEXT,
    duration_ms INTEGER,
    detail TEXT,
    CONSTRAINT request_log_pk PRIMARY KEY (id),
    CONSTRAINT request_log_lane_known CHECK (lane IN ('live', 'poll', 'bulk'))
)
    """,
    r"""
CREATE INDEX request_log_recent ON request_log (destination, marked_at)
    """,
    r"""
CREATE TABLE drift (
    id BIGSERIAL NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    record_key TEXT,
    field TEXT DEFAULT '' NOT NULL,
    ours JSONB,
    theirs JSONB,
    found_at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_id BIGINT,
    resolved_at TIMESTAMP WITH TIME ZONE,
    resolved_by TEXT,
    CONSTRAINT drift_pk PRIMARY KEY (id),
    CONSTRAINT drift_kind_known CHECK (kind IN ('missing_there', 'missing_here', 'different')),
    CONSTRAINT drift_state_known CHECK (state IN ('open', 'ignored', 'sent_ours', 'accepted_theirs', 'healed')),
    CONSTRAINT drift_resolved_has_time CHECK ((state = 'open') = (resolved_at IS NULL)),
    CONSTRAINT drift_run_id_fk FOREIGN KEY(run_id) REFERENCES poll_run (id)
)
    """,
    r"""
CREATE UNIQUE INDEX drift_open ON drift (destination, source, remote_id, kind, field) WHERE state IN ('open', 'ignored')
    """,
)

SQLITE = (
    r"""
CREATE TABLE checkpoint (
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    watermark TEXT,
    watermark_here TEXT,
    high_water TEXT,
    completed_run BIGINT,
    full_opened_at TEXT,
    next_poll_at TEXT,
    paused_at TEXT,
    failures INTEGER DEFAULT '0' NOT NULL,
    token BIGINT DEFAULT '0' NOT NULL,
    lease_until TEXT,
    CONSTRAINT checkpoint_pk PRIMARY KEY (destination, source),
    CONSTRAINT checkpoint_watermark_whole CHECK ((watermark IS NULL) = (watermark_here IS NULL) AND (watermark IS NULL) = (completed_run IS NULL))
)
    """,
    r"""
CREATE TABLE poll_run (
    id INTEGER NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    since TEXT,
    opened_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    pages INTEGER DEFAULT '0' NOT NULL,
    requests INTEGER DEFAULT '0' NOT NULL,
    seen INTEGER DEFAULT '0' NOT NULL,
    applied INTEGER DEFAULT '0' NOT NULL,
    unchanged INTEGER DEFAULT '0' NOT NULL,
    held INTEGER DEFAULT '0' NOT NULL,
    failed INTEGER DEFAULT '0' NOT NULL,
    gone INTEGER DEFAULT '0' NOT NULL,
    drifted INTEGER DEFAULT '0' NOT NULL,
    reason TEXT,
    progress JSON NOT NULL,
    CONSTRAINT poll_run_pk PRIMARY KEY (id),
    CONSTRAINT poll_run_state_known CHECK (state IN ('open', 'complete', 'braked', 'abandoned')),
    CONSTRAINT poll_run_kind_known CHECK (kind IN ('poll', 'full')),
    CONSTRAINT poll_run_trigger_known CHECK (trigger IN ('timer', 'hand', 'gap')),
    CONSTRAINT poll_run_counts_add_up CHECK (seen = applied + unchanged + held + failed),
    CONSTRAINT poll_run_ended_has_time CHECK ((state = 'open') = (ended_at IS NULL)),
    CONSTRAINT poll_run_complete_has_start CHECK (state <> 'complete' OR started_at IS NOT NULL)
)
    """,
    r"""
CREATE INDEX poll_run_latest ON poll_run (destination, source, id)
    """,
    r"""
CREATE UNIQUE INDEX poll_run_open ON poll_run (destination, source, kind) WHERE state = 'open'
    """,
    r"""
CREATE TABLE remote_record (
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    read_began_at TEXT NOT NULL,
    remote_updated_at TEXT,
    gone_since TEXT,
    merged_into TEXT,
    seen_run BIGINT NOT NULL,
    content JSON NOT NULL,
    CONSTRAINT remote_record_pk PRIMARY KEY (destination, source, remote_id),
    CONSTRAINT remote_record_merged_is_gone CHECK (merged_into IS NULL OR gone_since IS NOT NULL)
)
    """,
    r"""
CREATE INDEX remote_record_unseen ON remote_record (destination, source, seen_run) WHERE gone_since IS NULL
    """,
    r"""
CREATE TABLE alias (
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    old_id TEXT NOT NULL,
    new_id TEXT NOT NULL,
    since TEXT NOT NULL,
    CONSTRAINT alias_pk PRIMARY KEY (destination, source, old_id),
    CONSTRAINT alias_leads_on CHECK (old_id <> new_id)
)
    """,
    r"""
CREATE TABLE held_row (
    id INTEGER NOT NULL,
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    ref TEXT NOT NULL,
    reason TEXT NOT NULL,
    times INTEGER DEFAULT '1' NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    seen_run BIGINT NOT NULL,
    cleared_at TEXT,
    CONSTRAINT held_row_pk PRIMARY KEY (id)
)
    """,
    r"""
CREATE UNIQUE INDEX held_row_open ON held_row (destination, source, ref) WHERE cleared_at IS NULL
    """,
    r"""
CREATE TABLE feed_end (
    destination TEXT NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT feed_end_pk PRIMARY KEY (destination)
)
    """,
    r"""
CREATE TABLE feed (
    destination TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    record_keys JSON NOT NULL,
    changed JSON NOT NULL,
    "before" JSON,
    "after" JSON,
    remote_updated_at TEXT,
    at TEXT NOT NULL,
    run_id INTEGER,
    CONSTRAINT feed_pk PRIMARY KEY (destination, position),
    CONSTRAINT feed_kind_known CHECK (kind IN ('new', 'updated', 'withdrawn', 'gone', 'merged')),
    CONSTRAINT feed_real CHECK (kind <> 'updated' OR (before IS NOT NULL AND after IS NOT NULL)),
    CONSTRAINT feed_run_id_fk FOREIGN KEY(run_id) REFERENCES poll_run (id)
)
    """,
    r"""
CREATE INDEX feed_of_thing ON feed (destination, source, remote_id, position)
    """,
    r"""
CREATE TABLE request_log (
    id INTEGER NOT NULL,
    destination TEXT NOT NULL,
    lane TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    run_id BIGINT,
    path TEXT NOT NULL,
    marked_at TEXT NOT NULL,
    answered_at TEXT,
    outcome TEXT,
    status INTEGER,
    request_id TEXT,
    duration_ms INTEGER,
    detail TEXT,
    CONSTRAINT request_log_pk PRIMARY KEY (id),
    CONSTRAINT request_log_lane_known CHECK (lane IN ('live', 'poll', 'bulk'))
)
    """,
    r"""
CREATE INDEX request_log_recent ON request_log (destination, marked_at)
    """,
    r"""
CREATE TABLE drift (
    id INTEGER NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    source TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    record_key TEXT,
    field TEXT DEFAULT '' NOT NULL,
    ours JSON,
    theirs JSON,
    found_at TEXT NOT NULL,
    run_id INTEGER,
    resolved_at TEXT,
    resolved_by TEXT,
    CONSTRAINT drift_pk PRIMARY KEY (id),
    CONSTRAINT drift_kind_known CHECK (kind IN ('missing_there', 'missing_here', 'different')),
    CONSTRAINT drift_state_known CHECK (state IN ('open', 'ignored', 'sent_ours', 'accepted_theirs', 'healed')),
    CONSTRAINT drift_resolved_has_time CHECK ((state = 'open') = (resolved_at IS NULL)),
    CONSTRAINT drift_run_id_fk FOREIGN KEY(run_id) REFERENCES poll_run (id)
)
    """,
    r"""
CREATE UNIQUE INDEX drift_open ON drift (destination, source, remote_id, kind, field) WHERE state IN ('open', 'ignored')
    """,
)

TABLES = (
    "drift",
    "feed",
    "feed_end",
    "request_log",
    "held_row",
    "alias",
    "remote_record",
    "poll_run",
    "checkpoint",
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
