"""Builds the console: every page, behind one guard.

One idea: a page is there because it is listed here, and what protects it is not the page's own.
"""

from collections.abc import Sequence
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from console.guard import Guard
from console.page import page, problem_page
from console.pages import accounts, audit, feed, health, overview, quota, sign_in
from console.site import Site
from console.templating import TEMPLATES
from console.visit import Visit
from runtime.log import named
from schema.console import Role

logger = structlog.get_logger(__name__)

STATIC = Path(__file__).parent / "static"

PAGES: Sequence[Route] = (
    *sign_in.routes,
    *overview.routes,
    *quota.routes,
    *health.routes,
    *audit.routes,
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
        exception_handlers={Exception: _failed},
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


async def _failed(request: Request, error: Exception) -> Response:
    """Answer for a mistake of ours. Its text may hold a row's values, so only its class is logged."""
    logger.error("page_failed", path=request.url.path, **named(error))
    return TEMPLATES.page(
        "bare.html",
        {
            "heading": "Something went wrong here",
            "sentence": "Nothing was changed. The log of this process says more.",
        },
        status=500,
    )
