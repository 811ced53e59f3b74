"""Pages of a list by keyset: the next one begins after the last row seen, not at an offset.

One idea: the address carries the key of the last row, so that rows which come meanwhile neither
repeat nor hide one, and the thousandth page costs what the first does.

    after = cursor(visit)                                   # None on the first page
    rows = thing.listed(connection, before=after, limit=SIZE + 1)
    page = paged(visit, rows, key=lambda row: row["id"])    # page.rows, page.next, page.first
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from console.errors import NotThere
from console.visit import Visit

SIZE = 50
"""Rows to a page: what a person reads before the next filter; more makes pages slow on a phone."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged(Generic[Row]):
    """The rows of one page, and the addresses of the next and of the first, where there are such."""

    rows: Sequence[Row]
    next: str | None
    first: str | None
    last_key: str | None = None


def cursor(visit: Visit) -> int | None:
    """Give the id after which this page begins; None on the first. Raises `NotThere`."""
    text = visit.asked("after")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise NotThere("That page of the list does not exist; begin at its first page.")
    return int(text)


def stretch(visit: Visit, rows: Sequence[Row], go_on: int | str | None) -> Paged[Row]:
    """Make a page of rows of which it is known from where the next one begins."""
    more = None if go_on is None else str(go_on)
    return Paged(rows=rows, next=_next(visit, more), first=_first(visit), last_key=more)


def paged(
    visit: Visit, rows: Sequence[Row], *, key: Callable[[Row], object], size: int = SIZE
) -> Paged[Row]:
    """Make a page of rows of which one more was read than is shown."""
    shown = rows[:size]
    more = str(key(shown[-1])) if len(rows) > size else None
    return Paged(
        rows=shown,
        next=_next(visit, more),
        first=_first(visit),
        last_key=more,
    )


def _next(visit: Visit, more: str | None) -> str | None:
    return None if more is None else visit.without(after=more)


def _first(visit: Visit) -> str | None:
    return visit.without("after") if visit.asked("after") else None
