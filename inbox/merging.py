"""Follows ids that were merged into others there.

One idea: the row that survives says which ids lead to it. A record linked to an old one is linked
to the new one from then on; two records that would be one are held for a person.
"""

from collections.abc import Sequence

import structlog
from sqlalchemy import Connection

from inbox import feed, mirror
from inbox.mirror import Reading
from inbox.news import Item
from inbox.telling import Listener, held_twice
from records import links, readings, store
from schema.inbox import News
from schema.keys import RemoteId
from schema.record import Record
from schema.sources import Row
from schema.states import RecordState

logger = structlog.get_logger(__name__)


def follow(
    connection: Connection, listener: Listener, reading: Reading, rows: Sequence[Row]
) -> list[feed.Entry]:
    """Follow what these rows say of merged ids; gives the news of it."""
    new_id_of = _new_ids(rows)
    if not new_id_of:
        return []
    news: list[feed.Entry] = []
    for old, new in new_id_of.items():
        mirror.note_merged(connection, reading, old, new)
        if mirror.mark_gone(connection, reading, old, merged_into=new):
            item = Item(kind=News.MERGED, after={"into": new})
            news.append(feed.Entry(source=reading.source, remote_id=old, item=item))
    for one in _linked_to(connection, listener, reading, list(new_id_of)):
        _move(connection, listener, reading, one, new_id_of[one.remote_id or ""])
    return news


def families_moved(
    connection: Connection, listener: Listener, reading: Reading, rows: Sequence[Row]
) -> set[str]:
    """Name the families of which `follow` would move a record."""
    old_ids = list(_new_ids(rows))
    if not old_ids:
        return set()
    kind = listener.source.kind or ""
    linked = readings.linked_to(connection, reading.destination, kind, old_ids)
    return {one.family for one in linked}


def _new_ids(rows: Sequence[Row]) -> dict[str, str]:
    return {old: row.id for row in rows for old in row.merged if old != row.id}


def _linked_to(
    connection: Connection, listener: Listener, reading: Reading, old_ids: Sequence[str]
) -> list[Record]:
    """Read and lock the records linked to old ids, with their families, in key order.

    One whose call is under way is left for the next read: its answer comes under the old id.
    """
    linked = readings.linked_to(
        connection, reading.destination, listener.source.kind or "", old_ids
    )
    found = {one.id for one in linked}
    families = sorted({one.family for one in linked})
    locked = store.of_families(connection, reading.destination, families, lock=True)
    return [
        one
        for one in locked
        if one.id in found and one.remote_id in old_ids and one.state is not RecordState.TAKEN
    ]


def _move(
    connection: Connection, listener: Listener, reading: Reading, one: Record, new_id: str
) -> None:
    moved = one.but(remote_id=RemoteId(new_id), revision=one.revision + 1)
    moved = moved.but(serial_key=listener.contract.serial_key(moved))
    if not links.link(connection, moved, RemoteId(new_id), moved.role or "", reading.now):
        moved = held_twice(moved, reading.now)
    readings.unlink(connection, one)
    store.update_all(connection, [moved])
    logger.info(
        "record_merged",
        record_key=str(one.key),
        remote_id=new_id,
        state=moved.state.value,
    )
