"""What each answer means: one table, held against the API's own sentences."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.answers import (
    LONGEST_DETAIL,
    LONGEST_RETRY_AFTER,
    LONGEST_TITLE,
    MOST_REFUSALS,
    Answer,
    Failure,
    FailureKind,
    Reply,
    outcome,
)
from gateway.contracts.lead_provider.rules import RULES
from gateway.registry import CONTRACTS, contract_named
from schema.outcomes import (
    AlreadyThere,
    Blame,
    Delivered,
    InDoubt,
    KeyRefused,
    Outcome,
    Refused,
    Throttled,
    Transient,
)
from tests.contracts.answers import a_participant_answer, an_enrolment_answer
from tests.contracts.builders import an_enrolment

V3 = contract_named("lead_provider_v3")
JSON = {"content-type": "application/json; charset=utf-8"}
HTML = {"content-type": "text/html"}
GOOD = json.dumps(a_participant_answer(an_enrolment_answer())).encode()


def came_of(reply: Reply, operation: str = "defer") -> Outcome:
    return outcome(V3, V3.operations[operation], an_enrolment(), (), reply)


def an_answer(status: int, body: Any = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=JSON | named, body=raw)


def errors(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"errors": [{"title": title, "detail": detail} for title, detail in pairs]}


def as_a_name(result: Outcome) -> str:
    match result:
        case Refused(blame=blame):
            return f"refused {blame}"
        case InDoubt(answered=answered):
            return "in doubt, answered" if answered else "in doubt"
        case _:
            return type(result).__name__.lower()


READ, WRITE = "look_up_participant", "defer"
DOUBT, SILENT = "in doubt, answered", "in doubt"


@pytest.mark.parametrize(
    ("reply", "on_read", "on_write"),
    [
        (an_answer(200, GOOD), "delivered", "delivered"),
        (Answer(status=200, body=GOOD), "delivered", "delivered"),
        (an_answer(201, GOOD), "delivered", "delivered"),
        (an_answer(204), "transient", DOUBT),
        (an_answer(200), "transient", DOUBT),
        (an_answer(200, GOOD[:-3]), "transient", DOUBT),
        (an_answer(200, GOOD + b"x"), "transient", DOUBT),
        (an_answer(200, b"\xff\xfe"), "transient", DOUBT),
        (an_answer(200, b"[" * 100_000), "transient", DOUBT),
        (an_answer(200, b"NaN"), "transient", DOUBT),
        (an_answer(200, {"data": []}), "transient", DOUBT),
        (Answer(status=200, headers=HTML, body=GOOD), "transient", DOUBT),
        (an_answer(301, b"", location="https://elsewhere.example"), "transient", DOUBT),
        (an_answer(303), "transient", DOUBT),
        (an_answer(304), "transient", DOUBT),
        (an_answer(400), "refused data", "refused data"),
        (an_answer(401, {"error": "HTTP Token: Access denied"}), "keyrefused", "keyrefused"),
        (an_answer(403), "keyrefused", "keyrefused"),
        (an_answer(404), "refused state", "refused state"),
        (an_answer(405), "refused data", "refused data"),
        (an_answer(408), "transient", SILENT),
        (an_answer(409), "refused state", "refused state"),
        (an_answer(410), "refused state", "refused state"),
        (an_answer(413), "refused data", "refused data"),
        (an_answer(422), "refused data", "refused data"),
        (an_answer(429, b"Retry later\n"), "throttled", "throttled"),
        (an_answer(500, {"error": "Internal server error"}), "transient", DOUBT),
        (an_answer(501), "refused data", "refused data"),
        (an_answer(502), "transient", SILENT),
        (an_answer(503), "transient", SILENT),
        (an_answer(504), "transient", SILENT),
        (an_answer(599), "transient", DOUBT),
        (an_answer(999), "transient", DOUBT),
        (Failure(kind=FailureKind.KEY_UNUSABLE, detail=""), "keyrefused", "keyrefused"),
        (Failure(kind=FailureKind.NOT_SENT, detail=""), "transient", "transient"),
        (Failure(kind=FailureKind.NO_ANSWER, detail=""), "transient", SILENT),
        (Failure(kind=FailureKind.CUT_SHORT, detail="", status=200), "transient", DOUBT),
        (Failure(kind=FailureKind.TOO_LARGE, detail="", status=200), "transient", DOUBT),
        (Failure(kind=FailureKind.ENCODED, detail="", status=200), "transient", DOUBT),
        (Failure(kind=FailureKind.CUT_SHORT, detail="", status=500), "transient", DOUBT),
        (Failure(kind=FailureKind.CUT_SHORT, detail="", status=429), "throttled", "throttled"),
        (Failure(kind=FailureKind.CUT_SHORT, detail="", status=401), "keyrefused", "keyrefused"),
        (
            Failure(kind=FailureKind.CUT_SHORT, detail="", status=422),
            "transient",
            "transient",
        ),
    ],
)
def test_each_reply_has_one_outcome(reply: Reply, on_read: str, on_write: str) -> None:
    assert as_a_name(came_of(reply, READ)) == on_read
    assert as_a_name(came_of(reply, WRITE)) == on_write


P, S, D = "participant_id", "schedule_identifier", "declaration_date"
T, C, PD = "declaration_type", "course_identifier", "participant_declaration_id"
DP, E, SC = "delivery_partner_id", "evidence_held", "school_id"
FROZEN = (
    "You cannot submit or void declarations for the 2021 cohort. The funding contract for this "
    "cohort has ended. Get in touch if you need to discuss this with us"
)

SENTENCES: list[tuple[str, str, str, str]] = [
    ("defer", C, "Enter a '#/course_identifier'.", "refused data"),
    (
        "resume",
        C,
        "The entered '#/course_identifier' is not recognised for the given participant. "
        "Check details and try again.",
        "refused state",
    ),
    ("defer", "reason", "Enter a '#/reason'.", "refused data"),
    (
        "withdraw",
        "reason",
        "The entered '#/reason' is not recognised for the given participant. "
        "Check details and try again.",
        "refused data",
    ),
    ("defer", P, "The '#/participant_id' is already deferred.", "alreadythere"),
    ("defer", P, "The '#/participant_id' is already withdrawn.", "refused state"),
    (
        "defer",
        P,
        "You cannot defer #/participant_id. This is because they have not been training with you "
        "for at least one day.",
        "refused state",
    ),
    (
        "defer",
        P,
        "You cannot defer or withdraw this participant today. You need to try again tomorrow as "
        "the training was recently changed for this participant.",
        "later",
    ),
    (
        "withdraw",
        P,
        "You cannot defer or withdraw this participant today. You need to try again tomorrow as "
        "the training was recently changed for this participant.",
        "later",
    ),
    ("withdraw", P, "The '#/participant_id' is already withdrawn.", "alreadythere"),
    (
        "withdraw",
        P,
        "You cannot withdraw #/participant_id. This is because they have not been training with "
        "you for at least one day.",
        "refused state",
    ),
    (
        "withdraw",
        "reason",
        "You cannot withdraw an ECT for this reason. The ECT is not a mentor.",
        "refused data",
    ),
    ("resume", P, "The '#/participant_id' is already active.", "alreadythere"),
    (
        "resume",
        P,
        "You cannot resume a participant on the same day they were withdrawn or deferred. Resume "
        "them tomorrow or later.",
        "later",
    ),
    (
        "resume",
        P,
        "This participant cannot be resumed because they are already active with another provider.",
        "refused state",
    ),
    (
        "resume",
        P,
        "The participant is no longer at the school. Please contact the induction tutor to "
        "resolve.",
        "refused state",
    ),
    (
        "change_schedule",
        S,
        "The property '#/schedule_identifier' must be present and correspond to a valid schedule.",
        "refused data",
    ),
    ("change_schedule", S, "Enter a valid schedule identifier.", "refused data"),
    ("change_schedule", S, "Selected schedule is already on the profile", "alreadythere"),
    (
        "change_schedule",
        S,
        "Selected schedule is not valid for the course_identifier",
        "refused data",
    ),
    (
        "change_schedule",
        S,
        "Mentors cannot be placed on a reduced schedule. Assign them to a different schedule.",
        "refused data",
    ),
    (
        "change_schedule",
        S,
        "The change of schedule cannot be applied because a previous change of schedule and a "
        "declaration were made on the same day. Applying another change of schedule would "
        "invalidate existing declarations. Please contact DfE for assistance.",
        "refused state",
    ),
    (
        "change_schedule",
        "cohort",
        "You cannot change a participant to this contract_period as you do not have a partnership "
        "with the school for the contract_period. Contact the DfE for assistance.",
        "refused state",
    ),
    (
        "change_schedule",
        "cohort",
        "You cannot move a participant to a payments frozen cohort unless they previously belonged "
        "to that cohort.",
        "refused data",
    ),
    (
        "change_schedule",
        P,
        "You cannot change this participant's schedule as they have completed their training or "
        "induction.",
        "refused state",
    ),
    (
        "change_schedule",
        P,
        "You cannot change this participant's schedule. This is because the participant has a "
        "'left' participant_status, so they are not training with you currently.",
        "refused state",
    ),
    (
        "change_schedule",
        P,
        "Cannot perform actions on a withdrawn participant",
        "refused state",
    ),
    (
        "change_schedule",
        P,
        "You cannot change this participant's schedule as they are due to start with another lead "
        "provider in the future.",
        "refused state",
    ),
    (
        "declare",
        P,
        "Your update cannot be made as the '#/participant_id' is not recognised. Check participant "
        "details and try again.",
        "refused state",
    ),
    ("declare", P, "Enter a '#/participant_id'.", "refused data"),
    ("declare", C, "Enter a '#/course_identifier'.", "refused data"),
    ("declare", D, "Enter a '#/declaration_date'.", "refused data"),
    ("declare", T, "Enter a '#/declaration_type'.", "refused data"),
    ("declare", T, "Enter a valid declaration type.", "refused data"),
    (
        "declare",
        T,
        "A declaration has already been submitted that will be, or has been, paid for this event.",
        "alreadythere",
    ),
    (
        "declare",
        D,
        "The '#/declaration_date' value cannot be a future date. Check the date and try again.",
        "refused data",
    ),
    (
        "declare",
        D,
        "Declaration date must be on or after the milestone start date for the same declaration "
        "type.",
        "refused state",
    ),
    (
        "declare",
        D,
        "Declaration date must be on or before the milestone date for the same declaration type.",
        "refused state",
    ),
    ("declare", D, "Enter a valid RCF3339 '#/declaration_date'.", "refused data"),
    (
        "declare",
        T,
        "You cannot send retained or extended declarations for participants who began their mentor "
        "training after June 2025. Resubmit this declaration with either a started or completed "
        "declaration.",
        "refused data",
    ),
    ("declare", E, "Enter a '#/evidence_held' value for this participant.", "refused data"),
    (
        "declare",
        E,
        "Enter an available '#/evidence_held' type for this participant.",
        "refused data",
    ),
    (
        "declare",
        P,
        "This participant withdrew from this course on 2025-12-01T10:00:00Z. Enter a "
        "'#/declaration_date' that's on or before the withdrawal date.",
        "refused state",
    ),
    (
        "declare",
        "cohort",
        "You cannot submit declarations for the 2021 cohort. The funding contract for this cohort "
        "has ended. Get in touch if you need to discuss this with us.",
        "refused state",
    ),
    ("declare", "cohort", FROZEN + ".", "refused state"),
    (
        "declare",
        T,
        "The property '#/declaration_type' does not exist for this schedule.",
        "refused state",
    ),
    (
        "declare",
        D,
        "This '#/declaration_date' is invalid. Check that it is in sequence with existing "
        "declaration dates for this participant.",
        "refused state",
    ),
    ("void", PD, "The declaration has already been voided.", "alreadythere"),
    ("void", PD, "The declaration will or has been refunded", "alreadythere"),
    ("void", PD, FROZEN, "refused state"),
    ("form_partnership", "cohort", "Enter a '#/cohort'.", "refused data"),
    (
        "form_partnership",
        "cohort",
        "The '#/cohort' you have entered is invalid. Check cohort details and try again.",
        "refused data",
    ),
    (
        "form_partnership",
        "cohort",
        "You cannot create a partnership for a future cohort.",
        "refused state",
    ),
    (
        "form_partnership",
        "cohort",
        "You cannot create this partnership as the cohort is closed.",
        "refused state",
    ),
    ("form_partnership", SC, "Enter a '#/school_id'.", "refused data"),
    (
        "form_partnership",
        SC,
        "The '#/school_id' you have entered is invalid. Check school details and try again. "
        "Contact the DfE for support if you are unable to find the '#/school_id'.",
        "refused data",
    ),
    (
        "form_partnership",
        SC,
        "The school you have entered is currently ineligible for DfE funding. Contact the school "
        "for more information.",
        "refused state",
    ),
    (
        "form_partnership",
        SC,
        "This school has only registered school-led participants. Contact the school for more "
        "information.",
        "refused state",
    ),
    (
        "form_partnership",
        SC,
        "You are already in a confirmed partnership with this school for the entered cohort.",
        "alreadythere",
    ),
    ("form_partnership", DP, "Enter a '#/delivery_partner_id'.", "refused data"),
    (
        "correct_partnership",
        DP,
        "The '#/delivery_partner_id' you have entered is invalid. Check delivery partner details "
        "and try again.",
        "refused data",
    ),
    (
        "form_partnership",
        DP,
        "The entered delivery partner is not recognised to be working in partnership with you for "
        "the given cohort. Contact the DfE for more information.",
        "refused state",
    ),
    (
        "correct_partnership",
        DP,
        "We are unable to process this request. You are already confirmed to be in partnership "
        "with the entered delivery partner. Contact the DfE for support.",
        "alreadythere",
    ),
]


@pytest.mark.parametrize(("operation", "title", "detail", "expected"), SENTENCES)
def test_each_sentence_of_the_api_is_known(
    operation: str, title: str, detail: str, expected: str
) -> None:
    result = came_of(an_answer(422, errors((title, detail))), operation)

    assert as_a_name(result) == expected


def test_every_rule_for_a_write_is_met_by_a_sentence() -> None:
    sentences = {(title, detail) for _, title, detail, _ in SENTENCES}

    unmet = [
        rule
        for rule in RULES
        if rule.source != "§3"
        and not any(
            title == rule.title and detail.startswith(rule.detail) for title, detail in sentences
        )
    ]

    assert unmet == []


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            errors(
                (
                    "Bad request",
                    "Correct json data structure required. See API docs for reference.",
                )
            ),
            "refused data",
        ),
        (400, errors(("Bad request", "comparison of Date with String failed")), "refused data"),
        (400, errors(("Bad parameter", "Filter must be a hash")), "refused data"),
        (
            404,
            errors(("Resource not found", "Nothing could be found for the provided details")),
            "refused state",
        ),
        (404, {"error": "Resource not found"}, "refused state"),
        (422, {"error": "Unprocessable content"}, "transient"),
    ],
)
def test_the_errors_of_every_operation_are_known(status: int, body: Any, expected: str) -> None:
    assert as_a_name(came_of(an_answer(status, body))) == expected


ALREADY = (P, "The '#/participant_id' is already deferred.")
TOMORROW = (P, "You cannot defer or withdraw this participant today. You need to")
UNKNOWN = (P, "Something nobody has ever seen.")
NOT_YET = (P, "You cannot defer #/participant_id. This is because")
NO_REASON = ("reason", "Enter a '#/reason'.")


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        ([ALREADY, ALREADY], "alreadythere"),
        ([ALREADY, NO_REASON], "refused data"),
        ([ALREADY, NOT_YET], "refused state"),
        ([ALREADY, UNKNOWN], "refused data"),
        ([ALREADY, TOMORROW], "later"),
        ([TOMORROW, NO_REASON], "refused data"),
        ([TOMORROW, NOT_YET], "refused state"),
        ([NOT_YET, NO_REASON], "refused data"),
    ],
)
def test_several_complaints_are_judged_together(
    together: list[tuple[str, str]], expected: str
) -> None:
    for order in (together, list(reversed(together))):
        assert as_a_name(came_of(an_answer(422, errors(*order)))) == expected


def test_the_same_sentence_means_something_else_to_another_operation() -> None:
    withdrawn = an_answer(422, errors((P, "The '#/participant_id' is already withdrawn.")))

    assert isinstance(came_of(withdrawn, "withdraw"), AlreadyThere)
    assert isinstance(came_of(withdrawn, "defer"), Refused)


def test_the_apis_words_are_kept_and_capped() -> None:
    told = errors(*[("t" * 1000, "d" * 10_000 + "\x00")] * 50)

    result = came_of(an_answer(422, told))

    assert isinstance(result, Refused)
    assert len(result.refusals) == MOST_REFUSALS
    assert len(result.refusals[0].title) == LONGEST_TITLE
    assert len(result.refusals[0].detail) == LONGEST_DETAIL
    assert result.refusals[0].detail.endswith("d…")


def test_control_characters_in_the_apis_words_are_blanked() -> None:
    result = came_of(an_answer(422, errors(("a\x00b", "c\x1b[31m\nd\u202e"))))

    assert isinstance(result, Refused)
    assert (result.refusals[0].title, result.refusals[0].detail) == ("a b", "c [31m d ")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"null", b"[]", b'{"errors":{}}', b'{"errors":[1]}']
)
def test_a_refusal_without_a_reason_says_so(body: bytes) -> None:
    result = came_of(an_answer(422, body))

    assert isinstance(result, Refused)
    assert [one.detail for one in result.refusals] == ["answered 422 without a reason"]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry_after": "30"}, timedelta(seconds=30)),
        ({"retry_after": " 30 "}, timedelta(seconds=30)),
        ({"retry_after": "0"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "86400"}, LONGEST_RETRY_AFTER),
        ({"retry_after": "9" * 400}, LONGEST_RETRY_AFTER),
        (
            {
                "retry_after": "Tue, 10 Feb 2026 12:02:00 GMT",
                "date": "Tue, 10 Feb 2026 12:00:30 GMT",
            },
            timedelta(seconds=90),
        ),
        (
            {
                "retry_after": "Tue, 10 Feb 2026 11:00:00 GMT",
                "date": "Tue, 10 Feb 2026 12:00:00 GMT",
            },
            None,
        ),
        ({"retry_after": "Tue, 10 Feb 2026 12:02:00 GMT"}, None),
    ],
)
def test_a_throttled_call_waits_as_long_as_it_is_told(
    headers: dict[str, str], wait: timedelta | None
) -> None:
    assert came_of(an_answer(429, b"Retry later\n", **headers)) == Throttled(retry_after=wait)


def test_the_servers_clock_is_read_from_its_date() -> None:
    told = Answer(status=200, headers={"date": "Tue, 10 Feb 2026 12:00:30 GMT"})

    assert told.date == datetime(2026, 2, 10, 12, 0, 30, tzinfo=UTC)
    assert Answer(status=200, headers={"date": "noon"}).date is None


def test_a_refused_key_tells_its_status_and_an_unusable_one_that_nothing_was_sent() -> None:
    unusable = Failure(kind=FailureKind.KEY_UNUSABLE, detail="")

    assert came_of(an_answer(401)) == KeyRefused(status=401)
    assert came_of(unusable) == KeyRefused(status=0)


def test_a_body_is_not_part_of_what_an_answer_shows() -> None:
    assert "Jane" not in repr(an_answer(200, b"Jane"))


NAMES = st.sampled_from(["data", "id", "type", "attributes", "errors", "error", "title", "detail"])
BODIES = st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(NAMES, one, max_size=4),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "date", "retry-after"]),
    st.text(max_size=12) | st.sampled_from(["application/json", "Tue, 10 Feb 2026 12:00:30 GMT"]),
)
REPLIES = st.builds(Answer, status=st.integers(100, 999), headers=HEADERS, body=BODIES) | st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    detail=st.text(max_size=9),
    status=st.none() | st.integers(100, 999),
    headers=HEADERS,
)
CASES = [(contract, one) for contract in CONTRACTS.values() for one in contract.operations.values()]


@settings(deadline=None)
@given(st.sampled_from(CASES), REPLIES)
def test_whatever_comes_back_has_an_outcome_and_only_2xx_delivers(case: Any, reply: Reply) -> None:
    contract, operation = case

    result = outcome(contract, operation, an_enrolment(), (), reply)

    if isinstance(result, Delivered):
        assert isinstance(reply, Answer)
        assert 200 <= reply.status < 300
    if isinstance(result, Transient) and operation.writes:
        unsent = isinstance(reply, Failure) and reply.kind is FailureKind.NOT_SENT
        assert unsent or 400 <= (reply.status or 0) < 500
    if isinstance(result, Refused):
        assert result.refusals
        assert result.blame in Blame
