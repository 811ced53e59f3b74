"""The timetable rings for what is due, and for nothing else."""

from datetime import datetime, timedelta
from random import Random

import pytest

from inbox import booked, checkpoints
from inbox.booked import Booked
from runtime.database import Database
from schema.hours import bookings, nightly
from schema.inbox import RunKind, RunState, Trigger
from schema.sources import Order
from tests.support.clock import NOON, HandClock
from tests.support.remote import crm
from workers.timetable import Ring, Timetable

TUESDAY_NIGHT = datetime(2026, 2, 10, 23, tzinfo=NOON.tzinfo)  # NOON is on a Tuesday


class Table:
    """A timetable of one source, and what it rang."""

    def __init__(self, database: Database, *, started: bool = True) -> None:
        self.database = database
        self.clock = HandClock()
        self.rung: list[Ring] = []
        self.table = Timetable(
            database=database,
            clock=self.clock,
            destination="default",
            contract=crm(Order.RESTART),
            started=started,
            booked=bookings("tue 22:00-06:00, sat 22:00-06:00"),
            offpeak=nightly("22:00-06:00"),
            unconfirmed=timedelta(days=14),
            ring=self.rung.extend,
            dice=Random(1),
        )

    def round(self, **later: float) -> list[tuple[str, str | None]]:
        """Make a round; gives the kinds rung, and until when."""
        self.clock.advance(timedelta(**later))
        self.rung.clear()
        self.table.run_once()
        return [(kind, until) for _, _, kind, until in self.rung]

    def at(self, moment: datetime) -> None:
        """Set the clock."""
        self.clock.advance(moment - self.clock.now())

    def read_once(self, *, full_at: datetime | None = None) -> None:
        """Make it look as if the source had been read."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            checkpoints.ensure(connection, "default", "customers")
            held = checkpoints.take(
                connection, "default", "customers", now=now, until=now + timedelta(minutes=1)
            )
            assert held is not None
            run = checkpoints.open_run(
                connection,
                destination="default",
                source="customers",
                kind=RunKind.FULL,
                trigger=Trigger.TIMER,
                since=None,
                now=full_at or now,
                progress={},
            )
            done = run.but(started_at=now, ended_at=now, state=RunState.COMPLETE)
            checkpoints.save(connection, done)
            checkpoints.promote(connection, held, done)
            checkpoints.release(connection, held)
            next_at = now + timedelta(days=30)
            checkpoints.plan_next(connection, "default", "customers", next_at)


@pytest.fixture
def table(database: Database) -> Table:
    return Table(database)


def test_a_source_is_first_read_within_two_minutes_and_then_rung_for_until_it_is(
    table: Table,
) -> None:
    table.at(NOON + timedelta(minutes=5))
    assert table.round() == []
    assert table.round(minutes=2) == [("poll", None)]
    assert table.round(seconds=5) == []  # its ring is on the queue
    assert table.round(minutes=2) == [("poll", None)]  # or was lost


def test_without_a_start_nothing_is_rung_for_until_a_person_asks(database: Database) -> None:
    table = Table(database, started=False)
    table.round()
    assert table.round(minutes=5) == []

    with database.transaction() as connection:
        checkpoints.open_run(
            connection,
            destination="default",
            source="customers",
            kind=RunKind.FULL,
            trigger=Trigger.HAND,
            since=None,
            now=table.clock.now(),
            progress={},
        )
    assert table.round(minutes=1) == [("poll", None)]


def test_a_full_sync_is_rung_for_in_its_hours_and_until_their_end(table: Table) -> None:
    table.read_once(full_at=NOON - timedelta(days=2))
    assert table.round() == []
    table.at(TUESDAY_NIGHT + timedelta(hours=4))

    assert table.round() == [("full", "2026-02-11T06:00:00+00:00")]
    assert table.round(seconds=5) == []


def test_a_full_sync_asked_for_by_hand_waits_for_no_hours(table: Table) -> None:
    table.read_once()
    with table.database.transaction() as connection:
        checkpoints.open_run(
            connection,
            destination="default",
            source="customers",
            kind=RunKind.FULL,
            trigger=Trigger.HAND,
            since=None,
            now=NOON,
            progress={},
        )

    assert table.round() == [("full", None)]


def test_hours_booked_take_the_place_of_the_settings_from_the_next_round_on(table: Table) -> None:
    table.read_once(full_at=NOON - timedelta(days=2))
    with table.database.transaction() as connection:
        booked.add(connection, "default", a_booking("customers", "wed 10:00-12:00"))
        booked.add(connection, "default", a_booking("", "tue 22:00-06:00"))
    table.at(TUESDAY_NIGHT + timedelta(hours=4))
    assert table.round() == []  # those of all do not hold for who has its own

    table.at(datetime(2026, 2, 11, 11, 30, tzinfo=NOON.tzinfo))
    assert table.round() == [("full", "2026-02-11T12:00:00+00:00")]

    with table.database.transaction() as connection:
        assert booked.remove(connection, "default", "customers", "wed 10:00-12:00")
    table.clock.advance(timedelta(hours=2))
    assert table.round() == []
    table.at(datetime(2026, 2, 12, 2, tzinfo=NOON.tzinfo))
    assert [kind for kind, _ in table.round()] == ["full"]  # Tuesday's is made up for


def a_booking(source: str, hours: str) -> Booked:
    return Booked(source=source, hours=hours, agreed_by="DfE", booked_by="ola", booked_at=NOON)


def test_of_several_timetables_at_once_each_run_is_rung_for_by_one(database: Database) -> None:
    tables = [Table(database), Table(database), Table(database)]
    for table in tables:
        table.round()

    assert [len(table.round(minutes=5)) for table in tables] == [1, 0, 0]


def test_what_is_paused_or_being_read_is_left_alone(table: Table) -> None:
    table.round()
    with table.database.transaction() as connection:
        checkpoints.pause(connection, "default", "customers", NOON)
    assert table.round(minutes=5) == []

    with table.database.transaction() as connection:
        checkpoints.pause(connection, "default", "customers", None)
        now = table.clock.now()
        until = now + timedelta(minutes=10)
        checkpoints.take(connection, "default", "customers", now=now, until=until)
    assert table.round(minutes=5) == []
    assert table.round(minutes=6) == [("poll", None)]
