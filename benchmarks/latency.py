"""From the commit of a change to the API call, with an idle quota and no settle time.

The sandbox's own log says when each call arrived; it runs on this machine, so both clocks are one.
"""

import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks import ground
from benchmarks.delivery import DONE, claims
from benchmarks.result import Line, Result, percentile
from pillarbox.world import World
from producers import emit
from runtime.database import Database
from runtime.settings import Settings
from schema.fingerprint import Json

PROMISED = 1.0
"""Seconds from commit to call, for 95 of 100 changes."""

WARM_UP = 3
"""Changes before the measured ones: processes start, and the quota's log is opened."""

PAUSE = (0.1, 0.6)
"""Seconds between changes: they meet the relay and the workers at rest, at any moment of it."""


def run(*, quick: bool) -> Result:
    """Measure with Redis and separate processes, then with everything in this one."""
    number = 8 if quick else 100
    lines: list[Line] = []
    with ground.postgresql() as url, ground.redis_server() as redis_url:
        lines += measure("Redis", number, url, redis_url)
    with ground.sqlite() as url:
        lines += measure("embedded", number, url, None)
    return Result(
        scenario="latency",
        conditions=f"{number} changes, one at a time, at random moments; relay and worker as "
        "processes of their own, or embedded in one",
        lines=lines,
    )


def measure(name: str, number: int, url: str, redis_url: str | None) -> list[Line]:
    """Commit changes one by one and look up when their calls arrived."""
    with ground.sandbox(ground.world_of(number + WARM_UP)) as root:
        people = ground.participant_ids(root, number + WARM_UP)
        settings = ground.settings_for(url, redis_url, url=root)
        database = Database(url)
        with at_work(settings):
            committed = commit_all(database, people)
            ground.until(lambda: arrived(database) >= len(people), "calls are missing", patience=30)
        database.close()
        waited = [
            (moment - committed[person]).total_seconds()
            for person, moment in arrivals(root).items()
            if person in people[WARM_UP:]
        ]
    return [
        Line(name=f"commit to call, {name}, p50", value=percentile(waited, 50), unit="s"),
        Line(
            name=f"commit to call, {name}, p95",
            value=percentile(waited, 95),
            unit="s",
            at_most=PROMISED,
        ),
    ]


@contextmanager
def at_work(settings: Settings) -> Generator[None]:
    """Run relay and worker, apart or in this process."""
    with ground.wired(settings):
        pass  # binds the database
    if settings.redis_url is None:
        world = World(settings, None)
        world.prepare()
        world.start()
        try:
            yield
        finally:
            world.stop()
        return
    with tempfile.TemporaryDirectory() as folder:
        commands = [["relay"], ["worker"]]
        with ground.processes(settings, commands, Path(folder) / "log"):
            yield


def commit_all(database: Database, people: Sequence[str]) -> dict[str, datetime]:
    """Commit one change after the other; gives when each was committed."""
    dice = Random(1)
    committed: dict[str, datetime] = {}
    for place, claim in enumerate(claims(people)):
        with database.transaction() as connection:
            emit(connection, claim)
        committed[people[place]] = datetime.now(UTC)
        if place < WARM_UP:
            ground.until(
                lambda wanted=place + 1: arrived(database) >= wanted, "no call", patience=30
            )
        time.sleep(dice.uniform(*PAUSE))
    return committed


def arrived(database: Database) -> int:
    """Count the calls that were answered."""
    with database.reading() as connection:
        return int(connection.execute(DONE).scalar_one())


def arrivals(root: str) -> dict[str, datetime]:
    """Give when the claim for each person arrived."""
    return {
        participant(one["json"]): datetime.fromisoformat(one["arrived_at"])
        for one in ground.arrivals(root)
        if one["method"] == "POST"
    }


def participant(body: dict[str, dict[str, dict[str, Json]]]) -> str:
    """Read whom a claim is for."""
    return str(body["data"]["attributes"]["participant_id"])
