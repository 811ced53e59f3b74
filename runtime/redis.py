"""The one place that connects to Redis: a real server, or the stand-in inside this process.

One idea: a command is sent once. A lost reply means that it may or may not have run, and only
the caller knows whether running it twice does harm; so nothing here retries, and every wait is
short enough that a hung server is noticed and not waited for.
"""

import threading
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    import fakeredis

Redis: TypeAlias = redis.Redis
"""What `connect` hands out, real or built in; replies are bytes."""

CONNECT_TIMEOUT_SECONDS = 2.0
"""How long a connection may take to come up.

Redis is a neighbour: a healthy one answers in milliseconds. Lower makes a busy machine look like
an outage; higher makes every caller of a dead address wait that much longer for the same news.
"""

REPLY_TIMEOUT_SECONDS = 5.0
"""How long one reply may take.

A hung server is an outage after this long. Blocking commands must stay below it
(`LONGEST_BLOCK_SECONDS`), or a quiet queue looks like a hung server.
"""

LONGEST_BLOCK_SECONDS = 4.0
"""The longest a blocking command may ask to wait: a second less than the reply may take."""

HEALTH_CHECK_SECONDS = 30
"""A connection idle for longer is asked PING before it carries a command.

Without it the command itself finds out that a firewall dropped the connection, and its caller
cannot know whether it ran. Lower costs round trips on quiet connections.
"""

KEEPS_ALL = "noeviction"
"""The only `maxmemory-policy` with which Redis never throws away what it was given to keep."""


class RedisProblem(Exception):
    """Base of what can be wrong with Redis before any work begins."""


class BadRedisUrl(RedisProblem):
    """The URL cannot be used; correct it."""


class StandInUnavailable(RedisProblem):
    """The built-in Redis cannot run here; install what it needs, or use a real one."""


class RedisUnreachable(RedisProblem):
    """Nobody answers at the address; start Redis, or correct the address."""


def connect(redis_url: str | None, *, reply_timeout: float = REPLY_TIMEOUT_SECONDS) -> Redis:
    """Return a client for the server at `redis_url`, or for this process's stand-in when None.

    Nothing is sent yet: `ping` tells whether somebody is there. The client is safe to share
    between threads, retries nothing, and must be made after a fork, not before.
    """
    if redis_url is None:
        return stand_in(_shared_server())
    try:
        return redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            redis_url,
            protocol=2,  # one round trip less per connection, and no notifications to wait for
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            retry_on_error=[],
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=reply_timeout,
            socket_keepalive=True,
            health_check_interval=HEALTH_CHECK_SECONDS,
        )
    except ValueError as problem:
        raise BadRedisUrl(
            "REDIS_URL must look like redis://host:6379/0, rediss://… or unix://…"
        ) from problem


def new_stand_in() -> Redis:
    """Return a stand-in that shares nothing with any other; for tests."""
    return stand_in(_new_server())


def stand_in(server: "fakeredis.FakeServer") -> Redis:
    """Return a client of one stand-in server; clients of the same server see the same keys."""
    import fakeredis

    return fakeredis.FakeRedis(server=server, protocol=2)


def is_built_in(client: Redis) -> bool:
    """Tell whether this is the stand-in: its memory begins and ends with this process."""
    return _server_of(client) is not None


def ping(client: Redis) -> None:
    """Return when Redis answers; raise `RedisUnreachable` with its address when it does not."""
    try:
        client.ping()  # pyright: ignore[reportUnknownMemberType]
    except redis.RedisError as problem:
        raise RedisUnreachable(f"no answer from Redis at {address(client)}") from problem


def describe(client: Redis) -> str:
    """Say in a few words which Redis this is; never shows a user name or password.

    Raises `RedisUnreachable` when nobody answers.
    """
    if is_built_in(client):
        return "built in, memory only, one process"
    try:
        facts = client.info("server")  # pyright: ignore[reportUnknownMemberType]
    except redis.RedisError as problem:
        raise RedisUnreachable(f"no answer from Redis at {address(client)}") from problem
    return f"{_product(facts)} at {address(client)}"


def weakness(client: Redis) -> str | None:
    """Say what is wrong with a server that answers, with the cure; None when nothing is.

    It may throw away what it keeps, be full, or take no writes. A server that does not tell, or does
    not answer, has none that could be named.
    """
    if is_built_in(client):
        return None
    try:
        memory = client.info("memory")  # pyright: ignore[reportUnknownMemberType]
        role = client.info("replication").get("role")  # pyright: ignore[reportUnknownMemberType]
    except redis.RedisError:
        return None
    policy = memory.get("maxmemory_policy", KEEPS_ALL)
    if policy != KEEPS_ALL:
        return (
            f"has maxmemory-policy {policy}; set it to {KEEPS_ALL}, or a full Redis drops the log "
            "of the quota"
        )
    if 0 < memory.get("maxmemory", 0) <= memory.get("used_memory", 0):
        return "is full; raise its maxmemory, or take away what fills it"
    if role == "slave":
        return (
            "is a replica and takes no writes; name the primary in REDIS_URL, or promote this one"
        )
    return None


def address(client: Redis) -> str:
    """Return host and port (or the socket's path), without user name and password."""
    if is_built_in(client):
        return "built in"
    found = cast("Mapping[str, Any]", client.connection_pool.connection_kwargs)
    if "path" in found:
        return str(found["path"])
    return f"{found.get('host', 'localhost')}:{found.get('port', 6379)}"


def without_password(redis_url: str) -> str:
    """Return the URL as people may see it: scheme, host, port and database number."""
    parts = urlsplit(redis_url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _product(facts: Mapping[str, object]) -> str:
    if "valkey_version" in facts:
        return f"Valkey {facts['valkey_version']}"
    return f"Redis {facts.get('redis_version', 'of unknown version')}"


def _server_of(client: Redis) -> object | None:
    return cast("Mapping[str, Any]", client.connection_pool.connection_kwargs).get("server")


_one_at_a_time = threading.Lock()


@cache
def _first_server() -> "fakeredis.FakeServer":
    return _new_server()


def _shared_server() -> "fakeredis.FakeServer":
    with _one_at_a_time:  # two threads that ask first must not get one server each
        return _first_server()


def _new_server() -> "fakeredis.FakeServer":
    try:
        import fakeredis
        import lupa  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError as problem:
        raise StandInUnavailable(
            f"the built-in Redis needs {problem.name}: install 'fakeredis[lua]', or set REDIS_URL"
        ) from problem
    return fakeredis.FakeServer(version=(7,))
