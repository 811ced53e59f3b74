"""Handlers as they are run: by poller processes that are killed, on a real Redis and the stand-in."""

import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text, update

from inbox import feed, places
from inbox.cursor import Cursor
from inbox.news import Item
from inbox.places import Place
from pillarbox.world import SANDBOX_TOKEN, World, wait_until, with_sandbox
from runtime.clock import clock_of
from runtime.database import Database
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.inbox import News
from schema.incoming_tables import subscriber
from tests.support.command import run
from tests.support.servers import NotHere, PostgresServer, RedisServer, surroundings
from tests.support.site import PATIENCE_S, ROOT

HANDLERS = """
import os, signal
from pathlib import Path
from sqlalchemy import text
from inbox.subscribers import subscribe

FOLDER = Path(os.environ["HANDLERS_FOLDER"])

@subscribe("participant", begin="now")
def together(news, connection):
    connection.execute(text("INSERT INTO heard (who, position) VALUES ('together', :p)"),
                       {"p": news.position})
    if news.remote_id == "p2" and not (FOLDER / "died").exists():
        (FOLDER / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)

@subscribe("participant", begin="now")
def by_itself(news):
    with (FOLDER / "heard").open("a") as file:
        file.write(f"{news.position}\\n")

@subscribe("participant", begin="now")
def failing(news):
    raise ValueError("Amara Okafor")
"""


@contextmanager
def a_poller(environment: dict[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "pillarbox", "poller", "--threads", "1"],
            cwd=ROOT,
            env={**surroundings(), **environment},
            stderr=out,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
        child.wait()


def tell(database: Database, *people: str) -> None:
    entries = [
        feed.Entry(source="participants", remote_id=one, item=Item(kind=News.NEW, after={}))
        for one in people
    ]
    with database.transaction() as connection:
        feed.append(connection, "default", entries, run_id=None, now=clock_of(database).now())


def standing(database: Database) -> dict[str, Place]:
    with database.reading() as connection:
        return {one.name: one for one in places.all_of(connection, "default")}


def heard(database: Database) -> list[int]:
    with database.reading() as connection:
        return list(connection.execute(text("SELECT position FROM heard ORDER BY n")).scalars())


def test_a_poller_killed_inside_a_handler_goes_on_there_and_one_that_fails_stops_no_other(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    try:
        redis = RedisServer(tmp_path)
    except NotHere as error:
        pytest.skip(str(error))
    (tmp_path / "killed_handlers.py").write_text(HANDLERS, encoding="utf-8")
    url = postgres.new()
    with closing(redis), Sandbox(limit=1_000_000) as sandbox, closing(Database(url)) as database:
        with database.transaction() as connection:
            connection.execute(
                text("CREATE TABLE heard (n SERIAL PRIMARY KEY, who TEXT, position BIGINT)")
            )
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": redis.url,
            "PILLARBOX_API_URL": sandbox.url,
            "PILLARBOX_API_TOKEN": SANDBOX_TOKEN,
            "PILLARBOX_SUBSCRIBERS": "killed_handlers",
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "HANDLERS_FOLDER": str(tmp_path),
            "LOG_FORMAT": "json",
        }
        log = tmp_path / "poller.log"
        with a_poller(environment, log) as child:
            assert wait_until(lambda: len(standing(database)) == 3, timeout=PATIENCE_S)
            tell(database, "p1", "p2", "p3")
            child.wait(timeout=PATIENCE_S)
        assert child.returncode == -signal.SIGKILL
        with database.transaction() as connection:  # its lease runs out
            now = clock_of(database).now()
            connection.execute(update(subscriber).values(lease_until=now))
        assert heard(database) == []  # what it wrote with its place is not there without it
        with a_poller(environment, log):

            def all_heard() -> bool:
                found = standing(database)
                return heard(database) == [1, 2, 3] and found["by_itself"].handled == 3

            assert wait_until(all_heard, timeout=PATIENCE_S), log.read_text()
            assert wait_until(
                lambda: standing(database)["failing"].failures > 0, timeout=PATIENCE_S
            )

        told = [int(line) for line in (tmp_path / "heard").read_text().split()]
        assert sorted(set(told)) == [1, 2, 3]  # at least once
        assert told[-1] == 3
        failing = standing(database)["failing"]
        assert failing.error is not None
        assert failing.error.startswith("ValueError at killed_handlers.py:")
        assert "Amara" not in log.read_text()
    postgres.give_back(url)


def test_the_command_shows_who_stands_still_and_moves_it_on(
    database_url: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", database_url)
    with closing(Database(database_url)) as database:
        assert run("feed", "subscribers").code == 4
        tell(database, "p1", "p2")
        with database.transaction() as connection:
            now = clock_of(database).now()
            places.ensure(connection, "default", "roster", Cursor(position=0))
            place = places.take(connection, "default", "roster", now=now)
            assert place is not None
            places.failed(
                connection,
                place,
                error="ValueError at handlers.py:12",
                at=Cursor(position=1),
                failures=20,
                retry_at=None,
                now=now,
            )
            places.release(connection, place)
            places.ensure(connection, "default", "silent", None)
        out = run("feed", "subscribers").out
        assert "held" in out
        assert "ValueError at handlers.py:12" in out
        assert "needs a start" in out
        assert run("feed", "skip", "nobody", "--reason", "x").code == 4
        assert run("feed", "resume", "silent").code == 4
        assert run("feed", "resume", "silent", "--everything", "--now").code == 2
        dry = run("feed", "skip", "roster", "--reason", "a test record", "--dry-run", "--json")
        assert dry.json == {"cursor": "1", "dry_run": True}
        assert standing(database)["roster"].held_at is not None
        assert run("feed", "skip", "roster", "--reason", "a test record").code == 0
        assert run("feed", "resume", "silent", "--now").code == 0
        [roster, silent] = run("feed", "subscribers", "--json").json
        assert (roster["state"], roster["cursor"], roster["unread"]) == ("behind", "1", 1)
        assert (silent["state"], silent["cursor"]) == ("up to date", "2")
        assert run("feed", "forget", "silent", "--reason", "gone").code == 0
        assert list(standing(database)) == ["roster"]


def test_a_module_that_cannot_be_imported_ends_the_poller_with_a_sentence(
    database_url: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", database_url)
    environment.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    environment.setenv("PILLARBOX_API_URL", "http://127.0.0.1:9/api/v3")
    environment.setenv("PILLARBOX_API_TOKEN", "a-key")
    environment.setenv("PILLARBOX_SUBSCRIBERS", "no_such_module_here")

    ended = run("poller")

    assert ended.code == 2
    assert "PILLARBOX_SUBSCRIBERS: no_such_module_here cannot be imported" in ended.err
    assert "PYTHONPATH" in ended.err


def test_all_in_one_process_calls_handlers_through_the_built_in_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "embedded_handlers.py").write_text(HANDLERS, encoding="utf-8")
    (tmp_path / "died").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("HANDLERS_FOLDER", str(tmp_path))
    with Sandbox(limit=1_000_000) as sandbox:
        settings = replace(
            Settings.from_environment({}),
            database_url=f"sqlite:///{tmp_path / 'pillarbox.db'}",
            subscribers=("embedded_handlers",),
        )
        world = World(with_sandbox(settings, sandbox), sandbox, polls=True)
        world.prepare()
        database = world.wiring.database
        with database.transaction() as connection:
            connection.execute(
                text("CREATE TABLE heard (n INTEGER PRIMARY KEY, who TEXT, position BIGINT)")
            )
        world.start()
        try:
            assert wait_until(lambda: len(standing(database)) == 3, timeout=PATIENCE_S)
            began = time.monotonic()
            tell(database, "p1", "p2")
            assert wait_until(lambda: heard(database) == [1, 2], timeout=PATIENCE_S)
            assert time.monotonic() - began < PATIENCE_S
            assert wait_until(lambda: standing(database)["by_itself"].handled == 2, timeout=10)
        finally:
            world.stop()
