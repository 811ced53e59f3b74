"""Problems and people on pages: from the group to the letter to what comes of a person's word."""

import re

import pytest
from sqlalchemy import select, update

from outbox import discarding
from runtime.database import Database
from schema.events import RecordSnapshot
from schema.outcomes import Blame, Refusal, Refused
from schema.states import Reason, RecordState
from schema.tables import discarded
from tests.console.test_door import people, sign_in
from tests.desk.test_deeds import REFUSED, do, in_conflict, refused
from tests.integration.test_dead_letters import unknown_there
from tests.integration.test_delivery import declared, known
from tests.support.builders import PERSON
from tests.support.desk import Desk, a_site
from tests.support.inbox import Inbox, Lists, a_person
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture


@pytest.fixture
def desk(known: Outbox, database: Database) -> Desk:
    """The console on that database, by that clock."""
    return Desk(a_site(database, known.clock))


def test_a_person_goes_from_the_group_to_the_letter_and_corrects_it(
    known: Outbox, desk: Desk
) -> None:
    record = refused(known)
    [group] = desk.read("/problems")

    assert f"/problems/list?group={group['group']}" in desk.get("/problems").text
    assert f"/problems/{record.id}" in desk.get(f"/problems/list?group={group['group']}").text
    letter = desk.get(f"/problems/{record.id}").text
    assert "reason: is not right" in letter
    assert f"PUT /participants/{PERSON}/defer" in letter
    assert "Refused, and set aside for a person" in letter
    form = desk.get(f"/problems/{record.id}/correct").text
    assert '<option value="parental-leave" selected>' in form
    assert '<option value="career-break">' in form

    plan = desk.get(f"/bulk/new?group={group['group']}").text
    assert "each of these would be set aside again" in plan
    assert "Type 1 to replay" not in plan

    typed = {"seen": record.revision, "reason": "career-break"}
    wrong = desk.post(f"/problems/{record.id}/correct", typed)
    assert (wrong.status_code, "Enter why it is corrected." in wrong.text) == (422, True)
    assert '<option value="career-break" selected>' in wrong.text
    invalid = desk.post(
        f"/problems/{record.id}/correct", {**typed, "reason": "holiday", "why": "?"}
    )
    assert (invalid.status_code, "must be one of" in invalid.text) == (422, True)
    assert known.record() == record
    done = desk.post(f"/problems/{record.id}/correct", {**typed, "why": "the school rang"})
    assert (done.status_code, done.headers["location"]) == (303, f"/problems/{record.id}")
    known.run()
    assert known.api.people[PERSON]["training_status"] == "deferred"
    assert "robin, dead letter corrected: the school rang" in desk.get(f"/people/{record.id}").text


def test_the_field_at_fault_comes_first_and_says_what_the_api_said(
    known: Outbox, desk: Desk
) -> None:
    dated = Refusal(title="declaration_date", detail="is before the <milestone>")
    known.api.then(Refused(status=422, refusals=(dated,), blame=Blame.DATA))
    known.emit(declared())
    known.run()
    claim = known.record(part="started")

    form = desk.get(f"/problems/{claim.id}/correct").text
    shown = re.findall(r'<label class="govuk-label" for="(\w+)">', form)
    assert shown[0] == "declaration_date"
    assert shown.count("declaration_date") == 1
    assert "The API says: is before the &lt;milestone&gt;" in form
    assert form.count("govuk-form-group--error") == 1
    assert 'aria-describedby="declaration_date-hint declaration_date-error"' in form
    hints = re.findall(r"<div>([^<]*)</div>", form.partition('id="declaration_date"')[0])
    assert hints[0].startswith("Date and time in UTC")
    assert hints[1].startswith("It was 20")


def test_who_comes_second_is_told_and_changes_nothing(known: Outbox, desk: Desk) -> None:
    record = refused(known)
    fields = {"seen": record.revision, "discard_reason": "a mistake"}
    assert desk.post(f"/problems/{record.id}/discard", fields).status_code == 303
    again = desk.post(f"/problems/{record.id}/discard", fields)

    assert again.status_code == 422
    assert "it waits for no person" in again.text
    assert "Restore" in desk.get(f"/problems/{record.id}").text
    assert "a mistake" in desk.get("/problems/discarded").text
    assert desk.post(f"/problems/{record.id}/restore").status_code == 303
    assert known.record().state is RecordState.DEAD


def test_every_word_of_the_desk_has_its_button(known: Outbox, desk: Desk) -> None:
    conflict = in_conflict(known)
    page = desk.get(f"/problems/{conflict.id}").text
    for deed in ("replay", "look", "send-ours", "accept-theirs", "discard", "override", "say"):
        assert f'action="/problems/{conflict.id}/{deed}"' in page, deed
    seen = {"seen": conflict.revision}
    again = desk.post(f"/problems/{conflict.id}/replay", seen, accept="application/json")
    assert again.json()["goes_on"] is False
    assert desk.post(f"/problems/{conflict.id}/override", seen).status_code == 422, "without a why"
    assert known.record().state is RecordState.DEAD
    desk.post(f"/problems/{conflict.id}/say", {"owner": "ines", "note": "ring them"})
    assert [one["owner"] for one in desk.read("/problems/list?owner=ines")] == ["ines"]
    sent = desk.post(f"/problems/{conflict.id}/send-ours", seen, accept="application/json")
    assert sent.status_code == 200
    assert known.record().state is RecordState.WAITING


def test_a_word_that_would_do_nothing_is_not_offered_and_not_called_done(
    known: Outbox, desk: Desk
) -> None:
    impossible = {"declaration_type": "retained-2", "evidence_held": "one-term-induction"}
    known.emit(declared().model_copy(update=impossible))
    known.run()
    claim = known.record(part="retained-2")
    assert claim.reason is Reason.INVALID_HERE

    letter = desk.get(f"/problems/{claim.id}").text
    assert f'action="/problems/{claim.id}/override"' not in letter
    assert "nothing: correct the data" in letter
    desk.post(f"/problems/{claim.id}/replay", {"seen": claim.revision})
    after = desk.get(f"/problems/{claim.id}").text
    assert "That was not done" in after
    assert "Nothing was changed: it stays aside" in after


def test_lists_keep_their_filters_in_the_address_and_come_as_files(
    known: Outbox, desk: Desk
) -> None:
    record = refused(known)
    known.api.then(REFUSED)
    known.emit(declared())
    known.run()

    assert len(desk.read("/problems/list")) == 2
    assert [one["key"] for one in desk.read("/problems/list?operation=declare")] == [
        "declaration:E-1:started:1"
    ]
    file = desk.get("/problems/list?operation=defer&format=csv")
    assert file.headers["content-type"].startswith("text/csv")
    assert file.text.splitlines()[1].startswith(f"{record.id},enrolment:E-1,")
    assert desk.get("/problems/list?age=long").status_code == 422
    assert "/bulk/new?operation=declare" in desk.get("/problems/list?operation=declare").text


def test_a_viewer_looks_and_sees_nobodys_name_and_changes_nothing(
    known: Outbox, desk: Desk, database: Database
) -> None:
    record = refused(known)
    read_people(known, database)
    assert "Jane Smith" in desk.get("/people?q=smith").text
    people(desk)
    viewer = Desk(desk.site)
    sign_in(viewer, "vic")

    for page in (f"/people/{record.id}", f"/problems/{record.id}", "/people?q=smith"):
        for text in (viewer.get(page).text, str(viewer.read(page))):
            assert "Jane" not in text
            assert "1234567" not in text
    assert viewer.post(f"/problems/{record.id}/replay").status_code == 403
    assert f'action="/problems/{record.id}/replay"' not in viewer.get(f"/problems/{record.id}").text


@pytest.mark.parametrize("what", ["Smith", "jane sm", "1234567", "jane@school.org", PERSON, "E-1"])
def test_somebody_is_found_by_whatever_is_known_of_him(
    known: Outbox, desk: Desk, database: Database, what: str
) -> None:
    read_people(known, database)

    [found] = desk.read(f"/people?q={what}")
    assert (found["key"], found["name"], found["trn"]) == ("enrolment:E-1", "Jane Smith", "1234567")
    assert "In step" in found["verdict"]
    assert "1 found" in desk.get(f"/people?q={what}").text
    page = desk.get(f"/people/{found['id']}").text
    assert "first read from participants" in page
    assert "there" in page


def test_what_was_discarded_is_listed_for_a_viewer_without_names(
    known: Outbox, desk: Desk, database: Database
) -> None:
    record = refused(known)
    do(known, discarding.discard, record)
    wishes = {"full_name": {"value": "Jane Smith", "base": "Jane Miller"}}
    with database.transaction() as connection:
        dropped = connection.execute(select(discarded.c.dropped)).scalar_one()
        values = {"dropped": {**dropped, "wishes": wishes}, "reason": "Jane Smith left"}
        connection.execute(update(discarded).values(values))
    assert "Jane Smith" in str(desk.read("/problems/discarded"))
    people(desk)
    viewer = Desk(desk.site)
    sign_in(viewer, "vic")

    [told] = viewer.read("/problems/discarded")
    page = viewer.get("/problems/discarded").text
    assert told["wishes"] == {"full_name": {"value": "J••• S•••", "base": "J••• M•••"}}
    assert told["reason"] == "J••• S••• left"
    assert "J••• S••• left" in page
    assert "Smith" not in page


@pytest.mark.parametrize("number", ["9" * 18, "9" * 4000, "-1", "1.5", "x", "٣", "%00"])
@pytest.mark.parametrize("path", ["/problems/{}", "/problems/{}/correct", "/people/{}"])
def test_an_id_that_can_be_none_leads_to_nothing(desk: Desk, path: str, number: str) -> None:
    answer = desk.get(path.format(number), accept="application/json")

    assert (answer.status_code, "There is no" in answer.json()["error"]) == (404, True)


def test_who_is_not_known_is_said_to_be_nobody(known: Outbox, desk: Desk) -> None:
    assert desk.read("/people?q=Miller") == []
    assert "Nobody found" in desk.get("/people?q=Miller").text
    assert desk.get("/people/999").status_code == 404
    assert desk.get("/problems/999").status_code == 404


def read_people(known: Outbox, database: Database) -> None:
    """Let the mirror read Jane Smith."""
    lists = Lists()
    inbox = Inbox(database, known.contract, lists, clock=known.clock)
    row = a_person(known.clock.now(), name="Jane Smith", email="jane@school.org")
    row["attributes"]["teacher_reference_number"] = "1234567"
    lists.put("/participants", row)
    known.wait(minutes=5)
    inbox.poll("participants")


def test_what_a_viewer_reads_of_entries_has_no_names(known: Outbox, desk: Desk) -> None:
    state = {"full_name": "Jane Smith", "schedule_identifier": "no-such-schedule"}
    known.emit(RecordSnapshot(source_id="E-1", kind="enrolment", state=state))
    known.run()
    pages = ("/entries", f"/entries/{max(known.entries())}")
    assert [page for page in pages if "Jane Smith" not in str(desk.read(page))] == []
    people(desk)
    viewer = Desk(desk.site)
    sign_in(viewer, "vic")

    for page in pages:
        told = viewer.get(page, accept="application/json")
        assert (told.status_code, "Jane" in told.text) == (200, False)


def test_an_id_that_is_not_known_there_is_not_said_to_be_there(outbox: Outbox, desk: Desk) -> None:
    record = unknown_there(outbox)

    for page in (f"/people/{record.id}", f"/problems/{record.id}"):
        text = desk.get(page).text
        assert "the API answered 404: it does not know this id" in text
        assert "not looked at yet" not in text
        assert "There: <span" not in text
