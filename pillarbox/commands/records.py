"""`pillarbox records`: why is this teacher's record not there?"""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from console import views
from gateway.registry import contract_named
from outbox import attempts, bindings, entries, gates
from pillarbox.commands.common import (
    NOTHING,
    AsJson,
    Of,
    Stop,
    nothing,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
)
from records import store
from records.codec import problem_json
from runtime.audit import of_subject
from runtime.clock import clock_of
from schema.contract import Contract
from schema.keys import RecordKey
from schema.plans import Call
from schema.record import Record
from schema.states import ASLEEP, OPEN_STATES, RecordState

app = typer.Typer(help="Records on both sides: where each stands, and why.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="records")


@app.command("list")
def list_(
    state: Annotated[RecordState | None, typer.Option(help="Only records in this state.")] = None,
    destination: Of = "default",
    after: Annotated[int, typer.Option(help="Only records with a larger id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the records that are not in step, or those in one state. Exits 4 when there are none."""
    database = opened(settings())
    states = OPEN_STATES if state is None else {state}
    with database.reading() as connection:
        found = store.list_open(connection, destination, states=states, after=after, limit=limit)
    if not found:
        nothing("no record is in that state", as_json=as_json, empty=[])
    if as_json:
        print_json([summary(one) for one in found])
        return
    now = clock_of(database).now()
    print_table(
        ("id", "record", "where it stands"),
        [(one.id, str(one.key), views.verdict(one, now)) for one in found],
    )
    if len(found) == limit:
        stdout().print(f"more: --after {found[-1].id}")


@app.command()
def show(
    what: Annotated[
        str, typer.Argument(help="A record key, a local id, or a remote id.", metavar="RECORD")
    ],
    as_json: AsJson = False,
) -> None:
    """Show where a record stands: here and there, field by field."""
    _tell(what, as_json=as_json, with_story=False)


@app.command()
def explain(
    what: Annotated[
        str, typer.Argument(help="A record key, a local id, or a remote id.", metavar="RECORD")
    ],
    as_json: AsJson = False,
) -> None:
    """Explain a record: one sentence, both sides, and everything that happened to it, in order."""
    _tell(what, as_json=as_json, with_story=True)


def find(connection: Connection, what: str) -> list[Record]:
    """Find records by key, by the local system's id, or by the remote side's."""
    found = store.by_source(connection, what) or store.by_remote(connection, what)
    if found or ":" not in what:
        return found
    try:
        key = RecordKey.parse(what)
    except ValueError:
        return []
    return [one for one in store.by_source(connection, key.source_id) if one.key == key]


def summary(one: Record) -> dict[str, Any]:
    """Give a record as JSON."""
    return {
        "id": one.id,
        "key": str(one.key),
        "destination": one.destination,
        "state": one.state,
        "reason": one.reason,
        "due_at": one.due_at,
        "waits_for": one.waits_for,
        "remote_id": one.remote_id,
        "role": one.role,
        "pending": {name: wish.value for name, wish in one.pending.items()},
        "path": [{"to": move.to, "reason": move.reason} for move in one.path],
        "expected": {name: expected.value for name, expected in one.expected.items()},
        "accepted": one.accepted,
        "accepted_at": one.accepted_at,
        "remote_updated_at": one.remote_updated_at,
        "problem": None if one.problem is None else problem_json(one.problem),
        "tries": one.tries,
    }


def _tell(what: str, *, as_json: bool, with_story: bool) -> None:
    configured = settings()
    keys = {one.name: one.key_name for one in configured.destinations}
    database = opened(configured)
    now = clock_of(database).now()
    contracts = {one.name: contract_named(one.contract) for one in configured.destinations}
    with database.reading() as connection:
        found = find(connection, what)
        if not found:
            if as_json:
                print_json([])
            raise Stop(
                f"there is no record of {what!r}: no event with that source_id ever arrived, and no "
                "link to that remote id",
                NOTHING,
            )
        told = [
            tell(connection, one, contracts.get(one.destination), now, with_story=with_story)
            for one in found
        ]
        for one in told:
            name = one["destination"]
            gate = gates.shut_now(connection, name, now, key_name=keys.get(name))
            one["calls_stopped"] = None if gate is None else gate.detail or gate.reason.value
    if as_json:
        print_json(told)
        return
    for one, each in zip(found, told, strict=True):
        show_told(one, each)


def tell(
    connection: Connection,
    one: Record,
    contract: Contract | None,
    now: datetime,
    *,
    with_story: bool,
) -> dict[str, Any]:
    """Give all there is to say of a record as JSON, on request with everything that happened."""
    family = store.of_family(connection, one.destination, one.family)
    told: dict[str, Any] = {
        **summary(one),
        "verdict": views.verdict(one, now),
        "next": views.next_step(one, contract),
        "waited_for_by": [str(other.key) for other in family if other.waits_for == str(one.key)],
        "fields": [asdict(side) for side in views.sides(one)],
    }
    if one.state is RecordState.WAITING and one.reason in ASLEEP:
        told["would_send"] = _would_send(connection, one, now)
    if with_story:
        rows = [
            {
                "id": entry.id,
                "event": entry.event,
                "payload": entry.payload,
                "source": entry.source,
                "emitted_at": entry.emitted_at,
                "closed_as": entry.closed_as,
                "closed_at": entry.closed_at,
            }
            for entry in entries.of_record(connection, one.id)
        ]
        calls = attempts.of_record(connection, one.id)
        people = of_subject(connection, str(one.key))
        told["story"] = [
            {"at": when, "what": kind, "line": line}
            for when, kind, line in views.story(one, rows, calls, people)
        ]
    return told


def _would_send(connection: Connection, one: Record, now: datetime) -> dict[str, Any] | None:
    """Give the request that a sleeping record would make."""
    was = bindings.bound(connection, one.destination)
    if was is None:
        return None
    family = store.of_family(connection, one.destination, one.family)
    kin = [other for other in family if other.id != one.id]
    plan = contract_named(was.contract).plan(one, kin, now)
    return plan.request.as_json() if isinstance(plan, Call) else None


def show_told(one: Record, told: dict[str, Any]) -> None:
    """Print what there is to say of a record, for people."""
    console = stdout()
    console.print(str(one.key), style="bold", markup=False)
    console.print(f"  {told['verdict']}", markup=False)
    if request := told.get("would_send"):
        body = json.dumps(request.get("body"), ensure_ascii=False)
        console.print(f"  Would send: {request['method']} {request['path']} {body}", markup=False)
    if told.get("calls_stopped") and one.state is RecordState.WAITING:
        console.print(f"  No calls are made for now: {told['calls_stopped']}", markup=False)
    if told["next"]:
        console.print(f"  What to do: {told['next']}", markup=False)
    if told["waited_for_by"]:
        console.print(f"  Waiting for it: {', '.join(told['waited_for_by'])}", markup=False)
    if one.remote_id:
        console.print(
            f"  There it is {one.remote_id}" + (f", {one.role}" if one.role else ""), markup=False
        )
    differing = [row for row in told["fields"] if row["how"] or row["there"] is not None]
    if differing:
        console.print()
        as_of = f"as of {views.london(one.accepted_at)}" if one.accepted_at else "not looked at yet"
        both = any(row["how"] == "both changed it" for row in differing)
        print_table(
            ("  field", *(("when asked",) if both else ()), "here", f"there, {as_of}", ""),
            [
                (
                    f"  {row['field']}",
                    *((row["base"] if row["pending"] else "",) if both else ()),
                    "(same)" if row["here"] is None and not row["pending"] else row["here"],
                    row["there"],
                    row["how"],
                )
                for row in differing
            ],
        )
    if told.get("story"):
        console.print()
        print_table(
            ("  when (London)", "what", ""),
            [
                (f"  {views.london(line['at'])}", line["what"], line["line"])
                for line in told["story"]
            ],
        )
    console.print()
