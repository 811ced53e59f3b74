"""One key, one window: what a slot is, and how long it counts."""

import threading
import time
from datetime import timedelta

import pytest

from gateway.quota import MARK_BY, Granted, Limit, Quota, Wait, WaitReason
from runtime.redis import Redis, new_stand_in
from schema.states import Lane
from tests.quota.conftest import Bench
from tests.quota.world import HOLD, Server

WINDOW = 10


def test_no_more_calls_are_granted_than_the_limit_allows(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)

    assert len(bench.calls(quota, Lane.LIVE)) == 5


def test_a_refused_caller_is_told_when_the_next_slot_frees(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)
    bench.later(6)

    answer = quota.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.WINDOW
    assert timedelta(seconds=4) <= answer.wait <= timedelta(seconds=4.02)


def test_after_the_wait_it_was_told_the_caller_gets_a_slot(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)
    answer = quota.ask(Lane.LIVE)
    assert isinstance(answer, Wait)

    bench.clock.goes_on(answer.wait)

    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_different_callers_are_told_different_moments(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    for _ in range(5):
        bench.calls(quota, Lane.LIVE, at_most=1)
        bench.later(1)
    bench.later(3)

    waits = [quota.ask(Lane.LIVE, caller=name) for name in ("a", "b", "c")]

    seconds = [wait.wait // timedelta(seconds=1) for wait in waits if isinstance(wait, Wait)]
    assert seconds == [2, 3, 4]


def test_who_waited_goes_before_who_has_just_come(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=1)
    bench.later(5)
    bench.calls(quota, Lane.LIVE, at_most=4)
    waiting = quota.ask(Lane.LIVE, caller="waiting")
    assert isinstance(waiting, Wait)
    bench.clock.goes_on(waiting.wait)

    assert isinstance(quota.ask(Lane.LIVE, caller="new"), Wait)
    assert isinstance(quota.ask(Lane.LIVE, caller="waiting"), Granted)


def test_a_slot_counts_from_its_answer_and_not_from_its_grant(bench: Bench) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    (grant,) = bench.grants(quota, Lane.LIVE)
    bench.later(3)
    quota.answered(grant)

    bench.later(WINDOW - 0.1)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(0.2)
    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_a_call_without_an_answer_counts_from_the_last_moment_it_may_have_come(
    bench: Bench,
) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    bench.grants(quota, Lane.LIVE)
    longest = (MARK_BY + HOLD).total_seconds()

    bench.later(longest + WINDOW - 0.1)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(0.2)
    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_an_answer_later_than_the_last_moment_still_moves_the_date(bench: Bench) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    (grant,) = bench.grants(quota, Lane.LIVE)
    bench.later((MARK_BY + HOLD).total_seconds() + 5)
    quota.answered(grant)

    bench.later(WINDOW - 0.1)
    assert isinstance(quota.ask(Lane.LIVE), Wait)


def test_an_answer_after_its_slot_was_let_go_takes_a_slot_again(bench: Bench) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    (grant,) = bench.grants(quota, Lane.LIVE)
    bench.later((MARK_BY + HOLD).total_seconds() + WINDOW + 1)
    quota.answered(grant)

    assert isinstance(quota.ask(Lane.LIVE), Wait)


def test_an_unused_slot_goes_back(bench: Bench) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    (grant,) = bench.grants(quota, Lane.LIVE)
    quota.unused(grant)

    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_a_slot_that_was_answered_is_never_given_back(bench: Bench) -> None:
    quota = bench.quota(calls=1, window=WINDOW)
    (grant,) = bench.calls(quota, Lane.LIVE)
    quota.unused(grant)

    assert isinstance(quota.ask(Lane.LIVE), Wait)


def test_a_grant_is_good_until_mark_by_and_no_longer(bench: Bench) -> None:
    quota = bench.quota()
    (grant,) = bench.grants(quota, Lane.LIVE, at_most=1)

    bench.clock.goes_on(MARK_BY)
    assert quota.still_good(grant)
    bench.later(0.001)
    assert not quota.still_good(grant)


def test_a_refusal_by_the_server_books_the_rest_of_the_window(bench: Bench) -> None:
    quota = bench.quota(calls=20, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=3)
    (grant,) = bench.grants(quota, Lane.LIVE, at_most=1)
    quota.refused(grant)

    fill = quota.fill()
    assert (fill.used, fill.foreign) == (4, 16)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(WINDOW + 0.1)
    assert quota.fill().foreign == 0
    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_foreign_calls_count_as_long_as_the_server_said(bench: Bench) -> None:
    quota = bench.quota(calls=20, window=WINDOW)
    (grant,) = bench.grants(quota, Lane.LIVE, at_most=1)
    quota.refused(grant, again_after=timedelta(seconds=2))

    bench.later(1.9)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(0.2)
    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_many_refusals_at_once_book_the_rest_only_once(bench: Bench) -> None:
    quota = bench.quota(calls=20, window=WINDOW)
    for grant in bench.grants(quota, Lane.LIVE, at_most=4):
        quota.refused(grant)

    assert (quota.fill().used, quota.fill().foreign) == (4, 16)


def test_people_see_how_full_it_is(bench: Bench) -> None:
    quota = bench.quota(calls=20, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=2)
    bench.grants(quota, Lane.POLL, at_most=1)

    fill = quota.fill()

    assert (fill.is_open, fill.used, fill.in_flight, fill.foreign) == (True, 3, 1, 0)
    assert {lane: (part.used, part.share) for lane, part in fill.lanes.items()} == {
        Lane.LIVE: (2, 11),
        Lane.POLL: (1, 5),
        Lane.BULK: (0, 4),
    }
    assert len(fill.next_free) == 3


def test_looking_changes_nothing(bench: Bench) -> None:
    quota = bench.process()

    assert not quota.fill().is_open
    assert quota.room(Lane.BULK, within=timedelta(seconds=5)) == 1
    assert bench.stored() == []


def test_there_is_room_for_what_frees_in_time(bench: Bench) -> None:
    quota = bench.quota(calls=20, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=6)
    bench.later(5)
    bench.calls(quota, Lane.LIVE, at_most=12)

    assert quota.room(Lane.LIVE, within=timedelta(seconds=1)) == 1
    assert quota.room(Lane.LIVE, within=timedelta(seconds=6)) == 7
    assert quota.room(Lane.POLL, within=timedelta(seconds=1)) == 2


def test_all_keys_lie_in_one_slot_and_none_stays_for_ever(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW, address_calls=7)
    bench.calls(quota, Lane.LIVE)
    bench.grants(quota, Lane.BULK)

    keys = bench.stored()
    assert len(keys) > 5
    assert {key.partition("}")[0] for key in keys} == {keys[0].partition("}")[0]}
    assert all(0 < bench.client.pttl(key) <= 86_400_000 for key in keys)


def test_the_log_does_not_grow_with_use(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=1)
    for _ in range(20):
        bench.calls(quota, Lane.LIVE)
        quota.ask(Lane.BULK)
        bench.later(1.01)

    sizes = [bench.client.zcard(key) for key in bench.stored() if bench.client.type(key) == b"zset"]
    assert max(sizes) <= 5


@pytest.mark.parametrize("calls", [0, -1])
def test_a_limit_of_nothing_is_refused(calls: int) -> None:
    with pytest.raises(ValueError, match="at least one call"):
        Limit(calls=calls, window=timedelta(seconds=1))


def test_threads_on_the_stand_in_use_the_whole_limit_and_no_more() -> None:
    """Real time, real threads: what `up` and `demo` do."""
    window = timedelta(milliseconds=400)
    server = Server()
    quota = Quota(
        new_stand_in(),
        key_name="key",
        limit=Limit(calls=20, window=window),
        hold=HOLD,
        recent=tuple,
    )
    enough, patience = 60, time.monotonic() + 30

    def calls(lane: Lane) -> None:
        while len(server.arrivals) < enough and time.monotonic() < patience:
            answer = quota.ask(lane)
            if isinstance(answer, Wait):
                time.sleep(answer.wait.total_seconds())
                continue
            server.arrives(time.monotonic())
            quota.answered(answer)

    threads = [threading.Thread(target=calls, args=(lane,)) for lane in [*Lane, *Lane]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert server.most_in_any(window) <= 20
    assert len(server.arrivals) >= enough


def test_a_script_that_redis_forgot_grants_once(client: Redis, bench: Bench) -> None:
    quota = bench.quota(calls=3)
    client.script_flush()

    bench.calls(quota, Lane.LIVE, at_most=1)

    assert quota.fill().used == 1
