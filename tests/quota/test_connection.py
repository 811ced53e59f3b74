"""The one place that connects to Redis."""

import re
import sys

import pytest

from runtime import redis as runtime_redis
from runtime.redis import (
    LONGEST_BLOCK_SECONDS,
    REPLY_TIMEOUT_SECONDS,
    BadRedisUrl,
    RedisUnreachable,
    StandInUnavailable,
    address,
    connect,
    describe,
    is_built_in,
    new_stand_in,
    ping,
    without_password,
)

SECRET = "hunter2"


def test_without_a_url_everybody_in_the_process_shares_one_stand_in() -> None:
    connect(None).set("shared", "yes")

    assert connect(None).get("shared") == b"yes"
    assert new_stand_in().get("shared") is None


def test_the_stand_in_says_what_it_is() -> None:
    assert describe(new_stand_in()) == "built in, memory only, one process"
    assert is_built_in(connect(None))
    assert not is_built_in(connect("redis://127.0.0.1/0"))


def test_a_real_server_is_described_with_version_and_address(redis_url: str) -> None:
    client = connect(redis_url)
    ping(client)

    assert re.fullmatch(r"(Redis|Valkey) \d+\.\d+\.\d+ at 127.0.0.1:\d+", describe(client))


def test_nothing_shown_to_people_holds_the_password() -> None:
    url = f"redis://pillarbox:{SECRET}@127.0.0.1:1/0"
    client = connect(url)

    with pytest.raises(RedisUnreachable) as problem:
        describe(client)

    assert str(problem.value) == "no answer from Redis at 127.0.0.1:1"
    assert address(client) == "127.0.0.1:1"
    assert without_password(url) == "redis://127.0.0.1:1/0"


def test_a_url_that_is_none_is_refused_with_what_would_be_right() -> None:
    with pytest.raises(BadRedisUrl, match="redis://host:6379/0") as problem:
        connect(f"localhost:{SECRET}")

    assert SECRET not in str(problem.value)


def test_commands_are_sent_once() -> None:
    settings = connect("redis://127.0.0.1/0").connection_pool.connection_kwargs

    assert settings["retry"].get_retries() == 0
    assert settings["socket_timeout"] == REPLY_TIMEOUT_SECONDS > LONGEST_BLOCK_SECONDS


def test_without_lua_the_stand_in_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lupa", None)

    with pytest.raises(StandInUnavailable, match=r"fakeredis\[lua\]"):
        runtime_redis.new_stand_in()
