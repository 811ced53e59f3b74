"""Many records at once, on the pages."""

import html
import re

import pytest

from outbox import bulk
from records.signature import signature_of
from runtime.database import Database
from schema.bulk import BulkState
from schema.record import Problem
from schema.states import Reason, RecordState
from tests.support import bulk as crowds
from tests.support.desk import Desk, a_site
from tests.support.outbox import Outbox


@pytest.fixture
def crowd(database: Database) -> crowds.Desk:
    """Three enrolments that were given up."""
    return crowds.Desk(Outbox(database), crowd=3)


@pytest.fixture
def desk(crowd: crowds.Desk) -> Desk:
    """The console in front of them."""
    return Desk(a_site(crowd.outbox.database, crowd.outbox.clock))


def text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_first_plan_is_not_called_another(desk: Desk) -> None:
    assert ">Plan one<" in desk.get("/bulk").text


def begun(desk: Desk, query: str = "", **fields: str) -> str:
    """Begin a bulk of all three; gives its address."""
    answer = desk.post(f"/bulk{query}", {"number": "3", **fields})
    assert answer.status_code == 303, text(answer.text)
    return answer.headers["location"]


def active(crowd: crowds.Desk) -> bulk.Bulk:
    with crowd.outbox.database.reading() as connection:
        found = bulk.active(connection, "default")
    assert found is not None
    return found


def test_a_plan_says_what_would_become_of_each_and_the_address_holds_the_choice(
    crowd: crowds.Desk, desk: Desk
) -> None:
    page = text(desk.get("/bulk/new?reason=exhausted").text)

    assert "would be sent defer 3" in page
    assert "Type 3 to replay them" in page
    assert "Of the quota under a minute" in page
    one = text(desk.get("/bulk/new?record=E-0").text)
    assert "Type 1 to replay it" in one
    assert "Replay 1 record " in one
    assert desk.read("/bulk/new?reason=exhausted")["records"] == 3
    assert "Nothing of that waits for a person" in desk.get("/bulk/new?reason=conflict").text
    assert "only what is not here" in desk.get("/bulk/new?record=E-unknown").text
    assert desk.get("/bulk/new?reason=nonsense").status_code == 422
    assert desk.read("/bulk") == []


def test_a_replay_begins_with_its_number_is_tried_and_goes_on(
    crowd: crowds.Desk, desk: Desk
) -> None:
    wrong = desk.post("/bulk", {"number": "4", "reason": "again"}, referer=REFERER)
    assert "3 records are meant by now, not 4" in desk.get(wrong.headers["location"]).text

    began = desk.post("/bulk", {"number": "3", "reason": "well again"})
    crowd.run()
    at = began.headers["location"]
    tried = text(desk.get(at).text)
    refused = desk.post("/bulk", {"number": "3"}, referer=REFERER)
    told_why = desk.get(refused.headers["location"]).text
    went = desk.post(f"{at}/go")
    crowd.run()

    assert "One was tried" in tried
    assert "Accepted 1" in tried
    assert f"bulk {at[6:]} of robin is tried" in told_why
    assert went.status_code == 303
    told = desk.read(at)
    assert (told["state"], told["results"], told["actor"]) == ("done", {"sent": 3}, "robin")
    assert "Go on" not in desk.get(at).text
    assert {one.state for one in crowd.outbox.records()} == {RecordState.IN_STEP}


@pytest.mark.parametrize("number", ["", "x", "-3", "3.0", "9" * 16, "9" * 4000, "٣ب"])
def test_what_is_no_number_of_records_begins_nothing_and_is_named(desk: Desk, number: str) -> None:
    refused = desk.post("/bulk", {"number": number}, accept="application/json")

    assert (refused.status_code, refused.json()["field"]) == (422, "number")
    assert refused.json()["error"].startswith("Enter the number of records")
    assert desk.read("/bulk") == []


def test_from_the_group_to_the_plan_to_the_one_that_is_tried_to_the_report(
    crowd: crowds.Desk, desk: Desk
) -> None:
    crowd.put_aside(crowd.outbox.record("E-2"), **OF_ANOTHER_GROUP)
    [one] = [one for one in desk.read("/problems") if one["count"] == 2]

    groups = desk.get("/problems").text
    listed = desk.get(leads(groups, f"/problems/list?group={one['group']}")).text
    plan = desk.get(leads(listed, f"/bulk/new?group={one['group']}")).text
    start = found(r'<form method="post" action="(/bulk\?[^"]*)" class="desk-confirm"', plan)
    wrong = desk.post(start, {"number": "3", "first": "one"}, accept="application/json")
    began = desk.post(start, {"number": "2", "first": "one", "reason": "well again"})
    crowd.run()
    at = began.headers["location"]
    tried = desk.get(at).text
    go = found(rf'action="({at}/go)"', tried)
    left = [each["result"] for each in desk.read(f"{at}/records")]
    desk.post(go)
    crowd.run()
    report = desk.get(leads(desk.get(at).text, f"{at}/report.csv")).text.splitlines()

    assert "Type 2 to replay them" in text(plan)
    assert (wrong.status_code, "2 records are meant by now" in wrong.json()["error"]) == (422, True)
    assert "One was tried" in text(tried)
    assert sorted(left, key=str) == [None, "sent"]
    assert [row.split(",")[1:4] for row in report[1:]] == [
        [key, "ended", "sent"] for key in ("enrolment:E-0", "enrolment:E-1")
    ]
    assert crowd.outbox.record("E-2").state is RecordState.DEAD
    assert [one["group"] for one in desk.read("/problems")] == [
        signature_of(crowd.outbox.record("E-2"))
    ]


OF_ANOTHER_GROUP = {
    "reason": Reason.REFUSED,
    "problem": Problem(reason=Reason.REFUSED, detail="is closed", operation="defer", status=422),
}


def leads(page: str, address: str) -> str:
    """Give an address that a page has a link to."""
    found(rf'href="({re.escape(html.escape(address))})"', page)
    return address


def found(pattern: str, page: str) -> str:
    """Give what a page has."""
    match = re.search(pattern, page)
    assert match is not None, f"nothing like {pattern} in {text(page)}"
    return html.unescape(match[1])


REFERER = "http://localhost:4020/bulk/new"


def test_a_bulk_is_cancelled_and_resumed_from_its_page(crowd: crowds.Desk, desk: Desk) -> None:
    at = begun(desk, first="all")

    desk.post(f"{at}/cancel")
    cancelled = desk.get(at).text
    again = desk.post(f"{at}/cancel", accept="application/json")
    desk.post(f"{at}/resume")

    assert "Go on with what is left" in cancelled
    assert again.status_code == 422
    assert "cancelled already" in again.json()["error"]
    assert active(crowd).state is BulkState.RUNNING


def test_the_report_tells_each_record_on_the_page_as_json_and_as_csv(
    crowd: crowds.Desk, desk: Desk
) -> None:
    at = begun(desk, first="all")
    crowd.run()

    table = desk.get(f"{at}/report.csv")

    assert table.headers["content-type"].startswith("text/csv")
    assert len(table.text.splitlines()) == 4
    assert [one["result"] for one in desk.read(f"{at}/records")] == ["sent"] * 3
    assert "enrolment:E-2" in desk.get(f"{at}?result=sent").text
    assert "enrolment:E-2" not in desk.get(f"{at}?result=aside").text


@pytest.mark.parametrize(
    "path",
    [
        "/bulk/7",
        "/bulk/x",
        "/bulk/7/report.csv",
        "/entries/999999999",
        "/bulk/new?destination=nowhere",
    ],
)
def test_what_is_not_there_says_so(desk: Desk, path: str) -> None:
    assert desk.get(path).status_code == 404


def test_many_are_not_discarded_without_a_word_why(crowd: crowds.Desk, desk: Desk) -> None:
    refused = desk.post("/bulk?deed=discard", {"number": "3"}, accept="application/json")
    at = begun(desk, "?deed=discard", reason="theirs is right", first="all")
    crowd.run()

    assert (refused.status_code, refused.json()["field"]) == (422, "reason")
    assert desk.read(at)["results"] == {"discarded": 3}


def test_entries_are_listed_filtered_and_lead_to_a_replay_of_what_they_lack(desk: Desk) -> None:
    everything = desk.read("/entries")
    page = desk.get("/entries?event=participant_deferred&record=E-1").text

    ids = [one["id"] for one in everything]
    assert (len(ids), ids) == (6, sorted(ids, reverse=True))
    assert len(desk.read("/entries?event=participant_deferred")) == 3
    assert 'href="/bulk/new?entries=any&amp;record=E-1&amp;event=participant_deferred"' in page
    assert desk.read("/bulk/new?entries=any&record=E-1")["records"] == 1
    one = f"/entries/{ids[0]}"
    assert desk.read(one)["event"] == "participant_deferred"
    assert "waits with its record" in desk.get(one).text
    assert "Replay what its record still lacks" in desk.get(one).text
    assert desk.get("/entries?since=yesterday").status_code == 422
