"""`pillarbox destination`: to whom this database belongs."""

from typing import Any

import typer

from outbox import bindings
from pillarbox.commands.common import (
    AsJson,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
    wired,
)

app = typer.Typer(help="What this database is bound to.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="destination")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show each destination, and what this database was bound to at its first use."""
    found = settings()
    database = opened(found)
    rows: list[dict[str, Any]] = []
    with database.reading() as connection:
        for one in found.destinations:
            was = bindings.bound(connection, one.name)
            rows.append(
                {
                    "destination": one.name,
                    "contract": one.contract,
                    "url": one.url,
                    "key_name": one.key_name,
                    "bound_url": None if was is None else was.url,
                    "bound_contract": None if was is None else was.contract,
                    "bound_key_name": None if was is None else was.key_name,
                }
            )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print_table(("setting", "value"), [(k, v or "-") for k, v in row.items()])


@app.command()
def bind() -> None:
    """Bind this database to what is configured. Every process does so at its first start."""
    wired(settings()).bind()
    stdout().print("bound; from now on this database speaks for that destination only")
