"""A remote side in a few lines: enrolments and declarations in two dictionaries, and a script.

What the script says comes instead of the answer; a write is carried out first only where the
script says so.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from schema.contract import ABSENT
from schema.fingerprint import Json
from schema.keys import RemoteId
from schema.outcomes import Came, Delivered, InDoubt, Outcome, Refusal
from schema.plans import Call
from schema.record import Record
from tests.support.builders import PERSON, an_enrolment

STATUS = {"defer": "deferred", "withdraw": "withdrawn", "resume": "active"}


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """What comes of one call: whether it was carried out, and what the caller hears of it."""

    outcome: Outcome
    executed: bool = False
    meanwhile: Callable[[], None] = field(default=lambda: None)
    """Something that happens while the call is under way."""


def lost(*, executed: bool) -> Scripted:
    """The answer never comes."""
    return Scripted(outcome=InDoubt(detail="no answer", answered=False), executed=executed)


def a_refusal(title: str = "reason", detail: str = "is not right") -> tuple[Refusal, ...]:
    """One complaint of the API."""
    return (Refusal(title=title, detail=detail),)


class FakeApi:
    """Answers calls from what it holds; every call is kept, in order of arrival."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Json]] = {PERSON: an_enrolment()}
        self.declarations: dict[str, dict[str, Json]] = {}
        self.merged: dict[str, str] = {}
        self.script: deque[Scripted] = deque()
        self.calls: list[Call] = []
        self.server_date: datetime | None = None
        self._lock = threading.Lock()

    def then(self, *answers: Outcome | Scripted) -> None:
        """Put answers in line for the next calls."""
        self.script.extend(
            one if isinstance(one, Scripted) else Scripted(outcome=one) for one in answers
        )

    @property
    def operations(self) -> list[str]:
        """The calls by name."""
        return [call.operation for call in self.calls]

    @property
    def writes(self) -> list[str]:
        """The calls that change something, by name."""
        return [call.operation for call in self.calls if call.request.writes]

    def __call__(self, call: Call, record: Record, kin: Sequence[Record], send_by: float) -> Came:
        """Answer a call."""
        with self._lock:
            self.calls.append(call)
            scripted = self.script.popleft() if self.script else None
        if scripted is None:
            return Came(outcome=self.carry_out(call), status=200, server_date=self.server_date)
        scripted.meanwhile()
        if scripted.executed:
            self.carry_out(call)
        return Came(outcome=scripted.outcome, server_date=self.server_date)

    def carry_out(self, call: Call) -> Delivered:
        """Do what a call asks, and say what is there then."""
        parts = call.request.path.split("/")
        if call.operation == "find_merged":
            survivor = self.merged.get(dict(call.request.query)["filter[from_participant_id]"])
            there = None if survivor is None else self.people.get(survivor)
            return _delivered(survivor or "", there) if there else Delivered(accepted=None)
        if parts[1] == "participants":
            return self._participant(call, parts[2])
        if call.request.method == "POST":
            return self._declare(_attributes(call))
        if call.operation == "find_declaration":
            return self._find(dict(call.request.query)["filter[participant_id]"])
        if call.operation == "void":
            self.declarations[parts[2]]["state"] = "voided"
        return _delivered(parts[2], self.declarations.get(parts[2]))

    def _participant(self, call: Call, person: str) -> Delivered:
        there = self.people.get(person)
        if there is not None and call.request.writes:
            asked = _attributes(call)
            if call.operation == "change_schedule":
                there["schedule_identifier"] = asked["schedule_identifier"]
                there["cohort"] = asked["cohort"]
            else:
                there["training_status"] = STATUS[call.operation]
                there["status_reason"] = asked.get("reason")
        return _delivered(person, there)

    def _declare(self, asked: Mapping[str, Json]) -> Delivered:
        remote_id = f"d-{len(self.declarations) + 1}"
        kept = ("participant_id", "declaration_type", "declaration_date", "evidence_held")
        self.declarations[remote_id] = {name: asked.get(name) for name in kept} | {
            "state": "submitted"
        }
        return _delivered(remote_id, self.declarations[remote_id])

    def _find(self, person: str) -> Delivered:
        for remote_id, one in self.declarations.items():
            if one["participant_id"] == person and one["state"] == "submitted":
                return _delivered(remote_id, one)
        return Delivered(accepted=ABSENT)


def _delivered(remote_id: str, there: Mapping[str, Json] | None) -> Delivered:
    if there is None:
        return Delivered(accepted=ABSENT)
    return Delivered(accepted=dict(there), remote_id=RemoteId(remote_id))


def _attributes(call: Call) -> Mapping[str, Json]:
    body = cast(Mapping[str, Any], call.request.body)
    return cast(Mapping[str, Json], body["data"]["attributes"])
