"""What one delivery costs, counted, and how many a second two worker processes make.

Counted on one delivery alone, so that the numbers are exact; then a crowd, with the relay running
and the sandbox in a process of its own, so that everything shares this machine's processors.
"""

import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import text

from benchmarks import ground
from benchmarks.ground import Statements
from benchmarks.result import Line, Result
from outbox.delivery import Ended
from outbox.relay import Relay, Ring
from producers import emit
from runtime.database import Database
from schema.events import DeclarationMade, Event
from workers.wiring import Wiring

WORKERS = 2
THREADS = 4
"""Threads of each worker, as the command has it. More only wait for one another's interpreter."""

PROMISED = 300
"""Deliveries a second on two processor cores; on a machine that is busy otherwise there are fewer,
so the processor time of one delivery stands beside it."""

DONE = text("SELECT count(*) FROM attempt WHERE outcome = 'delivered'")


def run(*, quick: bool) -> Result:
    """Count one, then time a crowd."""
    crowd = 500 if quick else 8_000
    with (
        ground.postgresql() as url,
        ground.redis_server() as redis_url,
        ground.sandbox(ground.world_of(crowd + 10)) as root,
    ):
        people = ground.participant_ids(root, crowd + 10)
        settings = ground.settings_for(url, redis_url, url=root)
        with ground.wired(settings) as wiring:
            counted = count_one(wiring, people[:10])
            timed = time_crowd(wiring, people[10:])
            with wiring.database.reading() as connection:
                settled = connection.execute(DONE).scalar_one()
        posts = sum(one["method"] == "POST" for one in ground.arrivals(root))
    return Result(
        scenario="delivery",
        conditions=f"{crowd:,} declarations, {WORKERS} worker processes of {THREADS} threads, a "
        f"relay, PostgreSQL, Redis and the sandbox on {psutil.cpu_count()} cores",
        lines=[
            *counted,
            *timed,
            Line(
                name="API calls per record delivered",
                value=posts / settled,
                unit="",
                at_most=1,
                counter=True,
            ),
        ],
    )


def claims(people: Sequence[str]) -> list[Event]:
    """Make a declaration for each of these people, with the link it needs."""
    return [
        DeclarationMade(
            source_id=f"E-{person}",
            participant_id=person,
            course_identifier="ecf-induction",
            declaration_type="started",
            declaration_date=datetime(2025, 9, 20, 9, tzinfo=UTC),
            evidence_held="other",
        )
        for person in people
    ]


def count_one(wiring: Wiring, people: Sequence[str]) -> list[Line]:
    """Deliver a few to warm up, then count one delivery, from the ring to the outcome."""
    with wiring.database.transaction() as connection:
        emit(connection, claims(people))
    destination = wiring.settings.destinations[0]
    rings: list[Ring] = []
    relay = Relay(
        database=wiring.database,
        contract=wiring.contract(destination),
        destination=destination.name,
        clock=wiring.clock,
        timing=wiring.timing(destination),
        settle=wiring.settings.settle,
        dispatch=rings.extend,
        room=lambda _lane, _on_the_queue: 1_000,
    )
    deliverer = wiring.deliverer(destination)
    ended: Ended | None = None
    while ended is not Ended.SETTLED:  # a new process waits for its quota's log first
        if not rings:
            time.sleep(0.2)
            relay.run_once()
            continue
        ended = deliverer.deliver(rings.pop())
    statements = Statements(wiring.database.engine)
    before = ground.redis_calls(wiring.redis)
    assert deliverer.deliver(rings.pop()) is Ended.SETTLED
    executed, commits = statements.take()
    redis_calls = ground.redis_calls(wiring.redis) - before
    while rings:
        deliverer.deliver(rings.pop())
    return [
        Line(name="SQL statements of a delivery", value=executed, unit="", at_most=3, counter=True),
        Line(name="commits asked for", value=commits, unit="", at_most=0, counter=True),
        Line(
            name="Redis calls of a delivery, the queue apart",
            value=redis_calls,
            unit="",
            at_most=2,
            counter=True,
        ),
    ]


def time_crowd(wiring: Wiring, people: Sequence[str]) -> list[Line]:
    """Let processes deliver to a crowd; measured from the first tenth to the last."""
    for first in range(0, len(people), 5_000):
        with wiring.database.transaction() as connection:
            emit(connection, claims(people[first : first + 5_000]))
    commands = [["relay"], *([["worker", "--threads", str(THREADS)]] * WORKERS)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with ground.processes(wiring.settings, commands, log) as running:
            first, last = len(people) // 10, len(people) * 9 // 10
            reach(wiring.database, first)
            used = [ground.cpu(process) for process in running]
            queue = ground.redis_calls(wiring.redis)
            begun, made = time.monotonic(), delivered(wiring.database)
            reach(wiring.database, last)
            took, made = time.monotonic() - begun, delivered(wiring.database) - made
            relay, *workers = [
                (ground.cpu(process) - before) * 1_000 / made
                for process, before in zip(running, used, strict=True)
            ]
            queue = ground.redis_calls(wiring.redis) - queue
    return [
        Line(name="deliveries", value=made / took, unit="/s", at_least=PROMISED),
        Line(name="processor time of a delivery, workers", value=sum(workers), unit="ms"),
        Line(name="processor time of a delivery, relay", value=relay, unit="ms"),
        Line(
            name="Redis calls per record delivered, all processes",
            value=queue / made,
            unit="",
            at_most=8,
        ),
    ]


def reach(database: Database, number: int) -> None:
    """Wait until so many are delivered; looked at seldom, for counting costs the database time."""
    ground.until(
        lambda: delivered(database) >= number,
        f"{number} deliveries took too long",
        patience=600,
        every=0.5,
    )


def delivered(database: Database) -> int:
    """Count what is delivered so far."""
    with database.reading() as connection:
        return int(connection.execute(DONE).scalar_one())
