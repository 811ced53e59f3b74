"""What is called next for a partnership."""

import pytest

from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.contract import ABSENT
from schema.fingerprint import Json
from schema.plans import Call, Hold, InStep, Plan, Request, WaitFor
from schema.record import Record
from tests.contracts.builders import (
    NOW,
    OTHER_PARTNER,
    PARTNER,
    SCHOOL,
    a_partnership,
    attributes,
    called,
    pending,
)

ID = "9b61d1c2-ad95-4000-aee0-afbdd542294a"
FORMED = pending(cohort="2025", school_id=SCHOOL, delivery_partner_id=PARTNER)
THERE: dict[str, Json] = {
    "cohort": "2025",
    "school_id": SCHOOL,
    "delivery_partner_id": PARTNER,
}


def plan(record: Record) -> Plan:
    return CONTRACT.plan(record, (), NOW)


@pytest.mark.parametrize("accepted", [None, ABSENT])
def test_a_partnership_is_formed_by_one_post(accepted: dict[str, Json] | None) -> None:
    assert plan(a_partnership(pending=FORMED, accepted=accepted)) == Call(
        operation="form_partnership",
        request=Request(
            method="POST",
            path="/partnerships",
            body={"data": {"type": "partnership", "attributes": THERE}},
        ),
        fields=THERE,
    )


def test_another_delivery_partner_is_a_correction() -> None:
    record = a_partnership(
        remote_id=ID, pending=pending(delivery_partner_id=OTHER_PARTNER), accepted=THERE
    )

    assert called(plan(record)) == f"PUT /partnerships/{ID}"
    assert attributes(plan(record)) == {"delivery_partner_id": OTHER_PARTNER}


def test_a_partnership_formed_by_somebody_else_with_another_partner_is_corrected() -> None:
    record = a_partnership(
        remote_id=ID, pending=FORMED, accepted=THERE | {"delivery_partner_id": OTHER_PARTNER}
    )

    assert attributes(plan(record)) == {"delivery_partner_id": PARTNER}


def test_the_same_partnership_is_in_step() -> None:
    assert plan(a_partnership(remote_id=ID, pending=FORMED, accepted=THERE)) == InStep()
    assert plan(a_partnership()) == InStep()


def test_a_change_of_a_partnership_nobody_formed_waits_for_it() -> None:
    record = a_partnership(pending=pending(delivery_partner_id=PARTNER))

    assert plan(record) == WaitFor(whom="partnership_formed")


def test_a_change_of_a_partnership_known_by_id_only_looks_first() -> None:
    record = a_partnership(remote_id=ID, pending=pending(delivery_partner_id=PARTNER))

    assert called(plan(record)) == f"GET /partnerships/{ID}"


def test_a_partnership_without_an_id_is_looked_up_in_its_cohort_newest_first() -> None:
    looked = plan(a_partnership(pending=FORMED, look_first=True))

    assert isinstance(looked, Call)
    assert looked.request.query == (
        ("filter[cohort]", "2025"),
        ("sort", "-created_at"),
        ("page[page]", "1"),
        ("page[per_page]", "3000"),
    )


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (a_partnership(pending=FORMED | pending(school_id="123456")), "school_id"),
        (
            a_partnership(pending=FORMED | pending(delivery_partner_id="Acme")),
            "delivery_partner_id",
        ),
        (
            a_partnership(remote_id=ID, pending=pending(cohort="2026"), accepted=THERE),
            "cohort",
        ),
        (
            a_partnership(remote_id=ID, pending=pending(school_id=PARTNER), accepted=THERE),
            "school_id",
        ),
    ],
)
def test_what_is_certain_to_be_refused_is_held(record: Record, field: str) -> None:
    held = plan(record)

    assert isinstance(held, Hold)
    assert held.field == field


def test_a_school_in_a_cohort_is_one_remote_thing_whoever_asks() -> None:
    assert CONTRACT.serial_key(a_partnership(pending=FORMED)) == f"partnership/2025/{SCHOOL}"
    assert CONTRACT.serial_key(a_partnership(accepted=THERE)) == f"partnership/2025/{SCHOOL}"
    assert CONTRACT.serial_key(a_partnership()) == "partnership:P-1"
