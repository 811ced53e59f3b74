"""From where a poll asks. Pure.

One idea: everything visible before the last complete run began has been seen, so asking from there,
less an overlap for what becomes visible late, misses nothing however long nobody asked. "Began" is
by the server's own clock, since the stamps are.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

OVERLAP_INTERVALS = 2
"""How many intervals a poll reaches further back than the last complete run began ("two windows
back"). One would do for slow commits; the second is for a page skipped and a poll that failed."""

HEADER_SECOND = timedelta(seconds=1)
"""A `Date` header is cut to whole seconds, and was set after the page was read."""

CLOCKS_APART = timedelta(minutes=5)
"""How far our clock may be ahead of a server that does not tell its own."""


SPREAD = timedelta(minutes=1)
"""How far the clocks of the other side's several machines may be apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """When the last complete run of a collection began, by the server's clock and by ours."""

    there: datetime
    here: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """Ask for what changed since then."""

    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """Ask for everything: nothing was ever read, or for too long."""

    gap: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nowhere:
    """Nobody has said from when to read first. It is never "now": that would lose the past."""


Window: TypeAlias = From | Everything | Nowhere
Start: TypeAlias = From | Everything


def window(
    began: Began | None,
    *,
    now: datetime,
    interval: timedelta,
    longest_gap: timedelta,
    start: Start | None = None,
) -> Window:
    """Say from where to ask; *start* is what a person gave for the first run."""
    if began is None:
        return start or Nowhere()
    gap = now - began.here
    if gap > longest_gap:
        return Everything(gap=gap)
    # The older of the two readings of "two windows back": from the last success, or from now. They
    # differ where a server's clock was ahead for a while.
    return From(since=min(began.there, now) - OVERLAP_INTERVALS * interval)


def anchored(
    since: datetime, began: Began, *, date: datetime | None, here: datetime, interval: timedelta
) -> datetime:
    """Reach further back where the server's clock has stepped back since the last complete run.

    Between the two runs as much time has passed there as here, so what was changed since then
    carries stamps from `date` less that time on.
    """
    if date is None:
        return since
    passed = max(timedelta(0), here - began.here)
    return min(since, date - passed - OVERLAP_INTERVALS * interval)


def started(date: datetime | None, here: datetime) -> datetime:
    """Say when a run began by the server's clock: *date* is its first answer's, *here* when we asked.

    Of two clocks the slower one is believed. That can only make the next run reach further back.
    """
    return here - CLOCKS_APART if date is None else min(date - HEADER_SECOND, here)


def limit(date: datetime | None, here: datetime) -> datetime:
    """Say from which stamp on a change belongs to the next run: by the server's clock, for the
    stamps are, or a source that grows faster than we read would never end."""
    return here + CLOCKS_APART if date is None else date + SPREAD
