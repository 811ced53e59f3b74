"""What a local event asks of the records of the Lead Provider API.

One idea: an event is taken apart into links, fields, moves and expectations here, and from then on
nobody needs to know which event it was.
"""

import re
from collections.abc import Mapping, Sequence

from gateway.contracts.lead_provider.terms import (
    ACTIVE,
    COURSES,
    DEFERRAL_REASONS,
    DEFERRED,
    SCHEDULES,
    STATUSES,
    SUBMITTED,
    VOIDED,
    WITHDRAWAL_REASONS,
    WITHDRAWN,
    plain_id,
)
from schema.asks import Ask, Asks, Expect, Link, MoveTo, SetField
from schema.events import (
    DeclarationMade,
    DeclarationVoided,
    EnrolmentEvent,
    Event,
    InvalidEvent,
    MentorChanged,
    ParticipantDeferred,
    ParticipantResumed,
    ParticipantWithdrawn,
    PartnershipChanged,
    PartnershipFormed,
    RecordSnapshot,
    ScheduleChanged,
)
from schema.fingerprint import utc_seconds
from schema.keys import RemoteId


def asks(event: Event) -> Asks:
    """Say what an event asks for; raises `InvalidEvent` when this API has no such thing."""
    match event:
        case DeclarationMade() | DeclarationVoided():
            return _of_declaration(event)
        case EnrolmentEvent():
            return Asks(kind="enrolment", asks=(*_link(event), *_of_enrolment(event)))
        case PartnershipFormed() | PartnershipChanged():
            return Asks(kind="partnership", asks=_of_partnership(event))
        case RecordSnapshot():
            return _of_snapshot(event)
        case _:
            raise InvalidEvent("event", f"{event.event} means nothing to this destination")


def _link(event: EnrolmentEvent) -> tuple[Ask, ...]:
    """Both halves make a link; one alone does not say which enrolment is meant."""
    if event.participant_id is None or event.course_identifier is None:
        return ()
    return (_linked(event.participant_id, event.course_identifier),)


def _linked(participant_id: str, course: str) -> Link:
    return Link(remote_id=RemoteId(plain_id(participant_id)), role=course)


def _of_enrolment(event: EnrolmentEvent) -> tuple[Ask, ...]:
    match event:
        case ParticipantDeferred():
            return (MoveTo(status=DEFERRED, reason=event.reason),)
        case ParticipantResumed():
            return (MoveTo(status=ACTIVE, reason=None),)
        case ParticipantWithdrawn():
            return (MoveTo(status=WITHDRAWN, reason=event.reason),)
        case ScheduleChanged():
            schedule = SetField(name="schedule_identifier", value=event.schedule_identifier)
            if event.cohort is None:
                return (schedule,)
            return (schedule, SetField(name="cohort", value=event.cohort))
        case MentorChanged():
            return (Expect(name="mentor_id", value=plain_id(event.mentor_id)),)
        case _:
            return ()


def _of_declaration(event: DeclarationMade | DeclarationVoided) -> Asks:
    made = isinstance(event, DeclarationMade)
    return Asks(
        kind="declaration",
        part=event.declaration_type,
        asks=_claim(event) if made else (SetField(name="state", value=VOIDED),),
        of_parent=_link(event),
        opens_round=made,
        ends_round=not made,
        at_once=True,
    )


def _claim(event: DeclarationMade) -> tuple[Ask, ...]:
    """A claim is stated whole: evidence left out takes back what an earlier statement gave."""
    return (
        SetField(name="state", value=SUBMITTED),
        SetField(name="declaration_date", value=utc_seconds(event.declaration_date)),
        SetField(name="evidence_held", value=event.evidence_held),
    )


def _of_partnership(event: PartnershipFormed | PartnershipChanged) -> tuple[Ask, ...]:
    partner = SetField(name="delivery_partner_id", value=plain_id(event.delivery_partner_id))
    if isinstance(event, PartnershipChanged):
        return (partner,)
    return (
        SetField(name="cohort", value=event.cohort),
        SetField(name="school_id", value=plain_id(event.school_id)),
        partner,
    )


# Snapshots. A key whose value is null is as good as left out.

_CHOICES: Mapping[str, Sequence[str]] = {
    "training_status": STATUSES,
    "reason": tuple(dict.fromkeys((*DEFERRAL_REASONS, *WITHDRAWAL_REASONS))),
    "schedule_identifier": SCHEDULES,
    "course_identifier": COURSES,
}
_REASONS: Mapping[str, Sequence[str]] = {
    ACTIVE: (),
    DEFERRED: DEFERRAL_REASONS,
    WITHDRAWN: WITHDRAWAL_REASONS,
}
_SNAPSHOT = (*_CHOICES, "cohort", "mentor_id", "participant_id")
_YEAR = re.compile(r"20\d\d")


def _of_snapshot(event: RecordSnapshot) -> Asks:
    if event.kind != "enrolment":
        raise InvalidEvent("kind", "must be enrolment; that is what this destination keeps in step")
    state = _checked(event.state)
    return Asks(
        kind="enrolment",
        asks=(*_link_of(state), *_fields_of(state), *_move_of(state), *_expected_of(state)),
        snapshot=True,
    )


def _checked(state: Mapping[str, object]) -> Mapping[str, str]:
    return {name: _value(name, value) for name, value in state.items() if value is not None}


def _value(name: str, value: object) -> str:
    field = f"state.{name}"
    if name not in _SNAPSHOT:
        raise InvalidEvent(field, f"is not known here; it may be one of {', '.join(_SNAPSHOT)}")
    if not isinstance(value, str):
        raise InvalidEvent(field, "must be text, in quotation marks")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise InvalidEvent(field, f"must be one of {', '.join(_CHOICES[name])}")
    if name == "cohort" and not _YEAR.fullmatch(value):
        raise InvalidEvent(field, "must be a year such as 2025")
    if not value.strip():
        raise InvalidEvent(field, "must not be empty; leave it out instead")
    return value


def _link_of(state: Mapping[str, str]) -> tuple[Ask, ...]:
    if "participant_id" not in state or "course_identifier" not in state:
        return ()
    return (_linked(state["participant_id"], state["course_identifier"]),)


def _fields_of(state: Mapping[str, str]) -> tuple[Ask, ...]:
    named = ("schedule_identifier", "cohort")
    return tuple(SetField(name=name, value=state[name]) for name in named if name in state)


def _move_of(state: Mapping[str, str]) -> tuple[Ask, ...]:
    status, reason = state.get("training_status"), state.get("reason")
    if status is None and reason is not None:
        raise InvalidEvent("state.reason", "belongs to a training_status; give that too")
    if status is None:
        return ()
    if reason is not None and reason not in _REASONS[status]:
        raise InvalidEvent("state.reason", _wrong_reason(status))
    return (MoveTo(status=status, reason=reason, explicit=False),)


def _wrong_reason(status: str) -> str:
    if status == ACTIVE:
        return "has no meaning for an active participant; leave it out"
    return f"must be one of {', '.join(_REASONS[status])} for {status}"


def _expected_of(state: Mapping[str, str]) -> tuple[Ask, ...]:
    if "mentor_id" not in state:
        return ()
    return (Expect(name="mentor_id", value=plain_id(state["mentor_id"])),)
