"""`python -m tests.simulation --seeds N --from K`: histories, and one line that says how they went.

With `--damages` it damages the code in each of the listed ways and looks for the first seed that
notices; with `--show` it tells one history moment by moment.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.damages import DAMAGES
from tests.simulation.judge import judge
from tests.simulation.plan import plan
from tests.simulation.play import Sum, histories, search
from tests.simulation.world import World, shared_database

PART = 50
"""Histories that one process takes at a time."""


def _parts(first: int, number: int) -> Iterator[range]:
    for begin in range(first, first + number, PART):
        yield range(begin, min(begin + PART, first + number))


def _simulate(first: int, number: int, processes: int) -> int:
    total = Sum()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for part in pool.map(histories, _parts(first, number)):
            for seed, found in part.found.items():
                for one in found:
                    print(f"seed {seed}: {one}", flush=True)
            total.add(part)
            if total.histories % 1_000 == 0 and total.histories < number:
                print(total.line(), file=sys.stderr, flush=True)
    for name, times in sorted(total.fired.items()):
        print(f"  {name} {times}")
    print(total.line())
    return int(bool(total.found))


def _notice(processes: int) -> int:
    missed = 0
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for damage, caught in zip(DAMAGES, pool.map(search, DAMAGES), strict=True):
            missed += caught is None
            said = "NOT NOTICED" if caught is None else f"seed {caught[0]}: {caught[1]}"
            print(f"{damage.name}: {said}", flush=True)
    print(f"{len(DAMAGES)} damages, {len(DAMAGES) - missed} noticed")
    return int(missed > 0)


def _show(seed: int) -> int:
    verdict = judge(World(plan(seed), shared_database(), show=print).run())
    for one in verdict.found:
        print(one)
    return int(bool(verdict.found))


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many histories")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--damages", action="store_true", help="damage the code and look who notices"
    )
    parser.add_argument("--show", type=int, help="tell the history of this seed")
    given = parser.parse_args()
    if given.show is not None:
        return _show(given.show)
    if given.damages:
        return _notice(given.processes)
    return _simulate(given.first, given.seeds, given.processes)


if __name__ == "__main__":
    sys.exit(main())
