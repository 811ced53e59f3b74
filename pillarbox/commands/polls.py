"""`pillarbox polls`: what is read of the other side, when, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from console.views import lag, london
from inbox import booked, by_hand, checkpoints, mirror, overview
from inbox.by_hand import Hand
from inbox.overview import run_json
from inbox.pacing import pacing_of
from pillarbox.commands.common import (
    USAGE,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    changing,
    chosen,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    print_table,
    say_done,
    settings,
    stdout,
)
from pillarbox.commands.sources import SourceName, chosen_sources, sources
from runtime.clock import clock_of
from runtime.database import Database
from runtime.settings import Settings
from schema.hours import bookings
from schema.sources import Source
from schema.words import length, several

polls = noun("What is read of the other side: when, from where, how far.", "pillarbox polls list")

Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]
Hours = Annotated[
    str,
    typer.Argument(
        help="Days and hours in London, such as 'tue 22:00-06:00, sat 22:00-06:00'.",
        metavar="HOURS",
    ),
]

Wish = Callable[[Connection, Hand, Source], Mapping[str, Any]]
"""Asks for something of one source; gives what is told of it."""


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(polls, name="polls")


@polls.command("list")
def list_(destination: Of = "default", as_json: AsJson = False) -> None:
    """List the sources: when each was last read, what came of it, when it is read next and in full.

    Example: pillarbox polls list
    """
    found = settings()
    database = opened(found)
    known = sources(found, destination, database)
    now = clock_of(database).now()
    with database.reading() as connection:
        told = overview.of(
            connection,
            destination,
            list(known.values()),
            pacing=pacing_of(found),
            default=bookings(found.full_sync),
            now=now,
        )
    if as_json:
        print_json(told)
        return
    print_table(
        ("source", "state", "complete since", "next (London)", "last run", "rows", "read in full"),
        [
            (
                one["source"],
                one["state"],
                lag(one["lag_s"]),
                london(one["next_poll_at"]),
                _last(one["last_run"]),
                "" if one["last_run"] is None else one["last_run"]["seen"],
                ", ".join(one["full_sync"]["hours"]),
            )
            for one in told["sources"]
        ],
    )
    _print_booked(told["sources"])
    if told["held_rows"]:
        stdout().print(
            f"{several(told['held_rows'], 'row is', 'rows are')} held and could not be read; see "
            "`pillarbox polls held`"
        )


def _last(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return ""
    return f"{run['kind']} {run['state']}" + (f": {run['reason']}" if run["reason"] else "")


def _print_booked(lines: list[dict[str, Any]]) -> None:
    """Say of each booked window for whom it holds, and who agreed to it and when."""
    every = {
        (one["source"], one["hours"]): one for line in lines for one in line["full_sync"]["booked"]
    }
    if not every:
        stdout().print(
            "nothing is booked for full syncs: the hours are those of PILLARBOX_FULL_SYNC"
        )
    for one in every.values():
        stdout().print(
            f"{one['hours']} for {one['source'] or 'all sources'}: agreed by {one['agreed_by']}, "
            f"booked by {one['booked_by']} on {london(one['booked_at'])}",
            markup=False,
        )


@polls.command("runs")
def runs_(
    source: SourceName = None,
    destination: Of = "default",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest runs: from where, how many pages and rows, how they ended.

    Example: pillarbox polls runs --source participants
    """
    database = opened(settings())
    with database.reading() as connection:
        found = checkpoints.latest(connection, destination, source=source, limit=limit)
    if not found:
        nothing(
            "nothing was read yet; each poll and full sync would be here",
            as_json=as_json,
        )
    if as_json:
        print_json([run_json(one) for one in found])
        return
    print_list(
        (
            "id",
            "source",
            "kind",
            "state",
            "since (London)",
            "pages",
            "seen",
            "applied",
            "held",
            "reason",
        ),
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
    """List the rows that could not be read or applied, with the reason of each.

    Example: pillarbox polls held
    """
    database = opened(settings())
    with database.reading() as connection:
        found = mirror.list_held(connection, destination)
    if not found:
        nothing("no row is held; what cannot be read or applied would be here", as_json=as_json)
    if as_json:
        print_json(found)
        return
    print_table(
        ("source", "row", "times", "why"),
        [(one["source"], one["ref"], one["times"], one["reason"]) for one in found],
    )


# reading now


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
    """Have a source polled at once; the first time say from when. A poller does it.

    Example: pillarbox polls run --source participants --since 2025-09-01T00:00:00Z
    """
    start = _instant(since)
    if start is not None and everything:
        raise Stop("give --since or --everything, not both", USAGE)

    def wish(connection: Connection, hand: Hand, one: Source) -> Mapping[str, Any]:
        by_hand.poll(connection, hand, one, since=start, everything=everything)
        return {"since": start, "everything": everything}

    told = _each(source, destination, wish, dry_run=dry_run)
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
    """Read all of a source now, outside its hours, and say first how many requests that takes.

    Example: pillarbox polls full --source declarations --dry-run
    """
    limit = chosen(settings(), destination)

    def wish(connection: Connection, hand: Hand, one: Source) -> Mapping[str, Any]:
        cost = by_hand.estimate(connection, hand, one, calls=limit.calls, window=limit.window)
        by_hand.full(connection, hand, one, past_the_brake=past_the_brake, reason=reason)
        return {"rows": cost.rows, "requests": cost.requests, "minutes": cost.minutes}

    told = _each(source, destination, wish, dry_run=dry_run)
    _told(told, "read in full", as_json=as_json, dry_run=dry_run)


@polls.command()
def pause(
    source: SourceName = None,
    reason: Reason = "paused by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Stop reading a source, or all; what was missed is caught up with later.

    Example: pillarbox polls pause --reason "the API is being upgraded"
    """

    def wish(connection: Connection, hand: Hand, one: Source) -> Mapping[str, Any]:
        by_hand.pause(connection, hand, one, reason=reason)
        return {"paused_at": hand.now}

    told = _each(source, destination, wish, dry_run=dry_run)
    _told(told, "paused", as_json=as_json, dry_run=dry_run)


@polls.command()
def resume(
    source: SourceName = None,
    reason: Reason = "resumed by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Read a paused source again, from where it was.

    Example: pillarbox polls resume --source participants
    """

    def wish(connection: Connection, hand: Hand, one: Source) -> Mapping[str, Any]:
        by_hand.resume(connection, hand, one, reason=reason)
        return {"paused_at": None}

    told = _each(source, destination, wish, dry_run=dry_run)
    _told(told, "read again", as_json=as_json, dry_run=dry_run)


# hours of full syncs


@polls.command()
def book(
    hours: Hours,
    agreed_by: Annotated[
        str, typer.Option(help="Who agreed to them on the other side, for whoever asks.")
    ],
    source: SourceName = None,
    reason: Reason = "agreed",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Book hours for full syncs, of a source or of all. Its own hours take the place of those of all.

    Example: pillarbox polls book "tue 22:00-06:00" --agreed-by "the DfE, by e-mail"
    """
    fresh: list[booked.Booked] = []

    def wish(connection: Connection, hand: Hand, one: Source | None) -> None:
        fresh.extend(
            by_hand.book(connection, hand, hours, agreed_by=agreed_by, source=one, reason=reason)
        )

    _booking(source, destination, wish, dry_run=dry_run)
    words = several(len(fresh), "window is", "windows are") + " booked, for "
    told = {"booked": [asdict(one) for one in fresh]}
    say_done(words + (source or "all sources"), told, as_json=as_json, dry_run=dry_run)


@polls.command()
def unbook(
    hours: Hours,
    source: SourceName = None,
    reason: Reason = "given up",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Give booked hours up. Where nothing is booked any more, those of PILLARBOX_FULL_SYNC hold.

    Example: pillarbox polls unbook "tue 22:00-06:00"
    """

    def wish(connection: Connection, hand: Hand, one: Source | None) -> None:
        by_hand.unbook(connection, hand, hours, source=one, reason=reason)

    _booking(source, destination, wish, dry_run=dry_run)
    words = f"{hours} is given up for {source or 'all sources'}"
    told = {"source": source, "hours": hours}
    say_done(words, told, as_json=as_json, dry_run=dry_run)


# what the commands share


def _each(
    source: str | None, destination: str, wish: Wish, *, dry_run: bool
) -> list[dict[str, Any]]:
    """Ask for something of each chosen source, in one transaction."""
    found = settings()
    database = opened(found)
    wanted = chosen_sources(sources(found, destination, database), source)
    hand = _hand(found, destination, database)
    told: list[dict[str, Any]] = []
    with changing(database, dry_run=dry_run) as connection:
        for one in wanted:
            told.append({"source": one.name, **wish(connection, hand, one)})
    return told


def _booking(
    source: str | None,
    destination: str,
    wish: Callable[[Connection, Hand, Source | None], None],
    *,
    dry_run: bool,
) -> None:
    """Change hours of one source, or of all at once."""
    found = settings()
    database = opened(found)
    known = sources(found, destination, database)
    one = None if source is None else chosen_sources(known, source)[0]
    hand = _hand(found, destination, database)
    with changing(database, dry_run=dry_run) as connection:
        wish(connection, hand, one)


def _hand(found: Settings, destination: str, database: Database) -> Hand:
    return Hand(
        destination=destination,
        actor=actor(),
        now=clock_of(database).now(),
        pacing=pacing_of(found),
    )


def _told(told: list[dict[str, Any]], words: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "sources": told})
        return
    for one in told:
        cost = ""
        if "requests" in one:
            cost = f": {several(one['requests'], 'request')}, {length(one['minutes'])} of its share"
        stdout().print(("dry run: " if dry_run else "") + f"{one['source']} is {words}{cost}")
