"""What a contract says of a collection that is read: how to ask, how to walk, what a row means.

One idea: a row is read by the contract and by nobody else; everything beyond it knows an id, a
content that can be compared, and which records it speaks of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from schema.fingerprint import Json
from schema.outcomes import Delivered
from schema.plans import Request
from schema.record import Record

EVERYTHING = frozenset({"*"})
"""Effects of a write that brings the whole row about."""


class Order(StrEnum):
    """How a collection that changes meanwhile can be walked without missing a row.

    `restart`: it sorts by the column that it filters; always page 1, from the last stamp seen.
    `two_ways`: it does not; forward to an empty page, then back. `cursor`: it gives a token for
    what comes next. `pair`: it sorts by stamp and id, and gives what comes after both.
    """

    RESTART = "restart"
    TWO_WAYS = "two_ways"
    CURSOR = "cursor"
    PAIR = "pair"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Which page comes next. `since` None asks for everything; `by_change` for the rows in order
    of their last change."""

    since: datetime | None
    size: int
    page: int = 1
    by_change: bool = False
    cursor: str | None = None
    after_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page as the API gave it, its rows not read yet."""

    rows: Sequence[Json]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, read. `content` is all that the mirror keeps, the stamp of change left out.

    `merged` are ids that lead to this one now; `mentions` are ids of people it names, who ought to
    be in the mirror too.
    """

    id: str
    content: Mapping[str, Json]
    updated_at: datetime | None = None
    merged: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A record that a row may speak of: found by its remote id and role.

    Where nobody here knows its remote id yet, a claim is found by its type (`part`) among the kin
    of `parent` (kind, remote id, role), another record by its serial key. `place` is where in the
    row's content its fields are.
    """

    kind: str
    remote_id: str
    role: str = ""
    place: str = ""
    parent: tuple[str, str, str] | None = None
    part: str = ""
    serial_key: str | None = None


def _nobody(row: Row) -> tuple[About, ...]:
    return ()


def _says_nothing(row: Row, record: Record, kin: Sequence[Record]) -> Delivered | None:
    return None


def _never(before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One collection of a remote API.

    `query(ask)` gives the query of a page. `filters` says whether it can be asked for changes
    alone. `page(body)` finds the rows in the parsed JSON of a 2xx answer; `read(raw)` reads one;
    both raise `Unreadable`, which names the place and never the content.

    `about(row)` names the records a row may speak of, and `told(row, record, kin)` what it says of
    one: None for nothing, because it is not about it after all. `effects` names, by operation, the
    fields of a row's content that our own write changes there: coming back, they are no news.
    `look_up` is the path of one row, `{id}` in it; `look_up_query` goes with it. `people` are the
    sources in which somebody whom a row mentions may be found, the likeliest first.
    """

    name: str
    path: str
    order: Order
    query: Callable[[Ask], tuple[tuple[str, str], ...]]
    page: Callable[[Json], Page]
    read: Callable[[Json], Row]
    one: Callable[[Json], Json]
    """Finds the row in the answer of a look-up; raises `Unreadable`."""
    filters: bool = True
    page_size: int = 100
    largest_page: int = 3000
    look_up: str | None = None
    look_up_query: tuple[tuple[str, str], ...] = ()
    kind: str | None = None
    about: Callable[[Row], tuple[About, ...]] = _nobody
    told: Callable[[Row, Record, Sequence[Record]], Delivered | None] = _says_nothing
    effects: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    withdrawn: Callable[[Mapping[str, Json], Mapping[str, Json]], bool] = _never
    """Whether a change is a withdrawal: before and after, both as the mirror keeps them."""
    people: tuple[str, ...] = ()
    named_by: tuple[str, ...] = ()
    """The fields of a row's content by which a person looks for it: names, numbers, addresses."""

    def request(self, ask: Ask) -> Request:
        """Ask for a page."""
        return Request(method="GET", path=self.path, query=self.query(ask))

    def request_one(self, remote_id: str) -> Request | None:
        """Ask for one row; None where the API cannot be asked for one."""
        if self.look_up is None:
            return None
        return Request(
            method="GET",
            path=self.look_up.format(id=quote(remote_id, safe="")),
            query=self.look_up_query,
        )
