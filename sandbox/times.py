"""Instants and days: how they are read, how they are shown, and whose midnight counts.

Instants are aware datetimes in UTC, kept to the microsecond and shown truncated to whole
seconds. Days are London's.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.A | re.I)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.A)

EARLIEST_YEAR, LATEST_YEAR = 2, 9998
"""Years we keep. One more on either side and a change of zone would leave the calendar."""

CACHED_TEXTS = 65_536
"""How many texts of each kind are remembered; large worlds repeat the same few thousands."""


@lru_cache(maxsize=CACHED_TEXTS)
def parse_instant(text: str) -> datetime | None:
    """Read an RFC 3339 instant with a zone and up to six decimals; None if it is not one."""
    if not _INSTANT.fullmatch(text):
        return None
    return in_utc(text.upper())


def in_utc(text: str) -> datetime | None:
    """Read an ISO instant and move it to UTC; without a zone it is London's time."""
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=LONDON)
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if EARLIEST_YEAR <= at.year <= LATEST_YEAR else None


@lru_cache(maxsize=CACHED_TEXTS)
def parse_day(text: str) -> date | None:
    """Read a `YYYY-MM-DD` day; None if it is not one."""
    if not _DAY.fullmatch(text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if EARLIEST_YEAR <= day.year <= LATEST_YEAR else None


def shown(at: datetime) -> str:
    """The API's form of an instant: UTC, whole seconds, truncated."""
    return at.isoformat(timespec="seconds")[:19] + "Z"


def exact(at: datetime) -> str:
    """An instant with its microseconds, if it has any."""
    return at.isoformat()[:-6] + "Z"


@lru_cache(maxsize=CACHED_TEXTS)
def london_day(at: datetime) -> date:
    """The day it is in London at that instant."""
    return at.astimezone(LONDON).date()


def nine_o_clock(day: date) -> datetime:
    """09:00 UTC on a day, the time of day of everything that only has a day."""
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


def day_before(day: date) -> date:
    return day - timedelta(days=1)
