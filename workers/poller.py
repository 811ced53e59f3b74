"""Process: reads the collections of every destination by the timetable, until asked to stop."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import dramatiq
import structlog

from inbox.subscribers import check_subjects, load
from runtime.broker import Doorbell
from runtime.log import named
from runtime.loop import run_every
from workers import poll
from workers.heartbeat import Heart
from workers.poll import ACTOR, QUEUE, Polls
from workers.subscribers import Subscribers
from workers.timetable import Ring, Timetables
from workers.wiring import Wiring
from workers.worker import IDLE_MS, STOP_MS

logger = structlog.get_logger(__name__)

REST = timedelta(seconds=1)
"""How long the timetable rests between rounds: a poll begins this much late at most."""

STANDS_STILL_S = 180.0
"""A poller whose timetable has hung, or that has not even tried to fetch, for this long is ended, for
the supervisor to restart."""


class Poller:
    """The timetable, and the threads that answer its rings."""

    def __init__(
        self, wiring: Wiring, stop: threading.Event, *, threads: int, rest: timedelta = REST
    ) -> None:
        self._wiring = wiring
        self._stop = stop
        self._rest = rest
        self._threads = threads
        # A broker of its own: a worker in the same process must not take these rings.
        self._broker = Doorbell(wiring.redis, wiring.settings.namespace)
        readers = {one.name: wiring.reader(one, stop) for one in wiring.settings.destinations}
        self._hands = poll.bind(Polls(wiring, readers), self._broker)
        # A slice ends by its time, and the page then in hand by the lease; longer is for ever.
        self._longest = max(
            one.runtime + 2 * one.lease for one in map(wiring.pacing, wiring.settings.destinations)
        )
        self._worker = dramatiq.Worker(self._broker, worker_timeout=IDLE_MS, worker_threads=threads)
        self._worker.queue_prefetch = threads
        self._tables = Timetables(wiring, self._ring)
        self._tellers = [wiring.teller(one) for one in wiring.settings.destinations]
        self._subscribers = subscribers_of(wiring, stop)
        self._round_at = time.monotonic()
        self._rung = 0
        self._heart = Heart(
            "poller", wiring.database, wiring.clock, self._progress, alive=self.gets_on
        )

    def run(self) -> None:
        """Read until asked to stop."""
        self.start()
        try:
            run_every(self._rest, self._stop, self.run_once)
        finally:
            self.stop()

    def start(self) -> None:
        """Start the threads."""
        for pace in self._wiring.paces.values():
            threading.Thread(target=pace.prepare, name="quota", daemon=True).start()
        self._worker.start()
        if self._subscribers is not None:
            self._subscribers.start()
        self._heart.start()
        logger.info("poller_ready", threads=len(self._worker.workers))

    def stop(self) -> None:
        """Take nothing new, and let what is in hand come to its next page."""
        self._heart.stop()
        self._worker.stop(timeout=STOP_MS)
        if self._subscribers is not None:
            self._subscribers.stop(STOP_MS)
        logger.info("poller_stopped")

    @property
    def consumers(self) -> list[threading.Thread]:
        """The threads that ask Redis for messages."""
        return list(self._worker.consumers.values())

    def run_once(self) -> int:
        """Make one round of the timetable and the feed; it rests after each, whatever it found."""
        self._rung += self._tables.run_once()
        for one in (*self._tellers, *filter(None, [self._subscribers])):
            try:
                one.run_once()
            except Exception as error:
                logger.error("round_failed", **named(error))
        self._round_at = time.monotonic()
        return 0

    def _ring(self, rings: Sequence[Ring]) -> None:
        try:
            self._broker.ring(ACTOR, QUEUE, rings)
        except ConnectionError:
            logger.warning("rings_not_delivered", count=len(rings))

    def _progress(self) -> dict[str, float | int | str]:
        return {"rung": self._rung, "threads": len(self._worker.workers)}

    def gets_on(self) -> bool:
        """Say whether it makes progress; when not, it is to be ended."""
        now = time.monotonic()
        # A consumer asks also while every thread is in a slice; it then asks for nothing.
        fetching = now - self._broker.fetched_at < STANDS_STILL_S
        rounds = now - self._round_at < STANDS_STILL_S
        working = all(one.is_alive() for one in [*self._worker.workers, *self.consumers])
        hang = self._hands.held(self._longest) >= self._threads
        telling = self._subscribers is None or self._subscribers.gets_on(STANDS_STILL_S)
        alive = fetching and rounds and working and not hang and telling
        # Bound anew, the settings of this process may be another API's: it ends, and is started again.
        return alive and not self._wiring.bound_anew


def subscribers_of(wiring: Wiring, stop: threading.Event) -> Subscribers | None:
    """Import the handlers of the feed; None where there are none. Raises `InvalidSettings`."""
    found = load(wiring.settings.subscribers)
    if not found:
        return None
    now = wiring.clock.now()
    check_subjects(
        found,
        [
            source.name
            for one in wiring.settings.destinations
            for source in wiring.contract(one).sources(now)
        ],
    )
    return Subscribers(wiring, found, stop)
