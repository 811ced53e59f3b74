"""All SQL on the feed: what changed there, in order, for local systems.

One idea: positions become visible in the order in which they are given, for who appends holds the
end of the feed until its commit. A reader that remembers the last position it saw misses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from inbox.news import Item
from runtime.bulk import insert_many
from schema.inbox import News
from schema.incoming_tables import feed, feed_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """News of one remote thing, on its way into the feed."""

    source: str
    remote_id: str
    item: Item
    record_keys: tuple[str, ...] = ()
    remote_updated_at: datetime | None = None


def append(
    connection: Connection,
    destination: str,
    entries: Sequence[Entry],
    *,
    run_id: int | None,
    now: datetime,
) -> None:
    """Append news, last thing in a transaction: until its commit nobody else can append."""
    if not entries:
        return
    end = _move_end(connection, destination, len(entries))
    rows = [
        {
            "destination": destination,
            "position": end - len(entries) + number,
            "kind": one.item.kind.value,
            "source": one.source,
            "remote_id": one.remote_id,
            "record_keys": list(one.record_keys),
            "changed": list(one.item.changed),
            "before": one.item.before,
            "after": one.item.after,
            "remote_updated_at": one.remote_updated_at,
            "at": now,
            "run_id": run_id,
        }
        for number, one in enumerate(entries, 1)
    ]
    insert_many(connection, feed, rows)


def _move_end(connection: Connection, destination: str, by: int) -> int:
    move = (
        update(feed_end)
        .where(feed_end.c.destination == destination)
        .values(position=feed_end.c.position + by)
        .returning(feed_end.c.position)
    )
    moved = connection.execute(move).scalar_one_or_none()
    if moved is not None:
        return moved
    insert_many(connection, feed_end, [{"destination": destination, "position": 0}])
    return connection.execute(move).scalar_one()


def read(
    connection: Connection,
    destination: str,
    *,
    after: int = 0,
    limit: int = 100,
    source: str | None = None,
    kinds: Sequence[News] = (),
) -> list[Mapping[str, Any]]:
    """Read what comes after a position, in order."""
    query = select(feed).where(feed.c.destination == destination, feed.c.position > after)
    if source is not None:
        query = query.where(feed.c.source == source)
    if kinds:
        query = query.where(feed.c.kind.in_([one.value for one in kinds]))
    rows = connection.execute(query.order_by(feed.c.position).limit(limit))
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]
