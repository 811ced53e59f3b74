"""The API as the guidance texts sketch it."""

from typing import Any

import pytest

from gateway.contracts.guidance import CONTRACT
from schema.asks import Asks, SetField
from schema.contract import Unreadable
from schema.events import (
    DeclarationMade,
    DeclarationVoided,
    InvalidEvent,
    MentorChanged,
    ParticipantDeferred,
    ParticipantResumed,
    RecordSnapshot,
)
from schema.fingerprint import Json
from schema.keys import RecordId, RecordKey, RemoteId
from schema.outcomes import Delivered
from schema.plans import Call, Hold, InStep, Plan, Request, WaitFor
from schema.record import Pending, Record
from tests.contracts.builders import NOW, a_stamp, pending

JOE = {"full_name": "Joe Bloggs", "start_date": "2025-09-01", "mentor_id": "MENTOR123"}
PARTICIPANT = RecordKey("participant", "E-1")
STARTED = RecordKey("declaration", "E-1", "started")


def a_record(
    key: RecordKey = PARTICIPANT,
    *,
    wanted: dict[str, Pending] | None = None,
    remote_id: str | None = None,
    accepted: dict[str, Json] | None = None,
    look_first: bool = False,
) -> Record:
    return Record(
        id=RecordId(1),
        destination="default",
        key=key,
        family="participant:E-1",
        pending=wanted or {},
        remote_id=None if remote_id is None else RemoteId(remote_id),
        accepted=accepted,
        look_first=look_first,
    )


def plan(record: Record, *kin: Record) -> Plan:
    return CONTRACT.plan(record, kin, NOW)


def the_whole() -> dict[str, Pending]:
    return {name: Pending(value=value, stamp=a_stamp()) for name, value in JOE.items()}


def a_field(name: str, value: str) -> Asks:
    return Asks(kind="participant", asks=(SetField(name=name, value=value),))


def test_events_ask_for_plain_fields() -> None:
    snapshot = RecordSnapshot(source_id="E-1", kind="participant", state=JOE)
    moment: Any = "2025-09-04T23:30:00Z"
    made = DeclarationMade(source_id="E-1", declaration_type="started", declaration_date=moment)

    assert CONTRACT.asks(snapshot) == Asks(
        kind="participant",
        asks=tuple(SetField(name=name, value=value) for name, value in JOE.items()),
        snapshot=True,
    )
    assert CONTRACT.asks(MentorChanged(source_id="E-1", mentor_id="M2")) == a_field(
        "mentor_id", "M2"
    )
    assert CONTRACT.asks(ParticipantDeferred(source_id="E-1", reason="other")) == a_field(
        "status", "deferred"
    )
    assert CONTRACT.asks(ParticipantResumed(source_id="E-1")) == a_field("status", "active")
    assert CONTRACT.asks(made) == Asks(
        kind="declaration",
        part="started",
        asks=(SetField(name="declaration_date", value="2025-09-05"),),
        at_once=True,
    )


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (DeclarationVoided(source_id="E-1", declaration_type="started"), "event"),
        (RecordSnapshot(source_id="E-1", kind="enrolment", state={}), "event"),
        (
            RecordSnapshot(source_id="E-1", kind="participant", state={"age": "9"}),
            "state.age",
        ),
        (
            RecordSnapshot(source_id="E-1", kind="participant", state={"mentor_id": 9}),
            "state.mentor_id",
        ),
    ],
)
def test_what_this_api_does_not_have_is_refused(event: Any, field: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        CONTRACT.asks(event)

    assert refusal.value.field == field


def test_a_participant_is_created_once_and_then_only_what_changed_is_sent() -> None:
    new = a_record(wanted=the_whole())
    created = a_record(remote_id="PART123", accepted=dict(JOE))
    changed = a_record(remote_id="PART123", accepted=dict(JOE), wanted=pending(mentor_id="MENTOR9"))

    assert plan(new) == Call(
        operation="create",
        request=Request(method="POST", path="/participants", body=JOE),
        fields=JOE,
    )
    assert plan(created) == InStep()
    assert plan(changed) == Call(
        operation="update",
        request=Request(method="PUT", path="/participants/PART123", body={"mentor_id": "MENTOR9"}),
        fields={"mentor_id": "MENTOR9"},
    )


def test_a_participant_is_not_created_from_half_a_state() -> None:
    assert plan(a_record(wanted=pending(mentor_id="M2"))) == WaitFor(whom="record_snapshot")


def test_a_declaration_waits_for_its_participant_and_then_names_it() -> None:
    claim = a_record(STARTED, wanted=pending(declaration_date="2025-09-05"))

    assert plan(claim, a_record()) == WaitFor(whom="link", key=PARTICIPANT)
    assert plan(claim, a_record(remote_id="PART123")) == Call(
        operation="declare",
        request=Request(
            method="POST",
            path="/declarations",
            body={
                "participant_id": "PART123",
                "declaration_type": "started",
                "declaration_date": "2025-09-05",
            },
        ),
        fields={"declaration_date": "2025-09-05"},
    )


def test_what_cannot_be_looked_up_or_changed_there_is_held() -> None:
    redated = a_record(
        STARTED,
        wanted=pending(declaration_date="2025-09-06"),
        accepted={"declaration_date": "2025-09-05"},
    )

    assert isinstance(plan(a_record(look_first=True)), Hold)
    assert isinstance(plan(redated), Hold)


def test_an_answer_needs_no_more_than_an_id() -> None:
    record = a_record(wanted=the_whole())

    told = CONTRACT.read(CONTRACT.operations["create"], record, (), {"id": "PART123"})

    assert told == Delivered(accepted={**JOE, "status": None}, remote_id=RemoteId("PART123"))
    with pytest.raises(Unreadable):
        CONTRACT.read(CONTRACT.operations["create"], record, (), {"ok": True})
