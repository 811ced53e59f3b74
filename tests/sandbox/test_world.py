"""Worlds: both forms, bulks, defaults, round trip, and everything that is refused."""

import json
from copy import deepcopy
from pathlib import Path
from typing import cast

import pytest

from sandbox.bundled import bundled_world
from sandbox.server import BadWorld, Sandbox
from tests.sandbox.support import Hand, Json, a_declaration, a_training, a_world, an_ect, unfunded

CONTROL_PAGE = Path(__file__).parents[3] / "shared" / "sandbox-control.md"


def problems(hand: Hand, world: object) -> dict[str, str]:
    """What is wrong with a world, by place; nothing may have changed."""
    before = hand.control("GET", "/world").json
    got = hand.control("PUT", "/world", world)
    assert got.status == 400, got.body
    assert hand.control("GET", "/world").json == before
    errors = cast("list[dict[str, str]]", got.json["errors"])
    return {error["where"]: error["problem"] for error in errors}


def section(hand: Hand, name: str) -> dict[str, Json]:
    return cast("dict[str, dict[str, Json]]", hand.control("GET", "/world").json)[name]


def test_the_bundled_world_loads_and_names_its_ids(hand: Hand) -> None:
    got = hand.control("PUT", "/world", bundled_world())

    ids = cast("dict[str, str]", got.json["ids"])
    assert got.json["tokens"] == {"harbour": "sandbox-harbour", "northmoor": "sandbox-northmoor"}
    assert ids["amara-okafor"] == "51a0f0e7-038d-54ff-9b88-0a24f263e320"


def test_a_world_put_back_is_the_same(hand: Hand) -> None:
    hand.control("PUT", "/world", bundled_world())
    hand.clock("2026-02-10T12:00:00Z")
    first = hand.control("GET", "/world").json

    hand.world(first)

    assert hand.control("GET", "/world").json == first


def test_a_world_changed_by_calls_and_events_survives_the_round_trip(hand: Hand) -> None:
    people = {"e": an_ect(mentor="m"), "m": unfunded(), "n": unfunded()}
    hand.world(a_world(participants=people))
    hand.act("e", "change-schedule", schedule_identifier="ecf-extended-september")
    assert hand.declare("e", "started").status == 200
    hand.event("school_assigns_mentor", ect="e", mentor="n", **{"from": "2025-12-01"})
    hand.event("participant_renamed", participant="m", full_name="M", at="2026-01-01T00:00:00Z")
    hand.clock("2025-12-05T12:00:00Z")
    first = hand.control("GET", "/world").json
    shown = hand.get("/participants").json

    hand.world(first)

    assert hand.control("GET", "/world").json == first
    assert hand.get("/participants").json == shown


@pytest.mark.skipif(not CONTROL_PAGE.exists(), reason="the control page is not at hand")
def test_the_small_complete_world_of_the_control_page_loads(hand: Hand) -> None:
    text = CONTROL_PAGE.read_text("utf-8")
    raw = json.loads(text[text.rindex("```json") + 7 : text.rindex("```")])

    hand.world(raw)

    assert len(hand.get("/participants?page[per_page]=3000", by="fenland").rows) == 251


def test_an_empty_world_is_a_world(hand: Hand) -> None:
    assert hand.control("PUT", "/world", {}).json == {"ids": {}, "tokens": {}}


def test_reset_goes_back_to_the_start_world(hand: Hand) -> None:
    hand.control("PUT", "/world", {})

    got = hand.control("POST", "/reset")

    assert got.status == 200
    assert hand.control("GET", "").json["now"] == "2025-11-14T12:00:00Z"
    assert set(section(hand, "schools")) == {"mill", "weir", "lock"}


# Defaults


def test_defaults_of_stamps(hand: Hand) -> None:
    hand.world(
        a_world(
            participants={
                "e": an_ect(updated_at="2025-09-02T00:00:00Z"),
                "f": {"role": "ect", "school": "weir", "school_started_on": "2025-10-01"},
                "g": {"role": "ect", "school": "weir", "school_started_on": "2026-10-01"},
            },
            declarations={"d": {"of": "e", "type": "retained-1"}},
        )
    )

    stamps = {ref: (p["created_at"], p["updated_at"]) for ref, p in section(
        hand, "participants").items()}  # fmt: skip
    assert stamps == {
        "e": ("2025-09-01T09:00:00Z", "2025-09-02T00:00:00Z"),
        "f": ("2025-10-01T09:00:00.001000Z", "2025-10-01T09:00:00.001000Z"),
        "g": ("2025-11-14T12:00:00Z", "2025-11-14T12:00:00Z"),
    }
    made = section(hand, "declarations")["d"]
    assert (made["date"], made["created_at"]) == ("2025-09-01T09:00:00Z", "2025-09-01T09:00:00Z")
    assert section(hand, "schools")["weir"]["created_at"] == "2021-06-01T09:00:01Z"


def test_defaults_of_people(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect(), "m": unfunded()}))

    person = section(hand, "participants")["m"]

    assert (person["full_name"], person["trn"]) == ("Participant m", "1000002")
    assert (person["working_pattern"], person["fundable"]) == (None, True)
    posts = cast("list[Json]", person["posts"])
    assert posts[0]["email"] == "m@example.com"


@pytest.mark.parametrize(
    ("kind", "state", "shown"),
    [
        ("started", "submitted", ("training-event-attended", None, None)),
        ("retained-2", "eligible", ("75-percent-engagement-met", "dec", None)),
        ("started", "paid", ("training-event-attended", "old", None)),
        ("started", "clawed-back", ("training-event-attended", "old", "dec")),
        ("started", "voided", ("training-event-attended", None, None)),
    ],
)
def test_defaults_of_declarations(
    hand: Hand, kind: str, state: str, shown: tuple[str, str | None, str | None]
) -> None:
    old = {
        "provider": "fenland",
        "cohort": 2025,
        "month": 9,
        "year": 2025,
        "cut_off_date": "2025-08-31",
        "payment_date": "2025-09-25",
        "status": "paid",
    }
    hand.world(
        a_world(
            statements={"old": old},
            participants={"e": an_ect(mentor="m"), "m": unfunded()},
            declarations={"d": {"of": "e", "type": kind, "state": state}},
        )
    )

    made = section(hand, "declarations")["d"]

    assert (made["evidence_held"], made["statement"], made["clawback_statement"]) == shown
    assert (made["by"], made["delivery_partner"], made["mentor"]) == ("fenland", "hub", "m")


def test_a_default_date_is_not_after_the_window(hand: Hand) -> None:
    late = an_ect(
        school_started_on="2025-04-01",
        training=a_training(partnership="mill-24", started_on="2025-04-01"),
    )
    hand.world(a_world(participants={"e": late}, declarations={"d": {"of": "e",
               "type": "retained-1"}}))  # fmt: skip

    assert section(hand, "declarations")["d"]["date"] == "2025-03-31T09:00:00Z"


def test_a_schedule_left_out_is_that_of_the_nearest_period(hand: Hand) -> None:
    first = a_training(schedule="ecf-extended-september", finished_on="2025-10-01")
    second = a_training(started_on="2025-10-02")
    del second["schedule"]
    hand.world(a_world(participants={"e": an_ect(training=first, then_training=second)}))

    assert hand.participant("e").enrolment["schedule_identifier"] == "ecf-extended-september"


def test_an_id_may_stand_wherever_a_ref_may(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect(school=hand.ids["mill"])}))

    assert hand.participant("e").enrolment["school_urn"] == "900901"


def test_a_given_id_is_kept(hand: Hand) -> None:
    given = "AAAAAAAA-0000-4000-8000-000000000001"

    hand.world(a_world(participants={"e": an_ect(id=given)}))

    assert hand.ids["e"] == given.lower()


# Bulk


def test_a_bulk_is_written_out_with_numbers_and_steps(hand: Hand) -> None:
    like = an_ect(
        full_name="Crowd {n} of {n%2}",
        created_at="2025-09-01T09:00:00Z",
        training=a_training(),
    )
    del like["updated_at"]
    bulk = {"count": 3, "ref_prefix": "c", "created_at_step_seconds": 60, "like": like}
    hand.world(a_world(participants={"crowd": {"bulk": bulk}}))

    people = section(hand, "participants")
    assert {ref: (p["full_name"], p["created_at"]) for ref, p in people.items()} == {
        "c1": ("Crowd 1 of 1", "2025-09-01T09:00:00Z"),
        "c2": ("Crowd 2 of 0", "2025-09-01T09:01:00Z"),
        "c3": ("Crowd 3 of 1", "2025-09-01T09:02:00Z"),
    }
    assert len({hand.ids[ref] for ref in people}) == 3


def test_a_stamp_in_a_bulk_without_a_step_is_equal_everywhere(hand: Hand) -> None:
    like = an_ect(created_at="2025-09-01T09:00:00Z")
    bulk = {"count": 3, "updated_at_step_seconds": 0.5, "like": like}
    hand.world(a_world(participants={"c": {"bulk": bulk}}))

    people = section(hand, "participants").values()
    assert {p["created_at"] for p in people} == {"2025-09-01T09:00:00Z"}
    assert [p["updated_at"] for p in people] == [
        "2025-09-03T08:15:00.250000Z",
        "2025-09-03T08:15:00.750000Z",
        "2025-09-03T08:15:01.250000Z",
    ]


# What is refused


BAD: list[tuple[Json, str, str]] = [
    ({"colour": {}}, "colour", "unknown key"),
    ({"format": 2}, "format", "must be 1"),
    ({"providers": {"x": {"name": "X", "tokens": ["sandbox-fenland"]}}}, "providers.x.tokens",
     "duplicate token, also of 'fenland'"),
    ({"providers": {"a b": {"name": "X"}}}, "providers.a b",
     "a ref is 1 to 64 letters, digits, '_', '.' or '-'"),
    ({"schools": {"x": {"urn": "900901"}}}, "schools.x.urn", "duplicate urn, also of 'mill'"),
    ({"schools": {"hub": {"urn": "9"}}}, "schools.hub", "duplicate ref 'hub'"),
    ({"schools": {"x": {}}}, "schools.x.urn", "missing key"),
    ({"schools": {"x": {"urn": "9", "id": "nope"}}}, "schools.x.id", "must be a UUID"),
    ({"schools": {"x": {"urn": "9", "eligible": 1}}}, "schools.x.eligible",
     "must be true or false"),
    ({"schools": {"x": {"urn": "9", "created_at": "2025-01-01"}}}, "schools.x.created_at",
     "must be an instant like 2025-09-01T09:00:00Z"),
    ({"partnerships": {"x": {"school": "mill", "provider": "fenland", "delivery_partner":
      "stranger", "cohort": 2025}}}, "partnerships.x.delivery_partner",
     "'stranger' is not paired with 'fenland' for 2025"),
    ({"schedules": {"2019": {}}}, "schedules.2019", "unknown cohort 2019"),
    ({"participants": {"e": an_ect(training=a_training(partnership="px"))}},
     "participants.e.training.partnership", "unknown ref 'px'"),
    ({"participants": {"e": an_ect(training=a_training(started_on="2025-09-31"))}},
     "participants.e.training.started_on", "must be a date like 2025-09-01"),
    ({"participants": {"e": an_ect(training=a_training(schedule="ecf-standard-april"))}},
     "participants.e.training.schedule", "'ecf-standard-april' does not exist for 2025"),
    ({"participants": {"e": an_ect(training=a_training(partnership="mill-rival"))}},
     "participants.e.training.partnership", "'mill-rival' is not of 'fenland'"),
    ({"participants": {"e": an_ect(school="weir")}}, "participants.e.training.partnership",
     "'mill-25' is not of the school 'weir'"),
    ({"participants": {"e": an_ect(then_training=a_training(started_on="2025-10-01"))}},
     "participants.e.training", "overlapping periods"),
    ({"participants": {"e": an_ect(posts=[])}}, "participants.e.school",
     "posts and the short form must not be mixed"),
    ({"participants": {"e": {"full_name": "E"}}}, "participants.e.role", "missing key"),
    ({"participants": {"e": an_ect(mentor="ghost")}}, "participants.e.mentor",
     "unknown ref 'ghost'"),
    ({"participants": {"e": an_ect(deferral={"reason": "no", "at": "2025-10-01T09:00:00Z"})}},
     "participants.e.deferral.reason",
     "must be one of bereavement, long-term-sickness, parental-leave, career-break, other"),
    ({"participants": {"e": {"bulk": {"count": -1, "like": {}}}}}, "participants.e.bulk.count",
     "must be from 0 to 1000000"),
    ({"declarations": {"d": a_declaration("ghost")}}, "declarations.d.of", "unknown ref 'ghost'"),
    ({"pending_events": [{"event": "nope"}]}, "pending_events.0.event",
     "there is no event 'nope'"),
    ({"clock": {"now": "noon"}}, "clock.now", "must be an instant like 2025-09-01T09:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize(("added", "where", "problem"), BAD, ids=[f"{w}: {p}" for _, w, p in BAD])
def test_what_is_wrong_with_a_world_is_named(
    hand: Hand, added: Json, where: str, problem: str
) -> None:
    world = a_world()
    for name, value in added.items():
        old = world.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        world[name] = {**cast("Json", old), **cast("Json", value)} if both else value

    assert problems(hand, world)[where] == problem


def test_every_problem_is_told_and_at_most_a_hundred(hand: Hand) -> None:
    two = problems(hand, a_world(schools={"x": {}}, declarations={"d": a_declaration("ghost")}))
    crowd = {"bulk": {"count": 500, "like": {"role": "ect"}}}

    assert set(two) == {"schools.x.urn", "declarations.d.of"}
    assert len(problems(hand, a_world(participants={"c": crowd}))) == 100


@pytest.mark.parametrize("world", [[], "x", 7, None, {"participants": []}, {"cohorts": {"x": 1}}])
def test_what_is_no_world_is_refused(hand: Hand, world: object) -> None:
    assert problems(hand, world)


def test_a_sandbox_with_a_bad_start_world_does_not_start() -> None:
    with pytest.raises(BadWorld, match="colour: unknown key"):
        Sandbox({"colour": 1})


def test_any_part_left_out_of_the_bundled_world_is_told_or_missed_not_fatal(hand: Hand) -> None:
    whole = cast("dict[str, dict[str, Json]]", bundled_world())
    for name in ("providers", "cohorts", "schedules", "delivery_partners", "schools",
                 "partnerships", "statements", "participants"):  # fmt: skip
        world = deepcopy(whole)
        del world[name]
        assert hand.control("PUT", "/world", world).status in (200, 400)


def test_a_waiting_event_may_name_somebody_who_has_gone_since(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    hand.event("participant_renamed", participant="e", full_name="X", at="2026-01-01T00:00:00Z")
    hand.event("participant_removed", participant="e")
    first = hand.control("GET", "/world").json

    hand.world(first)

    assert hand.control("GET", "/world").json == first


def test_a_partnership_outlives_its_pairing(hand: Hand) -> None:
    pairing = {"delivery_partner": "hub", "provider": "fenland", "cohort": 2025}
    hand.event("delivery_partner_unpaired", **pairing)
    first = hand.control("GET", "/world").json

    hand.world(first)

    assert section(hand, "partnerships")["mill-25"]["unpaired_since"] is True
    assert hand.refs("/partnerships?filter[cohort]=2025") == ["mill-25"]
