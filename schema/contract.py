"""What a contract consists of: all we know of one remote API, as values and pure functions.

One idea: the rest of the system knows no participant. It asks a contract what an event means, what
to call next, and what an answer says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schema.asks import Asks
from schema.events import Event, InvalidEvent
from schema.fingerprint import Json
from schema.keys import RecordKey
from schema.outcomes import Delivered
from schema.plans import Plan
from schema.record import Record
from schema.sources import Source

ABSENT: Mapping[str, Json] = {"state": "absent"}
"""What is accepted after a look-up that found nothing there.

One representation for every kind: `record.accepted` is None while nothing is known, equals this
when we looked and nothing was there, and is the remote state otherwise. Under it a claim is made,
and what was to be taken back already is.
"""


class Meaning(StrEnum):
    """What a refusal of the API means for the record.

    `already`: it was so before; look, then believe it. `later`: not today. `data`: not again until
    the request changes. `state`: also again when what is there changes. `missing`: its id is not
    known there; ask whether it was merged into another, else like `state`. `passing`: a clash in
    that moment; nothing was saved, and trying again is right.
    """

    ALREADY = "already"
    LATER = "later"
    DATA = "data"
    STATE = "state"
    MISSING = "missing"
    PASSING = "passing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record.

    `unknown_means_look` decides what to do while nothing is known of the remote side: look first,
    or assume that nothing is there; once looked, nothing there reads `ABSENT`. `parent` is the kind
    whose record heads the family; records of one family are written one at a time, in order.
    """

    name: str
    ours: frozenset[str]
    theirs: frozenset[str] = frozenset()
    status_field: str | None = None
    parent: str | None = None
    rounds: bool = False
    unknown_means_look: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked of the API.

    `look_up` names the read that settles a doubt about this write; None means a person must.
    `on_missing` names the read that tells into which other id one that is not known was merged.
    `creates` marks what would double if it were done twice. `natural_key` says in words by what a
    look-up recognises the effect, `again` what the API makes of the same request a second time,
    `source` where it says so.
    """

    name: str
    kind: str
    method: str
    path: str
    look_up: str | None = None
    on_missing: str | None = None
    creates: bool = False
    natural_key: str = ""
    again: str = ""
    source: str = ""

    @property
    def writes(self) -> bool:
        """Whether it may change something there."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One refusal the API is known to give: recognised by title and the beginning of its detail."""

    operations: tuple[str, ...]
    title: str
    detail: str
    meaning: Meaning
    source: str
    advice: str = ""
    """What a person can do about it, for the desk."""


def _reads_nothing(now: datetime) -> Sequence[Source]:
    return ()


def _cannot_restate(record: Record, field: str, value: Json, reason: str | None) -> Event:
    raise InvalidEvent(field, "cannot be sent again from here; emit an event that asks for it")


def _no_date(
    record: Record, kin: Sequence[Record], dates: Sequence[Mapping[str, Json]], now: datetime
) -> datetime | None:
    return None


class Unreadable(Exception):
    """A 2xx answer that does not say what the contract says it would. Carries no content of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All we know of one remote API.

    `asks(event)` says what an event asks of which record; raises `InvalidEvent` when this API
    has no such thing. `plan(record, kin, now)` says what comes next; *kin* are the other records
    of its family. `agrees(key, name, wanted, accepted)` says whether an accepted state already
    is what a wanted field asks for. `read(operation, record, kin, body)` reads the parsed JSON of
    a 2xx answer; raises `Unreadable`. `serial_key(record)` names the real remote thing behind it,
    None where the parent's is meant.

    What a caller of `plan` must know: it gives the next call only, and gives it again until it is
    settled. A step whose request is the record's locked one is passed over while another one,
    independent of it, can go; it comes back as the same `Call` when nothing else is left.
    """

    name: str
    calls: int
    window_seconds: int
    kinds: Mapping[str, Kind]
    operations: Mapping[str, Operation]
    rules: Sequence[Rule] = field(default_factory=tuple[Rule, ...])
    asks: Callable[[Event], Asks]
    plan: Callable[[Record, Sequence[Record], datetime], Plan]
    agrees: Callable[[RecordKey, str, Json, Mapping[str, Json]], bool]
    read: Callable[[Operation, Record, Sequence[Record], Json], Delivered]
    serial_key: Callable[[Record], str | None]
    steps: Callable[[Record], int]
    """How many calls its wanted state can need at most, look-ups apart."""
    sources: Callable[[datetime], Sequence[Source]] = _reads_nothing
    """The collections to read at this time. Where one must be read year by year, each year is one."""

    restate: Callable[[Record, str, Json, str | None], Event] = _cannot_restate
    """The event that asks for a field's value anew, with a reason where one is needed: "send ours".
    Raises `InvalidEvent` where no event can."""

    dates_from: str | None = None
    """The source whose rows say until when what is asked for counts; None where nothing has a date."""

    cut_off: Callable[
        [Record, Sequence[Record], Sequence[Mapping[str, Json]], datetime], datetime | None
    ] = _no_date
    """Until when a record must be accepted, by the contents of the rows of `dates_from`:
    `cut_off(record, kin, dates, now)`; None where it does not matter, or nobody knows."""

    def family(self, key: RecordKey) -> str:
        """Give the key of the record that heads the family, as text."""
        parent = self.kinds[key.kind].parent or key.kind
        return str(RecordKey(parent, key.source_id))
