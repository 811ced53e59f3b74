"""Rings whose sending or fetching got no reply: they come again, and one call is made."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager

import dramatiq
import pytest

from outbox.relay import Relay, Ring
from pillarbox.world import wait_until
from runtime import redis as runtime_redis
from runtime.broker import Doorbell
from schema.events import ParticipantDeferred, ParticipantResumed
from schema.keys import LeaseToken, RecordId
from schema.states import Lane
from tests.support.outbox import TIMING, Outbox
from tests.support.proxy import Proxy, Swallow
from tests.support.servers import RedisServer
from workers.wiring import ACTOR, QUEUE

AT_MOST_S = 10.0


@pytest.fixture
def known(outbox: Outbox) -> Outbox:
    """An enrolment that was read once, and is in step."""
    outbox.link()
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.run()
    outbox.api.calls.clear()
    return outbox


class Worker:
    """A Dramatiq worker whose actor delivers, and counts what it is told."""

    def __init__(self, outbox: Outbox, broker: Doorbell) -> None:
        self.told: list[int] = []
        self._deliverer = outbox.another_deliverer()
        dramatiq.Actor(
            self.deliver, broker=broker, actor_name=ACTOR, queue_name=QUEUE, priority=0, options={}
        )
        self._worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)

    def deliver(self, destination: str, record_id: int, token: int, lane: str) -> None:
        self.told.append(token)
        ring = Ring(record_id=RecordId(record_id), token=LeaseToken(token), lane=Lane(lane))
        self._deliverer.deliver(ring)

    @contextmanager
    def at_work(self) -> Generator[None]:
        self._worker.start()
        try:
            yield
        finally:
            self._worker.stop()


def a_relay(outbox: Outbox, bell: Doorbell) -> Relay:
    """A relay that rings on a real queue."""

    def ring(rings: Sequence[Ring]) -> None:
        calls = [("default", one.record_id, one.token, one.lane.value) for one in rings]
        bell.ring(ACTOR, QUEUE, calls)

    outbox.relay = Relay(
        database=outbox.database,
        contract=outbox.contract,
        destination="default",
        clock=outbox.clock,
        timing=TIMING,
        settle=TIMING.send_by * 0,
        dispatch=ring,
        room=lambda _lane, _on_the_queue: 100,
    )
    return outbox.relay


def _want(outbox: Outbox) -> None:
    """Want something that takes one call."""
    outbox.emit(ParticipantResumed(source_id="E-1"))


def test_an_enqueue_whose_reply_was_lost_is_rung_again_and_called_once(
    known: Outbox, redis_server: RedisServer
) -> None:
    """Fault 14: the relay believes that nothing is on the queue, and it is there."""
    with ExitStack() as ends:
        proxy = ends.enter_context(Proxy("127.0.0.1", redis_server.port))
        through = runtime_redis.connect(f"redis://127.0.0.1:{proxy.port}/0", reply_timeout=1)
        past = runtime_redis.connect(redis_server.url)
        ends.enter_context(closing(through))
        ends.enter_context(closing(past))
        relay = a_relay(known, Doorbell(through, "t"))
        proxy.mode = Swallow(asked=rb"RPUSH")
        _want(known)
        assert relay.run_once().dispatched == 0
        known.wait(seconds=TIMING.ring.total_seconds() + 1)
        assert relay.run_once().dispatched + relay.run_once().dispatched == 1

        worker = Worker(known, Doorbell(past, "t"))
        with worker.at_work():
            assert wait_until(lambda: len(worker.told) == 2, timeout=AT_MOST_S, every=0.01)
            assert wait_until(lambda: known.api.writes == ["resume"], timeout=AT_MOST_S)

    assert proxy.count == 1
    assert len(set(worker.told)) == 2, "each ring has a token of its own"
    assert known.api.operations == ["resume"]


def test_a_ring_that_was_fetched_and_lost_comes_again_to_the_same_worker(
    known: Outbox, redis_server: RedisServer
) -> None:
    """Fault 13: Redis gave it away, and the worker never saw it."""
    with ExitStack() as ends:
        proxy = ends.enter_context(Proxy("127.0.0.1", redis_server.port))
        through = runtime_redis.connect(f"redis://127.0.0.1:{proxy.port}/0", reply_timeout=1)
        past = runtime_redis.connect(redis_server.url)
        ends.enter_context(closing(through))
        ends.enter_context(closing(past))
        bell = Doorbell(past, "t")
        relay = a_relay(known, bell)
        worker = Worker(known, Doorbell(through, "t"))
        proxy.mode = Swallow(asked=rb"LPOP", reply=ACTOR.encode())
        _want(known)
        relay.run_once()
        with worker.at_work():
            assert wait_until(lambda: proxy.count == 1, timeout=AT_MOST_S, every=0.01)
            assert bell.waiting(QUEUE) == 0
            known.wait(seconds=TIMING.ring.total_seconds() + 1)
            relay.run_once()
            relay.run_once()
            assert wait_until(lambda: known.api.writes == ["resume"], timeout=AT_MOST_S)

    assert len(worker.told) == 1
    assert known.api.operations == ["resume"]
