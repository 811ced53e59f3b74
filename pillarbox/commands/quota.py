"""`pillarbox quota`: how many calls are left, and whether any may be made at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from console.plain import seconds
from console.views import ago, london
from gateway.errors import QuotaUnavailable
from gateway.quota import QuotaFill
from outbox import gates
from outbox.standing import Gate, put
from pillarbox.commands.common import (
    UNREACHABLE,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    chosen,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
    wired,
)
from runtime.audit import write_down
from runtime.clock import clock_of
from runtime.settings import duration
from schema.states import SCOPE_OF, GateReason

app = typer.Typer(help="The calls that are left, and the gate of the key.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="quota")


@app.command()
def show(destination: Of = "default", as_json: AsJson = False) -> None:
    """Show how full the rolling window is, by lane, and every gate that is shut."""
    found = settings()
    one = chosen(found, destination)
    wiring = wired(found)
    now = wiring.clock.now()
    with wiring.database.reading() as connection:
        shown = gates.shown(connection, one.name, now, key_name=one.key_name)
    try:
        fill = wiring.paces[one.name].fill()
    except QuotaUnavailable as error:
        raise Stop(
            f"REDIS_URL: {error}; no call is made until Redis answers", UNREACHABLE
        ) from None
    if as_json:
        print_json({"destination": destination, **fill_json(fill), **gates_json(shown, now)})
        return
    _print(fill, shown, now, embedded=found.embedded)


def _print(fill: QuotaFill, shown: Sequence[Gate], now: datetime, *, embedded: bool) -> None:
    console = stdout()
    window = f"{fill.limit.window.total_seconds():g} s"
    if embedded:
        console.print(
            "REDIS_URL is not set: the log of `pillarbox up` is inside that process, and this one "
            "shows an empty one"
        )
    if not fill.is_open:
        console.print("The log is not open yet; the next call fills it from the database.")
    console.print(
        f"{fill.used} of {fill.limit.calls} calls in the last {window}, "
        f"{fill.in_flight} of them under way, {fill.foreign} not ours"
    )
    print_table(
        ("lane", "used", "share", "waiting"),
        [(lane.value, one.used, one.share, one.waiting) for lane, one in fill.lanes.items()],
    )
    if fill.next_free:
        console.print(f"next slot frees in {ago(fill.next_free[0])}")
    _print_gates(shown, now)


def _print_gates(shown: Sequence[Gate], now: datetime) -> None:
    console = stdout()
    if not shown:
        console.print("The gate is open.")
    for gate in shown:
        console.print(gate_line(gate, now), markup=False)


def gate_line(gate: Gate, now: datetime) -> str:
    """Say in a sentence what a gate stops, since when, until when and by whom."""
    who = f" by {gate.actor}" if gate.actor else ""
    why = f"{gate.reason.value.replace('_', ' ')}{who} since {london(gate.since)}: {gate.detail}"
    if gate.until is not None and gate.until <= now:
        tries = "one call tries it" if gate.probe else "the next call tries it"
        return f"The gate is ajar, {tries}: {why}"
    if gate.until is not None:
        return f"The gate is shut until {london(gate.until)}, {why}"
    refused = gate.reason is GateReason.KEY_REFUSED
    until = "the key is changed or a person resumes" if refused else "a person resumes"
    return f"The gate is shut until {until}, {why}"


@app.command()
def pause(
    length: Annotated[
        str | None, typer.Option("--for", help="How long, such as 10m; else until resumed.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "paused by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Stop all calls to a destination; what is due waits, at no cost.

    Over a pause that ends later it changes nothing; resume first.
    """
    found = settings()
    one = chosen(found, destination)
    database = opened(found)
    now = clock_of(database).now()
    wait = None if length is None else duration(length, "--for")
    gate = Gate(
        reason=GateReason.PAUSED,
        until=None if wait is None else now + wait,
        since=now,
        detail=reason,
        actor=actor(),
    )
    with database.transaction() as connection:
        before = _paused(gates.shown(connection, one.name, now, key_name=one.key_name))
        stands = put(before, gate) or before or gate
        if not dry_run and stands is not before:
            gates.shut(connection, one.name, gate)
            write_down(
                connection,
                actor=actor(),
                action="quota_paused",
                subject=destination,
                now=now,
                reason=reason,
                before=gate_json(before, now),
                after=gate_json(stands, now),
            )
    if stands is before and not as_json:
        stdout().print("It is paused for longer already; resume first to end it sooner.")
    _said([stands], now, as_json=as_json, dry_run=dry_run, destination=destination)


def _paused(shown: Sequence[Gate]) -> Gate | None:
    return next((gate for gate in shown if gate.reason is GateReason.PAUSED), None)


@app.command()
def resume(
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "resumed by hand",
    throttle: Annotated[
        bool, typer.Option("--throttle", help="Also try before the end of a 429's wait.")
    ] = False,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """End a pause, and try a refused key or a destination that failed: one call, then all.

    A 429's wait goes on, unless told otherwise.
    """
    found = settings()
    one = chosen(found, destination)
    database = opened(found)
    now = clock_of(database).now()
    with database.reading() as connection:
        before = gates.shown(connection, one.name, now, key_name=one.key_name)
    still = [gate for gate in before if gate.reason is GateReason.THROTTLED and not throttle]
    if not dry_run:
        with database.transaction() as connection:
            still = gates.resume(connection, one.name, one.key_name, now, throttle=throttle)
            write_down(
                connection,
                actor=actor(),
                action="quota_resumed",
                subject=destination,
                now=now,
                reason=reason,
                before=gate_json(before[0] if before else None, now),
                after=gate_json(still[0] if still else None, now),
            )
    _said(still, now, as_json=as_json, dry_run=dry_run, destination=destination)


def _said(
    shown: Sequence[Gate], now: datetime, *, as_json: bool, dry_run: bool, destination: str
) -> None:
    if as_json:
        print_json({"destination": destination, **gates_json(shown, now), "dry_run": dry_run})
        return
    if dry_run:
        stdout().print("dry run:", end=" ")
    _print_gates(shown, now)


def gates_json(shown: Sequence[Gate], now: datetime) -> dict[str, Any]:
    """Give every gate, and by itself the weightiest that lets nothing through."""
    each = [gate_json(gate, now) for gate in shown]
    shut = next((one for one in each if one is not None and one["state"] == "shut"), None)
    return {"gate": shut, "gates": each}


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


def fill_json(fill: QuotaFill) -> dict[str, Any]:
    """Give the fill of the window as JSON."""
    return {
        "limit": fill.limit.calls,
        "window_s": seconds(fill.limit.window),
        "open": fill.is_open,
        "used": fill.used,
        "in_flight": fill.in_flight,
        "foreign": fill.foreign,
        "lanes": {
            lane.value: {"used": one.used, "share": one.share, "waiting": one.waiting}
            for lane, one in fill.lanes.items()
        },
        "next_free_s": [seconds(wait) for wait in fill.next_free],
        "address_used": fill.address_used,
    }
