"""How a collection that changes meanwhile is walked, page by page, without missing a row. Pure.

One idea: the walk is a small value. It says which page comes next, and becomes another value by
what that page held; saved with each page, it goes on after any death of its process.

**Restart** (the API sorts by the column it filters): always the first page, from the last stamp
seen, inclusive. A change during the walk only moves a row ahead of us. Where a whole page lies in
one second the page is asked for larger, and beyond that pages are walked inside the second until
a whole pass shows nothing unseen. It ends at a page of rows already seen.

**Two ways** (an order that we cannot follow): forward to an empty page, then back to the first. Who
leaves shifts the rest to the left, past the way forward, but not past the way back. A row that only
the way back finds says that the order is not to be trusted: once more, with the largest pages. So
is a collection walked that was to be sorted and is not.

**Cursor** and **pair** need neither: the API says what comes next, or takes stamp and id.

An empty page is always asked for again, and twice behind a full one: one such answer would end a run
that is not over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from schema.fingerprint import Json
from schema.sources import Ask, Order

CLEAN_PASSES = 3
"""How many passes through one second, or both ways through an order that is not to be trusted, must
show nothing unseen. Where a second holds more rows than the largest page, and the API draws their
order anew each time, each pass misses a given row in about a third of the cases."""

BEHIND_A_FULL_PAGE = 2
"""How often an empty page is asked for again that follows a full one. Behind a short page it is what
is to be expected, and once is enough."""

MOST_ROUNDS = 10
"""How often one second or one order is passed through at most. It guards against an order that
never settles; what it leaves out is what the next run and the full sync are for."""


class Phase(StrEnum):
    """Where in its walk a run is."""

    ONWARD = "onward"
    WITHIN = "within"
    BACK = "back"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSeen:
    """What a page held: how many rows, the stamps, and how many of the rows this run had not seen
    and ought to have: what changed after it began is the next run's."""

    rows: int
    unseen: int = 0
    first: datetime | None = None
    last: datetime | None = None
    last_id: str | None = None
    cursor: str | None = None
    ascending: bool = True
    """Whether the stamps came in order."""


EMPTY = PageSeen(rows=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A run's place. All of it goes into one small JSON object."""

    order: Order
    size: int
    largest: int
    since: datetime | None
    phase: Phase = Phase.ONWARD
    page: int = 1
    stamp: datetime | None = None
    after_id: str | None = None
    cursor: str | None = None
    last_page: int = 0
    most: int = 0
    """The most rows that a page of this run had: fewer are a short page, whatever was asked for."""
    full: bool = False
    """The last page that had rows had as many as were asked for, or as any before it."""
    empty: int = 0
    """How often the page that comes next was empty already."""
    unseen: int = 0
    """Rows not seen before, on this pass."""
    clean: int = 0
    """Passes in a row that showed nothing unseen."""
    rounds: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return self.phase is Phase.DONE


def begin(order: Order, *, since: datetime | None, size: int, largest: int) -> Walk:
    """Begin at *since*, or at the beginning of everything."""
    return Walk(order=order, size=size, largest=max(size, largest), since=since, stamp=since)


def ask(walk: Walk) -> Ask | None:
    """Say which page comes next; None when the walk is done."""
    if walk.done:
        return None
    by_change = walk.order in (Order.RESTART, Order.PAIR)
    return Ask(
        since=walk.stamp if by_change else walk.since,
        size=walk.size,
        page=walk.page,
        by_change=by_change,
        cursor=walk.cursor,
        after_id=walk.after_id,
    )


def step(walk: Walk, page: PageSeen, *, limit: datetime | None) -> Walk:
    """Take in a page. *limit* is when the run began, by the server's clock: a page wholly newer
    ends a walk in order of change, so that nobody runs after a moving tail."""
    if walk.order is Order.RESTART and not page.ascending:
        return begin(Order.TWO_WAYS, since=walk.since, size=walk.size, largest=walk.largest)
    if page.rows == 0 and page.cursor is None:
        if walk.empty < (BEHIND_A_FULL_PAGE if walk.full else 1):
            return replace(walk, empty=walk.empty + 1)
        walk = replace(walk, empty=0)
    else:
        full = page.rows >= walk.size or 0 < walk.most <= page.rows
        walk = replace(walk, empty=0, most=max(walk.most, page.rows), full=full)
    match walk.order:
        case Order.RESTART:
            return _restart(walk, page, limit)
        case Order.TWO_WAYS:
            return _two_ways(walk, page)
        case Order.CURSOR:
            return _cursor(walk, page)
        case Order.PAIR:
            return _pair(walk, page, limit)


def requests_for(order: Order, rows: int, size: int) -> int:
    """Say how many requests a walk takes through a collection that stands still."""
    pages = -(-rows // size)
    empty = 1 + (BEHIND_A_FULL_PAGE if rows and not rows % size else 1)
    match order:
        case Order.CURSOR:
            return pages or empty
        case Order.TWO_WAYS if pages > 1:
            return 2 * pages + empty
        case _:
            return pages + empty


def _restart(walk: Walk, page: PageSeen, limit: datetime | None) -> Walk:
    if _wholly_newer(page, limit):
        return _done(walk)
    if walk.phase is Phase.WITHIN:
        return _within(walk, page)
    if page.rows == 0:
        return _done(walk)
    if _beyond(walk, page):
        if page.rows < walk.size and _second_of(page.first) == _second_of(page.last):
            # All of it is one second: asked for from there it would be the same page again.
            return replace(walk, stamp=page.last, phase=Phase.WITHIN, page=2)
        return replace(walk, stamp=page.last)
    if page.rows < walk.most:
        # All of this second came with this page: seen before, it is the end.
        return walk if page.unseen else _done(walk)
    if walk.size < walk.largest and page.rows >= walk.size:
        return replace(walk, size=walk.largest, most=0)
    return replace(walk, phase=Phase.WITHIN, page=2, unseen=page.unseen)


def _within(walk: Walk, page: PageSeen) -> Walk:
    walk = replace(walk, unseen=walk.unseen + page.unseen)
    if walk.page == 1 and _beyond(walk, page):
        return _onward(walk, page)  # the whole second came on one page
    if page.rows and not _beyond(walk, page):
        return replace(walk, page=walk.page + 1)
    clean = 0 if walk.unseen else walk.clean + 1
    single = walk.page == 2 and page.rows == 0  # the second is one page: what it shows is all
    if clean < CLEAN_PASSES and not (single and clean) and walk.rounds < MOST_ROUNDS:
        return replace(walk, page=1, unseen=0, clean=clean, rounds=walk.rounds + 1)
    return _onward(walk, page) if page.rows else _done(walk)


def _onward(walk: Walk, page: PageSeen) -> Walk:
    """Go on behind the second that is done."""
    return replace(walk, phase=Phase.ONWARD, page=1, unseen=0, clean=0, rounds=0, stamp=page.last)


def _two_ways(walk: Walk, page: PageSeen) -> Walk:
    if walk.phase is Phase.BACK:
        return _back(replace(walk, unseen=walk.unseen + page.unseen))
    if page.rows:
        return replace(walk, last_page=walk.page, page=walk.page + 1)
    if walk.last_page <= 1:
        return _done(walk)  # one page is one moment: nothing shifts within it
    return replace(walk, phase=Phase.BACK, page=walk.last_page, unseen=0)


def _back(walk: Walk) -> Walk:
    if walk.page > 1:
        return replace(walk, page=walk.page - 1)
    clean = 0 if walk.unseen else walk.clean + 1
    trusted = clean and (walk.rounds == 0 or clean >= CLEAN_PASSES)
    if trusted or walk.rounds >= MOST_ROUNDS:
        return _done(walk)
    return replace(
        walk,
        phase=Phase.ONWARD,
        size=walk.largest,
        page=1,
        last_page=0,
        unseen=0,
        clean=clean,
        rounds=walk.rounds + 1,
    )


def _cursor(walk: Walk, page: PageSeen) -> Walk:
    if page.cursor is None or page.cursor == walk.cursor:
        return _done(walk)
    return replace(walk, cursor=page.cursor, page=walk.page + 1)


def _pair(walk: Walk, page: PageSeen, limit: datetime | None) -> Walk:
    if page.rows == 0 or _wholly_newer(page, limit):
        return _done(walk)
    return replace(walk, stamp=page.last, after_id=page.last_id)


def _beyond(walk: Walk, page: PageSeen) -> bool:
    """Whether a page reaches past the second that the walk stands in."""
    return page.last is not None and (walk.stamp is None or page.last > _second(walk.stamp))


def _second_of(moment: datetime | None) -> datetime | None:
    return None if moment is None else _second(moment)


def _second(moment: datetime) -> datetime:
    """Cut to whole seconds, as the stamps that are shown are."""
    return moment.replace(microsecond=0)


def _wholly_newer(page: PageSeen, limit: datetime | None) -> bool:
    """Whether the walk has reached what came after it began: that is the next run's."""
    return limit is not None and page.first is not None and page.first > limit


def _done(walk: Walk) -> Walk:
    return replace(walk, phase=Phase.DONE)


# A walk as JSON


def to_json(walk: Walk) -> dict[str, Json]:
    """Write a walk; what is as at its beginning is left out."""
    written: dict[str, Json] = {}
    for one in fields(Walk):
        value = getattr(walk, one.name)
        if value != one.default:
            written[one.name] = value.isoformat() if isinstance(value, datetime) else value
    return written


def from_json(value: Mapping[str, Any]) -> Walk:
    """Read a walk back."""
    read = dict(value)
    for name in ("since", "stamp"):
        if read.get(name) is not None:
            read[name] = datetime.fromisoformat(read[name]).astimezone(UTC)
    read["order"] = Order(read["order"])
    read["phase"] = Phase(read.get("phase", Phase.ONWARD))
    read.setdefault("since", None)
    return Walk(**read)
