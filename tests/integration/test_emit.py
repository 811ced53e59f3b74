"""`emit`: an event shares the fate of the transaction it is put into."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from outbox import entries
from outbox.entries import Entry
from producers import emit
from producers.errors import EventIdTaken, OutsideTransaction
from runtime.database import Database
from schema.events import (
    DeclarationMade,
    Event,
    InvalidEvent,
    ParticipantDeferred,
    ParticipantResumed,
    RecordSnapshot,
    ScheduleChanged,
)
from schema.states import EntryState


def deferred(source_id: str = "E-1", **more: Any) -> Event:
    return ParticipantDeferred(source_id=source_id, reason="other", **more)


def all_entries(database: Database) -> list[Entry]:
    with database.reading() as connection:
        return entries.list_entries(connection, limit=10_000)


def sources(database: Database) -> list[str]:
    return [entry.source_id for entry in all_entries(database)]


def test_what_is_emitted_is_kept_as_it_was_said(database: Database) -> None:
    said = DeclarationMade(
        source_id="Ä-1: ☃",
        source="coaching",
        event_id="c-77",
        version=3,
        happened_at=datetime(2026, 2, 9, 8, 30, 15, 250_000, tzinfo=UTC),
        seen=12,
        actor="gwen",
        declaration_type="started",
        declaration_date=datetime(2025, 9, 20, 9, tzinfo=UTC),
        evidence_held="other",
    )

    with database.transaction() as connection:
        entry_id = emit(connection, said)

    (kept,) = all_entries(database)
    assert (kept.id, kept.state, kept.event) == (entry_id, EntryState.NEW, "declaration_made")
    assert (kept.source_id, kept.source, kept.event_id) == ("Ä-1: ☃", "coaching", "c-77")
    assert (kept.version, kept.happened_at, kept.seen, kept.actor) == (
        3,
        said.happened_at,
        12,
        "gwen",
    )
    assert kept.payload == {
        "declaration_type": "started",
        "declaration_date": "2025-09-20T09:00:00Z",
        "evidence_held": "other",
    }
    assert kept.emitted_at.tzinfo is UTC


def test_rolled_back_means_never_said(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin() as undone:
        emit(connection, deferred())
        undone.rollback()

    assert all_entries(database) == []


def test_rolled_back_to_a_savepoint_means_never_said(database: Database) -> None:
    with database.transaction() as connection:
        emit(connection, deferred("kept"))
        savepoint = connection.begin_nested()
        emit(connection, deferred("undone"))
        savepoint.rollback()

    assert sources(database) == ["kept"]


def test_many_events_get_their_ids_in_order(database: Database) -> None:
    names = [f"E-{number}" for number in range(2_500)]

    with database.transaction() as connection:
        ids = emit(connection, [deferred(name) for name in names])

    assert ids == sorted(ids)
    assert sources(database) == names


def test_no_events_are_no_entries(database: Database) -> None:
    with database.transaction() as connection:
        assert emit(connection, []) == []


# sessions


class Base(DeclarativeBase):
    pass


class Teacher(Base):
    __tablename__ = "teacher"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]


@pytest.fixture
def with_teachers(database: Database) -> Any:
    Base.metadata.create_all(database.engine)
    yield database
    Base.metadata.drop_all(database.engine)


def test_a_session_is_flushed_before_its_entry_so_that_ids_follow_row_locks(
    with_teachers: Database,
) -> None:
    with Session(with_teachers.engine) as session, session.begin():
        teacher = Teacher(id=1, status="deferred")
        session.add(teacher)

        emit(session, deferred())

        assert session.connection().execute(text("SELECT count(*) FROM teacher")).scalar() == 1
        assert not session.new


def test_the_change_and_its_entry_share_their_fate(with_teachers: Database) -> None:
    with Session(with_teachers.engine) as session:
        session.add(Teacher(id=1, status="deferred"))
        emit(session, deferred("undone"))
        session.rollback()
        session.add(Teacher(id=2, status="deferred"))
        emit(session, deferred("kept"))
        session.commit()

    assert sources(with_teachers) == ["kept"]


def test_a_scoped_session_will_do(database: Database) -> None:
    scoped = scoped_session(sessionmaker(database.engine))
    scoped.begin()

    emit(scoped, deferred())
    scoped.commit()
    scoped.remove()

    assert sources(database) == ["E-1"]


@asynccontextmanager
async def async_engine(database: Database) -> AsyncGenerator[AsyncEngine]:
    driver = "sqlite+aiosqlite" if database.is_sqlite else "postgresql+psycopg"
    engine = create_async_engine(make_url(str(database.url)).set(drivername=driver))
    try:
        yield engine
    finally:
        await engine.dispose()


def test_an_async_session_awaits_it(database: Database) -> None:
    async def main() -> tuple[int, list[int]]:
        async with async_engine(database) as engine, AsyncSession(engine) as session:
            async with session.begin():
                one = await emit(session, deferred("one"))
                many = await emit(session, [deferred("two"), deferred("three")])
            async with session.begin() as undone:
                await emit(session, deferred("undone"))
                await undone.rollback()
        return one, list(many)

    one, many = asyncio.run(main())

    assert [one, *many] == [entry.id for entry in all_entries(database)]
    assert sources(database) == ["one", "two", "three"]


def test_an_async_connection_will_do(database: Database) -> None:
    async def main() -> None:
        async with async_engine(database) as engine, engine.begin() as connection:
            await emit(connection, deferred())

    asyncio.run(main())

    assert sources(database) == ["E-1"]


# outside


def test_outside_a_transaction_it_refuses(database: Database) -> None:
    with (
        database.engine.connect() as connection,
        pytest.raises(OutsideTransaction, match=r"found no open transaction; call it inside"),
    ):
        emit(connection, deferred())
    with Session(database.engine) as session, pytest.raises(OutsideTransaction):
        emit(session, deferred())

    assert all_entries(database) == []


def test_where_every_statement_commits_by_itself_it_refuses(database: Database) -> None:
    by_itself = database.engine.execution_options(isolation_level="AUTOCOMMIT")

    with (
        by_itself.connect() as connection,
        connection.begin(),
        pytest.raises(OutsideTransaction, match="AUTOCOMMIT mode"),
    ):
        emit(connection, deferred())

    assert all_entries(database) == []


@pytest.mark.parametrize(
    "what", [{"event": "participant_resumed"}, "participant_resumed", 5, [None]]
)
def test_what_is_no_event_is_refused_with_the_cure(database: Database, what: Any) -> None:
    with (
        database.transaction() as connection,
        pytest.raises(InvalidEvent, match=r"event: is a \w+; make one, such as Participant"),
    ):
        emit(connection, what)

    assert all_entries(database) == []


def test_an_engine_is_no_transaction(database: Database) -> None:
    engine: Any = database.engine

    with pytest.raises(
        OutsideTransaction, match="was given no transaction but Engine; give it the Session"
    ):
        emit(engine, deferred())


# the same event twice


def test_the_same_event_id_twice_is_one_entry(database: Database) -> None:
    with database.transaction() as connection:
        first = emit(connection, deferred(event_id="a"))
    with database.transaction() as connection:
        again = emit(connection, deferred(event_id="a"))

    assert again == first
    assert len(all_entries(database)) == 1


def test_among_many_the_known_ones_get_their_first_ids(database: Database) -> None:
    with database.transaction() as connection:
        (known,) = emit(connection, [deferred("known", event_id="k")])
        ids = emit(
            connection,
            [
                deferred("new"),
                deferred("known", event_id="k"),
                deferred("named", event_id="n"),
                deferred("named", event_id="n"),
                deferred("last"),
            ],
        )

    assert sources(database) == ["known", "new", "named", "last"]
    by_name = {entry.source_id: entry.id for entry in all_entries(database)}
    assert ids == [
        by_name["new"],
        known,
        by_name["named"],
        by_name["named"],
        by_name["last"],
    ]


def test_an_event_id_belongs_to_its_source_and_destination(database: Database) -> None:
    with database.transaction() as connection:
        emit(connection, deferred(event_id="a"))
        emit(connection, deferred(event_id="a", source="another"))
        emit(connection, deferred(event_id="a", destination="elsewhere"))

    assert len(all_entries(database)) == 3


@pytest.mark.parametrize(
    "other",
    [
        ParticipantResumed(source_id="E-1", event_id="a"),
        ParticipantDeferred(source_id="E-1", reason="bereavement", event_id="a"),
        ParticipantDeferred(source_id="E-2", reason="other", event_id="a"),
        ParticipantDeferred(source_id="E-1", reason="other", event_id="a", version=2),
    ],
)
def test_the_same_event_id_with_another_content_is_refused(
    database: Database, other: Event
) -> None:
    with database.transaction() as connection:
        emit(connection, deferred(event_id="a"))

    for what in (other, [deferred("new"), other]):
        with (
            pytest.raises(EventIdTaken, match=r"event_id: 'a' of source 'local' is entry \d+"),
            database.transaction() as connection,
        ):
            emit(connection, what)

    assert sources(database) == ["E-1"]


def test_a_payload_that_is_too_large_is_refused_before_anything_is_written(
    database: Database,
) -> None:
    large = RecordSnapshot(source_id="P", kind="participant", state={"full_name": "x" * 66_000})

    for what in (large, [deferred(), large]):
        with pytest.raises(InvalidEvent, match="payload: is"), database.transaction() as connection:
            emit(connection, what)

    assert all_entries(database) == []


def test_producers_never_wait_for_one_another(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    with database.transaction() as first, database.transaction() as second:
        emit(first, deferred("E-1"))
        emit(second, ScheduleChanged(source_id="E-1", schedule_identifier="ecf-standard-april"))

    assert len(all_entries(database)) == 2


def test_a_driver_error_shows_no_values(database: Database) -> None:
    with pytest.raises(DBAPIError) as error, database.transaction() as connection:
        connection.execute(text("SELECT :secret FROM nowhere"), {"secret": "s3cret"})

    assert "s3cret" not in str(error.value)
