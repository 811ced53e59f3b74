"""A run: it reads all there is, goes on after any death, and the watermark is never ahead."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from inbox import checkpoints, feed, merging
from inbox.errors import UnknownSource
from inbox.fetching import NotGot, Refused, Shut
from inbox.pacing import Pacing
from inbox.poll import Ended, Moment
from inbox.window import Everything, From
from runtime.database import Database
from schema.fingerprint import Json
from schema.inbox import RunKind, RunState, Trigger
from schema.plans import Request
from schema.sources import Order, Row
from schema.states import Lane
from tests.support.clock import NOON
from tests.support.inbox import Inbox, of_remote
from tests.support.remote import Remote, crm

HOUR = timedelta(hours=1)


class Died(Exception):
    """The process was killed."""


@pytest.fixture
def remote() -> Remote:
    remote = Remote(dice=Random(1))
    for number in range(25):
        remote.put(f"c{number:02}", number, NOON - HOUR + number * timedelta(seconds=1))
    return remote


@pytest.fixture
def inbox(database: Database, remote: Remote) -> Inbox:
    return Inbox(database, crm(), of_remote(remote))


def test_a_first_run_needs_a_start_from_a_person(database: Database, remote: Remote) -> None:
    inbox = Inbox(database, crm(), of_remote(remote), pacing=Pacing())

    assert inbox.poll("customers") is Ended.NO_START
    assert inbox.asked == []
    assert inbox.poll("customers", start=From(since=NOON - HOUR)) is Ended.COMPLETE
    assert len(inbox.mirror("customers")) == 25


def test_everything_is_read_first_then_only_what_changed(inbox: Inbox, remote: Remote) -> None:
    assert inbox.poll("customers") is Ended.COMPLETE
    first = inbox.runs()[0]
    inbox.wait(hours=1)
    remote.put("c03", 333, inbox.clock.now())
    inbox.wait(minutes=1)
    assert inbox.poll("customers") is Ended.COMPLETE
    second = inbox.runs()[0]

    assert (first.kind, first.since, first.applied) == (RunKind.FULL, None, 25)
    assert second.kind is RunKind.POLL
    assert first.started_at is not None
    assert second.since == first.started_at - 2 * HOUR
    assert second.applied == 1
    assert inbox.mirror("customers")["c03"] == {"value": 333}
    assert inbox.news(after=25) == [("updated", "c03", ["value"])]
    lanes = {lane for _, lane in inbox.asked}
    assert lanes == {Lane.BULK, Lane.POLL}


def test_a_full_sync_has_larger_pages_than_a_poll_and_asks_for_no_more_than_there_is(
    database: Database, remote: Remote
) -> None:
    pacing = Pacing(start=Everything(), page_size=10, full_page_size=20)
    inbox = Inbox(database, crm(), of_remote(remote), pacing=pacing)
    small = Inbox(database, crm(size=5, largest=15), of_remote(remote), pacing=pacing)
    for one in (inbox, small):
        one.full("customers")
        one.wait(hours=1)
    inbox.clock.advance(timedelta(hours=2))
    inbox.poll("customers")

    assert {dict(request.query)["size"] for request, _ in small.asked} == {"15"}
    sizes = [dict(request.query)["size"] for request, _ in inbox.asked]
    assert (sizes[0], sizes[-1]) == ("20", "10")


def test_a_poll_over_unchanged_rows_changes_nothing_and_says_nothing(inbox: Inbox) -> None:
    inbox.poll("customers")
    end = inbox.feed_end()
    inbox.wait(minutes=30)
    inbox.poll("customers")

    run = inbox.runs()[0]
    assert (run.applied, run.seen) == (0, run.unchanged)
    assert run.seen >= 25
    assert inbox.feed_end() == end


@contextmanager
def dying_at(inbox: Inbox, point: Moment, hit: int) -> Generator[None]:
    """End the process in hand at the n-th time it reaches a point."""
    hits = [0]

    def listener(reached: Moment) -> None:
        hits[0] += reached is point
        if reached is point and hits[0] == hit:
            raise Died

    inbox.reached = listener
    try:
        yield
    finally:
        inbox.reached = lambda moment: None


@pytest.mark.parametrize("order", [Order.RESTART, Order.TWO_WAYS, Order.PAIR])
@pytest.mark.parametrize("point", [Moment.PAGE_UNCOMMITTED, Moment.PAGE_COMMITTED])
def test_killed_at_every_page_it_goes_on_there_and_ends_the_same(
    database: Database, remote: Remote, order: Order, point: Moment
) -> None:
    remote.sorts_ids = order is Order.PAIR
    inbox = Inbox(database, crm(order), of_remote(remote))
    deaths = 0
    ended: Ended | None = None
    while ended is not Ended.COMPLETE:
        assert inbox.checkpoint("customers").watermark is None
        # Each life applies one page more, and then dies before or after it is committed.
        hit = 1 if point is Moment.PAGE_COMMITTED else 2
        with dying_at(inbox, point, hit):
            try:
                ended = inbox.another_reader().read("customers", start=From(since=NOON - 2 * HOUR))
            except Died:
                deaths += 1
                if inbox.checkpoint("customers").watermark is not None:
                    break  # it died after its last page was committed: the run is complete
        inbox.wait(minutes=11)  # the lease of who died runs out
        assert deaths < 50

    run = inbox.runs()[0]
    assert deaths >= 3
    assert run.state is RunState.COMPLETE
    assert len(inbox.runs()) == 1
    assert len(inbox.mirror("customers")) == 25
    assert len(inbox.news()) == 25
    repeated = len(inbox.asked) - run.requests
    assert repeated <= deaths


def test_the_watermark_is_moved_with_the_last_page_and_not_before(inbox: Inbox) -> None:
    inbox.poll("customers")
    was = inbox.checkpoint("customers").watermark
    inbox.wait(hours=1)
    for hit in range(1, 10):
        with dying_at(inbox, Moment.PAGE_UNCOMMITTED, hit):
            try:
                assert inbox.poll("customers") is Ended.COMPLETE
                break
            except Died:
                assert inbox.checkpoint("customers").watermark == was
        inbox.wait(minutes=11)

    assert was is not None
    now = inbox.checkpoint("customers").watermark
    assert now is not None
    assert now > was


def test_two_readers_never_read_the_same_collection_at_once(inbox: Inbox) -> None:
    nested: list[Ended] = []
    answer = inbox.answer

    def meanwhile(request: Request, now: datetime) -> Json:
        nested.append(inbox.another_reader().read("customers"))
        return answer(request, now)

    inbox.answer = meanwhile
    assert inbox.poll("customers") is Ended.COMPLETE
    assert set(nested) == {Ended.BUSY}


def test_who_lost_the_lease_writes_nothing(inbox: Inbox) -> None:
    answer = inbox.answer
    frozen = [True]

    def slow(request: Request, now: datetime) -> Json:
        if frozen.pop() if frozen else False:
            inbox.wait(minutes=11)
            assert inbox.another_reader().read("customers") is Ended.COMPLETE
            return {"data": [{"id": "c99", "updated_at": "2026-02-10T10:00:00Z", "value": 1}]}
        return answer(request, now)

    inbox.answer = slow
    assert inbox.poll("customers") is Ended.LOST
    assert "c99" not in inbox.mirror("customers")
    assert len(inbox.runs()) == 1


@pytest.mark.parametrize("back", [timedelta(seconds=30), timedelta(hours=5)])
def test_a_clock_that_is_set_back_far_holds_no_collection_up(inbox: Inbox, back: timedelta) -> None:
    with dying_at(inbox, Moment.PAGE_COMMITTED, 1), pytest.raises(Died):
        inbox.poll("customers")
    inbox.clock.advance(-back)

    held = inbox.checkpoint("customers")
    far = back > 2 * checkpoints.SLACK
    assert held.is_free(inbox.clock.now()) is far
    with inbox.database.transaction() as connection:
        now = inbox.clock.now()
        until = now + checkpoints.LEASE
        taken = checkpoints.take(connection, "default", "customers", now=now, until=until)
    assert (taken is not None) is far


def test_the_latest_stamp_ever_seen_only_moves_forward(inbox: Inbox) -> None:
    with inbox.database.transaction() as connection:
        checkpoints.ensure(connection, "default", "customers")
        held = checkpoints.take(connection, "default", "customers", now=NOON, until=NOON + HOUR)
        assert held is not None
        for latest in (NOON, NOON - HOUR, None):
            checkpoints.saw(connection, held, latest)

    assert inbox.checkpoint("customers").high_water == NOON


def test_the_table_refuses_a_second_open_run(inbox: Inbox) -> None:
    def opening() -> None:
        with inbox.database.transaction() as connection:
            checkpoints.open_run(
                connection,
                destination="default",
                source="customers",
                kind=RunKind.POLL,
                trigger=Trigger.HAND,
                since=None,
                now=NOON,
                progress={},
            )

    opening()
    with pytest.raises(IntegrityError):
        opening()


def test_one_bad_row_is_held_with_its_reason_and_the_others_are_applied(
    inbox: Inbox, remote: Remote
) -> None:
    answer = inbox.answer

    def spoilt(request: Request, now: datetime) -> Json:
        body = answer(request, now)
        assert isinstance(body, dict)
        for row in body["data"]:  # type: ignore[union-attr]
            if row["id"] == "c07":  # type: ignore[index,call-overload]
                row["value"] = "secret"  # type: ignore[index,call-overload]
        return body

    inbox.answer = spoilt
    assert inbox.poll("customers") is Ended.COMPLETE
    run = inbox.runs()[0]
    held = inbox.held()
    inbox.answer = answer
    inbox.wait(minutes=5)
    inbox.poll("customers")

    assert len(inbox.mirror("customers")) == 25
    assert (run.applied, run.seen) == (24, run.applied + run.unchanged + run.held + run.failed)
    assert run.held >= 1
    assert held == [("c07", "the row is not as described at value")]
    assert inbox.held() == []


@pytest.mark.parametrize("hits", [1, 2])
def test_trouble_of_the_database_puts_no_row_aside_and_the_page_comes_again(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, hits: int
) -> None:
    left = [hits]
    follow = merging.follow

    def deadlocked(*told: Any) -> list[feed.Entry]:
        left[0] -= 1
        if left[0] >= 0:
            raise OperationalError("SELECT 1", {}, Exception("deadlock detected"))
        return follow(*told)

    monkeypatch.setattr(merging, "follow", deadlocked)
    for _ in range(hits):
        with pytest.raises(OperationalError):
            inbox.poll("customers")
        assert inbox.mirror("customers") == {}
        inbox.wait(minutes=11)

    assert inbox.poll("customers") is Ended.COMPLETE
    assert inbox.held() == []
    assert len(inbox.mirror("customers")) == 25


def test_a_row_that_is_too_large_for_the_database_is_put_aside_alone(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TooLarge(Exception):
        sqlstate = "54000"

    follow = merging.follow

    def full(connection: Any, listener: Any, reading: Any, rows: Sequence[Row]) -> list[feed.Entry]:
        if any(row.id == "c07" for row in rows):
            raise OperationalError("INSERT", {}, TooLarge())
        return follow(connection, listener, reading, rows)

    monkeypatch.setattr(merging, "follow", full)
    assert inbox.poll("customers") is Ended.COMPLETE
    assert inbox.held() == [("c07", "could not be applied (OperationalError)")]
    assert len(inbox.mirror("customers")) == 24


def test_a_page_that_cannot_be_had_leaves_the_run_for_later_and_the_watermark_alone(
    inbox: Inbox,
) -> None:
    inbox.instead.extend([NotGot(detail="answered 500")] * 4)

    assert inbox.poll("customers") is Ended.NOT_NOW

    left = inbox.checkpoint("customers")
    assert left.watermark is None
    assert left.failures == 1
    assert left.next_poll_at is not None
    assert left.next_poll_at > inbox.clock.now()
    assert inbox.poll("customers") is Ended.COMPLETE
    assert inbox.checkpoint("customers").failures == 0
    assert len(inbox.runs()) == 1


def test_a_shut_gate_stops_the_run_until_then_at_no_cost(inbox: Inbox) -> None:
    until = NOON + HOUR
    inbox.instead.append(Shut(detail="paused", until=until))

    assert inbox.poll("customers") is Ended.NOT_NOW

    assert inbox.checkpoint("customers").failures == 0
    assert inbox.checkpoint("customers").next_poll_at == until


def test_what_the_api_does_not_understand_ends_the_run_loudly(inbox: Inbox) -> None:
    inbox.instead.append(Refused(detail="answered 400"))

    assert inbox.poll("customers") is Ended.ABANDONED
    assert inbox.runs()[0].reason == "answered 400"


def test_a_run_over_its_time_stops_at_a_page_and_goes_on_next_time(
    database: Database, remote: Remote
) -> None:
    pacing = Pacing(start=Everything(), runtime=timedelta(seconds=2))
    inbox = Inbox(database, crm(), of_remote(remote), pacing=pacing)

    assert inbox.poll("customers") is Ended.MORE
    assert inbox.runs()[0].reason == "stopped by time"
    for _ in range(20):
        if inbox.poll("customers") is Ended.COMPLETE:
            break
    assert len(inbox.runs()) == 1
    assert len(inbox.mirror("customers")) == 25


def test_a_walk_without_end_is_stopped_at_the_page_ceiling(
    database: Database, remote: Remote
) -> None:
    pacing = Pacing(start=Everything(), page_size=10, pages=2)
    inbox = Inbox(database, crm(), of_remote(remote), pacing=pacing)

    assert inbox.poll("customers") is Ended.ABANDONED
    assert inbox.checkpoint("customers").watermark is None


def test_a_poll_whose_tail_moves_on_without_end_ends_all_the_same(
    inbox: Inbox, remote: Remote
) -> None:
    inbox.poll("customers")
    inbox.wait(hours=1)
    answer = inbox.answer

    def growing(request: Request, now: datetime) -> Json:
        for number in range(15):  # more than a page with each request
            remote.put(f"n{len(inbox.asked)}-{number}", 1, now)
        return answer(request, now)

    inbox.answer = growing
    assert inbox.poll("customers") is Ended.COMPLETE
    assert inbox.runs()[0].pages < 100  # a minute of it: clocks of several machines may be apart


@pytest.mark.parametrize("kind", [RunKind.POLL, RunKind.FULL])
def test_asked_to_end_it_stops_at_a_page_and_another_process_goes_on_at_once(
    inbox: Inbox, remote: Remote, kind: RunKind
) -> None:
    inbox.poll("customers")
    inbox.wait(days=8)
    asked = len(inbox.asked)

    inbox.stopping = lambda: len(inbox.asked) > asked
    assert inbox.poll("customers", kind) is Ended.MORE
    assert len(inbox.asked) == asked + 1
    assert inbox.runs()[0].reason == "stopped with its process"
    assert inbox.checkpoint("customers").lease_until is None

    inbox.stopping = lambda: False
    assert inbox.poll("customers", kind) is Ended.COMPLETE
    assert len(inbox.runs()) == 2


def test_asked_to_end_between_two_tries_is_no_failure_of_the_api(inbox: Inbox) -> None:
    inbox.instead.append(NotGot(detail="answered 500"))
    inbox.stopping = lambda: bool(inbox.asked)

    assert inbox.poll("customers") is Ended.MORE
    assert len(inbox.asked) == 1
    assert inbox.checkpoint("customers").failures == 0


def test_in_the_sweep_too_it_stops_between_two_look_ups(inbox: Inbox, remote: Remote) -> None:
    inbox.full("customers")
    remote.remove("c03")
    remote.remove("c04")
    inbox.wait(hours=1)
    inbox.stopping = lambda: inbox.asked[-1][0].path != "/customers"

    assert inbox.full("customers") is Ended.MORE
    assert inbox.runs()[0].gone == 1


def test_after_too_long_a_gap_a_full_sync_is_made_without_being_asked_for(inbox: Inbox) -> None:
    inbox.poll("customers")
    inbox.wait(days=8)

    assert inbox.poll("customers") is Ended.COMPLETE
    last = inbox.runs()[0]
    assert (last.kind, last.trigger) == (RunKind.FULL, Trigger.GAP)


def test_after_five_failed_polls_the_next_still_reaches_back_from_the_last_success(
    inbox: Inbox, remote: Remote
) -> None:
    inbox.poll("customers")
    remote.put("c05", 555, inbox.clock.now() + timedelta(seconds=5))
    for _ in range(5):
        inbox.wait(hours=1)
        inbox.instead.extend([NotGot(detail="answered 500")] * 4)
        assert inbox.poll("customers") is Ended.NOT_NOW
    inbox.wait(hours=1)
    inbox.poll("customers")

    assert inbox.mirror("customers")["c05"] == {"value": 555}


def test_a_servers_clock_that_steps_back_five_hours_loses_nothing(
    inbox: Inbox, remote: Remote
) -> None:
    inbox.date = remote.date
    inbox.poll("customers")
    inbox.wait(minutes=30)
    remote.ahead = timedelta(hours=-5)
    remote.put("c05", 555, inbox.clock.now())
    inbox.wait(minutes=30)
    inbox.poll("customers")

    assert inbox.mirror("customers")["c05"] == {"value": 555}


def test_a_paused_collection_is_not_read(inbox: Inbox) -> None:
    with inbox.database.transaction() as connection:
        checkpoints.pause(connection, "default", "customers", NOON)

    assert inbox.poll("customers") is Ended.BUSY
    assert inbox.asked == []


def test_an_unknown_source_is_refused_with_the_known_ones(inbox: Inbox) -> None:
    with pytest.raises(UnknownSource, match="there are customers"):
        inbox.poll("customer")


def test_positions_of_the_feed_have_no_gaps_and_only_grow(inbox: Inbox, remote: Remote) -> None:
    inbox.poll("customers")
    inbox.wait(hours=1)
    remote.put("c03", 1000, inbox.clock.now())
    inbox.wait(minutes=1)
    inbox.poll("customers")

    assert inbox.positions() == list(range(1, 27))
