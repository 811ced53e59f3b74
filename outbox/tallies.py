"""All SQL on `tally`: how many entries closed and calls ended, by minute, hour and day.

One idea: who closes entries leaves a note in the same statement, to nobody's delay; a relay gathers
the notes every few seconds. Calls need no note: they are found by when they were made, and the last
minutes are counted anew until nothing about them can change. So no page counts a large table, and
no number is a guess.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, cast

from sqlalchemy import (
    CTE,
    Connection,
    Insert,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from runtime.bulk import insert_many
from runtime.clock import Clock
from runtime.database import Database
from runtime.minutes import Moment
from schema.states import Span, Tallied
from schema.tables import Instant, tally, tally_end, tally_note

EVERY_S = 5.0
"""Seconds between two gatherings: how old a number on the overview is at most. Each is a handful of
short statements; rarer, and a page that is watched seems to stand still."""

UNSURE = timedelta(minutes=15)
"""How long after its mark a call may still get its outcome: a lease, a quarantine and some more.
These minutes are counted anew each time, some thousand rows of an index at the most."""

SELDOM = timedelta(minutes=5)
"""How often it is written down up to when calls were counted, where none was made."""

STRETCH = timedelta(days=1)
"""How much of the past is counted in one step, where a relay finds what was never counted."""

KEEP: Mapping[Span, timedelta | None] = {
    Span.MINUTE: timedelta(days=2),
    Span.HOUR: timedelta(days=30),
    Span.DAY: None,
}
"""How long each length of bar is kept. Days stay: they are a few rows each, and add up to the whole."""

ByMinute: TypeAlias = Callable[[Connection, str, datetime, datetime], Mapping[Moment, int]]
"""Counts what was made from one moment to another: `count(connection, destination, since, until)`."""

_NOTE = ("destination", "at", "outcome", "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One bar: how many of a kind began in the stretch of time from *start*."""

    start: datetime
    subject: Tallied
    outcome: str
    number: int


# noting


def noted(closed: CTE) -> Insert:
    """Note what a statement closes; *closed* gives destination, time and reason of each entry.

    Part of that statement: both are done, or neither. PostgreSQL only.
    """
    row = select(
        closed.c.destination, closed.c.closed_at, closed.c.closed_as, func.count()
    ).group_by(closed.c.destination, closed.c.closed_at, closed.c.closed_as)
    return insert(tally_note).from_select(_NOTE, row)


def note(connection: Connection, closed: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Note how many entries closed, by destination and reason, in the transaction that closes them."""
    rows = [
        {"destination": destination, "at": now, "outcome": outcome, "number": number}
        for (destination, outcome), number in closed.items()
    ]
    if rows:
        connection.execute(insert(tally_note), rows)


# gathering


class Tallying:
    """Gathers what was noted and counts the latest calls, of every destination. Any number may."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        destinations: Sequence[str],
        counting: Mapping[Tallied, ByMinute],
    ) -> None:
        """*counting* counts, by the minute, what leaves no note."""
        self._database = database
        self._clock = clock
        self._destinations = destinations
        self._counting = counting
        self._next_at = float("-inf")

    def step(self) -> bool:
        """Gather if it is time to; says whether it was."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + EVERY_S
        self.gather()
        return True

    def gather(self) -> None:
        """Bring every tally up to this moment, a short transaction for each destination.

        Where nothing happened nothing is written: an idle site is to be silent.
        """
        now = self._clock.now()
        with self._database.reading() as connection:
            noted = connection.execute(select(tally_note.c.at).limit(1)).first() is not None
            behind = [one for one in self._destinations if self._is_behind(connection, one, now)]
        if noted:
            with self._database.transaction() as connection:
                _take_notes(connection, now)
        for destination in behind:
            with self._database.transaction() as connection:
                self._count(connection, destination, now)
                _forget(connection, destination, now)

    def _is_behind(self, connection: Connection, destination: str, now: datetime) -> bool:
        query = select(tally_end.c.counted_to).where(tally_end.c.destination == destination)
        counted_to = connection.execute(query).scalar_one_or_none()
        if counted_to is None or now - counted_to > UNSURE + SELDOM:
            return True
        since, until = _stretch(counted_to, now)
        return any(self._more(connection, destination, since, until).values())

    def _count(self, connection: Connection, destination: str, now: datetime) -> None:
        since, until = _stretch(_held(connection, destination, now), now)
        _add(connection, self._more(connection, destination, since, until), now)
        sure = _whole_minute(min(until, now - UNSURE))
        mine = tally_end.c.destination == destination
        connection.execute(update(tally_end).where(mine).values(counted_to=sure))

    def _more(
        self, connection: Connection, destination: str, since: datetime, until: datetime
    ) -> "dict[_Key, int]":
        """Say by how much the tallies of these minutes fall short of what is there."""
        before = {
            (one.start, one.subject, one.outcome): one.number
            for one in of_span(connection, destination, Span.MINUTE, since=since)
        }
        return {
            (destination, start, subject, outcome): number
            - before.get((start, subject, outcome), 0)
            for subject, count in self._counting.items()
            for (start, outcome), number in count(connection, destination, since, until).items()
        }


def _held(connection: Connection, destination: str, now: datetime) -> datetime:
    """Say up to when calls were counted, and let nobody else count until the end."""
    first = {"destination": destination, "counted_to": now - STRETCH / 2}
    insert_many(connection, tally_end, [first])
    query = select(tally_end.c.counted_to).where(tally_end.c.destination == destination)
    return connection.execute(query.with_for_update()).scalar_one()


def _stretch(counted_to: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Say what to count next: from the minute after the last one that is sure, to now, included, or a day on."""
    since = _whole_minute(min(counted_to, now - UNSURE))
    return since, min(now + timedelta(microseconds=1), since + STRETCH)


def _whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _take_notes(connection: Connection, now: datetime) -> None:
    more: dict[_Key, int] = {}
    for destination, at, outcome, number in _taken(connection):
        key = (destination, _whole_minute(at), Tallied.ENTRY, outcome)
        more[key] = more.get(key, 0) + number
    _add(connection, more, now)


def _taken(connection: Connection) -> Sequence[tuple[str, datetime, str, int]]:
    if connection.dialect.name == "sqlite":  # one writer at a time: nobody notes in between
        rows: object = connection.execute(select(tally_note)).all()
        connection.execute(delete(tally_note))
    else:
        rows = connection.execute(delete(tally_note).returning(*tally_note.c)).all()
    return cast("list[tuple[str, datetime, str, int]]", rows)


_Key: TypeAlias = tuple[str, datetime, Tallied, str]


def _add(connection: Connection, more: Mapping[_Key, int], now: datetime) -> None:
    """Add to the minute, the hour and the day of each; in the order of keys, as everybody does."""
    sums: dict[tuple[str, str, datetime, str, str], int] = {}
    for (destination, minute, subject, outcome), number in more.items():
        for span in Span:
            keep = KEEP[span]
            if number and (keep is None or minute > now - keep):
                key = (destination, span.value, _start(minute, span), subject.value, outcome)
                sums[key] = sums.get(key, 0) + number
    rows = [
        dict(zip(_KEY, key, strict=True), number=number) for key, number in sorted(sums.items())
    ]
    if rows:
        connection.execute(_UPSERT, rows)


_KEY = ("destination", "span", "start", "subject", "outcome")
_UPSERT = text(
    "INSERT INTO tally (destination, span, start, subject, outcome, number) "
    "VALUES (:destination, :span, :start, :subject, :outcome, :number) "
    "ON CONFLICT (destination, span, start, subject, outcome) "
    "DO UPDATE SET number = tally.number + excluded.number"
).bindparams(bindparam("start", type_=Instant))


def _start(minute: datetime, span: Span) -> datetime:
    match span:
        case Span.MINUTE:
            return minute
        case Span.HOUR:
            return minute.replace(minute=0)
        case Span.DAY:
            return minute.replace(hour=0, minute=0)


def _forget(connection: Connection, destination: str, now: datetime) -> None:
    for span, keep in KEEP.items():
        if keep is not None:
            connection.execute(
                delete(tally).where(
                    tally.c.destination == destination,
                    tally.c.span == span.value,
                    tally.c.start < now - keep,
                )
            )


# reading


def of_span(
    connection: Connection, destination: str, span: Span, *, since: datetime
) -> list[Tally]:
    """Read the bars of a length from a moment on, in order of time."""
    rows = connection.execute(
        select(tally.c.start, tally.c.subject, tally.c.outcome, tally.c.number)
        .where(
            tally.c.destination == destination,
            tally.c.span == span.value,
            tally.c.start >= since,
        )
        .order_by(tally.c.start, tally.c.subject, tally.c.outcome)
    )
    return [
        Tally(start=start, subject=Tallied(subject), outcome=outcome, number=number)
        for start, subject, outcome, number in rows
    ]


def made_by_minute(
    connection: Connection, destination: str, *, since: datetime
) -> list[tuple[datetime, int]]:
    """Read how many requests were made in each minute from a moment on, in order of time."""
    rows = connection.execute(
        select(tally.c.start, func.sum(tally.c.number))
        .where(
            tally.c.destination == destination,
            tally.c.span == Span.MINUTE.value,
            tally.c.start >= since,
            tally.c.subject != Tallied.ENTRY.value,
        )
        .group_by(tally.c.start)
        .order_by(tally.c.start)
    )
    return [(start, int(number)) for start, number in rows]


def in_all(connection: Connection, destination: str) -> Mapping[Tallied, Mapping[str, int]]:
    """Add up everything ever counted, and what is noted and not gathered yet."""
    days = (
        select(tally.c.subject, tally.c.outcome, func.sum(tally.c.number))
        .where(tally.c.destination == destination, tally.c.span == Span.DAY.value)
        .group_by(tally.c.subject, tally.c.outcome)
    )
    found: dict[Tallied, dict[str, int]] = {one: {} for one in Tallied}
    for subject, outcome, number in connection.execute(days):
        found[Tallied(subject)][outcome] = int(number)
    ended = found[Tallied.ENTRY]
    notes = (
        select(tally_note.c.outcome, func.sum(tally_note.c.number))
        .where(tally_note.c.destination == destination)
        .group_by(tally_note.c.outcome)
    )
    for outcome, number in connection.execute(notes):
        ended[outcome] = ended.get(outcome, 0) + int(number)
    return found
