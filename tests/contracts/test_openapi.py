"""The models, operations and lists agree with what the API publishes."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from gateway.contracts.lead_provider import reading, terms
from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.events import Evidence
from schema.plans import Request
from tests.contracts.builders import PERSON
from tests.contracts.openapi import component, needs_schema, operation_of

pytestmark = needs_schema

MODELS: list[tuple[type[BaseModel], str, bool]] = [
    (reading.Participant, "Participant", False),
    (reading.ParticipantAttributes, "Participant", True),
    (reading.Enrolment, "ParticipantECFEnrolment", False),
    (reading.Declaration, "Declaration", False),
    (reading.DeclarationAttributes, "Declaration", True),
    (reading.Partnership, "Partnership", False),
    (reading.PartnershipAttributes, "Partnership", True),
]


def properties(name: str, attributes: bool) -> dict[str, Any]:
    published = component(name)["properties"]
    return published["attributes"]["properties"] if attributes else published


@pytest.mark.parametrize(("model", "name", "attributes"), MODELS)
def test_a_model_names_only_what_the_api_publishes(
    model: type[BaseModel], name: str, attributes: bool
) -> None:
    assert set(model.model_fields) <= set(properties(name, attributes))


@pytest.mark.parametrize(("model", "name", "attributes"), MODELS)
def test_a_model_bears_every_null_that_the_api_may_give(
    model: type[BaseModel], name: str, attributes: bool
) -> None:
    published = properties(name, attributes)
    required = {field for field, one in model.model_fields.items() if one.is_required()}

    assert [field for field in required if published[field].get("nullable")] == []


@pytest.mark.parametrize("operation", CONTRACT.operations.values(), ids=lambda one: one.name)
def test_an_operation_is_one_that_the_api_publishes(operation: Any) -> None:
    path = operation.path.format(id=PERSON)

    assert operation_of(Request(method=operation.method, path=path))


def test_our_lists_are_those_of_the_api() -> None:
    def choices(name: str, field: str) -> set[str]:
        request = component(name)["properties"]["data"]["properties"]["attributes"]
        return set(request["properties"][field]["enum"])

    declared = properties("Declaration", True)
    assert set(terms.SCHEDULES) == choices(
        "ParticipantChangeScheduleRequest", "schedule_identifier"
    )
    assert set(terms.COURSES) == choices("ParticipantResumeRequest", "course_identifier")
    assert set(terms.DEFERRAL_REASONS) == choices("ParticipantDeferRequest", "reason")
    assert set(terms.WITHDRAWAL_REASONS) == choices("ParticipantWithdrawRequest", "reason")
    assert set(terms.DECLARATION_TYPES) == set(declared["declaration_type"]["enum"])
    assert set(declared["state"]["enum"]) == (terms.LIVE | terms.ENDED) - {terms.ABSENT_STATE}


@pytest.mark.parametrize(
    ("name", "course", "cohort"),
    [
        ("Pre2025Started", None, 2024),
        ("Pre2025Retained", None, 2024),
        ("Pre2025Completed", None, 2024),
        ("Pre2025Extended", None, 2024),
        ("Post2024ECTStarted", terms.ECT_COURSE, 2025),
        ("Post2024ECTRetained", terms.ECT_COURSE, 2025),
        ("Post2024ECTCompleted", terms.ECT_COURSE, 2025),
        ("Post2024ECTExtended", terms.ECT_COURSE, 2025),
        ("Post2024MentorStarted", terms.MENTOR_COURSE, 2025),
        ("Post2024MentorCompleted", terms.MENTOR_COURSE, 2025),
    ],
)
def test_no_evidence_is_sent_that_the_api_does_not_publish(
    name: str, course: str | None, cohort: int
) -> None:
    published = component(f"Declaration{name}Attributes")["properties"]
    evidence = set(published.get("evidence_held", {}).get("enum", ()))

    for part in published["declaration_type"]["enum"]:
        allowed = terms.evidence_allowed(part, course or terms.ECT_COURSE, cohort)
        assert (allowed or frozenset()) <= evidence
        assert set(get_args(Evidence)) >= evidence
