"""What is called next for an enrolment, and what is not."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.contract import ABSENT
from schema.keys import EntryId
from schema.plans import Call, Hold, InStep, Plan, Request, WaitFor
from schema.record import Lock, Move, Record, Stamp
from schema.states import Reason
from tests.contracts.builders import (
    ECT,
    MENTOR,
    NOW,
    PERSON,
    a_move,
    an_accepted_enrolment,
    an_enrolment,
    attributes,
    called,
    pending,
)

DEFER = a_move("deferred", "parental-leave")
RESUME = a_move("active")
WITHDRAW = a_move("withdrawn", "other")
EXTENDED = "ecf-extended-september"


def plan(record: Record) -> Plan:
    return CONTRACT.plan(record, (), NOW)


@pytest.mark.parametrize(
    ("status", "move", "path", "sent"),
    [
        (
            "active",
            DEFER,
            "defer",
            {"reason": "parental-leave", "course_identifier": ECT},
        ),
        ("active", WITHDRAW, "withdraw", {"reason": "other", "course_identifier": ECT}),
        ("deferred", WITHDRAW, "withdraw", {"reason": "other", "course_identifier": ECT}),
        ("deferred", RESUME, "resume", {"course_identifier": ECT}),
        ("withdrawn", RESUME, "resume", {"course_identifier": ECT}),
    ],
)
def test_a_move_is_one_call_with_its_reason(
    status: str, move: Move, path: str, sent: dict[str, str]
) -> None:
    record = an_enrolment(path=[move], accepted=an_accepted_enrolment(training_status=status))

    assert plan(record) == Call(
        operation=path,
        request=Request(
            method="PUT",
            path=f"/participants/{PERSON}/{path}",
            body={"data": {"type": f"participant-{path}", "attributes": sent}},
        ),
        move=True,
    )


def test_a_schedule_change_always_names_the_cohort() -> None:
    record = an_enrolment(
        pending=pending(schedule_identifier=EXTENDED), accepted=an_accepted_enrolment()
    )

    assert plan(record) == Call(
        operation="change_schedule",
        request=Request(
            method="PUT",
            path=f"/participants/{PERSON}/change-schedule",
            body={
                "data": {
                    "type": "participant-change-schedule",
                    "attributes": {
                        "schedule_identifier": EXTENDED,
                        "course_identifier": ECT,
                        "cohort": "2025",
                    },
                }
            },
        ),
        fields={"schedule_identifier": EXTENDED},
    )


def test_a_change_of_cohort_alone_keeps_the_schedule() -> None:
    record = an_enrolment(pending=pending(cohort="2024"), accepted=an_accepted_enrolment())

    assert attributes(plan(record)) == {
        "schedule_identifier": "ecf-standard-september",
        "course_identifier": ECT,
        "cohort": "2024",
    }


def test_nothing_pending_is_in_step() -> None:
    assert plan(an_enrolment()) == InStep()
    assert plan(an_enrolment(remote_id=None, role=None)) == InStep()
    assert plan(an_enrolment(accepted=an_accepted_enrolment())) == InStep()


def test_what_is_there_already_costs_no_call() -> None:
    record = an_enrolment(
        path=[DEFER],
        pending=pending(schedule_identifier="ecf-standard-september", cohort="2025"),
        accepted=an_accepted_enrolment(training_status="deferred"),
    )

    assert plan(record) == InStep()


def test_a_change_without_a_link_waits_for_it() -> None:
    assert plan(an_enrolment(path=[DEFER], remote_id=None, role=None)) == WaitFor(whom="link")


def test_an_enrolment_nothing_is_known_of_is_looked_up_before_any_write() -> None:
    assert called(plan(an_enrolment(path=[DEFER]))) == f"GET /participants/{PERSON}"


def test_look_first_comes_before_any_write() -> None:
    record = an_enrolment(path=[DEFER], accepted=an_accepted_enrolment(), look_first=True)

    assert called(plan(record)) == f"GET /participants/{PERSON}"


def test_look_first_without_a_change_still_looks() -> None:
    record = an_enrolment(accepted=an_accepted_enrolment(), look_first=True)

    assert called(plan(record)) == f"GET /participants/{PERSON}"


@pytest.mark.parametrize("status", ["deferred", "withdrawn"])
def test_a_schedule_change_while_not_active_waits_for_a_resume_nobody_invents(
    status: str,
) -> None:
    record = an_enrolment(
        pending=pending(schedule_identifier=EXTENDED),
        accepted=an_accepted_enrolment(training_status=status),
    )

    assert plan(record) == WaitFor(whom="resume")


@pytest.mark.parametrize(
    ("status", "path", "schedule_at", "operation"),
    [
        ("active", [a_move("deferred", "other", entry=2)], 1, "change_schedule"),
        ("active", [a_move("deferred", "other", entry=1)], 2, "defer"),
        ("active", [a_move("deferred", "other", entry=1)], 1, "change_schedule"),
        ("active", [a_move("withdrawn", "other", entry=2)], 1, "change_schedule"),
        ("deferred", [a_move("active", entry=2)], 1, "resume"),
        ("deferred", [a_move("active", entry=1)], 2, "resume"),
        ("deferred", [a_move("withdrawn", "other", entry=2)], 1, "withdraw"),
        (
            "active",
            [a_move("deferred", "other", entry=1), a_move("active", entry=3)],
            2,
            "defer",
        ),
    ],
)
def test_schedule_and_status_go_in_the_order_asked_where_the_api_can_follow(
    status: str, path: Sequence[Move], schedule_at: int, operation: str
) -> None:
    record = an_enrolment(
        path=path,
        pending=pending(schedule_at, schedule_identifier=EXTENDED),
        accepted=an_accepted_enrolment(training_status=status),
    )

    next_call = plan(record)

    assert isinstance(next_call, Call)
    assert next_call.operation == operation


def test_what_happened_later_goes_later_though_its_event_came_first() -> None:
    late = Stamp(entry=EntryId(1), source="local", happened_at=NOW)
    early = Stamp(entry=EntryId(2), source="local", happened_at=NOW.replace(hour=1))
    changed = pending(schedule_identifier=EXTENDED)
    record = an_enrolment(
        path=[replace(DEFER, stamp=late)],
        pending={name: replace(one, stamp=early) for name, one in changed.items()},
        accepted=an_accepted_enrolment(),
    )

    assert called(plan(record)).endswith("/change-schedule")


def test_a_refused_schedule_change_does_not_hold_up_a_deferral() -> None:
    record = an_enrolment(
        path=[a_move("deferred", "other", entry=2)],
        pending=pending(1, schedule_identifier=EXTENDED),
        accepted=an_accepted_enrolment(),
    )
    first = plan(record)
    assert isinstance(first, Call)
    request = first.request.fingerprint()
    locked = replace(record, locks={request: Lock(fingerprint=request, data=True, cause="")})

    assert called(plan(locked)).endswith("/defer")
    assert plan(replace(locked, path=())) == first


def test_a_wrong_schedule_does_not_hold_up_a_deferral_and_is_held_after_it() -> None:
    record = an_enrolment(
        path=[a_move("deferred", "other", entry=2)],
        pending=pending(1, schedule_identifier="ecf-replacement-april"),
        accepted=an_accepted_enrolment(),
    )
    deferred = replace(record, path=(), accepted=an_accepted_enrolment(training_status="deferred"))

    assert called(plan(record)).endswith("/defer")
    assert isinstance(plan(deferred), Hold)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (an_enrolment(remote_id="E-1042", path=[DEFER]), "participant_id"),
        (
            an_enrolment(
                pending=pending(schedule_identifier="ecf-replacement-april"),
                accepted=an_accepted_enrolment(),
            ),
            "schedule_identifier",
        ),
        (
            an_enrolment(
                role=MENTOR,
                pending=pending(schedule_identifier="ecf-reduced-april"),
                accepted=an_accepted_enrolment(),
            ),
            "schedule_identifier",
        ),
        (
            an_enrolment(
                pending=pending(schedule_identifier="standard-april"),
                accepted=an_accepted_enrolment(),
            ),
            "schedule_identifier",
        ),
        (
            an_enrolment(
                path=[a_move("withdrawn", "mentor-no-longer-being-mentor")],
                accepted=an_accepted_enrolment(),
            ),
            "reason",
        ),
        (an_enrolment(path=[a_move("deferred")], accepted=an_accepted_enrolment()), "reason"),
        (
            an_enrolment(path=[a_move("deferred", "tired")], accepted=an_accepted_enrolment()),
            "reason",
        ),
        (
            an_enrolment(path=[a_move("gone")], accepted=an_accepted_enrolment()),
            "training_status",
        ),
        (an_enrolment(path=[DEFER], accepted=ABSENT), "course_identifier"),
    ],
)
def test_what_is_certain_to_be_refused_is_held_with_the_field_named(
    record: Record, field: str
) -> None:
    held = plan(record)

    assert isinstance(held, Hold)
    assert (held.reason, held.field) == (Reason.INVALID_HERE, field)


@pytest.mark.parametrize(
    ("role", "schedule"), [(MENTOR, "ecf-replacement-april"), (ECT, "ecf-reduced-april")]
)
def test_the_right_schedule_for_the_role_is_sent(role: str, schedule: str) -> None:
    record = an_enrolment(
        role=role,
        pending=pending(schedule_identifier=schedule),
        accepted=an_accepted_enrolment(),
    )

    assert attributes(plan(record))["schedule_identifier"] == schedule


def test_a_mentor_may_be_withdrawn_with_the_mentor_reason() -> None:
    record = an_enrolment(
        role=MENTOR,
        path=[a_move("withdrawn", "mentor-no-longer-being-mentor")],
        accepted=an_accepted_enrolment(),
    )

    assert called(plan(record)).endswith("/withdraw")


def test_the_steps_of_a_record_are_its_moves_and_one_schedule_change() -> None:
    record = an_enrolment(
        path=[DEFER, RESUME], pending=pending(schedule_identifier=EXTENDED, cohort="2024")
    )

    assert CONTRACT.steps(record) == 3


def test_one_person_in_one_role_is_one_remote_thing() -> None:
    assert CONTRACT.serial_key(an_enrolment()) == f"{PERSON}/{ECT}"
    assert CONTRACT.serial_key(an_enrolment(role=MENTOR)) == f"{PERSON}/{MENTOR}"
    assert CONTRACT.serial_key(an_enrolment(remote_id=None)) is None


@pytest.mark.parametrize(
    ("status", "explicit", "goes"),
    [("withdrawn", True, True), ("withdrawn", False, False), ("deferred", False, True)],
)
def test_who_is_withdrawn_is_made_active_by_an_event_that_says_so_and_by_no_whole_state(
    status: str, explicit: bool, goes: bool
) -> None:
    move = replace(RESUME, explicit=explicit)
    told = plan(an_enrolment(path=[move], accepted=an_accepted_enrolment(training_status=status)))

    assert isinstance(told, Call) == goes
    if isinstance(told, Hold):
        assert (told.reason, told.field) == (Reason.CONFLICT, "training_status")
