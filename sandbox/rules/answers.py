"""What a rule can answer."""

from dataclasses import dataclass

from sandbox.state import Changes


@dataclass(frozen=True, slots=True)
class Refused:
    """422: one entry per message, each an attribute and a sentence."""

    errors: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """422 without a list: records would contradict each other in a way no check foresees."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """400 for a value that makes the service's own comparison fail."""

    detail: str


@dataclass(frozen=True, slots=True)
class Done:
    """The changes to write, and the ref of the thing to show afterwards."""

    changes: Changes
    ref: str


Answer = Done | Refused | Conflict | Unreadable


def refused(title: str, detail: str) -> Refused:
    return Refused(((title, detail),))


def text_of(value: object) -> str:
    """A scalar of the body as the service's casts see it; null and blank are the same."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else ""
    return str(value).strip()
