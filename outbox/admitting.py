"""One batch of due records, decided about and marked for the queue.

One idea: family by family, in the transaction that claimed them, so that two relays never decide
about the same record by what each of them saw.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from outbox import bindings, entries
from outbox.admission import Decision, Go, allowance, decide, with_leave
from outbox.decided import settled_without_call
from records import dispatching, store
from schema.contract import Contract
from schema.keys import EntryId, RecordKey
from schema.record import Record
from schema.states import Closed, Lane, RecordState, Writes

ENDED = frozenset({RecordState.IN_STEP, RecordState.HELD, RecordState.DEAD})
"""States in which a record holds up its kin no longer."""


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
        dispatching.wake_all(self._connection, self._destination, sorted(ended), self._now)
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
                family[key] = dispatching.dispatched(going, until=self._until)
                self.keys.append(key)


def serial_key(contract: Contract, one: Record, kin: Sequence[Record]) -> str | None:
    """Name the real remote thing behind a record: its own, or its family's head's."""
    for candidate in (one, *(other for other in kin if str(other.key) == one.family)):
        key = contract.serial_key(candidate)
        if key is not None:
            return key
    return None
