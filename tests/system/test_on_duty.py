"""What the person on duty leaves running: `status --watch`, and `check --role` as a health command."""

from datetime import UTC, datetime, timedelta

import pytest

from outbox import bindings
from outbox.bindings import Binding
from pillarbox.commands import status
from pillarbox.world import SANDBOX_BINDING
from runtime.database import Database
from runtime.processes import Beat, beat
from schema.events import ParticipantDeferred
from tests.support.command import run
from tests.support.outbox import Outbox


@pytest.fixture
def database(named_database: Database) -> Database:
    """The database of a `pillarbox up`, whose sandbox needs no connection to be checked."""
    with named_database.transaction() as connection:
        wanted = Binding(
            destination="default",
            contract="lead_provider_v3",
            url=SANDBOX_BINDING,
            key_name="default",
            database_id=bindings.identity(connection),
        )
        bindings.bind(connection, wanted, now=datetime.now(UTC), live=True)
    return named_database


def at_work(database: Database, role: str, *, since: timedelta = timedelta(0)) -> None:
    """Leave a sign of life, so long ago."""
    now = datetime.now(UTC)
    sign = Beat(
        id=f"{role}-{since}",
        role=role,
        host="here",
        pid=1,
        started_at=now - since,
        beat_at=now - since,
        progress={},
    )
    with database.transaction() as connection:
        beat(connection, sign)


@pytest.mark.parametrize("role", ["poller", "console", "relay", "worker"])
def test_check_says_whether_a_process_of_a_role_is_at_work(database: Database, role: str) -> None:
    missing = run("check", "--role", role)
    at_work(database, role, since=timedelta(minutes=5))
    silent = run("check", "--role", role)
    at_work(database, role)
    there = run("check", "--role", role, "--json")

    start = f"no {role} is at work on this database; start `pillarbox {role}`"
    assert (missing.code, start in missing.out) == (6, True)
    assert (silent.code, start in silent.out) == (6, True)
    assert there.code == 0
    assert there.json[-1] == {"name": f"role {role}", "ok": True, "detail": "1 at work"}


def test_status_watches_until_ctrl_c_and_shows_what_came_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(database)
    looks: list[float] = []

    def sleep(length: float) -> None:
        looks.append(length)
        if len(looks) == 2:
            raise KeyboardInterrupt
        outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))

    monkeypatch.setattr(status, "time", type("Clock", (), {"sleep": staticmethod(sleep)}))

    ran = run("status", "--watch")

    assert ran.code == 130
    assert looks == [status.LOOK_EVERY_S] * 2
    assert "1 new" in ran.out


@pytest.mark.parametrize("word", ["--json", "--check"])
def test_a_watch_is_for_people(database: Database, word: str) -> None:
    ran = run("status", "--watch", word)

    assert ran.code == 2
    assert "leave --json and --check away" in ran.err
