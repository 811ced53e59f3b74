"""What would become of many records: plan it, change nothing.

One idea: a plan asks of each record what a replay of it alone would ask, with the same functions, so
that a replay of many never makes a call that a replay of one would not.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from outbox import bindings, entries, selection
from outbox.admission import Aside, Close, Decision, Go, Park, with_leave
from outbox.dead_letters import after_replay, in_words, replayed
from outbox.selection import Selection
from records import store
from records.signature import is_aside
from schema.bulk import Deed, Result
from schema.contract import Contract
from schema.hours import Booking, opens
from schema.record import Record
from schema.states import Lane, RecordState, Writes

CHUNK = 500
"""Records planned at a time. More are held in memory for no gain; fewer cost round trips."""

FEW = 50
"""Up to so many a replay is as urgent as any other change. More would keep today's changes waiting,
so they go in the `bulk` lane and in off-peak hours, unless a person says now."""

EXAMPLES = 3
"""How many records are named for each thing that is foreseen."""

IDS = 2_000
"""How many ids are read at a time. More are held in memory for no gain; fewer have the selection looked
through more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What is done, and how carefully."""

    deed: Deed = Deed.REPLAY
    try_one: bool = False
    """One goes first, and a person looks at what became of it."""
    at_once: bool = False
    """Also outside the off-peak hours, however many they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a replay of one record would do now; *after* is how it would be written, if it would."""

    result: Result
    why: str
    """In a word that others share: an operation, a reason. Never a value."""
    detail: str
    calls: int = 0
    after: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Records of which the same is foreseen for the same reason."""

    result: Result
    why: str
    number: int
    examples: Sequence[tuple[Record, str]]
    """A few of them, with what would become of each, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a replay of many would do, and when."""

    deed: Deed
    selection: Selection
    number: int
    """How many records wait for a person and are meant: the number a person confirms."""
    groups: Sequence[Group]
    calls: int
    """How many calls that is at most."""
    lane: Lane
    starts_at: datetime
    untouched: Mapping[str, int] = field(default_factory=dict[str, int])
    """Entries that were meant and need nothing, by how they stand."""

    def number_of(self, result: Result) -> int:
        """Count the records with this result."""
        return sum(group.number for group in self.groups if group.result is result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a plan must know besides a record and its kin.

    *newer* are the local things of which an event came in that nobody has folded yet.
    """

    deed: Deed
    contract: Contract
    writes: Writes
    now: datetime
    newer: AbstractSet[str] = frozenset()


def foresee(record: Record, kin: Sequence[Record], around: Surroundings) -> Foreseen:
    """Say what would become of one record now. Pure."""
    if not is_aside(record):
        return Foreseen(result=Result.WENT_ON, why=record.state.value, detail=_plain(record))
    if record.key.source_id in around.newer:
        return Foreseen(
            result=Result.NEWER, why="newer event", detail="a newer event of it is about to be read"
        )
    match around.deed:
        case Deed.REPLAY:
            after = replayed(record, around.now)
            decision = after_replay(record, kin, around.contract, around.now)
            left = with_leave(decision, around.writes, around.now)
            return _foreseen(after, left, around.contract)
        case Deed.DISCARD:
            return _discarded(record)


def _discarded(record: Record) -> Foreseen:
    if record.mark is not None or record.state is RecordState.IN_DOUBT:
        detail = "a call for it may have taken effect; look there first"
        return Foreseen(result=Result.ASIDE, why="in doubt", detail=detail)
    return Foreseen(result=Result.DISCARDED, why="discarded", detail="nothing of it is asked for")


def _foreseen(after: Record, decision: Decision, contract: Contract) -> Foreseen:
    words = in_words(decision)
    match decision:
        case Go(call=call):
            calls = contract.steps(after) + (0 if call.request.writes else 1)
            return Foreseen(
                result=Result.SENT, why=call.operation, detail=words, calls=calls, after=after
            )
        case Park(reason=reason):
            return Foreseen(result=Result.WAITS, why=reason.value, detail=words, after=after)
        case Aside(problem=problem):
            named = (problem.reason.value, problem.operation, problem.field)
            why = ", ".join(one for one in named if one)
            return Foreseen(result=Result.ASIDE, why=why, detail=problem.detail)
        case Close():
            return Foreseen(result=Result.NOTHING, why="in step", detail=words, after=after)


def _plain(record: Record) -> str:
    return f"is {record.state.value.replace('_', ' ')}"


def planned(
    connection: Connection,
    destination: str,
    chosen: Selection,
    contract: Contract,
    *,
    offpeak: Booking,
    now: datetime,
    how: How,
) -> Plan:
    """Plan a deed for every record of a selection; nothing is written, and memory stays flat."""
    around = surroundings(connection, destination, how.deed, contract, now)
    tally = _Tally()
    any_newer = entries.any_new(connection, destination)
    for some in _chunks(connection, destination, chosen):
        seen = with_newer(connection, destination, some, around) if any_newer else around
        kin = store.kin_of(connection, some)
        for record in some:
            others = [other for other in kin[record.family] if other.id != record.id]
            tally.count(record, foresee(record, others, seen))
    waits = waits_for_the_night(tally.number, how)
    return Plan(
        deed=how.deed,
        selection=chosen,
        number=tally.number,
        groups=tally.groups(),
        calls=tally.calls,
        lane=lane_of(tally.number),
        starts_at=opens(offpeak, now) if waits else now,
        untouched=selection.untouched(connection, destination, chosen),
    )


def is_few(number: int) -> bool:
    """Whether so many are as urgent as any other change."""
    return number <= FEW


def lane_of(number: int) -> Lane:
    """Say in which lane so many records are replayed."""
    return Lane.LIVE if is_few(number) else Lane.BULK


def minutes(calls: int, *, share: int, window: timedelta) -> float:
    """Say how many minutes so many calls take at so many a window."""
    return round(calls * window.total_seconds() / max(1, share) / 60, 1)


def waits_for_the_night(number: int, how: How) -> bool:
    """Say whether so many go only within the off-peak hours. What makes no call need not wait."""
    return how.deed is Deed.REPLAY and not how.at_once and not is_few(number)


def surroundings(
    connection: Connection, destination: str, deed: Deed, contract: Contract, now: datetime
) -> Surroundings:
    """Read what a plan must know besides the records."""
    writes = bindings.writes(connection, destination)
    return Surroundings(deed=deed, contract=contract, writes=writes, now=now)


def with_newer(
    connection: Connection, destination: str, some: Sequence[Record], around: Surroundings
) -> Surroundings:
    """Add of which of these records an event came in that nobody has folded yet."""
    coming = entries.coming(connection, destination, [one.key.source_id for one in some])
    return replace(around, newer=coming.keys())


def _chunks(
    connection: Connection, destination: str, chosen: Selection
) -> Iterator[Sequence[Record]]:
    """Read the records of a selection, a chunk in memory at a time."""
    after = 0
    while ids := selection.ids_of(connection, destination, chosen, after=after, limit=IDS):
        for begin in range(0, len(ids), CHUNK):
            yield store.by_ids(connection, ids[begin : begin + CHUNK])
        after = ids[-1]


class _Tally:
    """Counts what is foreseen, and keeps a few examples of each."""

    def __init__(self) -> None:
        self.number = 0
        self.calls = 0
        self._numbers: Counter[tuple[Result, str]] = Counter()
        self._examples: dict[tuple[Result, str], list[tuple[Record, str]]] = {}

    def count(self, record: Record, foreseen: Foreseen) -> None:
        """Count one record."""
        self.number += 1
        self.calls += foreseen.calls
        key = (foreseen.result, foreseen.why)
        self._numbers[key] += 1
        examples = self._examples.setdefault(key, [])
        if len(examples) < EXAMPLES:
            examples.append((record, foreseen.detail))

    def groups(self) -> list[Group]:
        """Give what was counted, by result, the most frequent first."""
        order = list(Result)
        counted = sorted(self._numbers.items(), key=lambda one: (order.index(one[0][0]), -one[1]))
        return [
            Group(result=result, why=why, number=number, examples=self._examples[result, why])
            for (result, why), number in counted
        ]
