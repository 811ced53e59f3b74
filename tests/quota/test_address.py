"""Several keys behind one source address, which has a limit of its own."""

from datetime import timedelta

import pytest

from gateway.quota import Granted, Limit, Quota, Wait, WaitReason
from runtime.redis import Redis
from schema.states import Lane
from tests.quota.conftest import Bench
from tests.quota.world import Habits, World

WINDOW = 10


def two_keys(bench: Bench, *, calls: int, address_calls: int) -> tuple[Quota, Quota]:
    first = bench.quota(calls=calls, window=WINDOW, address_calls=address_calls, key_name="first")
    second = bench.quota(calls=calls, window=WINDOW, address_calls=address_calls, key_name="second")
    return first, second


def test_two_keys_together_never_pass_the_limit_of_the_address(bench: Bench) -> None:
    first, second = two_keys(bench, calls=20, address_calls=30)

    made = len(bench.calls(first, Lane.LIVE)) + len(bench.calls(second, Lane.LIVE))
    made += len(bench.calls(first, Lane.BULK)) + len(bench.calls(second, Lane.BULK))

    assert made <= 30
    assert first.fill().address_used == made


def test_a_key_alone_may_use_all_of_its_own_limit(bench: Bench) -> None:
    first, _ = two_keys(bench, calls=20, address_calls=30)

    assert len(bench.calls(first, Lane.LIVE)) == 19


def test_who_is_refused_for_the_address_is_told_so(bench: Bench) -> None:
    first, second = two_keys(bench, calls=100, address_calls=50)
    bench.calls(first, Lane.LIVE)
    bench.calls(first, Lane.POLL)

    answer = second.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.ADDRESS


def test_a_key_that_wants_calls_gets_its_part_from_one_that_took_more(bench: Bench) -> None:
    first, second = two_keys(bench, calls=100, address_calls=50)
    bench.calls(first, Lane.LIVE, at_most=30)
    bench.later(5)
    for lane in Lane:
        bench.calls(first, lane)
    for name in "abc":
        assert isinstance(second.ask(Lane.LIVE, caller=name), Wait)
    bench.later(5.1)

    for lane in Lane:
        bench.calls(first, lane)

    assert all(isinstance(second.ask(Lane.LIVE, caller=name), Granted) for name in "abc")


def test_slots_given_back_are_given_back_to_the_address(bench: Bench) -> None:
    first, second = two_keys(bench, calls=10, address_calls=1)
    (grant,) = bench.grants(first, Lane.LIVE)
    first.unused(grant)

    assert isinstance(second.ask(Lane.LIVE), Granted)


def test_after_a_loss_the_address_knows_the_calls_of_every_key(bench: Bench) -> None:
    first, second = two_keys(bench, calls=100, address_calls=60)
    bench.calls(first, Lane.LIVE, at_most=30)
    for grant in bench.grants(second, Lane.LIVE, at_most=20):
        second.answered(grant)
        bench.database.rows[grant.id].key_name = "second"
        bench.database.settle(grant)
    for row in bench.database.rows.values():
        row.key_name = "second" if row.key_name == "second" else "first"
    bench.forget_everything()
    bench.let_in(first)

    assert first.fill().address_used == 50
    assert first.fill().used == 30


@pytest.mark.parametrize(("calls", "address_calls"), [(10, 15), (20, 8), (3, 2)])
def test_two_busy_keys_share_the_address_evenly(
    client: Redis, namespace: str, calls: int, address_calls: int
) -> None:
    window = timedelta(seconds=2)
    world = World(
        client,
        limit=Limit(calls=calls, window=window),
        address_limit=Limit(calls=address_calls, window=window),
        seed=calls,
        namespace=namespace,
        habits=Habits(commit=0.01, request=0.01, answer=0.01, settle=0.01),
    )
    world.start(*[Lane.LIVE] * 9, Lane.BULK, key_name="greedy")
    world.start(*[Lane.LIVE] * 4, Lane.POLL, Lane.BULK, key_name="modest")

    world.run(3 + 6 * 2)

    assert world.everybody().most_in_any(window) <= address_calls
    made = {key: len(server.arrivals) for key, server in world.servers.items()}
    assert made["modest"] >= 0.8 * 6 * min(calls, address_calls / 2)
    assert sum(made.values()) >= 0.9 * 6 * min(address_calls, 2 * calls)


def test_an_address_without_a_limit_makes_no_sense(bench: Bench) -> None:
    with pytest.raises(ValueError, match="come together"):
        Quota(
            bench.client,
            key_name="key",
            limit=Limit(calls=1, window=timedelta(seconds=1)),
            hold=timedelta(seconds=1),
            recent=tuple,
            address="198.51.100.7",
        )
