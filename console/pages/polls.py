"""Polls: when each source was last read and is read next, in which hours all of it is, and how runs ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from console import whose
from console.errors import NotFilled, NotThere
from console.page import act, action, confirmed, page, render
from console.paging import SIZE, cursor, paged
from console.place import destination_of, destinations, kept
from console.visit import Visit
from inbox import booked, by_hand, checkpoints, mirror, overview
from inbox.by_hand import Estimate, Hand
from inbox.overview import run_json
from inbox.pacing import pacing_of
from schema.hours import bookings
from schema.sources import Source
from schema.words import length

LATEST = 10
"""Runs shown of one source: three polls of yesterday, the last full sync, and what went wrong."""

MOST_HELD = 50
"""Held rows shown of one source. One reason comes a hundred times; the command lists them all."""

COLOURS = {
    "ok": "green",
    "paused": "yellow",
    "braked": "red",
    "late": "orange",
    "needs a start: polls run": "yellow",
    "first reading": "blue",
    "complete": "green",
    "open": "blue",
    "abandoned": "red",
}

STATES = {
    "ok": "Read in time.",
    "late": "No poll was complete for two intervals. What is shown may be older than it looks.",
    "paused": "Paused: nobody reads it. What is missed is caught up with once it is resumed.",
    "braked": "A full sync stopped: too much would be gone at once. Look at the list there, then let "
    "it go on, or leave it.",
    "first reading": "It is about to be read for the first time.",
    "needs a start: polls run": "It was never read. Say from when to read it first.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as the pages show it."""

    id: int
    source: str
    what: str
    colour: str
    state: str
    since: datetime | None
    opened_at: datetime
    ended_at: datetime | None
    sum: str
    requests: int
    reason: str


# looking


def show(visit: Visit) -> Response:
    """List the sources, and the hours that were agreed."""
    destination = destination_of(visit)
    with visit.site.database.reading() as connection:
        told = _overview(visit, connection, destination)
        said = whose.last_reasons(told["sources"])
        whose.anybody_in(visit, connection, destination, said)
        hours = booked.of(connection, destination)
    return render(
        visit,
        "polls.html",
        told,
        lines=told["sources"],
        hours=hours,
        default=visit.site.settings.full_sync,
        colours=COLOURS,
        destinations=destinations(visit),
        last_words=last_words,
    )


def show_one(visit: Visit) -> Response:
    """Show one source: how it stands, what can be done, and its latest runs."""
    destination, source = destination_of(visit), _source(visit)
    with visit.site.database.reading() as connection:
        told = _overview(visit, connection, destination)
        cost = _estimate(visit, connection, source)
        runs = checkpoints.latest(connection, destination, source=source.name, limit=LATEST)
        held = [
            one for one in mirror.list_held(connection, destination) if one["source"] == source.name
        ]
        said = [*(one.reason for one in runs), *(one["reason"] for one in held)]
        whose.anybody_in(visit, connection, destination, said)
    [line] = [one for one in told["sources"] if one["source"] == source.name]
    return render(
        visit,
        "poll.html",
        {**line, "estimate": _cost_json(cost), "runs": [run_json(one) for one in runs]},
        line=line,
        verdict=STATES.get(line["state"], line["state"]),
        cost=cost,
        takes=length(cost.minutes),
        shown_runs=[run_of(run_json(one)) for one in runs],
        held=held[:MOST_HELD],
        colours=COLOURS,
        at=f"/polls/{source.name}",
        of=kept(visit),
    )


def show_runs(visit: Visit) -> Response:
    """List runs, the latest first."""
    destination, source = destination_of(visit), visit.asked("source")
    with visit.site.database.reading() as connection:
        runs = checkpoints.latest(
            connection,
            destination,
            source=source or None,
            before=cursor(visit),
            limit=SIZE + 1,
        )
        whose.anybody_in(visit, connection, destination, [one.reason for one in runs])
    listed = paged(visit, [run_json(one) for one in runs], key=lambda one: one["id"])
    return render(
        visit,
        "runs.html",
        {"runs": listed.rows, "next": listed.last_key},
        page=listed,
        lines=[run_of(one) for one in listed.rows],
        wanted=source,
        names=[(one, one) for one in _sources(visit)],
        of=kept(visit),
    )


def run_of(run: Mapping[str, Any]) -> Run:
    """Put a run into words."""
    return Run(
        id=run["id"],
        source=run["source"],
        what="full sync" if run["kind"] == "full" else "poll",
        colour=COLOURS.get(str(run["state"]), "grey"),
        state=str(run["state"]),
        since=run["since"],
        opened_at=run["opened_at"],
        ended_at=run["ended_at"],
        sum=f"{run['seen']:,} = {run['applied']:,} + {run['unchanged']:,} + {run['held']:,} + "
        f"{run['failed']:,}",
        requests=run["requests"],
        reason=_why(run),
    )


def _why(run: Mapping[str, Any]) -> str:
    gone = f"{run['gone']:,} gone" if run["gone"] else ""
    drifted = f"{run['drifted']:,} changed without their stamp" if run["drifted"] else ""
    return "; ".join(one for one in (run["reason"] or "", gone, drifted) if one)


def last_words(run: Mapping[str, Any] | None) -> str:
    """Say in a few words how the last run ended."""
    if run is None:
        return "never read"
    what = "full sync" if run["kind"] == "full" else "poll"
    return f"{what} {run['state']}" + (f": {run['reason']}" if run["reason"] else "")


# acting


def poll(visit: Visit) -> Response:
    """Have a source polled at once, or from an instant on, or all of it."""
    source, since = _source(visit), visit.form.text("since")
    everything = bool(visit.form.text("everything"))
    start = _instant(since) if since else None
    return act(
        visit,
        lambda connection: by_hand.poll(
            connection, _hand(visit), source, since=start, everything=everything
        ),
        to=_back(visit, source),
        said=f"{source.name} is polled at once, by the next poller that is free.",
    )


def full(visit: Visit) -> Response:
    """Have all of a source read now; the number of requests it takes is typed to confirm."""
    source = _source(visit)
    reason = visit.form.needed("reason", "why it is read in full now")

    def deed(connection: Connection) -> None:
        confirmed(visit, _estimate(visit, connection, source).requests)
        by_hand.full(connection, _hand(visit), source, reason=reason)

    return act(
        visit,
        deed,
        to=_back(visit, source),
        said=f"All of {source.name} is read now, page by page.",
    )


def past_the_brake(visit: Visit) -> Response:
    """Let a full sync go on that stopped for a person."""
    source = _source(visit)
    reason = visit.form.needed("brake_reason", "why so much may be gone")
    return act(
        visit,
        lambda connection: by_hand.full(
            connection, _hand(visit), source, past_the_brake=True, reason=reason
        ),
        to=_back(visit, source),
        said=f"The full sync of {source.name} goes on; each one missing is looked up before it is gone.",
    )


def pause(visit: Visit) -> Response:
    """Stop reading a source."""
    source = _source(visit)
    reason = visit.form.needed("pause_reason", "why it is paused")
    return act(
        visit,
        lambda connection: by_hand.pause(connection, _hand(visit), source, reason=reason),
        to=_back(visit, source),
        said=f"{source.name} is paused. A run in hand ends with its lease.",
    )


def resume(visit: Visit) -> Response:
    """Read a paused source again."""
    source = _source(visit)
    return act(
        visit,
        lambda connection: by_hand.resume(connection, _hand(visit), source, reason=None),
        to=_back(visit, source),
        said=f"{source.name} is read again, from where it was.",
    )


def book(visit: Visit) -> Response:
    """Book hours for full syncs."""
    hours = visit.form.needed("hours", "days and hours, such as tue 22:00-06:00")
    agreed_by = visit.form.needed("agreed_by", "who agreed to these hours")
    source = _chosen(visit, visit.form.text("source"))
    return act(
        visit,
        lambda connection: by_hand.book(
            connection, _hand(visit), hours, agreed_by=agreed_by, source=source
        ),
        to=visit.form.text("back", "/polls") if _is_ours(visit) else "/polls",
        said=lambda fresh: (
            f"{', '.join(one.hours for one in fresh)}: booked, agreed by {agreed_by}."
            if fresh
            else f"{hours}: these hours were booked already."
        ),
        told=lambda fresh: {"booked": [one.hours for one in fresh]},
    )


def unbook(visit: Visit) -> Response:
    """Give booked hours up."""
    hours = visit.form.needed("hours", "the hours to give up")
    source = _chosen(visit, visit.form.text("source"))
    return act(
        visit,
        lambda connection: by_hand.unbook(connection, _hand(visit), hours, source=source),
        to="/polls",
        said=f"{hours} is given up.",
    )


# what they share


def _back(visit: Visit, source: Source) -> str:
    return f"/polls/{source.name}{kept(visit)}"


def _is_ours(visit: Visit) -> bool:
    return visit.form.text("back").startswith("/polls/")


def _sources(visit: Visit) -> dict[str, Source]:
    contract = visit.site.contracts[destination_of(visit)]
    return {one.name: one for one in contract.sources(visit.now)}


def _source(visit: Visit) -> Source:
    found = _sources(visit).get(visit.path("source"))
    if found is None:
        raise NotThere(f"There is no source {visit.path('source')[:60]!r} to read.")
    return found


def _chosen(visit: Visit, name: str) -> Source | None:
    if not name:
        return None
    found = _sources(visit).get(name)
    if found is None:
        raise NotFilled(
            f"There is no source {name[:60]!r}; choose one of the list.", field="source"
        )
    return found


def _hand(visit: Visit) -> Hand:
    return Hand(
        destination=destination_of(visit),
        actor=visit.who.name,
        now=visit.now,
        pacing=pacing_of(visit.site.settings),
    )


def _overview(visit: Visit, connection: Connection, destination: str) -> dict[str, Any]:
    settings = visit.site.settings
    return overview.of(
        connection,
        destination,
        list(_sources(visit).values()),
        pacing=pacing_of(settings),
        default=bookings(settings.full_sync),
        now=visit.now,
    )


def _estimate(visit: Visit, connection: Connection, source: Source) -> Estimate:
    limit = visit.site.settings.destination(destination_of(visit))
    return by_hand.estimate(
        connection, _hand(visit), source, calls=limit.calls, window=limit.window
    )


def _cost_json(cost: Estimate) -> dict[str, float]:
    return {"rows": cost.rows, "requests": cost.requests, "minutes": cost.minutes}


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # no instant, or one before or after all years in UTC
        pass
    raise NotFilled("Enter an instant with its zone, such as 2025-09-01T00:00:00Z.", field="since")


routes = [
    page("/polls", show),
    page("/polls/runs", show_runs),
    page("/polls/{source}", show_one),
    action("/polls/book", book),
    action("/polls/unbook", unbook),
    action("/polls/{source}/run", poll),
    action("/polls/{source}/full", full),
    action("/polls/{source}/past-the-brake", past_the_brake),
    action("/polls/{source}/pause", pause),
    action("/polls/{source}/resume", resume),
]
