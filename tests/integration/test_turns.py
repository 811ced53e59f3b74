"""Writers to one SQLite file: those of one process are woken one after the other."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from runtime import database as runtime_database
from runtime.database import Database

MOMENT_S = 0.2
"""Long enough for a thread to ask SQLite, if it does."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A SQLite file with one table."""
    with closing(Database(f"sqlite:///{tmp_path / 'turns.db'}")) as made:
        with made.transaction() as connection:
            connection.execute(text("CREATE TABLE written (who text)"))
        yield made


def write(database: Database, who: str) -> None:
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO written VALUES (:who)"), {"who": who})


def written(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.execute(text("SELECT who FROM written")).scalars())


def test_who_waits_for_another_thread_does_not_ask_sqlite_until_it_is_done(
    database: Database,
) -> None:
    """Asked, SQLite would let it sleep and look again, up to a tenth of a second each time."""
    begun: list[Connection] = []
    event.listen(database.engine, "begin", begun.append)
    second = threading.Thread(target=write, args=(database, "second"))

    with database.transaction():
        second.start()
        second.join(MOMENT_S)
        assert second.is_alive()
        assert len(begun) == 1
    second.join()

    assert written(database) == {"second"}


def test_another_way_to_the_same_file_waits_for_the_same_turn(database: Database) -> None:
    begun: list[Connection] = []
    with closing(Database(str(database.url))) as other:
        event.listen(other.engine, "begin", begun.append)
        second = threading.Thread(target=write, args=(other, "second"))
        with database.transaction():
            second.start()
            second.join(MOMENT_S)
            assert begun == []
        second.join()

    assert written(database) == {"second"}


def test_who_reads_waits_for_nobody(database: Database) -> None:
    write(database, "first")

    with database.transaction():
        seen: list[set[str]] = []
        reader = threading.Thread(target=lambda: seen.append(written(database)))
        reader.start()
        reader.join()

    assert seen == [{"first"}]


def test_a_turn_that_ends_in_an_error_is_over(database: Database) -> None:
    with pytest.raises(OperationalError), database.transaction() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    second = threading.Thread(target=write, args=(database, "second"))
    second.start()
    second.join()
    assert written(database) == {"second"}


def test_who_waits_in_vain_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_database, "BUSY_TIMEOUT_MS", 50)
    told: list[str] = []
    with closing(Database(f"sqlite:///{tmp_path / 'turns.db'}")) as database:

        def wait() -> None:
            try:
                write(database, "second")
            except OperationalError as error:
                told.append(str(error.orig))

        with database.transaction():
            second = threading.Thread(target=wait)
            second.start()
            second.join()

    assert told == ["database is locked"]
