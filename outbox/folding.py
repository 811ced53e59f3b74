"""One batch of new entries, folded into their records.

One idea: in one transaction, family by family, with the locks taken in the order of keys; what an
entry changes is worked out by pure functions on what was read under these locks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from outbox import bindings, entries
from outbox.admission import agreeing
from outbox.admitting import AtOnce
from outbox.decided import may_heal, wake
from outbox.entries import Entry
from records import dispatching, links, store
from records.fold import (
    BUSY,
    LINK,
    Change,
    fold,
    fold_link,
    fold_unreadable,
    refuse_link,
    round_for,
)
from schema.asks import Asks
from schema.contract import Contract, Kind
from schema.events import InvalidEvent
from schema.keys import EntryId, LeaseToken, RecordId, RecordKey
from schema.record import Problem, Record, Stamp
from schema.states import Closed, Reason, RecordState

logger = structlog.get_logger(__name__)


class Folding:
    """Folds one batch of entries into their records, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        contract: Contract,
        destination: str,
        settle: timedelta,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._contract = contract
        self._destination = destination
        self._settle = settle
        self._now = now
        self._doubting: bool | None = None
        self._families: dict[str, dict[RecordKey, Record]] = {}
        self._before: dict[RecordKey, Record] = {}
        self._of_entry: dict[EntryId, RecordKey] = {}
        self._closed: dict[EntryId, Closed] = {}

    def run(
        self, new: Sequence[Entry], at_once: AtOnce | None = None
    ) -> list[tuple[RecordId, LeaseToken]]:
        """Fold the entries and write what came of it; gives what *at_once* marked as dispatched."""
        read = [(entry, *self._read(entry)) for entry in new]
        self._load({self._family(entry, asks) for entry, asks, _ in read})
        for entry, asks, problem in read:
            self._fold_entry(entry, asks, problem)
        if at_once is None:
            self._write()
            return []
        for family in self._families.values():
            self._go_at_once(family, at_once)
        written = self._write()
        return [(written[key].id, written[key].token) for key in at_once.keys]

    def _go_at_once(self, family: dict[RecordKey, Record], at_once: AtOnce) -> None:
        changed = [key for key, one in family.items() if one is not self._before.get(key)]
        # A new link may yet turn out to be another record's; then nothing is sent under it.
        if not any(self._newly_linked(family[key]) for key in changed):
            at_once.run(family, changed)

    def put_aside(self, entry: Entry, problem: InvalidEvent) -> None:
        """Put an entry in front of a person, on its record, without reading what it says."""
        asks = Asks(kind=self._kind_for(entry))
        self._load({self._family(entry, asks)})
        self._fold_entry(entry, asks, problem)
        self._write()

    def _read(self, entry: Entry) -> tuple[Asks, InvalidEvent | None]:
        try:
            return self._contract.asks(entry.read()), None
        except InvalidEvent as problem:
            # Only plain SQL can bring this in. It goes in front of a person, on its record.
            return Asks(kind=self._kind_for(entry)), problem
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            name = type(error).__name__
            return Asks(kind=self._kind_for(entry)), InvalidEvent(
                "payload", f"is no event ({name})"
            )

    def _kind_for(self, entry: Entry) -> str:
        named = entry.payload.get("kind")
        if isinstance(named, str) and named in self._contract.kinds:
            return named
        for kind in self._contract.kinds.values():
            if kind.parent is None and entry.event.startswith(kind.name):
                return kind.name
        return next(kind.name for kind in self._contract.kinds.values() if kind.parent is None)

    def _family(self, entry: Entry, asks: Asks) -> str:
        return self._contract.family(RecordKey(asks.kind, entry.source_id))

    def _load(self, families: set[str]) -> None:
        ordered = sorted(families)
        for family in ordered:
            self._families[family] = {}
        for one in store.of_families(self._connection, self._destination, ordered, lock=True):
            self._families[one.family][one.key] = one
            self._before[one.key] = one

    def _fold_entry(self, entry: Entry, asks: Asks, problem: InvalidEvent | None) -> None:
        family = self._families[self._family(entry, asks)]
        head = self._head(entry, asks, family)
        change = Change(
            stamp=_stamp(entry), asks=asks, settle=self._settle, bound=_is_bound(head, family)
        )
        if asks.of_parent:
            linked = fold_link(head, asks.of_parent, change, self._now)
            family[head.key] = linked.record
            self._closed.update(linked.closed)
        record = self._target(entry, asks, family, change)
        self._of_entry[entry.id] = record.key
        if problem is not None:
            detail = f"entry {entry.id}: {problem}"
            family[record.key] = fold_unreadable(record, change, detail, self._now)
            return
        kind = self._contract.kinds[record.key.kind]
        folded = fold(
            record,
            change,
            agrees=agreeing(self._contract, record.key),
            status_field=kind.status_field,
            now=self._now,
        )
        family[record.key] = folded.record
        self._closed.update(folded.closed)
        if asks.at_once and folded.record.changed:
            self._end_settling(family)

    def _end_settling(self, family: dict[RecordKey, Record]) -> None:
        for key, one in family.items():
            if one.state is RecordState.WAITING and one.reason is Reason.SETTLING:
                family[key] = one.but(due_at=self._now)

    def _head(self, entry: Entry, asks: Asks, family: dict[RecordKey, Record]) -> Record:
        """Give the record that heads the family; it is there from the first event on."""
        kind = self._contract.kinds[asks.kind]
        key = RecordKey(kind.parent or kind.name, entry.source_id)
        if key not in family:
            family[key] = self._fresh(key)
        return family[key]

    def _target(
        self, entry: Entry, asks: Asks, family: dict[RecordKey, Record], change: Change
    ) -> Record:
        kind = self._contract.kinds[asks.kind]
        key = RecordKey(asks.kind, entry.source_id, asks.part, 0)
        if kind.rounds:
            key = replace(key, round=self._round(kind, key, asks, family, change))
        if key not in family:
            family[key] = self._fresh(key)
        return family[key]

    def _round(
        self,
        kind: Kind,
        key: RecordKey,
        asks: Asks,
        family: dict[RecordKey, Record],
        change: Change,
    ) -> int:
        rounds = sorted(
            (one for one in family.values() if _same_slot(one.key, key)),
            key=lambda one: one.key.round,
        )
        return round_for(asks, change.stamp, rounds, agreeing(self._contract, key))

    def _fresh(self, key: RecordKey) -> Record:
        return Record(
            id=RecordId(0),
            destination=self._destination,
            key=key,
            family=self._contract.family(key),
            state=RecordState.IN_STEP,
            look_first=self._is_unknown(),
        )

    def _is_unknown(self) -> bool:
        """Whether "nothing there" may not be assumed: a backup knows nothing of what came after it."""
        if self._doubting is None:
            found = bindings.still_standing(self._connection, self._destination)
            self._doubting = found is not None and found.unknown_since is not None
        return self._doubting

    # write

    def _write(self) -> Mapping[RecordKey, Record]:
        self._heal_kin()
        now = [one for family in self._families.values() for one in family.values()]
        fresh = [one for one in now if one.id == 0]
        if store.insert_all(self._connection, fresh) != len(fresh):
            raise FoldedMeanwhile("another relay made one of these records; the round is repeated")
        ids = self._ids(fresh)
        known = {one.key: one.id or ids[one.key] for one in now}
        changed = [one for one in now if one.id != 0 and one is not self._before.get(one.key)]
        store.update_changed(self._connection, [(self._before[one.key], one) for one in changed])
        written = [*(one.but(id=known[one.key]) for one in fresh), *changed]
        self._link(written)
        folded = {entry: known[key] for entry, key in self._of_entry.items()}
        entries.fold(self._connection, self._destination, folded, self._closed, now=self._now)
        self._wake(now)
        return {one.key: one for one in written}

    def _heal_kin(self) -> None:
        """Decide anew about what was refused, or not sent, under another link of the head."""
        for name, family in self._families.items():
            linked = [one for one in family.values() if self._newly_linked(one)]
            if not any(str(one.key) == name for one in linked):
                continue
            for key, one in family.items():
                if may_heal(one):
                    family[key] = wake(one, self._now)

    def _ids(self, fresh: Sequence[Record]) -> Mapping[RecordKey, RecordId]:
        if not fresh:
            return {}
        families = sorted({one.family for one in fresh})
        return store.ids_of(self._connection, self._destination, families)

    def _link(self, written: Sequence[Record]) -> None:
        linked = [one for one in written if self._newly_linked(one)]
        for one in linked:
            before = self._before.get(one.key)
            if before is not None and before.remote_id is not None:
                links.unlink(self._connection, one)
        taken = links.link_all(self._connection, linked, self._now)
        refused = [_held_twice(refuse_link(one), self._now) for one in taken]
        store.update_all(self._connection, refused)
        for one in refused:
            self._closed.pop(one.stamps[LINK].entry, None)  # it stands in front of a person now
            logger.info("record_put_aside", record_key=str(one.key), reason=str(one.reason))

    def _newly_linked(self, one: Record) -> bool:
        before = self._before.get(one.key)
        if one.remote_id is None:
            return False
        return before is None or (before.remote_id, before.role) != (one.remote_id, one.role)

    def _wake(self, now: Sequence[Record]) -> None:
        moved = {one.family for one in now if self._moved(one) and self._waits_in(one.family)}
        dispatching.wake_all(self._connection, self._destination, sorted(moved), self._now)

    def _waits_in(self, family: str) -> bool:
        """Whether anybody waits for a kin; the whole family is at hand, and locked."""
        return any(one.reason is Reason.WAITING_FOR for one in self._families[family].values())

    def _moved(self, one: Record) -> bool:
        """Whether its kin may have waited for what has just become of a record."""
        before = self._before.get(one.key)
        if before is None or one is before:
            return False
        return before.remote_id != one.remote_id or one.state is not before.state


class FoldedMeanwhile(Exception):
    """Two relays met on a new record. Nothing was written; the next round finds it there."""


def _stamp(entry: Entry) -> Stamp:
    return Stamp(
        entry=entry.id,
        source=entry.source,
        version=entry.version,
        happened_at=entry.happened_at,
    )


def _same_slot(one: RecordKey, other: RecordKey) -> bool:
    return (one.kind, one.source_id, one.part) == (other.kind, other.source_id, other.part)


def _held_twice(one: Record, now: datetime) -> Record:
    problem = Problem(
        reason=Reason.SAME_PERSON_TWICE,
        field="participant_id",
        detail="another local record is linked to this remote thing already",
        at=now,
    )
    waits = one.but(oldest_entry=min(one.entries(), default=None))
    if one.state in BUSY:
        return waits  # whoever has it reads it afresh, and admission finds the link
    return waits.but(state=RecordState.HELD, reason=problem.reason, problem=problem, due_at=None)


def _is_bound(head: Record, family: Mapping[RecordKey, Record]) -> bool:
    """Whether a kin was called for, or is being, under the link of the family's head."""
    return any(
        one.mark is not None
        or one.remote_id is not None
        or one.accepted is not None
        or one.state in (RecordState.DISPATCHED, RecordState.TAKEN)
        for one in family.values()
        if one is not head
    )
