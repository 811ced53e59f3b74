"""Relays and workers are stopped, frozen and killed at the worst moments."""

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from outbox.retry import TAKES
from runtime.broker import Doorbell
from runtime.points import Point
from runtime.redis import new_stand_in
from schema.states import Reason, RecordState
from schema.tables import outbox_entry, record
from tests.support.builders import ECT
from tests.support.children import At, Child
from tests.support.yard import SCHEDULES, Lot, Yard, overlaps, said

CLAIM = "participant-declarations"

GRACE_S = 2
"""What `stopping` waits before a second signal means it."""


@pytest.fixture
def lot(yard: Yard, sqlite_template: Path) -> Iterator[Lot]:
    """A lot on PostgreSQL and Redis."""
    with yard.lot("postgresql", sqlite_template) as made:
        yield made
        yard.faults()


def a_worker(lot: Lot, at: At | None = None) -> Child:
    return lot.start("worker", "--threads", "1", at=at)


def state_of(lot: Lot, name: str) -> tuple[str, str | None]:
    with lot.database.reading() as connection:
        query = select(record.c.state, record.c.reason)
        row = connection.execute(query.where(record.c.source_id == name, record.c.part == "")).one()
        return row.state, row.reason


def is_frozen(child: Child) -> bool:
    """Whether a process is stopped by a signal (Linux)."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return re.search(r"^State:\s+T", status, re.M) is not None


# SIGTERM


def test_asked_to_stop_it_takes_nothing_new_and_asked_again_it_ends_at_once(lot: Lot) -> None:
    lot.environment["PILLARBOX_DEADLINE"] = "4s"  # longer than the grace
    first = lot.declare()
    lot.yard.faults(
        {"name": "slow", "match": {"method": "POST"}, "do": {"delay_after_ms": [60_000, 60_000]}}
    )
    worker, _ = a_worker(lot), lot.start("relay")
    lot.until(lambda: lot.arrived()[first], "the call is under way")
    worker.send(signal.SIGTERM)
    others = [lot.declare() for _ in range(3)]
    time.sleep(GRACE_S + 0.2)

    assert worker.alive, "it waits for the answer"
    worker.send(signal.SIGTERM)

    assert worker.wait() == 128 + signal.SIGTERM
    assert "stopped at once" in lot.log()
    assert [lot.writes(name) for name in others] == [[], [], []]
    lot.yard.faults()
    lot.let_leases_run_out()
    a_worker(lot)
    lot.rest()
    assert [lot.writes(name) for name in (first, *others)] == [[(CLAIM, True)]] * 4


# frozen


def test_a_worker_frozen_past_its_lease_writes_nothing_late_and_nothing_is_done_twice(
    lot: Lot,
) -> None:
    frozen, _ = a_worker(lot, At(Point.ANSWERED, 1, signal.SIGSTOP)), lot.start("relay")
    claim = lot.declare()
    lot.until(lambda: lot.arrived()[claim], "the call is under way")
    lot.until(lambda: is_frozen(frozen), "it is frozen between the answer and settling")
    lot.let_leases_run_out()
    a_worker(lot)
    lot.rest()
    newer = lot.move(SCHEDULES[1], claim)
    lot.rest()

    frozen.send(signal.SIGCONT)
    lot.until(lambda: "late_settle" in lot.whole_log(), "it comes back too late")

    assert frozen.alive
    lot.rest()
    assert lot.doubts() == 1
    assert lot.writes(newer) == [(CLAIM, True), (f"change-schedule {SCHEDULES[1]}", True)]
    assert overlaps(lot.arrived()) == []


def test_a_relay_frozen_past_its_rings_rings_in_vain(lot: Lot) -> None:
    claims = [lot.declare() for _ in range(3)]
    frozen = lot.start("relay", at=At(Point.ADMIT_COMMITTED, 1, signal.SIGSTOP))
    lot.until(lambda: is_frozen(frozen), "it is frozen between marking and ringing")
    lot.let_leases_run_out(RecordState.DISPATCHED)
    lot.start("relay")
    a_worker(lot)
    lot.rest()

    frozen.send(signal.SIGCONT)
    lot.until(lambda: not is_frozen(frozen), "it goes on")
    last = lot.declare()
    lot.rest()

    assert [lot.writes(name) for name in (*claims, last)] == [[(CLAIM, True)]] * 4
    assert lot.doubts() == 0


# a record that kills


def test_a_record_that_kills_each_worker_stands_before_a_person_and_the_others_go_on(
    lot: Lot,
) -> None:
    """What kills is the only change there is, until nobody takes it up any more."""
    lot.start("relay")
    killer = lot.defer()
    for _ in range(TAKES):
        assert a_worker(lot, At(Point.TAKE_COMMITTED)).wait() == -signal.SIGKILL
        lot.let_leases_run_out(RecordState.TAKEN)
    lot.until(lambda: state_of(lot, killer)[0] == RecordState.DEAD, "it is given up")

    a_worker(lot)
    other = lot.declare()
    lot.until(lambda: lot.writes(other), "the others go on")

    assert state_of(lot, killer) == (RecordState.DEAD, Reason.EXHAUSTED)
    assert lot.whole_log().count("SIGKILL at take.committed") == TAKES
    assert lot.arrived()[killer] == []


# many at once


@pytest.mark.parametrize(
    "people", [300, pytest.param(5_000, marks=pytest.mark.sweep)], ids=lambda n: f"{n}-people"
)
def test_of_a_backlog_only_what_the_quota_carries_is_on_the_queue(
    yard: Yard, sqlite_template: Path, people: int
) -> None:
    """An outage is over, and all of it is due at once; no worker is there yet."""
    calls, window = 60, 30
    with yard.lot("postgresql", sqlite_template, PILLARBOX_QUOTA=f"{calls}/{window}") as lot:
        names = [f"E-{number}" for number in range(people)]
        lot.tell(
            *(
                said(
                    "participant_deferred",
                    name,
                    reason="other",
                    participant_id=f"{place:08d}-0000-4000-8000-000000000000",
                    course_identifier=ECT,
                )
                for place, name in enumerate(names)
            )
        )
        relay = lot.start("relay")
        lot.until(lambda: _folded(lot) == people, "all of it is folded")
        seen = Counter[str]()
        for _ in range(20):
            seen |= Counter(_states(lot))
            time.sleep(0.1)

        assert 0 < seen["dispatched"] <= calls
        assert seen["taken"] == 0
        assert sum(_states(lot).values()) == people
        assert relay.end() == 0


def _folded(lot: Lot) -> int:
    with lot.database.reading() as connection:
        query = select(outbox_entry.c.id).where(outbox_entry.c.state != "new")
        return len(connection.execute(query).all())


def _states(lot: Lot) -> Counter[str]:
    with lot.database.reading() as connection:
        return Counter(connection.execute(select(record.c.state)).scalars().all())


def test_no_middleware_of_the_broker_interrupts_or_repeats_anything() -> None:
    """A time limit that is thrown into a thread may strike after the work is done: it runs again."""
    broker = Doorbell(new_stand_in(), "nobody")

    assert list(broker.middleware) == []
