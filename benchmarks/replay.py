"""Fifty thousand dead letters: how long their plan takes, and that their replay takes no memory.

The database holds as many records in step beside them, which a plan must not pass one by one.
"""

import gc
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg

from benchmarks import ground
from benchmarks.ground import Statements, postgresql
from benchmarks.result import Line, Peer, Result
from outbox import bulk, replay
from outbox.replay import How
from outbox.saying import Person
from outbox.selection import Selection
from runtime.memory import collect_seldom
from schema.bulk import Result as Became
from schema.hours import nightly
from workers.wiring import Wiring

AIM_S = 5.0
"""In how many seconds a plan of fifty thousand is to be there: a person waits for it."""

FEW = 2_000
"""The peer for memory: a bulk of so many."""

OFTEN = (700, 10, 10)
"""When Python's collector looks, if nobody tells it otherwise."""

OFFPEAK = nightly("22:00-06:00")

BUILD = """
INSERT INTO record (destination, kind, source_id, family, state, reason, signature, aside_at,
    remote_id, role,
    oldest_entry, wanted, accepted, problem)
SELECT 'default', 'enrolment', 'E-' || n, 'enrolment:E-' || n,
    CASE WHEN n %% 2 = 0 THEN 'dead' ELSE 'in_step' END,
    CASE WHEN n %% 2 = 0 THEN 'exhausted' END,
    CASE WHEN n %% 2 = 0 THEN 'enrolment-0123456789' END,
    CASE WHEN n %% 2 = 0 THEN timestamptz '2026-01-02' + n * interval '1 millisecond' END,
    gen_random_uuid()::text, 'ecf-induction', n,
    '{"stamps": {"cohort": [1, "local"]},
      "pending": {"schedule_identifier": ["ecf-extended-september", [1, "local"], "ecf-standard-april", true]}}',
    '{"training_status": "active", "cohort": "2025", "schedule_identifier": "ecf-standard-april"}',
    CASE WHEN n %% 2 = 0 THEN '{"reason": "exhausted", "detail": "failed 10 times"}'::jsonb END
FROM generate_series(1, 2 * %(number)s) AS n
"""

DELIVER = """
UPDATE record SET state = 'in_step', reason = NULL, due_at = NULL, problem = NULL, signature = NULL
WHERE state = 'waiting'
"""
"""What workers make of records on their way; what a delivery costs is measured elsewhere."""


def run(*, quick: bool) -> Result:
    """Plan, begin and run a bulk of all of them, and weigh it against one of two thousand."""
    number = 5_000 if quick else 50_000
    collect_seldom()  # as the console and the command do
    with built(FEW) as few:
        small_plan, small_run = weigh_plan(few), weigh_run(few, FEW)[0]
    with built(number) as many:
        took = time_plan(many, number)
        large_plan = weigh_plan(many)
        large_run, statements, begun = weigh_run(many, number)
    return Result(
        scenario="replay",
        conditions=f"{number:,} dead letters beside as many records in step, PostgreSQL",
        lines=[
            Line(name=f"a plan of {number:,}", value=took, unit="s", at_most=AIM_S),
            Line(name="a bulk of them begun", value=begun, unit="s"),
            flat("memory of a plan, at most", large_plan, small_plan),
            flat("memory of a run, at most", large_run, small_run),
            Line(
                name="SQL statements per record replayed",
                value=statements,
                unit="",
                at_most=0.2,
                counter=True,
            ),
        ],
    )


def flat(name: str, now: float, then: float) -> Line:
    """State a size, and that it does not grow with the number of records."""
    peer = Peer(name=f"of {FEW:,}", value=then)
    return Line(name=name, value=now, unit="MiB", peer=peer, at_most=1.5)


@contextmanager
def built(number: int) -> Generator[Wiring]:
    """Make a database with so many dead letters; yields what a process has around it."""
    with postgresql() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute(BUILD.encode(), {"number": number})
        ground.tidied(url)
        with ground.wired(ground.settings_for(url, None)) as wiring:
            yield wiring


def plan(wiring: Wiring) -> int:
    """Plan a replay of everything; gives of how many."""
    destination = wiring.settings.destinations[0]
    with wiring.database.reading() as connection:
        return replay.planned(
            connection,
            destination.name,
            Selection(),
            wiring.contract(destination),
            offpeak=OFFPEAK,
            now=wiring.clock.now(),
            how=How(),
        ).number_of(Became.SENT)


def time_plan(wiring: Wiring, number: int) -> float:
    """Give the seconds that a plan takes, once the first one has warmed what is to be warm."""
    plan(wiring)
    begun = time.perf_counter()
    if plan(wiring) != number:
        raise AssertionError("the plan foresees something else than calls")
    return time.perf_counter() - begun


def weigh_plan(wiring: Wiring) -> float:
    """Give the most memory a plan takes at any moment, in MiB."""
    return weighed(lambda: plan(wiring))


def weigh_run(wiring: Wiring, number: int) -> tuple[float, float, float]:
    """Run a bulk of everything; gives the most memory of it, its statements, and the start's time."""
    destination = wiring.settings.destinations[0]
    person = Person(actor="bench", reason="bench", now=wiring.clock.now())
    begun = time.perf_counter()
    with wiring.database.transaction() as connection:
        how = How(at_once=True)
        bulk.start(connection, destination.name, Selection(), person, expect=number, how=how)
    begun = time.perf_counter() - begun
    statements = Statements(wiring.database.engine)
    rounds = wiring.bulk_round(destination)

    def run_all() -> None:
        while rounds.run_once():
            with wiring.database.transaction() as connection:
                connection.exec_driver_sql(DELIVER)

    peak = weighed(run_all)
    with wiring.database.reading() as connection:
        (one,) = bulk.listed(connection, destination.name)
        if bulk.progress(connection, one).results != {Became.SENT: number}:
            raise AssertionError("the run did not come to its end")
    return peak, statements.take()[0] / number, begun


def weighed(deed: Callable[[], object]) -> float:
    """Give the most memory that something takes at any moment, in MiB.

    The collector looks often meanwhile: what it would leave lying for a while is no growth.
    """
    seldom = gc.get_threshold()
    gc.set_threshold(*OFTEN)
    tracemalloc.start()
    try:
        deed()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
        gc.set_threshold(*seldom)
