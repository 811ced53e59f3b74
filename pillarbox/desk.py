"""Makes the console of a process: what its pages work with, and where it listens."""

from console.site import Site
from pillarbox.commands.common import actor
from workers.wiring import Wiring

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine itself; always answered to."""


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
        names=HERE,
    )
