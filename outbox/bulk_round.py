"""One step of the active bulk of a destination: hear what became of some, let the next ones follow.

One idea: only so many are on their way at a time, and each step is one short transaction under the
bulk's own lock. So a bulk of any size takes the same memory, one that is cancelled stops within a
round, and one whose relay dies goes on with the next relay, where the last commit left it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection

from outbox import bulk
from outbox.bulk import Bulk, End
from outbox.dead_letters import standing
from outbox.discarding import discard
from outbox.replay import Foreseen, Surroundings, foresee, surroundings, with_newer
from outbox.saying import Person
from records import store
from records.signature import is_aside
from runtime.audit import write_down_all
from runtime.clock import Clock
from runtime.database import Database
from schema.bulk import BulkState, Result
from schema.contract import Contract
from schema.hours import Booking
from schema.keys import RecordId
from schema.record import Record
from schema.states import Lane, Reason, RecordState
from schema.words import several

logger = structlog.get_logger(__name__)

ON_THE_WAY = 100
"""How many records of a bulk are on their way at a time. More go on though the bulk was cancelled;
fewer leave the quota unused between two rounds of the relay."""

TRIES = 3
"""After so many failures a record is no longer waited for: others of its bulk take its place, and it
goes on by itself. Higher, and a few sick records hold up a bulk."""

SEARCHED = 1_000
"""Among how many records one is looked for that a call would be made for, to be tried first."""

PARKED = frozenset({Reason.SNOOZED, Reason.WAITING_FOR, Reason.SHADOW, Reason.REBOUND})
"""Waits that may be long, and that nothing of the bulk ends."""

SHOWS = frozenset({Result.SENT, Result.DISCARDED})
"""What shows a person something when it is tried on one record first."""

BY_ITSELF = "relay"
"""Who is written down as having ended a bulk that came to its end."""


class BulkRound:
    """The bulks of one destination. Any number may run; they take turns by the bulk's lock."""

    def __init__(
        self,
        *,
        database: Database,
        contract: Contract,
        destination: str,
        clock: Clock,
        offpeak: Booking,
    ) -> None:
        self._database = database
        self._contract = contract
        self._destination = destination
        self._clock = clock
        self._offpeak = offpeak

    @property
    def destination(self) -> str:
        """Whose bulks they are."""
        return self._destination

    def run_once(self) -> int:
        """Make one step of the active bulk; gives how many records moved by it."""
        with self._database.reading() as connection:
            if bulk.active(connection, self._destination) is None:
                return 0
        now = self._clock.now()
        with self._database.transaction() as connection:
            one = bulk.claim(connection, self._destination)
            return 0 if one is None else self._step(connection, one, now)

    def _step(self, connection: Connection, one: Bulk, now: datetime) -> int:
        heard = _hear(connection, one, now)
        match one.state:
            case BulkState.TRYING if heard:
                bulk.tried(connection, one)
                return heard
            case BulkState.TRYING:
                return self._try_one(connection, one, now)
            case BulkState.RUNNING:
                return heard + self._let_follow(connection, one, now)
            case _:
                return heard

    def _try_one(self, connection: Connection, one: Bulk, now: datetime) -> int:
        """Let one go first: the first that a call would be made for, as urgent as any change."""
        if bulk.moving(connection, one.id):
            return 0
        batch = self._batch(connection, one, SEARCHED, now)
        ids = batch.ids
        first = next((id_ for id_ in ids if batch.foresee(id_).result in SHOWS), ids[0])
        (end,) = batch.let_go([first], Lane.LIVE)
        if end.result is not None:
            bulk.tried(connection, one)
        return 1

    def _let_follow(self, connection: Connection, one: Bulk, now: datetime) -> int:
        on_the_way = bulk.moving(connection, one.id)
        if bulk.waits_until(one, self._offpeak, now) is not None:
            return 0
        batch = self._batch(connection, one, ON_THE_WAY - on_the_way, now)
        if batch.ids:
            return len(batch.let_go(batch.ids, one.lane))
        if on_the_way == 0 and not bulk.ids_left(connection, one.id, limit=1):
            _end(connection, one, now)
        return 0

    def _batch(self, connection: Connection, one: Bulk, limit: int, now: datetime) -> "_Batch":
        ids = bulk.ids_left(connection, one.id, limit=max(0, limit))
        around = surroundings(connection, self._destination, one.deed, self._contract, now)
        return _Batch(connection, one, ids, around)


def come_to_rest(record: Record, *, dropped: bool) -> tuple[Result, str] | None:
    """Say what became of a record that was put on its way; None while it still is. Pure.

    *dropped*: a person has meanwhile taken back what was wanted of it.
    """
    if record.state is RecordState.IN_STEP and dropped:
        return Result.DISCARDED, "somebody took back meanwhile what was asked for"
    if record.state is RecordState.IN_STEP:
        return Result.SENT, "in step"
    if is_aside(record):
        return Result.ASIDE, record.problem.detail if record.problem else str(record.reason)
    if record.state is not RecordState.WAITING or record.reason is None:
        return None
    if record.reason in PARKED:
        return Result.WAITS, f"waits: {record.waits_for or record.reason.value}"
    if record.reason is Reason.BACKOFF and record.tries >= TRIES:
        return Result.WAITS, f"failed {several(record.tries, 'time')}, and is tried again"
    return None


def _hear(connection: Connection, one: Bulk, now: datetime) -> int:
    """Write down what became of those on their way; gives how many came to their end."""
    ends: list[End] = []
    for record, dropped in bulk.at_rest(connection, one.id):
        rest = come_to_rest(record, dropped=dropped)
        if rest is not None:
            ends.append(End(record_id=record.id, result=rest[0], detail=rest[1]))
    bulk.note(connection, one.id, ends, now)
    return len(ends)


def _end(connection: Connection, one: Bulk, now: datetime) -> None:
    person = Person(actor=BY_ITSELF, reason="", now=now)
    over = bulk.ended(connection, one, BulkState.DONE, person, "bulk_done")
    logger.info("bulk_ended", bulk_id=one.id, destination=one.destination, **(over.tally or {}))


class _Batch:
    """Some records of a bulk whose turn it is, their families locked in key order."""

    def __init__(
        self, connection: Connection, one: Bulk, ids: Sequence[RecordId], around: Surroundings
    ) -> None:
        self._connection = connection
        self._bulk = one
        self.ids = ids
        self._went: list[tuple[Record, Foreseen]] = []
        found = store.families_of(connection, one.destination, ids)
        self._around = with_newer(connection, one.destination, found, around)
        self._records = {other.id: other for other in found}
        self._families: dict[str, list[RecordId]] = {}
        for other in found:
            self._families.setdefault(other.family, []).append(other.id)

    def foresee(self, record_id: RecordId) -> Foreseen:
        """Say what becomes of one as things stand, the ones before it in the batch included."""
        record = self._records[record_id]
        kin = [self._records[id_] for id_ in self._families[record.family] if id_ != record_id]
        return foresee(record, kin, self._around)

    def let_go(self, ids: Sequence[RecordId], lane: Lane) -> list[End]:
        """Do it to these, each as if it were alone; note what becomes of each."""
        ends = [self._one(record_id, lane) for record_id in ids]
        store.update_all(self._connection, [self._records[before.id] for before, _ in self._went])
        write_down_all(self._connection, [self._told(*one) for one in self._went])
        bulk.note(self._connection, self._bulk.id, ends, self._around.now)
        return ends

    def _one(self, record_id: RecordId, lane: Lane) -> End:
        foreseen = self.foresee(record_id)
        if foreseen.after is not None:
            self._went.append((self._records[record_id], foreseen))
            calls = foreseen.result in (Result.SENT, Result.WAITS)
            self._records[record_id] = foreseen.after.but(lane=lane if calls else Lane.LIVE)
        if foreseen.result is Result.DISCARDED:
            person = Person(actor=self._bulk.actor, reason=self._why(), now=self._around.now)
            discard(self._connection, record_id, self._around.contract, person=person)
        result = None if foreseen.result is Result.SENT else foreseen.result
        return End(record_id=record_id, result=result, detail=foreseen.detail)

    def _told(self, before: Record, foreseen: Foreseen) -> Mapping[str, object]:
        return {
            "at": self._around.now,
            "actor": self._bulk.actor,
            "action": "dead_letter_replayed",
            "subject": str(before.key),
            "reason": self._why(),
            "before": standing(before),
            "after": {"comes_next": foreseen.detail},
        }

    def _why(self) -> str:
        """Give the person's reason, and of which bulk it was a part."""
        return f"{self._bulk.reason or ''} (bulk {self._bulk.id})".strip()
