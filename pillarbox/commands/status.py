"""`pillarbox status`: the numbers that the person on duty needs."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from console.site import Site
from console.standing import gather
from console.views import ago, lag, london
from pillarbox.commands.common import (
    ATTENTION,
    USAGE,
    AsJson,
    Stop,
    a_list,
    print_json,
    settings,
    stdout,
    wired,
)
from pillarbox.desk import site_of
from schema.words import several

LOOK_EVERY_S = 2.0
"""Seconds between two looks of `--watch`. The numbers behind it are gathered every few seconds."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    check: Annotated[
        bool, typer.Option("--check", help="Exit 6 when something needs attention.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what needs somebody, then what waits, since when and why; what was sent; the quota; who is
    at work.

    Example: pillarbox status --check || notify "Pillarbox needs somebody"
    """
    site = site_of(wired(settings()))
    if watch:
        if as_json or check:
            raise Stop("--watch is for people: leave --json and --check away", USAGE)
        _watch(site)
        return
    told = gather(site)
    if as_json:
        print_json(told)
    else:
        for part in _parts(told, embedded=site.settings.embedded):
            stdout().print(part)
    if check and told["attention"]:
        raise typer.Exit(ATTENTION)


def _watch(site: Site) -> None:
    console = Console(highlight=False)
    embedded = site.settings.embedded
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            live.update(Group(*_parts(gather(site), embedded=embedded)), refresh=True)
            time.sleep(LOOK_EVERY_S)


def _parts(told: Mapping[str, Any], *, embedded: bool) -> list[Table | Text]:
    """Lay everything out, one part under the other: what needs somebody first."""
    parts: list[Table | Text] = [
        Text(f"! {one['line']}\n    {one['runbook']}") for one in told["alerts"]
    ] or [Text("nothing needs attention")]
    for one in told["destinations"]:
        parts += [_heading(one), _numbers(one, embedded=embedded), *_reading(one)]
    parts.append(_processes(told["processes"]))
    late = sum(one["progress"].get("late_settles_total", 0) for one in told["processes"])
    if late:
        parts.append(
            Text(
                f"{several(int(late), 'answer')} came too late for their record; its look-up settled it"
            )
        )
    return parts


def _heading(one: Mapping[str, Any]) -> Text:
    return Text(f"{one['destination']}   {one['url'] or one['bound_to'] or 'no URL set'}", "bold")


def _numbers(one: Mapping[str, Any], *, embedded: bool) -> Text:
    oldest, more = one["oldest_waiting_s"], one["more_than"]
    lines = {
        "oldest waiting": "nothing waits" if oldest is None else ago_of(oldest),
        "records": _counted(one["records"], "all in step", more),
        "why": _counted(one["reasons"], "-", more),
        "entries": _counted(one["entries"], "none yet"),
        "calls": f"{_counted(one['calls'], 'none yet')}   (writes and look-ups, each for a record)",
        "last hour": _lately(one["last_hour"]),
        "last day": _lately(one["last_day"]),
        "quota": _QUOTA_ELSEWHERE if embedded else _quota(one["quota"]),
        "writes": one["held"] or "may leave",
        "gate": ", ".join(f"{gate['state']}: {gate['detail']}" for gate in one["gates"]) or "open",
    }
    return Text("\n".join(f"  {name:<17}{line}" for name, line in lines.items()))


_QUOTA_ELSEWHERE = "counted inside `pillarbox up`, and shown on its pages (REDIS_URL is not set)"


def _quota(quota: Mapping[str, Any] | None) -> str:
    if quota is None:
        return "unknown: Redis does not answer, so no call is made"
    lanes = ", ".join(f"{name} {lane['used']}" for name, lane in quota["lanes"].items())
    free = f", the next frees in {ago_of(quota['next_free_s'][0])}" if quota["next_free_s"] else ""
    return f"{quota['used']} of {quota['limit']} in {quota['window_s']:g} s ({lanes}){free}"


def _lately(lately: Mapping[str, Any]) -> str:
    saved = _counted({name: number for name, number in lately["saved"].items() if number}, "0")
    return (
        f"{lately['sent']} sent, saved: {saved}; {several(lately['requests'], 'request')} "
        f"(calls, and reads of polls), {lately['refused']} refused, {lately['throttled']} throttled, {lately['failed']} failed"
    )


def _reading(one: Mapping[str, Any]) -> list[Table]:
    """Lay out what is read, once something was."""
    read = [source for source in one["reading"]["sources"] if source["last_run"] is not None]
    if not read:
        return []
    head = ("source", "state", "complete since", "next (London)", "last full sync (London)")
    rows = [
        (
            source["source"],
            source["state"],
            lag(source["lag_s"]),
            london(source["next_poll_at"]),
            london(source["full_sync"]["began"]),
        )
        for source in read
    ]
    return [a_list(head, rows)]


def _processes(processes: Sequence[Mapping[str, Any]]) -> Table | Text:
    if not processes:
        return Text("no process is at work on this database")
    head = ("process", "host", "pid", "since (London)", "last sign of life")
    rows = [
        (
            one["role"],
            one["host"],
            one["pid"],
            london(one["started_at"]),
            lag(one["beat_s_ago"]) + (", MISSING" if one["missing"] else ""),
        )
        for one in processes
    ]
    return a_list(head, rows)


def ago_of(length: float) -> str:
    """Write seconds roughly."""
    return ago(timedelta(seconds=length))


def _counted(numbers: Mapping[str, int], empty: str, more: Sequence[str] = ()) -> str:
    parts = [
        f"{number}{'+' if name in more else ''} {name.replace('_', ' ')}"
        for name, number in sorted(numbers.items())
    ]
    return ", ".join(parts) or empty
