"""Which destination a page is about: the first one, or the one that its address names.

One idea: it stands in the address, so that a link says all; with one destination nobody sees it.
"""

from urllib.parse import quote

from console.errors import NotThere
from console.visit import Visit


def destinations(visit: Visit) -> list[str]:
    """Name the destinations there are."""
    return [one.name for one in visit.site.settings.destinations]


def destination_of(visit: Visit) -> str:
    """Name the destination that is asked for; raises `NotThere`."""
    known = destinations(visit)
    name = visit.asked("destination") or known[0]
    if name not in known:
        raise NotThere(f"There is no destination {name[:40]!r}; there are {', '.join(known)}.")
    return name


def kept(visit: Visit) -> str:
    """Give what an address needs to stay with the destination that this one named."""
    name = destination_of(visit) if visit.asked("destination") else ""
    return f"?destination={quote(name)}" if name else ""
