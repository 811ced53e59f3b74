"""What a person does about a record that waits for one.

One idea: a person changes what is decided from, never goes around the decision. What he says is
written down with his name and reason in the transaction that does it, and the record then goes the
way of every other one, with all its guards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection

from outbox import entries
from outbox.admission import Aside, Decision, Go, Park, agreeing, decide
from outbox.errors import DoesNotFit, NotAside, NotForOverride
from outbox.saying import check_seen, in_front_of, locked
from records import store
from records.codec import problem_json
from records.conflict import conflicts
from records.fold import Folded, release
from records.signature import unknown_there
from runtime.audit import write_down
from schema.contract import Contract
from schema.record import Record
from schema.states import DOUBTS, LEASED, Lane, Reason, RecordState

NEEDS_MORE_THAN_A_WORD: Mapping[Reason, str] = {
    Reason.VOID_FIRST: "emit declaration_voided, then the claim anew",
    Reason.SAME_PERSON_TWICE: "link this record, or the other one, to whom it really is",
    Reason.RELINKED: "link it to whom it really is, or go on under another source id",
    Reason.INVALID_HERE: "correct the data; what is certain to be refused is not sent",
    Reason.UNCONFIRMED: "nothing is sent for it; ask who was to change it there",
}
"""What no override settles, and what does: sending it all the same would be refused, or wrong."""

LOOK_AGAIN = "correct the id, or have it looked up once it is there"
"""What helps where an id is not known there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of a person's word, or would come of it."""

    before: Record
    after: Record
    decision: Decision

    @property
    def goes_on(self) -> bool:
        """Whether the record leaves the person's desk."""
        return not isinstance(self.decision, Aside)


Deed: TypeAlias = tuple[str, str]
"""How it is called in the audit trail, and why it was done."""


def replay(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    actor: str,
    reason: str,
    now: datetime,
    seen: int | None = None,
) -> Replay:
    """Bring a record up to date from what it wants, with fresh tries; what is locked stays locked.

    Raises `NotAside`, and `Overtaken` where something newer was asked for; *seen* is the revision that
    the person has before him. Where it would only be set aside again nothing is written. What was
    expected there and never came is waited for anew. An id that is not known there stays aside.
    """
    record, kin = in_front_of(connection, record_id, seen=seen)
    folded = Folded(record=replayed(record, now))
    decision = after_replay(record, kin, contract, now)
    told = Replay(before=record, after=folded.record, decision=decision)
    if told.goes_on:
        _write(connection, told, folded, ("dead_letter_replayed", reason), actor=actor, now=now)
    return told


def override(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    actor: str,
    reason: str,
    now: datetime,
    seen: int | None = None,
) -> Replay:
    """Send what was refused, or what is in conflict, all the same, on a named person's word.

    Raises `NotAside`, `Overtaken`, and `NotForOverride` where sending is not what helps.
    """
    record, kin = in_front_of(connection, record_id, seen=seen)
    folded = overridden(record, contract, now)
    freed = [_unlocked(one, record) for one in kin]
    told = _told(record, folded.record, freed, contract, now)
    _write(connection, told, folded, ("dead_letter_overridden", reason), actor=actor, now=now)
    store.update_all(connection, [one for one, was in zip(freed, kin, strict=True) if one != was])
    return told


def look(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    actor: str,
    reason: str,
    now: datetime,
    seen: int | None = None,
) -> Replay:
    """Have a record looked up there now: the relay dispatches it, and nothing is sent before.

    What is then known decides what comes next: what was refused stays refused, what was given up is
    tried again where it is not there. For records in step too. Raises `NotAside` while a call is under
    way, `DoesNotFit` where there is nothing that could be looked up, `Overtaken`.
    """
    record, kin = locked(connection, record_id)
    check_seen(record, seen)
    if record.state in LEASED:
        raise NotAside(f"a call for {record.key} is under way; look again in a moment")
    folded = Folded(record=looked_at(record, now))
    told = _told(record, folded.record, kin, contract, now)
    if not isinstance(told.decision, Go) or told.decision.call.request.writes:
        raise DoesNotFit(f"nothing can be looked up for {record.key}: {in_words(told.decision)}")
    _write(connection, told, folded, ("looked_up", reason), actor=actor, now=now)
    return told


def looked_at(record: Record, now: datetime) -> Record:
    """Give a record as it is when its next call is a look-up, due now."""
    doubtful = record.mark is not None
    return record.but(
        state=RecordState.IN_DOUBT if doubtful else RecordState.WAITING,
        reason=record.reason if doubtful and record.reason in DOUBTS else _looking(record),
        look_first=True,
        due_at=now,
        waits_for=None,
        revision=record.revision + 1,
    )


def _looking(record: Record) -> Reason:
    return Reason.LOOK_FIRST if record.mark is None else Reason.NO_ANSWER


def replayed(record: Record, now: datetime) -> Record:
    """Give a record as it is with fresh tries: due now. A doubt is to be looked up again."""
    if record.reason is Reason.UNCONFIRMED and not record.changed:
        return _waits_again(record, now)
    doubtful = record.mark is not None
    reason = record.reason if record.reason in DOUBTS else Reason.NO_ANSWER
    return record.but(
        state=RecordState.IN_DOUBT if doubtful else RecordState.WAITING,
        reason=reason if doubtful else None,
        look_first=doubtful or record.look_first or _denied(record),
        tries=0,
        takes=0,
        calls=0,
        allowance=None,
        first_try_at=None,
        due_at=now,
        waits_for=None,
        lane=Lane.LIVE,  # also where many were replayed before, and this one came back
        revision=record.revision + 1,
    )


def after_replay(
    record: Record, kin: Sequence[Record], contract: Contract, now: datetime
) -> Decision:
    """Say what would come of fresh tries. An id that is not known there is not asked for again."""
    decision = decide(replayed(record, now), kin, contract, now)
    problem = record.problem
    if problem is None or not isinstance(decision, Go) or not unknown_there(record):
        return decision
    return Aside(problem=replace(problem, detail=f"{problem.detail}; {LOOK_AGAIN}"))


def overridden(record: Record, contract: Contract, now: datetime) -> Folded:
    """Give a record without what kept it from being sent, and what is closed by that.

    A doubt counts as not done. What is wanted stands over what the other side made of it since.
    Raises `NotForOverride`.
    """
    kind = contract.kinds[record.key.kind]
    both = conflicts(record, agreeing(contract, record.key), kind.status_field)
    if both and kind.rounds:
        raise NotForOverride(NEEDS_MORE_THAN_A_WORD[Reason.VOID_FIRST])
    needed = NEEDS_MORE_THAN_A_WORD.get(record.reason) if record.reason else None
    if record.mark is None and needed is not None:
        raise NotForOverride(needed)
    freed = release(record) if record.mark is not None else Folded(record=record)
    there = freed.record.accepted
    pending = {
        name: wish if there is None else replace(wish, base=there.get(name), base_known=True)
        for name, wish in freed.record.pending.items()
    }
    status = None if there is None or kind.status_field is None else there.get(kind.status_field)
    sent = freed.record.but(
        locks={},
        already=None,
        creates=0,
        look_first=False,
        missing=False,
        pending=pending,
        path=tuple(replace(move, explicit=True) for move in freed.record.path),
        path_base=str(status) if status is not None and freed.record.path else None,
        problem=None,
    )
    return replace(freed, record=replayed(sent, now))


def _waits_again(record: Record, now: datetime) -> Record:
    """Wait anew for what was expected there."""
    expected = {name: replace(one, since=now) for name, one in record.expected.items()}
    return record.but(
        state=RecordState.IN_STEP,
        reason=None,
        problem=None,
        expected=expected,
        revision=record.revision + 1,
    )


def _denied(record: Record) -> bool:
    """Whether the API says it was so already, and a look did not show it: look again."""
    return record.already is not None


def _unlocked(one: Record, record: Record) -> Record:
    """Free an earlier round of the same claim too: it keeps the same request locked."""
    same = (one.key.kind, one.key.part) == (record.key.kind, record.key.part)
    # Counted as a change: whoever has it in hand must not write the locks back.
    return one.but(locks={}, revision=one.revision + 1) if same and one.locks else one


def _told(
    before: Record, after: Record, kin: Sequence[Record], contract: Contract, now: datetime
) -> Replay:
    return Replay(before=before, after=after, decision=decide(after, kin, contract, now))


def _write(
    connection: Connection, told: Replay, folded: Folded, deed: Deed, *, actor: str, now: datetime
) -> None:
    action, reason = deed
    store.update_all(connection, [told.after])
    entries.close(connection, folded.closed, now=now)
    write_down(
        connection,
        actor=actor,
        action=action,
        subject=str(told.before.key),
        now=now,
        reason=reason,
        before=standing(told.before),
        after={"comes_next": in_words(told.decision)},
    )


def standing(record: Record) -> dict[str, Any]:
    """Say how a record stands, for the audit trail."""
    return {
        "state": record.state.value,
        "reason": None if record.reason is None else record.reason.value,
        "problem": None if record.problem is None else problem_json(record.problem),
    }


def in_words(decision: Decision) -> str:
    """Say what comes next."""
    match decision:
        case Go(call=call):
            return f"{call.request.method} {call.request.path}"
        case Park(reason=reason, waits_for=whom):
            return f"waits: {whom or reason.value}"
        case Aside(problem=problem):
            return f"stays aside: {problem.detail}"
        case _:
            return "nothing to send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What would come of a person's word now, in words; and the request that is at issue."""

    replay: str
    override: str
    overridable: bool
    """Whether an override does anything at all."""
    request: Mapping[str, Any] | None


def foretell(record: Record, kin: Sequence[Record], contract: Contract, now: datetime) -> Foretold:
    """Say what would come of a replay and of an override. Nothing is locked or written."""
    again = after_replay(record, kin, contract, now)
    freed = [_unlocked(one, record) for one in kin]
    try:
        forced = decide(overridden(record, contract, now).record, freed, contract, now)
    except NotForOverride as error:
        return Foretold(
            replay=in_words(again), override=f"nothing: {error}", overridable=False, request=None
        )
    request = forced.call.request.as_json() if isinstance(forced, Go) else None
    return Foretold(
        replay=in_words(again), override=in_words(forced), overridable=True, request=request
    )
