"""What a person does about one dead letter, and what it never does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from outbox import correcting, dead_letters, discarding, letters
from outbox.errors import DoesNotFit, NotAside, NotRestorable, Overtaken
from outbox.letters import Filter, Said
from outbox.saying import Person
from runtime.audit import of_subject
from schema.events import (
    DeclarationMade,
    InvalidEvent,
    MentorChanged,
    ParticipantResumed,
    RecordSnapshot,
)
from schema.outcomes import Blame, Refusal, Refused
from schema.record import Record
from schema.states import Reason, RecordState
from tests.integration.test_delivery import declared, deferred, known, stands, to_schedule
from tests.support.api import a_refusal, lost
from tests.support.builders import OTHER_PERSON, PERSON
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture

REFUSED = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)
CLOSED_COHORT = Refused(
    status=422, refusals=(Refusal(title="cohort", detail="is closed"),), blame=Blame.STATE
)


def person(outbox: Outbox, reason: str = "the school rang") -> Person:
    return Person(actor="Ada", reason=reason, now=outbox.clock.now())


def do(outbox: Outbox, deed: Callable[..., Any], record: Record, *more: Any, **named: Any) -> Any:
    """Do something about a record, in a transaction of its own."""
    with outbox.database.transaction() as connection:
        return deed(connection, record.id, outbox.contract, *more, person=person(outbox), **named)


def actions(outbox: Outbox, record: Record) -> list[str]:
    with outbox.database.reading() as connection:
        return [row["action"] for row in of_subject(connection, str(record.key))]


def refused(outbox: Outbox, *events: Any) -> Record:
    """Let the API refuse what these events ask for."""
    outbox.api.then(REFUSED)
    outbox.emit(*(events or (deferred(reason="parental-leave"),)))
    outbox.run()
    outbox.api.calls.clear()
    return outbox.record()


# correct


def test_a_correction_is_an_event_of_the_desk_that_takes_the_old_ones_place(known: Outbox) -> None:
    record = refused(known)
    (old,) = record.entries()

    done = do(known, correcting.correct, record, {"reason": "career-break"})
    known.run()

    assert done.diff == {"reason": ["parental-leave", "career-break"]}
    assert known.how(old, done.entry) == ["superseded", "delivered"]
    assert known.api.writes == ["defer"]
    assert known.api.people[PERSON]["training_status"] == "deferred"
    with known.database.reading() as connection:
        [row] = of_subject(connection, str(record.key))
    assert (row["actor"], row["reason"]) == ("Ada", "the school rang")
    assert row["before"]["payload"] == {"reason": "parental-leave"}
    assert row["after"]["diff"] == done.diff


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": "holiday"}, "reason"),
        ({"reason": None}, "reason"),
        ({"colour": "red"}, "colour"),
        ({"reason": "parental-leave"}, "reason"),
    ],
)
def test_a_correction_that_is_none_or_not_valid_writes_nothing(
    known: Outbox, changes: dict[str, Any], field: str
) -> None:
    record = refused(known)

    with pytest.raises(InvalidEvent) as refusal:
        do(known, correcting.correct, record, changes)

    assert refusal.value.field == field
    assert known.record() == record
    assert [*known.entries().values()] == ["noted", "unchanged", "folded"]
    assert actions(known, record) == []


def test_a_correction_that_would_only_be_set_aside_again_is_turned_away_with_the_reason(
    known: Outbox,
) -> None:
    record = refused(known)
    do(known, correcting.correct, record, {"reason": "career-break"})
    known.api.then(REFUSED)
    known.run()

    with pytest.raises(InvalidEvent, match="is not right"):
        do(known, correcting.correct, known.record(), {"reason": "parental-leave"})
    with pytest.raises(InvalidEvent, match="for mentors"):
        invalid = refused(known, to_schedule("ecf-replacement-april"))
        do(known, correcting.correct, invalid, {"schedule_identifier": "ecf-replacement-january"})


def test_a_corrected_claim_stays_in_its_round_and_its_type_cannot_be_corrected(
    known: Outbox,
) -> None:
    known.api.then(REFUSED)
    known.emit(declared())
    known.run()
    claim = known.record(part="started")

    with pytest.raises(InvalidEvent, match="another record"):
        do(known, correcting.correct, claim, {"declaration_type": "completed"})
    with pytest.raises(InvalidEvent, match="future"):
        do(known, correcting.correct, claim, {"declaration_date": "2030-01-01T09:00:00Z"})
    do(known, correcting.correct, claim, {"evidence_held": "training-event-attended"})
    known.run()

    assert known.record(part="started").state is RecordState.IN_STEP
    assert known.record(part="started").accepted_at is not None


def test_whom_nobody_knows_there_under_this_role_is_linked_to_another_by_a_correction(
    outbox: Outbox,
) -> None:
    wrong = {"participant_id": OTHER_PERSON, "course_identifier": "ecf-induction"}
    outbox.emit(deferred().model_copy(update=wrong))
    outbox.run()
    assert stands(outbox) == (RecordState.DEAD, Reason.INVALID_HERE)

    do(outbox, correcting.correct, outbox.record(), {"participant_id": PERSON})
    outbox.run()

    assert outbox.record().remote_id == PERSON
    assert outbox.api.people[PERSON]["training_status"] == "deferred"


def test_of_two_people_one_wins_and_the_other_is_told(known: Outbox) -> None:
    record = refused(known)
    do(known, correcting.correct, record, {"reason": "other"}, seen=record.revision)
    known.api.then(REFUSED)
    known.run()

    for deed, more in (
        (correcting.correct, ({"reason": "bereavement"},)),
        (discarding.discard, ()),
    ):
        with pytest.raises(Overtaken, match="not as you saw it"):
            do(known, deed, known.record(), *more, seen=record.revision)
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)


def test_nothing_is_done_about_a_record_for_which_something_newer_has_come_in(
    known: Outbox,
) -> None:
    record = refused(known)
    (newer,) = known.emit(ParticipantResumed(source_id="E-1"))

    with pytest.raises(Overtaken, match=f"entry {newer}"):
        do(known, discarding.discard, record)
    with pytest.raises(Overtaken), known.database.transaction() as connection:
        dead_letters.replay(
            connection,
            record.id,
            known.contract,
            actor="Ada",
            reason="",
            now=known.clock.now(),
        )
    known.run()
    with pytest.raises(NotAside, match="in_step"):
        do(known, discarding.discard, record)


# discard, restore


def test_what_is_discarded_is_not_sent_and_comes_back_as_it_was(known: Outbox) -> None:
    record = refused(known)
    (entry,) = record.entries()

    do(known, discarding.discard, record)
    known.run()
    assert known.how(entry) == ["discarded"]
    assert known.record().state is RecordState.IN_STEP
    assert not known.record().changed

    back = do(known, discarding.restore, record)
    known.run()
    assert (back.record.state, back.record.reason) == (RecordState.DEAD, Reason.REFUSED)
    assert known.api.calls == [], "what was refused is not sent again unchanged"
    assert [move.to for move in known.record().path] == ["deferred"]
    assert actions(known, record) == ["discarded", "restored"]
    with pytest.raises(NotRestorable):
        do(known, discarding.restore, record)
    assert do(known, correcting.correct, known.record(), {"reason": "other"}).after.changed


def test_what_was_refused_for_how_it_was_there_is_sent_again_only_once_that_changed(
    known: Outbox,
) -> None:
    known.api.then(CLOSED_COHORT)
    known.emit(to_schedule("ecf-extended-september"))
    known.run()
    known.api.calls.clear()
    do(known, discarding.discard, known.record())
    known.run()
    assert known.record().locks == {}

    do(known, discarding.restore, known.record())
    known.run()

    assert known.api.calls == []
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)


def test_what_was_discarded_is_not_restored_over_something_newer(known: Outbox) -> None:
    record = refused(known)
    do(known, discarding.discard, record)
    (newer,) = known.emit(deferred())
    with pytest.raises(Overtaken, match=f"entry {newer}"):
        do(known, discarding.restore, record)
    known.run()
    with pytest.raises(Overtaken, match=f"entry {newer} .participant_deferred"):
        do(known, discarding.restore, record)


def test_of_a_whole_record_only_what_was_discarded_is_asked_for_again(known: Outbox) -> None:
    known.api.then(CLOSED_COHORT)
    state = {"schedule_identifier": "ecf-extended-september", "training_status": "active"}
    known.emit(RecordSnapshot(source_id="E-1", source="crm", kind="enrolment", state=state))
    known.run()
    do(known, discarding.discard, known.record())

    for _ in range(2):  # the desk remembers no earlier whole record of its own
        back = do(known, discarding.restore, known.record())
        assert {*known.record().pending} == {"schedule_identifier"}
        assert known.how(*back.entries) == ["folded"]
        do(known, discarding.discard, known.record())


def test_a_discarded_claim_is_restored_under_the_rules_of_rounds(known: Outbox) -> None:
    known.api.then(REFUSED)
    known.emit(declared())
    known.run()
    known.api.calls.clear()
    claim = known.record(part="started")

    do(known, discarding.discard, claim)
    back = do(known, discarding.restore, claim)
    known.run()

    assert back.record.key.round == 2, "the first round ended with what was taken back"
    assert back.record.reason is Reason.REFUSED
    assert known.api.calls == []


def test_what_is_in_doubt_is_looked_up_before_it_can_be_discarded_or_corrected(
    known: Outbox,
) -> None:
    known.api.then(lost(executed=False))
    known.emit(deferred())
    known.run()
    known.set_record(known.record(), due_at=None)  # nobody could look
    doubtful = known.record()

    for deed, more in ((discarding.discard, ()), (correcting.correct, ({"reason": "other"},))):
        with pytest.raises(DoesNotFit, match="look there first"):
            do(known, deed, doubtful, *more)
    known.wait(hours=1)
    look(known, doubtful)
    known.run()
    assert known.record().state is RecordState.IN_STEP


# look


def look(outbox: Outbox, record: Record) -> dead_letters.Replay:
    with outbox.database.transaction() as connection:
        return dead_letters.look(
            connection,
            record.id,
            outbox.contract,
            actor="Ada",
            reason="",
            now=outbox.clock.now(),
        )


def test_a_look_is_dispatched_by_the_relay_and_sends_nothing_that_was_refused(
    known: Outbox,
) -> None:
    record = refused(known)
    known.api.people[PERSON]["cohort"] = "2024"

    look(known, record)
    known.run()

    assert known.api.writes == []
    assert len(known.api.calls) == 1
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)
    assert (known.record().accepted or {})["cohort"] == "2024"
    assert actions(known, record) == ["looked_up"]


def test_a_record_in_step_may_be_looked_up_and_one_that_nobody_knows_there_not(
    known: Outbox,
) -> None:
    known.api.calls.clear()
    look(known, known.record())
    known.run()
    assert len(known.api.calls) == 1
    assert known.record().state is RecordState.IN_STEP

    known.emit(deferred("E-unlinked"))
    known.run()
    with pytest.raises(DoesNotFit, match="nothing can be looked up"):
        look(known, known.record("E-unlinked"))


# conflicts


def in_conflict(outbox: Outbox) -> Record:
    """Let both sides change the schedule, ours by repeating what we said before."""
    outbox.emit(to_schedule("ecf-extended-september"))
    outbox.run()
    outbox.api.people[PERSON]["schedule_identifier"] = "ecf-standard-april"
    look(outbox, outbox.record())
    outbox.run()
    outbox.emit(to_schedule("ecf-extended-september"), deferred())
    outbox.run()
    outbox.api.calls.clear()
    assert stands(outbox) == (RecordState.DEAD, Reason.CONFLICT)
    return outbox.record()


def test_ours_is_sent_over_theirs_on_a_persons_word(known: Outbox) -> None:
    record = in_conflict(known)
    known.api.people[PERSON]["training_status"] = "active"
    look(known, record)
    known.run()
    known.api.calls.clear()

    sent = do(known, correcting.send_ours, known.record())
    known.run()

    assert known.api.writes == ["change_schedule"]
    assert known.api.people[PERSON]["schedule_identifier"] == "ecf-extended-september"
    assert known.how(*sent.entries) == ["delivered"]
    assert "sent_ours" in actions(known, record)


def test_theirs_is_accepted_where_both_changed_it_and_can_be_taken_back(known: Outbox) -> None:
    record = in_conflict(known)

    done = do(known, discarding.accept_theirs, record)
    known.run()

    assert known.how(*done.closed) == ["discarded"]
    assert known.record().state is RecordState.IN_STEP
    assert (known.record().accepted or {})["schedule_identifier"] == "ecf-standard-april"
    do(known, discarding.restore, record)
    assert {*known.record().pending} == {"schedule_identifier"}


def test_what_is_in_no_conflict_has_no_sides_to_choose_from(known: Outbox) -> None:
    record = refused(known)

    for deed in (correcting.send_ours, discarding.accept_theirs):
        with pytest.raises(DoesNotFit, match="in no conflict"):
            do(known, deed, record)


# expectations


def test_what_was_expected_and_never_came_is_waited_for_again_or_no_more(known: Outbox) -> None:
    from inbox import expectations

    def overdue() -> int:
        with known.database.transaction() as connection:
            return expectations.bury_overdue(
                connection, "default", now=known.clock.now(), after=timedelta(days=14)
            )

    known.emit(MentorChanged(source_id="E-1", mentor_id=OTHER_PERSON))
    known.run()
    known.wait(days=15)
    assert overdue() == 1

    with known.database.transaction() as connection:
        dead_letters.replay(
            connection,
            known.record().id,
            known.contract,
            actor="Ada",
            reason="asked the school",
            now=known.clock.now(),
        )
    assert known.record().state is RecordState.IN_STEP
    assert overdue() == 0
    known.wait(days=15)
    assert overdue() == 1
    do(known, discarding.discard, known.record())
    assert known.record().expected == {}
    do(known, discarding.restore, known.record())
    assert {*known.record().expected} == {"mentor_id"}


# groups, notes, owners


def test_letters_are_grouped_by_what_went_wrong_and_found_by_every_filter(known: Outbox) -> None:
    known.api.people[OTHER_PERSON] = dict(known.api.people[PERSON])
    known.link("E-2", OTHER_PERSON)
    known.emit(to_schedule("ecf-standard-september").model_copy(update={"source_id": "E-2"}))
    known.run()
    known.api.then(REFUSED, REFUSED)
    known.emit(deferred("E-1"), deferred("E-2"))
    known.run()
    known.wait(days=3)
    future = known.clock.now() + timedelta(days=9)
    known.emit(
        DeclarationMade(source_id="E-1", declaration_type="completed", declaration_date=future)
    )
    known.run()

    def found(**words: Any) -> list[str]:
        with known.database.reading() as connection:
            chosen = Filter(destination="default", **words)
            listed = letters.listed(connection, chosen)
            assert letters.count(connection, chosen) == len(listed)
            assert letters.ids(connection, chosen) == sorted(one.id for one in listed)
            return [str(one.key) for one in listed]

    with known.database.reading() as connection:
        both, claim = letters.groups(connection, Filter(destination="default"))
    assert (both.count, both.people, claim.count) == (2, 2, 1)
    assert both.first == both.last
    assert found() == ["enrolment:E-1", "enrolment:E-2", "declaration:E-1:completed:1"]
    assert found(signature=both.signature) == ["enrolment:E-1", "enrolment:E-2"]
    assert found(reason=Reason.INVALID_HERE) == ["declaration:E-1:completed:1"]
    assert found(operation="defer") == ["enrolment:E-1", "enrolment:E-2"]
    assert found(operation="def") == []
    assert found(kind="declaration") == ["declaration:E-1:completed:1"]
    assert found(families=["enrolment:E-2"]) == ["enrolment:E-2"]
    assert len(found(before=known.clock.now() - timedelta(days=1))) == 2
    with known.database.reading() as connection:
        everything = Filter(destination="default")
        first = letters.listed(connection, everything, limit=1)
        place = letters.place_of(connection, first[-1].id)
        rest = letters.listed(connection, everything, after=place)
    assert len(rest) == 2

    with known.database.transaction() as connection:
        told: dict[str, Any] = {"actor": "Ada", "now": known.clock.now()}
        letters.say_of_group(
            connection, "default", both.signature, Said(owner="Ben", note="ring them"), **told
        )
        letters.say_of_letter(connection, known.record("E-2"), Said(owner="Cem"), **told)
        letters.say_of_letter(connection, known.record("E-2"), Said(owner="Dee"), **told)
        [group, _] = letters.groups(connection, Filter(destination="default"))
        assert letters.owners(connection, "default") == ["Ben", "Dee"]
    assert (group.owner, group.note) == ("Ben", "ring them")
    assert found(owner="Ben") == ["enrolment:E-1"]
    assert found(owner="Dee") == ["enrolment:E-2"]
    assert actions(known, known.record("E-2")) == ["assigned", "assigned"]
