"""`pillarbox dead-letters`: what waits for a person, and what a person can do about it."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from console import views
from gateway.registry import contract_named
from outbox import dead_letters, letters
from outbox.dead_letters import Replay
from outbox.errors import NotAside, NotForOverride
from outbox.letters import Filter
from pillarbox.commands.common import (
    ATTENTION,
    NOTHING,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    chosen,
    nothing,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
)
from pillarbox.commands.records import show_told, summary, tell
from records import store
from runtime.clock import clock_of
from runtime.database import Database
from runtime.settings import Settings
from schema.contract import Contract
from schema.record import Record
from schema.states import Reason

app = typer.Typer(help="What waits for a person, and what to do about it.", no_args_is_help=True)

Id = Annotated[int, typer.Argument(help="The record's id, as `dead-letters list` shows it.")]


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="dead-letters")


@app.command("list")
def list_(
    reason: Annotated[Reason | None, typer.Option(help="Only with this reason.")] = None,
    destination: Of = "default",
    after: Annotated[int, typer.Option(help="Only records with a larger id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the records that wait for a person: dead, held, and doubts that nobody can look up.

    Exits 4 when there are none.
    """
    found = settings()
    contract = contract_named(chosen(found, destination).contract)
    with opened(found).reading() as connection:
        place = letters.place_of(connection, after) if after else None
        chosen_ones = Filter(destination=destination, reason=reason)
        aside = letters.listed(connection, chosen_ones, after=place, limit=limit)
    if not aside:
        nothing("no record waits for a person", as_json=as_json, empty=[])
    if as_json:
        print_json([{**summary(one), "next": views.next_step(one, contract)} for one in aside])
        return
    print_table(
        ("id", "record", "why", "what it says"),
        [(one.id, str(one.key), one.reason, _says(one)) for one in aside],
    )
    if len(aside) == limit:
        stdout().print(f"more: --after {aside[-1].id}")


def _says(one: Record) -> str:
    return one.problem.detail if one.problem else ""


@app.command()
def show(record_id: Id, as_json: AsJson = False) -> None:
    """Show one: what failed, both sides, and what would come of a replay, with and without word."""
    configured = settings()
    database = opened(configured)
    now = clock_of(database).now()
    one = _one(database, record_id)
    contract = _contract(configured, one)
    with database.reading() as connection:
        told = tell(connection, one, contract, now, with_story=False)
        told["locked"] = [
            {
                "request": lock.fingerprint,
                "blame": "data" if lock.data else "state",
                "said": lock.problem.detail if lock.problem else None,
            }
            for lock in one.locks.values()
        ]
    told["replay"] = _tried(database, one, contract, dead_letters.replay)
    told["override"] = _tried(database, one, contract, dead_letters.override)
    if as_json:
        print_json(told)
        return
    show_told(one, told)
    print_table(
        ("what a person can do", "what would come of it"),
        [(f"dead-letters replay {one.id}{more}", told[name]) for name, more in _WAYS],
    )


_WAYS = (("replay", ""), ("override", " --override --reason … --actor …"))

Way = Callable[..., Replay]


@app.command()
def replay(
    record_id: Id,
    override: Annotated[
        bool,
        typer.Option(
            "--override",
            help="Send it though it was refused, is in conflict, or is in doubt. Needs --reason and "
            "--actor.",
        ),
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for the audit trail.")] = None,
    by: Annotated[
        str | None, typer.Option("--actor", help="Who says so; without it whoever is logged in.")
    ] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Bring a record up to date from what it wants, with fresh tries.

    A request that was refused for its data is not sent again unless a named person overrides, with a
    reason. Exits 6 when it would only be set aside again.
    """
    if override and not (reason and reason.strip() and by and by.strip()):
        raise Stop("--override needs --reason (why) and --actor (who says so), both not empty")
    configured = settings()
    database = opened(configured)
    contract = _contract(configured, _one(database, record_id))
    way = dead_letters.override if override else dead_letters.replay
    try:
        done = _done(database, record_id, contract, way, by or actor(), reason, dry_run=dry_run)
    except NotAside as error:
        raise Stop(str(error), NOTHING) from None
    except NotForOverride as error:
        raise Stop(f"an override does not help here: {error}") from None
    _said(done, as_json=as_json, dry_run=dry_run)


def _said(done: Replay, *, as_json: bool, dry_run: bool) -> None:
    words = dead_letters.in_words(done.decision)
    if as_json:
        told: dict[str, Any] = {
            "id": done.after.id,
            "key": str(done.after.key),
            "goes_on": done.goes_on,
            "comes_next": words,
            "dry_run": dry_run,
        }
        print_json(told)
    else:
        stdout().print(f"{'dry run: ' if dry_run else ''}{done.after.key}: {words}", markup=False)
    if not done.goes_on:
        raise typer.Exit(ATTENTION)


def _done(
    database: Database,
    record_id: int,
    contract: Contract,
    way: Way,
    by: str,
    reason: str | None,
    *,
    dry_run: bool,
) -> Replay:
    now = clock_of(database).now()
    with database.engine.connect() as connection, connection.begin() as transaction:
        done = way(connection, record_id, contract, actor=by, reason=reason or "", now=now)
        if dry_run:
            transaction.rollback()
    return done


def _tried(database: Database, one: Record, contract: Contract, way: Way) -> str:
    """Say what would come of it, and undo it."""
    try:
        done = _done(database, one.id, contract, way, actor(), None, dry_run=True)
    except (NotAside, NotForOverride) as error:
        return f"nothing: {error}"
    return dead_letters.in_words(done.decision)


def _one(database: Database, record_id: int) -> Record:
    with database.reading() as connection:
        one = store.by_id(connection, record_id)
    if one is None:
        raise Stop(f"there is no record {record_id}; see `pillarbox dead-letters list`", NOTHING)
    return one


def _contract(configured: Settings, one: Record) -> Contract:
    return contract_named(chosen(configured, one.destination).contract)
