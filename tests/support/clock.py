"""A clock that is moved by hand."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 2, 10, 12, 0, tzinfo=UTC)


class HandClock:
    """Stands still until it is moved; both its hands move together."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now
        self._monotonic = 1_000.0

    def now(self) -> datetime:
        """Give the time it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Give seconds that grow as the clock is moved."""
        return self._monotonic

    def advance(self, by: timedelta) -> datetime:
        """Move it on; gives the new time."""
        self._now += by
        self._monotonic += by.total_seconds()
        return self._now

    def step(self, by: timedelta) -> None:
        """Set the time to another one, as somebody who corrects a clock; no time passes."""
        self._now += by
