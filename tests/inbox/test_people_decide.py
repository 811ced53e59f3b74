"""What people decide: who is right where the sides differ, and what was expected and never came."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from gateway.contracts.lead_provider_v3 import CONTRACT
from inbox import differences, expectations
from schema.contract import ABSENT
from schema.events import InvalidEvent, MentorChanged, ParticipantResumed, ScheduleChanged
from schema.states import Reason, RecordState
from schema.tables import audit
from tests.inbox.test_told import EXTENDED, JANUARY, Both
from tests.support.builders import MENTOR, OTHER_PERSON, PERSON, a_claim, a_record, an_enrolment
from tests.support.command import Ran, run
from tests.support.outbox import Outbox

STANDARD = "ecf-standard-september"


@pytest.fixture
def both(outbox: Outbox) -> Both:
    """A record whose schedule was changed there without its stamp, found by a full sync."""
    both = Both(outbox)
    both.outbox.link()
    both.outbox.round()
    both.now_there()
    both.poll()
    both.outbox.wait(hours=4)
    both.poll()
    return both


def drift(both: Both) -> int:
    """Let the two sides drift apart; gives the difference's id."""
    row = both.lists.rows["/participants"][PERSON]
    row["attributes"]["ecf_enrolments"][0]["schedule_identifier"] = JANUARY
    both.outbox.wait(hours=1)
    both.inbox.full("participants")
    assert len(both.inbox.drift()) == 1
    return _id(both)


def _id(both: Both) -> int:

    with both.inbox.database.reading() as connection:
        return int(differences.listed(connection, "default")[0]["id"])


@pytest.fixture
def command(both: Both, environment: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """The command on that database."""
    url = both.inbox.database.url.render_as_string(hide_password=False)
    environment.setenv("DATABASE_URL", url)
    return run


def test_ours_is_sent_by_an_event_and_by_the_same_rules_as_any(
    both: Both, command: Callable[..., Ran]
) -> None:
    found = drift(both)
    both.outbox.api.people[PERSON]["schedule_identifier"] = JANUARY

    assert command("drift", "resolve", str(found), "--send-ours").code == 0
    both.outbox.run()

    assert both.outbox.api.writes == ["change_schedule"]
    assert both.outbox.api.people[PERSON]["schedule_identifier"] == STANDARD
    assert both.inbox.drift() == []
    assert command("drift", "resolve", str(found), "--ignore").code == 2


def test_theirs_is_accepted_without_a_call_and_written_down(
    both: Both, command: Callable[..., Ran]
) -> None:
    found = drift(both)

    assert (
        command("drift", "resolve", str(found), "--accept-theirs", "--reason", "told so").code == 0
    )
    both.outbox.run()

    assert both.outbox.api.calls == []
    with both.inbox.database.reading() as connection:
        [row] = connection.execute(select(audit.c.action, audit.c.reason, audit.c.before)).all()
    assert row[:2] == ("drift_accepted_theirs", "told so")
    assert row[2] == {"field": "schedule_identifier", "ours": STANDARD, "theirs": JANUARY}


def test_what_is_ignored_is_not_reported_again(both: Both, command: Callable[..., Ran]) -> None:
    found = drift(both)
    assert command("drift", "resolve", str(found), "--ignore").code == 0
    both.outbox.wait(hours=1)
    both.inbox.full("participants")

    assert both.inbox.drift() == []
    assert command("drift", "list").code == 4


def test_a_dry_run_resolves_nothing(both: Both, command: Callable[..., Ran]) -> None:
    found = drift(both)

    assert command("drift", "resolve", str(found), "--send-ours", "--dry-run").code == 0
    assert len(both.inbox.drift()) == 1
    assert both.outbox.round().done == 0


def test_what_is_not_there_is_taken_for_absent_when_a_person_says_so(
    both: Both, command: Callable[..., Ran]
) -> None:
    del both.lists.rows["/participants"][PERSON]
    both.outbox.wait(hours=1)
    both.inbox.full("participants")
    found = _id(both)
    accepted = both.record().accepted

    assert command("drift", "resolve", str(found), "--send-ours").code == 2
    assert both.record().accepted == accepted
    assert command("drift", "resolve", str(found), "--accept-theirs").code == 0
    assert both.record().accepted == ABSENT


def test_differences_are_listed_by_kind_field_and_person(
    both: Both, command: Callable[..., Ran]
) -> None:
    drift(both)
    field = ("--field", "schedule_identifier")

    [one] = command(
        "drift", "list", "--kind", "different", *field, "--person", PERSON, "--json"
    ).json
    assert (one["ours"], one["theirs"]) == (STANDARD, JANUARY)
    assert command("drift", "list", "--kind", "missing_there").code == 4
    assert command("drift", "list", "--person", OTHER_PERSON).code == 4


def test_an_expectation_that_is_overdue_is_a_dead_letter_until_the_feed_confirms_it(
    both: Both,
) -> None:
    both.outbox.emit(MentorChanged(source_id="E-1", mentor_id=OTHER_PERSON))
    both.outbox.run()

    def overdue() -> int:
        with both.inbox.database.transaction() as connection:
            return expectations.bury_overdue(
                connection, "default", now=both.outbox.clock.now(), after=timedelta(days=14)
            )

    both.outbox.wait(days=14)
    assert overdue() == 0
    both.outbox.wait(minutes=1)
    assert overdue() == 1
    assert (both.record().state, both.record().reason) == (RecordState.DEAD, Reason.UNCONFIRMED)
    assert overdue() == 0

    both.now_there(mentor_id=MENTOR, participant_status="leaving")  # news, and not of the mentor
    both.inbox.poll("participants")
    assert both.record().reason is Reason.UNCONFIRMED

    both.now_there(mentor_id=OTHER_PERSON)
    both.inbox.poll("participants")
    assert both.record().state is RecordState.IN_STEP


def test_each_value_of_ours_has_its_event_or_says_why_not() -> None:
    enrolment = a_record(accepted=an_enrolment(schedule_identifier=JANUARY))
    restate: Any = CONTRACT.restate

    assert restate(enrolment, "schedule_identifier", EXTENDED, None) == ScheduleChanged(
        source_id="E-1", schedule_identifier=EXTENDED, cohort="2025"
    )
    assert restate(enrolment, "training_status", "active", None) == ParticipantResumed(
        source_id="E-1"
    )
    assert restate(enrolment, "training_status", "deferred", "other").reason == "other"
    with pytest.raises(InvalidEvent, match="reason"):
        restate(enrolment, "training_status", "deferred", None)
    with pytest.raises(InvalidEvent, match="cannot be sent again"):
        restate(a_claim(), "declaration_date", "2025-10-01T09:00:00Z", None)
