"""`pillarbox check`: is everything there that the work needs? One line each."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import typer

from console import health
from console.views import london
from outbox import bindings
from outbox.rebind import held_words
from pillarbox.commands.common import (
    ATTENTION,
    UNREACHABLE,
    AsJson,
    print_json,
    settings,
    stdout,
)
from pillarbox.desk import site_of
from pillarbox.world import SANDBOX_BINDING
from runtime import migrations
from runtime import redis as runtime_redis
from runtime.database import shown
from runtime.errors import InvalidSettings, RuntimeProblem
from runtime.settings import Destination, Settings
from workers.wiring import Wiring, address_of

CONNECT_S = 5.0
"""How long to wait for the API's address to take a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Role(StrEnum):
    """The processes that write a heartbeat."""

    RELAY = "relay"
    WORKER = "worker"
    POLLER = "poller"
    CONSOLE = "console"


class Wrong(Exception):
    """What is wrong, with the cure."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    role: Annotated[
        Role | None, typer.Option(help="Also: is a process of this role at work?")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything the work needs. Exits 3 when something cannot be reached, 6 when a process is
    missing, or stands still.

    Example: pillarbox check --role worker
    """
    found = settings()
    wiring = Wiring.build(found)
    lines = [
        _line("database", lambda: _database(wiring)),
        _line("migrations", lambda: _migrations(wiring)),
        _line("redis", lambda: _redis(found, wiring)),
    ]
    for one in found.destinations:
        if one.url is None and _is_embedded(wiring, one):
            detail = f"{SANDBOX_BINDING}, there while `pillarbox up` runs"
            lines.append(Line(name=f"{one.name}: API", ok=True, detail=detail))
            continue
        lines += [
            _line(f"{one.name}: key", lambda one=one: _key(wiring, one)),
            _line(f"{one.name}: API", lambda one=one: _api(wiring, one)),
            _line(f"{one.name}: bound", lambda one=one: _bound(wiring, one)),
            _line(f"{one.name}: writes", lambda one=one: _writes(wiring, one)),
        ]
    working = None if role is None else _line(f"role {role}", lambda: _role(wiring, role))
    _show([*lines, *([working] if working else [])], as_json=as_json)
    if not all(line.ok for line in lines):
        raise typer.Exit(UNREACHABLE)
    if working is not None and not working.ok:
        raise typer.Exit(ATTENTION)


def _is_embedded(wiring: Wiring, one: Destination) -> bool:
    """Whether this database is the one of `pillarbox up`, and no API is configured."""
    try:
        wiring.database.check()
        migrations.require(wiring.database)
    except RuntimeProblem:
        return False
    with wiring.database.reading() as connection:
        was = bindings.bound(connection, one.name)
    return was is not None and was.url == SANDBOX_BINDING


def _show(lines: list[Line], *, as_json: bool) -> None:
    if as_json:
        print_json([{"name": one.name, "ok": one.ok, "detail": one.detail} for one in lines])
        return
    console = stdout()
    for line in lines:
        console.print(f"{'OK ' if line.ok else 'NO '} {line.name:<24} {line.detail}", markup=False)


def _line(name: str, look: Callable[[], str]) -> Line:
    try:
        return Line(name=name, ok=True, detail=look())
    except (Wrong, RuntimeProblem, runtime_redis.RedisProblem) as error:
        return Line(name=name, ok=False, detail=str(error))


def _database(wiring: Wiring) -> str:
    wiring.database.check()
    return shown(wiring.database.url)


def _migrations(wiring: Wiring) -> str:
    wiring.database.check()
    migrations.require(wiring.database)
    return f"at {migrations.head()}, the newest"


def _redis(found: Settings, wiring: Wiring) -> str:
    described = runtime_redis.describe(wiring.redis)
    if found.embedded:
        return f"{described} (set REDIS_URL for Redis)"
    weakness = runtime_redis.weakness(wiring.redis)
    if weakness is not None:
        raise Wrong(f"{described} {weakness}")
    return described


def _key(wiring: Wiring, one: Destination) -> str:
    wiring.check_key(one)
    return f"there, named {one.key_name}"


def _api(wiring: Wiring, one: Destination) -> str:
    url = address_of(one)
    wiring.contract(one)
    try:
        one.token.read()
        wiring.client(one)
    except InvalidSettings as error:
        if "TOKEN" not in str(error):
            raise
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except OSError as error:
        raise Wrong(
            f"PILLARBOX_API_URL: {parts.hostname}:{port} takes no connection "
            f"({error.strerror or type(error).__name__}); correct it, or open the way"
        ) from None
    return (
        f"{url} takes connections ({one.contract}, {one.calls} per "
        f"{one.window.total_seconds():g} s)"
    )


def _bound(wiring: Wiring, one: Destination) -> str:
    wiring.database.check()
    migrations.require(wiring.database)
    with wiring.database.reading() as connection:
        was = bindings.bound(connection, one.name)
        identity = bindings.identity(connection)
    if was is None:
        return "not yet; the first start binds it"
    wanted = wiring.wanted(one, identity)
    difference = bindings.difference(wanted, was)
    if difference is not None:
        raise Wrong(f"{difference}; {bindings.cure(wanted, was)}")
    return f"to {was.url}"


def _writes(wiring: Wiring, one: Destination) -> str:
    wiring.database.check()
    migrations.require(wiring.database)
    with wiring.database.reading() as connection:
        stands = bindings.standing(connection, one.name)
        held = held_words(connection, one.name, wiring.clock.now())
    if stands is None or held is not None:
        return held or "none yet; it is not bound"
    return f"may leave since {london(stands.live_since)}, by {stands.live_by}"


def _role(wiring: Wiring, role: Role) -> str:
    wiring.database.check()
    migrations.require(wiring.database)
    try:
        return health.working(site_of(wiring), role)
    except health.Degraded as error:
        raise Wrong(str(error)) from None
