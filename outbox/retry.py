"""What becomes of a record after an outcome. Pure.

One idea: each outcome has exactly one rule, and only real failures count as a try.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from records.conflict import both_changed
from records.fold import Folded, release
from schema.days import just_after_midnight
from schema.keys import EntryId
from schema.outcomes import (
    AlreadyThere,
    Blame,
    Conflict,
    InDoubt,
    InvalidHere,
    KeyRefused,
    Later,
    Outcome,
    Refusal,
    Refused,
    Throttled,
    Transient,
)
from schema.plans import Call
from schema.record import Lock, Mark, Problem, Record
from schema.states import DOUBTS, GateReason, Reason, RecordState
from schema.words import several

FIRST_BACKOFF = timedelta(seconds=2)
"""Base of the first wait after a failure; halved at most by the jitter: 1 to 2 s."""

LONGEST_BACKOFF = timedelta(seconds=60)
"""Cap of the waits after failures. A server fault that lasts is the breaker's affair."""

TRIES = 10
"""Failures in a row before a record may be given up..."""

PATIENCE = timedelta(hours=24)
"""...and how long they must have gone on: an outage of a night ends by itself."""

TAKES = 5
"""Takings in a row without an orderly end before a record counts as one that kills its worker."""

LOCKS = 50
"""How many refused requests are kept with a record, the newest. A local system that sends one bad
value after the other makes its row grow no further; what is forgotten may be refused once more."""

LOOK_SOON = timedelta(seconds=1)
"""How soon to look when an unclear answer came: the call is over, nothing can land any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The durations a delivery lives by. Their relations are checked when settings are read."""

    send_by: timedelta
    deadline: timedelta
    lease: timedelta
    quarantine: timedelta
    window: timedelta
    ring: timedelta = timedelta(seconds=15)

    def safe_to_look(self, mark: Mark) -> datetime:
        """Say from when on nothing sent under a mark can land there any more.

        A look that began earlier may show that it was done, never that it was not.
        """
        if mark.over_at is not None:
            return mark.over_at
        return mark.at + self.send_by + self.deadline + self.quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """What an answer says to everybody: a gate is to be shut."""

    reason: GateReason
    until: datetime | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When an outcome is settled: our clock, the server's (its `Date`), and the dice."""

    now: datetime
    server_now: datetime
    dice: Random
    moved_on: bool = False
    """What is wanted has changed since the call was planned."""


def backoff(tries: int, dice: Random) -> timedelta:
    """Give the wait after the n-th failure: 2 s doubling to 60 s, of which 50 to 100 %."""
    base = min(FIRST_BACKOFF * 2 ** min(tries - 1, 10), LONGEST_BACKOFF)
    return base * dice.uniform(0.5, 1.0)


def after(
    outcome: Outcome, record: Record, call: Call, *, cause: str, timing: Timing, moment: Moment
) -> Folded:
    """Say what becomes of a taken record after an outcome other than `Delivered`."""
    if isinstance(outcome, InDoubt):
        return Folded(record=_doubt(record, outcome, timing, moment))
    asked = _Asked(call=call, cause=cause, entries=carried(record, call))
    # A look-up never takes the mark off: the doubt it was to settle is still one.
    freed = release(record) if call.request.writes else Folded(record=record)
    return replace(freed, record=_rule(outcome, freed.record, asked, moment))


def carried(record: Record, call: Call) -> tuple[EntryId, ...]:
    """Give the entries whose wishes a call carries."""
    entries = {record.pending[name].stamp.entry for name in call.fields if name in record.pending}
    if call.move and record.path:
        entries.add(record.path[0].stamp.entry)
    return tuple(sorted(entries))


def shut_by(outcome: Outcome, timing: Timing, moment: Moment) -> Shut | None:
    """Say what an outcome shuts for everybody, whatever has become of its record."""
    match outcome:
        case Throttled(retry_after=wait):
            until = moment.now + (wait or _to_next_window(moment, timing.window))
            detail = "the API answered 429, too many requests"
            return Shut(reason=GateReason.THROTTLED, until=until, detail=detail)
        case KeyRefused(status=0):
            detail = "the key cannot be read or sent; see `pillarbox check`"
            return Shut(reason=GateReason.KEY_REFUSED, until=None, detail=detail)
        case KeyRefused(status=status):
            detail = f"the API answered {status}: it does not accept the key"
            return Shut(reason=GateReason.KEY_REFUSED, until=None, detail=detail)
        case _:
            return None


def lapse(record: Record, *, timing: Timing, now: datetime) -> Record:
    """Say what becomes of a record whose ring or lease ran out.

    A ring nobody answered is rung again. A holder that died before its mark left nothing there;
    one that died after it may have: in doubt, never due.
    """
    if record.state is RecordState.TAKEN and record.takes >= TAKES:
        detail = f"{record.takes} workers in a row ended while they had this record"
        return bury(record, Problem(reason=Reason.EXHAUSTED, detail=detail, at=now))
    if record.mark is not None:
        doubtful = put_off(record, Reason.LEASE_RAN_OUT, timing.safe_to_look(record.mark))
        return doubtful.but(look_first=True, due_at=max(now, doubtful.due_at or now))
    return put_off(record, record.reason, now)


def bury(record: Record, problem: Problem, state: RecordState = RecordState.DEAD) -> Record:
    """Put it in front of a person, dead or held; what is in doubt stays in doubt meanwhile."""
    if record.mark is not None:
        state = RecordState.IN_DOUBT
    return record.but(
        state=state,
        reason=problem.reason,
        problem=problem,
        due_at=None,
        lease_until=None,
        waits_for=None,
        takes=0,
    )


def put_back(record: Record, reason: Reason | None, due_at: datetime) -> Record:
    """Give a taken record back, due then, at no cost."""
    return replace(put_off(record, reason, due_at), takes=max(0, record.takes - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A call that was made, what it was planned from, hashed, and the entries it carried."""

    call: Call
    cause: str
    entries: tuple[EntryId, ...]


def _rule(outcome: Outcome, record: Record, asked: _Asked, moment: Moment) -> Record:
    call = asked.call
    match outcome:
        case AlreadyThere():
            return _look(record, call, moment)
        case Throttled() | KeyRefused():
            # Due at once: it is the gate that stops it, for as long as that is shut.
            return put_back(record, Reason.GATE, moment.now)
        case Transient(detail=detail):
            return _failed(record, call, detail, moment)
        case Later(refusals=refusals):
            until = _tomorrow_there(moment)
            wait = Problem(reason=Reason.SNOOZED, detail=_words(refusals), operation=call.operation)
            return replace(put_off(record, Reason.SNOOZED, until), problem=wait, takes=0)
        case Refused():
            return _refused(record, asked, outcome, moment)
        case InvalidHere(field=field, detail=detail):
            return bury(
                record,
                Problem(
                    reason=Reason.INVALID_HERE,
                    detail=detail,
                    field=field,
                    operation=call.operation,
                    at=moment.now,
                ),
            )
        case Conflict(field=field, base=base, ours=ours, theirs=theirs):
            both = both_changed(field, base, ours, theirs)
            return bury(record, replace(both, operation=call.operation, at=moment.now))
        case _:
            raise TypeError(f"{type(outcome).__name__} is settled elsewhere")


def _tomorrow_there(moment: Moment) -> datetime:
    """Give when it is just after midnight in London by the server's clock, told by ours.

    Due at midnight by a clock that is ahead of theirs, it would be refused at once, again and again.
    """
    return moment.now + (just_after_midnight(moment.server_now) - moment.server_now)


def put_off(record: Record, reason: Reason | None, due_at: datetime) -> Record:
    """Let it wait until then; a doubt stays a doubt."""
    doubtful = record.mark is not None
    state = RecordState.IN_DOUBT if doubtful else RecordState.WAITING
    if doubtful and reason not in DOUBTS:
        reason = record.reason if record.reason in DOUBTS else Reason.NO_ANSWER
    return record.but(state=state, reason=reason, due_at=due_at, lease_until=None, waits_for=None)


def _look(record: Record, call: Call, moment: Moment) -> Record:
    return replace(
        put_off(record, Reason.LOOK_FIRST, moment.now),
        look_first=True,
        already=call.request.fingerprint(),
        calls=record.calls + 1,
        takes=0,
    )


def _to_next_window(moment: Moment, window: timedelta) -> timedelta:
    """Give the time to the next multiple of the window, by the server's clock, with a jitter."""
    seconds = window.total_seconds()
    passed = moment.server_now.timestamp() % seconds
    spread = min(5.0, seconds / 10)
    return timedelta(seconds=seconds - passed + moment.dice.uniform(0.1, 1.0) * spread)


def _failed(record: Record, call: Call, detail: str, moment: Moment) -> Record:
    tries = record.tries + 1
    since = record.first_try_at or moment.now
    tried = record.but(tries=tries, first_try_at=since, takes=0)
    if record.mark is None and tries >= TRIES and moment.now - since >= PATIENCE:
        tired = f"failed {several(tries, 'time')} since {since:%Y-%m-%d %H:%M} UTC: {detail}"
        exhausted = Problem(
            reason=Reason.EXHAUSTED, detail=tired, operation=call.operation, at=moment.now
        )
        return bury(tried, exhausted)
    waiting = put_off(tried, Reason.BACKOFF, moment.now + backoff(tries, moment.dice))
    failure = Problem(reason=Reason.BACKOFF, detail=detail, operation=call.operation)
    return waiting if record.problem is not None else waiting.but(problem=failure)


def _doubt(record: Record, outcome: InDoubt, timing: Timing, moment: Moment) -> Record:
    mark, due = record.mark, moment.now + LOOK_SOON
    if mark is not None and outcome.answered:
        mark = replace(mark, over_at=moment.now)
    elif mark is not None:
        due = timing.safe_to_look(mark)
    return replace(
        put_off(record, outcome.reason, due),
        mark=mark,
        look_first=True,
        tries=record.tries + 1,
        first_try_at=record.first_try_at or moment.now,
        takes=0,
        problem=Problem(reason=outcome.reason, detail=outcome.detail),
    )


def _refused(record: Record, asked: _Asked, outcome: Refused, moment: Moment) -> Record:
    call = asked.call
    problem = Problem(
        reason=Reason.REFUSED,
        detail=_words(outcome.refusals) or f"the API answered {outcome.status} without a reason",
        field=outcome.refusals[0].title if outcome.refusals else None,
        operation=call.operation,
        status=outcome.status,
        at=moment.now,
    )
    if not call.request.writes:
        return _ask_for_a_merge(record, outcome, problem, moment) or bury(record, problem)
    lock = Lock(
        fingerprint=call.request.fingerprint(),
        data=outcome.blame is Blame.DATA,
        cause=asked.cause,
        entries=asked.entries,
        problem=problem,
    )
    locked = record.but(locks=_with(record.locks, lock), calls=record.calls + 1)
    asking = _ask_for_a_merge(locked, outcome, problem, moment)
    if asking is not None:
        return asking
    if moment.moved_on or _left(record, call):
        # What is wanted beyond the refused request goes on; admission finds what is locked.
        return replace(put_off(locked, None, moment.now), problem=problem, takes=0)
    return bury(locked, problem)


def _ask_for_a_merge(
    record: Record, outcome: Refused, problem: Problem, moment: Moment
) -> Record | None:
    """An id that was known and no longer is may have been merged into another: look, once."""
    if outcome.merged_by is None:
        return None
    looking = put_off(record, Reason.LOOK_FIRST, moment.now)
    return looking.but(look_first=True, missing=True, problem=problem, takes=0)


def not_merged(record: Record, now: datetime) -> Record:
    """Put in front of a person what is not known there, and was merged into nothing."""
    problem = Problem(
        reason=Reason.REFUSED,
        status=404,
        field="participant_id",
        detail=f"{record.remote_id} is not known there any more, or not to you, and nobody is "
        "listed there whom it was merged into",
        at=now,
    )
    return bury(record.but(missing=False, look_first=record.mark is not None), problem)


def _with(locks: Mapping[str, Lock], lock: Lock) -> dict[str, Lock]:
    """Keep a lock beside the others, the newest `LOCKS` of them."""
    kept = {**locks, lock.fingerprint: lock}
    newest = sorted(kept.values(), key=lambda one: max(one.entries, default=0), reverse=True)
    return {one.fingerprint: one for one in newest[:LOCKS]}


def _left(record: Record, call: Call) -> bool:
    """Whether anything is wanted beyond what a write carried."""
    moves = len(record.path) - (1 if call.move else 0)
    return moves > 0 or bool(record.pending.keys() - call.fields.keys())


def _words(refusals: tuple[Refusal, ...]) -> str:
    return "; ".join(f"{refusal.title}: {refusal.detail}" for refusal in refusals)
