"""Makes the console of a process: what its pages work with, and where it listens."""

from dataclasses import replace
from typing import TYPE_CHECKING

from console import accounts, listening
from console.site import Site
from pillarbox.commands.common import actor
from workers.wiring import Wiring

if TYPE_CHECKING:
    from console.server import Serving


def site_of(wiring: Wiring) -> Site:
    """Give the pages what this process works with, less what could call the remote side."""
    return Site(
        database=wiring.database,
        redis=wiring.redis,
        clock=wiring.clock,
        settings=wiring.settings,
        contracts={one.name: wiring.contract(one) for one in wiring.settings.destinations},
        quotas={name: pace.quota for name, pace in wiring.paces.items()},
        person=actor(),
        names=listening.names(wiring.settings.console),
    )


def serving(wiring: Wiring) -> "Serving":
    """Take the console's address; raises `NotOpen` where it may not, or cannot, listen."""
    from console.server import Serving, take

    where = wiring.settings.console
    with wiring.database.reading() as connection:
        anybody = accounts.are_any(connection)
    listening.check(where, anybody=anybody)
    return Serving(
        site_of(wiring),
        take(where.host, where.port),
        certificate=where.certificate,
        key=where.key,
    )


def serving_here(wiring: Wiring, port: int) -> "Serving":
    """Take an address of this machine alone."""
    from console.server import Serving, take

    where = replace(wiring.settings.console, host="127.0.0.1", port=port)
    site = replace(site_of(wiring), settings=replace(wiring.settings, console=where))
    return Serving(site, take(where.host, where.port), certificate=None, key=None)
