"""The Dramatiq broker: a doorbell, and nothing more.

One idea: a message is a pointer to a row. It may be lost, doubled, delayed or come out of order;
the row decides. So of Dramatiq only messages, actors and threads are used: no retries, no delays,
no results, no limits, no dead letters; and no acknowledgements. What is fetched is off the queue at
once, and what dies with its process is rung again.
"""

# Dramatiq and this part of redis carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

import redis
import structlog
from dramatiq import worker as dramatiq_worker
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.common import compute_backoff, current_millis
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message
from dramatiq.middleware import Middleware

logger = structlog.get_logger(__name__)

dramatiq_worker.CONSUMER_RESTART_DELAY_SECS = 1.0
"""How long a consumer waits after a failure before it asks again: Dramatiq's 3 s are added to every
recovery. Lower only fills the log of an outage."""


class Doorbell(Broker):
    """A broker that carries messages over a list in Redis, in order."""

    def __init__(self, client: Any, namespace: str) -> None:
        super().__init__(middleware=list[Middleware]())
        self.client = client
        self.namespace = f"{namespace}:queue"
        self.queues: set[str] = set()
        self._fetched: dict[str, float] = {}
        self.unreadable = 0
        """How many messages were not ours, for people."""

    @property
    def fetched_at(self) -> float:
        """When the consumer that has been silent longest last asked for messages."""
        return min(self._fetched.values(), default=time.monotonic())

    def fetching(self, queue: str) -> None:
        """Note that the consumer of a queue asks for messages now."""
        self._fetched[queue] = time.monotonic()

    def declare_queue(self, queue_name: str) -> None:
        """Know a queue. There is none beside it for what is delayed: nothing here is."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        """Give the queues that are known."""
        return self.queues.copy()

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put one message on its queue, as `actor.send` does.

        Raises ValueError for one with a delay, and the built-in ConnectionError while Redis is
        away.
        """
        if delay is not None:
            raise ValueError("the doorbell delays nothing; put the time into a row")
        self._push(message.queue_name, [message.encode()])
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Make a consumer of a queue, for one thread."""
        self.fetching(queue_name)
        return _Rings(self, queue_name, prefetch=prefetch, idle_ms=timeout)

    def key(self, queue: str) -> str:
        """Name the list that is a queue."""
        return f"{self.namespace}:{queue}"

    def waiting(self, queue: str) -> int | None:
        """Count the messages that nobody has fetched; None while Redis is away."""
        try:
            return int(self.client.llen(self.key(queue)))
        except redis.RedisError:
            return None

    def ring(self, actor: str, queue: str, calls: Sequence[tuple[Any, ...]]) -> None:
        """Put many messages for one actor on its queue in one round trip.

        Raises the built-in ConnectionError when Redis is away: some may be on the queue then,
        which does no harm.
        """
        now, batch = current_millis(), uuid4().hex
        self._push(
            queue,
            [
                Message(
                    queue_name=queue,
                    actor_name=actor,
                    args=arguments,
                    kwargs={},
                    options={},
                    message_id=f"{batch}-{place}",
                    message_timestamp=now,
                ).encode()
                for place, arguments in enumerate(calls)
            ],
        )

    def _push(self, queue: str, messages: Sequence[bytes]) -> None:
        if not messages:
            return
        try:
            self.client.rpush(self.key(queue), *messages)
        except redis.RedisError as error:
            raise ConnectionError(type(error).__name__) from None


class _Rings(Consumer):
    """What one consumer thread has fetched, and how much of it its workers have in hand."""

    def __init__(self, broker: Doorbell, queue: str, *, prefetch: int, idle_ms: int) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._idle_ms = idle_ms
        self._fetched = deque[bytes]()
        self._in_hand = set[str]()
        self._misses = 0

    def __next__(self) -> MessageProxy | None:
        """Give the next message; None after a while without one."""
        self._broker.fetching(self._queue)
        room = self._prefetch - len(self._in_hand)
        if not self._fetched and room > 0:
            self._fetched.extend(self._pop(room))
        if not self._fetched:
            self._misses, wait_ms = compute_backoff(self._misses, max_backoff=self._idle_ms)
            time.sleep(wait_ms / 1000)
            return None
        self._misses = 0
        message = self._read(self._fetched.popleft())
        if message is None:
            return None
        self._in_hand.add(message.message_id)
        return MessageProxy(message)

    def _read(self, text: bytes) -> Message[Any] | None:
        """Read a message; None for what is none of ours, which is dropped and told.

        Dramatiq's consumer would stop over it for a while. Some of it would be delayed in memory,
        or end the worker thread that gets it.
        """
        try:
            message = Message.decode(text)
            problem = self._problem(message)
        except Exception:  # whatever the bytes make of the decoder
            message, problem = None, "it is no message"
        if problem is None:
            return message
        self._broker.unreadable += 1
        logger.warning("message_unreadable", queue=self._queue, problem=problem)
        return None

    def _problem(self, message: Any) -> str | None:
        """Say why a message cannot be used; None when it can."""
        ours = (message.queue_name, message.options) == (self._queue, {})
        if not ours or not isinstance(message.message_id, str):
            return "it is not of our making"
        if message.actor_name not in self._broker.actors:
            return "it is for an actor that this version does not have"
        return None

    def ack(self, message: MessageProxy) -> None:
        """Have room for another one; the queue has long forgotten this one."""
        self._in_hand.discard(message.message_id)

    def nack(self, message: MessageProxy) -> None:
        """Do the same: whoever rang rings again as long as the row asks for it."""
        self._in_hand.discard(message.message_id)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back what this process will not get to, so that others need not wait for a ring."""
        self._push_back([one.encode() for one in messages])

    def close(self) -> None:
        """Give back what was fetched."""
        self._push_back(list(self._fetched))
        self._fetched.clear()

    def _pop(self, most: int) -> list[bytes]:
        try:
            return self._broker.client.lpop(self._broker.key(self._queue), most) or []
        except redis.RedisError as error:
            # However Redis is away, hung, read-only, full or loading, it is an outage, not a bug.
            raise ConnectionClosed(error) from None

    def _push_back(self, messages: Sequence[bytes]) -> None:
        if not messages:
            return
        try:
            self._broker.client.lpush(self._broker.key(self._queue), *reversed(messages))
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
