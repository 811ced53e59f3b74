"""All SQL on `record` and `mapping`.

One idea: every function takes the open connection first and never commits; every write to a record
that somebody holds shows the token of the holding, and says whether it still was the right one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from records.codec import WRITERS, from_row, mark_json, to_row, written_anew
from runtime.bulk import among, among_named, as_list, insert_many, update_many
from runtime.prepared import Prepared
from schema.keys import LeaseToken, RecordId, RecordKey, RemoteId
from schema.record import Mark, Record
from schema.states import Lane, Reason, RecordState, Writes
from schema.tables import binding, gate, mapping, record

_ID, _TOKEN, _REVISION = (record.c.keys().index(name) for name in ("id", "token", "revision"))

KEY = frozenset({"destination", "kind", "source_id", "part", "round", "family"})
"""Columns that never change once a record is there."""

ON_THE_WAY = (
    RecordState.WAITING,
    RecordState.DISPATCHED,
    RecordState.TAKEN,
    RecordState.IN_DOUBT,
)
"""States in which nobody needs to do anything for a record to get on."""

# The statements of every single delivery are made once: putting one together costs as much as
# running it. Their parameters are named apart from the columns.


def _written_out(*states: RecordState) -> list[ColumnElement[str]]:
    """Give states as part of a statement's text.

    Only of what it can read there does PostgreSQL know, when it keeps a plan, that a partial index
    serves; as parameters they would have every execution planned anew.
    """
    return [literal_column(f"'{state.value}'") for state in states]


[_TAKEN] = _written_out(RecordState.TAKEN)
[_DISPATCHED] = _written_out(RecordState.DISPATCHED)
_MAY_BE_DUE = record.c.state.in_(_written_out(RecordState.WAITING, RecordState.IN_DOUBT))

_FROM = record.c.due_at >= bindparam("due_from")
_DUE = (
    record.c.destination == bindparam("in_destination"),
    record.c.lane == bindparam("in_lane"),
    _MAY_BE_DUE,
    record.c.due_at <= bindparam("due_by"),
)
_next_due = (
    select(record)
    .where(*_DUE)
    .order_by(record.c.due_at, record.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_CLAIM_DUE = Prepared(_next_due)
_CLAIM_DUE_FROM = Prepared(_next_due.where(_FROM))
_first_due = select(record.c.id).where(*_DUE).order_by(record.c.due_at, record.c.id).limit(1)
_ANY_DUE = Prepared(_first_due)
_ANY_DUE_FROM = Prepared(_first_due.where(_FROM))

_UNDECIDED = (
    *_DUE,
    # What is in doubt keeps its reason, and nothing but a call decides about it.
    record.c.state == _written_out(RecordState.WAITING)[0],
    or_(
        record.c.reason.is_(None),
        record.c.reason.not_in([Reason.QUOTA.value, Reason.GATE.value]),
    ),
)

_OF_FAMILY = (
    select(record)
    .where(
        record.c.destination == bindparam("in_destination"),
        record.c.family == bindparam("in_family"),
    )
    .order_by(record.c.family, record.c.id)
)
_OF_FAMILY_LOCKED = _OF_FAMILY.with_for_update()
_FAMILY, _FAMILY_LOCKED = Prepared(_OF_FAMILY), Prepared(_OF_FAMILY_LOCKED)


@lru_cache
def _of_families(dialect: str) -> Select[Any]:
    return (
        select(record)
        .where(
            record.c.destination == bindparam("in_destination"),
            among_named(dialect, record.c.family, "in_families"),
        )
        .order_by(record.c.family, record.c.id)
    )


@lru_cache
def _read_families(dialect: str) -> Prepared:
    return Prepared(_of_families(dialect))


@lru_cache
def _lock_families(dialect: str) -> Prepared:
    return Prepared(_of_families(dialect).with_only_columns(record.c.id).with_for_update())


@lru_cache
def _read_others(dialect: str) -> Prepared:
    return Prepared(_of_families(dialect).where(~among_named(dialect, record.c.id, "in_hand")))


_HELD = update(record).where(
    record.c.id == bindparam("held_id"), record.c.token == bindparam("held_token")
)
_WRITTEN = {
    one.name: f"new_{one.name}" for one in record.c if one.name not in {*KEY, "id", "cut_off"}
}
_WRITTEN_ANEW: dict[str, Any] = {name: bindparam(new) for name, new in _WRITTEN.items()}
UPDATE_HELD = _HELD.values(_WRITTEN_ANEW | {"cut_off": null()})
"""Writes all of a record that may change, under its lease. A date that it had is forgotten: what is asked
for may be something else by now, and what still has one gets it again; see `outbox.dating`."""

_ours = binding.c.generation == bindparam("held_generation")
_OURS = select(binding.c.generation).where(
    binding.c.destination == bindparam("held_destination"), _ours
)
_HELD_AS_PLANNED = _HELD.where(record.c.revision == bindparam("held_revision"))
_HELD_TO_READ = _HELD_AS_PLANNED.where(_OURS.exists())
# Locked, so that whoever takes the leave to write away waits for this write to be marked, and finds
# it; and so that a mark which waited for that sees what was decided, and is none.
_HELD_TO_WRITE = _HELD_AS_PLANNED.where(
    _OURS.where(binding.c.live_since.is_not(None), binding.c.unknown_since.is_(None))
    .with_for_update(read=True, key_share=True)
    .exists()
)

_WRITES = (
    select(
        case(
            (binding.c.live_since.is_(None), Writes.SHADOW.value),
            (binding.c.unknown_since.is_not(None), Writes.REBOUND.value),
            else_=Writes.ALLOWED.value,
        )
    )
    .where(
        binding.c.destination == record.c.destination,
        binding.c.generation == bindparam("taken_generation"),
    )
    .scalar_subquery()
    .label("writes")
)
_other = record.alias("other")
_TAKE = (
    update(record)
    .where(
        record.c.id == bindparam("taken_id"),
        record.c.token == bindparam("taken_token"),
        record.c.state == _DISPATCHED,
        ~exists().where(
            _other.c.destination == record.c.destination,
            _other.c.serial_key == record.c.serial_key,
            _other.c.state == _TAKEN,
        ),
    )
    .values(
        state=RecordState.TAKEN.value,
        token=record.c.token + 1,
        takes=record.c.takes + 1,
        lease_until=bindparam("taken_until"),
    )
    .returning(*record.c, _WRITES)
)
_TAKE_IF_OPEN = _TAKE.where(
    ~exists().where(
        or_(
            and_(
                gate.c.scope == literal_column("'destination'"),
                gate.c.name == record.c.destination,
            ),
            and_(gate.c.scope == literal_column("'key'"), gate.c.name == bindparam("open_key")),
        ),
        # One that is over is still there until a probe has shown that it may open.
        or_(
            gate.c.reason != literal_column("'paused'"),
            gate.c.until.is_(None),
            gate.c.until > bindparam("open_at"),
        ),
    )
)

_taken = _TAKE_IF_OPEN.cte("taken")
_seen = record.alias("seen")
_TAKE_WITH_KIN = Prepared(
    union_all(
        select(*_taken.c),
        select(*_seen.c, _taken.c.writes).join(
            _taken,
            and_(_seen.c.destination == _taken.c.destination, _seen.c.family == _taken.c.family),
        ),
    )
)
"""Takes a record and reads its family, in one round trip. The family is as it was when the
statement began, the record itself among it in its old state."""


def of_families(
    connection: Connection, destination: str, families: Sequence[str], *, lock: bool = False
) -> list[Record]:
    """Read every record of these families; with *lock*, in key order, held until the end."""
    if not families:
        return []
    dialect = connection.dialect.name
    values = {"in_destination": destination, "in_families": as_list(dialect, families)}
    if lock and dialect != "sqlite":
        # Locked first, read after: a row that another inserted while we waited for a lock is not
        # in the snapshot of the statement that waited.
        _lock_families(dialect).rows(connection, values)
    return [from_row(row) for row in _read_families(dialect).rows(connection, values)]


def by_ids(connection: Connection, ids: Sequence[RecordId]) -> list[Record]:
    """Read these records, by id."""
    query = select(record).where(among(connection, record.c.id, ids)).order_by(record.c.id)
    return _records(connection, query)


def families_of(connection: Connection, destination: str, ids: Sequence[RecordId]) -> list[Record]:
    """Read every record of the families of these, locked in key order, held until the end."""
    if not ids:
        return []
    families = connection.execute(
        select(record.c.family).distinct().where(among(connection, record.c.id, ids))
    ).scalars()
    return of_families(connection, destination, sorted(families), lock=True)


def of_family(
    connection: Connection, destination: str, family: str, *, lock: bool = False
) -> list[Record]:
    """Read every record of one family, in key order; with *lock*, held until the end."""
    query = _FAMILY_LOCKED if lock else _FAMILY
    rows = query.rows(connection, {"in_destination": destination, "in_family": family})
    return [from_row(row) for row in rows]


def kin_of(connection: Connection, found: Sequence[Record]) -> dict[str, list[Record]]:
    """Read, by family, all records of the families of *found*; those in hand are not read again."""
    families: dict[str, list[Record]] = {}
    if not found:
        return families
    for one in found:
        families.setdefault(one.family, []).append(one)
    dialect = connection.dialect.name
    values = {
        "in_destination": found[0].destination,
        "in_families": as_list(dialect, sorted(families)),
        "in_hand": as_list(dialect, [one.id for one in found]),
    }
    for row in _read_others(dialect).rows(connection, values):
        one = from_row(row)
        families[one.family].append(one)
    for kin in families.values():
        kin.sort(key=lambda one: one.id)
    return families


def by_id(connection: Connection, record_id: int, *, lock: bool = False) -> Record | None:
    """Read one record; with *lock*, held until the end of the transaction."""
    query = select(record).where(record.c.id == record_id)
    return _one(connection, query.with_for_update() if lock else query)


def by_key(connection: Connection, destination: str, key: RecordKey) -> Record | None:
    """Read the record of this key."""
    return _one(
        connection,
        select(record).where(
            record.c.destination == destination,
            record.c.kind == key.kind,
            record.c.source_id == key.source_id,
            record.c.part == key.part,
            record.c.round == key.round,
        ),
    )


def by_source(connection: Connection, source_id: str) -> list[Record]:
    """Read all records of one local thing, of every kind and destination."""
    return by_sources(connection, [source_id])


def by_sources(connection: Connection, source_ids: Sequence[str]) -> list[Record]:
    """Read all records of some local things, of every kind and destination."""
    query = select(record).where(among(connection, record.c.source_id, list(source_ids)))
    return _records(connection, query.order_by(record.c.destination, record.c.id))


def by_remote(connection: Connection, remote_id: str) -> list[Record]:
    """Read the records that are this remote thing, in any role."""
    query = select(record).join(mapping, mapping.c.record_id == record.c.id)
    return _records(connection, query.where(mapping.c.remote_id == remote_id))


def by_remotes(connection: Connection, destination: str, ids: Sequence[str]) -> list[Record]:
    """Read the records that are one of these remote things."""
    query = (
        select(record)
        .join(mapping, mapping.c.record_id == record.c.id)
        .where(
            mapping.c.destination == destination,
            among(connection, mapping.c.remote_id, list(ids)),
        )
    )
    return _records(connection, query.order_by(record.c.id))


def heads(
    connection: Connection, destination: str, families: Sequence[str]
) -> Mapping[str, RemoteId]:
    """Give the remote ids of the records that head these families, by family."""
    rows = connection.execute(
        select(record.c.family, record.c.remote_id).where(
            record.c.destination == destination,
            among(connection, record.c.family, list(families)),
            record.c.family == record.c.kind + ":" + record.c.source_id,
            record.c.remote_id.is_not(None),
        )
    )
    return {family: RemoteId(remote_id) for family, remote_id in rows}


def insert_all(connection: Connection, records: Sequence[Record]) -> int:
    """Insert new records; those that another has inserted meanwhile are left alone.

    Gives how many went in: fewer than given means that the caller read too early.
    """
    rows = [to_row(one) for one in records]
    return len(insert_many(connection, record, rows, returning="id"))


def ids_of(
    connection: Connection, destination: str, families: Sequence[str]
) -> Mapping[RecordKey, RecordId]:
    """Read the ids of all records of these families, by key."""
    columns = (record.c.id, record.c.kind, record.c.source_id, record.c.part, record.c.round)
    rows = connection.execute(
        select(*columns).where(
            record.c.destination == destination, among(connection, record.c.family, families)
        )
    )
    return {RecordKey(kind, source, part, number): id_ for id_, kind, source, part, number in rows}


def update_all(connection: Connection, records: Sequence[Record]) -> None:
    """Write records that this transaction holds locked."""
    rows = [_changing(one) for one in records]
    update_many(connection, record, rows)


def update_changed(connection: Connection, changes: Sequence[tuple[Record, Record]]) -> None:
    """Write what differs between before and after, of records that this transaction holds locked."""
    names = written_anew(changes)
    if names:
        rows = [
            {"id": one.id, **{name: WRITERS[name](one) for name in names}} for _, one in changes
        ]
        update_many(connection, record, rows)


def update_held(connection: Connection, one: Record, token: LeaseToken) -> bool:
    """Write a record under the lease *token*; False when another has it by now."""
    return connection.execute(UPDATE_HELD, writing(one, token)).rowcount == 1


def writing(one: Record, token: LeaseToken) -> dict[str, Any]:
    """Give the parameters of `UPDATE_HELD`."""
    values = {_WRITTEN[name]: write(one) for name, write in WRITERS.items()}
    return values | {"held_id": one.id, "held_token": token}


def claim_due(
    connection: Connection,
    destination: str,
    lane: Lane,
    *,
    now: datetime,
    limit: int,
    floor: datetime | None = None,
) -> list[Record]:
    """Lock the next records of a lane that are due, the longest due first.

    *floor* is only a hint: nothing due earlier is looked for, so that the dead rows which an old
    open transaction keeps in the index are not passed again and again.
    """
    values: dict[str, Any] = {
        "in_destination": destination,
        "in_lane": lane.value,
        "due_by": now,
        "at_most": limit,
    }
    if floor is not None:
        values["due_from"] = floor
    claim = _CLAIM_DUE if floor is None else _CLAIM_DUE_FROM
    return [from_row(row) for row in claim.rows(connection, values)]


def dispatched(one: Record, *, until: datetime) -> Record:
    """Give a record as it is once it is marked as dispatched, held until *until*."""
    return one.but(
        state=RecordState.DISPATCHED,
        lease_until=until,
        token=LeaseToken(one.token + 1),
        due_at=None,
        waits_for=None,
        reason=None,
    )


def any_undecided(
    connection: Connection, destination: str, lane: Lane, *, now: datetime, floor: datetime | None
) -> bool:
    """Say whether a record is due that nobody has found to need a call, without locking anything."""
    query = select(record.c.id).where(*_UNDECIDED).limit(1)
    return connection.execute(*_from(query, destination, lane, now, floor)).first() is not None


def claim_undecided(
    connection: Connection,
    destination: str,
    lane: Lane,
    *,
    now: datetime,
    limit: int,
    floor: datetime | None,
) -> list[Record]:
    """Lock the next records that are due and that nobody has found to need a call."""
    query = select(record).where(*_UNDECIDED).order_by(record.c.due_at, record.c.id).limit(limit)
    query, values = _from(query, destination, lane, now, floor)
    rows = connection.execute(query.with_for_update(skip_locked=True), values)
    return [from_row(row) for row in rows.all()]


def _from(
    query: Select[Any], destination: str, lane: Lane, now: datetime, floor: datetime | None
) -> tuple[Select[Any], dict[str, Any]]:
    values: dict[str, Any] = {
        "in_destination": destination,
        "in_lane": lane.value,
        "due_by": now,
    }
    if floor is None:
        return query, values
    return query.where(_FROM), values | {"due_from": floor}


def decided(connection: Connection, records: Sequence[Record], reason: Reason) -> None:
    """Write down what locked records that need a call wait for; they stay due as they are."""
    update_many(connection, record, [{"id": one.id, "reason": reason.value} for one in records])


def any_dispatched(connection: Connection, destination: str) -> bool:
    """Say whether a ring of this destination is out that nobody has answered yet."""
    query = select(record.c.id).where(
        record.c.destination == destination,
        record.c.lease_until.is_not(None),
        record.c.state == _DISPATCHED,
    )
    return connection.execute(query.limit(1)).first() is not None


def dispatch_all(
    connection: Connection, records: Sequence[Record], *, until: datetime
) -> list[Record]:
    """Mark locked records as dispatched, held until *until*; gives them with their new tokens."""
    marked = [dispatched(one, until=until) for one in records]
    rows = [
        {
            "id": one.id,
            "state": one.state.value,
            "reason": None,
            "lease_until": until,
            "token": one.token,
            "due_at": None,
            "waits_for": None,
            "serial_key": one.serial_key,
            "allowance": one.allowance,
        }
        for one in marked
    ]
    update_many(connection, record, rows)
    return marked


def take(
    connection: Connection,
    record_id: int,
    token: LeaseToken,
    *,
    until: datetime,
    open_at: datetime | None = None,
    key_name: str | None = None,
) -> Record | None:
    """Exchange a dispatched token for a lease; None when the message is stale or doubled.

    Also None while another record of the same serial key is taken: the relay dispatches this one
    again once its ring is over. The unique index on the serial key is what decides between two.
    With *open_at*, None as well when a gate of the destination, or of the key *key_name*, lets not
    everything through at that time.
    """
    values: dict[str, Any] = {
        "taken_id": record_id,
        "taken_token": token,
        "taken_until": until,
        "taken_generation": 0,  # whatever may be written
    }
    if open_at is not None:
        values |= {"open_at": open_at, "open_key": key_name}
    row = _taken_row(connection, _TAKE if open_at is None else _TAKE_IF_OPEN, values)
    return None if row is None else from_row(row[:-1])


def _taken_row(connection: Connection, take: Executable, values: Mapping[str, Any]) -> Any:
    try:
        return connection.execute(take, values).one_or_none()
    except IntegrityError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A record under a lease, the others of its family, and whether writes may leave."""

    record: Record
    kin: Sequence[Record]
    writes: Writes | None
    """None when the database has been bound anew since this process was started."""


def take_with_kin(
    connection: Connection,
    record_id: int,
    token: LeaseToken,
    *,
    until: datetime,
    open_at: datetime,
    key_name: str,
    generation: int,
) -> Taken | None:
    """Take a record as `take` does, and read the other records of its family.

    *generation* is that of the binding under which this process was started.
    """
    values = {
        "taken_id": record_id,
        "taken_token": token,
        "taken_until": until,
        "taken_generation": generation,
        "open_at": open_at,
        "open_key": key_name,
    }
    if connection.dialect.name == "sqlite":
        row = _taken_row(connection, _TAKE_IF_OPEN, values)
        if row is None:
            return None
        record = from_row(row[:-1])
        return Taken(record=record, kin=_kin(connection, record), writes=_leave(row))
    try:
        rows = _TAKE_WITH_KIN.rows(connection, values)
    except IntegrityError:
        return None
    if not rows:
        return None
    # Itself comes twice: as it was before, and with the token it was taken with.
    before, after = sorted((row for row in rows if row[_ID] == record_id), key=itemgetter(_TOKEN))
    record = from_row(after[:-1])
    if before[_REVISION] != after[_REVISION]:
        # It waited for somebody who changed it: its kin may have changed with it since.
        return Taken(record=record, kin=_kin(connection, record), writes=_leave(after))
    kin = [from_row(row[:-1]) for row in rows if row[_ID] != record_id]
    return Taken(record=record, kin=sorted(kin, key=lambda one: one.id), writes=_leave(after))


def _leave(row: Sequence[Any]) -> Writes | None:
    return None if row[-1] is None else Writes(row[-1])


def _kin(connection: Connection, one: Record) -> list[Record]:
    family = of_family(connection, one.destination, one.family)
    return [other for other in family if other.id != one.id]


def marking(one: Record, mark: Mark | None, *, until: datetime, generation: int) -> dict[str, Any]:
    """Give the parameters of `held_and_marked`, or, without a mark, of `held_for_a_read`."""
    values: dict[str, Any] = {
        "held_destination": one.destination,
        "held_generation": generation,
        "held_id": one.id,
        "held_token": one.token,
        "held_revision": one.revision,
        "held_until": until,
    }
    return values if mark is None else values | {"held_mark": mark_json(mark)}


def held_and_marked(attempts: Table) -> CTE:
    """Part of a statement that opens an attempt: mark the held record with the attempt's new id.

    Gives that id, or nothing when the lease or what is wanted moved on. PostgreSQL only.
    """
    new = _next_id(attempts)
    mark = bindparam("held_mark", type_=record.c.mark.type)
    numbered = func.jsonb_set(mark, text("'{attempt}'"), func.to_jsonb(new))
    return _held_with(_HELD_TO_WRITE, new, mark=numbered)


def held_for_a_read(attempts: Table) -> CTE:
    """The same for a call that changes nothing there, and so leaves the mark as it is."""
    return _held_with(_HELD_TO_READ, _next_id(attempts))


@dataclass(frozen=True, slots=True)
class UsualEnd:
    """Parts of the statement that settles the usual delivery in one round trip. PostgreSQL only.

    The family is locked in key order, as everywhere. Only where the record is still as it was
    planned from, and nobody of its kin may go on by it, anything is written; the rest of the statement
    depends on `written`, which gives the record's id then.
    """

    written: CTE

    @classmethod
    def linking(cls) -> "UsualEnd":
        """For an answer that tells the record's remote id: nothing either when another has it."""
        row = [bindparam(f"linked_{one.name}", type_=one.type) for one in mapping.c]
        usual = _usual()
        linked = (
            insert(mapping)
            .from_select([one.name for one in mapping.c], select(*row).where(_any_of(usual)))
            .on_conflict_do_nothing()
            .returning(mapping.c.record_id)
            .cte("linked")
        )
        return cls(_written_if(linked))

    @classmethod
    def plain(cls) -> "UsualEnd":
        """For an answer that tells no new remote id."""
        return cls(_written_if(_usual()))


def _usual() -> CTE:
    needed = (record.c.id, record.c.token, record.c.revision, record.c.state, record.c.reason)
    family = _OF_FAMILY_LOCKED.with_only_columns(*needed).cte("family")
    itself = family.c.id == bindparam("held_id")
    as_planned = and_(
        itself,
        family.c.token == bindparam("held_token"),
        family.c.revision == bindparam("held_revision"),
    )
    waiting = and_(
        family.c.state == RecordState.WAITING.value, family.c.reason == Reason.WAITING_FOR.value
    )
    may_heal = and_(
        family.c.state == RecordState.DEAD.value,
        or_(
            family.c.reason == Reason.REFUSED.value,
            family.c.reason == Reason.INVALID_HERE.value,
        ),
    )
    needs_word = and_(~itself, or_(waiting, may_heal))
    return (
        select(func.count().label("family"))
        .select_from(family)
        .having(func.bool_or(as_planned), ~func.bool_or(func.coalesce(needs_word, false())))
        .cte("usual")
    )


def _any_of(cte: CTE) -> ColumnElement[bool]:
    return exists().select_from(cte)


def _written_if(cte: CTE) -> CTE:
    return UPDATE_HELD.where(_any_of(cte)).returning(record.c.id).cte("written")


def usual_end(one: Record, planned: Record) -> dict[str, Any]:
    """Give the parameters of `UsualEnd` for a record that was *planned* from, and then is *one*."""
    return writing(one, planned.token) | {
        "held_revision": planned.revision,
        "in_destination": planned.destination,
        "in_family": planned.family,
    }


def linking(one: Record, now: datetime) -> dict[str, Any]:
    """Give the parameters that `UsualEnd.linking` needs besides."""
    return {
        "linked_destination": one.destination,
        "linked_kind": one.key.kind,
        "linked_remote_id": one.remote_id,
        "linked_role": one.role or "",
        "linked_record_id": one.id,
        "linked_since": now,
    }


def _next_id(table: Table) -> ScalarSelect[int]:
    sequence = func.pg_get_serial_sequence(table.name, "id")
    new = select(func.nextval(sequence, type_=BigInteger).label("id")).cte("new")
    return select(new.c.id).scalar_subquery()


def _held_with(as_planned: Update, new: ScalarSelect[int], **values: Any) -> CTE:
    held = as_planned.values(lease_until=bindparam("held_until"), **values)
    return held.returning(new.label("id")).cte("held")


def put_mark(
    connection: Connection, one: Record, mark: Mark | None, *, until: datetime, generation: int
) -> bool:
    """Commit "about to send" under the lease.

    False when the lease or what is wanted moved on, when the database was bound anew, and for a
    write (it has a mark) when none may leave.
    """
    values: dict[str, Any] = {
        "held_destination": one.destination,
        "held_generation": generation,
        "held_id": one.id,
        "held_token": one.token,
        "held_revision": one.revision,
        "lease_until": until,
    }
    if mark is not None:
        values["mark"] = mark_json(mark)
    statement = _HELD_TO_READ if mark is None else _HELD_TO_WRITE
    return connection.execute(statement, values).rowcount == 1


def wake(connection: Connection, destination: str, family: str, now: datetime) -> int:
    """Make the records of a family due that wait for one another.

    Those that another transaction holds are left to it: it decides afresh.
    """
    return wake_all(connection, destination, [family], now)


def wake_all(
    connection: Connection, destination: str, families: Sequence[str], now: datetime
) -> int:
    """Do the same for many families at once."""
    if not families:
        return 0
    waiting = (
        select(record.c.id)
        .where(
            record.c.destination == destination,
            among(connection, record.c.family, families),
            record.c.state == RecordState.WAITING.value,
            record.c.reason == Reason.WAITING_FOR.value,
        )
        .with_for_update(skip_locked=True)
    )
    done = connection.execute(update(record).where(record.c.id.in_(waiting)).values(due_at=now))
    return done.rowcount


def any_due(
    connection: Connection,
    destination: str,
    lane: Lane,
    *,
    now: datetime,
    floor: datetime | None = None,
) -> bool:
    """Say whether a record of a lane is due, without locking anything."""
    values: dict[str, Any] = {
        "in_destination": destination,
        "in_lane": lane.value,
        "due_by": now,
    }
    if floor is not None:
        values["due_from"] = floor
    return bool((_ANY_DUE if floor is None else _ANY_DUE_FROM).rows(connection, values))


def any_lapsed(connection: Connection, now: datetime, *, latest: datetime) -> bool:
    """Say whether a ring or lease ran out, or ends later than any can."""
    lease = record.c.lease_until
    shortest, longest = connection.execute(
        select(func.min(lease), func.max(lease)).where(lease.is_not(None))
    ).one()
    return shortest is not None and (shortest < now or longest > latest)


def lapsed(connection: Connection, *, now: datetime, limit: int) -> list[Record]:
    """Lock records whose ring or lease ran out."""
    query = (
        select(record)
        .where(record.c.lease_until < now)
        .order_by(record.c.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _records(connection, query)


def too_long(connection: Connection, *, latest: datetime, until: datetime) -> int:
    """Shorten leases that end after *latest*: the database's clock went back."""
    done = connection.execute(
        update(record).where(record.c.lease_until > latest).values(lease_until=until)
    )
    return done.rowcount


def on_the_queue(connection: Connection, destination: str) -> Mapping[Lane, int]:
    """Count, by lane, the records dispatched or taken."""
    rows = connection.execute(
        select(record.c.lane, func.count())
        .where(record.c.destination == destination, record.c.lease_until.is_not(None))
        .group_by(record.c.lane)
    )
    return {Lane(lane): number for lane, number in rows}


def link(
    connection: Connection, one: Record, remote_id: RemoteId, role: str, now: datetime
) -> bool:
    """Map a record to a remote thing; False when another record has it already."""
    row = {
        "destination": one.destination,
        "kind": one.key.kind,
        "remote_id": remote_id,
        "role": role,
        "record_id": one.id,
        "since": now,
    }
    if insert_many(connection, mapping, [row], returning="record_id"):
        return True
    found = connection.execute(
        select(mapping.c.record_id).where(
            mapping.c.destination == one.destination,
            mapping.c.kind == one.key.kind,
            mapping.c.remote_id == remote_id,
            mapping.c.role == role,
        )
    )
    return found.scalar_one_or_none() == one.id


def link_all(connection: Connection, links: Sequence[Record], now: datetime) -> list[Record]:
    """Map many records to their remote things; gives those whose remote thing another record has."""
    if not links:
        return []
    rows = [
        {
            "destination": one.destination,
            "kind": one.key.kind,
            "remote_id": one.remote_id,
            "role": one.role or "",
            "record_id": one.id,
            "since": now,
        }
        for one in links
    ]
    went_in = set(insert_many(connection, mapping, rows, returning="record_id"))
    return [
        one
        for one in links
        if one.id not in went_in
        and one.remote_id is not None
        and not link(connection, one, one.remote_id, one.role or "", now)
    ]


def unlink(connection: Connection, one: Record) -> None:
    """Forget which remote thing a record was thought to be, before anything was delivered."""
    connection.execute(mapping.delete().where(mapping.c.record_id == one.id))


def list_open(
    connection: Connection,
    destination: str,
    *,
    states: Iterable[RecordState],
    after: int = 0,
    limit: int = 100,
) -> list[Record]:
    """List records in these states by id, from after *after*."""
    query = (
        select(record)
        .where(
            record.c.destination == destination,
            record.c.state.in_([state.value for state in states]),
            record.c.id > after,
        )
        .order_by(record.c.id)
        .limit(limit)
    )
    return _records(connection, query)


def _changing(one: Record) -> dict[str, Any]:
    return {"id": one.id, **{name: write(one) for name, write in WRITERS.items()}}


def _records(connection: Connection, query: Select[Any]) -> list[Record]:
    # All at once: the driver reads a whole batch in a fraction of the time of row after row.
    return [from_row(row) for row in connection.execute(query).all()]


def _one(connection: Connection, query: Select[Any]) -> Record | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else from_row(row)
