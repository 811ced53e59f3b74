"""Many rows in one statement, on both databases. The one place where their SQL differs.

One idea: PostgreSQL gets one array per column, so a thousand rows are one round trip and one plan;
SQLite has no round trips and gets the rows one after the other.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Table,
    Text,
    any_,
    bindparam,
    func,
    literal,
    select,
)
from sqlalchemy.sql.type_api import TypeEngine

from schema.tables import Document, Instant, iso

Rows = Sequence[Mapping[str, Any]]


def insert_many(
    connection: Connection, table: Table, rows: Rows, *, returning: str | None = None
) -> list[Any]:
    """Insert rows that all have the same keys; a row that is there already is left alone.

    With *returning*, gives that column of the rows that went in, in no promised order.
    """
    if not rows:
        return []
    names = tuple(rows[0])
    tail = (
        f" ON CONFLICT DO NOTHING RETURNING {returning}" if returning else " ON CONFLICT DO NOTHING"
    )
    if connection.dialect.name == "sqlite":
        statement = _sqlite_insert(table, names) + tail
        return _each(connection, statement, _sqlite_rows(table, names, rows), returning)
    statement = _postgresql_insert(table, names) + tail
    result = connection.exec_driver_sql(statement, _arrays(table, names, rows))
    return [row[0] for row in result] if returning else []


def update_many(
    connection: Connection, table: Table, rows: Rows, *, key: Sequence[str] = ("id",)
) -> int:
    """Update rows found by *key* columns; all rows have the same keys. Gives how many matched."""
    if not rows:
        return 0
    names = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        ordered = tuple(name for name in names if name not in key) + tuple(key)
        cells = _sqlite_rows(table, ordered, rows)
        return connection.exec_driver_sql(_sqlite_update(table, names, tuple(key)), cells).rowcount
    statement = _postgresql_update(table, names, tuple(key))
    return connection.exec_driver_sql(statement, _arrays(table, names, rows)).rowcount


def among(
    connection: Connection, column: Column[Any], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Say "column is one of these" with one parameter, whatever their number."""
    dialect = connection.dialect.name
    return _one_of(dialect, column, literal(as_list(dialect, values), _list_of(dialect, column)))


def among_named(dialect: str, column: Column[Any], name: str) -> ColumnElement[bool]:
    """Say "column is one of these" for a statement made once; give it `as_list` as *name*."""
    return _one_of(dialect, column, bindparam(name, type_=_list_of(dialect, column)))


def as_list(dialect: str, values: Sequence[Any]) -> Any:
    """Give many values as one parameter."""
    return json.dumps(list(values)) if dialect == "sqlite" else list(values)


def _list_of(dialect: str, column: Column[Any]) -> TypeEngine[Any]:
    return Text() if dialect == "sqlite" else ARRAY(column.type)


def _one_of(dialect: str, column: Column[Any], listed: ColumnElement[Any]) -> ColumnElement[bool]:
    if dialect == "sqlite":
        each = func.json_each(listed).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(listed)


def _each(
    connection: Connection, statement: str, rows: list[tuple[Any, ...]], returning: str | None
) -> list[Any]:
    if returning is None:
        connection.exec_driver_sql(statement, rows)
        return []
    found: list[Any] = []
    for row in rows:
        found.extend(one[0] for one in connection.exec_driver_sql(statement, row))
    return found


@lru_cache
def _sqlite_insert(table: Table, names: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({', '.join(_quoted(names))}) VALUES ({marks})"


@lru_cache
def _sqlite_update(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    settings = ", ".join(f'"{name}" = ?' for name in names if name not in key)
    where = " AND ".join(f'"{name}" = ?' for name in key)
    return f"UPDATE {table.name} SET {settings} WHERE {where}"


@lru_cache
def _postgresql_insert(table: Table, names: tuple[str, ...]) -> str:
    # In the order given: rows of one batch get their ids in that order.
    return (
        f"INSERT INTO {table.name} ({', '.join(_quoted(names))}) "
        f"SELECT {', '.join(_quoted(names))} FROM {_unnest(table, names)} ORDER BY place"
    )


@lru_cache
def _postgresql_update(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    settings = ", ".join(f'"{name}" = v."{name}"' for name in names if name not in key)
    where = " AND ".join(f'{table.name}."{name}" = v."{name}"' for name in key)
    return f"UPDATE {table.name} SET {settings} FROM {_unnest(table, names)} WHERE {where}"


def _unnest(table: Table, names: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%s::{_postgresql_type(table.c[name])}[]" for name in names)
    return f"unnest({arrays}) WITH ORDINALITY AS v({', '.join(_quoted(names))}, place)"


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _postgresql_type(column: Column[Any]) -> str:
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, Instant):
        return "timestamptz"
    if isinstance(kind, type(Document)):
        return "jsonb"
    if isinstance(kind, BigInteger):
        return "bigint"
    return "integer" if isinstance(kind, Integer) else "text"


def _arrays(table: Table, names: tuple[str, ...], rows: Rows) -> tuple[list[Any], ...]:
    return tuple(_array(table.c[name], [row[name] for row in rows]) for name in names)


def _array(column: Column[Any], values: list[Any]) -> list[Any]:
    if isinstance(column.type, type(Document)):
        return [None if value is None else _json(value) for value in values]
    return values


def _sqlite_rows(table: Table, names: tuple[str, ...], rows: Rows) -> list[tuple[Any, ...]]:
    return [tuple(_sqlite_cell(table.c[name], row[name]) for name in names) for row in rows]


def _sqlite_cell(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, Instant):
        return iso(value)
    if isinstance(column.type, type(Document)):
        return _json(value)
    return value


def _json(value: Any) -> str:
    """Text is taken as JSON already: producers hand over what they validated."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
