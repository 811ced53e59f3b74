"""The events of the domain: one frozen model each, with encode and decode.

One idea: bad input never enters. Everything that can be known without asking the remote side is
checked when the event is made, and a refusal names the field and says what would be right.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
)

from schema.fingerprint import Json, utc_seconds

MAX_PAYLOAD_BYTES = 64 * 1024
"""How large one event's own fields may be, as JSON. An event says what changed; a document is
something else, and every byte here is kept, hashed and sent through the relay."""

MAX_DEPTH = 32
"""How deep a snapshot may be nested. Deeper ones would end in somebody's recursion limit."""

SPACING_ROOM = 4 * 1024
"""What the spaces may add that PostgreSQL writes into a document when it measures it."""

MAX_NAME_LENGTH = 200
"""Longest source id, event id, source, destination or actor, in characters."""

LARGEST_NUMBER = 2**63 - 1
"""The largest version or feed position that a column can hold."""

FIRST_YEAR = 1900
LAST_YEAR = 2199
"""Years beyond are slips of the keyboard, and at the ends of the calendar no zone can be applied."""

DEFAULT_SOURCE = "local"
DEFAULT_DESTINATION = "default"

DESK = "desk"
"""The source of what people say at the review desk. Who speaks there has both sides before him: what he
says is asked for over what is there, and counts as said, also where a whole record is given."""

NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The character no database keeps in text, as JSON writes it; a written-out backslash is none."""

CONTROL = {chr(code): f"\\x{code:02x}" for code in (*range(32), 127)}


class InvalidEvent(ValueError):
    """An event that may not enter: which field, what is wrong, what would be right."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty; give the local system's own reference")
    if len(text) > MAX_NAME_LENGTH:
        raise ValueError(f"is {len(text)} characters long; at most {MAX_NAME_LENGTH} are kept")
    for character in text:
        if character in CONTROL:
            raise ValueError(f"contains the control character {CONTROL[character]}; remove it")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("contains half of a character (a lone surrogate); write it whole")
    return text


def _written_instant(value: object) -> object:
    if isinstance(value, str | datetime):
        return value
    raise ValueError("must be an instant such as 2025-09-20T09:00:00Z")


def _shallow(state: dict[str, Any]) -> dict[str, Any]:
    if _depth(state) > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} deep; a record's state is flat")
    return state


def _depth(value: object) -> int:
    """Count levels of nesting, without calling itself: the depth is what is in question."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(cast(dict[str, object], one).values())
            elif isinstance(one, list | tuple):
                inner.extend(cast(list[object], one))
        level = inner
    return depth


def _zoned(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("has no time zone; write an instant such as 2025-09-20T09:00:00Z")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(
            f"is in the year {moment.year}; write one from {FIRST_YEAR} to {LAST_YEAR}"
        )
    return moment.astimezone(UTC)


Name = Annotated[str, AfterValidator(_name)]
Number = Annotated[StrictInt, Field(ge=0, le=LARGEST_NUMBER)]
Instant = Annotated[datetime, BeforeValidator(_written_instant), AfterValidator(_zoned)]

Course = Literal["ecf-induction", "ecf-mentor"]
DeferralReason = Literal[
    "bereavement", "long-term-sickness", "parental-leave", "career-break", "other"
]
WithdrawalReason = Literal[
    "left-teaching-profession",
    "moved-school",
    "mentor-no-longer-being-mentor",
    "switched-to-school-led",
    "changed-lead-provider",
    "other",
]
Schedule = Literal[
    "ecf-standard-january",
    "ecf-standard-april",
    "ecf-standard-september",
    "ecf-extended-january",
    "ecf-extended-april",
    "ecf-extended-september",
    "ecf-reduced-january",
    "ecf-reduced-april",
    "ecf-reduced-september",
    "ecf-replacement-january",
    "ecf-replacement-april",
    "ecf-replacement-september",
]
DeclarationType = Literal[
    "started",
    "retained-1",
    "retained-2",
    "retained-3",
    "retained-4",
    "completed",
    "extended-1",
    "extended-2",
    "extended-3",
]
Evidence = Literal[
    "training-event-attended",
    "self-study-material-completed",
    "materials-engaged-with-offline",
    "75-percent-engagement-met",
    "75-percent-engagement-met-reduced-induction",
    "one-term-induction",
    "other",
]
Cohort = Annotated[str, Field(pattern=r"^20\d\d$")]


class Event(BaseModel):
    """What every event carries. `source` and `event_id` together name it for its local system."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    event: str
    source_id: Name
    source: Name = DEFAULT_SOURCE
    event_id: Name | None = None
    version: Number | None = None
    happened_at: Instant | None = None
    seen: Number | None = None
    destination: Name = DEFAULT_DESTINATION
    actor: Name | None = None

    ENVELOPE: ClassVar[frozenset[str]] = frozenset(
        {
            "event",
            "source_id",
            "source",
            "event_id",
            "version",
            "happened_at",
            "seen",
            "destination",
            "actor",
        }
    )

    if not TYPE_CHECKING:  # type checkers see the fields as keyword arguments

        def __init__(self, /, **fields: Any) -> None:
            """Check the fields; raises `InvalidEvent`, which names the first one that is wrong."""
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise _refusal(error) from None

    def payload(self) -> dict[str, Json]:
        """Give the event's own fields as JSON values, without those left out."""
        return {
            name: _json_value(value)
            for name, value in self.__dict__.items()
            if value is not None and name not in self.ENVELOPE
        }


class EnrolmentEvent(Event):
    """An event about one person in one role. It may carry the link to the remote side itself."""

    participant_id: Name | None = None
    course_identifier: Course | None = None


class ParticipantLinked(EnrolmentEvent):
    """The local enrolment is this participant on this course."""

    event: Literal["participant_linked"] = "participant_linked"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    participant_id: Name = Field()  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    course_identifier: Course = Field()  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)


class ParticipantDeferred(EnrolmentEvent):
    """Training is paused."""

    event: Literal["participant_deferred"] = "participant_deferred"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    reason: DeferralReason


class ParticipantResumed(EnrolmentEvent):
    """Training goes on."""

    event: Literal["participant_resumed"] = "participant_resumed"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)


class ParticipantWithdrawn(EnrolmentEvent):
    """Training ends early."""

    event: Literal["participant_withdrawn"] = "participant_withdrawn"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    reason: WithdrawalReason


class ScheduleChanged(EnrolmentEvent):
    """Another schedule, and perhaps another cohort."""

    event: Literal["schedule_changed"] = "schedule_changed"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    schedule_identifier: Schedule
    cohort: Cohort | None = None


class MentorChanged(EnrolmentEvent):
    """Another mentor. Schools tell the API; here it is expected until a read confirms it."""

    event: Literal["mentor_changed"] = "mentor_changed"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    mentor_id: Name


class DeclarationMade(EnrolmentEvent):
    """A claim for payment. `declaration_date` is sent as UTC, in whole seconds."""

    event: Literal["declaration_made"] = "declaration_made"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    declaration_type: DeclarationType
    declaration_date: Instant
    evidence_held: Evidence | None = None


class DeclarationVoided(EnrolmentEvent):
    """The claim of this type is taken back."""

    event: Literal["declaration_voided"] = "declaration_voided"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    declaration_type: DeclarationType


class PartnershipFormed(Event):
    """A school, a delivery partner and a cohort."""

    event: Literal["partnership_formed"] = "partnership_formed"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    cohort: Cohort
    school_id: Name
    delivery_partner_id: Name


class PartnershipChanged(Event):
    """The delivery partner of a partnership was entered wrongly and is corrected."""

    event: Literal["partnership_changed"] = "partnership_changed"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    delivery_partner_id: Name


class RecordSnapshot(Event):
    """The whole local state of a record, from a system that cannot say what changed."""

    event: Literal["record_snapshot"] = "record_snapshot"  # pyright: ignore[reportIncompatibleVariableOverride]  (frozen)
    kind: Name
    state: Annotated[dict[str, Any], AfterValidator(_shallow)]


EVENTS: Mapping[str, type[Event]] = {
    model.model_fields["event"].default: model
    for model in (
        ParticipantLinked,
        ParticipantDeferred,
        ParticipantResumed,
        ParticipantWithdrawn,
        ScheduleChanged,
        MentorChanged,
        DeclarationMade,
        DeclarationVoided,
        PartnershipFormed,
        PartnershipChanged,
        RecordSnapshot,
    )
}
"""Every event by its name on the wire."""


LONGEST_NAME_SHOWN = 100
"""Characters of a field's name that a refusal repeats."""


def parse(line: str | bytes) -> Event:
    """Read one event from a line of JSON; raises `InvalidEvent`."""
    try:
        fields = json.loads(line, parse_constant=_no_number, object_pairs_hook=_named_once)
    except InvalidEvent:
        raise
    except (ValueError, RecursionError):
        raise InvalidEvent("line", "is not JSON; write one JSON object a line") from None
    return decode(fields)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; a field named twice is refused, for nobody can say which one was meant."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidEvent(twice[:LONGEST_NAME_SHOWN], "is there twice; give it once")
    return made


def decode(fields: object) -> Event:
    """Make the event that a JSON object describes; raises `InvalidEvent`."""
    if not isinstance(fields, dict):
        raise InvalidEvent("line", 'is not a JSON object such as {"event": …, "source_id": …}')
    named = cast(dict[str, Any], fields)
    name = str(named.get("event", ""))
    model = EVENTS.get(name)
    if model is None:
        near = get_close_matches(name, EVENTS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidEvent("event", f"must be one of {', '.join(EVENTS)}{hint}")
    return model(**named)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode_payload(event: Event) -> str:
    """Write the event's own fields as JSON; raises `InvalidEvent` when they are too large."""
    try:
        text = _ENCODER.encode(event.payload())
        size = len(text.encode())
    except (ValueError, TypeError, RecursionError):
        raise InvalidEvent(
            "payload", "cannot be written as JSON; use text, numbers, lists"
        ) from None
    if size > MAX_PAYLOAD_BYTES:
        raise InvalidEvent(
            "payload", f"is {size} bytes long; at most {MAX_PAYLOAD_BYTES} may go in"
        )
    if size + text.count(",") + text.count(":") > MAX_PAYLOAD_BYTES + SPACING_ROOM:
        raise InvalidEvent("payload", "has too many small parts to be kept; send less at once")
    if "u0000" in text and NUL.search(
        text
    ):  # hardly ever: the pattern takes as long as the writing
        raise InvalidEvent("payload", "contains the control character \\x00; remove it")
    return text


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _json_value(value: object) -> Json:
    if isinstance(value, datetime):
        return utc_seconds(value)
    return cast(Json, value)


def _refusal(error: ValidationError) -> InvalidEvent:
    first = error.errors(include_url=False, include_context=True)[0]
    field = ".".join(str(part) for part in first["loc"]) or "event"
    return InvalidEvent(field, _in_words(first["type"], first["msg"], first.get("ctx", {})))


def _in_words(kind: str, message: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "missing":
            return "is missing; this event needs it"
        case "extra_forbidden":
            return "is not a field of this event; remove it or correct its name"
        case "literal_error":
            return f"must be one of {context['expected'].replace(' or ', ', ')}"
        case "string_pattern_mismatch":
            return "must be a year such as 2025"
        case "datetime_from_date_parsing" | "datetime_parsing" | "datetime_type":
            return "must be an instant with a zone, such as 2025-09-20T09:00:00Z"
        case "string_type":
            return "must be text, in quotation marks"
        case "dict_type":
            return "must be a JSON object"
        case "int_type":
            return "must be a whole number"
        case "greater_than_equal":
            return f"must be {context['ge']} or more"
        case "less_than_equal":
            return f"must be {context['le']} or less"
        case "value_error":
            return str(context["error"])
        case _:
            return message[:1].lower() + message[1:]
