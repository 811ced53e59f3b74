"""What people see of the handlers of the feed, and do about one that stands still.

One idea: what somebody decides is written down with his name and reason in the transaction that does
it; and a handler is only ever moved on by a person past what it failed at, never by time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from inbox import feed, places
from inbox.cursor import Cursor
from inbox.errors import NoSubscriber
from inbox.places import Place
from runtime.audit import write_down
from schema.inbox import Begin
from schema.incoming_tables import feed as feed_rows

CAPPED = 1_000
"""How many news are counted at most: beyond that the number says no more, and takes time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One handler, as people see it.

    `unread` counts all news after its place, also what it does not want, up to `CAPPED` and one.
    """

    destination: str
    handler: str
    state: str
    cursor: str | None
    handled: int
    moved_at: datetime | None
    unread: int | None
    oldest_unread_at: datetime | None
    kept_until: datetime | None
    """When the oldest news it has not read is deleted all the same."""
    failures: int
    retry_at: datetime | None
    held_at: datetime | None
    stuck_at: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person says to a handler: by whom, why, and when."""

    actor: str
    reason: str
    now: datetime


def state_of(place: Place, *, unread: int | None) -> str:
    """Say in a word or two how a handler stands. Pure."""
    if place.held_at is not None:
        return "held"
    if place.cursor is None:
        return "needs a start"
    if place.failures:
        return "failing"
    if place.cursor.walk is not None:
        return "reading everything"
    return "behind" if unread else "up to date"


def listed(connection: Connection, destination: str, *, keep_unread: timedelta) -> list[Shown]:
    """List the handlers of a destination, by name."""
    return [_shown(connection, one, keep_unread) for one in places.all_of(connection, destination)]


def _shown(connection: Connection, place: Place, keep_unread: timedelta) -> Shown:
    unread, oldest = _unread(connection, place)
    return Shown(
        destination=place.destination,
        handler=place.name,
        state=state_of(place, unread=unread),
        cursor=None if place.cursor is None else str(place.cursor),
        handled=place.handled,
        moved_at=place.moved_at,
        unread=unread,
        oldest_unread_at=oldest,
        kept_until=None if oldest is None else oldest + keep_unread,
        failures=place.failures,
        retry_at=place.retry_at,
        held_at=place.held_at,
        stuck_at=place.stuck_at,
        error=place.error,
    )


def _unread(connection: Connection, place: Place) -> tuple[int | None, datetime | None]:
    if place.cursor is None:
        return None, None
    left = (
        select(feed_rows.c.at)
        .where(
            feed_rows.c.destination == place.destination,
            feed_rows.c.position > place.cursor.position,
        )
        .order_by(feed_rows.c.position)
        .limit(CAPPED + 1)
        .subquery()
    )
    number, oldest = connection.execute(select(func.count(), func.min(left.c.at))).one()
    return number, oldest


def resume(
    connection: Connection, destination: str, name: str, begin: Begin | None, word: Word
) -> Cursor:
    """Let a handler go on, with fresh tries: where it was, or from a beginning that is said here.

    Raises `NoSubscriber` for a name that is none, and where a beginning is needed.
    """
    place = places.get(connection, destination, name)
    if begin is None and (place.cursor is None or _lost(connection, place)):
        raise NoSubscriber(
            f"{name} cannot go on where it was; say where it begins: with everything, or now"
        )
    to = None if begin is None else feed.begin(connection, destination, begin)
    places.resume(connection, place, to)
    _write_down(connection, "handler_resumed", place, to, word)
    return to or place.cursor or Cursor(position=0)


def _lost(connection: Connection, place: Place) -> bool:
    assert place.cursor is not None, "only one that has begun can have lost its place"
    here = feed.ends(connection, place.destination)
    return not here.pruned <= place.cursor.position <= here.last


def skip(connection: Connection, destination: str, name: str, word: Word) -> Cursor:
    """Let a handler go on past the one piece of news it fails at. Raises `NoSubscriber`."""
    place = places.get(connection, destination, name)
    if place.stuck_at is None:
        raise NoSubscriber(f"{name} fails at no news, so there is none to skip")
    to = Cursor.parse(place.stuck_at)
    places.resume(connection, place, to)
    _write_down(connection, "handler_skipped", place, to, word)
    return to


def forget(connection: Connection, destination: str, name: str, word: Word) -> None:
    """Forget a handler that there is no more. Where a poller still has it, it begins as a new one.

    Raises `NoSubscriber`.
    """
    place = places.get(connection, destination, name)
    places.forget(connection, destination, name)
    _write_down(connection, "handler_forgotten", place, None, word)


def _write_down(
    connection: Connection, action: str, place: Place, to: Cursor | None, word: Word
) -> None:
    cursor = None if place.cursor is None else str(place.cursor)
    write_down(
        connection,
        actor=word.actor,
        action=action,
        subject=f"{place.destination}/{place.name}",
        now=word.now,
        reason=word.reason,
        before={"cursor": cursor, "stuck_at": place.stuck_at, "error": place.error},
        after={"cursor": None if to is None else str(to)},
    )
