"""What is called next for a declaration: a claim for money is made once, and never guessed."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from gateway.contracts.lead_provider.validation import CLOCKS_APART
from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.contract import ABSENT
from schema.fingerprint import utc_seconds
from schema.keys import RecordKey
from schema.plans import Call, Hold, InStep, Plan, Request, WaitFor
from schema.record import Pending, Record
from schema.states import Reason, RecordState
from tests.contracts.builders import (
    CLAIM_ID,
    ECT,
    ENROLMENT_KEY,
    MENTOR,
    NOW,
    PERSON,
    a_claim,
    a_declaration,
    a_move,
    an_accepted_declaration,
    an_accepted_enrolment,
    an_enrolment,
    attributes,
    called,
    pending,
)

PARENT = an_enrolment(accepted=an_accepted_enrolment())
VOIDING = pending(6, state="voided")


def plan(record: Record, *kin: Record) -> Plan:
    return CONTRACT.plan(record, kin or (PARENT,), NOW)


def a_parent(cohort: str, **differing: Any) -> Record:
    role = differing.pop("role", ECT)
    return an_enrolment(role=role, accepted=an_accepted_enrolment(cohort=cohort, **differing))


def test_a_claim_is_one_post() -> None:
    assert plan(a_declaration(pending=a_claim())) == Call(
        operation="declare",
        request=Request(
            method="POST",
            path="/participant-declarations",
            body={
                "data": {
                    "type": "participant-declaration",
                    "attributes": {
                        "participant_id": PERSON,
                        "declaration_type": "started",
                        "declaration_date": "2025-09-20T09:00:00Z",
                        "course_identifier": ECT,
                        "evidence_held": "training-event-attended",
                    },
                }
            },
        ),
        fields={
            "state": "submitted",
            "declaration_date": "2025-09-20T09:00:00Z",
            "evidence_held": "training-event-attended",
        },
    )


def test_a_claim_not_found_there_is_made() -> None:
    assert called(plan(a_declaration(pending=a_claim(), accepted=ABSENT))).startswith("POST")


def test_evidence_the_api_ignores_is_not_sent() -> None:
    sent = attributes(plan(a_declaration(pending=a_claim()), a_parent("2024")))

    assert "evidence_held" not in sent


@pytest.mark.parametrize("kin", [[], [an_enrolment(remote_id=None, role=None)]])
def test_a_claim_waits_for_the_link_of_its_enrolment(kin: Sequence[Record]) -> None:
    waiting = CONTRACT.plan(a_declaration(pending=a_claim()), kin, NOW)

    assert waiting == WaitFor(whom="link", key=ENROLMENT_KEY)


@pytest.mark.parametrize(
    "record",
    [
        a_declaration(pending=a_claim()),
        a_declaration(
            pending=VOIDING, remote_id=CLAIM_ID, accepted=an_accepted_declaration("eligible")
        ),
    ],
)
def test_no_claim_is_made_or_taken_back_while_its_enrolment_is_in_doubt(record: Record) -> None:
    doubtful = an_enrolment(accepted=an_accepted_enrolment(), state=RecordState.IN_DOUBT)

    assert plan(record, doubtful) == WaitFor(whom="doubt", key=ENROLMENT_KEY)


@pytest.mark.parametrize(
    ("earlier", "waits"),
    [
        (a_declaration(accepted=an_accepted_declaration("eligible"), pending=VOIDING), True),
        (a_declaration(accepted=an_accepted_declaration("voided")), False),
        (a_declaration(accepted=an_accepted_declaration("awaiting-clawback")), False),
        (a_declaration(accepted=ABSENT), False),
        (a_declaration(accepted=None), False),
        (a_declaration(accepted=None, pending=VOIDING), True),
        (
            a_declaration(accepted=an_accepted_declaration("voided"), state=RecordState.IN_DOUBT),
            True,
        ),
        (a_declaration(accepted=ABSENT, look_first=True), True),
    ],
)
def test_a_second_round_waits_until_the_first_is_taken_back(earlier: Record, waits: bool) -> None:
    second = plan(a_declaration(number=2, pending=a_claim()), PARENT, earlier)

    expected = WaitFor(whom="void", key=RecordKey("declaration", "E-1", "started", 1))
    assert (second == expected) is waits


@pytest.mark.parametrize("state", ["submitted", "eligible", "payable", "paid"])
def test_a_live_claim_is_in_step_and_taken_back_by_one_put(state: str) -> None:
    there = an_accepted_declaration(state)
    claimed = a_declaration(pending=a_claim(), remote_id=CLAIM_ID, accepted=there)
    voiding = a_declaration(pending=VOIDING, remote_id=CLAIM_ID, accepted=there)

    assert plan(claimed) == InStep()
    assert plan(voiding) == Call(
        operation="void",
        request=Request(method="PUT", path=f"/participant-declarations/{CLAIM_ID}/void"),
        fields={"state": "voided"},
    )


@pytest.mark.parametrize("state", ["voided", "awaiting-clawback", "clawed-back"])
def test_a_claim_taken_back_there_needs_no_void(state: str) -> None:
    record = a_declaration(pending=VOIDING, accepted=an_accepted_declaration(state))

    assert plan(record) == InStep()


def test_a_void_of_a_claim_never_seen_looks_it_up_first() -> None:
    record = a_declaration(pending=VOIDING)

    assert plan(record) == Call(
        operation="find_declaration",
        request=Request(
            method="GET",
            path="/participant-declarations",
            query=(
                ("filter[participant_id]", PERSON),
                ("page[page]", "1"),
                ("page[per_page]", "3000"),
            ),
        ),
    )


def test_a_void_of_what_is_not_there_is_in_step() -> None:
    assert plan(a_declaration(pending=VOIDING, accepted=ABSENT)) == InStep()


def test_a_claim_with_an_id_but_forgotten_state_is_looked_up_by_its_id() -> None:
    record = a_declaration(pending=a_claim(), remote_id=CLAIM_ID)

    assert called(plan(record)) == f"GET /participant-declarations/{CLAIM_ID}"


def test_look_first_never_writes() -> None:
    claimed = a_declaration(pending=a_claim(), look_first=True)
    known = a_declaration(pending=VOIDING, look_first=True, remote_id=CLAIM_ID)

    assert called(plan(claimed)) == "GET /participant-declarations"
    assert called(plan(known)) == f"GET /participant-declarations/{CLAIM_ID}"


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (a_claim(declaration_date="2025-10-01T09:00:00Z"), "declaration_date"),
        (a_claim(evidence_held="other"), "evidence_held"),
    ],
)
def test_another_claim_in_a_live_round_is_held_and_nothing_voided_unasked(
    claim: Mapping[str, Pending], field: str
) -> None:
    held = plan(
        a_declaration(pending=claim, remote_id=CLAIM_ID, accepted=an_accepted_declaration())
    )

    assert isinstance(held, Hold)
    assert (held.reason, held.field) == (Reason.VOID_FIRST, field)


PLAIN = ("training-event-attended", "self-study-material-completed", "other")
OFFLINE = "materials-engaged-with-offline"
ENGAGED = ("75-percent-engagement-met", "75-percent-engagement-met-reduced-induction")
ONE_TERM = "one-term-induction"
EVERY_EVIDENCE = (None, *PLAIN, OFFLINE, *ENGAGED, ONE_TERM)

EVIDENCE_TABLE: list[tuple[str, str, str, tuple[str | None, ...]]] = [
    ("2024", ECT, "started", EVERY_EVIDENCE),
    ("2024", MENTOR, "started", EVERY_EVIDENCE),
    ("2024", ECT, "retained-2", PLAIN),
    ("2024", MENTOR, "completed", PLAIN),
    ("2024", ECT, "extended-1", PLAIN),
    ("2025", ECT, "started", (*PLAIN, OFFLINE)),
    ("2025", MENTOR, "started", (*PLAIN, OFFLINE)),
    ("2025", ECT, "retained-1", (*PLAIN, OFFLINE)),
    ("2025", ECT, "retained-2", ENGAGED),
    ("2025", ECT, "retained-3", (*PLAIN, OFFLINE)),
    ("2025", ECT, "retained-4", (*PLAIN, OFFLINE)),
    ("2025", ECT, "extended-3", (*PLAIN, OFFLINE)),
    ("2025", ECT, "completed", (*ENGAGED, ONE_TERM)),
    ("2025", MENTOR, "completed", ENGAGED),
    ("2026", MENTOR, "completed", ENGAGED),
]


@pytest.mark.parametrize(("cohort", "role", "part", "allowed"), EVIDENCE_TABLE)
def test_evidence_is_checked_by_cohort_role_and_type(
    cohort: str, role: str, part: str, allowed: tuple[str | None, ...]
) -> None:
    parent = a_parent(cohort, role=role)

    passed = [
        evidence
        for evidence in EVERY_EVIDENCE
        if isinstance(
            plan(a_declaration(part, pending=a_claim(evidence_held=evidence)), parent), Call
        )
    ]

    assert passed == [evidence for evidence in EVERY_EVIDENCE if evidence in allowed]


def test_the_evidence_that_would_be_right_is_named_in_a_sentence() -> None:
    held = plan(a_declaration("started", pending=a_claim(evidence_held=ONE_TERM)), a_parent("2025"))

    assert isinstance(held, Hold)
    assert held.detail.startswith("must be one of ")
    assert held.detail.endswith(" for started")


@pytest.mark.parametrize(
    "parent",
    [
        an_enrolment(),
        an_enrolment(accepted=an_accepted_enrolment(), pending=pending(cohort="2024")),
    ],
)
def test_while_the_cohort_is_not_sure_only_what_every_cohort_refuses_is_refused(
    parent: Record,
) -> None:
    def planned(part: str, evidence: str | None) -> Plan:
        return plan(a_declaration(part, pending=a_claim(evidence_held=evidence)), parent)

    assert isinstance(planned("started", None), Call)
    assert isinstance(planned("retained-2", "other"), Call)
    assert isinstance(planned("retained-2", ENGAGED[0]), Call)
    assert isinstance(planned("retained-2", None), Hold)
    assert isinstance(planned("retained-2", ONE_TERM), Hold)


@pytest.mark.parametrize("part", ["retained-1", "retained-4", "extended-1"])
def test_a_mentor_from_2025_has_no_retained_or_extended_declarations(part: str) -> None:
    held = plan(a_declaration(part, pending=a_claim()), a_parent("2025", role=MENTOR))

    assert isinstance(held, Hold)
    assert held.field == "declaration_type"
    assert isinstance(
        plan(a_declaration(part, pending=a_claim()), a_parent("2024", role=MENTOR)), Call
    )


def test_a_future_date_is_held_but_not_for_a_difference_of_clocks() -> None:
    edge = NOW + CLOCKS_APART
    near = a_declaration(pending=a_claim(declaration_date=utc_seconds(edge)))
    far = a_declaration(pending=a_claim(declaration_date=utc_seconds(edge + timedelta(seconds=1))))

    assert isinstance(plan(near), Call)
    assert isinstance(plan(far), Hold)


@pytest.mark.parametrize("date", [None, "2025-09-20", "yesterday", "2025-09-20T09:00:00"])
def test_a_date_that_is_no_instant_is_held(date: str | None) -> None:
    held = plan(a_declaration(pending=a_claim(declaration_date=date)))

    assert isinstance(held, Hold)
    assert held.field == "declaration_date"


@pytest.mark.parametrize(
    ("date", "held"),
    [
        ("2025-12-01T09:59:59Z", False),
        ("2025-12-01T10:00:00Z", False),  # the instant shown is cut to its second
        ("2025-12-01T10:00:01Z", True),
    ],
)
def test_after_a_withdrawal_only_an_earlier_date_may_be_declared(date: str, held: bool) -> None:
    parent = a_parent("2025", training_status="withdrawn", status_date="2025-12-01T10:00:00Z")
    planned = plan(a_declaration(pending=a_claim(declaration_date=date)), parent)

    assert isinstance(planned, Hold) is held


def test_a_withdrawal_that_is_about_to_end_refuses_nothing() -> None:
    parent = an_enrolment(
        path=[a_move("active")],
        accepted=an_accepted_enrolment(
            training_status="withdrawn", status_date="2025-12-01T10:00:00Z"
        ),
    )
    claim = a_claim(declaration_date="2026-01-01T00:00:00Z")

    assert isinstance(plan(a_declaration(pending=claim), parent), Call)


@pytest.mark.parametrize(
    ("cohort", "other", "date", "held"),
    [
        ("2025", "started", "2025-09-20T09:00:00Z", False),
        ("2025", "started", "2025-09-21T09:00:00Z", True),
        ("2025", "retained-3", "2025-09-20T09:00:00Z", False),
        ("2025", "retained-3", "2025-09-19T09:00:00Z", True),
        ("2024", "started", "2025-09-21T09:00:00Z", False),
    ],
)
def test_from_2025_claims_are_dated_in_the_order_of_their_types(
    cohort: str, other: str, date: str, held: bool
) -> None:
    live = a_declaration(other, accepted=an_accepted_declaration(declaration_date=date))
    claim = a_claim(evidence_held="other")

    planned = plan(a_declaration("retained-1", pending=claim), a_parent(cohort), live)

    assert isinstance(planned, Hold) is held


@pytest.mark.parametrize(
    "other",
    [
        a_declaration(accepted=an_accepted_declaration("voided")),
        a_declaration(accepted=an_accepted_declaration(), pending=VOIDING),
        a_declaration(pending=a_claim()),
        a_declaration(accepted=ABSENT),
    ],
)
def test_a_claim_that_is_not_live_has_no_place_in_the_sequence(other: Record) -> None:
    claim = a_claim(declaration_date="2025-09-01T09:00:00Z", evidence_held="other")

    planned = plan(a_declaration("retained-1", pending=claim), PARENT, other)

    assert isinstance(planned, Call)


def test_an_unknown_type_is_held() -> None:
    held = plan(a_declaration("retained-9", pending=a_claim()))

    assert isinstance(held, Hold)
    assert held.field == "declaration_type"


@pytest.mark.parametrize(
    ("name", "wanted", "accepted", "agree"),
    [
        ("state", "submitted", an_accepted_declaration("paid"), True),
        ("state", "submitted", an_accepted_declaration("voided"), False),
        ("state", "submitted", ABSENT, False),
        ("state", "voided", an_accepted_declaration("clawed-back"), True),
        ("state", "voided", ABSENT, True),
        ("state", "voided", an_accepted_declaration("payable"), False),
        ("state", "eligible", an_accepted_declaration("payable"), True),
        ("state", "paid", an_accepted_declaration("awaiting-clawback"), False),
        ("state", "absent", an_accepted_declaration("eligible"), False),
        ("declaration_date", "2025-09-20T10:00:00.5+01:00", an_accepted_declaration(), True),
        ("declaration_date", "2025-09-20T09:00:01Z", an_accepted_declaration(), False),
        ("declaration_date", "rubbish", an_accepted_declaration(), False),
        ("evidence_held", None, an_accepted_declaration(), True),
        ("evidence_held", "other", an_accepted_declaration(), False),
        ("evidence_held", "other", an_accepted_declaration(evidence_held=None), True),
        ("evidence_held", "other", ABSENT, False),
    ],
)
def test_claims_agree_by_meaning(
    name: str, wanted: str, accepted: Mapping[str, Any], agree: bool
) -> None:
    key = RecordKey("declaration", "E-1", "started", 1)

    assert CONTRACT.agrees(key, name, wanted, accepted) is agree


def test_only_of_started_is_evidence_ignored() -> None:
    key = RecordKey("declaration", "E-1", "retained-1", 1)
    accepted = an_accepted_declaration(evidence_held=None)

    assert CONTRACT.agrees(key, "evidence_held", "other", accepted) is False
