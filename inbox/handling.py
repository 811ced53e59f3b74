"""Calls one handler of the feed with what it has not been told yet.

One idea: its place moves on only after it returned. A handler that takes the connection writes in the
transaction that moves its place, so what it does there is done once; any other is told again after a
death, and must do the same twice. A failure holds up this handler and no other.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

import structlog
from sqlalchemy import Connection

from inbox import feed, places
from inbox.cursor import Cursor
from inbox.errors import LeaseLost, Pruned
from inbox.feed import Batch, Notice
from inbox.patience import Again, Hold, after_failure
from inbox.places import Place
from inbox.subscribers import Subscriber
from runtime.clock import Clock
from runtime.database import Database
from runtime.log import named

logger = structlog.get_logger(__name__)

BATCH = 100
"""News read at a time."""

TOGETHER_S = 1.0
"""Seconds after which a transaction in which a handler writes is committed, with what it was told so
far. On SQLite nobody else writes meanwhile."""

SLICE = timedelta(seconds=30)
"""How long a thread stays with one handler while others may wait for it."""


class Ended(StrEnum):
    """How a slice of calls ended."""

    DONE = "done"
    MORE = "more"
    BUSY = "busy"
    FAILED = "failed"
    LOST = "lost"


class _Failed(Exception):
    """A handler raised; carries what it was told before that, and the error, never its text."""

    def __init__(self, notice: Notice, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.notice = notice
        told = named(error)
        self.words = " at ".join(filter(None, (told["error"], told.get("place"))))


class Handling:
    """Calls one handler about one destination; safe to share between threads."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        destination: str,
        subscriber: Subscriber,
        stopping: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._destination = destination
        self._subscriber = subscriber
        self._stopping = stopping
        self._monotonic = monotonic

    def ensure(self) -> None:
        """Make sure that the handler has its place; a new one begins where it says."""
        with self._database.transaction() as connection:
            begin = self._subscriber.begin
            cursor = None if begin is None else feed.begin(connection, self._destination, begin)
            places.ensure(connection, self._destination, self._subscriber.name, cursor)

    def run(self) -> Ended:
        """Tell the handler what there is, until it has all, fails, or its time is over."""
        with self._database.transaction() as connection:
            place = places.take(
                connection, self._destination, self._subscriber.name, now=self._clock.now()
            )
        if place is None:
            return Ended.BUSY
        try:
            ended = self._go_on(place)
        except LeaseLost:
            return Ended.LOST
        with self._database.transaction() as connection:
            places.release(connection, place)
        return ended

    def _go_on(self, place: Place) -> Ended:
        end = self._clock.now() + SLICE
        told = _Told(place)
        while True:
            try:
                batch = self._read(told.cursor)
                self._tell(told, batch)
            except _Failed as failed:
                self._failed(told, failed.words, failed.notice.cursor)
                return Ended.FAILED
            except Pruned:
                self._failed(told, "what comes next is not kept any more", None)
                return Ended.FAILED
            if told.stopped or self._stopping() or self._clock.now() >= end:
                return Ended.MORE
            if not batch.more:
                return Ended.DONE

    def _read(self, cursor: Cursor) -> Batch:
        with self._database.reading() as connection:
            return feed.read_on(
                connection, self._destination, cursor, self._subscriber.wants, limit=BATCH
            )

    def _tell(self, told: "_Told", batch: Batch) -> None:
        if not self._subscriber.takes_connection:
            self._one_by_one(told, batch)
        while self._subscriber.takes_connection and not told.stopped:
            left = [one for one in batch.notices if told.has_yet_to_hear(one)]
            if not left:
                break
            self._together(told, left)
        if not told.stopped and told.cursor != batch.next:
            with self._database.transaction() as connection:
                self._move(connection, told.place, batch.next, 0)
            told.cursor = batch.next

    def _one_by_one(self, told: "_Told", batch: Batch) -> None:
        for notice in batch.notices:
            if self._stopping():
                told.stopped = True
                return
            try:
                self._subscriber(notice)
            except Exception as error:
                raise _Failed(notice, error) from error
            with self._database.transaction() as connection:
                self._move(connection, told.place, notice.cursor, 1)
            told.heard(notice)

    def _together(self, told: "_Told", notices: list[Notice]) -> None:
        """Tell what fits into one short transaction; what came before a failure stays done."""
        began, heard, failed = self._monotonic(), list[Notice](), None
        with self._database.transaction() as connection:
            places.hold(connection, told.place, now=self._clock.now())
            for notice in notices:
                try:
                    with connection.begin_nested():
                        self._subscriber(notice, connection)
                except Exception as error:
                    failed = _Failed(notice, error)
                    if connection.invalidated:
                        raise failed from error
                    break
                heard.append(notice)
                if self._stopping() or self._monotonic() - began > TOGETHER_S:
                    break
            if heard:
                self._move(connection, told.place, heard[-1].cursor, len(heard))
        for notice in heard:
            told.heard(notice)
        if failed is not None:
            raise failed
        told.stopped = self._stopping()

    def _move(self, connection: Connection, place: Place, cursor: Cursor, handled: int) -> None:
        places.move(connection, place, cursor, handled=handled, now=self._clock.now())

    def _failed(self, told: "_Told", words: str, at: Cursor | None) -> None:
        failures = (0 if told.number else told.place.failures) + 1
        now = self._clock.now()
        then = Hold() if at is None else after_failure(failures, now)
        with self._database.transaction() as connection:
            places.failed(
                connection,
                told.place,
                error=words,
                at=at,
                failures=failures,
                retry_at=then.at if isinstance(then, Again) else None,
                now=now,
            )
        fields = {
            "handler": self._subscriber.name,
            "destination": self._destination,
            "cursor": str(at or told.cursor),
            "failures": failures,
            "error": words,
        }
        if isinstance(then, Hold):
            logger.error("handler_held", **fields)
        else:
            logger.warning("handler_failed", **fields)


class _Told:
    """What a handler was told in this slice, and where it is by that."""

    def __init__(self, place: Place) -> None:
        assert place.cursor is not None, "only a handler that has begun is taken in hand"
        self.place = place
        self.cursor = place.cursor
        self.number = 0
        self.stopped = False
        self._heard = set[Cursor]()

    def heard(self, notice: Notice) -> None:
        """Note that it was told this."""
        self.cursor = notice.cursor
        self.number += 1
        self._heard.add(notice.cursor)

    def has_yet_to_hear(self, notice: Notice) -> bool:
        """Whether it was not told this yet."""
        return notice.cursor not in self._heard
