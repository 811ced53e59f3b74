"""Lists, filters, sort and paging (contract 2 and 5)."""

from typing import cast

import pytest

from tests.sandbox.support import (
    Hand,
    Json,
    a_declaration,
    a_mentor,
    a_training,
    a_world,
    an_ect,
    in_2024,
    unfunded,
)

SINCE = "2025-09-03T08:15:00Z"


def four_people(hand: Hand) -> None:
    """Created in the order b, a, d, c; changed in the order a, b, c, d."""
    created = {"b": "01", "a": "02", "d": "03", "c": "04"}
    people = {
        ref: an_ect(
            created_at=f"2025-09-{created[ref]}T09:00:00Z",
            updated_at=f"2025-10-0{place}T09:00:00Z",
        )
        for place, ref in enumerate("abcd", start=1)
    }
    hand.world(a_world(participants=people))


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", "badc"),
        ("created_at", "badc"),
        ("-created_at", "cdab"),
        ("updated_at", "abcd"),
        ("-updated_at", "dcba"),
        ("%2Bupdated_at", "abcd"),
        ("+updated_at", "badc"),
        ("nonsense", "badc"),
        ("nonsense,-updated_at", "dcba"),
    ],
)
def test_sort_knows_its_words_and_ignores_others(hand: Hand, sort: str, order: str) -> None:
    four_people(hand)

    assert hand.refs(f"/participants?sort={sort}") == list(order)


def test_equal_keys_come_in_the_order_of_the_file(hand: Hand) -> None:
    same = an_ect(created_at="2025-09-01T09:00:00Z")
    hand.world(a_world(participants={"z": same, "m": same, "a": same}))

    assert hand.refs("/participants") == ["z", "m", "a"]


def test_a_page_holds_100_and_at_most_3000_rows(hand: Hand) -> None:
    crowd = {"crowd": {"bulk": {"count": 3050, "ref_prefix": "c", "like": an_ect()}}}
    hand.world(a_world(participants=crowd))

    assert len(hand.get("/participants").rows) == 100
    assert len(hand.get("/participants?page[per_page]=4000").rows) == 3000
    assert len(hand.get("/participants?page[per_page]=3000&page[page]=2").rows) == 50


def test_a_page_past_the_end_is_empty(hand: Hand) -> None:
    four_people(hand)

    assert hand.get("/participants?page[page]=2").json == {"data": []}


def test_pages_are_read_as_integers(hand: Hand) -> None:
    four_people(hand)

    assert hand.refs("/participants?page[page]=1.9&page[per_page]=2x") == ["b", "a"]
    assert hand.refs("/participants?page[page]=2&page[per_page]=3") == ["c"]


def test_updated_since_is_inclusive_and_compares_what_is_stored(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    assert hand.refs(f"/participants?filter[updated_since]={SINCE}") == ["e"]
    assert hand.refs("/participants?filter[updated_since]=2025-09-03T08:15:00.25Z") == ["e"]
    assert hand.refs("/participants?filter[updated_since]=2025-09-03T08:15:00.251Z") == []


@pytest.mark.parametrize(
    "value",
    ["2025-09-03T09:15:00%252B01:00", "2025-09-03T07:15:00-01:00", "2025-09-03T08:15:00.1Z",
     "2025-09-03T08%253A15%253A00Z", "2025-09-03T09:15:00", ""],
)  # fmt: skip
def test_forms_of_updated_since_that_are_read(hand: Hand, value: str) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    assert hand.refs(f"/participants?filter[updated_since]={value}") == ["e"]


@pytest.mark.parametrize(
    "value",
    ["2025-09-03", "2025-09-03T08:15Z", "2025-09-03+08:15:00Z", "2025-09-03T09:15:00%2B01:00",
     "yesterday", "2025-13-01T00:00:00Z", "0000-01-01T00:00:00Z"],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["participants", "participants/transfers", "participant-declarations", "partnerships",
             "statements", "unfunded-mentors", "schools"]
)  # fmt: skip
def test_forms_of_updated_since_that_are_refused(hand: Hand, path: str, value: str) -> None:
    got = hand.get(f"/{path}?filter[cohort]=2025&filter[updated_since]={value}")

    detail = "The filter '#/updated_since' must be a valid ISO 8601 date"
    assert (got.status, got.errors) == (400, [("Bad request", detail)])


@pytest.mark.parametrize(
    ("value", "found"),
    [("2025", ["e"]), ("2024", ["f"]), ("2024,2025", ["f", "e"]), ("x,2025", ["e"]),
     ("x", []), ("", ["f", "e"]), ("1999", []), (",", [])],
)  # fmt: skip
def test_cohort_is_a_list_of_years(hand: Hand, value: str, found: list[str]) -> None:
    hand.world(a_world(participants={"e": an_ect(), "f": in_2024()}))

    assert hand.refs(f"/participants?filter[cohort]={value}") == found


def test_a_participant_matches_a_filter_by_either_enrolment(hand: Hand) -> None:
    hand.world(a_world(participants={"both": both_roles()}))

    assert hand.refs("/participants?filter[cohort]=2024") == ["both"]
    assert hand.refs("/participants?filter[cohort]=2025") == ["both"]
    assert hand.refs("/participants?filter[training_status]=deferred") == ["both"]
    assert hand.refs("/participants?filter[training_status]=active") == ["both"]
    assert hand.refs("/participants?filter[training_status]=withdrawn") == []


def both_roles() -> Json:
    ect = {
        "school": "mill",
        "school_started_on": "2024-09-02",
        "training": a_training(partnership="mill-24", started_on="2024-09-02"),
        "deferral": {"reason": "other", "at": "2025-06-01T09:00:00Z"},
    }
    mentor = {"school": "mill", "school_started_on": "2025-09-01", "training": a_training()}
    return {"roles": {"ect": ect, "mentor": mentor}}


def test_a_status_filter_matches_a_flag_even_when_the_other_is_newer(hand: Hand) -> None:
    flags = {
        "deferral": {"reason": "other", "at": "2025-10-01T09:00:00Z"},
        "withdrawal": {"reason": "other", "at": "2025-10-05T09:00:00Z"},
    }
    hand.world(a_world(participants={"e": an_ect(**flags)}))

    assert hand.participant("e").enrolment["training_status"] == "withdrawn"
    assert hand.refs("/participants?filter[training_status]=deferred") == ["e"]
    assert hand.refs("/participants?filter[training_status]=withdrawn") == ["e"]
    assert hand.refs("/participants?filter[training_status]=active") == []
    assert hand.refs("/participants?filter[training_status]=paused") == []


def test_a_survivor_is_found_by_the_id_that_was_merged_away(hand: Hand) -> None:
    old = "7d0f6a52-3c1e-4f0b-9a57-5b1c2e8d4a10"
    merged = an_ect(id_changes=[{"from": old, "at": "2025-10-01T09:00:00Z"}])
    hand.world(a_world(participants={"e": merged, "f": an_ect()}))

    assert hand.refs(f"/participants?filter[from_participant_id]={old}") == ["e"]
    assert hand.refs("/participants?filter[from_participant_id]=x") == []
    assert hand.participant("e").attributes["participant_id_changes"] == [
        {
            "from_participant_id": old,
            "to_participant_id": hand.ids["e"],
            "changed_at": "2025-10-01T09:00:00Z",
        }
    ]


def test_filters_on_show_endpoints_and_unknown_parameters_are_ignored(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    assert hand.get(f"/participants/{hand.ids['e']}?filter=x&page=9&colour=red").status == 200
    assert hand.refs("/participants?colour=red&filter[colour]=red") == ["e"]


def test_a_filter_that_is_no_plain_value_counts_as_absent(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    assert hand.refs("/participants?filter[cohort][]=2024") == ["e"]


def test_another_providers_participants_are_not_shown(hand: Hand) -> None:
    theirs = an_ect(training=a_training(provider="rival", partnership="mill-rival"))
    hand.world(a_world(participants={"e": an_ect(), "r": theirs}))

    assert hand.refs("/participants") == ["e"]
    assert hand.participant("r").status == 404
    assert hand.refs("/participants", by="rival") == ["r"]


# Declarations


def declared_world() -> Json:
    moved = an_ect(
        training=a_training(finished_on="2025-10-10"),
        then_training=a_training(
            provider="rival", partnership="mill-rival", started_on="2025-10-11"
        ),
    )
    return a_world(
        participants={"e": moved, "f": in_2024()},
        declarations={
            "own": a_declaration("e", by="fenland", state="paid"),
            "early": a_declaration("e", "retained-1", by="rival", date="2025-10-10T09:00:00Z"),
            "late": a_declaration("e", "retained-2", by="rival", date="2025-10-12T09:00:00Z"),
            "gone": a_declaration(
                "e", "retained-3", by="rival", date="2025-10-01T09:00:00Z", state="voided"
            ),
            "old": a_declaration(
                "f",
                date="2024-10-01T09:00:00Z",
                state="voided",
                updated_at="2025-11-01T09:00:00.5Z",
            ),
        },
    )


def test_others_live_declarations_show_up_to_the_end_of_your_training(hand: Hand) -> None:
    hand.world(declared_world())

    assert hand.refs("/participant-declarations") == ["old", "own", "early"]
    assert hand.refs("/participant-declarations", by="rival") == ["own", "gone", "early", "late"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[cohort]=2024", ["old"]),
        ("filter[cohort]=2025", ["own", "early"]),
        ("filter[cohort]=x", []),
        ("filter[participant_id]={e}", ["own", "early"]),
        ("filter[participant_id]={e},{f},junk", ["old", "own", "early"]),
        ("filter[participant_id]=junk", []),
        ("filter[delivery_partner_id]={hub}", ["old", "own", "early"]),
        ("filter[delivery_partner_id]={spoke}", []),
        ("filter[updated_since]=2025-11-01T09:00:00Z", ["old"]),
        ("sort=-created_at", ["old", "own", "early"]),
    ],
)
def test_declarations_are_filtered_and_not_sorted(hand: Hand, query: str, found: list[str]) -> None:
    hand.world(declared_world())

    assert hand.refs("/participant-declarations?" + query.format(**hand.ids)) == found


def test_a_declaration_of_another_provider_can_be_shown_while_it_is_listed(hand: Hand) -> None:
    hand.world(declared_world())

    assert hand.declared("early").attributes["lead_provider_name"] == "Rival"
    assert hand.declared("late").status == 404
    assert hand.void("early").status == 404


# Partnerships, schools, delivery partners, statements


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["mill-21", "mill-24", "mill-25"]),
        ("filter[cohort]=2024,2025", ["mill-24", "mill-25"]),
        ("filter[delivery_partner_id]={spoke}", []),
        ("filter[delivery_partner_id]={hub}", ["mill-21", "mill-24", "mill-25"]),
        ("sort=-created_at", ["mill-25", "mill-24", "mill-21"]),
        ("filter[updated_since]=2021-06-01T09:00:01Z", ["mill-24", "mill-25"]),
    ],
)
def test_partnerships_are_your_own(hand: Hand, query: str, found: list[str]) -> None:
    assert hand.refs("/partnerships?" + query.format(**hand.ids)) == found
    assert hand.get(f"/partnerships/{hand.ids['mill-rival']}").status == 404


@pytest.mark.parametrize("path", ["/schools", "/schools/{mill}"])
@pytest.mark.parametrize("query", ["", "?filter[cohort]=", "?filter[urn]=900901"])
def test_schools_must_be_asked_for_a_cohort(hand: Hand, path: str, query: str) -> None:
    got = hand.get(path.format(**hand.ids) + query)

    detail = "The filter '#/cohort' must be included in your request"
    assert (got.status, got.errors) == (400, [("Bad parameter", detail)])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[cohort]=2025", ["mill", "weir"]),
        ("filter[cohort]=2025,2024", ["mill", "weir"]),
        ("filter[cohort]=1999", []),
        ("filter[cohort]=abc", []),
        ("filter[cohort]=2025&filter[urn]=900902", ["weir"]),
        ("filter[cohort]=2025&filter[urn]=900903", []),
    ],
)
def test_schools_are_the_eligible_ones(hand: Hand, query: str, found: list[str]) -> None:
    assert hand.refs(f"/schools?{query}") == found


def test_an_ineligible_school_is_listed_in_the_years_of_its_partnerships(hand: Hand) -> None:
    partnership = {"school": "lock", "provider": "rival", "delivery_partner": "hub"}
    hand.world(a_world(partnerships={"p": {**partnership, "cohort": 2025}}))

    assert hand.refs("/schools?filter[cohort]=2025") == ["mill", "weir", "lock"]
    assert hand.refs("/schools?filter[cohort]=2024") == ["mill", "weir"]


def test_a_school_in_an_unknown_year_is_not_found(hand: Hand) -> None:
    assert hand.get(f"/schools/{hand.ids['mill']}?filter[cohort]=1999").status == 404
    assert hand.get(f"/schools/{hand.ids['lock']}?filter[cohort]=2025").status == 404


def test_a_school_shows_its_tutor_only_to_whom_it_is_interested_in(hand: Hand) -> None:
    got = hand.get(f"/schools/{hand.ids['mill']}?filter[cohort]=2025")
    interested = hand.get(f"/schools/{hand.ids['weir']}?filter[cohort]=2025").attributes

    assert got.attributes == {
        "name": "Mill Lane",
        "urn": "900901",
        "cohort": "2025",
        "in_partnership": True,
        "induction_programme_choice": "provider_led",
        "expression_of_interest": False,
        "induction_tutor_name": None,
        "induction_tutor_email": None,
        "created_at": "2021-06-01T09:00:00Z",
        "updated_at": "2021-06-01T09:00:00Z",
    }
    assert (interested["expression_of_interest"], interested["in_partnership"]) == (True, False)
    assert interested["induction_programme_choice"] == "not_yet_known"


def test_a_school_with_only_school_led_training_is_school_led(hand: Hand) -> None:
    own = an_ect(school="weir", training={"provider": None, "started_on": "2025-09-01"})
    hand.world(a_world(participants={"e": own}))

    got = hand.get(f"/schools/{hand.ids['weir']}?filter[cohort]=2025")

    assert got.attributes["induction_programme_choice"] == "school_led"


def test_delivery_partners_are_those_paired_with_you(hand: Hand) -> None:
    assert hand.refs("/delivery-partners") == ["hub", "spoke"]
    assert hand.refs("/delivery-partners?filter[cohort]=2024") == ["hub"]
    assert hand.get(f"/delivery-partners/{hand.ids['stranger']}").status == 404
    assert hand.get(f"/delivery-partners/{hand.ids['hub']}").attributes == {
        "name": "Hub",
        "cohort": ["2021", "2024", "2025", "2026"],
        "created_at": "2021-06-01T09:00:00Z",
        "updated_at": "2021-06-01T09:00:00Z",
    }


def test_statements_are_output_ones_by_payment_date(hand: Hand) -> None:
    base = {"provider": "fenland", "cohort": 2025, "month": 5, "year": 2025}
    later = {**base, "cut_off_date": "2026-04-30", "payment_date": "2026-05-25"}
    early = {**base, "cut_off_date": "2025-04-30", "payment_date": "2025-05-25", "status": "paid"}
    hand.world(
        a_world(statements={"later": later, "early": early, "fee": {**early, "fee": "service"}})
    )

    assert hand.refs("/statements") == ["early", "dec", "dec-24", "later"]
    assert hand.refs("/statements?filter[cohort]=2025&sort=-created_at") == [
        "early",
        "dec",
        "later",
    ]
    assert hand.get(f"/statements/{hand.ids['fee']}").status == 404
    assert hand.get(f"/statements/{hand.ids['early']}").attributes == {
        "month": "May",
        "year": "2025",
        "cohort": "2025",
        "cut_off_date": "2025-04-30",
        "payment_date": "2025-05-25",
        "paid": True,
        "created_at": "2021-06-01T09:00:03Z",
        "updated_at": "2021-06-01T09:00:03Z",
    }


def test_a_partnership_counts_who_trains_today(hand: Hand) -> None:
    ended = an_ect(training=a_training(finished_on="2025-11-14"))
    ahead = an_ect(training=a_training(started_on="2025-11-15"))
    hand.world(a_world(participants={"e": an_ect(), "m": a_mentor(), "x": ended, "y": ahead}))

    assert hand.get(f"/partnerships/{hand.ids['mill-25']}").attributes == {
        "cohort": "2025",
        "urn": "900901",
        "school_id": hand.ids["mill"],
        "delivery_partner_id": hand.ids["hub"],
        "delivery_partner_name": "Hub",
        "induction_tutor_name": "Gwen",
        "induction_tutor_email": "gwen@mill.example",
        "participants_currently_training": 2,
        "created_at": "2021-06-01T09:00:02Z",
        "updated_at": "2021-06-01T09:00:02Z",
    }


# Transfers


def transferred() -> Json:
    return an_ect(
        school_finished_on="2025-11-01",
        training=a_training(finished_on="2025-11-01", transfer_updated_at="2025-10-20T09:00:00.5Z"),
        moves_to={
            "school": "weir",
            "started_on": "2025-11-10",
            "provider": None,
            "transfer_updated_at": "2025-11-05T09:00:00Z",
        },
    )


def test_a_transfer_tells_both_sides(hand: Hand) -> None:
    hand.world(a_world(participants={"e": transferred()}))

    got = hand.get(f"/participants/{hand.ids['e']}/transfers").data

    record = hand.participant("e").enrolment["training_record_id"]
    assert got == {
        "id": hand.ids["e"],
        "type": "participant-transfer",
        "attributes": {
            "updated_at": "2025-11-05T09:00:00Z",
            "transfers": [
                {
                    "training_record_id": record,
                    "transfer_type": "new_provider",
                    "status": "complete",
                    "created_at": "2025-09-01T09:00:00Z",
                    "leaving": {
                        "school_urn": "900901",
                        "provider": "Fenland",
                        "date": "2025-11-01",
                    },
                    "joining": {"school_urn": "900902", "provider": None, "date": "2025-11-10"},
                }
            ],
        },
    }


def test_transfers_are_matched_by_your_own_side_only(hand: Hand) -> None:
    hand.world(a_world(participants={"e": transferred()}))
    path = "/participants/transfers?filter[updated_since]="

    assert hand.refs(path + "2025-10-20T09:00:00Z") == ["e"]
    assert hand.refs(path + "2025-10-21T09:00:00Z") == []


def test_a_leaver_whose_new_school_is_not_known_has_an_unknown_transfer(hand: Hand) -> None:
    leaver = an_ect(school_finished_on="2025-11-20", training=a_training(finished_on="2025-11-20"))
    hand.world(a_world(participants={"e": leaver, "stays": an_ect()}))

    assert hand.refs("/participants/transfers") == ["e"]
    (row,) = hand.get("/participants/transfers").column("transfers")
    (move,) = cast("list[Json]", row)
    assert (move["transfer_type"], move["status"], move["joining"]) == (
        "unknown",
        "incomplete",
        None,
    )


def test_a_participant_without_a_transfer_has_none_to_show(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    assert hand.get(f"/participants/{hand.ids['e']}/transfers").status == 404


# Mentors


def test_an_unfunded_mentor_is_one_your_ects_have_and_you_do_not_train(hand: Hand) -> None:
    hand.world(
        a_world(
            participants={
                "e": an_ect(mentor="m"),
                "f": an_ect(mentor="trained"),
                "m": unfunded(full_name="Beth", unfunded_updated_at="2025-10-01T09:00:00Z"),
                "trained": a_mentor(),
                "idle": unfunded(),
            }
        )
    )

    assert hand.refs("/unfunded-mentors") == ["m"]
    assert hand.get(f"/unfunded-mentors/{hand.ids['trained']}").status == 404
    assert hand.get(f"/unfunded-mentors/{hand.ids['idle']}").status == 404
    assert hand.participant("m").status == 404
    assert hand.get(f"/unfunded-mentors/{hand.ids['m']}").data == {
        "id": hand.ids["m"],
        "type": "unfunded-mentor",
        "attributes": {
            "full_name": "Beth",
            "email": "m@example.com",
            "teacher_reference_number": "1000003",
            "created_at": "2025-09-01T09:00:00Z",
            "updated_at": "2025-10-01T09:00:00Z",
        },
    }
    assert hand.refs("/unfunded-mentors?filter[updated_since]=2025-10-01T09:00:01Z") == []


def test_writes_to_an_unfunded_mentor_are_not_found(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect(mentor="m"), "m": unfunded()}))

    assert hand.act("m", "withdraw", reason="other").status == 404
