"""The help of every command shows how it is used, and a wrong use is answered in one sentence."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox.__main__ import COMMANDS, loaded
from pillarbox.usage import example
from tests.support.command import run


def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, one in getattr(command, "commands", {}).items():
        yield from below(f"{name} {word}", one)


EVERY = [pair for name in COMMANDS for pair in below(name, loaded(name))]


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_the_help_of_a_command_shows_an_example_of_it_that_parses(name: str, command: Any) -> None:
    shown = example(command.help)
    assert shown is not None, "its help needs a line `Example: pillarbox …`"

    words = shlex.split(shown.partition(" || ")[0])
    assert words[: len(name.split()) + 1] == ["pillarbox", *name.split()]
    parse(words[1], loaded(words[1]), words[2:])


def parse(name: str, command: Any, words: list[str]) -> None:
    """Read the words down to the last command, as calling it would; raises where one does not fit."""
    context = command.make_context(name, list(words))
    if hasattr(command, "commands") and context._protected_args + context.args:
        word, *rest = [*context._protected_args, *context.args]
        parse(word, command.commands[word], rest)


WRONG = {
    "bulk discard": "--reason is missing (why; everybody reads it later); for example `pillarbox bulk",
    "records show": "RECORD is missing (a record key, local id, remote id, TRN, name or e-mail); for",
    "records list --limit 0": "--limit must be at least 1; for example `pillarbox records list",
    "bulk show x": "NUMBER must be a whole number; for example `pillarbox bulk show 12 --wait`",
    "records list --state odd": "--state: 'odd' is not one of 'in_step',",
    "polls list --jso": "there is no option --jso; did you mean --json?",
    "polls list --nothing": "there is no option --nothing; see `pillarbox polls list --help`",
    "records lst": "there is no command 'lst'. Did you mean 'list'?",
    "nonsense": "there is no command 'nonsense'; see `pillarbox --help`",
    "check --role": "--role needs a value; see --help",
    "records show a b": "got unexpected extra argument(s) (b); see `pillarbox records show --help`",
}


@pytest.mark.parametrize(("typed", "told"), WRONG.items(), ids=list(WRONG))
def test_a_wrong_use_is_one_sentence_with_the_cure(typed: str, told: str) -> None:
    ran = run(*typed.split())

    assert ran.code == 2
    assert ran.err.startswith(f"error: {told}")
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""


def test_a_noun_alone_shows_its_help_and_nothing_else() -> None:
    ran = run("records")

    assert ran.code == 2
    assert "explain" in ran.out
    assert ran.err == ""
