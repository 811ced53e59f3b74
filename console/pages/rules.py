"""Rules: what the guidance asks, and how this system stands to it, with the evidence."""

from starlette.responses import Response

from console.evidence import sheet
from console.page import page, render
from console.visit import Visit


def show(visit: Visit) -> Response:
    """Show the rule sheet of every destination."""
    found = sheet(visit.site)
    return render(visit, "rules.html", found, sheets=found)


routes = [page("/rules", show)]
