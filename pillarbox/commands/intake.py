"""`pillarbox emit` and `pillarbox import`: events from the command line and from files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.registry import contract_named
from pillarbox.commands.common import (
    NOTHING,
    PARTLY,
    USAGE,
    AsJson,
    DryRun,
    Stop,
    opened,
    print_json,
    settings,
    stdout,
)
from producers import files
from producers.append import emit as append_event
from producers.files import Fault, Reading
from runtime.database import Database
from runtime.errors import InvalidSettings
from runtime.settings import Settings
from schema.events import Event, InvalidEvent, decode
from schema.words import several

MOST_SHOWN = 20
"""Faulty lines that are printed; all of them are in the JSON."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("emit")(emit)
    app.command("import")(import_file)


def emit(
    event: Annotated[
        str, typer.Argument(help="The event's name, such as participant_deferred.", metavar="EVENT")
    ],
    source_id: Annotated[
        str | None, typer.Option(help="The local id of the enrolment or partnership.")
    ] = None,
    json_payload: Annotated[
        str, typer.Option(help="The event's fields as a JSON object; `-` reads standard input.")
    ] = "{}",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Append one event to the outbox.

    Example: pillarbox emit participant_deferred --source-id E-1 --json-payload '{"reason":"other"}'
    """
    found = settings()
    made = decode(_fields(event, source_id, json_payload))
    _checked(found)(made)
    database = opened(found)
    entry: int | None = None
    if not dry_run:
        with database.transaction() as connection:
            entry = append_event(connection, made)
    if as_json:
        print_json(
            {
                "entry": entry,
                "event": made.event,
                "source_id": made.source_id,
                "destination": made.destination,
                "dry_run": dry_run,
            }
        )
        return
    where = "would go into the outbox" if dry_run else f"is entry {entry} of the outbox"
    stdout().print(f"{made.event} of {made.source_id} {where}", markup=False)


def import_file(
    file: Annotated[
        Path, typer.Argument(help="One JSON object a line; `-` is standard input.", metavar="FILE")
    ],
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Put nothing in if one line is bad.")
    ] = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Append a file of events to the outbox. The same file twice is one import.

    A bad line is named with its number and reason; the good ones go in. Exits 5 then, 2 when
    nothing went in because of a bad line, 4 when the file holds no event.

    Example: pillarbox import events.jsonl --dry-run
    """
    found = settings()
    reading = files.read(_content(file), _checked(found))
    database = opened(found)
    total = len(reading.lines) + len(reading.faults)
    new, faults = _append(database, reading, all_or_nothing=all_or_nothing, dry_run=dry_run)
    went_in = 0 if (all_or_nothing and faults) else new
    known = len(reading.lines) - new - (len(faults) - len(reading.faults))
    report: dict[str, Any] = {
        "lines": total,
        "new": went_in,
        "known": 0 if dry_run else known,
        "faulty": len(faults),
        "faults": [{"line": f.line, "field": f.field, "problem": f.problem} for f in faults],
        "dry_run": dry_run,
    }
    if as_json:
        print_json(report)
    else:
        _tell(report, faults, all_or_nothing=all_or_nothing)
    _end(total, went_in, faults, all_or_nothing=all_or_nothing)


def _end(total: int, new: int, faults: list[Fault], *, all_or_nothing: bool) -> None:
    if total == 0:
        raise typer.Exit(NOTHING)
    if faults:
        good = total - len(faults)
        raise typer.Exit(USAGE if all_or_nothing or good == 0 else PARTLY)


def _append(
    database: Database, reading: Reading, *, all_or_nothing: bool, dry_run: bool
) -> tuple[int, list[Fault]]:
    faults = list(reading.faults)
    if all_or_nothing and faults:
        return 0, faults
    if dry_run:
        return len(reading.lines), faults
    if all_or_nothing:
        return _append_whole(database, reading)
    new = 0
    for batch in files.batches(reading.lines):
        with database.transaction() as connection:
            more, wrong = files.append(connection, batch)
        new += more
        faults += wrong
    return new, sorted(faults, key=lambda fault: fault.line)


class _Undo(Exception):
    """Roll back what went in."""


def _append_whole(database: Database, reading: Reading) -> tuple[int, list[Fault]]:
    new = 0
    faults: list[Fault] = []
    try:
        with database.transaction() as connection:
            for batch in files.batches(reading.lines):
                more, wrong = files.append(connection, batch)
                new += more
                faults += wrong
            if faults:
                raise _Undo
    except _Undo:
        return 0, faults
    return new, faults


def _tell(report: dict[str, Any], faults: list[Fault], *, all_or_nothing: bool) -> None:
    console = stdout()
    would = "would go in" if report["dry_run"] else "went in"
    console.print(
        f"{report['new']} of {several(report['lines'], 'event')} {would}, "
        f"{several(report['known'], 'was', 'were')} there "
        f"already, {several(report['faulty'], 'line is', 'lines are')} faulty"
        + (", so nothing went in" if all_or_nothing and faults else "")
    )
    for fault in faults[:MOST_SHOWN]:
        console.print(f"  {fault}", markup=False)
    if len(faults) > MOST_SHOWN:
        console.print(f"  and {len(faults) - MOST_SHOWN} more; --json lists them all")


def _fields(event: str, source_id: str | None, payload: str) -> dict[str, Any]:
    text = sys.stdin.read() if payload == "-" else payload
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidEvent("--json-payload", "is not JSON; write an object such as {}") from None
    if not isinstance(fields, dict):
        raise InvalidEvent("--json-payload", "is not a JSON object; write one such as {}")
    merged: dict[str, Any] = {**fields, "event": event}
    if source_id is not None:
        merged["source_id"] = source_id
    return merged


def _content(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise Stop(
            f"FILE: {file} cannot be read ({error.strerror}); name a file of events"
        ) from None


def _checked(found: Settings) -> Any:
    """Give the check that an event has a destination, and that its API knows such a thing."""
    contracts = {one.name: contract_named(one.contract) for one in found.destinations}

    def check(event: Event) -> None:
        try:
            found.destination(event.destination)
        except InvalidSettings:
            known = ", ".join(contracts)
            raise InvalidEvent(
                "destination", f"is {event.destination!r}; configured are {known}"
            ) from None
        contracts[event.destination].asks(event)

    return check
