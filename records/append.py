"""The one INSERT into the outbox: for producers, and for what people say at the desk.

One idea: one plain INSERT in the caller's transaction and nothing else. No row is locked that
others share, nothing is notified, nothing but the database is reached.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from records.errors import NameTaken
from runtime.bulk import among, append_many, insert_many
from schema.events import Event, encode_payload
from schema.fingerprint import canonical
from schema.keys import EntryId
from schema.tables import iso, outbox_entry

COLUMNS = (
    "event",
    "source_id",
    "payload",
    "destination",
    "source",
    "event_id",
    "version",
    "happened_at",
    "seen",
    "actor",
)

CAST = {"payload": "jsonb", "happened_at": "timestamptz"}


def append(connection: Connection, event: Event) -> EntryId:
    """Append one event; gives the entry's id, the first one's where the event is there already.

    Raises `InvalidEvent` for a payload that is too large, and `NameTaken` when its `source` and
    `event_id` stand for another content.
    """
    payload = encode_payload(event)
    happened: Any = event.happened_at
    if happened is not None and connection.dialect.name == "sqlite":
        happened = iso(happened)
    values = (
        event.event,
        event.source_id,
        payload,
        event.destination,
        event.source,
        event.event_id,
        event.version,
        happened,
        event.seen,
        event.actor,
    )
    found = _inserted(connection, values, named=event.event_id is not None)
    if found is not None:
        return EntryId(found)
    return _known(connection, [event])[_name(event)]


def _inserted(connection: Connection, values: tuple[Any, ...], *, named: bool) -> int | None:
    """Run the INSERT on the driver's own cursor; gives the id, None when the row was there.

    SQLAlchemy's execution around it would take as long again as the insert itself, in a
    transaction that is the caller's. Its transaction and its errors are kept.
    """
    dialect = connection.dialect
    statement = _prepared(dialect.name, dialect.paramstyle, named)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    except _errors(dialect) as error:
        raise _wrapped(error, statement, dialect) from error
    finally:
        cursor.close()
    return None if row is None else int(row[0])


def _errors(dialect: Dialect) -> type[Exception]:
    driver: Any = getattr(dialect, "dbapi", None)
    return cast(type[Exception], driver.Error)


def _wrapped(error: Exception, statement: str, dialect: Dialect) -> BaseException:
    """Give a driver's error as SQLAlchemy's, without the values of the row."""
    return DBAPIError.instance(
        statement, None, error, _errors(dialect), hide_parameters=True, dialect=dialect
    )


def append_all(connection: Connection, events: Sequence[Event]) -> list[EntryId]:
    """Append many events in order, as `append` does each."""
    rows = [_row(event) for event in events]
    # Only an event with a name can be there already.
    put = append_many if all(event.event_id is None for event in events) else insert_many
    ids = sorted(put(connection, outbox_entry, rows, returning="id"))
    if len(ids) == len(events):
        return [EntryId(one) for one in ids]
    named = [event for event in events if event.event_id is not None]
    known = _known(connection, named)
    unnamed = iter(sorted(set(ids) - set(known.values())))
    return [
        EntryId(next(unnamed)) if event.event_id is None else known[_name(event)]
        for event in events
    ]


def _row(event: Event) -> dict[str, Any]:
    return {
        "event": event.event,
        "source_id": event.source_id,
        "payload": encode_payload(event),
        "destination": event.destination,
        "source": event.source,
        "event_id": event.event_id,
        "version": event.version,
        "happened_at": event.happened_at,
        "seen": event.seen,
        "actor": event.actor,
    }


def _name(event: Event) -> tuple[str, str, str]:
    return (event.destination, event.source, event.event_id or "")


def _known(
    connection: Connection, events: Sequence[Event]
) -> Mapping[tuple[str, str, str], EntryId]:
    """Find the entries of events by their names; raises `NameTaken` where the content differs."""
    table = outbox_entry.c
    ids = sorted({cast(str, event.event_id) for event in events})
    rows = connection.execute(
        select(
            table.id,
            table.destination,
            table.source,
            table.event_id,
            table.event,
            table.source_id,
            table.payload,
            table.version,
        ).where(
            among(connection, table.destination, sorted({event.destination for event in events})),
            among(connection, table.source, sorted({event.source for event in events})),
            among(connection, table.event_id, ids),
        )
    )
    found: dict[tuple[str, str, str], EntryId] = {}
    contents: dict[tuple[str, str, str], tuple[Any, ...]] = {}
    for row in rows:
        name = (row.destination, row.source, row.event_id)
        found[name] = EntryId(row.id)
        contents[name] = (row.event, row.source_id, canonical(row.payload), row.version)
    for event in events:
        content = (event.event, event.source_id, canonical(event.payload()), event.version)
        if contents[_name(event)] != content:
            raise NameTaken(
                f"event_id: {event.event_id!r} of source {event.source!r} is entry "
                f"{found[_name(event)]} already, with another content; give this event its own"
            )
    return found


@lru_cache
def _prepared(dialect: str, style: str, named: bool) -> str:
    marks = ", ".join(_mark(dialect, style, place, name) for place, name in enumerate(COLUMNS, 1))
    # Only an event with a name can be there already, and looking for it takes a tenth of the time.
    repeated = "ON CONFLICT DO NOTHING " if named else ""
    return (
        f"INSERT INTO outbox_entry ({', '.join(COLUMNS)}) VALUES ({marks}) {repeated}RETURNING id"
    )


def _mark(dialect: str, style: str, place: int, name: str) -> str:
    mark = {"qmark": "?", "format": "%s", "pyformat": "%s"}.get(style, f"${place}")
    return f"CAST({mark} AS {CAST[name]})" if dialect == "postgresql" and name in CAST else mark
