"""The actor: one handler of the feed, told what it has not heard yet; and who rings for it."""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import dramatiq
import structlog

from inbox import places
from inbox.handling import SLICE, Handling
from inbox.places import LEASE
from inbox.subscribers import Subscriber
from runtime.broker import Doorbell
from runtime.clock import Clock
from runtime.database import Database
from runtime.log import named
from workers.deliver import Hands
from workers.wiring import Wiring
from workers.worker import IDLE_MS

logger = structlog.get_logger(__name__)

QUEUE = "feed"
ACTOR = "tell"

THREADS = 2
"""Handlers that are called at a time in one process. Most are quick; a slow one holds up one other."""

RING_AGAIN = timedelta(seconds=5)
"""How soon a handler is rung for again that has something to hear. Less, and a queue that stands still
fills; more, and a lost ring keeps it waiting."""

Named = tuple[str, str]
"""Destination, and the handler's name."""


class Bells:
    """Rings for the handlers that have something to hear. Any number of these may."""

    def __init__(
        self, database: Database, clock: Clock, broker: Doorbell, known: Sequence[Named]
    ) -> None:
        self._database = database
        self._clock = clock
        self._broker = broker
        self._known = known
        self._rung: dict[Named, datetime] = {}

    def run_once(self) -> int:
        """Ring once for each that is due; gives how many rings went out."""
        now = self._clock.now()
        with self._database.reading() as connection:
            due = [
                (destination, name)
                for destination in sorted({one for one, _ in self._known})
                for name in places.due(connection, destination, now)
            ]
        rings = [one for one in due if one in self._known and self._is_time(one, now)]
        self._rung |= dict.fromkeys(rings, now + RING_AGAIN)
        try:
            self._broker.ring(ACTOR, QUEUE, rings)
        except ConnectionError:
            logger.warning("rings_not_delivered", number=len(rings), error="ConnectionError")
        return len(rings)

    def _is_time(self, one: Named, now: datetime) -> bool:
        until = self._rung.get(one, now)
        # One further ahead than any that is set now was set by a clock that was ahead.
        return until <= now or until > now + RING_AGAIN


class Subscribers:
    """The handlers of this process, the threads that call them, and what rings for them."""

    def __init__(
        self, wiring: Wiring, subscribers: Sequence[Subscriber], stop: threading.Event
    ) -> None:
        # A broker and threads of their own: a full sync must not keep handlers waiting.
        self._broker = Doorbell(wiring.redis, wiring.settings.namespace)
        self._handlings = {
            (one.name, subscriber.name): Handling(
                database=wiring.database,
                clock=wiring.clock,
                destination=one.name,
                subscriber=subscriber,
                stopping=stop.is_set,
            )
            for one in wiring.settings.destinations
            for subscriber in subscribers
        }
        self._hands = bind(self._handlings, self._broker)
        self._worker = dramatiq.Worker(self._broker, worker_timeout=IDLE_MS, worker_threads=THREADS)
        self._worker.queue_prefetch = THREADS
        known = list(self._handlings)
        self._bells = Bells(wiring.database, wiring.clock, self._broker, known)

    def start(self) -> None:
        """Give each handler its place, and start the threads."""
        for one in self._handlings.values():
            one.ensure()
        self._worker.start()
        logger.info("subscribers_ready", handlers=sorted({name for _, name in self._handlings}))

    def stop(self, timeout_ms: int) -> None:
        """Take nothing new, and let each handler come to the end of what it was told."""
        self._worker.stop(timeout=timeout_ms)

    def run_once(self) -> int:
        """Make one round of rings."""
        return self._bells.run_once()

    def gets_on(self, stands_still_s: float) -> bool:
        """Say whether its threads live, fetch, and do not all hang in one handler."""
        fetching = time.monotonic() - self._broker.fetched_at < stands_still_s
        threads = [*self._worker.workers, *self._worker.consumers.values()]
        hang = self._hands.held(SLICE + 3 * LEASE) >= THREADS
        return fetching and all(one.is_alive() for one in threads) and not hang


def bind(handlings: Mapping[Named, Handling], broker: Doorbell) -> Hands:
    """Declare the actor on a broker; gives what its threads have in hand."""
    hands = Hands()

    def tell(destination: str, name: str) -> None:
        """Answer one ring; one for what we do not know is left to those who do."""
        handling = handlings.get((destination, name))
        if handling is None:
            return
        with hands.holding():
            answer(handling, name)

    dramatiq.Actor(tell, broker=broker, actor_name=ACTOR, queue_name=QUEUE, priority=0, options={})
    return hands


def answer(handling: Handling, name: str) -> None:
    """Call a handler for a while; an error of ours ends in the log, by name and place."""
    try:
        handling.run()
    except Exception as error:
        # Its place is saved up to the last thing it was told, and is taken again as its lease ends.
        logger.error("telling_failed", handler=name, **named(error))
