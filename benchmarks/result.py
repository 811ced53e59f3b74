"""What a scenario brings back: lines, each a figure with the peer it is measured against.

One idea: a figure alone says something about a machine; its ratio to a peer measured in the same
run says something about the code. So gates stand on ratios and counters, and on times only where
a promise is made in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a figure is measured against, in the same run and the same unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure. Its gate stands on the ratio to its peer, or without one on the figure."""

    name: str
    value: float
    unit: str
    peer: Peer | None = None
    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None
    """What was asked for and is not reached: shown in place of a gate. A decision says why."""
    counter: bool = False
    """Counted, not timed: the same at each run, and compared with the baseline exactly."""

    @property
    def measured(self) -> float:
        """The number that a gate and the baseline look at."""
        return self.value if self.peer is None else self.value / self.peer.value

    @property
    def gated(self) -> bool:
        """Whether it can fail."""
        return self.at_most is not None or self.at_least is not None

    @property
    def holds(self) -> bool:
        """Whether its gate is passed; true without one."""
        if self.at_most is not None and self.measured > self.at_most:
            return False
        return self.at_least is None or self.measured >= self.at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one scenario found, or why it could not run."""

    scenario: str
    conditions: str
    lines: Sequence[Line] = field(default_factory=tuple[Line, ...])
    skipped: str | None = None

    @property
    def holds(self) -> bool:
        """Whether every gate is passed. A scenario that could not run has passed none."""
        return self.skipped is None and all(line.holds for line in self.lines)


def median(values: Sequence[float]) -> float:
    """Give the middle one."""
    return percentile(values, 50)


def percentile(values: Sequence[float], percent: int) -> float:
    """Give the value that so many in a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
