"""A site of real parts: a sandbox, a database, a Redis server, and worker processes to kill."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select, text, update

from outbox.relay import Relay, Ring
from pillarbox.demo import person
from pillarbox.world import SANDBOX_TOKEN, Control, wait_until
from producers import emit
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.events import DeclarationMade, decode
from schema.keys import EntryId
from schema.tables import attempt, outbox_entry, record
from tests.support.builders import ECT
from tests.support.clock import NOON
from tests.support.servers import surroundings
from workers.wiring import Wiring

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
"""How long a condition may take to come true before a test gives up; nothing waits this long."""


class Site:
    """Everything in this process but the workers, which are processes of their own."""

    def __init__(self, database_url: str, redis_url: str, sandbox: Sandbox, folder: Path) -> None:
        self.environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PILLARBOX_API_URL": sandbox.url,
            "PILLARBOX_API_TOKEN": SANDBOX_TOKEN,
            "PILLARBOX_SETTLE": "0",
            "PILLARBOX_QUARANTINE": "0",
            "PILLARBOX_SEND_BY": "500ms",
            "PILLARBOX_DEADLINE": "2s",
            "PILLARBOX_NAMESPACE": f"t{uuid4().hex[:8]}",
        }
        self._sandbox = sandbox
        self.control = Control(sandbox)
        self.wiring = Wiring.build(Settings.from_environment(self.environment))
        self.wiring.bind()
        self.database = self.wiring.database
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []
        self._destination = self.wiring.settings.destinations[0]
        self._relay = self.wiring.relay(self._destination)
        self._rings: deque[Ring] = deque()
        self._own_relay = self._relay_of(self._rings.extend)
        self._deliverer = self.wiring.deliverer(self._destination)

    def _relay_of(self, dispatch: Callable[[Sequence[Ring]], None]) -> Relay:
        return Relay(
            database=self.database,
            contract=self.wiring.contract(self._destination),
            destination=self._destination.name,
            clock=self.wiring.clock,
            timing=self.wiring.timing(self._destination),
            settle=self.wiring.settings.settle,
            dispatch=dispatch,
            room=self.wiring.paces[self._destination.name].room,
        )

    # what local systems do

    def declare(self, name: str) -> EntryId:
        """Commit a claim for a person of the bundled world, with their link."""
        linked = {
            "event": "participant_linked",
            "source_id": name,
            "participant_id": person(name),
            "course_identifier": ECT,
        }
        claim = DeclarationMade(
            source_id=name,
            declaration_type="started",
            declaration_date=NOON.replace(year=2025, month=10, day=1),
            evidence_held="training-event-attended",
        )
        with self.database.transaction() as connection:
            return emit(connection, [decode(linked), claim])[1]

    def how(self, entry: EntryId) -> str:
        """Say how an entry stands."""
        with self.database.reading() as connection:
            query = select(outbox_entry.c.closed_as).where(outbox_entry.c.id == entry)
            return connection.execute(query).scalar_one() or "open"

    def posts(self, name: str) -> list[dict[str, Any]]:
        """Give the claims for a person that arrived, from the sandbox's own log."""
        arrived = self.control.get("/requests?limit=10000")["requests"]
        return [
            one for one in arrived if one["method"] == "POST" and person(name) in str(one["json"])
        ]

    def calls_of(self, entry: EntryId) -> list[tuple[str, str | None]]:
        """Give the attempts at an entry's record, and how each ended."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(attempt.c.operation, attempt.c.outcome)
                .join(outbox_entry, outbox_entry.c.record_id == attempt.c.record_id)
                .where(outbox_entry.c.id == entry)
                .order_by(attempt.c.id)
            )
            return [(operation, outcome) for operation, outcome in rows]

    def state_of(self, entry: EntryId) -> str:
        """Give the state of an entry's record."""
        with self.database.reading() as connection:
            query = select(record.c.state).join(
                outbox_entry, outbox_entry.c.record_id == record.c.id
            )
            return connection.execute(query.where(outbox_entry.c.id == entry)).scalar_one()

    def hold_claims(self, **do: object) -> None:
        """Hold back every claim that arrives at the sandbox, in this way."""
        self._faults("PUT", [{"name": "hold", "match": {"method": "POST"}, "do": do}])

    def let_go(self) -> None:
        """Let go what is held back."""
        self._faults("DELETE", None)

    def _faults(self, method: str, rules: object) -> None:
        request = urllib.request.Request(
            f"{self._sandbox.root_url}/_sandbox/faults",
            data=None if rules is None else json.dumps(rules).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()

    @contextmanager
    def no_attempt_can_be_written(self) -> Generator[None]:
        """Hold every process at the moment in which it writes an attempt (PostgreSQL)."""
        with self.database.transaction() as connection:
            connection.execute(text("LOCK TABLE attempt IN SHARE MODE"))
            yield

    # workers

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker process in a group of its own."""
        number = len(self._workers)
        with (self._folder / f"worker-{number}.log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "pillarbox", "worker", "--threads", "1"],
                cwd=ROOT,
                env={**surroundings(), **self.environment},
                stderr=log,
                start_new_session=True,
            )
        self._workers.append(child)
        return child

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill it, as a machine does that loses power."""
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def relay_until(self, done: Callable[[], bool]) -> None:
        """Make rounds that ring the worker processes, until something is so."""

        def look() -> bool:
            self._relay.run_once()
            return done()

        assert wait_until(look, timeout=PATIENCE_S), self.logs()

    # what comes after

    def let_leases_run_out(self) -> None:
        """Let the time of every lease pass, without anybody having to wait for it."""
        with self.database.transaction() as connection:
            before = NOON.replace(year=2020)
            connection.execute(
                update(record).where(record.c.lease_until.is_not(None)).values(lease_until=before)
            )

    def recover(self, entry: EntryId) -> None:
        """Relay and deliver in this process until an entry is closed."""
        self.let_leases_run_out()

        def look() -> bool:
            self._own_relay.run_once()
            while self._rings:
                self._deliverer.deliver(self._rings.popleft())
            return self.how(entry) != "open"

        assert wait_until(look, timeout=PATIENCE_S), self.logs()

    def someone_waits_for_a_lock(self) -> bool:
        """Say whether a worker waits for a lock of the database (PostgreSQL)."""
        with self.database.reading() as connection:
            query = text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return connection.execute(query).scalar_one() > 0

    def end_who_waits(self) -> None:
        """End the server's side of those who wait for a lock (PostgreSQL).

        The server notices that a waiting client has died only after it has done what it waited
        for; here it is to have died before.
        """
        with self.database.transaction() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            )

    def logs(self) -> str:
        """Give what the workers said."""
        return "\n".join(file.read_text() for file in sorted(self._folder.glob("*.log")))

    def close(self) -> None:
        """End every worker, by its process id."""
        for worker in self._workers:
            if worker.poll() is None:
                self.kill(worker)
        self.wiring.close()
