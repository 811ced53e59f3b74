"""The navigation: every subject of the desk, in the order of a working day.

One idea: a subject shows as soon as somebody has routed its address, and only to who may see it.
"""

from dataclasses import dataclass

from starlette.routing import Route

from console.visit import Visit
from schema.console import Role


@dataclass(frozen=True, slots=True)
class Entry:
    """One word of the navigation, and where it leads."""

    text: str
    path: str
    needs: Role = Role.VIEWER


MENU = (
    Entry("Overview", "/"),
    Entry("People", "/people"),
    Entry("Problems", "/problems"),
    Entry("Bulk", "/bulk"),
    Entry("Entries", "/entries"),
    Entry("Polls", "/polls"),
    Entry("Differences", "/differences"),
    Entry("Feed", "/feed"),
    Entry("Quota", "/quota"),
    Entry("Rules", "/rules"),
    Entry("Audit", "/audit"),
    Entry("Accounts", "/accounts", Role.ADMIN),
)


def shown_menu(visit: Visit) -> list[dict[str, object]]:
    """Give the entries that are there for this visitor; the one the page belongs to is active."""
    paths = {one.path for one in visit.request.app.routes if isinstance(one, Route)}
    here = visit.request.url.path
    return [
        {
            "text": one.text,
            "href": one.path,
            "current": here == one.path,
            "active": one.path != "/" and here.startswith(one.path + "/"),
        }
        for one in MENU
        if one.path in paths and visit.who.may(one.needs)
    ]
