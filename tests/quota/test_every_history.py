"""Whatever happens on the way: the server never sees more than it allows."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gateway.quota import Limit
from runtime.redis import Redis, connect, new_stand_in
from schema.states import Lane
from tests.quota.world import Habits, Server, World, stored_keys

HEALTHY = (HealthCheck.too_slow, HealthCheck.data_too_large)
STEPS = (-600.0, -20.0, -2.0, 0.3, 2.0, 20.0, 600.0, 100_000.0)


@dataclass(frozen=True, kw_only=True)
class History:
    """What a world is like, and what happens in it."""

    calls: int
    seconds: float
    habits: Habits
    processes: list[list[Lane]]
    faults: list[tuple[float, str]]
    seed: int

    @property
    def limit(self) -> Limit:
        return Limit(calls=self.calls, window=timedelta(seconds=self.seconds))


histories = some.builds(
    History,
    calls=some.sampled_from([1, 2, 3, 5, 12]),
    seconds=some.sampled_from([0.5, 1.0, 3.0]),
    habits=some.builds(
        Habits,
        commit=some.sampled_from([0.01, 0.5, 3.0]),
        request=some.sampled_from([0.01, 1.0]),
        answer=some.sampled_from([0.01, 1.0]),
        settle=some.sampled_from([0.01, 1.0]),
        patience=some.sampled_from([0.5, 60.0]),
    ),
    processes=some.lists(
        some.lists(some.sampled_from(Lane), min_size=1, max_size=4), min_size=1, max_size=3
    ),
    faults=some.lists(
        some.tuples(
            some.floats(0, 18), some.sampled_from(["forgets", "loses one", "steps", "dies"])
        ),
        max_size=3,
    ),
    seed=some.integers(0, 1 << 32),
)


class Faults:
    """What can happen to a world."""

    def __init__(self, world: World, client: Redis, namespace: str) -> None:
        self._world = world
        self._client = client
        self._namespace = namespace
        self._chance = random.Random(7)

    def deed(self, name: str) -> Callable[[], None]:
        return {
            "forgets": self.forgets,
            "loses one": self.loses_one,
            "steps": self.steps,
            "dies": self.dies,
        }[name]

    def forgets(self) -> None:
        for key in stored_keys(self._client, self._namespace):
            self._client.delete(key)

    def loses_one(self) -> None:
        keys = stored_keys(self._client, self._namespace)
        if keys:
            self._client.delete(self._chance.choice(keys))

    def steps(self) -> None:
        self._world.clock.redis_ahead += self._chance.choice(STEPS)

    def dies(self) -> None:
        process = self._chance.choice(self._world.processes)
        self._world.kill(process)
        self._world.start(Lane.LIVE, Lane.BULK)


def live_through(history: History, client: Redis) -> Server:
    """Let a history happen; returns the server, which has counted."""
    namespace = f"history-{random.getrandbits(64):x}"
    world = World(
        client, limit=history.limit, seed=history.seed, namespace=namespace, habits=history.habits
    )
    for lanes in history.processes:
        world.start(*lanes)
    happening = Faults(world, client, namespace)
    for at, name in history.faults:
        world.at(at, happening.deed(name))
    world.run(24)
    happening.forgets()
    return world.server()


@given(histories)
@settings(max_examples=40, deadline=None, suppress_health_check=HEALTHY)
def test_no_window_on_a_real_redis_is_over_the_limit(redis_url: str, history: History) -> None:
    server = live_through(history, connect(redis_url))

    assert server.most_in_any(history.limit.window) <= history.calls


@given(histories)
@settings(max_examples=5, deadline=None, suppress_health_check=HEALTHY)
def test_no_window_on_the_stand_in_is_over_the_limit(history: History) -> None:
    server = live_through(history, new_stand_in())

    assert server.most_in_any(history.limit.window) <= history.calls


def test_busy_callers_use_the_whole_limit(redis_url: str, namespace: str) -> None:
    client = connect(redis_url)
    limit = Limit(calls=40, window=timedelta(seconds=10))
    quick = Habits(commit=0.005, request=0.015, answer=0.015, settle=0.005)
    world = World(client, limit=limit, seed=3, namespace=namespace, habits=quick)
    for _ in range(4):
        world.start(Lane.LIVE, Lane.LIVE, Lane.POLL, Lane.BULK)

    world.run(3 + 10)
    before, trips = len(world.server().arrivals), world.redis.round_trips
    world.run(10 * 10)

    made = len(world.server().arrivals) - before
    assert made >= 0.98 * 10 * limit.calls
    assert (world.redis.round_trips - trips) / made <= 3.0
    assert world.server().most_in_any(limit.window) == limit.calls


@pytest.mark.parametrize("window", [1, 300])
def test_a_server_that_counts_in_fixed_windows_is_satisfied_too(
    client: Redis, namespace: str, window: int
) -> None:
    """A stricter count than a fixed window: every one of them is a rolling one as well."""
    limit = Limit(calls=5, window=timedelta(seconds=window))
    world = World(client, limit=limit, seed=window, namespace=namespace)
    world.start(Lane.LIVE, Lane.POLL, Lane.BULK)

    world.run(4 * window + 5)

    fixed: dict[float, int] = {}
    for at in world.server().arrivals:
        fixed[at // window] = fixed.get(at // window, 0) + 1
    assert max(fixed.values()) <= limit.calls
