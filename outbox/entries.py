"""All SQL on `outbox_entry`: append, claim new, close, prune.

One idea: an entry is written once, by its producer; afterwards only its state, its record and the
reason it closed with are ever set.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from outbox import tallies
from runtime.bulk import among, among_named, as_list, update_many
from runtime.prepared import Prepared
from schema.events import Event, InvalidEvent, decode
from schema.keys import EntryId, RecordId
from schema.states import Closed, EntryState
from schema.tables import outbox_entry

_STATES = {state.value: state for state in EntryState}

# Made once: these run in every round. The state is written out, so that a kept plan may use the
# partial index on it.

_IS_NEW = outbox_entry.c.state == literal_column(f"'{EntryState.NEW.value}'")
_NEW = (_IS_NEW, outbox_entry.c.destination == bindparam("in_destination"))
_AFTER = outbox_entry.c.id > bindparam("after_id")
_next_new = (
    select(outbox_entry)
    .where(*_NEW)
    .order_by(outbox_entry.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_CLAIM_NEW = Prepared(_next_new)
_CLAIM_NEW_AFTER = Prepared(_next_new.where(_AFTER))
_first_new = select(outbox_entry.c.id).where(*_NEW).order_by(outbox_entry.c.id).limit(1)
_ANY_NEW = Prepared(_first_new)
_ANY_NEW_AFTER = Prepared(_first_new.where(_AFTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the outbox. `payload` holds the event's own fields."""

    id: EntryId
    state: EntryState
    event: str
    source_id: str
    payload: Mapping[str, Any]
    destination: str
    source: str
    event_id: str | None
    version: int | None
    happened_at: datetime | None
    seen: int | None
    actor: str | None
    emitted_at: datetime
    record_id: RecordId | None
    closed_as: Closed | None
    closed_at: datetime | None

    def read(self) -> Event:
        """Give the event it carries; raises `InvalidEvent`, for rows written by plain SQL."""
        if any(name in Event.ENVELOPE for name in self.payload):
            raise InvalidEvent("payload", "names a field that has a column of its own")
        return decode(
            {
                **self.payload,
                "event": self.event,
                "source_id": self.source_id,
                "source": self.source,
                "destination": self.destination,
                "version": self.version,
                "happened_at": self.happened_at,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one step of a sweep did. `upto` is where the next one begins; None at the end."""

    upto: int | None
    pruned: int = 0
    wiped: int = 0


def claim_new(
    connection: Connection, destination: str, *, limit: int, after: EntryId | None = None
) -> list[Entry]:
    """Lock the next new entries of a destination, oldest first; those another has are skipped.

    They are found by their state. *after* is only a hint that keeps rounds fast while an old
    transaction keeps dead rows in the index; entries that commit late are found without it.
    """
    values: dict[str, Any] = {"in_destination": destination, "at_most": limit}
    if after is not None:
        values["after_id"] = after
    claim = _CLAIM_NEW if after is None else _CLAIM_NEW_AFTER
    return [_entry(row) for row in claim.rows(connection, values)]


def any_new(connection: Connection, destination: str, *, after: EntryId | None = None) -> bool:
    """Say whether there are new entries of a destination, without locking anything."""
    values: dict[str, Any] = {"in_destination": destination}
    if after is not None:
        values["after_id"] = after
    return bool((_ANY_NEW if after is None else _ANY_NEW_AFTER).rows(connection, values))


def fold(
    connection: Connection,
    destination: str,
    folded: Mapping[EntryId, RecordId],
    closed: Mapping[EntryId, Closed],
    *,
    now: datetime,
) -> None:
    """Mark entries as folded into their records, and close those that ended by it.

    An entry that ends with its own fold is written once; the others were folded before.
    """
    ends = closed.keys() & folded.keys()
    update_many(
        connection,
        outbox_entry,
        [
            {"id": entry, "state": EntryState.FOLDED.value, "record_id": record}
            for entry, record in folded.items()
            if entry not in ends
        ],
    )
    update_many(
        connection,
        outbox_entry,
        [
            {
                "id": entry,
                "state": EntryState.CLOSED.value,
                "record_id": folded[entry],
                "closed_as": closed[entry].value,
                "closed_at": now,
            }
            for entry in ends
        ],
    )
    ended = Counter((destination, closed[entry].value) for entry in ends)
    tallies.note(connection, ended, now)
    earlier = {entry: reason for entry, reason in closed.items() if entry not in ends}
    close(connection, earlier, now=now)


def close(connection: Connection, closed: Mapping[EntryId, Closed], *, now: datetime) -> None:
    """Close entries, each with its reason. One that is closed already keeps its first reason."""
    dialect = connection.dialect.name
    by_reason: dict[Closed, list[EntryId]] = {}
    for entry, reason in closed.items():
        by_reason.setdefault(reason, []).append(entry)
    for reason, ids in by_reason.items():
        values = {
            "closing_ids": as_list(dialect, ids),
            "closing_as": reason.value,
            "closing_at": now,
        }
        if dialect == "sqlite":
            found = connection.execute(_closing(dialect), values).scalars()
            ended = Counter((destination, reason.value) for destination in found)
            tallies.note(connection, ended, now)
        else:
            connection.execute(_closing_noted(dialect), values)


_CLOSING = (
    update(outbox_entry)
    .where(outbox_entry.c.state == EntryState.FOLDED.value)
    .values(
        state=EntryState.CLOSED.value,
        closed_as=bindparam("closing_as"),
        closed_at=bindparam("closing_at"),
        # Its end is still to be told, whatever was told of it before: see `outbox.fates`.
        told=None,
    )
)
_TOLD = (outbox_entry.c.destination, outbox_entry.c.closed_at, outbox_entry.c.closed_as)
CLOSE_ONE = _CLOSING.where(outbox_entry.c.id == bindparam("closing_id")).returning(*_TOLD)
"""Closes one entry; gives what its note needs."""


def prune(connection: Connection, *, after: int, before: datetime, limit: int) -> Swept:
    """Delete, of the next *limit* entries by id, those that closed *before*.

    Walks the primary key, which every entry has, and needs no index of its own: it would cost each
    close. Ends at entries that were emitted later, for ids follow time but for a few.
    """
    rows = connection.execute(
        select(
            outbox_entry.c.id,
            outbox_entry.c.state,
            outbox_entry.c.emitted_at,
            outbox_entry.c.closed_at,
        )
        .where(outbox_entry.c.id > after)
        .order_by(outbox_entry.c.id)
        .limit(limit)
    ).all()
    old = [
        row.id for row in rows if row.state == EntryState.CLOSED.value and row.closed_at < before
    ]
    if old:
        gone = delete(outbox_entry).where(among(connection, outbox_entry.c.id, old))
        connection.execute(gone)
    more = len(rows) == limit and (old or any(row.emitted_at < before for row in rows))
    return Swept(upto=rows[-1].id if more else None, pruned=len(old))


@lru_cache
def _closing(dialect: str) -> ReturningUpdate[Any, Any, Any]:
    chosen = _CLOSING.where(among_named(dialect, outbox_entry.c.id, "closing_ids"))
    return chosen.returning(*_TOLD)


@lru_cache
def _closing_noted(dialect: str) -> Insert:
    return tallies.noted(_closing(dialect).cte("closed"))


def closing_one(entry: EntryId, reason: Closed, *, now: datetime) -> dict[str, Any]:
    """Give the parameters of `CLOSE_ONE`."""
    return {"closing_id": entry, "closing_as": reason.value, "closing_at": now}


def by_ids(connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """Read entries by id."""
    query = select(outbox_entry).where(among(connection, outbox_entry.c.id, list(ids)))
    return [_entry(row) for row in connection.execute(query).all()]


def of_record(connection: Connection, record_id: int) -> list[Entry]:
    """Read all entries of a record, oldest first."""
    query = select(outbox_entry).where(outbox_entry.c.record_id == record_id)
    rows = connection.execute(query.order_by(outbox_entry.c.id))
    return [_entry(row) for row in rows]


def coming(
    connection: Connection, destination: str, source_ids: Sequence[str]
) -> Mapping[str, EntryId]:
    """Find the latest entry of each of these local things that no relay has folded yet."""
    rows = connection.execute(
        select(outbox_entry.c.source_id, func.max(outbox_entry.c.id))
        .where(
            outbox_entry.c.state == EntryState.NEW.value,
            outbox_entry.c.destination == destination,
            among(connection, outbox_entry.c.source_id, list(source_ids)),
        )
        .group_by(outbox_entry.c.source_id)
    )
    return {source_id: EntryId(latest) for source_id, latest in rows}


def list_entries(
    connection: Connection,
    *,
    state: EntryState | None = None,
    closed_as: Closed | None = None,
    event: str | None = None,
    source_id: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Entry]:
    """List entries by id, from after *after*."""
    query = select(outbox_entry).where(outbox_entry.c.id > after)
    for column, value in (
        (outbox_entry.c.state, state),
        (outbox_entry.c.closed_as, closed_as),
        (outbox_entry.c.event, event),
        (outbox_entry.c.source_id, source_id),
    ):
        if value is not None:
            query = query.where(column == str(value))
    rows = connection.execute(query.order_by(outbox_entry.c.id).limit(limit))
    return [_entry(row) for row in rows]


def totals(connection: Connection, destination: str, *, after: int = 0) -> Mapping[str, int]:
    """Count entries: by reason those closed, and `new` and `folded` those open."""
    rows = connection.execute(
        select(outbox_entry.c.state, outbox_entry.c.closed_as, func.count())
        .where(outbox_entry.c.destination == destination, outbox_entry.c.id > after)
        .group_by(outbox_entry.c.state, outbox_entry.c.closed_as)
    )
    return {reason or state: number for state, reason, number in rows}


def oldest_new(connection: Connection, destination: str) -> datetime | None:
    """Give when the oldest entry was emitted that no relay has folded yet."""
    query = (
        select(outbox_entry.c.emitted_at)
        .where(
            outbox_entry.c.state == EntryState.NEW.value,
            outbox_entry.c.destination == destination,
        )
        .order_by(outbox_entry.c.id)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def number_new(connection: Connection, destination: str, *, most: int) -> int:
    """Count the entries that no relay has folded yet, no further than *most*."""
    some = select(outbox_entry.c.id).where(*_NEW).limit(most).subquery()
    query = select(func.count()).select_from(some)
    return connection.execute(query, {"in_destination": destination}).scalar_one()


def destinations_waiting(connection: Connection) -> Sequence[str]:
    """Give the destinations that new entries name, from one to the next along the index."""
    found: list[str] = []
    while True:
        query = select(func.min(outbox_entry.c.destination)).where(_IS_NEW)
        if found:
            query = query.where(outbox_entry.c.destination > found[-1])
        name = connection.execute(query).scalar_one()
        if name is None:
            return found
        found.append(name)


def _entry(row: Sequence[Any]) -> Entry:
    """Read an entry from its row: all columns, in the table's order."""
    (
        id_,
        state,
        event,
        source_id,
        payload,
        destination,
        source,
        event_id,
        version,
        happened_at,
        seen,
        actor,
        emitted_at,
        record_id,
        closed_as,
        closed_at,
        _told,
    ) = row
    return Entry(
        id=EntryId(id_),
        state=_STATES[state],
        event=event,
        source_id=source_id,
        payload=payload,
        destination=destination,
        source=source,
        event_id=event_id,
        version=version,
        happened_at=happened_at,
        seen=seen,
        actor=actor,
        emitted_at=emitted_at,
        record_id=record_id,
        closed_as=None if closed_as is None else Closed(closed_as),
        closed_at=closed_at,
    )
