"""Where the reading of each source stands, as people and programs are told.

One idea: one object for the command line, the pages and JSON; each finds in it what it shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from inbox import booked, checkpoints, mirror
from inbox.booked import Booked
from inbox.checkpoints import Checkpoint, Run
from inbox.pacing import Pacing
from schema.hours import Booking, upcoming, written
from schema.inbox import RunKind, RunState
from schema.sources import Source

LATE = 2
"""Intervals without a complete poll after which a source is late: one may fail, two in a row are
for a person."""


def of(
    connection: Connection,
    destination: str,
    sources: Sequence[Source],
    *,
    pacing: Pacing,
    default: Sequence[Booking],
    now: datetime,
) -> dict[str, Any]:
    """Read where every source stands; *default* are the hours where nothing is booked."""
    places = checkpoints.all_of(connection, destination)
    runs = checkpoints.latest_of_each(connection, destination)
    hours = booked.of(connection, destination)
    lines: list[dict[str, Any]] = []
    for source in sources:
        place = places.get(source.name) or Checkpoint(destination=destination, source=source.name)
        both = [runs.get((source.name, kind.value)) for kind in RunKind]
        last = max((one for one in both if one is not None), key=lambda one: one.id, default=None)
        full = {"full_sync": full_json(place, hours, runs, default, now)}
        lines.append(line(source, place, last, pacing=pacing, now=now) | full)
    return {
        "destination": destination,
        "held_rows": len(mirror.list_held(connection, destination)),
        "sources": lines,
    }


def line(
    source: Source, place: Checkpoint, last: Run | None, *, pacing: Pacing, now: datetime
) -> dict[str, Any]:
    """Say where one source stands. Pure."""
    lag = None if place.watermark_here is None else now - place.watermark_here
    late = lag is not None and lag > LATE * pacing.interval
    return {
        "source": source.name,
        "state": state(place, last, started=pacing.start is not None, late=late),
        "order": source.order.value,
        "watermark": place.watermark,
        "high_water": place.high_water,
        "lag_s": None if lag is None else round(lag.total_seconds(), 3),
        "next_poll_at": place.next_poll_at,
        "paused_at": place.paused_at,
        "failures": place.failures,
        "last_run": None if last is None else run_json(last),
    }


def state(place: Checkpoint, last: Run | None, *, started: bool, late: bool) -> str:
    """Say in a word or two how a source is. Pure."""
    if place.paused_at is not None:
        return "paused"
    if last is not None and last.state is RunState.BRAKED:
        return "braked"
    if place.watermark is None:
        return "first reading" if started or last is not None else "needs a start: polls run"
    return "late" if late else "ok"


def full_json(
    place: Checkpoint,
    hours: Sequence[Booked],
    runs: Mapping[tuple[str, str], Run],
    default: Sequence[Booking],
    now: datetime,
) -> dict[str, Any]:
    """Say when a source is read in full, who agreed to that, and how the last one ended. Pure."""
    held = booked.holding(hours, place.source)
    coming = upcoming(booked.windows(hours, place.source, default), now)
    last = runs.get((place.source, RunKind.FULL.value))
    return {
        "began": place.full_opened_at,
        "last": None if last is None else run_json(last),
        "hours": [one.hours for one in held] or [written(one) for one in default],
        "booked": [asdict(one) for one in held],
        "next_from": None if coming is None else coming[0],
        "next_until": None if coming is None else coming[1],
    }


def run_json(run: Run) -> dict[str, Any]:
    """Give a run as JSON. Pure."""
    shown = {name: value for name, value in asdict(run).items() if name != "progress"}
    return shown | {"stats_add_up": run.seen == run.applied + run.unchanged + run.held + run.failed}
