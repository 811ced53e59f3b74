"""One attempt at one record, from the ring to the outcome.

One idea: three short transactions with the call between the last two. What is about to be sent is
committed before it is sent; what came of it is written only by whoever still holds the record.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from outbox import attempts, bindings, entries
from outbox.admission import (
    CREATES,
    Decision,
    Go,
    agreeing,
    cause,
    decide,
    sent_too_often,
    with_leave,
)
from outbox.admitting import ENDED
from outbox.decided import may_heal, settled_without_call, waits, wake
from outbox.errors import QuotaAway
from outbox.gates import Gates, release
from outbox.relay import Ring
from outbox.retry import (
    Moment,
    Shut,
    Timing,
    after,
    bury,
    carried,
    not_merged,
    put_back,
    shut_by,
)
from outbox.standing import Ajar, Open
from records import dispatching, fold, holding, links, reads, store
from records.fold import Folded, accept
from records.reads import Seen
from runtime import metrics
from runtime.clock import Clock
from runtime.database import Database
from runtime.points import Point, reach
from schema.contract import Contract
from schema.keys import AttemptId
from schema.outcomes import Came, Delivered, OutcomeName, Throttled, detail_of, name_of
from schema.plans import Call
from schema.record import Mark, Problem, Record
from schema.states import Lane, Reason, RecordState, Writes

logger = structlog.get_logger(__name__)

LONGEST_WAIT_HERE = timedelta(seconds=1)
"""How long a worker waits for a slot with a record in hand. A longer wait gives the record back,
so that a newer version of it, or a pause, is not kept waiting with it."""

LEFT_TO_OTHERS = timedelta(minutes=1)
"""How soon a record is due again that a process took which speaks for another destination."""

QUOTA_AWAY = timedelta(seconds=5)
"""How soon to try again when Redis cannot be asked for a slot."""

SETTLE_FOR = timedelta(seconds=30)
SETTLE_TRIES = 20
LONGEST_SETTLE_WAIT_S = 2.0
"""How long, and how often, settling is repeated when the database ends the transaction, by a deadlock
or a restart. After that the lease runs out and the record is looked up: slower, never wrong."""

LET_GO_FOR = timedelta(seconds=5)
"""How long a record rests that was given back because the database failed before the call. Less, and
a database that refuses to write is asked by every worker all the time."""

Result = TypeVar("Result")

FIRST_REFUSAL = 400
"""Statuses from here on are answers that a person may have to read."""


class Grant(Protocol):
    """A slot of the quota."""

    @property
    def id(self) -> str:
        """What the attempt's row is found by after a loss of the log."""
        ...


class Pace(Protocol):
    """What delivery needs of the quota."""

    def ask(self, lane: Lane) -> Grant | timedelta:
        """Give a slot, or how long to wait; raises `QuotaAway`."""
        ...

    def still_good(self, grant: Grant) -> bool:
        """Say whether the call may be made, now that its row is committed."""
        ...

    def answered(self, grant: Grant) -> None:
        """Date the slot now."""
        ...

    def unused(self, grant: Grant) -> None:
        """Give it back: no byte has left."""
        ...

    def refused(self, grant: Grant, again_after: timedelta | None) -> None:
        """Date the slot of a call answered 429."""
        ...


MakeCall = Callable[[Call, Record, Sequence[Record], float], Came]
"""Sends a call unless its last argument, a monotonic time, has passed; gives what came of it."""


class Ended(StrEnum):
    """How a delivery ended, for metrics and tests."""

    STALE = "stale"
    GATE = "gate"
    NOT_OURS = "not_ours"
    NO_CALL = "no_call"
    NO_SLOT = "no_slot"
    MOVED_ON = "moved_on"
    SETTLED = "settled"
    LATE = "late"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    record: Record
    kin: tuple[Record, ...]
    writes: Writes | None
    """None when the database has been bound anew since this process was started."""
    probe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    came: Came
    key_print: str | None
    """Names the key that the call was made with."""
    shut: Shut | None
    """What the answer says to everybody, whatever has become of the record."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    record: Record
    kin: tuple[Record, ...]
    call: Call
    at: datetime
    """When it was decided: the call begins no earlier."""
    probe: str | None = None
    """Under which name this call tries a gate; it decides whether all others may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marked:
    attempt: AttemptId
    record: Record
    """As it stands in the database since the mark."""
    send_by: float


class Deliverer:
    """Delivers records of one destination; safe to share between threads."""

    def __init__(
        self,
        *,
        database: Database,
        contract: Contract,
        destination: str,
        clock: Clock,
        timing: Timing,
        pace: Pace,
        make_call: MakeCall,
        dice: Random,
        gates: Gates | None = None,
        sleep: Callable[[float], None] = time.sleep,
        generation: int = 1,
    ) -> None:
        """*generation* is the binding's when this process was started: see `bindings.Standing`.

        Without *gates* the key is called like the destination, and never seen to change.
        """
        self._gates = gates or Gates(destination=destination, key_name=destination)
        self._database = database
        self._contract = contract
        self._destination = destination
        self._clock = clock
        self._timing = timing
        self._pace = pace
        self._make_call = make_call
        self._dice = dice
        self._sleep = sleep
        self._generation = generation
        self.bound_anew = False
        """The database speaks for another destination by now: this process is to end."""

    def deliver(self, ring: Ring) -> Ended:
        """Answer a ring: take the record, call if that is what comes next, settle."""
        now = self._clock.now()
        held = self._take(ring, now)
        if isinstance(held, Ended):
            return held
        ended = self._with(held, now)
        if held.probe is not None:
            self._end_probe(held.probe)  # after an error it ends with the lease, as the record's
        return ended

    def _with(self, held: _Held, now: datetime) -> Ended:
        if held.writes is None:
            return self._not_ours(held.record, now)
        taken = self._decided(held, held.writes, now) or self._without_call(held, now)
        if isinstance(taken, Ended):
            return taken
        grant = None
        try:
            grant = self._slot(taken)
            if grant is None:
                return Ended.NO_SLOT
            reach(Point.SLOT_GIVEN)
            marked = self._mark(taken, grant)
        except OperationalError:
            if grant is not None:
                self._pace.unused(grant)
            self._patiently(lambda: self._let_go(taken))
            raise
        if marked is None:
            self._pace.unused(grant)
            return Ended.MOVED_ON
        reach(Point.MARK_COMMITTED)
        # Before the call: a key that is changed meanwhile is then one that nobody has refused.
        key_print = self._gates.key_print()
        came = self._make_call(taken.call, taken.record, taken.kin, marked.send_by)
        reach(Point.ANSWERED)
        heard = self._heard(came, key_print)
        self._date_slot(grant, heard)
        reach(Point.SLOT_DATED)
        metrics.CALLS.labels(outcome=name_of(came.outcome).value).inc()
        return self._settle(taken, marked, heard)

    # take

    def _take(self, ring: Ring, now: datetime) -> _Held | Ended:
        until = now + self._timing.lease
        with self._database.at_once() as connection:
            found = holding.take_with_kin(
                connection,
                ring.record_id,
                ring.token,
                until=until,
                open_at=now,
                generation=self._generation,
                key_name=self._gates.key_name,
            )
            reach(Point.TAKE_UNCOMMITTED)
        reach(Point.TAKE_COMMITTED)
        if found is None:
            return self._not_taken(ring, now)
        return _Held(record=found.record, kin=tuple(found.kin), writes=found.writes)

    def _not_ours(self, record: Record, now: datetime) -> Ended:
        """Leave it to those who were started under the binding that is in force."""
        self.bound_anew = True
        logger.error("bound_anew", destination=self._destination, record_key=str(record.key))
        with self._database.transaction() as connection:
            self._give_back(connection, record, Reason.GATE, now + LEFT_TO_OTHERS)
        return Ended.NOT_OURS

    def _decided(self, held: _Held, writes: Writes, now: datetime) -> _Taken | None:
        decision = with_leave(decide(held.record, held.kin, self._contract, now), writes, now)
        if not isinstance(decision, Go):
            return None
        return _Taken(
            record=held.record, kin=held.kin, call=decision.call, at=now, probe=held.probe
        )

    def _without_call(self, held: _Held, now: datetime) -> _Taken | Ended:
        """Settle what needs no call, decided anew with the family locked: it may have changed."""
        taken = held.record
        with self._database.transaction() as connection:
            family = store.of_family(connection, taken.destination, taken.family, lock=True)
            record = next((one for one in family if one.id == taken.id), None)
            if record is None or record.token != taken.token:
                return Ended.STALE
            kin = [one for one in family if one.id != record.id]
            decision = self._leave(connection, decide(record, kin, self._contract, now), now)
            if isinstance(decision, Go):
                return _Taken(
                    record=record, kin=tuple(kin), call=decision.call, at=now, probe=held.probe
                )
            settled, closed = settled_without_call(record, decision, self._contract, now)
            holding.update_held(connection, settled, record.token)
            entries.close(connection, closed, now=now)
            if settled.state in ENDED:
                dispatching.wake(connection, record.destination, record.family, now)
        return Ended.NO_CALL

    def _leave(self, connection: Connection, decision: Decision, now: datetime) -> Decision:
        if not isinstance(decision, Go) or not decision.call.request.writes:
            return decision
        return with_leave(decision, bindings.writes(connection, self._destination), now)

    def _not_taken(self, ring: Ring, now: datetime) -> _Held | Ended:
        """Take what only a gate stopped: as its probe, or to give it back until the gate opens."""
        until = now + self._timing.lease
        with self._database.transaction() as connection:
            # The record first, then the gates: in the order in which settling locks them.
            record = holding.take(connection, ring.record_id, ring.token, until=until)
            if record is None:
                return Ended.STALE
            standing = self._gates.standing(connection, now)
            probe = f"{record.id}/{record.token}"
            match standing:
                case Ajar(free=True) if self._gates.claim(
                    connection, standing, probe, now=now, until=until
                ):
                    logger.info("gate_probed", record_key=str(record.key))
                case Open():
                    probe = None
                case _:
                    self._give_back(connection, record, Reason.GATE, now)
                    return Ended.GATE
            family = store.of_family(connection, record.destination, record.family)
            stands = bindings.standing(connection, self._destination)
        ours = stands is not None and stands.generation == self._generation
        kin = tuple(one for one in family if one.id != record.id)
        writes = stands.writes if stands is not None and ours else None
        return _Held(record=record, kin=kin, writes=writes, probe=probe)

    def _end_probe(self, probe: str) -> None:
        """Let another one try, where this call has said nothing of the gate."""
        with self._database.transaction() as connection:
            release(connection, probe)

    def _give_back(
        self, connection: Connection, record: Record, reason: Reason, due_at: datetime
    ) -> None:
        holding.update_held(connection, put_back(record, reason, due_at), record.token)

    # slot

    def _slot(self, taken: _Taken) -> Grant | None:
        """Get a slot, or give the record back, due when there may be one."""
        try:
            answer = self._pace.ask(taken.record.lane)
            if isinstance(answer, timedelta) and answer <= LONGEST_WAIT_HERE:
                self._sleep(answer.total_seconds())
                answer = self._pace.ask(taken.record.lane)
        except QuotaAway:
            answer = QUOTA_AWAY
        if not isinstance(answer, timedelta):
            return answer
        now = self._clock.now()
        with self._database.transaction() as connection:
            fresh = store.by_id(connection, taken.record.id, lock=True)
            if fresh is not None and fresh.token == taken.record.token:
                self._give_back(connection, fresh, Reason.QUOTA, now + answer)
        return None

    # mark

    def _mark(self, taken: _Taken, grant: Grant) -> _Marked | None:
        """Commit "about to send"; None when the call is not to be made, which costs nothing."""
        now = self._clock.now()
        send_by = self._clock.monotonic() + self._timing.send_by.total_seconds()
        record, call = taken.record, taken.call
        mark = _mark(record, call, now) if call.request.writes else None
        until = now + self._timing.lease
        try:
            with self._database.at_once() as connection:
                attempt = attempts.open_attempt(
                    connection,
                    record,
                    call,
                    grant_id=grant.id,
                    mark=mark,
                    now=now,
                    until=until,
                    generation=self._generation,
                )
                reach(Point.MARK_UNCOMMITTED)
        except attempts.MovedOn:
            self._go_back(taken, now)
            return None
        # Asked once the row is committed: a log that was lost meanwhile is made again from rows.
        if not self._pace.still_good(grant):
            self._never_sent(taken, attempt)
            return None
        held = record.but(lease_until=until)
        if mark is not None:
            held = held.but(mark=replace(mark, attempt=attempt))
        return _Marked(attempt=attempt, record=held, send_by=send_by)

    def _go_back(self, taken: _Taken, now: datetime) -> None:
        with self._database.transaction() as connection:
            fresh = store.by_id(connection, taken.record.id, lock=True)
            if fresh is not None and fresh.token == taken.record.token:
                self._give_back(connection, fresh, fresh.reason or Reason.QUOTA, now)

    def _never_sent(self, taken: _Taken, attempt: AttemptId) -> None:
        """Take a mark back: its slot came too long ago to be sure of, and nothing has left."""
        now = self._clock.now()
        unsent = attempts.Settled(
            outcome=OutcomeName.TRANSIENT, answered_at=now, detail=attempts.NEVER_SENT
        )
        with self._database.transaction() as connection:
            # The record is locked first, as everywhere.
            fresh = store.by_id(connection, taken.record.id, lock=True)
            attempts.settle(connection, attempt, unsent)
            if fresh is None or fresh.token != taken.record.token:
                return
            writes = taken.call.request.writes
            folded = fold.release(fresh) if writes else Folded(record=fresh)
            self._give_back(connection, folded.record, Reason.QUOTA, now)
            entries.close(connection, folded.closed, now=now)

    def _let_go(self, taken: _Taken) -> None:
        """Give back what the database's trouble left in hand, instead of keeping it for a lease.

        Whether the mark was committed is not known, but nothing has left.
        """
        now = self._clock.now()
        with self._database.transaction() as connection:
            fresh = store.by_id(connection, taken.record.id, lock=True)
            if fresh is None or fresh.token != taken.record.token:
                return
            opened = attempts.unsent(connection, fresh, now=now)
            mine = fresh.mark is not None and fresh.mark.attempt in opened
            folded = fold.release(fresh) if mine else Folded(record=fresh)
            self._give_back(connection, folded.record, Reason.QUOTA, now + LET_GO_FOR)
            entries.close(connection, folded.closed, now=now)

    # settle

    def _heard(self, came: Came, key_print: str | None) -> _Heard:
        now = self._clock.now()
        moment = Moment(now=now, server_now=came.server_date or now, dice=self._dice)
        shut = shut_by(came.outcome, self._timing, moment)
        return _Heard(came=came, key_print=key_print, shut=shut, at=now)

    def _date_slot(self, grant: Grant, heard: _Heard) -> None:
        shut = heard.shut
        if (
            isinstance(heard.came.outcome, Throttled)
            and shut is not None
            and shut.until is not None
        ):
            # What others have used is booked for as long as the gate is shut: then there is a slot
            # for the probe.
            self._pace.refused(grant, shut.until - heard.at)
        else:
            self._pace.answered(grant)

    def _settle(self, taken: _Taken, marked: _Marked, heard: _Heard) -> Ended:
        def settle() -> Ended:
            if self._settle_usual(taken, marked, heard.came):
                return Ended.SETTLED
            return self._settle_once(taken, marked.attempt, heard)

        ended = self._patiently(settle)
        if ended is Ended.LATE:
            metrics.LATE_SETTLES.inc()
        return ended

    def _patiently(self, deed: Callable[[], Result]) -> Result:
        """Do something on the database, and again where its trouble came in between."""
        turn = 0
        give_up = self._clock.monotonic() + SETTLE_FOR.total_seconds()
        while True:
            try:
                return deed()
            except DBAPIError:
                if self._clock.monotonic() > give_up or turn >= SETTLE_TRIES:
                    raise
                self._sleep(min(0.05 * 2**turn, LONGEST_SETTLE_WAIT_S))
                turn += 1

    def _settle_usual(self, taken: _Taken, marked: _Marked, came: Came) -> bool:
        """Settle a write that was done, in one round trip; False when it is not as usual as that.

        The database says whether it is: nobody changed the record since the mark, nobody waits for
        it. So what `_settle_once` reads again first is known here. A probe also opens its gate.
        """
        if taken.probe is not None:
            return False
        if not (isinstance(came.outcome, Delivered) and taken.call.request.writes):
            return False
        now = self._clock.now()
        folded = self._delivered(taken, marked.record, came.outcome, now)
        with self._database.at_once() as connection:
            done = attempts.settle_usual(
                connection,
                marked.attempt,
                _written(came, now),
                written=folded.record,
                planned=marked.record,
                closed=folded.closed,
                now=now,
            )
            if done:
                reach(Point.SETTLE_UNCOMMITTED)
        if done:
            reach(Point.SETTLE_COMMITTED)
            _tell(taken, came, folded.record)
        return done

    def _settle_once(self, taken: _Taken, attempt: AttemptId, heard: _Heard) -> Ended:
        now, came = self._clock.now(), heard.came
        with self._database.transaction() as connection:
            family = store.of_family(
                connection, taken.record.destination, taken.record.family, lock=True
            )
            record = next((one for one in family if one.id == taken.record.id), None)
            if record is None or record.token != taken.record.token:
                # Too late for the record; what the answer says of the key and the API still holds.
                attempts.settle(connection, attempt, _written(came, now))
                self._tell_gates(connection, taken, heard, now)
                logger.warning("late_settle", record_key=str(taken.record.key))
                return Ended.LATE
            if record.state is not RecordState.TAKEN:
                # Ours, and settled already: the commit went through and its reply was lost. Once
                # more, the try would count twice, and what came meanwhile would be undone.
                return Ended.SETTLED
            kin = [one for one in family if one.id != record.id]
            ended = self._ended(taken, record, kin, came, now)
            written = self._linked(connection, taken, ended.record, now)
            if taken.record.missing and written.reason is Reason.SAME_PERSON_TWICE:
                # Not followed: what is there is another record's, and says nothing of this one.
                ended = Folded(record=record)
                written = _twice(record.but(missing=False, look_first=False), now)
            attempts.settle_with(
                connection,
                attempt,
                _written(came, now),
                written=written,
                token=record.token,
                closed=ended.closed,
                now=now,
            )
            _wake(connection, kin, now, moved=_moved(record, written))
            self._tell_gates(connection, taken, heard, now)
            reach(Point.SETTLE_UNCOMMITTED)
        reach(Point.SETTLE_COMMITTED)
        _tell(taken, came, written)
        return Ended.SETTLED

    def _tell_gates(
        self, connection: Connection, taken: _Taken, heard: _Heard, now: datetime
    ) -> None:
        """Let the gates hear; after the record is written, so that rows are locked in one order."""
        self._gates.heard(
            connection,
            heard.came,
            shutting=heard.shut,
            probe=taken.probe,
            key_print=heard.key_print,
            now=now,
        )

    def _ended(
        self, taken: _Taken, record: Record, kin: Sequence[Record], came: Came, now: datetime
    ) -> Folded:
        if not taken.call.request.writes and not _same_thing(taken, record, kin):
            # It was linked to another remote thing meanwhile: this says nothing of that one.
            return Folded(record=put_back(record, Reason.LOOK_FIRST, now))
        if isinstance(came.outcome, Delivered):
            return self._delivered(taken, record, came.outcome, now)
        return after(
            came.outcome,
            record,
            taken.call,
            cause=cause(record, kin),
            timing=self._timing,
            moment=Moment(
                now=now,
                server_now=came.server_date or now,
                dice=self._dice,
                moved_on=record.revision != taken.record.revision,
            ),
        )

    def _delivered(
        self, taken: _Taken, record: Record, outcome: Delivered, now: datetime
    ) -> Folded:
        if not taken.call.request.writes:
            found = _followed(record, outcome)
            return (
                Folded(record=not_merged(record, now))
                if found is None
                else self._read(taken, found, outcome, now)
            )
        return accept(
            record.but(calls=record.calls + 1),
            outcome.accepted or {},
            agrees=agreeing(self._contract, record.key),
            status_field=self._contract.kinds[record.key.kind].status_field,
            now=now,
            remote_id=outcome.remote_id,
            remote_updated_at=outcome.remote_updated_at,
        )

    def _read(self, taken: _Taken, record: Record, outcome: Delivered, now: datetime) -> Folded:
        """Take over what a look-up shows; a doubt that it may not settle stays one."""
        mark = record.mark
        safe = None if mark is None else self._timing.safe_to_look(mark)
        folded = reads.take_over(
            record,
            Seen(
                accepted=outcome.accepted or {},
                began=taken.at,
                remote_id=outcome.remote_id,
                remote_updated_at=outcome.remote_updated_at,
            ),
            safe_to_look=safe,
            agrees=agreeing(self._contract, record.key),
            status_field=self._contract.kinds[record.key.kind].status_field,
            now=now,
        )
        if folded is None:
            return Folded(record=put_back(record, record.reason, safe or now))
        done = self._may_be_done(record, folded.record)
        if done is None:
            return folded
        sent = folded.record.but(creates=record.creates + 1)
        if sent.creates < CREATES:
            return replace(folded, record=sent)
        return replace(folded, record=bury(sent, replace(sent_too_often(done), at=now)))

    def _may_be_done(self, record: Record, after_it: Record) -> str | None:
        """Name the create that was in doubt, and that a look-up did not show."""
        mark = record.mark
        if mark is None or not after_it.changed:
            return None
        return mark.operation if self._contract.operations[mark.operation].creates else None

    def _linked(
        self, connection: Connection, taken: _Taken, record: Record, now: datetime
    ) -> Record:
        """Map a remote id that this call told us; held when another record has it already."""
        remote_id = record.remote_id
        if remote_id is None or remote_id == taken.record.remote_id:
            return record
        if links.link(connection, record, remote_id, record.role or "", now):
            return record
        return _twice(record.but(remote_id=None), now)


def _twice(record: Record, now: datetime) -> Record:
    """Hold a record whose remote thing another record has."""
    problem = Problem(
        reason=Reason.SAME_PERSON_TWICE,
        detail="another local record has this remote thing already",
        at=now,
    )
    return bury(record, problem, state=RecordState.HELD)


def _followed(record: Record, outcome: Delivered) -> Record | None:
    """Give the record under the id that its own was merged into; None when that is nowhere.

    A look that asked for no merge leaves it as it is.
    """
    if not record.missing:
        return record
    if outcome.remote_id is None or record.remote_id is None:
        return None
    return record.but(
        remote_id=outcome.remote_id,
        aliases=(*record.aliases, record.remote_id),
        serial_key=None,
        missing=False,
    )


def _same_thing(taken: _Taken, record: Record, kin: Sequence[Record]) -> bool:
    """Whether a record, and the head of its family, are still linked as when the call was made."""
    then = {one.id: (one.remote_id, one.role) for one in (taken.record, *taken.kin)}
    linked = [one for one in (record, *kin) if one is record or str(one.key) == record.family]
    return all(
        then.get(one.id, (one.remote_id, one.role)) == (one.remote_id, one.role) for one in linked
    )


def _mark(record: Record, call: Call, now: datetime) -> Mark:
    move = record.path[0].stamp.entry if call.move and record.path else None
    return Mark(
        attempt=AttemptId(0),  # set when its row is there
        operation=call.operation,
        fingerprint=call.request.fingerprint(),
        fields=call.fields,
        entries=carried(record, call),
        move=move,
        at=now,
    )


def _written(came: Came, now: datetime) -> attempts.Settled:
    name = name_of(came.outcome)
    return attempts.Settled(
        outcome=name,
        answered_at=now,
        status=came.status,
        request_id=came.request_id,
        duration=came.duration,
        # The body of a success holds a person; a refusal holds the API's words.
        answer=came.answer if (came.status or 0) >= FIRST_REFUSAL else None,
        detail=detail_of(came.outcome),
    )


def _moved(before: Record, written: Record) -> bool:
    """Whether a call told something new of a record: what its kin may have been refused for."""
    return (before.accepted, before.remote_id) != (written.accepted, written.remote_id)


def _wake(connection: Connection, kin: Sequence[Record], now: datetime, *, moved: bool) -> None:
    """Make kin due that wait for one another; their rows are locked, so none can park unseen."""
    store.update_all(
        connection, [wake(one, now) for one in kin if waits(one) or (moved and may_heal(one))]
    )


def _tell(taken: _Taken, came: Came, record: Record) -> None:
    logger.info(
        "attempt_settled",
        record_key=str(record.key),
        operation=taken.call.operation,
        outcome=name_of(came.outcome).value,
        status=came.status,
        request_id=came.request_id,
        remote_id=record.remote_id,
        state=record.state.value,
        reason=None if record.reason is None else record.reason.value,
    )
