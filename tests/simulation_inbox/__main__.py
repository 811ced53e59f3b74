"""Simulates many days: `python -m tests.simulation_inbox SEEDS FROM`.

The last line says how many seeds, and what was wrong in them; a seed at fault is named with its
faults, and is the same when it is run again.
"""

import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulation_inbox.world import Day


def live(seed: int) -> tuple[int, int, int]:
    """Live through one seed."""
    stale, different = Day(seed).live()
    return seed, stale, different


def summary(seeds: int, stale: int, different: int) -> str:
    """The last line."""
    return (
        f"{seeds} seeds: {stale} stale after two windows, {different} different after a full sync"
    )


def main(seeds: int, first: int) -> int:
    """Live through seeds; gives the exit code."""
    stale = different = 0
    with ProcessPoolExecutor() as pool:
        for seed, late, wrong in pool.map(live, range(first, first + seeds), chunksize=50):
            stale += late
            different += wrong
            if late or wrong:
                print(f"seed {seed}: {late} stale, {wrong} different; {Day(seed).faults}")
    print(summary(seeds, stale, different))
    return int(bool(stale or different))


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*(given + [500, 0][len(given) :])))
