"""`pillarbox feed`: what changed on the other side, in order."""

from typing import Annotated

import typer

from console.views import london
from inbox import feed
from pillarbox.commands.common import AsJson, Of, nothing, opened, print_json, print_table, settings
from pillarbox.commands.sources import SourceName
from schema.inbox import News

feed_app = typer.Typer(help="What changed on the other side, in order.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.add_typer(feed_app, name="feed")


@feed_app.command("list")
def feed_list(
    after: Annotated[int, typer.Option(help="Only what comes after this position.", min=0)] = 0,
    source: SourceName = None,
    kind: Annotated[News | None, typer.Option(help="Only news of this kind.")] = None,
    destination: Of = "default",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what changed there, in order. People see the names of fields, --json their values."""
    database = opened(settings())
    with database.reading() as connection:
        found = feed.read(
            connection,
            destination,
            after=after,
            limit=limit,
            source=source,
            kinds=() if kind is None else (kind,),
        )
    if not found:
        nothing(f"nothing after position {after}", as_json=as_json, empty=[])
    if as_json:
        print_json(found)
        return
    print_table(
        ("position", "when", "kind", "source", "there", "record", "changed"),
        [
            (
                one["position"],
                london(one["at"]),
                one["kind"],
                one["source"],
                one["remote_id"],
                ", ".join(one["record_keys"]),
                ", ".join(one["changed"]),
            )
            for one in found
        ],
    )
