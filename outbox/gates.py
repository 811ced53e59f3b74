"""All SQL on `gate`: whether a destination may be called at all, and who says not.

One idea: gates live in the database, where no flush of Redis reaches them, and every process
sees the same one.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from schema.states import GateReason, Reason, RecordState
from schema.tables import gate, record

WEIGHT = {
    GateReason.BREAKER: 0,
    GateReason.THROTTLED: 1,
    GateReason.KEY_REFUSED: 2,
    GateReason.PAUSED: 3,
}
"""A person's pause is not lifted by a throttle that ends, nor a refused key by a breaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A shut gate. Without `until` it stays shut until a person opens it."""

    reason: GateReason
    until: datetime | None
    since: datetime
    detail: str | None = None
    actor: str | None = None


def shut_now(connection: Connection, destination: str, now: datetime) -> Gate | None:
    """Give the gate if it is shut at this moment."""
    row = connection.execute(
        select(gate.c.reason, gate.c.until, gate.c.since, gate.c.detail, gate.c.actor).where(
            gate.c.destination == destination
        )
    ).one_or_none()
    if row is None or (row.until is not None and row.until <= now):
        return None
    return Gate(
        reason=GateReason(row.reason),
        until=row.until,
        since=row.since,
        detail=row.detail,
        actor=row.actor,
    )


def shut(connection: Connection, destination: str, wanted: Gate) -> None:
    """Shut the gate; a weightier reason that still holds stays, and an end is only moved later."""
    current = shut_now(connection, destination, wanted.since)
    if current is not None and not _replaces(wanted, current):
        return
    values = {
        "reason": wanted.reason.value,
        "until": wanted.until,
        "since": wanted.since,
        "detail": wanted.detail,
        "actor": wanted.actor,
    }
    done = connection.execute(update(gate).where(gate.c.destination == destination).values(values))
    if not done.rowcount:
        connection.execute(insert(gate).values(destination=destination, **values))


def open_again(connection: Connection, destination: str) -> bool:
    """Open the gate; says whether there was one."""
    return connection.execute(delete(gate).where(gate.c.destination == destination)).rowcount > 0


def _replaces(wanted: Gate, current: Gate) -> bool:
    if WEIGHT[wanted.reason] != WEIGHT[current.reason]:
        return WEIGHT[wanted.reason] > WEIGHT[current.reason]
    if current.until is None:
        return False
    return wanted.until is None or wanted.until > current.until


def due_again(connection: Connection, destination: str, now: datetime) -> int:
    """Make the records due that waited for the gate."""
    done = connection.execute(
        update(record)
        .where(
            record.c.destination == destination,
            record.c.state == RecordState.WAITING.value,
            record.c.reason == Reason.GATE.value,
        )
        .values(due_at=now)
    )
    return done.rowcount
