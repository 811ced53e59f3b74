"""One attempt at one record, outcome by outcome, against a scripted API."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.contracts import guidance
from outbox import attempts, gates
from outbox.errors import QuotaAway
from outbox.gates import Gate
from records import store
from runtime.database import Database
from schema.contract import ABSENT
from schema.events import (
    DeclarationMade,
    DeclarationVoided,
    Event,
    MentorChanged,
    ParticipantResumed,
    ParticipantWithdrawn,
    RecordSnapshot,
    decode,
)
from schema.outcomes import (
    AlreadyThere,
    Blame,
    Conflict,
    Delivered,
    InDoubt,
    InvalidHere,
    KeyRefused,
    Later,
    Refused,
    Throttled,
    Transient,
)
from schema.states import GateReason, Reason, RecordState
from tests.support.api import Scripted, a_refusal, lost
from tests.support.builders import ECT, OTHER_PERSON, PERSON, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import Outbox

SAFE_TO_LOOK = timedelta(seconds=10 + 30 + 120)


def deferred(source_id: str = "E-1", reason: str = "other") -> Event:
    return decode({"event": "participant_deferred", "source_id": source_id, "reason": reason})


def to_schedule(schedule: str) -> Event:
    return decode(
        {
            "event": "schedule_changed",
            "source_id": "E-1",
            "schedule_identifier": schedule,
            "cohort": "2025",
        }
    )


def declared(day: int = 1) -> Event:
    return DeclarationMade(
        source_id="E-1",
        declaration_type="started",
        declaration_date=NOON.replace(month=1, day=day),
        evidence_held="other",
    )


@pytest.fixture
def known(outbox: Outbox) -> Outbox:
    """An outbox whose one enrolment is linked, looked up and in step."""
    outbox.link()
    outbox.emit(to_schedule("ecf-standard-september"))
    outbox.run()
    outbox.api.calls.clear()
    return outbox


def stands(outbox: Outbox) -> tuple[RecordState, Reason | None]:
    record = outbox.record()
    return record.state, record.reason


def outcomes(outbox: Outbox, part: str = "") -> list[str | None]:
    record = outbox.record(part=part)
    with outbox.database.reading() as connection:
        return [one["outcome"] for one in attempts.of_record(connection, record.id)]


# delivered


def test_a_delivery_is_written_down_with_what_it_was_planned_from(known: Outbox) -> None:
    (entry,) = known.emit(deferred())

    known.run()

    record = known.record()
    with known.database.reading() as connection:
        call = attempts.of_record(connection, record.id)[-1]
    assert known.how(entry) == ["delivered"]
    assert (call["operation"], call["outcome"], call["status"]) == ("defer", "delivered", 200)
    assert call["base"]["training_status"] == "active"
    assert call["request"]["body"]["data"]["attributes"] == {
        "course_identifier": ECT,
        "reason": "other",
    }
    assert record.accepted is not None
    assert record.accepted["training_status"] == "deferred"
    assert known.pace.ended[-1][1] == "answered"


def test_the_call_is_committed_before_it_is_made(known: Outbox) -> None:
    seen: list[tuple[list[str | None], bool]] = []

    def look() -> None:
        seen.append((outcomes(known)[-1:], known.record().mark is not None))

    known.api.then(Scripted(outcome=Transient(detail=""), meanwhile=look))
    known.emit(deferred())
    known.round()
    known.deliver()

    assert seen == [([None], True)]


def test_an_answer_that_gives_another_record_its_remote_id_is_held(known: Outbox) -> None:
    known.emit(declared())
    known.run()
    known.api.then(
        Delivered(accepted={"state": "submitted"}, remote_id=known.record(part="started").remote_id)
    )
    known.emit(
        DeclarationMade(
            source_id="E-1",
            declaration_type="retained-1",
            declaration_date=NOON.replace(month=2, day=1),
            evidence_held="other",
        )
    )
    known.run()

    second = known.record(part="retained-1")
    assert (second.state, second.reason) == (RecordState.HELD, Reason.SAME_PERSON_TWICE)
    assert second.remote_id is None


# already there


def test_already_there_is_believed_only_after_a_look(known: Outbox) -> None:
    known.api.people[PERSON]["training_status"] = "deferred"
    known.api.then(AlreadyThere(refusals=a_refusal()))
    (entry,) = known.emit(deferred())

    known.run()

    assert known.api.operations == ["defer", "look_up_participant"]
    assert known.how(entry) == ["delivered"]


def test_already_there_that_a_look_does_not_show_is_sent_once_more_then_a_conflict(
    known: Outbox,
) -> None:
    known.api.then(AlreadyThere(refusals=a_refusal()))
    (entry,) = known.emit(deferred())

    known.run()

    assert known.api.operations == ["defer", "look_up_participant"]
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)
    assert known.how(entry) == ["folded"]


# throttled


def test_throttled_shuts_the_gate_for_everybody_and_costs_no_try(known: Outbox) -> None:
    known.api.people[OTHER_PERSON] = an_enrolment()
    known.link("E-2", OTHER_PERSON)
    known.emit(deferred("E-1"), deferred("E-2"))
    known.round()
    known.api.then(Throttled(retry_after=timedelta(seconds=40)))

    ended = known.deliver()

    assert ended == ["settled", "gate"]
    assert (known.record("E-1").tries, known.record("E-2").tries) == (0, 0)
    assert known.pace.ended[-1][1] == "refused"
    known.wait(seconds=39.9)
    known.run()
    assert known.api.operations == ["defer"]
    known.wait(seconds=0.1)
    known.run()
    assert sorted(set(known.entries().values())) == ["delivered", "noted", "unchanged"]


# transient


def test_a_passing_failure_is_tried_again_after_its_backoff(known: Outbox) -> None:
    known.api.then(Transient(detail="not sent: refused"), Transient(detail="not sent: refused"))
    (entry,) = known.emit(deferred())

    known.run()
    assert stands(known) == (RecordState.WAITING, Reason.BACKOFF)
    known.wait(seconds=2)
    known.run()
    known.wait(seconds=4)
    known.run()

    assert known.api.operations == ["defer"] * 3
    assert known.how(entry) == ["delivered"]
    assert known.record().tries == 0


def test_an_outage_of_a_night_ends_by_itself_and_a_longer_one_stands_before_a_person(
    known: Outbox,
) -> None:
    known.api.then(*[Transient(detail="no route to host")] * 2_000)
    known.emit(deferred())
    known.run()
    for _ in range(11):
        known.wait(minutes=1)
        known.run()
    assert stands(known) == (RecordState.WAITING, Reason.BACKOFF)

    known.wait(hours=24)
    known.run()

    assert stands(known) == (RecordState.DEAD, Reason.EXHAUSTED)


# refused


def test_a_refused_request_is_never_sent_again_unchanged(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal("reason", "no"), blame=Blame.DATA))
    (refused,) = known.emit(deferred())
    known.run()
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)

    (again,) = known.emit(deferred())
    known.wait(hours=1)
    known.run()

    assert known.api.operations == ["defer"]
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)
    assert known.how(refused, again) == ["superseded", "folded"]
    problem = known.record().problem
    assert problem is not None
    assert (problem.detail, problem.status) == ("reason: no", 422)


def test_a_newer_event_heals_a_refused_record(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    (refused,) = known.emit(deferred())
    known.run()

    (right,) = known.emit(deferred(reason="bereavement"))
    known.run()

    assert known.how(refused, right) == ["superseded", "delivered"]
    assert stands(known) == (RecordState.IN_STEP, None)


def test_what_was_refused_for_its_data_is_not_sent_again_after_something_else_was(
    known: Outbox,
) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal("s", "no"), blame=Blame.DATA))
    known.emit(to_schedule("ecf-reduced-september"))
    known.run()
    known.emit(to_schedule("ecf-extended-september"))
    known.run()

    known.emit(to_schedule("ecf-reduced-september"))
    known.run()

    assert known.api.writes == ["change_schedule", "change_schedule"]
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-extended-september"
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)
    assert known.record().problem == next(iter(known.record().locks.values())).problem


def test_a_refused_claim_is_not_sent_again_by_voiding_it_and_making_it_anew(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    known.emit(declared())
    known.run()

    known.emit(DeclarationVoided(source_id="E-1", declaration_type="started"), declared())
    known.run()

    assert known.api.writes == ["declare"]
    second = known.record(part="started", number=2)
    assert (second.state, second.reason) == (RecordState.DEAD, Reason.REFUSED)


@pytest.mark.parametrize("blame", list(Blame))
def test_the_refused_one_of_two_steps_stands_before_a_person_once_the_other_is_made(
    known: Outbox, blame: Blame
) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal("schedule", "no"), blame=blame))
    schedule, status = known.emit(to_schedule("ecf-extended-september"), deferred())

    known.run()

    assert known.api.writes == ["change_schedule", "defer"]
    assert known.how(schedule, status) == ["folded", "delivered"]
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)
    problem = known.record().problem
    assert problem is not None
    assert problem.detail == "schedule: no"


def test_a_refusal_for_the_state_there_heals_when_a_kin_is_told_something_new(
    known: Outbox,
) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.STATE))
    (claim,) = known.emit(declared())
    known.run()
    assert known.record(part="started").state is RecordState.DEAD

    known.emit(deferred())
    known.run()

    assert known.api.writes == ["declare", "defer", "declare"]
    assert known.how(claim) == ["delivered"]


def test_a_refusal_for_the_state_there_is_not_sent_again_for_a_kin_that_learned_nothing(
    known: Outbox,
) -> None:
    known.api.then(
        Refused(status=422, refusals=a_refusal(), blame=Blame.STATE), Transient(detail="no route")
    )
    known.emit(declared())
    known.run()

    known.emit(deferred())
    known.run()

    assert known.api.writes == ["declare", "defer"]
    assert known.record(part="started").state is RecordState.DEAD


def test_what_was_invalid_here_goes_once_its_kin_make_it_valid(known: Outbox) -> None:
    known.api.people[PERSON]["status_date"] = "2025-12-01T09:00:00Z"
    known.emit(ParticipantWithdrawn(source_id="E-1", reason="other"))
    known.run()
    (claim,) = known.emit(declared())
    known.run()
    assert known.how(claim) == ["folded"]
    assert known.record(part="started").reason is Reason.INVALID_HERE

    known.emit(ParticipantResumed(source_id="E-1"))
    known.run()

    assert known.api.writes == ["withdraw", "resume", "declare"]
    assert known.how(claim) == ["delivered"]


def test_steps_that_do_not_depend_on_a_refused_one_go_on(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    schedule, status = known.emit(to_schedule("ecf-extended-september"), deferred())

    known.run()
    assert known.how(schedule, status) == ["folded", "delivered"]
    known.emit(ParticipantResumed(source_id="E-1"))
    known.run()

    assert known.api.operations == ["change_schedule", "defer", "resume"]
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)


def test_a_refused_record_holds_up_nobody_else(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    _, claim = known.emit(deferred(), declared())

    known.run()

    assert stands(known)[0] is RecordState.DEAD
    assert known.how(claim) == ["delivered"]


# an id that is not known there any more

GONE = Refused(
    status=404,
    refusals=a_refusal("Resource not found", "Nothing could be found for the provided details"),
    blame=Blame.STATE,
    merged_by="find_merged",
)


def merge(outbox: Outbox, *, into: str) -> None:
    """The other side merges our participant into another."""
    outbox.api.people[into] = outbox.api.people.pop(PERSON)
    outbox.api.merged[PERSON] = into


def test_a_merged_id_is_followed_and_the_old_one_stays_an_alias(known: Outbox) -> None:
    merge(known, into=OTHER_PERSON)
    known.api.then(GONE)
    (entry,) = known.emit(deferred())

    known.run()

    assert known.api.operations == ["defer", "find_merged", "defer"]
    assert known.how(entry) == ["delivered"]
    record = known.record()
    assert (record.remote_id, record.aliases) == (OTHER_PERSON, (PERSON,))
    with known.database.reading() as connection:
        assert [one.id for one in store.by_remote(connection, PERSON)] == [record.id]
        assert [one.id for one in store.by_remote(connection, OTHER_PERSON)] == [record.id]

    (again,) = known.emit(
        decode(
            {
                "event": "participant_resumed",
                "source_id": "E-1",
                "participant_id": PERSON,
                "course_identifier": ECT,
            }
        )
    )
    known.run()
    assert known.how(again) == ["delivered"], "the old id means the same record"


def test_a_merge_wakes_the_claims_that_were_refused_under_the_old_id(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal("participant_id"), blame=Blame.STATE))
    (claim,) = known.emit(declared())
    known.run()
    merge(known, into=OTHER_PERSON)
    known.api.then(GONE)

    known.emit(deferred())
    known.run()

    assert known.how(claim) == ["delivered"]
    (there,) = known.api.declarations.values()
    assert there["participant_id"] == OTHER_PERSON


def test_an_id_merged_into_one_that_another_record_has_is_held(known: Outbox) -> None:
    known.api.people[OTHER_PERSON] = an_enrolment(training_status="withdrawn")
    known.link("E-2", OTHER_PERSON)
    merge(known, into=OTHER_PERSON)
    known.api.then(GONE)
    (entry,) = known.emit(deferred())

    known.run()

    record = known.record()
    assert (record.state, record.reason) == (RecordState.HELD, Reason.SAME_PERSON_TWICE)
    assert record.remote_id == PERSON
    assert known.how(entry) == ["folded"]
    assert known.api.writes == ["defer"]


def test_an_id_that_was_merged_into_nothing_is_a_dead_letter_that_says_so(known: Outbox) -> None:
    known.api.then(GONE)
    (entry,) = known.emit(deferred())

    known.run()

    assert known.api.operations == ["defer", "find_merged"]
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)
    problem = known.record().problem
    assert problem is not None
    assert (problem.status, problem.field) == (404, "participant_id")
    assert "merged into" in problem.detail
    assert known.how(entry) == ["folded"]

    known.emit(deferred())
    known.wait(hours=30)
    known.run()
    assert known.api.operations == ["defer", "find_merged"], "the same is not sent again"


@pytest.mark.parametrize("executed", [True, False])
def test_a_doubt_whose_look_up_finds_the_id_gone_is_settled_under_the_new_one(
    known: Outbox, executed: bool
) -> None:
    known.api.then(lost(executed=executed), GONE)
    (entry,) = known.emit(deferred())
    known.run()
    merge(known, into=OTHER_PERSON)
    known.wait(minutes=5)

    known.run()

    again = [] if executed else ["defer"]
    assert known.api.operations == ["defer", "look_up_participant", "find_merged", *again]
    assert known.how(entry) == ["delivered"]
    assert known.record().remote_id == OTHER_PERSON


def test_a_doubt_whose_id_is_gone_for_good_stays_a_doubt_in_front_of_a_person(
    known: Outbox,
) -> None:
    known.api.then(lost(executed=True), GONE)
    known.emit(deferred())
    known.run()
    known.wait(minutes=5)

    known.run()

    record = known.record()
    assert (record.state, record.reason, record.due_at) == (
        RecordState.IN_DOUBT,
        Reason.REFUSED,
        None,
    )
    assert record.mark is not None


# the key


def test_a_refused_key_stops_the_destination_until_a_person_resumes(known: Outbox) -> None:
    known.api.then(KeyRefused(status=401))
    (entry,) = known.emit(deferred())
    known.run()
    with known.database.reading() as connection:
        gate = gates.shut_now(connection, "default", known.clock.now())
    assert gate is not None
    assert (gate.reason, gate.until) == (GateReason.KEY_REFUSED, None)
    known.wait(hours=30)
    known.run()
    assert (known.api.operations, known.record().tries) == (["defer"], 0)

    with known.database.transaction() as connection:
        gates.resume(connection, "default", "default", known.clock.now(), throttle=False)
    known.run()

    assert known.how(entry) == ["delivered"]


# in doubt


@pytest.mark.parametrize("executed", [True, False])
def test_a_lost_answer_is_looked_up_after_the_quarantine_and_settled_both_ways(
    known: Outbox, executed: bool
) -> None:
    known.api.then(lost(executed=executed))
    (entry,) = known.emit(deferred())
    known.run()
    assert stands(known) == (RecordState.IN_DOUBT, Reason.NO_ANSWER)
    known.wait(seconds=SAFE_TO_LOOK.total_seconds() - 0.1)
    known.run()
    assert known.api.operations == ["defer"]

    known.wait(seconds=0.1)
    known.run()

    again = [] if executed else ["defer"]
    assert known.api.operations == ["defer", "look_up_participant", *again]
    assert known.how(entry) == ["delivered"]
    assert stands(known) == (RecordState.IN_STEP, None)


@pytest.mark.parametrize("executed", [True, False])
def test_a_look_before_the_quarantine_ends_may_say_done_and_never_not_done(
    known: Outbox, executed: bool
) -> None:
    known.api.then(lost(executed=executed))
    (entry,) = known.emit(deferred())
    known.run()
    known.wait(seconds=20)
    known.set_record(known.record(), due_at=known.clock.now())  # somebody is impatient

    known.run()
    assert known.api.operations == ["defer", "look_up_participant"]
    if executed:
        assert known.how(entry) == ["delivered"]
        return
    doubtful = known.record()
    assert (doubtful.state, doubtful.due_at) == (RecordState.IN_DOUBT, NOON + SAFE_TO_LOOK)
    assert doubtful.mark is not None

    known.wait(seconds=SAFE_TO_LOOK.total_seconds() - 20)
    known.run()
    assert known.api.writes == ["defer", "defer"]
    assert known.how(entry) == ["delivered"]


def test_an_unclear_answer_is_looked_up_soon(known: Outbox) -> None:
    known.api.then(Scripted(outcome=InDoubt(detail="answered 500", answered=True), executed=True))
    (entry,) = known.emit(deferred())

    known.run()
    assert stands(known) == (RecordState.IN_DOUBT, Reason.UNCLEAR_ANSWER)
    known.wait(seconds=1)
    known.run()

    assert known.how(entry) == ["delivered"]


def test_nothing_about_a_record_in_doubt_closes_meanwhile(known: Outbox) -> None:
    known.api.then(lost(executed=True))
    (first,) = known.emit(to_schedule("ecf-extended-september"))
    known.run()

    (back,) = known.emit(to_schedule("ecf-standard-september"))
    known.run()
    assert known.how(first, back) == ["folded", "folded"]
    known.wait(minutes=5)
    known.run()

    assert known.api.writes == ["change_schedule", "change_schedule"]
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-standard-september"
    assert known.how(first, back) == ["delivered", "delivered"]


def test_a_failing_look_up_keeps_a_doubt(known: Outbox) -> None:
    known.api.then(lost(executed=True), *[Transient(detail="503")] * 3)
    (entry,) = known.emit(deferred())
    known.run()
    known.wait(minutes=3)
    known.run()
    assert known.record().state is RecordState.IN_DOUBT

    for _ in range(3):
        known.wait(minutes=1)
        known.run()

    assert known.api.writes == ["defer"]
    assert known.how(entry) == ["delivered"]


def test_a_doubt_among_kin_is_waited_for(known: Outbox) -> None:
    known.api.then(lost(executed=True))
    known.emit(deferred())
    known.run()

    known.emit(declared())
    known.run()
    assert known.api.writes == ["defer"]
    known.wait(minutes=5)
    known.run()

    assert known.api.writes == ["defer", "declare"]


def test_a_create_lost_twice_is_never_made_a_third_time(known: Outbox) -> None:
    known.api.then(lost(executed=False), Delivered(accepted=ABSENT), lost(executed=False))
    (entry,) = known.emit(declared())
    known.run()
    for _ in range(20):
        known.wait(minutes=10)
        known.run()

    claim = known.record(part="started")
    assert known.api.writes == ["declare", "declare"]
    assert (claim.state, claim.reason) == (RecordState.DEAD, Reason.EXHAUSTED)
    assert known.how(entry) == ["folded"]


def test_after_two_lost_creates_another_wish_of_the_round_is_not_a_third(known: Outbox) -> None:
    known.api.then(lost(executed=False), Delivered(accepted=ABSENT), lost(executed=False))
    known.emit(declared(1))
    known.run()
    for _ in range(3):
        known.wait(minutes=10)
        known.run()
    assert known.record(part="started").reason is Reason.EXHAUSTED

    known.emit(declared(2))
    known.run()

    claim = known.record(part="started")
    assert known.api.writes == ["declare", "declare"]
    assert (claim.state, claim.reason) == (RecordState.DEAD, Reason.EXHAUSTED)


def test_a_lost_create_whose_void_is_asked_for_is_not_repeated(known: Outbox) -> None:
    known.api.then(lost(executed=False))
    made = known.emit(declared())
    known.run()

    void = known.emit(DeclarationVoided(source_id="E-1", declaration_type="started"))
    known.wait(minutes=3)
    known.run()

    assert known.api.operations == ["declare", "find_declaration"]
    assert known.record(part="started").state is RecordState.IN_STEP
    assert known.entries().keys() >= {*made, *void}
    assert "folded" not in known.how(*made, *void)


def test_a_create_that_nothing_can_look_up_is_left_to_a_person_whatever_is_said_since(
    database: Database,
) -> None:
    outbox = Outbox(database, guidance.CONTRACT)
    outbox.api.then(lost(executed=False))  # which nobody here can know
    joe = {"full_name": "Joe Bloggs", "start_date": "2025-09-01"}
    outbox.emit(RecordSnapshot(source_id="E-1", kind="participant", state=joe))
    outbox.run()
    (newer,) = outbox.emit(MentorChanged(source_id="E-1", mentor_id="M2"))
    for _ in range(5):
        outbox.wait(hours=12)
        outbox.run()

    (record,) = outbox.records()
    assert outbox.api.writes == ["create"]
    assert (record.state, record.reason, record.due_at) == (
        RecordState.IN_DOUBT,
        Reason.NO_ANSWER,
        None,
    )
    assert record.problem is not None
    assert outbox.how(newer) == ["folded"]


def test_a_create_that_a_look_finds_is_made_once(known: Outbox) -> None:
    known.api.then(lost(executed=True))
    (entry,) = known.emit(declared())
    known.run()

    known.wait(minutes=3)
    known.run()

    assert known.api.writes == ["declare"]
    assert known.how(entry) == ["delivered"]
    assert known.record(part="started").remote_id == "d-1"


# later, conflict, invalid


def test_a_clock_of_ours_that_is_ahead_of_theirs_asks_once_a_day_not_all_the_time(
    known: Outbox,
) -> None:
    known.api.server_date = NOON - timedelta(minutes=10)
    known.api.then(Later(refusals=a_refusal("declaration", "try again tomorrow")))
    known.emit(deferred())
    known.run()
    known.wait(hours=12, minutes=5)
    known.run()
    assert known.api.operations == ["defer"]

    known.wait(minutes=6)
    known.run()

    assert known.api.operations == ["defer", "defer"]


def test_not_today_is_tried_again_just_after_midnight_in_london(known: Outbox) -> None:
    known.api.server_date = datetime(2026, 2, 10, 12, 0, 3, tzinfo=UTC)
    known.api.then(Later(refusals=a_refusal("declaration", "try again tomorrow")))
    (entry,) = known.emit(deferred())
    known.run()
    assert stands(known) == (RecordState.WAITING, Reason.SNOOZED)
    # Their clock is 3 s ahead of ours, so their midnight comes 3 s before ours.
    assert known.record().due_at == datetime(2026, 2, 11, 0, 0, 57, tzinfo=UTC)
    known.wait(hours=12)
    known.run()
    assert known.api.operations == ["defer"]

    known.wait(minutes=1)
    known.run()

    assert known.how(entry) == ["delivered"]


def test_a_change_of_theirs_under_a_pending_field_is_a_conflict_until_a_newer_event(
    known: Outbox,
) -> None:
    known.api.then(lost(executed=False))
    (ours,) = known.emit(to_schedule("ecf-extended-september"))
    known.run()
    known.api.people[PERSON]["schedule_identifier"] = "ecf-standard-april"
    known.wait(minutes=3)
    known.run()
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)
    assert known.api.writes == ["change_schedule"]

    (newer,) = known.emit(to_schedule("ecf-reduced-september"))
    known.run()

    assert known.how(ours, newer) == ["superseded", "delivered"]


def test_our_last_word_said_again_over_a_change_of_theirs_is_a_conflict_with_all_three_sides(
    known: Outbox,
) -> None:
    known.emit(to_schedule("ecf-extended-september"))
    known.run()
    known.api.people[PERSON]["schedule_identifier"] = "ecf-standard-april"
    known.emit(ParticipantWithdrawn(source_id="E-1", reason="other"))
    known.run()
    known.emit(ParticipantResumed(source_id="E-1"))
    known.run()
    known.api.calls.clear()

    (again,) = known.emit(to_schedule("ecf-extended-september"))
    known.run()

    assert known.api.calls == []
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)
    problem = known.record().problem
    assert problem is not None
    assert problem.sides == (
        "ecf-extended-september",
        "ecf-extended-september",
        "ecf-standard-april",
    )
    assert known.how(again) == ["folded"]

    (newer,) = known.emit(to_schedule("ecf-reduced-september"))
    known.run()
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-reduced-september"
    assert known.how(again, newer) == ["superseded", "delivered"]


def test_an_event_about_something_else_does_not_carry_a_conflict_along(known: Outbox) -> None:
    known.api.then(lost(executed=False))
    (ours,) = known.emit(to_schedule("ecf-extended-september"))
    known.run()
    known.api.people[PERSON]["schedule_identifier"] = "ecf-standard-april"
    known.wait(minutes=3)
    known.run()
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)

    (status,) = known.emit(deferred())
    known.run()

    assert known.api.writes == ["change_schedule", "defer"]
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-standard-april"
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)
    assert known.how(ours, status) == ["folded", "delivered"]


def test_a_whole_record_that_says_active_does_not_resume_who_is_withdrawn_there(
    known: Outbox,
) -> None:
    known.emit(ParticipantWithdrawn(source_id="E-1", reason="other"))
    known.run()
    known.api.calls.clear()

    (export,) = known.emit(
        RecordSnapshot(
            source_id="E-1", source="crm", kind="enrolment", state={"training_status": "active"}
        )
    )
    known.run()
    assert known.api.calls == []
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)

    (resumed,) = known.emit(ParticipantResumed(source_id="E-1"))
    known.run()

    assert known.api.writes == ["resume"]
    assert known.how(export, resumed) == ["superseded", "delivered"]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (InvalidHere(field="cohort", detail="d"), Reason.INVALID_HERE),
        (Conflict(field="cohort", base="a", ours="b", theirs="c"), Reason.CONFLICT),
    ],
)
def test_what_only_a_person_can_decide_stands_before_a_person(
    known: Outbox, outcome: InvalidHere | Conflict, reason: Reason
) -> None:
    known.api.then(outcome)
    known.emit(deferred())

    known.run()

    assert stands(known) == (RecordState.DEAD, reason)


def test_a_claim_that_is_certain_to_be_refused_is_never_sent(known: Outbox) -> None:
    known.emit(
        DeclarationMade(
            source_id="E-1",
            declaration_type="started",
            declaration_date=NOON + timedelta(days=3),
            evidence_held="other",
        )
    )

    known.run()

    claim = known.record(part="started")
    assert (claim.state, claim.reason) == (RecordState.DEAD, Reason.INVALID_HERE)
    assert claim.problem is not None
    assert claim.problem.field == "declaration_date"
    assert known.api.calls == []


# the quota


def test_a_short_wait_for_a_slot_is_waited_with_the_record_in_hand(known: Outbox) -> None:
    known.pace.answers.append(timedelta(seconds=1))
    known.emit(deferred())

    known.run()

    assert known.slept == [1.0]
    assert known.api.operations == ["defer"]


def test_a_longer_wait_gives_the_record_back_at_no_cost(known: Outbox) -> None:
    known.pace.answers.append(timedelta(seconds=1.001))
    (entry,) = known.emit(deferred())
    known.round()

    assert known.deliver() == ["no_slot"]
    record = known.record()
    assert (record.state, record.reason) == (RecordState.WAITING, Reason.QUOTA)
    assert record.due_at == NOON + timedelta(seconds=1.001)
    assert (record.tries, record.takes, known.slept) == (0, 0, [])
    known.wait(seconds=2)
    known.run()
    assert known.how(entry) == ["delivered"]


def test_while_the_quota_cannot_be_asked_nothing_is_called(known: Outbox) -> None:
    known.pace.answers.append(QuotaAway())
    known.emit(deferred())
    known.round()

    assert known.deliver() == ["no_slot"]
    assert known.record().due_at == NOON + timedelta(seconds=5)
    assert known.api.calls == []


def test_a_slot_that_is_no_longer_good_is_not_used(known: Outbox) -> None:
    known.pace.good = False
    known.emit(deferred())
    known.round()

    assert known.deliver() == ["moved_on"]
    assert known.api.calls == []
    assert outcomes(known) == ["delivered", "transient"], "written down as never sent"
    assert known.pace.ended[-1][1] == "unused"
    known.pace.good = True
    known.run()
    assert known.api.operations == ["defer"]


# who else may be here at the same time


def test_a_newer_wish_between_take_and_mark_costs_nothing(known: Outbox) -> None:
    known.pace.answers.append(timedelta(milliseconds=1))
    known.emit(to_schedule("ecf-extended-september"))
    known.round()

    def meanwhile(_: float) -> None:
        known.emit(to_schedule("ecf-reduced-september"))
        known.round()

    known.slept = _Doing(meanwhile)
    known.deliverer = known.another_deliverer()
    assert known.deliver() == ["moved_on"]
    assert known.pace.ended[-1][1] == "unused"

    known.run()

    assert known.api.writes == ["change_schedule"]
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-reduced-september"


def test_a_pause_between_dispatch_and_take_is_obeyed(known: Outbox) -> None:
    known.emit(deferred())
    known.round()
    with known.database.transaction() as connection:
        gates.shut(connection, "default", Gate(reason=GateReason.PAUSED, until=None, since=NOON))

    assert known.deliver() == ["gate"]
    assert known.api.calls == []
    assert stands(known) == (RecordState.WAITING, Reason.GATE)


def test_a_settle_under_an_old_token_changes_nothing(known: Outbox) -> None:
    def frozen() -> None:
        known.wait(minutes=2, seconds=1)
        known.round()

    known.api.then(
        Scripted(outcome=Delivered(accepted=an_enrolment()), executed=True, meanwhile=frozen)
    )
    (entry,) = known.emit(deferred())
    known.round()

    assert known.deliver() == ["late"]
    assert stands(known) == (RecordState.IN_DOUBT, Reason.LEASE_RAN_OUT)
    assert known.how(entry) == ["folded"]
    known.wait(minutes=1)
    known.run()
    assert known.api.operations == ["defer", "look_up_participant"]
    assert known.how(entry) == ["delivered"]
    assert outcomes(known) == ["delivered", "in_doubt", "delivered"]


def test_a_wish_that_came_during_the_call_is_sent_after_it(known: Outbox) -> None:
    def edited() -> None:
        known.emit(to_schedule("ecf-reduced-september"))
        known.round()

    known.api.then(
        Scripted(
            outcome=Delivered(accepted=an_enrolment(schedule_identifier="ecf-extended-september")),
            executed=True,
            meanwhile=edited,
        )
    )
    (first,) = known.emit(to_schedule("ecf-extended-september"))

    known.run()

    assert known.api.writes == ["change_schedule", "change_schedule"]
    assert known.how(first) == ["delivered"]
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-reduced-september"


def test_what_does_not_settle_is_held(known: Outbox) -> None:
    known.api.then(*[Delivered(accepted=an_enrolment(), remote_id=known.record().remote_id)] * 20)
    known.emit(to_schedule("ecf-extended-september"))

    known.run()

    assert known.api.writes == ["change_schedule"] * 3
    assert stands(known) == (RecordState.HELD, Reason.DOES_NOT_SETTLE)


class _Doing(list[float]):
    """A list of sleeps during which something happens once."""

    def __init__(self, deed: object) -> None:
        super().__init__()
        self._deed = deed

    def append(self, length: float, /) -> None:
        super().append(length)
        if len(self) == 1 and callable(self._deed):
            self._deed(length)
