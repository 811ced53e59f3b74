"""When a run is due. Pure.

One idea: at times that nobody else picks. Polls begin at a random moment of their interval, never
around the hour, and apart from each other; full syncs only within hours that were agreed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from schema.days import LONDON

SOONEST = 0.5
"""The shortest wait between two polls, as a part of the interval; the longest is all of it. So a
collection is read at least once in each interval, and its minute wanders."""

BUSY = (timedelta(seconds=-30), timedelta(minutes=2))
"""From when to when around the hour nobody of ours begins: that is when everybody else does."""

TRIES = 50
"""How many times a moment is drawn anew when it is near another one or the hour. With more
collections than fit apart into an interval the last one drawn is taken."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """Hours of London on some days of each week; they may go past midnight. Monday is 0."""

    days: frozenset[int]
    start: time
    end: time

    def on(self, day: date) -> tuple[datetime, datetime]:
        """Give the hours that begin on a day, in UTC; a night of clock change is as long as it is."""
        last = day + timedelta(days=1) if self.end <= self.start else day
        return (
            datetime.combine(day, self.start, tzinfo=LONDON).astimezone(UTC),
            datetime.combine(last, self.end, tzinfo=LONDON).astimezone(UTC),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """A full sync may run now, until then."""

    end: datetime
    missed: bool = False
    """The booked hours for it passed without a complete one: this makes up for it."""


def bookings(text: str) -> tuple[Booking, ...]:
    """Read `tue 22:00-06:00, sat 22:00-06:00`; raises ValueError with a sentence."""
    return tuple(_booking(part.strip()) for part in text.split(",") if part.strip())


def nightly(hours: str) -> Booking:
    """Read hours of every day, such as `22:00-06:00`."""
    start, end = _hours(hours)
    return Booking(days=frozenset(range(7)), start=start, end=end)


def _booking(text: str) -> Booking:
    day, _, hours = text.partition(" ")
    if day.lower() not in DAYS:
        raise ValueError(f"{text!r} does not begin with a day; write tue 22:00-06:00")
    start, end = _hours(hours.strip())
    return Booking(days=frozenset({DAYS.index(day.lower())}), start=start, end=end)


def _hours(text: str) -> tuple[time, time]:
    match = HOURS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} are no hours; write 22:00-06:00")
    first, second, third, fourth = (int(part) for part in match.groups())
    return time(first, second), time(third, fourth)


def occurrence(booked: Sequence[Booking], moment: datetime) -> tuple[datetime, datetime] | None:
    """Give the booked hours that began last, whether they are over or not."""
    today = moment.astimezone(LONDON).date()
    begun = [
        hours
        for back in range(9)
        for one in booked
        if (day := today - timedelta(days=back)).weekday() in one.days
        and (hours := one.on(day))[0] <= moment
    ]
    return max(begun, default=None)


def full_due(
    source: str,
    *,
    now: datetime,
    booked: Sequence[Booking],
    offpeak: Booking,
    completed: datetime | None,
) -> Until | None:
    """Say whether a full sync may run now; *completed* is when the last complete one began.

    One is due per booked occurrence. Within it each collection begins at a moment of its own, in
    the first half. What was missed, or not finished, goes on in any off-peak hours after it.
    """
    last = occurrence(booked, now)
    if last is None:
        return None
    start, end = last
    if completed is not None and completed >= start:
        return None
    if now < end:
        begins = start + (end - start) * Random(f"{source} {start.isoformat()}").uniform(0, 0.5)
        return Until(end=end) if now >= begins else None
    quiet = occurrence((offpeak,), now)
    return Until(end=quiet[1], missed=True) if quiet is not None and now < quiet[1] else None


def next_poll(
    now: datetime,
    *,
    interval: timedelta,
    spacing: timedelta,
    others: Sequence[datetime],
    dice: Random,
) -> datetime:
    """Draw when a collection is polled next: apart from *others*, and not around the hour."""
    drawn = now + interval
    for _ in range(TRIES):
        drawn = now + interval * dice.uniform(SOONEST, 1.0)
        if not _around_the_hour(drawn) and all(abs(drawn - one) >= spacing for one in others):
            break
    return drawn


def _around_the_hour(moment: datetime) -> bool:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    before, after = BUSY
    return moment < hour + after or moment >= hour + timedelta(hours=1) + before
