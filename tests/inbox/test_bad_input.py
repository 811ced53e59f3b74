"""What comes in is not as described: the row is held with its reason and shown, the others are applied."""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from gateway.contracts.lead_provider_v3 import CONTRACT
from inbox.poll import Ended, Pacing
from inbox.window import Everything
from runtime.database import Database
from schema.fingerprint import Json
from schema.inbox import RunKind, RunState
from schema.plans import Request
from tests.support.command import run
from tests.support.inbox import Inbox, Lists

PEOPLE = [str(uuid5(NAMESPACE_URL, f"person-{number}")) for number in range(100)]
BAD = PEOPLE[57]

Spoil = Callable[[dict[str, Any]], None]


def wrong_type(row: dict[str, Any]) -> None:
    row["attributes"]["ecf_enrolments"][0]["training_status"] = ["Amara Okafor"]


def missing(row: dict[str, Any]) -> None:
    del row["attributes"]["ecf_enrolments"]


def no_attributes(row: dict[str, Any]) -> None:
    row["attributes"] = "Amara Okafor"


def another_type(row: dict[str, Any]) -> None:
    row["type"] = "pupil"


def no_stamp(row: dict[str, Any]) -> None:
    row["attributes"]["updated_at"] = "Amara Okafor"


class Hundred:
    """A hundred people, of whom one is spoilt."""

    def __init__(self, database: Database) -> None:
        self.lists = Lists()
        pacing = Pacing(start=Everything(), page_size=100)
        self.inbox = Inbox(database, CONTRACT, self._answer, pacing=pacing)
        self.spoil: Spoil | None = None
        for number, person in enumerate(PEOPLE):
            now = self.inbox.clock.now()
            self.lists.person(now, person, name=f"Person {number}", mentor_id=None)

    def _answer(self, request: Request, now: datetime) -> Json:
        body: Any = deepcopy(self.lists(request, now))
        if self.spoil is not None and request.path == "/participants":
            for row in body["data"]:
                if row["id"] == BAD:
                    self.spoil(row)
        return body


@pytest.fixture
def hundred(database: Database) -> Hundred:
    return Hundred(database)


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (wrong_type, "attributes.ecf_enrolments.0.training_status (literal_error)"),
        (missing, "attributes.ecf_enrolments (missing)"),
        (no_attributes, "attributes (dict_type)"),
        (another_type, "type"),
        (no_stamp, "attributes.updated_at (datetime_from_date_parsing)"),
    ],
)
def test_one_row_of_a_hundred_is_held_with_the_place_and_ninety_nine_are_applied(
    hundred: Hundred, spoil: Spoil, place: str
) -> None:
    inbox = hundred.inbox
    hundred.spoil = spoil

    assert inbox.poll("participants") is Ended.COMPLETE

    first = inbox.runs()[0]
    assert len(inbox.mirror("participants")) == 99
    assert inbox.held() == [(BAD, f"the row is not as described at {place}")]
    assert (first.kind, first.applied) == (RunKind.FULL, 99)
    assert first.held >= 1
    assert first.seen == first.applied + first.unchanged + first.held + first.failed
    assert len(inbox.news()) == 99

    hundred.spoil = None
    inbox.wait(minutes=5)
    assert inbox.poll("participants") is Ended.COMPLETE
    assert inbox.held() == []
    assert inbox.news(after=99) == [("new", BAD, [])]


def test_an_attribute_that_nobody_knows_is_mirrored_and_told(hundred: Hundred) -> None:
    def more(row: dict[str, Any]) -> None:
        row["attributes"]["shoe_size"] = 43

    hundred.spoil = more
    inbox = hundred.inbox

    assert inbox.poll("participants") is Ended.COMPLETE
    assert inbox.held() == []
    assert inbox.mirror("participants")[BAD]["shoe_size"] == 43


@pytest.mark.parametrize("body", [None, [], "text", 7, {"data": "x"}, {"rows": []}])
def test_a_page_that_is_none_moves_nothing_and_says_so(hundred: Hundred, body: Json) -> None:
    inbox = hundred.inbox

    def none(request: Request, now: datetime) -> Json:
        return body

    inbox.answer = none

    assert inbox.poll("participants") is Ended.NOT_NOW

    left = inbox.runs()[0]
    assert (left.state, left.pages, left.seen) == (RunState.OPEN, 0, 0)
    assert left.reason
    assert inbox.checkpoint("participants").watermark is None
    assert inbox.checkpoint("participants").failures == 1


def test_commands_show_what_is_held_and_why_and_what_the_run_says(
    hundred: Hundred, environment: pytest.MonkeyPatch
) -> None:
    hundred.spoil = wrong_type
    hundred.inbox.poll("participants")
    url = hundred.inbox.database.url.render_as_string(hide_password=False)
    environment.setenv("DATABASE_URL", url)

    [held] = run("polls", "held", "--json").json
    [told] = run("polls", "runs", "--source", "participants", "--json").json

    assert (held["source"], held["ref"]) == ("participants", BAD)
    assert held["reason"].startswith("the row is not as described at attributes.ecf_enrolments.0")
    assert "Amara" not in str(held)
    assert BAD in run("polls", "held").out
    assert (told["state"], told["applied"], told["stats_add_up"]) == ("complete", 99, True)
    assert told["held"] >= 1
    assert run("polls", "list", "--json").json["held_rows"] == 1
    assert "see `pillarbox polls held`" in run("polls", "list").out
