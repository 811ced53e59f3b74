"""Plays histories and adds up what came of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.damages import Damage, damaged
from tests.simulation.judge import Found, Wrong, judge
from tests.simulation.plan import plan
from tests.simulation.world import World, shared_database


@dataclass
class Sum:
    """What came of some histories."""

    histories: int = 0
    recovered: int = 0
    found: dict[int, list[Found]] = field(default_factory=dict[int, list[Found]])
    fired: Counter[str] = field(default_factory=Counter[str])

    def add(self, other: "Sum") -> None:
        """Take in another one."""
        self.histories += other.histories
        self.recovered += other.recovered
        self.found |= other.found
        self.fired.update(other.fired)

    def line(self) -> str:
        """Say it in one line."""
        wrong = Counter(one.wrong for found in self.found.values() for one in found)
        numbers = ", ".join(f"{wrong[kind]} {kind}" for kind in Wrong)
        return f"{self.histories} histories: {numbers}, {self.recovered} recovered"


def histories(seeds: Sequence[int]) -> Sum:
    """Play these histories and judge them."""
    total = Sum()
    for seed in seeds:
        outside = World(plan(seed), shared_database()).run()
        verdict = judge(outside)
        total.histories += 1
        total.recovered += verdict.recovered
        total.fired.update(outside.fired)
        if verdict.found:
            total.found[seed] = verdict.found
    return total


def trace(seed: int) -> str:
    """Play a history, and give the hash of everything that happened in it."""
    world = World(plan(seed), shared_database())
    world.run()
    return world.trace.hexdigest()


def first_to_notice(damage: Damage, seeds: Sequence[int]) -> tuple[int, Found] | None:
    """Play histories with the code damaged until one is noticed; gives its seed and the words."""
    with damaged(damage):
        for seed in seeds:
            coming = plan(seed)
            if not all(coming.has(need) for need in damage.needs):
                continue
            verdict = judge(World(coming, shared_database()).run())
            if verdict.found:
                return seed, verdict.found[0]
    return None


LONGEST_SEARCH = 20_000
"""After so many seeds a damage counts as not noticed."""


def search(damage: Damage) -> tuple[int, Found] | None:
    """Look for the first seed that notices a damage, far and wide."""
    return first_to_notice(damage, range(LONGEST_SEARCH))
