"""All SQL on the mirror: remote things as last read, ids merged into others, rows held.

One idea: applying a row twice is the same as once, and the latest read wins, by content: a read
counts from when its request began, since stamps are whole seconds and some changes carry none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from inbox.words import words_of
from runtime.bulk import among, delete_many, insert_many, update_many
from schema.fingerprint import Json
from schema.incoming_tables import alias, held_row, remote_record, remote_word
from schema.sources import Row

KEY = ("destination", "source", "remote_id")


class Verdict(StrEnum):
    """What a row is to the mirror."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    OLDER = "older"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the mirror knows of one remote thing."""

    remote_id: str
    fingerprint: str
    content: Mapping[str, Json]
    read_began_at: datetime
    first_seen: datetime
    remote_updated_at: datetime | None
    gone_since: datetime | None
    seen_run: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """When, for which run and from where rows were read."""

    destination: str
    source: str
    run_id: int
    began_at: datetime
    now: datetime
    limit: datetime | None = None
    """When the run began, by the server's clock: what changed later is the next run's to look for."""

    def counts(self, row: Row) -> bool:
        """Whether a run that has not seen this row has something to look for."""
        return self.limit is None or row.updated_at is None or row.updated_at <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row that differs from the mirror; `before` is None for a new one."""

    row: Row
    before: Known | None
    fingerprint: str
    """Of the row's content."""


def judge(known: Known | None, row_fingerprint: str, began_at: datetime) -> Verdict:
    """Decide what a row that was read by a request begun at *began_at* is to the mirror. Pure."""
    if known is None:
        return Verdict.NEW
    if began_at < known.read_began_at:
        return Verdict.OLDER
    if known.gone_since is not None:
        return Verdict.NEW
    return Verdict.SAME if known.fingerprint == row_fingerprint else Verdict.CHANGED


def known(
    connection: Connection, destination: str, source: str, ids: Sequence[str]
) -> dict[str, Known]:
    """Read and lock what is known of some remote things."""
    if not ids:
        return {}
    rows = connection.execute(
        select(
            remote_record.c.remote_id,
            remote_record.c.fingerprint,
            remote_record.c.content,
            remote_record.c.read_began_at,
            remote_record.c.first_seen,
            remote_record.c.remote_updated_at,
            remote_record.c.gone_since,
            remote_record.c.seen_run,
        )
        .where(
            remote_record.c.destination == destination,
            remote_record.c.source == source,
            among(connection, remote_record.c.remote_id, sorted(set(ids))),
        )
        .order_by(remote_record.c.remote_id)
        .with_for_update()
    )
    found: dict[str, Known] = {}
    for row in rows.all():
        found[row[0]] = Known(
            remote_id=row[0],
            fingerprint=row[1],
            content=row[2],
            read_began_at=row[3],
            first_seen=row[4],
            remote_updated_at=row[5],
            gone_since=row[6],
            seen_run=row[7],
        )
    return found


def write(
    connection: Connection,
    reading: Reading,
    changes: Sequence[Change],
    *,
    named_by: Sequence[str] = (),
) -> None:
    """Write rows as they were read now; each id once. They are found by the fields *named_by*."""
    fresh = [_row(reading, one) for one in changes if one.before is None]
    insert_many(connection, remote_record, fresh)
    changed = [_row(reading, one) for one in changes if one.before is not None]
    update_many(connection, remote_record, changed, key=KEY)
    if named_by:
        _name(connection, reading, changes, named_by)


def _name(
    connection: Connection,
    reading: Reading,
    changes: Sequence[Change],
    named_by: Sequence[str],
) -> None:
    """Keep the words of rows whose name, number or address is another than before."""
    fresh: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    for one in changes:
        words = words_of(one.row.content, named_by)
        known_by = (
            frozenset[str]() if one.before is None else words_of(one.before.content, named_by)
        )
        fresh += [_word(reading, one, word) for word in sorted(words - known_by)]
        gone += [_word(reading, one, word) for word in sorted(known_by - words)]
    delete_many(connection, remote_word, gone)
    insert_many(connection, remote_word, fresh)


def _word(reading: Reading, change: Change, word: str) -> dict[str, Any]:
    return {"destination": reading.destination, "word": word, "remote_id": change.row.id}


def search(
    connection: Connection, destination: str, words: Sequence[str], *, limit: int = 20
) -> list[str]:
    """Find remote things that have, for each of *words*, one that begins with it; ids, each once.

    Read in the order of the index, from the rarest word, and no further than the limit: what a common
    name costs does not grow with how many bear it.
    """
    if not words:
        return []
    rarest, *others = sorted(words, key=lambda word: _frequency(connection, destination, word))
    also = [remote_word.alias() for _ in others]
    query = select(remote_word.c.remote_id).where(
        remote_word.c.destination == destination,
        _begins(remote_word.c.word, rarest),
        *(
            select(other.c.word)
            .where(
                other.c.destination == destination,
                other.c.remote_id == remote_word.c.remote_id,
                _begins(other.c.word, word),
            )
            .exists()
            for word, other in zip(others, also, strict=True)
        ),
    )
    # One may come twice, by two words that begin alike.
    query = query.order_by(remote_word.c.word, remote_word.c.remote_id).limit(2 * limit)
    return list(dict.fromkeys(connection.execute(query).scalars()))[:limit]


def _frequency(connection: Connection, destination: str, word: str) -> tuple[int, int]:
    """Say how common a word is, counted up to a limit; of two that are, the longer is rarer."""
    some = (
        select(remote_word.c.word)
        .where(remote_word.c.destination == destination, _begins(remote_word.c.word, word))
        .limit(COMMON)
        .subquery()
    )
    number = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return number, -len(word)


COMMON = 5_000
"""From how many on a word counts as common. To count them takes a millisecond."""


def _begins(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    # By code points, as the index is: what begins with a word lies between it and its last follower.
    return and_(column >= word, column < word + "\U0010ffff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A remote thing as it was last read."""

    source: str
    remote_id: str
    content: Mapping[str, Json]
    first_seen: datetime
    last_seen: datetime
    gone_since: datetime | None


def read(
    connection: Connection, destination: str, sources: Sequence[str], ids: Sequence[str]
) -> dict[str, Mirrored]:
    """Read remote things of some sources by id; of one in several, the first source's."""
    if not ids or not sources:
        return {}
    rows = connection.execute(
        select(
            remote_record.c.source,
            remote_record.c.remote_id,
            remote_record.c.content,
            remote_record.c.first_seen,
            remote_record.c.last_seen,
            remote_record.c.gone_since,
        ).where(
            remote_record.c.destination == destination,
            remote_record.c.source.in_(sources),
            among(connection, remote_record.c.remote_id, list(ids)),
        )
    )
    found = [Mirrored(**row) for row in rows.mappings()]
    found.sort(key=lambda one: sources.index(one.source), reverse=True)
    return {one.remote_id: one for one in found}


def _row(reading: Reading, change: Change) -> dict[str, Any]:
    row, before = change.row, change.before
    return {
        "destination": reading.destination,
        "source": reading.source,
        "remote_id": row.id,
        "fingerprint": change.fingerprint,
        "first_seen": reading.now if before is None else before.first_seen,
        "last_seen": reading.now,
        "read_began_at": reading.began_at,
        "remote_updated_at": row.updated_at,
        "gone_since": None,
        "merged_into": None,
        "seen_run": reading.run_id,
        "content": row.content,
    }


def seen_again(connection: Connection, reading: Reading, ids: Sequence[str]) -> None:
    """Note that rows were read and are as they were."""
    if not ids:
        return
    connection.execute(
        update(remote_record)
        .where(
            remote_record.c.destination == reading.destination,
            remote_record.c.source == reading.source,
            among(connection, remote_record.c.remote_id, sorted(set(ids))),
        )
        .values(last_seen=reading.now, read_began_at=reading.began_at, seen_run=reading.run_id)
    )


def stamp_again(connection: Connection, reading: Reading, rows: Sequence[Row]) -> None:
    """Keep the stamps of rows whose content is as it was: a touch is seen, and is no news."""
    values = [
        {
            "destination": reading.destination,
            "source": reading.source,
            "remote_id": row.id,
            "remote_updated_at": row.updated_at,
        }
        for row in rows
    ]
    update_many(connection, remote_record, values, key=KEY)


def mark_gone(
    connection: Connection, reading: Reading, remote_id: str, *, merged_into: str | None = None
) -> bool:
    """Note that something is not there any more; nothing is deleted. False if that was known."""
    done = connection.execute(
        update(remote_record)
        .where(
            remote_record.c.destination == reading.destination,
            remote_record.c.source == reading.source,
            remote_record.c.remote_id == remote_id,
            remote_record.c.gone_since.is_(None),
        )
        .values(
            gone_since=reading.now,
            merged_into=merged_into,
            seen_run=reading.run_id,
            read_began_at=reading.began_at,
        )
    )
    return done.rowcount == 1


def unseen(
    connection: Connection,
    destination: str,
    source: str,
    *,
    run_id: int,
    opened_at: datetime,
    limit: int | None = None,
) -> list[str]:
    """List what a full sync has not seen, and nobody else has since it began."""
    query = (
        select(remote_record.c.remote_id)
        .where(
            remote_record.c.destination == destination,
            remote_record.c.source == source,
            remote_record.c.gone_since.is_(None),
            remote_record.c.seen_run != run_id,
            remote_record.c.read_began_at < opened_at,
        )
        .order_by(remote_record.c.remote_id)
    )
    return list(connection.execute(query.limit(limit)).scalars())


def count(connection: Connection, destination: str, source: str) -> int:
    """Count what is there."""
    return connection.execute(
        select(func.count()).where(
            remote_record.c.destination == destination,
            remote_record.c.source == source,
            remote_record.c.gone_since.is_(None),
        )
    ).scalar_one()


def contents(connection: Connection, destination: str, source: str) -> list[Mapping[str, Json]]:
    """Read what every thing of a small source that is there was last read as."""
    rows = connection.execute(
        select(remote_record.c.content).where(
            remote_record.c.destination == destination,
            remote_record.c.source == source,
            remote_record.c.gone_since.is_(None),
        )
    )
    return list(rows.scalars())


def known_anywhere(
    connection: Connection, destination: str, sources: Sequence[str], ids: Sequence[str]
) -> set[str]:
    """Say which of these people the mirror knows, in any of these collections."""
    if not ids:
        return set()
    rows = connection.execute(
        select(remote_record.c.remote_id).where(
            remote_record.c.destination == destination,
            remote_record.c.source.in_(sources),
            remote_record.c.gone_since.is_(None),
            among(connection, remote_record.c.remote_id, sorted(set(ids))),
        )
    )
    return set(rows.scalars())


# Merged ids


def note_merged(connection: Connection, reading: Reading, old_id: str, new_id: str) -> None:
    """Keep that an id leads to another one now; chains are kept short."""
    connection.execute(
        update(alias)
        .where(
            alias.c.destination == reading.destination,
            alias.c.source == reading.source,
            or_(alias.c.new_id == old_id, alias.c.old_id == old_id),
            alias.c.old_id != new_id,
        )
        .values(new_id=new_id)
    )
    row = {
        "destination": reading.destination,
        "source": reading.source,
        "old_id": old_id,
        "new_id": new_id,
        "since": reading.now,
    }
    insert_many(connection, alias, [row])


# Held rows


def hold(connection: Connection, reading: Reading, ref: str, reason: str) -> bool:
    """Keep that a row could not be read, and why; says whether this run had not seen it yet."""
    already = connection.execute(
        select(held_row.c.id, held_row.c.seen_run).where(
            held_row.c.destination == reading.destination,
            held_row.c.source == reading.source,
            held_row.c.ref == ref,
            held_row.c.cleared_at.is_(None),
        )
    ).one_or_none()
    if already is None:
        row = {
            "destination": reading.destination,
            "source": reading.source,
            "ref": ref,
            "reason": reason,
            "first_seen": reading.now,
            "last_seen": reading.now,
            "seen_run": reading.run_id,
        }
        insert_many(connection, held_row, [row])
        return True
    connection.execute(
        update(held_row)
        .where(held_row.c.id == already.id)
        .values(
            reason=reason,
            times=held_row.c.times + 1,
            last_seen=reading.now,
            seen_run=reading.run_id,
        )
    )
    return already.seen_run != reading.run_id


def clear_held(connection: Connection, reading: Reading, refs: Sequence[str]) -> None:
    """Note that rows which were held are read again."""
    if not refs:
        return
    connection.execute(
        update(held_row)
        .where(
            held_row.c.destination == reading.destination,
            held_row.c.source == reading.source,
            held_row.c.cleared_at.is_(None),
            among(connection, held_row.c.ref, sorted(set(refs))),
        )
        .values(cleared_at=reading.now)
    )


def list_held(
    connection: Connection, destination: str, limit: int = 100
) -> list[Mapping[str, Any]]:
    """List the rows that are held, the oldest first."""
    rows = connection.execute(
        select(held_row)
        .where(held_row.c.destination == destination, held_row.c.cleared_at.is_(None))
        .order_by(held_row.c.id)
        .limit(limit)
    )
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]
