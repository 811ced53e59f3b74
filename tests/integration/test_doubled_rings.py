"""Rings that come twice, or to two at once: one takes the record, and one call is made."""

import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers import redis as dramatiq_redis
from dramatiq.common import current_millis

from outbox.relay import Relay, Ring
from pillarbox.world import wait_until
from runtime import redis as runtime_redis
from runtime.broker import Doorbell
from runtime.redis import Redis
from schema.events import ParticipantDeferred, ParticipantResumed
from schema.keys import LeaseToken, RecordId
from schema.outcomes import Delivered
from schema.states import Lane
from tests.support.api import Scripted
from tests.support.builders import ACTIVE
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


class Ahead(Doorbell):
    """The broker of a machine whose clock is two minutes ahead."""

    def _dispatch(self, command: str) -> Any:
        dispatch = super()._dispatch(command)

        def ahead(queue_name: str, *args: Any) -> Any:
            _skew.by = 120_000
            try:
                return dispatch(queue_name, *args)
            finally:
                _skew.by = 0

        return ahead


class _Skew(threading.local):
    by = 0


_skew = _Skew()


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> None:
    def skewed_millis() -> int:
        return current_millis() + _skew.by

    monkeypatch.setattr(dramatiq_redis, "current_millis", skewed_millis)


@pytest.mark.usefixtures("skewed")
def test_a_worker_whose_clock_is_ahead_takes_messages_from_others_and_no_call_is_made_twice(
    known: Outbox, redis: Redis
) -> None:
    """Fault 18: by its clock every other worker has been silent for two minutes."""
    held = threading.Event()
    answer = Scripted(
        outcome=Delivered(accepted={**ACTIVE, "training_status": "active"}),
        executed=True,
        meanwhile=lambda: _wait(held),
    )
    known.api.then(answer)
    _want(known)
    punctual = Worker(known, Doorbell(redis, "t"))
    ahead = Worker(known, Ahead(redis, "t"))
    a_relay(known, Doorbell(redis, "t")).run_once()
    with punctual.at_work():
        assert wait_until(lambda: known.api.writes == ["resume"], timeout=AT_MOST_S, every=0.01)
        with ahead.at_work():
            assert wait_until(lambda: ahead.told != [], timeout=AT_MOST_S, every=0.01)
            held.set()

    assert ahead.told == punctual.told, "the message in hand was given to both"
    assert known.api.operations == ["resume"]


def _wait(event: threading.Event) -> None:
    assert event.wait(AT_MOST_S)
