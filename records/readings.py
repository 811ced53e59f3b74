"""All SQL that finds the records which a row of the remote side speaks of.

One idea: by the mapping where the remote id is known; else by what the API itself would recognise
the thing by, so that a create whose answer was lost is found again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from records.codec import from_row
from records.told import NO_CALLS, Calls, Write
from runtime.bulk import among
from schema.outcomes import OutcomeName
from schema.record import Record
from schema.sources import About
from schema.states import RecordState
from schema.tables import attempt, mapping, record

MAY_HAVE_HAD_EFFECT = frozenset(
    {
        OutcomeName.DELIVERED.value,
        OutcomeName.IN_DOUBT.value,
        OutcomeName.ALREADY_THERE.value,
    }
)


def find(
    connection: Connection, destination: str, abouts: Sequence[About]
) -> Mapping[About, Record]:
    """Find the record behind each address that has one."""
    found = _by_remote_id(connection, destination, abouts)
    left = [one for one in abouts if one not in found]
    found |= _by_parent(connection, destination, [one for one in left if one.parent])
    found |= _by_serial_key(connection, destination, [one for one in left if one.serial_key])
    return found


def _by_remote_id(
    connection: Connection, destination: str, abouts: Sequence[About]
) -> dict[About, Record]:
    if not abouts:
        return {}
    wanted = {(one.kind, one.remote_id, one.role): one for one in abouts}
    ids = sorted({one.remote_id for one in abouts})
    rows = connection.execute(
        select(*record.c, mapping.c.kind, mapping.c.remote_id, mapping.c.role)
        .join(mapping, record.c.id == mapping.c.record_id)
        .where(mapping.c.destination == destination, among(connection, mapping.c.remote_id, ids))
    )
    found: dict[About, Record] = {}
    for row in rows.all():
        values = tuple(row)
        about = wanted.get((values[-3], values[-2], values[-1]))
        if about is not None:
            found[about] = from_row(values[:-3])
    return found


def _by_parent(
    connection: Connection, destination: str, abouts: Sequence[About]
) -> dict[About, Record]:
    """Find claims of which nobody knows the remote id: the first round of their type without one."""
    parents = {one.parent: one for one in abouts if one.parent is not None}
    if not parents:
        return {}
    ids = sorted({remote_id for _, remote_id, _ in parents})
    mapped = connection.execute(
        select(mapping.c.kind, mapping.c.remote_id, mapping.c.role, record.c.family)
        .join(record, record.c.id == mapping.c.record_id)
        .where(mapping.c.destination == destination, among(connection, mapping.c.remote_id, ids))
    )
    family_of = {(row[0], row[1], row[2]): row[3] for row in mapped.all()}
    unlinked = _unlinked(connection, destination, set(family_of.values()))
    found: dict[About, Record] = {}
    for about in abouts:
        family = family_of.get(about.parent or ("", "", ""))
        for one in unlinked:
            if (one.family, one.key.kind, one.key.part) == (family, about.kind, about.part):
                found.setdefault(about, one)
    return found


def _unlinked(connection: Connection, destination: str, families: Iterable[str]) -> list[Record]:
    """Read, in order of their rounds, the records of families that have no remote id yet.

    One in step without one was cancelled before it was sent: nothing there is its.
    """
    listed = sorted(families)
    if not listed:
        return []
    rows = connection.execute(
        select(record)
        .where(
            record.c.destination == destination,
            among(connection, record.c.family, listed),
            record.c.remote_id.is_(None),
            record.c.state != RecordState.IN_STEP.value,
        )
        .order_by(record.c.family, record.c.round)
    )
    return [from_row(row) for row in rows.all()]


def _by_serial_key(
    connection: Connection, destination: str, abouts: Sequence[About]
) -> dict[About, Record]:
    wanted = {(one.kind, one.serial_key): one for one in abouts}
    if not wanted:
        return {}
    rows = connection.execute(
        select(record).where(
            record.c.destination == destination,
            record.c.kind.in_(sorted({one.kind for one in abouts})),
            among(connection, record.c.serial_key, sorted({one.serial_key for one in abouts})),
            record.c.remote_id.is_(None),
            record.c.state != RecordState.IN_STEP.value,
        )
    )
    found = [from_row(row) for row in rows.all()]
    return {wanted[one.key.kind, one.serial_key]: one for one in found}


def linked_to(
    connection: Connection, destination: str, kind: str, remote_ids: Sequence[str]
) -> list[Record]:
    """Read the records of a kind that are these remote things, in any role."""
    rows = connection.execute(
        select(record)
        .join(mapping, mapping.c.record_id == record.c.id)
        .where(
            mapping.c.destination == destination,
            mapping.c.kind == kind,
            among(connection, mapping.c.remote_id, sorted(set(remote_ids))),
        )
    )
    return [from_row(row) for row in rows.all()]


def unlink(connection: Connection, one: Record) -> None:
    """Forget that a record is the remote thing it names; other ids of it stay."""
    connection.execute(
        delete(mapping).where(
            mapping.c.destination == one.destination,
            mapping.c.record_id == one.id,
            mapping.c.remote_id == one.remote_id,
        )
    )


def calls_for(
    connection: Connection, record_ids: Sequence[int], *, since: datetime | None = None
) -> Mapping[int, Calls]:
    """Read how the calls for some records stand; their writes only from *since* on."""
    if not record_ids:
        return {}
    rows = connection.execute(
        select(
            attempt.c.record_id,
            attempt.c.operation,
            attempt.c.request["method"].as_string(),
            attempt.c.marked_at,
            attempt.c.answered_at,
            attempt.c.outcome,
        )
        .where(among(connection, attempt.c.record_id, sorted(record_ids)))
        .order_by(attempt.c.id)
    )
    found: dict[int, Calls] = {}
    for record_id, operation, method, marked_at, answered_at, outcome in rows:
        known = found.get(record_id, NO_CALLS)
        ended = answered_at or marked_at
        wrote = method != "GET" and outcome in MAY_HAVE_HAD_EFFECT
        writes = (Write(operation=operation, at=ended),) if wrote else ()
        found[record_id] = Calls(
            under_way=known.under_way or outcome is None,
            ended_at=max(ended, known.ended_at or ended),
            writes=(*known.writes, *(one for one in writes if since is None or one.at >= since)),
        )
    return found
