"""What a poll does to our records: accepted, doubts, conflicts, expectations, merged ids, news."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from inbox import checkpoints, mirror
from inbox.full_sync import PAST_THE_BRAKE
from inbox.poll import Ended
from records import store
from schema.events import DeclarationMade, MentorChanged, ParticipantDeferred, ScheduleChanged
from schema.keys import RecordKey
from schema.outcomes import Blame, Later, Refused
from schema.record import Record
from schema.states import Closed, Reason, RecordState
from tests.support.api import a_refusal, lost
from tests.support.builders import ECT, MENTOR, OTHER_PERSON, PERSON, an_enrolment
from tests.support.clock import NOON
from tests.support.inbox import Inbox, Lists
from tests.support.outbox import Outbox

EXTENDED, JANUARY = "ecf-extended-september", "ecf-standard-january"


class Both:
    """Both halves on one database and one clock, in front of one world."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.lists = Lists()
        self.inbox = Inbox(outbox.database, outbox.contract, self.lists, clock=outbox.clock)

    def now_there(self, **ect: Any) -> None:
        """Make the participant's row what it is now, changed a moment ago."""
        self.outbox.wait(minutes=5)
        self.lists.person(self.outbox.clock.now(), **ect)
        self.outbox.wait(minutes=5)

    def follow_api(self) -> None:
        """Make the row say what our calls have made of it."""
        there = self.outbox.api.people[PERSON]
        status, reason = there["training_status"], there.get("status_reason")
        change = {"reason": reason, "date": "2026-02-10T12:00:00Z"}
        self.now_there(
            training_status=status,
            schedule_identifier=there["schedule_identifier"],
            cohort=there["cohort"],
            deferral=change if status == "deferred" else None,
        )

    def poll(self) -> list[tuple[str, str, list[str]]]:
        """Poll the participants; gives the news of it."""
        before = self.inbox.feed_end()
        assert self.inbox.poll("participants") is Ended.COMPLETE
        return self.inbox.news(after=before)

    def found(self, word: str) -> set[str]:
        """Find people by a word."""
        with self.outbox.database.reading() as connection:
            return set(mirror.search(connection, "default", [word]))

    def record(self) -> Record:
        """Read the enrolment's record."""
        return self.outbox.record()

    def in_step(self) -> None:
        """Link the enrolment, look at it once, and mirror it."""
        self.outbox.link()
        self.now_there()
        self.poll()


@pytest.fixture
def both(outbox: Outbox) -> Both:
    both = Both(outbox)
    both.outbox.link()
    both.outbox.round()
    both.now_there()
    both.poll()
    return both


def test_a_first_poll_primes_what_is_accepted_and_costs_the_first_write_no_look(
    both: Both,
) -> None:
    accepted = both.record().accepted
    both.outbox.emit(ScheduleChanged(source_id="E-1", schedule_identifier=EXTENDED, cohort="2025"))
    both.outbox.run()

    assert accepted is not None
    assert accepted["schedule_identifier"] == "ecf-standard-september"
    assert both.outbox.api.operations == ["change_schedule"]


def test_what_they_change_is_accepted_and_news_and_nothing_is_sent(both: Both) -> None:
    both.now_there(schedule_identifier=EXTENDED)
    news = both.poll()
    both.outbox.run()

    assert news == [("updated", PERSON, [f"{ECT}.schedule_identifier"])]
    assert both.record().accepted == {
        **(both.record().accepted or {}),
        "schedule_identifier": EXTENDED,
    }
    assert both.record().state is RecordState.IN_STEP
    assert both.outbox.api.calls == []


def test_our_own_write_coming_back_is_silence_and_costs_nothing(both: Both) -> None:
    both.outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
    both.outbox.run()
    both.follow_api()

    assert both.poll() == []
    assert both.record().state is RecordState.IN_STEP
    assert both.outbox.api.operations == ["defer"]


def test_what_they_changed_beside_our_own_write_is_news_all_the_same(both: Both) -> None:
    both.outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
    both.outbox.run()
    deferral = {"reason": "parental-leave", "date": "2026-02-10T12:00:00Z"}
    both.now_there(training_status="deferred", deferral=deferral, name="Amara Obi")

    assert both.poll() == [("updated", PERSON, ["full_name"])]


def test_a_withdrawal_of_theirs_is_told_as_one(both: Both) -> None:
    both.now_there(
        training_status="withdrawn",
        withdrawal={"reason": "other", "date": "2026-02-10T12:00:00Z"},
    )

    [(kind, _, changed)] = both.poll()
    assert kind == "withdrawn"
    assert f"{ECT}.training_status" in changed


def test_their_change_under_a_pending_field_is_a_conflict(both: Both) -> None:
    both.outbox.emit(ScheduleChanged(source_id="E-1", schedule_identifier=EXTENDED, cohort="2025"))
    both.outbox.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    both.outbox.run()
    assert both.record().state is RecordState.DEAD

    both.now_there(schedule_identifier=JANUARY)
    both.poll()

    assert both.record().reason is Reason.CONFLICT
    problem = both.record().problem
    assert problem is not None
    assert problem.field == "schedule_identifier"


def test_their_change_to_our_value_closes_what_was_pending(both: Both) -> None:
    [entry] = both.outbox.emit(
        ScheduleChanged(source_id="E-1", schedule_identifier=EXTENDED, cohort="2025")
    )
    both.outbox.relay = both.outbox.another_relay(settle=timedelta(hours=2))
    both.outbox.round()
    both.now_there(schedule_identifier=EXTENDED)
    both.poll()

    assert both.record().state is RecordState.IN_STEP
    assert both.outbox.how(entry) == [Closed.UNCHANGED]
    assert both.outbox.api.calls == []


def test_a_doubt_is_settled_as_done_at_once(both: Both) -> None:
    [entry] = both.outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
    both.outbox.api.then(lost(executed=True))
    both.outbox.round()
    both.outbox.deliver()
    assert both.record().state is RecordState.IN_DOUBT
    both.outbox.wait(seconds=5)
    there = both.outbox.api.people[PERSON]
    change = {"reason": there["status_reason"], "date": "2026-02-10T12:00:00Z"}
    both.lists.person(both.outbox.clock.now(), training_status="deferred", deferral=change)

    assert both.poll() == []
    assert both.record().state is RecordState.IN_STEP
    assert both.outbox.how(entry) == [Closed.DELIVERED]
    assert both.outbox.api.operations == ["defer"]


def test_a_doubt_is_not_settled_as_not_done_while_it_may_still_land(both: Both) -> None:
    both.outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
    both.outbox.api.then(lost(executed=False))
    both.outbox.round()
    both.outbox.deliver()
    both.outbox.wait(seconds=5)
    both.lists.person(both.outbox.clock.now(), name="Amara Obi")
    both.poll()
    assert both.record().state is RecordState.IN_DOUBT

    both.outbox.wait(minutes=5)
    both.poll()

    assert both.record().mark is None
    assert both.record().state is RecordState.WAITING
    both.outbox.run()
    assert both.outbox.api.operations == ["defer", "defer"]


def test_a_read_that_began_before_our_write_was_over_says_nothing(both: Both) -> None:
    """It may show what was there before; taken over, our write would look undone."""
    answer = both.inbox.answer
    accepted: list[Any] = []

    def slow(request: Any, now: Any) -> Any:
        body = answer(request, now)
        if not both.outbox.api.calls:
            both.outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
            both.outbox.run()
        accepted.append((both.record().accepted or {})["training_status"])
        return body

    both.now_there(name="Amara Obi")
    both.inbox.answer = slow
    both.inbox.poll("participants")

    assert both.outbox.api.operations == ["defer"]
    assert accepted[:2] == ["deferred", "deferred"]  # after the write, and after the older page


def test_a_read_leaves_a_snoozed_record_asleep(both: Both) -> None:
    both.outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
    both.outbox.api.then(Later(refusals=a_refusal()))
    both.outbox.run()
    due = both.record().due_at
    both.now_there(participant_status="leaving")
    both.poll()

    assert both.record().reason is Reason.SNOOZED
    assert both.record().due_at == due


def test_an_expectation_is_confirmed_by_the_feed(both: Both) -> None:
    both.outbox.emit(MentorChanged(source_id="E-1", mentor_id=OTHER_PERSON))
    both.outbox.run()
    assert "mentor_id" in both.record().expected

    both.now_there(mentor_id=OTHER_PERSON)
    news = both.poll()

    assert both.record().expected == {}
    assert (news[0][0], news[0][2]) == ("updated", [f"{ECT}.mentor_id"])


def test_who_is_renamed_is_found_by_the_new_name_and_no_more_by_the_old(both: Both) -> None:
    both.outbox.wait(minutes=5)
    both.lists.person(both.outbox.clock.now(), OTHER_PERSON, name="Ada Holt")
    both.now_there(name="Ada Byron")
    both.poll()
    assert both.found("ada") == {PERSON, OTHER_PERSON}

    both.now_there(name="Ida Byron")
    both.poll()

    assert both.found("ada") == {OTHER_PERSON}
    assert both.found("byron") == both.found("ida") == {PERSON}


def test_a_mentor_never_seen_is_fetched_and_mirrored(both: Both) -> None:
    stamp = "2026-01-01T00:00:00Z"
    attributes = {"full_name": "Omar Reid", "updated_at": stamp, "email": None}
    both.lists.put(
        "/unfunded-mentors",
        {"id": OTHER_PERSON, "type": "unfunded-mentor", "attributes": attributes},
    )
    both.now_there(mentor_id=OTHER_PERSON)
    asked = len(both.inbox.asked)
    both.poll()
    paths = [request.path for request, _ in both.inbox.asked[asked:]]

    assert both.inbox.mirror("unfunded-mentors")[OTHER_PERSON]["full_name"] == "Omar Reid"
    assert paths.count(f"/participants/{OTHER_PERSON}") == 1
    assert paths.count(f"/unfunded-mentors/{OTHER_PERSON}") == 1


def test_an_id_that_was_merged_is_followed(both: Both) -> None:
    both.outbox.wait(minutes=5)
    both.lists.rows["/participants"].clear()
    now = both.outbox.clock.now()
    both.lists.person(now, OTHER_PERSON, merged=[PERSON], schedule_identifier=EXTENDED)
    both.outbox.wait(minutes=5)
    news = both.poll()

    record = both.record()
    assert record.remote_id == OTHER_PERSON
    assert record.serial_key == f"{OTHER_PERSON}/{ECT}"
    assert (record.accepted or {})["schedule_identifier"] == EXTENDED
    assert [kind for kind, _, _ in news] == ["merged", "new"]


def test_a_page_locks_whom_it_moves_and_whom_it_tells_at_once(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody locks families in key order; twice in a row would wait for who holds one between."""
    both.outbox.link("A-1", MENTOR)
    both.outbox.round()
    both.outbox.wait(minutes=5)
    both.lists.rows["/participants"].clear()
    now = both.outbox.clock.now()
    both.lists.person(now, OTHER_PERSON, merged=[PERSON])
    both.lists.person(now, MENTOR, schedule_identifier=EXTENDED)
    both.outbox.wait(minutes=5)
    locked: list[list[str]] = []
    of_families = store.of_families

    def noting(connection: Any, destination: str, families: Any, *, lock: bool = False) -> Any:
        if lock and families:
            locked.append(list(families))
        return of_families(connection, destination, families, lock=lock)

    monkeypatch.setattr(store, "of_families", noting)
    both.poll()

    moved, told = both.record(), both.outbox.record("A-1")
    assert (moved.remote_id, (told.accepted or {})["schedule_identifier"]) == (
        OTHER_PERSON,
        EXTENDED,
    )
    assert locked[0] == sorted({moved.family, told.family})
    assert len(locked[0]) == 2
    assert all(set(later) <= set(locked[0]) for later in locked)


def test_a_merge_that_would_put_two_records_on_one_is_held(both: Both) -> None:
    both.outbox.link("E-2", OTHER_PERSON)
    both.outbox.round()
    both.outbox.wait(minutes=5)
    both.lists.rows["/participants"].clear()
    both.lists.person(both.outbox.clock.now(), OTHER_PERSON, merged=[PERSON])
    both.outbox.wait(minutes=5)
    both.poll()

    assert both.record().reason is Reason.SAME_PERSON_TWICE
    assert both.outbox.record("E-2").remote_id == OTHER_PERSON


def a_declaration(now: str, **attributes: Any) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "participant_id": PERSON,
        "declaration_type": "started",
        "course_identifier": ECT,
        "declaration_date": "2025-10-01T09:00:00Z",
        "state": "submitted",
        "updated_at": now,
        "evidence_held": "training-event-attended",
        "lead_provider_name": "Harbour",
    }
    return {"id": OTHER_PERSON, "type": "participant-declaration", "attributes": told | attributes}


def test_a_claim_whose_answer_was_lost_is_found_by_its_person_course_and_type(both: Both) -> None:
    [entry] = both.outbox.emit(
        DeclarationMade(
            source_id="E-1",
            declaration_type="started",
            declaration_date=NOON.replace(year=2025, month=10, day=1, hour=9),
            evidence_held="training-event-attended",
        )
    )
    both.outbox.api.then(lost(executed=True))
    both.outbox.round()
    both.outbox.deliver()
    assert both.outbox.record(part="started").state is RecordState.IN_DOUBT
    both.outbox.wait(seconds=5)
    both.lists.put("/participant-declarations", a_declaration("2026-02-10T12:00:00Z"))
    assert both.inbox.poll("declarations") is Ended.COMPLETE

    claim = both.outbox.record(part="started")
    assert claim.remote_id == OTHER_PERSON
    assert claim.state is RecordState.IN_STEP
    assert both.outbox.how(entry) == [Closed.DELIVERED]
    assert both.outbox.api.writes == ["declare"]


def test_a_payment_state_of_theirs_is_news_and_no_conflict(both: Both) -> None:
    both.lists.put("/participant-declarations", a_declaration("2026-02-10T12:00:00Z"))
    both.inbox.poll("declarations")
    both.outbox.wait(hours=1)
    later = "2026-02-10T13:10:00Z"
    both.lists.put("/participant-declarations", a_declaration(later, state="payable"))
    end = both.inbox.feed_end()
    both.inbox.poll("declarations")

    assert both.inbox.news(after=end) == [("updated", OTHER_PERSON, ["state"])]


def test_a_full_sync_finds_what_changed_without_its_stamp_and_reports_the_drift(
    both: Both,
) -> None:
    both.outbox.wait(hours=4)
    both.poll()
    row = both.lists.rows["/participants"][PERSON]
    row["attributes"]["ecf_enrolments"][0]["schedule_identifier"] = JANUARY
    both.outbox.wait(hours=1)
    both.poll()
    unseen = (both.record().accepted or {})["schedule_identifier"]
    assert both.inbox.full("participants") is Ended.COMPLETE

    run = both.inbox.runs()[0]
    assert unseen == "ecf-standard-september"
    assert (both.record().accepted or {})["schedule_identifier"] == JANUARY
    assert run.drifted == 1
    assert both.inbox.drift() == [
        ("different", PERSON, "schedule_identifier", "ecf-standard-september", JANUARY)
    ]


def test_what_is_gone_is_looked_for_first_and_then_named_and_nothing_is_deleted(
    both: Both,
) -> None:
    del both.lists.rows["/participants"][PERSON]
    both.outbox.wait(hours=1)
    end = both.inbox.feed_end()
    assert both.inbox.full("participants") is Ended.COMPLETE

    assert both.inbox.asked[-1][0].path == f"/participants/{PERSON}"
    assert both.inbox.news(after=end) == [("gone", PERSON, [])]
    assert both.inbox.drift() == [("missing_there", PERSON, "", None, None)]
    assert both.record().remote_id == PERSON


def test_what_a_list_left_out_and_a_look_up_finds_is_not_gone(both: Both) -> None:
    answer = both.inbox.answer

    def hidden(request: Any, now: Any) -> Any:
        if request.path == "/participants":
            return {"data": []}
        return answer(request, now)

    both.inbox.answer = hidden
    both.outbox.wait(hours=1)
    assert both.inbox.full("participants") is Ended.COMPLETE
    assert PERSON in both.inbox.mirror("participants")


def test_where_too_much_would_be_gone_at_once_a_person_decides(both: Both) -> None:
    for number in range(20):
        both.lists.person(both.outbox.clock.now(), f"{number:08}-0000-4000-8000-000000000000")
    both.outbox.wait(minutes=5)
    both.poll()
    for number in range(11):
        del both.lists.rows["/participants"][f"{number:08}-0000-4000-8000-000000000000"]
    both.outbox.wait(hours=1)
    asked = len(both.inbox.asked)

    assert both.inbox.full("participants") is Ended.BRAKED
    assert all(request.path == "/participants" for request, _ in both.inbox.asked[asked:])
    assert len(both.inbox.mirror("participants")) == 21

    with both.inbox.database.transaction() as connection:
        run = checkpoints.braked(connection, "default", "participants")
        assert run is not None
        checkpoints.reopen(connection, run.but(progress={**run.progress, PAST_THE_BRAKE: True}))
    assert both.inbox.full("participants") is Ended.COMPLETE
    assert len(both.inbox.mirror("participants")) == 10


def test_a_claim_of_another_provider_is_never_ours(both: Both) -> None:
    """The list also holds what others declared for our participants."""

    def declared(kind: str) -> DeclarationMade:
        return DeclarationMade(
            source_id="E-1",
            declaration_type=kind,  # type: ignore[arg-type]
            declaration_date=NOON.replace(year=2025, month=10, day=1, hour=9),
            evidence_held="training-event-attended",
        )

    with both.inbox.database.transaction() as connection:
        key = RecordKey("enrolment", "E-1")
        record = store.by_key(connection, "default", key)
        assert record is not None
        accepted = an_enrolment(delivery_partner_id=MENTOR)
        store.update_all(connection, [record.but(accepted=accepted)])
    both.outbox.emit(declared("started"))
    both.outbox.api.then(lost(executed=False))
    both.outbox.round()
    both.outbox.deliver()
    foreign = a_declaration("2026-02-10T12:00:00Z", delivery_partner_id=OTHER_PERSON)
    both.lists.put("/participant-declarations", foreign)
    both.outbox.wait(minutes=10)
    both.inbox.poll("declarations")

    assert both.outbox.record(part="started").remote_id is None
