"""Statements on the driver's own cursor, for what runs for every single delivery or event.

One idea: SQLAlchemy writes the statement, once; running it goes past SQLAlchemy, whose execution
takes longer than the driver's own. Its connections, transactions and errors are kept.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from runtime.database import read_json

if TYPE_CHECKING:
    from psycopg import RawCursor

Row = tuple[Any, ...]

PARAMETER = re.compile(r"%\((\w+)\)s")


class Prepared:
    """A statement of ours that gives rows, put together once.

    Every parameter is to be given at every run; none may be a list that becomes part of the text.
    On PostgreSQL rows come as the driver reads them: the session is in UTC, and so are their
    instants. SQLite has no types of its own to read them by, and goes through SQLAlchemy.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Row]:
        """Run it; gives all rows. Raises what SQLAlchemy would."""
        if connection.dialect.name == "sqlite":
            return cast(Sequence[Row], connection.execute(self._statement, values).all())
        given = {**self._fixed, **values}
        for name, write in self._writers.items():
            given[name] = write(given[name])
        text, names = self._numbered
        from psycopg import RawCursor  # on SQLite nobody needs to have it loaded

        return _fetched(connection, RawCursor, text, [given[name] for name in names])

    @cached_property
    def _compiled(self) -> SQLCompiler:
        from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect

        dialect = psycopg_dialect(json_deserializer=read_json)
        statement = cast(ClauseElement, self._statement)
        return cast(SQLCompiler, statement.compile(dialect=dialect))

    @cached_property
    def _numbered(self) -> tuple[str, Sequence[str]]:
        """The text with its parameters numbered as the server wants them, and their names in order.

        The driver would number them itself at each run of a statement with more than 50.
        """
        names: list[str] = []

        def number(found: re.Match[str]) -> str:
            if found[1] not in names:
                names.append(found[1])
            return f"${names.index(found[1]) + 1}"

        return PARAMETER.sub(number, self._compiled.string).replace("%%", "%"), names

    @cached_property
    def _fixed(self) -> Mapping[str, Any]:
        """Values that are part of the statement itself."""
        return dict(self._compiled.params)

    @cached_property
    def _writers(self) -> Mapping[str, Any]:
        """What turns a value into the driver's, for the parameters that need it."""
        dialect = self._compiled.dialect
        found = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in self._compiled.binds.items()
        }
        return {name: write for name, write in found.items() if write is not None}


def run(connection: Connection, text: str, values: Mapping[str, Any] | Row) -> Sequence[Row]:
    """Run a text of the driver's own on a connection of SQLAlchemy; gives all rows."""
    return _fetched(connection, None, text, values)


def _fetched(
    connection: Connection,
    kind: "type[RawCursor[Row]] | None",
    text: str,
    values: Mapping[str, Any] | Sequence[Any],
) -> Sequence[Row]:
    held: Any = connection.connection
    cursor = held.cursor() if kind is None else kind(held.driver_connection)
    try:
        cursor.execute(text.encode(), values)
        return cursor.fetchall()
    except errors_of(connection.dialect) as error:
        raise _as_sqlalchemy(error, text, connection) from error
    finally:
        cursor.close()


def errors_of(dialect: Dialect) -> type[Exception]:
    """Give the class that all errors of a database's driver have."""
    driver: Any = getattr(dialect, "dbapi", None)
    return cast(type[Exception], driver.Error)


def _as_sqlalchemy(error: Exception, text: str, connection: Connection) -> BaseException:
    """Give a driver's error as SQLAlchemy's, without the values; a dead connection is let go."""
    dialect = connection.dialect
    dead = dialect.is_disconnect(cast(Any, error), cast(Any, connection.connection), None)
    if dead:
        connection.invalidate(error)
    return DBAPIError.instance(
        text,
        None,
        error,
        errors_of(dialect),
        hide_parameters=True,
        connection_invalidated=dead,
        dialect=dialect,
    )
