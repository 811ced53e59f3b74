"""SQL on `record`: read records, and write those that a transaction holds locked.

One idea: every function takes the open connection first and never commits. What is due is in
`dispatching`, what somebody holds under a lease in `holding`, who is who there in `links`.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, literal_column, select

from records.codec import WRITERS, from_row, to_row, written_anew
from runtime.bulk import among, among_named, as_list, insert_many, update_many
from runtime.prepared import Prepared
from schema.keys import RecordId, RecordKey, RemoteId
from schema.record import Record
from schema.states import RecordState
from schema.tables import mapping, record

ON_THE_WAY = (
    RecordState.WAITING,
    RecordState.DISPATCHED,
    RecordState.TAKEN,
    RecordState.IN_DOUBT,
)
"""States in which nobody needs to do anything for a record to get on."""

# The statements of every single delivery are made once: putting one together costs as much as
# running it. Their parameters are named apart from the columns.


def written_out(*states: RecordState) -> list[ColumnElement[str]]:
    """Give states as part of a statement's text.

    Only of what it can read there does PostgreSQL know, when it keeps a plan, that a partial index
    serves; as parameters they would have every execution planned anew.
    """
    return [literal_column(f"'{state.value}'") for state in states]


_OF_FAMILY = (
    select(record)
    .where(
        record.c.destination == bindparam("in_destination"),
        record.c.family == bindparam("in_family"),
    )
    .order_by(record.c.family, record.c.id)
)
OF_FAMILY_LOCKED = _OF_FAMILY.with_for_update()
"""A whole family, in key order, held until the end: as everywhere, so that two do not wait for each other."""
_FAMILY, _FAMILY_LOCKED = Prepared(_OF_FAMILY), Prepared(OF_FAMILY_LOCKED)


@lru_cache
def _of_families(dialect: str) -> Select[Any]:
    return (
        select(record)
        .where(
            record.c.destination == bindparam("in_destination"),
            among_named(dialect, record.c.family, "in_families"),
        )
        .order_by(record.c.family, record.c.id)
    )


@lru_cache
def _read_families(dialect: str) -> Prepared:
    return Prepared(_of_families(dialect))


@lru_cache
def _lock_families(dialect: str) -> Prepared:
    return Prepared(_of_families(dialect).with_only_columns(record.c.id).with_for_update())


_in_hand = record.alias("in_hand")


@lru_cache
def _read_others(dialect: str) -> Prepared:
    return Prepared(
        select(record)
        .join(
            _in_hand,
            and_(
                record.c.destination == _in_hand.c.destination,
                record.c.family == _in_hand.c.family,
                record.c.id != _in_hand.c.id,
            ),
        )
        .where(among_named(dialect, _in_hand.c.id, "in_hand"))
    )


def of_families(
    connection: Connection, destination: str, families: Sequence[str], *, lock: bool = False
) -> list[Record]:
    """Read every record of these families; with *lock*, in key order, held until the end."""
    if not families:
        return []
    dialect = connection.dialect.name
    values = {"in_destination": destination, "in_families": as_list(dialect, families)}
    if lock and dialect != "sqlite":
        # Locked first, read after: a row that another inserted while we waited for a lock is not
        # in the snapshot of the statement that waited.
        _lock_families(dialect).rows(connection, values)
    return [from_row(row) for row in _read_families(dialect).rows(connection, values)]


def by_ids(connection: Connection, ids: Sequence[RecordId]) -> list[Record]:
    """Read these records, by id."""
    query = select(record).where(among(connection, record.c.id, ids)).order_by(record.c.id)
    return read_all(connection, query)


def families_of(connection: Connection, destination: str, ids: Sequence[RecordId]) -> list[Record]:
    """Read every record of the families of these, locked in key order, held until the end."""
    if not ids:
        return []
    families = connection.execute(
        select(record.c.family).distinct().where(among(connection, record.c.id, ids))
    ).scalars()
    return of_families(connection, destination, sorted(families), lock=True)


def of_family(
    connection: Connection, destination: str, family: str, *, lock: bool = False
) -> list[Record]:
    """Read every record of one family, in key order; with *lock*, held until the end."""
    query = _FAMILY_LOCKED if lock else _FAMILY
    rows = query.rows(connection, {"in_destination": destination, "in_family": family})
    return [from_row(row) for row in rows]


def kin_of(connection: Connection, found: Sequence[Record]) -> dict[str, list[Record]]:
    """Read, by family, all records of the families of *found*; those in hand are not read again."""
    families: dict[str, list[Record]] = {}
    if not found:
        return families
    for one in found:
        families.setdefault(one.family, []).append(one)
    read = {one.id for one in found}
    dialect = connection.dialect.name
    values = {"in_hand": as_list(dialect, sorted(read))}
    for row in _read_others(dialect).rows(connection, values):
        if row[0] not in read:  # it comes once for each of its family that is in hand
            read.add(row[0])
            one = from_row(row)
            families[one.family].append(one)
    for kin in families.values():
        kin.sort(key=lambda one: one.id)
    return families


def by_id(connection: Connection, record_id: int, *, lock: bool = False) -> Record | None:
    """Read one record; with *lock*, held until the end of the transaction."""
    query = select(record).where(record.c.id == record_id)
    return _one(connection, query.with_for_update() if lock else query)


def by_key(connection: Connection, destination: str, key: RecordKey) -> Record | None:
    """Read the record of this key."""
    return _one(
        connection,
        select(record).where(
            record.c.destination == destination,
            record.c.kind == key.kind,
            record.c.source_id == key.source_id,
            record.c.part == key.part,
            record.c.round == key.round,
        ),
    )


def by_source(connection: Connection, source_id: str) -> list[Record]:
    """Read all records of one local thing, of every kind and destination."""
    return by_sources(connection, [source_id])


def by_sources(connection: Connection, source_ids: Sequence[str]) -> list[Record]:
    """Read all records of some local things, of every kind and destination."""
    query = select(record).where(among(connection, record.c.source_id, list(source_ids)))
    return read_all(connection, query.order_by(record.c.destination, record.c.id))


def by_remote(connection: Connection, remote_id: str) -> list[Record]:
    """Read the records that are this remote thing, in any role."""
    query = select(record).join(mapping, mapping.c.record_id == record.c.id)
    return read_all(connection, query.where(mapping.c.remote_id == remote_id))


def by_remotes(connection: Connection, destination: str, ids: Sequence[str]) -> list[Record]:
    """Read the records that are one of these remote things."""
    query = (
        select(record)
        .join(mapping, mapping.c.record_id == record.c.id)
        .where(
            mapping.c.destination == destination,
            among(connection, mapping.c.remote_id, list(ids)),
        )
    )
    return read_all(connection, query.order_by(record.c.id))


def heads(
    connection: Connection, destination: str, families: Sequence[str]
) -> Mapping[str, RemoteId]:
    """Give the remote ids of the records that head these families, by family."""
    rows = connection.execute(
        select(record.c.family, record.c.remote_id).where(
            record.c.destination == destination,
            among(connection, record.c.family, list(families)),
            record.c.family == record.c.kind + ":" + record.c.source_id,
            record.c.remote_id.is_not(None),
        )
    )
    return {family: RemoteId(remote_id) for family, remote_id in rows}


def insert_all(connection: Connection, records: Sequence[Record]) -> int:
    """Insert new records; those that another has inserted meanwhile are left alone.

    Gives how many went in: fewer than given means that the caller read too early.
    """
    rows = [to_row(one) for one in records]
    return len(insert_many(connection, record, rows, returning="id"))


def ids_of(
    connection: Connection, destination: str, families: Sequence[str]
) -> Mapping[RecordKey, RecordId]:
    """Read the ids of all records of these families, by key."""
    columns = (record.c.id, record.c.kind, record.c.source_id, record.c.part, record.c.round)
    rows = connection.execute(
        select(*columns).where(
            record.c.destination == destination, among(connection, record.c.family, families)
        )
    )
    return {RecordKey(kind, source, part, number): id_ for id_, kind, source, part, number in rows}


def update_all(connection: Connection, records: Sequence[Record]) -> None:
    """Write records that this transaction holds locked."""
    rows = [_changing(one) for one in records]
    update_many(connection, record, rows)


def update_changed(connection: Connection, changes: Sequence[tuple[Record, Record]]) -> None:
    """Write what differs between before and after, of records that this transaction holds locked."""
    names = written_anew(changes)
    if names:
        rows = [
            {"id": one.id, **{name: WRITERS[name](one) for name in names}} for _, one in changes
        ]
        update_many(connection, record, rows)


def list_open(
    connection: Connection,
    destination: str,
    *,
    states: Iterable[RecordState],
    after: int = 0,
    limit: int = 100,
) -> list[Record]:
    """List records in these states by id, from after *after*."""
    query = (
        select(record)
        .where(
            record.c.destination == destination,
            record.c.state.in_([state.value for state in states]),
            record.c.id > after,
        )
        .order_by(record.c.id)
        .limit(limit)
    )
    return read_all(connection, query)


def _changing(one: Record) -> dict[str, Any]:
    return {"id": one.id, **{name: write(one) for name, write in WRITERS.items()}}


def read_all(connection: Connection, query: Select[Any]) -> list[Record]:
    """Read every record that a query of all columns gives."""
    # All at once: the driver reads a whole batch in a fraction of the time of row after row.
    return [from_row(row) for row in connection.execute(query).all()]


def _one(connection: Connection, query: Select[Any]) -> Record | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else from_row(row)
