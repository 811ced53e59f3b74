"""The sandbox without its wires: state, clock, limiter, faults and log, and the way through them.

A request passes: arrival log, limiter, fault rules, token, routing. It is carried out whole, in
one go; a fault may make it wait before or after that, never in the middle.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from sandbox.api import ROOT, Call, Reply, respond
from sandbox.arrivals import Arrival, ArrivalLog
from sandbox.clock import Clock, real_now
from sandbox.events.pending import Queue
from sandbox.faults import Deed, Faults, Rule, StatusAnswer
from sandbox.limiter import Limiter, LimiterSettings
from sandbox.lists import UNBENT, Bent, Selections
from sandbox.load import load, read_clock
from sandbox.messages import (
    RETRY_LATER,
    UNAUTHORISED,
    Answer,
    Request,
    crashed,
    html_status,
    json_answer,
    not_routed,
)
from sandbox.reading import as_object
from sandbox.state import State
from sandbox.times import parse_instant

_AUTHORIZATION = re.compile(r"(?:Token|Bearer)\s+(.*)", re.S)
_UNWANTED_IN_ID = re.compile(r"[^\w\-@]", re.A)
LONGEST_REQUEST_ID = 255


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One API request and what is to become of it.

    `wait_before` and `wait_after` are seconds a fault wants it held, `tick` is when it arrived in
    the order of things, `final` is the answer if it was decided without carrying it out.
    """

    request: Request
    arrival: Arrival
    provider: str | None
    rule: Rule | None
    tick: int
    started: float
    wait_before: float = 0.0
    wait_after: float = 0.0
    final: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What goes over the wire: an answer, part of one, or (None) nothing but the end."""

    answer: Answer | None
    truncate: int | None = None


@dataclass(slots=True, kw_only=True)
class Start:
    """What the sandbox goes back to."""

    world: object
    limiter: LimiterSettings
    time_travel: bool


@dataclass(slots=True)
class Simultaneous:
    """Which declarations came into being while requests were held, and when."""

    made_at: dict[str, int] = field(default_factory=dict[str, int])

    def since(self, tick: int) -> frozenset[str]:
        return frozenset(ref for ref, made in self.made_at.items() if made >= tick)


class Engine:
    """Everything a sandbox is, apart from its connections."""

    def __init__(
        self,
        world: object,
        *,
        limiter: LimiterSettings | None = None,
        time_travel: bool = False,
    ) -> None:
        settings = limiter or LimiterSettings()
        self.start = Start(world=world, limiter=settings, time_travel=time_travel)
        self.clock = Clock(time_travel=time_travel)
        self.limiter = Limiter(settings)
        self.faults = Faults()
        self.log = ArrivalLog()
        self.selections = Selections()
        self.state = State()
        self.events = Queue()
        self.held = 0
        self._tick = 0
        self._simultaneous = Simultaneous()
        self.replace_world(world)

    # The world

    def replace_world(self, raw: object) -> None:
        """Put another world in the place of this one, or raise `BadInput` and change nothing."""
        clock = Clock(time_travel=self.clock.time_travel)
        clock.setting = self.clock.setting
        clock.nightly_runs = self.clock.nightly_runs
        clock.change(read_clock((as_object(raw) or {}).get("clock"), "clock"))
        loaded = load(raw, now=clock.now())
        events = Queue()
        events.load(loaded.state, loaded.pending, clock.now())
        self.state, self.events = loaded.state, events
        self.clock.setting, self.clock.time_travel = clock.setting, clock.time_travel
        self.clock.nightly_runs = clock.nightly_runs
        self.selections.clear()
        self.log.empty()
        self.limiter.change(self.start.limiter)
        self.limiter.empty()
        self.faults.replace([])
        self._simultaneous.made_at.clear()
        self.catch_up()

    def reset(self) -> None:
        """Go back to the start world."""
        self.replace_world(self.start.world)

    def catch_up(self) -> datetime:
        """Let happen what has become due by now; answers with now."""
        now = self.clock.now()
        self.events.catch_up(self.state, now, nightly=self.clock.nightly_runs)
        return now

    # The way of a request

    def begin(self, request: Request) -> Exchange:
        """Log an arrival, count it, and ask the fault rules."""
        now = self.catch_up()
        self._tick += 1
        token = token_of(request.header(b"authorization"))
        provider = self.state.tokens.get(token) if token is not None else None
        arrival = Arrival(
            arrived_at=real_now(),
            monotonic_us=time.monotonic_ns() // 1000,
            sandbox_now=now,
            remote=f"{request.address}:{request.port}",
            provider=provider,
            method=request.method,
            path=request.target,
            headers=request.headers,
            body=request.body,
            request_id=request_id_of(request),
        )
        self.log.add(arrival)
        exchange = Exchange(
            request=request,
            arrival=arrival,
            provider=provider,
            rule=None,
            tick=self._tick,
            started=time.perf_counter(),
        )
        self._admit(exchange, self._time_of(request, now) or now)
        return exchange

    def _admit(self, exchange: Exchange, now: datetime) -> None:
        request, arrival = exchange.request, exchange.arrival
        if not self.limiter.admit(request.header(b"authorization"), request.address, now):
            arrival.limited = True
            exchange.final = RETRY_LATER
            return
        rule = self.faults.first(request.method, request.target, exchange.provider)
        if rule is None:
            return
        arrival.fault = rule.name
        exchange.rule = rule
        exchange.wait_before = rule.wait(rule.deed.delay_ms)
        exchange.wait_after = rule.wait(rule.deed.delay_after_ms)

    def _time_of(self, request: Request, now: datetime) -> datetime | None:
        """The time this request goes by; None if it asks for one that cannot be read."""
        asked = request.header(b"x-with-server-date") if self.clock.time_travel else None
        return now if asked is None else parse_instant(asked.strip())

    def carry_out(self, exchange: Exchange) -> Outcome:
        """Do what the request asks, unless its fate was decided already."""
        if exchange.final is not None:
            return self._over(exchange, exchange.final)
        deed = exchange.rule.deed if exchange.rule else PLAIN
        instead = deed.answer
        if instead is not None and not instead.after:
            return self._over(exchange, _instead(exchange.request, instead))
        if deed.drop == "before":
            return self._over(exchange, None)
        answer = self._execute(exchange)
        if deed.drop == "after":
            return self._over(exchange, None)
        if instead is not None:
            answer = _instead(exchange.request, instead)
        return self._over(exchange, answer, truncate=deed.truncate)

    def _execute(self, exchange: Exchange) -> Answer:
        """Token, routing, and the operation itself."""
        request = exchange.request
        now = self.catch_up()
        if not request.path.startswith(ROOT):
            return not_routed(request)
        if exchange.provider is None:
            return UNAUTHORISED
        own_time = self._time_of(request, now)
        if own_time is None:
            return crashed(request)
        reply = respond(
            Call(
                state=self.state,
                selections=self.selections,
                request=request,
                provider=exchange.provider,
                now=own_time,
                stored_at=now,
                bent=_bent(exchange.rule) if exchange.rule else UNBENT,
                simultaneous=self._simultaneous.since(exchange.tick),
            )
        )
        self._remember(exchange, reply)
        return reply.answer

    def _remember(self, exchange: Exchange, reply: Reply) -> None:
        exchange.arrival.executed = reply.executed
        for ref in reply.created:
            self._tick += 1
            self._simultaneous.made_at[ref] = self._tick
        if not self.held:
            self._simultaneous.made_at.clear()

    def _over(
        self, exchange: Exchange, answer: Answer | None, *, truncate: int | None = None
    ) -> Outcome:
        if answer is None:
            return Outcome(answer=None)
        headers = (*answer.headers, ("x-request-id", exchange.arrival.request_id))
        return Outcome(answer=replace(answer, headers=headers), truncate=truncate)

    def finish(self, exchange: Exchange, outcome: Outcome | None) -> None:
        """Note in the log how a request ended."""
        arrival = exchange.arrival
        arrival.status = outcome.answer.status if outcome and outcome.answer else None
        arrival.duration_ms = round((time.perf_counter() - exchange.started) * 1000, 3)


PLAIN = Deed()


def token_of(header: str | None) -> str | None:
    """The token of an `Authorization` header. The scheme's letters count as written."""
    match = _AUTHORIZATION.match(header or "")
    if match is None:
        return None
    first = re.split(r"(?:,|;|\t)\s*", match.group(1), maxsplit=1)[0].strip()
    return first.removeprefix("token=").strip('"')


def request_id_of(request: Request) -> str:
    """The id a caller gave the request, cleaned, or a new one."""
    given = request.header(b"x-request-id")
    cleaned = _UNWANTED_IN_ID.sub("", given)[:LONGEST_REQUEST_ID] if given else ""
    return cleaned or str(uuid4())


def _bent(rule: Rule) -> Bent:
    deed = rule.deed
    return Bent(shift=deed.shift_pages, shuffle=rule.shuffle, hidden=frozenset(deed.hide))


def _instead(request: Request, instead: StatusAnswer) -> Answer:
    """The answer a fault gives in place of the real one."""
    if instead.has_body:
        return _with_headers(_with_body(instead), instead)
    if instead.status == 429:
        return _with_headers(RETRY_LATER, instead)
    if instead.status == 500:
        return _with_headers(crashed(request), instead)
    if instead.status in (204, 304):
        return _with_headers(Answer(status=instead.status), instead)
    return _with_headers(html_status(instead.status), instead)


def _with_body(instead: StatusAnswer) -> Answer:
    if isinstance(instead.body, str):
        body = instead.body.encode("utf-8", "replace")
        return Answer(status=instead.status, headers=(("content-type", "text/html"),), body=body)
    return json_answer(instead.body, instead.status)


def _with_headers(answer: Answer, instead: StatusAnswer) -> Answer:
    given = {name.lower() for name, _ in instead.headers}
    kept: Sequence[tuple[str, str]] = [h for h in answer.headers if h[0] not in given]
    return replace(answer, headers=(*kept, *instead.headers))
