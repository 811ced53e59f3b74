"""Reading JSON that a person wrote: every key by its kind, and every problem named.

A `Fields` is one object being read. It hands out its keys one by one; whatever nobody asked for
is an unknown key. Problems are gathered, not raised, so that a caller sees all of them at once;
what is handed out in place of an unusable value is only there to let the reading go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import cast

from sandbox.times import parse_day, parse_instant

MOST_PROBLEMS = 100
"""Problems told at once. A generated world that is wrong is wrong in every row."""

NO_DAY = date(2000, 1, 1)
NO_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Problem:
    where: str
    problem: str


class BadInput(Exception):
    """What was given cannot be used; carries everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.where}: {p.problem}" for p in problems[:5]))
        self.problems = tuple(problems)


class Problems:
    """The problems found so far."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, where: str, problem: str) -> None:
        self.found.append(Problem(where, problem))
        if len(self.found) >= MOST_PROBLEMS:
            raise BadInput(self.found)

    def raise_any(self) -> None:
        if self.found:
            raise BadInput(self.found)


def as_object(value: object) -> dict[str, object] | None:
    """The value as a JSON object, or None."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """The value as a JSON list, or None."""
    return cast("list[object]", value) if isinstance(value, list) else None


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Fields:
    """One object being read, and where it stands."""

    __slots__ = ("_left", "problems", "where")

    def __init__(self, raw: object, where: str, problems: Problems) -> None:
        self.where = where
        self.problems = problems
        found = as_object(raw)
        if found is None:
            problems.add(where, "must be an object")
            found = {}
        self._left = dict(found)
        self._left.pop("note", None)

    def has(self, key: str) -> bool:
        """Whether the key was given (and not yet taken)."""
        return key in self._left

    def names(self) -> list[str]:
        return list(self._left)

    def rest(self) -> dict[str, object]:
        """What has not been taken yet."""
        return dict(self._left)

    def take_rest(self) -> dict[str, object]:
        rest, self._left = self._left, {}
        return rest

    def peek(self, key: str) -> object:
        return self._left.get(key)

    def is_null(self, key: str) -> bool:
        return key in self._left and self._left[key] is None

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def complain(self, key: str, problem: str) -> None:
        self.problems.add(self.at(key), problem)

    def take(self, key: str, default: object = None) -> object:
        return self._left.pop(key, default)

    def required(self, key: str) -> object:
        if key not in self._left:
            self.complain(key, "missing key")
        return self._left.pop(key, None)

    def done(self) -> None:
        """Name every key that nobody asked for."""
        for key in self._left:
            self.complain(key, "unknown key")

    # By kind. `x` is required, `x_or` has a default, `maybe_x` may be null.

    def text(self, key: str) -> str:
        return self._text(key, self.required(key)) if key in self._left else self._absent(key)

    def _absent(self, key: str) -> str:
        self.required(key)
        return ""

    def text_or(self, key: str, default: str) -> str:
        return self._text(key, self._left.pop(key)) if key in self._left else default

    def maybe_text(self, key: str, default: str | None = None) -> str | None:
        value = self._left.pop(key, default)
        return None if value is None else self._text(key, value)

    def _text(self, key: str, value: object) -> str:
        if isinstance(value, str) and _is_clean(value):
            return value
        self.complain(key, "must be a string")
        return ""

    def flag_or(self, key: str, default: bool) -> bool:
        value = self._left.pop(key, default)
        if isinstance(value, bool):
            return value
        self.complain(key, "must be true or false")
        return default

    def whole(self, key: str) -> int:
        if key not in self._left:
            self.required(key)
            return 0
        return self._whole(key, self._left.pop(key))

    def whole_or(self, key: str, default: int) -> int:
        return self._whole(key, self._left.pop(key)) if key in self._left else default

    def _whole(self, key: str, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self.complain(key, "must be a whole number")
        return 0

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        return self._choice(key, self.text(key), allowed) if self.has(key) else self._absent(key)

    def choice_or(self, key: str, allowed: Sequence[str], default: str) -> str:
        return self._choice(key, self.text_or(key, default), allowed)

    def maybe_choice(
        self, key: str, allowed: Sequence[str], default: str | None = None
    ) -> str | None:
        value = self.maybe_text(key, default)
        return None if value is None else self._choice(key, value, allowed)

    def _choice(self, key: str, value: str, allowed: Sequence[str]) -> str:
        if value not in allowed:
            self.complain(key, f"must be one of {', '.join(allowed)}")
        return value

    def day(self, key: str) -> date:
        if key not in self._left:
            self.required(key)
            return NO_DAY
        return self._day(key, self._left.pop(key))

    def day_or(self, key: str, default: date) -> date:
        return self._day(key, self._left.pop(key)) if key in self._left else default

    def maybe_day(self, key: str, default: date | None = None) -> date | None:
        value = self._left.pop(key, None)
        return default if value is None else self._day(key, value)

    def _day(self, key: str, value: object) -> date:
        day = parse_day(value) if isinstance(value, str) else None
        if day is None:
            self.complain(key, "must be a date like 2025-09-01")
        return day or NO_DAY

    def instant(self, key: str) -> datetime:
        if key not in self._left:
            self.required(key)
            return NO_INSTANT
        return self._instant(key, self._left.pop(key))

    def instant_or(self, key: str, default: datetime) -> datetime:
        return self._instant(key, self._left.pop(key)) if key in self._left else default

    def maybe_instant(self, key: str) -> datetime | None:
        value = self._left.pop(key, None)
        return None if value is None else self._instant(key, value)

    def _instant(self, key: str, value: object) -> datetime:
        at = parse_instant(value) if isinstance(value, str) else None
        if at is None:
            self.complain(key, "must be an instant like 2025-09-01T09:00:00Z")
        return at or NO_INSTANT

    def inner(self, key: str) -> "Fields":
        """The object under a key."""
        return Fields(self._left.pop(key, None), self.at(key), self.problems)

    def maybe_inner(self, key: str) -> "Fields | None":
        """The object under a key, unless it is absent or null."""
        value = self._left.pop(key, None)
        return None if value is None else Fields(value, self.at(key), self.problems)

    def inners(self, key: str) -> "list[Fields]":
        """The objects of the list under a key."""
        return [
            Fields(value, f"{self.at(key)}.{number}", self.problems)
            for number, value in enumerate(self.items(key))
        ]

    def items(self, key: str) -> list[object]:
        """The list under a key; empty if the key is absent."""
        if key not in self._left:
            return []
        found = as_list(self._left.pop(key))
        if found is None:
            self.complain(key, "must be a list")
        return found or []


def _is_clean(text: str) -> bool:
    """Whether a text can be sent as UTF-8: JSON can smuggle in half a character."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
