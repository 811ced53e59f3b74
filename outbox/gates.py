"""All SQL on `gate`: whether a destination may be called, and who says not.

One idea: gates live in the database, where no flush of Redis reaches them and every process sees the
same one. A row per reason, so that no end of one lifts another. The row is also the lot by which, of
all processes, one gets to make the probe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from outbox import attempts
from outbox.retry import Shut
from outbox.standing import (
    WEIGHT,
    Ajar,
    Barred,
    Breaker,
    Gate,
    Standing,
    Verdict,
    break_length,
    breaks,
    failed,
    put,
    stand,
    verdict,
)
from runtime import metrics
from runtime.bulk import insert_many
from schema.outcomes import Came
from schema.states import SCOPE_OF, GateReason, GateScope
from schema.tables import gate
from schema.words import several

logger = structlog.get_logger(__name__)

SLOWEST = timedelta(minutes=10)
"""How much earlier than its answer a call may have been marked and still be found among the latest.
Longer than any deadline that is set; it only bounds where the index is read."""

MORE = 50
"""How many of the latest calls are read beyond those that break: a run may be longer than needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """The gates on the way to one destination: its own, and those of its key.

    *key_print* names the key in use now, without telling it; it is asked anew each time, so that a
    rotated key is noticed.
    """

    destination: str
    key_name: str
    key_print: Callable[[], str | None] = lambda: None
    breaker: Breaker = Breaker()

    def standing(self, connection: Connection, now: datetime) -> Standing:
        """Say what they let through at this moment."""
        known = on_the_way(connection, self.destination, self.key_name)
        return stand(known, now, self.key_print() if known else None)

    def claim(
        self, connection: Connection, ajar: Ajar, probe: str, *, now: datetime, until: datetime
    ) -> bool:
        """Claim the one call that may try these gates; False when another one has it.

        Of all processes one gets it, by the rows' locks. It is over at *until*, whatever becomes of
        who has it.
        """
        values = {"probe": probe, "probe_until": until}
        for one in sorted(ajar.gates, key=lambda one: (SCOPE_OF[one.reason], one.reason)):
            free = or_(gate.c.probe_until.is_(None), gate.c.probe_until <= now)
            ready = or_(gate.c.until <= now, self._other_key(one))
            done = connection.execute(
                update(gate).where(*self._row(one.reason), free, ready).values(values)
            )
            if not done.rowcount:
                release(connection, probe)
                return False
        return True

    def _other_key(self, one: Gate) -> ColumnElement[bool]:
        """The key refused is still the one that was, and it is not the one used now."""
        return and_(
            gate.c.until.is_(None),
            gate.c.reason == GateReason.KEY_REFUSED.value,
            gate.c.key_print.is_not_distinct_from(one.key_print),
        )

    def shut(self, connection: Connection, wanted: Gate) -> Gate | None:
        """Shut a gate; gives it as it then is, None when it stood so already."""
        return shut(connection, self._name(wanted.reason), wanted)

    def heard(
        self,
        connection: Connection,
        came: Came,
        *,
        shutting: Shut | None,
        probe: str | None,
        key_print: str | None,
        now: datetime,
    ) -> None:
        """Act on what came of a call, whoever holds its record by now.

        *shutting* is what the outcome shuts; *key_print* names the key the call was made with. Costs
        nothing for a call that succeeded and was no probe.
        """
        if shutting is not None:
            self._shut_by_answer(connection, shutting, key_print, now)
        if probe is not None:
            self._judge(connection, came, probe, now)
        # A probe that another gate sent counts too: else each of its failures would send the next.
        if failed(came.outcome, came.status):
            self._count(connection, now)

    def _shut_by_answer(
        self, connection: Connection, shutting: Shut, key_print: str | None, now: datetime
    ) -> None:
        refused = shutting.reason is GateReason.KEY_REFUSED
        wanted = Gate(
            reason=shutting.reason,
            until=shutting.until,
            since=now,
            detail=shutting.detail,
            key_print=key_print if refused else None,
        )
        self._tell_shut(self.shut(connection, wanted))

    def _judge(self, connection: Connection, came: Came, probe: str, now: datetime) -> None:
        """Open, or shut again, what this probe has tried; what was shut anew since is not its."""
        for one in on_the_way(connection, self.destination, self.key_name, probe=probe):
            match verdict(one.reason, came):
                case Verdict.PASSED:
                    connection.execute(
                        delete(gate).where(*self._row(one.reason), gate.c.probe == probe)
                    )
                    logger.info(
                        "gate_opened", destination=self.destination, reason=one.reason.value
                    )
                case Verdict.SHUT_AGAIN if one.reason is GateReason.BREAKER:
                    self._break(connection, one.turn + 1, now)
                case Verdict.SHUT_AGAIN | Verdict.UNCLEAR:
                    pass
        release(connection, probe)

    def _count(self, connection: Connection, now: datetime) -> None:
        """Open the breaker when the latest calls of all processes failed.

        Read from the calls themselves: a success writes nothing for it, and resets the count.
        """
        if any(one.reason is GateReason.BREAKER for one in self._own(connection)):
            return  # open, or about to be tried: the probe decides
        latest = attempts.latest(
            connection,
            self.destination,
            marked_since=now - self.breaker.within - SLOWEST,
            answered_since=now - self.breaker.within,
            limit=self.breaker.failures + MORE,
        )
        if breaks(latest, self.breaker):
            self._break(connection, 1, now)

    def _break(self, connection: Connection, turn: int, now: datetime) -> None:
        wanted = Gate(
            reason=GateReason.BREAKER,
            until=now + break_length(turn),
            since=now,
            turn=turn,
            detail=f"{several(self.breaker.failures, 'call')} in a row failed"
            if turn == 1
            else f"still failing, tried {several(turn - 1, 'time')}",
        )
        self._tell_shut(self.shut(connection, wanted))

    def _own(self, connection: Connection) -> list[Gate]:
        return on_the_way(connection, self.destination, self.key_name)

    def _tell_shut(self, stands: Gate | None) -> None:
        if stands is None:
            return
        metrics.GATES_SHUT.labels(reason=stands.reason.value).inc()
        logger.warning(
            "gate_shut",
            destination=self.destination,
            reason=stands.reason.value,
            until=None if stands.until is None else stands.until.isoformat(),
        )

    def _name(self, reason: GateReason) -> str:
        return self.key_name if SCOPE_OF[reason] is GateScope.KEY else self.destination

    def _row(self, reason: GateReason) -> Sequence[ColumnElement[bool]]:
        return _row(self._name(reason), reason)


def on_the_way(
    connection: Connection, destination: str, key_name: str, *, probe: str | None = None
) -> list[Gate]:
    """Read every gate before a destination, those that are over too; or those of one probe."""
    query = select(gate).where(
        or_(
            and_(gate.c.scope == GateScope.DESTINATION.value, gate.c.name == destination),
            and_(gate.c.scope == GateScope.KEY.value, gate.c.name == key_name),
        )
    )
    if probe is not None:
        query = query.where(gate.c.probe == probe)
    rows = connection.execute(query.order_by(gate.c.scope, gate.c.name, gate.c.reason))
    return [_gate(row) for row in rows.mappings()]


def shut_now(
    connection: Connection, destination: str, now: datetime, *, key_name: str | None = None
) -> Gate | None:
    """Give the weightiest gate that is shut at this moment, for a person to read.

    A key's name is its destination's unless given.
    """
    known = shown(connection, destination, now, key_name=key_name)
    return next((one for one in known if one.until is None or one.until > now), None)


def shown(
    connection: Connection, destination: str, now: datetime, *, key_name: str | None = None
) -> list[Gate]:
    """Give every gate that is shut or waits for its probe, the weightiest first."""
    known = on_the_way(connection, destination, key_name or destination)
    return sorted(
        (
            one
            for one in known
            if one.reason is not GateReason.PAUSED or one.until is None or one.until > now
        ),
        key=lambda one: -WEIGHT[one.reason],
    )


def holding(connection: Connection, now: datetime) -> Mapping[GateReason, int]:
    """Count, by reason, the gates that have not come to their end."""
    query = select(gate.c.reason, func.count()).where(
        or_(gate.c.until.is_(None), gate.c.until > now)
    )
    rows = connection.execute(query.group_by(gate.c.reason))
    return {GateReason(reason): number for reason, number in rows}


def shut(connection: Connection, name: str, wanted: Gate) -> Gate | None:
    """Shut the gate of a destination or, as its reason says, of a key, by name.

    Gives it as it then is; None when it stood so already, or with a later end.
    """
    reason = wanted.reason
    key = {"scope": SCOPE_OF[reason].value, "name": name, "reason": reason.value}
    if insert_many(connection, gate, [key | _values(wanted)], returning="name"):
        return wanted
    query = select(gate).where(*_row(name, reason)).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:  # it was opened in between: shut anew
        return shut(connection, name, wanted)
    stands = put(_gate(row), wanted)
    if stands is not None:
        connection.execute(update(gate).where(*_row(name, reason)).values(_values(stands)))
    return stands


def release(connection: Connection, probe: str) -> None:
    """Give up a probe that has nothing to say: another one may go at once."""
    connection.execute(
        update(gate).where(gate.c.probe == probe).values(probe=None, probe_until=None)
    )


def resume(
    connection: Connection, destination: str, key_name: str, now: datetime, *, throttle: bool
) -> list[Gate]:
    """End a pause; let a refused key or an open breaker be tried at once, by one probe.

    A throttle is the API's word, not ours: it ends early only with *throttle*. Gives what still
    stops calls.
    """
    connection.execute(delete(gate).where(*_row(destination, GateReason.PAUSED)))
    tried = [(key_name, GateReason.KEY_REFUSED), (destination, GateReason.BREAKER)]
    if throttle:
        tried.append((key_name, GateReason.THROTTLED))
    for name, reason in tried:
        connection.execute(
            update(gate)
            .where(*_row(name, reason), or_(gate.c.until.is_(None), gate.c.until > now))
            .values(until=now, probe=None, probe_until=None)
        )
    known = on_the_way(connection, destination, key_name)
    still = stand(known, now, None)
    return list(still.gates) if isinstance(still, Barred) else []


def _row(name: str, reason: GateReason) -> Sequence[ColumnElement[bool]]:
    return (
        gate.c.scope == SCOPE_OF[reason].value,
        gate.c.name == name,
        gate.c.reason == reason.value,
    )


def _gate(row: Any) -> Gate:
    return Gate(
        reason=GateReason(row["reason"]),
        until=row["until"],
        since=row["since"],
        detail=row["detail"],
        actor=row["actor"],
        turn=row["turn"],
        key_print=row["key_print"],
        probe=row["probe"],
        probe_until=row["probe_until"],
    )


def _values(one: Gate) -> dict[str, Any]:
    return {
        "until": one.until,
        "since": one.since,
        "detail": one.detail,
        "actor": one.actor,
        "turn": one.turn,
        "key_print": one.key_print,
        "probe": one.probe,
        "probe_until": one.probe_until,
    }
