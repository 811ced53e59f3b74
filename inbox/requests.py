"""All SQL on `request_log`: every read, committed before it is made.

One idea: the quota's log can be made again from these rows and the attempts; once both are older
than that, they are pruned.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from runtime.minutes import Moment, count_by_minute
from schema.incoming_tables import request_log
from schema.plans import Request
from schema.states import Lane

KEEP = timedelta(days=7)
"""How long a read's row is kept: a week answers "what did we ask, and what came of it?"."""


def open_request(
    connection: Connection,
    destination: str,
    request: Request,
    *,
    lane: Lane,
    grant_id: str,
    run_id: int | None,
    now: datetime,
) -> int:
    """Write down that a read is about to be sent."""
    return connection.execute(
        insert(request_log)
        .values(
            destination=destination,
            lane=lane.value,
            grant_id=grant_id,
            run_id=run_id,
            path=request.path,
            marked_at=now,
        )
        .returning(request_log.c.id)
    ).scalar_one()


def answered(
    connection: Connection,
    request_id: int,
    *,
    now: datetime,
    outcome: str,
    status: int | None = None,
    name: str | None = None,
    duration: timedelta | None = None,
    detail: str | None = None,
) -> None:
    """Write down what came of it; *name* is what the API calls the request."""
    milliseconds = None if duration is None else round(duration / timedelta(milliseconds=1))
    connection.execute(
        update(request_log)
        .where(request_log.c.id == request_id)
        .values(
            answered_at=now,
            outcome=outcome,
            status=status,
            request_id=name,
            duration_ms=milliseconds,
            detail=detail,
        )
    )


def since(connection: Connection, destination: str, moment: datetime) -> list[Any]:
    """Read the reads made since a moment: grant, lane, mark and answer of each."""
    return list(
        connection.execute(
            select(
                request_log.c.grant_id,
                request_log.c.lane,
                request_log.c.marked_at,
                request_log.c.answered_at,
            )
            .where(
                request_log.c.destination == destination,
                request_log.c.marked_at >= moment,
            )
            .order_by(request_log.c.marked_at)
        )
    )


def by_minute(
    connection: Connection, destination: str, since: datetime, until: datetime
) -> Mapping[Moment, int]:
    """Count the reads that were marked from one moment to another, by minute and outcome."""
    here = request_log.c.destination == destination
    return count_by_minute(
        connection, request_log.c.marked_at, request_log.c.outcome, here, since=since, until=until
    )


def counts(connection: Connection, destination: str) -> Mapping[str, int]:
    """Count reads by outcome; `open` are those without one."""
    rows = connection.execute(
        select(request_log.c.outcome, func.count())
        .where(request_log.c.destination == destination)
        .group_by(request_log.c.outcome)
    )
    return {outcome or "open": number for outcome, number in rows}


def prune(connection: Connection, destination: str, now: datetime) -> int:
    """Delete what is older than anybody asks for."""
    done = connection.execute(
        delete(request_log).where(
            request_log.c.destination == destination, request_log.c.marked_at < now - KEEP
        )
    )
    return done.rowcount
