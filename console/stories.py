"""A record as people read it: found by what they know of it, and all that happened to it, in order.

One idea: one object says everything there is to say, for the page, for `--json` and for the lines of
the command; each of them only shows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from console import views
from gateway.registry import contract_named
from inbox import feed, mirror, words
from inbox.mirror import Mirrored
from outbox import attempts, bindings, entries
from records import links, store
from records.codec import problem_json
from records.signature import unknown_there
from runtime.audit import of_subject
from schema.contract import Contract
from schema.fingerprint import Json
from schema.keys import RecordKey
from schema.plans import Call
from schema.record import Record
from schema.states import ASLEEP, Reason, RecordState

MOST_FOUND = 50
"""Hits of one search. Who gets that many has not said whom he means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a search found: a record, or somebody who is there and has none here."""

    record: Record | None
    destination: str
    remote_id: str | None = None
    mirrored: Mirrored | None = None

    @property
    def name(self) -> str | None:
        """How the remote side calls the person, where the mirror knows it."""
        return _text(self.mirrored, "full_name")

    @property
    def trn(self) -> str | None:
        """The teacher reference number."""
        return _text(self.mirrored, "teacher_reference_number")


def find(
    connection: Connection,
    what: str,
    *,
    contracts: Mapping[str, Contract],
    now: datetime,
    limit: int = MOST_FOUND,
) -> list[Hit]:
    """Find by record key, local id, remote id, TRN, name or e-mail address; heads of families first.

    Words are found by their beginnings, whichever order they are typed in.
    """
    what = what.strip()
    if not what:
        return []
    by_id = named(connection, what)
    if by_id:
        return with_names(connection, by_id[:limit], contracts, now)
    hits: list[Hit] = []
    for destination, contract in contracts.items():
        ids = mirror.search(connection, destination, words.split(what), limit=limit)
        people = mirror.read(connection, destination, people_of(contract, now), ids)
        linked = store.by_remotes(connection, destination, list(people))
        here = {one.remote_id for one in linked} | {
            alias for one in linked for alias in one.aliases
        }
        hits += [
            Hit(record=one, destination=destination, remote_id=one.remote_id) for one in linked
        ]
        hits += [
            Hit(record=None, destination=destination, remote_id=one, mirrored=people[one])
            for one in people
            if one not in here
        ]
    return _with_names(connection, hits, contracts, now)[:limit]


def people_of(contract: Contract, now: datetime) -> list[str]:
    """Name the collections in which people are found by name."""
    return [one.name for one in contract.sources(now) if one.named_by]


def names_of(
    connection: Connection,
    records: Sequence[Record],
    contracts: Mapping[str, Contract],
    now: datetime,
) -> dict[int, Mirrored]:
    """Read who the people behind some records are, by the records' ids."""
    hits = with_names(connection, records, contracts, now)
    return {
        hit.record.id: hit.mirrored
        for hit in hits
        if hit.record is not None and hit.mirrored is not None
    }


def named(connection: Connection, what: str) -> list[Record]:
    """Find the records of a local id, a remote id or a record key."""
    found = store.by_source(connection, what) or store.by_remote(connection, what)
    if found or ":" not in what:
        return found
    try:
        key = RecordKey.parse(what)
    except ValueError:
        return []
    return [one for one in store.by_source(connection, key.source_id) if one.key == key]


def with_names(
    connection: Connection,
    records: Sequence[Record],
    contracts: Mapping[str, Contract],
    now: datetime,
) -> list[Hit]:
    """Give records with whom they are about, as far as the mirror knows."""
    hits = [
        Hit(record=one, destination=one.destination, remote_id=one.remote_id) for one in records
    ]
    return _with_names(connection, hits, contracts, now)


def _with_names(
    connection: Connection,
    hits: Sequence[Hit],
    contracts: Mapping[str, Contract],
    now: datetime,
) -> list[Hit]:
    """Add what the mirror knows of the person: of a claim, of the one that heads its family."""
    named: list[Hit] = []
    for destination, contract in contracts.items():
        mine = [one for one in hits if one.destination == destination]
        families = {one.record.family for one in mine if one.record is not None}
        heads = store.heads(connection, destination, sorted(families))
        ids = {one.remote_id for one in mine if one.remote_id} | {*heads.values()}
        people = mirror.read(connection, destination, people_of(contract, now), sorted(ids))
        for one in mine:
            head = None if one.record is None else heads.get(one.record.family)
            known = one.mirrored or people.get(one.remote_id or "") or people.get(head or "")
            named.append(
                Hit(
                    record=one.record,
                    destination=destination,
                    remote_id=one.remote_id or head,
                    mirrored=known,
                )
            )
    return named


def _text(mirrored: Mirrored | None, name: str) -> str | None:
    value = None if mirrored is None else mirrored.content.get(name)
    return value if isinstance(value, str) else None


def email_of(mirrored: Mirrored | None) -> str | None:
    """Give the first e-mail address of a person that the mirror knows."""
    if mirrored is None:
        return None
    parts: list[Json] = [mirrored.content, *mirrored.content.values()]
    for part in parts:
        found = part.get("email") if isinstance(part, Mapping) else None
        if isinstance(found, str):
            return found
    return None


def summary(one: Record) -> dict[str, Any]:
    """Give a record as JSON."""
    return {
        "id": one.id,
        "key": str(one.key),
        "destination": one.destination,
        "state": one.state,
        "reason": one.reason,
        "due_at": one.due_at,
        "waits_for": one.waits_for,
        "remote_id": one.remote_id,
        "role": one.role,
        "pending": {name: wish.value for name, wish in one.pending.items()},
        "path": [{"to": move.to, "reason": move.reason} for move in one.path],
        "expected": {name: expected.value for name, expected in one.expected.items()},
        "accepted": one.accepted,
        "accepted_at": one.accepted_at,
        "remote_updated_at": one.remote_updated_at,
        "problem": None if one.problem is None else problem_json(one.problem),
        "tries": one.tries,
        "revision": one.revision,
    }


def tell(
    connection: Connection,
    one: Record,
    contract: Contract | None,
    now: datetime,
    *,
    story: bool,
) -> dict[str, Any]:
    """Give all there is to say of a record as JSON, on request with everything that happened."""
    family = store.of_family(connection, one.destination, one.family)
    told: dict[str, Any] = {
        **summary(one),
        "verdict": views.verdict(one, now),
        "next": _next_step(connection, one, contract),
        "unknown_there": unknown_there(one),
        "waited_for_by": [str(other.key) for other in family if other.waits_for == str(one.key)],
        "family": [
            {"key": str(other.key), "verdict": views.verdict(other, now)}
            for other in family
            if other.id != one.id
        ],
        "fields": [asdict(side) for side in views.sides(one)],
    }
    if one.state is RecordState.WAITING and one.reason in ASLEEP:
        told["would_send"] = _would_send(connection, one, now)
    if story:
        told["story"] = _story(connection, one, contract, now)
    return told


def _next_step(connection: Connection, one: Record, contract: Contract | None) -> str | None:
    """Say what a person can do; of two records on one person, which is the other."""
    advised = views.next_step(one, contract)
    if one.reason is not Reason.SAME_PERSON_TWICE:
        return advised
    found = links.holder(connection, one)
    other = None if found is None else store.by_id(connection, found)
    return advised if other is None else f"{advised} The other is {other.key}."


def _story(
    connection: Connection, one: Record, contract: Contract | None, now: datetime
) -> list[dict[str, Any]]:
    rows = [
        {
            "id": entry.id,
            "event": entry.event,
            "payload": entry.payload,
            "source": entry.source,
            "emitted_at": entry.emitted_at,
            "closed_as": entry.closed_as,
            "closed_at": entry.closed_at,
        }
        for entry in entries.of_record(connection, one.id)
    ]
    calls = attempts.of_record(connection, one.id)
    people = of_subject(connection, str(one.key))
    sources = (
        []
        if contract is None
        else [source.name for source in contract.sources(now) if source.kind == one.key.kind]
    )
    ids = [remote_id for remote_id in (one.remote_id, *one.aliases) if remote_id]
    news = feed.of_things(connection, one.destination, sources, ids)
    reads = list(mirror.read(connection, one.destination, sources, ids).values())
    return [
        {"at": when, "what": kind, "line": line}
        for when, kind, line in views.story(one, rows, calls, people, news=news, reads=reads)
    ]


def _would_send(connection: Connection, one: Record, now: datetime) -> dict[str, Any] | None:
    """Give the request that a sleeping record would make."""
    was = bindings.bound(connection, one.destination)
    if was is None:
        return None
    family = store.of_family(connection, one.destination, one.family)
    kin = [other for other in family if other.id != one.id]
    plan = contract_named(was.contract).plan(one, kin, now)
    return plan.request.as_json() if isinstance(plan, Call) else None
