"""Whether relay and worker keep their size over a hundred thousand entries.

Wave after wave of changes to the same people; a process that kept something of each entry, record
or call would grow with every wave. Measured after a warm-up, when every path has been walked.
"""

import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from benchmarks import ground
from benchmarks.result import Line, Peer, Result
from producers import emit
from runtime.database import Database
from schema.events import Event, ScheduleChanged

SCHEDULES = ("ecf-standard-september", "ecf-extended-september")

LEFT = text(
    "SELECT (SELECT count(*) FROM outbox_entry WHERE state = 'new') + "
    "(SELECT count(*) FROM record WHERE state <> 'in_step')"
)


def run(*, quick: bool) -> Result:
    """Send waves, and weigh the processes after the warm-up and at the end."""
    waves, entries, people = (4, 500, 50) if quick else (20, 5_000, 500)
    warm_up = 2 if quick else 5
    world = ground.world_of(people)
    windows = world["schedules"]["2025"][SCHEDULES[0]]
    world["schedules"]["2025"][SCHEDULES[1]] = windows
    with (
        ground.postgresql() as url,
        ground.redis_server() as redis_url,
        ground.sandbox(world) as root,
        tempfile.TemporaryDirectory() as folder,
    ):
        ids = ground.participant_ids(root, people)
        settings = ground.settings_for(url, redis_url, url=root)
        with ground.wired(settings):
            pass  # binds the database
        database = Database(url)
        commands = [["relay"], ["worker"]]
        with ground.processes(settings, commands, Path(folder) / "log") as (relay, worker):
            weights: list[tuple[float, float]] = []
            for wave in range(waves):
                emit_wave(database, ids, wave=wave, entries=entries)
                finish(database)
                weights.append((ground.memory(relay), ground.memory(worker)))
        database.close()
    (relay_then, worker_then), (relay_now, worker_now) = weights[warm_up - 1], weights[-1]
    return Result(
        scenario="memory",
        conditions=f"{waves * entries:,} entries in {waves} waves on {people} people; warm after "
        f"{warm_up} waves",
        lines=[
            flat("relay", relay_now, relay_then),
            flat("worker", worker_now, worker_then),
        ],
    )


def flat(role: str, now: float, then: float) -> Line:
    """State a size, and that it has not grown."""
    return Line(
        name=f"memory of the {role} at the end",
        value=now,
        unit="MiB",
        peer=Peer(name="after the warm-up", value=then),
        at_most=1.1,
    )


def emit_wave(database: Database, people: list[str], *, wave: int, entries: int) -> None:
    """Change everybody's schedule, back and forth, so that a call for each is due at the end."""
    times = entries // len(people)
    turns = times if times % 2 else times + 1
    with database.transaction() as connection:
        for turn in range(turns)[-times:]:
            schedule = SCHEDULES[(wave + turn + 1) % 2]
            emit(connection, [changed(person, schedule) for person in people])


def changed(person: str, schedule: str) -> Event:
    """Make the event of one person's new schedule."""
    return ScheduleChanged.model_validate(
        {
            "source_id": f"E-{person}",
            "participant_id": person,
            "course_identifier": "ecf-induction",
            "schedule_identifier": schedule,
            "cohort": "2025",
        }
    )


def finish(database: Database) -> None:
    """Wait until everybody is in step."""

    def done() -> bool:
        with database.reading() as connection:
            return connection.execute(LEFT).scalar_one() == 0

    ground.until(done, "a wave did not come to its end", patience=300)
    time.sleep(0.5)
