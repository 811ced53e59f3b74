"""The internal app of the page runs as it is shown: its table, its handlers, its loop over HTTP."""

import contextlib
import io
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.contracts.lead_provider_v3 import CONTRACT
from inbox import feed
from inbox.cursor import Cursor
from inbox.handling import Ended, Handling
from inbox.news import Item
from inbox.subscribers import Subscriber, check_subjects, load
from runtime.database import Database
from schema.fates import Fate
from schema.inbox import News
from schema.keys import EntryId
from tests.docs.reference import ROOT
from tests.support.builders import PERSON
from tests.support.clock import NOON
from tests.support.inbox import Inbox, Lists

PAGE = (ROOT / "docs" / "how-to" / "keep-your-own-table-in-step.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.S)
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.S)
OTHER = "51a0f0e7-038d-54ff-9b88-0a24f263e320"


class App:
    """The app of the page, on the database of the test."""

    def __init__(self, database: Database, handlers: tuple[Subscriber, ...]) -> None:
        self.database = database
        self.lists = Lists()
        self.inbox = Inbox(database, CONTRACT, self.lists)
        self.handlers = handlers

    def poll(self) -> None:
        """Read the participants, and let each handler hear of it."""
        self.inbox.wait(minutes=5)
        self.inbox.poll("participants")
        self.hear()

    def hear(self) -> None:
        """Let each handler hear what there is."""
        for one in self.handlers:
            handling = Handling(
                database=self.database,
                clock=self.inbox.clock,
                destination="default",
                subscriber=one,
            )
            handling.ensure()
            assert handling.run() is Ended.DONE

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read rows."""
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(text(query)).all()]

    def tell(self, *entries: feed.Entry) -> None:
        """Append to the feed."""
        with self.database.transaction() as connection:
            feed.append(connection, "default", entries, run_id=None, now=NOON)


@pytest.fixture
def app(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    (tmp_path / "roster_app.py").write_text(PYTHON[0], encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "roster_app", raising=False)
    tables = ("roster", "letters")
    with database.transaction() as connection:
        for table in tables:
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
        for statement in SQL[0].split(";"):
            if statement.strip():
                connection.execute(text(statement))
    handlers = load(["roster_app"])
    check_subjects(handlers, [one.name for one in CONTRACT.sources(NOON)])
    yield App(database, handlers)
    with database.transaction() as connection:
        for table in tables:
            connection.execute(text(f"DROP TABLE {table}"))


ROSTER = "SELECT full_name, training_status FROM roster ORDER BY full_name"


def test_the_table_follows_what_schools_and_dfe_change(app: App) -> None:
    now = app.inbox.clock.now
    app.lists.person(now(), name="Amara Okafor")
    app.lists.person(now(), OTHER, name="Grace Mensah")
    app.poll()
    assert app.rows(ROSTER) == [("Amara Okafor", "active"), ("Grace Mensah", "active")]

    app.inbox.wait(minutes=5)
    app.lists.person(now(), name="Amara Obi")
    app.lists.person(now(), OTHER, name="Grace Mensah", training_status="deferred")
    app.poll()
    assert app.rows(ROSTER) == [("Amara Obi", "active"), ("Grace Mensah", "deferred")]

    app.tell(feed.Entry(source="participants", remote_id=OTHER, item=Item(kind=News.GONE)))
    app.hear()
    assert app.rows(ROSTER) == [("Amara Obi", "active")]

    app.tell(feed.Entry(source="", remote_id=None, item=Item(kind=News.REBOUND)))
    app.hear()
    assert app.rows(ROSTER) == []


def test_what_became_of_each_letter_is_noted(app: App) -> None:
    app.hear()
    for outcome in ("refused", "delivered"):
        fate = Fate(
            entry=EntryId(1),
            source="letters",
            event_id="L-1",
            record_key="enrolment:E-1",
            remote_id=None,
            outcome=outcome,
        )
        app.tell(feed.settled(fate))
    app.hear()

    assert app.rows("SELECT event_id, outcome FROM letters") == [("L-1", "delivered")]


def test_the_queries_that_are_shown_miss_nothing(app: App) -> None:
    app.lists.person(app.inbox.clock.now())
    app.poll()
    follow, ends, mirror = SQL[1:]
    with app.database.reading() as connection:
        all_of_it = connection.execute(text(follow), {"position": 0}).all()
        rest = connection.execute(text(follow), {"position": 1}).all()
        [(pruned, last)] = connection.execute(text(ends)).all()
        there = connection.execute(text(mirror)).all()

    assert [row.position for row in all_of_it] == [1]
    assert rest == []
    assert (pruned, last) == (0, 1)
    assert [row.remote_id for row in there] == [PERSON]


class _Over(Exception):
    """Ends the loop that has no end."""


def test_the_loop_over_http_begins_again_where_its_place_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str | None]] = []
    answers: list[Any] = [
        {"items": [], "next": "7"},
        410,
        {"items": [{"kind": "new", "remote_id": "a", "changed": [], "after": None}], "next": "9"},
        _Over(),
    ]

    def opened(request: urllib.request.Request, timeout: float) -> Any:
        asked.append((request.full_url, request.get_header("Authorization")))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer == 410:
            raise urllib.error.HTTPError(request.full_url, 410, "Gone", None, None)  # type: ignore[arg-type]
        return io.BytesIO(json.dumps(answer).encode())

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    monkeypatch.setenv("FEED_URL", "http://localhost:4020/feed")
    monkeypatch.setenv("FEED_TOKEN", "t")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(_Over):
        exec(PYTHON[1], {})

    assert [url.partition("after=")[2].partition("&")[0] for url, _ in asked] == [
        "everything",
        "7",
        "everything",
        "9",
    ]
    assert {token for _, token in asked} == {"Bearer t"}
    assert out.getvalue() == "new a [] None\n"


def test_the_cursor_of_the_page_needs_no_quoting() -> None:
    cursor = Cursor(position=3, walk=("schools-2026", "a b/ü&#~%"))

    assert re.fullmatch(r"[\w:.~-]+", str(cursor))
