"""What needs somebody, in sentences, each with the page of the runbook that says what to do. Pure.

One idea: whatever lights up leads somewhere. A line is made of facts that were read; the command, the
page, the JSON and the exit code of `status --check` go by the same list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from console.quotas import gate_line
from console.views import ago
from outbox.dating import Claim
from outbox.leading import leads
from outbox.standing import Gate
from records.counts import Number, Waiting
from schema.days import london_day
from schema.states import GateReason, RecordState
from schema.words import several

RUNBOOK = "docs/how-to/runbook.md"

UNFOLDED = timedelta(minutes=1)
"""How long an entry may be new. A relay folds it within a second."""

LONG = timedelta(hours=24)
"""Whoever waits longer is named, whatever it waits for."""

MOST_NAMED = 10
"""How many of them are named; of a hundred more the next ten say nothing new."""


A_MOMENT = timedelta(microseconds=1)
"""A cut-off is the midnight that ends its day."""


class Anchor(StrEnum):
    """Where the runbook says what to do."""

    DEAD_LETTERS = "dead-letters"
    HELD = "held"
    IN_DOUBT = "in-doubt"
    CUT_OFF = "cut-off"
    NOT_FOLDED = "not-folded"
    WAITING_LONG = "waiting-long"
    REDIS_AWAY = "redis-away"
    REDIS_FORGETS = "redis-forgets"
    THROTTLED = "throttled"
    KEY_REFUSED = "key-refused"
    BREAKER = "breaker"
    PAUSED = "paused"
    WRITES_HELD = "writes-held"
    POLL_LATE = "poll-late"
    FULL_SYNC_LATE = "full-sync-late"
    BRAKED = "braked"
    ROWS_HELD = "rows-held"
    HANDLER_HELD = "handler-held"
    PROCESS_MISSING = "process-missing"
    NOBODY_AT_WORK = "nobody-at-work"
    NOT_CONFIGURED = "not-configured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One line, and the anchor of its page in the runbook."""

    anchor: Anchor
    line: str

    def told(self) -> dict[str, str]:
        """Give it as JSON."""
        return {"line": self.line, "runbook": f"{RUNBOOK}#{self.anchor}"}


ASIDE = {
    RecordState.DEAD: Anchor.DEAD_LETTERS,
    RecordState.HELD: Anchor.HELD,
    RecordState.IN_DOUBT: Anchor.IN_DOUBT,
}

STANDS = {
    RecordState.DEAD: "set aside",
    RecordState.HELD: "held for a person",
    RecordState.IN_DOUBT: "in doubt",
}
"""How people here say where such a record stands."""

SHUT = {
    GateReason.THROTTLED: Anchor.THROTTLED,
    GateReason.KEY_REFUSED: Anchor.KEY_REFUSED,
    GateReason.BREAKER: Anchor.BREAKER,
    GateReason.PAUSED: Anchor.PAUSED,
}


def aside(numbers: Iterable[Number]) -> list[Alert]:
    """Name what waits for a person, and what nobody knows to have happened."""
    return [
        Alert(
            anchor=ASIDE[one.state],
            line=f"{shown(one)} {STANDS[one.state]}: {_words(one.reason)}",
        )
        for one in numbers
        if one.reason is not None and one.state in ASIDE
    ]


def shown(one: Number) -> str:
    """Write a number as far as it was counted."""
    return f"{one.number:,}{'+' if one.more else ''}"


def not_folded(since: datetime | None, now: datetime) -> list[Alert]:
    """Say that nobody takes up new entries."""
    if since is None or now - since <= UNFOLDED:
        return []
    waited = ago(now - since)
    line = f"entries wait to be folded since {waited}; is a relay at work?"
    return [Alert(anchor=Anchor.NOT_FOLDED, line=line)]


def near_cut_off(claims: Iterable[Claim], now: datetime) -> list[Alert]:
    """Name the claims that lead their lane, the nearest cut-off first; at most a handful."""
    near = [one for one in claims if leads(one.cut_off, now)]
    lines = [
        f"{one.key} must be accepted by {london_day(one.cut_off - A_MOMENT):%d %B} "
        f"({days_left(one.cut_off, now)}): {_words(one.reason or one.state)}"
        for one in near[:MOST_NAMED]
    ]
    if len(near) > MOST_NAMED:
        lines.append("more claims are near their cut-off")
    return [Alert(anchor=Anchor.CUT_OFF, line=line) for line in lines]


def days_left(cut_off: datetime, now: datetime) -> str:
    """Say how many days are left, the last one included in none."""
    days = (london_day(cut_off - A_MOMENT) - london_day(now)).days
    return "today" if days == 0 else "tomorrow" if days == 1 else f"{days} days left"


def shut(gates: Iterable[Gate], now: datetime) -> list[Alert]:
    """Name every gate that lets nothing through."""
    return [
        Alert(anchor=SHUT[gate.reason], line=gate_line(gate, now))
        for gate in gates
        if gate.until is None or gate.until > now
    ]


def waiting_long(late: Sequence[Waiting], now: datetime) -> list[Alert]:
    """Name the records that wait for more than a day, the longest first; at most a handful."""
    long = [one for one in late if now - one.since > LONG]
    lines = [
        f"{one.key} waits for {ago(now - one.since)}: {_words(one.reason or 'due')}"
        + (f" {one.waits_for}" if one.waits_for else "")
        for one in long[:MOST_NAMED]
    ]
    if len(long) > MOST_NAMED:
        lines.append("more records wait for over a day")
    return [Alert(anchor=Anchor.WAITING_LONG, line=line) for line in lines]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as its heartbeat shows it."""

    role: str
    missing: bool


def nobody_left(processes: Sequence[Process]) -> list[Alert]:
    """Name the roles whose every process is missing; one of several that died was replaced."""
    alive = {one.role for one in processes if not one.missing}
    dead = {one.role for one in processes} - alive
    return [
        Alert(
            anchor=Anchor.PROCESS_MISSING,
            line=f"every {role} is missing; start `pillarbox {role}`",
        )
        for role in sorted(dead)
    ]


def nobody_there(processes: Sequence[Process], *, waits: bool) -> list[Alert]:
    """Name the roles that nobody has, while something waits for them."""
    known = {one.role for one in processes}
    return [
        Alert(
            anchor=Anchor.NOBODY_AT_WORK,
            line=f"something waits, and no {role} is at work; start `pillarbox {role}`",
        )
        for role in ("relay", "worker")
        if waits and role not in known
    ]


def redis_away(away: bool) -> list[Alert]:
    """Say that the quota cannot be asked."""
    line = "Redis does not answer, so no call is made"
    return [Alert(anchor=Anchor.REDIS_AWAY, line=line)] if away else []


def redis_forgets(weakness: str | None) -> list[Alert]:
    """Say why Redis cannot be relied on."""
    if weakness is None:
        return []
    return [Alert(anchor=Anchor.REDIS_FORGETS, line=f"Redis {weakness}")]


def writes_held(destination: str, held: str | None) -> list[Alert]:
    """Say why no write leaves."""
    if held is None:
        return []
    return [Alert(anchor=Anchor.WRITES_HELD, line=f"{destination} is {held}")]


def not_configured(names: Iterable[str]) -> list[Alert]:
    """Name the destinations that entries go to and nobody knows."""
    return [
        Alert(
            anchor=Anchor.NOT_CONFIGURED,
            line=f"entries name the destination {name!r}, which is not configured",
        )
        for name in sorted(names)
    ]


def reading(read: Mapping[str, Any], now: datetime) -> list[Alert]:
    """Name the sources that are read too seldom or not to the end, and rows nobody could read."""
    alerts = [_trouble(one, trouble, now) for one in read["sources"] for trouble in one["troubles"]]
    if read["held_rows"]:
        line = f"{several(read['held_rows'], 'row')} could not be read; see `pillarbox polls held`"
        alerts.append(Alert(anchor=Anchor.ROWS_HELD, line=line))
    return alerts


def handlers(standing_still: Iterable[tuple[str, str | None]]) -> list[Alert]:
    """Name the handlers of the feed that wait for a person: each with its error, or without a start."""
    return [
        Alert(
            anchor=Anchor.HANDLER_HELD,
            line=f"{name} is told nothing of the feed: {why or 'nobody has said where it begins'}",
        )
        for name, why in standing_still
    ]


def _trouble(source: Mapping[str, Any], trouble: str, now: datetime) -> Alert:
    name = source["source"]
    match trouble:
        case "late":
            length = ago(timedelta(seconds=source["lag_s"]))
            return Alert(anchor=Anchor.POLL_LATE, line=f"{name} was last read {length} ago")
        case "braked":
            why = source["last_run"]["reason"]
            line = f"the full sync of {name} stopped for a person: {why}"
            return Alert(anchor=Anchor.BRAKED, line=line)
        case _:
            length = ago(now - source["full_sync"]["began"])
            line = f"the last full sync of {name} is {length} ago"
            return Alert(anchor=Anchor.FULL_SYNC_LATE, line=line)


def _words(text: str | None) -> str:
    return (text or "").replace("_", " ")
