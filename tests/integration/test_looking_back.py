"""A list of entries: every entry that matches once, in order, however little is looked through at a time."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from outbox import looking_back
from outbox.looking_back import SLACK
from outbox.selection import Entries, Selection
from runtime.database import Database
from schema.tables import outbox_entry
from tests.support.clock import NOON

EVENTS = ("participant_deferred", "schedule_changed")
ENTRY = outbox_entry.c
LITTLE = 230
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def filled(database: Database) -> Database:
    """Three hundred entries, ten minutes apart, of two destinations, with holes among their ids."""
    dice = Random(7)
    rows: list[dict[str, Any]] = [
        {
            "id": 1 + number,
            "destination": "other" if number % 7 == 0 else "default",
            "event": EVENTS[dice.random() < 0.03],
            "source_id": f"E-{number}",
            "payload": {},
            # Hours before or after those around it, as another server's clock might have it.
            "emitted_at": NOON + timedelta(minutes=10 * number + dice.randrange(-300, 300)),
        }
        for number in range(300)
    ]
    with database.transaction() as connection:
        connection.execute(insert(outbox_entry), rows)
        connection.execute(delete(outbox_entry).where(ENTRY.id.between(40, 140)))
    return database


def walked(database: Database, chosen: Selection, **how: Any) -> list[int]:
    """Read page after page to the end; gives the ids in the order they came."""
    found: list[int] = []
    before = None
    with database.reading() as connection:
        while True:
            page = looking_back.newest(connection, "default", chosen, before=before, **how)
            found += [one.id for one in page.entries]
            if page.go_on is None:
                return found
            assert before is None or page.go_on < before
            before = page.go_on


def matching(database: Database, wanted: Entries) -> list[int]:
    with database.reading() as connection:
        query = select(ENTRY.id).where(
            ENTRY.destination == "default", *wanted.conditions(connection)
        )
        return list(connection.execute(query.order_by(ENTRY.id.desc())).scalars())


@pytest.mark.parametrize("looked_at", [3, 50, 100_000])
def test_each_entry_that_matches_is_listed_once_and_in_order(
    filled: Database, looked_at: int
) -> None:
    dice = Random(looked_at)
    moments = [None, *(NOON + timedelta(minutes=dice.randrange(-600, 3_600)) for _ in range(12))]
    for _ in range(12):
        wanted = Entries(
            since=dice.choice(moments),
            until=dice.choice(moments),
            event=dice.choice([None, *EVENTS]),
        )
        pages = {"limit": dice.choice([7, 20, 500]), "looked_at": looked_at}

        assert walked(filled, Selection(entries=wanted), **pages) == matching(filled, wanted)


def test_a_list_that_looked_no_further_says_how_far(filled: Database) -> None:
    nothing = Selection(entries=Entries(source="nowhere"))
    with filled.reading() as connection:
        page = looking_back.newest(connection, "default", nothing, limit=5, looked_at=30)
        [back_to] = connection.execute(select(ENTRY.emitted_at).where(ENTRY.id == 270)).scalars()

    assert (page.entries, page.go_on, page.back_to) == ([], 271, back_to)
    assert walked(filled, nothing, limit=5, looked_at=30) == []


def test_what_is_named_or_of_one_person_is_looked_for_everywhere(filled: Database) -> None:
    named = Selection(entries=Entries(ids=(2, 298)))
    with filled.reading() as connection:
        page = looking_back.newest(connection, "default", named, limit=5, looked_at=1)

    assert [one.id for one in page.entries] == [298, 2]
    assert page.go_on is None


def test_far_back_in_time_no_more_is_looked_through_than_a_day(filled: Database) -> None:
    until = NOON + timedelta(minutes=10 * 30)
    wanted = Selection(entries=Entries(until=until))
    with filled.reading() as connection:
        page = looking_back.newest(connection, "default", wanted, limit=500, looked_at=LITTLE)

    a_day = int(SLACK / timedelta(minutes=10))
    assert a_day < LITTLE < 300  # begun at the newest, it would not reach the first
    assert [one.id for one in page.entries] == matching(filled, Entries(until=until))
    assert page.go_on is None


def test_an_empty_outbox_lists_nothing(database: Database) -> None:
    assert walked(database, Selection(), limit=5) == []


def test_the_last_day_of_the_calendar_is_a_day_like_any_other(filled: Database) -> None:
    for wanted in (Entries(until=LAST), Entries(since=LAST), Entries(since=FIRST)):
        found = walked(filled, Selection(entries=wanted), limit=500)
        assert found == matching(filled, wanted)
