"""`pillarbox entries`: the outbox, entry by entry."""

from typing import Annotated

import typer

from console.told_entries import entry_json
from console.views import CLOSED, entry_line, london
from outbox import entries as store
from outbox.entries import Entry
from outbox.replay import How
from outbox.selection import ANY
from pillarbox.commands import bulk
from pillarbox.commands.common import (
    NOTHING,
    AsJson,
    DryRun,
    Expect,
    Of,
    Stop,
    Yes,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    print_table,
    settings,
    stdout,
)
from schema.states import Closed, EntryState

app = noun("The outbox, entry by entry.", "pillarbox entries list --limit 20")


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
    """List entries by id. Exits 4 when nothing matches.

    Example: pillarbox entries list --reason superseded --limit 20
    """
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
        chosen = bool(state or reason or event or source_id) or after > 0
        words = "no entry matches" if chosen else "the outbox is empty"
        nothing(f"{words}; an emitted event would be here", as_json=as_json)
    if as_json:
        print_json([entry_json(entry) for entry in found])
        return
    print_list(
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
def show(
    entry_id: Annotated[int, typer.Argument(help="Its number.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Show one entry.

    Example: pillarbox entries show 1042
    """
    with opened(settings()).reading() as connection:
        found = store.by_ids(connection, [entry_id])
    if not found:
        raise Stop(
            f"there is no entry {entry_id}; `pillarbox entries list` shows what is there", NOTHING
        )
    if as_json:
        print_json(entry_json(found[0]))
        return
    print_table(("field", "value"), _fields(found[0]))


@app.command()
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of entries.", metavar="ID")] = None,
    since: Annotated[str | None, typer.Option(help="Only entries emitted from then on.")] = None,
    until: Annotated[str | None, typer.Option(help="Only entries emitted before then.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of records of this kind.")] = None,
    record: Annotated[
        str | None, typer.Option(help="Only of this record, by its key or its local id.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only from this local system.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only those that stand so: folded, delivered, superseded, …")
    ] = None,
    reason: bulk.Why = "",
    by: bulk.By = None,
    try_one: bulk.TryOne = False,
    now: bulk.Now = False,
    wait: bulk.Wait = False,
    destination: Of = "default",
    yes: Yes = False,
    expect: Expect = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send what the records of some entries still lack. Says first what would be sent, and what not.

    A record is brought up to date from all it wants, not from one entry: nothing older is sent over
    something newer, and what is there already is not sent. Times without a zone are London's. Exits
    4 when nothing is lacking, and else as `bulk replay` does.

    Example: pillarbox entries replay --since 2026-01-10 --source crm --dry-run
    """
    words = {
        "entries": " ".join(str(one) for one in ids or ()),
        "since": since,
        "until": until,
        "event": event,
        "kind": kind,
        "record": record,
        "source": source,
        "outcome": outcome,
    }
    said = {name: text for name, text in words.items() if text}
    if not said:
        raise Stop(
            "say which: ids, --since, --until, --event, --kind, --record, --source, --outcome"
        )
    said.setdefault("entries", ANY)
    how = How(try_one=try_one, at_once=now)
    bulk.begin(
        said, how, destination, reason, by,
        yes=yes, expect=expect, wait=wait, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


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
