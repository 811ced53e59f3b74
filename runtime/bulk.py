"""Many rows in one statement, on both databases. The one place where their SQL differs.

One idea: PostgreSQL gets one array per column, so a thousand rows are one round trip and one plan;
SQLite has no round trips and gets the rows one after the other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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

from runtime.prepared import run
from schema.tables import Document, Instant, iso

Rows = Sequence[Mapping[str, Any]]

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def insert_many(
    connection: Connection, table: Table, rows: Rows, *, returning: str | None = None
) -> list[Any]:
    """Insert rows that all have the same keys; a row that is there already is left alone.

    With *returning*, gives that column of the rows that went in, in no promised order.
    """
    if returning is None:
        return _insert(connection, table, rows, " ON CONFLICT DO NOTHING", None)
    return _insert(
        connection, table, rows, f" ON CONFLICT DO NOTHING RETURNING {returning}", returning
    )


def append_many(connection: Connection, table: Table, rows: Rows, *, returning: str) -> list[Any]:
    """Do the same with rows that cannot be there already, which need not be looked for."""
    return _insert(connection, table, rows, f" RETURNING {returning}", returning)


def _insert(
    connection: Connection, table: Table, rows: Rows, tail: str, returning: str | None
) -> list[Any]:
    if not rows:
        return []
    names = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        statement = _sqlite_insert(table, names) + tail
        return _each(connection, statement, _sqlite_rows(table, names, rows), returning)
    cells = _columns(table, names, rows, varying=names[:1])
    statement = _postgresql_insert(table, names, cells.varying) + tail
    if returning is None:
        connection.exec_driver_sql(statement, cells.insert_parameters())
        return []
    return [row[0] for row in run(connection, statement, cells.insert_parameters())]


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
    columns = _columns(table, names, rows, varying=key)
    statement = _postgresql_update(table, names, columns.varying, tuple(key))
    return connection.exec_driver_sql(statement, columns.update_parameters(key)).rowcount


def delete_many(connection: Connection, table: Table, rows: Rows) -> None:
    """Delete the rows that are like one of these in each column given; all have the same keys."""
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        statement = _sqlite_delete(table, names)
        connection.exec_driver_sql(statement, _sqlite_rows(table, names, rows))
        return
    columns = _columns(table, names, rows, varying=names)
    statement = _postgresql_delete(table, names)
    connection.exec_driver_sql(statement, columns.update_parameters(names))


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
def _sqlite_delete(table: Table, names: tuple[str, ...]) -> str:
    where = " AND ".join(f'"{name}" = ?' for name in names)
    return f"DELETE FROM {table.name} WHERE {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Rows turned into columns: an array where they differ, one value where they do not."""

    varying: tuple[str, ...]
    cells: Mapping[str, Any]

    def insert_parameters(self) -> tuple[Any, ...]:
        """Give them in the order of `_postgresql_insert`."""
        same = (value for name, value in self.cells.items() if name not in self.varying)
        return (*same, *(self.cells[name] for name in self.varying))

    def update_parameters(self, key: Sequence[str]) -> tuple[Any, ...]:
        """Give them in the order of `_postgresql_update`."""
        fixed = {*self.varying, *key}
        same = (value for name, value in self.cells.items() if name not in fixed)
        return (*same, *(self.cells[name] for name in self.varying))


def _columns(
    table: Table, names: tuple[str, ...], rows: Rows, *, varying: Sequence[str]
) -> _Columns:
    """Most columns of most batches hold one value; sent once, it is neither quoted nor parsed."""
    differing: list[str] = []
    cells: dict[str, Any] = {}
    for name in names:
        values = _cells(table.c[name], [row[name] for row in rows])
        if name in varying or values.count(values[0]) != len(values):
            differing.append(name)
            cells[name] = _array(values)
        else:
            cells[name] = values[0]
    return _Columns(varying=tuple(differing), cells=cells)


@lru_cache
def _postgresql_insert(table: Table, names: tuple[str, ...], varying: tuple[str, ...]) -> str:
    # In the order given: rows of one batch get their ids in that order.
    values = ", ".join(
        f'v."{name}"' if name in varying else f"%s::{_postgresql_type(table.c[name])}"
        for name in names
    )
    return (
        f"INSERT INTO {table.name} ({', '.join(_quoted(names))}) "
        f"SELECT {values} FROM {_unnest(table, varying)} ORDER BY place"
    )


@lru_cache
def _postgresql_update(
    table: Table, names: tuple[str, ...], varying: tuple[str, ...], key: tuple[str, ...]
) -> str:
    settings = ", ".join(
        f'"{name}" = v."{name}"'
        if name in varying
        else f'"{name}" = %s::{_postgresql_type(table.c[name])}'
        for name in names
        if name not in key
    )
    where = " AND ".join(f'{table.name}."{name}" = v."{name}"' for name in key)
    return f"UPDATE {table.name} SET {settings} FROM {_unnest(table, varying)} WHERE {where}"


@lru_cache
def _postgresql_delete(table: Table, names: tuple[str, ...]) -> str:
    where = " AND ".join(f'{table.name}."{name}" = v."{name}"' for name in names)
    return f"DELETE FROM {table.name} USING {_unnest(table, names)} WHERE {where}"


def _unnest(table: Table, names: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%s::{_postgresql_type(table.c[name])}[]" for name in names)
    return f"unnest({arrays}) WITH ORDINALITY AS v({', '.join(_quoted(names))}, place)"


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _postgresql_type(column: Column[Any]) -> str:
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, Instant):
        return "timestamptz"
    if _is_document(column):
        return "jsonb"
    if isinstance(kind, BigInteger):
        return "bigint"
    return "integer" if isinstance(kind, Integer) else "text"


def _array(values: list[Any]) -> str:
    """Write values as PostgreSQL's text form of an array.

    The driver's own writing of a list looks at each character of each text, and takes longer than
    all the rest of a batch.
    """
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _cells(column: Column[Any], values: list[Any]) -> list[Any]:
    if not _is_document(column):
        return values
    return [None if value is None else _json(value) for value in values]


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    text = value.isoformat() if isinstance(value, datetime) else value
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_document(column: Column[Any]) -> bool:
    return isinstance(column.type, type(Document))


def _sqlite_rows(table: Table, names: tuple[str, ...], rows: Rows) -> list[tuple[Any, ...]]:
    return [tuple(_sqlite_cell(table.c[name], row[name]) for name in names) for row in rows]


def _sqlite_cell(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, Instant):
        return iso(value)
    return _json(value) if _is_document(column) else value


def _json(value: Any) -> str:
    """Text is taken as JSON already: producers hand over what they validated."""
    if isinstance(value, str):
        return value
    return _ENCODER.encode(value)
