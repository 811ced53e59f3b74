"""`pillarbox drift`: what a full sync found different, and who is right."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from inbox import differences, resolving
from inbox.errors import InboxError
from outbox import entries
from pillarbox.commands.common import (
    NOTHING,
    USAGE,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    changing,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    print_table,
    say_done,
    settings,
)
from pillarbox.commands.sources import contract_of, sources
from runtime.clock import clock_of
from schema.events import InvalidEvent
from schema.inbox import DriftKind, DriftState
from schema.sources import Source

drift = noun("What a full sync found different, and who is right.", "pillarbox drift list")


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(drift, name="drift")


@drift.command("list")
def drift_list(
    kind: Annotated[DriftKind | None, typer.Option(help="Only of this kind.")] = None,
    field: Annotated[str | None, typer.Option(help="Only in this field.")] = None,
    person: Annotated[str | None, typer.Option(help="Only of this remote id.")] = None,
    state: Annotated[DriftState, typer.Option(help="Only in this state.")] = DriftState.OPEN,
    destination: Of = "default",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the differences: what is missing there, missing here, or not the same.

    Example: pillarbox drift list --kind different
    """
    found = settings()
    database = opened(found)
    listed: list[Mapping[str, Any]] = []
    with database.reading() as connection:
        if kind is DriftKind.MISSING_HERE:
            known = list(sources(found, destination, database).values())
            listed = _missing_here(connection, destination, known, limit)
        else:
            listed = differences.listed(
                connection,
                destination,
                kind=kind,
                field=field,
                state=state,
                remote_id=person,
                limit=limit,
            )
    if not listed:
        nothing(
            "no difference is known; what a full sync finds unlike ours would be here",
            as_json=as_json,
        )
    if as_json:
        print_json(listed)
        return
    print_list(
        ("id", "kind", "record", "there", "field", "ours", "theirs"),
        [
            (
                one.get("id", ""),
                one["kind"],
                one.get("record_key") or "",
                one["remote_id"],
                one.get("field", ""),
                one.get("ours") or "",
                one.get("theirs") or "",
            )
            for one in listed
        ],
    )


def _missing_here(
    connection: Connection, destination: str, known: Sequence[Source], limit: int
) -> list[Mapping[str, Any]]:
    """Look through the whole mirror, piece by piece, until that many are found."""
    listed: list[Mapping[str, Any]] = []
    after = None
    while True:
        some = differences.missing_here(
            connection, destination, known, limit=limit - len(listed), after=after
        )
        listed += some.rows
        after = some.go_on
        if after is None or len(listed) >= limit:
            return listed


@drift.command("show")
def drift_show(
    drift_id: Annotated[int, typer.Argument(metavar="ID", help="Which difference.")],
    as_json: AsJson = False,
) -> None:
    """Show one difference whole.

    Example: pillarbox drift show 7
    """
    database = opened(settings())
    with database.reading() as connection:
        found = differences.by_id(connection, drift_id)
    if found is None:
        raise Stop(f"there is no difference {drift_id}; see `pillarbox drift list`", NOTHING)
    if as_json:
        print_json(found)
        return
    print_table(("what", ""), [(name, value) for name, value in found.items() if value is not None])


@drift.command("resolve")
def drift_resolve(
    drift_id: Annotated[int, typer.Argument(metavar="ID", help="Which difference.")],
    send_ours: Annotated[bool, typer.Option("--send-ours", help="Ours is right: send it.")] = False,
    accept_theirs: Annotated[
        bool, typer.Option("--accept-theirs", help="Theirs is right.")
    ] = False,
    ignore: Annotated[bool, typer.Option("--ignore", help="Leave it, and say no more.")] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why; sent along where a status needs one.")
    ] = None,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Say who is right. To send ours is an event like any other; nothing is sent past the rules.

    Example: pillarbox drift resolve 7 --accept-theirs
    """
    if sum((send_ours, accept_theirs, ignore)) != 1:
        raise Stop("give one of --send-ours, --accept-theirs and --ignore", USAGE)
    found = settings()
    database = opened(found)
    contract = contract_of(found, destination)
    way = (
        DriftState.SENT_OURS
        if send_ours
        else DriftState.ACCEPTED_THEIRS
        if accept_theirs
        else DriftState.IGNORED
    )
    try:
        with changing(database, dry_run=dry_run) as connection:
            resolving.resolve(
                connection,
                contract,
                drift_id,
                way,
                actor=actor(),
                reason=reason,
                now=clock_of(database).now(),
                close=lambda open_, closed, at: entries.close(open_, closed, now=at),
            )
    except (InboxError, InvalidEvent) as error:
        raise Stop(str(error), USAGE) from None
    words = f"difference {drift_id}: {way.value.replace('_', ' ')}"
    say_done(words, {"id": drift_id, "state": way.value}, as_json=as_json, dry_run=dry_run)
