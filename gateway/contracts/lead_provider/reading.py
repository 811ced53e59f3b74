"""The API's answers: the models of what it says, and how one becomes a record's accepted state.

One idea: strict about the few attributes we act on, deaf to all others. What is not as described
raises `Unreadable`, which names the place and never its content.

Names, e-mail addresses and teacher numbers are not read: nothing here is decided by them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gateway.contracts.lead_provider import terms
from gateway.contracts.lead_provider.terms import LIVE, PAGE_SIZE, as_text, plain_id
from schema.contract import ABSENT, Operation, Unreadable
from schema.fingerprint import Json, utc_seconds
from schema.keys import RecordKey, RemoteId
from schema.outcomes import Delivered
from schema.record import Record


class Answered(BaseModel):
    """Any object of the API: attributes we do not name are none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


Id = Annotated[str, Field(min_length=1), AfterValidator(plain_id)]
Text = Annotated[str, Field(min_length=1)]


class StatusChange(Answered):
    """Why and when training was paused or ended."""

    reason: str | None = None
    date: AwareDatetime | None = None


class Enrolment(Answered):
    """One person in one role."""

    participant_type: Literal["ect", "mentor"]
    training_status: Literal["active", "deferred", "withdrawn"]
    schedule_identifier: Text
    cohort: Text
    mentor_id: Id | None = None
    participant_status: str | None = None
    school_urn: str | None = None
    delivery_partner_id: Id | None = None
    training_record_id: Id | None = None
    eligible_for_funding: bool | None = None
    deferral: StatusChange | None = None
    withdrawal: StatusChange | None = None

    @property
    def course(self) -> str:
        """The course by which writes select this enrolment."""
        return terms.ECT_COURSE if self.participant_type == "ect" else terms.MENTOR_COURSE

    def accepted(self) -> dict[str, Json]:
        """Give it flat, as a record keeps it."""
        change = {"deferred": self.deferral, "withdrawn": self.withdrawal}.get(self.training_status)
        return {
            "training_status": self.training_status,
            "schedule_identifier": self.schedule_identifier,
            "cohort": self.cohort,
            "mentor_id": self.mentor_id,
            "participant_status": self.participant_status,
            "status_reason": change.reason if change else None,
            "status_date": _instant(change.date if change else None),
            "school_urn": self.school_urn,
            "delivery_partner_id": self.delivery_partner_id,
            "training_record_id": self.training_record_id,
            "eligible_for_funding": self.eligible_for_funding,
        }


class IdChange(Answered):
    """One id that was merged into another."""

    from_participant_id: Id


class ParticipantAttributes(Answered):
    """A person in up to two roles."""

    updated_at: AwareDatetime
    ecf_enrolments: list[Enrolment]
    participant_id_changes: list[IdChange] = []


class Participant(Answered):
    """A participant."""

    id: Id
    type: Literal["participant"]
    attributes: ParticipantAttributes


class DeclarationAttributes(Answered):
    """A claim for payment."""

    participant_id: Id
    declaration_type: Text
    course_identifier: Text
    declaration_date: AwareDatetime
    state: Literal[
        "submitted", "eligible", "payable", "paid", "voided", "awaiting-clawback", "clawed-back"
    ]
    updated_at: AwareDatetime
    evidence_held: str | None = None
    mentor_id: Id | None = None
    delivery_partner_id: Id | None = None
    statement_id: Id | None = None
    clawback_statement_id: Id | None = None
    lead_provider_name: str | None = None

    def accepted(self) -> dict[str, Json]:
        """Give it flat, as a record keeps it."""
        return {
            "state": self.state,
            "declaration_date": _instant(self.declaration_date),
            "evidence_held": self.evidence_held,
            "participant_id": self.participant_id,
            "course_identifier": self.course_identifier,
            "declaration_type": self.declaration_type,
            "mentor_id": self.mentor_id,
            "delivery_partner_id": self.delivery_partner_id,
            "statement_id": self.statement_id,
            "clawback_statement_id": self.clawback_statement_id,
            "lead_provider_name": self.lead_provider_name,
        }


class Declaration(Answered):
    """A declaration."""

    id: Id
    type: Literal["participant-declaration"]
    attributes: DeclarationAttributes


class PartnershipAttributes(Answered):
    """A school and a delivery partner, for one cohort."""

    cohort: Text
    school_id: Id
    delivery_partner_id: Id
    updated_at: AwareDatetime
    urn: str | None = None
    delivery_partner_name: str | None = None
    participants_currently_training: int | None = None

    def accepted(self) -> dict[str, Json]:
        """Give it flat, as a record keeps it."""
        return {
            "cohort": self.cohort,
            "school_id": self.school_id,
            "delivery_partner_id": self.delivery_partner_id,
            "urn": self.urn,
            "delivery_partner_name": self.delivery_partner_name,
            "participants_currently_training": self.participants_currently_training,
        }


class Partnership(Answered):
    """A partnership."""

    id: Id
    type: Literal["partnership"]
    attributes: PartnershipAttributes


class ParticipantAnswer(Answered):
    """One participant, in its envelope."""

    data: Participant


class ParticipantsAnswer(Answered):
    """Some participants, in their envelope."""

    data: list[Participant]


class DeclarationAnswer(Answered):
    """One declaration, in its envelope."""

    data: Declaration


class DeclarationsAnswer(Answered):
    """Some declarations, in their envelope."""

    data: list[Declaration]


class PartnershipAnswer(Answered):
    """One partnership, in its envelope."""

    data: Partnership


class PartnershipsAnswer(Answered):
    """Some partnerships, in their envelope."""

    data: list[Partnership]


def read(operation: Operation, record: Record, kin: Sequence[Record], body: Json) -> Delivered:
    """Read what a 2xx answer says of a record; raises `Unreadable`."""
    match operation:
        case terms.FIND_MERGED:
            return _find_merged(_model(ParticipantsAnswer, body).data, record)
        case terms.FIND_DECLARATION:
            return _find_declaration(_model(DeclarationsAnswer, body).data, record, kin)
        case terms.FIND_PARTNERSHIP:
            return _find_partnership(_model(PartnershipsAnswer, body).data, record)
        case _:
            return _one(operation, record, kin, body)


def _one(operation: Operation, record: Record, kin: Sequence[Record], body: Json) -> Delivered:
    match operation.kind:
        case "enrolment":
            return _enrolment(operation, record, _model(ParticipantAnswer, body).data)
        case "declaration":
            return _declaration(operation, record, kin, _model(DeclarationAnswer, body).data)
        case _:
            return _partnership(operation, record, _model(PartnershipAnswer, body).data)


def _enrolment(operation: Operation, record: Record, participant: Participant) -> Delivered:
    _expect(participant.id == _own_id(record), "is about another participant")
    told = _told_of(participant, record)
    there = told.accepted != ABSENT
    _expect(there or not operation.writes, "lacks the enrolment that was written to")
    return told


def _told_of(participant: Participant, record: Record) -> Delivered:
    ours = [one for one in participant.attributes.ecf_enrolments if one.course == record.role]
    _expect(len(ours) < 2, "names the same enrolment twice")
    return Delivered(
        accepted=ours[0].accepted() if ours else ABSENT,
        remote_id=RemoteId(participant.id),
        remote_updated_at=participant.attributes.updated_at,
    )


def _find_merged(listed: Sequence[Participant], record: Record) -> Delivered:
    """Pick the participant that our id was merged into; it says so itself."""
    survivors = [
        one
        for one in listed
        if any(
            change.from_participant_id == _own_id(record)
            for change in one.attributes.participant_id_changes
        )
    ]
    _expect(len(survivors) < 2, "names two participants for one id")
    if not survivors:
        return Delivered(accepted=None)
    return _told_of(survivors[0], record)


def _declaration(
    operation: Operation, record: Record, kin: Sequence[Record], declaration: Declaration
) -> Delivered:
    told = declaration.attributes
    _expect(told.declaration_type == record.key.part, "is about another declaration type")
    if operation.creates:
        _expect(_is_of(declaration, parent_of(record, kin)), "is about another enrolment")
    else:
        _expect(declaration.id == _own_id(record), "is about another declaration")
    return _delivered(declaration)


def _find_declaration(
    listed: Sequence[Declaration], record: Record, kin: Sequence[Record]
) -> Delivered:
    """Pick the live declaration of this type that is ours.

    The API keeps at most one live declaration of a type for a person in a role, whoever made it.
    """
    parent = parent_of(record, kin)
    live = [
        one
        for one in listed
        if one.attributes.declaration_type == record.key.part
        and one.attributes.state in LIVE
        and _is_of(one, parent)
        and is_ours(one, record, kin, parent)
    ]
    _expect(len(live) < 2, "lists the same claim twice")
    _expect(bool(live) or len(listed) < PAGE_SIZE, "goes on beyond one page")
    return _delivered(live[0]) if live else Delivered(accepted=ABSENT)


def _is_of(declaration: Declaration, parent: Record | None) -> bool:
    return (
        parent is not None
        and declaration.attributes.participant_id == _own_id(parent)
        and declaration.attributes.course_identifier == parent.role
    )


def is_ours(
    declaration: Declaration, record: Record, kin: Sequence[Record], parent: Record | None
) -> bool:
    """Whether we made it: lists also hold what other providers declared.

    Told by our own name where the family has heard it, else by the delivery partner. With neither
    known it passes for ours: a claim that differs is then held, and a void of theirs is a 404.
    """
    told = declaration.attributes
    names = [name for one in (record, *kin) if (name := _accepted(one, "lead_provider_name"))]
    if names:
        return told.lead_provider_name in names
    partner = _accepted(parent, "delivery_partner_id")
    return partner is None or told.delivery_partner_id == partner


def _find_partnership(listed: Sequence[Partnership], record: Record) -> Delivered:
    found = [one for one in listed if _is_at(one, record)]
    _expect(len(found) < 2, "lists the same partnership twice")
    _expect(bool(found) or len(listed) < PAGE_SIZE, "goes on beyond one page")
    return _delivered(found[0]) if found else Delivered(accepted=ABSENT)


def _is_at(partnership: Partnership, record: Record) -> bool:
    """Whether it is the partnership with this school in this cohort; there is never a second."""
    told = partnership.attributes
    school = plain_id(as_text(record.wanted("school_id")) or "")
    return told.school_id == school and told.cohort == as_text(record.wanted("cohort"))


def _partnership(operation: Operation, record: Record, partnership: Partnership) -> Delivered:
    if operation.creates:
        _expect(_is_at(partnership, record), "is about another school or cohort")
    else:
        _expect(partnership.id == _own_id(record), "is about another partnership")
    return _delivered(partnership)


def _delivered(told: Declaration | Partnership) -> Delivered:
    return Delivered(
        accepted=told.attributes.accepted(),
        remote_id=RemoteId(told.id),
        remote_updated_at=told.attributes.updated_at,
    )


def parent_of(record: Record, kin: Sequence[Record]) -> Record | None:
    """Find the enrolment that a declaration belongs to."""
    key = RecordKey("enrolment", record.key.source_id)
    return next((one for one in kin if one.key == key), None)


def _accepted(record: Record | None, name: str) -> Json:
    return None if record is None or record.accepted is None else record.accepted.get(name)


def _own_id(record: Record) -> str | None:
    return None if record.remote_id is None else plain_id(record.remote_id)


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else utc_seconds(moment)


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise Unreadable(f"the answer {otherwise}")


Model = TypeVar("Model", bound=Answered)


def _model(model: type[Model], body: Json) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise Unreadable(f"the answer is not as described at {place} ({first['type']})") from None
