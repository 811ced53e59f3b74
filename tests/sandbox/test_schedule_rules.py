"""Change-schedule (contract 7.4)."""

from typing import cast

import pytest

from tests.sandbox.support import (
    NOON,
    TOMORROW,
    Got,
    Hand,
    Json,
    a_mentor,
    a_training,
    a_world,
    an_ect,
    in_2024,
)

NOT_VALID = (
    "schedule_identifier",
    "The property '#/schedule_identifier' must be present and correspond to a valid schedule.",
)
NOT_LISTED = ("schedule_identifier", "Enter a valid schedule identifier.")
UNCHANGED = ("schedule_identifier", "Selected schedule is already on the profile")
LEFT = (
    "participant_id",
    "You cannot change this participant's schedule. This is because the participant has a 'left' "
    "participant_status, so they are not training with you currently.",
)
COMPLETED = (
    "participant_id",
    "You cannot change this participant's schedule as they have completed their training or "
    "induction.",
)
NO_PARTNERSHIP = (
    "cohort",
    "You cannot change a participant to this contract_period as you do not have a partnership "
    "with the school for the contract_period. Contact the DfE for assistance.",
)
FROZEN = (
    "cohort",
    "You cannot move a participant to a payments frozen cohort unless they previously belonged "
    "to that cohort.",
)
EXTENDED = "ecf-extended-september"
STANDARD = "ecf-standard-september"


def one(hand: Hand, person: Json, **sections: object) -> None:
    hand.world(a_world(participants={"e": person}, **sections))


def change(
    hand: Hand,
    to: object = EXTENDED,
    *,
    course_identifier: str = "ecf-induction",
    cohort: object = None,
) -> Got:
    return hand.act(
        "e",
        "change-schedule",
        schedule_identifier=to,
        course_identifier=course_identifier,
        cohort=cohort,
    )


def refused(got: Got, *errors: tuple[str, str]) -> bool:
    assert (got.status, got.errors) == (422, list(errors))
    return True


def trainings(hand: Hand) -> list[Json]:
    world = cast("dict[str, dict[str, Json]]", hand.control("GET", "/world").json)
    posts = cast("list[Json]", world["participants"]["e"]["posts"])
    return cast("list[Json]", posts[-1]["trainings"])


def test_a_period_that_began_before_today_is_ended_yesterday(hand: Hand) -> None:
    one(hand, an_ect())

    got = change(hand)

    old, new = trainings(hand)
    assert got.enrolment["schedule_identifier"] == EXTENDED
    assert got.attributes["updated_at"] == NOON
    assert (old["finished_on"], old["schedule"]) == ("2025-11-13", STANDARD)
    assert (new["started_on"], new["finished_on"], new["schedule"]) == (
        "2025-11-14",
        None,
        EXTENDED,
    )


@pytest.mark.parametrize("started_on", ["2025-11-14", TOMORROW])
def test_a_period_that_began_today_or_later_is_edited_in_place(hand: Hand, started_on: str) -> None:
    one(hand, an_ect(training=a_training(started_on=started_on)))

    assert change(hand).status == 200
    assert [(t["started_on"], t["schedule"]) for t in trainings(hand)] == [(started_on, EXTENDED)]


@pytest.mark.parametrize("identifier", [None, "", "ecf-standard-april"])
def test_a_schedule_must_be_given_and_exist_for_the_cohort(hand: Hand, identifier: object) -> None:
    one(hand, an_ect())

    assert refused(change(hand, identifier), NOT_VALID)


@pytest.mark.parametrize("identifier", ["standard-september", "ecf-standard-may", "x"])
def test_a_schedule_must_be_one_of_the_list(hand: Hand, identifier: str) -> None:
    one(hand, an_ect())

    assert refused(change(hand, identifier), NOT_LISTED)


def test_the_schedule_on_the_profile_is_already_applied(hand: Hand) -> None:
    one(hand, an_ect())

    assert refused(change(hand, STANDARD), UNCHANGED)
    assert change(hand).status == 200
    assert refused(change(hand), UNCHANGED)


def test_an_ect_has_no_replacement_schedule(hand: Hand) -> None:
    one(hand, an_ect())
    detail = "Selected schedule is not valid for the course_identifier"

    assert refused(change(hand, "ecf-replacement-september"), ("schedule_identifier", detail))


def test_a_mentor_has_no_reduced_schedule(hand: Hand) -> None:
    one(hand, a_mentor())
    detail = "Mentors cannot be placed on a reduced schedule. Assign them to a different schedule."

    assert refused(
        change(hand, "ecf-reduced-september", course_identifier="ecf-mentor"),
        ("schedule_identifier", detail),
    )


@pytest.mark.parametrize("cohort", [None, "", "1999", "next"])
def test_a_cohort_left_out_or_unknown_is_the_current_one(hand: Hand, cohort: object) -> None:
    one(hand, an_ect())

    assert change(hand, cohort=cohort).enrolment["cohort"] == "2025"


def test_a_move_to_another_cohort_goes_to_your_partnership_there(hand: Hand) -> None:
    newest = {
        "school": "mill",
        "provider": "fenland",
        "delivery_partner": "spoke",
        "cohort": 2025,
        "created_at": "2025-10-01T09:00:00Z",
    }
    one(hand, in_2024(), partnerships={"newest": newest})

    got = change(hand, STANDARD, cohort="2025")

    shown = got.enrolment
    assert (shown["cohort"], shown["delivery_partner_id"]) == ("2025", hand.ids["hub"])
    assert trainings(hand)[-1]["partnership"] == "mill-25"


def test_without_the_same_delivery_partner_the_newest_partnership_is_taken(hand: Hand) -> None:
    base = {"school": "mill", "provider": "fenland", "delivery_partner": "spoke", "cohort": 2025}
    world = a_world(participants={"e": in_2024()})
    partnerships = cast("Json", world["partnerships"])
    partnerships["mill-25"] = base
    partnerships["newer"] = {**base, "created_at": "2025-10-01T09:00:00Z"}
    hand.world(world)

    assert change(hand, STANDARD, cohort="2025").status == 200
    assert trainings(hand)[-1]["partnership"] == "newer"


def test_a_cohort_without_a_partnership_is_refused(hand: Hand) -> None:
    one(hand, an_ect())

    assert refused(change(hand, STANDARD, cohort="2026"), NO_PARTNERSHIP)


def test_a_frozen_cohort_takes_back_only_its_own(hand: Hand) -> None:
    once = a_training(partnership="mill-21", started_on="2021-09-01", finished_on="2025-08-31")
    hand.world(
        a_world(
            participants={
                "e": an_ect(),
                "b": an_ect(school_started_on="2021-09-01", earlier_training=once),
            }
        )
    )

    assert refused(change(hand, STANDARD, cohort="2021"), FROZEN)
    back = hand.act("b", "change-schedule", schedule_identifier=STANDARD, cohort="2021")
    assert back.enrolment["cohort"] == "2021"


def test_a_move_out_of_a_frozen_cohort_is_remembered(hand: Hand) -> None:
    stuck = a_training(partnership="mill-21", started_on="2021-09-01")
    one(hand, an_ect(school_started_on="2021-09-01", training=stuck))

    got = change(hand, STANDARD, cohort="2025")

    assert got.enrolment["cohort_changed_after_payments_frozen"] is True


PASSED = {"started_on": "2025-09-01", "finished_on": "2025-11-01", "outcome": "pass"}


def test_who_has_completed_changes_no_schedule_but_an_ect_to_a_reduced_one(hand: Hand) -> None:
    one(hand, an_ect(induction=PASSED))

    assert refused(change(hand), COMPLETED)
    assert change(hand, "ecf-reduced-september").status == 200


def test_a_mentor_whose_funding_ended_has_completed(hand: Hand) -> None:
    one(hand, a_mentor(mentor_funding_end_date="2025-11-01"))

    assert refused(change(hand, course_identifier="ecf-mentor"), COMPLETED)


@pytest.mark.parametrize(
    "person",
    [
        an_ect(deferral={"reason": "other", "at": "2025-11-03T09:00:00Z"}),
        an_ect(withdrawal={"reason": "other", "at": "2025-11-03T09:00:00Z"}),
        an_ect(training=a_training(finished_on="2025-11-14")),
    ],
)
def test_who_has_left_must_be_resumed_first(hand: Hand, person: Json) -> None:
    one(hand, person)

    assert refused(change(hand), LEFT)


def test_who_is_withdrawn_and_still_leaving_is_refused_too(hand: Hand) -> None:
    flag = {"reason": "other", "at": "2025-11-03T09:00:00Z", "keeps_finished_on": True}
    one(hand, an_ect(withdrawal=flag))

    assert refused(
        change(hand), ("participant_id", "Cannot perform actions on a withdrawn participant")
    )


def test_who_starts_elsewhere_later_is_refused(hand: Hand) -> None:
    later = a_training(provider="rival", partnership="mill-rival", started_on="2026-01-05")
    leaving = an_ect(training=a_training(finished_on="2026-01-04"), then_training=later)
    one(hand, leaving)

    assert refused(
        change(hand),
        (
            "participant_id",
            "You cannot change this participant's schedule as they are due to start with another "
            "lead provider in the future.",
        ),
    )


def test_a_second_change_on_a_day_must_not_invalidate_a_declaration(hand: Hand) -> None:
    one(hand, an_ect())
    assert change(hand).status == 200
    made = hand.declare("e", "retained-1", declaration_date="2025-11-14T09:00:00Z")
    assert made.status == 200

    assert refused(
        change(hand, "ecf-reduced-september"),
        (
            "schedule_identifier",
            "The change of schedule cannot be applied because a previous change of schedule and "
            "a declaration were made on the same day. Applying another change of schedule would "
            "invalidate existing declarations. Please contact DfE for assistance.",
        ),
    )
    assert change(hand, STANDARD).status == 200


def test_several_problems_give_several_entries(hand: Hand) -> None:
    one(hand, an_ect(deferral={"reason": "other", "at": "2025-11-03T09:00:00Z"}))

    assert refused(change(hand, STANDARD), UNCHANGED, LEFT)


def test_after_a_change_defer_waits_until_tomorrow(hand: Hand) -> None:
    one(hand, an_ect())
    change(hand)

    assert hand.act("e", "defer", reason="other").status == 422
    hand.clock("2025-11-15T09:00:00Z")
    assert hand.act("e", "defer", reason="other").status == 200
