"""Makes the reads of the incoming half: gate, slot, row, call, answer.

One idea: a read passes the same gate and the same quota as every other call, and its row is
committed before it is made, so the quota's log can be made again from rows alone.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

import structlog

from gateway.answers import Answer, NotThere, Read, ReadOutcome, Reply, read_outcome
from inbox import requests
from inbox.fetching import Fetched, Got, Missing, NotGot, Refused, Shut
from outbox import gates
from outbox.delivery import Grant, Pace
from outbox.errors import QuotaAway
from outbox.gates import Gate
from outbox.retry import Timing
from runtime.clock import Clock
from runtime.database import Database
from schema import outcomes
from schema.outcomes import KeyRefused, Throttled, Transient
from schema.plans import Request
from schema.states import GateReason, Lane

logger = structlog.get_logger(__name__)

LONGEST_WAIT = timedelta(seconds=60)
"""How long a run waits for a slot with its lease in hand, before it is left for later. Reads are in
no hurry, and a run that is left costs a start; deliveries wait a second."""

QUOTA_AWAY = timedelta(seconds=10)
"""How soon to try again when Redis cannot be asked for a slot."""

JITTER_S = 5.0
"""How far behind the end of a throttled window reads come back at most."""


class Sends(Protocol):
    """What calls the API."""

    def send(self, request: Request, *, send_by: float | None = None) -> Reply:
        """Send a request once."""
        ...


class Fetcher:
    """Makes the reads of one destination; safe to share between threads."""

    def __init__(
        self,
        *,
        database: Database,
        destination: str,
        clock: Clock,
        timing: Timing,
        pace: Pace,
        client: Sends,
        dice: Random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._destination = destination
        self._clock = clock
        self._timing = timing
        self._pace = pace
        self._client = client
        self._dice = dice
        self._sleep = sleep

    def __call__(self, request: Request, lane: Lane, run_id: int) -> Fetched:
        """Make one read for a run."""
        shut = self._shut()
        if shut is not None:
            return shut
        grant = self._slot(lane)
        if isinstance(grant, Shut):
            return grant
        began = self._clock.now()
        with self._database.transaction() as connection:
            row = requests.open_request(
                connection,
                self._destination,
                request,
                lane=lane,
                grant_id=grant.id,
                run_id=run_id,
                now=began,
            )
        # Asked once the row is committed: a log that was lost meanwhile is made again from rows.
        if not self._pace.still_good(grant):
            self._pace.unused(grant)
            self._answered(row, None, Transient(detail="not sent: its slot was too old"))
            return NotGot(detail="its slot was too old")
        send_by = self._clock.monotonic() + self._timing.send_by.total_seconds()
        reply = self._client.send(request, send_by=send_by)
        told = read_outcome(reply)
        self._date(grant, told)
        self._answered(row, reply, told)
        return self._came(reply, told, began)

    def _shut(self) -> Shut | None:
        with self._database.reading() as connection:
            gate = gates.shut_now(connection, self._destination, self._clock.now())
        if gate is None:
            return None
        return Shut(detail=f"the gate is shut: {gate.detail or gate.reason}", until=gate.until)

    def _slot(self, lane: Lane) -> Grant | Shut:
        waited = timedelta(0)
        while True:
            try:
                answer = self._pace.ask(lane)
            except QuotaAway:
                until = self._clock.now() + QUOTA_AWAY
                return Shut(detail="the quota cannot be asked", until=until)
            if not isinstance(answer, timedelta):
                return answer
            if waited + answer > LONGEST_WAIT:
                return Shut(detail="no slot is free", until=self._clock.now() + answer)
            self._sleep(answer.total_seconds())
            waited += max(answer, timedelta(milliseconds=1))

    def _date(self, grant: Grant, told: ReadOutcome) -> None:
        if isinstance(told, Throttled):
            self._pace.refused(grant, told.retry_after)
        else:
            self._pace.answered(grant)

    def _answered(self, row: int, reply: Reply | None, told: ReadOutcome) -> None:
        answer = reply if isinstance(reply, Answer) else None
        with self._database.transaction() as connection:
            requests.answered(
                connection,
                row,
                now=self._clock.now(),
                outcome=_name(told),
                status=None if reply is None else reply.status,
                name=None if answer is None else answer.request_id,
                duration=None if reply is None else reply.duration,
                detail=_detail(told),
            )

    def _came(self, reply: Reply, told: ReadOutcome, began: datetime) -> Fetched:
        now = self._clock.now()
        date = reply.date if isinstance(reply, Answer) else None
        match told:
            case Read(body=body):
                return Got(body=body, began_at=began, date=date)
            case NotThere():
                return Missing(began_at=began)
            case Throttled(retry_after=wait):
                until = now + (wait or self._to_next_window())
                return self._close(GateReason.THROTTLED, "the API answered 429", until)
            case KeyRefused(status=status):
                detail = f"the API answered {status}: it does not accept the key"
                return self._close(GateReason.KEY_REFUSED, detail, None)
            case Transient(detail=detail):
                return NotGot(detail=detail)
            case outcomes.Refused(status=status):
                return Refused(detail=f"answered {status}: {_detail(told)}")

    def _to_next_window(self) -> timedelta:
        seconds = self._timing.window.total_seconds()
        passed = self._clock.now().timestamp() % seconds
        return timedelta(seconds=seconds - passed + self._dice.uniform(0.5, JITTER_S))

    def _close(self, reason: GateReason, detail: str, until: datetime | None) -> Shut:
        """Shut the gate for everybody who calls with this key."""
        gate = Gate(reason=reason, until=until, since=self._clock.now(), detail=detail)
        with self._database.transaction() as connection:
            gates.shut(connection, self._destination, gate)
        logger.warning("read_shut_the_gate", destination=self._destination, reason=reason.value)
        return Shut(detail=detail, until=gate.until)


def _name(told: ReadOutcome) -> str:
    match told:
        case Read():
            return "read"
        case NotThere():
            return "not_there"
        case _:
            return outcomes.name_of(told).value


def _detail(told: ReadOutcome) -> str | None:
    return None if isinstance(told, Read | NotThere) else outcomes.detail_of(told)
