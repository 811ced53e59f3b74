"""What the commands of the incoming half share: the sources of a destination, by name."""

from collections.abc import Mapping
from typing import Annotated

import typer

from gateway.registry import contract_named
from pillarbox.commands.common import USAGE, Stop, chosen
from runtime.clock import clock_of
from runtime.database import Database
from runtime.settings import Settings
from schema.contract import Contract
from schema.sources import Source

SourceName = Annotated[str | None, typer.Option("--source", help="Only this source.")]


def sources(found: Settings, destination: str, database: Database) -> dict[str, Source]:
    """Give the sources of a destination now, by name."""
    contract = contract_of(found, destination)
    return {one.name: one for one in contract.sources(clock_of(database).now())}


def contract_of(found: Settings, destination: str) -> Contract:
    """Give the contract of a destination."""
    return contract_named(chosen(found, destination).contract)


def chosen_sources(known: Mapping[str, Source], name: str | None) -> list[Source]:
    """Give the source of that name, or all; a name that is none is refused with those there are."""
    if name is None:
        return list(known.values())
    if name not in known:
        raise Stop(f"--source: there is no source {name!r}; there are {', '.join(known)}", USAGE)
    return [known[name]]
