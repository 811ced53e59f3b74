"""Builders: each says only what matters to a test."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from schema.fingerprint import Json
from schema.keys import EntryId, RecordId, RecordKey, RemoteId
from schema.plans import Call, Plan
from schema.record import Move, Pending, Record, Stamp
from schema.states import RecordState

NOW = datetime(2026, 2, 10, 12, tzinfo=UTC)
PERSON = "3452b1a6-cbaa-422f-9ca9-40afa28583a2"
OTHER_PERSON = "d0b4a32e-a272-489e-b30a-cb17131457fc"
CLAIM_ID = "24b61d1c-ad95-4000-aee0-afbdd542294a"
SCHOOL = "dd4a1134-7308-4879-942a-c4a70ced400f"
PARTNER = "45146ec2-594a-495a-bb02-8b2280a3deaf"
OTHER_PARTNER = "9e35e998-c63a-4136-89c4-e9e18e72e887"
ECT, MENTOR = "ecf-induction", "ecf-mentor"

ENROLMENT_KEY = RecordKey("enrolment", "E-1")


def a_stamp(entry: int = 1, source: str = "local") -> Stamp:
    return Stamp(entry=EntryId(entry), source=source)


def pending(entry: int = 1, **values: Json) -> dict[str, Pending]:
    return {name: Pending(value=value, stamp=a_stamp(entry)) for name, value in values.items()}


def a_move(to: str, reason: str | None = None, entry: int = 1) -> Move:
    return Move(to=to, reason=reason, stamp=a_stamp(entry))


def an_accepted_enrolment(**differing: Json) -> dict[str, Json]:
    return {
        "training_status": "active",
        "schedule_identifier": "ecf-standard-september",
        "cohort": "2025",
        "mentor_id": None,
        "delivery_partner_id": PARTNER,
        "status_date": None,
    } | differing


def an_enrolment(
    *,
    role: str | None = ECT,
    remote_id: str | None = PERSON,
    path: Sequence[Move] = (),
    pending: Mapping[str, Pending] | None = None,
    accepted: Mapping[str, Json] | None = None,
    look_first: bool = False,
    state: RecordState = RecordState.WAITING,
) -> Record:
    return Record(
        id=RecordId(1),
        destination="default",
        key=ENROLMENT_KEY,
        family="enrolment:E-1",
        role=role,
        remote_id=None if remote_id is None else RemoteId(remote_id),
        path=tuple(path),
        pending=pending or {},
        accepted=accepted,
        look_first=look_first,
        state=state,
    )


def a_claim(
    declaration_date: Json = "2025-09-20T09:00:00Z",
    evidence_held: Json = "training-event-attended",
) -> dict[str, Pending]:
    return pending(
        5, state="submitted", declaration_date=declaration_date, evidence_held=evidence_held
    )


def an_accepted_declaration(state: str = "submitted", **differing: Json) -> dict[str, Json]:
    return {
        "state": state,
        "declaration_date": "2025-09-20T09:00:00Z",
        "evidence_held": "training-event-attended",
    } | differing


def a_declaration(
    part: str = "started",
    number: int = 1,
    *,
    remote_id: str | None = None,
    pending: Mapping[str, Pending] | None = None,
    accepted: Mapping[str, Json] | None = None,
    look_first: bool = False,
    state: RecordState = RecordState.WAITING,
) -> Record:
    return Record(
        id=RecordId(2),
        destination="default",
        key=RecordKey("declaration", "E-1", part, number),
        family="enrolment:E-1",
        remote_id=None if remote_id is None else RemoteId(remote_id),
        pending=pending or {},
        accepted=accepted,
        look_first=look_first,
        state=state,
    )


def a_partnership(
    *,
    remote_id: str | None = None,
    pending: Mapping[str, Pending] | None = None,
    accepted: Mapping[str, Json] | None = None,
    look_first: bool = False,
) -> Record:
    return Record(
        id=RecordId(3),
        destination="default",
        key=RecordKey("partnership", "P-1"),
        family="partnership:P-1",
        remote_id=None if remote_id is None else RemoteId(remote_id),
        pending=pending or {},
        accepted=accepted,
        look_first=look_first,
    )


def attributes(plan: Plan) -> Mapping[str, Json]:
    """Give the attributes that a planned call sends."""
    assert isinstance(plan, Call), plan
    assert plan.request.body is not None
    data = plan.request.body["data"]
    assert isinstance(data, Mapping)
    sent = data["attributes"]
    assert isinstance(sent, Mapping)
    return sent


def called(plan: Plan) -> str:
    """Give the method and path of a planned call."""
    assert isinstance(plan, Call), plan
    return f"{plan.request.method} {plan.request.path}"
