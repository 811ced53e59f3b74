"""The actor: one attempt at one record."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import dramatiq
import structlog

from outbox.delivery import Deliverer
from outbox.relay import Ring
from runtime.broker import Doorbell
from runtime.log import named
from schema.keys import LeaseToken, RecordId
from schema.states import Lane
from workers.wiring import ACTOR, QUEUE, Wiring

logger = structlog.get_logger(__name__)


class Hands:
    """Since when each thread of this process has had its ring in hand."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    @contextmanager
    def holding(self) -> Generator[None]:
        """Have a ring in hand."""
        mine = threading.get_ident()
        self._since[mine] = time.monotonic()
        try:
            yield
        finally:
            del self._since[mine]

    def held(self, at_least: timedelta) -> int:
        """Count the threads that have had the same ring in hand for so long."""
        before = time.monotonic() - at_least.total_seconds()
        return sum(since <= before for since in list(self._since.values()))


def _guarded(deliverer: Deliverer, ring: Ring) -> None:
    """Deliver; an error ends in the log by its name and place, never with the values it carries.

    The record is taken up again when its lease ends.
    """
    try:
        deliverer.deliver(ring)
    except Exception as error:
        logger.error("delivery_failed", record_id=ring.record_id, **named(error))


def bind(wiring: Wiring, broker: Doorbell) -> Hands:
    """Declare the actor on a broker; gives what its threads have in hand."""
    hands = Hands()
    deliverers = {one.name: wiring.deliverer(one) for one in wiring.settings.destinations}

    def deliver(*told: object) -> None:
        """Answer one ring; one for a destination we do not know is left to those who do."""
        try:
            destination, ring = _read(*told)
        except (TypeError, ValueError):
            logger.warning("message_unreadable", queue=QUEUE, problem="it is no ring")
            return
        deliverer = deliverers.get(destination)
        if deliverer is not None:
            with hands.holding():
                _guarded(deliverer, ring)

    dramatiq.Actor(
        deliver, broker=broker, actor_name=ACTOR, queue_name=QUEUE, priority=0, options={}
    )
    return hands


def _read(destination: object, record_id: object, token: object, lane: object) -> tuple[str, Ring]:
    """Read what a message says; raises `TypeError` or `ValueError`."""
    if not isinstance(record_id, int) or not isinstance(token, int):
        raise TypeError
    ring = Ring(record_id=RecordId(record_id), token=LeaseToken(token), lane=Lane(lane))
    return str(destination), ring
