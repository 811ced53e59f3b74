"""The actor: one attempt at one record."""

import dramatiq

from outbox.relay import Ring
from runtime.broker import Doorbell
from schema.keys import LeaseToken, RecordId
from schema.states import Lane
from workers.wiring import ACTOR, QUEUE, Wiring


def bind(wiring: Wiring, broker: Doorbell) -> None:
    """Declare the actor on a broker."""
    deliverers = {one.name: wiring.deliverer(one) for one in wiring.settings.destinations}

    def deliver(destination: str, record_id: int, token: int, lane: str) -> None:
        """Answer one ring; one for a destination we do not know is left to those who do."""
        deliverer = deliverers.get(destination)
        if deliverer is not None:
            ring = Ring(record_id=RecordId(record_id), token=LeaseToken(token), lane=Lane(lane))
            deliverer.deliver(ring)

    dramatiq.Actor(
        deliver, broker=broker, actor_name=ACTOR, queue_name=QUEUE, priority=0, options={}
    )
