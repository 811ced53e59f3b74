"""All SQL on the feed: what changed there, in order, for local systems.

One idea: positions become visible in the order in which they are given, for who appends holds the
end of the feed until its commit. A reader that remembers the last position it saw misses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)

from inbox.cursor import Cursor, from_start, is_about
from inbox.errors import Pruned
from inbox.news import Item
from runtime.bulk import insert_many
from schema.fates import Fate
from schema.fingerprint import Json
from schema.inbox import Begin, News
from schema.incoming_tables import checkpoint, feed, feed_end, remote_record

EVENT = "event"
"""The subject of `settled`: what became of local events."""

AHEAD = 1_000_000_000
"""How far the feed jumps at a rebind. A restored backup has forgotten which positions were given since;
no feed tells so much in the time between, so none is given twice, and who has read further than the
backup knows reads on here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """News of one remote thing, on its way into the feed."""

    source: str
    remote_id: str | None
    item: Item
    record_keys: tuple[str, ...] = ()
    remote_updated_at: datetime | None = None
    fate: Fate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One piece of news, as a reader gets it.

    `cursor` is where the reader is once it has this. While everything is read first (`walking`) each
    thing that is there comes as `new`, and has no position of its own.
    """

    destination: str
    cursor: Cursor
    kind: News
    source: str
    remote_id: str | None = None
    record_keys: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    before: Mapping[str, Json] | None = None
    after: Mapping[str, Json] | None = None
    remote_updated_at: datetime | None = None
    at: datetime | None = None
    entry_id: int | None = None
    event_id: str | None = None
    outcome: str | None = None
    reason: str | None = None

    @property
    def position(self) -> int | None:
        """Its position in the feed; None while everything is read first."""
        return None if self.walking else self.cursor.position

    @property
    def walking(self) -> bool:
        """Whether it is read off the mirror."""
        return self.cursor.walk is not None

    def as_json(self, *, values: bool) -> dict[str, Any]:
        """Give it as JSON; without *values* only the names of the fields that changed are in it."""
        return {
            "position": self.position,
            "cursor": str(self.cursor),
            "kind": self.kind.value,
            "destination": self.destination,
            "source": self.source,
            "remote_id": self.remote_id,
            "record_keys": list(self.record_keys),
            "changed": list(self.changed),
            "before": self.before if values else None,
            "after": self.after if values else None,
            "remote_updated_at": self.remote_updated_at,
            "at": self.at,
            "entry_id": self.entry_id,
            "event_id": self.event_id,
            "outcome": self.outcome,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a reader wants to hear of. A rebind is told to everybody."""

    subject: str | None = None
    source: str | None = None
    kinds: frozenset[News] = field(default_factory=frozenset[News])

    def hears(self, kind: News) -> bool:
        """Whether news of a kind are for this reader."""
        return not self.kinds or kind in self.kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What comes next, and where the reader is after it. *more*: there is at least as much again."""

    notices: tuple[Notice, ...]
    next: Cursor
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """From where to where the feed is kept."""

    pruned: int = 0
    last: int = 0


# Appending


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
        _row(destination, end - len(entries) + number, one, run_id, now)
        for number, one in enumerate(entries, 1)
    ]
    insert_many(connection, feed, rows)


def _row(
    destination: str, position: int, one: Entry, run_id: int | None, now: datetime
) -> dict[str, Any]:
    fate = one.fate
    return {
        "destination": destination,
        "position": position,
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
        "entry_id": None if fate is None else fate.entry,
        "event_id": None if fate is None else fate.event_id,
        "outcome": None if fate is None else fate.outcome,
        "reason": None if fate is None else fate.reason,
    }


def settled(fate: Fate) -> Entry:
    """Tell what became of a local event."""
    return Entry(
        source=fate.source,
        remote_id=fate.remote_id,
        item=Item(kind=News.SETTLED),
        record_keys=(fate.record_key,),
        fate=fate,
    )


def hold_end(connection: Connection, destination: str) -> None:
    """Keep everybody else from appending until the transaction ends.

    For who finds out what to tell under this lock; it must wait for nobody while it has it.
    """
    insert_many(connection, feed_end, [{"destination": destination, "position": 0}])
    connection.execute(_end_of(destination).with_for_update())


def jump(connection: Connection, destination: str) -> None:
    """Leave room before the next position for all that may have been told and is not known here."""
    hold_end(connection, destination)
    last = ends(connection, destination).last
    connection.execute(
        update(feed_end)
        .where(feed_end.c.destination == destination)
        .values(position=(last // AHEAD + 1) * AHEAD)
    )


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


# Reading


def _end_of(destination: str) -> Any:
    return select(feed_end.c.pruned, feed_end.c.position).where(
        feed_end.c.destination == destination
    )


def ends(connection: Connection, destination: str) -> Ends:
    """Say from where to where the feed is kept."""
    row = connection.execute(_end_of(destination)).one_or_none()
    return Ends() if row is None else Ends(pruned=row.pruned, last=row.position)


def last_of_each(connection: Connection) -> dict[str, int]:
    """Say where the feed of each destination ends."""
    rows = connection.execute(select(feed_end.c.destination, feed_end.c.position))
    return {row.destination: row.position for row in rows}


def begin(connection: Connection, destination: str, where: Begin) -> Cursor:
    """Give the place of a reader that begins now."""
    last = ends(connection, destination).last
    return from_start(last) if where is Begin.EVERYTHING else Cursor(position=last)


def read_on(
    connection: Connection,
    destination: str,
    cursor: Cursor,
    wants: Wants = Wants(),
    *,
    limit: int = 100,
) -> Batch:
    """Read what comes next for a reader; raises `Pruned` where that would leave something out.

    Who begins with everything gets all that is there first, each thing as `new`, then what was told
    since it began. A thing that changed meanwhile comes twice.
    """
    here = ends(connection, destination)
    if cursor.position < here.pruned:
        raise Pruned(
            f"position {cursor.position} is too far back: up to {here.pruned} nothing is kept any "
            "more; begin again with everything"
        )
    if cursor.position > here.last:
        raise Pruned(
            f"position {cursor.position} was never given here, the feed ends at {here.last}; begin "
            "again with everything"
        )
    names = _sources(connection, destination, wants)
    if cursor.walk is not None:
        return _walk(connection, destination, cursor, wants, names, limit)
    return _follow(connection, destination, cursor, wants, names, limit, here.last)


def _sources(connection: Connection, destination: str, wants: Wants) -> list[str] | None:
    """Name the collections a reader wants; None for all."""
    if wants.source is not None:
        return [wants.source]
    if wants.subject is None:
        return None
    known = connection.execute(
        select(checkpoint.c.source).where(checkpoint.c.destination == destination)
    )
    return [one for one in known.scalars() if is_about(one, wants.subject)]


def _walk(
    connection: Connection,
    destination: str,
    cursor: Cursor,
    wants: Wants,
    names: list[str] | None,
    limit: int,
) -> Batch:
    over = Batch(notices=(), next=Cursor(position=cursor.position), more=True)
    if not wants.hears(News.NEW) or cursor.walk is None:
        return over
    query = select(
        remote_record.c.source,
        remote_record.c.remote_id,
        remote_record.c.content,
        remote_record.c.remote_updated_at,
        remote_record.c.last_seen,
    ).where(
        remote_record.c.destination == destination,
        remote_record.c.gone_since.is_(None),
        tuple_(remote_record.c.source, remote_record.c.remote_id) > cursor.walk,
    )
    if names is not None:
        query = query.where(remote_record.c.source.in_(names))
    query = query.order_by(remote_record.c.source, remote_record.c.remote_id).limit(limit)
    notices = tuple(
        Notice(
            destination=destination,
            cursor=replace(cursor, walk=(row.source, row.remote_id)),
            kind=News.NEW,
            source=row.source,
            remote_id=row.remote_id,
            after=row.content,
            remote_updated_at=row.remote_updated_at,
            at=row.last_seen,
        )
        for row in connection.execute(query)
    )
    if len(notices) < limit:
        return replace(over, notices=notices)
    return Batch(notices=notices, next=notices[-1].cursor, more=True)


def _follow(
    connection: Connection,
    destination: str,
    cursor: Cursor,
    wants: Wants,
    names: list[str] | None,
    limit: int,
    last: int,
) -> Batch:
    # Up to the end as it was read before: what is told meanwhile is for the next time.
    query = select(feed).where(
        feed.c.destination == destination,
        feed.c.position > cursor.position,
        feed.c.position <= last,
        _wanted(wants, names),
    )
    rows = connection.execute(query.order_by(feed.c.position).limit(limit))
    notices = tuple(_notice(row) for row in rows.mappings())
    if len(notices) < limit:
        return Batch(notices=notices, next=Cursor(position=last))
    return Batch(notices=notices, next=notices[-1].cursor, more=True)


def _wanted(wants: Wants, names: list[str] | None) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = []
    if wants.subject == EVENT:
        parts.append(feed.c.kind == News.SETTLED.value)
    elif wants.subject is not None:
        parts.append(feed.c.kind != News.SETTLED.value)
    if names is not None and wants.subject != EVENT:
        parts.append(feed.c.source.in_(names))
    if wants.kinds:
        parts.append(feed.c.kind.in_([one.value for one in wants.kinds]))
    return or_(feed.c.kind == News.REBOUND.value, and_(*parts)) if parts else true()


def _notice(row: Mapping[Any, Any]) -> Notice:
    return Notice(
        destination=row["destination"],
        cursor=Cursor(position=row["position"]),
        kind=News(row["kind"]),
        source=row["source"],
        remote_id=row["remote_id"],
        record_keys=tuple(row["record_keys"]),
        changed=tuple(row["changed"]),
        before=row["before"],
        after=row["after"],
        remote_updated_at=row["remote_updated_at"],
        at=row["at"],
        entry_id=row["entry_id"],
        event_id=row["event_id"],
        outcome=row["outcome"],
        reason=row["reason"],
    )


def read(
    connection: Connection,
    destination: str,
    *,
    after: int = 0,
    limit: int = 100,
    source: str | None = None,
    kinds: Sequence[News] = (),
) -> list[Mapping[str, Any]]:
    """Read the rows after a position, in order, for people: also where some are not kept any more."""
    query = _for_people(destination, source, kinds).where(feed.c.position > after)
    rows = connection.execute(query.order_by(feed.c.position).limit(limit))
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]


def latest(
    connection: Connection,
    destination: str,
    *,
    before: int | None = None,
    limit: int = 100,
    source: str | None = None,
    kinds: Sequence[News] = (),
) -> list[Notice]:
    """Read what was told last, the newest first, for people."""
    query = _for_people(destination, source, kinds)
    if before is not None:
        query = query.where(feed.c.position < before)
    rows = connection.execute(query.order_by(feed.c.position.desc()).limit(limit))
    return [_notice(row) for row in rows.mappings()]


def _for_people(destination: str, source: str | None, kinds: Sequence[News]) -> Select[Any]:
    query = select(feed).where(feed.c.destination == destination)
    if source is not None:
        query = query.where(feed.c.source == source)
    if kinds:
        query = query.where(feed.c.kind.in_([one.value for one in kinds]))
    return query


def of_things(
    connection: Connection, destination: str, sources: Sequence[str], ids: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Read what was told of some remote things, in order: for a record's story."""
    if not sources or not ids:
        return []
    query = select(feed).where(
        feed.c.destination == destination, feed.c.source.in_(sources), feed.c.remote_id.in_(ids)
    )
    rows = connection.execute(query.order_by(feed.c.position))
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]


# Pruning


def prune(
    connection: Connection, destination: str, *, upto: int, before: datetime, limit: int
) -> int:
    """Delete the oldest news told *before*, none after the position *upto*; gives how many."""
    oldest = (
        select(feed.c.position, feed.c.at)
        .where(feed.c.destination == destination, feed.c.position <= upto)
        .order_by(feed.c.position)
        .limit(limit)
    )
    old: list[int] = []
    for position, at in connection.execute(oldest):
        if at >= before:
            break
        old.append(position)
    if not old:
        return 0
    gone = delete(feed).where(feed.c.destination == destination, feed.c.position <= old[-1])
    connection.execute(gone)
    later = func.coalesce(feed_end.c.pruned, 0) < old[-1]
    connection.execute(
        update(feed_end).where(feed_end.c.destination == destination, later).values(pruned=old[-1])
    )
    return len(old)
