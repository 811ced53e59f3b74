"""What admission decided, carried out on a record: pure, but for a line in the log.

One idea: the relay and the workers decide about the same records, and what a decision without a
call makes of one must not depend on who came by first.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from outbox.admission import Aside, Close, Park, agreeing
from outbox.retry import bury, put_off
from records.fold import accept
from schema.contract import Contract
from schema.keys import EntryId
from schema.record import Problem, Record
from schema.states import Closed, Reason, RecordState

logger = structlog.get_logger(__name__)


def settled_without_call(
    one: Record, decision: Close | Park | Aside, contract: Contract, now: datetime
) -> tuple[Record, Mapping[EntryId, Closed]]:
    """Carry out a decision that needs no call: the record as it then is, and what it closes."""
    free = one.but(lease_until=None, takes=0)
    match decision:
        case Close():
            folded = accept(
                free,
                one.accepted or {},
                agrees=agreeing(contract, one.key),
                status_field=contract.kinds[one.key.kind].status_field,
                now=now,
            )
            closed = folded.record.but(accepted=one.accepted, accepted_at=one.accepted_at)
            return _if_settled(closed, now), folded.closed
        case Park(reason=reason, due_at=due_at, waits_for=waits_for):
            return replace(put_off(free, reason, due_at), waits_for=waits_for), {}
        case Aside(problem=problem):
            aside = bury(free, _dated(problem, now), state=decision.state)
            logger.info("record_put_aside", record_key=str(one.key), reason=problem.reason.value)
            return aside, {}


def _dated(problem: Problem, now: datetime) -> Problem:
    """Say since when it stands aside; what a call said has the call's time already."""
    return replace(problem, at=problem.at or now)


def _if_settled(one: Record, now: datetime) -> Record:
    """Hold what nothing can be sent for though it differs: due again, it would be so for ever."""
    if one.state is not RecordState.WAITING:
        return one
    fields = ", ".join((*one.pending, *(move.to for move in one.path)))
    problem = Problem(
        reason=Reason.DOES_NOT_SETTLE,
        detail=f"{fields} still differs, but there is nothing that could be sent for it",
        at=now,
    )
    return one.but(state=RecordState.HELD, reason=problem.reason, problem=problem, due_at=None)


def waits(one: Record) -> bool:
    """Whether a record waits for another one of its family, or for an event."""
    return one.state is RecordState.WAITING and one.reason is Reason.WAITING_FOR


def may_heal(one: Record) -> bool:
    """Whether what has become of a kin may heal a dead letter; admission decides it anew.

    A refusal for the state there, and what was found invalid here: both were judged by the kin too.
    """
    if one.state is not RecordState.DEAD or one.mark is not None:
        return False
    refused = one.reason is Reason.REFUSED and any(not lock.data for lock in one.locks.values())
    return refused or one.reason is Reason.INVALID_HERE


def wake(one: Record, now: datetime) -> Record:
    """Let a record be decided about anew."""
    return one.but(due_at=now, state=RecordState.WAITING, reason=Reason.WAITING_FOR)
