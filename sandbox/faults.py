"""Faults: rules that make one answer, or one connection, go wrong in a known way."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sandbox.reading import Fields, Problems, as_list, as_object

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LONGEST_DELAY_MS = 3_600_000
Drop = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a request must be for a rule to be asked, and which of those it fires on."""

    method: str | None = None
    path_regex: re.Pattern[str] | None = None
    provider: str | None = None
    nth: int | None = None
    every: int | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """An answer in place of the real one, before or after the request is carried out."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: object = None
    has_body: bool = False
    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a rule does when it fires."""

    delay_ms: tuple[float, float] | None = None
    delay_after_ms: tuple[float, float] | None = None
    answer: StatusAnswer | None = None
    drop: Drop | None = None
    truncate: int | None = None
    shift_pages: int = 0
    shuffle_ties: int | None = None
    hide: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Rule:
    """A rule with its counters and its own chance."""

    name: str
    raw: object
    match: Match
    deed: Deed
    times: int | None
    seed: int
    matched: int = 0
    fired: int = 0
    chance: random.Random = field(default_factory=random.Random)
    shuffle: random.Random | None = None

    def asked(self, method: str, path: str, provider: str | None) -> bool:
        """Count a request that got this far, and say whether the rule fires on it."""
        match = self.match
        if match.method is not None and match.method != method:
            return False
        if match.provider is not None and match.provider != provider:
            return False
        if match.path_regex is not None and not match.path_regex.search(path):
            return False
        self.matched += 1
        if not self._due() or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    def _due(self) -> bool:
        match = self.match
        if match.nth is not None:
            return self.matched == match.nth
        if match.every is not None:
            return self.matched % match.every == 0
        if match.probability is not None:
            return self.chance.random() < match.probability
        return True

    def wait(self, span: tuple[float, float] | None) -> float:
        """Seconds to wait, drawn from a span of milliseconds."""
        return self.chance.uniform(*span) / 1000 if span else 0.0


class Faults:
    """The rules in force. The first that fires on a request is the only one."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def replace(self, rules: Sequence[Rule]) -> None:
        self.rules = list(rules)

    def first(self, method: str, path: str, provider: str | None) -> Rule | None:
        for rule in self.rules:
            if rule.asked(method, path, provider):
                return rule
        return None

    def as_json(self) -> list[object]:
        return [_with_counters(rule) for rule in self.rules]


def _with_counters(rule: Rule) -> dict[str, object]:
    given = as_object(rule.raw) or {}
    return {"name": rule.name, **given, "matched": rule.matched, "fired": rule.fired}


Resolve = Callable[[str], str | None]


def read_rules(raw: object, problems: Problems, *, providers: Resolve, refs: Resolve) -> list[Rule]:
    """Read a list of rules."""
    rules = as_list(raw)
    if rules is None:
        problems.add("", "must be a list of rules")
        return []
    return [
        _rule(Fields(rule, str(number), problems), rule, number, providers, refs)
        for number, rule in enumerate(rules)
    ]


def _rule(fields: Fields, raw: object, number: int, providers: Resolve, refs: Resolve) -> Rule:
    match_fields = fields.maybe_inner("match") or Fields({}, fields.where, fields.problems)
    seed = match_fields.whole_or("seed", 0)
    match = _match(match_fields, providers)
    times = fields.whole("times") if fields.has("times") else None
    if times is not None and times < 0:
        fields.complain("times", "must not be negative")
    name = fields.text_or("name", f"rule-{number}")
    if not fields.has("do"):
        fields.required("do")
    do_fields = fields.maybe_inner("do") or Fields({}, fields.at("do"), fields.problems)
    seed = do_fields.whole_or("seed", seed)
    deed = _deed(do_fields, refs)
    fields.done()
    return Rule(
        name=name,
        raw=raw,
        match=match,
        deed=deed,
        times=times,
        seed=seed,
        chance=random.Random(seed),
        shuffle=None if deed.shuffle_ties is None else random.Random(deed.shuffle_ties),
    )


def _match(fields: Fields, providers: Resolve) -> Match:
    method = fields.maybe_text("method")
    if method is not None and method.upper() not in METHODS:
        fields.complain("method", f"must be one of {', '.join(METHODS)}")
    provider = fields.maybe_text("provider")
    if provider is not None and providers(provider) is None:
        fields.complain("provider", f"unknown ref '{provider}'")
    if sum(fields.has(key) for key in ("nth", "every", "probability")) > 1:
        fields.complain("nth", "give only one of nth, every, probability")
    match = Match(
        method=method.upper() if method else None,
        path_regex=_pattern(fields),
        provider=provider,
        nth=_positive(fields, "nth"),
        every=_positive(fields, "every"),
        probability=_probability(fields),
    )
    fields.done()
    return match


def _pattern(fields: Fields) -> re.Pattern[str] | None:
    text = fields.maybe_text("path_regex")
    if text is None:
        return None
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError):
        fields.complain("path_regex", "is not a regular expression")
        return None


def _positive(fields: Fields, key: str) -> int | None:
    if not fields.has(key):
        return None
    number = fields.whole(key)
    if number < 1:
        fields.complain(key, "must be 1 or more")
    return max(1, number)


def _probability(fields: Fields) -> float | None:
    value = fields.take("probability")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        fields.complain("probability", "must be a number from 0 to 1")
        return None
    return float(value)


DEEDS = ("status", "delay_after_ms", "drop", "truncate", "shift_pages", "shuffle_ties", "hide")


def _deed(fields: Fields, refs: Resolve) -> Deed:
    given = [key for key in DEEDS if fields.has(key)]
    if len(given) > 1 or not (given or fields.has("delay_ms")):
        fields.problems.add(fields.where, f"must be one of {', '.join(('delay_ms', *DEEDS))}")
    deed = Deed(
        delay_ms=_span(fields, "delay_ms"),
        delay_after_ms=_span(fields, "delay_after_ms"),
        answer=_status(fields) if fields.has("status") else None,
        drop=_drop(fields),
        truncate=_truncate(fields),
        shift_pages=fields.whole_or("shift_pages", 0),
        shuffle_ties=fields.whole("shuffle_ties") if fields.has("shuffle_ties") else None,
        hide=_hidden(fields, refs),
    )
    fields.done()
    return deed


def _span(fields: Fields, key: str) -> tuple[float, float] | None:
    if not fields.has(key):
        return None
    span = as_list(fields.take(key)) or []
    numbers = [n for n in span if isinstance(n, (int, float)) and not isinstance(n, bool)]
    if len(span) != 2 or len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1] <= LONGEST_DELAY_MS:
        fields.complain(key, f"must be [low, high] in milliseconds, at most {LONGEST_DELAY_MS}")
        return None
    return float(numbers[0]), float(numbers[1])


def _status(fields: Fields) -> StatusAnswer:
    status = fields.whole("status")
    if not 200 <= status <= 599:
        fields.complain("status", "must be from 200 to 599")
    has_body = fields.has("body")
    return StatusAnswer(
        status=status,
        headers=_headers(fields),
        body=fields.take("body"),
        has_body=has_body,
        after=fields.flag_or("after", False),
    )


def _headers(fields: Fields) -> tuple[tuple[str, str], ...]:
    inner = fields.maybe_inner("headers")
    if inner is None:
        return ()
    headers: list[tuple[str, str]] = []
    for name in inner.names():
        value = str(inner.take(name))
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not _is_header_value(value):
            inner.complain(name, "cannot be sent as a header")
        headers.append((name, value))
    return tuple(headers)


def _is_header_value(value: str) -> bool:
    return all("\x20" <= letter <= "\xff" and letter != "\x7f" for letter in value)


def _drop(fields: Fields) -> Drop | None:
    when = fields.maybe_choice("drop", ("before", "after"))
    return "before" if when == "before" else "after" if when else None


def _truncate(fields: Fields) -> int | None:
    if not fields.has("truncate"):
        return None
    number = fields.whole("truncate")
    if number < 0:
        fields.complain("truncate", "must not be negative")
    return max(0, number)


def _hidden(fields: Fields, refs: Resolve) -> tuple[str, ...]:
    hidden: list[str] = []
    for name in fields.items("hide"):
        ref = refs(name) if isinstance(name, str) else None
        if ref is None:
            fields.complain("hide", f"unknown ref '{name}'")
        else:
            hidden.append(ref)
    return tuple(hidden)
