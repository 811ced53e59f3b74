"""What a contract may answer to "what next, from accepted to wanted?"."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from schema.fingerprint import Json, fingerprint
from schema.keys import RecordKey
from schema.states import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, without the base URL and the key. `path` starts with a slash."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Json] | None = None

    @property
    def writes(self) -> bool:
        """Whether it may change something there."""
        return self.method != "GET"

    def as_json(self) -> dict[str, Json]:
        """Give it as JSON, for the attempt's row and for people."""
        shown: dict[str, Json] = {"method": self.method, "path": self.path}
        if self.query:
            shown["query"] = [list(pair) for pair in self.query]
        if self.body is not None:
            shown["body"] = self.body
        return shown

    def fingerprint(self) -> str:
        """Hash it: two requests with the same meaning are the same request."""
        return fingerprint(self.as_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class InStep:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Make this call next.

    `fields` are the pending fields it carries and `move` tells that it carries the first move of
    the path: what a success settles.
    """

    operation: str
    request: Request
    fields: Mapping[str, Json] = field(default_factory=dict[str, Json])
    move: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor:
    """Not before something else: another record, or an event nobody has sent yet."""

    whom: str
    key: RecordKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Not before this time."""

    until: datetime
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Not without a person or a newer event. `field` is the one at fault, where there is one."""

    reason: Reason
    detail: str
    field: str | None = None


Plan: TypeAlias = InStep | Call | WaitFor | Snooze | Hold
