"""`pillarbox config`: what is configured, as Pillarbox understood it."""

from typing import Any

import typer

from console.plain import seconds
from pillarbox.commands.common import AsJson, print_json, print_table, settings
from runtime.database import database_url, shown
from runtime.redis import without_password
from runtime.settings import Destination, Settings, written

app = typer.Typer(help="Show what is configured.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="config")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show every setting as it was understood; keys are never shown."""
    found = settings()
    if as_json:
        print_json(_values(found))
        return
    print_table(("variable", "value"), _rows(found))


def _rows(found: Settings) -> list[tuple[str, object]]:
    """Name each setting as its variable is named; of several destinations, as their file does."""
    rows: list[tuple[str, object]] = [
        ("DATABASE_URL", shown(database_url(found.database_url))),
        (
            "REDIS_URL",
            "not set: built in" if found.redis_url is None else without_password(found.redis_url),
        ),
        ("PILLARBOX_NAMESPACE", found.namespace),
        ("PILLARBOX_SETTLE", written(found.settle)),
        ("PILLARBOX_LEASE", written(found.lease)),
        ("PILLARBOX_QUARANTINE", written(found.quarantine)),
        ("PILLARBOX_SEND_BY", written(found.send_by)),
        ("PILLARBOX_DEADLINE", written(found.deadline)),
        ("PILLARBOX_KEEP_ENTRIES", written(found.keep_entries)),
        ("PILLARBOX_KEEP_BODIES", written(found.keep_bodies)),
        ("PILLARBOX_OFFPEAK", found.offpeak),
        ("LOG_FORMAT", found.log_format),
        ("LOG_LEVEL", found.log_level),
    ]
    alone = [one.token.variable for one in found.destinations] == [VARIABLES["key"]]
    for one in found.destinations:
        for key, value in _destination(one).items():
            if key != "name":
                rows.append((VARIABLES[key] if alone else f"{one.name}: {key}", value))
    return rows


VARIABLES = {
    "contract": "PILLARBOX_CONTRACT",
    "url": "PILLARBOX_API_URL",
    "key": "PILLARBOX_API_TOKEN",
    "key_name": "PILLARBOX_KEY_NAME",
    "quota": "PILLARBOX_QUOTA",
    "address": "PILLARBOX_ADDRESS",
    "address_quota": "PILLARBOX_ADDRESS_QUOTA",
}
"""Which variable sets what of the one destination."""


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
