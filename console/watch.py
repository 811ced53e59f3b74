"""Waits for news of the feed, for as many readers as there are, with one eye.

One idea: a reader that waits has no thread and no transaction; all of them together cost one look at
the feed's ends every half second.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from runtime.log import named

logger = structlog.get_logger(__name__)

MOST: Final = 200
"""Readers that wait at a time in one process; who comes beyond that is answered at once. Each holds a
connection to this server, and a task."""

PAUSE_S: Final = 0.5
"""Seconds between two looks: how much later a reader hears of something at most."""


class Watch:
    """Wakes readers as the feed moves on. For one event loop at a time."""

    def __init__(self, ends: Callable[[], Mapping[str, int]], *, most: int = MOST) -> None:
        """*ends* reads where the feed of each destination ends."""
        self._ends = ends
        self._most = most
        self._waiting: dict[asyncio.Future[bool], tuple[str, int]] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many readers wait now."""
        return len(self._waiting)

    async def moved(self, destination: str, position: int, *, within_s: float) -> bool:
        """Wait until the feed is past a position; False when it is not in time, or too many wait."""
        if within_s <= 0 or self.waiting >= self._most:
            return False
        news: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[news] = (destination, position)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            return await asyncio.wait_for(news, within_s)
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(news, None)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(PAUSE_S)
            try:
                ends = await run_in_threadpool(self._ends)
            except DBAPIError as error:
                # They wait on; who asks again is told that the database does not answer.
                logger.warning("feed_not_watched", **named(error))
                continue
            for news, (destination, position) in list(self._waiting.items()):
                if ends.get(destination, 0) > position and not news.done():
                    news.set_result(True)
