"""`pillarbox status`: the numbers that the person on duty needs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from console.plain import seconds
from console.views import ago, london
from gateway.errors import QuotaUnavailable
from outbox import attempts, bindings, entries, gates, rebind
from pillarbox.commands.common import (
    ATTENTION,
    AsJson,
    print_json,
    print_table,
    settings,
    stdout,
    wired,
)
from pillarbox.commands.quota import fill_json, gate_line, gates_json
from records import store
from runtime import redis as runtime_redis
from runtime.processes import MISSING_AFTER, all_beats
from runtime.settings import Destination
from schema.states import RecordState
from workers.wiring import Wiring

UNFOLDED = timedelta(minutes=1)
"""How long an entry may be new. A relay folds it within a second."""


LONG = timedelta(hours=24)
"""Whoever waits longer is named, whatever it waits for."""

MOST_NAMED = 10
"""How many of them are named; of a hundred more the next ten say nothing new."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    check: Annotated[
        bool, typer.Option("--check", help="Exit 6 when something needs attention.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what waits, since when and why; what was sent; the quota; who is at work."""
    found = settings()
    wiring = wired(found)
    told = gather(wiring)
    if as_json:
        print_json(told)
    else:
        _print(told)
    if check and told["attention"]:
        raise typer.Exit(ATTENTION)


def gather(wiring: Wiring) -> dict[str, Any]:
    """Collect the status of every destination and process, as JSON."""
    now = wiring.clock.now()
    destinations = [_destination(wiring, one, now) for one in wiring.settings.destinations]
    with wiring.database.reading() as connection:
        unknown = [
            name
            for name in entries.destinations_waiting(connection)
            if name not in {one.name for one in wiring.settings.destinations}
        ]
        processes = [
            {
                "role": beat.role,
                "host": beat.host,
                "pid": beat.pid,
                "started_at": beat.started_at,
                "beat_s_ago": seconds(now - beat.beat_at),
                "missing": now - beat.beat_at > MISSING_AFTER,
                "progress": beat.progress,
            }
            for beat in all_beats(connection)
        ]
    attention = [line for one in destinations for line in one["attention"]]
    weakness = runtime_redis.weakness(wiring.redis)
    attention += [] if weakness is None else [f"Redis {weakness}"]
    attention += _nobody_left(processes)
    attention += _nobody_there(destinations, processes)
    attention += [
        f"entries name the destination {name!r}, which is not configured" for name in unknown
    ]
    return {
        "at": now,
        "attention": attention,
        "destinations": destinations,
        "processes": processes,
    }


def _nobody_left(processes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the roles whose every process is missing; one of several that died was replaced."""
    alive = {one["role"] for one in processes if not one["missing"]}
    dead = {one["role"] for one in processes} - alive
    return [f"every {role} is missing; start `pillarbox {role}`" for role in sorted(dead)]


def _nobody_there(
    destinations: Sequence[Mapping[str, Any]], processes: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Name the roles that nobody has, while something waits for them."""
    if all(one["oldest_waiting_s"] is None for one in destinations):
        return []
    known = {one["role"] for one in processes}
    return [
        f"something waits, and no {role} is at work; start `pillarbox {role}`"
        for role in ("relay", "worker")
        if role not in known
    ]


def _destination(wiring: Wiring, one: Destination, now: datetime) -> dict[str, Any]:
    with wiring.database.reading() as connection:
        counts = store.counts(connection, one.name)
        totals = dict(entries.totals(connection, one.name))
        oldest = entries.oldest_open(connection, one.name)
        unfolded = entries.oldest_new(connection, one.name)
        shown = gates.shown(connection, one.name, now, key_name=one.key_name)
        late = store.waiting_since(connection, one.name, now - LONG, limit=MOST_NAMED + 1)
        calls = attempts.counts(connection, one.name)
        binding = bindings.bound(connection, one.name)
        stands = bindings.standing(connection, one.name)
        held = rebind.held_words(connection, one.name, now)
        progress = rebind.progress(connection, one.name, now)
    by_state: dict[str, int] = {}
    for state, _, number in counts:
        by_state[state.value] = by_state.get(state.value, 0) + number
    attention = [
        f"{state.value.replace('_', ' ')}: {number}, {reason.value.replace('_', ' ')}"
        for state, reason, number in counts
        if reason is not None
        and state in (RecordState.DEAD, RecordState.HELD, RecordState.IN_DOUBT)
    ]
    if unfolded is not None and now - unfolded > UNFOLDED:
        attention.append(
            f"entries wait to be folded since {ago(now - unfolded)}; is a relay at work?"
        )
    quota = _quota(wiring, one)
    if quota is None:
        attention.append("Redis does not answer, so no call is made")
    attention += [gate_line(gate, now) for gate in shown if gate.until is None or gate.until > now]
    if held is not None:
        attention.append(f"{one.name} is {held}")
    attention += _waiting_long(late, now)
    return {
        "destination": one.name,
        "url": one.url,
        "bound_to": None if binding is None else binding.url,
        "oldest_waiting_s": seconds(None if oldest is None else now - oldest),
        "records": by_state,
        "reasons": {reason.value: number for _, reason, number in counts if reason is not None},
        "entries": totals,
        "calls": calls,
        **gates_json(shown, now),
        "waiting_over_a_day": [str(waiting.key) for waiting in late],
        "quota": quota,
        "writes": None if stands is None else stands.writes.value,
        "live_since": None if stands is None else stands.live_since,
        "held": held,
        "looked_up": None
        if progress is None
        else {
            "since": progress.since,
            "total": progress.total,
            "done": progress.done,
            "left": progress.left,
            "aside": progress.aside,
            "marking": progress.marking,
        },
        "attention": attention,
    }


def _waiting_long(late: Sequence[store.Waiting], now: datetime) -> list[str]:
    """Name the records that wait for more than a day, the longest first; at most a handful."""
    lines = [
        f"{one.key} waits for {ago(now - one.since)}: {(one.reason or 'due').replace('_', ' ')}"
        + (f" {one.waits_for}" if one.waits_for else "")
        for one in late[:MOST_NAMED]
    ]
    return [*lines, "more records wait for over a day"] if len(late) > MOST_NAMED else lines


def _quota(wiring: Wiring, one: Destination) -> dict[str, Any] | None:
    try:
        return fill_json(wiring.paces[one.name].fill())
    except QuotaUnavailable:
        return None


def _print(told: dict[str, Any]) -> None:
    console = stdout()
    for one in told["destinations"]:
        console.print(
            f"{one['destination']}   {one['url'] or one['bound_to'] or 'no URL set'}",
            style="bold",
            markup=False,
        )
        oldest = one["oldest_waiting_s"]
        console.print(
            "  oldest waiting   " + ("nothing waits" if oldest is None else ago_of(oldest))
        )
        console.print("  records          " + _counted(one["records"], "all in step"))
        console.print("  why              " + _counted(one["reasons"], "-"))
        console.print("  entries          " + _counted(one["entries"], "none yet"))
        console.print("  calls            " + _counted(one["calls"], "none yet"))
        quota = one["quota"]
        console.print(
            "  quota            "
            + (
                "unknown: Redis does not answer, so no call is made"
                if quota is None
                else f"{quota['used']} of {quota['limit']} in {quota['window_s']:g} s"
            )
        )
        console.print("  writes           " + (one["held"] or "may leave"), markup=False)
        shut = ", ".join(f"{gate['state']}: {gate['detail']}" for gate in one["gates"])
        console.print("  gate             " + (shut or "open"), markup=False)
    if told["processes"]:
        print_table(
            ("process", "host", "pid", "since (London)", "last sign of life"),
            [
                (
                    p["role"],
                    p["host"],
                    p["pid"],
                    london(p["started_at"]),
                    ago_of(p["beat_s_ago"]) + " ago" + (", MISSING" if p["missing"] else ""),
                )
                for p in told["processes"]
            ],
        )
    else:
        console.print("no process is at work on this database")
    late = sum(p["progress"].get("late_settles_total", 0) for p in told["processes"])
    if late:
        console.print(f"{late:g} answers came too late for their record; its look-up settled it")
    for line in told["attention"]:
        console.print(f"! {line}", markup=False)


def ago_of(length: float) -> str:
    """Write seconds roughly."""
    return ago(timedelta(seconds=length))


def _counted(numbers: dict[str, int], empty: str) -> str:
    parts = [f"{number} {name.replace('_', ' ')}" for name, number in sorted(numbers.items())]
    return ", ".join(parts) or empty
