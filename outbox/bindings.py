"""All SQL on `binding`: to which destination this database belongs.

One idea: what was accepted by one API says nothing about another, so weeks on the sandbox must never
count as "in step" with production, and a copied database must never speak for the original.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from runtime.bulk import insert_many
from schema.tables import binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a database was bound to at its first use."""

    destination: str
    contract: str
    url: str
    key_name: str
    database_id: str


def identity(connection: Connection) -> str:
    """Name this very database: a copy or a restore elsewhere has another name."""
    if connection.dialect.name == "sqlite":
        return f"file:{Path(connection.engine.url.database or '').resolve()}"
    return connection.exec_driver_sql(
        "SELECT 'cluster:' || (SELECT system_identifier FROM pg_control_system()) || "
        "'/' || (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).scalar_one()


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


def bind(connection: Connection, wanted: Binding, *, now: datetime) -> None:
    """Bind a destination, unless it is bound already: the first of several processes does it."""
    row = {
        "destination": wanted.destination,
        "contract": wanted.contract,
        "url": wanted.url,
        "key_name": wanted.key_name,
        "database_id": wanted.database_id,
        "bound_at": now,
    }
    insert_many(connection, binding, [row])


def difference(wanted: Binding, was: Binding) -> str | None:
    """Say in words how what is configured differs from what the database is bound to."""
    if wanted.url != was.url:
        return f"PILLARBOX_API_URL is {wanted.url}, but this database is bound to {was.url}"
    if wanted.contract != was.contract:
        return (
            f"PILLARBOX_CONTRACT is {wanted.contract}, but this database is bound to the contract "
            f"{was.contract}"
        )
    if wanted.key_name != was.key_name:
        return (
            f"PILLARBOX_KEY_NAME is {wanted.key_name}, but this database is bound to the key "
            f"{was.key_name}"
        )
    if wanted.database_id != was.database_id:
        return "this database is a copy or a restore: it was bound as another one"
    return None
