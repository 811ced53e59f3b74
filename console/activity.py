"""What was sent and saved lately, as bars of a chart and the table beneath it. Pure.

One idea: what a person sees as a bar is a row of a table as well, made from the same values, so that
whoever cannot see the one reads the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from outbox.tallies import Tally
from schema.outcomes import OutcomeName
from schema.states import Closed, Span, Tallied

SAVED = (Closed.UNCHANGED, Closed.SUPERSEDED, Closed.NET_ZERO)
"""Ends of an entry that cost no call of its own: what an outbox of bare events would have sent."""

LENGTHS: Mapping[Span, tuple[timedelta, int]] = {
    Span.MINUTE: (timedelta(minutes=5), 12),
    Span.HOUR: (timedelta(hours=1), 24),
}
"""How long a bar is, and how many are shown: the last hour by five minutes, the last day by hours."""

FAILED = frozenset({OutcomeName.TRANSIENT, OutcomeName.IN_DOUBT, OutcomeName.KEY_REFUSED})


@dataclass(slots=True, kw_only=True)
class Bar:
    """One stretch of time: entries by how they ended, calls and reads by what was answered."""

    start: datetime
    entries: dict[str, int] = field(default_factory=dict[str, int])
    calls: dict[str, int] = field(default_factory=dict[str, int])
    reads: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def sent(self) -> int:
        """How many entries went out."""
        return self.entries.get(Closed.DELIVERED, 0)

    @property
    def saved(self) -> int:
        """How many entries cost no call."""
        return sum(self.entries.get(one, 0) for one in SAVED)

    @property
    def made(self) -> int:
        """How many requests were made, reads among them."""
        return sum(self.calls.values()) + sum(self.reads.values())

    @property
    def refused(self) -> int:
        """How many calls were refused for what they said."""
        return self.calls.get(OutcomeName.REFUSED, 0)

    @property
    def throttled(self) -> int:
        """How many requests were answered 429."""
        return self.calls.get(OutcomeName.THROTTLED, 0) + self.reads.get(OutcomeName.THROTTLED, 0)

    @property
    def failed(self) -> int:
        """How many requests failed for no fault of theirs."""
        both = (*self.calls.items(), *self.reads.items())
        return sum(number for outcome, number in both if outcome in FAILED)

    @property
    def answered(self) -> int:
        """How many requests did what they were made for."""
        return self.made - self.refused - self.throttled - self.failed

    def told(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "start": self.start,
            "sent": self.sent,
            "saved": self.saved,
            "requests": self.made,
            "answered": self.answered,
            "refused": self.refused,
            "throttled": self.throttled,
            "failed": self.failed,
        }


def bars(found: Iterable[Tally], span: Span, now: datetime) -> list[Bar]:
    """Give every bar up to the one that *now* is in, the empty ones too."""
    length, number = LENGTHS[span]
    first = first_start(span, now)
    made = [Bar(start=first + place * length) for place in range(number)]
    for one in found:
        place = (one.start - first) // length
        if 0 <= place < number:
            column = _column(made[place], one.subject)
            column[one.outcome] = column.get(one.outcome, 0) + one.number
    return made


def first_start(span: Span, now: datetime) -> datetime:
    """Say when the first bar begins."""
    length, number = LENGTHS[span]
    hour = now.replace(minute=0, second=0, microsecond=0)
    last = hour + (now - hour) // length * length
    return last - (number - 1) * length


def _column(bar: Bar, subject: Tallied) -> dict[str, int]:
    match subject:
        case Tallied.ENTRY:
            return bar.entries
        case Tallied.CALL:
            return bar.calls
        case Tallied.READ:
            return bar.reads


def in_all(found: Sequence[Bar]) -> dict[str, Any]:
    """Add bars up: what was sent, what was saved and why, and what the calls came to."""
    saved = {one.value: sum(bar.entries.get(one, 0) for bar in found) for one in SAVED}
    return {
        "sent": sum(one.sent for one in found),
        "saved": saved,
        "requests": sum(one.made for one in found),
        "refused": sum(one.refused for one in found),
        "throttled": sum(one.throttled for one in found),
        "failed": sum(one.failed for one in found),
    }


def told(made: Sequence[Bar]) -> dict[str, Any]:
    """Give bars as JSON: their sums, and each."""
    return {**in_all(made), "bars": [one.told() for one in made]}


def largest_span(by_minute: Sequence[tuple[datetime, int]], length: timedelta) -> int:
    """Say how many were made at most in whole minutes that cover a stretch that long.

    *by_minute* is in order of time; a minute without any may be left out.
    """
    most = within = first = 0
    for start, number in by_minute:
        within += number
        while by_minute[first][0] <= start - length:
            within -= by_minute[first][1]
            first += 1
        most = max(most, within)
    return most
