"""One round of the relay: rescue, fold, admit, dispatch.

One idea: everything is found by its state, in bounded batches, and each batch is one short
transaction. A round that is cut short anywhere leaves only what is still due.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from outbox import attempts, entries
from outbox.admitting import Admitting, AtOnce
from outbox.entries import Entry
from outbox.folding import FoldedMeanwhile, Folding
from outbox.gates import Gates
from outbox.rebind import Keeper
from outbox.retry import Timing, lapse
from outbox.standing import Ajar, Open, Standing
from records import dispatching, store
from runtime.clock import Clock
from runtime.database import Database
from runtime.log import named
from runtime.points import Point, reach
from schema.contract import Contract
from schema.events import InvalidEvent
from schema.keys import EntryId, LeaseToken, RecordId
from schema.states import Lane, Reason, RecordState

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
            if not dispatching.any_lapsed(connection, now, latest=now + self._longest()):
                return 0
        with self._database.transaction() as connection:
            clamped = dispatching.too_long(
                connection, latest=now + self._longest(), until=now + self._timing.lease
            )
            found = dispatching.lapsed(connection, now=now, limit=RESCUE_BATCH)
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
            free = self._goes_at_once(connection, now)
            out = dispatching.on_the_queue(connection, self._destination).get(Lane.LIVE, 0)
        # Redis is asked outside: it may hang, and a transaction must not hang with it.
        room = self._room(Lane.LIVE, out) if free else 0
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

    def _goes_at_once(self, connection: Connection, now: datetime) -> bool:
        """Say whether records may be dispatched by their fold: never past others that are due."""
        floor = self._floors.due.get(Lane.LIVE)
        if dispatching.any_due(connection, self._destination, Lane.LIVE, now=now, floor=floor):
            return False
        return isinstance(self._gates.standing(connection, now), Open)

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
            if not dispatching.any_due(
                connection, self._destination, lane, now=now, floor=self._floors.due.get(lane)
            ):
                return 0, []
            standing = self._gates.standing(connection, now)
            out = dispatching.on_the_queue(connection, self._destination).get(lane, 0)
            first = isinstance(standing, Ajar) and not dispatching.any_dispatched(
                connection, self._destination
            )
        room = self._room_for(lane, standing, out, first=first)
        if room > 0:
            admitted, rings, left = self._admit_some(lane, now, room, standing)
            return admitted + (
                self._decide(lane, now, standing, UNDECIDED_FOR) if left else 0
            ), rings
        moving = out > 0 and isinstance(standing, Open)
        return self._decide(lane, now, standing, UNDECIDED_FOR if moving else timedelta(0)), []

    def _room_for(self, lane: Lane, standing: Standing, on_the_queue: int, *, first: bool) -> int:
        """Say how many may be dispatched: one, for all lanes, while a gate waits for its probe.

        *first* says that nothing is dispatched yet. Redis is asked, so no transaction is open.
        """
        match standing:
            case Open():
                return self._room(lane, on_the_queue)
            case Ajar(free=True) if first:
                return min(1, self._room(lane, 0))
            case _:
                return 0

    def _admit_some(
        self, lane: Lane, now: datetime, room: int, standing: Standing
    ) -> tuple[int, list[Ring], bool]:
        """Dispatch as many as there is room for; says as well whether some were left over."""
        limit = min(ADMIT_BATCH, room + SPARE)
        with self._database.transaction() as connection:
            due = dispatching.claim_due(
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
            marked = dispatching.dispatch_all(connection, going, until=now + self._timing.ring)
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
            if not dispatching.any_undecided(
                connection, self._destination, lane, now=by, floor=floor
            ):
                self._floors.decided[lane] = by
                return 0
        with self._database.transaction() as connection:
            due = dispatching.claim_undecided(
                connection, self._destination, lane, now=by, limit=ADMIT_BATCH, floor=floor
            )
            admitting = Admitting(connection, self._contract, self._destination, now, len(due))
            waiting = admitting.run(due)
            reason = Reason.QUOTA if isinstance(standing, Open) else Reason.GATE
            dispatching.decided(connection, waiting, reason)
            reach(Point.ADMIT_UNCOMMITTED)
        reach(Point.ADMIT_COMMITTED)
        if due and due[-1].due_at is not None:
            self._floors.decided[lane] = due[-1].due_at
        return admitting.moved + len(waiting)
