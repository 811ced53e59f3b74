"""What a person does about a record that waits for one."""

from datetime import timedelta

import pytest

from gateway.contracts import guidance
from outbox import dead_letters, letters
from outbox.admission import Aside
from outbox.dead_letters import Replay
from outbox.errors import NotAside, NotForOverride
from outbox.letters import Filter
from runtime.audit import of_subject
from runtime.database import Database
from schema.events import (
    DeclarationMade,
    DeclarationVoided,
    ParticipantWithdrawn,
    RecordSnapshot,
)
from schema.outcomes import AlreadyThere, Blame, Delivered, Refused
from schema.record import Record
from schema.states import Reason, RecordState
from tests.integration.test_delivery import (
    GONE,
    SAFE_TO_LOOK,
    declared,
    deferred,
    known,
    stands,
    to_schedule,
)
from tests.support.api import a_refusal, lost
from tests.support.builders import OTHER_PERSON, PERSON, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture

REFUSED = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)


def replay(outbox: Outbox, record: Record) -> Replay:
    with outbox.database.transaction() as connection:
        return dead_letters.replay(
            connection,
            record.id,
            outbox.contract,
            actor="Ada",
            reason="again",
            now=outbox.clock.now(),
        )


def override(outbox: Outbox, record: Record) -> Replay:
    with outbox.database.transaction() as connection:
        return dead_letters.override(
            connection,
            record.id,
            outbox.contract,
            actor="Ada",
            reason="the DfE said so",
            now=outbox.clock.now(),
        )


def audited(outbox: Outbox, record: Record) -> list[tuple[str, str, str | None]]:
    with outbox.database.reading() as connection:
        rows = of_subject(connection, str(record.key))
    return [(row["actor"], row["action"], row["reason"]) for row in rows]


def test_only_a_named_persons_word_sends_what_was_refused_for_its_data_again(
    known: Outbox,
) -> None:
    known.api.then(REFUSED)
    (entry,) = known.emit(deferred())
    known.run()

    again = replay(known, known.record())
    known.wait(days=3)
    known.run()
    assert not again.goes_on
    assert known.api.writes == ["defer"]
    assert audited(known, known.record()) == []

    assert override(known, known.record()).goes_on
    known.run()
    assert known.api.writes == ["defer", "defer"]
    assert known.how(entry) == ["delivered"]
    assert audited(known, known.record()) == [("Ada", "dead_letter_overridden", "the DfE said so")]


def test_an_override_counts_once(known: Outbox) -> None:
    known.api.then(REFUSED, REFUSED)
    known.emit(deferred())
    known.run()

    override(known, known.record())
    known.run()

    assert known.api.writes == ["defer", "defer"]
    assert stands(known) == (RecordState.DEAD, Reason.REFUSED)
    assert not replay(known, known.record()).goes_on


def test_a_replay_gives_fresh_tries_to_what_was_given_up(known: Outbox) -> None:
    known.emit(deferred())
    known.round()
    known.rings.clear()
    known.set_record(
        known.record(),
        state="dead",
        reason="exhausted",
        lease_until=None,
        tries=10,
        first_try_at=NOON - timedelta(days=2),
    )

    assert replay(known, known.record()).goes_on
    fresh = known.record()
    assert (fresh.state, fresh.tries, fresh.first_try_at) == (RecordState.WAITING, 0, None)
    known.run()
    assert known.api.writes == ["defer"]
    assert audited(known, fresh) == [("Ada", "dead_letter_replayed", "again")]


def test_an_override_sends_ours_over_a_conflict(known: Outbox) -> None:
    known.emit(to_schedule("ecf-extended-september"))
    known.run()
    known.api.people[PERSON]["schedule_identifier"] = "ecf-standard-april"
    known.emit(deferred(), ParticipantWithdrawn(source_id="E-1", reason="other"))
    known.run()
    known.api.people[PERSON]["training_status"] = "active"
    snapshot = {"training_status": "active"}
    known.emit(RecordSnapshot(source_id="E-1", source="crm", kind="enrolment", state=snapshot))
    known.run()
    assert stands(known) == (RecordState.DEAD, Reason.CONFLICT)
    assert not replay(known, known.record()).goes_on
    known.api.calls.clear()

    assert override(known, known.record()).goes_on
    known.run()

    assert known.api.writes == ["resume"]


def test_a_lost_create_that_nobody_can_look_up_is_sent_again_on_a_persons_word(
    database: Database,
) -> None:
    outbox = Outbox(database, guidance.CONTRACT)
    joe = {"full_name": "Joe Bloggs", "start_date": "2025-09-01"}
    outbox.emit(RecordSnapshot(source_id="E-1", kind="participant", state=joe))
    outbox.api.then(lost(executed=False), Delivered(accepted=joe))
    outbox.run()
    (doubtful,) = outbox.records()
    with pytest.raises(NotAside):
        override(outbox, doubtful)  # it may still land
    outbox.wait(seconds=SAFE_TO_LOOK.total_seconds())
    outbox.run()

    assert not replay(outbox, doubtful).goes_on
    assert override(outbox, doubtful).goes_on
    outbox.run()

    assert outbox.api.writes == ["create", "create"]
    assert [one.state for one in outbox.records()] == [RecordState.IN_STEP]


def test_a_third_create_needs_a_persons_word(known: Outbox) -> None:
    absent = Delivered(accepted={"state": "absent"})
    known.api.then(lost(executed=False), absent, lost(executed=False), absent)
    (entry,) = known.emit(declared())
    known.run()
    for _ in range(3):
        known.wait(minutes=10)
        known.run()
    claim = known.record(part="started")
    assert not replay(known, claim).goes_on

    override(known, claim)
    known.run()

    assert known.api.writes == ["declare"] * 3
    assert known.how(entry) == ["delivered"]


def test_an_override_frees_a_claim_made_anew_from_what_its_first_round_was_refused_for(
    known: Outbox,
) -> None:
    known.api.then(REFUSED)
    known.emit(declared())
    known.run()
    known.emit(DeclarationVoided(source_id="E-1", declaration_type="started"), declared())
    known.run()
    first, second = (known.record(part="started", number=number) for number in (1, 2))
    assert second.state is RecordState.DEAD

    override(known, second)
    freed = known.record(part="started", number=1)
    assert freed.revision > first.revision, "whoever has it in hand must not write the lock back"
    known.run()

    assert known.record(part="started", number=2).state is RecordState.IN_STEP


def test_what_sending_does_not_help_says_what_does(known: Outbox) -> None:
    known.emit(declared(1))
    known.run()
    known.emit(declared(2))
    known.run()
    known.link("E-1", OTHER_PERSON)
    known.run()
    future = DeclarationMade(
        source_id="E-1", declaration_type="completed", declaration_date=NOON + timedelta(days=9)
    )
    known.emit(future)
    known.run()

    for part, helps in (("started", "declaration_voided"), ("", "link it"), ("completed", "data")):
        with pytest.raises(NotForOverride, match=helps):
            override(known, known.record(part=part))


def test_a_record_that_goes_on_by_itself_is_nobodys_to_replay(known: Outbox) -> None:
    with pytest.raises(NotAside, match="in_step"):
        replay(known, known.record())


def test_the_list_holds_what_waits_for_a_person_and_nothing_else(known: Outbox) -> None:
    known.api.then(REFUSED, AlreadyThere(refusals=a_refusal()))
    known.emit(deferred("E-1"), deferred("E-unlinked"))
    known.run()

    with known.database.reading() as connection:
        everything = letters.listed(connection, Filter(destination="default"))
        in_conflict = Filter(destination="default", reason=Reason.CONFLICT)
        of_a_kind = letters.listed(connection, in_conflict)

    assert [str(one.key) for one in everything] == ["enrolment:E-1"]
    assert of_a_kind == []


def test_an_id_that_is_not_known_there_is_not_asked_for_again_by_a_replay(outbox: Outbox) -> None:
    unknown_there(outbox)
    calls = len(outbox.api.calls)

    again = replay(outbox, outbox.record())
    outbox.run()

    assert not again.goes_on
    assert isinstance(again.decision, Aside)
    assert "looked up once it is there" in again.decision.problem.detail
    assert len(outbox.api.calls) == calls

    outbox.api.people[PERSON] = an_enrolment()
    look(outbox)
    outbox.run()
    assert outbox.api.people[PERSON]["training_status"] == "deferred", "it is there now"


def unknown_there(outbox: Outbox) -> Record:
    """A deferral of whom the API answered 404 to the first look."""
    outbox.link()
    outbox.api.then(GONE)
    outbox.api.people.clear()
    outbox.emit(deferred())
    outbox.run()
    return outbox.record()


def look(outbox: Outbox) -> None:
    with outbox.database.transaction() as connection:
        dead_letters.look(
            connection,
            outbox.record().id,
            outbox.contract,
            actor="Ada",
            reason="the school registered her",
            now=outbox.clock.now(),
        )
