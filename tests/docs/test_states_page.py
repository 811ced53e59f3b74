"""The drawing of the states agrees with the code."""

import re

from schema.states import (
    DEAD_LETTERS,
    DOUBTS,
    HOLDS,
    MAY_FOLLOW,
    WAITS,
    Closed,
    EntryState,
    Reason,
    RecordState,
)
from tests.docs.reference import ROOT

PAGE = (ROOT / "docs" / "explanation" / "states.md").read_text(encoding="utf-8")


def test_the_table_of_what_may_follow_is_the_one_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.M)

    drawn = {RecordState(name): set(re.findall(r"`(\w+)`", rest)) for name, rest in rows}

    assert drawn == {state: set(after) for state, after in MAY_FOLLOW.items()}


def test_every_state_is_in_the_drawing_and_every_reason_on_the_page() -> None:
    drawings = "".join(re.findall(r"```\n(.*?)```", PAGE, re.S))

    assert all(re.search(rf"\b{state}\b", drawings) for state in (*EntryState, *RecordState))
    assert all(f"`{reason}`" in PAGE for reason in (*Closed, *Reason))


def test_each_reason_stands_with_its_state() -> None:
    for words, reasons in (
        ("waits", WAITS),
        ("is in doubt", DOUBTS),
        ("is held", HOLDS),
        ("is dead", DEAD_LETTERS),
    ):
        line = re.search(rf"^\*\*Why it {words}\*\*: (.*)$", PAGE, re.M)
        assert line is not None
        assert set(re.findall(r"`(\w+)`", line[1])) == {reason.value for reason in reasons}


def test_no_reason_is_left_over() -> None:
    assert frozenset(Reason) == WAITS | DOUBTS | HOLDS | DEAD_LETTERS
