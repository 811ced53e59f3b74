"""Whether calls may be made, from the gates as they stand. Pure.

One idea: a gate shut by a machine does not open because time has passed, only because a call has shown
that it may. When its time is over it is *ajar*: one call in all, the probe, goes through and decides.
A person's pause simply ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import TypeAlias

from schema.outcomes import (
    Came,
    InDoubt,
    KeyRefused,
    Outcome,
    OutcomeName,
    Throttled,
    Transient,
)
from schema.states import GateReason

WEIGHT = {
    GateReason.BREAKER: 0,
    GateReason.THROTTLED: 1,
    GateReason.KEY_REFUSED: 2,
    GateReason.PAUSED: 3,
}
"""Which of several reasons is named first. Each holds for itself, whatever becomes of the others."""

FIRST_BREAK = timedelta(seconds=30)
LONGEST_BREAK = timedelta(minutes=5)
"""How long a breaker stays open: 30 s, doubling with each probe that fails, to 5 min. Longer, and
nothing moves for minutes after the API is back; shorter, and a service that comes up is knocked at."""

DIFFERENT = 3
"""How many different records the failures in a row must be of. With fewer it may be the records:
two that make the API fail must not stop all others."""

ANSWERS_BAD_REQUEST = range(400, 500)
STILL_AT_IT = 408


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A shut gate. Without `until` it stays shut until a person opens it, or the key is another.

    `turn` counts how often it was shut in a row; `key_print` names a refused key without telling it;
    `probe` is who may try it, until `probe_until`.
    """

    reason: GateReason
    until: datetime | None
    since: datetime
    detail: str | None = None
    actor: str | None = None
    turn: int = 1
    key_print: str | None = None
    probe: str | None = None
    probe_until: datetime | None = None

    def holds(self, now: datetime, key_print: str | None) -> bool:
        """Whether it lets nothing through at all; *key_print* is that of the key used now."""
        if self.until is not None:
            return self.until > now
        return self.reason is not GateReason.KEY_REFUSED or self.key_print == key_print


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Calls may be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """No call; the gates that hold, the weightiest first."""

    gates: tuple[Gate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ajar:
    """One call in all may be made, to try these gates; none while somebody is at it."""

    gates: tuple[Gate, ...]
    free: bool


Standing: TypeAlias = Open | Barred | Ajar


def stand(gates: Iterable[Gate], now: datetime, key_print: str | None) -> Standing:
    """Say what the gates before a destination let through."""
    known = sorted(gates, key=lambda gate: -WEIGHT[gate.reason])
    holding = tuple(gate for gate in known if gate.holds(now, key_print))
    if holding:
        return Barred(gates=holding)
    tried = tuple(gate for gate in known if gate.reason is not GateReason.PAUSED)
    if not tried:
        return Open()
    free = all(gate.probe_until is None or gate.probe_until <= now for gate in tried)
    return Ajar(gates=tried, free=free)


def put(current: Gate | None, wanted: Gate) -> Gate | None:
    """Say what a gate is once it is shut for this reason (again); None where it stays as it is.

    While it holds, its end is only moved later. Once it is over, it is shut for another turn, and
    whoever was to try it has lost its say.
    """
    if current is None:
        return wanted
    over = current.until is not None and current.until <= wanted.since
    if wanted.reason is GateReason.PAUSED:
        return wanted if over or _later(wanted, current) else None
    if over:
        return replace(wanted, since=current.since, turn=current.turn + 1)
    if wanted.reason is GateReason.KEY_REFUSED:
        other = wanted.key_print != current.key_print
        return replace(wanted, since=current.since, turn=current.turn) if other else None
    later = replace(wanted, since=current.since, turn=current.turn)
    return later if _later(wanted, current) else None


def _later(wanted: Gate, current: Gate) -> bool:
    if current.until is None:
        return False
    return wanted.until is None or wanted.until > current.until


class Verdict(StrEnum):
    """What a probe says of the gate it tried."""

    PASSED = "passed"
    SHUT_AGAIN = "shut_again"
    UNCLEAR = "unclear"


def verdict(reason: GateReason, came: Came) -> Verdict:
    """Say what a probe's outcome means for a gate. Where it is unclear, another probe goes."""
    match reason, came.outcome:
        case GateReason.THROTTLED, Throttled():
            return Verdict.SHUT_AGAIN
        case GateReason.KEY_REFUSED, KeyRefused():
            return Verdict.SHUT_AGAIN
        case GateReason.BREAKER, outcome if failed(outcome, came.status):
            return Verdict.SHUT_AGAIN
        case _, Throttled() | KeyRefused(status=0):
            return Verdict.UNCLEAR  # the limiter stands before everything else there
        case GateReason.KEY_REFUSED, outcome if failed(outcome, came.status):
            return Verdict.UNCLEAR
        case GateReason.THROTTLED, outcome if failed(outcome, came.status):
            return Verdict.UNCLEAR if came.status is None else Verdict.PASSED
        case _:
            return Verdict.PASSED


def failed(outcome: Outcome, status: int | None) -> bool:
    """Whether an outcome speaks against the destination, not the record or the key."""
    return isinstance(outcome, Transient | InDoubt) and not _of_the_record(status)


def _of_the_record(status: int | None) -> bool:
    """Whether the API itself found something wrong with the one request."""
    return status in ANSWERS_BAD_REQUEST and status != STILL_AT_IT


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When a destination counts as down: so many failures in a row, within that time."""

    failures: int = 10
    within: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One call that was answered or given up."""

    record_id: int
    outcome: OutcomeName
    status: int | None


FAILURES = frozenset({OutcomeName.TRANSIENT, OutcomeName.IN_DOUBT})


def breaks(latest: Sequence[Tried], breaker: Breaker) -> bool:
    """Say whether the latest calls, the newest first, open the breaker."""
    row = list(takewhile(_failed, latest))
    different = {one.record_id for one in row}
    return len(row) >= breaker.failures and len(different) >= min(DIFFERENT, breaker.failures)


def _failed(one: Tried) -> bool:
    return one.outcome in FAILURES and not _of_the_record(one.status)


def break_length(turn: int) -> timedelta:
    """Give how long a breaker stays open the n-th time in a row."""
    return min(FIRST_BREAK * 2 ** min(turn - 1, 10), LONGEST_BREAK)
