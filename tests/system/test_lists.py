"""Lists: a row a line on a terminal, whole everywhere else, and the same names for the same things."""

from io import StringIO

import pytest
from rich.console import Console

from pillarbox.commands import common

HEAD = ("id", "record", "what it says")
ROWS = [(1, "enrolment:E-1042", "word " * 40), (2, "enrolment:E-7", "short")]


def printed(table: object) -> list[str]:
    out = StringIO()
    Console(file=out, width=60, force_terminal=False).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_on_a_terminal_a_row_is_a_line_and_what_is_long_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")

    lines = printed(common.a_list(HEAD, ROWS))

    assert len(lines) == 1 + len(ROWS)
    assert lines[1].startswith("1   enrolment:E-1042")
    assert lines[1].endswith("…")
    assert lines[2].endswith("short")


def test_off_a_terminal_everything_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_list(HEAD, [(1, "enrolment:E-1042", "word " * 150)])

    assert capsys.readouterr().out.split().count("word") == 150


def test_true_and_false_are_written_as_yes_and_no(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_table(("funded", "gone"), [(True, False)])

    assert capsys.readouterr().out.split() == ["funded", "gone", "yes", "no"]
