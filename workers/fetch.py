"""Makes the reads of the incoming half: gate, slot, row, call, answer.

One idea: a read passes the same gate and the same quota as every other call, and its row is
committed before it is made, so the quota's log can be made again from rows alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.answers import Answer, NotThere, Read, ReadOutcome, Reply, read_outcome
from inbox import requests
from inbox.fetching import Fetched, Got, Missing, NotGot, Refused, Shut
from outbox import gates
from outbox.delivery import Grant, Pace
from outbox.errors import QuotaAway
from outbox.gates import Gates
from outbox.retry import Moment, Timing, shut_by
from outbox.retry import Shut as Shutting
from outbox.standing import Ajar, Barred, Open
from runtime.clock import Clock
from runtime.database import Database
from schema import outcomes
from schema.outcomes import Came, Delivered, Outcome, Throttled, Transient
from schema.plans import Request
from schema.states import Lane

LONGEST_WAIT = timedelta(seconds=60)
"""How long a run waits for a slot with its lease in hand, before it is left for later. Reads are in
no hurry, and a run that is left costs a start; deliveries wait a second."""

QUOTA_AWAY = timedelta(seconds=10)
"""How soon to try again when Redis cannot be asked for a slot."""

THE_GATE = "the gate is shut"


class Sends(Protocol):
    """What calls the API."""

    def send(self, request: Request, *, send_by: float | None = None) -> Reply:
        """Send a request once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    reply: Reply | None
    told: ReadOutcome
    at: datetime
    shut: Shutting | None = None


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
        gates: Gates,
        dice: Random,
        sleep: Callable[[float], None] = time.sleep,
        bound: Callable[[Connection], bool] = lambda connection: True,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """*bound* says whether the database is still bound to the API that *client* calls;
        *stopping*, whether this process is asked to end."""
        self._stopping = stopping
        self._bound = bound
        self._database = database
        self._destination = destination
        self._clock = clock
        self._timing = timing
        self._pace = pace
        self._client = client
        self._gates = gates
        self._dice = dice
        self._sleep = sleep

    def __call__(self, request: Request, lane: Lane, run_id: int) -> Fetched:
        """Make one read for a run."""
        way = self._way(run_id)
        if isinstance(way, Shut):
            return way
        told: Fetched = Shut(detail="not asked")
        try:
            told = self._read(request, lane, run_id, way)
        finally:
            if way is not None and isinstance(told, Shut):
                with self._database.transaction() as connection:
                    gates.release(connection, way)  # it has tried nothing: another may go
        return told

    def _way(self, run_id: int) -> str | Shut | None:
        """Look at the gates: None where they are open, a probe's name where this read may try them.

        Reads try gates too: where nothing is to be delivered nobody else would.
        """
        now = self._clock.now()
        with self._database.transaction() as connection:
            if not self._bound(connection):
                return Shut(detail="bound anew")
            standing = self._gates.standing(connection, now)
            match standing:
                case Open():
                    return None
                case Barred(gates=holding):
                    first = holding[0]
                    ends = [one.until for one in holding]
                    known = [end for end in ends if end is not None]
                    until = max(known) if len(known) == len(ends) else None
                    return Shut(detail=f"{THE_GATE}: {first.detail or first.reason}", until=until)
                case Ajar():
                    probe = f"run {run_id} at {now.isoformat()}"
                    over = now + LONGEST_WAIT + self._timing.send_by + self._timing.deadline
                    if standing.free and self._gates.claim(
                        connection, standing, probe, now=now, until=over
                    ):
                        return probe
        return Shut(detail=f"{THE_GATE}, and is being tried", until=now + QUOTA_AWAY)

    def _read(self, request: Request, lane: Lane, run_id: int, probe: str | None) -> Fetched:
        grant = self._slot(lane)
        if isinstance(grant, Shut):
            return grant
        began = self._clock.now()
        key_print = self._gates.key_print()
        try:
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
        except DBAPIError:
            self._pace.unused(grant)  # nothing was sent
            raise
        # Asked once the row is committed: a log that was lost meanwhile is made again from rows.
        if not self._pace.still_good(grant):
            self._pace.unused(grant)
            unsent = Transient(detail="not sent: its slot was too old")
            self._answered(row, _Heard(reply=None, told=unsent, at=self._clock.now()))
            return Shut(detail="its slot was too old", until=self._clock.now())
        send_by = self._clock.monotonic() + self._timing.send_by.total_seconds()
        reply = self._client.send(request, send_by=send_by)
        heard = self._heard(reply)
        self._date(grant, heard)
        self._answered(row, heard, probe=probe, key_print=key_print)
        return _came(heard, began)

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
            if waited + answer > LONGEST_WAIT or self._stopping():
                return Shut(detail="no slot is free", until=self._clock.now() + answer)
            self._sleep(answer.total_seconds())
            waited += max(answer, timedelta(milliseconds=1))

    def _heard(self, reply: Reply) -> _Heard:
        """Read what came, and whether it shuts a gate: decided once, for the slot and the gate."""
        told, now = read_outcome(reply), self._clock.now()
        server_now = (reply.date if isinstance(reply, Answer) else None) or now
        moment = Moment(now=now, server_now=server_now, dice=self._dice)
        shut = shut_by(_outcome(told), self._timing, moment)
        return _Heard(reply=reply, told=told, at=now, shut=shut)

    def _date(self, grant: Grant, heard: _Heard) -> None:
        shut = heard.shut
        if isinstance(heard.told, Throttled) and shut is not None and shut.until is not None:
            # What others have used is booked for as long as the gate is shut, as deliveries do:
            # then there is a slot for who tries it.
            self._pace.refused(grant, shut.until - heard.at)
        else:
            self._pace.answered(grant)

    def _answered(
        self, row: int, heard: _Heard, *, probe: str | None = None, key_print: str | None = None
    ) -> None:
        """Write down what came, and let the gates hear of it."""
        reply, told, shutting = heard.reply, heard.told, heard.shut
        answer = reply if isinstance(reply, Answer) else None
        with self._database.transaction() as connection:
            requests.answered(
                connection,
                row,
                now=heard.at,
                outcome=_name(told),
                status=None if reply is None else reply.status,
                name=None if answer is None else answer.request_id,
                duration=None if reply is None else reply.duration,
                detail=_detail(told),
            )
            if reply is not None and (probe is not None or shutting is not None):
                came = Came(outcome=_outcome(told), status=reply.status)
                self._gates.heard(
                    connection,
                    came,
                    shutting=shutting,
                    probe=probe,
                    key_print=key_print,
                    now=heard.at,
                )


def _came(heard: _Heard, began: datetime) -> Fetched:
    if heard.shut is not None:
        return Shut(detail=heard.shut.detail, until=heard.shut.until)
    match heard.told:
        case Read(body=body):
            date = heard.reply.date if isinstance(heard.reply, Answer) else None
            return Got(body=body, began_at=began, date=date)
        case NotThere():
            return Missing(began_at=began)
        case outcomes.Refused(status=status):
            return Refused(detail=f"answered {status}: {_detail(heard.told)}")
        case _:
            return NotGot(detail=_detail(heard.told) or "no answer")


def _outcome(told: ReadOutcome) -> Outcome:
    """Give a read's outcome as the gates know them: an answer of any kind speaks for the way."""
    return Delivered(accepted=None) if isinstance(told, Read | NotThere) else told


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
