"""A stage: sixty records on their way to a sandbox, with a Redis of their own to be disturbed.

One idea: what is told and what must come of it are the same each time, so the end of a disturbed
run can be compared, value by value, with that of one in peace.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import func, select

from outbox.retry import Timing
from pillarbox.world import Control, World, wait_until
from producers import emit
from records import store
from runtime.database import Database
from runtime.settings import Destination, Settings
from sandbox.server import Sandbox
from schema.events import Event, decode
from schema.fingerprint import Json
from schema.states import Reason, RecordState
from schema.tables import outbox_entry, record
from tests.support.builders import ECT
from tests.support.servers import surroundings
from workers.wiring import Wiring

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "sandbox-stage"
PEOPLE = 40
REFUSED = 5
"""Claims that the API refuses, for their date."""
CLAIMS = 20
RECORDS = PEOPLE + CLAIMS + REFUSED
PATIENCE_S = 120.0
"""How long all may take to come to rest before a test gives up; nothing waits this long."""


def world(token: str = TOKEN, person: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Forty people in training, and what they may be declared for."""
    names = ("ecf-standard-september", "ecf-extended-september", "ecf-reduced-september")
    windows = {"started": ["2025-09-01", None], "retained-1": ["2025-09-01", None]}
    training = {
        "provider": "stage",
        "partnership": "p",
        "schedule": names[0],
        "started_on": "2025-09-01",
    }
    return {
        "format": 1,
        "providers": {"stage": {"name": "Stage Training", "tokens": [token]}},
        "cohorts": {"2025": {}},
        "schedules": {"2025": dict.fromkeys(names, windows)},
        "delivery_partners": {"hub": {"name": "Hub", "pairings": [["stage", 2025]]}},
        "schools": {"mill": {"urn": "900901"}},
        "partnerships": {
            "p": {"school": "mill", "provider": "stage", "delivery_partner": "hub", "cohort": 2025}
        },
        "statements": {
            "s": {
                "provider": "stage",
                "cohort": 2025,
                "month": 9,
                "year": 2035,
                "cut_off_date": "2035-08-31",
                "payment_date": "2035-09-25",
            }
        },
        "participants": {
            "c": {
                "bulk": {
                    "count": PEOPLE,
                    "like": {
                        "role": "ect",
                        "school": "mill",
                        "school_started_on": "2025-09-01",
                        "training": training,
                        **(person or {}),
                    },
                }
            }
        },
    }


def waves() -> Sequence[Sequence[Event]]:
    """What local systems tell, in three waves; how it ends does not depend on when each is told.

    So nobody is deferred and resumed: whether that is told at all, or not before tomorrow, depends on it.
    """
    first = [_linked(number) for number in range(1, PEOPLE + 1)]
    first += [_schedule(number, "extended") for number in range(1, 21)]
    first += [_said(number, "participant_deferred", reason="other") for number in range(21, 31)]
    first += [_claim(number, "started", "2025-10-01") for number in range(31, 41)]
    second = [_schedule(number, "extended") for number in range(1, 11)]  # nothing new
    second += [_claim(number, "started", "2025-08-01") for number in range(1, 1 + REFUSED)]
    third = [_schedule(number, "reduced") for number in range(1, 11)]
    third += [_schedule(number, "standard") for number in range(11, 21)]  # as it was
    third += [_said(number, "participant_withdrawn", reason="other") for number in range(21, 31)]
    third += [_claim(number, "retained-1", "2025-12-01") for number in range(31, 41)]
    return first, second, third


def _said(number: int, event: str, **fields: object) -> Event:
    return decode({"event": event, "source_id": f"E-{number}", **fields})


def a_person(number: int) -> str:
    """Give the id of one of the forty."""
    return str(uuid5(NAMESPACE_URL, f"sandbox:participants:c{number}"))


def _linked(number: int) -> Event:
    person = a_person(number)
    return _said(number, "participant_linked", participant_id=person, course_identifier=ECT)


def _schedule(number: int, kind: str) -> Event:
    name = f"ecf-{kind}-september"
    return _said(number, "schedule_changed", schedule_identifier=name, cohort="2025")


def _claim(number: int, kind: str, day: str) -> Event:
    return _said(
        number,
        "declaration_made",
        declaration_type=kind,
        declaration_date=f"{day}T09:00:00Z",
        evidence_held="training-event-attended",
    )


@dataclass(frozen=True)
class End:
    """How everything stands at the end, on both sides; the same whatever happened on the way."""

    people: dict[str, object]
    claims: list[tuple[object, ...]]
    records: dict[str, tuple[RecordState, Reason | None, dict[str, Json]]]
    entries: dict[str, int]
    creates: int
    """Claims that were executed there: one more would be money asked for twice."""


class QuickWiring(Wiring):
    """A wiring that rings again soon, for a test that need not wait for it."""

    def timing(self, destination: Destination) -> Timing:
        """Shorten the one duration that no setting names."""
        return replace(super().timing(destination), ring=timedelta(seconds=3))


class Stage:
    """One run: a sandbox, a database, and everybody at work, in threads or in processes."""

    def __init__(
        self,
        database_url: str,
        redis_url: str | None,
        folder: Path,
        *,
        token: str = TOKEN,
        person: Mapping[str, str] | None = None,
    ) -> None:
        """*person* is what the API knows of everybody besides."""
        self._ends = ExitStack()
        self._children: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self.sandbox = self._ends.enter_context(Sandbox(world(token, person), limit=1_000_000))
        self._control = Control(self.sandbox)
        self.environment = {
            "DATABASE_URL": database_url,
            **({} if redis_url is None else {"REDIS_URL": redis_url}),
            "PILLARBOX_API_URL": self.sandbox.url,
            "PILLARBOX_API_TOKEN": token,
            "PILLARBOX_QUOTA": "100000/300",
            "PILLARBOX_SETTLE": "0",
        }
        self.settings = Settings.from_environment(self.environment)
        self.database = Database(database_url)
        self._ends.callback(self.database.close)

    # who is at work

    def start_threads(self) -> World:
        """Let a relay and a worker work in this process."""
        made = World(self.settings, None)
        made.wiring.close()
        made.wiring = QuickWiring.build(self.settings)
        made.prepare()
        made.start()
        self._ends.callback(made.stop)
        return made

    def start_processes(self) -> None:
        """Let a relay and two workers work, each a process of its own."""
        for number, role in enumerate((["relay"], ["worker"], ["worker"])):
            log = self._ends.enter_context((self._folder / f"{role[0]}-{number}.log").open("wb"))
            child = subprocess.Popen(
                [sys.executable, "-m", "pillarbox", *role],
                cwd=ROOT,
                env={**surroundings(), **self.environment},
                stderr=log,
            )
            self._children.append(child)
            self._ends.callback(_end, child)

    def logs(self) -> str:
        """Give all that the processes said."""
        return "\n".join(file.read_text() for file in sorted(self._folder.glob("*.log")))

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Set the sandbox's faults."""
        body: Any = list(rules)
        self._control.put("/faults", body)

    def all_live(self) -> bool:
        """Say whether every process that was started is there still."""
        return all(child.poll() is None for child in self._children)

    def close(self) -> None:
        """End everybody."""
        self._ends.close()

    # what happens

    def tell(self, events: Sequence[Event]) -> None:
        """Commit events, as a local system does."""
        with self.database.transaction() as connection:
            emit(connection, events)

    def arrivals(self) -> list[dict[str, Any]]:
        """Give what arrived at the sandbox, by its own log."""
        return self._control.get("/requests?limit=10000")["requests"]

    def arrived(self) -> int:
        """Count it."""
        return int(self._control.get("/requests?limit=1")["last_seq"])

    def wait_for_calls(self, more_than: int, *, timeout: float = PATIENCE_S) -> float:
        """Wait until calls arrive; gives how many seconds that took."""
        began = time.monotonic()
        assert wait_until(lambda: self.arrived() > more_than, timeout=timeout, every=0.02)
        return time.monotonic() - began

    def rests(self) -> bool:
        """Say whether everything is folded, and every record in step or in front of a person."""
        new = select(func.count()).where(outbox_entry.c.state == "new")
        moving = select(func.count()).where(record.c.state.not_in(("in_step", "dead")))
        with self.database.reading() as connection:
            return (
                not connection.execute(new).scalar_one() + connection.execute(moving).scalar_one()
            )

    def wait_for_rest(self, *, timeout: float = PATIENCE_S) -> None:
        """Wait until it rests."""
        assert wait_until(self.rests, timeout=timeout, every=0.2), self.end()

    def end(self) -> End:
        """Read how everything stands, here and there."""
        with self.database.reading() as connection:
            found = store.list_open(connection, "default", states=RecordState, limit=10_000)
            counted = connection.execute(
                select(outbox_entry.c.state, func.count()).group_by(outbox_entry.c.state)
            )
            entries = {str(row[0]): int(row[1]) for row in counted}
        kept = ("training_status", "schedule_identifier", "cohort", "state", "declaration_date")
        records = {
            str(one.key): (one.state, one.reason, {n: (one.accepted or {}).get(n) for n in kept})
            for one in found
        }
        done = [one for one in self.arrivals() if one["method"] == "POST" and one["status"] == 200]
        return End(
            people=self._people(),
            claims=self._claims(),
            records=records,
            entries=entries,
            creates=len(done),
        )

    def _people(self) -> dict[str, object]:
        kept = ("training_status", "schedule_identifier", "cohort")
        return {
            one["id"]: [
                (*(enrolment[name] for name in kept), _without_date(enrolment["withdrawal"]))
                for enrolment in one["attributes"]["ecf_enrolments"]
            ]
            for one in self._list("participants")
        }

    def _claims(self) -> list[tuple[object, ...]]:
        kept = ("participant_id", "declaration_type", "declaration_date", "state")
        return sorted(
            tuple(one["attributes"][name] for name in kept)
            for one in self._list("participant-declarations")
        )

    def _list(self, source: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.sandbox.url}/{source}?page[per_page]=3000",
            headers={"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]


def _without_date(pause: Mapping[str, object] | None) -> object:
    return None if pause is None else pause.get("reason")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=30)
    if child.poll() is None:
        child.kill()
        child.wait()
