"""What the API answers, as JSON. Every attribute of the real one is there, most of them ignored."""

from collections.abc import Sequence

from schema.fingerprint import Json
from tests.contracts.builders import (
    CLAIM_ID,
    ECT,
    OTHER_PARTNER,
    PARTNER,
    PERSON,
    SCHOOL,
)


def an_enrolment_answer(**differing: Json) -> dict[str, Json]:
    return {
        "training_record_id": "42a9ef2f-9059-400a-92ff-4830a629d0c5",
        "email": "jane.smith@example.com",
        "mentor_id": None,
        "school_urn": "123456",
        "participant_type": "ect",
        "working_pattern": "full_time",
        "cohort": "2025",
        "training_status": "active",
        "participant_status": "active",
        "eligible_for_funding": True,
        "pupil_premium_uplift": False,
        "sparsity_uplift": False,
        "schedule_identifier": "ecf-standard-september",
        "delivery_partner_id": PARTNER,
        "withdrawal": None,
        "deferral": None,
        "created_at": "2025-06-01T00:00:00Z",
        "induction_end_date": None,
        "overall_induction_start_date": "2025-09-01",
        "mentor_funding_end_date": None,
        "cohort_changed_after_payments_frozen": False,
        "mentor_ineligible_for_funding_reason": None,
    } | differing


def a_participant_answer(
    *enrolments: Json, remote_id: str = PERSON, merged: Sequence[str] = ()
) -> dict[str, Json]:
    return {
        "data": {
            "id": remote_id,
            "type": "participant",
            "attributes": {
                "full_name": "Jane Smith",
                "teacher_reference_number": "1234567",
                "updated_at": "2026-02-01T10:00:00Z",
                "ecf_enrolments": list(enrolments),
                "participant_id_changes": [
                    {
                        "from_participant_id": one,
                        "to_participant_id": remote_id,
                        "changed_at": "2026-01-20T10:00:00Z",
                    }
                    for one in merged
                ],
            },
        }
    }


def a_declaration_answer(*, remote_id: str = CLAIM_ID, **differing: Json) -> dict[str, Json]:
    attributes: dict[str, Json] = {
        "participant_id": PERSON,
        "declaration_type": "started",
        "course_identifier": ECT,
        "declaration_date": "2025-09-20T09:00:00Z",
        "mentor_id": None,
        "state": "submitted",
        "updated_at": "2026-02-01T10:00:00Z",
        "created_at": "2026-02-01T10:00:00Z",
        "delivery_partner_id": PARTNER,
        "statement_id": None,
        "clawback_statement_id": None,
        "ineligible_for_funding_reason": None,
        "uplift_paid": False,
        "evidence_held": "training-event-attended",
        "lead_provider_name": "Harbour Learning Partnership",
    }
    return {
        "id": remote_id,
        "type": "participant-declaration",
        "attributes": attributes | differing,
    }


def a_partnership_answer(
    *, remote_id: str = "9b61d1c2-ad95-4000-aee0-afbdd542294a", **differing: Json
) -> dict[str, Json]:
    attributes: dict[str, Json] = {
        "cohort": "2025",
        "urn": "123456",
        "school_id": SCHOOL,
        "delivery_partner_id": OTHER_PARTNER,
        "delivery_partner_name": "Partner",
        "induction_tutor_name": "John Doe",
        "induction_tutor_email": "john.doe@example.com",
        "participants_currently_training": 3,
        "created_at": "2026-02-01T10:00:00Z",
        "updated_at": "2026-02-01T10:00:00Z",
    }
    return {"id": remote_id, "type": "partnership", "attributes": attributes | differing}
