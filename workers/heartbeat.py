"""A heartbeat per process, with its progress, and the watchdog that ends one that stands still.

One idea: the watchdog needs nobody. A beat goes to the database, and may hang there with the rest of
the process; so who watches is another thread, which only looks at clocks.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError

from runtime.clock import Clock
from runtime.database import Database
from runtime.processes import Beat, beat, gone

logger = structlog.get_logger(__name__)

EVERY = timedelta(seconds=10)
"""How often a process shows that it lives. `status` and `check` call it missing after three."""

FROZEN_AFTER = 3 * EVERY
"""A wait of EVERY that took this long means that the whole process was stopped, and nobody in it had
a chance to get on."""


class Heart:
    """Beats, and watches, on threads of its own until stopped."""

    def __init__(
        self,
        role: str,
        database: Database,
        clock: Clock,
        progress: Callable[[], dict[str, float | int | str]],
        *,
        alive: Callable[[], bool] = lambda: True,
        die: Callable[[], None] = lambda: os._exit(70),
    ) -> None:
        """*alive* says whether the process still gets on; when not, *die* ends it."""
        self._role = role
        self._id = f"{role}-{uuid4().hex[:12]}"
        self._database = database
        self._clock = clock
        self._progress = progress
        self._alive = alive
        self._die = die
        self._started = clock.now()
        self._stop = threading.Event()
        self._beating = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._watching = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Beat from now on."""
        self._watching.start()
        self._beat()
        self._beating.start()

    def stop(self) -> None:
        """Stop, and take the row away: an orderly end is not a death."""
        self._stop.set()
        if self._beating.is_alive():
            self._beating.join(timeout=5)
        try:
            with self._database.transaction() as connection:
                gone(connection, self._id)
        except DBAPIError:
            logger.warning("heartbeat_not_removed", role=self._role)

    def look(self, *, waited: timedelta) -> None:
        """End the process if it stands still; *waited* is how long since the last look."""
        if waited < FROZEN_AFTER and not self._alive():
            logger.error("process_stands_still", role=self._role)
            self._die()

    def _run(self) -> None:
        while not self._stop.wait(EVERY.total_seconds()):
            self._beat()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(EVERY.total_seconds()):
            self.look(waited=timedelta(seconds=time.monotonic() - began))
            began = time.monotonic()

    def _beat(self) -> None:
        try:
            with self._database.transaction() as connection:
                beat(
                    connection,
                    Beat(
                        id=self._id,
                        role=self._role,
                        host=socket.gethostname(),
                        pid=os.getpid(),
                        started_at=self._started,
                        beat_at=self._clock.now(),
                        progress=self._progress(),
                    ),
                )
        except Exception as error:
            # Whatever it is, this thread must live on, or a process at work counts as missing.
            logger.warning("heartbeat_failed", role=self._role, error=type(error).__name__)
