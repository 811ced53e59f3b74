"""Expectations that nobody confirmed in time become dead letters, for a person to ask about.

One idea: a mentor change is the school's to make. When the feed has not shown it after so long, the
school has probably not been told, and only a person can tell it.
"""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, select

from records import store
from records.codec import from_row
from schema.record import Problem, Record
from schema.states import Reason, RecordState
from schema.tables import record

logger = structlog.get_logger(__name__)


def overdue(one: Record, *, now: datetime, after: timedelta) -> Problem | None:
    """Say what was expected of a record in step for longer than *after*; None when nothing. Pure."""
    if one.state is not RecordState.IN_STEP:
        return None
    for name, expected in sorted(one.expected.items()):
        if now - expected.since > after:
            return Problem(
                reason=Reason.UNCONFIRMED,
                field=name,
                detail=f"{name} was to become {expected.value}, said on "
                f"{expected.since:%Y-%m-%d}, and is not; ask the school whether it knows",
                at=now,
            )
    return None


def bury_overdue(
    connection: Connection, destination: str, *, now: datetime, after: timedelta
) -> int:
    """Put what is overdue in front of a person; gives how many records."""
    rows = connection.execute(
        select(record)
        .where(
            record.c.destination == destination,
            record.c.state == RecordState.IN_STEP.value,
            record.c.wanted["expected"].as_string().is_not(None),
        )
        .order_by(record.c.id)
        .with_for_update(skip_locked=True)
    )
    found = [(one, overdue(one, now=now, after=after)) for one in map(from_row, rows.all())]
    buried = [
        one.but(
            state=RecordState.DEAD,
            reason=problem.reason,
            problem=problem,
            revision=one.revision + 1,
        )
        for one, problem in found
        if problem is not None
    ]
    store.update_all(connection, buried)
    for one in buried:
        logger.info("record_put_aside", record_key=str(one.key), reason=str(one.reason))
    return len(buried)
