"""Hides names, TRN and e-mail addresses from who may not see them.

One idea: what is hidden keeps enough of its shape to tell two people apart on one screen, and no
more: a viewer works with records, not with persons. Fields are hidden by their names; what stands in
free sentences is for `console.veil`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

MASK = "•••"


def masked(value: object, *, shown: bool) -> str:
    """Give a personal value as it may be shown: whole, or its first letter and dots.

    *shown* is `visit.who.sees(record key, visit.now)`. Of an e-mail address the host stays, of a
    number the last two digits.
    """
    text = "" if value is None else str(value).strip()
    if shown or not text or MASK in text:  # masked already, by whoever knew the record
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
    return _all_masked(value) if _is_personal(name, around) else hidden(value)


def _is_personal(name: str, around: Mapping[str, Any]) -> bool:
    return name in PERSONAL or (
        name in ("here", "there", "base", "value", "ours", "theirs", "sides")
        and str(around.get("field")) in PERSONAL
    )


def _all_masked(value: Any) -> Any:
    match value:
        case Mapping():
            told = cast(Mapping[str, Any], value)
            return {name: _all_masked(one) for name, one in told.items()}
        case list() | tuple():
            return [_all_masked(one) for one in cast(Sequence[Any], value)]
        case str() | int() if not isinstance(value, bool):
            return masked(value, shown=False)
        case _:
            return value


def _text(text: str) -> str:
    try:
        return json.dumps(hidden(json.loads(text)), ensure_ascii=False, indent=2)
    except ValueError:
        return text


def personal_in(value: Any) -> Iterator[str]:
    """Give every personal value of a document, texts that are JSON looked into."""
    match value:
        case Mapping():
            told = cast(Mapping[str, Any], value)
            for name, one in told.items():
                yield from _leaves(one) if _is_personal(name, told) else personal_in(one)
        case list() | tuple():
            for one in cast(Sequence[Any], value):
                yield from personal_in(one)
        case str() if value[:1] in "{[":
            try:
                yield from personal_in(json.loads(value))
            except ValueError:
                return
        case _:
            return


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case Mapping():
            yield from _leaves(list(cast(Mapping[str, Any], value).values()))
        case list() | tuple():
            for one in cast(Sequence[Any], value):
                yield from _leaves(one)
        case str() | int() if not isinstance(value, bool):
            yield str(value).strip()
        case _:
            return
