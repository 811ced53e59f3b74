"""Create the first tables.

Revision: 0001, after: none

Written out for each database, so that it stays what it was when the tables move on.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

POSTGRESQL = (
    r"""
CREATE TABLE audit (
    id BIGSERIAL NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT,
    before JSONB,
    after JSONB,
    CONSTRAINT audit_pk PRIMARY KEY (id)
)
    """,
    r"""
CREATE TABLE binding (
    destination TEXT NOT NULL,
    contract TEXT NOT NULL,
    url TEXT NOT NULL,
    key_name TEXT NOT NULL,
    database_id TEXT NOT NULL,
    bound_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT binding_pk PRIMARY KEY (destination)
)
    """,
    r"""
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
    """,
    r"""
CREATE TABLE process (
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    beat_at TIMESTAMP WITH TIME ZONE NOT NULL,
    progress JSONB NOT NULL,
    CONSTRAINT process_pk PRIMARY KEY (id)
)
    """,
    r"""
CREATE TABLE record (
    id BIGSERIAL NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    source_id TEXT NOT NULL,
    part TEXT DEFAULT '' NOT NULL,
    round INTEGER DEFAULT '0' NOT NULL,
    family TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    lane TEXT DEFAULT 'live' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    waits_for TEXT,
    role TEXT,
    remote_id TEXT,
    serial_key TEXT,
    token BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    revision INTEGER DEFAULT '0' NOT NULL,
    tries INTEGER DEFAULT '0' NOT NULL,
    takes INTEGER DEFAULT '0' NOT NULL,
    calls INTEGER DEFAULT '0' NOT NULL,
    allowance INTEGER,
    first_try_at TIMESTAMP WITH TIME ZONE,
    oldest_entry BIGINT,
    look_first INTEGER DEFAULT '0' NOT NULL,
    already TEXT,
    accepted_at TIMESTAMP WITH TIME ZONE,
    remote_updated_at TIMESTAMP WITH TIME ZONE,
    wanted JSONB NOT NULL,
    accepted JSONB,
    mark JSONB,
    locks JSONB,
    problem JSONB,
    CONSTRAINT record_pk PRIMARY KEY (id),
    CONSTRAINT record_state_known CHECK (state IN ('in_step', 'waiting', 'dispatched', 'taken', 'in_doubt', 'held', 'dead')),
    CONSTRAINT record_lane_known CHECK (lane IN ('live', 'poll', 'bulk')),
    CONSTRAINT record_reason_known CHECK (reason IS NULL OR reason IN ('settling', 'waiting_for', 'backoff', 'snoozed', 'quota', 'gate', 'look_first', 'void_first', 'same_person_twice', 'relinked', 'does_not_settle', 'no_answer', 'unclear_answer', 'lease_ran_out', 'refused', 'exhausted', 'invalid_here', 'conflict', 'unconfirmed')),
    CONSTRAINT record_lease_has_end CHECK ((state IN ('dispatched', 'taken')) = (lease_until IS NOT NULL)),
    CONSTRAINT record_waiting_has_time CHECK (state <> 'waiting' OR due_at IS NOT NULL),
    CONSTRAINT record_aside_has_reason CHECK (state NOT IN ('held', 'dead', 'in_doubt') OR reason IS NOT NULL)
)
    """,
    r"""
CREATE INDEX record_due ON record (destination, lane, due_at, id) WHERE state IN ('waiting', 'in_doubt') AND due_at IS NOT NULL
    """,
    r"""
CREATE INDEX record_family ON record (destination, family)
    """,
    r"""
CREATE UNIQUE INDEX record_key ON record (destination, kind, source_id, part, round)
    """,
    r"""
CREATE INDEX record_leased ON record (lease_until) WHERE lease_until IS NOT NULL
    """,
    r"""
CREATE UNIQUE INDEX record_one_call_in_flight ON record (destination, serial_key) WHERE serial_key IS NOT NULL AND state = 'taken'
    """,
    r"""
CREATE INDEX record_open ON record (state, reason) WHERE state <> 'in_step'
    """,
    r"""
CREATE TABLE attempt (
    id BIGSERIAL NOT NULL,
    record_id BIGINT NOT NULL,
    destination TEXT NOT NULL,
    lane TEXT NOT NULL,
    token BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    request JSONB NOT NULL,
    base JSONB,
    marked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    status INTEGER,
    request_id TEXT,
    duration_ms INTEGER,
    answer TEXT,
    detail TEXT,
    CONSTRAINT attempt_pk PRIMARY KEY (id),
    CONSTRAINT attempt_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE INDEX attempt_of_record ON attempt (record_id, id)
    """,
    r"""
CREATE UNIQUE INDEX attempt_open ON attempt (record_id) WHERE outcome IS NULL
    """,
    r"""
CREATE INDEX attempt_recent ON attempt (destination, marked_at)
    """,
    r"""
CREATE TABLE mapping (
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    role TEXT NOT NULL,
    record_id BIGINT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT mapping_pk PRIMARY KEY (destination, kind, remote_id, role),
    CONSTRAINT mapping_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE INDEX mapping_record ON mapping (record_id)
    """,
    r"""
CREATE TABLE outbox_entry (
    id BIGSERIAL NOT NULL,
    state TEXT DEFAULT 'new' NOT NULL,
    event TEXT NOT NULL,
    source_id TEXT NOT NULL,
    payload JSONB NOT NULL,
    destination TEXT DEFAULT 'default' NOT NULL,
    source TEXT DEFAULT 'local' NOT NULL,
    event_id TEXT,
    version BIGINT,
    happened_at TIMESTAMP WITH TIME ZONE,
    seen BIGINT,
    actor TEXT,
    emitted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    record_id BIGINT,
    closed_as TEXT,
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT outbox_entry_pk PRIMARY KEY (id),
    CONSTRAINT outbox_entry_state_known CHECK (state IN ('new', 'folded', 'closed')),
    CONSTRAINT outbox_entry_closed_as_known CHECK (closed_as IS NULL OR closed_as IN ('delivered', 'unchanged', 'superseded', 'net_zero', 'noted', 'confirmed', 'discarded')),
    CONSTRAINT outbox_entry_closed_with_reason CHECK ((state = 'closed') = (closed_as IS NOT NULL) AND (state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT outbox_entry_instants_sane CHECK ((happened_at IS NULL OR (happened_at > '1900-01-01' AND happened_at < '2200-01-01')) AND emitted_at > '1900-01-01' AND emitted_at < '2200-01-01'),
    CONSTRAINT outbox_entry_with_record_once_folded CHECK ((state = 'new') = (record_id IS NULL)),
    CONSTRAINT outbox_entry_event_known CHECK (event IN ('participant_linked', 'participant_deferred', 'participant_resumed', 'participant_withdrawn', 'schedule_changed', 'mentor_changed', 'declaration_made', 'declaration_voided', 'partnership_formed', 'partnership_changed', 'record_snapshot')),
    CONSTRAINT outbox_entry_source_id_clean CHECK (source_id ~ '[^[:space:]]' AND source_id !~ '[[:cntrl:]]' AND length(source_id) <= 200),
    CONSTRAINT outbox_entry_source_clean CHECK (source ~ '[^[:space:]]' AND source !~ '[[:cntrl:]]' AND length(source) <= 200),
    CONSTRAINT outbox_entry_destination_clean CHECK (destination ~ '[^[:space:]]' AND destination !~ '[[:cntrl:]]' AND length(destination) <= 200),
    CONSTRAINT outbox_entry_payload_object CHECK (jsonb_typeof(payload) = 'object' AND octet_length(payload::text) <= 69632),
    CONSTRAINT outbox_entry_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE UNIQUE INDEX outbox_entry_event_id ON outbox_entry (destination, source, event_id) WHERE event_id IS NOT NULL
    """,
    r"""
CREATE INDEX outbox_entry_new ON outbox_entry (destination, id) WHERE state = 'new'
    """,
    r"""
CREATE INDEX outbox_entry_of_record ON outbox_entry (record_id, id) WHERE record_id IS NOT NULL
    """,
)

SQLITE = (
    r"""
CREATE TABLE audit (
    id INTEGER NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT,
    "before" JSON,
    "after" JSON,
    CONSTRAINT audit_pk PRIMARY KEY (id)
)
    """,
    r"""
CREATE TABLE binding (
    destination TEXT NOT NULL,
    contract TEXT NOT NULL,
    url TEXT NOT NULL,
    key_name TEXT NOT NULL,
    database_id TEXT NOT NULL,
    bound_at TEXT NOT NULL,
    CONSTRAINT binding_pk PRIMARY KEY (destination)
)
    """,
    r"""
CREATE TABLE gate (
    destination TEXT NOT NULL,
    reason TEXT NOT NULL,
    until TEXT,
    since TEXT NOT NULL,
    actor TEXT,
    detail TEXT,
    CONSTRAINT gate_pk PRIMARY KEY (destination),
    CONSTRAINT gate_reason_known CHECK (reason IN ('throttled', 'key_refused', 'breaker', 'paused'))
)
    """,
    r"""
CREATE TABLE process (
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    beat_at TEXT NOT NULL,
    progress JSON NOT NULL,
    CONSTRAINT process_pk PRIMARY KEY (id)
)
    """,
    r"""
CREATE TABLE record (
    id INTEGER NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    source_id TEXT NOT NULL,
    part TEXT DEFAULT '' NOT NULL,
    round INTEGER DEFAULT '0' NOT NULL,
    family TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    lane TEXT DEFAULT 'live' NOT NULL,
    due_at TEXT,
    waits_for TEXT,
    role TEXT,
    remote_id TEXT,
    serial_key TEXT,
    token BIGINT DEFAULT '0' NOT NULL,
    lease_until TEXT,
    revision INTEGER DEFAULT '0' NOT NULL,
    tries INTEGER DEFAULT '0' NOT NULL,
    takes INTEGER DEFAULT '0' NOT NULL,
    calls INTEGER DEFAULT '0' NOT NULL,
    allowance INTEGER,
    first_try_at TEXT,
    oldest_entry BIGINT,
    look_first INTEGER DEFAULT '0' NOT NULL,
    already TEXT,
    accepted_at TEXT,
    remote_updated_at TEXT,
    wanted JSON NOT NULL,
    accepted JSON,
    mark JSON,
    locks JSON,
    problem JSON,
    CONSTRAINT record_pk PRIMARY KEY (id),
    CONSTRAINT record_state_known CHECK (state IN ('in_step', 'waiting', 'dispatched', 'taken', 'in_doubt', 'held', 'dead')),
    CONSTRAINT record_lane_known CHECK (lane IN ('live', 'poll', 'bulk')),
    CONSTRAINT record_reason_known CHECK (reason IS NULL OR reason IN ('settling', 'waiting_for', 'backoff', 'snoozed', 'quota', 'gate', 'look_first', 'void_first', 'same_person_twice', 'relinked', 'does_not_settle', 'no_answer', 'unclear_answer', 'lease_ran_out', 'refused', 'exhausted', 'invalid_here', 'conflict', 'unconfirmed')),
    CONSTRAINT record_lease_has_end CHECK ((state IN ('dispatched', 'taken')) = (lease_until IS NOT NULL)),
    CONSTRAINT record_waiting_has_time CHECK (state <> 'waiting' OR due_at IS NOT NULL),
    CONSTRAINT record_aside_has_reason CHECK (state NOT IN ('held', 'dead', 'in_doubt') OR reason IS NOT NULL)
)
    """,
    r"""
CREATE INDEX record_due ON record (destination, lane, due_at, id) WHERE state IN ('waiting', 'in_doubt') AND due_at IS NOT NULL
    """,
    r"""
CREATE INDEX record_family ON record (destination, family)
    """,
    r"""
CREATE UNIQUE INDEX record_key ON record (destination, kind, source_id, part, round)
    """,
    r"""
CREATE INDEX record_leased ON record (lease_until) WHERE lease_until IS NOT NULL
    """,
    r"""
CREATE UNIQUE INDEX record_one_call_in_flight ON record (destination, serial_key) WHERE serial_key IS NOT NULL AND state = 'taken'
    """,
    r"""
CREATE INDEX record_open ON record (state, reason) WHERE state <> 'in_step'
    """,
    r"""
CREATE TABLE attempt (
    id INTEGER NOT NULL,
    record_id INTEGER NOT NULL,
    destination TEXT NOT NULL,
    lane TEXT NOT NULL,
    token BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    request JSON NOT NULL,
    base JSON,
    marked_at TEXT NOT NULL,
    answered_at TEXT,
    outcome TEXT,
    status INTEGER,
    request_id TEXT,
    duration_ms INTEGER,
    answer TEXT,
    detail TEXT,
    CONSTRAINT attempt_pk PRIMARY KEY (id),
    CONSTRAINT attempt_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE INDEX attempt_of_record ON attempt (record_id, id)
    """,
    r"""
CREATE UNIQUE INDEX attempt_open ON attempt (record_id) WHERE outcome IS NULL
    """,
    r"""
CREATE INDEX attempt_recent ON attempt (destination, marked_at)
    """,
    r"""
CREATE TABLE mapping (
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    role TEXT NOT NULL,
    record_id INTEGER NOT NULL,
    since TEXT NOT NULL,
    CONSTRAINT mapping_pk PRIMARY KEY (destination, kind, remote_id, role),
    CONSTRAINT mapping_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE INDEX mapping_record ON mapping (record_id)
    """,
    r"""
CREATE TABLE outbox_entry (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    state TEXT DEFAULT 'new' NOT NULL,
    event TEXT NOT NULL,
    source_id TEXT NOT NULL,
    payload JSON NOT NULL,
    destination TEXT DEFAULT 'default' NOT NULL,
    source TEXT DEFAULT 'local' NOT NULL,
    event_id TEXT,
    version BIGINT,
    happened_at TEXT,
    seen BIGINT,
    actor TEXT,
    emitted_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')) NOT NULL,
    record_id INTEGER,
    closed_as TEXT,
    closed_at TEXT,
    CONSTRAINT outbox_entry_state_known CHECK (state IN ('new', 'folded', 'closed')),
    CONSTRAINT outbox_entry_closed_as_known CHECK (closed_as IS NULL OR closed_as IN ('delivered', 'unchanged', 'superseded', 'net_zero', 'noted', 'confirmed', 'discarded')),
    CONSTRAINT outbox_entry_closed_with_reason CHECK ((state = 'closed') = (closed_as IS NOT NULL) AND (state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT outbox_entry_with_record_once_folded CHECK ((state = 'new') = (record_id IS NULL)),
    CONSTRAINT outbox_entry_event_known CHECK (event IN ('participant_linked', 'participant_deferred', 'participant_resumed', 'participant_withdrawn', 'schedule_changed', 'mentor_changed', 'declaration_made', 'declaration_voided', 'partnership_formed', 'partnership_changed', 'record_snapshot')),
    CONSTRAINT outbox_entry_source_id_clean CHECK (instr(CAST(source_id AS BLOB), x'00') = 0 AND length(trim(source_id)) > 0 AND source_id NOT GLOB ('*[' || char(1) || '-' || char(31) || char(127) || ']*') AND length(source_id) <= 200),
    CONSTRAINT outbox_entry_source_clean CHECK (instr(CAST(source AS BLOB), x'00') = 0 AND length(trim(source)) > 0 AND source NOT GLOB ('*[' || char(1) || '-' || char(31) || char(127) || ']*') AND length(source) <= 200),
    CONSTRAINT outbox_entry_destination_clean CHECK (instr(CAST(destination AS BLOB), x'00') = 0 AND length(trim(destination)) > 0 AND destination NOT GLOB ('*[' || char(1) || '-' || char(31) || char(127) || ']*') AND length(destination) <= 200),
    CONSTRAINT outbox_entry_payload_object CHECK (json_valid(payload) AND json_type(payload) = 'object' AND length(CAST(payload AS BLOB)) <= 65536),
    CONSTRAINT outbox_entry_types CHECK (typeof(version) IN ('integer', 'null') AND typeof(seen) IN ('integer', 'null') AND (happened_at IS NULL OR happened_at GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]*Z') AND (happened_at IS NULL OR julianday(happened_at) IS NOT NULL) AND emitted_at GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T*' AND julianday(emitted_at) IS NOT NULL),
    CONSTRAINT outbox_entry_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE UNIQUE INDEX outbox_entry_event_id ON outbox_entry (destination, source, event_id) WHERE event_id IS NOT NULL
    """,
    r"""
CREATE INDEX outbox_entry_new ON outbox_entry (destination, id) WHERE state = 'new'
    """,
    r"""
CREATE INDEX outbox_entry_of_record ON outbox_entry (record_id, id) WHERE record_id IS NOT NULL
    """,
)

TABLES = (
    "outbox_entry",
    "mapping",
    "attempt",
    "record",
    "process",
    "gate",
    "binding",
    "audit",
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
