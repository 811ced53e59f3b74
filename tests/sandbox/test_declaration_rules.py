"""Declare and void (contract 7.5 and 7.6)."""

from typing import cast

import pytest

from tests.sandbox.support import (
    MISSING,
    NOON,
    Got,
    Hand,
    Json,
    a_declaration,
    a_mentor,
    a_training,
    a_world,
    an_ect,
    in_2024,
)

DUPLICATE = (
    "declaration_type",
    "A declaration has already been submitted that will be, or has been, paid for this event.",
)
ENTER_EVIDENCE = ("evidence_held", "Enter a '#/evidence_held' value for this participant.")
UNKNOWN_EVIDENCE = (
    "evidence_held",
    "Enter an available '#/evidence_held' type for this participant.",
)
NO_STATEMENT = (
    "cohort",
    "You cannot submit or void declarations for the 2025 cohort. The funding contract for this "
    "cohort has ended. Get in touch if you need to discuss this with us.",
)
OUT_OF_SEQUENCE = (
    "declaration_date",
    "This '#/declaration_date' is invalid. Check that it is in sequence with existing "
    "declaration dates for this participant.",
)
WITHDRAWN = {"reason": "other", "at": "2025-11-03T09:00:00Z"}


def one(hand: Hand, person: Json | None = None, **sections: object) -> None:
    hand.world(a_world(participants={"e": person or an_ect()}, **sections))


def refused(got: Got, *errors: tuple[str, str]) -> bool:
    assert (got.status, got.errors) == (422, list(errors))
    return True


def test_a_declaration_shows_every_attribute(hand: Hand) -> None:
    mentor = {"school": "mill", "school_started_on": "2025-01-01", "role": "mentor"}
    hand.world(a_world(participants={"e": an_ect(mentor="m"), "m": mentor}))

    got = hand.declare("e", "started", declaration_date="2025-09-20T09:00:00.750+01:00")

    assert got.status == 200
    assert got.data["type"] == "participant-declaration"
    assert got.attributes == {
        "participant_id": hand.ids["e"],
        "declaration_type": "started",
        "course_identifier": "ecf-induction",
        "declaration_date": "2025-09-20T08:00:00Z",
        "state": "eligible",
        "mentor_id": hand.ids["m"],
        "updated_at": NOON,
        "created_at": NOON,
        "delivery_partner_id": hand.ids["hub"],
        "statement_id": hand.ids["dec"],
        "clawback_statement_id": None,
        "ineligible_for_funding_reason": None,
        "uplift_paid": False,
        "evidence_held": "other",
        "lead_provider_name": "Fenland",
    }
    assert hand.declared(str(got.data["id"])).data == got.data


def test_who_is_not_fundable_yet_gets_a_submitted_declaration(hand: Hand) -> None:
    one(hand, an_ect(fundable=False))

    got = hand.declare("e", "started").attributes

    assert (got["state"], got["statement_id"]) == ("submitted", None)


def test_the_values_must_be_there(hand: Hand) -> None:
    one(hand)

    got = hand.declare("e", "", participant_id="", course_identifier=None, declaration_date=MISSING)

    assert refused(
        got,
        ("participant_id", "Enter a '#/participant_id'."),
        ("course_identifier", "Enter a '#/course_identifier'."),
        ("declaration_date", "Enter a '#/declaration_date'."),
        ("declaration_type", "Enter a '#/declaration_type'."),
    )
    unknown = hand.declare("e", "retained-5")
    assert refused(unknown, ("declaration_type", "Enter a valid declaration type."))


def test_an_unknown_participant_is_refused_and_not_404(hand: Hand) -> None:
    theirs = an_ect(training=a_training(provider="rival", partnership="mill-rival"))
    one(hand, theirs)
    detail = (
        "Your update cannot be made as the '#/participant_id' is not recognised. "
        "Check participant details and try again."
    )

    for ref in ("e", "00000000-0000-0000-0000-000000000000", "junk"):
        assert refused(hand.declare(ref, "started"), ("participant_id", detail))


def test_the_course_must_be_one_the_participant_takes(hand: Hand) -> None:
    one(hand)

    assert refused(
        hand.declare("e", "started", course_identifier="ecf-mentor"),
        (
            "course_identifier",
            "The entered '#/course_identifier' is not recognised for the given participant. "
            "Check details and try again.",
        ),
    )


@pytest.mark.parametrize("state", ["submitted", "eligible", "payable", "paid"])
def test_a_live_declaration_of_the_type_is_a_duplicate_whoever_made_it(
    hand: Hand, state: str
) -> None:
    moved = an_ect(
        training=a_training(provider="rival", partnership="mill-rival", finished_on="2025-10-10"),
        then_training=a_training(started_on="2025-10-11"),
    )
    one(hand, moved, declarations={"d": a_declaration("e", by="rival", state=state)})

    got = hand.declare("e", "started", declaration_date="2025-11-01T09:00:00Z")

    assert refused(got, DUPLICATE)


@pytest.mark.parametrize("state", ["voided", "awaiting-clawback", "clawed-back"])
def test_what_was_taken_back_may_be_declared_again(hand: Hand, state: str) -> None:
    one(hand, declarations={"d": a_declaration("e", state=state)})

    assert hand.declare("e", "started").status == 200


@pytest.mark.parametrize("value", ["not-a-date", "2025-13-01T00:00:00Z", "2025-02-30", "true"])
def test_a_date_that_cannot_be_read_is_a_bad_request(hand: Hand, value: str) -> None:
    one(hand)

    got = hand.declare("e", "started", declaration_date=value)

    assert (got.status, got.errors[0][0]) == (400, "Bad request")


def test_a_date_must_not_lie_ahead(hand: Hand) -> None:
    one(hand)
    detail = "The '#/declaration_date' value cannot be a future date. Check the date and try again."

    got = hand.declare("e", "started", declaration_date="2025-11-14T12:00:01Z")

    assert refused(got, ("declaration_date", detail))
    assert hand.declare("e", "started", declaration_date=NOON).status == 200


@pytest.mark.parametrize(
    ("date", "accepted"),
    [("2024-12-31T23:59:59Z", False), ("2025-01-01T00:00:00Z", True),
     ("2025-03-31T22:59:59Z", True), ("2025-03-31T23:00:00Z", False)],
)  # fmt: skip
def test_the_window_of_a_type_counts_london_days_with_both_ends(
    hand: Hand, date: str, accepted: bool
) -> None:
    one(hand, in_2024())

    got = hand.declare("e", "retained-1", declaration_date=date)

    assert (got.status == 200) == accepted
    if not accepted:
        side = "after the milestone start" if date < "2025-02" else "before the milestone"
        assert got.errors[0][1] == (
            f"Declaration date must be on or {side} date for the same declaration type."
        )


@pytest.mark.parametrize("value", ["2025-10-01", "2025-10-01 09:00:00", "01/10/2025",
                                   "1 October 2025", "2025-10-01T09:00:00"])  # fmt: skip
def test_a_readable_date_must_be_rfc_3339(hand: Hand, value: str) -> None:
    one(hand)

    got = hand.declare("e", "started", declaration_date=value)

    assert refused(got, ("declaration_date", "Enter a valid RCF3339 '#/declaration_date'."))


def test_mentors_from_2025_are_started_and_completed_only(hand: Hand) -> None:
    one(hand, a_mentor())

    got = hand.declare("e", "retained-1", course_identifier="ecf-mentor")

    assert refused(
        got,
        (
            "declaration_type",
            "You cannot send retained or extended declarations for participants who began their "
            "mentor training after June 2025. Resubmit this declaration with either a started or "
            "completed declaration.",
        ),
    )


@pytest.mark.parametrize(
    ("kind", "evidence", "accepted"),
    [
        ("started", "materials-engaged-with-offline", True),
        ("started", "75-percent-engagement-met", False),
        ("retained-1", "other", True),
        ("retained-2", "75-percent-engagement-met", True),
        ("retained-2", "other", False),
        ("completed", "one-term-induction", True),
        ("completed", "other", False),
    ],
)
def test_evidence_of_ects_from_2025(hand: Hand, kind: str, evidence: str, accepted: bool) -> None:
    one(hand)

    got = hand.declare("e", kind, evidence_held=evidence)

    assert got.status == 200 if accepted else refused(got, UNKNOWN_EVIDENCE)


@pytest.mark.parametrize("kind", ["started", "retained-2", "completed"])
def test_evidence_is_required_from_2025(hand: Hand, kind: str) -> None:
    one(hand)

    assert refused(hand.declare("e", kind, evidence_held=MISSING), ENTER_EVIDENCE)


def test_evidence_of_a_mentors_completed(hand: Hand) -> None:
    one(hand, a_mentor())
    mentor = "ecf-mentor"

    got = hand.declare(
        "e", "completed", course_identifier=mentor, evidence_held="one-term-induction"
    )

    assert refused(got, UNKNOWN_EVIDENCE)
    started = hand.declare("e", "started", course_identifier=mentor, evidence_held=MISSING)
    assert refused(started, ENTER_EVIDENCE)


def test_evidence_up_to_2024(hand: Hand) -> None:
    one(hand, in_2024())
    date = {"declaration_date": "2025-01-20T09:00:00Z"}

    started = hand.declare(
        "e", "started", evidence_held="whatever", declaration_date="2024-10-01T09:00:00Z"
    )
    assert started.attributes["evidence_held"] is None
    assert refused(hand.declare("e", "retained-1", evidence_held=MISSING, **date), ENTER_EVIDENCE)
    assert refused(
        hand.declare("e", "retained-1", evidence_held="materials-engaged-with-offline", **date),
        UNKNOWN_EVIDENCE,
    )
    assert hand.declare("e", "retained-1", **date).attributes["evidence_held"] == "other"


def test_a_withdrawn_participant_is_declared_up_to_the_instant_before(hand: Hand) -> None:
    one(hand, an_ect(withdrawal=WITHDRAWN))
    detail = (
        "This participant withdrew from this course on 2025-11-03T09:00:00Z. Enter a "
        "'#/declaration_date' that's on or before the withdrawal date."
    )

    at = hand.declare("e", "started", declaration_date="2025-11-03T09:00:00Z")

    assert refused(at, ("participant_id", detail))
    assert hand.declare("e", "started", declaration_date="2025-11-03T08:59:59Z").status == 200


def test_a_deferral_does_not_block_a_declaration(hand: Hand) -> None:
    one(hand, an_ect(deferral={"reason": "other", "at": "2025-10-01T09:00:00Z"}))

    assert hand.declare("e", "started", declaration_date="2025-11-01T09:00:00Z").status == 200


def test_nothing_is_declared_in_a_frozen_cohort(hand: Hand) -> None:
    hand.world(
        a_world(participants={"e": an_ect()}, cohorts={"2025": {"payments_frozen_at": NOON}})
    )

    assert refused(
        hand.declare("e", "started"),
        (
            "cohort",
            "You cannot submit declarations for the 2025 cohort. The funding contract for this "
            "cohort has ended. Get in touch if you need to discuss this with us.",
        ),
    )


@pytest.mark.parametrize(("cut_off", "accepted"), [("2025-11-13", False), ("2025-11-14", True)])
def test_a_fundable_participant_needs_an_open_statement(
    hand: Hand, cut_off: str, accepted: bool
) -> None:
    statement = {
        "provider": "fenland",
        "cohort": 2025,
        "month": 11,
        "year": 2025,
        "cut_off_date": cut_off,
        "payment_date": "2025-12-20",
    }
    one(hand, statements={"dec": statement})

    got = hand.declare("e", "started")

    assert got.status == 200 if accepted else refused(got, NO_STATEMENT)


def test_without_a_statement_who_is_not_fundable_is_still_submitted(hand: Hand) -> None:
    world = a_world(participants={"e": an_ect(fundable=False)})
    world["statements"] = {}
    hand.world(world)

    assert hand.declare("e", "started").attributes["state"] == "submitted"


def test_a_type_must_exist_on_the_schedule(hand: Hand) -> None:
    one(hand, an_ect(training=a_training(schedule="ecf-reduced-september")))
    detail = "The property '#/declaration_type' does not exist for this schedule."

    assert refused(hand.declare("e", "retained-1"), ("declaration_type", detail))


@pytest.mark.parametrize(
    ("kind", "date", "accepted"),
    [("retained-3", "2025-10-01T08:59:59Z", False), ("retained-3", "2025-10-02T09:00:00Z", True),
     ("started", "2025-10-02T09:00:00Z", False), ("started", "2025-09-30T09:00:00Z", True)],
)  # fmt: skip
def test_dates_from_2025_follow_the_sequence_of_types(
    hand: Hand, kind: str, date: str, accepted: bool
) -> None:
    existing = a_declaration("e", "retained-1", date="2025-10-01T09:00:00Z")
    one(hand, declarations={"d": existing})

    got = hand.declare("e", kind, declaration_date=date)

    assert got.status == 200 if accepted else refused(got, OUT_OF_SEQUENCE)


def test_up_to_2024_the_sequence_does_not_count(hand: Hand) -> None:
    existing = a_declaration("e", "retained-1", date="2024-10-01T09:00:00Z")
    one(hand, in_2024(), declarations={"d": existing})

    assert hand.declare("e", "started", declaration_date="2024-11-01T09:00:00Z").status == 200


def completed(hand: Hand) -> Got:
    return hand.declare(
        "m", "completed", course_identifier="ecf-mentor", evidence_held="75-percent-engagement-met"
    )


def test_a_mentors_completed_ends_their_training_and_a_void_reopens_it(hand: Hand) -> None:
    hand.world(a_world(participants={"m": a_mentor()}))

    made = completed(hand)

    shown = hand.participant("m")
    assert shown.enrolment["mentor_funding_end_date"] == "2025-10-01"
    reason = shown.enrolment["mentor_ineligible_for_funding_reason"]
    assert reason == "completed_declaration_received"
    assert (shown.enrolment["participant_status"], shown.attributes["updated_at"]) == (
        "active",
        NOON,
    )
    assert hand.void(str(made.data["id"])).attributes["state"] == "voided"
    reopened = hand.participant("m").enrolment
    assert reopened["mentor_funding_end_date"] is None
    assert hand.act("m", "defer", reason="other", course_identifier="ecf-mentor").status == 200


# Void


@pytest.mark.parametrize("state", ["submitted", "eligible", "payable"])
def test_what_is_not_paid_is_voided(hand: Hand, state: str) -> None:
    one(hand, declarations={"d": a_declaration("e", state=state)})

    got = hand.void("d").attributes

    assert (got["state"], got["statement_id"], got["updated_at"]) == ("voided", None, NOON)


def test_what_is_paid_is_clawed_back_on_the_next_statement(hand: Hand) -> None:
    paid = {
        "provider": "fenland",
        "cohort": 2025,
        "month": 10,
        "year": 2025,
        "cut_off_date": "2025-09-30",
        "payment_date": "2025-10-25",
        "status": "paid",
    }
    one(hand, statements={"oct": paid}, declarations={"d": a_declaration("e", state="paid")})

    got = hand.void("d").attributes

    assert (got["state"], got["statement_id"], got["clawback_statement_id"]) == (
        "awaiting-clawback",
        hand.ids["oct"],
        hand.ids["dec"],
    )


def test_what_is_paid_needs_a_later_statement(hand: Hand) -> None:
    world = a_world(
        participants={"e": an_ect()}, declarations={"d": a_declaration("e", state="paid")}
    )
    cast("Json", world["statements"]).pop("dec")
    hand.world(world)

    assert refused(
        hand.void("d"), ("participant_declaration_id", NO_STATEMENT[1].removesuffix("."))
    )


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        ("voided", "The declaration has already been voided."),
        ("awaiting-clawback", "The declaration will or has been refunded"),
        ("clawed-back", "The declaration will or has been refunded"),
    ],
)
def test_what_was_taken_back_is_not_voided_again(hand: Hand, state: str, detail: str) -> None:
    one(hand, declarations={"d": a_declaration("e", state=state)})

    assert refused(hand.void("d"), ("participant_declaration_id", detail))


def test_after_a_void_the_same_may_be_declared_with_a_new_id(hand: Hand) -> None:
    one(hand)
    first = hand.declare("e", "started")
    hand.void(str(first.data["id"]))

    second = hand.declare("e", "started")

    assert second.status == 200
    assert second.data["id"] != first.data["id"]


def test_the_second_of_two_equal_declarations_is_refused(hand: Hand) -> None:
    one(hand)

    assert hand.declare("e", "started").status == 200
    assert refused(hand.declare("e", "started"), DUPLICATE)
