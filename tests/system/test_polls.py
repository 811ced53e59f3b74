"""Polling as it is run: against the sandbox, by processes that are killed, seen by commands."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from inbox import checkpoints, feed
from pillarbox.demo import person
from pillarbox.world import SANDBOX_TOKEN, Control, World, wait_until, with_sandbox
from producers import emit
from runtime.clock import clock_of
from runtime.database import Database
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.events import decode
from schema.incoming_tables import checkpoint, poll_run, remote_record, request_log
from schema.incoming_tables import feed as feed_rows
from schema.tables import audit, record
from tests.support.command import Ran, run
from tests.support.servers import NotHere, PostgresServer, RedisServer, surroundings
from tests.support.site import PATIENCE_S, ROOT

AMARA, GRACE = person("amara-okafor"), person("grace-mensah")


def happen(sandbox: Sandbox, *events: dict[str, Any]) -> None:
    """Let schools and DfE do something."""
    request = urllib.request.Request(
        f"{sandbox.root_url}/_sandbox/events",
        data=json.dumps(events).encode(),
        method="POST",
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def slow(sandbox: Sandbox) -> None:
    """Let every read take a moment, so that a run can be met in its middle."""
    rule = [{"name": "slow", "match": {"method": "GET"}, "do": {"delay_ms": [60, 60]}}]
    request = urllib.request.Request(
        f"{sandbox.root_url}/_sandbox/faults",
        data=json.dumps(rule).encode(),
        method="PUT",
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def mirrored(database: Database, source: str) -> dict[str, Any]:
    with database.reading() as connection:
        rows = connection.execute(
            select(remote_record.c.remote_id, remote_record.c.content).where(
                remote_record.c.source == source, remote_record.c.gone_since.is_(None)
            )
        )
        return {row[0]: row[1] for row in rows.all()}


def poll_now(database: Database) -> None:
    """Let every source be due now."""
    now = clock_of(database).now()
    with database.transaction() as connection:
        connection.execute(update(checkpoint).values(next_poll_at=now))


class Polled:
    """A world that polls, on the embedded default."""

    def __init__(self, world: World, sandbox: Sandbox) -> None:
        self.world = world
        self.sandbox = sandbox
        self.database = world.wiring.database

    def watermarks(self) -> dict[str, Any]:
        with self.database.reading() as connection:
            found = checkpoints.all_of(connection, "default")
        return {name: one.watermark_here for name, one in found.items()}

    def poll(self) -> None:
        """Poll every source, and wait until each run is complete."""
        before = self.watermarks()
        poll_now(self.database)

        def done() -> bool:
            after = self.watermarks()
            return all(after[name] not in (None, before[name]) for name in before)

        assert wait_until(done, timeout=PATIENCE_S), self.watermarks()

    def news(self, after: int = 0) -> list[tuple[str, str, list[str]]]:
        with self.database.reading() as connection:
            rows = feed.read(connection, "default", after=after, limit=1000)
        return [(row["source"], row["kind"], row["changed"]) for row in rows]

    def end(self) -> int:
        with self.database.reading() as connection:
            return connection.execute(select(func.max(feed_rows.c.position))).scalar() or 0


@pytest.fixture(scope="module")
def polled(tmp_path_factory: pytest.TempPathFactory) -> Generator[Polled]:
    """Everything was read once."""
    file = tmp_path_factory.mktemp("polled") / "pillarbox.db"
    with Sandbox(limit=1_000_000) as sandbox:
        settings = replace(
            Settings.from_environment({}),
            database_url=f"sqlite:///{file}",
            poll_start="everything",
            settle=timedelta(milliseconds=100),
        )
        world = World(with_sandbox(settings, sandbox), sandbox, polls=True)
        world.prepare()
        now = world.wiring.clock.now()
        with world.wiring.database.transaction() as connection:
            for source in world.wiring.contract(settings.destinations[0]).sources(now):
                checkpoints.plan_next(connection, "default", source.name, now)
        world.start()
        try:
            polled = Polled(world, sandbox)

            def read() -> bool:
                return None not in polled.watermarks().values()

            assert wait_until(read, timeout=PATIENCE_S), polled.watermarks()
            yield polled
        finally:
            world.stop()


def test_everything_the_api_shows_is_mirrored_through_the_quota_with_a_row_for_each_read(
    polled: Polled,
) -> None:
    control = Control(polled.sandbox)
    arrived = control.get("/requests?limit=10000")["requests"]
    with polled.database.reading() as connection:
        logged = connection.execute(select(request_log.c.id)).all()

    assert len(mirrored(polled.database, "participants")) == 32
    assert len(mirrored(polled.database, "declarations")) == 17
    assert len(logged) == len(arrived)
    assert polled.world.wiring.paces["default"].fill().used >= len(arrived)


def test_what_a_school_does_comes_back_as_news_and_what_we_did_does_not(polled: Polled) -> None:
    link = {
        "event": "participant_deferred",
        "source_id": "E-1",
        "participant_id": GRACE,
        "course_identifier": "ecf-induction",
        "reason": "other",
    }
    with polled.database.transaction() as connection:
        emit(connection, decode(link))

    def deferred() -> bool:
        row = Control(polled.sandbox).get("/requests?limit=10000")["requests"]
        return any(one["path"].endswith("/defer") and one["status"] == 200 for one in row)

    assert wait_until(deferred, timeout=PATIENCE_S)
    happen(
        polled.sandbox,
        {"event": "participant_renamed", "participant": "amara-okafor", "full_name": "Amara Obi"},
    )
    end = polled.end()
    assert wait_until(lambda: not _moving(polled), timeout=PATIENCE_S)
    polled.poll()

    news = [one for one in polled.news(after=end) if one[0] == "participants"]
    assert news == [("participants", "updated", ["full_name"])]
    assert mirrored(polled.database, "participants")[AMARA]["full_name"] == "Amara Obi"
    deferral = mirrored(polled.database, "participants")[GRACE]["ecf-induction"]
    assert deferral["training_status"] == "deferred"


def _moving(polled: Polled) -> bool:

    with polled.database.reading() as connection:
        states = connection.execute(select(record.c.state)).scalars().all()
    return any(state not in ("in_step", "held", "dead") for state in states)


@pytest.fixture
def command(polled: Polled, environment: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """The command on that world's database."""
    environment.setenv("DATABASE_URL", str(polled.database.url))

    def given(*arguments: str) -> Ran:
        return run(*arguments)

    return given


def test_polls_list_says_where_each_source_stands(command: Callable[..., Ran]) -> None:
    told = command("polls", "list", "--json").json

    assert {one["state"] for one in told["sources"]} == {"ok"}
    assert {one["source"] for one in told["sources"]} >= {"participants", "declarations"}
    assert all(one["last_run"]["stats_add_up"] for one in told["sources"])
    assert "participants" in command("polls", "list").out


def test_no_time_of_the_list_is_cut_on_a_narrow_terminal(
    command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("tests.support.command.StringIO", Terminal)
    monkeypatch.setenv("COLUMNS", "80")

    assert "…" not in command("polls", "list").out


def test_a_full_sync_says_first_what_it_costs(command: Callable[..., Ran]) -> None:
    [told] = command("polls", "full", "--source", "participants", "--dry-run", "--json").json[
        "sources"
    ]

    assert told == {"source": "participants", "rows": 32, "requests": 3, "minutes": 0.1}


def test_a_pause_is_audited_and_lifted(polled: Polled, command: Callable[..., Ran]) -> None:
    assert command("polls", "pause", "--source", "statements", "--reason", "asked to").code == 0
    states = {
        one["source"]: one["state"] for one in command("polls", "list", "--json").json["sources"]
    }
    assert command("polls", "resume", "--source", "statements").code == 0

    assert states["statements"] == "paused"

    with polled.database.reading() as connection:
        actions = connection.execute(select(audit.c.action).order_by(audit.c.id)).scalars().all()
    assert actions[-2:] == ["poll_paused", "poll_resumed"]


def test_an_unknown_source_and_a_time_without_a_zone_are_refused_with_what_is_right(
    command: Callable[..., Ran],
) -> None:
    unknown = command("polls", "run", "--source", "pupils")
    zoneless = command("polls", "run", "--since", "2025-09-01")

    assert (unknown.code, zoneless.code) == (2, 2)
    assert "there are participants" in unknown.err
    assert "2025-09-01T00:00:00Z" in zoneless.err


def test_the_feed_is_read_from_a_position_on(polled: Polled, command: Callable[..., Ran]) -> None:
    all_of_it = command("feed", "list", "--json", "--limit", "10000").json
    later = command("feed", "list", "--json", "--after", "5", "--limit", "2").json

    assert [one["position"] for one in all_of_it] == list(range(1, polled.end() + 1))
    assert [one["position"] for one in later] == [6, 7]
    assert command("feed", "list", "--after", "100000").code == 4
    assert "more: --after 2" in command("feed", "list", "--limit", "2").out
    assert "Okafor" not in command("feed", "list").out  # names of fields, no values


def test_what_nobody_here_is_linked_to_is_missing_here(command: Callable[..., Ran]) -> None:
    told = command("drift", "list", "--kind", "missing_here", "--json").json

    assert any(one["remote_id"] == AMARA for one in told)


# Processes


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
            child.send_signal(signal.SIGKILL)
        child.wait()


def test_a_poller_that_is_killed_in_the_middle_goes_on_where_it_was(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    try:
        redis = RedisServer(tmp_path)
    except NotHere as error:
        pytest.skip(str(error))
    url = postgres.new()
    with closing(redis), Sandbox(limit=1_000_000) as sandbox:
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": redis.url,
            "PILLARBOX_API_URL": sandbox.url,
            "PILLARBOX_API_TOKEN": SANDBOX_TOKEN,
            "PILLARBOX_POLL_START": "everything",
            "PILLARBOX_FULL_SYNC_PAGE_SIZE": "2",
            "PILLARBOX_SEND_BY": "500ms",
            "PILLARBOX_DEADLINE": "2s",
        }
        slow(sandbox)
        database = Database(url)
        now = clock_of(database).now()
        with database.transaction() as connection:
            checkpoints.plan_next(connection, "default", "declarations", now)

        def pages() -> int:
            with database.reading() as connection:
                query = select(poll_run.c.pages).where(poll_run.c.source == "declarations")
                return connection.execute(query).scalar_one_or_none() or 0

        with a_poller(environment, tmp_path / "poller.log") as child:
            assert wait_until(lambda: pages() >= 6, timeout=PATIENCE_S, every=0.01)
            child.send_signal(signal.SIGKILL)
            child.wait()
        with database.transaction() as connection:
            connection.execute(update(checkpoint).values(lease_until=now, next_poll_at=now))
        with database.reading() as connection:
            assert checkpoints.get(connection, "default", "declarations").watermark is None
        with a_poller(environment, tmp_path / "poller.log"):

            def complete() -> bool:
                with database.reading() as connection:
                    place = checkpoints.get(connection, "default", "declarations")
                return place.watermark is not None

            assert wait_until(complete, timeout=PATIENCE_S), (tmp_path / "poller.log").read_text()
        with database.reading() as connection:
            runs = connection.execute(
                select(poll_run.c.state, poll_run.c.pages).where(
                    poll_run.c.source == "declarations"
                )
            ).all()
        assert len(mirrored(database, "declarations")) == 17
        assert [row[0] for row in runs] == ["complete"]
        database.close()
        postgres.give_back(url)
