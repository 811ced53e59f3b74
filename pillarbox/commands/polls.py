"""`pillarbox polls`: what is read of the other side, when, and what came of it."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from console.views import ago, london
from inbox import checkpoints, mirror, walk
from inbox.checkpoints import Checkpoint, Run
from inbox.full_sync import PAST_THE_BRAKE
from inbox.poll import order_of
from pillarbox.commands.common import (
    USAGE,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    nothing,
    opened,
    print_json,
    print_table,
    settings,
    stdout,
)
from pillarbox.commands.sources import SourceName, chosen_sources, sources
from runtime.audit import write_down
from runtime.clock import clock_of
from runtime.settings import Settings
from schema.inbox import RunKind, Trigger
from schema.sources import Source

polls = typer.Typer(
    help="What is read of the other side: when, from where, how far.", no_args_is_help=True
)
Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]

BULK_SHARE = 0.2
"""The part of the quota that full syncs get while everybody wants some."""


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(polls, name="polls")


@polls.command("list")
def list_(destination: Of = "default", as_json: AsJson = False) -> None:
    """List the sources: when each was last read, what came of it, when it is read next."""
    found = settings()
    database = opened(found)
    known = sources(found, destination, database)
    now = clock_of(database).now()
    with database.reading() as connection:
        places = checkpoints.all_of(connection, destination)
        runs = checkpoints.latest_of_each(connection, destination)
        held = len(mirror.list_held(connection, destination))
    lines = [_line(one, places, runs, found, now) for one in known.values()]
    if as_json:
        print_json({"destination": destination, "held_rows": held, "sources": lines})
        return
    print_table(
        ("source", "state", "complete since", "next", "last run", "rows"),
        [
            (
                one["source"],
                one["state"],
                "" if one["watermark"] is None else ago(now - one["watermark"]) + " ago",
                "" if one["next_poll_at"] is None else london(one["next_poll_at"]),
                _last(one["last_run"]),
                "" if one["last_run"] is None else one["last_run"]["seen"],
            )
            for one in lines
        ],
    )
    if held:
        stdout().print(f"{held} rows are held: they could not be read; see polls held")


def _last(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return ""
    return f"{run['kind']} {run['state']}" + (f": {run['reason']}" if run["reason"] else "")


def _line(
    source: Source,
    places: Mapping[str, Checkpoint],
    runs: Mapping[tuple[str, str], Run],
    found: Settings,
    now: datetime,
) -> dict[str, Any]:
    place = places.get(source.name) or Checkpoint(destination="", source=source.name)
    both = [runs.get((source.name, kind.value)) for kind in RunKind]
    last = max((one for one in both if one is not None), key=lambda one: one.id, default=None)
    late = place.watermark_here is not None and now - place.watermark_here > 2 * found.poll_interval
    return {
        "source": source.name,
        "state": _state(place, last, found, late=late),
        "order": source.order.value,
        "watermark": place.watermark,
        "high_water": place.high_water,
        "full_sync_began": place.full_opened_at,
        "next_poll_at": place.next_poll_at,
        "paused_at": place.paused_at,
        "failures": place.failures,
        "last_run": None if last is None else run_json(last),
    }


def _state(place: Checkpoint, last: Run | None, found: Settings, *, late: bool) -> str:
    if place.paused_at is not None:
        return "paused"
    if last is not None and last.state.value == "braked":
        return "braked"
    if place.watermark is None:
        waits = not found.poll_start and last is None
        return "needs a start: polls run" if waits else "first reading"
    return "late" if late else "ok"


def run_json(run: Run) -> dict[str, Any]:
    """Give a run as JSON."""
    shown = {name: value for name, value in asdict(run).items() if name != "progress"}
    return shown | {"stats_add_up": run.seen == run.applied + run.unchanged + run.held + run.failed}


@polls.command("runs")
def runs_(
    source: SourceName = None,
    destination: Of = "default",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest runs: from where, how many pages and rows, how they ended."""
    database = opened(settings())
    with database.reading() as connection:
        found = checkpoints.latest(connection, destination, source=source, limit=limit)
    if not found:
        nothing("nothing was read yet", as_json=as_json, empty=[])
    if as_json:
        print_json([run_json(one) for one in found])
        return
    print_table(
        ("id", "source", "kind", "state", "since", "pages", "seen", "applied", "held", "reason"),
        [
            (
                one.id,
                one.source,
                one.kind.value,
                one.state.value,
                "everything" if one.since is None else london(one.since),
                one.pages,
                one.seen,
                one.applied,
                one.held + one.failed,
                one.reason or "",
            )
            for one in found
        ],
    )


@polls.command("held")
def held_(destination: Of = "default", as_json: AsJson = False) -> None:
    """List the rows that could not be read or applied, with the reason of each."""
    database = opened(settings())
    with database.reading() as connection:
        found = mirror.list_held(connection, destination)
    if not found:
        nothing("no row is held", as_json=as_json, empty=[])
    if as_json:
        print_json(found)
        return
    print_table(
        ("source", "row", "times", "why"),
        [(one["source"], one["ref"], one["times"], one["reason"]) for one in found],
    )


@polls.command()
def run(
    source: SourceName = None,
    since: Annotated[
        str | None, typer.Option(help="From when, such as 2025-09-01T00:00:00Z.")
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Read all there is.")] = False,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Have a source polled at once; the first time say from when. A poller does it."""
    found = settings()
    database = opened(found)
    now = clock_of(database).now()
    wanted = chosen_sources(sources(found, destination, database), source)
    start = _instant(since)
    if start is not None and everything:
        raise Stop("give --since or --everything, not both", USAGE)
    told: list[dict[str, Any]] = []
    with database.transaction() as connection:
        for one in wanted:
            checkpoints.ensure(connection, destination, one.name)
            place = checkpoints.get(connection, destination, one.name)
            if (
                start is None
                and not everything
                and place.watermark is None
                and not found.poll_start
            ):
                raise Stop(
                    f"{one.name} was never read; say from when with --since, or --everything", USAGE
                )
            told.append({"source": one.name, "since": start, "everything": everything})
            if dry_run:
                continue
            if start is not None or everything:
                _open(connection, found, destination, one, start, now)
            checkpoints.plan_next(connection, destination, one.name, now)
            _audit(connection, "poll_asked_for", f"{destination}/{one.name}", now, told[-1])
    _told(told, "polled at once", as_json=as_json, dry_run=dry_run)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Stop(
            f"--since is {text!r}; write an instant with a zone such as 2025-09-01T00:00:00Z", USAGE
        )
    return moment


def _open(
    connection: Connection,
    found: Settings,
    destination: str,
    source: Source,
    since: datetime | None,
    now: datetime,
    *,
    by_pages: bool = False,
) -> Run:
    """Open the run that a poller then takes up; one that is open goes on instead."""
    kind = RunKind.FULL if since is None else RunKind.POLL
    going_on = checkpoints.unfinished(connection, destination, source.name, kind)
    if going_on is not None:
        return going_on
    begun = walk.begin(
        order_of(source, kind) if by_pages else source.order,
        since=since,
        size=min(found.poll_page_size, source.largest_page),
        largest=source.largest_page,
    )
    return checkpoints.open_run(
        connection,
        destination=destination,
        source=source.name,
        kind=kind,
        trigger=Trigger.HAND,
        since=since,
        now=now,
        progress={"walk": walk.to_json(begun)},
    )


@polls.command()
def full(
    source: SourceName = None,
    past_the_brake: Annotated[
        bool,
        typer.Option("--past-the-brake", help="Let a full sync go on that stopped for a person."),
    ] = False,
    reason: Reason = "asked for by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Read all of a source now, outside its hours, and say first how many requests that takes."""
    found = settings()
    database = opened(found)
    now = clock_of(database).now()
    wanted = chosen_sources(sources(found, destination, database), source)
    told: list[dict[str, Any]] = []
    with database.transaction() as connection:
        for one in wanted:
            braked = checkpoints.braked(connection, destination, one.name)
            if past_the_brake and braked is None:
                raise Stop(f"{one.name}: no full sync was stopped by the brake", USAGE)
            told.append(_estimate(connection, found, destination, one))
            if dry_run:
                continue
            checkpoints.ensure(connection, destination, one.name)
            if past_the_brake and braked is not None:
                progress = {**braked.progress, PAST_THE_BRAKE: True}
                again = braked.but(progress=progress, trigger=Trigger.HAND)
                checkpoints.reopen(connection, again)
            else:
                _open(connection, found, destination, one, None, now, by_pages=True)
            checkpoints.plan_next(connection, destination, one.name, now)
            what = "full_sync_past_the_brake" if past_the_brake else "full_sync_asked_for"
            _audit(connection, what, f"{destination}/{one.name}", now, None, reason)
    _told(told, "read in full", as_json=as_json, dry_run=dry_run)


def _estimate(
    connection: Connection, found: Settings, destination: str, source: Source
) -> dict[str, Any]:
    """Say what a full sync costs: there and back, at the share that bulk work has."""
    rows = mirror.count(connection, destination, source.name)
    pages = -(-rows // min(found.poll_page_size, source.largest_page))
    requests = 2 * pages + 2
    one = found.destination(destination)
    seconds = requests / (one.calls * BULK_SHARE) * one.window.total_seconds()
    return {
        "source": source.name,
        "rows": rows,
        "requests": requests,
        "minutes": round(seconds / 60, 1),
    }


@polls.command()
def pause(
    source: SourceName = None,
    reason: Reason = "paused by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Stop reading a source, or all; what was missed is caught up with later."""
    _set_pause(source, destination, reason, "poll_paused", as_json=as_json, dry_run=dry_run)


@polls.command()
def resume(
    source: SourceName = None,
    reason: Reason = "resumed by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Read a paused source again, from where it was."""
    _set_pause(source, destination, reason, "poll_resumed", as_json=as_json, dry_run=dry_run)


def _set_pause(
    source: str | None,
    destination: str,
    reason: str,
    action: str,
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    found = settings()
    database = opened(found)
    now = clock_of(database).now()
    at = now if action == "poll_paused" else None
    wanted = chosen_sources(sources(found, destination, database), source)
    told = [{"source": one.name, "paused_at": at} for one in wanted]
    if not dry_run:
        with database.transaction() as connection:
            for one in wanted:
                checkpoints.pause(connection, destination, one.name, at)
                _audit(connection, action, f"{destination}/{one.name}", now, None, reason)
    words = "paused" if at else "read again"
    _told(told, words, as_json=as_json, dry_run=dry_run)


def _audit(
    connection: Connection,
    action: str,
    subject: str,
    now: datetime,
    after: Mapping[str, Any] | None,
    reason: str | None = None,
) -> None:
    shown = None if after is None else {name: _plain(value) for name, value in after.items()}
    write_down(
        connection,
        actor=actor(),
        action=action,
        subject=subject,
        now=now,
        reason=reason,
        after=shown,
    )


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _told(told: list[dict[str, Any]], words: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "sources": told})
        return
    for one in told:
        cost = ""
        if "requests" in one:
            cost = f": {one['requests']} requests, about {one['minutes']} min of its share"
        stdout().print(("dry run: " if dry_run else "") + f"{one['source']} is {words}{cost}")
