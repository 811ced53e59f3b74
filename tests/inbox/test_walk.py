"""The walk: no row that was there all the time is missed, and every walk ends."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from inbox.pacing import Pacing
from inbox.walk import (
    EMPTY,
    PageSeen,
    Phase,
    Walk,
    ask,
    begin,
    from_json,
    requests_for,
    step,
    to_json,
)
from schema.fingerprint import Json
from schema.sources import Order
from tests.support.clock import NOON
from tests.support.remote import LONG_AGO, Remote, page, read

S = timedelta(seconds=1)


def walked(
    remote: Remote, walk: Walk, *, now: datetime = NOON, pages: int = 500
) -> tuple[list[str], int]:
    """Walk to the end; gives the ids in the order in which they were first seen, and the pages."""
    remote.sorts_ids = walk.order is Order.PAIR
    seen: dict[str, int] = {}
    for number in range(pages):
        wanted = ask(walk)
        if wanted is None:
            return list(seen), number
        cursor = walk.order is Order.CURSOR
        body = remote.by_cursor(wanted, now) if cursor else remote.page(wanted, now)
        found = page(body)
        rows = [read(one) for one in found.rows]
        stamps = [row.updated_at for row in rows if row.updated_at]
        told = PageSeen(
            rows=len(rows),
            unseen=sum(row.id not in seen for row in rows),
            first=min(stamps, default=None),
            last=max(stamps, default=None),
            last_id=rows[-1].id if rows else None,
            cursor=found.cursor,
            ascending=stamps == sorted(stamps),
        )
        seen |= {row.id: number for row in rows}
        walk = from_json(to_json(step(walk, told, limit=now)))  # as if killed after each page
    raise AssertionError("the walk does not end")


def a_remote(count: int, *, apart: timedelta = S, seed: int = 1) -> Remote:
    remote = Remote(dice=Random(seed), cap=3000)
    for number in range(count):
        at = NOON - timedelta(hours=1) + number * apart
        remote.put(f"c{number:04}", number, at, created_at=at)
    return remote


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 29, 30, 31, 100])
def test_every_row_is_seen_in_every_order_whatever_their_number(order: Order, count: int) -> None:
    remote = a_remote(count)

    seen, _ = walked(remote, begin(order, since=LONG_AGO, size=10, largest=30))

    assert sorted(seen) == sorted(remote.rows)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("seed", range(10))
def test_equal_stamps_in_an_order_drawn_anew_lose_no_row_that_fits_a_large_page(
    order: Order, seed: int
) -> None:
    remote = a_remote(40, apart=timedelta(0), seed=seed)

    seen, _ = walked(remote, begin(order, since=LONG_AGO, size=10, largest=40))

    assert len(seen) == 40


@pytest.mark.parametrize("order", [Order.RESTART, Order.TWO_WAYS])
def test_a_server_that_gives_smaller_pages_than_asked_for_ends_no_walk_early(order: Order) -> None:
    remote = a_remote(95)
    remote.cap = 7

    seen, _ = walked(remote, begin(order, since=LONG_AGO, size=10, largest=30))

    assert len(seen) == 95


@pytest.mark.parametrize("order", [Order.RESTART, Order.TWO_WAYS, Order.PAIR])
@pytest.mark.parametrize("seed", range(20))
def test_an_empty_page_that_is_none_ends_no_walk(order: Order, seed: int) -> None:
    remote = a_remote(45, seed=seed)
    remote.false_empty = 0.3

    seen, _ = walked(remote, begin(order, since=LONG_AGO, size=10, largest=30))

    assert len(seen) == 45


def test_a_collection_that_is_not_sorted_after_all_is_walked_both_ways() -> None:
    walk = begin(Order.RESTART, since=LONG_AGO, size=10, largest=30)

    after = step(walk, PageSeen(rows=10, unseen=10, ascending=False), limit=NOON)

    assert after == begin(Order.TWO_WAYS, since=LONG_AGO, size=10, largest=30)


def test_a_quiet_poll_costs_two_requests_and_one_with_news_three() -> None:
    walk = begin(Order.RESTART, since=LONG_AGO, size=100, largest=3000)

    assert walked(Remote(dice=Random(1)), walk) == ([], 2)
    assert walked(a_remote(5), walk)[1] == 2
    assert walked(a_remote(150), walk)[1] == 3
    assert (
        walked(a_remote(5), begin(Order.TWO_WAYS, since=LONG_AGO, size=100, largest=3000))[1] == 3
    )


@pytest.mark.parametrize("apart", [S, timedelta(0)], ids=["a second apart", "in one second"])
@pytest.mark.parametrize("changed", [0, 1, 2, 99, 100, 101, 250, 1_000])
def test_a_poll_of_n_changed_rows_takes_no_more_than_n_over_100_and_two_requests(
    changed: int, apart: timedelta
) -> None:
    pages = -(-changed // 100)

    def taken(order: Order) -> int:
        remote = a_remote(changed, apart=apart)
        remote.shuffles = False
        return walked(remote, begin(order, since=LONG_AGO, size=100, largest=3000))[1]

    if apart or changed < 100:
        assert taken(Order.RESTART) <= pages + 2
    assert taken(Order.TWO_WAYS) <= 2 * (pages + 2)


@pytest.mark.parametrize("order", [Order.TWO_WAYS, Order.PAIR, Order.CURSOR])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 29, 30, 31, 100])
def test_what_a_full_sync_will_cost_is_what_it_costs(order: Order, count: int) -> None:
    walk = begin(order, since=None, size=10, largest=30)

    assert walked(a_remote(count), walk)[1] == requests_for(order, count, 10)


def test_a_full_sync_of_sixty_thousand_takes_at_most_603_requests() -> None:
    pacing = Pacing()

    assert requests_for(Order.TWO_WAYS, 60_000, pacing.full_page_size) == 483
    assert requests_for(Order.TWO_WAYS, 60_000, pacing.page_size) > 603


def test_a_page_wholly_newer_than_the_start_ends_the_walk() -> None:
    walk = begin(Order.RESTART, since=LONG_AGO, size=2, largest=30)
    newer = PageSeen(rows=2, unseen=2, first=NOON + S, last=NOON + 2 * S)
    partly = PageSeen(rows=2, unseen=2, first=NOON, last=NOON + 2 * S)

    assert step(walk, newer, limit=NOON).done
    assert not step(walk, partly, limit=NOON).done


def test_a_row_that_leaves_shifts_the_next_one_past_the_way_forward_and_the_way_back_finds_it() -> (
    None
):
    remote = a_remote(30)
    walk = begin(Order.TWO_WAYS, since=LONG_AGO, size=10, largest=30)
    seen: set[str] = set()
    removed = False
    while (wanted := ask(walk)) is not None:
        rows = [read(one) for one in page(remote.page(wanted, NOON)).rows]
        told = PageSeen(rows=len(rows), unseen=sum(row.id not in seen for row in rows))
        seen |= {row.id for row in rows}
        walk = step(walk, told, limit=NOON)
        if not removed:
            remote.remove("c0003")  # now c0010 is on page 1, behind us
            removed = True
            assert "c0010" not in seen

    assert set(remote.rows) <= seen


def test_a_second_that_holds_more_than_the_largest_page_is_walked_inside() -> None:
    remote = a_remote(70, apart=timedelta(0))
    remote.shuffles = False
    remote.put("later", 1, NOON)

    seen, _ = walked(remote, begin(Order.RESTART, since=LONG_AGO, size=10, largest=20))

    assert len(seen) == 71


def test_a_walk_is_small_as_json_and_the_same_when_read_back() -> None:
    walk = Walk(
        order=Order.RESTART,
        size=100,
        largest=3000,
        since=NOON,
        phase=Phase.WITHIN,
        page=3,
        stamp=NOON + S,
        most=100,
    )
    written: dict[str, Json] = to_json(walk)

    assert from_json(written) == walk
    assert len(str(written)) < 300


def test_the_first_empty_page_changes_nothing_but_that_it_is_asked_for_again() -> None:
    for order in Order:
        walk = begin(order, since=datetime(2026, 1, 1, tzinfo=UTC), size=10, largest=30)
        again = step(walk, EMPTY, limit=NOON)

        assert ask(again) == ask(walk)
        assert step(again, EMPTY, limit=NOON).done
