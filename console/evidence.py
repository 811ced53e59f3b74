"""Collects what the rule sheet is judged by, and judges it.

One idea: read like the overview, from the same object and a few rows more; nothing is asked of the other
side, so the sheet may be looked at as often as anybody likes.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from console import activity, rules
from console.rules import Facts
from console.site import Site
from console.standing import gather
from inbox import booked, checkpoints
from outbox import attempts, tallies
from schema.hours import bookings

LATEST_RUNS = 25
"""How many runs of each source are looked at: a day of them."""

UNANSWERED = timedelta(minutes=10)
"""How long a call may be without an outcome: longer than any lease and its quarantine."""

A_DAY = timedelta(days=1)


def sheet(site: Site) -> list[dict[str, Any]]:
    """Judge every rule for every destination."""
    told = gather(site)
    return [
        {"destination": one["destination"], "rules": rules.judged(_facts(site, one, told["at"]))}
        for one in told["destinations"]
    ]


def _facts(site: Site, told: Mapping[str, Any], now: datetime) -> Facts:
    destination = site.settings.destination(told["destination"])
    name = destination.name
    with site.database.reading() as connection:
        minutes = tallies.made_by_minute(connection, name, since=now - A_DAY)
        held = booked.of(connection, name)
        runs = [
            run
            for one in told["reading"]["sources"]
            for run in checkpoints.latest(connection, name, source=one["source"], limit=LATEST_RUNS)
        ]
        unanswered = attempts.unanswered(connection, name, before=now - UNANSWERED)
    hours = [window for one in held for window in one.windows]
    agreed = {
        one["source"]: f"{', '.join(one['full_sync']['hours'])}: agreed by {by[0]['agreed_by']}"
        for one in told["reading"]["sources"]
        if (by := one["full_sync"]["booked"])
    }
    return Facts(
        now=now,
        destination=destination,
        settings=site.settings,
        told=told,
        largest_span=activity.largest_span(minutes, destination.window),
        runs=runs,
        hours=hours or bookings(site.settings.full_sync),
        agreed=agreed,
        unanswered=unanswered,
    )
