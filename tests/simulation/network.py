"""The way between a worker and the server, and what goes wrong on it.

One idea: a request that has left arrives, or not, whatever becomes of who sent it. The notes kept
here are the outside's: when bytes left, when they landed, what the sender heard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import cast

from gateway.answers import Answer, Failure, FailureKind, Reply
from gateway.client import DeadlinePassed, SendByPassed, Sending
from runtime.points import Point, reach
from schema.plans import Request
from tests.simulation.plan import Fault
from tests.simulation.server import Server, Told, http_date
from tests.simulation.tasks import Loop

LATEST = 119.0
"""How late after its sending a request may still land: a little less than the quarantine."""

UNCLEAR = frozenset({408, 500, 502, 503, 504})
PROXY = (502, 503, 504, 408)


@dataclass
class Sent:
    """One sending, as seen from outside. Times are true time, in seconds."""

    call: int
    task: int
    """Which delivery made it."""
    request: Request
    person: str
    at: float
    left: bool = False
    landed: float | None = None
    heard: int | None = None
    """The status of a whole and readable answer, once it was heard."""
    cut: bool = False
    """Only the first line of the answer was heard: that, and not why."""
    over: float | None = None
    """When its sender stopped waiting for it; None if it died first."""
    settled: float | None = None
    """When what came of it was committed on our side."""

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.request.method != "GET"

    @property
    def clear(self) -> bool:
        """Whether our side knows for certain what it did."""
        return self.settled is not None and self.heard is not None and self.heard not in UNCLEAR


class Network:
    """Sends requests of workers to the server."""

    def __init__(
        self, *, loop: Loop, server: Server, dice: Random, strikes: Callable[[str], bool]
    ) -> None:
        self._loop = loop
        self._server = server
        self._dice = dice
        self._strikes = strikes
        self.sent: list[Sent] = []

    def send(
        self,
        request: Request,
        *,
        send_by: float,
        monotonic: Callable[[], float],
        deadline: timedelta,
        task: int,
    ) -> Reply:
        """Send once, as the client does, and give the whole answer or how far it came."""
        began = monotonic()
        call = Sending(
            monotonic=monotonic,
            began=began,
            deadline=began + deadline.total_seconds(),
            send_by=send_by,
        )
        note = Sent(
            call=len(self.sent) + 1,
            task=task,
            request=request,
            person=self._person_of(request),
            at=self._loop.now,
        )
        self.sent.append(note)
        try:
            reply = self._exchange(request, call, note)
        except SendByPassed:
            reply = call.broken("it had become too late to send")
        except DeadlinePassed:
            reply = call.broken("time ran out")
        except ConnectionError as error:
            reply = call.broken(str(error))
        note.over = self._loop.now
        return reply

    def _exchange(self, request: Request, call: Sending, note: Sent) -> Reply:
        self._wait(call, self._dice.uniform(0.001, 0.05))
        if self._strikes(Fault.NOT_SENT):
            raise ConnectionError("refused")
        call.left()
        call.about_to_write()
        note.at, note.left = self._loop.now, True
        told = self._under_way(request, note)
        reach(Point.SENDING)
        reach(Point.SENT)
        return self._reply(told, call, note)

    def _under_way(self, request: Request, note: Sent) -> "_Told":
        """Decide what becomes of it; from here on nobody can call it back."""
        told = _Told()
        quick = self._dice.uniform(0.01, 0.4)
        if self._strikes(Fault.REQUEST_LOST):
            return told
        if self._strikes(Fault.FAILS_BEFORE):
            told.comes_at, told.status = self._loop.now + quick, 500
            return told
        late = self._strikes(Fault.LANDS_LATE)
        proxy = not late and self._strikes(Fault.PROXY_GIVES_UP)
        lands = self._loop.now + (self._dice.uniform(1.0, LATEST) if late or proxy else quick)
        self._loop.at(lands, lambda: self._land(request, note, told))
        if proxy:
            told.comes_at, told.status = self._loop.now + quick, self._dice.choice(PROXY)
        elif not late and not self._strikes(Fault.REPLY_LOST):
            slow = self._dice.uniform(5, 29) if self._strikes(Fault.SLOW) else quick
            told.comes_at = lands + slow
            told.status = 500 if self._strikes(Fault.FAILS_AFTER) else None
        return told

    def _land(self, request: Request, note: Sent, told: "_Told") -> None:
        note.landed = self._loop.now
        told.answer = self._server.handle(request, call=note.call)

    def _reply(self, told: "_Told", call: Sending, note: Sent) -> Reply:
        if told.comes_at is None:
            gives_up = call.left() + 0.01
            self._wait(call, self._dice.choice((gives_up, self._dice.uniform(0.1, 25))))
            call.left()
            raise ConnectionError("reset")
        self._wait(call, max(0.0, told.comes_at - self._loop.now))
        call.left()
        headers = {"date": http_date(self._server.clock()), "x-request-id": f"r-{note.call}"}
        if told.status is not None or told.answer is None:
            note.heard = told.status or 502
            return Answer(
                status=note.heard,
                headers={**headers, "content-type": "application/json"},
                body=b'{"error":"Internal server error"}',
                duration=call.duration(),
            )
        answer = told.answer
        call.status, call.headers = answer.status, {**headers, "content-type": answer.content_type}
        if self._strikes(Fault.CUT_SHORT):
            # That it was refused stands in the first line; why is lost.
            note.heard, note.cut = (answer.status if answer.status >= 400 else None), True
            return Failure(
                kind=FailureKind.CUT_SHORT,
                detail="cut short",
                status=answer.status,
                headers=headers,
            )
        body = answer.body
        if answer.status == 200 and self._strikes(Fault.GARBAGE):
            body = self._dice.choice((b"<html>", b"", b'{"data":{}}', body[: len(body) // 2]))
        else:
            note.heard = answer.status
        return Answer(
            status=answer.status, headers=call.headers, body=body, duration=call.duration()
        )

    def _wait(self, call: Sending, seconds: float) -> None:
        self._loop.sleep(min(seconds, max(0.0, call.deadline - call.monotonic()) + 0.02))

    def _person_of(self, request: Request) -> str:
        """Whose affair it is, for the judge."""
        parts = request.path.strip("/").split("/")
        if parts[0] == "participants":
            return parts[1]
        if request.method == "POST" and request.body is not None:
            return _claimant(request)
        if len(parts) == 1:
            return dict(request.query)["filter[participant_id]"]
        claim = self._server.claims.get(parts[1])
        return "" if claim is None else claim.person


def _claimant(request: Request) -> str:
    body = cast("dict[str, dict[str, dict[str, str]]]", request.body)
    return body["data"]["attributes"]["participant_id"]


@dataclass
class _Told:
    """What comes back: when, and what; nothing comes while `comes_at` is None."""

    comes_at: float | None = None
    status: int | None = None
    """A status instead of the server's own answer."""
    answer: Told | None = None
