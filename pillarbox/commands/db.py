"""`pillarbox db`: migrations."""

import typer

from pillarbox.commands.common import AsJson, DryRun, noun, opened, print_json, settings, stdout
from runtime import migrations
from runtime.database import Database, shown

app = noun("Bring the database to this version.", "pillarbox db current")


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="db")


@app.command()
def upgrade(as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Bring the database to the newest migration, all or nothing.

    Example: pillarbox db upgrade
    """
    database = Database(settings().database_url)
    database.check()
    before = migrations.known(database)
    after = migrations.head() if dry_run else migrations.upgrade(database)
    if as_json:
        print_json(
            {"database": shown(database.url), "before": before, "after": after, "dry_run": dry_run}
        )
        return
    if before == after:
        stdout().print(f"{shown(database.url)} is at migration {after} already")
        return
    done = "would go" if dry_run else "went"
    stdout().print(f"{shown(database.url)} {done} from {before or 'empty'} to migration {after}")


@app.command()
def current(as_json: AsJson = False) -> None:
    """Say which migration the database is at; exits 3 when it is not the newest.

    Example: pillarbox db current
    """
    database = Database(settings().database_url)
    database.check()
    at = migrations.current(database)
    if as_json:
        print_json({"database": shown(database.url), "at": at, "head": migrations.head()})
    else:
        stdout().print(f"{shown(database.url)} is at migration {at or 'none'}")
    opened(settings())
