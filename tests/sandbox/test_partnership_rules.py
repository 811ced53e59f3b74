"""Partnerships (contract 7.7)."""

import pytest

from tests.sandbox.support import NOON, Got, Hand, Json, a_declaration, a_training, a_world, an_ect

NO_ID = "00000000-0000-0000-0000-000000000000"
NOT_PAIRED = (
    "delivery_partner_id",
    "The entered delivery partner is not recognised to be working in partnership with you for "
    "the given cohort. Contact the DfE for more information.",
)
UNKNOWN_PARTNER = (
    "delivery_partner_id",
    "The '#/delivery_partner_id' you have entered is invalid. Check delivery partner details and "
    "try again.",
)
SAME_PARTNER = (
    "delivery_partner_id",
    "We are unable to process this request. You are already confirmed to be in partnership with "
    "the entered delivery partner. Contact the DfE for support.",
)
UNKNOWN_COHORT = (
    "cohort",
    "The '#/cohort' you have entered is invalid. Check cohort details and try again.",
)


def create(hand: Hand, **changes: object) -> Got:
    attributes: Json = {
        "cohort": "2025",
        "school_id": hand.ids["weir"],
        "delivery_partner_id": hand.ids["hub"],
        **changes,
    }
    body = {"data": {"type": "partnership", "attributes": attributes}}
    return hand.send("POST", "/partnerships", body)


def correct(hand: Hand, ref: str, partner: object, *, method: str = "PUT") -> Got:
    attributes = {"delivery_partner_id": partner}
    body = {"data": {"type": "partnership", "attributes": attributes}}
    return hand.send(method, f"/partnerships/{hand.ids.get(ref, ref)}", body)


def refused(got: Got, *errors: tuple[str, str]) -> bool:
    assert (got.status, got.errors) == (422, list(errors))
    return True


def test_a_partnership_is_made(hand: Hand) -> None:
    got = create(hand)

    assert got.status == 200
    assert got.attributes == {
        "cohort": "2025",
        "urn": "900902",
        "school_id": hand.ids["weir"],
        "delivery_partner_id": hand.ids["hub"],
        "delivery_partner_name": "Hub",
        "induction_tutor_name": None,
        "induction_tutor_email": "office@weir.example",
        "participants_currently_training": 0,
        "created_at": NOON,
        "updated_at": NOON,
    }
    assert hand.get(f"/partnerships/{got.data['id']}").data == got.data


def test_a_partnership_moves_what_the_school_shows_for_the_cohort(hand: Hand) -> None:
    create(hand)

    there = hand.get(f"/schools/{hand.ids['weir']}?filter[cohort]=2025").attributes
    other = hand.get(f"/schools/{hand.ids['weir']}?filter[cohort]=2024").attributes

    assert (there["in_partnership"], there["induction_programme_choice"]) == (True, "provider_led")
    assert there["updated_at"] == NOON
    assert (other["in_partnership"], other["updated_at"]) == (False, "2021-06-01T09:00:01Z")


def test_participants_who_waited_appear_with_it(hand: Hand) -> None:
    waits = a_training(partnership=None, cohort=2025)
    hand.world(a_world(participants={"e": an_ect(school="weir", training=waits)}))
    assert hand.refs("/participants") == []

    got = create(hand)

    shown = hand.participant("e")
    assert got.attributes["participants_currently_training"] == 1
    assert hand.refs("/participants") == ["e"]
    assert (shown.attributes["updated_at"], shown.enrolment["school_urn"]) == (NOON, "900902")


def test_all_three_values_are_required(hand: Hand) -> None:
    got = create(hand, cohort="", school_id=None, delivery_partner_id=" ")

    assert refused(
        got,
        ("cohort", "Enter a '#/cohort'."),
        ("school_id", "Enter a '#/school_id'."),
        ("delivery_partner_id", "Enter a '#/delivery_partner_id'."),
    )


def test_an_unknown_cohort_gives_the_pairing_error_too(hand: Hand) -> None:
    assert refused(create(hand, cohort="1999"), UNKNOWN_COHORT, NOT_PAIRED)


@pytest.mark.parametrize(
    ("cohort", "detail"),
    [("2026", "You cannot create a partnership for a future cohort."),
     ("2021", "You cannot create this partnership as the cohort is closed.")],
)  # fmt: skip
def test_the_cohort_must_have_begun_and_be_open(hand: Hand, cohort: str, detail: str) -> None:
    assert refused(create(hand, cohort=cohort), ("cohort", detail))


@pytest.mark.parametrize("school", [NO_ID, "junk"])
def test_the_school_must_be_known(hand: Hand, school: str) -> None:
    detail = (
        "The '#/school_id' you have entered is invalid. Check school details and try again. "
        "Contact the DfE for support if you are unable to find the '#/school_id'."
    )

    assert refused(create(hand, school_id=school), ("school_id", detail))


def test_the_school_must_be_eligible(hand: Hand) -> None:
    detail = (
        "The school you have entered is currently ineligible for DfE funding. Contact the school "
        "for more information."
    )

    assert refused(create(hand, school_id=hand.ids["lock"]), ("school_id", detail))


def test_a_school_led_school_takes_no_partnership(hand: Hand) -> None:
    own = an_ect(school="weir", training={"provider": None, "started_on": "2025-09-01"})
    hand.world(a_world(participants={"e": own}))
    detail = (
        "This school has only registered school-led participants. Contact the school for more "
        "information."
    )

    assert refused(create(hand), ("school_id", detail))


@pytest.mark.parametrize("partner", ["hub", "spoke"])
def test_a_second_partnership_is_refused_whatever_the_delivery_partner(
    hand: Hand, partner: str
) -> None:
    got = create(hand, school_id=hand.ids["mill"], delivery_partner_id=hand.ids[partner])

    detail = "You are already in a confirmed partnership with this school for the entered cohort."
    assert refused(got, ("school_id", detail))


def test_the_delivery_partner_must_be_known_and_paired_with_you(hand: Hand) -> None:
    assert refused(create(hand, delivery_partner_id=NO_ID), UNKNOWN_PARTNER)
    assert refused(create(hand, delivery_partner_id=hand.ids["stranger"]), NOT_PAIRED)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_correction_keeps_the_id_and_moves_all_that_is_under_it(hand: Hand, method: str) -> None:
    hand.world(a_world(participants={"e": an_ect()}, declarations={"d": a_declaration("e")}))

    got = correct(hand, "mill-25", hand.ids["spoke"], method=method)

    assert (got.data["id"], got.attributes["delivery_partner_name"]) == (
        hand.ids["mill-25"],
        "Spoke",
    )
    assert got.attributes["updated_at"] == NOON
    person = hand.participant("e")
    assert person.enrolment["delivery_partner_id"] == hand.ids["spoke"]
    assert person.attributes["updated_at"] == NOON
    made = hand.declared("d").attributes
    assert (made["updated_at"], made["delivery_partner_id"]) == (NOON, hand.ids["hub"])


def test_what_a_correction_is_refused_for(hand: Hand) -> None:
    blank = ("delivery_partner_id", "Enter a '#/delivery_partner_id'.")

    assert refused(correct(hand, "mill-25", None), blank)
    assert refused(correct(hand, "mill-25", NO_ID), UNKNOWN_PARTNER)
    assert refused(correct(hand, "mill-24", hand.ids["spoke"]), NOT_PAIRED)
    assert refused(correct(hand, "mill-25", hand.ids["hub"]), SAME_PARTNER)


def test_a_partner_of_another_partnership_of_that_school_is_refused_too(hand: Hand) -> None:
    other = {"school": "mill", "provider": "fenland", "delivery_partner": "spoke", "cohort": 2025}
    hand.world(a_world(partnerships={"other": other}))

    assert refused(correct(hand, "mill-25", hand.ids["spoke"]), SAME_PARTNER)


def test_another_providers_partnership_is_not_found(hand: Hand) -> None:
    assert correct(hand, "mill-rival", hand.ids["hub"]).status == 404
