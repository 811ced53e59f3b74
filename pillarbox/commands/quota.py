"""`pillarbox quota`: how many calls are left, and whether any may be made at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import Connection

from console.quotas import fill_json, gate_line, gates_json
from console.views import ago
from gateway.errors import QuotaUnavailable
from gateway.quota import QuotaFill
from outbox import gates, pausing
from outbox.standing import Gate
from pillarbox.commands.common import (
    UNREACHABLE,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    chosen,
    noun,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
    wired,
)
from runtime.clock import clock_of
from runtime.settings import duration

app = noun("The calls that are left, and the gate of the key.", "pillarbox quota show")


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="quota")


@app.command()
def show(destination: Of = "default", as_json: AsJson = False) -> None:
    """Show how full the rolling window is, by lane, and every gate that is shut.

    Example: pillarbox quota show --json
    """
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

    Example: pillarbox quota pause --for 10m --reason "the API is being upgraded"
    """
    found = settings()
    one = chosen(found, destination)
    database = opened(found)
    now = clock_of(database).now()
    length_ = None if length is None else duration(length, "--for")
    with database.transaction() as connection:
        paused = pausing.pause(
            connection, one.name, length=length_, actor=actor(), reason=reason, now=now
        )
        _only_try(connection, dry_run)
    if not paused.new and not as_json:
        stdout().print("It is paused for longer already; resume first to end it sooner.")
    _said([paused.stands], now, as_json=as_json, dry_run=dry_run, destination=destination)


def _only_try(connection: Connection, dry_run: bool) -> None:
    """Take back what a dry run did, so that what it says is what would be."""
    transaction = connection.get_transaction()
    if dry_run and transaction is not None:
        transaction.rollback()


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

    Example: pillarbox quota resume --reason "it is back"
    """
    found = settings()
    one = chosen(found, destination)
    database = opened(found)
    now = clock_of(database).now()
    with database.transaction() as connection:
        still = pausing.resume(
            connection,
            one.name,
            one.key_name,
            throttle=throttle,
            actor=actor(),
            reason=reason,
            now=now,
        )
        _only_try(connection, dry_run)
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
