"""How soon work moves again after a fault, and what the fault cost, judged by the sandbox's own log.

For each fault some claims are told; once calls arrive the fault is caused. Seconds are counted from
the fault, or, where something was away, from the moment it was back.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from benchmarks import ground
from benchmarks.delivery import claims
from benchmarks.result import Line, Result
from producers import emit
from runtime.database import Database
from runtime.settings import Settings

CROWD = 40
"""Claims told for each fault."""

LEASE = timedelta(seconds=40)
"""As short as a lease may be here, so that nobody waits two minutes for each death."""

BACK_S = 30.0
"""Promised: so soon after Redis is back work moves."""

AFTER_LEASE_S = 5.0
"""Promised: so soon after its lease ends a record that was not sent yet is in step."""

AWAY_S = 3.0
PATIENCE_S = 180.0

SETTINGS = {
    "PILLARBOX_LEASE": f"{LEASE.seconds}s",
    "PILLARBOX_SEND_BY": "2s",
    "PILLARBOX_DEADLINE": "5s",
    "PILLARBOX_QUARANTINE": "1s",
}


@dataclass
class Scene:
    """Everybody at work, and what can be done to them."""

    root: str
    database: Database
    redis: "Redis"
    environment: dict[str, str]
    log: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    relays: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    ends: ExitStack = field(default_factory=ExitStack)

    def start(self, role: str) -> None:
        """Start a relay or a worker, as a supervisor does."""
        made = ground.child("-m", "pillarbox", role, environment=self.environment, log=self.log)
        crowd = self.relays if role == "relay" else self.workers
        crowd.append(self.ends.enter_context(made))

    def kill(self, role: str) -> None:
        """Kill one, and let the supervisor start another."""
        victim = (self.relays if role == "relay" else self.workers).pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        self.start(role)

    def arrived(self) -> int:
        """Count what arrived at the sandbox."""
        return int(ground.control(self.root, "GET", "/requests?limit=1")["last_seq"])

    def rules(self, *rules: dict[str, Any]) -> None:
        """Set the sandbox's faults."""
        ground.control(self.root, "PUT", "/faults", list(rules))

    def open_entries(self) -> int:
        """Count what is not in step."""
        with self.database.reading() as connection:
            query = text("SELECT count(*) FROM outbox_entry WHERE state <> 'closed'")
            return int(connection.execute(query).scalar_one())

    def execute(self, statement: str) -> None:
        """Do something in the database."""
        with self.database.transaction() as connection:
            connection.execute(text(statement))


class Redis:
    """A redis-server of our own, to be stopped, emptied and frozen."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            raise ground.Unavailable("redis-server is not installed")
        self._folder = folder
        self._port = ground.free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.process = self._start()

    def start(self) -> None:
        """Start it again, with an empty memory."""
        self.process = self._start()

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def flush(self) -> None:
        """Empty it."""
        client: Any = redis.Redis.from_url(self.url)  # pyright: ignore[reportUnknownMemberType]
        client.flushall()
        client.close()

    def _start(self) -> subprocess.Popen[bytes]:
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for line in process.stdout:
            if b"eady to accept connections" in line:
                return process
        raise ground.Unavailable("redis-server does not start")


# the faults: each returns once what it took away is back


def killed_before_the_mark(scene: Scene) -> None:
    """Every worker stands before its mark when it dies; the server then ends their statements."""
    with scene.database.transaction() as connection:
        connection.execute(text("LOCK TABLE attempt IN SHARE MODE"))
        time.sleep(1)
        for _ in list(scene.workers):
            scene.kill("worker")
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )


def killed_after_the_mark(scene: Scene) -> None:
    """Claims are under way when both workers die."""
    scene.rules({"match": {"method": "POST"}, "do": {"delay_after_ms": [60_000, 60_000]}})
    before = scene.arrived()
    ground.until(lambda: scene.arrived() > before, "no call came", patience=PATIENCE_S)
    for _ in list(scene.workers):
        scene.kill("worker")
    scene.rules()


def relay_killed(scene: Scene) -> None:
    scene.kill("relay")


def redis_restarted(scene: Scene) -> None:
    scene.redis.stop()
    time.sleep(AWAY_S)
    scene.redis.start()


def redis_emptied(scene: Scene) -> None:
    scene.redis.flush()


def redis_hung(scene: Scene) -> None:
    os.kill(scene.redis.process.pid, signal.SIGSTOP)
    time.sleep(8)
    os.kill(scene.redis.process.pid, signal.SIGCONT)


def connections_ended(scene: Scene) -> None:
    scene.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def throttled(scene: Scene) -> None:
    scene.rules({"times": 1, "do": {"status": 429, "headers": {"Retry-After": "3"}}})


def burst_of_503(scene: Scene) -> None:
    scene.rules({"times": 10, "match": {"method": "POST"}, "do": {"status": 503}})


def lost_answers(scene: Scene) -> None:
    scene.rules({"times": 5, "match": {"method": "POST"}, "do": {"drop": "after"}})


@dataclass(frozen=True)
class Fault:
    """What is caused, and the seconds that are promised."""

    cause: Callable[[Scene], None]
    moves_s: float | None = None
    in_step_s: float | None = None


FAULTS = {
    "workers killed before the mark": Fault(
        killed_before_the_mark, in_step_s=LEASE.total_seconds() + AFTER_LEASE_S
    ),
    "workers killed after the mark": Fault(killed_after_the_mark),
    "relay killed": Fault(relay_killed),
    "Redis restarted": Fault(redis_restarted, moves_s=BACK_S),
    "Redis emptied": Fault(redis_emptied, moves_s=BACK_S),
    "Redis hung for 8 s": Fault(redis_hung, moves_s=BACK_S),
    "database connections ended": Fault(connections_ended),
    "API answers 429 once": Fault(throttled),
    "API answers 503, ten times": Fault(burst_of_503),
    "API's answers lost, five": Fault(lost_answers),
}
QUICK = ("relay killed", "Redis restarted", "Redis emptied", "API's answers lost, five")


def run(*, quick: bool) -> Result:
    """Cause each fault in turn; people and claims are new each time."""
    names = QUICK if quick else tuple(FAULTS)
    lines: list[Line] = []
    with scene_for(CROWD * (len(names) + 1)) as (scene, people):
        settle(scene, people[:CROWD])
        for number, name in enumerate(names, 1):
            crowd = people[number * CROWD : (number + 1) * CROWD]
            lines += measure(scene, name, FAULTS[name], crowd)
        requests = ground.arrivals(scene.root)
    lines.append(
        Line(
            name="calls refused by the limiter",
            value=sum(bool(one["limited"]) for one in requests),
            unit="",
            at_most=0,
            counter=True,
        )
    )
    doubled = [one for one in requests if one["method"] == "POST" and one["status"] == 422]
    lines.append(
        Line(name="claims made twice", value=len(doubled), unit="", at_most=0, counter=True)
    )
    return Result(
        scenario="faults",
        conditions=f"{CROWD} claims for each fault, a relay and two workers, lease "
        f"{LEASE.seconds} s, quarantine 1 s",
        lines=lines,
    )


def measure(scene: Scene, name: str, fault: Fault, people: Sequence[str]) -> list[Line]:
    """Cause one fault in the middle of its claims."""
    before = scene.arrived()
    with scene.database.transaction() as connection:
        emit(connection, claims(people))
    ground.until(lambda: scene.arrived() > before + 3, "no call came", patience=PATIENCE_S)
    fault.cause(scene)
    back, at = time.monotonic(), scene.arrived()
    ground.until(
        lambda: scene.arrived() > at or not scene.open_entries(), name, patience=PATIENCE_S
    )
    moves = time.monotonic() - back
    ground.until(lambda: not scene.open_entries(), name, patience=PATIENCE_S)
    in_step = time.monotonic() - back
    scene.rules()
    return [
        Line(name=f"{name}: work moves", value=moves, unit="s", at_most=fault.moves_s),
        Line(name=f"{name}: all in step", value=in_step, unit="s", at_most=fault.in_step_s),
        Line(name=f"{name}: extra calls", value=scene.arrived() - before - len(people), unit=""),
    ]


def settle(scene: Scene, people: Sequence[str]) -> None:
    """Let processes start and the quota's log be opened."""
    with scene.database.transaction() as connection:
        emit(connection, claims(people))
    ground.until(lambda: not scene.open_entries(), "nobody works", patience=PATIENCE_S)


@contextmanager
def scene_for(number: int) -> Generator[tuple[Scene, list[str]]]:
    """Set everybody to work on a world of so many people."""
    with (
        ExitStack() as ends,
        tempfile.TemporaryDirectory() as folder,
        ground.postgresql() as url,
        ground.sandbox(ground.world_of(number)) as root,
    ):
        server = Redis(Path(folder))
        ends.callback(lambda: server.stop())
        settings = bound(ground.settings_for(url, server.url, url=root))
        database = Database(url)
        ends.callback(database.close)
        scene = Scene(
            root=root,
            database=database,
            redis=server,
            environment={**ground.environment_for(settings), **SETTINGS},
            log=Path(folder) / "log",
        )
        with scene.ends:
            for role in ("relay", "worker", "worker"):
                scene.start(role)
            yield scene, ground.participant_ids(root, number)


def bound(settings: Settings) -> Settings:
    """Bind the database, so that all processes find it so."""
    with ground.wired(replace(settings, lease=LEASE)):
        return settings
