"""Two relays and four workers on PostgreSQL and Redis, one of each killed in the middle.

The judge is the sandbox's own arrival log: it knows nothing of our tables.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, func, select

from producers import emit
from runtime import migrations
from runtime.database import Database
from schema.events import DeclarationMade, Event, MentorChanged, ParticipantDeferred, decode
from schema.tables import attempt, outbox_entry, record
from tests.support.crowd import a_crowd, person
from tests.support.servers import surroundings

PEOPLE = 5_000
DEFERRED = 1_000
"""Of the people, how many are deferred; for the others a declaration is made."""

EVENTS_EACH = 4
PATIENCE_S = 240.0

SETTINGS = {
    "PILLARBOX_API_TOKEN": "sandbox-crowd",
    "PILLARBOX_QUOTA": "1000000/300",
    "PILLARBOX_SETTLE": "1s",
    "PILLARBOX_SEND_BY": "2s",
    "PILLARBOX_DEADLINE": "5s",
    "PILLARBOX_LEASE": "38s",
    "PILLARBOX_QUARANTINE": "1s",
    "LOG_LEVEL": "WARNING",
    "LOG_FORMAT": "json",
}

WORLD: dict[str, Any] = a_crowd(PEOPLE, token="sandbox-crowd") | {
    "statements": {
        "s": {
            "provider": "crowd",
            "cohort": 2025,
            "month": 9,
            "year": 2031,
            "cut_off_date": "2031-08-31",
            "payment_date": "2031-09-25",
        }
    },
}


def events_of(number: int) -> list[Event]:
    linked = {
        "event": "participant_linked",
        "source_id": f"E-{number}",
        "participant_id": person(number),
        "course_identifier": "ecf-induction",
    }
    mentor = MentorChanged(source_id=f"E-{number}", mentor_id=str(uuid4()))
    return [decode(linked), *([_change(number)] * 2), mentor]


def _change(number: int) -> Event:
    if number <= DEFERRED:
        return ParticipantDeferred(source_id=f"E-{number}", reason="other")
    fields = {
        "event": "declaration_made",
        "source_id": f"E-{number}",
        "declaration_type": "started",
        "declaration_date": "2025-09-20T09:00:00Z",
        "evidence_held": "training-event-attended",
    }
    made = decode(fields)
    assert isinstance(made, DeclarationMade)
    return made


@contextmanager
def process(*arguments: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**surroundings(), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        assert child.stdout is not None
        child.stdout.close()


@contextmanager
def redis_server(folder: Path) -> Generator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    child = subprocess.Popen(
        [*command, "--appendonly", "no", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        child.terminate()
        child.wait()


@contextmanager
def fresh_database() -> Generator[str]:
    server = os.environ.get("PILLARBOX_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/")
    name = f"pillarbox_scale_{uuid4().hex[:10]}"
    base = Database(server.rstrip("/") + "/postgres")
    admin = create_engine(base.url, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except Exception as error:
        pytest.skip(f"no PostgreSQL at {base.url.host}: {type(error).__name__}")
    try:
        yield f"{server.rstrip('/')}/{name}"
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


def arrivals(root: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        with urllib.request.urlopen(f"{root}/_sandbox/requests?after={after}&limit=5000") as page:
            more = cast(list[dict[str, Any]], json.load(page)["requests"])
        if not more:
            return found
        found += more


def last_seq(root: str) -> int:
    with urllib.request.urlopen(f"{root}/_sandbox/requests?limit=1") as page:
        return int(json.load(page)["last_seq"])


def wait_for(done: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.3)


def not_in_step(database: Database) -> int:
    with database.reading() as connection:
        new = connection.execute(
            select(func.count()).where(outbox_entry.c.state != "closed")
        ).scalar_one()
        open_ = connection.execute(
            select(func.count()).where(record.c.state != "in_step")
        ).scalar_one()
    return new + open_


def _about(one: dict[str, Any]) -> str:
    """Name the person a request is about."""
    if one["json"]:
        attributes: dict[str, Any] = one["json"]["data"]["attributes"]
        if "participant_id" in attributes:
            return str(attributes["participant_id"])
    path: str = one["path"]
    return path.rsplit("/participants/", maxsplit=1)[-1].split("/", maxsplit=1)[0]


def overlaps(requests: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Find calls about one person that were under way at the same time."""
    spans: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for one in requests:
        about = _about(one)
        begun = one["monotonic_us"]
        spans[about].append((begun, begun + int((one["duration_ms"] or 0) * 1000), one["seq"]))
    found: list[tuple[str, int]] = []
    for about, times in spans.items():
        times.sort()
        found += [(about, later[2]) for earlier, later in pairwise(times) if later[0] < earlier[1]]
    return found


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on this machine")
def test_every_record_gets_in_step_though_a_relay_and_a_worker_are_killed(tmp_path: Path) -> None:
    world = tmp_path / "world.json"
    world.write_text(json.dumps(WORLD))
    with ExitStack() as stack:
        database_url = stack.enter_context(fresh_database())
        redis_url = stack.enter_context(redis_server(tmp_path))
        served = stack.enter_context(
            process("sandbox", "--port", "0", "--world", str(world), "--limit", "10000000")
        )
        assert served.stdout is not None
        api = served.stdout.readline().strip()
        root = api.removesuffix("/api/v3")
        settings = {
            **SETTINGS,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PILLARBOX_API_URL": api,
        }
        database = Database(database_url)
        stack.callback(database.close)
        migrations.upgrade(database)
        relays = [stack.enter_context(process("pillarbox", "relay", **settings)) for _ in range(2)]
        workers = [
            stack.enter_context(process("pillarbox", "worker", "--threads", "4", **settings))
            for _ in range(4)
        ]

        for first in range(1, PEOPLE + 1, 500):
            batch = [one for number in range(first, first + 500) for one in events_of(number)]
            with database.transaction() as connection:
                emit(connection, batch)
        wait_for(lambda: last_seq(root) > PEOPLE // 3, "a third of the calls")
        workers[0].kill()
        relays[0].kill()
        wait_for(lambda: not_in_step(database) == 0, "every record in step")

        requests = arrivals(root)
        with database.reading() as connection:
            entries = connection.execute(select(func.count()).select_from(outbox_entry)).scalar()
            doubts = connection.execute(
                select(func.count()).where(attempt.c.outcome == "in_doubt")
            ).scalar_one()
        for child in (*relays[1:], *workers[1:]):
            child.send_signal(signal.SIGTERM)
        ends = [child.wait(timeout=60) for child in (*relays[1:], *workers[1:])]

    writes = [one for one in requests if one["method"] != "GET"]
    done = [one for one in writes if one["status"] == 200]
    assert entries == PEOPLE * EVENTS_EACH
    assert len(done) == PEOPLE, "one call for each changed record, and none twice"
    assert len(writes) <= PEOPLE + doubts, "at most one call more for each that was in doubt"
    assert len(requests) - len(writes) <= DEFERRED + doubts + 16, "one look for each enrolment"
    assert overlaps(requests) == []
    assert ends == [0] * 4
