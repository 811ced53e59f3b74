"""What keeps the mirror and the feed from growing for ever, a little at a time.

One idea: news are kept until every handler has read them, and no longer than a limit that nobody can
stretch: a handler that has stood still for so long begins again with everything.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, tuple_

from inbox import feed, places
from schema.incoming_tables import feed_end, held_row, remote_record

BATCH = 1_000
"""Rows deleted in one transaction: some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long news are kept, news that a handler has not read, and what is gone there."""

    feed: timedelta
    unread: timedelta
    gone: timedelta


def prune_feed(connection: Connection, kept: Kept, now: datetime) -> int:
    """Delete some of the oldest news of each destination; gives how many."""
    known = connection.execute(select(feed_end.c.destination).order_by(feed_end.c.destination))
    return sum(_prune_one(connection, one, kept, now) for one in known.scalars().all())


def _prune_one(connection: Connection, destination: str, kept: Kept, now: datetime) -> int:
    last = feed.ends(connection, destination).last
    least = places.least(connection, destination)
    read = last if least is None else min(least, last)
    pruned = feed.prune(connection, destination, upto=read, before=now - kept.feed, limit=BATCH)
    if pruned or read == last:
        return pruned
    return feed.prune(connection, destination, upto=last, before=now - kept.unread, limit=BATCH)


def prune_gone(connection: Connection, kept: Kept, now: datetime) -> int:
    """Delete some of what has been gone for long, and of what was held and is read again."""
    key = (remote_record.c.destination, remote_record.c.source, remote_record.c.remote_id)
    old = (
        select(*key)
        .where(remote_record.c.gone_since.is_not(None))
        .where(remote_record.c.gone_since < now - kept.gone)
        .limit(BATCH)
    )
    gone = connection.execute(delete(remote_record).where(tuple_(*key).in_(old))).rowcount
    cleared = (
        select(held_row.c.id)
        .where(held_row.c.cleared_at.is_not(None), held_row.c.cleared_at < now - kept.gone)
        .limit(BATCH)
    )
    return gone + connection.execute(delete(held_row).where(held_row.c.id.in_(cleared))).rowcount
