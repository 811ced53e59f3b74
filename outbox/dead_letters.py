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
from outbox.errors import NotAside, NotForOverride
from records import store
from records.codec import problem_json
from records.conflict import conflicts
from records.fold import Folded, release
from runtime.audit import write_down
from schema.contract import Contract
from schema.record import Record
from schema.states import DOUBTS, Reason, RecordState

NEEDS_MORE_THAN_A_WORD: Mapping[Reason, str] = {
    Reason.VOID_FIRST: "emit declaration_voided, then the claim anew",
    Reason.SAME_PERSON_TWICE: "link this record, or the other one, to whom it really is",
    Reason.RELINKED: "link it to whom it really is, or go on under another source id",
    Reason.INVALID_HERE: "correct the data; what is certain to be refused is not sent",
    Reason.UNCONFIRMED: "nothing is sent for it; ask who was to change it there",
}
"""What no override settles, and what does: sending it all the same would be refused, or wrong."""


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


def listed(
    connection: Connection,
    destination: str,
    *,
    reason: Reason | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Record]:
    """List the records that wait for a person, by id: dead, held, and doubts nobody can look up."""
    return store.list_aside(connection, destination, reason=reason, after=after, limit=limit)


def replay(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> Replay:
    """Bring a record up to date from what it wants, with fresh tries; what is locked stays locked.

    Raises `NotAside`. Where it would only be set aside again nothing is written.
    """
    record, kin = _aside(connection, record_id)
    folded = Folded(record=replayed(record, now))
    told = _told(record, folded.record, kin, contract, now)
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
) -> Replay:
    """Send what was refused, or what is in conflict, all the same, on a named person's word.

    Raises `NotAside`, and `NotForOverride` where sending is not what helps.
    """
    record, kin = _aside(connection, record_id)
    folded = overridden(record, contract, now)
    freed = [_unlocked(one, record) for one in kin]
    told = _told(record, folded.record, freed, contract, now)
    _write(connection, told, folded, ("dead_letter_overridden", reason), actor=actor, now=now)
    store.update_all(connection, [one for one, was in zip(freed, kin, strict=True) if one != was])
    return told


def replayed(record: Record, now: datetime) -> Record:
    """Give a record as it is with fresh tries: due now. A doubt is to be looked up again."""
    fresh = record.but(
        tries=0, takes=0, calls=0, allowance=None, first_try_at=None, due_at=now, waits_for=None
    )
    if record.mark is None:
        return fresh.but(
            state=RecordState.WAITING, reason=None, look_first=record.look_first or _denied(record)
        )
    reason = record.reason if record.reason in DOUBTS else Reason.NO_ANSWER
    return fresh.but(state=RecordState.IN_DOUBT, reason=reason, look_first=True)


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
        revision=record.revision + 1,
    )
    return replace(freed, record=replayed(sent, now))


def _denied(record: Record) -> bool:
    """Whether the API says it was so already, and a look did not show it: look again."""
    return record.already is not None


def _unlocked(one: Record, record: Record) -> Record:
    """Free an earlier round of the same claim too: it keeps the same request locked."""
    same = (one.key.kind, one.key.part) == (record.key.kind, record.key.part)
    # Counted as a change: whoever has it in hand must not write the locks back.
    return one.but(locks={}, revision=one.revision + 1) if same and one.locks else one


def _aside(connection: Connection, record_id: int) -> tuple[Record, Sequence[Record]]:
    """Read a record that waits for a person, and its kin, locked."""
    found = store.by_id(connection, record_id)
    if found is None:
        raise NotAside(f"there is no record {record_id}")
    family = store.of_families(connection, found.destination, [found.family], lock=True)
    record = next(one for one in family if one.id == record_id)
    if not is_aside(record):
        raise NotAside(f"{record.key} is {record.state.value}; it waits for no person")
    return record, [one for one in family if one.id != record_id]


def is_aside(record: Record) -> bool:
    """Whether nothing goes on with a record without a person or a newer event."""
    doubt = record.state is RecordState.IN_DOUBT and record.due_at is None
    return doubt or record.state in (RecordState.HELD, RecordState.DEAD)


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
        before=_standing(told.before),
        after={"comes_next": in_words(told.decision)},
    )


def _standing(record: Record) -> dict[str, Any]:
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
