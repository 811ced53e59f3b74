"""What the figures were when somebody last looked, and what has changed since.

One idea: a counter is compared exactly, for it can only change when the code does. A ratio is
compared with a tolerance, and only remarked on: it may be the machine.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.result import Line, Result

FILE = Path(__file__).parent / "baseline.json"

TOLERANCE = 1.25
"""How much worse a ratio may be before it is remarked on. Below this two runs on a machine with
other work differ by themselves."""

Known = dict[str, dict[str, float]]


def read(size: str) -> Known:
    """Read the figures kept for a size of run; empty when there are none."""
    if not FILE.exists():
        return {}
    return json.loads(FILE.read_text("utf-8")).get(size, {})


def write(size: str, results: Sequence[Result]) -> None:
    """Keep the figures of these scenarios; those of others stay."""
    kept: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    kept.setdefault(size, {}).update({result.scenario: figures(result) for result in results})
    FILE.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", "utf-8")


def figures(result: Result) -> dict[str, float]:
    """Give what is worth keeping: counters, ratios and whatever has a gate."""
    return {line.name: round(line.measured, 4) for line in result.lines if _kept(line)}


def counters_changed(result: Result, known: Known) -> list[str]:
    """Say which counters differ from those kept."""
    before = known.get(result.scenario, {})
    return [
        f"{line.name}: {line.measured:g}, and {before[line.name]:g} before"
        for line in result.lines
        if line.counter and line.name in before and round(line.measured, 4) != before[line.name]
    ]


def is_worse(line: Line, before: float) -> bool:
    """Whether a figure is worse than before by more than the tolerance."""
    if line.counter or not before:
        return False
    if line.at_least is not None:
        return line.measured * TOLERANCE < before
    return line.measured > before * TOLERANCE


def _kept(line: Line) -> bool:
    return line.counter or line.gated or line.peer is not None
