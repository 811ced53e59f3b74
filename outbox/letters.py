"""Dead letters as people look at them: groups, the list of one, whose they are and what was noted.

One idea: what a list is filtered and ordered by is in an index; a group is counted from it without
reading a single document, and a page begins after the last row of the one before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from records.codec import from_row
from runtime.audit import write_down
from runtime.bulk import among, insert_many
from schema.record import Record
from schema.states import Reason
from schema.tables import Id, Instant, letter, letter_group, record

CAPPED = 1_000
"""How far a list is counted. Beyond, "1,000+" says as much to a person, and costs nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant: all that fit every word of it.

    `families` are those of one local thing or person; `before` leaves out what was set aside later.
    """

    destination: str
    signature: str | None = None
    reason: Reason | None = None
    operation: str | None = None
    kind: str | None = None
    owner: str | None = None
    families: Sequence[str] | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What dead letters have in common, how many there are, and of how many people.

    `example` is the one that stands longest.
    """

    signature: str
    count: int
    people: int
    first: datetime | None
    last: datetime | None
    example: Record
    owner: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What people say of a letter or a group."""

    owner: str | None = None
    note: str | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None


Place = tuple[datetime | None, int]
"""Where a page ended: since when the last letter stands aside, and its id."""


def groups(connection: Connection, chosen: Filter, *, limit: int = 200) -> list[Group]:
    """Group what waits for a person by what went wrong, the group that stands longest first."""
    counted = (
        select(
            record.c.signature,
            func.count().label("number"),
            func.count(record.c.source_id.distinct()).label("people"),
            func.min(record.c.aside_at).label("first"),
            func.max(record.c.aside_at).label("last"),
            func.min(record.c.id).label("example"),
        )
        .where(*matching(connection, chosen))
        .group_by(record.c.signature)
    )
    rows = connection.execute(counted).all()
    rows = sorted(rows, key=lambda row: (row.first is None, row.first, row.signature))[:limit]
    examples = _records(connection, [row.example for row in rows])
    said = said_of_groups(connection, chosen.destination, [row.signature for row in rows])
    return [
        Group(
            signature=row.signature,
            count=row.number,
            people=row.people,
            first=row.first,
            last=row.last,
            example=examples[row.example],
            owner=said.get(row.signature, NOTHING_SAID).owner,
            note=said.get(row.signature, NOTHING_SAID).note,
        )
        for row in rows
    ]


NOTHING_SAID = Said()


def listed(
    connection: Connection, chosen: Filter, *, after: Place | None = None, limit: int = 50
) -> list[Record]:
    """List dead letters, the one that stands longest first, from after *after*."""
    query = select(record).where(*matching(connection, chosen))
    if after is not None:
        query = query.where(_after(after))
    query = query.order_by(record.c.aside_at, record.c.id).limit(limit)
    return [from_row(row) for row in connection.execute(query).all()]


def ids(connection: Connection, chosen: Filter, *, after: int = 0, limit: int = 1_000) -> list[int]:
    """Give the ids of dead letters, by id: for who works through all of them."""
    query = select(record.c.id).where(*matching(connection, chosen), record.c.id > after)
    return list(connection.execute(query.order_by(record.c.id).limit(limit)).scalars())


def count(connection: Connection, chosen: Filter, *, cap: int = CAPPED) -> int:
    """Count dead letters, up to one more than *cap*."""
    some = select(record.c.id).where(*matching(connection, chosen)).limit(cap + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def place_of(connection: Connection, record_id: int) -> Place:
    """Say where in the list a letter stands."""
    query = select(record.c.aside_at, record.c.id).where(record.c.id == record_id)
    row = connection.execute(query).one_or_none()
    return (None, record_id) if row is None else (row.aside_at, row.id)


def _after(place: Place) -> ColumnElement[bool]:
    since, last = place
    if since is None:
        return and_(record.c.aside_at.is_(None), record.c.id > last)
    here = tuple_(literal(since, Instant), literal(last, Id))
    return tuple_(record.c.aside_at, record.c.id) > here


def matching(connection: Connection, chosen: Filter) -> list[ColumnElement[bool]]:
    """Say in SQL on `record` which dead letters are meant."""
    found = [record.c.destination == chosen.destination, record.c.signature.is_not(None)]
    if chosen.signature is not None:
        found.append(record.c.signature == chosen.signature)
    if chosen.reason is not None:
        found.append(record.c.reason == chosen.reason.value)
    if chosen.operation is not None:
        found.append(record.c.signature.startswith(f"{chosen.operation}-", autoescape=True))
    if chosen.kind is not None:
        found.append(record.c.kind == chosen.kind)
    if chosen.before is not None:
        found.append(record.c.aside_at <= chosen.before)
    if chosen.families is not None:
        found.append(among(connection, record.c.family, list(chosen.families)))
    if chosen.owner is not None:
        found.append(_is_of(chosen.owner))
    return found


def _is_of(owner: str) -> ColumnElement[bool]:
    """Whether a letter is somebody's: by its own owner, or else by its group's."""
    own = select(letter.c.record_id).where(letter.c.owner == owner)
    of_another = select(letter.c.record_id).where(
        letter.c.owner.is_not(None), letter.c.owner != owner
    )
    groups_of = select(letter_group.c.signature).where(letter_group.c.owner == owner)
    # None of these looks at the record: each is worked out once, not for every letter.
    return or_(
        record.c.id.in_(own),
        and_(record.c.signature.in_(groups_of), record.c.id.not_in(of_another)),
    )


def _records(connection: Connection, ids: Sequence[int]) -> Mapping[int, Record]:
    query = select(record).where(among(connection, record.c.id, list(ids)))
    return {one.id: one for one in (from_row(row) for row in connection.execute(query).all())}


# what people say of them


def said_of_groups(
    connection: Connection, destination: str, signatures: Sequence[str]
) -> Mapping[str, Said]:
    """Read what is said of some groups."""
    rows = connection.execute(
        select(letter_group).where(
            letter_group.c.destination == destination,
            among(connection, letter_group.c.signature, list(signatures)),
        )
    )
    return {row.signature: _said(row) for row in rows}


def said_of_letters(connection: Connection, ids: Sequence[int]) -> Mapping[int, Said]:
    """Read what is said of some letters themselves."""
    rows = connection.execute(
        select(letter).where(among(connection, letter.c.record_id, list(ids)))
    )
    return {row.record_id: _said(row) for row in rows}


def owners(connection: Connection, destination: str) -> list[str]:
    """Name everybody who owns a group, or a letter."""
    of_groups = select(letter_group.c.owner).where(
        letter_group.c.destination == destination, letter_group.c.owner.is_not(None)
    )
    of_letters = select(letter.c.owner).where(letter.c.owner.is_not(None))
    return sorted({*connection.execute(of_groups.union(of_letters)).scalars()})


def say_of_group(
    connection: Connection,
    destination: str,
    signature: str,
    said: Said,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Write down whose a group is and what is noted of it; in the audit trail too."""
    before = said_of_groups(connection, destination, [signature]).get(signature, NOTHING_SAID)
    key = {"destination": destination, "signature": signature}
    _put(connection, letter_group, key, said, actor=actor, now=now)
    _audit(connection, f"group:{signature}", before, said, actor=actor, now=now)


def say_of_letter(
    connection: Connection, one: Record, said: Said, *, actor: str, now: datetime
) -> None:
    """Write down whose a letter is and what is noted of it; in the audit trail too."""
    before = said_of_letters(connection, [one.id]).get(one.id, NOTHING_SAID)
    _put(connection, letter, {"record_id": one.id}, said, actor=actor, now=now)
    _audit(connection, str(one.key), before, said, actor=actor, now=now)


def _put(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    said: Said,
    *,
    actor: str,
    now: datetime,
) -> None:
    values = {"owner": said.owner, "note": said.note, "changed_at": now, "changed_by": actor}
    fresh = insert_many(connection, table, [{**key, **values}], returning="changed_by")
    if not fresh:
        same = (table.c[name] == value for name, value in key.items())
        connection.execute(update(table).where(*same).values(values))


def _audit(
    connection: Connection, subject: str, before: Said, after: Said, *, actor: str, now: datetime
) -> None:
    for name, action in (("note", "noted"), ("owner", "assigned")):
        was, is_now = getattr(before, name), getattr(after, name)
        if was != is_now:
            write_down(
                connection,
                actor=actor,
                action=action,
                subject=subject,
                now=now,
                before={name: was},
                after={name: is_now},
            )


def _said(row: Any) -> Said:
    return Said(
        owner=row.owner, note=row.note, changed_at=row.changed_at, changed_by=row.changed_by
    )
