"""After a rebind: nothing that was accepted is believed until it has been looked up.

One idea: a record that is unknown has `look_first`, so its next call is a look-up whatever is pending;
and no write of the destination leaves until all that can be looked up by themselves have been. What a
look-up finds is the new accepted state, as after any read.

The relay does this in batches, so it survives the end of any process and no transaction is long.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from outbox import attempts, bindings, entries
from outbox.retry import Timing
from records import store
from records import unknown as unknown_records
from runtime import audit
from runtime.database import Database
from schema.contract import Contract
from schema.events import DEFAULT_DESTINATION
from schema.keys import LeaseToken
from schema.record import Record
from schema.states import DOUBTS, LEASED, Lane, Reason, RecordState, Writes
from schema.words import several

logger = structlog.get_logger(__name__)

BATCH = 500
"""Records marked as unknown in one transaction. More holds their rows longer."""

WAKE_BATCH = 5_000
"""Records woken in one statement."""

ACTOR = "pillarbox"
"""Who stands in the audit trail for what the system does by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the looking up has come since a rebind."""

    since: datetime
    marking: bool
    """Records are still being marked: the total grows."""
    total: int
    left: int
    """Still to be looked up, by themselves."""
    aside: int
    """Cannot be looked up without a person or an event. Each looks before it writes, whenever that is."""

    @property
    def done(self) -> int:
        """How many need no look-up any more."""
        return max(0, self.total - self.left - self.aside)

    def words(self) -> str:
        """Say it in a line."""
        if self.marking:
            return (
                f"{several(self.total, 'record')} marked as unknown so far; a relay goes on with it"
            )
        aside = f", {self.aside:,} wait for a person or an event" if self.aside else ""
        return f"{self.done:,} of {self.total:,} looked up{aside}"


def progress(connection: Connection, destination: str, now: datetime) -> Progress | None:
    """Say how far it has come; None when nothing is held."""
    found = bindings.standing(connection, destination)
    if found is None or found.unknown_since is None:
        return None
    left, aside = unknown_records.unknown(connection, destination, now)
    return Progress(
        since=found.unknown_since,
        marking=found.marking,
        total=max(found.total, left + aside),
        left=left,
        aside=aside,
    )


def held_words(connection: Connection, destination: str, now: datetime) -> str | None:
    """Say why no write leaves, and the cure; None when writes may."""
    found = bindings.standing(connection, destination)
    if found is None or found.writes is Writes.ALLOWED:
        return None
    parts: list[str] = []
    if found.live_since is None:
        name = "" if destination == DEFAULT_DESTINATION else f" --destination {destination}"
        parts.append(
            "in shadow: it plans, looks up and shows, and writes nothing until "
            f"`pillarbox destination go-live{name}`"
        )
    how_far = progress(connection, destination, now)
    if how_far is not None:
        parts.append(
            f"bound anew: nothing is written until everything has been looked up; {how_far.words()}"
        )
    return "; ".join(parts)


def looks(contract: Contract, kind: str) -> bool:
    """Whether records of a kind can be looked up."""
    return any(one.kind == kind and not one.writes for one in contract.operations.values())


def doubted(record: Record, contract: Contract, *, timing: Timing, now: datetime) -> Record:
    """Give a record as it is once nothing that was accepted is believed any more.

    What was about to be sent is in doubt, never due. What cannot be looked up stays where it is, and a
    person is asked before its next call.
    """
    freed = record.but(
        look_first=True,
        token=LeaseToken(record.token + 1),
        revision=record.revision + 1,
        lane=Lane.LIVE if record.changed else Lane.BULK,
        lease_until=None,
        waits_for=None,
        takes=0,
    )
    if record.mark is not None:
        return freed.but(
            state=RecordState.IN_DOUBT,
            reason=record.reason if record.reason in DOUBTS else Reason.LEASE_RAN_OUT,
            due_at=max(now, timing.safe_to_look(record.mark)),
            lane=Lane.LIVE,
        )
    if _never_called_for(record):
        return record
    if record.state is RecordState.IN_STEP and not looks(contract, record.key.kind):
        return record.but(look_first=True, revision=record.revision + 1)
    return freed.but(state=RecordState.WAITING, reason=Reason.LOOK_FIRST, due_at=now)


def _never_called_for(record: Record) -> bool:
    """Whether there is nothing to believe and nothing to send."""
    return (
        record.state is RecordState.IN_STEP
        and not record.changed
        and record.accepted is None
        and record.remote_id is None
    )


class Keeper:
    """Does, for one destination, what follows from a go-live or a rebind, a batch at a time."""

    def __init__(
        self, *, database: Database, contract: Contract, destination: str, timing: Timing
    ) -> None:
        self._database = database
        self._contract = contract
        self._destination = destination
        self._timing = timing

    def turn(self, now: datetime) -> int:
        """Mark, lift or wake, whichever is next; gives how many records that touched."""
        with self._database.reading() as connection:
            found = bindings.standing(connection, self._destination)
        if found is None:
            return 0
        if found.marking:
            return self._mark(now)
        if found.unknown_since is not None:
            return self._lift(now)
        return self._wake(now) if found.writes is Writes.ALLOWED else 0

    def _mark(self, now: datetime) -> int:
        with self._database.transaction() as connection:
            upto = bindings.marking_from(connection, self._destination)
            if upto is None:
                return 0  # done, or another relay is at it
            ids = unknown_records.ids_down_from(connection, self._destination, upto, limit=BATCH)
            found = unknown_records.locked(connection, self._destination, ids)
            unknown = [after for one in found if (after := self._doubted(one, now)) is not one]
            attempts.abandon(connection, [one.id for one in found if one.state in LEASED])
            store.update_all(connection, unknown)
            bindings.marked(
                connection,
                self._destination,
                down_to=min(ids) - 1 if ids else None,
                number=sum(1 for one in unknown if one.state is not RecordState.IN_STEP),
            )
        # One more for the batch that found nothing: the next turn follows at once.
        return len(ids) + 1

    def _doubted(self, one: Record, now: datetime) -> Record:
        return doubted(one, self._contract, timing=self._timing, now=now)

    def _lift(self, now: datetime) -> int:
        with self._database.reading() as connection:
            if not self._is_known(connection, now):
                return 0
        with self._database.transaction() as connection:
            held = bindings.hold_still(connection, self._destination)
            if held is None or held.unknown_since is None or held.marking:
                return 0  # another relay was first, or it was bound anew
            if not self._is_known(connection, now):
                return 0
            bindings.believe(connection, self._destination)
            audit.write_down(
                connection,
                actor=ACTOR,
                action="destination_known_again",
                subject=self._destination,
                now=now,
                reason="every record that can be looked up has been",
                before={"unknown_since": held.unknown_since.isoformat(), "records": held.total},
                after={"unknown_since": None},
            )
        logger.info("destination_known_again", destination=self._destination, records=held.total)
        return 1

    def _is_known(self, connection: Connection, now: datetime) -> bool:
        if unknown_records.any_to_look_up(connection, self._destination, now):
            return False
        held = bindings.standing(connection, self._destination)
        oldest = entries.oldest_new(connection, self._destination)
        # An entry from before may ask for what was sent in the time that was lost: it is folded first.
        return held is not None and (
            oldest is None or held.unknown_since is None or oldest > held.unknown_since
        )

    def _wake(self, now: datetime) -> int:
        with self._database.reading() as connection:
            if not unknown_records.any_asleep(connection, self._destination):
                return 0
        with self._database.transaction() as connection:
            return unknown_records.wake_asleep(connection, self._destination, now, limit=WAKE_BATCH)
