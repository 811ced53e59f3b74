"""What one `emit` adds to a transaction, what many at once cost, and whether producers meet.

The peers are what somebody would write by hand: a plain insert of the same row through the same
session, and the driver's own COPY of the same rows. Both sides are given the same events, made
beforehand, and both write their payloads as JSON.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import psycopg
from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.orm import Session

from benchmarks.ground import Statements, postgresql, sqlite
from benchmarks.result import Line, Peer, Result, median
from producers import emit
from records.append import COLUMNS
from runtime.database import Database, database_url
from schema.events import Event, ScheduleChanged, encode_payload
from schema.tables import outbox_entry

MANY = 5_000
"""Events emitted at once: a night's import in pieces of a few seconds' work."""

PRODUCERS = 8

LOCK_WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND wait_event <> 'extend'"
)
"""Who waits for a lock of somebody else. Making the file longer (`extend`) is the table's own."""


def run(*, quick: bool) -> Result:
    """Measure on both databases."""
    rounds = 300 if quick else 2_000
    batches = 3 if quick else 9
    with postgresql() as url, sqlite() as file:
        lines = (
            one_by_one("PostgreSQL", url, rounds),
            one_by_one("SQLite", file, rounds),
            all_at_once(url, batches),
            *side_by_side(url, 1.0 if quick else 4.0),
        )
    return Result(
        scenario="emit",
        conditions=f"{rounds} rounds, interleaved; {batches} batches of {MANY:,}, with commit; "
        f"{PRODUCERS} producers",
        lines=lines,
    )


def events(number: int) -> list[Event]:
    """Make events of the usual size."""
    return [
        ScheduleChanged(
            source_id=f"E-{place}",
            event_id=None,
            schedule_identifier="ecf-extended-september",
            cohort="2025",
            happened_at=datetime(2025, 10, 1, 9, tzinfo=UTC),
            actor="bench",
        )
        for place in range(number)
    ]


def one_by_one(name: str, url: str, rounds: int) -> Line:
    """Compare one emit with one plain insert, in an ORM transaction that is open."""
    engine = create_engine(database_url(url))
    ours: list[float] = []
    plain: list[float] = []
    made = events(rounds)
    for start in range(0, rounds, 50):
        with Session(engine) as session, session.begin():
            insert_plainly(session, made[start])
            emit(session, made[start])
            for place, event in enumerate(made[start : start + 50]):
                pair = [(emit, ours), (insert_plainly, plain)]
                for write, took in pair if place % 2 else reversed(pair):
                    took.append(_timed(write, session, event))
    engine.dispose()
    return Line(
        name=f"one emit in an ORM transaction, {name}",
        value=median(ours) * 1e6,
        unit="µs",
        peer=Peer(name="a plain insert of the row", value=median(plain) * 1e6),
        at_most=0.5,
    )


def _timed(write: Callable[[Session, Event], object], session: Session, event: Event) -> float:
    begun = time.perf_counter()
    write(session, event)
    return time.perf_counter() - begun


def insert_plainly(session: Session, event: Event) -> None:
    """Insert the row as one writes it without us."""
    session.execute(
        insert(outbox_entry).values(
            event=event.event,
            source_id=event.source_id,
            payload=event.payload(),
            destination=event.destination,
            source=event.source,
            event_id=event.event_id,
            version=event.version,
            happened_at=event.happened_at,
            seen=event.seen,
            actor=event.actor,
        )
    )


def all_at_once(url: str, batches: int) -> Line:
    """Compare many emitted at once with COPY, transaction and commit included."""
    database = Database(url)
    made = events(MANY)
    ours: list[float] = []
    copied: list[float] = []
    with psycopg.connect(url) as connection:
        for _ in range(batches):
            begun = time.perf_counter()
            with database.transaction() as ours_open:
                emit(ours_open, made)
            between = time.perf_counter()
            copy(connection, made)
            copied.append(time.perf_counter() - between)
            ours.append(between - begun)
    database.close()
    return Line(
        name="many events emitted at once, PostgreSQL",
        value=MANY / median(ours),
        unit="rows/s",
        peer=Peer(name="psycopg COPY of the same rows", value=MANY / median(copied)),
        at_least=0.6,
    )


def copy(connection: psycopg.Connection, made: list[Event]) -> None:
    """Write the rows with COPY, row by row, and commit."""
    statement = f"COPY outbox_entry ({', '.join(COLUMNS)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as rows:
        for event in made:
            rows.write_row(
                (
                    event.event,
                    event.source_id,
                    encode_payload(event),
                    event.destination,
                    event.source,
                    event.event_id,
                    event.version,
                    event.happened_at,
                    event.seen,
                    event.actor,
                )
            )
    connection.commit()


def side_by_side(url: str, seconds: float) -> list[Line]:
    """Let several producers emit at once, and look for one that waits for another."""
    database = Database(url, pool_size=PRODUCERS)
    statements = Statements(database.engine)
    stop = threading.Event()
    emitted = [0] * PRODUCERS
    threads = [
        threading.Thread(target=_produce, args=(database.engine, place, emitted, stop))
        for place in range(PRODUCERS)
    ]
    for thread in threads:
        thread.start()
    waits, looks = _watch(url, seconds)
    stop.set()
    for thread in threads:
        thread.join()
    notifies = sum("NOTIFY" in text.upper() for text in statements.texts.elements())
    per_emit = statements.texts.total() / sum(emitted)
    database.close()
    return [
        Line(name=f"waits for a lock seen in {looks} looks", value=waits, unit="", at_most=0),
        Line(name="NOTIFY statements", value=notifies, unit="", at_most=0, counter=True),
        Line(name="statements per emit", value=per_emit, unit="", at_most=1, counter=True),
        Line(name=f"{PRODUCERS} producers", value=sum(emitted) / seconds, unit="commits/s"),
    ]


def _produce(engine: Engine, place: int, emitted: list[int], stop: threading.Event) -> None:
    event = events(1)[0]
    while not stop.is_set():
        with engine.begin() as connection:
            emit(connection, event)
        emitted[place] += 1


def _watch(url: str, seconds: float) -> tuple[int, int]:
    waits = looks = 0
    ends = time.monotonic() + seconds
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < ends:
            with suppress(TypeError):
                row = connection.execute(LOCK_WAITS.encode()).fetchone()
                waits += row[0] if row else 0
            looks += 1
            time.sleep(0.005)
    return waits, looks
