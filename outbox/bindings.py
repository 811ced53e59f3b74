"""All SQL on `binding`: to which destination this database belongs, and whether it may be written to.

One idea: what was accepted by one API says nothing about another, so weeks on the sandbox must never
count as "in step" with production, and a copied database must never speak for the original. Whether
writes may leave is a row here and nowhere else: every process sees the same one, and the statement
that commits "about to send" reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError

from runtime.bulk import insert_many
from schema.states import Writes
from schema.tables import binding

UNTOLD = "?"
"""Stands in an identity for what the database does not tell; it agrees with everything."""

NO_PRIVILEGE = "42501"
"""What PostgreSQL answers when `pg_control_system` is not for this user."""

FIRST_LIVE_BY = "an address on this computer"
"""Who let a destination on loopback be written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a database was bound to at its first use."""

    destination: str
    contract: str
    url: str
    key_name: str
    database_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether a destination may be written to, since when and by whose word."""

    generation: int
    live_since: datetime | None
    live_by: str | None
    unknown_since: datetime | None
    """Since when nothing that was accepted is believed; None when everything has been looked up."""
    marking: bool
    """The relay has not marked every record as unknown yet."""
    total: int
    """How many records were marked, to be looked up."""

    @property
    def writes(self) -> Writes:
        """Whether writes may leave."""
        return _writes(self.live_since, self.unknown_since)


def identity(connection: Connection) -> str:
    """Name this very database: a copy or a restore elsewhere has another name.

    SQLite: the path, and the file's number on its disk: a backup put in its place has another one.
    PostgreSQL: the cluster, the database, and the table `binding` itself, which a restore makes anew.
    Where the cluster's number is not for this user, the other two must do.
    """
    if connection.dialect.name == "sqlite":
        file = Path(connection.engine.url.database or "").resolve()
        return f"file:{file}#{file.stat().st_ino if file.exists() else UNTOLD}"
    return f"cluster:{_cluster(connection)}/" + "/".join(
        str(part)
        for part in connection.exec_driver_sql(
            "SELECT oid, 'binding'::regclass::oid FROM pg_database WHERE datname = current_database()"
        ).one()
    )


def _cluster(connection: Connection) -> str:
    try:
        with connection.begin_nested():
            found = connection.exec_driver_sql("SELECT system_identifier FROM pg_control_system()")
            return str(found.scalar_one())
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != NO_PRIVILEGE:
            raise
        return UNTOLD


def same_database(one: str, other: str) -> bool:
    """Whether two identities may be of one database; what one of them does not tell agrees."""
    if one == other:
        return True
    separator = "#" if one.startswith("file:") else "/"
    pairs = list(zip(one.split(separator), other.split(separator), strict=False))
    return all(a == b or UNTOLD in (a, b, *_after_colon(a, b)) for a, b in pairs)


def _after_colon(*parts: str) -> tuple[str, ...]:
    return tuple(part.partition(":")[2] for part in parts if part.startswith("cluster:"))


def bound(connection: Connection, destination: str) -> Binding | None:
    """Give what a destination is bound to, if it is."""
    row = connection.execute(
        select(
            binding.c.destination,
            binding.c.contract,
            binding.c.url,
            binding.c.key_name,
            binding.c.database_id,
        ).where(binding.c.destination == destination)
    ).one_or_none()
    if row is None:
        return None
    return Binding(
        destination=row.destination,
        contract=row.contract,
        url=row.url,
        key_name=row.key_name,
        database_id=row.database_id,
    )


def bind(connection: Connection, wanted: Binding, *, now: datetime, live: bool = False) -> None:
    """Bind a destination, unless it is bound already: the first of several processes does it.

    Only what is *live* may be written to: an address on this computer. Everything else is in shadow.
    """
    row = {
        "destination": wanted.destination,
        "contract": wanted.contract,
        "url": wanted.url,
        "key_name": wanted.key_name,
        "database_id": wanted.database_id,
        "bound_at": now,
        "live_since": now if live else None,
        "live_by": FIRST_LIVE_BY if live else None,
    }
    insert_many(connection, binding, [row])


def difference(wanted: Binding, was: Binding) -> str | None:
    """Say in words how what is configured differs from what the database is bound to."""
    if wanted.contract != was.contract:
        return (
            f"PILLARBOX_CONTRACT is {wanted.contract}, but this database is bound to the contract "
            f"{was.contract}"
        )
    if wanted.url != was.url:
        return f"PILLARBOX_API_URL is {wanted.url}, but this database is bound to {was.url}"
    if wanted.key_name != was.key_name:
        return (
            f"PILLARBOX_KEY_NAME is {wanted.key_name}, but this database is bound to the key "
            f"{was.key_name}"
        )
    if not same_database(wanted.database_id, was.database_id):
        return "this database is a copy or a restore: it was bound as another one"
    return None


def cure(wanted: Binding, was: Binding) -> str:
    """Say what to do about a difference."""
    if wanted.contract != was.contract:
        return "set it back, or use another DATABASE_URL for the other one"
    return (
        "set it back, or use another DATABASE_URL for the other one; where it is meant to speak for "
        "this one from now on, run `pillarbox destination rebind`"
    )


# whether it may be written to


_STANDING = select(
    binding.c.generation,
    binding.c.live_since,
    binding.c.live_by,
    binding.c.unknown_since,
    binding.c.unknown_after,
    binding.c.unknown_total,
)


def standing(connection: Connection, destination: str) -> Standing | None:
    """Say how a destination stands; None when it is not bound."""
    row = connection.execute(_STANDING.where(binding.c.destination == destination)).one_or_none()
    return None if row is None else _standing(row)


def still_standing(connection: Connection, destination: str) -> Standing | None:
    """The same, and it stays so until the transaction ends: who would change it waits."""
    query = _STANDING.where(binding.c.destination == destination)
    row = connection.execute(query.with_for_update(read=True, key_share=True)).one_or_none()
    return None if row is None else _standing(row)


def hold_still(connection: Connection, destination: str) -> Standing | None:
    """The same, and nobody decides by it, or marks a write, until the transaction ends.

    Whoever is about to (they hold it for reading) ends first. So what is changed here under this lock
    is true of every write that leaves after it.
    """
    query = _STANDING.where(binding.c.destination == destination).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else _standing(row)


def holds(connection: Connection, destination: str, generation: int) -> bool:
    """Say whether it is bound as it was under that generation. A yes holds until the transaction ends.

    So what is written here of what was read there is of the same API.
    """
    query = (
        select(binding.c.generation)
        .where(binding.c.destination == destination, binding.c.generation == generation)
        .with_for_update(read=True, key_share=True)
    )
    return connection.execute(query).one_or_none() is not None


def writes(connection: Connection, destination: str) -> Writes:
    """Say whether writes may leave. A no holds until the transaction ends.

    So a record that is put to sleep for it is there to be woken once that has changed.
    """
    query = select(binding.c.live_since, binding.c.unknown_since).where(
        binding.c.destination == destination
    )
    row = connection.execute(query).one_or_none()
    if row is not None and _writes(*row) is Writes.ALLOWED:
        return Writes.ALLOWED
    row = connection.execute(query.with_for_update(read=True, key_share=True)).one_or_none()
    return Writes.SHADOW if row is None else _writes(*row)


def let_live(connection: Connection, destination: str, *, by: str, now: datetime) -> None:
    """Let a destination be written to, from the end of this transaction on."""
    connection.execute(
        update(binding)
        .where(binding.c.destination == destination, binding.c.live_since.is_(None))
        .values(live_since=now, live_by=by)
    )


def rebind(
    connection: Connection, wanted: Binding, *, now: datetime, live: bool, last_record: int
) -> None:
    """Bind a destination anew: nothing that was accepted is believed, and nothing is written.

    Records up to *last_record* are then marked so by the relay; see `outbox.rebind`.
    """
    connection.execute(
        update(binding)
        .where(binding.c.destination == wanted.destination)
        .values(
            contract=wanted.contract,
            url=wanted.url,
            key_name=wanted.key_name,
            database_id=wanted.database_id,
            bound_at=now,
            generation=binding.c.generation + 1,
            live_since=now if live else None,
            live_by=FIRST_LIVE_BY if live else None,
            unknown_since=now,
            unknown_after=last_record,
            unknown_total=0,
        )
    )


def marking_from(connection: Connection, destination: str) -> int | None:
    """Lock, unless another relay has it, up to which id records are still to be marked as unknown."""
    query = (
        select(binding.c.unknown_after)
        .where(binding.c.destination == destination, binding.c.unknown_since.is_not(None))
        .with_for_update(key_share=True, skip_locked=True)
    )
    return connection.execute(query).scalar_one_or_none()


def marked(connection: Connection, destination: str, *, down_to: int | None, number: int) -> None:
    """Note that records above the id *down_to* are marked; None when all are."""
    connection.execute(
        update(binding)
        .where(binding.c.destination == destination)
        .values(unknown_after=down_to, unknown_total=binding.c.unknown_total + number)
    )


def believe(connection: Connection, destination: str) -> None:
    """Lift the hold: everything has been looked up."""
    connection.execute(
        update(binding)
        .where(binding.c.destination == destination)
        .values(unknown_since=None, unknown_after=None, unknown_total=None)
    )


def _writes(live_since: datetime | None, unknown_since: datetime | None) -> Writes:
    if live_since is None:
        return Writes.SHADOW
    return Writes.ALLOWED if unknown_since is None else Writes.REBOUND


def _standing(row: Sequence[Any]) -> Standing:
    generation, live_since, live_by, unknown_since, unknown_after, total = row
    return Standing(
        generation=generation,
        live_since=live_since,
        live_by=live_by,
        unknown_since=unknown_since,
        marking=unknown_after is not None,
        total=total or 0,
    )
