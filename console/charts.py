"""Bars as shapes: where each one stands and how high it is. Pure.

One idea: the page draws what is worked out here and nothing else, so that a chart is a value that a
test can look at; sizes are in the chart's own units and it is as wide as its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schema.days import LONDON

WIDTH = 640
HEIGHT = 120
GAP = 0.2
"""The part of a bar's room that is left free."""

ROUND = (1, 2, 5)
"""Leading digits of the number at the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One part of a bar."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A time under the bars."""

    x: float
    text: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All of it. `top` is the number that the full height stands for."""

    shapes: tuple[Shape, ...]
    labels: tuple[Label, ...]
    top: int
    words: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.shapes


def stacked(bars: Sequence[Mapping[str, Any]], kinds: Sequence[str], words: str) -> Chart:
    """Stand the *kinds* of each bar on one another, the first at the bottom.

    *words* say what is shown, for whoever cannot see it.
    """
    top = ceiling(max((sum(bar[kind] for kind in kinds) for bar in bars), default=0))
    room = WIDTH / max(1, len(bars))
    shapes: list[Shape] = []
    for place, bar in enumerate(bars):
        floor = float(HEIGHT)
        for kind in kinds:
            number = bar[kind]
            if number:
                height = number / top * HEIGHT
                floor -= height
                shapes.append(
                    Shape(
                        x=round((place + GAP / 2) * room, 2),
                        y=round(floor, 2),
                        width=round((1 - GAP) * room, 2),
                        height=round(height, 2),
                        kind=kind,
                        words=f"{clock(bar['start'])}: {number:,} {kind}",
                    )
                )
    return Chart(shapes=tuple(shapes), labels=_labels(bars), top=top, words=words)


def _labels(bars: Sequence[Mapping[str, Any]]) -> tuple[Label, ...]:
    if not bars:
        return ()
    middle = bars[len(bars) // 2]
    return (
        Label(x=0, text=clock(bars[0]["start"]), end="start"),
        Label(x=WIDTH / 2, text=clock(middle["start"]), end="middle"),
        Label(x=WIDTH, text=clock(bars[-1]["start"]), end="end"),
    )


def clock(moment: datetime) -> str:
    """Write the time of day in London."""
    return moment.astimezone(LONDON).strftime("%H:%M")


def ceiling(number: int) -> int:
    """Give the next round number: 1, 2, 5, 10, 20, 50 and so on."""
    size = 1
    while True:
        for digit in ROUND:
            if digit * size >= number:
                return digit * size
        size *= 10
