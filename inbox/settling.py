"""Moves what became of local events into the feed.

One idea: in batches, and apart from where it happens, for who appends to the feed keeps everybody
else from appending, and no delivery is to wait for another. Taking and telling are one transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from inbox import feed
from runtime.clock import Clock
from runtime.database import Database
from schema.fates import Fate

BATCH = 500
"""Fates told in one transaction; nobody else appends to the feed meanwhile, which is some ten
milliseconds."""

BATCHES = 10
"""How many of these a round makes at most, so that whoever makes the rounds gets on to the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates:
    """Where fates of one sort come from: whether there are any, and how to take some.

    What is taken is never given again, unless the transaction is rolled back. Taking waits for
    nobody.
    """

    any: Callable[[Connection, str], bool]
    claim: Callable[[Connection, str, int], Sequence[Fate]]
    every: timedelta = timedelta(0)
    """How often it is worth looking."""


class Teller:
    """Tells the fates of one destination's events. Any number of processes may."""

    def __init__(
        self, *, database: Database, clock: Clock, destination: str, sorts: Sequence[Fates]
    ) -> None:
        self._database = database
        self._clock = clock
        self._destination = destination
        self._next_at = [(one, float("-inf")) for one in sorts]

    def run_once(self) -> int:
        """Tell what there is, in bounded batches; gives how much that was."""
        now = self._clock.monotonic()
        told = 0
        for place, (sort, at) in enumerate(self._next_at):
            if now < at:
                continue
            more = self._tell(sort)
            told += more
            if more < BATCH * BATCHES:
                self._next_at[place] = (sort, now + sort.every.total_seconds())
        return told

    def _tell(self, sort: Fates) -> int:
        told = 0
        for _ in range(BATCHES):
            with self._database.reading() as connection:
                if not sort.any(connection, self._destination):
                    return told
            told += self._tell_some(sort)
        return told

    def _tell_some(self, sort: Fates) -> int:
        with self._database.transaction() as connection:
            # First of all, so that two who tell take turns, and tell in the order of the entries.
            feed.hold_end(connection, self._destination)
            fates = sort.claim(connection, self._destination, BATCH)
            entries = [feed.settled(one) for one in fates]
            feed.append(connection, self._destination, entries, run_id=None, now=self._clock.now())
        return len(fates)
