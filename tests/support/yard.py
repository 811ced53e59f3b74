"""Where processes are made to fail: a sandbox with a crowd, and lots with a database each.

One idea: many lots stand on one sandbox, with people of their own, so that many faults may happen
at the same time, and each is judged by what arrived for its people alone.
"""

import itertools
import json
import signal
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import Connection, func, select, update

from pillarbox.world import Control, wait_until
from producers import emit
from runtime.clock import Clock, clock_of
from runtime.database import Database
from sandbox.server import Sandbox
from schema.events import Event, decode
from schema.keys import EntryId
from schema.states import RecordState
from schema.tables import attempt, outbox_entry, record
from tests.support.builders import ECT
from tests.support.children import PATIENCE_S, At, Child, Children
from tests.support.nursery import log_of
from tests.support.servers import PostgresServer, RedisServer

TOKEN = "sandbox-crowd"
PEOPLE = 3_000
LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
SCHEDULES = ("ecf-standard-september", "ecf-extended-september", "ecf-reduced-september")

SETTINGS = {
    "PILLARBOX_API_TOKEN": TOKEN,
    "PILLARBOX_QUOTA": "100000/300",
    "PILLARBOX_SETTLE": "0",
    "PILLARBOX_QUARANTINE": "0",
    "PILLARBOX_SEND_BY": "1s",
    "PILLARBOX_DEADLINE": "2s",
    "PILLARBOX_LEASE": "40s",
    "LOG_FORMAT": "json",
}


def world() -> dict[str, Any]:
    """A world with a crowd of people in training, on the first schedule."""
    training = {
        "provider": "crowd",
        "partnership": "p",
        "schedule": SCHEDULES[0],
        "started_on": "2025-09-01",
    }
    like = {
        "role": "ect",
        "school": "mill",
        "school_started_on": "2025-09-01",
        "training": training,
    }
    statement = {
        "provider": "crowd",
        "cohort": 2025,
        "month": 9,
        "year": 2031,
        "cut_off_date": "2031-08-31",
        "payment_date": "2031-09-25",
    }
    return {
        "format": 1,
        "clock": {"real": True},
        "providers": {"crowd": {"name": "Crowd Training", "tokens": [TOKEN]}},
        "cohorts": {"2025": {}},
        "schedules": {"2025": {name: {"started": ["2025-06-01", None]} for name in SCHEDULES}},
        "delivery_partners": {"hub": {"name": "Hub", "pairings": [["crowd", 2025]]}},
        "schools": {"mill": {"urn": "900901"}},
        "partnerships": {
            "p": {"school": "mill", "provider": "crowd", "delivery_partner": "hub", "cohort": 2025}
        },
        "statements": {"s": statement},
        "participants": {"c": {"bulk": {"count": PEOPLE, "like": like}}},
    }


def said(event: str, source_id: str, **fields: str) -> Event:
    """An event."""
    return decode({"event": event, "source_id": source_id, **fields})


@dataclass(frozen=True)
class Arrived:
    """A request in the sandbox's own log."""

    seq: int
    begun_us: int
    ended_us: int
    method: str
    path: str
    json: Any
    status: int | None
    executed: bool

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.method != "GET"

    @property
    def deed(self) -> str:
        """What it asks for, in a word: the end of its path, for a schedule with its name."""
        word = self.path.partition("?")[0].rpartition("/")[2]
        if word == "change-schedule":
            return f"{word} {self.json['data']['attributes']['schedule_identifier']}"
        return word


class Yard:
    """One sandbox, one nursery, one Redis server, for many lots."""

    def __init__(self, folder: Path, postgres: Callable[[], PostgresServer]) -> None:
        """*postgres* is asked for a server only when a lot is to stand on one."""
        self.folder = folder
        self._postgres = cache(postgres)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.children = Children()
        self.redis = RedisServer(folder)
        self.sandbox = Sandbox(world())
        self.sandbox.start()
        self.control = Control(self.sandbox)
        self.control.put("/limiter", {"limit": 10_000_000, "per_ip_limit": None})

    def close(self) -> None:
        """End everything."""
        self.children.close()
        self.sandbox.stop()
        self.redis.close()

    def lot(self, backend: str, template: Path, *, url: str = "", **settings: str) -> "Lot":
        """Make a lot on `sqlite` (with the stand-in) or `postgresql` (with Redis, and perhaps on a
        database that is there already)."""
        folder = self.folder / f"lot-{uuid4().hex[:8]}"
        folder.mkdir()
        environment = {**SETTINGS, "PILLARBOX_API_URL": self.sandbox.url}
        if backend == "postgresql":
            with self._lock:
                environment["DATABASE_URL"] = url or self._postgres().new()
            environment["REDIS_URL"] = self.redis.url
            environment["PILLARBOX_NAMESPACE"] = f"t{uuid4().hex[:8]}"
        else:
            file = folder / "pillarbox.db"
            file.write_bytes(template.read_bytes())
            environment["DATABASE_URL"] = f"sqlite:///{file}"
        return Lot(self, folder, {**environment, **settings})

    def take_back(self, database: Database) -> None:
        """Leave a database that no process uses any more to another lot."""
        with self._lock:
            self._postgres().give_back(database.url.render_as_string(hide_password=False))

    def newcomer(self) -> str:
        """Give the id of a person with whom nothing was done yet."""
        with self._lock:
            number = next(self._numbers)
        assert number <= PEOPLE, "nobody is left"
        return str(uuid5(NAMESPACE_URL, f"sandbox:participants:c{number}"))

    def arrived(self, people: Iterable[str]) -> dict[str, list[Arrived]]:
        """Give what arrived for these people, in order."""
        found: dict[str, list[Arrived]] = {one: [] for one in people}
        after = 0
        while page := self.control.get(f"/requests?after={after}&limit=10000")["requests"]:
            for one in page:
                about = next((who for who in found if who in one["path"] + str(one["json"])), None)
                if about is not None:
                    found[about].append(_arrived(one))
            after = page[-1]["seq"]
        return found

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Let the sandbox behave by these rules; without any, let go what it holds back."""
        request = urllib.request.Request(
            f"{self.sandbox.root_url}/_sandbox/faults",
            data=json.dumps(rules).encode() if rules else None,
            method="PUT" if rules else "DELETE",
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def _arrived(one: Mapping[str, Any]) -> Arrived:
    begun = int(one["monotonic_us"])
    return Arrived(
        seq=one["seq"],
        begun_us=begun,
        ended_us=begun + int((one["duration_ms"] or 0) * 1000),
        method=one["method"],
        path=one["path"],
        json=one["json"],
        status=one["status"],
        executed=one["executed"],
    )


class Lot(AbstractContextManager["Lot"]):
    """A database, some people, and the processes that keep them in step."""

    def __init__(self, yard: Yard, folder: Path, environment: Mapping[str, str]) -> None:
        self.yard = yard
        self.folder = folder
        self.environment = dict(environment)
        self.database = Database(environment["DATABASE_URL"], pool_size=2)
        self.clock: Clock = clock_of(self.database)
        self.people: dict[str, str] = {}
        """Who is meant by each local name."""
        self._children: list[Child] = []
        self.spoilt = False
        """Whether its database is of no use to others."""

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.send(signal.SIGCONT)
            child.send(signal.SIGTERM)
        for child in self._children:
            child.wait()
        if not self.spoilt and not self.database.is_sqlite:
            self.yard.take_back(self.database)
        self.database.close()

    # what local systems do

    def tell(self, *events: Event) -> list[EntryId]:
        """Commit events."""
        with self.database.transaction() as connection:
            return emit(connection, events)

    def newcomer(self, kind: str = "E") -> str:
        """Link a person with whom nothing was done yet; gives their local name."""
        name = f"{kind}-{len(self.people) + 1}"
        self.people[name] = self.yard.newcomer()
        self.tell(self.link(name))
        return name

    def declare(self) -> str:
        """Make a claim for somebody new."""
        name = self.newcomer("claim")
        self.tell(
            said(
                "declaration_made",
                name,
                declaration_type="started",
                declaration_date="2025-09-20T09:00:00Z",
                evidence_held="training-event-attended",
            )
        )
        return name

    def move(self, schedule: str, name: str | None = None) -> str:
        """Change the schedule of somebody, else of somebody new."""
        name = name or self.newcomer("schedule")
        self.tell(said("schedule_changed", name, schedule_identifier=schedule, cohort="2025"))
        return name

    def defer(self) -> str:
        """Defer somebody new."""
        name = self.newcomer("pause")
        self.tell(said("participant_deferred", name, reason="other"))
        return name

    def link(self, name: str) -> Event:
        """Say who is meant by a local name."""
        who = self.people[name]
        return said("participant_linked", name, participant_id=who, course_identifier=ECT)

    # processes

    def start(self, *arguments: str, at: At | None = None) -> Child:
        """Start a process here."""
        child = self.yard.children.start(
            *arguments, environment=self.environment, folder=self.folder, at=at
        )
        self._children.append(child)
        return child

    def let_leases_run_out(self, *states: RecordState) -> None:
        """Let the time pass of every lease in these states, without anybody having to wait.

        Only what nobody living holds may be let go of.
        """
        held = record.c.state.in_([state.value for state in states or RecordState])
        with self.database.transaction() as connection:
            connection.execute(
                update(record)
                .where(held, record.c.lease_until.is_not(None))
                .values(lease_until=LONG_AGO)
            )

    def move_leases(self, by: timedelta) -> int:
        """Move the end of every lease, as a step of the clock that leases are measured by would."""
        with self.database.transaction() as connection:
            query = select(record.c.id, record.c.lease_until).where(
                record.c.lease_until.is_not(None)
            )
            held = connection.execute(query).all()
            for record_id, until in held:
                connection.execute(
                    update(record).where(record.c.id == record_id).values(lease_until=until + by)
                )
        return len(held)

    def rest(self) -> None:
        """Wait until everything is in step and every entry closed."""
        self.until(lambda: self.open_count() == 0, "everything is in step")

    def until(self, done: Callable[[], object], what: str) -> None:
        """Wait until something is so."""
        assert wait_until(done, timeout=PATIENCE_S), f"not: {what}\n{self.standing()}\n{self.log()}"

    def open_count(self) -> int:
        """Count what is not at its end: entries, and records that are to move."""
        with self.database.reading() as connection:
            return _count(connection, outbox_entry, "closed") + _count(
                connection, record, "in_step"
            )

    def standing(self) -> list[tuple[Any, ...]]:
        """Say how the records stand that are not in step."""
        with self.database.reading() as connection:
            columns = (record.c.source_id, record.c.part, record.c.state, record.c.reason)
            return [tuple(row) for row in connection.execute(select(*columns)).all()]

    def how(self, *entries: EntryId) -> list[str]:
        """Say how some entries ended."""
        with self.database.reading() as connection:
            query = select(outbox_entry.c.id, outbox_entry.c.closed_as)
            ends = dict(connection.execute(query.where(outbox_entry.c.id.in_(entries))).tuples())
        return [ends[one] or "open" for one in entries]

    def doubts(self) -> int:
        """Count the calls of which nobody knew for a while whether they had happened."""
        with self.database.reading() as connection:
            query = select(func.count()).where(attempt.c.outcome == "in_doubt")
            return connection.execute(query).scalar_one()

    def log(self) -> str:
        """Give what the processes said, at its end."""
        return self.whole_log()[-4000:]

    def whole_log(self) -> str:
        """Give all that the processes said."""
        return log_of(self.folder)

    def arrived(self) -> dict[str, list[Arrived]]:
        """Give what arrived, by local name."""
        names = {who: name for name, who in self.people.items()}
        return {names[who]: found for who, found in self.yard.arrived(names).items()}

    def writes(self, name: str) -> list[tuple[str, bool]]:
        """Give the changes that were asked for, for one person: the deed, and whether it was done."""
        return [(one.deed, one.executed) for one in self.arrived()[name] if one.writes]


def _count(connection: Connection, table: Any, end: str) -> int:
    query = select(func.count()).select_from(table).where(table.c.state != end)
    return int(connection.execute(query).scalar_one())


def overlaps(found: Mapping[str, Sequence[Arrived]]) -> list[tuple[str, int]]:
    """Find calls about one person that were under way at the same time."""
    spans: dict[str, list[Arrived]] = defaultdict(list)
    for name, calls in found.items():
        spans[name] = sorted(calls, key=lambda one: one.begun_us)
    return [
        (name, later.seq)
        for name, calls in spans.items()
        for earlier, later in pairwise(calls)
        if later.begun_us < earlier.ended_us
    ]
