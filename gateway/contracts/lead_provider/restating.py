"""Which event asks for a value of ours anew, after a full sync found another one there.

One idea: sending ours is an event like any other, so it is validated, folded and sent by the same
rules; there is no second way past them.
"""

from gateway.contracts.lead_provider.terms import (
    ACTIVE,
    DEFERRED,
    VOIDED,
    WITHDRAWN,
    as_text,
)
from schema.events import (
    DeclarationVoided,
    Event,
    InvalidEvent,
    ParticipantDeferred,
    ParticipantResumed,
    ParticipantWithdrawn,
    PartnershipChanged,
    ScheduleChanged,
)
from schema.fingerprint import Json
from schema.record import Record


def restate(record: Record, field: str, value: Json, reason: str | None) -> Event:
    """Give the event that asks for *value*; raises `InvalidEvent`."""
    source_id = record.key.source_id
    match record.key.kind, field:
        case "enrolment", "schedule_identifier" | "cohort":
            wanted = {**(record.accepted or {}), field: value}
            told = {
                "schedule_identifier": as_text(wanted.get("schedule_identifier")),
                "cohort": as_text(wanted.get("cohort")),
            }
            return ScheduleChanged.model_validate({"source_id": source_id, **told})
        case "enrolment", "training_status":
            return _status(source_id, as_text(value), reason)
        case "partnership", "delivery_partner_id":
            return PartnershipChanged.model_validate(
                {"source_id": source_id, "delivery_partner_id": value}
            )
        case "declaration", "state" if value == VOIDED:
            return DeclarationVoided.model_validate(
                {"source_id": source_id, "declaration_type": record.key.part}
            )
        case _:
            raise InvalidEvent(field, "cannot be sent again; emit an event that asks for it")


def _status(source_id: str, status: str | None, reason: str | None) -> Event:
    if status == ACTIVE:
        return ParticipantResumed(source_id=source_id)
    if reason is None:
        raise InvalidEvent("reason", f"is needed to make a participant {status}; give --reason")
    told = {"source_id": source_id, "reason": reason}
    if status == DEFERRED:
        return ParticipantDeferred.model_validate(told)
    if status == WITHDRAWN:
        return ParticipantWithdrawn.model_validate(told)
    raise InvalidEvent("training_status", f"{status} is nothing that can be asked for")
