"""Whether a record is worth a call now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.lead_provider_v3 import CONTRACT
from outbox.admission import A_DAY, RECHECK, Aside, Close, Go, Park, allowance, cause, decide
from records.fold import INVALID, LINK
from schema.contract import Contract
from schema.keys import EntryId, RecordKey
from schema.plans import Call, Hold, InStep, Plan, Snooze, WaitFor
from schema.record import Lock, Problem, Record
from schema.states import Reason, RecordState
from tests.support.builders import (
    a_claim,
    a_look,
    a_mark,
    a_move,
    a_record,
    a_wish,
    a_write,
    an_enrolment,
)
from tests.support.clock import NOON

CALL = a_write()
REQUEST = CALL.request.fingerprint()


def saying(plan: Plan) -> Contract:
    """A contract that plans only this."""

    def always(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
        return plan

    return replace(CONTRACT, plan=always)


def changed(entry: int = 7, **more: object) -> Record:
    values: dict[str, Any] = {
        "accepted": an_enrolment(),
        "state": RecordState.WAITING,
        "pending": {"cohort": a_wish("2024", entry, base="2025")},
        "oldest_entry": EntryId(entry),
        **more,
    }
    return a_record(**values)


def kin(entry: int | None, **more: object) -> Record:
    """A claim of the same enrolment, asked for by entry *entry*."""
    values: dict[str, Any] = {
        "state": RecordState.WAITING,
        "due_at": NOON,
        "pending": {} if entry is None else {"state": a_wish("submitted", entry)},
        "oldest_entry": entry,
        **more,
    }
    return a_claim(**values)


def test_what_is_not_changed_is_closed_without_asking_the_contract() -> None:
    assert decide(a_record(), [], saying(CALL), NOON) == Close()


@pytest.mark.parametrize(
    ("plan", "decision"),
    [
        (InStep(), Close()),
        (CALL, Go(call=CALL)),
        (
            WaitFor(whom="link", key=RecordKey("enrolment", "E-1")),
            Park(reason=Reason.WAITING_FOR, due_at=NOON + RECHECK, waits_for="enrolment:E-1"),
        ),
        (
            WaitFor(whom="partnership_formed"),
            Park(reason=Reason.WAITING_FOR, due_at=NOON + RECHECK, waits_for="partnership_formed"),
        ),
        (
            Snooze(until=NOON + A_DAY, reason=Reason.SNOOZED),
            Park(reason=Reason.SNOOZED, due_at=NOON + A_DAY),
        ),
        (
            Hold(reason=Reason.VOID_FIRST, detail="void it", field="evidence_held"),
            Aside(
                problem=Problem(reason=Reason.VOID_FIRST, detail="void it", field="evidence_held")
            ),
        ),
    ],
)
def test_a_plan_is_followed(plan: Plan, decision: object) -> None:
    assert decide(changed(), [], saying(plan), NOON) == decision


def test_a_hold_that_only_data_heals_is_dead_and_one_a_person_may_lift_is_held() -> None:
    dead = Aside(problem=Problem(reason=Reason.INVALID_HERE, detail=""))
    held = Aside(problem=Problem(reason=Reason.VOID_FIRST, detail=""))

    assert (dead.state, held.state) == (RecordState.DEAD, RecordState.HELD)


# links and entries that cannot be used


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(remote_id=None), Reason.SAME_PERSON_TWICE),
        (changed(), Reason.RELINKED),
    ],
)
def test_a_link_that_cannot_be_used_holds_its_record(record: Record, reason: Reason) -> None:
    record = replace(record, pending={**record.pending, LINK: a_wish(["p", "r"], 8)})

    decision = decide(record, [], saying(CALL), NOON)

    assert isinstance(decision, Aside)
    assert decision.problem.reason is reason


def test_beside_an_entry_that_cannot_be_read_the_rest_goes_on_first() -> None:
    broken = a_wish("entry 8: reason: is missing", 8)
    both = changed()
    both = replace(both, pending={**both.pending, INVALID: broken})
    alone = a_record(pending={INVALID: broken})

    assert decide(both, [], saying(CALL), NOON) == Go(call=CALL)
    assert decide(alone, [], saying(InStep()), NOON) == Aside(
        problem=Problem(
            reason=Reason.INVALID_HERE, field="payload", detail="entry 8: reason: is missing"
        )
    )


# what both sides changed

SCHEDULE = "schedule_identifier"
STANDARD, EXTENDED, APRIL = (
    "ecf-standard-september",
    "ecf-extended-september",
    "ecf-standard-april",
)


@given(
    wishes=st.dictionaries(
        st.sampled_from([SCHEDULE, "cohort"]),
        st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "b", "c"])),
        min_size=1,
    ),
    there=st.fixed_dictionaries(
        {SCHEDULE: st.sampled_from(["a", "b", "c"]), "cohort": st.sampled_from(["a", "b", "c"])}
    ),
    moves=st.booleans(),
    status=st.sampled_from(["active", "deferred", "withdrawn"]),
)
def test_what_the_other_side_moved_away_from_its_base_is_never_sent_over(
    wishes: dict[str, tuple[str, str]], there: dict[str, str], moves: bool, status: str
) -> None:
    record = a_record(
        accepted=an_enrolment(training_status=status, **there),
        pending={name: a_wish(ours, 7, base=base) for name, (ours, base) in wishes.items()},
        path=(a_move("deferred", 8),) if moves else (),
        path_base="active" if moves else None,
    )

    decision = decide(record, [], sending_all(), NOON)

    fought = {name for name, (ours, base) in wishes.items() if there[name] not in (ours, base)}
    moved: set[str] = {"training_status"} if moves and status == "withdrawn" else set()
    both = fought | moved
    if isinstance(decision, Go):
        assert decision.call.fields.keys() == wishes.keys() - fought
        assert not decision.call.move or "training_status" not in both
    elif isinstance(decision, Aside):
        assert decision.problem.reason is Reason.CONFLICT
        assert decision.problem.field in both
    else:
        assert not both


def sending_all() -> Contract:
    """A contract that sends whatever is pending in one call."""

    def everything(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
        if not record.changed:
            return InStep()
        fields = {name: wish.value for name, wish in record.pending.items()}
        return a_write(fields, fields=fields, move=bool(record.path))

    return replace(CONTRACT, plan=everything)


def test_the_rest_of_a_record_goes_on_beside_a_conflict_which_is_then_shown() -> None:
    both = changed(
        accepted=an_enrolment(schedule_identifier=APRIL),
        pending={
            SCHEDULE: a_wish(EXTENDED, 7, base=STANDARD),
            "cohort": a_wish("2024", 8, base="2025"),
        },
    )
    alone = replace(both, pending={SCHEDULE: both.pending[SCHEDULE]})

    rest = decide(both, [], sending_all(), NOON)
    left = decide(alone, [], sending_all(), NOON)

    assert isinstance(rest, Go)
    assert rest.call.fields == {"cohort": "2024"}
    assert isinstance(left, Aside)
    assert left.problem.sides == (STANDARD, EXTENDED, APRIL)


@pytest.mark.parametrize("doubt", [{"look_first": True}, {"mark": a_mark(7)}])
def test_a_conflict_is_judged_by_what_is_known_not_by_what_is_about_to_be_looked_up(
    doubt: dict[str, Any],
) -> None:
    record = changed(
        accepted=an_enrolment(schedule_identifier=APRIL),
        pending={SCHEDULE: a_wish(EXTENDED, 7, base=STANDARD)},
        **doubt,
    )

    assert decide(record, [], saying(a_look()), NOON) == Go(call=a_look())


# what was answered before


def a_lock(request: str, *, data: bool, cause: str, **more: Any) -> dict[str, Lock]:
    return {request: Lock(fingerprint=request, data=data, cause=cause, **more)}


def test_a_request_refused_for_its_data_is_not_sent_again_whatever_is_accepted() -> None:
    refusal = Problem(reason=Reason.REFUSED, detail="no such schedule", status=422)
    other = Problem(reason=Reason.SNOOZED, detail="not today")
    locked = changed(locks=a_lock(REQUEST, data=True, cause="old", problem=refusal), problem=other)

    assert decide(locked, [], saying(CALL), NOON) == Aside(problem=refusal)


def test_another_request_of_a_locked_record_goes() -> None:
    locked = changed(locks=a_lock("another request", data=True, cause="old"))

    assert decide(locked, [], saying(CALL), NOON) == Go(call=CALL)


def test_a_refusal_for_what_is_there_heals_when_that_changes_here_or_among_kin() -> None:
    other = kin(None, accepted={"state": "submitted"})
    locked = changed()
    locked = replace(locked, locks=a_lock(REQUEST, data=False, cause=cause(locked, [other])))
    read = replace(locked, accepted=an_enrolment(mentor_id="another"))
    kin_read = replace(other, accepted={"state": "voided"})

    assert isinstance(decide(locked, [other], saying(CALL), NOON), Aside)
    assert decide(read, [other], saying(CALL), NOON) == Go(call=CALL)
    assert decide(locked, [kin_read], saying(CALL), NOON) == Go(call=CALL)


def test_what_an_earlier_round_was_refused_for_its_data_is_not_sent_in_the_next() -> None:
    first = kin(None, locks=a_lock(REQUEST, data=True, cause="old"))

    assert isinstance(decide(changed(), [first], saying(CALL), NOON), Aside)


def test_that_there_is_another_record_heals_nothing_while_nothing_is_known_of_it() -> None:
    locked = changed()
    locked = replace(locked, locks=a_lock(REQUEST, data=False, cause=cause(locked, [])))

    assert isinstance(decide(locked, [kin(9)], saying(CALL), NOON), Aside)


@pytest.mark.parametrize(
    ("refused", "stands"), [((7,), Aside), ((7, 8), Aside), ((8,), Park), ((), Park)]
)
def test_what_was_refused_stands_before_a_person_though_it_would_have_to_wait_as_well(
    refused: tuple[int, ...], stands: type[object]
) -> None:
    problem = Problem(reason=Reason.REFUSED, detail="no", status=422)
    locks = a_lock("x", data=False, cause="old", entries=refused, problem=problem)

    decision = decide(changed(7, locks=locks), [], saying(WaitFor(whom="resume")), NOON)

    assert isinstance(decision, stands)
    if isinstance(decision, Aside):
        assert decision.problem == problem


def test_already_twice_is_a_conflict() -> None:
    decision = decide(changed(already=REQUEST), [], saying(CALL), NOON)

    assert isinstance(decision, Aside)
    assert decision.problem.reason is Reason.CONFLICT


@pytest.mark.parametrize(
    ("calls", "call", "goes"),
    [(2, CALL, True), (3, CALL, False), (9, CALL, False), (9, a_look(), True)],
)
def test_more_writes_than_the_plan_had_steps_and_two_do_not_settle(
    calls: int, call: Call, goes: bool
) -> None:
    restless = changed(calls=calls, allowance=3)

    decision = decide(restless, [], saying(call), NOON)

    assert isinstance(decision, Go) == goes
    if isinstance(decision, Aside):
        assert decision.problem.reason is Reason.DOES_NOT_SETTLE


def test_what_is_allowed_is_what_the_plan_needs_and_two() -> None:
    asked = changed(path=(a_move("deferred", 8), a_move("withdrawn", 9)))

    assert allowance(asked, CONTRACT) == 5


# order among kin


@pytest.mark.parametrize("state", [RecordState.TAKEN, RecordState.IN_DOUBT])
def test_nothing_goes_while_a_kin_is_in_flight_or_in_doubt(state: RecordState) -> None:
    other = kin(9, state=state)

    assert decide(changed(7), [other], saying(CALL), NOON) == Park(
        reason=Reason.WAITING_FOR, due_at=NOON + RECHECK, waits_for=str(other.key)
    )


def test_nothing_goes_while_the_doubt_of_a_kin_is_being_looked_up() -> None:
    other = kin(9, state=RecordState.DISPATCHED, mark=a_mark(9))

    assert isinstance(decide(changed(7), [other], saying(CALL), NOON), Park)


def test_kin_go_in_the_order_of_their_oldest_entry() -> None:
    assert isinstance(decide(changed(7), [kin(6)], saying(CALL), NOON), Park)
    assert isinstance(decide(changed(7), [kin(8)], saying(CALL), NOON), Go)


@pytest.mark.parametrize(
    ("other", "waits"),
    [
        pytest.param(kin(6, state=RecordState.DISPATCHED), True, id="on the queue"),
        pytest.param(kin(6, due_at=NOON + A_DAY), True, id="due within a day"),
        pytest.param(
            kin(6, due_at=NOON + A_DAY + timedelta(seconds=1)), False, id="snoozed past a day"
        ),
        pytest.param(kin(6, state=RecordState.DEAD), False, id="dead"),
        pytest.param(kin(6, state=RecordState.HELD), False, id="held"),
        pytest.param(kin(6, state=RecordState.IN_STEP, pending={}), False, id="in step"),
        pytest.param(
            kin(6, reason=Reason.WAITING_FOR, waits_for="link"), False, id="waits for an event"
        ),
        pytest.param(
            kin(6, reason=Reason.WAITING_FOR, waits_for="enrolment:E-1"),
            False,
            id="waits for this very record",
        ),
    ],
)
def test_only_an_earlier_kin_that_is_still_moving_is_waited_for(other: Record, waits: bool) -> None:
    decision = decide(changed(7), [other], saying(CALL), NOON)

    assert isinstance(decision, Park) == waits


def test_a_kin_that_waits_for_a_third_that_moves_is_moving_too() -> None:
    third = a_claim("retained-1", state=RecordState.WAITING, due_at=NOON)
    other = kin(6, reason=Reason.WAITING_FOR, waits_for=str(third.key))
    stuck = replace(third, state=RecordState.DEAD, due_at=None)

    assert isinstance(decide(changed(7), [other, third], saying(CALL), NOON), Park)
    assert isinstance(decide(changed(7), [other, stuck], saying(CALL), NOON), Go)


def test_the_cause_of_a_refusal_does_not_depend_on_the_order_of_kin() -> None:
    one, other = kin(1), kin(2, key=RecordKey("declaration", "E-1", "completed", 1))

    assert cause(changed(), [one, other]) == cause(changed(), [other, one])
