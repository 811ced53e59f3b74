"""The engine for PostgreSQL and SQLite, and the transactions on it.

One idea: the same SQL runs on both. SQLite has no row locks, so every transaction that may write
begins IMMEDIATE there: one writer at a time does what `FOR UPDATE SKIP LOCKED` does elsewhere.
"""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from runtime.errors import DatabaseAway, InvalidSettings

BUSY_TIMEOUT_MS = 10_000
"""How long a SQLite writer waits for the one before it. Transactions here take milliseconds; this
is for a machine that was suspended. Lower, and a slow disk shows as errors."""

CONNECT_TIMEOUT_S = 5
"""How long to wait for PostgreSQL to answer at all; a start-up check must not hang."""

STATEMENT_TIMEOUT_MS = 60_000
"""A statement that takes longer is a mistake: it would hold its locks past every lease."""

IDLE_TIMEOUT_MS = 60_000
"""A transaction left open and idle is ended by the server: it stops vacuum and keeps locks."""

POOL_SIZE = 20
POOL_OVERFLOW = 50
"""Connections kept once they were needed, and how many more a burst of threads may open. A process
with more threads than are kept would connect anew for most of its transactions."""

READING = "pillarbox_reading"


def database_url(text: str) -> URL:
    """Read `DATABASE_URL`; `postgres://` and `postgresql://` both mean psycopg 3."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InvalidSettings(
            "DATABASE_URL is no database URL; write sqlite:///folder/file.db or "
            "postgresql://user@host/name"
        ) from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        return url
    raise InvalidSettings(
        f"DATABASE_URL names {url.drivername}; only sqlite:///… and postgresql://… are supported"
    )


def shown(url: URL) -> str:
    """Write a database URL without its password."""
    return url.render_as_string(hide_password=True)


LONGEST_NUMBER = 400
"""Digits of a JSON number that are read as one. Python refuses thousands, for the time they take."""


def read_json(text: str | bytes) -> Any:
    """Read a document, whatever plain SQL has put there.

    What JSON allows and Python does not read, thousands of digits or of nested lists, becomes an
    object that says so: one such row must not stop everybody who reads it among others.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else str(text, "utf-8"))
    except (ValueError, RecursionError):
        return {"unreadable": "nested too deeply, or no JSON"}


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONGEST_NUMBER else digits


# Made once: json.loads would make one for every document, which takes longer than reading it.
_DECODER = json.JSONDecoder(parse_int=_number)


class Database:
    """An engine and its two kinds of transaction."""

    def __init__(self, url: str | URL, *, pool_size: int = POOL_SIZE) -> None:
        self.url = database_url(url) if isinstance(url, str) else url
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url, pool_size)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """Open a transaction that may write; commits at the end, rolls back on any exception."""
        turn = _turn(self.url.database) if self.is_sqlite else nullcontext()
        with turn, self.engine.begin() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Generator[Connection]:
        """Open a connection for statements that are a transaction each.

        For one statement that is all there is to do: BEGIN and COMMIT are two more round trips. On
        SQLite, which has none, all of the block is one transaction.
        """
        if self.is_sqlite:
            with self.transaction() as connection:
                yield connection
            return
        with self._autocommit.connect() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Open a transaction that only reads: on SQLite it waits for no writer."""
        with self.engine.connect().execution_options(**{READING: True}) as connection:
            yield connection

    def check(self) -> None:
        """Raise `DatabaseAway`, with the cure, when the database does not answer."""
        try:
            with self.reading() as connection:
                connection.exec_driver_sql("SELECT 1")
        except (OperationalError, DBAPIError) as error:
            raise DatabaseAway(
                f"DATABASE_URL: no answer from {shown(self.url)} ({_cause(error)}); start the "
                "database or correct the address"
            ) from None

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _cause(error: DBAPIError) -> str:
    """The driver's first line: it names host and port, never a statement's values."""
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    return (lines[0] if lines else type(error.orig).__name__)[:200]


def _postgresql(url: URL, pool_size: int) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        json_deserializer=read_json,
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW,
        pool_pre_ping=False,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "pillarbox",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} "
            f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS} -c timezone=UTC",
        },
    )


def _sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        _make_folder(Path(url.database).parent)
    engine = create_engine(
        url,
        hide_parameters=True,
        json_deserializer=read_json,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@cache
def _writer(_file: str | None) -> threading.RLock:
    """The turn to write to a file, of the threads of this process.

    SQLite lets a writer who finds another one sleep, longer each time, and look again: threads sleep
    most of their time then, some of them long. Here the next one is woken. Other processes still sleep.
    """
    return threading.RLock()


@contextmanager
def _turn(file: str | None) -> Generator[None]:
    writer = _writer(file)
    mine = writer.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        yield  # whoever waited in vain asks SQLite, and is told so
    finally:
        if mine:
            writer.release()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseAway(
            f"DATABASE_URL: the folder {folder} cannot be made ({error.strerror}); "
            "name a folder you may write to"
        ) from None


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver would begin transactions of its own, and only before some statements.
    connection.isolation_level = None
    # Bytes that are no text, put there by another program, must not stop who reads them.
    connection.text_factory = _text
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        # FULL: an acknowledged commit survives a power cut. NORMAL may drop the last ones.
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
