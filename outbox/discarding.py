"""A person takes back what was asked for, or says that theirs is right; and may ask for it again.

One idea: what is dropped is kept, with the events that asked for it. To restore it is to ask for it
again by events of the desk, as long as nothing newer was asked for; what it was refused for is known
again too, so that nothing is sent unchanged that was refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from outbox import entries
from outbox.admission import Decision
from outbox.correcting import in_conflict
from outbox.dead_letters import in_words, standing
from outbox.entries import Entry, Swept
from outbox.errors import DoesNotFit, NotRestorable, Overtaken
from outbox.saying import (
    Person,
    anew,
    in_front_of,
    locked,
    said_by,
    say,
    settle,
    speaks_of,
)
from records import dispatching, store
from records.codec import lock_json, problem_json, read_lock
from records.fold import dropped
from runtime.audit import write_down
from runtime.bulk import among
from schema.contract import Contract
from schema.keys import EntryId, RecordId
from schema.record import Lock, Record
from schema.states import Closed, EntryState, RecordState
from schema.tables import discarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What was taken off a record, and what can ask for it again: wishes by the entry that made them."""

    id: int
    record_id: RecordId
    destination: str
    action: str
    at: datetime
    actor: str
    reason: str | None
    last_entry: EntryId
    wishes: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]
    locks: Sequence[Mapping[str, Any]]
    problem: Mapping[str, Any] | None
    restored_at: datetime | None
    restored_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """What came of it: the record before and after, which entries were closed, and where it is kept."""

    before: Record
    after: Record
    closed: Sequence[EntryId]
    kept_as: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came of asking for it again."""

    record: Record
    decision: Decision
    entries: Sequence[EntryId]


def discard(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    person: Person,
    seen: int | None = None,
) -> Discarded:
    """Take back all that is asked for of a record; its entries close as discarded.

    Raises `NotAside`, `Overtaken`, and `DoesNotFit` while a call for it may have taken effect. What was
    refused for its data stays refused, as with every record in step.
    """
    record, _ = in_front_of(connection, record_id, seen=seen)
    kind = contract.kinds[record.key.kind]
    names = [*record.pending, *([kind.status_field] if record.path else [])]
    return _drop(connection, record, contract, [one for one in names if one], "discarded", person)


def accept_theirs(
    connection: Connection,
    record_id: int,
    contract: Contract,
    *,
    person: Person,
    seen: int | None = None,
) -> Discarded:
    """Leave what is there where both sides changed it; the rest of the record goes on.

    Raises `NotAside`, `Overtaken`, and `DoesNotFit` for what is in no conflict.
    """
    record, _ = in_front_of(connection, record_id, seen=seen)
    names = in_conflict(record, contract)
    return _drop(connection, record, contract, names, "accepted_theirs", person)


def restore(
    connection: Connection, record_id: int, contract: Contract, *, person: Person
) -> Restored:
    """Ask again for what was last dropped from a record.

    Raises `NotRestorable` where there is nothing, or where its events are not kept or cannot be read;
    `Overtaken` when something newer was asked for meanwhile.
    """
    record, _ = locked(connection, record_id)
    found = last_dropped(connection, record_id)
    if found is None:
        raise NotRestorable(
            f"nothing was discarded from {record.key} that could be asked for again"
        )
    _must_be_newest(connection, record, contract, found)
    events = [
        anew(
            _entry(record, one),
            one["names"],
            event_id=f"restore-{found.id}-{one['id']}",
            actor=person.actor,
        )
        for one in found.entries
    ]
    if not events:
        raise NotRestorable("the events that asked for it are not kept any more; emit it anew")
    ids = say(connection, contract, events, person.now)
    again = _record_of(connection, ids[-1])
    _lock_again(connection, again, found, dict(zip(_ids(found), ids, strict=True)))
    after, decision = settle(connection, again, contract, person.now)
    connection.execute(
        update(discarded)
        .where(discarded.c.id == found.id)
        .values(restored_at=person.now, restored_by=person.actor)
    )
    write_down(
        connection,
        actor=person.actor,
        action="restored",
        subject=str(record.key),
        now=person.now,
        reason=person.reason or None,
        before=standing(record),
        after={"record": str(after.key), "entries": list(ids), "comes_next": in_words(decision)},
    )
    return Restored(record=after, decision=decision, entries=ids)


def last_dropped(connection: Connection, record_id: int) -> Dropped | None:
    """Read what was last dropped from a record and is not restored."""
    query = select(discarded).where(
        discarded.c.record_id == record_id, discarded.c.restored_at.is_(None)
    )
    row = connection.execute(query.order_by(discarded.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _dropped(row)


def listed(
    connection: Connection, destination: str, *, before: int | None = None, limit: int = 50
) -> list[Dropped]:
    """List what was dropped and can be asked for again, the latest first."""
    query = select(discarded).where(
        discarded.c.destination == destination, discarded.c.restored_at.is_(None)
    )
    if before is not None:
        query = query.where(discarded.c.id < before)
    rows = connection.execute(query.order_by(discarded.c.id.desc()).limit(limit)).all()
    return [_dropped(row) for row in rows]


def prune(connection: Connection, *, after: int, before: datetime, limit: int) -> Swept:
    """Delete, of the next *limit* by id, what was dropped before then: its entries are gone too."""
    rows = connection.execute(
        select(discarded.c.id, discarded.c.at)
        .where(discarded.c.id > after)
        .order_by(discarded.c.id)
        .limit(limit)
    ).all()
    old = [row.id for row in rows if row.at < before]
    if old:
        connection.execute(discarded.delete().where(among(connection, discarded.c.id, old)))
    more = len(rows) == limit and len(old) == limit
    return Swept(upto=rows[-1].id if more else None, pruned=len(old))


def _drop(
    connection: Connection,
    record: Record,
    contract: Contract,
    names: Sequence[str],
    action: str,
    person: Person,
) -> Discarded:
    if record.mark is not None or record.state is RecordState.IN_DOUBT:
        raise DoesNotFit(
            "a call for it may have taken effect; look there first (`pillarbox dead-letters look`)"
        )
    kind = contract.kinds[record.key.kind]
    asked_by = said_by(connection, record, names, kind.status_field)
    after, closed = dropped(record, names, kind.status_field, person.now)
    waited_for = _expectations(connection, record) if after.expected != record.expected else []
    kept_as = _keep(
        connection, record, after, names, [*_by_entry(asked_by), *waited_for], action, person
    )
    store.update_all(connection, [after])
    entries.close(connection, dict.fromkeys(closed, Closed.DISCARDED), now=person.now)
    settled, decision = after, None
    if after.state is not RecordState.IN_STEP:
        settled, decision = settle(connection, record.id, contract, person.now)
    dispatching.wake(connection, record.destination, record.family, person.now)
    write_down(
        connection,
        actor=person.actor,
        action=action,
        subject=str(record.key),
        now=person.now,
        reason=person.reason or None,
        before={**standing(record), "wishes": _wishes(record, names, kind.status_field)},
        after={
            "state": settled.state.value,
            "entries": sorted(closed),
            "comes_next": "nothing to send" if decision is None else in_words(decision),
        },
    )
    return Discarded(before=record, after=settled, closed=sorted(closed), kept_as=kept_as)


def _keep(
    connection: Connection,
    record: Record,
    after: Record,
    names: Sequence[str],
    asked_by: Sequence[tuple[Entry, list[str]]],
    action: str,
    person: Person,
) -> int:
    told = {
        "wishes": _wishes(record, names, None),
        "entries": [
            {
                "id": entry.id,
                "event": entry.event,
                "payload": dict(entry.payload),
                "source": entry.source,
                "happened_at": None if entry.happened_at is None else entry.happened_at.isoformat(),
                "names": said,
            }
            for entry, said in asked_by
        ],
        "locks": [
            lock_json(lock) for name, lock in record.locks.items() if name not in after.locks
        ],
    }
    last = max((entry.id for entry, _ in asked_by), default=EntryId(0))
    values = {
        "destination": record.destination,
        "record_id": record.id,
        "action": action,
        "at": person.now,
        "actor": person.actor,
        "reason": person.reason or None,
        "last_entry": last,
        "dropped": told,
        "problem": None if record.problem is None else problem_json(record.problem),
    }
    row = connection.execute(insert(discarded).values(values).returning(discarded.c.id))
    return int(row.scalar_one())


def _wishes(record: Record, names: Sequence[str], status_field: str | None) -> dict[str, Any]:
    fields = {name: one.value for name, one in record.pending.items() if name in names}
    moves = [{"to": move.to, "reason": move.reason} for move in record.path]
    told: dict[str, Any] = {**fields}
    if moves and (status_field is None or status_field in names):
        told["path"] = moves
    if record.expected and not names:
        told["expected"] = {name: one.value for name, one in record.expected.items()}
    return told


def _by_entry(asked_by: Mapping[str, Entry]) -> list[tuple[Entry, list[str]]]:
    found: dict[EntryId, tuple[Entry, list[str]]] = {}
    for name, entry in asked_by.items():
        found.setdefault(entry.id, (entry, []))[1].append(name)
    return [found[entry] for entry in sorted(found)]


def _expectations(connection: Connection, record: Record) -> list[tuple[Entry, list[str]]]:
    names: dict[EntryId, list[str]] = {}
    for name, one in record.expected.items():
        names.setdefault(one.entry, []).append(name)
    return [(entry, names[entry.id]) for entry in entries.by_ids(connection, sorted(names))]


def _must_be_newest(
    connection: Connection, record: Record, contract: Contract, found: Dropped
) -> None:
    """Raise where an entry that came after what was dropped asks for one of the same fields."""
    coming = entries.coming(connection, record.destination, [record.key.source_id])
    if coming:
        raise Overtaken(
            f"entry {coming[record.key.source_id]} for {record.key.source_id} has just come in; "
            "look again in a moment"
        )
    names = {name for one in found.entries for name in one["names"]}
    for entry in entries.of_record(connection, record.id):
        newer = entry.id > found.last_entry and entry.closed_as is not Closed.DISCARDED
        if newer and names & speaks_of(contract, entry, record.key):
            raise Overtaken(
                f"entry {entry.id} ({entry.event}, from {entry.source}) asked for something newer "
                "since; correct that one instead"
            )


def _entry(record: Record, kept: Mapping[str, Any]) -> Entry:
    happened = kept["happened_at"]
    return Entry(
        id=EntryId(kept["id"]),
        state=EntryState.CLOSED,
        event=kept["event"],
        source_id=record.key.source_id,
        payload=kept["payload"],
        destination=record.destination,
        source=kept["source"],
        event_id=None,
        version=None,
        happened_at=None if happened is None else datetime.fromisoformat(happened),
        seen=None,
        actor=None,
        emitted_at=datetime.min,
        record_id=record.id,
        closed_as=Closed.DISCARDED,
        closed_at=None,
    )


def _ids(found: Dropped) -> list[EntryId]:
    return [EntryId(one["id"]) for one in found.entries]


def _record_of(connection: Connection, entry: EntryId) -> RecordId:
    [read] = entries.by_ids(connection, [entry])
    if read.record_id is None:
        raise NotRestorable(f"entry {entry} is with no record")
    return read.record_id


def _lock_again(
    connection: Connection, record_id: int, found: Dropped, renamed: Mapping[EntryId, EntryId]
) -> None:
    """Know again what was refused, for the entries that ask for it now."""
    locks = {one.fingerprint: one for one in map(read_lock, found.locks)}
    record, _ = locked(connection, record_id)
    if not locks and not record.locks:
        return
    known: dict[str, Lock] = {**locks, **record.locks}
    again = {
        name: replace(lock, entries=tuple(renamed.get(one, one) for one in lock.entries))
        for name, lock in known.items()
    }
    store.update_all(connection, [record.but(locks=again)])


def _dropped(row: Any) -> Dropped:
    return Dropped(
        id=row.id,
        record_id=RecordId(row.record_id),
        destination=row.destination,
        action=row.action,
        at=row.at,
        actor=row.actor,
        reason=row.reason,
        last_entry=EntryId(row.last_entry),
        wishes=row.dropped["wishes"],
        entries=row.dropped["entries"],
        locks=row.dropped["locks"],
        problem=row.problem,
        restored_at=row.restored_at,
        restored_by=row.restored_by,
    )
