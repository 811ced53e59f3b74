"""Whether a record is worth a call now. Pure.

One idea: the contract says what comes next for one record; admission adds what holds for every
API: order among kin, what is locked, what was answered before, what does not settle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from records.conflict import Agrees, conflicts, without
from records.fold import LINK, is_unreadable
from schema.contract import Contract
from schema.fingerprint import Json, fingerprint
from schema.keys import RecordKey
from schema.plans import Call, Hold, InStep, Plan, Snooze, WaitFor
from schema.record import Lock, Pending, Problem, Record
from schema.states import HOLDS, Reason, RecordState, Writes
from schema.words import several

RECHECK = timedelta(minutes=1)
"""How soon a record that waits for another is looked at again though nobody woke it. Being woken
is the rule; this is for a wake-up that was lost."""

SPARE_CALLS = 2
"""How many calls more than its plan had steps a wanted state may cost before a person looks."""

CREATES = 2
"""How often a create may be sent that a look-up did not show afterwards. Once more than once is
needed for a request that never arrived; a third could double one that is only slow to show."""

A_DAY = timedelta(days=1)

ASLEEP_FOR = timedelta(days=365)
"""When a record that may not be written to is looked at again though nobody woke it. It is woken when
writes are allowed, and when it changes; a million of them looked at every minute would be all work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """In step: nothing to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Worth a call now."""

    call: Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Later, at this time or when woken."""

    reason: Reason
    due_at: datetime
    waits_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Not without a person or a newer event."""

    problem: Problem

    @property
    def state(self) -> RecordState:
        """Held while a person may let it go on; dead when only new data or a person heals it."""
        return RecordState.HELD if self.problem.reason in HOLDS else RecordState.DEAD


Decision: TypeAlias = Close | Go | Park | Aside


def decide(record: Record, kin: Sequence[Record], contract: Contract, now: datetime) -> Decision:
    """Decide about a record that is due; *kin* are the other records of its family.

    A write that comes of it still needs leave: see `with_leave`.
    """
    link = record.pending.get(LINK)
    if link is not None:
        return Aside(problem=_unusable_link(record))
    if not record.changed and not record.look_first:
        return Close()
    stuck = _stuck(record, contract)
    if stuck is None:
        return _follow(contract.plan(record, kin, now), record, kin, contract, now)
    rest, problem = stuck
    decision = _follow(contract.plan(rest, kin, now), rest, kin, contract, now)
    return Aside(problem=problem) if isinstance(decision, Close) else decision


def agreeing(contract: Contract, key: RecordKey) -> Agrees:
    """Give the contract's word on what agrees, for one record."""

    def agrees(name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
        return contract.agrees(key, name, wanted, accepted)

    return agrees


def _stuck(record: Record, contract: Contract) -> tuple[Record, Problem] | None:
    """Find what needs a person whatever the contract says; gives the rest, which goes on first."""
    status_field = contract.kinds[record.key.kind].status_field
    both = conflicts(record, agreeing(contract, record.key), status_field)
    unreadable = [wish for name, wish in record.pending.items() if is_unreadable(name)]
    if not both and not unreadable:
        return None
    rest = without(record, both, status_field)
    pending = {name: wish for name, wish in rest.pending.items() if not is_unreadable(name)}
    return rest.but(pending=pending), next(iter(both.values()), None) or _unreadable(unreadable)


def with_leave(decision: Decision, writes: Writes, now: datetime) -> Decision:
    """Let a record sleep whose write may not leave; it waits for that operation. Reads always may."""
    if not isinstance(decision, Go) or not decision.call.request.writes:
        return decision
    match writes:
        case Writes.ALLOWED:
            return decision
        case Writes.SHADOW:
            reason = Reason.SHADOW
        case Writes.REBOUND:
            reason = Reason.REBOUND
    return Park(reason=reason, due_at=now + ASLEEP_FOR, waits_for=decision.call.operation)


def allowance(record: Record, contract: Contract) -> int:
    """Say how many calls what is wanted now may cost."""
    return contract.steps(record) + SPARE_CALLS


def cause(record: Record, kin: Sequence[Record]) -> str:
    """Hash what a request was planned from besides its own content: what is accepted around it.

    A record of which nothing is known is no part of it: that there is one changes nothing there.
    """
    around = sorted(
        (str(one.key), one.accepted) for one in (record, *kin) if one.accepted is not None
    )
    return fingerprint([[key, accepted] for key, accepted in around])


def _follow(
    plan: Plan, record: Record, kin: Sequence[Record], contract: Contract, now: datetime
) -> Decision:
    match plan:
        case InStep():
            return Close()
        case Call():
            if record.creates >= CREATES and contract.operations[plan.operation].creates:
                return Aside(problem=sent_too_often(plan.operation))
            return _worth(plan, record, kin, now)
        case WaitFor() if (refusal := _all_refused(record)) is not None:
            # What it would wait for was not asked for; that it was refused is what a person must see.
            return Aside(problem=refusal)
        case WaitFor(whom=whom, key=key):
            return Park(
                reason=Reason.WAITING_FOR,
                due_at=now + RECHECK,
                waits_for=whom if key is None else str(key),
            )
        case Snooze(until=until, reason=reason):
            return Park(reason=reason, due_at=until)
        case Hold(reason=reason, detail=detail, field=field):
            return Aside(problem=Problem(reason=reason, detail=detail, field=field))


def _worth(call: Call, record: Record, kin: Sequence[Record], now: datetime) -> Decision:
    barred = _barred(call, record, kin)
    if barred is not None:
        return Aside(problem=barred)
    if call.request.writes and record.allowance is not None and record.calls >= record.allowance:
        return Aside(problem=_restless(record))
    # A doubt is looked up at once: its kin wait for it.
    first = None if record.mark is not None else _goes_first(record, kin, now)
    if first is not None:
        return Park(reason=Reason.WAITING_FOR, due_at=now + RECHECK, waits_for=str(first.key))
    return Go(call=call)


def _barred(call: Call, record: Record, kin: Sequence[Record]) -> Problem | None:
    """Say why this very request is not sent, after what was answered to it before."""
    if record.already is None and not any(one.locks for one in (record, *kin)):
        return None  # the usual case: nothing to compare its fingerprint with
    request = call.request.fingerprint()
    lock = _lock_on(request, record, kin)
    if lock is not None:
        return lock.problem or _locked(call)
    return _not_so(call) if record.already == request else None


def _lock_on(request: str, record: Record, kin: Sequence[Record]) -> Lock | None:
    """Find the refusal that keeps a request from being sent again; nothing has healed it yet.

    Among kin too: a claim made anew after a void is another record, and the same request.
    """
    for one in (record, *kin):
        lock = one.locks.get(request)
        if lock is not None and (lock.data or lock.cause == cause(record, kin)):
            return lock
    return None


def _all_refused(record: Record) -> Problem | None:
    """Give what was said to what is left of a record, if all of it was refused."""
    refused = [lock for lock in record.locks.values() if lock.entries and lock.problem]
    left = record.entries()
    if not left or not left <= {entry for lock in refused for entry in lock.entries}:
        return None
    return max(refused, key=lambda lock: lock.entries).problem


def _goes_first(record: Record, kin: Sequence[Record], now: datetime) -> Record | None:
    """Find the kin that must go before: in flight, in doubt, or asked for earlier and moving."""
    for other in kin:
        # A mark stays while a doubt is looked up, whatever state the look-up itself is in.
        if other.state in _BLOCKING or other.mark is not None:
            return other
        if _asked_earlier(other, record) and _moves(other, kin, record, now):
            return other
    return None


def _asked_earlier(other: Record, record: Record) -> bool:
    if other.oldest_entry is None:
        return False
    return record.oldest_entry is None or other.oldest_entry < record.oldest_entry


def _moves(other: Record, kin: Sequence[Record], record: Record, now: datetime) -> bool:
    """Whether a record will be called for by itself, within a day."""
    if other.state is RecordState.DISPATCHED:
        return True
    if other.state is not RecordState.WAITING or not other.changed:
        return False
    if other.reason is not Reason.WAITING_FOR:
        return other.due_at is not None and other.due_at <= now + A_DAY
    return any(
        str(third.key) == other.waits_for and third.state in _ON_THE_WAY
        for third in kin
        if third.key != record.key
    )


_BLOCKING = frozenset({RecordState.TAKEN, RecordState.IN_DOUBT})
_ON_THE_WAY = frozenset({RecordState.WAITING, RecordState.DISPATCHED, RecordState.TAKEN})


def _unusable_link(record: Record) -> Problem:
    if record.remote_id is None:
        return Problem(
            reason=Reason.SAME_PERSON_TWICE,
            field="participant_id",
            detail="another local record is linked to this remote thing already",
        )
    return Problem(
        reason=Reason.RELINKED,
        field="participant_id",
        detail="this record was delivered under another remote id; a person must say which is right",
    )


def _unreadable(wishes: Sequence[Pending]) -> Problem:
    detail = "; ".join(str(wish.value) for wish in wishes)
    return Problem(reason=Reason.INVALID_HERE, field="payload", detail=detail)


def _locked(call: Call) -> Problem:
    return Problem(
        reason=Reason.REFUSED,
        operation=call.operation,
        detail="the same request was refused before; change the data, or override with a reason",
    )


def sent_too_often(operation: str) -> Problem:
    """Say that a create may not be sent a third time."""
    return Problem(
        reason=Reason.EXHAUSTED,
        operation=operation,
        detail="sent twice without an answer, and a look-up does not show it: check there",
    )


def _not_so(call: Call) -> Problem:
    return Problem(
        reason=Reason.CONFLICT,
        operation=call.operation,
        detail="the API says this was done already, but a look there does not show it",
    )


def _restless(record: Record) -> Problem:
    return Problem(
        reason=Reason.DOES_NOT_SETTLE,
        detail=f"{several(record.calls, 'call was', 'calls were')} answered, and the record still differs",
    )
