"""`pillarbox up`, `pillarbox demo` and `pillarbox sandbox`: whole worlds on this computer."""

import fcntl
import json
import shutil
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import IO, Annotated, Any, cast

import typer
from sqlalchemy.exc import DBAPIError

from console.server import Serving
from gateway.registry import contract_named
from outbox.rebind import held_words
from pillarbox import demo as story
from pillarbox.alone import alone, among_others
from pillarbox.commands.common import (
    ATTENTION,
    PARTLY,
    UNEXPECTED,
    USAGE,
    AsJson,
    Stop,
    print_json,
    stdout,
)
from pillarbox.commands.processes import stopping
from pillarbox.desk import serving_here
from pillarbox.watcher import Watcher
from pillarbox.world import Control, Keeper, World, limited, with_sandbox
from producers import files
from runtime import log
from runtime import redis as runtime_redis
from runtime.database import shown
from runtime.settings import Settings
from sandbox.server import Sandbox, SandboxError, run
from schema.days import LONDON
from schema.events import Event, InvalidEvent
from schema.words import several

FOLDER = Path(".pillarbox")
DEMO_SETTLE = timedelta(milliseconds=300)
"""Settle time of the demo: people watch."""

LOG = FOLDER / "up.log"
"""Where `up` logs in its own folder: what people read stands alone on the terminal, but for errors."""

KEEP_EVERY_S = 5.0

FILE_TIMEOUT_S = 1_800.0
"""How long a demo of the user's own file may take: six windows of the quota."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(demo)
    app.command()(sandbox)


def sandbox(
    world: Annotated[
        Path | None, typer.Option(help="Start world; without it the bundled one.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port; 0 takes any free one.", min=0, max=65_535)
    ] = 4010,
    host: Annotated[
        str, typer.Option(help="Address; another than this machine's own needs --no-control.")
    ] = "127.0.0.1",
    limit: Annotated[
        int | None, typer.Option(help="Requests per window, per key and per address.", min=0)
    ] = None,
    no_control: Annotated[
        bool, typer.Option("--no-control", help="Leave the control side out.")
    ] = False,
    time_travel: Annotated[
        bool, typer.Option("--time-travel", help="Honour X-With-Server-Date.")
    ] = False,
) -> None:
    """Serve a stand-in for the Lead Provider API until Ctrl-C.

    Example: pillarbox sandbox --port 4010
    """
    log.set_up()
    try:
        run(
            None if world is None else _world_of(world),
            host=host,
            port=port,
            control=not no_control,
            time_travel=time_travel,
            limit=limit,
            listening=_announce,
        )
    except SandboxError as error:
        raise Stop(str(error), USAGE) from None


def _announce(started: Sandbox) -> None:
    console = stdout()
    console.print(started.url)
    console.print(f"Page      {started.root_url}/")
    console.print("Token     sandbox-harbour (a provider of the bundled world)")
    console.print("Ctrl-C stops it; nothing is kept.")


def _world_of(file: Path) -> object:
    try:
        return cast(object, json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise Stop(f"--world: {file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise Stop(f"--world: {file} is not JSON; correct it") from None


# demo


def demo(
    events: Annotated[
        Path | None, typer.Option(help="Your own file: one event a line. Without it, the story.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option(help="Another limit than the API's, such as 100/5s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the main job on this computer: events in, calls out, within the limit.

    Everything is made anew under .pillarbox/demo; nothing leaves this computer.

    Example: pillarbox demo --events docs/tutorial/events.jsonl
    """
    log.set_up(level="ERROR")
    started = time.monotonic()
    content = None if events is None else _read(events)
    folder = FOLDER / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    with _demo_sandbox() as served:
        world = World(_demo_settings(folder, served, limit, own=events is not None), served)
        told = _run_demo(world, content, started, as_json=as_json)
    if told["faulty"] and as_json is False:
        stdout().print(f"{several(told['faulty'], 'faulty line', 'faulty lines')} did not go in")
    if not told["ended"]:
        raise Stop("the demo did not end as told; see above", UNEXPECTED)
    if not told["converged"]:
        raise typer.Exit(ATTENTION)
    if told["faulty"]:
        raise typer.Exit(PARTLY if content is None else 0)


def _demo_sandbox() -> Sandbox:
    try:
        return Sandbox()
    except SandboxError as error:
        raise Stop(str(error)) from None


def _demo_settings(folder: Path, served: Sandbox, limit: str | None, *, own: bool) -> Settings:
    base = Settings.from_environment({})
    calls, window = (1_000, timedelta(seconds=300)) if own else (story.CALLS, story.WINDOW)
    if limit is not None:
        from runtime.settings import quota

        calls, window = quota(limit, "--limit")
    pointed = with_sandbox(base, served)
    return replace(
        pointed,
        database_url=f"sqlite:///{folder}/pillarbox.db",
        settle=DEMO_SETTLE,
        destinations=(limited(pointed.destinations[0], calls, window),),
    )


def _run_demo(
    world: World, content: bytes | None, started: float, *, as_json: bool
) -> dict[str, Any]:
    where = world.settings.destinations[0]
    migrated = world.prepare()
    assert world.sandbox is not None
    Control(world.sandbox).put(
        "/limiter",
        {
            "limit": where.calls,
            "window_s": int(where.window.total_seconds()),
            "mode": "rolling",
            "per_ip_limit": None,
        },
    )
    say, tell = _voices(quiet=as_json)
    if not as_json:
        headline(world, migrated)
    watcher = Watcher(world.wiring.database, say, story.CAST if content is None else None)
    world.start()
    faults: list[files.Fault] = []
    try:
        if content is None:
            ended = story.play(world, watcher, tell)
        else:
            faults = _import(world, content, tell)
            ended = story.settle(world, watcher, timeout=FILE_TIMEOUT_S)
        watcher.look()
        found = story.totals(world, started=started)
    finally:
        world.stop()
    told = {
        **found.as_json(),
        "faulty": len(faults),
        "faults": [{"line": f.line, "field": f.field, "problem": f.problem} for f in faults],
    }
    if as_json:
        print_json(told)
    else:
        _print_totals(found)
    return {**told, "ended": ended}


def _import(world: World, content: bytes, tell: Any) -> list[files.Fault]:
    contract = contract_named(world.settings.destinations[0].contract)
    names = {one.name for one in world.settings.destinations}

    def check(event: Event) -> None:
        if event.destination not in names:
            raise InvalidEvent("destination", f"is {event.destination!r}; here it is 'default'")
        contract.asks(event)

    reading = files.read(content, check)
    faults = list(reading.faults)
    for batch in files.batches(reading.lines):
        with world.wiring.database.transaction() as connection:
            _, wrong = files.append(connection, batch)
        faults += wrong
    tell(
        f"{several(len(reading.lines), 'event')} went in, {several(len(faults), 'line is', 'lines are')} faulty"
    )
    for fault in faults:
        tell(f"   {fault}")
    return faults


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Stop(f"--events: {file} cannot be read ({error.strerror})") from None


def _voices(*, quiet: bool) -> tuple[Any, Any]:
    console = stdout()

    def say(who: str, what: str) -> None:
        if not quiet:
            now = datetime.now(LONDON).strftime("%H:%M:%S")
            console.print(f"   {now}  {who:<7} {what}", markup=False)

    def tell(what: str) -> None:
        if not quiet:
            console.print(f"\n{what}" if what[:1].isdigit() else what, style="bold", markup=False)

    return say, tell


def headline(world: World, migrated: str) -> None:
    """Say what this world consists of, and whether anything can leave this computer."""
    console = stdout()
    where = world.settings.destinations[0]
    database = world.wiring.database
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    hint = "(set DATABASE_URL for PostgreSQL)" if database.is_sqlite else ""
    console.print()
    held = _held(world)
    away = "CALLS GO TO A REAL API" if held is None else "LOOK-UPS GO TO A REAL API, NO WRITES"
    away = "nothing leaves this computer" if where.is_loopback else away
    console.print(f" pillarbox {version('pillarbox')}   {away}", style="bold", markup=False)
    console.print()
    console.print(
        f" database   {kind}  {shown(database.url)}  migrated to {migrated}  {hint}", markup=False
    )
    redis_hint = "(set REDIS_URL for Redis)" if world.settings.embedded else ""
    console.print(
        f" queue      {runtime_redis.describe(world.wiring.redis)}  {redis_hint}", markup=False
    )
    what = "the built-in sandbox" if world.sandbox else "as configured"
    console.print(f" API        {where.url}  {what}", markup=False)
    if held is not None:
        console.print(f" writes     {held}", markup=False)
    console.print(
        f" limit      {where.calls} calls in any {where.window.total_seconds():g} s", markup=False
    )


def _held(world: World) -> str | None:
    name = world.settings.destinations[0].name
    with world.wiring.database.reading() as connection:
        return held_words(connection, name, world.wiring.clock.now())


def _print_totals(found: story.Totals) -> None:
    console = stdout()
    saved = {
        "unchanged": found.reasons.get("unchanged", 0),
        "superseded by a newer change": found.reasons.get("superseded", 0),
        "undone before sending": found.reasons.get("net_zero", 0),
    }
    console.print()
    console.print("Totals", style="bold")
    console.print(f"   events               {found.entries}")
    for reason, number in found.reasons.items():
        console.print(f"      {reason.replace('_', ' '):<18}{number}")
    console.print(f"      waiting           {found.waiting}")
    console.print(f"      waiting for you   {found.dead}")
    console.print(
        f"   calls                {found.calls}   ({found.writes} writes, {found.reads} look-ups"
        + (f", {found.polled} reads of what changed there)" if found.polled else ")")
    )
    console.print(
        "   events without call  " + ", ".join(f"{number} {why}" for why, number in saved.items())
    )
    console.print(f"   refused by the limiter: {found.limit_refusals}")
    console.print(f"   {found.seconds:.1f} s")
    console.print()
    console.print(
        "Next   DATABASE_URL=sqlite:///.pillarbox/demo/pillarbox.db .venv/bin/pillarbox "
        "records list",
        markup=False,
    )
    console.print("       .venv/bin/pillarbox up      the same world, left running", markup=False)


# up


def up(
    port: Annotated[
        int, typer.Option(help="Port of the console; 0 takes any free one.", min=0, max=65_535)
    ] = 0,
    sandbox_port: Annotated[
        int, typer.Option(help="Port of the sandbox; 0 takes any free one.", min=0, max=65_535)
    ] = 0,
    no_story: Annotated[bool, typer.Option("--no-story", help="Play nothing.")] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Begin anew: forget the embedded world.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before calling an API that is not here.")
    ] = False,
) -> None:
    """Run everything in one process until Ctrl-C: relay, worker threads, poller, the review desk's
    pages and, unless PILLARBOX_API_URL is set, a sandbox of the API.

    Example: pillarbox up --port 4020
    """
    settings = Settings.from_environment()
    folder = _folder_alone() if settings.embedded else None
    log.set_up(form=settings.log_format, level="WARNING", file=None if folder is None else LOG)
    own_api = settings.destinations[0].url is not None
    if reset:
        _forget(settings, own_api=own_api)
    kept = FOLDER / "sandbox-world.json"
    served = None if own_api else _kept_sandbox(kept, sandbox_port)
    stop = stopping()
    if served is not None:
        _started(served)
        settings = with_sandbox(settings, served)
        settings = replace(settings, poll_start=settings.poll_start or "everything")
    else:
        _ask_first(settings, yes=yes)
    world = World(settings, served, polls=True)
    count_here = alone if settings.embedded else among_others
    try:
        with count_here(world.wiring.database):
            migrated = world.prepare()
            desk = serving_here(world.wiring, port)
            headline(world, migrated)
            _run_up(world, served, kept, desk, stop, with_story=not no_story and not own_api)
    finally:
        if served is not None:
            served.stop()
        if folder is not None:
            folder.close()


def _folder_alone() -> IO[str]:
    """Take this folder for this process: the built-in Redis, and so the quota, is in one only."""
    FOLDER.mkdir(exist_ok=True)
    file = (FOLDER / "up.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Stop(
            "another `pillarbox up` is running in this folder; stop it first, or set REDIS_URL so "
            "that both count their calls in one place"
        ) from None
    return file


def _run_up(
    world: World,
    served: Sandbox | None,
    kept: Path,
    desk: Serving,
    stop: Any,
    *,
    with_story: bool,
) -> None:
    console = stdout()
    say, tell = _voices(quiet=False)
    name = world.settings.destinations[0].name
    watcher = Watcher(world.wiring.database, say, story.CAST, destination=name)
    watcher.skip()
    world.start()
    desk.start()
    keeper = None if served is None else Keeper(served, kept)
    if served is not None:
        console.print(f" sandbox    {served.root_url}/   who is there, and what they do")
    if world.settings.embedded:
        console.print(f" log        {LOG}   errors are shown here too", markup=False)
    console.print(" Ctrl-C stops everything", markup=False)
    console.print()
    console.print(
        "Next   .venv/bin/pillarbox status   |   .venv/bin/pillarbox records list   |   "
        ".venv/bin/pillarbox import FILE",
        markup=False,
    )
    console.print(f"Desk   {desk.url}   open this", style="bold", markup=False)
    console.print()
    try:
        if with_story:
            threading.Thread(target=story.begin, args=(world, tell, stop), daemon=True).start()
        _watch(watcher, keeper, stop)
    finally:
        desk.stop()  # first: its pages read what the world closes
        world.stop()
        if keeper is not None:
            keeper.keep()
        console.print("stopped; everything not sent yet is kept and goes on at the next start")


def _watch(watcher: Watcher, keeper: Keeper | None, stop: Any) -> None:
    kept_at = time.monotonic()
    while not stop.wait(0.2):
        try:
            watcher.look()
        except DBAPIError as error:
            stdout().print(f"the database does not answer ({type(error.orig).__name__})")
            stop.wait(2)
        if keeper is not None and time.monotonic() - kept_at > KEEP_EVERY_S:
            keeper.keep()
            kept_at = time.monotonic()


def _kept_sandbox(kept: Path, port: int) -> Sandbox:
    """Make the sandbox, with the world it had when it was last stopped."""
    FOLDER.mkdir(exist_ok=True)
    try:
        return Sandbox(_world_of(kept) if kept.exists() else None, port=port)
    except SandboxError as error:
        raise Stop(f"{error} Or begin anew with `pillarbox up --reset`.") from None


def _started(served: Sandbox) -> None:
    try:
        served.start()
    except SandboxError as error:
        raise Stop(str(error)) from None


def _forget(settings: Settings, *, own_api: bool) -> None:
    if own_api or settings.database_url != Settings().database_url:
        raise Stop(
            "--reset: only the embedded world under .pillarbox can be forgotten; empty "
            "your own database yourself"
        )
    for name in ("pillarbox.db", "pillarbox.db-wal", "pillarbox.db-shm", "sandbox-world.json"):
        (FOLDER / name).unlink(missing_ok=True)


def _ask_first(settings: Settings, *, yes: bool) -> None:
    where = settings.destinations[0]
    if where.is_loopback or yes:
        return
    if not sys.stdin.isatty():
        raise Stop(
            f"PILLARBOX_API_URL is {where.url}, which is not on this computer; add --yes to call it"
        )
    typer.confirm(
        f"Look-ups will go to {where.url}, and writes too once it is live. Go on?", abort=True
    )
