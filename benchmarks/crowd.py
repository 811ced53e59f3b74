"""A database as years of use leave it: records, entries, calls, the mirror, news, and what people did.

One idea: the rows are said once, and go into either database in bulk; so what is asked of both is the
same, and every share (one record in twenty waits for a person) is a line here.
"""

import json
import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, product

import psycopg
from sqlalchemy import make_url

from benchmarks import ground
from gateway.registry import contract_named
from inbox.words import words_of
from records.codec import problem_json
from records.signature import sign
from schema.fingerprint import Json
from schema.record import Problem
from schema.states import Reason
from schema.tables import iso

PER_RECORD = 5
"""Entries of one record: the last is the open one, where it has one."""

DEAD, WAITING = 5, 6
"""Records of a hundred that wait for a person, and for their turn."""

DAYS = 100
"""Since when everything happened."""

RUNS, READS, DEEDS = 1_500, 5_000, 20
"""Runs of each collection; reads of the last day; records to one line of the audit trail."""

IN_HAND = 1_000
"""Rows handed to a driver at once."""

SOURCES = ("participants", "declarations", "transfers", "unfunded-mentors", "partnerships")
FIRST = tuple(a + b for a, b in product(("An", "Mar", "Ol", "Zo", "Jo", "Lu"), ("a", "ia", "lin")))
LAST = tuple(a + b for a, b in product(FIRST, ("ton", "ley", "field", "worth", "by", "well")))

GROUPS = (
    (30, Problem(reason=Reason.REFUSED, operation="change_schedule", status=422,
                 field="schedule_identifier", detail="Selected schedule is not valid")),
    (20, Problem(reason=Reason.REFUSED, operation="defer", status=422, field="date",
                 detail="The date must be after the start")),
    (20, Problem(reason=Reason.EXHAUSTED, operation="change_schedule", status=503,
                 detail="failed 10 times")),
    (10, Problem(reason=Reason.CONFLICT, operation="change_schedule", field="cohort",
                 detail="both sides changed it")),
    (10, Problem(reason=Reason.REFUSED, operation="withdraw", status=422,
                 detail="The participant is already withdrawn")),
    (5, Problem(reason=Reason.INVALID_HERE, operation="resume", field="reason",
                detail="There is no such reason")),
    (5, Problem(reason=Reason.REFUSED, operation="withdraw", status=404,
                detail="Your update cannot be made")),
)  # fmt: skip
"""Of how many in a hundred dead letters, and what stands in their way."""

_BY_HUNDREDTH = [problem for share, problem in GROUPS for _ in range(share)]

Row = Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """So many people at a moment, and all that is there because of them. Ids are what they count."""

    people: int
    now: datetime

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return self.people * PER_RECORD

    @property
    def letters(self) -> int:
        """How many wait for a person."""
        return self.people * DEAD // 100

    @property
    def a_letter(self) -> int:
        """The id of one that waits for a person."""
        return self.people - 100

    def tables(self) -> Generator[tuple[str, Sequence[str], Iterable[Row]]]:
        """Give each table's name, its columns and its rows; what others point at comes first."""
        for name, columns, rows in (
            ("record", _RECORD, self._records),
            ("outbox_entry", _ENTRY, self._entries),
            ("attempt", _ATTEMPT, self._attempts),
            ("remote_record", _MIRROR, self._mirror),
            ("remote_word", ("destination", "word", "remote_id"), self._words),
            ("poll_run", _RUN, self._runs),
            ("checkpoint", _CHECKPOINT, self._checkpoints),
            ("request_log", _READ, self._reads),
            ("feed", _FEED, self._feed),
            ("feed_end", ("destination", "position"), lambda: [("default", self.people // 10)]),
            ("subscriber", ("destination", "name", "position"), self._subscribers),
            (
                "tally",
                ("destination", "span", "start", "subject", "outcome", "number"),
                self._tallies,
            ),
            ("tally_end", ("destination", "counted_to"), lambda: [("default", iso(self.now))]),
            ("drift", _DRIFT, self._drifts),
            ("discarded", _DISCARDED, self._discarded),
            ("bulk", _BULK, self._bulks),
            ("bulk_item", ("bulk_id", "record_id", "state", "result", "at"), self._items),
            ("audit", ("at", "actor", "action", "subject", "reason"), self._audit),
        ):
            yield name, columns, rows()

    def ago(self, part: float) -> datetime:
        """Give a moment: 0 is when all began, 1 is now."""
        return self.now - timedelta(days=DAYS) * (1 - part)

    def _records(self) -> Generator[Row]:
        waits = json.dumps(
            {
                "stamps": {"cohort": [1, "local"]},
                "pending": {
                    "schedule_identifier": [
                        "ecf-extended-september",
                        [1, "local"],
                        "ecf-standard-april",
                        True,
                    ]
                },
            }
        )
        nothing = json.dumps({"stamps": {"cohort": [1, "local"]}})
        accepted = json.dumps(
            {
                "training_status": "active",
                "cohort": "2025",
                "schedule_identifier": "ecf-standard-april",
            }
        )
        due = iso(self.now + timedelta(minutes=5))
        for n in range(1, self.people + 1):
            place = (f"E-{n}", f"enrolment:E-{n}", _uuid(n), accepted)
            if is_dead(n):
                problem = problem_of(n)
                at = self.ago(n / self.people)
                said = json.dumps({**problem_json(problem), "at": at.isoformat()})
                yield (
                    *place, "dead", problem.reason.value, signed(problem), iso(at), None,
                    self.people * (PER_RECORD - 1) + n, waits, said,
                )  # fmt: skip
            elif DEAD <= n % 100 < DEAD + WAITING:
                oldest = self.people * (PER_RECORD - 1) + n
                yield *place, "waiting", "quota", None, None, due, oldest, waits, None
            else:
                yield *place, "in_step", None, None, None, None, None, nothing, None

    def _entries(self) -> Generator[Row]:
        payload = json.dumps({"schedule_identifier": "ecf-extended-september", "cohort": "2025"})
        for turn, n in product(range(PER_RECORD), range(1, self.people + 1)):
            part = (turn * self.people + n) / self.entries
            at = iso(self.ago(part))
            started = ("schedule_changed", f"E-{n}", payload, at, n)
            if turn == PER_RECORD - 1 and n % 100 < DEAD + WAITING:
                # Who stands aside was told so long ago.
                told = problem_of(n).reason.value if is_dead(n) else None
                yield *started, "folded", None, None, told
            else:
                closed = "superseded" if n % 10 == turn else "delivered"
                yield *started, "closed", closed, at, closed

    def _attempts(self) -> Generator[Row]:
        request = json.dumps({"method": "PUT", "path": "/participants", "body": {}})
        whose = [n for n in range(1, self.people + 1) if is_dead(n) or n % 4 == 1]
        for place, n in enumerate(whose):
            at = iso(self.ago(place / len(whose)))
            refused = is_dead(n)
            yield (
                n, "default", "live", 1, f"g-{place}", "change_schedule", "f" * 32, request, at, at,
                "refused" if refused else "delivered", 422 if refused else 200, 120,
            )  # fmt: skip

    def _mirror(self) -> Generator[Row]:
        begun = iso(self.ago(0))
        for n in range(1, self.people + 1):
            yield (
                "default", "participants", _uuid(n), f"{n:032x}", begun, iso(self.now), begun, begun,
                1, json.dumps(person(n)),
            )  # fmt: skip

    def _words(self) -> Generator[Row]:
        contract = contract_named("lead_provider_v3")
        named_by = next(one.named_by for one in contract.sources(self.now) if one.named_by)
        for n in range(1, self.people + 1):
            for word in sorted(words_of(person(n), named_by)):
                yield "default", word, _uuid(n)

    def _runs(self) -> Generator[Row]:
        for n, source in product(range(RUNS), SOURCES):
            at = self.ago(n / RUNS)
            kind = "full" if n % 100 == 0 else "poll"
            yield (
                "complete", kind, "default", source, "timer", iso(at), iso(at), iso(at),
                iso(at + timedelta(seconds=9)), 3, 4, 250, 20, 230, json.dumps({}),
            )  # fmt: skip

    def _checkpoints(self) -> Generator[Row]:
        at = iso(self.ago(1 - 1 / RUNS))
        for place, source in enumerate(SOURCES):
            last = (RUNS - 1) * len(SOURCES) + place + 1
            yield "default", source, at, at, last, iso(self.now + timedelta(minutes=5))

    def _reads(self) -> Generator[Row]:
        for n in range(READS):
            at = iso(self.now - timedelta(days=1) * (1 - n / READS))
            yield "default", "poll", f"r-{n}", "/participants", at, at, "delivered", 200, 80

    def _feed(self) -> Generator[Row]:
        before, after = json.dumps({"cohort": "2024"}), json.dumps({"cohort": "2025"})
        for n in range(1, self.people // 10 + 1):
            yield (
                "default", n, "updated", "participants", _uuid(n), json.dumps([f"enrolment:E-{n}"]),
                json.dumps(["cohort"]), before, after, iso(self.ago(n / (self.people // 10))),
            )  # fmt: skip

    def _subscribers(self) -> Generator[Row]:
        yield "default", "crm", self.people // 10
        yield "default", "warehouse", self.people // 20

    def _tallies(self) -> Generator[Row]:
        minute = self.now.replace(second=0, microsecond=0)
        hour = minute.replace(minute=0)
        day = hour.replace(hour=0)
        kept = (
            ("minute", minute, timedelta(minutes=1), 2 * 24 * 60),
            ("hour", hour, timedelta(hours=1), 30 * 24),
            ("day", day, timedelta(days=1), DAYS),
        )
        counted = (
            ("entry", "delivered"), ("entry", "superseded"), ("call", "delivered"),
            ("call", "refused"), ("read", "delivered"),
        )  # fmt: skip
        for span, last, step, number in kept:
            for n, (subject, outcome) in product(range(number), counted):
                yield "default", span, iso(last - n * step), subject, outcome, 1 + n % 7

    def _drifts(self) -> Generator[Row]:
        for n in range(1, self.people // 500 + 1):
            yield (
                "open", "different", "default", "participants", _uuid(n), f"enrolment:E-{n}",
                "cohort", json.dumps("2025"), json.dumps("2024"), iso(self.ago(n / self.people)),
            )  # fmt: skip

    def _discarded(self) -> Generator[Row]:
        nothing = json.dumps({"wishes": [], "entries": [], "locks": {}})
        for n in range(1, self.people // 1_000 + 1):
            yield (
                "default", 50 + 100 * n if n * 100 < self.people - 50 else 50, "discard",
                iso(self.ago(n / self.people)), "robin", "not ours", n, nothing,
            )  # fmt: skip

    def _bulks(self) -> Generator[Row]:
        for n in range(1, 4):
            at = iso(self.ago(n / 4))
            yield (
                "done", "replay", "default", self.letters, "bulk", 0, "robin", "fixed there", at, at,
                at, json.dumps({}), json.dumps({"sent": self.letters}),
            )  # fmt: skip

    def _items(self) -> Generator[Row]:
        for bulk, n in product(range(1, 4), range(1, self.people + 1)):
            if is_dead(n):
                yield bulk, n, "ended", "sent", iso(self.ago(bulk / 4))

    def _audit(self) -> Generator[Row]:
        actions = ("replay", "discard", "correct", "pause")
        for n in range(self.people // DEEDS):
            yield (
                iso(self.ago(n * DEEDS / self.people)), ("robin", "ines")[n % 2], actions[n % 4],
                f"enrolment:E-{n + 1}", "as agreed",
            )  # fmt: skip


def is_dead(n: int) -> bool:
    """Whether this one waits for a person."""
    return n % 100 < DEAD


def problem_of(n: int) -> Problem:
    """Give what stands in the way of one that waits for a person."""
    return _BY_HUNDREDTH[(n // 100 * DEAD + n % 100) % 100]


def signed(problem: Problem) -> str:
    """Give the group that a problem belongs to."""
    return sign(problem.reason, "enrolment", problem)


def person(n: int) -> dict[str, Json]:
    """Give what the mirror holds of somebody."""
    first, last = FIRST[n % len(FIRST)], LAST[n // len(FIRST) % len(LAST)]
    return {
        "full_name": f"{first} {last}",
        "teacher_reference_number": trn_of(n),
        "mergers": [],
        "ecf-induction": {
            "email": f"{first}.{last}.{n}@example.org".lower(),
            "training_status": "active",
            "cohort": "2025",
            "schedule_identifier": "ecf-standard-april",
            "school_urn": f"{900_000 + n % 9_000}",
            "eligible_for_funding": True,
        },
    }


def trn_of(n: int) -> str:
    """Give somebody's teacher reference number."""
    return f"{1_000_000 + n:07d}"


def _uuid(n: int) -> str:
    return f"{n:08x}-0000-4000-8000-{n:012x}"


_RECORD = (
    "source_id", "family", "remote_id", "accepted", "state", "reason", "signature", "aside_at",
    "due_at", "oldest_entry", "wanted", "problem",
)  # fmt: skip
_ENTRY = (
    "event", "source_id", "payload", "emitted_at", "record_id", "state", "closed_as", "closed_at",
    "told",
)  # fmt: skip
_ATTEMPT = (
    "record_id", "destination", "lane", "token", "grant_id", "operation", "fingerprint", "request",
    "marked_at", "answered_at", "outcome", "status", "duration_ms",
)  # fmt: skip
_MIRROR = (
    "destination", "source", "remote_id", "fingerprint", "first_seen", "last_seen",
    "read_began_at", "remote_updated_at", "seen_run", "content",
)  # fmt: skip
_RUN = (
    "state", "kind", "destination", "source", "trigger", "since", "opened_at", "started_at",
    "ended_at", "pages", "requests", "seen", "applied", "unchanged", "progress",
)  # fmt: skip
_CHECKPOINT = (
    "destination", "source", "watermark", "watermark_here", "completed_run", "next_poll_at",
)  # fmt: skip
_READ = (
    "destination", "lane", "grant_id", "path", "marked_at", "answered_at", "outcome", "status",
    "duration_ms",
)  # fmt: skip
_FEED = (
    "destination", "position", "kind", "source", "remote_id", "record_keys", "changed", "before",
    "after", "at",
)  # fmt: skip
_DRIFT = (
    "state", "kind", "destination", "source", "remote_id", "record_key", "field", "ours", "theirs",
    "found_at",
)  # fmt: skip
_DISCARDED = (
    "destination", "record_id", "action", "at", "actor", "reason", "last_entry", "dropped",
)  # fmt: skip
_BULK = (
    "state", "deed", "destination", "total", "lane", "offpeak", "actor", "reason", "created_at",
    "started_at", "ended_at", "selection", "tally",
)  # fmt: skip

_SAME = {"record": {"destination": "default", "kind": "enrolment", "role": "ecf-induction"}}
"""What is the same in every row of a table, and has no default there."""


def fill(url: str, crowd: Crowd) -> None:
    """Put a crowd into an empty, migrated database."""
    with _writer(url) as write:
        for name, columns, rows in crowd.tables():
            same = _SAME.get(name, {})
            tail = tuple(same.values())
            write(name, (*columns, *same), ((*row, *tail) for row in rows) if same else rows)


Write = Callable[[str, Sequence[str], Iterable[Row]], None]


@contextmanager
def _writer(url: str) -> Generator[Write]:
    """Give what writes rows in bulk; afterwards the planner knows what is there."""
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        file = sqlite3.connect(str(where.database), isolation_level=None)
        try:
            file.execute("PRAGMA synchronous = off")
            file.execute("BEGIN")
            yield partial(_insert, file)
            file.execute("COMMIT")
            file.execute("ANALYZE")
        finally:
            file.close()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        yield partial(_copy, connection)
    ground.tidied(url)


def _insert(
    file: sqlite3.Connection, name: str, columns: Sequence[str], rows: Iterable[Row]
) -> None:
    marks = ", ".join("?" * len(columns))
    left = iter(rows)
    while some := list(islice(left, IN_HAND)):
        file.executemany(f"INSERT INTO {name} ({_named(columns)}) VALUES ({marks})", some)


def _copy(
    connection: psycopg.Connection, name: str, columns: Sequence[str], rows: Iterable[Row]
) -> None:
    copying = f"COPY {name} ({_named(columns)}) FROM STDIN".encode()
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        for row in rows:
            copy.write_row(row)


def _named(columns: Sequence[str]) -> str:
    return ", ".join(f'"{one}"' for one in columns)
