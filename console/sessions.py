"""All SQL on `console_session` and `console_throttle`: who is signed in, and who tried too often.

One idea: a session's id is made here and known to one browser only; what the database keeps is its
hash. It ends by itself, idle or old, whatever the browser thinks.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from console.accounts import Account, by_name, digest
from schema.console_tables import console_session, console_throttle

SEEN_EVERY: Final = timedelta(minutes=1)
"""How exactly it is known when somebody was last seen; less is a write for each page."""

REVEALED_FOR: Final = timedelta(minutes=5)
"""How long a person's names stay open once they were revealed: one look, one telephone call."""

FREE_BY_NAME: Final = 5
FREE_BY_ADDRESS: Final = 20
"""Failed sign-ins in a row before the next one has to wait. An office may share one address."""

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
"""The wait doubles with each further failure. Longer, and anybody could lock out an admin for good."""

FORGIVEN_AFTER: Final = timedelta(hours=24)
"""Failures that long ago no longer count, and their rows go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """When sessions end: unused for that long, or in any case after that long."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in."""

    id_hash: str
    account: Account
    seen_at: datetime
    revealed: Mapping[str, datetime]


def begin(connection: Connection, account: str, *, ends: Ends, now: datetime) -> str:
    """Begin a session, and give its id for the browser; takes away those that have ended."""
    connection.execute(
        delete(console_session).where(
            (console_session.c.seen_at <= now - ends.idle)
            | (console_session.c.started_at <= now - ends.absolute)
        )
    )
    session_id = secrets.token_urlsafe(32)
    connection.execute(
        insert(console_session).values(
            id_hash=digest(session_id), account=account, started_at=now, seen_at=now, revealed={}
        )
    )
    return session_id


def found(connection: Connection, session_id: str, *, ends: Ends, now: datetime) -> Session | None:
    """Give the session of that id, unless it has ended."""
    row = connection.execute(
        select(console_session).where(
            console_session.c.id_hash == digest(session_id),
            console_session.c.seen_at > now - ends.idle,
            console_session.c.started_at > now - ends.absolute,
        )
    ).one_or_none()
    account = None if row is None else by_name(connection, row.account)
    if row is None or account is None:
        return None
    revealed = {key: datetime.fromisoformat(until) for key, until in row.revealed.items()}
    return Session(id_hash=row.id_hash, account=account, seen_at=row.seen_at, revealed=revealed)


def seen(connection: Connection, id_hash: str, now: datetime) -> None:
    """Note that somebody did something; never back in time."""
    connection.execute(
        update(console_session)
        .where(console_session.c.id_hash == id_hash, console_session.c.seen_at < now)
        .values(seen_at=now)
    )


def end(connection: Connection, id_hash: str) -> None:
    """End a session."""
    connection.execute(delete(console_session).where(console_session.c.id_hash == id_hash))


def reveal(connection: Connection, id_hash: str, subject: str, *, now: datetime) -> datetime:
    """Open the names of one record to one session for a while; gives until when."""
    query = select(console_session.c.revealed).where(console_session.c.id_hash == id_hash)
    was: dict[str, str] = connection.execute(query.with_for_update()).scalar_one_or_none() or {}
    still = {key: one for key, one in was.items() if datetime.fromisoformat(one) > now}
    until = now + REVEALED_FOR
    connection.execute(
        update(console_session)
        .where(console_session.c.id_hash == id_hash)
        .values(revealed={**still, subject: until.isoformat()})
    )
    return until


# failed sign-ins


def keys_of(name: str, address: str) -> Mapping[str, int]:
    """Give what a failed sign-in is counted on, and how many of each are free."""
    return {
        digest(f"name {name.lower()}"): FREE_BY_NAME,
        digest(f"address {address}"): FREE_BY_ADDRESS,
    }


def shut_until(connection: Connection, name: str, address: str, now: datetime) -> datetime | None:
    """Say until when nobody may try that name, or from that address."""
    return connection.execute(
        select(func.max(console_throttle.c.shut_until)).where(
            console_throttle.c.key.in_(list(keys_of(name, address))),
            console_throttle.c.shut_until > now,
        )
    ).scalar_one_or_none()


def tried(connection: Connection, name: str, address: str, now: datetime) -> None:
    """Count a sign-in as failed before its password is looked at; beyond the free ones the next has
    to wait. Counted first, many at once get no more tries than one after the other."""
    connection.execute(
        delete(console_throttle).where(console_throttle.c.failed_at <= now - FORGIVEN_AFTER)
    )
    for key, free in sorted(keys_of(name, address).items()):
        _make_room(connection, key, now)
        failures = connection.execute(
            update(console_throttle)
            .where(console_throttle.c.key == key)
            .values(failures=console_throttle.c.failures + 1, failed_at=now)
            .returning(console_throttle.c.failures)
        ).scalar_one()
        if failures >= free:
            connection.execute(
                update(console_throttle)
                .where(console_throttle.c.key == key)
                .values(shut_until=now + _wait(failures - free))
            )


def succeeded(connection: Connection, name: str, address: str) -> None:
    """Forget the failures of a name whose owner has signed in. From its address only this one try is
    taken back: one good account must not buy tries at all others."""
    own, shared = keys_of(name, address)
    connection.execute(delete(console_throttle).where(console_throttle.c.key == own))
    connection.execute(
        update(console_throttle)
        .where(console_throttle.c.key == shared)
        .values(failures=console_throttle.c.failures - 1, shut_until=None)
    )


def _make_room(connection: Connection, key: str, now: datetime) -> None:
    values = {"key": key, "failures": 0, "failed_at": now}
    upsert = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(upsert.insert(console_throttle).values(values).on_conflict_do_nothing())


def _wait(further: int) -> timedelta:
    return min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(further, 10))
