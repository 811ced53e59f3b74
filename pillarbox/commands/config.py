"""`pillarbox config`: what is configured, as Pillarbox understood it."""

from typing import Any

import typer

from pillarbox.commands.common import AsJson, print_json, print_table, seconds, settings
from runtime.database import database_url, shown
from runtime.redis import without_password
from runtime.settings import Destination, Settings

app = typer.Typer(help="Show what is configured.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="config")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show every setting as it was understood; keys are never shown."""
    values = _values(settings())
    if as_json:
        print_json(values)
        return
    rows = [(name, value) for name, value in values.items() if name != "destinations"]
    for destination in values["destinations"]:
        name = destination.pop("name")
        rows += [(f"destination {name}: {key}", value) for key, value in destination.items()]
    print_table(("setting", "value"), rows)


def _values(found: Settings) -> dict[str, Any]:
    return {
        "database_url": shown(database_url(found.database_url)),
        "redis_url": None if found.redis_url is None else without_password(found.redis_url),
        "namespace": found.namespace,
        "settle_s": seconds(found.settle),
        "lease_s": seconds(found.lease),
        "quarantine_s": seconds(found.quarantine),
        "send_by_s": seconds(found.send_by),
        "deadline_s": seconds(found.deadline),
        "keep_entries_s": seconds(found.keep_entries),
        "keep_bodies_s": seconds(found.keep_bodies),
        "offpeak": found.offpeak,
        "log_format": found.log_format,
        "log_level": found.log_level,
        "destinations": [_destination(one) for one in found.destinations],
    }


def _destination(one: Destination) -> dict[str, Any]:
    if one.token.value is not None:
        token = f"in {one.token.variable}"
    elif one.token.file is not None:
        token = f"in the file {one.token.file}"
    else:
        token = "not set"
    return {
        "name": one.name,
        "contract": one.contract,
        "url": one.url,
        "key": token,
        "key_name": one.key_name,
        "quota": f"{one.calls}/{one.window.total_seconds():g}s",
        "address": one.address,
        "address_quota": one.address_calls,
    }
