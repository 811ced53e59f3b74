"""What each event asks for, under the Lead Provider API."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.asks import Asks, Expect, Link, MoveTo, SetField
from schema.events import (
    EVENTS,
    DeclarationMade,
    DeclarationVoided,
    Event,
    InvalidEvent,
    MentorChanged,
    ParticipantDeferred,
    ParticipantLinked,
    ParticipantResumed,
    ParticipantWithdrawn,
    PartnershipChanged,
    PartnershipFormed,
    RecordSnapshot,
    ScheduleChanged,
)
from schema.keys import RemoteId
from tests.contracts.builders import ECT, PARTNER, PERSON, SCHOOL

LINK = Link(remote_id=RemoteId(PERSON), role=ECT)
LINKED: dict[str, Any] = {"participant_id": PERSON, "course_identifier": ECT}


def an_enrolment_asks(*asked: Any) -> Asks:
    return Asks(kind="enrolment", asks=asked)


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        (ParticipantLinked(source_id="E-1", **LINKED), an_enrolment_asks(LINK)),
        (
            ParticipantDeferred(source_id="E-1", reason="other"),
            an_enrolment_asks(MoveTo(status="deferred", reason="other")),
        ),
        (
            ParticipantResumed(source_id="E-1", **LINKED),
            an_enrolment_asks(LINK, MoveTo(status="active", reason=None)),
        ),
        (
            ParticipantWithdrawn(source_id="E-1", reason="moved-school"),
            an_enrolment_asks(MoveTo(status="withdrawn", reason="moved-school")),
        ),
        (
            ScheduleChanged(source_id="E-1", schedule_identifier="ecf-reduced-april"),
            an_enrolment_asks(SetField(name="schedule_identifier", value="ecf-reduced-april")),
        ),
        (
            ScheduleChanged(
                source_id="E-1", schedule_identifier="ecf-reduced-april", cohort="2024"
            ),
            an_enrolment_asks(
                SetField(name="schedule_identifier", value="ecf-reduced-april"),
                SetField(name="cohort", value="2024"),
            ),
        ),
        (
            MentorChanged(source_id="E-1", mentor_id=PARTNER.upper()),
            an_enrolment_asks(Expect(name="mentor_id", value=PARTNER)),
        ),
        (
            DeclarationMade(
                source_id="E-1",
                declaration_type="started",
                declaration_date=datetime(2025, 9, 20, 9, 0, 0, 999, tzinfo=UTC),
                evidence_held="other",
                **LINKED,
            ),
            Asks(
                kind="declaration",
                part="started",
                asks=(
                    SetField(name="state", value="submitted"),
                    SetField(name="declaration_date", value="2025-09-20T09:00:00Z"),
                    SetField(name="evidence_held", value="other"),
                ),
                of_parent=(LINK,),
                opens_round=True,
                at_once=True,
            ),
        ),
        (
            DeclarationVoided(source_id="E-1", declaration_type="retained-1"),
            Asks(
                kind="declaration",
                part="retained-1",
                asks=(SetField(name="state", value="voided"),),
                ends_round=True,
                at_once=True,
            ),
        ),
        (
            PartnershipFormed(
                source_id="P-1", cohort="2025", school_id=SCHOOL, delivery_partner_id=PARTNER
            ),
            Asks(
                kind="partnership",
                asks=(
                    SetField(name="cohort", value="2025"),
                    SetField(name="school_id", value=SCHOOL),
                    SetField(name="delivery_partner_id", value=PARTNER),
                ),
            ),
        ),
        (
            PartnershipChanged(source_id="P-1", delivery_partner_id=PARTNER),
            Asks(kind="partnership", asks=(SetField(name="delivery_partner_id", value=PARTNER),)),
        ),
    ],
)
def test_an_event_asks_for_what_it_says_and_nothing_else(event: Event, asked: Asks) -> None:
    assert CONTRACT.asks(event) == asked


def test_half_a_link_links_nothing() -> None:
    event = ParticipantResumed(source_id="E-1", participant_id=PERSON)

    assert CONTRACT.asks(event) == an_enrolment_asks(MoveTo(status="active", reason=None))


@pytest.mark.parametrize("spelled", [PERSON.upper(), f" {PERSON} ", PERSON.replace("-", "")])
def test_one_participant_has_one_spelling(spelled: str) -> None:
    event = ParticipantLinked(source_id="E-1", participant_id=spelled, course_identifier=ECT)

    assert CONTRACT.asks(event) == an_enrolment_asks(LINK)


def test_a_snapshot_asks_for_all_it_holds() -> None:
    state = {
        "training_status": "deferred",
        "reason": "career-break",
        "schedule_identifier": "ecf-extended-april",
        "cohort": "2025",
        "mentor_id": PARTNER,
        **LINKED,
    }

    assert CONTRACT.asks(RecordSnapshot(source_id="E-1", kind="enrolment", state=state)) == Asks(
        kind="enrolment",
        asks=(
            LINK,
            SetField(name="schedule_identifier", value="ecf-extended-april"),
            SetField(name="cohort", value="2025"),
            MoveTo(status="deferred", reason="career-break", explicit=False),
            Expect(name="mentor_id", value=PARTNER),
        ),
        snapshot=True,
    )


def test_what_a_snapshot_leaves_out_or_empty_it_does_not_ask_for() -> None:
    event = RecordSnapshot(source_id="E-1", kind="enrolment", state={"cohort": None})

    assert CONTRACT.asks(event) == Asks(kind="enrolment", snapshot=True)


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"colour": "red"}, "state.colour"),
        ({"training_status": "paused"}, "state.training_status"),
        ({"training_status": True}, "state.training_status"),
        ({"schedule_identifier": "standard-april"}, "state.schedule_identifier"),
        ({"cohort": "25"}, "state.cohort"),
        ({"cohort": 2025}, "state.cohort"),
        ({"mentor_id": " "}, "state.mentor_id"),
        ({"course_identifier": "ecf"}, "state.course_identifier"),
        ({"reason": "other"}, "state.reason"),
        ({"training_status": "active", "reason": "other"}, "state.reason"),
        ({"training_status": "deferred", "reason": "moved-school"}, "state.reason"),
        ({"training_status": "withdrawn", "reason": "parental-leave"}, "state.reason"),
    ],
)
def test_a_wrong_snapshot_is_refused_with_the_field_named(
    state: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        CONTRACT.asks(RecordSnapshot(source_id="E-1", kind="enrolment", state=state))

    assert refusal.value.field == field


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidEvent) as refusal:
        CONTRACT.asks(RecordSnapshot(source_id="E-1", kind="participant", state={}))

    assert refusal.value.field == "kind"


def test_every_event_of_the_domain_has_a_meaning() -> None:
    fields: dict[str, Any] = {
        "participant_linked": LINKED,
        "participant_deferred": {"reason": "other"},
        "participant_withdrawn": {"reason": "other"},
        "schedule_changed": {"schedule_identifier": "ecf-standard-april"},
        "mentor_changed": {"mentor_id": PARTNER},
        "declaration_made": {
            "declaration_type": "started",
            "declaration_date": "2025-09-20T09:00:00Z",
        },
        "declaration_voided": {"declaration_type": "started"},
        "partnership_formed": {
            "cohort": "2025",
            "school_id": SCHOOL,
            "delivery_partner_id": PARTNER,
        },
        "partnership_changed": {"delivery_partner_id": PARTNER},
        "record_snapshot": {"kind": "enrolment", "state": {}},
    }

    kinds = {
        name: CONTRACT.asks(model(source_id="E-1", **fields.get(name, {}))).kind
        for name, model in EVENTS.items()
    }

    assert set(kinds.values()) == set(CONTRACT.kinds)
