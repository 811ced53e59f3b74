"""`pillarbox entries`: the outbox, entry by entry."""

from typing import Annotated, Any

import typer

from console.views import CLOSED, entry_line, london
from outbox import entries as store
from outbox.entries import Entry
from pillarbox.commands.common import (
    NOTHING,
    AsJson,
    Stop,
    nothing,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
)
from schema.states import Closed, EntryState

app = typer.Typer(help="The outbox, entry by entry.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="entries")


@app.command("list")
def list_(
    state: Annotated[EntryState | None, typer.Option(help="Only entries in this state.")] = None,
    reason: Annotated[Closed | None, typer.Option(help="Only entries closed so.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event.")] = None,
    source_id: Annotated[str | None, typer.Option(help="Only of this local thing.")] = None,
    after: Annotated[int, typer.Option(help="Only entries with a larger id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List entries by id. Exits 4 when nothing matches."""
    with opened(settings()).reading() as connection:
        found = store.list_entries(
            connection,
            state=state,
            closed_as=reason,
            event=event,
            source_id=source_id,
            after=after,
            limit=limit,
        )
    if not found:
        nothing("no entry matches; an emitted event would appear here", as_json=as_json, empty=[])
    if as_json:
        print_json([_json(entry) for entry in found])
        return
    print_table(
        ("id", "emitted (London)", "record of", "event", "state"),
        [
            (
                entry.id,
                london(entry.emitted_at),
                entry.source_id,
                entry_line(entry.event, entry.payload),
                _state(entry),
            )
            for entry in found
        ],
    )
    if len(found) == limit:
        stdout().print(f"more: --after {found[-1].id}")


@app.command()
def show(entry_id: int, as_json: AsJson = False) -> None:
    """Show one entry."""
    with opened(settings()).reading() as connection:
        found = store.by_ids(connection, [entry_id])
    if not found:
        raise Stop(
            f"there is no entry {entry_id}; `pillarbox entries list` shows what is there", NOTHING
        )
    if as_json:
        print_json(_json(found[0]))
        return
    print_table(("field", "value"), _fields(found[0]))


def _fields(entry: Entry) -> list[tuple[str, object]]:
    return [
        ("id", entry.id),
        ("what", entry_line(entry.event, entry.payload)),
        ("state", _state(entry)),
        ("event", entry.event),
        ("source_id", entry.source_id),
        *(("  " + name, value) for name, value in entry.payload.items()),
        ("destination", entry.destination),
        ("source", entry.source),
        ("event_id", entry.event_id),
        ("version", entry.version),
        ("happened (London)", london(entry.happened_at)),
        ("actor", entry.actor),
        ("emitted (London)", london(entry.emitted_at)),
        ("closed (London)", london(entry.closed_at)),
        ("record", entry.record_id),
    ]


def _state(entry: Entry) -> str:
    if entry.closed_as is not None:
        return CLOSED[entry.closed_as]
    return "new" if entry.state is EntryState.NEW else "waits with its record"


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "state": entry.state,
        "reason": entry.closed_as,
        "event": entry.event,
        "source_id": entry.source_id,
        "payload": entry.payload,
        "destination": entry.destination,
        "source": entry.source,
        "event_id": entry.event_id,
        "version": entry.version,
        "happened_at": entry.happened_at,
        "actor": entry.actor,
        "emitted_at": entry.emitted_at,
        "closed_at": entry.closed_at,
        "record_id": entry.record_id,
    }
