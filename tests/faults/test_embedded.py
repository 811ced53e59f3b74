"""Everything in one process on one SQLite file: contention, a full disk, a power cut, a second one."""

import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from runtime.database import Database
from tests.support.children import ROOT
from tests.support.servers import surroundings
from tests.support.threads import at_once
from tests.support.yard import SCHEDULES, Lot, Yard

CLAIM = "participant-declarations"
FULL = (16_384, resource.RLIM_INFINITY)
"""Bytes of a file beyond which nothing may be written: less than the journal has already, and enough
for the log."""

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
def file(tmp_path: Path, sqlite_template: Path) -> Path:
    """A migrated SQLite file."""
    made = tmp_path / "pillarbox.db"
    shutil.copy(sqlite_template, made)
    return made


@pytest.fixture
def lot(yard: Yard, sqlite_template: Path) -> Iterator[Lot]:
    """A lot on a SQLite file, with the stand-in."""
    with yard.lot("sqlite", sqlite_template) as made:
        yield made


# contention


def test_writers_who_read_first_take_turns_and_lose_nothing(file: Path) -> None:
    """What begins by reading and then writes is turned away at once elsewhere, timeout or not."""
    with closing(Database(f"sqlite:///{file}")) as database:
        with database.transaction() as connection:
            connection.execute(text("CREATE TABLE counter (n integer)"))
            connection.execute(text("INSERT INTO counter VALUES (0)"))

        def count() -> None:
            for _ in range(25):
                with database.transaction() as connection:
                    n = connection.execute(text("SELECT n FROM counter")).scalar_one()
                    connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

        at_once(*[count] * 8)

        with database.reading() as connection:
            assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 200


# no space


def test_while_the_disk_is_full_nothing_is_half_done_and_it_goes_on_by_itself(lot: Lot) -> None:
    everything = lot.start("up")
    first = lot.declare()
    lot.rest()
    resource.prlimit(everything.pid, resource.RLIMIT_FSIZE, FULL)
    second = [lot.declare(), lot.move(SCHEDULES[1], first)]
    lot.until(lambda: "round_failed" in lot.whole_log(), "it cannot write")

    assert everything.alive
    assert [deed for deed, _ in lot.writes(first)] == [CLAIM]
    assert lot.writes(second[0]) == []
    resource.prlimit(everything.pid, resource.RLIMIT_FSIZE, UNLIMITED)
    lot.rest()

    assert lot.writes(first) == [(CLAIM, True), (f"change-schedule {SCHEDULES[1]}", True)]
    assert lot.writes(second[0]) == [(CLAIM, True)]
    with lot.database.reading() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


FILLING = """
import resource, sys
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from producers import emit
from runtime.database import Database
from schema.events import ParticipantDeferred

database = Database(sys.argv[1])
event = lambda n: ParticipantDeferred(source_id=f"E-{n}", reason="other")
with database.transaction() as connection:
    connection.execute(text("CREATE TABLE teacher (n integer)"))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
done = 0
try:
    for n in range(100_000):
        with database.transaction() as connection:
            connection.execute(text("INSERT INTO teacher VALUES (:n)"), {"n": n})
            emit(connection, event(n))
        done += 1
except OperationalError as error:
    print(type(error.orig).__name__, error.orig, sep=": ")
print(done)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with database.transaction() as connection:
    connection.execute(text("INSERT INTO teacher VALUES (-1)"))
    emit(connection, event(-1))
"""


def test_a_producer_on_a_full_disk_hears_of_it_and_its_change_is_not_there_either(
    file: Path,
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FILLING, f"sqlite:///{file}"],
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        text=True,
        check=True,
    )

    error, done = ran.stdout.splitlines()
    assert re.match(r"OperationalError: (disk I/O error|database or disk is full)", error)
    with closing(Database(f"sqlite:///{file}")) as database, database.reading() as connection:
        teachers = connection.execute(text("SELECT count(*) FROM teacher")).scalar_one()
        told = connection.execute(text("SELECT count(*) FROM outbox_entry")).scalar_one()
        assert (teachers, told) == (int(done) + 1, int(done) + 1)
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    """Standard error is a device that is always full."""
    script = """
import structlog
from runtime import log
log.set_up(form="json")
for _ in range(3_000):
    structlog.get_logger("x").error("round_failed", error="OperationalError")
"""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([sys.executable, "-c", script], stderr=full, cwd=ROOT, check=False)

    assert ran.returncode == 0


# two programs on one file


def test_a_second_one_that_counts_for_itself_is_turned_away_from_wherever_it_starts(
    lot: Lot, tmp_path: Path
) -> None:
    first = lot.start("up")
    lot.declare()
    lot.rest()

    second = lot.yard.children.start("up", environment=lot.environment, folder=tmp_path)
    with_redis = {**lot.environment, "REDIS_URL": lot.yard.redis.url}
    third = lot.yard.children.start("relay", environment=with_redis, folder=tmp_path)

    assert (second.wait(), third.wait()) == (2, 2)
    said = (tmp_path / "children.log").read_text()
    assert said.count("another process is at work on this database") == 2
    assert first.alive


def test_two_that_count_in_one_redis_share_a_file(lot: Lot) -> None:
    lot.environment["REDIS_URL"] = lot.yard.redis.url
    lot.environment["PILLARBOX_NAMESPACE"] = "shared"
    for role in (["relay"], ["relay"], ["worker"], ["worker"]):
        lot.start(*role)

    claims = [lot.declare() for _ in range(5)]
    lot.rest()

    assert [lot.writes(name) for name in claims] == [[(CLAIM, True)]] * 5
