"""The Dramatiq broker: a doorbell, and nothing more.

One idea: a message is a pointer to a row. It may be lost, doubled, delayed or come out of order;
the row decides. So of the broker only carrying and threads are used: no retries, no delays, no
results, no limits, no dead letters.
"""

# Dramatiq and this part of redis carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import os
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any
from uuid import uuid4

os.environ.setdefault("dramatiq_queue_prefetch", "0")  # 0: Dramatiq takes twice the threads

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis
from dramatiq.message import Message
from dramatiq.middleware import Middleware
from redis import exceptions as redis_errors

MAINTENANCE_CHANCE = 200_000
"""Of a million commands, how many also return a dead worker's messages. At Dramatiq's 1,000 a
quiet queue takes a quarter of an hour; the relay would ring again long before, but doubly."""

HEARTBEAT_MS = 10_000
"""How long a worker may be silent before its messages are given to others."""

BROKER_DOWN = (
    redis.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.BusyLoadingError,
)
"""Errors that Dramatiq would take for bugs, and that are outages: hung, read-only, full, loading."""


class Doorbell(RedisBroker):
    """A broker that treats every way Redis can be away as a lost connection."""

    def __init__(self, client: Any, namespace: str) -> None:
        super().__init__(
            client=client,
            namespace=f"{namespace}:queue",
            middleware=list[Middleware](),
            maintenance_chance=MAINTENANCE_CHANCE,
            heartbeat_timeout=HEARTBEAT_MS,
        )
        self.fetched_at = time.monotonic()
        """When a consumer last asked for messages, for the watchdog."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Make a consumer that says when it asks."""
        consumer = super().consume(queue_name, prefetch, timeout)
        return _Watched(self, consumer)

    def waiting(self, queue: str) -> int:
        """Count the messages that nobody has fetched; 0 while Redis is away."""
        try:
            return int(self.client.llen(f"{self.namespace}:{queue}"))
        except redis.RedisError:
            return 0

    def ring(self, actor: str, queue: str, calls: Sequence[tuple[Any, ...]]) -> None:
        """Put many messages for one actor on its queue in one round trip.

        Raises the built-in ConnectionError when Redis is away: some may be on the queue then,
        which does no harm.
        """
        now = current_millis()
        messages = {one.message_id: one.encode() for one in _messages(actor, queue, calls, now)}
        if not messages:
            return
        # What Dramatiq's own enqueue does, for many at once: the text by id, then the id in line.
        pipe = self.client.pipeline(transaction=True)
        pipe.execute_command("HSET", f"{self.namespace}:{queue}.msgs", *chain(*messages.items()))
        pipe.execute_command("RPUSH", f"{self.namespace}:{queue}", *messages)
        try:
            pipe.execute()
        except redis.RedisError as error:
            raise ConnectionError(type(error).__name__) from None

    def _dispatch(self, command: str) -> Any:
        dispatch = super()._dispatch(command)

        def do_dispatch(queue_name: str, *args: Any) -> Any:
            try:
                return dispatch(queue_name, *args)
            except BROKER_DOWN as error:
                raise redis.ConnectionError(type(error).__name__) from None

        return do_dispatch


def _messages(
    actor: str, queue: str, calls: Sequence[tuple[Any, ...]], now: int
) -> Iterator[Message[Any]]:
    for arguments in calls:
        one = str(uuid4())
        yield Message(
            queue_name=queue,
            actor_name=actor,
            args=arguments,
            kwargs={},
            options={"redis_message_id": one},
            message_id=one,
            message_timestamp=now,
        )


class _Watched:
    """A consumer that notes when it last asked for messages."""

    def __init__(self, broker: Doorbell, consumer: Any) -> None:
        self._broker = broker
        self._consumer = consumer

    def __iter__(self) -> "_Watched":
        return self

    def __next__(self) -> Any:
        self._broker.fetched_at = time.monotonic()
        return next(self._consumer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)
