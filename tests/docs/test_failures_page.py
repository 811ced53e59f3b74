"""The page of failures: each once, in order, with a test or the reason why there is none."""

import re

from tests.docs.reference import ROOT

PAGE = (ROOT / "docs" / "explanation" / "failures.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.M)


def test_each_number_stands_once_and_in_order_within_its_part() -> None:
    numbers = [int(number) for number, _ in ROWS]

    assert len(numbers) == len(set(numbers)) == 58
    for part in PAGE.split("\n## ")[1:]:
        found = [int(number) for number in re.findall(r"^\| (\d+) \|", part, re.M)]
        assert found == sorted(found)


def test_each_failure_names_a_test_or_says_why_there_is_none() -> None:
    silent = [
        number for number, row in ROWS if "`tests/" not in row and "| Not here yet: " not in row
    ]

    assert silent == []
