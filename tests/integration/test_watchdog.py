"""The watchdog ends a process that stands still, and only that one."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from outbox import bindings
from outbox.relay import Round
from runtime.broker import Doorbell
from runtime.database import Database
from runtime.redis import new_stand_in
from runtime.settings import Settings
from schema.states import Lane
from tests.support.clock import HandClock
from workers import poll
from workers import poller as poller_process
from workers import relay as relay_process
from workers.deliver import bind
from workers.heartbeat import EVERY, FROZEN_AFTER, Heart
from workers.poll import Polls
from workers.poller import Poller
from workers.relay import RelayLoop
from workers.wiring import ACTOR, QUEUE, Wiring
from workers.worker import STANDS_STILL_S, Worker


@pytest.fixture
def wiring(sqlite_template: Path, tmp_path: Path) -> Iterator[Wiring]:
    """What a process works with, on an empty SQLite file and a Redis of its own."""
    file = tmp_path / "pillarbox.db"
    file.write_bytes(sqlite_template.read_bytes())
    settings = Settings.from_environment(
        {
            "DATABASE_URL": f"sqlite:///{file}",
            "PILLARBOX_API_URL": "http://127.0.0.1:9/api/v3",
            "PILLARBOX_API_TOKEN": "token",
        }
    )
    made = Wiring(settings=settings, database=Database(settings.database_url), redis=new_stand_in())
    yield made
    made.close()


def a_heart(database: Database, *, alive: bool, deaths: list[str]) -> Heart:
    return Heart(
        "worker",
        database,
        HandClock(),
        dict,
        alive=lambda: alive,
        die=lambda: deaths.append("died"),
    )


@pytest.mark.parametrize(
    ("alive", "waited", "ends"),
    [
        (True, EVERY, False),
        (False, EVERY, True),
        (False, FROZEN_AFTER - timedelta(seconds=1), True),
        (False, FROZEN_AFTER, False),  # stopped and continued: nobody had a chance to get on
    ],
)
def test_a_process_that_stands_still_ends_and_one_that_was_stopped_is_given_time(
    database: Database, alive: bool, waited: timedelta, ends: bool
) -> None:
    deaths: list[str] = []

    a_heart(database, alive=alive, deaths=deaths).look(waited=waited)

    assert (deaths != []) == ends


def test_a_worker_whose_consumer_has_ended_stands_still_though_others_fetch(wiring: Wiring) -> None:
    worker = Worker(wiring, threads=1)
    worker.start()
    try:
        assert worker.gets_on()
        (thread,) = worker.consumers
        consumer: Any = thread
        consumer.stop()
        consumer.join(10)
        wiring.broker.fetching("another queue")

        assert not worker.gets_on()
    finally:
        worker.stop()


def test_a_worker_of_which_one_queue_is_not_asked_any_more_stands_still(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(wiring, threads=1)
    worker.start()
    try:
        wiring.broker.fetching("a queue that nobody asks again")
        long_after = time.monotonic() + STANDS_STILL_S
        monkeypatch.setattr("workers.worker.time", _At(long_after))

        assert not worker.gets_on()
    finally:
        monkeypatch.undo()
        worker.stop()


class _At:
    """A clock that stands at one moment."""

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def monotonic(self) -> float:
        return self._moment


def test_a_relay_of_many_destinations_gets_on_with_each(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Redis hung each destination takes seconds; all together must not look like a death."""
    loop = RelayLoop(wiring, threading.Event())
    seen: list[bool] = []
    clock = [time.monotonic()]
    monkeypatch.setattr("workers.relay.time", _Moving(clock))

    def slow(_: object) -> Round:
        clock[0] += relay_process.STANDS_STILL_S - 1
        seen.append(loop.gets_on())
        return Round()

    monkeypatch.setattr(relay_process, "_round", slow)
    loop.work *= 3
    loop.run_once()

    assert seen == [True] * 3


class _Moving:
    """A clock that a test moves."""

    def __init__(self, now: list[float]) -> None:
        self._now = now

    def monotonic(self) -> float:
        return self._now[0]


@pytest.mark.parametrize(
    "told",
    [
        (),
        ("default",),
        ("default", "1", 1, "live"),
        ("default", 1, 1, "fast"),
        ("a", 1, 1, "live", 2),
    ],
)
def test_a_message_that_is_no_ring_is_said_and_harms_nobody(
    wiring: Wiring, told: tuple[object, ...]
) -> None:
    broker = Doorbell(wiring.redis, "t")
    bind(wiring, broker)

    with capture_logs() as logs:
        actor: Any = cast(Any, broker).get_actor(ACTOR)
        actor.fn(*told)

    assert [one["event"] for one in logs] == ["message_unreadable"]
    assert {one["queue"] for one in logs} == {QUEUE}


def test_a_relay_that_cannot_see_the_queue_puts_nothing_on_it(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = wiring.settings.destinations[0]
    room = wiring.room(destination)

    def seven(*_: object) -> int:
        return 7

    def unseen(_: str) -> None:
        return None

    monkeypatch.setattr(wiring.paces[destination.name], "room", seven)
    assert room(Lane.LIVE, 0) == 7

    monkeypatch.setattr(wiring.broker, "waiting", unseen)

    assert room(Lane.LIVE, 0) == 0


def test_a_poller_of_a_database_that_was_bound_anew_ends(wiring: Wiring) -> None:
    wiring.bind()
    poller = Poller(wiring, threading.Event(), threads=1)
    assert poller.gets_on()
    with wiring.database.transaction() as connection:
        bound = bindings.bound(connection, "default")
        assert bound is not None
        bindings.rebind(connection, bound, now=wiring.clock.now(), live=True, last_record=0)
        assert [one(connection) for one in wiring.bounds] == [False]

    assert not poller.gets_on()


@pytest.fixture
def poller(wiring: Wiring) -> Iterator[Poller]:
    wiring.bind()
    made = Poller(wiring, threading.Event(), threads=1)
    made.start()
    yield made
    made.stop()


def test_a_poller_whose_consumer_has_ended_stands_still(poller: Poller) -> None:
    assert poller.gets_on()
    (thread,) = poller.consumers
    consumer: Any = thread
    consumer.stop()
    consumer.join(10)

    assert not poller.gets_on()


def test_a_poller_that_asks_redis_for_nothing_any_more_stands_still(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Doorbell, "fetched_at", time.monotonic() - poller_process.STANDS_STILL_S)

    assert not poller.gets_on()


def test_a_poller_of_which_every_thread_hangs_in_a_slice_stands_still(
    poller: Poller, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hanging(*_: object) -> None:
        entered.set()
        leave.wait(30)

    monkeypatch.setattr(Polls, "answer", hanging)
    Doorbell(wiring.redis, wiring.settings.namespace).ring(
        poll.ACTOR, poll.QUEUE, [("default", "participants", "poll", None)]
    )
    try:
        assert entered.wait(10)
        assert poller.gets_on()
        longest = wiring.settings.poll_runtime + timedelta(minutes=20)
        monkeypatch.setattr("workers.deliver.time", _At(time.monotonic() + longest.total_seconds()))
        assert not poller.gets_on()
    finally:
        leave.set()
