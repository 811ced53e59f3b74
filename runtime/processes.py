"""All SQL on `process`: who is at work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from schema.tables import process

MISSING_AFTER = timedelta(seconds=35)
"""A process whose last beat is older is missing: three beats and a little."""

FORGOTTEN_AFTER = timedelta(hours=1)
"""Rows of processes that were killed are kept this long, so that people see who died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One process and its last sign of life."""

    id: str
    role: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    progress: Mapping[str, float | int | str]


def beat(connection: Connection, sign: Beat) -> None:
    """Write a sign of life."""
    values = {"beat_at": sign.beat_at, "progress": dict(sign.progress)}
    done = connection.execute(update(process).where(process.c.id == sign.id).values(values))
    if done.rowcount:
        return
    connection.execute(delete(process).where(process.c.beat_at < sign.beat_at - FORGOTTEN_AFTER))
    connection.execute(
        insert(process).values(
            id=sign.id,
            role=sign.role,
            host=sign.host,
            pid=sign.pid,
            started_at=sign.started_at,
            **values,
        )
    )


def gone(connection: Connection, process_id: str) -> None:
    """Take a process that ended in order off the list."""
    connection.execute(delete(process).where(process.c.id == process_id))


def all_beats(connection: Connection) -> list[Beat]:
    """Read every process known, by role."""
    rows = connection.execute(select(process).order_by(process.c.role, process.c.started_at))
    return [
        Beat(
            id=row.id,
            role=row.role,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            beat_at=row.beat_at,
            progress=row.progress,
        )
        for row in rows
    ]
