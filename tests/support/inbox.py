"""The incoming half on one database, turned by hand, in front of lists that a test fills."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast

from sqlalchemy import Connection, func, select

from inbox import checkpoints, differences, feed, mirror
from inbox.checkpoints import Checkpoint, Run
from inbox.fetching import Fetched, Got, Missing
from inbox.pacing import Pacing
from inbox.poll import Ended, Moment, Reader
from inbox.window import Everything
from outbox import entries
from runtime.clock import Clock
from runtime.database import Database
from schema.contract import Contract
from schema.fingerprint import Json, utc_seconds
from schema.inbox import RunKind
from schema.incoming_tables import feed as feed_rows
from schema.incoming_tables import remote_record
from schema.plans import Request
from schema.sources import Ask
from schema.states import Lane
from tests.support.builders import MENTOR, PERSON
from tests.support.clock import HandClock
from tests.support.remote import Remote

PACING = Pacing(start=Everything(), quarantine=timedelta(seconds=160), page_size=10)

Answer = Callable[[Request, datetime], Json]
"""Answers a read at a time: the parsed body, or None for a 404."""


class Inbox:
    """A reader, and what it asked."""

    def __init__(
        self,
        database: Database,
        contract: Contract,
        answer: Answer,
        *,
        clock: HandClock | None = None,
        pacing: Pacing = PACING,
    ) -> None:
        self.database = database
        self.contract = contract
        self.clock = clock or HandClock()
        self.pacing = pacing
        self.answer = answer
        self.asked: list[tuple[Request, Lane]] = []
        self.instead: deque[Fetched | Exception] = deque()
        """Comes instead of the next answers; an exception is raised, as if the process died."""
        self.date: Callable[[datetime], datetime | None] = lambda now: now
        self.takes = timedelta(seconds=1)
        """How long each request takes."""
        self.reached: Callable[[Moment], None] = lambda moment: None
        self.stopping: Callable[[], bool] = lambda: False
        self.bound: Callable[[Connection], bool] = lambda connection: True
        self.reader = self.another_reader()

    def another_reader(self) -> Reader:
        """Make a reader that shares nothing with the others but the database."""
        return Reader(
            database=self.database,
            contract=self.contract,
            destination="default",
            clock=cast(Clock, self.clock),
            pacing=self.pacing,
            fetch=self._fetch,
            close=lambda connection, closed, now: entries.close(connection, closed, now=now),
            dice=Random(1),
            sleep=lambda seconds: None,
            reached=lambda moment: self.reached(moment),
            bound=lambda connection: self.bound(connection),
            stopping=lambda: self.stopping(),
        )

    def _fetch(self, request: Request, lane: Lane, run_id: int) -> Fetched:
        began = self.clock.now()
        self.asked.append((request, lane))
        self.clock.advance(self.takes)
        if self.instead:
            told = self.instead.popleft()
            if isinstance(told, Exception):
                raise told
            return told
        body = self.answer(request, began)
        if body is None:
            return Missing(began_at=began)
        return Got(body=body, began_at=began, date=self.date(self.clock.now()))

    # what happens

    def poll(self, source: str, kind: RunKind = RunKind.POLL, **more: Any) -> Ended:
        """Read a collection once, in one slice."""
        return self.reader.read(source, kind, **more)

    def full(self, source: str, **more: Any) -> Ended:
        """Read all of a collection."""
        return self.poll(source, RunKind.FULL, **more)

    def wait(self, **length: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**length))

    # what is there

    def checkpoint(self, source: str) -> Checkpoint:
        """Read where a collection stands."""
        with self.database.reading() as connection:
            return checkpoints.get(connection, "default", source)

    def runs(self) -> list[Run]:
        """Read all runs, the newest first."""
        with self.database.reading() as connection:
            return checkpoints.latest(connection, "default", limit=1000)

    def mirror(self, source: str) -> dict[str, Any]:
        """Read the contents of what is there, by id."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(remote_record.c.remote_id, remote_record.c.content).where(
                    remote_record.c.source == source, remote_record.c.gone_since.is_(None)
                )
            )
            return {row[0]: row[1] for row in rows.all()}

    def news(self, after: int = 0) -> list[tuple[str, str, list[str]]]:
        """Read the feed: kind, id and changed fields of each entry."""
        with self.database.reading() as connection:
            rows = feed.read(connection, "default", after=after, limit=10_000)
        return [(row["kind"], row["remote_id"], row["changed"]) for row in rows]

    def positions(self) -> list[int]:
        """Read the positions of the feed."""
        with self.database.reading() as connection:
            return [row["position"] for row in feed.read(connection, "default", limit=10_000)]

    def held(self) -> list[tuple[str, str]]:
        """Read the rows that are held: their ids, and why."""
        with self.database.reading() as connection:
            return [(row["ref"], row["reason"]) for row in mirror.list_held(connection, "default")]

    def drift(self) -> list[tuple[str, str, str, Any, Any]]:
        """Read the open differences: kind, id, field, ours, theirs."""
        with self.database.reading() as connection:
            rows = differences.listed(connection, "default")
        return [
            (row["kind"], row["remote_id"], row["field"], row["ours"], row["theirs"])
            for row in rows
        ]

    def feed_end(self) -> int:
        """Give the last position of the feed."""
        with self.database.reading() as connection:
            return connection.execute(select(func.max(feed_rows.c.position))).scalar() or 0


def of_remote(remote: Remote) -> Answer:
    """Answer from a remote collection of customers."""

    def answer(request: Request, now: datetime) -> Json:
        asked = dict(request.query)
        if request.path != "/customers":
            shown = {one.id: one for one in remote.visible(now)}
            one = shown.get(request.path.rpartition("/")[2])
            if one is None:
                return None
            return {"id": one.id, "updated_at": utc_seconds(one.stamp), "value": one.value}
        since = asked.get("updated_since")
        ask = Ask(
            since=None if since is None else datetime.fromisoformat(since),
            size=int(asked["size"]),
            page=int(asked["page"]),
            by_change="sort" in asked,
            cursor=asked.get("cursor"),
            after_id=asked.get("after_id"),
        )
        return remote.page(ask, now)

    return answer


class Lists:
    """The lists of the Lead Provider API, as a test fills them: rows by path, then by id."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}

    def put(self, path: str, row: Mapping[str, Any]) -> None:
        """Add a row to a list, or replace it."""
        self.rows.setdefault(path, {})[str(row["id"])] = dict(row)

    def person(
        self, now: datetime, person: str = PERSON, *, name: str = "Amara Okafor", **ect: Any
    ) -> None:
        """Put a participant, an ECT who is active but for what is given."""
        self.put("/participants", a_person(now, person, name=name, **ect))

    def __call__(self, request: Request, now: datetime) -> Json:
        """Answer a list or one of its rows."""
        if request.path in self.rows or not _is_one(request.path):
            return self._list(request)
        path, _, row_id = request.path.rpartition("/")
        row = self.rows.get(path, {}).get(row_id)
        return None if row is None else {"data": row}

    def _list(self, request: Request) -> Json:
        asked = dict(request.query)
        since = asked.get("filter[updated_since]", "")
        rows = [
            row
            for row in self.rows.get(request.path, {}).values()
            if row["attributes"]["updated_at"] >= since
        ]
        if "sort" in asked:
            rows.sort(key=lambda row: row["attributes"]["updated_at"])
        size, page = int(asked["page[per_page]"]), int(asked["page[page]"])
        return {"data": rows[(page - 1) * size : page * size]}


def _is_one(path: str) -> bool:
    last = path.rpartition("/")[2]
    return len(last) == len(PERSON) and last.count("-") == 4


def a_person(
    now: datetime, person: str = PERSON, *, name: str = "Amara Okafor", **ect: Any
) -> dict[str, Any]:
    """A row of participants."""
    enrolment: dict[str, Any] = {
        "participant_type": "ect",
        "training_status": "active",
        "schedule_identifier": "ecf-standard-september",
        "cohort": "2025",
        "mentor_id": MENTOR,
        "deferral": None,
        "withdrawal": None,
        **ect,
    }
    merged = enrolment.pop("merged", [])
    return {
        "id": person,
        "type": "participant",
        "attributes": {
            "full_name": name,
            "updated_at": utc_seconds(now),
            "ecf_enrolments": [enrolment],
            "participant_id_changes": [
                {"from_participant_id": old, "to_participant_id": person} for old in merged
            ],
        },
    }
