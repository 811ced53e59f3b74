"""`python -m benchmarks [NAMES] [--quick] [--write-baseline]`: run scenarios, end with 1 if one fails."""

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from benchmarks import baseline, report
from benchmarks.catalog import APART, SCENARIOS
from benchmarks.ground import Unavailable
from benchmarks.result import Result
from runtime import log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios named, or all of them; 0 when every gate is passed."""
    parser = _options()
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in SCENARIOS:
            parser.error(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    log.set_up(level="WARNING")
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    size = "quick" if options.quick else "full"
    known = baseline.read(size)
    results = [
        _run(console, name, known, quick=options.quick)
        for name in options.names or [one for one in SCENARIOS if one not in APART]
    ]
    if options.write_baseline:
        baseline.write(size, [result for result in results if result.skipped is None])
    failing = [
        result.scenario
        for result in results
        if not result.holds
        or (not options.write_baseline and baseline.counters_changed(result, known))
    ]
    console.print(f"\n{'fails: ' + ', '.join(failing) if failing else 'every gate holds'}")
    return 1 if failing else 0


def _run(console: Console, name: str, known: baseline.Known, *, quick: bool) -> Result:
    begun = time.monotonic()
    try:
        result = SCENARIOS[name](quick=quick)
    except Unavailable as missing:
        result = Result(scenario=name, conditions="", skipped=str(missing))
    report.show(console, result, known)
    console.print(f"  [dim]{time.monotonic() - begun:.0f} s[/dim]")
    report.keep(result, "quick" if quick else "full")
    return result


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    options.add_argument(
        "names", nargs="*", metavar="NAME", help=f"scenarios: {', '.join(SCENARIOS)}"
    )
    options.add_argument("--quick", action="store_true", help="smaller sizes, about a minute")
    options.add_argument(
        "--write-baseline", action="store_true", help="keep the figures to compare later runs with"
    )
    return options


if __name__ == "__main__":
    sys.exit(main())
