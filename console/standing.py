"""Where everything stands: the numbers that the person on duty needs, of every destination.

One idea: one object, gathered in one short reading, whatever asks for it: `status --json`, the
overview and its JSON, `/status.json` and `/metrics`. Nothing in here counts a large table, calls the
other side, or needs a process that may be down.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from console import activity, attention, pollers
from console.attention import Alert, Process
from console.counting import CAP
from console.plain import seconds
from console.quotas import fill_json, gates_json
from console.site import Site
from gateway.errors import QuotaUnavailable
from inbox import places
from outbox import bindings, dating, entries, gates, rebind, tallies
from outbox.dating import Claim
from outbox.leading import leads
from outbox.tallies import Tally
from records import counts
from records.counts import Number, Waiting
from runtime import redis as runtime_redis
from runtime.processes import MISSING_AFTER, all_beats
from runtime.settings import Destination
from schema.states import Span

MOST_CLAIMS = 20
"""How many claims are listed, the nearest cut-off first."""

LONGEST_SHOWN = 10
"""How many of the longest waiting are listed."""


def gather(site: Site) -> dict[str, Any]:
    """Collect where every destination and process stands, as JSON."""
    now = site.clock.now()
    # Redis first, with no transaction open: it may hang, and a snapshot must not grow old with it.
    fills = {one.name: _fill(site, one) for one in site.settings.destinations}
    weakness = _weakness(site)
    with site.database.reading() as connection:
        destinations = [
            _destination(site, connection, one, fills[one.name], now)
            for one in site.settings.destinations
        ]
        unknown = set(entries.destinations_waiting(connection)) - {*fills}
        processes = _processes(connection, now)
    alive = [Process(role=one["role"], missing=one["missing"]) for one in processes]
    waits = any(one["oldest_waiting_s"] is not None for one in destinations)
    alerts = [
        *attention.redis_forgets(weakness),
        *attention.nobody_left(alive),
        *attention.nobody_there(alive, waits=waits),
        *attention.not_configured(unknown),
    ]
    told = [*(alert for one in destinations for alert in one["alerts"]), *_told(alerts)]
    return {
        "at": now,
        "attention": [one["line"] for one in told],
        "alerts": told,
        "destinations": destinations,
        "processes": processes,
    }


def _told(alerts: Sequence[Alert]) -> list[dict[str, str]]:
    return [one.told() for one in alerts]


def _weakness(site: Site) -> str | None:
    return runtime_redis.weakness(site.redis)


def _fill(site: Site, one: Destination) -> dict[str, Any] | None:
    try:
        return fill_json(site.quotas[one.name].fill())
    except QuotaUnavailable:
        return None


def _processes(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "role": beat.role,
            "host": beat.host,
            "pid": beat.pid,
            "started_at": beat.started_at,
            "beat_s_ago": seconds(now - beat.beat_at),
            "missing": now - beat.beat_at > MISSING_AFTER,
            "progress": beat.progress,
        }
        for beat in all_beats(connection)
    ]


def _destination(
    site: Site,
    connection: Connection,
    one: Destination,
    quota: Mapping[str, Any] | None,
    now: datetime,
) -> dict[str, Any]:
    numbers = counts.open_ones(connection, one.name, most=CAP)
    longest = counts.longest_waiting(connection, one.name, numbers, limit=attention.MOST_NAMED + 1)
    unfolded = entries.oldest_new(connection, one.name)
    shown = gates.shown(connection, one.name, now, key_name=one.key_name)
    binding = bindings.bound(connection, one.name)
    stands = bindings.standing(connection, one.name)
    held = rebind.held_words(connection, one.name, now)
    read = pollers.told(connection, one.name, site.contracts[one.name], site.settings, now)
    claims = dating.claims(connection, one.name, limit=MOST_CLAIMS)
    alerts = [
        *attention.near_cut_off(claims, now),
        *attention.aside(numbers),
        *attention.not_folded(unfolded, now),
        *attention.redis_away(quota is None),
        *attention.shut(shown, now),
        *attention.writes_held(one.name, held),
        *attention.waiting_long(longest, now),
        *attention.reading(read, now),
        *attention.handlers(
            (place.name, place.error) for place in places.standing_still(connection, one.name)
        ),
    ]
    told = _told(alerts)
    return {
        "destination": one.name,
        "url": one.url,
        "bound_to": None if binding is None else binding.url,
        "oldest_waiting_s": _oldest(unfolded, longest, now),
        "longest_waiting": [_waiting(late, now) for late in longest[:LONGEST_SHOWN]],
        **_numbers(numbers),
        "lanes": _lanes(connection, one.name, now),
        **_ends(connection, one.name),
        "last_hour": _lately(connection, one.name, Span.MINUTE, now),
        "last_day": _lately(connection, one.name, Span.HOUR, now),
        **gates_json(shown, now),
        "waiting_over_a_day": [
            str(late.key) for late in longest if now - late.since > attention.LONG
        ],
        "quota": quota,
        "writes": None if stands is None else stands.writes.value,
        "live_since": None if stands is None else stands.live_since,
        "held": held,
        "looked_up": _looked_up(rebind.progress(connection, one.name, now)),
        "claims": [_claim(claim, now) for claim in claims],
        "reading": read,
        "attention": [alert["line"] for alert in told],
        "alerts": told,
    }


def _oldest(unfolded: datetime | None, longest: Sequence[Waiting], now: datetime) -> float | None:
    since = [one for one in (unfolded, *(late.since for late in longest[:1])) if one is not None]
    return None if not since else seconds(max(now - min(since), timedelta(0)))


def _waiting(one: Waiting, now: datetime) -> dict[str, Any]:
    return {
        "key": str(one.key),
        "source_id": one.key.source_id,
        "since": one.since,
        "waits_s": seconds(now - one.since),
        "state": one.state.value,
        "reason": one.reason,
        "waits_for": one.waits_for,
    }


def _claim(one: Claim, now: datetime) -> dict[str, Any]:
    return {
        "key": str(one.key),
        "source_id": one.key.source_id,
        "cut_off": one.cut_off,
        "left": attention.days_left(one.cut_off, now),
        "leads": leads(one.cut_off, now),
        "state": one.state.value,
        "reason": None if one.reason is None else one.reason.value,
        "waits_for": one.waits_for,
    }


def _numbers(numbers: Sequence[Number]) -> dict[str, Any]:
    """Add up by state and by reason; `more_than` names the sums that stopped counting somewhere."""
    records: dict[str, int] = {}
    reasons: dict[str, int] = {}
    more: set[str] = set()
    for one in numbers:
        records[one.state.value] = records.get(one.state.value, 0) + one.number
        names = [one.state.value]
        if one.reason is not None:
            reasons[one.reason.value] = reasons.get(one.reason.value, 0) + one.number
            names.append(one.reason.value)
        more.update(names if one.more else [])
    return {"records": records, "reasons": reasons, "more_than": sorted(more)}


def _lanes(connection: Connection, destination: str, now: datetime) -> dict[str, Any]:
    found = counts.in_lanes(connection, destination, now, most=CAP)
    return {
        lane.value: {
            "waiting": min(one.waiting, CAP),
            "due": min(one.due, CAP),
            "more": one.waiting > CAP,
        }
        for lane, one in found.items()
    }


def _ends(connection: Connection, destination: str) -> dict[str, Any]:
    """Say how entries, calls and reads ended since the beginning, and how many entries are new."""
    ever = tallies.in_all(connection, destination)
    new = entries.number_new(connection, destination, most=CAP)
    closed = {subject.value: dict(found) for subject, found in ever.items()}
    return {
        "entries": closed["entry"] | ({"new": new} if new else {}),
        "calls": closed["call"],
        "reads": closed["read"],
    }


def _lately(connection: Connection, destination: str, span: Span, now: datetime) -> dict[str, Any]:
    since = activity.first_start(span, now)
    found: Sequence[Tally] = tallies.of_span(connection, destination, span, since=since)
    return activity.told(activity.bars(found, span, now))


def _looked_up(progress: rebind.Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {
        "since": progress.since,
        "total": progress.total,
        "done": progress.done,
        "left": progress.left,
        "aside": progress.aside,
        "marking": progress.marking,
    }
