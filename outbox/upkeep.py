"""What keeps the tables from growing for ever, a little at a time.

One idea: a sweep walks each table once by its primary key, in small transactions with pauses, so it
never holds a lock for long and never stops a vacuum; cut short anywhere, it begins again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from outbox import attempts, bulk, discarding, entries
from outbox.entries import Swept
from runtime.clock import Clock
from runtime.database import Database

logger = structlog.get_logger(__name__)

SWEEP_BATCH = 1_000
"""Rows looked at in one transaction: some milliseconds."""

PAUSE_S = 0.25
"""Seconds between two steps of a sweep: at most a tenth of a relay's time goes into it."""

SWEEP_EVERY_S = 3600.0
"""Seconds from the end of one sweep to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is done with is kept: closed entries and attempts, and the attempts' bodies."""

    entries: timedelta
    bodies: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """What is pruned besides: its table's name, and what deletes some rows and says how many.

    It is done again while it deletes anything.
    """

    name: str
    some: Callable[[Connection], int]


@dataclass
class _Sweep:
    name: str
    step: Callable[[Connection, int], Swept]
    after: int = 0
    over: bool = False
    pruned: int = 0
    wiped: int = 0


class Upkeep:
    """Prunes closed entries and old attempts, and wipes bodies. Any number of processes may."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        retention: Retention,
        also: Sequence[Prune] = (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention
        self._also = also
        self._next_at = float("-inf")
        self._sweeps = self._fresh()

    def step(self) -> bool:
        """Make the next step if it is time for one; says whether it was."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + PAUSE_S
        under_way = [sweep for sweep in self._sweeps if not sweep.over]
        for sweep in under_way:
            self._advance(sweep)
        if all(sweep.over for sweep in under_way):
            self._next_at = now + SWEEP_EVERY_S
            self._tell()
            self._sweeps = self._fresh()
        return True

    def _advance(self, sweep: _Sweep) -> None:
        with self._database.transaction() as connection:
            swept = sweep.step(connection, sweep.after)
        sweep.pruned += swept.pruned
        sweep.wiped += swept.wiped
        sweep.over = swept.upto is None
        sweep.after = swept.upto or 0

    def _fresh(self) -> tuple[_Sweep, ...]:
        return (
            _Sweep(name="outbox_entry", step=self._entries),
            _Sweep(name="attempt", step=self._attempts),
            _Sweep(name="discarded", step=self._discarded),
            *(_Sweep(name=one.name, step=_again(one)) for one in self._also),
            _Sweep(name="bulk", step=self._bulks),
        )

    def _entries(self, connection: Connection, after: int) -> Swept:
        before = self._clock.now() - self._retention.entries
        return entries.prune(connection, after=after, before=before, limit=SWEEP_BATCH)

    def _discarded(self, connection: Connection, after: int) -> Swept:
        before = self._clock.now() - self._retention.entries
        return discarding.prune(connection, after=after, before=before, limit=SWEEP_BATCH)

    def _attempts(self, connection: Connection, after: int) -> Swept:
        now = self._clock.now()
        return attempts.sweep(
            connection,
            after=after,
            bodies_before=now - self._retention.bodies,
            before=now - self._retention.entries,
            limit=SWEEP_BATCH,
        )

    def _bulks(self, connection: Connection, after: int) -> Swept:
        before = self._clock.now() - self._retention.entries
        return bulk.prune(connection, after=after, before=before, limit=SWEEP_BATCH)

    def _tell(self) -> None:
        for sweep in self._sweeps:
            if sweep.pruned or sweep.wiped:
                logger.info("swept", table=sweep.name, pruned=sweep.pruned, wiped=sweep.wiped)


def _again(prune: Prune) -> Callable[[Connection, int], Swept]:
    """Make steps of it; they need no place, for what was deleted is not found again."""

    def step(connection: Connection, turn: int) -> Swept:
        pruned = prune.some(connection)
        return Swept(upto=turn + 1 if pruned else None, pruned=pruned)

    return step
