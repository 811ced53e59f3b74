"""SQL on a record that somebody holds: take it, mark it, write what came of its call.

One idea: every write shows the token of the holding, and says whether it still was the right one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
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

from records.codec import WRITERS, from_row, mark_json
from records.store import OF_FAMILY_LOCKED, of_family, written_out
from runtime.prepared import Prepared
from schema.keys import LeaseToken
from schema.record import Mark, Record
from schema.states import Reason, RecordState, Writes
from schema.tables import binding, gate, mapping, record

_ID, _TOKEN, _REVISION = (record.c.keys().index(name) for name in ("id", "token", "revision"))

KEY = frozenset({"destination", "kind", "source_id", "part", "round", "family"})
"""Columns that never change once a record is there."""

_DISPATCHED, _TAKEN = written_out(RecordState.DISPATCHED, RecordState.TAKEN)

# The statements of every single delivery are made once: putting one together costs as much as
# running it. Their parameters are named apart from the columns.

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


def update_held(connection: Connection, one: Record, token: LeaseToken) -> bool:
    """Write a record under the lease *token*; False when another has it by now."""
    return connection.execute(UPDATE_HELD, writing(one, token)).rowcount == 1


def writing(one: Record, token: LeaseToken) -> dict[str, Any]:
    """Give the parameters of `UPDATE_HELD`."""
    values = {_WRITTEN[name]: write(one) for name, write in WRITERS.items()}
    return values | {"held_id": one.id, "held_token": token}


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
    family = OF_FAMILY_LOCKED.with_only_columns(*needed).cte("family")
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
