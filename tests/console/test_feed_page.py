"""The feed over HTTP, as other programs read it, and its page for people."""

import asyncio
import threading
import time
from datetime import timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from console import accounts
from console.pages.feed import may_read_values
from console.visit import Visit, Visitor, Way
from console.watch import Watch
from inbox import feed, places
from inbox.cursor import Cursor
from inbox.news import Item
from runtime.database import Database
from schema.console import Role
from schema.fates import Fate
from schema.inbox import News
from schema.keys import EntryId
from schema.tables import audit
from tests.support.clock import HandClock
from tests.support.desk import Desk
from tests.support.inbox import Inbox, of_remote
from tests.support.remote import Remote, crm


def told(database: Database, clock: HandClock, *ids: str, kind: News = News.NEW) -> None:
    entries = [
        feed.Entry(
            source="participants",
            remote_id=one,
            item=Item(kind=kind, after={"full_name": f"Amara {one}"}),
            record_keys=(f"enrolment:{one}",),
        )
        for one in ids
    ]
    with database.transaction() as connection:
        feed.append(connection, "default", entries, run_id=None, now=clock.now())


def ask(desk: Desk, **query: object) -> Any:
    return desk.get(f"/feed?{urlencode(query)}", accept="application/json")


def test_a_program_follows_next_through_everything_and_on_to_what_is_told_since(
    desk: Desk, clock: HandClock
) -> None:
    database = desk.site.database
    remote = Remote(dice=Random(1))
    for number in range(5):
        remote.put(f"c{number}", number, clock.now())
    inbox = Inbox(database, crm(), of_remote(remote), clock=clock)
    inbox.poll("customers")
    table: dict[str, int] = {}
    after = "everything"
    for turn in range(20):
        answer = ask(desk, after=after, limit=2).json()
        for one in answer["items"]:
            table[one["remote_id"]] = one["after"]["value"]
        after = answer["next"]
        if turn == 1:
            remote.put("c0", 100, clock.now())
            inbox.wait(minutes=5)
            inbox.poll("customers")

    assert table == {"c0": 100, "c1": 1, "c2": 2, "c3": 3, "c4": 4}
    assert after == str(inbox.feed_end())
    assert ask(desk, after=after).json() == {
        "items": [],
        "next": after,
        "more": False,
        "values": True,
    }


def test_filters_leave_out_and_never_lose_the_place(desk: Desk, clock: HandClock) -> None:
    told(desk.site.database, clock, "a", "b")
    told(desk.site.database, clock, "c", kind=News.GONE)

    gone = ask(desk, after=0, kind="gone").json()
    none = ask(desk, after=0, source="schools").json()

    assert [one["remote_id"] for one in gone["items"]] == ["c"]
    assert (none["items"], none["next"]) == ([], "3")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "after is missing; begin with after=everything"),
        ({"after": "yesterday"}, "'yesterday' is no position of the feed"),
        ({"after": "1:2"}, "'1:2' is no position"),
        ({"after": "0", "limit": "0"}, "limit is '0'; it must be a number from 1 to 1000"),
        ({"after": "0", "wait": "1h"}, "wait is '1h'"),
        ({"after": "0", "wait": "0" * 12 + "99999"}, "must be a number from 0 to 60"),
        ({"after": "0", "limit": "0" * 11 + "1000000"}, "must be a number from 1 to 1000"),
        ({"after": "0", "kind": "changed"}, "kind is 'changed'; there are new, updated"),
        ({"after": "0", "destination": "x"}, "destination is 'x'; there are default"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_name(
    desk: Desk, query: dict[str, str], words: str
) -> None:
    answer = ask(desk, **query)

    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_what_is_not_kept_any_more_is_gone_and_the_answer_says_how_to_go_on(
    desk: Desk, clock: HandClock
) -> None:
    database = desk.site.database
    told(database, clock, "a", "b", "c")
    with database.transaction() as connection:
        later = clock.now() + timedelta(days=1)
        feed.prune(connection, "default", upto=2, before=later, limit=10)

    old, ahead = ask(desk, after=1, source="participants"), ask(desk, after=77)
    assert (old.status_code, ahead.status_code) == (410, 410)
    again = old.json()["again"]
    assert again == "/feed?source=participants&after=everything"
    assert desk.get(again, accept="application/json").status_code == 200
    assert [one["remote_id"] for one in ask(desk, after=2).json()["items"]] == ["c"]


def test_who_waits_is_answered_when_there_is_something_and_holds_nothing_meanwhile(
    desk: Desk, clock: HandClock
) -> None:
    database = desk.site.database
    answers: list[Any] = []
    reading = threading.Thread(
        target=lambda: answers.append(ask(desk, after="now", wait=30, kind="gone").json())
    )
    began = time.monotonic()
    reading.start()
    while not (hasattr(desk.app.state, "watch") and desk.app.state.watch.waiting):
        time.sleep(0.01)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    told(database, clock, "a")  # is not asked for: it goes on waiting
    told(database, clock, "b", kind=News.GONE)
    reading.join(timeout=20)

    [answer] = answers
    assert [one["remote_id"] for one in answer["items"]] == ["b"]
    assert answer["next"] == "2"
    assert time.monotonic() - began < 20


def test_who_waits_in_vain_is_answered_in_time_with_the_place_it_has_come_to(desk: Desk) -> None:
    answer = ask(desk, after="now", wait=1).json()

    assert (answer["items"], answer["next"]) == ([], "0")


def test_beyond_a_bound_nobody_waits() -> None:

    async def waits() -> tuple[bool, float]:
        watch = Watch(dict, most=1)
        first = asyncio.create_task(watch.moved("default", 0, within_s=5))
        await asyncio.sleep(0)
        began = time.monotonic()
        second = await watch.moved("default", 0, within_s=5)
        first.cancel()
        return second, time.monotonic() - began

    second, took = asyncio.run(waits())
    assert second is False
    assert took < 1


@pytest.mark.parametrize(
    ("role", "way", "right", "values"),
    [
        (Role.FEED, Way.TOKEN, False, False),
        (Role.FEED, Way.TOKEN, True, True),
        (Role.VIEWER, Way.ACCOUNT, True, False),
        (Role.OPERATOR, Way.ACCOUNT, False, True),
    ],
)
def test_names_of_people_are_for_who_has_the_right(
    desk: Desk, role: Role, way: Way, right: bool, values: bool
) -> None:
    who = Visitor(name="roster", role=role, way=way, may_reveal=right)
    visit = Visit(site=desk.site, request=Any, who=who, now=desk.site.clock.now())  # pyright: ignore[reportArgumentType]
    entry = feed.Notice(
        destination="default",
        cursor=Cursor(position=1),
        kind=News.UPDATED,
        source="participants",
        changed=("full_name",),
        before={"full_name": "Amara Okafor"},
        after={"full_name": "Amara Obi"},
    )

    assert may_read_values(visit) is values
    shown = entry.as_json(values=may_read_values(visit))
    assert ("Amara" in str(shown)) is values
    assert shown["changed"] == ["full_name"]


# The page


def test_people_see_what_was_told_and_no_values(desk: Desk, clock: HandClock) -> None:
    told(desk.site.database, clock, "a")
    fate = Fate(
        entry=EntryId(7),
        source="crm",
        event_id="c-1",
        record_key="enrolment:E-1",
        remote_id=None,
        outcome="refused",
        reason="the schedule is <b>over</b>",
    )
    with desk.site.database.transaction() as connection:
        settled = [feed.settled(fate)]
        feed.append(connection, "default", settled, run_id=None, now=clock.now())

    text = desk.get("/feed").text

    assert "enrolment:a" in text
    assert "Amara" not in text
    assert "event c-1: refused" in text
    assert "the schedule is &lt;b&gt;over&lt;/b&gt;" in text
    assert "No handler reads the feed." in text
    assert "Nothing matches." in desk.get("/feed?kind=merged").text


def test_a_handler_that_stands_still_is_shown_and_moved_on_with_a_reason(
    desk: Desk, clock: HandClock
) -> None:
    database = desk.site.database
    told(database, clock, "a", "b")
    with database.transaction() as connection:
        places.ensure(connection, "default", "roster", Cursor(position=0))
        place = places.take(connection, "default", "roster", now=clock.now())
        assert place is not None
        places.failed(
            connection,
            place,
            error="ValueError at handlers.py:12",
            at=Cursor(position=1),
            failures=20,
            retry_at=None,
            now=clock.now(),
        )
    text = desk.get("/feed").text
    assert "ValueError at handlers.py:12 (20 in a row)" in text
    assert ">held<" in text.replace(" ", "").replace("\n", "")
    lit = str(desk.read("/")["attention"])
    assert "roster is told nothing of the feed: ValueError at handlers.py:12" in lit
    [shown] = desk.read("/feed/subscribers")
    assert (shown["state"], shown["unread"], shown["stuck_at"]) == ("held", 2, "1")

    bare = desk.post("/feed/subscribers/roster/skip", {"destination": "default"})
    assert bare.status_code in (303, 422)
    assert desk.read("/feed/subscribers")[0]["state"] == "held"
    filled = {"destination": "default", "reason": "a test record"}
    assert desk.post("/feed/subscribers/roster/skip", filled).status_code == 303
    [after] = desk.read("/feed/subscribers")
    assert (after["state"], after["cursor"], after["failures"]) == ("behind", "1", 0)
    again = desk.post("/feed/subscribers/roster/skip", filled, accept="application/json")
    assert again.json()["error"] == "roster fails at no news, so there is none to skip"
    nobody = desk.post("/feed/subscribers/x/resume", filled, accept="application/json")
    assert "no handler 'x' reads the feed of default; there are roster" in nobody.json()["error"]
    with database.reading() as connection:
        rows = connection.execute(select(audit.c.action, audit.c.actor, audit.c.reason)).all()
    assert ("handler_skipped", "robin", "a test record") in [tuple(row) for row in rows]


def test_a_handler_that_lost_its_place_can_only_begin_again(desk: Desk, clock: HandClock) -> None:
    database = desk.site.database
    told(database, clock, "a", "b")
    with database.transaction() as connection:
        places.ensure(connection, "default", "roster", Cursor(position=0))
        later = clock.now() + timedelta(days=1)
        feed.prune(connection, "default", upto=2, before=later, limit=10)
    filled = {"destination": "default", "reason": "begin again"}

    refused = desk.post("/feed/subscribers/roster/resume", filled, accept="application/json")
    begun = desk.post(
        "/feed/subscribers/roster/resume",
        {**filled, "begin": "everything"},
        accept="application/json",
    )

    assert "say where it begins" in refused.json()["error"]
    assert begun.json() == {"cursor": "2::"}


def test_a_program_reads_with_a_token_of_the_feed_and_may_do_nothing_else(
    desk: Desk, clock: HandClock
) -> None:
    told(desk.site.database, clock, "a")
    with desk.site.database.transaction() as connection:
        tokens = {
            right: accounts.add_token(
                connection,
                f"roster-{right}",
                role=Role.FEED,
                may_reveal=right,
                actor="robin",
                now=clock.now(),
            )
            for right in (False, True)
        }

    def reads(path: str, right: bool | None = None) -> Any:
        bearer = {} if right is None else {"authorization": f"Bearer {tokens[right]}"}
        return desk.get(path, accept="*/*", x_forwarded_for="192.0.2.7", **bearer)

    few, all_of_it = reads("/feed?after=0", False), reads("/feed?after=0", True)
    assert (few.json()["values"], all_of_it.json()["values"]) == (False, True)
    assert "Amara" not in few.text
    assert "Amara" in all_of_it.text
    assert reads("/feed/subscribers", True).status_code == 403
    assert reads("/feed?after=0").status_code in (303, 401)
    sent = {"authorization": f"Bearer {tokens[True]}", "x_forwarded_for": "192.0.2.7"}
    moved = desk.post("/feed/subscribers/x/forget", {"reason": "x"}, csrf="", **sent)
    assert moved.status_code == 403
