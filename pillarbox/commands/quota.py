"""`pillarbox quota`: how many calls are left, and whether any may be made at all."""

from typing import Annotated, Any

import typer

from console.views import ago, london
from gateway.errors import QuotaUnavailable
from gateway.quota import QuotaFill
from outbox import gates
from outbox.gates import Gate
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
    seconds,
    settings,
    stdout,
    wired,
)
from runtime.audit import write_down
from runtime.clock import clock_of
from runtime.settings import duration
from schema.states import GateReason

app = typer.Typer(help="The calls that are left, and the gate of the key.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="quota")


@app.command()
def show(destination: Of = "default", as_json: AsJson = False) -> None:
    """Show how full the rolling window is, by lane, and whether the gate is shut."""
    found = settings()
    one = chosen(found, destination)
    wiring = wired(found)
    now = wiring.clock.now()
    with wiring.database.reading() as connection:
        gate = gates.shut_now(connection, destination, now)
    try:
        fill = wiring.paces[one.name].fill()
    except QuotaUnavailable as error:
        raise Stop(
            f"REDIS_URL: {error}; no call is made until Redis answers", UNREACHABLE
        ) from None
    if as_json:
        print_json({"destination": destination, **fill_json(fill), "gate": gate_json(gate)})
        return
    _print(fill, gate, embedded=found.embedded)


def _print(fill: QuotaFill, gate: Gate | None, *, embedded: bool) -> None:
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
    console.print(_gate_line(gate))


def _gate_line(gate: Gate | None) -> str:
    if gate is None:
        return "The gate is open."
    until = f"until {london(gate.until)}" if gate.until else "until a person opens it"
    return f"The gate is shut {until}: {gate.detail or gate.reason.value}"


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
    """Stop all calls to a destination; what is due waits, at no cost."""
    found = settings()
    chosen(found, destination)
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
    if not dry_run:
        with database.transaction() as connection:
            before = gates.shut_now(connection, destination, now)
            gates.shut(connection, destination, gate)
            write_down(
                connection,
                actor=actor(),
                action="quota_paused",
                subject=destination,
                now=now,
                reason=reason,
                before=gate_json(before),
                after=gate_json(gate),
            )
    _said(gate, as_json=as_json, dry_run=dry_run, destination=destination)


@app.command()
def resume(
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "resumed by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Open the gate: after a pause, or when the key is accepted again."""
    found = settings()
    chosen(found, destination)
    database = opened(found)
    now = clock_of(database).now()
    if not dry_run:
        with database.transaction() as connection:
            before = gates.shut_now(connection, destination, now)
            gates.open_again(connection, destination)
            gates.due_again(connection, destination, now)
            write_down(
                connection,
                actor=actor(),
                action="quota_resumed",
                subject=destination,
                now=now,
                reason=reason,
                before=gate_json(before),
                after=None,
            )
    _said(None, as_json=as_json, dry_run=dry_run, destination=destination)


def _said(gate: Gate | None, *, as_json: bool, dry_run: bool, destination: str) -> None:
    if as_json:
        print_json({"destination": destination, "gate": gate_json(gate), "dry_run": dry_run})
        return
    stdout().print(("dry run: " if dry_run else "") + _gate_line(gate))


def gate_json(gate: Gate | None) -> dict[str, Any] | None:
    """Give a gate as JSON; None when it is open."""
    if gate is None:
        return None
    return {
        "reason": gate.reason.value,
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
