"""What machines ask: whether it is ready, every number for a monitoring system, all of it as JSON.

One idea: these answer when everything else is down, and say what is.
"""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console import gauges, health, whose
from console.page import json_answer, page
from console.site import Site
from console.standing import gather
from console.visit import Visit


async def ready(request: Request) -> Response:
    """Say of each part whether it works; 503 when one does not. Needs no account: it names nobody."""
    site: Site = request.app.state.site
    told = health.told(await run_in_threadpool(health.parts, site))
    return json_answer(told, status=200 if told["ready"] else 503)


def metrics(visit: Visit) -> Response:
    """Give every number in Prometheus' text, and of each part whether it works."""
    text = gauges.text(gather(visit.site), health.parts(visit.site))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def status(visit: Visit) -> Response:
    """Give what `pillarbox status --json` gives."""
    told = gather(visit.site)
    whose.lines_name(visit, told)
    return json_answer(told, over=visit.over)


routes = [
    Route("/readyz", ready, methods=["GET"]),
    page("/metrics", metrics),
    page("/status.json", status),
]
