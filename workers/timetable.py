"""Says which collections are due, and rings for them.

One idea: when a collection is due stands in its row; a ring that is lost is rung again, and one that
comes twice finds the collection held. So any number of these may run.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from random import Random

import structlog
from sqlalchemy import Connection

from inbox import booked, checkpoints, expectations, requests
from inbox.checkpoints import Checkpoint
from inbox.timing import first_poll, full_due
from runtime.clock import Clock
from runtime.database import Database
from runtime.log import named
from schema.contract import Contract
from schema.hours import Booking, bookings, nightly
from schema.inbox import RunKind
from workers.wiring import Wiring

logger = structlog.get_logger(__name__)

RING_AGAIN = timedelta(minutes=2)
"""How soon a collection is rung for again that nobody began to read. Sooner, and a queue that stands
still fills; later, and a lost ring delays a poll by so much."""

FIRST_WITHIN = timedelta(minutes=2)
"""Within what time after the first start each collection is read: apart from each other."""

UPKEEP = timedelta(minutes=10)
"""How often overdue expectations and old rows are looked for."""

Ring = tuple[str, str, str, str | None]
"""Destination, source, kind, and until when a full sync may run (ISO time)."""


class Timetable:
    """The rounds of one destination."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        destination: str,
        contract: Contract,
        started: bool,
        booked: Sequence[Booking],
        offpeak: Booking,
        unconfirmed: timedelta,
        ring: Callable[[Sequence[Ring]], None],
        dice: Random,
    ) -> None:
        """*started*: somebody has said from when to read what was never read; *booked*: the hours of
        full syncs where nobody has booked any."""
        self._database = database
        self._clock = clock
        self._destination = destination
        self._contract = contract
        self._started = started
        self._booked = booked
        self._offpeak = offpeak
        self._unconfirmed = unconfirmed
        self._ring = ring
        self._dice = dice
        self._rung: dict[str, datetime] = {}
        self._upkept: datetime | None = None

    def run_once(self) -> int:
        """Make one round; gives how many rings went out."""
        now = self._clock.now()
        rings: list[Ring] = []
        with self._database.transaction() as connection:
            known = checkpoints.all_of(connection, self._destination)
            asked = checkpoints.asked_for(connection, self._destination)
            hours = booked.of(connection, self._destination)
            for source in self._contract.sources(now):
                place = known.get(source.name)
                if place is None or place.next_poll_at is None:
                    first = first_poll(now, within=FIRST_WITHIN, dice=self._dice)
                    checkpoints.plan_next(connection, self._destination, source.name, first)
                    continue
                by_hand = asked.get(source.name, set())
                if not self._may_be_read(place, now, by_hand):
                    continue
                if place.next_poll_at <= now:
                    again = now + RING_AGAIN
                    checkpoints.plan_next(connection, self._destination, source.name, again)
                    rings.append((self._destination, source.name, RunKind.POLL.value, None))
                windows = booked.windows(hours, source.name, self._booked)
                rings += self._full(place, now, by_hand, windows)
            self._keep_up(connection, now)
        if rings:
            self._ring(rings)
        return len(rings)

    def _may_be_read(self, place: Checkpoint, now: datetime, asked: AbstractSet[RunKind]) -> bool:
        begun = place.watermark is not None or self._started or bool(asked)
        if place.paused_at is not None or not begun:
            return False
        return place.is_free(now)

    def _full(
        self,
        place: Checkpoint,
        now: datetime,
        asked: AbstractSet[RunKind],
        windows: Sequence[Booking],
    ) -> list[Ring]:
        """Ring for a full sync where its hours are, or at once where a person asked for it.

        What was never read is begun by a poll.
        """
        if place.watermark is None or now < self._rung.get(place.source, now):
            return []
        if RunKind.FULL in asked:
            self._rung[place.source] = now + RING_AGAIN
            return [(self._destination, place.source, RunKind.FULL.value, None)]
        due = full_due(
            place.source,
            now=now,
            booked=windows,
            offpeak=self._offpeak,
            completed=place.full_opened_at,
        )
        if due is None:
            return []
        self._rung[place.source] = now + RING_AGAIN
        if due.missed:
            logger.warning("full_sync_made_up", source=place.source)
        return [(self._destination, place.source, RunKind.FULL.value, due.end.isoformat())]

    def _keep_up(self, connection: Connection, now: datetime) -> None:
        if self._upkept is not None and now < self._upkept + UPKEEP:
            return
        self._upkept = now
        expectations.bury_overdue(connection, self._destination, now=now, after=self._unconfirmed)
        requests.prune(connection, self._destination, now)


class Timetables:
    """The rounds of every destination."""

    def __init__(self, wiring: Wiring, ring: Callable[[Sequence[Ring]], None]) -> None:
        settings = wiring.settings
        self._tables = [
            Timetable(
                database=wiring.database,
                clock=wiring.clock,
                destination=one.name,
                contract=wiring.contract(one),
                started=bool(settings.poll_start),
                booked=bookings(settings.full_sync),
                offpeak=nightly(settings.offpeak),
                unconfirmed=settings.unconfirmed,
                ring=ring,
                dice=Random(),
            )
            for one in settings.destinations
        ]

    def run_once(self) -> int:
        """Make a round for each destination; one's trouble is not the others'."""
        done = 0
        for one in self._tables:
            try:
                done += one.run_once()
            except Exception as error:
                logger.error("round_failed", **named(error))
        return done
