"""Clocks: what time it is for leases and due times, and how long something took.

One idea: all processes agree on one clock, the database's, whatever their own machines say.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy import select

from runtime.database import Database
from schema.tables import database_now

RESAMPLE_S = 5.0
"""How long the database's clock is reckoned from one reading by this machine's monotonic clock.
Longer, and a step of the database's clock is noticed later; shorter costs a statement."""


class Clock(Protocol):
    """Tells the time in UTC."""

    def now(self) -> datetime:
        """Give this instant."""
        ...

    def monotonic(self) -> float:
        """Give seconds that only ever grow, for how long something takes."""
        ...


class SystemClock:
    """This machine's clock: for processes without a database, and for the embedded default."""

    def now(self) -> datetime:
        """Give this machine's time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give this machine's monotonic seconds."""
        return time.monotonic()


class DatabaseClock:
    """The database's clock, read now and then and reckoned on in between."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._then = datetime.now(UTC)

    def now(self) -> datetime:
        """Give the database's time, at most `RESAMPLE_S` seconds of reckoning away from it."""
        with self._lock:
            if time.monotonic() - self._read_at > RESAMPLE_S:
                self._read()
            return self._then + timedelta(seconds=time.monotonic() - self._read_at)

    def monotonic(self) -> float:
        """Give this machine's monotonic seconds."""
        return time.monotonic()

    def _read(self) -> None:
        with self._database.reading() as connection:
            now = connection.execute(select(database_now())).scalar_one()
        read_at = time.monotonic()
        self._then = now.astimezone(UTC)
        self._read_at = read_at


def clock_of(database: Database) -> Clock:
    """Give the clock that leases on this database are measured by."""
    return SystemClock() if database.is_sqlite else DatabaseClock(database)
