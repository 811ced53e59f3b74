"""The same behaviour on the stand-in and on a real Redis of our own."""

import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.quota import Granted, Limit, PastCall, Quota
from runtime.redis import Redis, connect, new_stand_in
from schema.states import Lane
from tests.quota.world import HOLD, Database, HandClock, Shared, stored_keys

NO_REDIS = "redis-server is not installed"
_numbers = itertools.count()


class RedisChild:
    """A redis-server of our own on a free port, which a test may stop, freeze and start again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = _free_port()
        self._process = self._started()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        _wait_for(self.port)
        return process


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    if shutil.which("redis-server") is None:
        pytest.skip(NO_REDIS)
    child = RedisChild(tmp_path_factory.mktemp("redis"))
    yield child.url
    child.stop()


@pytest.fixture
def redis_child(tmp_path: Path) -> Generator[RedisChild]:
    """A server for one test alone."""
    if shutil.which("redis-server") is None:
        pytest.skip(NO_REDIS)
    child = RedisChild(tmp_path)
    yield child
    child.stop()


@pytest.fixture(params=["built in", "real"])
def client(request: pytest.FixtureRequest) -> Redis:
    if request.param == "built in":
        return new_stand_in()
    return connect(request.getfixturevalue("redis_url"))


@pytest.fixture
def namespace() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"


class Bench:
    """What a test of one quota needs: a clock, a database, and quotas that are already open."""

    def __init__(self, client: Redis, namespace: str) -> None:
        self.client = client
        self.clock = HandClock()
        self.database = Database(self.clock)
        self._namespace = namespace

    def process(
        self,
        *,
        calls: int = 100,
        window: float = 10,
        key_name: str = "key",
        address_calls: int | None = None,
        recent: Callable[[], Sequence[PastCall]] | None = None,
    ) -> Quota:
        """Return the quota of a process that has just started."""
        span = timedelta(seconds=window)
        return Quota(
            Shared(self.client),
            key_name=key_name,
            limit=Limit(calls=calls, window=span),
            hold=HOLD,
            recent=recent or self.database.recent,
            address=None if address_calls is None else "198.51.100.7",
            address_limit=None
            if address_calls is None
            else Limit(calls=address_calls, window=span),
            namespace=self._namespace,
            monotonic=self.clock.monotonic,
            _redis_time=self.clock.redis_time,
        )

    def quota(
        self,
        *,
        calls: int = 100,
        window: float = 10,
        key_name: str = "key",
        address_calls: int | None = None,
    ) -> Quota:
        """Return the quota of a process that has been granted a slot before, and gave it back."""
        quota = self.process(
            calls=calls, window=window, key_name=key_name, address_calls=address_calls
        )
        self.let_in(quota)
        return quota

    def let_in(self, quota: Quota) -> None:
        for pause in (3, 0):
            grant = quota.ask(Lane.LIVE, caller="first")
            if isinstance(grant, Granted):
                quota.unused(grant)
            self.later(pause)

    def later(self, seconds: float) -> None:
        self.clock.goes_on(timedelta(seconds=seconds))

    def grants(self, quota: Quota, lane: Lane, *, at_most: int = 10_000) -> list[Granted]:
        """Ask until there is no slot; the calls are in flight and marked."""
        granted: list[Granted] = []
        while len(granted) < at_most:
            answer = quota.ask(lane)
            if not isinstance(answer, Granted):
                break
            self.database.mark(answer)
            granted.append(answer)
        return granted

    def calls(self, quota: Quota, lane: Lane, *, at_most: int = 10_000) -> list[Granted]:
        """Ask until there is no slot; each call is answered at once."""
        granted: list[Granted] = []
        while len(granted) < at_most:
            found = self.grants(quota, lane, at_most=1)
            if not found:
                break
            quota.answered(found[0])
            self.database.settle(found[0])
            granted += found
        return granted

    def stored(self) -> list[str]:
        """Return the names of all keys this quota has in Redis."""
        return stored_keys(self.client, self._namespace)

    def forget_everything(self) -> None:
        self.client.delete(*self.stored())


@pytest.fixture
def bench(client: Redis, namespace: str) -> Bench:
    return Bench(client, namespace)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    ends = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < ends, "redis-server did not start"
            time.sleep(0.01)
        else:
            return
