"""Which part of the whole works, and which is degraded, named one by one.

One idea: each part is looked at by itself and none may stop the others from being told; a console
answers this when every worker is down, and when the database is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from console.site import Site
from gateway.errors import QuotaUnavailable
from outbox import entries, gates
from runtime import migrations
from runtime import redis as runtime_redis
from runtime.database import shown
from runtime.errors import RuntimeProblem
from runtime.processes import MISSING_AFTER, all_beats
from schema.states import GateReason

ROLES = ("relay", "worker", "poller", "console")
"""The processes that write a heartbeat."""

NEEDED = ("relay", "worker")
"""Those without whom nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part, whether it works, and in words how or why not."""

    name: str
    ok: bool
    detail: str


class Degraded(Exception):
    """Why a part does not work, with the cure."""


def parts(site: Site) -> list[Part]:
    """Look at every part that sending needs; takes no longer than the slowest that hangs."""
    reachable = part("database", lambda: _database(site))
    found = [reachable, part("doorbell", lambda: _doorbell(site))]
    found += [
        part(_named("quota", one.name), lambda name=one.name: _quota(site, name))
        for one in site.settings.destinations
    ]
    if not reachable.ok:
        return found
    found.append(part("migrations", lambda: _migrations(site)))
    if not found[-1].ok:
        return found
    found += [
        part(_named("key", one.name), lambda one=one: _key(site, one.name, one.key_name))
        for one in site.settings.destinations
    ]
    return found + [part(role, lambda role=role: working(site, role)) for role in NEEDED]


def part(name: str, look: Callable[[], str]) -> Part:
    """Look at one part; what is wrong with it becomes its detail."""
    try:
        return Part(name=name, ok=True, detail=look())
    except (Degraded, RuntimeProblem, QuotaUnavailable, runtime_redis.RedisProblem) as error:
        return Part(name=name, ok=False, detail=str(error))


def told(found: list[Part]) -> dict[str, object]:
    """Give it as JSON."""
    return {
        "ready": all(one.ok for one in found),
        "degraded": [one.name for one in found if not one.ok],
        "parts": {one.name: {"ok": one.ok, "detail": one.detail} for one in found},
    }


def working(site: Site, role: str) -> str:
    """Say how many of a role are at work; raises `Degraded` when none is, or none gets on."""
    now = site.clock.now()
    with site.database.reading() as connection:
        alive = [
            beat
            for beat in all_beats(connection)
            if beat.role == role and now - beat.beat_at <= MISSING_AFTER
        ]
        stands_still = _stands_still(connection, site, now) if role == "relay" else None
    if not alive:
        raise Degraded(f"no {role} is at work on this database; start `pillarbox {role}`")
    if stands_still:
        raise Degraded(stands_still)
    return f"{len(alive)} at work"


def _stands_still(connection: Connection, site: Site, now: datetime) -> str | None:
    """Whether new entries lie about though a relay shows signs of life."""
    for one in site.settings.destinations:
        oldest = entries.oldest_new(connection, one.name)
        if oldest is not None and now - oldest > MISSING_AFTER:
            return (
                f"entries for {one.name} have waited to be folded for over "
                f"{MISSING_AFTER.total_seconds():g} s though a relay is at work; see its log"
            )
    return None


def _named(what: str, destination: str) -> str:
    return what if destination == "default" else f"{what} of {destination}"


def _database(site: Site) -> str:
    site.database.check()
    return shown(site.database.url)


def _migrations(site: Site) -> str:
    migrations.require(site.database)
    return f"at {migrations.head()}, the newest"


def _doorbell(site: Site) -> str:
    runtime_redis.ping(site.redis)
    weakness = runtime_redis.weakness(site.redis)
    if weakness is not None and not site.settings.embedded:
        raise Degraded(f"Redis {weakness}")
    return runtime_redis.describe(site.redis)


def _quota(site: Site, name: str) -> str:
    fill = site.quotas[name].fill()
    return f"{fill.used} of {fill.limit.calls} used"


def _key(site: Site, name: str, key_name: str) -> str:
    with site.database.reading() as connection:
        known = gates.shown(connection, name, site.clock.now(), key_name=key_name)
    refused = [one for one in known if one.reason is GateReason.KEY_REFUSED]
    if refused:
        raise Degraded(f"refused by the API: {refused[0].detail}; put a valid one in its place")
    return f"not refused, named {key_name}"
