"""What of the reading of a destination needs somebody: last, next, lag, drift of each source.

One idea: late is measured against what was promised, two intervals of polls and half a week of full
syncs; so nobody has to know by heart how old is too old.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from inbox import differences, overview
from inbox.pacing import pacing_of
from runtime.settings import Settings
from schema.contract import Contract
from schema.hours import bookings

FULL_LATE = timedelta(days=5)
"""The longest that two full syncs a week lie apart, and a night to make a missed one up."""


def told(
    connection: Connection, destination: str, contract: Contract, settings: Settings, now: datetime
) -> dict[str, Any]:
    """Say where every source stands, what is wrong with it, and what was found different."""
    stands = overview.of(
        connection,
        destination,
        contract.sources(now),
        pacing=pacing_of(settings),
        default=bookings(settings.full_sync),
        now=now,
    )
    return {
        "held_rows": stands["held_rows"],
        "drift": dict(differences.counts(connection, destination)),
        "sources": [one | {"troubles": troubles(one, now)} for one in stands["sources"]],
    }


def troubles(source: Mapping[str, Any], now: datetime) -> list[str]:
    """Say what is wrong with the reading of a source, by the names of the alerts. Pure."""
    found = [source["state"]] if source["state"] in ("late", "braked") else []
    began = source["full_sync"]["began"]
    if source["paused_at"] is None and began is not None and now - began > FULL_LATE:
        found.append("full_sync_late")
    return found
