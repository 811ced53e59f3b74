"""SQL on `mapping`: which record is which remote thing."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from records.fold import LINK
from runtime.bulk import insert_many
from schema.keys import RecordId, RemoteId
from schema.record import Record
from schema.tables import mapping


def link(
    connection: Connection, one: Record, remote_id: RemoteId, role: str, now: datetime
) -> bool:
    """Map a record to a remote thing; False when another record has it already."""
    row = {
        "destination": one.destination,
        "kind": one.key.kind,
        "remote_id": remote_id,
        "role": role,
        "record_id": one.id,
        "since": now,
    }
    if insert_many(connection, mapping, [row], returning="record_id"):
        return True
    return _holder(connection, one, remote_id, role) == one.id


def holder(connection: Connection, one: Record) -> RecordId | None:
    """Give the record that has the remote thing which this one still asks to be."""
    asked = one.pending.get(LINK)
    if asked is None or not isinstance(asked.value, list):
        return None
    remote_id, role = asked.value
    return _holder(connection, one, str(remote_id), "" if role is None else str(role))


def _holder(connection: Connection, one: Record, remote_id: str, role: str) -> RecordId | None:
    found = connection.execute(
        select(mapping.c.record_id).where(
            mapping.c.destination == one.destination,
            mapping.c.kind == one.key.kind,
            mapping.c.remote_id == remote_id,
            mapping.c.role == role,
        )
    )
    return found.scalar_one_or_none()


def link_all(connection: Connection, links: Sequence[Record], now: datetime) -> list[Record]:
    """Map many records to their remote things; gives those whose remote thing another record has."""
    if not links:
        return []
    rows = [
        {
            "destination": one.destination,
            "kind": one.key.kind,
            "remote_id": one.remote_id,
            "role": one.role or "",
            "record_id": one.id,
            "since": now,
        }
        for one in links
    ]
    went_in = set(insert_many(connection, mapping, rows, returning="record_id"))
    return [
        one
        for one in links
        if one.id not in went_in
        and one.remote_id is not None
        and not link(connection, one, one.remote_id, one.role or "", now)
    ]


def unlink(connection: Connection, one: Record) -> None:
    """Forget which remote thing a record was thought to be, before anything was delivered."""
    connection.execute(mapping.delete().where(mapping.c.record_id == one.id))
