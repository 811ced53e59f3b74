"""Shares, borrowing, and what comes back to whom."""

from datetime import timedelta

import pytest

from gateway.quota import TICKET, Granted, Limit, Wait, WaitReason
from runtime.redis import Redis
from schema.states import Lane
from tests.quota.conftest import Bench
from tests.quota.world import Habits, World

WINDOW = 10


def test_a_lane_alone_borrows_everything_but_the_last_twentieth(bench: Bench) -> None:
    quota = bench.quota(calls=40, window=WINDOW)

    assert len(bench.calls(quota, Lane.LIVE)) == 38


def test_what_is_never_lent_is_there_at_once_for_a_lane_that_wakes_up(bench: Bench) -> None:
    quota = bench.quota(calls=40, window=WINDOW)
    bench.calls(quota, Lane.LIVE)

    assert len(bench.calls(quota, Lane.BULK)) == 2


def test_a_lane_beyond_its_share_is_told_that_what_is_left_is_not_for_it(bench: Bench) -> None:
    quota = bench.quota(calls=40, window=WINDOW)
    bench.calls(quota, Lane.LIVE)

    answer = quota.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.SHARE


def test_lanes_that_all_ask_get_their_shares(client: Redis, namespace: str) -> None:
    limit = Limit(calls=40, window=timedelta(seconds=4))
    quick = Habits(commit=0.01, request=0.01, answer=0.01, settle=0.01)
    world = World(client, limit=limit, seed=1, namespace=namespace, habits=quick)
    world.start(*[Lane.BULK] * 3, *[Lane.LIVE] * 5, *[Lane.POLL] * 3)
    world.run(3 + 3 * 4)
    before = dict(world.made)

    world.run(4 * 4)

    got = {lane: world.made[("key", lane)] - before[("key", lane)] for lane in Lane}
    assert got[Lane.LIVE] == pytest.approx(4 * 22, abs=5)
    assert got[Lane.POLL] == pytest.approx(4 * 10, abs=4)
    assert got[Lane.BULK] == pytest.approx(4 * 8, abs=4)


def test_a_freed_slot_goes_to_the_lane_below_its_share_and_not_to_the_borrower(
    bench: Bench,
) -> None:
    quota = bench.quota(calls=40, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=30)
    bench.later(5)
    bench.calls(quota, Lane.LIVE)
    bench.calls(quota, Lane.BULK)
    assert isinstance(quota.ask(Lane.BULK, caller="a"), Wait)
    assert isinstance(quota.ask(Lane.BULK, caller="b"), Wait)
    bench.later(5.1)

    assert len(bench.calls(quota, Lane.LIVE)) == 30 - 2 - 2
    assert isinstance(quota.ask(Lane.BULK, caller="a"), Granted)
    assert isinstance(quota.ask(Lane.BULK, caller="b"), Granted)


def test_a_borrower_leaves_as_many_slots_as_are_wanted_and_uses_the_rest(bench: Bench) -> None:
    quota = bench.quota(calls=40, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=38)
    bench.calls(quota, Lane.BULK)
    for name in "abc":
        quota.ask(Lane.BULK, caller=name)
    bench.later(WINDOW + 0.1)

    assert len(bench.calls(quota, Lane.LIVE)) == 38 - 3


def test_a_wish_is_forgotten_a_little_after_its_time(bench: Bench) -> None:
    quota = bench.quota(calls=40, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=38)
    bench.calls(quota, Lane.BULK)
    answer = quota.ask(Lane.BULK)
    assert isinstance(answer, Wait)

    bench.clock.goes_on(max(answer.wait, timedelta(seconds=WINDOW)) + TICKET)
    bench.later(0.1)

    assert quota.fill().lanes[Lane.BULK].waiting == 0
    assert len(bench.calls(quota, Lane.LIVE)) == 38


def test_foreign_calls_shrink_every_share(bench: Bench) -> None:
    quota = bench.quota(calls=40, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=19)
    (grant,) = bench.grants(quota, Lane.LIVE, at_most=1)
    quota.refused(grant, again_after=timedelta(seconds=30))
    bench.later(WINDOW + 0.1)

    shares = {lane: part.share for lane, part in quota.fill().lanes.items()}
    assert shares == {Lane.LIVE: 11, Lane.POLL: 5, Lane.BULK: 4}


@pytest.mark.parametrize(("calls", "window"), [(1, 1), (2, 1), (3, 1), (5, 1), (7, 2)])
def test_no_lane_starves_however_small_the_limit(
    client: Redis, namespace: str, calls: int, window: int
) -> None:
    limit = Limit(calls=calls, window=timedelta(seconds=window))
    world = World(client, limit=limit, seed=calls, namespace=namespace, habits=Habits(rest=0))
    world.start(Lane.LIVE, Lane.LIVE, Lane.LIVE, Lane.POLL)
    world.start(Lane.LIVE, Lane.POLL, Lane.POLL, Lane.BULK)

    world.run(3 + 9 * window)

    assert world.server().most_in_any(limit.window) <= calls
    assert all(world.made[("key", lane)] >= 2 * max(1, calls // 5) for lane in Lane)
    assert len(world.server().arrivals) >= 8 * calls


def test_with_one_slot_the_lane_served_longest_ago_goes_first(bench: Bench) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=1)
    answer = quota.ask(Lane.POLL)
    assert isinstance(answer, Wait)
    bench.clock.goes_on(answer.wait)

    assert isinstance(quota.ask(Lane.LIVE), Wait)
    assert isinstance(quota.ask(Lane.POLL), Granted)


def test_a_lane_that_wakes_up_has_its_share_within_a_window(client: Redis, namespace: str) -> None:
    limit = Limit(calls=20, window=timedelta(seconds=4))
    world = World(client, limit=limit, seed=1, namespace=namespace)
    world.start(*[Lane.LIVE] * 6)
    world.at(12, lambda: world.start(Lane.BULK, Lane.BULK) and None)

    world.run(12 + 2.2 + 4 + 4)
    before = world.made[("key", Lane.BULK)]
    world.run(8)

    assert world.made[("key", Lane.BULK)] - before >= 2 * 4 - 1
