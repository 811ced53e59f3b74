"""A person stops the calls to a destination, or lets them go on.

One idea: a person's word is a gate like any other, with a name and a reason, and its line in the
audit trail is written in the same transaction. Nothing here commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from outbox import gates
from outbox.standing import Gate, put
from runtime.audit import write_down
from schema.states import SCOPE_OF, GateReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The pause as it stands; not `new` where one that ends later stood already."""

    stands: Gate
    new: bool


def pause(
    connection: Connection,
    destination: str,
    *,
    length: timedelta | None,
    actor: str,
    reason: str,
    now: datetime,
) -> Pause:
    """Stop all calls to a destination for a time, or until somebody resumes.

    What is due waits, at no cost. Over a pause that ends later it changes nothing.
    """
    until = None if length is None else now + length
    wanted = Gate(reason=GateReason.PAUSED, until=until, since=now, detail=reason, actor=actor)
    before = _paused(gates.shown(connection, destination, now))
    if before is not None and put(before, wanted) is None:
        return Pause(stands=before, new=False)
    gates.shut(connection, destination, wanted)
    write_down(
        connection,
        actor=actor,
        action="quota_paused",
        subject=destination,
        now=now,
        reason=reason,
        before=gate_json(before, now),
        after=gate_json(wanted, now),
    )
    return Pause(stands=wanted, new=True)


def _paused(shown: Sequence[Gate]) -> Gate | None:
    return next((gate for gate in shown if gate.reason is GateReason.PAUSED), None)


def resume(
    connection: Connection,
    destination: str,
    key_name: str,
    *,
    throttle: bool,
    actor: str,
    reason: str,
    now: datetime,
) -> list[Gate]:
    """End a pause, and have a refused key or a destination that failed tried; gives what still holds.

    A 429's wait goes on, unless *throttle* says to try before its end.
    """
    before = gates.shown(connection, destination, now, key_name=key_name)
    still = gates.resume(connection, destination, key_name, now, throttle=throttle)
    write_down(
        connection,
        actor=actor,
        action="quota_resumed",
        subject=destination,
        now=now,
        reason=reason,
        before=gate_json(before[0] if before else None, now),
        after=gate_json(still[0] if still else None, now),
    )
    return still


def gate_json(gate: Gate | None, now: datetime) -> dict[str, Any] | None:
    """Give a gate as JSON; None when there is none."""
    if gate is None:
        return None
    return {
        "reason": gate.reason.value,
        "scope": SCOPE_OF[gate.reason].value,
        "state": "ajar" if gate.until is not None and gate.until <= now else "shut",
        "since": gate.since.isoformat(),
        "until": None if gate.until is None else gate.until.isoformat(),
        "detail": gate.detail,
        "actor": gate.actor,
    }
