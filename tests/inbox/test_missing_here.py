"""What is there and linked to nothing here: each thing once, however little is looked through at a time."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select

from inbox import differences, mirror
from inbox.mirror import Change, Reading
from records import store
from runtime.bulk import insert_many
from runtime.database import Database
from schema.fingerprint import fingerprint
from schema.sources import Row, Source
from schema.tables import mapping, record
from tests.support.builders import a_record
from tests.support.clock import NOON

SOURCES = cast(
    list[Source],
    [
        SimpleNamespace(name="participants", kind="enrolment"),
        SimpleNamespace(name="schools", kind=None),
        SimpleNamespace(name="partnerships", kind="partnership"),
        SimpleNamespace(name="declarations", kind="declaration"),
    ],
)
HELD = {"participants": 60, "schools": 5, "partnerships": 0, "declarations": 17}


@pytest.fixture
def filled(database: Database) -> Database:
    """A mirror of which every third participant and every declaration but one is linked."""
    with database.transaction() as connection:
        store.insert_all(connection, [a_record()])
        record_id = connection.execute(select(record.c.id)).scalar_one()
        for source, number in HELD.items():
            reading = Reading(
                destination="default", source=source, run_id=1, began_at=NOON, now=NOON
            )
            rows = [Row(id=f"{source}-{place:02}", content={}) for place in range(number)]
            mirror.write(
                connection,
                reading,
                [Change(row=row, before=None, fingerprint=fingerprint({})) for row in rows],
            )
        mirror.mark_gone(
            connection,
            Reading(
                destination="default", source="participants", run_id=1, began_at=NOON, now=NOON
            ),
            "participants-01",
        )
        linked = [
            *(("enrolment", f"participants-{place:02}") for place in range(0, 60, 3)),
            *(("declaration", f"declarations-{place:02}") for place in range(16)),
        ]
        rows = [
            {
                "destination": "default",
                "kind": kind,
                "remote_id": remote_id,
                "role": "",
                "record_id": record_id,
                "since": NOON,
            }
            for kind, remote_id in linked
        ]
        insert_many(connection, mapping, rows)
    return database


def pages(database: Database, **how: Any) -> list[list[str]]:
    found: list[list[str]] = []
    after = None
    with database.reading() as connection:
        while True:
            some = differences.missing_here(connection, "default", SOURCES, after=after, **how)
            found.append([one["remote_id"] for one in some.rows])
            after = some.go_on
            if after is None:
                return found


UNLINKED = [
    *(f"participants-{place:02}" for place in range(60) if place % 3 and place != 1),
    "declarations-16",
]


@pytest.mark.parametrize(("limit", "looked_at"), [(1, 1), (7, 100), (100, 4), (3, 10), (500, 500)])
def test_each_is_listed_once_in_order(filled: Database, limit: int, looked_at: int) -> None:
    found = pages(filled, limit=limit, looked_at=looked_at)

    assert [one for page in found for one in page] == UNLINKED
    assert max(map(len, found)) <= limit


def test_a_list_looks_through_no_more_than_it_may(filled: Database) -> None:
    assert pages(filled, limit=100, looked_at=10)[:2] == [
        [one for one in UNLINKED[:-1] if one <= "participants-09"],
        [one for one in UNLINKED[:-1] if "participants-09" < one <= "participants-19"],
    ]


def test_a_place_in_a_source_that_is_none_lists_nothing(filled: Database) -> None:
    nowhere = differences.Place("schools", "schools-01")
    with filled.reading() as connection:
        some = differences.missing_here(connection, "default", SOURCES, after=nowhere, limit=5)
    assert (some.rows, some.go_on) == ([], None)
