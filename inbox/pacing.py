"""How often, how large and how long a reading is, and in what order it walks. Pure.

One idea: a poll reads little and often, a full sync everything and seldom; so each has a page size of
its own, and the same walk.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from inbox.window import Everything, From, Start
from runtime.settings import Settings
from schema.inbox import RunKind
from schema.sources import Order, Source

LEASE = timedelta(minutes=10)
"""How long a collection is held for one page: longer than a few fetches with their waits for a slot.
Who is killed holds a collection up for this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How often, how large, how long. Their relations are checked when settings are read."""

    interval: timedelta = timedelta(hours=1)
    longest_gap: timedelta = timedelta(days=7)
    page_size: int = 100
    full_page_size: int = 250
    """Rows to a page of a full sync. Larger, and it costs fewer requests, each of which takes the other
    side longer; smaller, and there and back of 60,000 rows do not end in a night's share."""
    lease: timedelta = LEASE
    runtime: timedelta = timedelta(minutes=10)
    """How long a slice may take; the run goes on in the next one."""
    pages: int = 20_000
    """A run with more pages than this is ended, loudly: something makes it endless."""
    quarantine: timedelta = timedelta(seconds=160)
    """How long after its mark a write without an answer may still land."""
    start: Start | None = None
    """From when to read what was never read; None until a person says so."""

    def size(self, source: Source, kind: RunKind) -> int:
        """Give how many rows to ask for at a time: never more than the source gives."""
        wanted = self.full_page_size if kind is RunKind.FULL else self.page_size
        return min(wanted, source.largest_page)


def pacing_of(settings: Settings) -> Pacing:
    """Take from the settings what a person's wish, or the timetable, needs to know."""
    return Pacing(
        interval=settings.poll_interval,
        longest_gap=settings.poll_gap,
        page_size=settings.poll_page_size,
        full_page_size=settings.full_sync_page_size,
        runtime=settings.poll_runtime,
        start=start_of(settings.poll_start),
    )


def start_of(text: str) -> Start | None:
    """Read `PILLARBOX_POLL_START`, checked already."""
    if not text:
        return None
    return Everything() if text == "everything" else From(since=datetime.fromisoformat(text))


def order_of(source: Source, kind: RunKind) -> Order:
    """Say how a run walks: a full sync carries no filter at all, so nothing can be restarted from."""
    full = kind is RunKind.FULL and source.order is Order.RESTART
    return Order.TWO_WAYS if full else source.order
