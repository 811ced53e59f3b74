"""Builds the console: every page, behind one guard.

One idea: a page is there because it is listed here, and what protects it is not the page's own.
"""

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from console.guard import Guard
from console.page import page, problem_page
from console.pages import (
    accounts,
    audit,
    bulk,
    dead_letters,
    differences,
    entries,
    feed,
    health,
    overview,
    polls,
    quota,
    records,
    rules,
    sign_in,
)
from console.site import Site
from console.visit import Visit
from schema.console import Role

STATIC = Path(__file__).parent / "static"

PAGES: Sequence[Route] = (
    *sign_in.routes,
    *overview.routes,
    *quota.routes,
    *rules.routes,
    *health.routes,
    *records.routes,
    *dead_letters.routes,
    *bulk.routes,
    *entries.routes,
    *audit.routes,
    *polls.routes,
    *differences.routes,
    *accounts.routes,
    *feed.routes,
)
"""The routes of all pages. A new page module is added here."""


def build(site: Site) -> Starlette:
    """Build the application that answers at this site's address."""
    app = Starlette(
        routes=[
            *PAGES,
            Route("/healthz", _alive, methods=["GET"]),
            Mount("/static", StaticFiles(directory=STATIC), name="static"),
            page("/{anything:path}", _nothing, needs=Role.FEED),
        ],
        middleware=[Middleware(Guard, site=site)],
    )
    app.state.site = site
    return app


async def _alive(request: Request) -> Response:
    """Say that the process answers; asks nobody else."""
    return PlainTextResponse("alive\n")


def _nothing(visit: Visit) -> Response:
    return problem_page(
        visit,
        "There is no such page. What you look for may have another address now; the navigation has "
        "them all.",
        status=404,
        title="No such page",
    )
