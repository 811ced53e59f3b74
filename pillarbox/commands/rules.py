"""`pillarbox rules`: what the guidance asks, and how this system stands to it."""

import typer

from console.evidence import sheet
from console.rules import State
from pillarbox.commands.common import ATTENTION, AsJson, print_json, print_table, settings, wired
from pillarbox.desk import site_of


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rules)


def rules(as_json: AsJson = False) -> None:
    """Say of each rule of the guidance its setting, its state and the last evidence.

    Exits 6 when one is unmet. What nothing has shown yet is "not yet known", never met.

    Example: pillarbox rules --json
    """
    found = sheet(site_of(wired(settings())))
    if as_json:
        print_json(found)
    else:
        for one in found:
            print_table(
                (one["destination"], "state", "setting", "evidence"),
                [
                    (rule["words"], rule["state"], rule["setting"], rule["evidence"])
                    for rule in one["rules"]
                ],
            )
    if any(rule["state"] == State.UNMET for one in found for rule in one["rules"]):
        raise typer.Exit(ATTENTION)
