"""What is done with is pruned, a little at a time; what somebody still needs stays."""

from datetime import timedelta
from typing import Any

import pytest

from outbox import attempts, bulk, upkeep
from outbox.selection import Selection
from outbox.upkeep import Prune, Retention, Upkeep
from schema.events import Event, decode
from schema.outcomes import Blame, Refused
from schema.states import RecordState
from tests.support.api import a_refusal, lost
from tests.support.bulk import Desk
from tests.support.outbox import Outbox

KEEP = Retention(entries=timedelta(days=400), bodies=timedelta(days=90))


def to_schedule(schedule: str) -> Event:
    return decode(
        {
            "event": "schedule_changed",
            "source_id": "E-1",
            "schedule_identifier": schedule,
            "cohort": "2025",
        }
    )


def calls(outbox: Outbox) -> list[dict[str, Any]]:
    with outbox.database.reading() as connection:
        return attempts.of_record(connection, outbox.record().id)


def with_bodies(outbox: Outbox) -> list[str]:
    return [one["operation"] for one in calls(outbox) if "body" in one["request"] or one["base"]]


def sweep(outbox: Outbox) -> int:
    """Sweep to the end; gives the steps it took."""
    keeper = Upkeep(database=outbox.database, clock=outbox.clock, retention=KEEP)
    steps = 0
    while keeper.step():
        steps += 1
        outbox.wait(seconds=upkeep.PAUSE_S)
    return steps


@pytest.fixture
def delivered(outbox: Outbox) -> Outbox:
    """One enrolment, looked up, then moved to another schedule: all of it is done with."""
    outbox.link()
    outbox.emit(to_schedule("ecf-extended-september"))
    outbox.run()
    assert outbox.record().state is RecordState.IN_STEP
    return outbox


def test_nothing_goes_before_its_time(delivered: Outbox) -> None:
    delivered.wait(days=89)

    sweep(delivered)

    assert len(delivered.entries()) == 2
    assert with_bodies(delivered) == ["change_schedule"]


def test_bodies_are_wiped_and_the_proof_of_the_call_stays(delivered: Outbox) -> None:
    before = calls(delivered)
    delivered.wait(days=91)

    sweep(delivered)

    assert with_bodies(delivered) == []
    after = calls(delivered)
    for name in ("operation", "fingerprint", "outcome", "status", "marked_at", "answered_at"):
        assert [one[name] for one in after] == [one[name] for one in before]
    assert [one["request"]["path"] for one in after] == [one["request"]["path"] for one in before]
    assert len(delivered.entries()) == 2


def test_closed_entries_and_their_calls_go_in_the_end_and_the_record_stays(
    delivered: Outbox,
) -> None:
    delivered.wait(days=401)
    open_one = delivered.emit(to_schedule("ecf-reduced-september"))

    sweep(delivered)

    assert list(delivered.entries()) == open_one
    assert calls(delivered) == []
    assert delivered.record().accepted is not None


@pytest.mark.parametrize("ending", ["refused", "lost"])
def test_what_waits_for_a_person_or_a_look_up_keeps_its_calls(
    delivered: Outbox, ending: str
) -> None:
    refused = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)
    delivered.api.then(refused if ending == "refused" else lost(executed=False))
    delivered.emit(to_schedule("ecf-reduced-september"))
    delivered.round()
    delivered.deliver()
    assert delivered.record().state in (RecordState.DEAD, RecordState.IN_DOUBT)
    before = calls(delivered)
    delivered.wait(days=500)

    sweep(delivered)

    assert calls(delivered) == before


def test_a_sweep_goes_in_small_steps_and_comes_to_its_end(
    delivered: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SWEEP_BATCH", 3)
    for number in range(10):
        delivered.emit(to_schedule(f"ecf-{'extended' if number % 2 else 'reduced'}-september"))
    delivered.run()
    delivered.wait(days=401)

    steps = sweep(delivered)

    assert steps == 5  # 12 entries in threes, and one step to see that there are no more
    assert delivered.entries() == {}


def test_the_next_sweep_comes_an_hour_later(delivered: Outbox) -> None:
    keeper = Upkeep(database=delivered.database, clock=delivered.clock, retention=KEEP)
    assert keeper.step()
    delivered.wait(seconds=upkeep.SWEEP_EVERY_S - 1)
    assert not keeper.step()
    delivered.wait(seconds=1)
    assert keeper.step()


def test_what_is_pruned_besides_is_pruned_in_steps_until_nothing_is_left(outbox: Outbox) -> None:
    left = [3, 3, 1, 0]
    keeper = Upkeep(
        database=outbox.database,
        clock=outbox.clock,
        retention=KEEP,
        also=[Prune(name="feed", some=lambda connection: left.pop(0))],
    )
    steps = 0
    while keeper.step():
        steps += 1
        outbox.wait(seconds=upkeep.PAUSE_S)

    assert (steps, left) == (4, [])


def test_a_bulk_goes_with_what_it_told_once_it_is_as_old_as_entries_may_be(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SWEEP_BATCH", 2)
    desk = Desk(outbox, crowd=5)
    over = desk.start(3, Selection(ids=tuple(one.id for one in outbox.records()[:3])))
    desk.run()
    outbox.wait(days=401)
    young = desk.start(2)

    sweep(outbox)

    assert [one.id for one in listed(outbox)] == [young.id]
    assert desk.items(over) == []
    assert len(desk.items(young)) == 2


def listed(outbox: Outbox) -> list[bulk.Bulk]:
    with outbox.database.reading() as connection:
        return bulk.listed(connection, "default")
