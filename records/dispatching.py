"""SQL on records that are due: find them, dispatch them, and take back what nobody brings to an end."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, or_, select, update

from records.codec import from_row
from records.store import read_all, written_out
from runtime.bulk import among, update_many
from runtime.prepared import Prepared
from schema.keys import LeaseToken
from schema.record import Record
from schema.states import Lane, Reason, RecordState
from schema.tables import record

[_DISPATCHED] = written_out(RecordState.DISPATCHED)
_MAY_BE_DUE = record.c.state.in_(written_out(RecordState.WAITING, RecordState.IN_DOUBT))

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
    record.c.state == written_out(RecordState.WAITING)[0],
    or_(
        record.c.reason.is_(None),
        record.c.reason.not_in([Reason.QUOTA.value, Reason.GATE.value]),
    ),
)


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
    return read_all(connection, query)


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
