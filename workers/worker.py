"""Process: answers rings with a few threads, until asked to stop."""

import threading
import time

import dramatiq
import structlog

from runtime import metrics
from runtime.broker import Doorbell
from runtime.memory import collect_seldom
from workers import deliver
from workers.heartbeat import Heart
from workers.wiring import Wiring

logger = structlog.get_logger(__name__)

IDLE_MS = 250
"""How long a consumer of an empty queue sleeps at most before it asks again. Dramatiq's second adds
that much to the way of a change; less costs Redis more empty answers."""

AHEAD = 2
"""Rings in this process, for each thread: the one it answers, and the next. With one alone a thread
stands idle until the consumer wakes and fetches again; what waits here no other process can take
before it is rung again."""

STOP_MS = 40_000
"""How long to wait for calls in hand when stopping: a call's deadline and its settling."""

STANDS_STILL_S = 60.0
"""A worker that has not even tried to fetch for this long is ended, for the supervisor to
restart: its consumer thread is dead, and it would look alive for ever."""


class Worker:
    """A Dramatiq worker and its heartbeat."""

    def __init__(self, wiring: Wiring, *, threads: int) -> None:
        self._wiring = wiring
        self._broker: Doorbell = wiring.broker
        self._hands = deliver.bind(wiring, self._broker)
        self._worker = dramatiq.Worker(self._broker, worker_timeout=IDLE_MS, worker_threads=threads)
        self._worker.queue_prefetch = AHEAD * threads
        self._heart = Heart(
            "worker", wiring.database, wiring.clock, self._progress, alive=self.gets_on
        )

    def start(self) -> None:
        """Start the threads."""
        for pace in self._wiring.paces.values():
            threading.Thread(target=pace.prepare, name="quota", daemon=True).start()
        self._worker.start()
        self._heart.start()
        logger.info("worker_ready", threads=len(self._worker.workers))

    def stop(self) -> None:
        """Take nothing new, finish the calls in hand, give back what was fetched."""
        self._heart.stop()
        self._worker.stop(timeout=STOP_MS)
        logger.info("worker_stopped")

    @property
    def consumers(self) -> list[threading.Thread]:
        """The threads that ask Redis for messages."""
        return list(self._worker.consumers.values())

    def _progress(self) -> dict[str, float | int | str]:
        return {
            "threads": len(self._worker.workers),
            "fetched_s_ago": round(time.monotonic() - self._broker.fetched_at, 1),
            "unreadable": self._broker.unreadable,
            **metrics.read(),
        }

    def gets_on(self) -> bool:
        """Say whether it makes progress; when not, it is to be ended."""
        # A consumer asks also while every thread is in a call; it then asks for nothing.
        fetching = time.monotonic() - self._broker.fetched_at < STANDS_STILL_S
        threads = [*self._worker.workers, *self.consumers]
        working = all(thread.is_alive() for thread in threads) and not self._hang()
        # Bound anew, the settings of this process may be another API's: it ends, and is started again.
        return fetching and working and not self._wiring.bound_anew

    def _hang(self) -> bool:
        """Whether every thread has been at the same ring for longer than any lease lasts.

        A call ends by its deadline, a statement by the server's; only an answer that never comes,
        of a proxy or a pooler before the database, holds a thread for ever.
        """
        lost = 2 * self._wiring.settings.lease
        return self._hands.held(lost) >= len(self._worker.workers)


def run(wiring: Wiring, stop: threading.Event, *, threads: int) -> None:
    """Work until *stop* is set."""
    worker = Worker(wiring, threads=threads)
    collect_seldom()
    worker.start()
    try:
        while not stop.wait(1):
            pass
    finally:
        worker.stop()
