"""What schools and DfE do, what it moves and what it does not (control 4, contract 5 and 8)."""

from typing import cast

import pytest

from tests.sandbox.support import (
    NOON,
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

OLD = {
    "participants": "2025-09-03T08:15:00.250000Z",
    "d": "2025-09-29T09:00:00Z",
}


def everyone() -> Json:
    """e and f are ECTs of m, who is unfunded; t is a mentor whom Fenland trains."""
    return a_world(
        participants={
            "e": an_ect(mentor="m", induction={"started_on": "2025-09-01"}),
            "f": an_ect(mentor="m"),
            "g": in_2024(),
            "m": unfunded(updated_at="2025-09-03T08:15:00.250000Z"),
            "t": a_mentor(),
        },
        declarations={"d": a_declaration("e", state="eligible")},
    )


Moves = set[str]
"""Which stamps moved: a ref, or `ref:unfunded`, `ref:transfer`, `ref:YEAR`."""


def all_stamps(hand: Hand) -> dict[str, object]:
    world = cast("dict[str, dict[str, Json]]", hand.control("GET", "/world").json)
    found: dict[str, object] = {}
    for section in ("delivery_partners", "schools", "partnerships", "statements",
                    "participants", "declarations"):  # fmt: skip
        for ref, entity in world[section].items():
            found[ref] = entity["updated_at"]
            if "unfunded_updated_at" in entity:
                found[f"{ref}:unfunded"] = entity["unfunded_updated_at"]
            for year, shown in cast("dict[str, Json]", entity.get("cohorts", {})).items():
                found[f"{ref}:{year}"] = shown["updated_at"]
            for place, post in enumerate(cast("list[Json]", entity.get("posts", []))):
                for number, training in enumerate(cast("list[Json]", post["trainings"])):
                    key = f"{ref}:transfer:{place}.{number}"
                    found[key] = training["transfer_updated_at"]
    return found


def moved_by(hand: Hand, kind: str, **fields: object) -> Moves:
    """Let something happen at noon, and tell which stamps it moved."""
    before = all_stamps(hand)
    hand.event(kind, **fields)
    after = all_stamps(hand)
    moved = {key for key, at in after.items() if before.get(key) != at}
    assert {after[key] for key in moved} <= {NOON}
    return {key.partition(":transfer")[0] + ":transfer" if ":transfer" in key else key
            for key in moved}  # fmt: skip


SCHOOL = {"mill", "mill:2021", "mill:2024", "mill:2025", "mill:2026"}
MILLS = {"mill-21", "mill-24", "mill-25", "mill-rival"}


NONE: Moves = set()

EVENTS: list[tuple[str, Json, Moves]] = [
        ("school_assigns_mentor", {"ect": "e", "mentor": "t"}, {"e"}),
        ("school_removes_mentor", {"ect": "e"}, {"e"}),
        ("school_reports_leaving", {"participant": "e"}, {"e", "e:transfer"}),
        ("training_provider_changed", {"participant": "e", "provider": "rival"},
         {"e", "e:transfer"}),
        ("switched_to_school_led", {"participant": "e"}, {"e", "e:transfer"}),
        ("participant_renamed", {"participant": "e", "full_name": "E"}, {"e"}),
        ("participant_renamed", {"participant": "m", "full_name": "M"}, {"m", "m:unfunded"}),
        ("participant_trn_changed", {"participant": "m", "trn": None}, {"m", "m:unfunded"}),
        ("participant_email_changed", {"participant": "m", "email": "x@y.z"}, {"m", "m:unfunded"}),
        ("participant_merged", {"from": "m", "to": "t"}, {"t", "e", "f"}),
        ("participant_removed", {"participant": "m"}, {"e", "f"}),
        ("schedule_corrected", {"participant": "e", "schedule": "ecf-extended-september"}, {"e"}),
        ("moved_from_frozen_cohort", {"participant": "g", "cohort": 2025}, {"g", "g:transfer"}),
        ("induction_recorded", {"participant": "f", "started_on": "2025-09-01"}, {"f"}),
        ("induction_completed", {"participant": "e"}, {"e"}),
        ("funding_eligibility_confirmed", {"participant": "e"}, {"e"}),
        ("mentor_funding_ended", {"participant": "t", "reason": "started_not_completed"}, {"t"}),
        ("working_pattern_changed", {"participant": "e", "working_pattern": None}, NONE),
        ("uplift_changed", {"participant": "e", "sparsity_uplift": True}, NONE),
        ("declaration_payable_run", {"statement": "dec"}, {"d", "dec"}),
        ("declaration_paid_run", {"statement": "dec"}, NONE),
        ("statement_paid", {"statement": "dec"}, {"dec"}),
        ("statement_dates_changed", {"statement": "dec", "payment_date": "2026-01-01"}, {"dec"}),
        ("declaration_corrected", {"declaration": "d", "uplift_paid": True}, {"d"}),
        ("delivery_partner_renamed", {"delivery_partner": "hub", "name": "H"}, {"hub", *MILLS}),
        ("delivery_partner_paired", {"delivery_partner": "spoke", "provider": "rival",
                                     "cohort": 2025}, {"spoke"}),
        ("delivery_partner_unpaired", {"delivery_partner": "spoke", "provider": "fenland",
                                       "cohort": 2025}, {"spoke"}),
        ("partnership_delivery_partner_corrected", {"partnership": "mill-25",
         "delivery_partner": "spoke"}, {"mill-25", "e", "f", "t", "d"}),
        ("school_renamed", {"school": "mill", "name": "M"}, SCHOOL),
        ("school_urn_changed", {"school": "mill", "urn": "1"},
         SCHOOL | MILLS | {"e", "e:transfer", "f", "f:transfer", "g", "g:transfer", "m", "t",
                           "t:transfer"}),
        ("induction_tutor_changed", {"school": "mill", "name": None, "email": None},
         SCHOOL | MILLS),
        ("gias_contact_changed", {"school": "mill", "email": "a@b.c"}, SCHOOL | MILLS),
        ("expression_of_interest_made", {"school": "mill", "provider": "rival", "cohort": 2025},
         SCHOOL),
        ("expression_of_interest_withdrawn", {"school": "weir", "provider": "fenland",
         "cohort": 2025}, {"weir", "weir:2021", "weir:2024", "weir:2025", "weir:2026"}),
        ("induction_programme_choice_changed", {"school": "mill", "cohort": 2025,
         "choice": "school_led"}, {"mill:2025"}),
        ("school_becomes_ineligible", {"school": "mill"}, NONE),
        ("school_becomes_eligible", {"school": "lock"}, NONE),
        ("cohort_payments_frozen", {"cohort": 2025}, NONE),
        ("token_issued", {"provider": "fenland", "token": "t2"}, NONE),
        ("token_revoked", {"provider": "rival", "token": "sandbox-rival"}, NONE),
        ("touched", {"refs": ["e"]}, {"e"}),
        ("touched", {"refs": ["mill"]}, SCHOOL),
        ("nightly_run", {}, NONE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fields", "moves"), EVENTS, ids=[f"{k} {f}" for k, f, _ in EVENTS]
)
def test_what_an_event_moves(hand: Hand, kind: str, fields: Json, moves: Moves) -> None:
    hand.world(everyone())

    assert moved_by(hand, kind, **fields) == moves


def test_everything_has_its_event_and_every_event_its_test() -> None:
    from sandbox.events.pending import EFFECTS
    from sandbox.events.shapes import PARTS

    assert set(EFFECTS) == set(PARTS)


# People


def test_a_registered_participant_appears(hand: Hand) -> None:
    got = hand.event("school_registers_participant", ref="new", **an_ect(updated_at=NOON))

    ids = cast("dict[str, str]", got["ids"])
    shown = hand.get(f"/participants/{ids['new']}")
    assert got["applied"] == 1
    assert (shown.enrolment["created_at"], shown.attributes["updated_at"]) == (NOON, NOON)


def test_a_new_mentor_shows_at_once_and_the_ect_moves(hand: Hand) -> None:
    hand.world(everyone())

    hand.event("school_assigns_mentor", ect="e", mentor="t")

    assert hand.participant("e").enrolment["mentor_id"] == hand.ids["t"]
    assert hand.participant("e").attributes["updated_at"] == NOON
    assert hand.refs("/unfunded-mentors") == ["m"]
    hand.event("school_assigns_mentor", ect="f", mentor="t")
    assert hand.refs("/unfunded-mentors") == []


def test_a_later_mentor_shows_only_after_that_days_refresh(hand: Hand) -> None:
    hand.world(everyone())
    hand.event("school_assigns_mentor", ect="e", mentor="t", **{"from": "2025-12-01"})
    assert hand.participant("e").enrolment["mentor_id"] == hand.ids["m"]

    hand.clock("2025-12-01T09:00:00Z")
    assert hand.participant("e").enrolment["mentor_id"] == hand.ids["m"]
    hand.event("nightly_run")

    shown = hand.participant("e")
    assert shown.enrolment["mentor_id"] == hand.ids["t"]
    assert shown.attributes["updated_at"] == "2025-12-01T09:00:00Z"


def test_being_newly_assigned_does_not_move_an_unfunded_mentor(hand: Hand) -> None:
    people = {"e": an_ect(), "m": unfunded(updated_at="2025-09-03T08:15:00Z")}
    hand.world(a_world(participants=people))

    hand.event("school_assigns_mentor", ect="e", mentor="m")

    assert hand.refs("/unfunded-mentors") == ["m"]
    assert hand.refs("/unfunded-mentors?filter[updated_since]=2025-11-14T00:00:00Z") == []


def test_an_unfunded_mentors_email_follows_the_school_of_the_assignment(hand: Hand) -> None:
    two_posts = {
        "role": "mentor",
        "posts": [
            {"school": "mill", "started_on": "2024-09-01", "email": "at@mill"},
            {"school": "weir", "started_on": "2025-09-01", "email": "at@weir"},
        ],
    }
    hand.world(a_world(participants={"e": an_ect(mentor="m"), "m": two_posts}))

    assert hand.get("/unfunded-mentors").column("email") == ["at@mill"]


def test_leaving_ends_post_training_and_assignment(hand: Hand) -> None:
    hand.world(everyone())

    hand.event("school_reports_leaving", participant="e", on="2025-11-14")

    shown = hand.participant("e").enrolment
    assert (shown["participant_status"], shown["mentor_id"]) == ("left", None)
    assert hand.refs("/participants/transfers") == ["e"]
    assert hand.act("e", "resume").errors[0][1] == "The '#/participant_id' is already active."


def test_a_transfer_to_a_school_without_a_partnership_waits(hand: Hand) -> None:
    hand.world(everyone())

    hand.event(
        "school_reports_transfer",
        participant="e",
        school="weir",
        joins_on="2025-11-20",
        provider="fenland",
    )

    moves = cast(
        "list[Json]", hand.get(f"/participants/{hand.ids['e']}/transfers").attributes["transfers"]
    )
    assert [(m["transfer_type"], m["status"]) for m in moves] == [("new_school", "incomplete")]
    partnership = {
        "school": "weir",
        "provider": "fenland",
        "delivery_partner": "hub",
        "cohort": 2025,
    }
    hand.event("partnership_added", ref="new-one", **partnership)
    assert hand.participant("e").enrolment["school_urn"] == "900902"


def test_a_change_of_provider_shows_to_both(hand: Hand) -> None:
    hand.world(everyone())

    hand.event("training_provider_changed", participant="e", provider="rival")

    assert hand.participant("e").enrolment["participant_status"] == "left"
    assert hand.participant("e", by="rival").enrolment["participant_status"] == "active"
    move = hand.get(f"/participants/{hand.ids['e']}/transfers").attributes["transfers"]
    assert cast("list[Json]", move)[0]["leaving"] == {
        "school_urn": "900901",
        "provider": "Fenland",
        "date": "2025-11-13",
    }
    assert hand.declared("d").status == 200


def test_a_merge_moves_declarations_and_mentees_and_leaves_a_trace(hand: Hand) -> None:
    hand.world(everyone())

    hand.event("participant_merged", **{"from": "e", "to": "f"})
    hand.event("participant_merged", **{"from": "m", "to": "t"})

    assert hand.participant("e").status == 404
    assert hand.declared("d").attributes["participant_id"] == hand.ids["f"]
    assert hand.refs(f"/participants?filter[from_participant_id]={hand.ids['e']}") == ["f"]
    assert hand.participant("f").enrolment["mentor_id"] == hand.ids["t"]
    assert hand.get(f"/unfunded-mentors/{hand.ids['m']}").status == 404


def test_a_merge_gives_the_roles_that_were_lacking(hand: Hand) -> None:
    hand.world(everyone())
    record = hand.participant("t").enrolment["training_record_id"]

    hand.event("participant_merged", **{"from": "t", "to": "f"})

    shown = cast("list[Json]", hand.participant("f").attributes["ecf_enrolments"])
    assert [(e["participant_type"], e["training_record_id"] == record) for e in shown] == [
        ("ect", False),
        ("mentor", True),
    ]


def test_who_is_removed_leaves_nothing_behind(hand: Hand) -> None:
    hand.world(everyone())

    hand.event("participant_removed", participant="e")

    assert hand.participant("e").status == 404
    assert hand.declared("d").status == 404
    assert hand.refs("/participant-declarations") == []


def test_confirmed_funding_makes_submitted_declarations_eligible(hand: Hand) -> None:
    hand.world(
        a_world(participants={"e": an_ect(fundable=False)}, declarations={"d": a_declaration("e")})
    )

    hand.event("funding_eligibility_confirmed", participant="e")

    made = hand.declared("d").attributes
    assert (made["state"], made["statement_id"], made["updated_at"]) == (
        "eligible",
        hand.ids["dec"],
        NOON,
    )
    assert hand.participant("e").enrolment["eligible_for_funding"] is True


def test_a_declaration_is_paid_and_clawed_back(hand: Hand) -> None:
    hand.world(everyone())

    states: list[object] = []
    for kind in ("declaration_payable_run", "declaration_paid_run"):
        hand.event(kind, statement="dec")
        states.append(hand.declared("d").attributes["state"])
    later: Json = {"provider": "fenland", "cohort": 2025, "month": 1, "year": 2026,
                   "cut_off_date": "2025-12-31", "payment_date": "2026-01-25"}  # fmt: skip
    hand.event("statement_added", ref="jan", **later)
    hand.event("statement_paid", statement="dec")
    states.append(hand.void("d").attributes["state"])
    hand.event("declaration_paid_run", statement="jan")
    states.append(hand.declared("d").attributes["state"])

    assert states == ["payable", "paid", "awaiting-clawback", "clawed-back"]
    assert hand.get(f"/statements/{hand.ids['dec']}").attributes["paid"] is True


def test_another_providers_declaration_leaves_the_list_once_voided(hand: Hand) -> None:
    hand.world(everyone())
    hand.event("training_provider_changed", participant="e", provider="rival")
    assert hand.refs("/participant-declarations", by="rival") == ["d"]

    hand.void("d")

    assert hand.refs("/participant-declarations", by="rival") == []
    assert hand.refs("/participant-declarations") == ["d"]


def test_a_revoked_token_is_denied_and_a_new_one_works(hand: Hand) -> None:
    hand.event("token_issued", provider="fenland", token="second")
    assert hand.call("GET", "/api/v3/statements", headers={"Authorization": "Bearer second"}
                     ).status == 200  # fmt: skip

    hand.event("token_revoked", provider="fenland", token="sandbox-fenland")

    assert hand.get("/participants").status == 401


def test_a_school_that_becomes_school_led_moves_that_cohorts_stamp_only(hand: Hand) -> None:
    people = {"e": an_ect(school="weir", training=a_training(partnership=None, cohort=2025))}
    hand.world(a_world(participants=people))
    path = f"/schools/{hand.ids['weir']}?filter[cohort]="
    assert hand.get(path + "2025").attributes["induction_programme_choice"] == "provider_led"

    hand.event("participant_removed", participant="e")

    shown = hand.get(path + "2025").attributes
    assert (shown["induction_programme_choice"], shown["updated_at"]) == ("not_yet_known", NOON)
    assert hand.get(path + "2024").attributes["updated_at"] != NOON


def test_a_prefix_touches_the_whole_bulk(hand: Hand) -> None:
    crowd = {"bulk": {"count": 3, "ref_prefix": "c", "like": an_ect()}}
    hand.world(a_world(participants={"crowd": crowd, "cx": an_ect()}))

    hand.event("touched", refs=["c*"])

    assert hand.refs(f"/participants?filter[updated_since]={NOON}") == ["c1", "c2", "c3"]


# Time


def test_a_late_event_appears_with_its_older_stamp(hand: Hand) -> None:
    hand.world(everyone())

    got = hand.event(
        "participant_renamed",
        participant="e",
        full_name="Late",
        at="2025-11-14T11:58:00Z",
        visible_at="2025-11-14T12:10:00Z",
    )

    assert (got["applied"], got["pending"]) == (0, 1)
    hand.clock("2025-11-14T12:09:59Z")
    assert hand.participant("e").attributes["full_name"] == "Participant e"
    hand.clock("2025-11-14T12:10:00Z")
    shown = hand.participant("e").attributes
    assert (shown["full_name"], shown["updated_at"]) == ("Late", "2025-11-14T11:58:00Z")


def test_pending_events_come_in_the_order_of_their_time(hand: Hand) -> None:
    hand.world(everyone())
    rename = {"event": "participant_renamed", "participant": "e"}
    hand.events(
        {**rename, "full_name": "Third", "at": "2025-11-17T00:00:00Z"},
        {**rename, "full_name": "First", "at": "2025-11-15T00:00:00Z"},
        {**rename, "full_name": "Second", "at": "2025-11-16T00:00:00Z"},
    )

    hand.clock("2025-11-16T12:00:00Z")
    assert hand.participant("e").attributes["full_name"] == "Second"
    hand.clock("2025-11-18T12:00:00Z")
    assert hand.participant("e").attributes["full_name"] == "Third"


def test_an_event_impossible_when_its_time_comes_is_dropped_and_listed(hand: Hand) -> None:
    hand.world(everyone())
    hand.event("participant_renamed", participant="e", full_name="X", at="2025-11-15T00:00:00Z")
    hand.event("participant_removed", participant="e")

    hand.clock("2025-11-15T12:00:00Z")

    overview = hand.control("GET", "").json
    (dropped,) = cast("list[Json]", overview["dropped_events"])
    assert overview["pending_events"] == 0
    assert dropped["problem"] == "participant: unknown ref 'e'"


def test_a_list_is_applied_in_order_all_or_none(hand: Hand) -> None:
    hand.world(everyone())
    before = hand.control("GET", "/world").json

    got = hand.events(
        {"event": "participant_removed", "participant": "e"},
        {"event": "participant_renamed", "participant": "e", "full_name": "X"},
    )

    assert got.json == {"errors": [{"where": "1.participant", "problem": "unknown ref 'e'"}]}
    assert hand.control("GET", "/world").json == before
    assert hand.participant("e").status == 200


def test_later_events_of_a_list_may_name_what_earlier_ones_add(hand: Hand) -> None:
    got = hand.events(
        {"event": "school_registers_participant", "ref": "x", **an_ect()},
        {"event": "participant_renamed", "participant": "x", "full_name": "X"},
    )

    assert got.json["applied"] == 2


@pytest.mark.parametrize(
    ("event", "where", "problem"),
    [
        ({"event": "nope"}, "0.event", "there is no event 'nope'"),
        ({}, "0.event", "missing key"),
        ({"event": "participant_renamed", "participant": "e"}, "0.full_name", "missing key"),
        ({"event": "participant_renamed", "participant": "e", "full_name": "E", "x": 1}, "0.x",
         "unknown key"),
        ({"event": "school_assigns_mentor", "ect": "m", "mentor": "t"}, "0.ect", "'m' is no ect"),
        ({"event": "participant_merged", "from": "e", "to": "e"}, "0.to",
         "is the same participant"),
        ({"event": "induction_completed", "participant": "f"}, "0.participant",
         "has no open induction period"),
        ({"event": "school_registers_participant", "ref": "e", "role": "ect"}, "0.ref",
         "duplicate ref 'e'"),
        ({"event": "school_registers_participant", "ref": "x", "role": "ect", "school": "mill"},
         "0.school_started_on", "missing key"),
        ({"event": "school_registers_participant", "ref": "x", "at": "2030-01-01T00:00:00Z",
          "role": "ect", "school": "nowhere", "school_started_on": "2025-09-01"},
         "0.school", "unknown ref 'nowhere'"),
        ({"event": "touched", "refs": ["nobody"]}, "0.refs", "unknown ref 'nobody'"),
        ({"event": "declaration_corrected", "declaration": "d"}, "0",
         "must have one of date, type, evidence_held, state, statement, clawback_statement, "
         "mentor, uplift_paid"),
        ({"event": "school_urn_changed", "school": "mill", "urn": "900902"}, "0.urn",
         "duplicate urn '900902'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_an_event_is_named(
    hand: Hand, event: Json, where: str, problem: str
) -> None:
    hand.world(everyone())
    before = hand.control("GET", "/world").json

    got = hand.events(event)

    assert got.status == 400
    assert {"where": where, "problem": problem} in cast("list[Json]", got.json["errors"])
    assert hand.control("GET", "/world").json == before


# Nights


def test_a_night_makes_statements_past_their_cut_off_payable(hand: Hand) -> None:
    hand.world(everyone())
    hand.clock("2025-11-30T12:00:00Z")
    hand.event("nightly_run")
    assert hand.declared("d").attributes["state"] == "eligible"

    hand.clock("2025-12-01T12:00:00Z")
    hand.event("nightly_run")

    assert hand.declared("d").attributes["state"] == "payable"


def test_a_night_moves_partnerships_where_somebody_started_or_finished(hand: Hand) -> None:
    people = {
        "e": an_ect(training=a_training(started_on="2025-11-20")),
        "g": in_2024(),
    }
    hand.world(a_world(participants=people))
    hand.clock("2025-11-20T06:00:00Z")

    hand.event("nightly_run")

    at = hand.refs("/partnerships?filter[updated_since]=2025-11-20T00:00:00Z")
    assert at == ["mill-25"]


def test_nights_pass_by_themselves_only_where_that_is_wanted(hand: Hand) -> None:
    hand.world(everyone())
    hand.clock("2025-12-02T12:00:00Z")
    assert hand.declared("d").attributes["state"] == "eligible"

    hand.control("PUT", "/clock", {"nightly_runs": True})
    hand.clock("2025-12-04T12:00:00Z")

    made = hand.declared("d").attributes
    hand.control("PUT", "/clock", {"nightly_runs": False})
    assert (made["state"], made["updated_at"]) == ("payable", "2025-12-03T00:00:00Z")
