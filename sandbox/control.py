"""The control side: how a test says who exists, what time it is and what goes wrong."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Literal, Protocol, cast

from sandbox.engine import Engine
from sandbox.faults import read_rules
from sandbox.limiter import LimiterSettings
from sandbox.load import read_clock
from sandbox.messages import Answer, Request, json_answer, parse_json
from sandbox.query import parse_query
from sandbox.reading import BadInput, Fields, Problem, Problems, as_object
from sandbox.times import exact
from sandbox.world_writing import world_of

PATH = "/_sandbox"
DEFAULT_LOG_PAGE = 1000
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

Json = dict[str, object]


class Held(Protocol):
    """The requests that faults are holding back."""

    def release(self) -> None:
        """Let them go on now."""
        ...

    def end(self) -> None:
        """End them without an answer."""
        ...


class Control:
    """Answers the calls under `/_sandbox`."""

    def __init__(self, engine: Engine, held: Held) -> None:
        self._engine = engine
        self._held = held
        self._calls: Mapping[str, Mapping[str, Callable[[Request], object]]] = {
            "": {"GET": self._overview},
            "/world": {"GET": self._world, "PUT": self._put_world},
            "/reset": {"POST": self._reset},
            "/clock": {"GET": self._clock, "PUT": self._put_clock},
            "/events": {"POST": self._post_events},
            "/limiter": {"GET": self._limiter, "PUT": self._put_limiter},
            "/faults": {
                "GET": self._faults,
                "PUT": self._put_faults,
                "DELETE": self._delete_faults,
            },
            "/requests": {"GET": self._requests, "DELETE": self._delete_requests},
        }

    def answer(self, request: Request) -> Answer:
        """Carry out a call, whole, or refuse it and change nothing."""
        if not is_from_here(request):
            return refusal(403, "", "only this machine's own pages and programs may call this")
        calls = self._calls.get(request.path.removeprefix(PATH).removesuffix("/"))
        if calls is None:
            return refusal(404, request.path, "there is no such call")
        call = calls.get(request.method)
        if call is None:
            allowed = ", ".join(calls)
            answer = refusal(405, request.path, f"only {allowed}")
            headers = (*answer.headers, ("allow", allowed))
            return Answer(status=405, headers=headers, body=answer.body)
        try:
            return json_answer(call(request))
        except BadInput as bad:
            return json_answer({"errors": [asdict(problem) for problem in bad.problems]}, 400)

    # Calls

    def _overview(self, _: Request) -> Json:
        now = self._engine.catch_up()
        state, events = self._engine.state, self._engine.events
        return {
            "control": 1,
            "now": exact(now),
            "running": self._engine.clock.setting.running,
            "counts": {
                "providers": len(state.providers),
                "cohorts": len(state.cohorts),
                "schedules": sum(len(schedules) for schedules in state.schedules.values()),
                "delivery_partners": len(state.delivery_partners),
                "schools": len(state.schools),
                "partnerships": len(state.partnerships),
                "statements": len(state.statements),
                "participants": len(state.people),
                "declarations": len(state.declarations),
            },
            "pending_events": len(events.pending),
            "dropped_events": events.dropped,
        }

    def _world(self, _: Request) -> Json:
        now = self._engine.catch_up()
        pending = [event.as_json() for event in self._engine.events.pending]
        return world_of(self._engine.state, clock=self._clock_json(now), pending=pending, now=now)

    def _put_world(self, request: Request) -> Json:
        self._engine.replace_world(body_of(request))
        self._held.end()
        return self._loaded()

    def _reset(self, _: Request) -> Json:
        self._engine.reset()
        self._held.end()
        return self._loaded()

    def _loaded(self) -> Json:
        state = self._engine.state
        tokens = {p.ref: p.tokens[0] for p in state.providers.values() if p.tokens}
        return {"ids": dict(state.refs), "tokens": tokens}

    def _clock(self, _: Request) -> Json:
        return self._clock_json(self._engine.catch_up())

    def _clock_json(self, now: datetime) -> Json:
        clock = self._engine.clock
        return {
            "now": exact(now),
            "running": clock.setting.running,
            "real": clock.setting.real,
            "time_travel": clock.time_travel,
            "nightly_runs": clock.nightly_runs,
        }

    def _put_clock(self, request: Request) -> Json:
        change = read_clock(body_of(request))
        self._engine.catch_up()
        self._engine.clock.change(change)
        return self._clock_json(self._engine.catch_up())

    def _post_events(self, request: Request) -> Json:
        now = self._engine.catch_up()
        return self._engine.events.post(self._engine.state, body_of(request), now)

    def _limiter(self, _: Request) -> Json:
        engine = self._engine
        now = engine.catch_up()
        counters: Json = {}
        for provider in engine.state.providers.values():
            fullest = max(
                (engine.limiter.counted(f"Bearer {token}", now) for token in provider.tokens),
                key=lambda counted: counted.count,
                default=engine.limiter.counted("", now),
            )
            counters[provider.ref] = {
                "count": fullest.count,
                "remaining": fullest.remaining,
                "resets_at": exact(fullest.resets_at),
            }
        by_ip = dict(engine.limiter.by_address(now))
        return {**asdict(engine.limiter.settings), "counters": counters, "by_ip": by_ip}

    def _put_limiter(self, request: Request) -> Json:
        now = self._engine.catch_up()
        problems = Problems()
        fields = Fields(body_of(request), "", problems)
        settings = _settings(fields, self._engine.limiter.settings)
        pretended = self._prior_requests(fields, now)
        fields.done()
        problems.raise_any()
        self._engine.limiter.change(settings)
        for header, count, first, last in pretended:
            self._engine.limiter.pretend(header, count, first, last)
        return self._limiter(request)

    def _prior_requests(
        self, fields: Fields, now: datetime
    ) -> list[tuple[str, int, datetime, datetime]]:
        inner = fields.maybe_inner("prior_requests")
        pretended: list[tuple[str, int, datetime, datetime]] = []
        for name in inner.names() if inner else ():
            provider = self._engine.state.providers.get(name)
            if inner is None or provider is None or not provider.tokens:
                inner = cast("Fields", inner)
                inner.complain(name, f"unknown ref '{name}'" if provider is None else "no token")
                continue
            count, first, last = _prior(inner, name, now)
            pretended.append((f"Bearer {provider.tokens[0]}", count, first, last))
        return pretended

    def _faults(self, _: Request) -> object:
        return self._engine.faults.as_json()

    def _put_faults(self, request: Request) -> object:
        problems = Problems()
        state = self._engine.state
        rules = read_rules(
            body_of(request),
            problems,
            providers=lambda name: name if name in state.providers else None,
            refs=lambda name: _any_ref(self._engine, name),
        )
        problems.raise_any()
        self._engine.faults.replace(rules)
        return self._faults(request)

    def _delete_faults(self, request: Request) -> object:
        self._engine.faults.replace([])
        self._held.release()
        return self._faults(request)

    def _requests(self, request: Request) -> Json:
        params = parse_query(request.query)
        problems = Problems()
        after = _whole_param(params.get("after"), 0, "after", problems)
        limit = _whole_param(params.get("limit"), DEFAULT_LOG_PAGE, "limit", problems)
        problems.raise_any()
        log = self._engine.log
        return {
            "requests": [arrival.as_json() for arrival in log.after(after, limit)],
            "last_seq": log.last_seq,
        }

    def _delete_requests(self, _: Request) -> Json:
        self._engine.log.empty()
        return {"requests": [], "last_seq": 0}


def is_from_here(request: Request) -> bool:
    """Whether a caller reached the sandbox by a loopback name, and from no other site's page."""
    host = request.header(b"host") or ""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name.lower() not in LOOPBACK_NAMES:
        return False
    origin = request.header(b"origin")
    return origin is None or origin.lower() == f"http://{host.lower()}"


def refusal(status: int, where: str, problem: str) -> Answer:
    return json_answer({"errors": [asdict(Problem(where, problem))]}, status)


def body_of(request: Request) -> object:
    try:
        return parse_json(request.body)
    except (ValueError, RecursionError) as error:
        raise BadInput([Problem("", "must be JSON")]) from error


def _any_ref(engine: Engine, name: str) -> str | None:
    ref = engine.state.ids.get(name.lower(), name)
    return ref if ref in engine.state.refs else None


def _settings(fields: Fields, old: LimiterSettings) -> LimiterSettings:
    mode = fields.choice_or("mode", ("fixed", "rolling"), old.mode)
    per_ip = old.per_ip_limit
    if fields.has("per_ip_limit"):
        per_ip = _maybe_count(fields, "per_ip_limit")
    chosen: Literal["fixed", "rolling"] = "rolling" if mode == "rolling" else "fixed"
    settings = LimiterSettings(
        limit=fields.whole_or("limit", old.limit),
        window_s=fields.whole_or("window_s", old.window_s),
        mode=chosen,
        per_ip_limit=per_ip,
        enabled=fields.flag_or("enabled", old.enabled),
    )
    if settings.limit < 0:
        fields.complain("limit", "must not be negative")
    if not 1 <= settings.window_s <= 86_400_000:
        fields.complain("window_s", "must be 1 or more")
    return settings


def _maybe_count(fields: Fields, key: str) -> int | None:
    value = fields.take(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        fields.complain(key, "must be a whole number, or null")
        return None
    return value


MOST_PRIOR = 1_000_000


def _prior(inner: Fields, name: str, now: datetime) -> tuple[int, datetime, datetime]:
    value = inner.take(name)
    if as_object(value) is None:
        one = Fields({name: value}, inner.where, inner.problems)
        count, first, last = one.whole(name), now, now
    else:
        one = Fields(value, inner.at(name), inner.problems)
        count, first, last = one.whole("count"), one.instant("from"), one.instant("to")
        one.done()
    if not 0 <= count <= MOST_PRIOR or last < first:
        inner.complain(name, f"must be from 0 to {MOST_PRIOR} requests, the first before the last")
        return 0, now, now
    return count, first, last


def _whole_param(value: object, default: int, name: str, problems: Problems) -> int:
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16:
        return int(value)
    problems.add(name, "must be a whole number")
    return default
