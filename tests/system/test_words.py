"""The words of the command: named by the help and completed by a shell, before any is loaded."""

import pytest

from pillarbox.__main__ import COMMANDS, loaded
from tests.support.command import run


def test_the_help_says_of_each_command_what_its_own_help_begins_with() -> None:
    for name, (_, says) in COMMANDS.items():
        assert " ".join(loaded(name).help.split()).startswith(says), name


def test_the_help_names_every_command() -> None:
    named = [line.split()[1] for line in run("--help").out.splitlines() if line[:2] == "│ "]

    assert [name for name in COMMANDS if name not in named] == []


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pillarbox dri", ["drill", "drift"]),
        ("pillarbox records ex", ["explain"]),
        ("pillarbox records explain --js", ["--json"]),
    ],
)
def test_a_shell_completes_words_at_every_level(
    environment: pytest.MonkeyPatch, typed: str, completed: list[str]
) -> None:
    environment.setenv("_PILLARBOX_COMPLETE", "complete_bash")
    environment.setenv("COMP_WORDS", typed)
    environment.setenv("COMP_CWORD", str(typed.count(" ")))

    assert run().out.split() == completed


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    ran = run("statsu")

    assert ran.code == 2
    assert "Did you mean 'status'?" in ran.err
