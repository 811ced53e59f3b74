"""What was read from one API is never applied to a database that speaks for another by now."""

from datetime import datetime
from random import Random

from gateway.answers import Answer
from inbox.fetching import Got, Shut
from inbox.poll import Ended
from outbox import bindings
from outbox.bindings import Binding
from outbox.gates import Gates
from runtime.database import Database
from schema.fingerprint import Json
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
