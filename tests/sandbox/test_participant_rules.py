"""Representations, and defer, withdraw, resume (contract 6, 7.1 to 7.3 and 9)."""

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

DEFERRED = {"reason": "parental-leave", "at": "2025-11-03T09:00:00.9Z"}
ENTER_COURSE = ("course_identifier", "Enter a '#/course_identifier'.")
UNKNOWN_COURSE = (
    "course_identifier",
    "The entered '#/course_identifier' is not recognised for the given participant. "
    "Check details and try again.",
)
ENTER_REASON = ("reason", "Enter a '#/reason'.")
UNKNOWN_REASON = (
    "reason",
    "The entered '#/reason' is not recognised for the given participant. "
    "Check details and try again.",
)
TRY_TOMORROW = (
    "participant_id",
    "You cannot defer or withdraw this participant today. You need to try again tomorrow as the "
    "training was recently changed for this participant.",
)


def already(status: str) -> tuple[str, str]:
    return "participant_id", f"The '#/participant_id' is already {status}."


def one(hand: Hand, person: Json, **sections: object) -> None:
    hand.world(a_world(participants={"e": person}, **sections))


def refused(got: Got, *errors: tuple[str, str]) -> bool:
    assert (got.status, got.errors) == (422, list(errors))
    return True


def test_a_participant_shows_every_attribute(hand: Hand) -> None:
    ect = an_ect(
        full_name="Imran Qureshi",
        induction={"started_on": "2025-09-02", "finished_on": "2025-11-01", "outcome": "pass"},
        mentor="m",
        deferral=DEFERRED,
        working_pattern="part_time",
        pupil_premium_uplift=True,
        enrolment_created_at="2025-08-20T10:00:00Z",
    )
    hand.world(a_world(participants={"e": ect, "m": a_mentor()}))

    got = hand.participant("e").data

    assert got == {
        "id": hand.ids["e"],
        "type": "participant",
        "attributes": {
            "full_name": "Imran Qureshi",
            "teacher_reference_number": "1000001",
            "updated_at": "2025-09-03T08:15:00Z",
            "participant_id_changes": [],
            "ecf_enrolments": [
                {
                    "training_record_id": "74100802-6774-5787-b063-4c471d2a47d2",
                    "email": "e@example.com",
                    "mentor_id": hand.ids["m"],
                    "school_urn": "900901",
                    "participant_type": "ect",
                    "working_pattern": "part_time",
                    "cohort": "2025",
                    "training_status": "deferred",
                    "participant_status": "left",
                    "eligible_for_funding": True,
                    "pupil_premium_uplift": False,
                    "sparsity_uplift": False,
                    "schedule_identifier": "ecf-standard-september",
                    "delivery_partner_id": hand.ids["hub"],
                    "withdrawal": None,
                    "deferral": {"reason": "parental-leave", "date": "2025-11-03T09:00:00Z"},
                    "created_at": "2025-08-20T10:00:00Z",
                    "induction_end_date": "2025-11-01",
                    "most_recent_induction_period_end_date": "2025-11-01",
                    "overall_induction_start_date": "2025-09-02",
                    "mentor_funding_end_date": None,
                    "cohort_changed_after_payments_frozen": False,
                    "mentor_ineligible_for_funding_reason": None,
                }
            ],
        },
    }


def test_a_mentor_shows_nothing_of_an_ects(hand: Hand) -> None:
    mentor = a_mentor(
        mentor_funding_end_date="2025-11-01",
        mentor_ineligible_for_funding_reason="started_not_completed",
        pupil_premium_uplift=True,
        training=a_training(partnership="mill-24"),
    )
    one(hand, mentor)

    shown = hand.participant("e").enrolment

    assert (shown["participant_type"], shown["working_pattern"], shown["mentor_id"]) == (
        "mentor",
        None,
        None,
    )
    assert (shown["mentor_funding_end_date"], shown["mentor_ineligible_for_funding_reason"]) == (
        "2025-11-01",
        "started_not_completed",
    )
    assert shown["pupil_premium_uplift"] is False


def test_uplifts_show_up_to_2024(hand: Hand) -> None:
    one(hand, in_2024(pupil_premium_uplift=True, sparsity_uplift=True))

    shown = hand.participant("e").enrolment

    assert (shown["pupil_premium_uplift"], shown["sparsity_uplift"]) == (True, True)


def test_the_ects_enrolment_comes_before_the_mentors(hand: Hand) -> None:
    role = {"school": "mill", "school_started_on": "2025-09-01", "training": a_training()}
    one(hand, {"roles": {"mentor": role, "ect": role}})

    shown = cast("list[Json]", hand.participant("e").attributes["ecf_enrolments"])

    assert [enrolment["participant_type"] for enrolment in shown] == ["ect", "mentor"]


PASSED = {"started_on": "2025-09-01", "finished_on": "2025-11-01", "outcome": "pass"}
WITHDRAWN = {"reason": "other", "at": "2025-11-03T09:00:00Z"}


@pytest.mark.parametrize(
    ("status", "person"),
    [
        ("joining", an_ect(training=a_training(started_on=TOMORROW))),
        ("active", an_ect(training=a_training(started_on="2025-11-14"))),
        ("leaving", an_ect(training=a_training(finished_on=TOMORROW))),
        ("left", an_ect(training=a_training(finished_on="2025-11-14"))),
        ("left", an_ect(withdrawal=WITHDRAWN)),
        ("leaving", an_ect(withdrawal={**WITHDRAWN, "keeps_finished_on": True})),
        ("active", an_ect(induction=PASSED)),
        ("active", an_ect(induction=PASSED, training=a_training(finished_on="2025-11-01"))),
        ("left", an_ect(induction=PASSED, training=a_training(finished_on="2025-10-31"))),
        ("left", an_ect(induction=PASSED, withdrawal=WITHDRAWN)),
        (
            "active",
            a_mentor(
                mentor_funding_end_date="2025-11-01",
                training=a_training(finished_on="2025-11-01"),
            ),
        ),
    ],
)
def test_participant_status_follows_from_the_latest_period(
    hand: Hand, status: str, person: Json
) -> None:
    one(hand, person)

    assert hand.participant("e").enrolment["participant_status"] == status


def test_time_alone_flips_the_status_and_moves_no_stamp(hand: Hand) -> None:
    one(hand, an_ect(training=a_training(started_on=TOMORROW)))
    before = hand.participant("e").attributes["updated_at"]

    hand.clock("2025-11-15T12:00:00Z")

    assert hand.participant("e").enrolment["participant_status"] == "active"
    assert hand.participant("e").attributes["updated_at"] == before


# What all four have in common


@pytest.mark.parametrize("action", ["defer", "resume", "withdraw", "change-schedule"])
@pytest.mark.parametrize("course", [None, "", "ecf", "ect"])
def test_a_course_must_be_named(hand: Hand, action: str, course: object) -> None:
    one(hand, an_ect())

    got = hand.act("e", action, reason="other", schedule_identifier="ecf-extended-september",
                   course_identifier=course)  # fmt: skip

    assert refused(got, ENTER_COURSE)


@pytest.mark.parametrize("action", ["defer", "resume", "withdraw", "change-schedule"])
def test_the_course_must_be_one_the_participant_takes_with_you(hand: Hand, action: str) -> None:
    one(hand, an_ect())

    got = hand.act("e", action, reason="other", schedule_identifier="ecf-extended-september",
                   course_identifier="ecf-mentor")  # fmt: skip

    assert refused(got, UNKNOWN_COURSE)


@pytest.mark.parametrize("action", ["defer", "withdraw"])
@pytest.mark.parametrize("reason", [None, "", "parental_leave", "no"])
def test_a_reason_must_be_one_of_the_list(hand: Hand, action: str, reason: object) -> None:
    one(hand, an_ect())

    got = hand.act("e", action, reason=reason)

    assert refused(got, UNKNOWN_REASON if reason else ENTER_REASON)


def test_several_problems_give_several_entries(hand: Hand) -> None:
    one(hand, an_ect())

    assert refused(hand.act("e", "defer", course_identifier=""), ENTER_COURSE, ENTER_REASON)


# Defer


def test_deferring_ends_training_today_and_shows_at_once(hand: Hand) -> None:
    one(hand, an_ect())

    got = hand.act("e", "defer", reason="career-break")

    shown = got.enrolment
    assert got.status == 200
    assert (shown["training_status"], shown["participant_status"]) == ("deferred", "left")
    assert shown["deferral"] == {"reason": "career-break", "date": NOON}
    assert got.attributes["updated_at"] == NOON
    assert hand.participant("e").data == got.data


def test_deferring_keeps_an_earlier_end(hand: Hand) -> None:
    one(hand, an_ect(training=a_training(finished_on="2025-11-10")))

    assert hand.act("e", "defer", reason="other").status == 200
    assert _trainings(hand)[0]["finished_on"] == "2025-11-10"


def _trainings(hand: Hand) -> list[Json]:
    world = cast("dict[str, dict[str, Json]]", hand.control("GET", "/world").json)
    posts = cast("list[Json]", world["participants"]["e"]["posts"])
    return cast("list[Json]", posts[-1]["trainings"])


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (an_ect(deferral=DEFERRED), already("deferred")),
        (an_ect(withdrawal=DEFERRED | {"reason": "other"}), already("withdrawn")),
        (
            an_ect(training=a_training(started_on=TOMORROW)),
            (
                "participant_id",
                "You cannot defer #/participant_id. This is because they have not been training "
                "with you for at least one day.",
            ),
        ),
        (an_ect(training=a_training(started_on="2025-11-14")), TRY_TOMORROW),
    ],
)
def test_who_cannot_be_deferred(hand: Hand, person: Json, error: tuple[str, str]) -> None:
    one(hand, person)

    assert refused(hand.act("e", "defer", reason="other"), error)


def test_the_day_is_londons(hand: Hand) -> None:
    one(hand, an_ect(training=a_training(started_on="2025-07-02")))

    hand.clock("2025-07-01T23:30:00Z")

    assert refused(hand.act("e", "defer", reason="other"), TRY_TOMORROW)
    hand.clock("2025-07-02T23:00:00Z")
    assert hand.act("e", "defer", reason="other").status == 200


# Withdraw


@pytest.mark.parametrize("person", [an_ect(), an_ect(deferral=DEFERRED)])
def test_withdrawing_is_possible_from_active_and_from_deferred(hand: Hand, person: Json) -> None:
    one(hand, person)

    got = hand.act("e", "withdraw", reason="moved-school")

    shown = got.enrolment
    assert (shown["training_status"], shown["participant_status"]) == ("withdrawn", "left")
    assert (shown["withdrawal"], shown["deferral"]) == (
        {"reason": "moved-school", "date": NOON},
        None,
    )


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (an_ect(withdrawal=WITHDRAWN), already("withdrawn")),
        (
            an_ect(training=a_training(started_on=TOMORROW)),
            (
                "participant_id",
                "You cannot withdraw #/participant_id. This is because they have not been "
                "training with you for at least one day.",
            ),
        ),
        (an_ect(training=a_training(started_on="2025-11-14")), TRY_TOMORROW),
    ],
)
def test_who_cannot_be_withdrawn(hand: Hand, person: Json, error: tuple[str, str]) -> None:
    one(hand, person)

    assert refused(hand.act("e", "withdraw", reason="other"), error)


def test_only_a_mentor_stops_being_one(hand: Hand) -> None:
    reason = "mentor-no-longer-being-mentor"
    hand.world(a_world(participants={"e": an_ect(), "m": a_mentor()}))

    assert refused(
        hand.act("e", "withdraw", reason=reason),
        ("reason", "You cannot withdraw an ECT for this reason. The ECT is not a mentor."),
    )
    mentor = hand.act("m", "withdraw", reason=reason, course_identifier="ecf-mentor")
    assert mentor.status == 200


# Resume


@pytest.mark.parametrize(
    "person", [an_ect(deferral=DEFERRED), an_ect(withdrawal=WITHDRAWN), an_ect(
        deferral=DEFERRED, withdrawal={"reason": "other", "at": "2025-11-05T09:00:00Z"})]
)  # fmt: skip
def test_resuming_opens_a_new_period_from_today(hand: Hand, person: Json) -> None:
    one(hand, person)

    got = hand.act("e", "resume")

    shown = got.enrolment
    assert (shown["training_status"], shown["participant_status"]) == ("active", "active")
    assert (shown["deferral"], shown["withdrawal"]) == (None, None)
    old, new = _trainings(hand)
    assert (old["finished_on"], new["started_on"], new["finished_on"]) == (
        "2025-11-03",
        "2025-11-14",
        None,
    )
    assert (new["schedule"], new["partnership"]) == (old["schedule"], old["partnership"])


ELSEWHERE = a_training(provider="rival", partnership="mill-rival", started_on="2025-11-10")


@pytest.mark.parametrize(
    ("person", "detail"),
    [
        (an_ect(), "The '#/participant_id' is already active."),
        (
            an_ect(deferral={"reason": "other", "at": "2025-11-14T00:00:00Z"}),
            "You cannot resume a participant on the same day they were withdrawn or deferred. "
            "Resume them tomorrow or later.",
        ),
        (
            an_ect(deferral=DEFERRED, then_training=ELSEWHERE),
            "This participant cannot be resumed because they are already active with another "
            "provider.",
        ),
        (
            an_ect(withdrawal=WITHDRAWN, school_finished_on="2025-11-14"),
            "The participant is no longer at the school. Please contact the induction tutor to "
            "resolve.",
        ),
    ],
)
def test_who_cannot_be_resumed(hand: Hand, person: Json, detail: str) -> None:
    one(hand, person)

    assert refused(hand.act("e", "resume"), ("participant_id", detail))


def test_a_resume_that_records_contradict_is_refused_without_a_list(hand: Hand) -> None:
    kept = {**WITHDRAWN, "keeps_finished_on": True}
    one(hand, an_ect(withdrawal=kept, training=a_training(finished_on="2025-12-20")))

    got = hand.act("e", "resume")

    assert (got.status, got.json) == (422, {"error": "Unprocessable content"})


def test_resuming_without_a_course_leaves_no_attribute_at_all(hand: Hand) -> None:
    one(hand, an_ect(deferral=DEFERRED))
    body: Json = {"data": cast("Json", {"attributes": {}})}

    assert hand.send("PUT", f"/participants/{hand.ids['e']}/resume", body).status == 400


def test_after_a_deferral_resume_waits_until_tomorrow_and_then_defer_does(hand: Hand) -> None:
    one(hand, an_ect())

    assert hand.act("e", "defer", reason="other").status == 200
    assert refused(
        hand.act("e", "resume"),
        (
            "participant_id",
            "You cannot resume a participant on the same day they were withdrawn or deferred. "
            "Resume them tomorrow or later.",
        ),
    )
    hand.clock("2025-11-15T09:00:00Z")
    assert hand.act("e", "resume").status == 200
    assert refused(hand.act("e", "defer", reason="other"), TRY_TOMORROW)
    assert refused(hand.act("e", "withdraw", reason="other"), TRY_TOMORROW)


def test_the_second_of_two_equal_writes_is_told_it_is_done(hand: Hand) -> None:
    one(hand, an_ect())

    hand.act("e", "withdraw", reason="other")

    assert refused(hand.act("e", "withdraw", reason="other"), already("withdrawn"))
    assert refused(hand.act("e", "defer", reason="other"), already("withdrawn"))
