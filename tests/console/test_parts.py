"""The parts of the pages: cells, masks, counts, passwords."""

import pytest

from console import csv, passwords
from console.counting import Count, counted
from console.errors import NotFilled
from console.masking import masked
from console.passwords import Cost

CHEAP = Cost(log_n=4, r=1, p=1)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+44 20",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "  =1",
        "＝1+1",
        '=HYPERLINK("x")',
        "\u00a0=1",
        "\ufeff=1",
    ],
)
def test_a_cell_that_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert csv.cell(text) == f"'{text}"


def test_other_cells_are_as_they_are() -> None:
    assert [csv.cell(one) for one in ("O'Neill", "a=b", -3, 2.5, None, "")] == [
        "O'Neill",
        "a=b",
        "-3",
        "2.5",
        "",
        "",
    ]


def test_a_cell_cannot_end_its_row_or_its_field() -> None:
    assert csv.written(["a", "b"], [['x",\n=1', "y"]]) == 'a,b\r\n"x"",\n=1",y\r\n'


@pytest.mark.parametrize(
    ("whole", "hidden"),
    [
        ("Amara Okafor", "A••• O•••"),
        ("1234567", "•••67"),
        ("amara@school.example", "a•••@school.example"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_hidden_value_keeps_its_shape_and_no_more(whole: str | None, hidden: str) -> None:
    assert masked(whole, shown=False) == hidden
    assert masked(whole, shown=True) == (whole or "")


def test_a_count_says_when_there_are_more() -> None:
    assert str(counted(1_001)) == "1,000+"
    assert str(counted(1_000)) == "1,000"
    assert not Count(0)


def test_a_password_is_known_again_and_no_other_is() -> None:
    stored = passwords.hashed("correct horse battery", cost=CHEAP)

    assert passwords.matches("correct horse battery", stored)
    assert not passwords.matches("correct horse batterY", stored)
    assert "correct" not in stored
    assert stored != passwords.hashed("correct horse battery", cost=CHEAP)


@pytest.mark.parametrize("password", ["eleven char", "x" * 201])
def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(NotFilled, match="12 to 200"):
        passwords.hashed(password, cost=CHEAP)
