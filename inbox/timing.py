"""When a run is due. Pure.

One idea: at times that nobody else picks. Polls begin at a random moment of their interval, never
around the hour, and apart from each other; full syncs at a moment of their own within hours that were
agreed, and not around the hour either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from schema.hours import Booking, occurrence

SOONEST = 0.5
"""The shortest wait between two polls, as a part of the interval; the longest is all of it. So a
collection is read at least once in each interval, and its minute wanders."""

BUSY = (timedelta(seconds=-30), timedelta(minutes=2))
"""From when to when around the hour nobody of ours begins: that is when everybody else does."""

HOUR = timedelta(hours=1)

TRIES = 50
"""How many times a moment is drawn anew when it is near another one or the hour. With more
collections than fit apart into an interval the last one drawn is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """A full sync may run now, until then."""

    end: datetime
    missed: bool = False
    """The booked hours for it passed without a complete one: this makes up for it."""


def full_due(
    source: str,
    *,
    now: datetime,
    booked: Sequence[Booking],
    offpeak: Booking,
    completed: datetime | None,
) -> Until | None:
    """Say whether a full sync may run now; *completed* is when the last complete one began.

    One is due per booked occurrence. What was missed, or not finished, goes on in any off-peak hours
    after it.
    """
    last = occurrence(booked, now)
    if last is None:
        return None
    start, end = last
    if completed is not None and completed >= start:
        return None
    if now < end:
        return Until(end=end) if now >= begins(source, last) else None
    quiet = occurrence((offpeak,), now)
    if quiet is None or not begins(source, quiet) <= now < quiet[1]:
        return None
    return Until(end=quiet[1], missed=True)


def begins(source: str, hours: tuple[datetime, datetime]) -> datetime:
    """Say when a full sync of a source begins within hours: at a moment of its own in their first
    half, the same whoever asks, and not around the hour."""
    start, end = hours
    dice = Random(f"{source} {start.isoformat()}")
    drawn = start
    for _ in range(TRIES):
        drawn = start + (end - start) * dice.uniform(0, 0.5)
        if not _around_the_hour(drawn):
            break
    return drawn


def first_poll(now: datetime, *, within: timedelta, dice: Random) -> datetime:
    """Draw when what was never read is read first: soon, but not around the hour."""
    drawn = now + within * dice.random()
    return drawn + (BUSY[1] - BUSY[0]) if _around_the_hour(drawn) else drawn


def next_poll(
    now: datetime,
    *,
    interval: timedelta,
    spacing: timedelta,
    others: Sequence[datetime],
    dice: Random,
) -> datetime:
    """Draw when a collection is polled next: apart from *others*, and not around the hour.

    No minute that is left is likelier than another, for what is drawn is how much of the time
    outside the hours' turns goes by. An interval shorter than an hour is longer by one across it.
    """
    shortest, longest = SOONEST * interval, interval * (1 - (BUSY[1] - BUSY[0]) / HOUR)
    drawn = now + interval
    for _ in range(TRIES):
        drawn = _later(now, shortest + (longest - shortest) * dice.random())
        if all(abs(drawn - one) >= spacing for one in others):
            break
    return drawn


def _later(moment: datetime, wait: timedelta) -> datetime:
    """Let so much time go by, not counting what is around an hour."""
    before, after = BUSY
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if moment < hour + after:
        moment = hour + before  # within the turn of this hour: as if it were yet to come
    else:
        hour += HOUR
    while moment + wait >= hour + before:
        wait -= max(timedelta(0), hour + before - moment)
        moment = hour + after
        hour += HOUR
    return moment + wait


def _around_the_hour(moment: datetime) -> bool:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    before, after = BUSY
    return moment < hour + after or moment >= hour + HOUR + before
