"""Fixtures that all tests share: databases, Redis, and an environment without our variables."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import event

from runtime import migrations
from runtime import redis as runtime_redis
from runtime.database import Database
from runtime.memory import collect_seldom
from runtime.redis import Redis
from tests.support.outbox import Outbox
from tests.support.servers import (
    OURS,
    NotHere,
    PostgresServer,
    RedisServer,
    empty,
    postgres_server,
)

settings.register_profile(
    "ours", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: begun last, it would run while another process has nothing to do."""
    items.sort(key=lambda one: one.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Let the collector leave what was loaded alone, as every process of ours that works for long does."""
    collect_seldom()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; skips where there is none, and says what would help."""
    try:
        with postgres_server() as server:
            yield server
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer) -> Iterator[Database]:
    """One migrated database for the session; `database` empties it."""
    database = Database(postgres.new())
    yield database
    database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("template") / "pillarbox.db"
    database = Database(f"sqlite:///{file}")
    migrations.upgrade(database)
    with database.reading() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return file


@pytest.fixture(scope="session")
def sqlite_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One SQLite file for the session; `database` makes it anew. What was compiled for it is kept.

    It never waits for the disk: none of those tests is about the power.
    """
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'pillarbox.db'}")
    event.listen(database.engine, "connect", _wait_for_no_disk)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both databases, one after the other."""
    return str(request.param)


@pytest.fixture
def database(backend: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty, migrated database: a SQLite file, then PostgreSQL."""
    if backend == "postgresql":
        shared: Database = request.getfixturevalue("postgres_database")
        _empty(shared)
        yield shared
        return
    own: Database = request.getfixturevalue("sqlite_database")
    own.engine.dispose()
    file = Path(own.url.database or "")
    for left in file.parent.iterdir():
        left.unlink()
    shutil.copy(request.getfixturevalue("sqlite_template"), file)
    yield own


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database of the test's own, for other processes to open."""
    if backend == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new()
        yield url
        server.give_back(url)
        return
    file: Path = request.getfixturevalue("tmp_path") / "pillarbox.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), file)
    yield f"sqlite:///{file}"


@pytest.fixture
def outbox(database: Database) -> Outbox:
    """The outgoing half on an empty database."""
    return Outbox(database)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server of the test's own; skips where there is none."""
    try:
        server = RedisServer(tmp_path)
    except NotHere as error:
        pytest.skip(str(error))
    with closing(server):
        yield server


@pytest.fixture(params=["stand-in", "redis"])
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis client: the stand-in, then a real server."""
    if request.param == "stand-in":
        yield runtime_redis.new_stand_in()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    client = runtime_redis.connect(server.url)
    yield client
    client.close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which none of our variables is set; set some with `setenv`."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    return monkeypatch


def _wait_for_no_disk(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _empty(database: Database) -> None:
    database.engine.dispose()  # a connection that a test forgot must not block what follows
    empty(database)
