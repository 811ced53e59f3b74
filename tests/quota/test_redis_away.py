"""Redis cannot be asked: no calls, said soon and by name."""

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis

from gateway.errors import QuotaUnavailable
from gateway.quota import MARK_BY, Granted, Limit, Quota, Wait
from runtime.redis import REPLY_TIMEOUT_SECONDS, Redis, connect, new_stand_in
from schema.states import Lane
from tests.quota.conftest import RedisChild
from tests.quota.world import HOLD, HandClock

QUICK = 0.3


def a_quota(client: Redis) -> Quota:
    return Quota(
        client,
        key_name="key",
        limit=Limit(calls=5, window=timedelta(seconds=10)),
        hold=HOLD,
        recent=tuple,
    )


@contextmanager
def frozen(child: RedisChild) -> Generator[None]:
    os.kill(child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child.pid, signal.SIGCONT)


def test_nobody_listening_means_no_calls() -> None:
    quota = a_quota(connect("redis://127.0.0.1:1/0"))

    with pytest.raises(QuotaUnavailable):
        quota.ask(Lane.LIVE)
    with pytest.raises(QuotaUnavailable):
        quota.room(Lane.LIVE, within=timedelta(seconds=1))
    with pytest.raises(QuotaUnavailable):
        quota.fill()


def test_a_hung_server_is_given_up_after_the_timeout(redis_child: RedisChild) -> None:
    quota = a_quota(connect(redis_child.url, reply_timeout=QUICK))
    quota.ask(Lane.LIVE)

    with frozen(redis_child):
        begun = time.monotonic()
        with pytest.raises(QuotaUnavailable):
            quota.ask(Lane.LIVE)
        took = time.monotonic() - begun

    assert QUICK <= took <= 3 * QUICK
    assert QUICK < REPLY_TIMEOUT_SECONDS


def test_a_hung_server_that_goes_on_is_asked_again_without_a_restart(
    redis_child: RedisChild,
) -> None:
    quota = a_quota(connect(redis_child.url, reply_timeout=QUICK))
    with frozen(redis_child), pytest.raises(QuotaUnavailable):
        quota.ask(Lane.LIVE)

    assert isinstance(quota.ask(Lane.LIVE), Wait)


def test_a_report_never_raises(redis_child: RedisChild) -> None:
    quota = a_quota(connect(redis_child.url, reply_timeout=QUICK))
    grant = Granted(id="any.1", lane=Lane.LIVE, asked_at=0.0)
    redis_child.stop()

    quota.answered(grant)
    quota.unused(grant)
    quota.refused(grant)


def test_a_restarted_server_is_asked_again_without_a_restart(redis_child: RedisChild) -> None:
    quota = a_quota(connect(redis_child.url))
    quota.ask(Lane.LIVE)
    redis_child.stop()
    with pytest.raises(QuotaUnavailable):
        quota.ask(Lane.LIVE)
    redis_child.start()

    assert isinstance(quota.ask(Lane.LIVE), Wait)


def test_a_replica_that_cannot_be_written_is_away(redis_child: RedisChild) -> None:
    client = connect(redis_child.url)
    quota = a_quota(client)
    client.replicaof("127.0.0.1", 1)  # pyright: ignore[reportUnknownMemberType]

    with pytest.raises(QuotaUnavailable):
        quota.ask(Lane.LIVE)


class LosesReplies:
    """Runs what it is sent, and then pretends that the reply got lost."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.loses = False

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        reply = self._client.evalsha(sha, numkeys, *keys_and_args)
        if self.loses:
            raise redis.TimeoutError
        return reply

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        return self._client.eval(script, numkeys, *keys_and_args)


def test_a_lost_reply_costs_one_slot_for_a_while_and_nothing_more() -> None:
    clock = HandClock()
    losing = LosesReplies(new_stand_in())
    window = timedelta(seconds=10)
    quota = Quota(
        losing,
        key_name="key",
        limit=Limit(calls=2, window=window),
        hold=HOLD,
        recent=tuple,
        monotonic=clock.monotonic,
        _redis_time=clock.redis_time,
    )
    quota.ask(Lane.LIVE)
    clock.goes_on(timedelta(seconds=3))
    losing.loses = True
    with pytest.raises(QuotaUnavailable):
        quota.ask(Lane.LIVE)
    losing.loses = False
    quota.ask(Lane.LIVE)  # the log was opened by a request whose reply was lost, or is opened now

    assert quota.fill().used <= 2
    clock.goes_on(MARK_BY + HOLD + window + timedelta(seconds=1))
    assert quota.fill().used == 0
