"""The form of an event, made from its model: which fields there are, and what may stand in them.

One idea: what may be chosen is what the event's own check takes, so that a person cannot choose what
would be turned away; what he types is checked by that same model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from outbox.entries import Entry
from schema.events import EVENTS, Event, RecordSnapshot
from schema.record import Problem

FIXED = frozenset({"declaration_type", "kind", "state"})
"""What says which record is meant, and so cannot be corrected; a state is shown field by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field of an event's form. `choices` are all it may be, where that is a closed list."""

    name: str
    label: str
    value: str
    choices: tuple[str, ...] = ()
    needed: bool = False
    hint: str = ""
    fault: str = ""
    """What the API, or the check here, said of it."""

    @property
    def options(self) -> list[tuple[str, str]]:
        """Give what may be chosen, as value and text; nothing at all where it is not needed."""
        nothing = [] if self.needed else [("", "(none)")]
        return [*nothing, *((one, one) for one in self.choices)]


def fields_of(entry: Entry) -> list[FormField]:
    """Give the fields of an entry's event, filled with what it says."""
    model = EVENTS[entry.event]
    if issubclass(model, RecordSnapshot):
        state: Mapping[str, Any] = entry.payload.get("state") or {}
        return [_typed(f"state.{name}", value) for name, value in sorted(state.items())]
    return [
        _field(name, told, entry.payload.get(name))
        for name, told in model.model_fields.items()
        if name not in Event.ENVELOPE and name not in FIXED
    ]


def at_fault_first(fields: Sequence[FormField], problem: Problem | None) -> list[FormField]:
    """Put the field that a refusal is about in front of the others, with what was said of it."""
    if problem is None or problem.field is None:
        return list(fields)
    said = problem.detail.removeprefix(f"{problem.field}: ")
    blamed = [one for one in fields if one.name.removeprefix("state.") == problem.field]
    others = [one for one in fields if one not in blamed]
    return [*(replace(one, fault=said) for one in blamed), *others]


def as_json(entry: Entry) -> dict[str, Any]:
    """Give an event and its form as JSON."""
    return {
        "entry": entry.id,
        "event": entry.event,
        "payload": dict(entry.payload),
        "source": entry.source,
        "emitted_at": entry.emitted_at,
        "fields": [asdict(one) for one in fields_of(entry)],
    }


def changes_in(entry: Entry, typed: Mapping[str, str]) -> dict[str, Any]:
    """Give what a filled form changes: an emptied field is taken out, one left out stays."""
    found: dict[str, Any] = {}
    for one in fields_of(entry):
        value = typed.get(one.name)
        if value is not None and value.strip() != one.value:
            found[one.name] = value.strip() or None
    return found


def _field(name: str, told: FieldInfo, value: object) -> FormField:
    choices = _choices(told.annotation)
    return FormField(
        name=name,
        label=name.replace("_", " ").capitalize(),
        value="" if value is None else str(value),
        choices=choices,
        needed=told.is_required(),
        hint=_hint(told),
    )


def _typed(name: str, value: object) -> FormField:
    label = name.partition(".")[2].replace("_", " ").capitalize()
    return FormField(name=name, label=label, value="" if value is None else str(value))


def _choices(annotation: Any) -> tuple[str, ...]:
    origin = get_origin(annotation)
    if origin is Literal:
        return tuple(str(one) for one in get_args(annotation))
    if origin in (Union, UnionType, Annotated):
        return tuple(one for part in get_args(annotation) for one in _choices(part))
    return ()


def _hint(told: FieldInfo) -> str:
    parts = get_args(told.annotation) or (told.annotation,)
    if datetime in (told.annotation, *parts):
        return "Date and time in UTC, such as 2025-09-20T09:00:00Z"
    return ""
