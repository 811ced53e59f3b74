"""Every table, on one MetaData: constraints, partial indexes, names.

One idea: let the table refuse. What must never be is a constraint here, with the mistake it stops;
a partial index names the query it serves. The same tables stand on PostgreSQL and on SQLite.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from schema.bulk import ACTIVE, BulkState, Deed, ItemState, Result
from schema.events import (
    DEFAULT_DESTINATION,
    DEFAULT_SOURCE,
    EVENTS,
    MAX_PAYLOAD_BYTES,
    SPACING_ROOM,
)
from schema.states import (
    SCOPE_OF,
    Closed,
    EntryState,
    GateReason,
    GateScope,
    Lane,
    Reason,
    RecordState,
    Span,
    Tallied,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)

ISO: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How SQLite keeps an instant: text of fixed width in UTC, so that order by text is order by time
and a person who opens the file can read it."""


def iso(moment: datetime) -> str:
    """Write an instant as SQLite keeps it."""
    return moment.astimezone(UTC).strftime(ISO)


class Instant(TypeDecorator[datetime]):
    """An aware instant in UTC. SQLite drops time zones; this type does not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use text on SQLite, `timestamptz` on PostgreSQL."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse an instant without a zone: it would be read as the wrong hour somewhere."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return iso(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give it back aware, in UTC."""
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
        return value.astimezone(UTC)


Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = BigInteger().with_variant(Integer(), "sqlite")


class database_now(FunctionElement[datetime]):  # noqa: N801  (a SQL function's name)
    """The database's own clock at this moment, not at the transaction's start."""

    inherit_cache = True


@compiles(database_now)
def _now(element: object, compiler: object, **options: object) -> str:
    return "clock_timestamp()"


@compiles(database_now, "sqlite")
def _now_sqlite(element: object, compiler: object, **options: object) -> str:
    return "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))"


def _one_of(column: str, values: Iterable[str], *, or_null: bool = False) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    check = f"{column} IN ({listed})"
    return f"{column} IS NULL OR {check}" if or_null else check


def _in_array(column: str, values: Iterable[str]) -> str:
    """Say the same in PostgreSQL's shortest words.

    Every INSERT reads all CHECKs of its table anew, and a list of constants is kept several times as
    long as one array of them.
    """
    return f"{column} = ANY ('{{{','.join(values)}}}'::text[])"


def _both(name: str, *, postgresql: str, sqlite: str) -> tuple[CheckConstraint, CheckConstraint]:
    """One rule, in the words of each database."""
    return (
        CheckConstraint(postgresql, name=name).ddl_if(dialect="postgresql"),
        CheckConstraint(sqlite, name=name).ddl_if(dialect="sqlite"),
    )


def _clean_name(column: str) -> tuple[CheckConstraint, CheckConstraint]:
    # Stops empty references and control characters, which no person could tell apart later.
    return _both(
        f"{column}_clean",
        postgresql=f"{column} ~ '^[^[:cntrl:]]*[^[:space:][:cntrl:]][^[:cntrl:]]*$' "
        f"AND length({column}) <= 200",
        sqlite=f"instr(CAST({column} AS BLOB), x'00') = 0 AND length(trim({column})) > 0 AND {column} NOT GLOB "
        f"('*[' || char(1) || '-' || char(31) || char(127) || ']*') AND length({column}) <= 200",
    )


outbox_entry: Final = Table(
    "outbox_entry",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False, server_default=EntryState.NEW),
    Column("event", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("payload", Document, nullable=False),
    Column("destination", Text, nullable=False, server_default=DEFAULT_DESTINATION),
    Column("source", Text, nullable=False, server_default=DEFAULT_SOURCE),
    Column("event_id", Text),
    Column("version", BigInteger),
    Column("happened_at", Instant),
    Column("seen", BigInteger),
    Column("actor", Text),
    Column("emitted_at", Instant, nullable=False, server_default=database_now()),
    Column("record_id", Id, ForeignKey("record.id")),
    Column("closed_as", Text),
    Column("closed_at", Instant),
    Column("told", Text),
    *_both(
        "state_known",
        postgresql=_in_array("state", EntryState),
        sqlite=_one_of("state", EntryState),
    ),
    *_both(
        "closed_as_known",
        postgresql=_in_array("closed_as", Closed),
        sqlite=_one_of("closed_as", Closed, or_null=True),
    ),
    # Stops a closed entry that nobody can explain, and an open one that claims an end.
    CheckConstraint(
        "(state = 'closed') = (closed_as IS NOT NULL) AND (state = 'closed') = (closed_at IS NOT NULL)",
        name="closed_with_reason",
    ),
    # Stops instants that PostgreSQL keeps and no program reads.
    CheckConstraint(
        "(happened_at IS NULL OR (happened_at > '1900-01-01' AND happened_at < '2200-01-01')) "
        "AND emitted_at > '1900-01-01' AND emitted_at < '2200-01-01'",
        name="instants_sane",
    ).ddl_if(dialect="postgresql"),
    # Stops an entry that says it was folded, and is with no record: nobody would look at it again.
    CheckConstraint("(state = 'new') = (record_id IS NULL)", name="with_record_once_folded"),
    # Stops an event that no version of the relay would understand.
    *_both("event_known", postgresql=_in_array("event", EVENTS), sqlite=_one_of("event", EVENTS)),
    *_clean_name("source_id"),
    *_clean_name("source"),
    *_clean_name("destination"),
    *_both(
        "payload_object",
        postgresql="jsonb_typeof(payload) = 'object' "
        f"AND octet_length(payload::text) <= {MAX_PAYLOAD_BYTES + SPACING_ROOM}",
        sqlite="json_valid(payload) AND json_type(payload) = 'object' "
        f"AND length(CAST(payload AS BLOB)) <= {MAX_PAYLOAD_BYTES}",
    ),
    # SQLite takes any type in any column.
    CheckConstraint(
        "typeof(version) IN ('integer', 'null') AND typeof(seen) IN ('integer', 'null') "
        "AND (happened_at IS NULL OR happened_at GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
        "T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]*Z') "
        "AND (happened_at IS NULL OR julianday(happened_at) IS NOT NULL) "
        "AND emitted_at GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T*' "
        "AND julianday(emitted_at) IS NOT NULL",
        name="types",
    ).ddl_if(dialect="sqlite"),
    # Not AUTOINCREMENT's default: SQLite would otherwise give a pruned id to a later entry.
    sqlite_autoincrement=True,
)
Index(
    "outbox_entry_new",
    outbox_entry.c.destination,
    outbox_entry.c.id,
    postgresql_where=text("state = 'new'"),
    sqlite_where=text("state = 'new'"),
)  # relay: claim new entries
_UNTOLD = "state = 'closed' AND told IS NULL"
Index(
    "outbox_entry_untold",
    outbox_entry.c.destination,
    outbox_entry.c.id,
    postgresql_where=text(_UNTOLD),
    sqlite_where=text(_UNTOLD),
)  # feed: what became of entries, and has not been told yet
Index(
    "outbox_entry_of_record",
    outbox_entry.c.record_id,
    outbox_entry.c.id,
    postgresql_where=text("record_id IS NOT NULL"),
    sqlite_where=text("record_id IS NOT NULL"),
)  # a record's story
Index(
    "outbox_entry_event_id",
    outbox_entry.c.destination,
    outbox_entry.c.source,
    outbox_entry.c.event_id,
    unique=True,
    postgresql_where=text("event_id IS NOT NULL"),
    sqlite_where=text("event_id IS NOT NULL"),
)  # the same event twice is one entry


record: Final = Table(
    "record",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("destination", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("part", Text, nullable=False, server_default=""),
    Column("round", Integer, nullable=False, server_default="0"),
    Column("family", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("signature", Text),
    Column("aside_at", Instant),
    Column("lane", Text, nullable=False, server_default=Lane.LIVE),
    Column("due_at", Instant),
    Column("cut_off", Instant),
    Column("waits_for", Text),
    Column("role", Text),
    Column("remote_id", Text),
    Column("serial_key", Text),
    Column("token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Instant),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("takes", Integer, nullable=False, server_default="0"),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("allowance", Integer),
    Column("first_try_at", Instant),
    Column("oldest_entry", BigInteger),
    Column("look_first", Integer, nullable=False, server_default="0"),
    Column("already", Text),
    Column("accepted_at", Instant),
    Column("remote_updated_at", Instant),
    Column("wanted", Document, nullable=False),
    Column("accepted", Document),
    Column("mark", Document),
    Column("locks", Document),
    Column("problem", Document),
    CheckConstraint(_one_of("state", RecordState), name="state_known"),
    CheckConstraint(_one_of("lane", Lane), name="lane_known"),
    CheckConstraint(_one_of("reason", Reason, or_null=True), name="reason_known"),
    # Stops a lease nobody would ever rescue.
    CheckConstraint(
        "(state IN ('dispatched', 'taken')) = (lease_until IS NOT NULL)", name="lease_has_end"
    ),
    # Stops a record that waits for nothing: it would never be looked at again.
    CheckConstraint("state <> 'waiting' OR due_at IS NOT NULL", name="waiting_has_time"),
    # Stops a record put aside without a word why.
    CheckConstraint(
        "state NOT IN ('held', 'dead', 'in_doubt') OR reason IS NOT NULL", name="aside_has_reason"
    ),
    # Room on each page, for versions that touch no index: most of a record's many updates.
    postgresql_with={"fillfactor": "75"},
)
Index(
    "record_key",
    record.c.destination,
    record.c.kind,
    record.c.source_id,
    record.c.part,
    record.c.round,
    unique=True,
)  # one row per thing kept in step
Index("record_family", record.c.destination, record.c.family)  # kin
Index("record_source", record.c.source_id)  # search: all records of one local thing
_ASIDE = "signature IS NOT NULL"
Index(
    "record_aside",
    record.c.destination,
    record.c.aside_at,
    record.c.id,
    record.c.reason,
    postgresql_where=text(_ASIDE),
    sqlite_where=text(_ASIDE),
)  # desk: what waits for a person, the longest first
Index(
    "record_group",
    record.c.destination,
    record.c.signature,
    record.c.aside_at,
    record.c.id,
    record.c.source_id,
    record.c.reason,
    postgresql_where=text(_ASIDE),
    sqlite_where=text(_ASIDE),
)  # desk: groups, read from the index alone, and the list of one
_DUE = "state IN ('waiting', 'in_doubt') AND due_at IS NOT NULL"
Index(
    "record_due",
    record.c.destination,
    record.c.lane,
    record.c.due_at,
    record.c.id,
    postgresql_where=text(_DUE),
    sqlite_where=text(_DUE),
)  # relay: next due records
_UNKNOWN = "look_first = 1"
Index(
    "record_unknown",
    record.c.destination,
    record.c.state,
    postgresql_where=text(_UNKNOWN),
    sqlite_where=text(_UNKNOWN),
)  # after a rebind: how many are still to be looked up
_LEASED = "lease_until IS NOT NULL"
Index(
    "record_leased",
    record.c.lease_until,
    postgresql_where=text(_LEASED),
    sqlite_where=text(_LEASED),
)  # relay: rescue, and how many are on the queue
_IN_FLIGHT = "serial_key IS NOT NULL AND state = 'taken'"
Index(
    "record_one_call_in_flight",
    record.c.destination,
    record.c.serial_key,
    unique=True,
    postgresql_where=text(_IN_FLIGHT),
    sqlite_where=text(_IN_FLIGHT),
)  # stops two at once
_OPEN = "state <> 'in_step'"
Index(
    "record_open",
    record.c.destination,
    record.c.state,
    record.c.reason,
    record.c.oldest_entry,
    postgresql_where=text(_OPEN),
    sqlite_where=text(_OPEN),
)  # status: how many wait and why, counted no further than is shown; who waits longest


_OPEN_PART = "part <> '' AND state <> 'in_step'"
Index(
    "record_cut_off",
    record.c.destination,
    record.c.cut_off,
    record.c.id,
    postgresql_where=text(_OPEN_PART),
    sqlite_where=text(_OPEN_PART),
)  # claims not yet accepted, the next cut-off first; records that are no part of another are not in it


mapping: Final = Table(
    "mapping",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("remote_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("record_id", Id, ForeignKey("record.id"), nullable=False),
    Column("since", Instant, nullable=False),
)
"""Which record is which remote thing. The key stops two records on one person and role."""
Index("mapping_record", mapping.c.record_id)  # relink: what a record was before
Index("mapping_remote", mapping.c.remote_id)  # search: who a remote id is here


attempt: Final = Table(
    "attempt",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("record_id", Id, ForeignKey("record.id"), nullable=False),
    Column("destination", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("grant_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("request", Document, nullable=False),
    Column("base", Document),
    Column("marked_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("outcome", Text),
    Column("status", Integer),
    Column("request_id", Text),
    Column("duration_ms", Integer),
    Column("answer", Text),
    Column("detail", Text),
)
"""Every call for a record, committed before the call is made."""
Index("attempt_of_record", attempt.c.record_id, attempt.c.id)  # a record's story
Index("attempt_recent", attempt.c.destination, attempt.c.marked_at)  # quota: what the window holds
Index(
    "attempt_open",
    attempt.c.record_id,
    unique=True,
    postgresql_where=text("outcome IS NULL"),
    sqlite_where=text("outcome IS NULL"),
)  # stops a second open attempt at one record


_OF_A_KEY = [reason for reason, scope in SCOPE_OF.items() if scope is GateScope.KEY]

gate: Final = Table(
    "gate",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("turn", Integer, nullable=False, server_default="1"),
    Column("probe", Text),
    Column("probe_until", Instant),
    Column("key_print", Text),
    Column("actor", Text),
    Column("detail", Text),
    CheckConstraint(_one_of("reason", GateReason), name="reason_known"),
    CheckConstraint(_one_of("scope", GateScope), name="scope_known"),
    # Stops a pause of one destination that stops its neighbours, and a 429 that does not.
    CheckConstraint(
        f"(scope = 'key') = ({_one_of('reason', _OF_A_KEY)})", name="scope_of_its_reason"
    ),
    # Stops a probe that nobody could take over from a worker that died.
    CheckConstraint("(probe IS NULL) = (probe_until IS NULL)", name="probe_has_end"),
)
"""What stops calls, a row per reason: several may hold at once, and each ends for itself. A row that
is over still lets only its probe through, except for a pause."""


binding: Final = Table(
    "binding",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("contract", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("database_id", Text, nullable=False),
    Column("bound_at", Instant, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("live_since", Instant),
    Column("live_by", Text),
    Column("unknown_since", Instant),
    Column("unknown_after", BigInteger),
    Column("unknown_total", BigInteger),
)
"""To which destination this database belongs, and whether it may be written to.

No `live_since`: in shadow. `generation` grows with each rebind: who was started under an older one
makes no call. `unknown_since`: nothing that was accepted is believed since then; records up to the id
`unknown_after` are marked so (none left: no id), `unknown_total` of them are to be looked up.
"""


process: Final = Table(
    "process",
    metadata,
    Column("id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("beat_at", Instant, nullable=False),
    Column("progress", Document, nullable=False),
)
"""A heartbeat per process."""


tally: Final = Table(
    "tally",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    CheckConstraint(_one_of("span", Span), name="span_known"),
    CheckConstraint(_one_of("subject", Tallied), name="subject_known"),
)
"""How many entries closed, and calls ended, in each minute, hour and day: what charts are drawn from."""


tally_note: Final = Table(
    "tally_note",
    metadata,
    Column("destination", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
)
"""Entries that closed and are in no tally yet, written with their closing. Without an index, and
empty every few seconds: whoever closes an entry must not wait for whoever closes another."""


tally_end: Final = Table(
    "tally_end",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("counted_to", Instant, nullable=False),
)
"""Up to when calls were counted. Who counts holds this row, so that nothing is counted twice."""


audit: Final = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text),
    Column("before", Document),
    Column("after", Document),
)
"""What people did, in the transaction that did it."""
Index("audit_subject", audit.c.subject, audit.c.id)  # a record's story


letter_group: Final = Table(
    "letter_group",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("signature", Text, primary_key=True),
    Column("owner", Text),
    Column("note", Text),
    Column("changed_at", Instant, nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""What people say of a group of dead letters: whose it is, and what they found out."""


letter: Final = Table(
    "letter",
    metadata,
    Column("record_id", Id, ForeignKey("record.id"), primary_key=True, autoincrement=False),
    Column("owner", Text),
    Column("note", Text),
    Column("changed_at", Instant, nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""What people say of one dead letter. Its own owner stands before its group's."""


discarded: Final = Table(
    "discarded",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("destination", Text, nullable=False),
    Column("record_id", Id, ForeignKey("record.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("last_entry", BigInteger, nullable=False),
    Column("dropped", Document, nullable=False),
    Column("problem", Document),
    Column("restored_at", Instant),
    Column("restored_by", Text),
    # Stops one that came back, and nobody knows by whom.
    CheckConstraint("(restored_at IS NULL) = (restored_by IS NULL)", name="restored_by_somebody"),
)
"""What a person took off a record: the wishes, what they were refused for, and the events that asked for
them, so that they can be asked for again. Pruned with the entries."""
Index(
    "discarded_of_record", discarded.c.record_id, discarded.c.id
)  # restore: the latest of a record
Index(
    "discarded_open",
    discarded.c.destination,
    discarded.c.id,
    postgresql_where=text("restored_at IS NULL"),
    sqlite_where=text("restored_at IS NULL"),
)  # desk: what can be restored


bulk: Final = Table(
    "bulk",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("deed", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("lane", Text, nullable=False),
    Column("offpeak", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("selection", Document, nullable=False),
    Column("tally", Document),
    CheckConstraint(_one_of("state", BulkState), name="state_known"),
    CheckConstraint(_one_of("deed", Deed), name="deed_known"),
    CheckConstraint(_one_of("lane", Lane), name="lane_known"),
    # Stops a bulk of nothing, which would never end.
    CheckConstraint("total > 0", name="has_records"),
    # Stops one that is over and nobody can say since when, and one that goes on after its end.
    CheckConstraint(
        "(state IN ('cancelled', 'done')) = (ended_at IS NOT NULL)", name="ended_has_time"
    ),
)
"""Many records replayed or discarded on one person's word. `offpeak`: only within those hours.
`selection` says how they were chosen; the records themselves are in `bulk_item`."""
_ACTIVE = _one_of("state", sorted(ACTIVE))
Index(
    "bulk_one_active",
    bulk.c.destination,
    unique=True,
    postgresql_where=text(_ACTIVE),
    sqlite_where=text(_ACTIVE),
)  # stops two at once, which would share a lane and confuse two people
Index("bulk_latest", bulk.c.destination, bulk.c.id)  # bulk list


bulk_item: Final = Table(
    "bulk_item",
    metadata,
    Column("bulk_id", Id, ForeignKey("bulk.id"), primary_key=True),
    Column("record_id", Id, ForeignKey("record.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("result", Text),
    Column("detail", Text),
    Column("at", Instant),
    CheckConstraint(_one_of("state", ItemState), name="state_known"),
    CheckConstraint(_one_of("result", Result, or_null=True), name="result_known"),
    # Stops a record of which no report could say what became of it.
    CheckConstraint("(state = 'ended') = (result IS NOT NULL)", name="ended_has_result"),
)
"""The records of a bulk, each once."""
_IN_HAND = "state IN ('left', 'moving')"
Index(
    "bulk_item_one_bulk",
    bulk_item.c.record_id,
    unique=True,
    postgresql_where=text(_IN_HAND),
    sqlite_where=text(_IN_HAND),
)  # stops a record in two bulks at once
Index(
    "bulk_item_left",
    bulk_item.c.bulk_id,
    bulk_item.c.record_id,
    postgresql_where=text("state = 'left'"),
    sqlite_where=text("state = 'left'"),
)  # relay: whose turn comes next
Index(
    "bulk_item_moving",
    bulk_item.c.bulk_id,
    bulk_item.c.record_id,
    postgresql_where=text("state = 'moving'"),
    sqlite_where=text("state = 'moving'"),
)  # relay: of whom the end is awaited
