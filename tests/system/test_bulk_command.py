"""Many records at once from the command line: nothing without the number, everything as JSON."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.database import Database
from tests.support.bulk import Desk
from tests.support.command import run
from tests.support.outbox import Outbox


@pytest.fixture
def desk(sqlite_template: Path, tmp_path: Path, environment: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Three enrolments that were given up, in the file that `DATABASE_URL` names."""
    file = tmp_path / "pillarbox.db"
    file.write_bytes(sqlite_template.read_bytes())
    environment.setenv("DATABASE_URL", f"sqlite:///{file}")
    database = Database(f"sqlite:///{file}")
    yield Desk(Outbox(database), crowd=3)
    database.close()


def test_a_dry_run_says_what_would_be_sent_and_changes_nothing(desk: Desk) -> None:
    before = desk.outbox.records()

    told = run("bulk", "replay", "--only", "exhausted", "--dry-run", "--json")

    assert told.code == 0
    assert told.json["records"] == told.json["calls"] == 3
    assert told.json["foreseen"][0]["result"] == "sent"
    assert told.json["selection"] == {"reason": "exhausted"}
    assert told.json["dry_run"]
    assert (
        "3 records, at most 3 calls, under a minute of the live lane"
        in run("bulk", "replay", "--all", "--dry-run").out
    )
    assert desk.outbox.records() == before
    assert run("bulk", "list").code == 4


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["replay"], 2, "say which"),
        (["replay", "--all"], 2, "add --yes --expect 3"),
        (["replay", "--all", "--yes"], 2, "--yes needs --expect"),
        (["replay", "--all", "--yes", "--expect", "4"], 6, "3 records are meant by now, not 4"),
        (["replay", "--all", "--now", "--yes", "--expect", "3"], 2, "--now needs --reason"),
        (["replay", "--only", "nonsense"], 2, "is no reason"),
        (["replay", "--only", "conflict", "--yes", "--expect", "1"], 4, "nothing of that waits"),
        (["replay", "--file", "nowhere.txt"], 2, "cannot be read"),
        (["show", "7"], 4, "there is no bulk 7"),
        (["cancel", "7"], 4, "there is no bulk 7"),
    ],
)
def test_what_is_not_said_rightly_is_not_done_and_says_why(
    desk: Desk, words: list[str], code: int, says: str
) -> None:
    told = run("bulk", *words)

    assert (told.code, says in told.err) == (code, True), told.err
    assert run("bulk", "list").code == 4


def test_a_bulk_begins_with_its_number_and_is_followed_to_its_report(
    desk: Desk, tmp_path: Path
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(str(one.id) for one in desk.outbox.records()[:2]))

    began = run("dead-letters", "replay", "--file", str(ids), "--reason", "well again",
                "--yes", "--expect", "2", "--json")  # fmt: skip
    other = run("bulk", "replay", "--all", "--yes", "--expect", "3")
    desk.run()
    shown = run("bulk", "show", str(began.json["id"]), "--wait", "--json")
    report = run("bulk", "report", str(began.json["id"]), "--csv")

    assert (began.code, began.json["state"], began.json["left"]) == (0, "running", 2)
    assert other.code == 6
    assert f"bulk {began.json['id']} of" in other.err
    assert (shown.code, shown.json["state"], shown.json["results"]) == (0, "done", {"sent": 2})
    rows = list(csv.DictReader(io.StringIO(report.out)))
    assert [(row["record"], row["result"]) for row in rows] == [
        ("enrolment:E-0", "sent"),
        ("enrolment:E-1", "sent"),
    ]
    assert "accepted" in run("bulk", "show", str(began.json["id"])).out
    assert len(run("bulk", "report", str(began.json["id"]), "--json").json) == 2


def test_one_is_tried_then_a_person_says_go_or_cancel(desk: Desk) -> None:
    number = run("bulk", "replay", "--all", "--try-one", "--yes", "--expect", "3", "--json").json[
        "id"
    ]
    assert run("bulk", "go", str(number)).code == 4
    desk.run()
    waited = run("bulk", "show", str(number), "--wait", "--json")

    assert run("bulk", "cancel", str(number), "--dry-run", "--json").json["state"] == "cancelled"
    assert run("bulk", "show", str(number), "--json").json["state"] == "tried"
    cancelled = run("bulk", "cancel", str(number), "--json")
    resumed = run("bulk", "resume", str(number), "--json")
    desk.run()

    assert (waited.code, waited.json["state"]) == (0, "tried")
    assert (cancelled.json["state"], cancelled.json["spared"]) == ("cancelled", 2)
    assert resumed.json["state"] == "running"
    assert run("bulk", "show", str(number), "--json").json["results"] == {"sent": 3}


def test_entries_are_replayed_as_what_their_records_still_lack(desk: Desk) -> None:
    dry = run("entries", "replay", "--event", "participant_deferred", "--dry-run", "--json")
    run("entries", "replay", "--record", "E-0", "--yes", "--expect", "1")
    desk.run()
    again = run("entries", "replay", "--record", "E-0", "--dry-run", "--json")

    assert dry.json["records"] == 3
    assert dry.json["selection"] == {"entries": {"event": "participant_deferred"}}
    assert (again.code, again.json["records"]) == (4, 0)
    assert again.json["untouched"] == {"delivered": 1, "noted": 1}
    assert run("entries", "replay").code == 2
    assert run("entries", "replay", "--since", "yesterday").code == 2
