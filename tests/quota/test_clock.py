"""Redis's clock steps: no window over the limit, and nobody waits for the clock to come back."""

from datetime import timedelta

import pytest

from gateway.quota import Granted, Limit, Wait
from runtime.redis import Redis
from schema.states import Lane
from tests.quota.conftest import Bench
from tests.quota.world import World

WINDOW = 10
TEN_MINUTES = 600.0


@pytest.mark.parametrize("step", [TEN_MINUTES, 20.0, 1.0, -1.0, -20.0, -TEN_MINUTES])
def test_a_full_window_stays_full_when_the_clock_steps(bench: Bench, step: float) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)

    bench.clock.redis_ahead += step

    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(3)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    assert quota.fill().used == 5


@pytest.mark.parametrize("step", [TEN_MINUTES, -TEN_MINUTES])
def test_slots_free_in_time_when_the_clock_has_stepped(bench: Bench, step: float) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)
    bench.clock.redis_ahead += step
    quota.ask(Lane.LIVE)
    bench.later(3)
    quota.ask(Lane.LIVE)

    bench.later(WINDOW - 3 + 0.1)

    assert len(bench.calls(quota, Lane.LIVE)) == 5


def test_a_process_that_was_not_there_before_the_step_is_not_fooled(bench: Bench) -> None:
    """All who could have noticed are gone; to the newcomer every slot seems to have run out."""
    gone = bench.quota(calls=5, window=WINDOW)
    bench.calls(gone, Lane.LIVE)
    bench.clock.redis_ahead += TEN_MINUTES

    newcomer = bench.process(calls=5, window=WINDOW)
    bench.let_in(newcomer)

    assert newcomer.fill().used == 5
    assert isinstance(newcomer.ask(Lane.LIVE), Wait)


@pytest.mark.parametrize("idle", [1.0, 100.0])
def test_a_clock_that_went_back_does_not_make_slots_count_longer(bench: Bench, idle: float) -> None:
    """Noticed by Redis's own last time, or, after a pause longer than the step, by the caller's."""
    quota = bench.quota(calls=5, window=300)
    bench.calls(quota, Lane.LIVE, at_most=1)
    bench.later(idle)
    bench.clock.redis_ahead -= 60

    bench.let_in(quota)

    assert quota.fill().used == 1
    assert quota.fill().next_free[0].total_seconds() == pytest.approx(300.3 - idle - 3, abs=0.1)


def test_a_newcomer_does_not_wait_for_a_clock_to_catch_up(bench: Bench) -> None:
    gone = bench.quota(calls=5, window=WINDOW)
    bench.grants(gone, Lane.LIVE)
    bench.later(700)
    bench.clock.redis_ahead -= TEN_MINUTES + 110

    newcomer = bench.process(calls=5, window=WINDOW)
    bench.let_in(newcomer)
    bench.let_in(newcomer)

    assert newcomer.fill().used == 0


def test_a_clock_that_only_drifts_is_no_loss(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    for _ in range(60):
        bench.calls(quota, Lane.LIVE, at_most=1)
        bench.later(5)
        bench.clock.redis_ahead += 5 * 0.0005

    assert isinstance(quota.ask(Lane.LIVE), Granted)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("steps", [(600.0, -600.0), (-600.0, 600.0, 30.0)])
def test_calls_go_on_within_the_limit_whatever_the_clock_does(
    client: Redis, namespace: str, steps: tuple[float, ...], seed: int
) -> None:
    limit = Limit(calls=5, window=timedelta(seconds=2))
    world = World(client, limit=limit, seed=seed, namespace=namespace)
    world.start(Lane.LIVE, Lane.POLL)
    world.start(Lane.LIVE, Lane.BULK)

    def steps_by(step: float) -> None:
        world.clock.redis_ahead += step

    for place, step in enumerate(steps):
        world.at(5 + 4.1 * place, lambda step=step: steps_by(step))
    world.run(5 + 4.1 * len(steps))
    before = len(world.server().arrivals)
    world.run(10)

    assert world.server().most_in_any(limit.window) <= limit.calls
    assert len(world.server().arrivals) - before >= 5 * 3
