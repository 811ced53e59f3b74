"""The same machinery reads other APIs: the texts' sketch, one with a cursor, one by stamp and id."""

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

import pytest

from gateway.contracts import guidance
from inbox.poll import Ended, Moment
from runtime.database import Database
from schema.contract import Contract
from schema.events import decode
from schema.fingerprint import Json, utc_seconds
from schema.plans import Request
from schema.record import Record
from schema.sources import Ask, Order
from schema.states import RecordState
from tests.support.inbox import Answer, Inbox, of_remote
from tests.support.outbox import Outbox
from tests.support.remote import Remote, crm

MORE_THAN_A_PAGE = 75


def by_cursor(remote: Remote) -> Answer:
    """Answer as an API that keeps our place for us."""

    def answer(request: Request, now: datetime) -> Json:
        asked = dict(request.query)
        if request.path != "/customers":
            return of_remote(remote)(request, now)
        since = asked.get("updated_since")
        ask = Ask(
            since=None if since is None else datetime.fromisoformat(since),
            size=int(asked["size"]),
            cursor=asked.get("cursor"),
        )
        return remote.by_cursor(ask, now)

    return answer


class Died(Exception):
    """The process was killed."""


@pytest.mark.parametrize("order", [Order.CURSOR, Order.PAIR])
def test_a_source_with_a_cursor_or_by_stamp_and_id_is_read_followed_and_goes_on_after_a_death(
    database: Database, order: Order
) -> None:
    remote = Remote(dice=Random(1), sorts_ids=True)
    inbox = Inbox(
        database,
        crm(order),
        by_cursor(remote) if order is Order.CURSOR else of_remote(remote),
    )
    now = inbox.clock.now
    for number in range(MORE_THAN_A_PAGE):
        remote.put(f"c{number:02}", number, now())
    deaths = [2]

    def dying(moment: Moment) -> None:
        deaths[0] -= moment is Moment.PAGE_COMMITTED
        if deaths[0] == 0:
            raise Died

    inbox.reached = dying
    with pytest.raises(Died):
        inbox.poll("customers")
    inbox.reached = lambda moment: None
    inbox.wait(minutes=11)  # the lease of who died runs out
    assert inbox.poll("customers") is Ended.COMPLETE
    assert (len(inbox.runs()), len(inbox.mirror("customers"))) == (1, MORE_THAN_A_PAGE)
    assert len(inbox.news()) == MORE_THAN_A_PAGE

    inbox.wait(hours=1)
    remote.put("c07", 700, now())
    remote.put("c99", 99, now())
    inbox.wait(minutes=1)
    assert inbox.poll("customers") is Ended.COMPLETE
    assert sorted(inbox.news(after=MORE_THAN_A_PAGE)) == [
        ("new", "c99", []),
        ("updated", "c07", ["value"]),
    ]
    remote.remove("c03")
    inbox.wait(hours=1)
    assert inbox.full("customers") is Ended.COMPLETE
    assert inbox.news(after=MORE_THAN_A_PAGE + 2) == [("gone", "c03", [])]


class Texts:
    """The API as the guidance texts sketch it: flat rows in lists."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def put(self, now: datetime, row_id: str, **fields: Any) -> None:
        """Add or change a participant."""
        self.rows[row_id] = {"id": row_id, "updated_at": utc_seconds(now), **fields}

    def __call__(self, request: Request, now: datetime) -> Json:
        """Answer a list or one row."""
        if request.path != "/participants":
            return self.rows.get(request.path.rpartition("/")[2])
        asked = dict(request.query)
        since = asked.get("filter[updated_since]", "")
        rows = [row for row in self.rows.values() if row["updated_at"] >= since]
        size, page = int(asked["page[per_page]"]), int(asked["page[page]"])
        return rows[(page - 1) * size : page * size]


@pytest.fixture
def both(database: Database) -> tuple[Outbox, Inbox, Texts]:
    """Both halves under the contract of the texts."""
    texts = Texts()
    outbox = Outbox(database, guidance.CONTRACT)
    return outbox, Inbox(database, guidance.CONTRACT, texts, clock=outbox.clock), texts


def a_record(contract: Contract, outbox: Outbox) -> Record:
    [found] = outbox.records()
    assert found.key.kind in contract.kinds
    return found


def snapshot(state: Mapping[str, str]) -> Any:
    return decode(
        {
            "event": "record_snapshot",
            "source_id": "P-1",
            "kind": "participant",
            "state": dict(state),
        }
    )


def test_under_the_contract_of_the_texts_what_comes_back_is_accepted_and_news(
    both: tuple[Outbox, Inbox, Texts],
) -> None:
    outbox, inbox, texts = both
    link = {"event": "participant_linked", "source_id": "P-1", "participant_id": "77"}
    outbox.emit(decode({**link, "course_identifier": "ecf-induction"}))
    outbox.run()
    texts.put(inbox.clock.now(), "77", full_name="Ada", mentor_id="m1", start_date="2025-09-01")
    assert inbox.poll("participants") is Ended.COMPLETE
    assert inbox.news() == [("new", "77", [])]
    record = a_record(guidance.CONTRACT, outbox)
    assert record.accepted is not None
    assert record.accepted["full_name"] == "Ada"

    inbox.wait(hours=1)
    texts.put(inbox.clock.now(), "77", full_name="Ada", mentor_id="m2", start_date="2025-09-01")
    inbox.poll("participants")
    assert inbox.news(after=1) == [("updated", "77", ["mentor_id"])]
    calls = len(outbox.api.calls)
    state = {"full_name": "Ada", "mentor_id": "m2", "start_date": "2025-09-01"}
    outbox.emit(snapshot(state))
    outbox.run()
    assert a_record(guidance.CONTRACT, outbox).state is RecordState.IN_STEP
    assert len(outbox.api.calls) == calls  # it is so already: no call
