"""All SQL on `drift`: what a full sync found different, until somebody says what is right.

One idea: a difference is a row until it is resolved; found again it is the same one, and what a
person has ignored stays ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, literal, select, update

from inbox.drift import Different
from inbox.errors import NotThisWay
from inbox.mirror import Reading
from schema.inbox import DriftKind, DriftState
from schema.incoming_tables import drift, remote_record
from schema.sources import Source
from schema.tables import mapping

LOOKED_AT = 100_000
"""How many things of the mirror are looked through at a time for what is linked to nothing here."""

UNRESOLVED = (DriftState.OPEN.value, DriftState.IGNORED.value)


def note(
    connection: Connection,
    reading: Reading,
    remote_id: str,
    record_key: str | None,
    found: Sequence[Different],
) -> None:
    """Keep fields in which the two sides differ."""
    for one in found:
        _note(
            connection,
            reading,
            DriftKind.DIFFERENT,
            remote_id,
            record_key,
            field=one.field,
            ours=one.ours,
            theirs=one.theirs,
        )


def note_missing(
    connection: Connection, reading: Reading, remote_id: str, record_key: str | None
) -> None:
    """Keep that something of ours is not there."""
    _note(connection, reading, DriftKind.MISSING_THERE, remote_id, record_key)


def _note(
    connection: Connection,
    reading: Reading,
    kind: DriftKind,
    remote_id: str,
    record_key: str | None,
    *,
    field: str = "",
    ours: Any = None,
    theirs: Any = None,
) -> None:
    same = (
        drift.c.destination == reading.destination,
        drift.c.source == reading.source,
        drift.c.remote_id == remote_id,
        drift.c.kind == kind.value,
        drift.c.field == field,
        drift.c.state.in_(UNRESOLVED),
    )
    again = update(drift).where(*same).values(theirs=theirs, run_id=reading.run_id)
    if connection.execute(again).rowcount:
        return
    connection.execute(
        insert(drift).values(
            state=DriftState.OPEN.value,
            kind=kind.value,
            destination=reading.destination,
            source=reading.source,
            remote_id=remote_id,
            record_key=record_key,
            field=field,
            ours=ours,
            theirs=theirs,
            found_at=reading.now,
            run_id=reading.run_id,
        )
    )


def heal_missing(connection: Connection, reading: Reading, ids: Sequence[str]) -> None:
    """Close what was missing there and is there again."""
    if not ids:
        return
    connection.execute(
        update(drift)
        .where(
            drift.c.destination == reading.destination,
            drift.c.source == reading.source,
            drift.c.kind == DriftKind.MISSING_THERE.value,
            drift.c.state.in_(UNRESOLVED),
            drift.c.remote_id.in_(ids),
        )
        .values(state=DriftState.HEALED.value, resolved_at=reading.now)
    )


def listed(
    connection: Connection,
    destination: str,
    *,
    kind: DriftKind | None = None,
    field: str | None = None,
    state: DriftState | None = DriftState.OPEN,
    remote_id: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Mapping[str, Any]]:
    """List differences by kind, field, state or the remote thing they are about; the oldest first."""
    query = select(drift).where(drift.c.destination == destination, drift.c.id > after)
    if state is not None:
        query = query.where(drift.c.state == state.value)
    if kind is not None:
        query = query.where(drift.c.kind == kind.value)
    if field is not None:
        query = query.where(drift.c.field == field)
    if remote_id is not None:
        query = query.where(drift.c.remote_id == remote_id)
    rows = connection.execute(query.order_by(drift.c.id).limit(limit))
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]


def by_id(connection: Connection, drift_id: int) -> Mapping[str, Any] | None:
    """Read one difference, locked."""
    query = select(drift).where(drift.c.id == drift_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else {str(name): value for name, value in row.items()}


def resolve(
    connection: Connection, drift_id: int, state: DriftState, *, actor: str, now: datetime
) -> None:
    """Say what becomes of an open difference; raises `NotThisWay` when it is none."""
    done = connection.execute(
        update(drift)
        .where(drift.c.id == drift_id, drift.c.state.in_(UNRESOLVED))
        .values(state=state.value, resolved_at=now, resolved_by=actor)
    )
    if not done.rowcount:
        raise NotThisWay(f"difference {drift_id} is not open any more")


def counts(connection: Connection, destination: str) -> Mapping[str, int]:
    """Count the open differences by kind."""
    rows = connection.execute(
        select(drift.c.kind, func.count())
        .where(drift.c.destination == destination, drift.c.state == DriftState.OPEN.value)
        .group_by(drift.c.kind)
    )
    return {str(kind): int(number) for kind, number in rows}


class Place(NamedTuple):
    """Where a list of what is missing here goes on: after this thing of this source."""

    source: str
    remote_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """Some of what is there and linked to nothing here; where there may be more, after what."""

    rows: Sequence[Mapping[str, Any]]
    go_on: Place | None


def missing_here(
    connection: Connection,
    destination: str,
    sources: Sequence[Source],
    *,
    limit: int,
    after: Place | None = None,
    looked_at: int = LOOKED_AT,
) -> Unlinked:
    """List what is there and linked to nothing here, source by source, by id.

    Read off the mirror: it is no mistake yet, so no row says it. At most *looked_at* things are looked
    through, so that what a list costs does not grow with how much is linked.
    """
    found: list[Mapping[str, Any]] = []
    left = looked_at
    for one, begin in _from(sources, after):
        number, end = _window(connection, destination, one.name, begin, left)
        if end is None:
            continue
        room = limit - len(found)
        rows = _unlinked(connection, destination, one, (begin, end), room + 1)
        found += rows[:room]
        if len(rows) > room:
            return Unlinked(rows=found, go_on=Place(one.name, found[-1]["remote_id"]))
        left -= number
        if left <= 0:
            return Unlinked(rows=found, go_on=Place(one.name, end))
    return Unlinked(rows=found, go_on=None)


def _from(sources: Sequence[Source], after: Place | None) -> list[tuple[Source, str]]:
    """Give the sources that are still to be looked through, each with the id after which to begin."""
    linkable = [one for one in sources if one.kind is not None]
    if after is None:
        return [(one, "") for one in linkable]
    names = [one.name for one in linkable]
    rest = linkable[names.index(after.source) :] if after.source in names else []
    return [(one, after.remote_id if one.name == after.source else "") for one in rest]


def _window(
    connection: Connection, destination: str, source: str, begin: str, most: int
) -> tuple[int, str | None]:
    """Give how many of the next things there are, up to *most*, and the id of the last of them."""
    some = (
        select(remote_record.c.remote_id)
        .where(
            remote_record.c.destination == destination,
            remote_record.c.source == source,
            remote_record.c.remote_id > begin,
        )
        .order_by(remote_record.c.remote_id)
        .limit(most)
        .subquery()
    )
    number, end = connection.execute(select(func.count(), func.max(some.c.remote_id))).one()
    return number, end


def _unlinked(
    connection: Connection,
    destination: str,
    source: Source,
    between: tuple[str, str],
    limit: int,
) -> list[Mapping[str, Any]]:
    begin, end = between
    linked = (
        select(literal(1))
        .where(
            mapping.c.destination == destination,
            mapping.c.kind == source.kind,
            mapping.c.remote_id == remote_record.c.remote_id,
        )
        .exists()
    )
    rows = connection.execute(
        select(remote_record.c.remote_id, remote_record.c.first_seen)
        .where(
            remote_record.c.destination == destination,
            remote_record.c.source == source.name,
            remote_record.c.remote_id > begin,
            remote_record.c.remote_id <= end,
            remote_record.c.gone_since.is_(None),
            ~linked,
        )
        .order_by(remote_record.c.remote_id)
        .limit(limit)
    )
    return [
        {
            "kind": DriftKind.MISSING_HERE.value,
            "source": source.name,
            "remote_id": remote_id,
            "found_at": first_seen,
        }
        for remote_id, first_seen in rows
    ]
