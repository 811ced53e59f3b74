"""One round of the relay: rescue, fold, admit, dispatch.

One idea: everything is found by its state, in bounded batches, and each batch is one short
transaction. A round that is cut short anywhere leaves only what is still due.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from outbox import attempts, bindings, entries
from outbox.admission import Decision, Go, agreeing, allowance, decide, with_leave
from outbox.decided import may_heal, settled_without_call, wake
from outbox.entries import Entry
from outbox.gates import Gates
from outbox.rebind import Keeper
from outbox.retry import Timing, lapse
from outbox.standing import Ajar, Open, Standing
from records import store
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
from runtime.clock import Clock
from runtime.database import Database
from runtime.log import named
from runtime.points import Point, reach
from schema.asks import Asks
from schema.contract import Contract, Kind
from schema.events import InvalidEvent
from schema.keys import EntryId, LeaseToken, RecordId, RecordKey
from schema.record import Problem, Record, Stamp
from schema.states import Closed, Lane, Reason, RecordState, Writes

logger = structlog.get_logger(__name__)

FOLD_BATCH = 1_000
"""Entries folded in one transaction. More saves round trips and holds row locks longer."""

ADMIT_BATCH = 500
"""Records admitted in one transaction."""

SPARE = 50
"""How many records more than the quota has room for are looked at: some need no call, and are then
out of the way. More are read in vain while the quota is full."""

UNDECIDED_FOR = timedelta(seconds=30)
"""How long a due record waits behind others for the quota before it is looked at though there is no
room for it: many need no call, and must not wait for those that do. Less, and a backlog that moves
fast is looked at twice; more, and people see for longer what is not so."""

RESCUE_BATCH = 500
"""Records rescued in one transaction."""

ENDED = frozenset({RecordState.IN_STEP, RecordState.HELD, RecordState.DEAD})
"""States in which a record holds up its kin no longer."""

LOOK_BACK = 5.0
"""Every so many seconds one round searches without its floors, and finds what committed late or
became due in the past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """What goes on the queue: a pointer, never a payload."""

    record_id: RecordId
    token: LeaseToken
    lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round did."""

    rescued: int = 0
    folded: int = 0
    admitted: int = 0
    dispatched: int = 0
    kept: int = 0
    """Marked as unknown after a rebind, or woken since writes are allowed."""

    @property
    def done(self) -> int:
        """How much it was in all; 0 means that the relay may rest."""
        return self.rescued + self.folded + self.admitted + self.dispatched + self.kept


@dataclass
class Floors:
    """Where earlier rounds found nothing before: hints, forgotten every few seconds."""

    entry: EntryId | None = None
    due: dict[Lane, datetime] = field(default_factory=dict[Lane, datetime])
    decided: dict[Lane, datetime] = field(default_factory=dict[Lane, datetime])
    forgotten_at: float = float("-inf")


class Relay:
    """The relay of one destination. Any number may run; they share the work by row locks."""

    def __init__(
        self,
        *,
        database: Database,
        contract: Contract,
        destination: str,
        clock: Clock,
        timing: Timing,
        settle: timedelta,
        dispatch: Callable[[Sequence[Ring]], None],
        room: Callable[[Lane, int], int],
        gates: Gates | None = None,
    ) -> None:
        """*dispatch* puts rings on the queue; *room(lane, on the queue)* says how many more the
        quota can carry in the next seconds. Without *gates* the key is called like the destination.
        """
        self._gates = gates or Gates(destination=destination, key_name=destination)
        self._database = database
        self._contract = contract
        self._destination = destination
        self._clock = clock
        self._timing = timing
        self._settle = settle
        self._dispatch = dispatch
        self._room = room
        self._floors = Floors()
        self._keeper = Keeper(
            database=database, contract=contract, destination=destination, timing=timing
        )
        self._kept_at = float("-inf")
        self._folded: list[Ring] = []
        """Rings for records that their fold has marked as dispatched already."""

    @property
    def destination(self) -> str:
        """Whose relay it is."""
        return self._destination

    def run_once(self) -> Round:
        """Make one round."""
        self._forget_floors()
        rescued = self._rescue()
        folded = self._fold()
        admitted, dispatched = self._admit()
        kept = self._keep()
        return Round(
            rescued=rescued, folded=folded, admitted=admitted, dispatched=dispatched, kept=kept
        )

    def _keep(self) -> int:
        """Do what follows from a go-live or a rebind: now and then, and on while there is more."""
        if self._clock.monotonic() - self._kept_at < LOOK_BACK:
            return 0
        kept = self._keeper.turn(self._clock.now())
        if not kept:
            self._kept_at = self._clock.monotonic()
        return kept

    def _forget_floors(self) -> None:
        now = self._clock.monotonic()
        if now - self._floors.forgotten_at >= LOOK_BACK:
            self._floors = Floors(forgotten_at=now)

    # rescue

    def _rescue(self) -> int:
        now = self._clock.now()
        with self._database.reading() as connection:
            if not store.any_lapsed(connection, now, latest=now + self._longest()):
                return 0
        with self._database.transaction() as connection:
            clamped = store.too_long(
                connection, latest=now + self._longest(), until=now + self._timing.lease
            )
            found = store.lapsed(connection, now=now, limit=RESCUE_BATCH)
            rescued = [lapse(one, timing=self._timing, now=now) for one in found]
            attempts.abandon(
                connection, [one.id for one in found if one.state is RecordState.TAKEN]
            )
            # The token moves on: whoever still holds the record finds its late write refused.
            moved = [one.but(token=LeaseToken(one.token + 1)) for one in rescued]
            store.update_all(connection, moved)
            reach(Point.RESCUE_UNCOMMITTED)
        reach(Point.RESCUE_COMMITTED)
        for before, after in zip(found, rescued, strict=True):
            if before.state is RecordState.TAKEN:
                logger.info("record_rescued", record_key=str(after.key), state=after.state.value)
        return clamped + len(found)

    def _longest(self) -> timedelta:
        return self._timing.lease + timedelta(seconds=5)

    # fold

    def _fold(self) -> int:
        now = self._clock.now()
        with self._database.reading() as connection:
            if not entries.any_new(connection, self._destination, after=self._floors.entry):
                return 0
            room = self._room_at_once(connection, now)
        rings: list[Ring] = []
        with self._database.transaction() as connection:
            new = entries.claim_new(
                connection, self._destination, limit=FOLD_BATCH, after=self._floors.entry
            )
            if not new:
                return 0
            try:
                with connection.begin_nested():
                    folding = self._folding(connection, now)
                    marked = folding.run(new, self._admitting_at_once(connection, now, room))
                    rings = [Ring(record_id=i, token=t, lane=Lane.LIVE) for i, t in marked]
            except (FoldedMeanwhile, DBAPIError):
                raise
            except Exception as error:
                logger.error("fold_failed", entries=len(new), **named(error))
                self._fold_singly(connection, new, now)
            reach(Point.FOLD_UNCOMMITTED)
            if rings:
                reach(Point.ADMIT_UNCOMMITTED)
        reach(Point.FOLD_COMMITTED)
        if rings:
            reach(Point.ADMIT_COMMITTED)
        self._folded = rings
        self._floors.entry = new[-1].id
        return len(new)

    def _room_at_once(self, connection: Connection, now: datetime) -> int:
        """Say how many records may be dispatched by their fold: none past others that are due."""
        floor = self._floors.due.get(Lane.LIVE)
        if store.any_due(connection, self._destination, Lane.LIVE, now=now, floor=floor):
            return 0
        if not isinstance(self._gates.standing(connection, now), Open):
            return 0
        on_the_queue = store.on_the_queue(connection, self._destination)
        return self._room(Lane.LIVE, on_the_queue.get(Lane.LIVE, 0))

    def _admitting_at_once(self, connection: Connection, now: datetime, room: int) -> "AtOnce":
        admitting = Admitting(connection, self._contract, self._destination, now, room)
        return AtOnce(admitting, until=now + self._timing.ring)

    def _folding(self, connection: Connection, now: datetime) -> "Folding":
        return Folding(connection, self._contract, self._destination, self._settle, now)

    def _fold_singly(self, connection: Connection, new: Sequence[Entry], now: datetime) -> None:
        """Fold entry by entry, and put the one that cannot be folded in front of a person.

        No entry that anybody may write must hold up all others for ever.
        """
        for entry in new:
            try:
                with connection.begin_nested():
                    self._folding(connection, now).run([entry])
            except (FoldedMeanwhile, DBAPIError):
                raise
            except Exception as error:
                logger.error("fold_failed", entries=1, entry_id=entry.id, **named(error))
                problem = InvalidEvent("payload", f"cannot be folded ({type(error).__name__})")
                self._folding(connection, now).put_aside(entry, problem)

    # admit and dispatch

    def _admit(self) -> tuple[int, int]:
        admitted = dispatched = 0
        rings, self._folded = self._folded, []
        for lane in (Lane.LIVE, Lane.BULK):
            done, ringing = self._admit_lane(lane)
            admitted += done
            rings.extend(ringing)
        if rings:
            # Committed first, then rung: a ring that is lost is rung again, a ring for a row
            # that never committed would find nothing.
            dispatched = self._ring(rings)
        return admitted, dispatched

    def _ring(self, rings: Sequence[Ring]) -> int:
        try:
            self._dispatch(rings)
        except ConnectionError as error:
            logger.warning("rings_not_delivered", number=len(rings), error=type(error).__name__)
            return 0
        reach(Point.RUNG)
        return len(rings)

    def _admit_lane(self, lane: Lane) -> tuple[int, list[Ring]]:
        now = self._clock.now()
        with self._database.reading() as connection:
            if not store.any_due(
                connection, self._destination, lane, now=now, floor=self._floors.due.get(lane)
            ):
                return 0, []
            standing = self._gates.standing(connection, now)
            out = store.on_the_queue(connection, self._destination).get(lane, 0)
            room = self._room_for(connection, lane, standing, out)
        if room > 0:
            admitted, rings, left = self._admit_some(lane, now, room, standing)
            return admitted + (
                self._decide(lane, now, standing, UNDECIDED_FOR) if left else 0
            ), rings
        moving = out > 0 and isinstance(standing, Open)
        return self._decide(lane, now, standing, UNDECIDED_FOR if moving else timedelta(0)), []

    def _room_for(
        self, connection: Connection, lane: Lane, standing: Standing, on_the_queue: int
    ) -> int:
        """Say how many may be dispatched: one, for all lanes, while a gate waits for its probe."""
        match standing:
            case Open():
                return self._room(lane, on_the_queue)
            case Ajar(free=True) if not store.any_dispatched(connection, self._destination):
                return min(1, self._room(lane, 0))
            case _:
                return 0

    def _admit_some(
        self, lane: Lane, now: datetime, room: int, standing: Standing
    ) -> tuple[int, list[Ring], bool]:
        """Dispatch as many as there is room for; says as well whether some were left over."""
        limit = min(ADMIT_BATCH, room + SPARE)
        with self._database.transaction() as connection:
            due = store.claim_due(
                connection,
                self._destination,
                lane,
                now=now,
                limit=limit,
                floor=self._floors.due.get(lane),
            )
            if not due:
                return 0, [], False
            if isinstance(standing, Ajar):
                # A record that fails by its own fault must not be the probe again and again.
                due.sort(key=lambda one: one.tries)
            admitting = Admitting(connection, self._contract, self._destination, now, room)
            going = admitting.run(due)
            marked = store.dispatch_all(connection, going, until=now + self._timing.ring)
            reach(Point.ADMIT_UNCOMMITTED)
        reach(Point.ADMIT_COMMITTED)
        if admitting.full:
            # Nothing earlier than the first one left over needs to be looked for again.
            self._floors.due[lane] = admitting.full
        elif len(due) == limit:
            self._floors.due[lane] = max(one.due_at for one in due if one.due_at is not None)
        rings = [Ring(record_id=one.id, token=one.token, lane=lane) for one in marked]
        return admitting.moved, rings, admitting.full is not None

    def _decide(self, lane: Lane, now: datetime, standing: Standing, due_for: timedelta) -> int:
        """Decide about records that cannot be dispatched now; many need no call at all.

        Those that do need one are marked with what they wait for, so that they are not decided about
        again, and stay where they are in line. One batch a round.
        """
        by, floor = now - due_for, self._floors.decided.get(lane)
        with self._database.reading() as connection:
            if not store.any_undecided(connection, self._destination, lane, now=by, floor=floor):
                self._floors.decided[lane] = by
                return 0
        with self._database.transaction() as connection:
            due = store.claim_undecided(
                connection, self._destination, lane, now=by, limit=ADMIT_BATCH, floor=floor
            )
            admitting = Admitting(connection, self._contract, self._destination, now, len(due))
            waiting = admitting.run(due)
            reason = Reason.QUOTA if isinstance(standing, Open) else Reason.GATE
            store.decided(connection, waiting, reason)
            reach(Point.ADMIT_UNCOMMITTED)
        reach(Point.ADMIT_COMMITTED)
        if due and due[-1].due_at is not None:
            self._floors.decided[lane] = due[-1].due_at
        return admitting.moved + len(waiting)


class Admitting:
    """Decides about one batch of due records, family by family."""

    def __init__(
        self,
        connection: Connection,
        contract: Contract,
        destination: str,
        now: datetime,
        room: int,
    ) -> None:
        self._connection = connection
        self._contract = contract
        self._destination = destination
        self._now = now
        self._room = room
        self._writes: Writes | None = None
        self.moved = 0
        self.full: datetime | None = None
        """Due time of the earliest record left over because there is no room for it."""

    def run(self, due: Sequence[Record]) -> list[Record]:
        """Close, park or put aside what needs no call now; give what is to be dispatched."""
        kin = store.kin_of(self._connection, due)
        going: list[Record] = []
        changed: list[Record] = []
        closed: dict[EntryId, Closed] = {}
        for place, one in enumerate(due):
            if len(going) >= self._room:
                left = [other.due_at for other in due[place:] if other.due_at is not None]
                self.full = min(left, default=None)
                break
            family = kin[one.family]
            others = [other for other in family if other.id != one.id]
            after, ends = self._decided(one, others)
            closed.update(ends)
            (going if after.state is RecordState.DISPATCHED else changed).append(after)
            kin[one.family] = [*others, after]
        store.update_all(self._connection, changed)
        entries.close(self._connection, closed, now=self._now)
        ended = {one.family for one in changed if one.state in ENDED}
        store.wake_all(self._connection, self._destination, sorted(ended), self._now)
        self.moved = len(changed)
        return going

    def _decided(
        self, one: Record, others: Sequence[Record]
    ) -> tuple[Record, Mapping[EntryId, Closed]]:
        if one.allowance is None:
            one = one.but(allowance=allowance(one, self._contract))
        decision = self._leave(decide(one, others, self._contract, self._now))
        if isinstance(decision, Go):
            return self._going(one, others), {}
        return settled_without_call(one, decision, self._contract, self._now)

    def _leave(self, decision: Decision) -> Decision:
        if not isinstance(decision, Go) or not decision.call.request.writes:
            return decision
        if self._writes is None:  # asked once for the batch, and only where it matters
            self._writes = bindings.writes(self._connection, self._destination)
        return with_leave(decision, self._writes, self._now)

    def _going(self, one: Record, others: Sequence[Record]) -> Record:
        serial = serial_key(self._contract, one, others)
        return one.but(state=RecordState.DISPATCHED, serial_key=serial)

    def at_once(self, one: Record, others: Sequence[Record]) -> Record | None:
        """Give a record that its fold made due, as going; None where anything else comes first."""
        if self._room <= 0 or one.lane is not Lane.LIVE or one.state is not RecordState.WAITING:
            return None
        if one.due_at is None or one.due_at > self._now:
            return None
        if one.allowance is None:
            one = one.but(allowance=allowance(one, self._contract))
        if not isinstance(self._leave(decide(one, others, self._contract, self._now)), Go):
            return None
        self._room -= 1
        return self._going(one, others)


class AtOnce:
    """Dispatches what a fold made due, in the fold's own transaction.

    The family is at hand and locked, so that with nothing due before it a record is read and written
    once, not twice. What is not worth a call now waits for its turn like everything else.
    """

    def __init__(self, admitting: Admitting, *, until: datetime) -> None:
        self._admitting = admitting
        self._until = until
        self.keys: list[RecordKey] = []

    def run(self, family: dict[RecordKey, Record], changed: Iterable[RecordKey]) -> None:
        """Mark those of the *changed* records of a family that are worth a call now."""
        for key in changed:
            others = [other for other in family.values() if other.key != key]
            going = self._admitting.at_once(family[key], others)
            if going is not None:
                family[key] = store.dispatched(going, until=self._until)
                self.keys.append(key)


def serial_key(contract: Contract, one: Record, kin: Sequence[Record]) -> str | None:
    """Name the real remote thing behind a record: its own, or its family's head's."""
    for candidate in (one, *(other for other in kin if str(other.key) == one.family)):
        key = contract.serial_key(candidate)
        if key is not None:
            return key
    return None


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
        self, new: Sequence[Entry], at_once: "AtOnce | None" = None
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

    def _go_at_once(self, family: dict[RecordKey, Record], at_once: "AtOnce") -> None:
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
            found = bindings.standing(self._connection, self._destination)
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
        entries.fold(self._connection, folded, self._closed, now=self._now)
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
                store.unlink(self._connection, one)
        taken = store.link_all(self._connection, linked, self._now)
        refused = [_held_twice(refuse_link(one)) for one in taken]
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
        store.wake_all(self._connection, self._destination, sorted(moved), self._now)

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


def _held_twice(one: Record) -> Record:
    problem = Problem(
        reason=Reason.SAME_PERSON_TWICE,
        field="participant_id",
        detail="another local record is linked to this remote thing already",
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
