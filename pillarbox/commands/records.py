"""`pillarbox records`: why is this teacher's record not there?"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from console import stories, views
from gateway.registry import contract_named
from outbox import gates
from pillarbox.commands.common import (
    NOTHING,
    AsJson,
    Of,
    Stop,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    print_table,
    settings,
    stdout,
)
from records import store
from runtime.clock import clock_of
from runtime.settings import Settings
from schema.record import Record
from schema.states import OPEN_STATES, RecordState

app = noun("Records on both sides: where each stands, and why.", "pillarbox records explain E-1042")


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="records")


@app.command("list")
def list_(
    state: Annotated[RecordState | None, typer.Option(help="Only records in this state.")] = None,
    search: Annotated[
        str | None, typer.Option("--search", help="Only of this id, TRN, name or e-mail.")
    ] = None,
    destination: Of = "default",
    after: Annotated[int, typer.Option(help="Only records with a larger id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the records that are not in step, those in one state, or those of somebody.

    Exits 4 when none matches.

    Example: pillarbox records list --state waiting
    """
    configured = settings()
    database = opened(configured)
    states = OPEN_STATES if state is None else {state}
    with database.reading() as connection:
        if search is None:
            found = store.list_open(
                connection, destination, states=states, after=after, limit=limit
            )
        else:
            found = _searched(connection, configured, search, clock_of(database).now(), state)
    if not found:
        nothing(
            "no record matches"
            if state or search
            else "no record is out of step; what waits, is in "
            "doubt or needs a person would be here",
            as_json=as_json,
        )
    if as_json:
        print_json([stories.summary(one) for one in found])
        return
    now = clock_of(database).now()
    print_list(
        ("id", "record", "where it stands"),
        [(one.id, str(one.key), views.verdict(one, now)) for one in found],
    )
    if len(found) == limit:
        stdout().print(f"more: --after {found[-1].id}")


@app.command()
def show(
    what: Annotated[
        str,
        typer.Argument(
            help="A record key, local id, remote id, TRN, name or e-mail.", metavar="RECORD"
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show where a record stands: here and there, field by field.

    Example: pillarbox records show E-1042
    """
    _tell(what, as_json=as_json, with_story=False)


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            help="A record key, local id, remote id, TRN, name or e-mail.", metavar="RECORD"
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Explain a record: one sentence, both sides, and everything that happened to it, in order.

    Example: pillarbox records explain "Jane Smith"
    """
    _tell(what, as_json=as_json, with_story=True)


def _searched(
    connection: Connection,
    configured: Settings,
    what: str,
    now: datetime,
    state: RecordState | None,
) -> list[Record]:
    contracts = {one.name: contract_named(one.contract) for one in configured.destinations}
    found = stories.find(connection, what, contracts=contracts, now=now)
    records = [one.record for one in found if one.record is not None]
    return [one for one in records if state is None or one.state is state]


def _tell(what: str, *, as_json: bool, with_story: bool) -> None:
    configured = settings()
    keys = {one.name: one.key_name for one in configured.destinations}
    database = opened(configured)
    now = clock_of(database).now()
    contracts = {one.name: contract_named(one.contract) for one in configured.destinations}
    with database.reading() as connection:
        found = stories.find(connection, what, contracts=contracts, now=now)
        here = [one.record for one in found if one.record is not None]
        if not here:
            if as_json:
                print_json([])
            raise Stop(_nobody(what, found), NOTHING)
        told = [
            stories.tell(connection, one, contracts.get(one.destination), now, story=with_story)
            for one in here
        ]
        for one in told:
            name = one["destination"]
            gate = gates.shut_now(connection, name, now, key_name=keys.get(name))
            one["calls_stopped"] = None if gate is None else gate.detail or gate.reason.value
    if as_json:
        print_json(told)
        return
    for one, each in zip(here, told, strict=True):
        show_told(one, each)


def _nobody(what: str, found: Sequence[stories.Hit]) -> str:
    if found:
        there = ", ".join(one.remote_id or "" for one in found[:3])
        return f"{what!r} is there ({there}), and no local record is linked to it"
    return (
        f"there is no record of {what!r}: no event with that source_id ever arrived, no link to that "
        "remote id, and nobody of that name, TRN or e-mail address was read there"
    )


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
        there = one.remote_id + (f", {one.role}" if one.role else "")
        if told["unknown_there"]:
            said = f"  Linked to {there}; the API answered 404: it does not know this id"
        else:
            said = f"  There it is {there}"
        console.print(said, markup=False)
    differing = [row for row in told["fields"] if row["how"] or row["there"] is not None]
    if differing:
        console.print()
        both = any(row["how"] == "both changed it" for row in differing)
        print_table(
            (
                "  field",
                *(("when asked",) if both else ()),
                "here",
                f"there, {views.as_of(one)}",
                "",
            ),
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
