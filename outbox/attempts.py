"""All SQL on `attempt`: every call for a record, committed before it is made.

One idea: what may have happened there is known here first; the quota's log can be made again from
these rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Executable,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from outbox import entries, tallies
from outbox.entries import Swept
from outbox.standing import Tried
from records import holding
from runtime.bulk import among
from runtime.minutes import Moment, count_by_minute
from runtime.prepared import Prepared
from schema.keys import AttemptId, EntryId, LeaseToken
from schema.outcomes import OutcomeName
from schema.plans import Call
from schema.record import Mark, Record
from schema.states import Closed, Lane, RecordState
from schema.tables import attempt, record

MAX_ANSWER = 4_000
"""Characters of an answer that are kept: enough for every complaint of the API in full."""


NEVER_SENT = "not sent: its slot was too old"
"""Detail of an attempt whose mark was taken back: nobody was called."""


# Made once: these run for every call.

_OPEN = insert(attempt).returning(attempt.c.id)

SETTLE = (
    update(attempt)
    .where(attempt.c.id == bindparam("settled_id"), attempt.c.outcome.is_(None))
    .values(
        outcome=bindparam("settled_outcome"),
        answered_at=bindparam("settled_at"),
        status=bindparam("settled_status"),
        request_id=bindparam("settled_request_id"),
        duration_ms=bindparam("settled_duration"),
        answer=bindparam("settled_answer"),
        detail=bindparam("settled_detail"),
    )
)
"""Writes down how a call ended, unless that was done before."""

_closed = entries.CLOSE_ONE.cte("closed")
_SETTLE_WITH = holding.UPDATE_HELD.add_cte(
    SETTLE.cte("settled"), _closed, tallies.noted(_closed).cte("noted")
)


def _open_if(held: CTE) -> Executable:
    """The attempt and its mark on the record in one statement: both, or neither."""
    names = [
        "record_id",
        "destination",
        "lane",
        "token",
        "grant_id",
        "operation",
        "fingerprint",
        "request",
        "base",
        "marked_at",
    ]
    # Parameters named like a column would be taken for columns to set, in every part.
    given = (bindparam(f"opened_{name}", type_=attempt.c[name].type) for name in names)
    row = select(held.c.id, *given)
    return insert(attempt).from_select(["id", *names], row).returning(attempt.c.id)


_OPEN_IF_HELD = Prepared(_open_if(holding.held_and_marked(attempt)))
_OPEN_IF_READING = Prepared(_open_if(holding.held_for_a_read(attempt)))


def _settle_usual(end: holding.UsualEnd) -> Prepared:
    """The whole of a usual delivery's end in one statement: all of it, or nothing."""
    written = select(end.written.c.id)
    settled = SETTLE.where(written.exists()).cte("settled")
    closed = entries.CLOSE_ONE.where(written.exists()).cte("closed")
    return Prepared(written.add_cte(settled, closed, tallies.noted(closed).cte("noted")))


_SETTLE_USUAL = _settle_usual(holding.UsualEnd.plain())
_SETTLE_LINKING = _settle_usual(holding.UsualEnd.linking())


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


class MovedOn(Exception):
    """The lease, what is wanted, or the leave to call is no longer what the call was planned from."""


def open_attempt(
    connection: Connection,
    record: Record,
    call: Call,
    *,
    grant_id: str,
    mark: Mark | None,
    now: datetime,
    until: datetime,
    generation: int,
) -> AttemptId:
    """Write down that a call is about to be sent, here and, as *mark*, on its record.

    Raises `MovedOn`, and is then to be rolled back, when the lease or what is wanted moved on, or
    the leave to make this call; *generation* is the binding's that this process was started under.
    """
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
    if connection.dialect.name == "sqlite":
        # Asked first: while whoever has the record now calls, the table refuses a second attempt.
        if not holding.put_mark(connection, record, mark, until=until, generation=generation):
            raise MovedOn
        opened = AttemptId(connection.execute(_OPEN, values).scalar_one())
        if mark is not None:
            numbered = replace(mark, attempt=opened)
            holding.put_mark(connection, record, numbered, until=until, generation=generation)
        return opened
    values = {f"opened_{name}": value for name, value in values.items()}
    values |= holding.marking(record, mark, until=until, generation=generation)
    rows = (_OPEN_IF_HELD if mark else _OPEN_IF_READING).rows(connection, values)
    if not rows:
        raise MovedOn
    return AttemptId(rows[0][0])


def settle(connection: Connection, attempt_id: AttemptId, settled: Settled) -> None:
    """Write down how a call ended. The first word stands; a later one changes nothing."""
    connection.execute(SETTLE, settling(attempt_id, settled))


def settle_with(
    connection: Connection,
    attempt_id: AttemptId,
    settled: Settled,
    *,
    written: Record,
    token: LeaseToken,
    closed: Mapping[EntryId, Closed],
    now: datetime,
) -> None:
    """Write down how a call ended, what its record is by that, and which entries it closes.

    The usual case, one entry closed, is one statement on PostgreSQL.
    """
    if connection.dialect.name == "sqlite" or len(closed) != 1:
        settle(connection, attempt_id, settled)
        holding.update_held(connection, written, token)
        entries.close(connection, closed, now=now)
        return
    [(entry, reason)] = closed.items()
    values = settling(attempt_id, settled) | holding.writing(written, token)
    values |= entries.closing_one(entry, reason, now=now)
    connection.execute(_SETTLE_WITH, values)


def settle_usual(
    connection: Connection,
    attempt_id: AttemptId,
    settled: Settled,
    *,
    written: Record,
    planned: Record,
    closed: Mapping[EntryId, Closed],
    now: datetime,
) -> bool:
    """Settle the usual delivery in one round trip; False, and nothing is done, when it is not one.

    It is one when the record is as it was *planned* from, its answer closes one entry, tells no
    remote id that another record has, and none of its kin waits for its end.
    """
    if connection.dialect.name == "sqlite" or len(closed) != 1:
        return False
    [(entry, reason)] = closed.items()
    values = settling(attempt_id, settled) | holding.usual_end(written, planned)
    values |= entries.closing_one(entry, reason, now=now)
    if written.remote_id == planned.remote_id:
        return bool(_SETTLE_USUAL.rows(connection, values))
    return bool(_SETTLE_LINKING.rows(connection, values | holding.linking(written, now)))


def settling(attempt_id: AttemptId, settled: Settled) -> dict[str, Any]:
    """Give the parameters of `SETTLE`."""
    milliseconds = (
        None if settled.duration is None else settled.duration / timedelta(milliseconds=1)
    )
    return {
        "settled_id": attempt_id,
        "settled_outcome": settled.outcome.value,
        "settled_at": settled.answered_at,
        "settled_status": settled.status,
        "settled_request_id": settled.request_id,
        "settled_duration": None if milliseconds is None else round(milliseconds),
        "settled_answer": None if settled.answer is None else settled.answer[:MAX_ANSWER],
        "settled_detail": settled.detail,
    }


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


def sweep(
    connection: Connection, *, after: int, bodies_before: datetime, before: datetime, limit: int
) -> Swept:
    """Of the next *limit* attempts by id, delete those made *before*, and wipe the bodies of others.

    What a person or a look-up still needs stays: the calls of a record that is in doubt, or that
    waits for a person. An attempt without its bodies still proves what was called, when, with which
    fingerprint, and what came of it.
    """
    rows = connection.execute(_OLDEST, {"after_id": after, "at_most": limit}).all()
    free = [row for row in rows if row.outcome is not None and not row.needed]
    old = [row.id for row in free if row.marked_at < before]
    bodies = [row.id for row in free if before <= row.marked_at < bodies_before and row.has_bodies]
    if old:
        connection.execute(delete(attempt).where(among(connection, attempt.c.id, old)))
    if bodies:
        wiped = {"request": _without_body(connection), "base": None, "answer": None}
        chosen = among(connection, attempt.c.id, bodies)
        connection.execute(update(attempt).where(chosen).values(wiped))
    more = len(rows) == limit and any(row.marked_at < bodies_before for row in rows)
    return Swept(upto=rows[-1].id if more else None, pruned=len(old), wiped=len(bodies))


_ASIDE = [RecordState.HELD.value, RecordState.DEAD.value, RecordState.IN_DOUBT.value]
_OLDEST = (
    select(
        attempt.c.id,
        attempt.c.marked_at,
        attempt.c.outcome,
        or_(record.c.state.in_(_ASIDE), record.c.mark.is_not(None)).label("needed"),
        or_(
            attempt.c.base.is_not(None),
            attempt.c.answer.is_not(None),
            attempt.c.request["body"].as_string().is_not(None),
        ).label("has_bodies"),
    )
    .join(record, record.c.id == attempt.c.record_id)
    .where(attempt.c.id > bindparam("after_id"))
    .order_by(attempt.c.id)
    .limit(bindparam("at_most"))
)


def _without_body(connection: Connection) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.json_remove(attempt.c.request, "$.body", type_=Text())
    return attempt.c.request.op("-")(literal("body", Text()))


def unsent(connection: Connection, held: Record, *, now: datetime) -> list[AttemptId]:
    """Settle what the holder of a record has open and never sent; gives its ids, mostly none."""
    changed = connection.execute(
        update(attempt)
        .where(
            attempt.c.record_id == held.id,
            attempt.c.token == held.token,
            attempt.c.outcome.is_(None),
        )
        .values(
            outcome=OutcomeName.TRANSIENT.value,
            answered_at=now,
            detail="not sent: the database failed",
        )
        .returning(attempt.c.id)
    )
    return [AttemptId(one) for one in changed.scalars()]


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


def latest(
    connection: Connection,
    destination: str,
    *,
    marked_since: datetime,
    answered_since: datetime,
    limit: int,
) -> list[Tried]:
    """Read the latest calls that say something of the destination, the last one marked first.

    A 429 or a refused key says nothing of it, nor what never left here.
    """
    nothing_said = (OutcomeName.THROTTLED.value, OutcomeName.KEY_REFUSED.value)
    rows = connection.execute(
        select(attempt.c.record_id, attempt.c.outcome, attempt.c.status)
        .where(
            attempt.c.destination == destination,
            attempt.c.marked_at >= marked_since,
            attempt.c.answered_at >= answered_since,
            attempt.c.outcome.not_in(nothing_said),
            attempt.c.detail.is_distinct_from(NEVER_SENT),
        )
        .order_by(attempt.c.marked_at.desc(), attempt.c.id.desc())
        .limit(limit)
    )
    return [
        Tried(record_id=record_id, outcome=OutcomeName(outcome), status=status)
        for record_id, outcome, status in rows
    ]


def by_minute(
    connection: Connection, destination: str, since: datetime, until: datetime
) -> Mapping[Moment, int]:
    """Count the calls that were marked from one moment to another, by minute and outcome."""
    here = attempt.c.destination == destination
    return count_by_minute(
        connection, attempt.c.marked_at, attempt.c.outcome, here, since=since, until=until
    )


def unanswered(connection: Connection, destination: str, *, before: datetime) -> int:
    """Count the calls marked *before* then that have no outcome; only open ones are looked at."""
    query = select(func.count()).where(
        attempt.c.outcome.is_(None),
        attempt.c.destination == destination,
        attempt.c.marked_at < before,
    )
    return connection.execute(query).scalar_one()
