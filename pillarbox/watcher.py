"""Says what happens while it happens, by reading the tables that everybody else writes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from console.views import CLOSED, entry_line, london, news_line, outcome_word
from inbox import feed
from runtime.database import Database
from schema.inbox import News
from schema.keys import RecordKey
from schema.states import EntryState, Reason, RecordState
from schema.tables import attempt, outbox_entry, record

Say = Callable[[str, str], None]
"""Prints a line: who, and what."""

LATE = timedelta(seconds=10)
"""How much later than its stamp an end may become visible."""

LONG_ENOUGH = timedelta(seconds=2)
"""A settling shorter than this is not told."""

MOST_NAMES = 200
"""Local ids longer than this would not fit a line."""


class Watcher:
    """Reads what is new since it last looked, and says it."""

    def __init__(
        self,
        database: Database,
        say: Say,
        names: Mapping[str, str] | None = None,
        *,
        destination: str = "default",
    ) -> None:
        self._database = database
        self._destination = destination
        self._say: Say = say
        self._names = names or {}
        self._entry = 0
        self._attempts: set[int] = set()
        self._last_attempt = 0
        self._closed_since = datetime.min.replace(tzinfo=UTC) + LATE
        self._states: dict[int, tuple[str, str | None]] = {}
        self._open: set[int] = set()
        self._position = 0

    def look(self) -> None:
        """Say everything that happened since the last look."""
        with self._database.reading() as connection:
            self._new_entries(connection)
            self._answers(connection)
            self._ends(connection)
            self._asides(connection)
            self._news(connection)

    def skip(self) -> None:
        """Forget what happened so far."""
        said, self._say = self._say, _nothing
        with self._database.reading() as connection:
            self._position = feed.ends(connection, self._destination).last
        self.look()
        self._say = said

    def _new_entries(self, connection: Connection) -> None:
        rows = connection.execute(
            select(
                outbox_entry.c.id,
                outbox_entry.c.event,
                outbox_entry.c.payload,
                outbox_entry.c.source_id,
                outbox_entry.c.source,
            )
            .where(outbox_entry.c.id > self._entry)
            .order_by(outbox_entry.c.id)
        )
        for row in rows:
            self._entry = row.id
            self._open.add(row.id)
            self._say(
                "event",
                f"#{row.id} {self._named(row.source_id)}: {entry_line(row.event, row.payload)}",
            )

    def _answers(self, connection: Connection) -> None:
        rows = connection.execute(
            select(attempt, record.c.source_id, record.c.kind, record.c.part)
            .join(record, record.c.id == attempt.c.record_id)
            .where((attempt.c.id > self._last_attempt) | attempt.c.id.in_(self._attempts))
            .order_by(attempt.c.id)
        )
        for row in rows:
            self._last_attempt = max(self._last_attempt, row.id)
            if row.outcome is None:
                self._attempts.add(row.id)
                continue
            self._attempts.discard(row.id)
            detail = f": {row.detail}" if row.detail else ""
            status = row.status if row.status is not None else "-"
            self._say(
                "worker",
                f"{self._named(row.source_id)}: {row.request['method']} "
                f"{_short(row.request['path'])} → {status} "
                f"{outcome_word(row.request['method'], row.outcome)}{detail}",
            )

    def _ends(self, connection: Connection) -> None:
        if not self._open:
            return
        rows = connection.execute(
            select(
                outbox_entry.c.id,
                outbox_entry.c.closed_as,
                outbox_entry.c.source_id,
                outbox_entry.c.closed_at,
            )
            .where(
                outbox_entry.c.id >= min(self._open),
                outbox_entry.c.state == EntryState.CLOSED.value,
                outbox_entry.c.closed_at >= self._closed_since - LATE,
            )
            .order_by(outbox_entry.c.closed_at, outbox_entry.c.id)
        )
        for row in rows:
            self._closed_since = max(self._closed_since, row.closed_at)
            if row.id in self._open:
                self._open.discard(row.id)
                self._say(
                    "outbox", f"#{row.id} {self._named(row.source_id)}: {CLOSED[row.closed_as]}"
                )

    def _asides(self, connection: Connection) -> None:
        rows = connection.execute(
            select(
                record.c.id,
                record.c.state,
                record.c.reason,
                record.c.source_id,
                record.c.due_at,
                record.c.waits_for,
                record.c.problem,
            ).where(record.c.state != RecordState.IN_STEP.value)
        )
        for row in rows:
            now = (row.state, row.reason)
            if self._states.get(row.id) == now:
                continue
            self._states[row.id] = now
            self._tell_state(row)

    def _news(self, connection: Connection) -> None:
        for row in feed.read(connection, self._destination, after=self._position, kinds=_NEWS):
            self._position = row["position"]
            ours = [self._named(RecordKey.parse(key).source_id) for key in row["record_keys"]]
            whom = ", ".join(ours) or f"{row['source']} {_short(row['remote_id'] or '')}"
            self._say("feed", f"{whom}: {news_line(row)}")

    def _tell_state(self, row: Any) -> None:
        name = self._named(row.source_id)
        if row.state in (RecordState.DEAD, RecordState.HELD, RecordState.IN_DOUBT):
            told = {
                "dead": "set aside, waits for a person",
                "held": "held for a person",
                "in_doubt": "in doubt, will be looked up",
            }[row.state]
            problem: Mapping[str, str] = row.problem or {}
            detail = problem.get("detail") or str(row.reason)
            field = problem.get("field")
            if field and field not in detail:
                detail = f"{field}: {detail}"
            self._say("desk", f"{name}: {told} ({row.reason}): {detail}")
        elif row.state == RecordState.WAITING and row.reason in _WAITING and _worth_saying(row):
            self._say("relay", f"{name}: {_WAITING[row.reason]} until {_clock(row.due_at)}")

    def _named(self, source_id: str) -> str:
        name = self._names.get(source_id)
        return source_id[:MOST_NAMES] if name is None else f"{name} ({source_id})"


def _worth_saying(row: Any) -> bool:
    """A moment's settling is no news."""
    if row.reason != Reason.SETTLING:
        return True
    return row.due_at is not None and row.due_at - datetime.now(UTC) > LONG_ENOUGH


_NEWS = (News.UPDATED, News.WITHDRAWN, News.GONE, News.MERGED)
"""What is told of the other side. That somebody is there at all is no news when all are read first."""

_WAITING = {
    Reason.SETTLING.value: "waits for more edits",
    Reason.QUOTA.value: "no room in the quota, waits",
    Reason.SNOOZED.value: "the API says not today, waits",
    Reason.BACKOFF.value: "a try failed, waits",
}


def _nothing(who: str, what: str) -> None:
    pass


def _clock(moment: datetime | None) -> str:
    return "-" if moment is None else london(moment)


def _short(path: str) -> str:
    """Shorten the ids in a path to their first eight digits: a person compares, never copies."""
    return "/".join(part[:8] + "…" if len(part) == 36 else part for part in path.split("/"))
