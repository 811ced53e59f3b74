"""What comes out of the queue when Redis, the network or somebody else does something to it."""

import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq.message import Message

from pillarbox.world import wait_until
from runtime import redis as runtime_redis
from runtime.broker import Doorbell
from runtime.redis import Redis
from tests.support.proxy import Proxy, Refuse
from tests.support.servers import RedisServer

QUEUE = "deliver"
SPACE = "t"
AT_MOST_S = 30.0


class Heard:
    """The actor's side: what it was told, in order of arrival."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, what: object) -> None:
        self.told.append(what)
        assert self.hold.wait(AT_MOST_S)


@contextmanager
def at_work(client: Redis, heard: Heard, *, threads: int = 2) -> Generator[tuple[Doorbell, Any]]:
    """A broker, and a Dramatiq worker on it whose one actor only listens."""
    broker = Doorbell(client, SPACE)
    dramatiq.Actor(
        heard.__call__, broker=broker, actor_name=QUEUE, queue_name=QUEUE, priority=0, options={}
    )
    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=threads)
    worker.start()
    try:
        yield broker, worker
    finally:
        heard.hold.set()
        worker.stop()


def hears(heard: Heard, *wanted: object) -> bool:
    """Say whether all of these are told within the time."""
    return wait_until(lambda: set(wanted) <= set(heard.told), timeout=AT_MOST_S, every=0.01)


def in_line(client: Redis, text: bytes) -> None:
    """Put bytes in line as if they were a message."""
    client.rpush(f"{SPACE}:queue:{QUEUE}", text)


def a_text(**differs: Any) -> bytes:
    """The text of a message that would be right but for this."""
    message: Message[Any] = Message(
        queue_name=differs.get("queue_name", QUEUE),
        actor_name=differs.get("actor_name", QUEUE),
        args=differs.get("args", ["odd"]),  # pyright: ignore[reportArgumentType]
        kwargs={},
        options=differs.get("options", {}),
        message_id=differs.get("message_id", "m-1"),
    )
    return message.encode()


GARBAGE = [
    b"\x00\xff\xfe not a message",
    b"[]",
    b"null",
    b"{}",
    json.dumps({"queue_name": QUEUE}).encode(),
    a_text(actor_name="an actor of the next version"),
    a_text(queue_name="somewhere else"),
    a_text(options={"eta": 10**15}),
    a_text(options={"throws": "text"}),
    a_text(options={"pipe_target": {}}),
    a_text(message_id=["m-1"]),
    a_text(options=["eta"]),
    a_text(args=["too", "many"]),
]


@pytest.mark.parametrize("place", ["first", "last"])
def test_garbage_takes_no_message_along_and_no_thread_down(redis: Redis, place: str) -> None:
    """Fault 17: bytes that are no message, and messages that no actor of ours can answer."""
    heard = Heard()
    with at_work(redis, heard) as (broker, worker):
        for number, text in enumerate(GARBAGE):
            if place == "first":
                in_line(redis, text)
            broker.ring(QUEUE, QUEUE, [(number,)])
            if place == "last":
                in_line(redis, text)

        assert hears(heard, *range(len(GARBAGE)))
        # The last of them has an argument too many, and is the actor's to refuse.
        assert wait_until(lambda: broker.unreadable == len(GARBAGE) - 1, timeout=AT_MOST_S)
        assert all(thread.is_alive() for thread in (*worker.workers, *worker.consumers.values()))
    assert len(heard.told) == len(GARBAGE)


def test_nothing_is_ever_delayed_in_the_broker(redis: Redis) -> None:
    """Fault 16: there is no queue for delays, nor anybody who would look into one."""
    heard = Heard()
    with at_work(redis, heard) as (broker, worker):
        broker.ring(QUEUE, QUEUE, [("now",)])

        assert hears(heard, "now")
        assert list(worker.consumers) == [QUEUE]


# Real Redis behind a proxy: faults of the network


@pytest.fixture
def proxied(redis_server: RedisServer) -> Iterator[tuple[Proxy, Redis, Redis]]:
    """A proxy, a client through it, and one past it."""
    with Proxy("127.0.0.1", redis_server.port) as proxy:
        through = runtime_redis.connect(f"redis://127.0.0.1:{proxy.port}/0", reply_timeout=0.5)
        past = runtime_redis.connect(redis_server.url)
        with closing(through), closing(past):
            yield proxy, through, past


def test_a_worker_stops_in_order_while_redis_is_away(
    proxied: tuple[Proxy, Redis, Redis],
) -> None:
    proxy, through, past = proxied
    heard = Heard()
    heard.hold.clear()
    bell = Doorbell(past, SPACE)
    with at_work(through, heard, threads=1) as (_, worker):
        bell.ring(QUEUE, QUEUE, [("in hand",), ("not begun",)])
        assert hears(heard, "in hand")
        proxy.mode = Refuse()
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        heard.hold.set()
        stopping.join(AT_MOST_S)

        assert not stopping.is_alive()
        assert not any(thread.is_alive() for thread in worker.workers)


def become_read_only(client: Any) -> None:
    client.replicaof("127.0.0.1", 1)


def become_full(client: Any) -> None:
    client.config_set("maxmemory", 1)


def have_an_odd_key(client: Any) -> None:
    client.set(f"{SPACE}:queue:{QUEUE}", "x")


@pytest.mark.parametrize("break_it", [become_read_only, become_full, have_an_odd_key])
def test_a_redis_that_takes_no_writes_is_away_and_not_a_bug(
    redis_server: RedisServer, break_it: Callable[[Any], None]
) -> None:
    """Faults 12 and 19: each is said as a lost connection, which everybody here can bear."""
    with closing(runtime_redis.connect(redis_server.url)) as client:
        bell = Doorbell(client, SPACE)
        break_it(client)

        with pytest.raises(ConnectionError):
            bell.ring(QUEUE, QUEUE, [(1,)])
