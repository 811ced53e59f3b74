"""A person corrects what is asked for, or asks for it anew over what they made of it.

One idea: a correction is tried before it is kept. It is appended, folded and decided about in a
savepoint; where it would only be set aside again nothing of it stays, and the person is told why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from outbox.admission import Aside, Decision, agreeing
from outbox.dead_letters import in_words, standing
from outbox.entries import Entry
from outbox.errors import DoesNotFit
from outbox.saying import (
    Person,
    anew,
    in_front_of,
    reworded,
    said_by,
    say,
    settle,
    target,
)
from records import store
from records.conflict import conflicts
from runtime.audit import write_down
from schema.contract import Contract, Kind
from schema.events import Event, InvalidEvent
from schema.keys import EntryId
from schema.record import Record
from schema.states import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What came of a correction: the entry it stands for, the new one, and each field before and after."""

    before: Record
    after: Record
    decision: Decision
    corrects: Entry
    entry: EntryId
    diff: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOurs:
    """What came of sending ours over theirs."""

    before: Record
    after: Record
    decision: Decision
    entries: Sequence[EntryId]


def corrigible(connection: Connection, record: Record, contract: Contract) -> list[Entry]:
    """Give the open events of a record that a person may correct, the one it is set aside for first."""
    if record.mark is not None:
        return []
    kind = contract.kinds[record.key.kind]
    by_name = said_by(connection, record, _wishes(record, kind), kind.status_field)
    at_fault = _at_fault(record, kind)
    ordered = sorted(by_name.items(), key=lambda item: (item[0] not in at_fault, -item[1].id))
    return list({entry.id: entry for _, entry in ordered if _readable(entry)}.values())


def correct(
    connection: Connection,
    record_id: int,
    contract: Contract,
    changes: Mapping[str, Any],
    *,
    person: Person,
    seen: int | None = None,
    entry_id: int | None = None,
) -> Corrected:
    """Ask for other values in place of an event's: by default the one that the record is aside for.

    A value of None takes a field out. Raises `NotAside`, `Overtaken`, `DoesNotFit`, and `InvalidEvent`,
    which names the field, where the correction is not valid or would only be set aside again.
    """
    record, _ = in_front_of(connection, record_id, seen=seen)
    found = _chosen(connection, record, contract, entry_id)
    event, diff = reworded(found, changes, event_id=_name(record, "correct"), actor=person.actor)
    target(contract, event, record)
    with connection.begin_nested():
        entry, after, decision = _tried(connection, record, contract, [event], person)
        _must_stand(record, after, decision)
    told = Corrected(
        before=record, after=after, decision=decision, corrects=found, entry=entry[0], diff=diff
    )
    write_down(
        connection,
        actor=person.actor,
        action="dead_letter_corrected",
        subject=str(record.key),
        now=person.now,
        reason=person.reason,
        before={**standing(record), "entry": found.id, "payload": dict(found.payload)},
        after={
            "entry": entry[0],
            "payload": event.payload(),
            "diff": diff,
            "comes_next": in_words(decision),
        },
    )
    return told


def send_ours(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    person: Person,
    seen: int | None = None,
) -> SentOurs:
    """Ask anew for what is in conflict, over what the other side made of it.

    Raises `NotAside`, `Overtaken`, and `DoesNotFit` for what is in no conflict, and for a claim: one
    that stands there can only be voided.
    """
    record, _ = in_front_of(connection, record_id, seen=seen)
    kind = contract.kinds[record.key.kind]
    names = in_conflict(record, contract)
    if kind.rounds:
        raise DoesNotFit("a claim is not sent over another: void it, then declare anew")
    events = _anew(connection, record, kind, names, person)
    with connection.begin_nested():
        # Answered "already" before, and not so there: who says it again wants it asked again.
        store.update_all(connection, [record.but(already=None, revision=record.revision + 1)])
        sent, after, decision = _tried(connection, record, contract, events, person)
        if isinstance(decision, Aside):
            raise DoesNotFit(f"it would only be set aside again: {decision.problem.detail}")
    write_down(
        connection,
        actor=person.actor,
        action="sent_ours",
        subject=str(record.key),
        now=person.now,
        reason=person.reason or None,
        before=standing(record),
        after={"entries": list(sent), "comes_next": in_words(decision)},
    )
    return SentOurs(before=record, after=after, decision=decision, entries=sent)


def in_conflict(record: Record, contract: Contract) -> list[str]:
    """Name the wishes of a record that are in conflict; raises `DoesNotFit` where none is."""
    if record.reason is not Reason.CONFLICT:
        raise DoesNotFit(f"{record.key} is in no conflict; correct it, replay it, or discard it")
    kind = contract.kinds[record.key.kind]
    both = conflicts(record, agreeing(contract, record.key), kind.status_field)
    return sorted(both) or _wishes(record, kind)


def _anew(
    connection: Connection, record: Record, kind: Kind, names: Sequence[str], person: Person
) -> list[Event]:
    """Give one event for each entry behind these wishes, in the order in which they were made."""
    by_entry: dict[EntryId, tuple[Entry, list[str]]] = {}
    for name, entry in said_by(connection, record, names, kind.status_field).items():
        by_entry.setdefault(entry.id, (entry, []))[1].append(name)
    if not by_entry:
        raise DoesNotFit("the events that asked for it are not kept any more; emit a newer one")
    return [
        anew(entry, said, event_id=f"{_name(record, 'ours')}-{entry.id}", actor=person.actor)
        for _, (entry, said) in sorted(by_entry.items())
    ]


def _name(record: Record, what: str) -> str:
    # The revision grows with every deed: the same one twice is one event, a later one another.
    return f"{what}-{record.id}-{record.revision}"


def _chosen(
    connection: Connection, record: Record, contract: Contract, entry_id: int | None
) -> Entry:
    if record.mark is not None:
        raise DoesNotFit(
            "a call for it may have taken effect; look there first (`pillarbox dead-letters look`)"
        )
    found = corrigible(connection, record, contract)
    if entry_id is not None:
        found = [one for one in found if one.id == entry_id]
    if not found:
        raise DoesNotFit("no open event of it can be corrected; emit a newer one, or discard it")
    return found[0]


def _wishes(record: Record, kind: Kind) -> list[str]:
    path = [kind.status_field] if kind.status_field is not None and record.path else []
    return [*record.pending, *path]


def _at_fault(record: Record, kind: Kind) -> frozenset[str]:
    """Name the wishes that a problem is about: by its field, or by what its call carried."""
    problem = record.problem
    if problem is None:
        return frozenset()
    by_call = {
        name
        for lock in record.locks.values()
        if lock.problem == problem
        for name, wish in record.pending.items()
        if wish.stamp.entry in lock.entries
    }
    moved = {
        kind.status_field
        for lock in record.locks.values()
        if lock.problem == problem and record.path and record.path[0].stamp.entry in lock.entries
    }
    if problem.field == "reason" and record.path:
        moved.add(kind.status_field)
    return frozenset({problem.field or "", *by_call, *(one or "" for one in moved)})


def _readable(entry: Entry) -> bool:
    try:
        entry.read()
    except (InvalidEvent, TypeError, ValueError):
        return False
    return True


def _tried(
    connection: Connection,
    record: Record,
    contract: Contract,
    events: Sequence[Event],
    person: Person,
) -> tuple[list[EntryId], Record, Decision]:
    entries = say(connection, contract, events, person.now)
    after, decision = settle(connection, record.id, contract, person.now)
    return entries, after, decision


def _must_stand(record: Record, after: Record, decision: Decision) -> None:
    """Raise where a correction only leads back to a person, or asks for another record."""
    if isinstance(decision, Aside):
        problem = decision.problem
        raise InvalidEvent(problem.field or "event", problem.detail)
    if after.revision == record.revision:
        raise InvalidEvent("event", "belongs to another round of this claim; discard this one")
