"""A relay is killed in the middle of a bulk; the next one does the rest, and nothing twice."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from pillarbox.world import wait_until
from runtime.audit import of_subject
from runtime.database import Database
from runtime.settings import Settings
from schema.bulk import BulkState, ItemState, Result
from tests.support.bulk import AT_ONCE, Desk
from tests.support.outbox import Outbox
from tests.support.servers import PostgresServer, RedisServer, surroundings
from workers.wiring import Wiring

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
END_THEM = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def environment_of_relay(
    postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[dict[str, str]]:
    url = postgres.new()
    yield {
        "DATABASE_URL": url,
        "REDIS_URL": redis_server.url,
        "PILLARBOX_API_URL": "http://127.0.0.1:9/api/v3",
        "PILLARBOX_API_TOKEN": "a-key",
    }
    postgres.give_back(url)


def test_a_relay_killed_in_the_middle_of_a_bulk_leaves_the_rest_to_the_next_one(
    environment_of_relay: dict[str, str], tmp_path: Path
) -> None:
    with closing(Wiring.build(Settings.from_environment(environment_of_relay))) as wiring:
        wiring.bind()
        desk = Desk(Outbox(wiring.database), crowd=5)
        one = desk.start(5, how=AT_ONCE)

        killed_in_mid_step(wiring.database, environment_of_relay, tmp_path / "relay.log")
        assert {item.state for item in desk.items(one)} == {ItemState.LEFT}
        desk.run()

        assert desk.now(one).state is BulkState.DONE
        assert desk.progress(one).results == {Result.SENT: 5}
        assert desk.outbox.api.writes == ["defer"] * 5
        with wiring.database.reading() as connection:
            told = [len(of_subject(connection, f"enrolment:E-{number}")) for number in range(5)]
        assert told == [1] * 5


def killed_in_mid_step(database: Database, environment: dict[str, str], log: Path) -> None:
    """Start a relay, hold it where it has put records on their way uncommitted, and kill it."""
    with database.transaction() as holding, log.open("wb") as said:
        holding.execute(text("LOCK TABLE audit IN SHARE MODE"))
        relay = subprocess.Popen(
            [sys.executable, "-m", "pillarbox", "relay"],
            cwd=ROOT,
            env={**surroundings(), **environment},
            stderr=said,
            start_new_session=True,
        )
        try:
            assert wait_until(_somebody_waits(database), timeout=PATIENCE_S), log.read_text()
        finally:
            relay.send_signal(signal.SIGKILL)
            relay.wait()
        # The server notices a dead client only after it has done what that waited for.
        with database.transaction() as connection:
            connection.execute(END_THEM)


def _somebody_waits(database: Database) -> Callable[[], bool]:
    def look() -> bool:
        with database.reading() as connection:
            return connection.execute(WAITING).scalar_one() > 0

    return look
