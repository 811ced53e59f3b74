"""Polls and differences on pages: what is shown, and that each action is one audited deed."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from inbox import checkpoints, differences, mirror
from inbox.drift import Different
from inbox.mirror import Change, Reading
from records import store
from runtime import audit
from runtime.database import Database
from schema.fingerprint import Json, fingerprint
from schema.inbox import RunKind, RunState, Trigger
from schema.sources import Row
from schema.tables import outbox_entry
from tests.support.builders import PERSON, a_record, an_enrolment
from tests.support.clock import NOON, HandClock
from tests.support.desk import Desk

EXTENDED = "ecf-extended-september"


def read_once(database: Database, *, state: RunState = RunState.COMPLETE, **counts: int) -> int:
    """Make it look as if the participants had been read in full, an hour ago."""
    began = NOON - timedelta(hours=1)
    with database.transaction() as connection:
        checkpoints.ensure(connection, "default", "participants")
        held = checkpoints.take(connection, "default", "participants", now=began, until=NOON)
        assert held is not None
        run = checkpoints.open_run(
            connection,
            destination="default",
            source="participants",
            kind=RunKind.FULL,
            trigger=Trigger.TIMER,
            since=None,
            now=began,
            progress={},
        )
        done = run.but(started_at=began, ended_at=began, state=state, requests=5, **counts)
        checkpoints.save(connection, done)
        if state is RunState.COMPLETE:
            checkpoints.promote(connection, held, done)
        checkpoints.release(connection, held)
        checkpoints.plan_next(connection, "default", "participants", NOON + timedelta(minutes=9))
    return run.id


def a_new_row(remote_id: str, **content: Json) -> Change:
    row = Row(id=remote_id, content=content)
    return Change(row=row, before=None, fingerprint=fingerprint(content))


def deeds(desk: Desk) -> list[tuple[str, str, str, str | None]]:
    with desk.site.database.reading() as connection:
        rows = audit.listed(connection, before=None, limit=100)
    return [(one["actor"], one["action"], one["subject"], one["reason"]) for one in rows]


def a_difference(database: Database, run_id: int, *, field: str = "schedule_identifier") -> int:
    """Let the schedule of E-1 have been changed there without its stamp."""
    reading = Reading(
        destination="default", source="participants", run_id=run_id, began_at=NOON, now=NOON
    )
    found = Different(field=field, ours="ecf-standard-september", theirs=EXTENDED)
    with database.transaction() as connection:
        record = a_record(accepted=an_enrolment(schedule_identifier=EXTENDED), remote_id=PERSON)
        if store.by_key(connection, "default", record.key) is None:
            store.insert_all(connection, [record])
        differences.note(connection, reading, PERSON, str(record.key), [found])
        [one] = differences.listed(connection, "default", field=field)
    return int(one["id"])


def test_each_source_shows_when_it_was_read_and_how_its_rows_add_up(desk: Desk) -> None:
    read_once(desk.site.database, seen=12, applied=2, unchanged=9, held=1)

    told = desk.read("/polls")
    [line] = [one for one in told["sources"] if one["source"] == "participants"]
    runs = desk.get("/polls/runs").text

    assert line["state"] == "ok"
    assert line["lag_s"] == 3600
    assert "full sync complete" in desk.get("/polls").text
    assert "12 = 2 + 9 + 1 + 0" in runs
    assert "12 = 2 + 9 + 1 + 0" in desk.get("/polls/participants").text
    assert len(desk.read("/polls/runs?source=statements")["runs"]) == 0
    assert desk.get("/polls/nothing").status_code == 404


def test_hours_are_booked_with_who_agreed_and_given_up(desk: Desk) -> None:
    assert "Nothing is booked" in desk.get("/polls").text
    hours = {"hours": "mon 01:00-05:00", "source": "participants"}
    assert desk.post("/polls/book", {**hours, "agreed_by": "Priya at DfE"}).status_code == 303

    page = desk.get("/polls").text
    assert "mon 01:00-05:00: booked, agreed by Priya at DfE." in page
    assert "Give up" in page
    assert desk.post("/polls/unbook", hours).status_code == 303
    assert "Nothing is booked" in desk.get("/polls").text
    assert [one[:3] for one in deeds(desk)] == [
        ("robin", "hours_given_up", "default/participants"),
        ("robin", "hours_booked", "default/participants"),
    ]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"hours": "monday", "agreed_by": "DfE"}, "write tue 22:00-06:00"),
        ({"hours": "mon 01:00-05:00"}, "Enter who agreed"),
        ({"hours": "mon 01:00-05:00", "agreed_by": "D", "source": "no"}, "choose one of the list"),
    ],
)
def test_hours_that_are_none_are_not_booked_and_the_page_says_why(
    desk: Desk, fields: dict[str, str], sentence: str
) -> None:
    referer = "http://localhost:4020/polls"

    assert desk.post("/polls/book", fields, referer=referer).status_code == 303
    assert sentence in desk.get("/polls").text
    assert deeds(desk) == []


def test_a_full_sync_by_hand_says_its_price_and_waits_for_it_to_be_typed(desk: Desk) -> None:
    read_once(desk.site.database)
    reading = Reading(
        destination="default", source="participants", run_id=1, began_at=NOON, now=NOON
    )
    rows = [a_new_row(f"p-{number}", n=number) for number in range(251)]
    with desk.site.database.transaction() as connection:
        mirror.write(connection, reading, rows)
    assert desk.read("/polls/participants")["estimate"]["requests"] == 6
    assert "Type 6 to read all of it" in desk.get("/polls/participants").text

    wrong = desk.post(
        "/polls/participants/full",
        {"reason": "to be sure", "number": "5"},
        accept="application/json",
    )
    assert wrong.status_code == 422
    assert deeds(desk) == []
    fields = {"reason": "to be sure", "number": "6"}
    assert desk.post("/polls/participants/full", fields).status_code == 303

    assert deeds(desk) == [("robin", "full_sync_asked_for", "default/participants", "to be sure")]
    [run, _] = desk.read("/polls/runs")["runs"]
    assert (run["state"], run["trigger"]) == ("open", "hand")


def test_a_source_is_polled_paused_and_resumed(desk: Desk, clock: HandClock) -> None:
    read_once(desk.site.database)
    assert desk.post("/polls/participants/run").status_code == 303
    assert desk.read("/polls/participants")["next_poll_at"] == "2026-02-10T12:00:00.000Z"
    assert desk.post("/polls/participants/pause", {"pause_reason": "they asked"}).status_code == 303
    assert desk.read("/polls/participants")["state"] == "paused"
    refused = desk.post("/polls/participants/run", accept="application/json")
    assert "resume it first" in refused.json()["error"]
    assert desk.post("/polls/participants/resume").status_code == 303
    clock.advance(timedelta(hours=2))
    assert desk.read("/polls/participants")["state"] == "late"

    assert [one[1] for one in reversed(deeds(desk))] == [
        "poll_asked_for",
        "poll_paused",
        "poll_resumed",
    ]


def test_a_source_never_read_needs_a_start_from_a_person(desk: Desk) -> None:
    assert "never read" in desk.get("/polls/transfers").text
    refused = desk.post("/polls/transfers/run", accept="application/json")
    assert refused.status_code == 422

    assert desk.post("/polls/transfers/run", {"since": "2025-09-01T00:00:00Z"}).status_code == 303
    [run] = desk.read("/polls/runs")["runs"]
    assert (run["kind"], run["since"]) == ("poll", "2025-09-01T00:00:00.000Z")


def test_a_full_sync_that_braked_goes_on_by_a_persons_word(desk: Desk) -> None:
    read_once(desk.site.database, state=RunState.BRAKED)
    assert "Let the full sync go on" in desk.get("/polls/participants").text

    fields = {"brake_reason": "a school closed"}
    assert desk.post("/polls/participants/past-the-brake", fields).status_code == 303
    assert deeds(desk)[0][1] == "full_sync_past_the_brake"


def test_differences_are_filtered_in_the_address_and_shown_whole(desk: Desk) -> None:
    run = read_once(desk.site.database)
    found = a_difference(desk.site.database, run)

    assert [one["id"] for one in desk.read("/differences")["differences"]] == [found]
    assert desk.read("/differences?field=cohort")["differences"] == []
    assert desk.read(f"/differences?person={PERSON}&kind=different")["differences"] != []
    assert desk.read("/differences?kind=missing_there")["differences"] == []
    assert desk.read("/differences?state=ignored")["differences"] == []
    assert len(desk.read("/differences?state=")["differences"]) == 1
    assert desk.get("/differences?kind=nonsense").status_code == 404
    assert f"schedule identifier is {EXTENDED} there" in desk.get(f"/differences/{found}").text


def test_what_is_there_and_linked_to_nothing_here_is_listed(desk: Desk) -> None:
    run = read_once(desk.site.database)
    reading = Reading(
        destination="default", source="participants", run_id=run, began_at=NOON, now=NOON
    )
    with desk.site.database.transaction() as connection:
        mirror.write(connection, reading, [a_new_row("p-9")])

    [one] = desk.read("/differences?kind=missing_here")["differences"]
    assert one["remote_id"] == "p-9"


@pytest.mark.parametrize(
    ("way", "action", "emitted"),
    [
        ("send-ours", "drift_sent_ours", ["schedule_changed"]),
        ("accept-theirs", "drift_accepted_theirs", []),
        ("ignore", "drift_ignored", []),
    ],
)
def test_a_person_says_which_side_is_right_with_a_reason(
    desk: Desk, way: str, action: str, emitted: list[str]
) -> None:
    found = a_difference(desk.site.database, read_once(desk.site.database))
    at = f"/differences/{found}/resolve"
    assert desk.post(at, {"way": way}, accept="application/json").status_code == 422

    assert desk.post(at, {"way": way, "reason": "as agreed"}).status_code == 303

    assert deeds(desk) == [("robin", action, "enrolment:E-1", "as agreed")]
    assert desk.read("/differences")["differences"] == []
    assert events(desk) == emitted
    again: Any = desk.post(at, {"way": way, "reason": "x"}, accept="application/json")
    assert way == "ignore" or again.status_code == 422


def events(desk: Desk) -> list[str]:
    with desk.site.database.reading() as connection:
        return list(connection.execute(select(outbox_entry.c.event)).scalars())
