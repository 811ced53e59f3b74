"""A command that was typed wrongly, told in one sentence with the cure.

One idea: what is missing or wrong is named, and the command's own example shows how it is right; so each
command says once, in its help, how it is used.
"""

import re
from typing import Any

import typer

EXAMPLE = re.compile(r"^Example: (pillarbox .+)$", re.MULTILINE)
"""How a command's help shows its use: a line of its own."""

INPUT = "Input should be "
"""How a value that does not fit is said to be wrong by what reads it."""

PLAINLY = {
    "a valid integer, unable to parse string as an integer": "a whole number",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}


def example(help_text: str | None) -> str | None:
    """Give the example in a command's help."""
    found = EXAMPLE.search(help_text or "")
    return None if found is None else found[1].strip()


def sentence(error: typer.TyperException) -> str | None:
    """Say what is wrong with what was typed, and the cure; None where the help was shown instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return None
    if isinstance(error, typer.BadParameter) and error.param is not None:
        return f"{_of_parameter(error, error.param)}; {_cure(error)}"
    name = getattr(error, "option_name", None)
    if name is not None:
        fault = f"there is no option {name}" if _is_unknown(error) else f"{name} needs a value"
        return f"{fault}; {_cure(error)}"
    told = _lowered(error.message).replace("no such", "there is no")
    return told if told.endswith("?") else f"{told}; {_cure(error)}"


def _is_unknown(error: typer.TyperException) -> bool:
    return hasattr(error, "possibilities")


def _of_parameter(error: typer.BadParameter, parameter: Any) -> str:
    name = parameter.get_error_hint().replace("'", "")
    if hasattr(error, "param_type"):
        return f"{name} is missing{_meaning(parameter)}"
    told = error.message.removeprefix("Value error, ")
    if not told.startswith(INPUT):
        return f"{name}: {told.rstrip('.')}"
    told = told.removeprefix(INPUT)
    for learned, plain in PLAINLY.items():
        told = told.replace(learned, plain)
    return f"{name} must be {told}"


def _meaning(parameter: Any) -> str:
    told = getattr(parameter, "help", None)
    return f" ({_lowered(told)})" if told else ""


def _cure(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    possible = getattr(error, "possibilities", None)
    if possible:
        return f"did you mean {' or '.join(sorted(possible))}?"
    if context is None:
        return "see --help"
    shown = example(context.command.help)
    if isinstance(error, typer.BadParameter) and shown is not None:
        return f"for example `{shown}`"
    return f"see `{context.command_path} --help`"


def _lowered(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")
