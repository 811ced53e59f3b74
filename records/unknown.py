"""SQL on `record` for what is unknown since a rebind, and for what sleeps until writes are allowed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select, update

from records import store
from schema.keys import RecordId
from schema.record import Record
from schema.states import ASLEEP, LEASED, OPEN_STATES, Reason, RecordState
from schema.tables import record

_kin = record.alias("kin")


def unknown(connection: Connection, destination: str, now: datetime) -> tuple[int, int]:
    """Count the records to be looked up: those that will be by themselves, and the others.

    The others stand before a person, or wait for an event or for one of those. What has just been
    woken (it waited for its kin, which has been looked up) is one of the first.
    """
    moving = func.coalesce(func.sum(case((_moves(now), 1), else_=0)), 0)
    query = select(moving, func.count()).where(
        record.c.destination == destination,
        record.c.look_first == 1,
        record.c.state.in_([state.value for state in OPEN_STATES]),
    )
    moves, both = connection.execute(query).one()
    return moves, both - moves


def any_to_look_up(connection: Connection, destination: str, now: datetime) -> bool:
    """Say whether one is left that will be looked up by itself."""
    query = select(record.c.id).where(
        record.c.destination == destination,
        record.c.look_first == 1,
        record.c.state.in_([state.value for state in OPEN_STATES]),
        _moves(now),
    )
    return connection.execute(query.limit(1)).scalar_one_or_none() is not None


def _moves(now: datetime) -> ColumnElement[bool]:
    waits = and_(
        record.c.state == RecordState.WAITING.value,
        func.coalesce(record.c.reason, "") == Reason.WAITING_FOR.value,
    )
    linked = exists().where(
        _kin.c.destination == record.c.destination,
        _kin.c.family == record.c.family,
        _kin.c.remote_id.is_not(None),
    )
    return or_(
        record.c.state.in_([state.value for state in LEASED]),
        and_(record.c.state == RecordState.IN_DOUBT.value, record.c.due_at.is_not(None)),
        and_(record.c.state == RecordState.WAITING.value, ~waits),
        and_(waits, record.c.due_at <= now, linked),
    )


def ids_down_from(
    connection: Connection, destination: str, upto: int, *, limit: int
) -> list[RecordId]:
    """Give the next ids at or below *upto*, the highest first."""
    query = (
        select(record.c.id)
        .where(record.c.destination == destination, record.c.id <= upto)
        .order_by(record.c.id.desc())
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def locked(connection: Connection, destination: str, ids: Sequence[RecordId]) -> list[Record]:
    """Read these records, locked in the order in which everybody locks: family by family."""
    wanted = set(ids)
    found = store.families_of(connection, destination, ids)
    return [one for one in found if one.id in wanted]


def last_id(connection: Connection, destination: str) -> int:
    """Give the highest id of a destination's records; 0 when there is none."""
    query = select(func.max(record.c.id)).where(record.c.destination == destination)
    return connection.execute(query).scalar_one() or 0


def count(connection: Connection, destination: str) -> int:
    """Count the records of a destination that a rebind would have looked up."""
    nothing = and_(
        record.c.state == RecordState.IN_STEP.value,
        record.c.accepted.is_(None),
        record.c.remote_id.is_(None),
    )
    query = select(func.count()).where(record.c.destination == destination, ~nothing)
    return connection.execute(query).scalar_one()


def any_asleep(connection: Connection, destination: str) -> bool:
    """Say whether any record sleeps until writes are allowed."""
    query = select(record.c.id).where(*_asleep(destination)).limit(1)
    return connection.execute(query).scalar_one_or_none() is not None


def wake_asleep(connection: Connection, destination: str, now: datetime, *, limit: int) -> int:
    """Make some of them due; gives how many."""
    some = (
        select(record.c.id)
        .where(*_asleep(destination))
        .order_by(record.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    done = connection.execute(
        update(record).where(record.c.id.in_(some)).values(due_at=now, reason=None, waits_for=None)
    )
    return done.rowcount


def asleep_by_operation(connection: Connection, destination: str) -> dict[str, int]:
    """Count the writes that would leave, by operation: a sleeping record waits for one."""
    rows = connection.execute(
        select(func.coalesce(record.c.waits_for, "?"), func.count())
        .where(*_asleep(destination))
        .group_by(record.c.waits_for)
        .order_by(record.c.waits_for)
    )
    return {str(operation): int(number) for operation, number in rows}


def some_asleep(connection: Connection, destination: str, *, limit: int) -> list[Record]:
    """Read the first few of them."""
    query = select(record.c.id).where(*_asleep(destination)).order_by(record.c.id).limit(limit)
    found = [store.by_id(connection, id_) for id_ in connection.execute(query).scalars()]
    return [one for one in found if one is not None]


def undecided(connection: Connection, destination: str) -> int:
    """Count the records that still wait for something before it is known what they would send."""
    query = select(func.count()).where(
        record.c.destination == destination,
        record.c.state.in_(
            [state.value for state in (RecordState.WAITING, RecordState.IN_DOUBT, *sorted(LEASED))]
        ),
        func.coalesce(record.c.reason, "").not_in([reason.value for reason in sorted(ASLEEP)]),
    )
    return connection.execute(query).scalar_one()


def _asleep(destination: str) -> tuple[ColumnElement[bool], ...]:
    return (
        record.c.destination == destination,
        record.c.state == RecordState.WAITING.value,
        record.c.reason.in_([reason.value for reason in sorted(ASLEEP)]),
    )
