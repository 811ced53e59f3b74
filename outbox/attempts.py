"""All SQL on `attempt`: every call for a record, committed before it is made.

One idea: what may have happened there is known here first; the quota's log can be made again from
these rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from schema.keys import AttemptId
from schema.outcomes import OutcomeName
from schema.plans import Call
from schema.record import Record
from schema.states import Lane
from schema.tables import attempt

MAX_ANSWER = 4_000
"""Characters of an answer that are kept: enough for every complaint of the API in full."""


# Made once: these two run for every call.
_OPEN = insert(attempt).returning(attempt.c.id)
_SETTLE = update(attempt).where(
    attempt.c.id == bindparam("settled_id"), attempt.c.outcome.is_(None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How an attempt ended, as it is written down."""

    outcome: OutcomeName
    answered_at: datetime | None
    status: int | None = None
    request_id: str | None = None
    duration: timedelta | None = None
    answer: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request of the window, for a quota that lost its log."""

    grant_id: str
    lane: Lane
    marked_at: datetime
    answered_at: datetime | None
    settled: bool


def open_attempt(
    connection: Connection, record: Record, call: Call, *, grant_id: str, now: datetime
) -> AttemptId:
    """Write down that a call is about to be sent."""
    values = {
        "record_id": record.id,
        "destination": record.destination,
        "lane": record.lane.value,
        "token": record.token,
        "grant_id": grant_id,
        "operation": call.operation,
        "fingerprint": call.request.fingerprint(),
        "request": call.request.as_json(),
        "base": record.accepted if call.request.writes else None,
        "marked_at": now,
    }
    return AttemptId(connection.execute(_OPEN, values).scalar_one())


def settle(connection: Connection, attempt_id: AttemptId, settled: Settled) -> None:
    """Write down how a call ended. The first word stands; a later one changes nothing."""
    milliseconds = (
        None if settled.duration is None else settled.duration / timedelta(milliseconds=1)
    )
    values = {
        "settled_id": attempt_id,
        "outcome": settled.outcome.value,
        "answered_at": settled.answered_at,
        "status": settled.status,
        "request_id": settled.request_id,
        "duration_ms": None if milliseconds is None else round(milliseconds),
        "answer": None if settled.answer is None else settled.answer[:MAX_ANSWER],
        "detail": settled.detail,
    }
    connection.execute(_SETTLE, values)


def abandon(connection: Connection, record_ids: Sequence[int]) -> None:
    """Settle the open attempts of records whose holder ended: writes in doubt, reads as failed."""
    open_ones = (attempt.c.record_id.in_(record_ids), attempt.c.outcome.is_(None))
    if not record_ids:
        return
    detail = "the worker ended before it could settle the call"
    reads = attempt.c.request["method"].as_string() == "GET"
    for condition, outcome in ((reads, OutcomeName.TRANSIENT), (~reads, OutcomeName.IN_DOUBT)):
        connection.execute(
            update(attempt)
            .where(*open_ones, condition)
            .values(outcome=outcome.value, detail=detail)
        )


def of_record(connection: Connection, record_id: int) -> list[dict[str, Any]]:
    """Read all attempts at a record, oldest first, a mapping each."""
    query = select(attempt).where(attempt.c.record_id == record_id).order_by(attempt.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def since(connection: Connection, destination: str, moment: datetime) -> list[PastRequest]:
    """Read the requests made since a moment, and those still open then."""
    rows = connection.execute(
        select(
            attempt.c.grant_id,
            attempt.c.lane,
            attempt.c.marked_at,
            attempt.c.answered_at,
            attempt.c.outcome,
        )
        .where(
            attempt.c.destination == destination,
            attempt.c.marked_at >= moment,
        )
        .order_by(attempt.c.marked_at)
    )
    return [
        PastRequest(
            grant_id=grant_id,
            lane=Lane(lane),
            marked_at=marked,
            answered_at=answered,
            settled=outcome is not None,
        )
        for grant_id, lane, marked, answered, outcome in rows
    ]


def counts(connection: Connection, destination: str, *, after: int = 0) -> dict[str, int]:
    """Count calls by outcome; `open` are those without one."""
    rows = connection.execute(
        select(attempt.c.outcome, func.count())
        .where(attempt.c.destination == destination, attempt.c.id > after)
        .group_by(attempt.c.outcome)
    )
    return {outcome or "open": number for outcome, number in rows}
