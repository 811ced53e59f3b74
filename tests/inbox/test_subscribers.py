"""Handlers of the feed: each is told all, in order, at its own pace, and holds up no other."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from inbox import feed, places, retention
from inbox.cursor import Cursor
from inbox.errors import NoCursor, Pruned
from inbox.feed import Notice, Wants
from inbox.handling import Ended, Handling
from inbox.patience import TRIES, Again, Hold, after_failure
from inbox.places import LEASE, Place
from inbox.retention import Kept
from inbox.subscribers import Subscriber, check_subjects, load, subscribe
from runtime.database import Database
from runtime.errors import InvalidSettings
from schema.inbox import Begin, News
from tests.support.clock import NOON
from tests.support.inbox import Inbox, of_remote
from tests.support.remote import Remote, crm


class Site:
    """A mirror and a feed of customers, and handlers that read it."""

    def __init__(self, database: Database) -> None:
        self.remote = Remote(dice=Random(1))
        self.database = database
        self.inbox = Inbox(database, crm(), of_remote(self.remote))
        self.clock = self.inbox.clock

    def change(self, **values: int) -> None:
        """Let the other side change customers, and read it."""
        for name, value in values.items():
            self.remote.put(name, value, self.clock.now())
        self.inbox.wait(minutes=5)
        self.inbox.poll("customers")

    def handling(self, subscriber: Subscriber, **more: Any) -> Handling:
        """Make a process's hands for a handler."""
        return Handling(
            database=self.database,
            clock=self.clock,
            destination="default",
            subscriber=subscriber,
            **more,
        )

    def tell(self, subscriber: Subscriber) -> Ended:
        """Tell a handler what there is."""
        handling = self.handling(subscriber)
        handling.ensure()
        return handling.run()

    def place(self, name: str = "handler") -> Place:
        """Read how far a handler is."""
        with self.database.transaction() as connection:
            return places.get(connection, "default", name)

    def end(self) -> int:
        """Give the feed's end."""
        with self.database.reading() as connection:
            return feed.ends(connection, "default").last

    def skip_or_resume(self, cursor: Cursor | None) -> None:
        """Let the handler go on."""
        with self.database.transaction() as connection:
            places.resume(connection, places.get(connection, "default", "handler"), cursor)


@dataclass
class Heard:
    """A handler that notes what it hears, and fails where it is told to."""

    heard: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    fail_at: Callable[[Notice], bool] = lambda notice: False

    def note(self, news: Notice) -> None:
        if self.fail_at(news):
            raise ValueError("Amara Okafor")
        self.heard.append((news.kind.value, None if news.after is None else news.after["value"]))


def handler(heard: Heard, **more: Any) -> Subscriber:
    def note(news: Notice) -> None:
        heard.note(news)

    given: dict[str, Any] = {"begin": "everything", "name": "handler", **more}
    return subscribe("customer", **given)(note)


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


def test_a_new_handler_is_told_all_that_is_there_and_then_what_changes_in_order(site: Site) -> None:
    site.change(a=1, b=2)
    site.change(a=11)
    heard = Heard()

    assert site.tell(handler(heard)) is Ended.DONE
    assert heard.heard == [("new", 11), ("new", 2)]
    for value in range(3):
        site.change(b=value)
    assert site.tell(handler(heard)) is Ended.DONE
    assert heard.heard[2:] == [("updated", 0), ("updated", 1), ("updated", 2)]
    assert site.place().cursor == Cursor(position=site.end())
    assert site.tell(handler(heard)) is Ended.DONE
    assert len(heard.heard) == 5


def test_one_that_begins_now_hears_nothing_of_before_and_one_that_says_nothing_waits(
    site: Site,
) -> None:
    site.change(a=1)
    now, silent = Heard(), Heard()
    late = handler(now, begin="now", name="now")
    asked = handler(silent, begin=None)

    assert (site.tell(late), site.tell(asked)) == (Ended.DONE, Ended.BUSY)
    site.change(a=2)
    assert (site.tell(late), site.tell(asked)) == (Ended.DONE, Ended.BUSY)
    assert now.heard == [("updated", 2)]
    assert silent.heard == []
    with site.database.reading() as connection:
        begun = feed.begin(connection, "default", Begin.EVERYTHING)
    site.skip_or_resume(begun)
    assert site.tell(asked) is Ended.DONE
    assert silent.heard == [("new", 2)]


def test_one_that_fails_is_tried_again_later_then_held_and_the_others_go_on(site: Site) -> None:
    site.change(a=1)
    bad, good = Heard(fail_at=lambda news: True), Heard()
    failing, other = handler(bad), handler(good, name="other")
    assert (site.tell(failing), site.tell(other)) == (Ended.FAILED, Ended.DONE)
    first = site.place()
    assert site.tell(failing) is Ended.BUSY  # not yet again
    for _ in range(TRIES - 1):
        site.inbox.wait(minutes=5)
        assert site.tell(failing) is Ended.FAILED

    held = site.place()
    assert (first.failures, first.held_at, held.failures) == (1, None, TRIES)
    assert held.held_at is not None
    assert held.error is not None
    assert held.error.startswith("ValueError at test_subscribers.py:")
    assert "Amara" not in held.error
    site.inbox.wait(days=1)
    assert site.tell(failing) is Ended.BUSY
    site.change(a=2)
    assert site.tell(other) is Ended.DONE
    assert good.heard == [("new", 1), ("updated", 2)]

    bad.fail_at = lambda news: False
    site.skip_or_resume(None)
    assert site.tell(failing) is Ended.DONE
    assert bad.heard[-1] == ("updated", 2)
    assert (site.place().failures, site.place().error) == (0, None)


def test_what_came_before_a_failure_is_not_told_again(site: Site) -> None:
    site.change(a=1, b=2, c=3)
    heard = Heard(fail_at=lambda news: news.remote_id == "b")

    assert site.tell(handler(heard)) is Ended.FAILED
    heard.fail_at = lambda news: False
    site.inbox.wait(minutes=5)
    assert site.tell(handler(heard)) is Ended.DONE

    assert heard.heard == [("new", 1), ("new", 2), ("new", 3)]


def test_what_a_handler_writes_on_the_connection_is_done_once_whatever_happens(site: Site) -> None:
    with site.database.transaction() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (id TEXT, n INTEGER)"))
        connection.execute(text("DELETE FROM seen"))
    trouble: list[BaseException] = [ValueError("c"), KeyboardInterrupt()]

    def note(news: Notice, connection: Connection) -> None:
        values = {"id": news.remote_id, "n": 1}
        connection.execute(text("INSERT INTO seen VALUES (:id, :n)"), values)
        if news.remote_id == "c" and trouble:
            raise trouble.pop(0)

    writing = subscribe("customer", begin="everything", name="handler")(note)
    site.change(a=1, b=2, c=3, d=4)
    assert site.tell(writing) is Ended.FAILED
    site.inbox.wait(minutes=5)
    with pytest.raises(KeyboardInterrupt):  # as if its process were killed
        site.tell(writing)
    assert site.tell(writing) is Ended.BUSY  # until its lease is over
    site.clock.advance(LEASE + timedelta(seconds=1))
    assert site.tell(writing) is Ended.DONE

    with site.database.transaction() as connection:
        seen = connection.execute(text("SELECT id FROM seen ORDER BY id")).scalars().all()
        connection.execute(text("DROP TABLE seen"))
    assert list(seen) == ["a", "b", "c", "d"]
    assert site.place().handled == 4


def test_of_two_processes_one_calls_a_handler_and_a_late_one_moves_nothing(site: Site) -> None:
    site.change(a=1, b=2)
    others: list[Ended] = []
    heard = Heard()

    def note(news: Notice) -> None:
        if not others:
            others.append(site.handling(slow).run())
            site.clock.advance(LEASE + timedelta(seconds=1))
            others.append(site.handling(handler(heard)).run())  # the lease was over: it goes on

    slow = subscribe("customer", begin="everything", name="handler")(note)

    assert site.tell(slow) is Ended.LOST
    assert others == [Ended.BUSY, Ended.DONE]
    assert heard.heard == [("new", 1), ("new", 2)]
    assert site.place().handled == 2


def test_asked_to_end_it_stops_after_what_it_is_told_and_another_goes_on_at_once(
    site: Site,
) -> None:
    site.change(a=1, b=2, c=3)
    heard = Heard()
    stopping = site.handling(handler(heard), stopping=lambda: len(heard.heard) == 1)
    stopping.ensure()

    assert stopping.run() is Ended.MORE
    assert heard.heard == [("new", 1)]
    assert site.tell(handler(heard)) is Ended.DONE
    assert len(heard.heard) == 3


def test_only_kinds_that_are_asked_for_are_told_and_a_rebind_always(site: Site) -> None:
    heard = Heard()
    few = handler(heard, kinds=("gone",), begin="now")
    site.tell(few)
    site.change(a=1)
    with site.database.transaction() as connection:
        told = feed.Entry(source="", remote_id=None, item=feed.Item(kind=News.REBOUND))
        feed.append(connection, "default", [told], run_id=None, now=site.clock.now())

    assert site.tell(few) is Ended.DONE
    assert heard.heard == [("rebound", None)]
    assert site.place().cursor == Cursor(position=site.end())


def test_who_hears_of_it_while_everything_is_read_misses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inbox.handling.BATCH", 2)
    site.change(**{f"c{number}": number for number in range(7)})
    table: dict[str, int] = {}

    def keep(news: Notice) -> None:
        assert news.after is not None
        if len(table) == 3:
            site.change(c0=100, c6=106, c7=107)
        table[str(news.remote_id)] = int(str(news.after["value"]))

    keeping = subscribe("customer", begin="everything", name="handler")(keep)
    while site.tell(keeping) is not Ended.DONE:
        pass

    shown = {name: row["value"] for name, row in site.inbox.mirror("customers").items()}
    assert table == shown
    assert table["c7"] == 107


# Retention


KEPT = Kept(feed=timedelta(days=90), unread=timedelta(days=400), gone=timedelta(days=400))


def prune(site: Site) -> int:
    with site.database.transaction() as connection:
        return retention.prune_feed(connection, KEPT, site.clock.now())


def test_news_are_kept_until_every_handler_has_read_them_but_not_for_ever(site: Site) -> None:
    heard = Heard()
    slow = handler(heard, begin="now")
    site.tell(slow)
    site.change(a=1, b=2)
    site.inbox.wait(days=91)
    assert prune(site) == 0
    site.tell(slow)
    assert prune(site) == 2
    site.change(a=2)
    site.inbox.wait(days=401)
    assert prune(site) == 1

    assert site.tell(slow) is Ended.FAILED
    held = site.place()
    assert held.held_at is not None
    assert held.error == "what comes next is not kept any more"
    assert sorted(heard.heard) == [("new", 1), ("new", 2)]


def test_a_place_that_is_not_kept_any_more_is_refused_with_what_to_do(site: Site) -> None:
    site.change(a=1, b=2, c=3)
    site.inbox.wait(days=91)
    prune(site)
    site.change(a=2)
    with site.database.reading() as connection:
        here = feed.ends(connection, "default")
        assert (here.pruned, here.last) == (3, 4)
        for position in (0, 2, 5):
            with pytest.raises(Pruned, match="begin again with everything"):
                feed.read_on(connection, "default", Cursor(position=position))
        [left] = feed.read_on(connection, "default", Cursor(position=3)).notices
        batch = feed.read_on(
            connection, "default", feed.begin(connection, "default", Begin.EVERYTHING)
        )
    assert (left.kind, left.position) == (News.UPDATED, 4)
    assert [one.remote_id for one in batch.notices] == ["a", "b", "c"]
    assert batch.next == Cursor(position=4)


def test_what_has_been_gone_for_long_leaves_the_mirror(site: Site) -> None:
    site.change(a=1, b=2)
    site.remote.remove("a")
    site.inbox.wait(hours=1)
    site.inbox.full("customers")
    for days, left in ((399, {"a", "b"}), (2, {"b"})):
        site.inbox.wait(days=days)
        with site.database.transaction() as connection:
            retention.prune_gone(connection, KEPT, site.clock.now())
            rows = connection.execute(text("SELECT remote_id FROM remote_record")).scalars()
            assert set(rows) == left


# Pure parts


def test_patience_doubles_up_to_a_limit_and_ends() -> None:
    waits = [after_failure(number, NOON) for number in range(1, TRIES + 1)]

    assert waits[0] == Again(at=NOON + timedelta(seconds=5))
    assert waits[1] == Again(at=NOON + timedelta(seconds=10))
    assert waits[-2] == Again(at=NOON + timedelta(minutes=5))
    assert waits[-1] == Hold()


@pytest.mark.parametrize("walk", [None, ("", ""), ("schools-2026", "a:b/ü%~")])
def test_a_cursor_is_read_back_as_it_was_written(walk: tuple[str, str] | None) -> None:
    cursor = Cursor(position=42, walk=walk)

    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "bad", ["", "-1", "x", "1:2", "1:2:3:4", "²", "9" * 19, "1 ", "0x1", ":a:b"]
)
def test_what_is_no_cursor_is_refused_and_named(bad: str) -> None:
    with pytest.raises(NoCursor) as refused:
        Cursor.parse(bad)
    assert repr(bad) in str(refused.value)


# Modules


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> str:
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


GOOD = """
from inbox.subscribers import subscribe

@subscribe("participant", kinds=["new", "updated"], begin="now")
def keep(news): pass

@subscribe("event")
def fates(news, connection): pass
"""


def test_handlers_are_found_in_the_modules_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, fates = load([module(tmp_path, monkeypatch, "good_handlers", GOOD)])

    assert (keep.name, keep.begin, keep.takes_connection) == ("keep", Begin.NOW, False)
    assert keep.wants == Wants(subject="participant", kinds=frozenset({News.NEW, News.UPDATED}))
    assert (fates.name, fates.begin, fates.takes_connection) == ("fates", None, True)
    check_subjects([keep, fates], ["participants", "schools-2026"])
    with pytest.raises(InvalidSettings, match="keep is for 'participant'; there are event, school"):
        check_subjects([keep, fates], ["schools-2026"])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nowhere_to_be_found", "cannot be imported .ModuleNotFoundError.*PYTHONPATH"),
        ("1 / 0", "cannot be imported .ZeroDivisionError"),
        ("x = 1", "has no handler; put @subscribe"),
        (
            GOOD
            + GOOD.replace("def keep", "def keep2")
            .replace("def fates", "def keep3")
            .replace('"participant",', '"participant", name="keep",'),
            "two handlers 'keep'",
        ),
        (GOOD.replace("news, connection", "a, b, c"), "must take the news, or the news and"),
        (GOOD.replace('"updated"', '"changed"'), "no kind 'changed'; there are gone, merged"),
    ],
)
def test_a_module_that_cannot_be_used_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    with pytest.raises(InvalidSettings, match=words):
        load([module(tmp_path, monkeypatch, "bad_handlers", code)])


def test_a_notice_holds_all_that_was_told(site: Site) -> None:
    site.change(a=1)
    with site.database.reading() as connection:
        [notice] = feed.read_on(connection, "default", Cursor(position=0)).notices

    assert replace(notice, at=None, remote_updated_at=None) == Notice(
        destination="default",
        cursor=Cursor(position=1),
        kind=News.NEW,
        source="customers",
        remote_id="a",
        after={"value": 1},
    )
