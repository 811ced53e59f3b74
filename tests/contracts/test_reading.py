"""What an answer says of a record, and which answers say nothing."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.contract import ABSENT, Unreadable
from schema.fingerprint import Json
from schema.keys import RemoteId
from schema.outcomes import Delivered
from schema.record import Record
from tests.contracts.answers import (
    a_declaration_answer,
    a_participant_answer,
    a_partnership_answer,
    an_enrolment_answer,
)
from tests.contracts.builders import (
    CLAIM_ID,
    ECT,
    MENTOR,
    OTHER_PARTNER,
    OTHER_PERSON,
    PARTNER,
    PERSON,
    SCHOOL,
    a_claim,
    a_declaration,
    a_partnership,
    an_accepted_enrolment,
    an_enrolment,
    pending,
)

PARENT = an_enrolment(accepted=an_accepted_enrolment())
WHEN = datetime(2026, 2, 1, 10, tzinfo=UTC)
FORMED = pending(cohort="2025", school_id=SCHOOL, delivery_partner_id=PARTNER)


def read(name: str, record: Record, body: Json, *kin: Record) -> Delivered:
    return CONTRACT.read(CONTRACT.operations[name], record, kin, body)


@pytest.mark.parametrize("merged", [(PERSON,), (OTHER_PARTNER, PERSON.upper())])
def test_who_our_id_was_merged_into_says_so_himself(merged: Sequence[str]) -> None:
    survivor = a_participant_answer(an_enrolment_answer(), remote_id=OTHER_PERSON, merged=merged)
    stranger = a_participant_answer(an_enrolment_answer(), remote_id=CLAIM_ID, merged=(PARTNER,))
    both: Json = {"data": [stranger["data"], survivor["data"]]}
    record = an_enrolment()

    told = read("find_merged", record, both)

    assert told.remote_id == OTHER_PERSON
    assert told.accepted is not None
    assert told.accepted["training_status"] == "active"
    assert read("find_merged", record, {"data": [stranger["data"]]}) == Delivered(accepted=None)
    with pytest.raises(Unreadable, match="two participants"):
        read("find_merged", record, {"data": [survivor["data"], survivor["data"]]})


def test_a_participant_is_read_as_the_enrolment_of_the_records_role() -> None:
    ect = an_enrolment_answer()
    mentor = an_enrolment_answer(
        participant_type="mentor",
        training_status="deferred",
        deferral={"reason": "career-break", "date": "2026-01-05T08:00:00Z"},
    )

    told = read("defer", an_enrolment(role=MENTOR), a_participant_answer(ect, mentor))

    assert told == Delivered(
        accepted={
            "training_status": "deferred",
            "schedule_identifier": "ecf-standard-september",
            "cohort": "2025",
            "mentor_id": None,
            "participant_status": "active",
            "status_reason": "career-break",
            "status_date": "2026-01-05T08:00:00Z",
            "school_urn": "123456",
            "delivery_partner_id": PARTNER,
            "training_record_id": "42a9ef2f-9059-400a-92ff-4830a629d0c5",
            "eligible_for_funding": True,
        },
        remote_id=RemoteId(PERSON),
        remote_updated_at=WHEN,
    )


def test_a_participant_looked_up_without_that_enrolment_is_absent() -> None:
    told = read("look_up_participant", an_enrolment(role=MENTOR), a_participant_answer())

    assert told.accepted == ABSENT


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {"data": None},
        {"data": []},
        {"data": {"id": PERSON, "type": "participant"}},
        a_participant_answer(an_enrolment_answer(), remote_id=OTHER_PERSON),
        a_participant_answer(an_enrolment_answer(), an_enrolment_answer()),
        a_participant_answer(),
        a_participant_answer(an_enrolment_answer(training_status="paused")),
        a_participant_answer(an_enrolment_answer(training_status=None)),
        a_participant_answer(an_enrolment_answer(cohort=2025)),
        a_participant_answer(an_enrolment_answer(schedule_identifier="")),
    ],
)
def test_an_answer_to_a_write_that_is_not_as_described_is_unreadable(body: Json) -> None:
    with pytest.raises(Unreadable):
        read("defer", an_enrolment(), body)


def test_an_unreadable_answer_is_complained_about_without_its_content() -> None:
    body = a_participant_answer(an_enrolment_answer(training_status="Jane Smith, 1234567"))

    with pytest.raises(Unreadable) as complaint:
        read("defer", an_enrolment(), body)

    assert "training_status" in str(complaint.value)
    assert "Jane" not in str(complaint.value)


def test_names_addresses_and_teacher_numbers_are_not_kept() -> None:
    participant = read("defer", an_enrolment(), a_participant_answer(an_enrolment_answer()))
    partnership = read(
        "form_partnership", a_partnership(pending=FORMED), {"data": a_partnership_answer()}
    )

    kept = json.dumps([dict(participant.accepted or {}), dict(partnership.accepted or {})])
    for personal in ("Jane", "1234567", "example.com", "John"):
        assert personal not in kept


def test_a_claim_answered_is_accepted_with_its_id() -> None:
    told = read(
        "declare",
        a_declaration(pending=a_claim()),
        {"data": a_declaration_answer(state="eligible")},
        PARENT,
    )

    assert told.remote_id == CLAIM_ID
    assert told.remote_updated_at == WHEN
    assert told.accepted is not None
    assert told.accepted["state"] == "eligible"
    assert told.accepted["declaration_date"] == "2025-09-20T09:00:00Z"
    assert told.accepted["evidence_held"] == "training-event-attended"


@pytest.mark.parametrize(
    "body",
    [
        {"data": a_declaration_answer(participant_id=OTHER_PERSON)},
        {"data": a_declaration_answer(course_identifier=MENTOR)},
        {"data": a_declaration_answer(declaration_type="completed")},
        {"data": a_declaration_answer(state="ineligible")},
        {"data": a_declaration_answer(declaration_date="2025-09-20")},
    ],
)
def test_an_answer_about_another_claim_is_unreadable(body: Json) -> None:
    with pytest.raises(Unreadable):
        read("declare", a_declaration(pending=a_claim()), body, PARENT)


def test_a_void_answered_is_about_the_claim_it_was_sent_for() -> None:
    record = a_declaration(remote_id=CLAIM_ID)
    body = {"data": a_declaration_answer(state="voided")}

    told = read("void", record, body, PARENT)

    assert told.accepted is not None
    assert told.accepted["state"] == "voided"
    with pytest.raises(Unreadable):
        read("void", a_declaration(remote_id=OTHER_PERSON), body, PARENT)


@pytest.mark.parametrize(
    ("listed", "kin", "found"),
    [
        ([], [PARENT], False),
        ([a_declaration_answer()], [PARENT], True),
        ([a_declaration_answer()], [an_enrolment()], True),
        ([a_declaration_answer(state="voided")], [PARENT], False),
        ([a_declaration_answer(state="paid")], [PARENT], True),
        ([a_declaration_answer(declaration_type="retained-1")], [PARENT], False),
        ([a_declaration_answer(course_identifier=MENTOR)], [PARENT], False),
        ([a_declaration_answer(participant_id=OTHER_PERSON)], [PARENT], False),
        ([a_declaration_answer(delivery_partner_id=OTHER_PARTNER)], [PARENT], False),
        ([a_declaration_answer(delivery_partner_id=OTHER_PARTNER)], [an_enrolment()], True),
        (
            [a_declaration_answer(state="voided", remote_id=PARTNER), a_declaration_answer()],
            [PARENT],
            True,
        ),
    ],
)
def test_a_claim_is_found_by_participant_course_type_live_and_ours(
    listed: Sequence[Json], kin: Sequence[Record], found: bool
) -> None:
    told = read("find_declaration", a_declaration(), {"data": listed}, *kin)

    assert told.remote_id == (CLAIM_ID if found else None)
    assert (told.accepted != ABSENT) is found


@pytest.mark.parametrize(("name", "found"), [("Harbour", False), ("Northmoor", True)])
def test_once_our_name_is_known_it_decides_whose_a_claim_is(name: str, found: bool) -> None:
    sibling = a_declaration("retained-1", accepted={"lead_provider_name": name})
    listed: Any = [
        a_declaration_answer(lead_provider_name="Northmoor", delivery_partner_id=OTHER_PARTNER)
    ]

    told = read("find_declaration", a_declaration(), {"data": listed}, PARENT, sibling)

    assert (told.accepted != ABSENT) is found


def test_a_full_page_without_the_claim_does_not_say_it_is_absent() -> None:
    listed = [a_declaration_answer(state="voided")] * 3000

    with pytest.raises(Unreadable):
        read("find_declaration", a_declaration(), {"data": listed}, PARENT)


def test_a_partnership_is_found_by_school_and_cohort_whatever_its_partner() -> None:
    others = [
        a_partnership_answer(remote_id=PARTNER, cohort="2024"),
        a_partnership_answer(remote_id=PERSON, school_id=PARTNER),
    ]
    ours = a_partnership_answer()

    told = read("find_partnership", a_partnership(pending=FORMED), {"data": [*others, ours]})
    none = read("find_partnership", a_partnership(pending=FORMED), {"data": others})

    assert told.remote_id == ours["id"]
    assert told.accepted is not None
    assert told.accepted["delivery_partner_id"] == OTHER_PARTNER
    assert none.accepted == ABSENT


@pytest.mark.parametrize(
    ("operation", "remote_id", "body"),
    [
        ("form_partnership", None, a_partnership_answer(school_id=PERSON)),
        ("form_partnership", None, a_partnership_answer(cohort="2024")),
        ("correct_partnership", PERSON, a_partnership_answer()),
        ("look_up_partnership", PERSON, a_partnership_answer()),
    ],
)
def test_an_answer_about_another_partnership_is_unreadable(
    operation: str, remote_id: str | None, body: Json
) -> None:
    record = a_partnership(remote_id=remote_id, pending=FORMED)

    with pytest.raises(Unreadable):
        read(operation, record, {"data": body})


def test_the_course_of_an_enrolment_is_told_by_its_type() -> None:
    told = read("look_up_participant", an_enrolment(role=ECT), a_participant_answer())

    assert told.accepted == ABSENT
    assert told.remote_id == PERSON
