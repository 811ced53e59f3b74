"""Numbers of things, as people read them."""

from datetime import timedelta

import pytest

from console.views import ago, outcome_word
from schema.words import length, several


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0 records"), (1, "1 record"), (2, "2 records"), (4120, "4,120 records")],
)
def test_one_thing_is_not_many(number: int, written: str) -> None:
    assert several(number, "record") == written


def test_what_takes_no_s_is_given_whole() -> None:
    assert [several(number, "entry is", "entries are") for number in (1, 2)] == [
        "1 entry is",
        "2 entries are",
    ]


@pytest.mark.parametrize(
    ("minutes", "written"),
    [
        (0, "under a minute"),
        (0.9, "under a minute"),
        (1.2, "about 1 minute"),
        (50.0, "about 50 minutes"),
    ],
)
def test_nothing_takes_no_minutes(minutes: float, written: str) -> None:
    assert length(minutes) == written


def test_a_day_is_a_day() -> None:
    assert [ago(timedelta(days=number)) for number in (1, 2)] == ["1 day", "2 days"]


@pytest.mark.parametrize(
    ("method", "outcome", "written"),
    [
        ("GET", "delivered", "read"),
        ("PUT", "delivered", "delivered"),
        ("GET", "in_doubt", "in doubt"),
    ],
)
def test_a_look_delivers_nothing(method: str, outcome: str, written: str) -> None:
    assert outcome_word(method, outcome) == written
