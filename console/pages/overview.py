"""Overview: what waits and why, what was sent and saved, what needs somebody; live without reloading."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from console import charts, whose
from console.charts import Chart
from console.page import page, render
from console.runbook import PAGES
from console.standing import gather
from console.views import ago
from console.visit import Visit
from schema.words import several

SENT = ("sent", "saved")
ANSWERED = ("answered", "refused", "throttled", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The charts of one destination: of the last hour, or the last day."""

    title: str
    sent: Chart
    answered: Chart
    bars: list[Mapping[str, Any]]


def show(visit: Visit) -> Response:
    """Show where everything stands."""
    told = gather(visit.site)
    whose.lines_name(visit, told)
    return render(
        visit,
        "overview.html",
        told,
        drawn={one["destination"]: drawn(one) for one in told["destinations"]},
        numbers=bool(visit.asked("numbers")),
        roughly=roughly,
    )


def drawn(one: Mapping[str, Any]) -> list[Drawn]:
    """Work out the charts of a destination."""
    spans = (("The last hour", one["last_hour"]), ("The last day", one["last_day"]))
    return [
        Drawn(
            title=title,
            sent=charts.stacked(lately["bars"], SENT, _sent(lately)),
            answered=charts.stacked(lately["bars"], ANSWERED, _requests(lately)),
            bars=lately["bars"],
        )
        for title, lately in spans
    ]


def _sent(lately: Mapping[str, Any]) -> str:
    return f"{lately['sent']:,} sent, {sum(lately['saved'].values()):,} saved"


def _requests(lately: Mapping[str, Any]) -> str:
    return (
        f"{several(lately['requests'], 'request')}: {lately['refused']:,} refused, "
        f"{lately['throttled']:,} throttled, {lately['failed']:,} failed"
    )


def roughly(seconds: float | None) -> str:
    """Write a length of time for people."""
    return "never" if seconds is None else ago(timedelta(seconds=seconds))


def runbook(visit: Visit) -> Response:
    """Show what to do about each line that lights up."""
    pages = [
        {
            "anchor": anchor.value,
            "title": one.title,
            "means": one.means,
            "look": one.look,
            "do": one.do,
        }
        for anchor, one in PAGES.items()
    ]
    return render(visit, "runbook.html", pages, pages=pages)


routes = [page("/", show), page("/runbook", runbook)]
