"""The real API's own description against the sandbox: every operation, a fixed seed.

Where the description is known to be wrong, `DIFFERS` and `UNDOCUMENTED` say so; everything else
must agree.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import FlakyFailure

from sandbox.reading import as_object
from sandbox.server import Sandbox
from tests.sandbox.support import Hand, Json, a_declaration, a_world, an_ect, unfunded

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

DESCRIPTION = Path(__file__).parents[3] / "shared" / "lead-provider-api-v3.yaml"
CASES = int(os.environ.get("SANDBOX_SCHEMA_CASES", "4"))
SEED = 20260821

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(), reason=f"the API's description is not at {DESCRIPTION}"
)

UNDOCUMENTED = {400, 404, 500}
"""Answers of the service that its description leaves out: it lists no 400 on reads, no 500
anywhere, and does not say that an id or path that is no UUID is not found. (Nor 429, which the
limit given here keeps away.)"""

DIFFERS = {
    "a 500 where `data` is no object, or `page` is flat",
    "a body without `type`, or with unknown attributes, is accepted",
    "a method that is not routed is 404, not 405",
    "`created_at` of a transfer is an instant where the description says a date (put right below)",
}
"""Differences that need no check of their own, for the reader."""

Check = Callable[..., Any]


def operations() -> list[Any]:
    if not DESCRIPTION.exists():
        return []
    raw: Any = yaml.safe_load(DESCRIPTION.read_text("utf-8"))
    transfer = raw["components"]["schemas"]["ParticipantTransfersTransfer"]["properties"]
    assert transfer["created_at"]["format"] == "date"
    transfer["created_at"]["format"] = "date-time"  # the service's own tests say so
    schema: Any = schemathesis.openapi.from_dict(raw)
    return [result.ok() for result in schema.get_all_operations()]


OPERATIONS = operations()
IDS = [f"{operation.method} {operation.path}" for operation in OPERATIONS]
MODES = list(schemathesis.GenerationMode)


def a_full_world() -> Json:
    left = {"school_finished_on": "2025-11-20"}
    return a_world(
        participants={
            "e": an_ect(mentor="m", **left),
            "m": unfunded(),
            "f": an_ect(),
            "r": an_ect(deferral={"reason": "other", "at": "2025-11-01T09:00:00Z"}),
            "gone": an_ect(
                school_finished_on="2025-10-01",
                training={
                    "provider": "fenland",
                    "partnership": "mill-25",
                    "schedule": "ecf-standard-september",
                    "started_on": "2025-09-01",
                    "finished_on": "2025-10-01",
                },
            ),
        },
        declarations={"d": a_declaration("f", state="eligible")},
    )


@pytest.fixture
def full(served: Sandbox) -> Hand:
    hand = Hand(served)
    hand.world(a_full_world())
    return hand


CHECKS: list[Check] = [
    schemathesis.specs.openapi.checks.response_schema_conformance,
    schemathesis.specs.openapi.checks.content_type_conformance,
]
HEADERS = {"Authorization": "Bearer sandbox-fenland", "Accept": "application/json"}


def agree(case: Any, response: Any) -> None:
    """The answer has the shape that the description gives for its status."""
    case.validate_response(response, checks=CHECKS)


def documented(operation: Any) -> set[int]:
    return {int(status) for status in operation.definition.raw["responses"]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
@pytest.mark.parametrize("mode", MODES, ids=[mode.value for mode in MODES])
def test_generated_requests_are_answered_as_described(
    full: Hand, operation: Any, mode: Any
) -> None:
    try:
        strategy = operation.as_strategy(generation_mode=mode)
    except Exception as error:  # there is nothing to negate in some operations
        pytest.skip(f"nothing to generate: {error}")

    @seed(SEED)
    @settings(
        max_examples=CASES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
        ],
    )
    @given(case=strategy)
    def generated(case: Any) -> None:
        response = case.call(base_url=full.sandbox.root_url, headers=HEADERS)
        known = documented(operation)
        assert response.status_code in known | UNDOCUMENTED, response.text
        if response.status_code == 500:
            assert is_known_crash(case), (case.body, case.query)
        elif response.status_code in known and response.content:
            agree(case, response)

    try:
        generated()
    except FlakyFailure as failure:
        # Python before 3.11.8 and 3.12.2 may fail in `ast.parse` while another thread runs, and
        # Hypothesis parses the lambdas that it describes. The same cases are then tried again.
        if not all(isinstance(error, SystemError) for error in failure.exceptions):
            raise
        generated()


def is_known_crash(case: Any) -> bool:
    """Whether a request is one that the real service falls over too."""
    body = as_object(case.body) or {}
    odd_data = bool(body.get("data")) and as_object(body.get("data")) is None
    query: Json = case.query or {}
    flat = any(key == "page" or key.startswith("page[]") for key in query)
    return odd_data or flat


DECLARATION: Json = {
    "declaration_type": "started",
    "declaration_date": "2025-10-01T09:00:00Z",
    "course_identifier": "ecf-induction",
    "evidence_held": "other",
}
GOOD: dict[str, tuple[str, Json, Json]] = {
    "get /api/v3/participants": ("", {}, {}),
    "get /api/v3/participants/{id}": ("e", {}, {}),
    "put /api/v3/participants/{id}/defer": (
        "f", {}, {"reason": "other", "course_identifier": "ecf-induction"}),
    "put /api/v3/participants/{id}/resume": ("r", {}, {"course_identifier": "ecf-induction"}),
    "put /api/v3/participants/{id}/withdraw": (
        "f", {}, {"reason": "other", "course_identifier": "ecf-induction"}),
    "put /api/v3/participants/{id}/change-schedule": (
        "f", {}, {"schedule_identifier": "ecf-extended-september",
                  "course_identifier": "ecf-induction"}),
    "get /api/v3/participants/transfers": ("", {}, {}),
    "get /api/v3/participants/{id}/transfers": ("gone", {}, {}),
    "post /api/v3/participant-declarations": ("", {}, {**DECLARATION, "participant_id": "{e}"}),
    "get /api/v3/participant-declarations": ("", {}, {}),
    "get /api/v3/participant-declarations/{id}": ("d", {}, {}),
    "put /api/v3/participant-declarations/{id}/void": ("d", {}, {}),
    "get /api/v3/partnerships": ("", {}, {}),
    "get /api/v3/partnerships/{id}": ("mill-25", {}, {}),
    "post /api/v3/partnerships": (
        "", {}, {"cohort": "2025", "school_id": "{weir}", "delivery_partner_id": "{hub}"}),
    "put /api/v3/partnerships/{id}": ("mill-25", {}, {"delivery_partner_id": "{spoke}"}),
    "get /api/v3/schools": ("", {"filter[cohort]": "2025"}, {}),
    "get /api/v3/schools/{id}": ("mill", {"filter[cohort]": "2025"}, {}),
    "get /api/v3/delivery-partners": ("", {}, {}),
    "get /api/v3/delivery-partners/{id}": ("hub", {}, {}),
    "get /api/v3/statements": ("", {}, {}),
    "get /api/v3/statements/{id}": ("dec", {}, {}),
    "get /api/v3/unfunded-mentors": ("", {}, {}),
    "get /api/v3/unfunded-mentors/{id}": ("m", {}, {}),
}  # fmt: skip


def test_every_operation_has_a_good_request_here() -> None:
    assert set(IDS) == set(GOOD)


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_a_good_request_gets_what_is_described(full: Hand, operation: Any) -> None:
    ref, query, attributes = GOOD[f"{operation.method} {operation.path}"]
    filled = {key: str(value).format(**full.ids) for key, value in attributes.items()}
    extra: dict[str, Any] = {}
    if filled:
        extra = {
            "body": {"data": {"type": "x", "attributes": filled}},
            "media_type": "application/json",
        }
    parameters = {"id": full.ids[ref]} if ref else {}
    case = operation.Case(path_parameters=parameters, query=query, **extra)

    response = case.call(base_url=full.sandbox.root_url, headers=HEADERS)

    assert response.status_code == 200, response.text
    rows = response.json()["data"]
    assert rows
    agree(case, response)
