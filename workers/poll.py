"""The actor: one slice of one reading, and when the next one is due."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

import dramatiq
import structlog

from inbox import checkpoints
from inbox.errors import UnknownSource
from inbox.poll import Ended, Reader
from inbox.timing import next_poll
from runtime.broker import Doorbell
from runtime.clock import Clock
from runtime.database import Database
from runtime.log import named
from schema.inbox import RunKind
from workers.deliver import Hands
from workers.wiring import Wiring

logger = structlog.get_logger(__name__)

QUEUE = "poll"
ACTOR = "poll"

SPACING = timedelta(minutes=1)
"""How far apart two collections of a key begin at least."""


class Polls:
    """Reads collections when rung, and plans the next time."""

    def __init__(self, wiring: Wiring, readers: Mapping[str, Reader]) -> None:
        self._database: Database = wiring.database
        self._clock: Clock = wiring.clock
        self._interval = wiring.settings.poll_interval
        self._readers = readers
        self._dice = Random()

    def answer(self, destination: str, source: str, kind: RunKind, until: datetime | None) -> None:
        """Answer one ring; one for what we do not know is left to those who do."""
        reader = self._readers.get(destination)
        if reader is None:
            return
        try:
            ended = reader.read(source, kind, until=until)
        except UnknownSource:
            return
        except Exception as error:
            # The run is saved up to its last page, and is taken up again when its lease ends.
            logger.error("poll_failed", source=source, **named(error))
            return
        self.plan(destination, source, kind, ended)

    def plan(self, destination: str, source: str, kind: RunKind, ended: Ended) -> None:
        """Say when a collection is polled next, where the run has not said so itself."""
        if kind is not RunKind.POLL or ended in (Ended.NOT_NOW, Ended.BUSY, Ended.LOST):
            return
        now = self._clock.now()
        with self._database.transaction() as connection:
            others = [
                one.next_poll_at
                for name, one in checkpoints.all_of(connection, destination).items()
                if name != source and one.next_poll_at is not None
            ]
            at = now
            if ended is not Ended.MORE:
                at = next_poll(
                    now,
                    interval=self._interval,
                    spacing=min(SPACING, self._interval / 30),
                    others=others,
                    dice=self._dice,
                )
            checkpoints.plan_next(connection, destination, source, at)


def bind(polls: Polls, broker: Doorbell) -> Hands:
    """Declare the actor on a broker; gives what its threads have in hand."""
    hands = Hands()

    def poll(destination: str, source: str, kind: str, until: str | None) -> None:
        """Answer one ring."""
        end = None if until is None else datetime.fromisoformat(until)
        with hands.holding():
            polls.answer(destination, source, RunKind(kind), end)

    dramatiq.Actor(poll, broker=broker, actor_name=ACTOR, queue_name=QUEUE, priority=0, options={})
    return hands
