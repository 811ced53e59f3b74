"""The remote side's day is London's: the one place that knows."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")

AFTER_MIDNIGHT = timedelta(minutes=1)
"""How long after midnight a "try again tomorrow" is tried again: their clock may lag ours."""


def london_day(moment: datetime) -> date:
    """Give the day it is in London at this instant."""
    return moment.astimezone(LONDON).date()


def just_after_midnight(moment: datetime) -> datetime:
    """Give the instant, in UTC, just after the next midnight in London."""
    tomorrow = london_day(moment) + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time(0), tzinfo=LONDON)
    return midnight.astimezone(UTC) + AFTER_MIDNIGHT


def read_moment(text: str) -> datetime:
    """Read an instant as a person writes it: without a zone it is London's, without a time midnight.

    Raises ValueError with a sentence.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=LONDON)).astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or one before or after all years in UTC
        raise ValueError(
            f"{text[:40]!r} is no time; write 2026-01-31, 2026-01-31T14:30 or 2026-01-31T14:30:00Z"
        ) from None
