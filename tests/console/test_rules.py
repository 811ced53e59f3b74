"""The rule sheet: judged by what is really there, and complete."""

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

from console.evidence import sheet
from console.rules import RULES, State
from outbox import gates
from outbox.standing import Gate
from runtime.database import Database
from runtime.settings import Settings
from schema.states import GateReason, Tallied
from schema.tables import tally
from tests.console.shown import SHOWN
from tests.support.clock import HandClock
from tests.support.desk import Desk, a_site

ROOT = Path(__file__).parents[2]
GUIDANCE = ROOT.parent / "shared" / "requirements.md"


def states(desk: Desk) -> dict[str, str]:
    """Give the state of each rule."""
    return {one["rule"]: one["state"] for one in sheet(desk.site)[0]["rules"]}


def called(desk: Desk, *numbers: int, outcome: str = "delivered") -> None:
    """Have so many calls been made in each of the last minutes."""
    now = desk.site.clock.now().replace(second=0, microsecond=0)
    rows = [
        {
            "destination": "default",
            "span": span,
            "start": start if span == "minute" else start.replace(minute=0),
            "subject": Tallied.CALL.value,
            "outcome": outcome,
            "number": number,
        }
        for span, each in (("minute", numbers), ("hour", (sum(numbers),)))
        for place, number in enumerate(each)
        for start in [now - timedelta(minutes=len(each) - place)]
    ]
    with desk.site.database.transaction() as connection:
        connection.execute(tally.insert(), rows)


def test_each_rule_comes_with_its_setting_its_state_and_its_evidence(desk: Desk) -> None:
    (one,) = desk.read("/rules")

    assert [rule["rule"] for rule in one["rules"]] == [rule.id for rule in RULES]
    assert all(rule["evidence"] and rule["setting"] and rule["words"] for rule in one["rules"])
    assert all(rule["state"] in set(State) for rule in one["rules"])
    page = desk.get("/rules").text
    assert all(rule.words.replace("'", "&#39;") in page for rule in RULES)


def test_what_nothing_has_shown_yet_is_not_called_met(desk: Desk) -> None:
    found = states(desk)

    unknown = ("within-the-limit", "full-sync-twice-a-week", "random-minutes", "two-windows-back")
    assert {found[one] for one in unknown} == {State.UNKNOWN}


@pytest.mark.parametrize(
    ("minutes", "state"), [((200,) * 5, State.MET), ((200,) * 4 + (201,), State.UNMET)]
)
def test_the_largest_stretch_of_the_last_day_is_judged_by_the_limit(
    desk: Desk, minutes: tuple[int, ...], state: State
) -> None:
    called(desk, *minutes, 0)

    assert states(desk)["within-the-limit"] == state


def test_throttles_that_are_no_accident_and_a_refused_key_are_unmet(desk: Desk) -> None:
    called(desk, 4, outcome="throttled")
    now = desk.site.clock.now()
    refused = Gate(reason=GateReason.KEY_REFUSED, until=None, since=now, detail="401")
    with desk.site.database.transaction() as connection:
        gates.shut(connection, "default", refused)

    found = states(desk)

    assert (found["throttle-obeyed"], found["key-accepted"]) == (State.UNMET, State.UNMET)


def test_settings_beyond_the_guidance_are_unmet(database: Database, clock: HandClock) -> None:
    settings = Settings.from_environment(
        {
            "PILLARBOX_POLL_PAGE_SIZE": "500",
            "PILLARBOX_FULL_SYNC": "sat 22:00-06:00",
            "PILLARBOX_SETTLE": "0s",
            "PILLARBOX_KEEP_ENTRIES": "100d",
        }
    )
    found = states(Desk(a_site(database, clock, settings=settings)))

    names = ("default-page-size", "booked-hours", "settle-time", "history-kept")
    assert {found[one] for one in names} == {State.UNMET}


def test_each_line_of_the_guidance_is_answered_for_by_a_rule_or_by_a_test() -> None:
    if not GUIDANCE.exists():
        pytest.skip("the requirements are not at hand: ../shared/requirements.md")
    answered = {row for rule in RULES for row in rule.rows} | set(SHOWN)

    asked = {row for row, words in rows(GUIDANCE.read_text("utf-8")) if not refers(words)}

    assert asked - answered == set()
    assert answered - asked == set()


def test_each_test_that_is_named_is_collected_from_the_file_that_is_named() -> None:
    named = [one for tests in SHOWN.values() for one in tests]

    assert all(SHOWN.values())
    assert [one for one in named if one not in collected(one.partition("::")[0])] == []


@cache
def collected(file: str) -> frozenset[str]:
    """Give the tests of a file that run: functions of its own, none that is always skipped."""
    path = ROOT / "tests" / file
    if not path.is_file() or not path.name.startswith("test_"):
        return frozenset()
    functions = [one for one in ast.parse(path.read_text("utf-8")).body if is_run(one)]
    return frozenset(f"{file}::{one.name}" for one in functions)


def is_run(one: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    """Whether it is a test that pytest runs."""
    if not isinstance(one, ast.FunctionDef) or not one.name.startswith("test_"):
        return False
    marks = {ast.unparse(mark).partition("(")[0] for mark in one.decorator_list}
    return not marks & {"pytest.mark.skip", "pytest.mark.xfail", "pytest.fixture"}


def rows(text: str) -> Iterator[tuple[str, str]]:
    """Give every line with advice, by its text and line, with what it asks."""
    part = ""
    for line in text.splitlines():
        if heading := re.match(r"## `guidance/.*` \((\d+)\)", line):
            part = heading[1]
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if part and line.startswith("|") and cells[0][:1].isdigit():
            yield f"{part}:{cells[0].replace(' ', '')}", cells[2]


def refers(words: str) -> bool:
    """Whether it only repeats another line."""
    return re.match(r"as \d|same rule sheet", words) is not None
