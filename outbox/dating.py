"""All SQL on cut-offs: gives open claims their dates, and lets those that are near lead their lane.

One idea: a date is not part of what is wanted, and no fold, decision or call waits for it. A relay looks
every few seconds at the claims that are open, by an index in which nothing else is, so an ordinary
record costs nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Select, literal_column, select

from outbox.leading import NO_DATE, SOON, front
from records import store
from records.codec import from_row
from runtime.bulk import update_many
from runtime.clock import Clock
from runtime.database import Database
from schema.contract import Contract
from schema.fingerprint import Json, fingerprint
from schema.keys import RecordKey
from schema.record import Record
from schema.states import Reason, RecordState
from schema.tables import record

EVERY_S = 5.0
"""Seconds between two looks: how long a near claim may stand behind others at most."""

BATCH = 500
"""Claims looked at in one transaction."""

Dates = Callable[[Connection], Sequence[Mapping[str, Json]]]
"""Reads what says until when claims count."""

Dated: TypeAlias = tuple[Record, datetime | None]
"""A record, and the date it has."""

_OPEN_PARTS = (record.c.part != literal_column("''"), record.c.state != literal_column("'in_step'"))
"""In the words of the index, so that both databases see that it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim that is not accepted yet, and until when it must be."""

    key: RecordKey
    state: RecordState
    reason: Reason | None
    waits_for: str | None
    cut_off: datetime


class Dating:
    """Dates the open claims of one destination. Any number of relays may."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        contract: Contract,
        destination: str,
        dates: Dates,
    ) -> None:
        self._database = database
        self._clock = clock
        self._contract = contract
        self._destination = destination
        self._dates = dates
        self._next_at = float("-inf")
        self._seen: str | None = None
        self._walk: int | None = None

    def step(self) -> int:
        """Look, if it is time to; says how many claims got another date or place."""
        now = self._clock.monotonic()
        if self._contract.dates_from is None or now < self._next_at:
            return 0
        self._next_at = now + EVERY_S
        return self.look()

    def look(self) -> int:
        """Date what is new, what is over and, when dates have changed, everything; then let lead."""
        now = self._clock.now()
        with self._database.reading() as connection:
            dates = self._dates(connection)
            self._notice(dates)
            queries = self._queries(now)
            if not _found(connection, queries) and not _behind(connection, self._destination, now):
                return 0
        with self._database.transaction() as connection:
            # Who has one of them keeps it: a date is never worth waiting for.
            locking = [one.with_for_update(skip_locked=True, of=record) for one in queries]
            found = _found(connection, locking)
            moved = self._date(connection, found, dates, now)
            led = _lead(connection, self._destination, now)
        if self._walk is not None:
            self._walk = max((one.id for one, _ in found if one.id > self._walk), default=None)
        return moved + led

    def _notice(self, dates: Sequence[Mapping[str, Json]]) -> None:
        """Begin to date everything anew where the dates are not those that were seen last."""
        print_ = fingerprint(sorted(fingerprint(dict(one)) for one in dates))
        if print_ != self._seen:
            self._seen, self._walk = print_, 0

    def _queries(self, now: datetime) -> list[Select[Any]]:
        parts = _parts(self._destination)
        queries = [parts.where(record.c.cut_off.is_(None)), parts.where(record.c.cut_off <= now)]
        if self._walk is not None:
            queries.append(parts.where(record.c.id > self._walk).order_by(record.c.id))
        return [one.limit(BATCH) for one in queries]

    def _date(
        self,
        connection: Connection,
        found: Sequence[Dated],
        dates: Sequence[Mapping[str, Json]],
        now: datetime,
    ) -> int:
        kin = store.kin_of(connection, [one for one, _ in found])
        rows: list[dict[str, object]] = []
        for one, before in found:
            others = [other for other in kin[one.family] if other.id != one.id]
            dated = self._contract.cut_off(one, others, dates, now) or NO_DATE
            if dated != before:
                rows.append({"id": one.id, "cut_off": dated})
        return update_many(connection, record, rows)


def _found(connection: Connection, queries: Sequence[Select[Any]]) -> list[Dated]:
    found: dict[int, Dated] = {}
    for query in queries:
        for row in connection.execute(query).all():
            one = from_row(row[:-1])
            found[one.id] = (one, row[-1])
    return sorted(found.values(), key=lambda dated: dated[0].id)


def _parts(destination: str) -> Select[Any]:
    known = record.c.cut_off.label("dated")
    return select(*record.c, known).where(record.c.destination == destination, *_OPEN_PARTS)


def _not_in_front(destination: str, now: datetime) -> Select[Any, Any]:
    """Near claims that are due by now and stand in line with all others."""
    return select(record.c.id, record.c.cut_off).where(
        record.c.destination == destination,
        *_OPEN_PARTS,
        record.c.cut_off > now,
        record.c.cut_off <= now + SOON,
        record.c.state == RecordState.WAITING.value,
        record.c.due_at <= now,
        record.c.due_at > front(now + SOON),
    )


def _behind(connection: Connection, destination: str, now: datetime) -> bool:
    return connection.execute(_not_in_front(destination, now).limit(1)).first() is not None


def _lead(connection: Connection, destination: str, now: datetime) -> int:
    query = _not_in_front(destination, now).limit(BATCH).with_for_update(skip_locked=True)
    near = cast("list[tuple[int, datetime]]", connection.execute(query).all())
    rows = [{"id": id_, "due_at": front(cut_off)} for id_, cut_off in near]
    return update_many(connection, record, rows)


def claims(connection: Connection, destination: str, *, limit: int) -> list[Claim]:
    """List the claims that are not accepted and have a date, the nearest first."""
    rows = connection.execute(
        select(record)
        .add_columns(record.c.cut_off.label("dated"))
        .where(record.c.destination == destination, *_OPEN_PARTS, record.c.cut_off < NO_DATE)
        .order_by(record.c.cut_off, record.c.id)
        .limit(limit)
    ).all()
    found = [(from_row(row[:-1]), row[-1]) for row in rows]
    return [
        Claim(
            key=one.key,
            state=one.state,
            reason=one.reason,
            waits_for=one.waits_for,
            cut_off=dated,
        )
        for one, dated in found
    ]
