"""The collections that are read: how they are asked for, and what a row says."""

import json
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.answers import Answer
from gateway.client import Client
from gateway.contracts import guidance
from gateway.contracts.lead_provider.sources import PARTICIPANTS, TRANSFERS
from gateway.contracts.lead_provider_v3 import CONTRACT
from sandbox.server import Sandbox
from schema.contract import ABSENT, Unreadable
from schema.fingerprint import Json
from schema.sources import About, Ask, Order, Source
from tests.contracts.builders import ECT, MENTOR, NOW, OTHER_PERSON, PERSON, an_enrolment

SOURCES = {one.name: one for one in CONTRACT.sources(NOW)}
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def client() -> Generator[Client]:
    with Sandbox(limit=1_000_000) as served:
        client = Client(served.url, lambda: "sandbox-harbour")
        yield client
        client.close()


def asked(client: Client, source: Source, ask: Ask) -> list[Json]:
    reply = client.send(source.request(ask))
    assert isinstance(reply, Answer)
    assert reply.status == 200
    return list(source.page(json.loads(reply.body)).rows)


def a_person(**attributes: Any) -> dict[str, Any]:
    """A row of participants as the API gives it: an ECT with a mentor."""
    told: dict[str, Any] = {
        "full_name": "Amara Okafor",
        "teacher_reference_number": "1234567",
        "updated_at": "2026-02-10T09:00:00Z",
        "ecf_enrolments": [
            {
                "participant_type": "ect",
                "training_status": "active",
                "schedule_identifier": "ecf-standard-september",
                "cohort": "2025",
                "mentor_id": OTHER_PERSON,
            }
        ],
        "participant_id_changes": [],
    }
    return {"id": PERSON, "type": "participant", "attributes": told | attributes}


def test_all_eight_collections_are_declared_and_schools_are_read_cohort_by_cohort() -> None:
    assert {name: one.order for name, one in SOURCES.items()} == {
        "participants": Order.RESTART,
        "declarations": Order.TWO_WAYS,
        "transfers": Order.TWO_WAYS,
        "unfunded-mentors": Order.RESTART,
        "partnerships": Order.RESTART,
        "schools-2025": Order.RESTART,
        "schools-2024": Order.RESTART,
        "delivery-partners": Order.TWO_WAYS,
        "statements": Order.TWO_WAYS,
    }


def test_a_cohort_begins_on_the_first_of_june() -> None:
    last_day = datetime(2026, 5, 31, 22, 59, tzinfo=UTC)
    first_day = datetime(2026, 5, 31, 23, 1, tzinfo=UTC)  # 1 June in London

    assert "schools-2026" not in {one.name for one in CONTRACT.sources(last_day)}
    assert "schools-2026" in {one.name for one in CONTRACT.sources(first_day)}


@pytest.mark.parametrize("name", SOURCES)
def test_every_row_of_the_sandbox_is_read_in_both_orders_and_alone(
    name: str, client: Client
) -> None:
    source = SOURCES[name]
    rows = [source.read(one) for one in asked(client, source, Ask(since=None, size=100))]
    changed = asked(client, source, Ask(since=SINCE, size=100, by_change=True))
    again = [source.read(one) for one in changed]

    assert rows
    assert sorted(rows, key=lambda one: one.id) == sorted(again, key=lambda one: one.id)
    request = source.request_one(rows[0].id)
    assert request is not None
    alone = client.send(request)
    assert isinstance(alone, Answer)
    assert source.read(source.one(json.loads(alone.body))) == rows[0]


def test_a_restart_asks_in_order_of_change_and_a_walk_both_ways_never_does() -> None:
    ask = Ask(since=datetime(2026, 2, 10, 9, 0, 0, 5, tzinfo=UTC), size=100, by_change=True)

    assert PARTICIPANTS.query(ask) == (
        ("filter[updated_since]", "2026-02-10T09:00:00Z"),
        ("sort", "updated_at"),
        ("page[page]", "1"),
        ("page[per_page]", "100"),
    )
    assert "sort" not in dict(TRANSFERS.query(ask))


def test_a_participant_is_kept_by_course_and_names_its_mentor_and_merged_ids() -> None:
    change = {"from_participant_id": OTHER_PERSON, "to_participant_id": PERSON}
    row = PARTICIPANTS.read(a_person(participant_id_changes=[change], new_attribute=1))

    assert row.content["full_name"] == "Amara Okafor"
    assert row.content["new_attribute"] == 1
    assert "updated_at" not in row.content
    assert row.mentions == (OTHER_PERSON,)
    assert row.merged == (OTHER_PERSON,)
    assert PARTICIPANTS.about(row) == (
        About(kind="enrolment", remote_id=PERSON, role=ECT, place=ECT),
        About(kind="enrolment", remote_id=PERSON, role=MENTOR, place=MENTOR),
    )


def test_a_participant_tells_an_enrolment_what_a_look_up_would_and_that_another_is_absent() -> None:
    row = PARTICIPANTS.read(a_person())
    record = an_enrolment()

    told = PARTICIPANTS.told(row, record, ())
    looked_up = CONTRACT.read(
        CONTRACT.operations["look_up_participant"], record, (), {"data": a_person()}
    )

    assert told == looked_up
    other = PARTICIPANTS.told(row, an_enrolment(role=MENTOR), ())
    assert other is not None
    assert other.accepted == ABSENT


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (a_person(updated_at="yesterday"), "attributes.updated_at"),
        (a_person(ecf_enrolments=[{"participant_type": "ect"}]), "attributes.ecf_enrolments"),
        ({**a_person(), "type": "person"}, "type"),
        ("Amara Okafor", "the whole"),
    ],
)
def test_a_bad_row_is_refused_with_its_place_and_none_of_its_content(raw: Json, place: str) -> None:
    with pytest.raises(Unreadable) as refused:
        PARTICIPANTS.read(raw)

    assert place in str(refused.value)
    assert "Amara" not in str(refused.value)
    assert "yesterday" not in str(refused.value)


def test_the_texts_api_is_read_flat_in_pages_that_are_lists() -> None:
    source = guidance.SOURCES[0]
    page = source.page([{"id": "p-1", "full_name": "A", "updated_at": "2026-02-10T09:00:00Z"}])
    row = source.read(page.rows[0])

    assert row.content == {"full_name": "A"}
    assert row.updated_at == datetime(2026, 2, 10, 9, tzinfo=UTC)
    assert source.about(row)[0] == About(kind="participant", remote_id="p-1")
