"""Hides names, TRN and e-mail addresses from who may not see them.

One idea: what is hidden keeps enough of its shape to tell two people apart on one screen, and no
more: a viewer works with records, not with persons.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

MASK = "•••"


def masked(value: object, *, shown: bool) -> str:
    """Give a personal value as it may be shown: whole, or its first letter and dots.

    *shown* is `visit.who.sees(record key, visit.now)`. Of an e-mail address the host stays, of a
    number the last two digits.
    """
    text = "" if value is None else str(value).strip()
    if shown or not text:
        return text
    if "@" in text:
        return f"{text[0]}{MASK}@{text.rpartition('@')[2]}"
    if text.replace(" ", "").isdecimal():
        return f"{MASK}{text[-2:]}"
    return " ".join(f"{word[0]}{MASK}" for word in text.split())


PERSONAL = frozenset(
    {"full_name", "name", "teacher_reference_number", "trn", "email", "first_name", "last_name"}
)
"""The fields, wherever they are, whose values are about a person and not about a record."""


def hidden(value: Any) -> Any:
    """Give a document with everything personal in it masked, texts that are JSON looked into."""
    match value:
        case Mapping():
            told = cast(Mapping[str, Any], value)
            return {name: _hidden(name, one, told) for name, one in told.items()}
        case list() | tuple():
            return [hidden(one) for one in cast(Sequence[Any], value)]
        case str() if value[:1] in "{[":
            return _text(value)
        case _:
            return value


def _hidden(name: str, value: Any, around: Mapping[str, Any]) -> Any:
    of_a_person = name in PERSONAL or (
        name in ("here", "there", "base", "value") and str(around.get("field")) in PERSONAL
    )
    if of_a_person and isinstance(value, str | int):
        return masked(value, shown=False)
    return hidden(value)


def _text(text: str) -> str:
    try:
        return json.dumps(hidden(json.loads(text)), ensure_ascii=False, indent=2)
    except ValueError:
        return text
