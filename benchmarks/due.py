"""Finding the next batch, with millions of rows behind it and with an old transaction open.

What is behind must not be passed on the way: the peer is the same search with ten thousand rows.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from sqlalchemy import Connection

from benchmarks.ground import postgresql, tidied
from benchmarks.result import Line, Peer, Result, median
from outbox import entries
from records import dispatching
from runtime.database import Database
from schema.keys import EntryId
from schema.states import Lane

FEW = 10_000
"""Rows behind the batch that the large table is measured against."""

OPEN = 2_000
"""Records that are due, and entries that are new: more than any batch."""

BATCH = 17
"""What the usual limit, 1,000 in 300 s, carries in the five seconds the relay looks ahead."""

TURNED = 20_000
"""Rows that became due and were dealt with while the old transaction was open."""

ROUNDS = 200

NOW = datetime(2026, 1, 10, tzinfo=UTC)

BUILD_RECORDS = """
INSERT INTO record (destination, kind, source_id, family, state, reason, due_at, remote_id, role,
    wanted, accepted)
SELECT 'default', 'enrolment', 'E-' || n, 'enrolment:E-' || n,
    CASE WHEN n > %(closed)s THEN 'waiting' ELSE 'in_step' END,
    CASE WHEN n > %(closed)s THEN 'settling' END,
    CASE WHEN n > %(closed)s THEN timestamptz '2026-01-02' + n * interval '1 millisecond' END,
    'r-' || n, 'ecf-induction',
    '{"stamps": {"cohort": [1, "local"]}, "pending": {"cohort": ["2025", [1, "local"], null, false]}}',
    '{"training_status": "active", "cohort": "2025", "schedule_identifier": "ecf-standard-april"}'
FROM generate_series(1, %(closed)s + %(open)s) AS n
"""

BUILD_ENTRIES = """
INSERT INTO outbox_entry (event, source_id, payload, record_id, state, closed_as, closed_at)
SELECT 'participant_deferred', 'E-' || n %% 1000000, '{"reason": "other"}',
    CASE WHEN n > %(closed)s THEN NULL ELSE 1 + n %% %(records)s END,
    CASE WHEN n > %(closed)s THEN 'new' ELSE 'closed' END,
    CASE WHEN n > %(closed)s THEN NULL ELSE 'delivered' END,
    CASE WHEN n > %(closed)s THEN NULL ELSE now() END
FROM generate_series(1, %(closed)s + %(open)s) AS n
"""

TURN_RECORDS = """
UPDATE record SET state = 'in_step', reason = NULL, due_at = NULL
WHERE id IN (SELECT id FROM record WHERE state = 'waiting' ORDER BY due_at LIMIT %(turned)s)
"""

TURN_ENTRIES = """
UPDATE outbox_entry
SET record_id = 1, state = 'closed', closed_as = 'unchanged', closed_at = now()
WHERE id IN (SELECT id FROM outbox_entry WHERE state = 'new' ORDER BY id LIMIT %(turned)s)
"""


def run(*, quick: bool) -> Result:
    """Measure small, large, and large with a transaction open all along."""
    many_entries, many_records = (200_000, 50_000) if quick else (5_000_000, 1_000_000)
    with built(FEW, FEW) as url:
        few = searches(url)
    with built(many_entries, many_records, turned=TURNED) as url:
        with psycopg.connect(url) as old:
            # It has a snapshot, so that nothing dealt with after it may be cleaned away.
            old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM binding")
            entry, due = turn(url)
            held = searches(url, entry=entry, due=due)
            look_back = searches(url)
        tidied(url)
        many = searches(url)
    return Result(
        scenario="due",
        conditions=f"{many_entries:,} entries and {many_records:,} records behind batches of "
        f"{BATCH}; medians of {ROUNDS}",
        lines=[
            *lines("", many, few),
            *lines(", a transaction open all along", held, few),
            *(
                Line(name=f"{what}, the round in 5 s without floors", value=took, unit="ms")
                for what, took in look_back.items()
            ),
        ],
    )


def lines(when: str, found: dict[str, float], few: dict[str, float]) -> list[Line]:
    """Two gates each: the promise in milliseconds, and the ratio to the small table."""
    made: list[Line] = []
    for what, took in found.items():
        peer = Peer(name=f"with {FEW:,}", value=few[what])
        made.append(Line(name=f"{what}{when}", value=took, unit="ms", at_most=2.0))
        made.append(
            Line(name=f"{what}{when}, by size", value=took, unit="ms", peer=peer, at_most=2.0)
        )
    return made


@contextmanager
def built(closed_entries: int, closed_records: int, *, turned: int = 0) -> Generator[str]:
    """Make a database with so much behind the open rows; yields its URL."""
    with postgresql() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute("SET statement_timeout = 0")
            for statement, closed in (
                (BUILD_RECORDS, closed_records),
                (BUILD_ENTRIES, closed_entries),
            ):
                numbers = {"closed": closed, "open": OPEN + turned, "records": closed_records}
                connection.execute(
                    statement.encode(),
                    {name: number for name, number in numbers.items() if f"%({name})" in statement},
                )
            connection.execute("VACUUM ANALYZE")
        yield url


def turn(url: str) -> tuple[EntryId, datetime]:
    """Deal with many rows, so that they lie dead in front of the open ones; gives the floors."""
    with psycopg.connect(url) as connection:
        connection.execute(TURN_RECORDS.encode(), {"turned": TURNED})
        connection.execute(TURN_ENTRIES.encode(), {"turned": TURNED})
        row = connection.execute(
            "SELECT (SELECT min(id) FROM outbox_entry WHERE state = 'new'), "
            "(SELECT min(due_at) FROM record WHERE state = 'waiting')"
        ).fetchone()
        assert row is not None
        return EntryId(row[0] - 1), row[1]


def searches(
    url: str, *, entry: EntryId | None = None, due: datetime | None = None
) -> dict[str, float]:
    """Give the medians of looking for, and of locking, the next batch, in milliseconds."""
    database = Database(url)

    def next_due(connection: Connection) -> int:
        return len(
            dispatching.claim_due(connection, "default", Lane.LIVE, now=NOW, limit=BATCH, floor=due)
        )

    def next_new(connection: Connection) -> int:
        return len(entries.claim_new(connection, "default", limit=BATCH, after=entry))

    found = {
        "next due records": timed(database, next_due),
        "next new entries": timed(database, next_new),
    }
    database.close()
    return found


def timed(database: Database, search: Callable[[Connection], int]) -> float:
    """Give the median time of a search, in transactions that change nothing."""
    took: list[float] = []
    for _ in range(ROUNDS):
        with database.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
            begun = time.perf_counter()
            number = search(connection)
            took.append((time.perf_counter() - begun) / timedelta(milliseconds=1).total_seconds())
            connection.rollback()
        if number != BATCH:
            raise AssertionError(f"a batch of {number} in place of {BATCH}")
    return median(took)
