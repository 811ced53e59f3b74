"""All SQL on `bulk` and `bulk_item`, and what a person says about a bulk: start, go on, cancel, resume.

One idea: a bulk is rows. What a person confirmed, whose turn it is and what became of each record is
committed with the deed itself, so that any relay goes on with it, after any crash, and a record is
never put on its way twice by one bulk.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    insert,
    not_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from outbox import selection
from outbox.entries import Swept
from outbox.errors import BulkUnderWay, CountMoved, NotThatBulk
from outbox.replay import How, lane_of, waits_for_the_night
from outbox.saying import Person
from outbox.selection import Selection
from records.codec import from_row
from runtime.audit import write_down
from runtime.bulk import update_many
from schema.bulk import ACTIVE, BulkState, Deed, ItemState, Result
from schema.hours import Booking, opens
from schema.keys import RecordId
from schema.record import Record
from schema.states import Lane, RecordState
from schema.tables import bulk, bulk_item, discarded, record

_ACTIVE = [state.value for state in sorted(ACTIVE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """One bulk. Times are UTC."""

    id: int
    state: BulkState
    deed: Deed
    destination: str
    total: int
    lane: Lane
    offpeak: bool
    """Puts records on their way only within the off-peak hours."""
    actor: str
    reason: str | None
    created_at: datetime
    started_at: datetime | None
    """Since when all of it may go; None while only one was tried."""
    ended_at: datetime | None
    selection: Mapping[str, Any]
    tally: Mapping[str, int] | None
    """What became of its records, once it is over."""

    @property
    def active(self) -> bool:
        """Whether it may still put records on their way."""
        return self.state in ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One record of a bulk: what became of it, and how it stands today."""

    record: Record
    state: ItemState
    result: Result | None
    detail: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a bulk is."""

    total: int
    left: int = 0
    moving: int = 0
    spared: int = 0
    results: Mapping[Result, int] = field(default_factory=dict[Result, int])

    @property
    def ended(self) -> int:
        """How many came to their end."""
        return sum(self.results.values())


# what a person says


def start(
    connection: Connection,
    destination: str,
    chosen: Selection,
    person: Person,
    *,
    expect: int,
    how: How,
) -> Bulk:
    """Begin a bulk with every record of a selection, as many as the person confirmed.

    Raises `CountMoved` when they are not that many any more, and `BulkUnderWay` while another one of
    this destination is active: of two people at once one begins, the other is told of it.
    """
    if expect < 1:
        raise CountMoved(expected=expect, found=0)
    with _alone(connection, destination):
        row = _new(destination, chosen, person, expect, how)
        bulk_id = connection.execute(insert(bulk).values(row).returning(bulk.c.id)).scalar_one()
    found = selection.put_into(connection, destination, chosen, bulk_id)
    if found != expect:
        raise CountMoved(expected=expect, found=found)
    began = _read(connection, bulk_id)
    _audit(connection, began, person, "bulk_started")
    return began


def go(connection: Connection, bulk_id: int, person: Person, *, at_once: bool = False) -> Bulk:
    """Let all others follow the one that was tried; with *at_once* also outside the off-peak hours.

    Raises `NotThatBulk` when there is nothing to say that of.
    """
    before = _locked(connection, bulk_id)
    hurries = at_once and before.offpeak
    if before.state is not BulkState.TRIED and not (before.state is BulkState.RUNNING and hurries):
        raise NotThatBulk(f"{_called(before)} is {before.state.value}; {_CURES[before.state]}")
    return _moved(connection, before, person, "bulk_went_on", hurries=hurries)


def cancel(connection: Connection, bulk_id: int, person: Person) -> Bulk:
    """Put no more records on their way. Those that are on it go on; the others stay as they are.

    Raises `NotThatBulk` when it is over already.
    """
    before = _locked(connection, bulk_id)
    if not before.active:
        raise NotThatBulk(f"{_called(before)} is {before.state.value} already")
    _set_items(connection, bulk_id, ItemState.LEFT, state=ItemState.SPARED.value)
    _set_items(
        connection,
        bulk_id,
        ItemState.MOVING,
        state=ItemState.ENDED.value,
        result=Result.WAITS.value,
        detail="was on its way when the bulk was cancelled",
        at=person.now,
    )
    return ended(connection, before, BulkState.CANCELLED, person, "bulk_cancelled")


def resume(connection: Connection, bulk_id: int, person: Person) -> Bulk:
    """Go on with what a cancelled bulk had left.

    Raises `NotThatBulk` when it was not cancelled or has nothing left, `BulkUnderWay` while another
    one of its destination is active.
    """
    before = _locked(connection, bulk_id)
    if before.state is not BulkState.CANCELLED:
        raise NotThatBulk(f"{_called(before)} is {before.state.value}; {_CURES[before.state]}")
    if progress(connection, before).spared == 0:
        raise NotThatBulk(f"{_called(before)} has nothing left; every record had its turn")
    went = _moved(connection, before, person, "bulk_resumed", hurries=False)
    _set_items(connection, bulk_id, ItemState.SPARED, state=ItemState.LEFT.value)
    return went


_CURES: Mapping[BulkState, str] = {
    BulkState.TRYING: "wait until the one record that goes first has come to its end",
    BulkState.TRIED: "say whether the others follow: go, or cancel",
    BulkState.RUNNING: "it goes on by itself",
    BulkState.CANCELLED: "resume takes it up again",
    BulkState.DONE: "begin another one",
}


def _new(
    destination: str, chosen: Selection, person: Person, total: int, how: How
) -> dict[str, Any]:
    first = BulkState.TRYING if how.try_one else BulkState.RUNNING
    return {
        "state": first.value,
        "deed": how.deed.value,
        "destination": destination,
        "total": total,
        "lane": lane_of(total).value,
        "offpeak": int(waits_for_the_night(total, how)),
        "actor": person.actor,
        "reason": person.reason or None,
        "created_at": person.now,
        "started_at": None if how.try_one else person.now,
        "selection": chosen.document(),
    }


@contextmanager
def _alone(connection: Connection, destination: str) -> Generator[None]:
    """Make a bulk active; told apart from every other failure is that another one is."""
    try:
        with connection.begin_nested():
            yield
    except IntegrityError:
        other = active(connection, destination)
        if other is None:
            raise
        raise BulkUnderWay(
            f"{_called(other)} of {other.actor} is {other.state.value}, with {other.total:,} "
            f"records; wait for its end, or cancel it: pillarbox bulk cancel {other.id}",
            bulk_id=other.id,
        ) from None


def _moved(
    connection: Connection, before: Bulk, person: Person, action: str, *, hurries: bool
) -> Bulk:
    values: dict[str, Any] = {
        "state": BulkState.RUNNING.value,
        "started_at": before.started_at or person.now,
        "ended_at": None,
        "tally": None,
        "offpeak": int(before.offpeak and not hurries),
    }
    with _alone(connection, before.destination):
        connection.execute(update(bulk).where(bulk.c.id == before.id).values(values))
    after = _read(connection, before.id)
    _audit(connection, after, person, action, before=before)
    return after


def _audit(
    connection: Connection, one: Bulk, person: Person, action: str, *, before: Bulk | None = None
) -> None:
    write_down(
        connection,
        actor=person.actor,
        action=action,
        subject=subject(one.id),
        now=person.now,
        reason=person.reason or None,
        before=None if before is None else {"state": before.state.value},
        after={
            "state": one.state.value,
            "deed": one.deed.value,
            "destination": one.destination,
            "records": one.total,
            "selection": one.selection,
            "offpeak": one.offpeak,
        },
    )


def subject(bulk_id: int) -> str:
    """Name a bulk in the audit trail."""
    return f"bulk:{bulk_id}"


def _called(one: Bulk) -> str:
    return f"bulk {one.id}"


def _locked(connection: Connection, bulk_id: int) -> Bulk:
    """Lock a bulk: while it is held no relay puts any of its records on their way."""
    row = connection.execute(_of(bulk_id).with_for_update()).one_or_none()
    if row is None:
        raise NotThatBulk(f"there is no bulk {bulk_id}")
    return _bulk(row)


def _set_items(connection: Connection, bulk_id: int, was: ItemState, **values: object) -> None:
    of_it = (bulk_item.c.bulk_id == bulk_id, bulk_item.c.state == was.value)
    connection.execute(update(bulk_item).where(*of_it).values(values))


# what a relay does with it


def claim(connection: Connection, destination: str) -> Bulk | None:
    """Lock the active bulk of a destination; None when there is none, or another relay has it."""
    query = select(bulk).where(bulk.c.destination == destination, bulk.c.state.in_(_ACTIVE))
    row = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
    return None if row is None else _bulk(row)


def ids_left(connection: Connection, bulk_id: int, *, limit: int) -> list[RecordId]:
    """Give the records whose turn comes next."""
    query = (
        select(bulk_item.c.record_id)
        .where(bulk_item.c.bulk_id == bulk_id, bulk_item.c.state == ItemState.LEFT.value)
        .order_by(bulk_item.c.record_id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def moving(connection: Connection, bulk_id: int) -> int:
    """Count the records that are on their way."""
    query = select(func.count()).where(
        bulk_item.c.bulk_id == bulk_id, bulk_item.c.state == ItemState.MOVING.value
    )
    return connection.execute(query).scalar_one()


def at_rest(connection: Connection, bulk_id: int) -> list[tuple[Record, bool]]:
    """Read the records that were put on their way and are with no worker now.

    With each, whether a person has meanwhile dropped what was wanted of it.
    """
    query = (
        select(*record.c, _DROPPED_SINCE.label("dropped"))
        .join(bulk_item, bulk_item.c.record_id == record.c.id)
        .where(
            bulk_item.c.bulk_id == bulk_id,
            bulk_item.c.state == ItemState.MOVING.value,
            record.c.state.not_in([RecordState.DISPATCHED.value, RecordState.TAKEN.value]),
        )
    )
    rows = [tuple(row) for row in connection.execute(query).all()]
    return [(from_row(row[:-1]), bool(row[-1])) for row in rows]


_DROPPED_SINCE: ColumnElement[bool] = (
    select(discarded.c.id)
    .where(
        discarded.c.record_id == bulk_item.c.record_id,
        discarded.c.restored_at.is_(None),
        discarded.c.at >= bulk_item.c.at,
    )
    .correlate(bulk_item)
    .exists()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What became of one record of a bulk; no result while it is on its way."""

    record_id: RecordId
    result: Result | None
    detail: str


def note(connection: Connection, bulk_id: int, ends: Sequence[End], now: datetime) -> None:
    """Write down what became of some records, or that they are on their way."""
    rows = [
        {
            "bulk_id": bulk_id,
            "record_id": one.record_id,
            "state": (ItemState.MOVING if one.result is None else ItemState.ENDED).value,
            "result": None if one.result is None else one.result.value,
            "detail": one.detail,
            "at": now,
        }
        for one in ends
    ]
    update_many(connection, bulk_item, rows, key=("bulk_id", "record_id"))


def tried(connection: Connection, one: Bulk) -> None:
    """Say that what became of the first record is known."""
    values = {"state": BulkState.TRIED.value}
    connection.execute(update(bulk).where(bulk.c.id == one.id).values(values))


def ended(connection: Connection, one: Bulk, state: BulkState, person: Person, action: str) -> Bulk:
    """End a bulk, and keep with it what became of its records.

    What waited then, and has come to its end by now, is written down as it ended.
    """
    for became, so in _AFTER_ALL.items():
        waited = (bulk_item.c.bulk_id == one.id, bulk_item.c.result == Result.WAITS.value)
        found_so = select(record.c.id).where(record.c.id == bulk_item.c.record_id, so).exists()
        connection.execute(update(bulk_item).where(*waited, found_so).values(result=became.value))
    found = _counted(connection, one)
    tally = {
        "left": found.left + found.spared,
        **{one.value: number for one, number in found.results.items()},
    }
    values = {"state": state.value, "ended_at": person.now, "tally": tally}
    connection.execute(update(bulk).where(bulk.c.id == one.id).values(values))
    over = _read(connection, one.id)
    _audit(connection, over, person, action, before=one)
    return over


_AFTER_ALL: Mapping[Result, ColumnElement[bool]] = {
    Result.DISCARDED: and_(record.c.state == RecordState.IN_STEP.value, _DROPPED_SINCE),
    Result.SENT: and_(record.c.state == RecordState.IN_STEP.value, not_(_DROPPED_SINCE)),
    Result.ASIDE: record.c.state.in_([RecordState.DEAD.value, RecordState.HELD.value]),
}


# what people read


def get(connection: Connection, bulk_id: int) -> Bulk | None:
    """Read one."""
    row = connection.execute(_of(bulk_id)).one_or_none()
    return None if row is None else _bulk(row)


def active(connection: Connection, destination: str) -> Bulk | None:
    """Read the active one of a destination."""
    query = select(bulk).where(bulk.c.destination == destination, bulk.c.state.in_(_ACTIVE))
    row = connection.execute(query).one_or_none()
    return None if row is None else _bulk(row)


def listed(
    connection: Connection, destination: str, *, before: int | None = None, limit: int = 100
) -> list[Bulk]:
    """List the bulks of a destination, the newest first, from before *before*."""
    query = select(bulk).where(bulk.c.destination == destination)
    if before is not None:
        query = query.where(bulk.c.id < before)
    rows = connection.execute(query.order_by(bulk.c.id.desc()).limit(limit))
    return [_bulk(row) for row in rows]


def waits_until(one: Bulk, offpeak: Booking, now: datetime) -> datetime | None:
    """Say until when a bulk waits for its hours; None when it waits for none."""
    if one.state is not BulkState.RUNNING or not one.offpeak:
        return None
    opening = opens(offpeak, now)
    return opening if opening > now else None


def progress(connection: Connection, one: Bulk) -> Progress:
    """Count how far it is; of one that is over, what was counted at its end."""
    if one.tally is None:
        return _counted(connection, one)
    results = {result: one.tally[result.value] for result in Result if one.tally.get(result.value)}
    return Progress(total=one.total, spared=one.tally.get("left", 0), results=results)


def _counted(connection: Connection, one: Bulk) -> Progress:
    query = (
        select(bulk_item.c.state, bulk_item.c.result, func.count())
        .where(bulk_item.c.bulk_id == one.id)
        .group_by(bulk_item.c.state, bulk_item.c.result)
    )
    rows = connection.execute(query).all()
    numbers = {ItemState(state): number for state, result, number in rows if result is None}
    return Progress(
        total=one.total,
        left=numbers.get(ItemState.LEFT, 0),
        moving=numbers.get(ItemState.MOVING, 0),
        spared=numbers.get(ItemState.SPARED, 0),
        results={Result(result): number for _, result, number in rows if result is not None},
    )


def items(
    connection: Connection,
    bulk_id: int,
    *,
    result: Result | None = None,
    states: Collection[ItemState] = (),
    after: int = 0,
    limit: int = 100,
) -> list[Item]:
    """List the records of a bulk by id, from after *after*: those in some of these states, or all."""
    told = (bulk_item.c.state, bulk_item.c.result, bulk_item.c.detail, bulk_item.c.at)
    query = (
        select(*record.c, *(one.label(f"item_{one.name}") for one in told))
        .join(bulk_item, bulk_item.c.record_id == record.c.id)
        .where(bulk_item.c.bulk_id == bulk_id, bulk_item.c.record_id > after)
    )
    if result is not None:
        query = query.where(bulk_item.c.result == result.value)
    if states:
        query = query.where(bulk_item.c.state.in_([one.value for one in states]))
    rows = connection.execute(query.order_by(bulk_item.c.record_id).limit(limit)).all()
    return [_item(row) for row in rows]


def _item(row: Sequence[Any]) -> Item:
    *of_record, state, result, detail, at = row
    return Item(
        record=from_row(of_record),
        state=ItemState(state),
        result=None if result is None else Result(result),
        detail=detail,
        at=at,
    )


def prune(connection: Connection, *, after: int, before: datetime, limit: int) -> Swept:
    """Delete the next bulk by id, with its records' rows, if it ended *before*; *limit* rows a step."""
    query = select(bulk.c.id, bulk.c.ended_at).where(bulk.c.id > after).order_by(bulk.c.id)
    found = connection.execute(query.limit(1)).one_or_none()
    if found is None:
        return Swept(upto=None)
    if found.ended_at is None or found.ended_at >= before:
        return Swept(upto=found.id)
    some = select(bulk_item.c.record_id).where(bulk_item.c.bulk_id == found.id).limit(limit)
    of_it = and_(bulk_item.c.bulk_id == found.id, bulk_item.c.record_id.in_(some))
    gone = connection.execute(delete(bulk_item).where(of_it)).rowcount
    if gone == limit:
        return Swept(upto=after, pruned=gone)  # the same one once more
    connection.execute(delete(bulk).where(bulk.c.id == found.id))
    return Swept(upto=found.id, pruned=gone + 1)


def _of(bulk_id: int) -> Select[Any]:
    return select(bulk).where(bulk.c.id == bulk_id)


def _read(connection: Connection, bulk_id: int) -> Bulk:
    return _bulk(connection.execute(_of(bulk_id)).one())


def _bulk(row: Any) -> Bulk:
    return Bulk(
        id=row.id,
        state=BulkState(row.state),
        deed=Deed(row.deed),
        destination=row.destination,
        total=row.total,
        lane=Lane(row.lane),
        offpeak=bool(row.offpeak),
        actor=row.actor,
        reason=row.reason,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        selection=row.selection,
        tally=row.tally,
    )
