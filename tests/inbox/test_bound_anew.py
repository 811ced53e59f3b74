"""What was read from one API is never applied to a database that speaks for another by now."""

from datetime import datetime
from random import Random

from sqlalchemy import insert, select

from gateway.answers import Answer
from inbox import feed
from inbox.cursor import Cursor
from inbox.fetching import Got, NotGot, Shut
from inbox.forgetting import forget
from inbox.poll import Ended
from outbox import bindings
from outbox.bindings import Binding
from outbox.gates import Gates
from runtime.database import Database
from schema.fingerprint import Json
from schema.inbox import News, RunKind, RunState
from schema.incoming_tables import drift
from schema.plans import Request
from schema.states import Lane
from tests.support.clock import NOON, HandClock
from tests.support.inbox import Inbox, of_remote
from tests.support.outbox import TIMING
from tests.support.pace import FakePace
from tests.support.remote import Remote, crm
from workers.bound import Bound
from workers.fetch import Fetcher

A = Binding(
    destination="default",
    contract="crm",
    url="https://a.example/api/v3",
    key_name="default",
    database_id="i",
)


def bind(database: Database) -> None:
    with database.transaction() as connection:
        bindings.bind(connection, A, now=NOON, live=True)


def rebind(database: Database) -> None:
    with database.transaction() as connection:
        bindings.hold_still(connection, "default")
        bindings.rebind(connection, A, now=NOON, live=True, last_record=0)


def test_a_page_that_was_asked_for_before_a_rebind_is_not_applied(database: Database) -> None:
    remote = Remote(dice=Random(1))
    remote.put("c01", 1, NOON)
    inbox = Inbox(database, crm(), of_remote(remote))
    bind(database)
    old, new = Bound("default", 1), Bound("default", 2)
    inbox.bound = old
    answer = inbox.answer

    def meanwhile(request: Request, now: datetime) -> Json:
        rebind(database)
        return answer(request, now)

    inbox.answer = meanwhile
    assert inbox.poll("customers") is Ended.LOST
    assert inbox.mirror("customers") == {}
    assert old.anew

    assert inbox.poll("customers") is Ended.LOST
    assert len(inbox.asked) == 1  # nothing more is asked

    inbox.bound, inbox.answer = new, answer
    assert inbox.poll("customers") is Ended.COMPLETE  # at once: the lease was given back
    assert not new.anew


class Client:
    """Answers every read with an empty list, and counts them."""

    def __init__(self) -> None:
        self.sent = 0

    def send(self, request: Request, *, send_by: float | None = None) -> Answer:
        """Answer."""
        self.sent += 1
        return Answer(status=200, headers={"content-type": "application/json"}, body=b"{}")


def test_who_was_started_before_a_rebind_asks_the_old_address_nothing_more(
    database: Database,
) -> None:
    bind(database)
    bound, client, pace = Bound("default", 1), Client(), FakePace()
    fetch = Fetcher(
        database=database,
        destination="default",
        clock=HandClock(),
        timing=TIMING,
        pace=pace,
        client=client,
        gates=Gates(destination="default", key_name="default"),
        dice=Random(1),
        bound=bound,
    )
    read = Request(method="GET", path="/participants")

    assert isinstance(fetch(read, Lane.POLL, 7), Got)
    rebind(database)
    assert fetch(read, Lane.POLL, 7) == Shut(detail="bound anew")
    assert (client.sent, pace.asked) == (1, 1)
    assert bound.anew


def test_a_rebind_is_one_piece_of_news_and_everything_is_read_again(database: Database) -> None:
    remote = Remote(dice=Random(1))
    for number in range(5):
        remote.put(f"c{number}", number, NOON)
    inbox = Inbox(database, crm(), of_remote(remote))
    bind(database)
    inbox.poll("customers")
    told = inbox.feed_end()
    before = inbox.checkpoint("customers")
    other = Remote(dice=Random(1))
    other.put("d1", 1, NOON)
    inbox.answer = of_remote(other)

    with database.transaction() as connection:
        bindings.hold_still(connection, "default")
        bindings.rebind(connection, A, now=NOON, live=True, last_record=0)
        sources = inbox.contract.sources(NOON)
        forgotten = forget(connection, "default", sources, page_size=10, now=NOON)

    assert (forgotten.mirrored, forgotten.sources) == (5, ("customers",))
    assert inbox.mirror("customers") == {}
    assert inbox.checkpoint("customers").watermark is None
    assert inbox.news(after=told) == [("rebound", None, [])]
    inbox.wait(minutes=1)
    assert inbox.poll("customers") is Ended.COMPLETE  # as the timetable would ask for
    assert inbox.runs()[0].kind is RunKind.FULL
    assert inbox.mirror("customers") == {"d1": {"value": 1}}
    assert inbox.news(after=told)[1:] == [("new", "d1", [])]
    after = inbox.checkpoint("customers")
    assert before.watermark is not None
    assert after.watermark is not None
    assert after.token > before.token + 1


def test_a_reader_that_is_ahead_of_a_restored_feed_misses_nothing(database: Database) -> None:
    remote = Remote(dice=Random(1))
    remote.put("c1", 1, NOON)
    inbox = Inbox(database, crm(), of_remote(remote))
    bind(database)
    inbox.poll("customers")
    ahead = Cursor(position=inbox.feed_end() + 5_000)  # what it read is lost with the database

    with database.transaction() as connection:
        forget(connection, "default", inbox.contract.sources(NOON), page_size=10, now=NOON)
    inbox.wait(minutes=1)
    inbox.poll("customers")

    with database.reading() as connection:
        batch = feed.read_on(connection, "default", ahead)
    assert [one.kind for one in batch.notices] == [News.REBOUND, News.NEW]


def test_what_was_under_way_is_given_up_and_what_people_resolved_stays(database: Database) -> None:
    remote = Remote(dice=Random(1))
    for number in range(30):
        remote.put(f"c{number:02}", number, NOON)
    inbox = Inbox(database, crm(), of_remote(remote))
    bind(database)
    inbox.poll("customers")
    remote.remove("c01")
    remote.remove("c02")
    inbox.wait(hours=1)
    inbox.full("customers")
    inbox.instead.append(NotGot(detail="answered 500"))
    inbox.stopping = lambda: True
    inbox.full("customers")
    with database.transaction() as connection:
        row = {
            "destination": "default",
            "source": "customers",
            "remote_id": "c01",
            "found_at": NOON,
        }
        for state in ("open", "healed"):
            resolved = None if state == "open" else NOON
            more = {"state": state, "kind": "missing_there", "resolved_at": resolved}
            connection.execute(insert(drift).values(**row, **more))

    with database.transaction() as connection:
        gone = forget(connection, "default", inbox.contract.sources(NOON), page_size=10, now=NOON)
        left = connection.execute(select(drift.c.state)).scalars().all()

    assert (gone.drift, list(left)) == (1, ["healed"])
    open_one, given_up = inbox.runs()[:2]
    assert (open_one.state, open_one.kind) == (RunState.OPEN, RunKind.FULL)
    assert (given_up.state, given_up.reason) == (RunState.ABANDONED, "bound anew")
