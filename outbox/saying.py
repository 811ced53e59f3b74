"""What a person says about a record, as an event like any other.

One idea: who corrects, sends ours or restores speaks by an event of the desk, appended and folded in
the transaction that writes it down; so it is validated, ordered and sent by the same rules, and there
is no second way past them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from outbox import entries
from outbox.admission import Decision, Go, decide
from outbox.decided import settled_without_call
from outbox.entries import Entry
from outbox.errors import NotAside, Overtaken
from outbox.folding import FoldedMeanwhile, Folding
from records import store
from records.append import append
from records.fold import asked
from records.signature import is_aside
from schema.contract import Contract
from schema.events import DESK, Event, InvalidEvent, RecordSnapshot, decode
from schema.keys import EntryId, RecordKey
from schema.record import Record
from schema.states import RecordState


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who says something, why, and when."""

    actor: str
    reason: str
    now: datetime


def in_front_of(
    connection: Connection, record_id: int, *, seen: int | None = None
) -> tuple[Record, Sequence[Record]]:
    """Read a record that waits for a person, and its kin, locked.

    *seen* is the revision that the person has before him. Raises `NotAside`, and `Overtaken` where the
    record is another by now, or is about to be.
    """
    record, kin = locked(connection, record_id)
    if not is_aside(record):
        raise NotAside(_why_not(record))
    check_seen(record, seen)
    newer = entries.coming(connection, record.destination, [record.key.source_id])
    if newer:
        raise Overtaken(
            f"entry {newer[record.key.source_id]} for {record.key.source_id} has just come in and is "
            "folded in a moment; look again then"
        )
    return record, kin


def check_seen(record: Record, seen: int | None) -> None:
    """Raise `Overtaken` when a record is not as a person has seen it."""
    if seen is not None and seen != record.revision:
        raise Overtaken(
            f"{record.key} is not as you saw it any more: somebody else, or a newer change, was "
            "first; look again"
        )


def locked(connection: Connection, record_id: int) -> tuple[Record, Sequence[Record]]:
    """Read a record and its kin, locked in key order; raises `NotAside` when there is none."""
    found = store.by_id(connection, record_id)
    if found is None:
        raise NotAside(f"there is no record {record_id}")
    family = store.of_families(connection, found.destination, [found.family], lock=True)
    record = next(one for one in family if one.id == record_id)
    return record, [one for one in family if one.id != record_id]


def _why_not(record: Record) -> str:
    words = f"{record.key} is {record.state.value}; it waits for no person"
    match record.state:
        case RecordState.IN_STEP:
            return f"{words}: what was asked for is there, or was taken back"
        case RecordState.WAITING | RecordState.DISPATCHED | RecordState.TAKEN:
            return f"{words}: it is on its way, by a newer change or somebody's word"
        case _:
            return words


def said_by(
    connection: Connection, record: Record, names: Iterable[str], status_field: str | None
) -> dict[str, Entry]:
    """Read the open entries behind these wishes of a record, by the name of the wish."""
    wanted = {
        name: record.path[-1].stamp.entry
        if name == status_field and record.path
        else record.pending[name].stamp.entry
        for name in names
        if name in record.pending or (name == status_field and record.path)
    }
    found = {one.id: one for one in entries.by_ids(connection, sorted(set(wanted.values())))}
    return {name: found[entry] for name, entry in wanted.items() if entry in found}


def anew(entry: Entry, names: Iterable[str], *, event_id: str, actor: str) -> Event:
    """Give the event of an entry as one of the desk's; of a whole state only what is meant by *names*.

    Raises `InvalidEvent` for what plain SQL has brought in and nobody can read.
    """
    event = entry.read()
    told: dict[str, Any] = {"source": DESK, "event_id": event_id, "actor": actor, "version": None}
    if isinstance(event, RecordSnapshot):
        kept = {*names, *(("reason",) if "training_status" in names else ())}
        told["state"] = {name: value for name, value in event.state.items() if name in kept}
    return event.model_copy(update=told)


def reworded(
    entry: Entry, changes: Mapping[str, Any], *, event_id: str, actor: str
) -> tuple[Event, dict[str, Any]]:
    """Give the event of an entry with other values, and its fields as they were and are.

    A value of None takes a field out; `state.x` is a field of a whole record's state. Raises
    `InvalidEvent`, which names the field.
    """
    before = dict(entry.payload)
    after = _changed(before, changes)
    if after == before:
        raise InvalidEvent(
            next(iter(changes), "event"), "is as it was; change something, or replay it"
        )
    event = decode(
        {
            **after,
            "event": entry.event,
            "source_id": entry.source_id,
            "source": DESK,
            "event_id": event_id,
            "destination": entry.destination,
            "happened_at": entry.happened_at,
            "actor": actor,
        }
    )
    now = event.payload()
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return event, {name: [before.get(name), now.get(name)] for name in changed}


def _changed(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in changes.items() if not name.startswith(_STATE)}
    after = {**before, **plain}
    parts = {name[len(_STATE) :]: value for name, value in changes.items() if name not in plain}
    if parts:
        state = {**after.get("state", {}), **parts}
        after["state"] = {name: value for name, value in state.items() if value is not None}
    return {name: value for name, value in after.items() if value is not None}


_STATE = "state."


def say(
    connection: Connection, contract: Contract, events: Sequence[Event], now: datetime
) -> list[EntryId]:
    """Append events of the desk and fold them at once; gives their entries.

    Raises `Overtaken` where a relay has made one of the records in this very moment.
    """
    ids = [append(connection, event) for event in events]
    new = sorted(entries.by_ids(connection, ids), key=lambda one: one.id)
    try:
        Folding(connection, contract, new[0].destination, timedelta(0), now).run(new)
    except FoldedMeanwhile as error:
        raise Overtaken(str(error)) from error
    return ids


def settle(
    connection: Connection, record_id: int, contract: Contract, now: datetime
) -> tuple[Record, Decision]:
    """Decide about a record as it stands in this transaction, and write what needs no call."""
    record, kin = locked(connection, record_id)
    decision = decide(record, kin, contract, now)
    if isinstance(decision, Go):
        return record, decision
    settled, closed = settled_without_call(record, decision, contract, now)
    store.update_all(connection, [settled])
    entries.close(connection, closed, now=now)
    return settled, decision


def target(contract: Contract, event: Event, record: Record) -> None:
    """Raise `InvalidEvent` when an event is about another record than this one."""
    asks = contract.asks(event)
    if (asks.kind, asks.part) == (record.key.kind, record.key.part):
        return
    field = "declaration_type" if asks.part != record.key.part else "kind"
    raise InvalidEvent(
        field, "makes it another record; discard this one, and emit an event for the other"
    )


def speaks_of(contract: Contract, entry: Entry, key: RecordKey) -> frozenset[str]:
    """Name the fields of a record that an entry asks for; none for one that cannot be read."""
    try:
        asks = contract.asks(entry.read())
    except (InvalidEvent, TypeError, ValueError, KeyError):
        return frozenset()
    return asked(asks, contract.kinds[key.kind].status_field)
