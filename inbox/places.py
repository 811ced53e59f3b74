"""All SQL on `subscriber`: how far each handler of the feed is, and who has it in hand.

One idea: a lease says who calls a handler, and every write of its place shows the token; so one
handler is told one thing at a time, however many processes there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Update, and_, delete, func, or_, select, update

from inbox.cursor import Cursor
from inbox.errors import LeaseLost, NoSubscriber
from runtime.bulk import insert_many
from schema.incoming_tables import feed_end, subscriber

LEASE = timedelta(minutes=2)
"""How long a handler may take for one piece of news. One that takes longer may be called in another
process meanwhile; one whose process was killed is called again after this."""

SLACK = timedelta(minutes=1)
"""How far apart the clocks of two machines may be. A lease further ahead than one lease and this was
given by a clock that has been set back since, and is nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a handler is. No cursor: nobody has said where it begins."""

    destination: str
    name: str
    cursor: Cursor | None = None
    handled: int = 0
    moved_at: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None
    held_at: datetime | None = None
    stuck_at: str | None = None
    """The cursor of the news it failed at."""
    error: str | None = None
    token: int = 0
    lease_until: datetime | None = None


def ensure(connection: Connection, destination: str, name: str, cursor: Cursor | None) -> None:
    """Make sure that a handler has its row; one that has none yet begins at *cursor*."""
    row = {"destination": destination, "name": name, **_at(cursor)}
    insert_many(connection, subscriber, [row])


def _at(cursor: Cursor | None) -> dict[str, Any]:
    source, remote_id = (None, None) if cursor is None or cursor.walk is None else cursor.walk
    return {
        "position": None if cursor is None else cursor.position,
        "walk_source": source,
        "walk_id": remote_id,
    }


def get(connection: Connection, destination: str, name: str) -> Place:
    """Read how far a handler is, locked; raises `NoSubscriber`."""
    query = select(subscriber).where(*_named(destination, name)).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        known = [one.name for one in all_of(connection, destination)]
        there = f"there are {', '.join(known)}" if known else "there is none"
        raise NoSubscriber(f"no handler {name!r} reads the feed of {destination}; {there}")
    return _place(row)


def all_of(connection: Connection, destination: str) -> list[Place]:
    """Read how far every handler is, by name."""
    query = select(subscriber).where(subscriber.c.destination == destination)
    rows = connection.execute(query.order_by(subscriber.c.name))
    return [_place(row) for row in rows.mappings()]


def standing_still(connection: Connection, destination: str) -> list[Place]:
    """Read the handlers that wait for a person: held, or with nowhere to begin."""
    query = select(subscriber).where(
        subscriber.c.destination == destination,
        or_(subscriber.c.held_at.is_not(None), subscriber.c.position.is_(None)),
    )
    rows = connection.execute(query.order_by(subscriber.c.name))
    return [_place(row) for row in rows.mappings()]


def due(connection: Connection, destination: str, now: datetime) -> list[str]:
    """Name the handlers that have something to read and may be called now."""
    end = func.coalesce(
        select(feed_end.c.position).where(feed_end.c.destination == destination).scalar_subquery(),
        0,
    )
    query = select(subscriber.c.name).where(
        subscriber.c.destination == destination,
        or_(subscriber.c.position < end, subscriber.c.walk_source.is_not(None)),
        _may_be_called(now),
        _free(now, now + LEASE),
    )
    return list(connection.execute(query.order_by(subscriber.c.name)).scalars())


def _named(destination: str, name: str) -> tuple[Any, ...]:
    return subscriber.c.destination == destination, subscriber.c.name == name


def _may_be_called(now: datetime) -> Any:
    retry = or_(subscriber.c.retry_at.is_(None), subscriber.c.retry_at <= now)
    return and_(subscriber.c.position.is_not(None), subscriber.c.held_at.is_(None), retry)


def _free(now: datetime, until: datetime) -> Any:
    return or_(
        subscriber.c.lease_until.is_(None),
        subscriber.c.lease_until < now,
        subscriber.c.lease_until > until + SLACK,
    )


def take(connection: Connection, destination: str, name: str, *, now: datetime) -> Place | None:
    """Take a handler in hand; None while another one has it, it rests, or it waits for a person."""
    until = now + LEASE
    taken = connection.execute(
        update(subscriber)
        .where(*_named(destination, name), _may_be_called(now), _free(now, until))
        .values(token=subscriber.c.token + 1, lease_until=until)
        .returning(*subscriber.c)
    )
    row = taken.mappings().one_or_none()
    return None if row is None else _place(row)


def hold(connection: Connection, place: Place, *, now: datetime) -> None:
    """Renew the lease; until the transaction ends nobody else writes this row. Raises `LeaseLost`."""
    _write(connection, place, lease_until=now + LEASE)


def move(
    connection: Connection, place: Place, cursor: Cursor, *, handled: int, now: datetime
) -> None:
    """Move a handler on past what it was told; raises `LeaseLost`. What failed before is over."""
    over = {"retry_at": None, "error": None, "failures": 0, "stuck_at": None, "moved_at": now}
    _write(
        connection,
        place,
        **_at(cursor),
        **(over if handled else {}),
        handled=subscriber.c.handled + handled,
        lease_until=now + LEASE,
    )


def failed(
    connection: Connection,
    place: Place,
    *,
    error: str,
    at: Cursor | None,
    failures: int,
    retry_at: datetime | None,
    now: datetime,
) -> None:
    """Note that a handler failed, and at which news; without a time to try again a person must say so."""
    _write(
        connection,
        place,
        error=error,
        stuck_at=None if at is None else str(at),
        failures=failures,
        retry_at=retry_at,
        held_at=now if retry_at is None else None,
    )


def release(connection: Connection, place: Place) -> None:
    """Give a handler back; another holder's row is left alone."""
    connection.execute(_held(place).values(lease_until=None))


def _write(connection: Connection, place: Place, **values: Any) -> None:
    if connection.execute(_held(place).values(**values)).rowcount != 1:
        raise LeaseLost(f"{place.name} is called by another process now")


def _held(place: Place) -> Update:
    return update(subscriber).where(
        *_named(place.destination, place.name), subscriber.c.token == place.token
    )


# What people do. The token moves on: who has the handler in hand now writes nothing more.


def resume(connection: Connection, place: Place, cursor: Cursor | None) -> None:
    """Let a handler go on, at once and with fresh tries: where it was, else from *cursor*."""
    moved = {} if cursor is None else _at(cursor)
    connection.execute(
        update(subscriber)
        .where(*_named(place.destination, place.name))
        .values(
            **moved,
            failures=0,
            retry_at=None,
            held_at=None,
            stuck_at=None,
            error=None,
            token=subscriber.c.token + 1,
            lease_until=None,
        )
    )


def forget(connection: Connection, destination: str, name: str) -> None:
    """Forget a handler that there is no more: nothing is kept for it any longer."""
    connection.execute(delete(subscriber).where(*_named(destination, name)))


def least(connection: Connection, destination: str) -> int | None:
    """Give the position of the handler that is furthest back; None when there is none."""
    query = select(func.min(subscriber.c.position)).where(subscriber.c.destination == destination)
    return connection.execute(query).scalar_one_or_none()


def _place(row: Mapping[Any, Any]) -> Place:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    source, remote_id = values.pop("walk_source"), values.pop("walk_id")
    position = values.pop("position")
    walk = None if source is None else (source, remote_id)
    cursor = None if position is None else Cursor(position=position, walk=walk)
    return Place(**values, cursor=cursor)
