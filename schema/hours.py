"""Hours that were agreed: when a full sync may run, and when many records may be sent. Pure.

One idea: hours are London's, and a night of clock change is as long as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from schema.days import LONDON

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """Hours of London on some days of each week; they may go past midnight. Monday is 0."""

    days: frozenset[int]
    start: time
    end: time
    since: datetime | None = None
    """When they were agreed: hours that were over by then are none."""

    def counts(self, hours: tuple[datetime, datetime]) -> bool:
        """Whether hours were still to come, or going on, when they were agreed."""
        return self.since is None or hours[1] > self.since

    def on(self, day: date) -> tuple[datetime, datetime]:
        """Give the hours that begin on a day, in UTC; a night of clock change is as long as it is."""
        last = day + timedelta(days=1) if self.end <= self.start else day
        return (
            datetime.combine(day, self.start, tzinfo=LONDON).astimezone(UTC),
            datetime.combine(last, self.end, tzinfo=LONDON).astimezone(UTC),
        )


def bookings(text: str) -> tuple[Booking, ...]:
    """Read `tue 22:00-06:00, sat 22:00-06:00`; raises ValueError with a sentence."""
    return tuple(_booking(part.strip()) for part in text.split(",") if part.strip())


def written(booking: Booking) -> str:
    """Write hours as `bookings` reads them."""
    days = " ".join(DAYS[day] for day in sorted(booking.days))
    return f"{days} {booking.start:%H:%M}-{booking.end:%H:%M}"


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
        and one.counts(hours)
    ]
    return max(begun, default=None)


def upcoming(booked: Sequence[Booking], moment: datetime) -> tuple[datetime, datetime] | None:
    """Give the booked hours that are going on, or else begin next."""
    today = moment.astimezone(LONDON).date()
    coming = [
        hours
        for ahead in range(-1, 9)
        for one in booked
        if (day := today + timedelta(days=ahead)).weekday() in one.days
        and (hours := one.on(day))[1] > moment
        and one.counts(hours)
    ]
    return min(coming, default=None)


def opens(hours: Booking, now: datetime) -> datetime:
    """Give when these hours are next open: now, if they are."""
    coming = upcoming((hours,), now)
    return now if coming is None else max(now, coming[0])
