"""`emit`: an event into the outbox, inside the transaction of the change itself.

One idea: one plain INSERT and nothing else. No row is locked that others share, nothing is
notified, nothing but the database is reached; rolled back means never sent.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, cast, overload

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session

from producers.errors import EventIdTaken, OutsideTransaction
from records.append import append, append_all
from records.errors import NameTaken
from schema.events import Event, InvalidEvent
from schema.keys import EntryId


@overload
def emit(where: Session | scoped_session[Session] | Connection, what: Event) -> EntryId: ...
@overload
def emit(
    where: Session | scoped_session[Session] | Connection, what: Sequence[Event]
) -> list[EntryId]: ...
@overload
def emit(where: AsyncSession | AsyncConnection, what: Event) -> Awaitable[EntryId]: ...
@overload
def emit(
    where: AsyncSession | AsyncConnection, what: Sequence[Event]
) -> Awaitable[list[EntryId]]: ...
def emit(where: Any, what: Event | Sequence[Event]) -> Any:
    """Append one event, or many in order, to the outbox; gives the entries' ids.

    Call it inside the transaction of the change, after the change: a `Session` is flushed first,
    so that entries of one record get their ids in the order of its row locks. The caller commits.
    With an `AsyncSession` or `AsyncConnection` it is awaited.

    An event whose `source` and `event_id` are there already is not appended again, and the first
    entry's id is given; with another content it raises `EventIdTaken`. Raises `InvalidEvent` for
    a payload that is too large and `OutsideTransaction` where nothing is open. When it raises, the
    caller's transaction is to be rolled back, as after any database error.
    """
    if isinstance(where, AsyncSession | AsyncConnection):
        return cast(Awaitable[Any], where.run_sync(_emit_sync, what))
    connection = _connection(where)
    try:
        if isinstance(what, Event):
            return append(connection, what)
        events = _events(what)
        if len(events) == 1:
            return [append(connection, events[0])]
        return append_all(connection, events)
    except NameTaken as error:
        raise EventIdTaken(str(error)) from None


def _emit_sync(where: Any, what: Event | Sequence[Event]) -> Any:
    return cast(Any, emit)(where, what)


def _events(what: object) -> list[Event]:
    """Give the events of a sequence; raises `InvalidEvent`, with the cure, for anything else."""
    one_thing = isinstance(what, str | bytes | Mapping) or not isinstance(what, Iterable)
    events: list[object] = [what] if one_thing else list(cast(Iterable[object], what))
    for one in events:
        if not isinstance(one, Event):
            raise InvalidEvent(
                "event",
                f"is a {type(one).__name__}; make one, such as ParticipantDeferred(…), or read a "
                "mapping with schema.events.decode(…)",
            )
    return cast(list[Event], events)


def _connection(where: Session | scoped_session[Session] | Connection) -> Connection:
    # The registry passes only some of a session's methods on.
    session = where() if isinstance(where, scoped_session) else where
    if not isinstance(cast(object, session), Session | Connection):
        raise OutsideTransaction(
            f"emit() was given no transaction but {type(session).__name__}; give it the Session or "
            "Connection of the transaction that makes the change"
        )
    if not session.in_transaction():
        raise OutsideTransaction(
            "emit() found no open transaction; call it inside the one that makes the change, "
            "for example in `with session.begin():`"
        )
    if isinstance(session, Connection):
        connection = session
    else:
        session.flush()
        connection = session.connection()
    if _commits_by_itself(connection):
        raise OutsideTransaction(
            "emit() was given a connection in AUTOCOMMIT mode, where nothing can be rolled back; "
            "use one with transactions"
        )
    return connection


def _commits_by_itself(connection: Connection) -> bool:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False) is True)
