"""The table of outcomes, worked out by the code itself: answer by operation, to outcome, to record.

One idea: the page shows what `gateway.answers` and `outbox.retry` really make of an answer, and a
test compares that with what was written by hand.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from gateway.answers import Answer, Failure, FailureKind, Reply, outcome
from outbox.retry import LOOK_SOON, Moment, Timing, after, shut_by
from schema.contract import Contract, Meaning, Operation, Rule
from schema.keys import AttemptId, EntryId, RecordId, RecordKey, RemoteId
from schema.outcomes import Outcome, name_of
from schema.plans import Call, Request
from schema.record import Mark, Pending, Record, Stamp
from schema.states import RecordState

NOON = datetime(2026, 2, 10, 12, tzinfo=UTC)
TIMING = Timing(
    send_by=timedelta(seconds=10),
    deadline=timedelta(seconds=30),
    lease=timedelta(minutes=2),
    quarantine=timedelta(minutes=2),
    window=timedelta(seconds=300),
)


def _answered(status: int, *refusals: tuple[str, str], **headers: str) -> Answer:
    errors = [{"title": title, "detail": detail} for title, detail in refusals]
    body = json.dumps({"errors": errors}).encode()
    return Answer(status=status, headers={"content-type": "application/json", **headers}, body=body)


UNKNOWN = ("somewhere", "A sentence that nobody here has read before.")

ANSWERS: Mapping[str, Reply] = {
    "2xx, unreadable": Answer(status=200, body=b"<html>"),
    "2xx, cut short": Failure(kind=FailureKind.CUT_SHORT, detail="cut", status=200),
    "3xx": Answer(status=302),
    "400, 422 not known": _answered(422, UNKNOWN),
    "401": _answered(401),
    "403": _answered(403),
    "404, 409, 410 not known": _answered(409, UNKNOWN),
    "408": _answered(408),
    "other 4xx, cut short": Failure(kind=FailureKind.CUT_SHORT, detail="cut", status=422),
    "429 with `Retry-After`": Answer(status=429, headers={"retry-after": "40"}),
    "429 without": Answer(status=429),
    "500": _answered(500),
    "501": _answered(501),
    "502, 503, 504": _answered(503),
    "no answer": Failure(kind=FailureKind.NO_ANSWER, detail="reset"),
    "not sent for sure": Failure(kind=FailureKind.NOT_SENT, detail="no route"),
    "a key that cannot be sent": Failure(kind=FailureKind.KEY_UNUSABLE, detail="no key"),
}
"""Every sort of answer, but 2xx with a readable body and the refusals that a contract knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of an answer: its outcome, and the record as it then is."""

    outcome: Outcome
    record: Record
    shuts: bool

    def words(self) -> str:
        """Say it in a table's cell."""
        record = self.record
        parts = [f"{record.state}".replace("_", " ")]
        if record.reason is not None:
            parts.append(f"`{record.reason}`")
        if record.missing:
            parts.append("asked for a merge first")
        if record.locks:
            [lock] = record.locks.values()
            parts.append("locked, `data`" if lock.data else "locked, `state`")
        if record.due_at is not None:
            parts.append(_when(record))
        parts.append("a try" if record.tries else "no try")
        if self.shuts:
            parts.append("the gate shuts")
        return f"`{name_of(self.outcome)}`: {', '.join(parts)}"


def _when(record: Record) -> str:
    wait = (record.due_at or NOON) - NOON
    if record.mark is not None and wait > LOOK_SOON:
        return "looked up after the quarantine"
    if record.look_first:
        return "looked up at once"
    return "again tomorrow" if wait > timedelta(hours=1) else "again later"


def came(contract: Contract, operation: Operation, reply: Reply) -> Came:
    """Work out what an answer to an operation becomes; the record waits with one wish."""
    record = _taken(operation)
    told = outcome(contract, operation, record, (), reply)
    request = Request(method=operation.method, path=operation.path, body={"x": 1})
    call = Call(
        operation=operation.name, request=request, fields={"x": 1} if operation.writes else {}
    )
    moment = Moment(now=NOON, server_now=NOON, dice=Random(1))
    ended = after(told, record, call, cause="c", timing=TIMING, moment=moment)
    shuts = shut_by(told, TIMING, moment) is not None
    return Came(outcome=told, record=ended.record, shuts=shuts)


def _taken(operation: Operation) -> Record:
    mark = Mark(
        attempt=AttemptId(1),
        operation=operation.name,
        fingerprint="f",
        fields={"x": 1},
        entries=(EntryId(1),),
        move=None,
        at=NOON,
    )
    return Record(
        id=RecordId(1),
        destination="default",
        key=RecordKey(operation.kind, "E-1", "started" if operation.kind == "declaration" else ""),
        family="f",
        state=RecordState.TAKEN,
        lease_until=NOON,
        takes=1,
        role="ecf-induction",
        remote_id=RemoteId("1"),
        pending={"x": Pending(value=1, stamp=Stamp(entry=EntryId(1), source="local"))},
        mark=mark if operation.writes else None,
    )


def refused(contract: Contract, operation: Operation, rule: Rule) -> Came:
    """Work out what a refusal that the contract knows becomes, answered to an operation."""
    status = 404 if rule.meaning is Meaning.MISSING else 422
    return came(contract, operation, _answered(status, (rule.title, f"{rule.detail} …")))


def writes(contract: Contract) -> Sequence[Operation]:
    """Give the operations that change something."""
    return [one for one in contract.operations.values() if one.writes]


def reads(contract: Contract) -> Sequence[Operation]:
    """Give the operations that change nothing."""
    return [one for one in contract.operations.values() if not one.writes]
