"""Which database this is: a copy or a restore has another name, as far as it can be told."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from outbox import bindings
from runtime.database import Database
from tests.support.servers import PostgresServer


@pytest.fixture
def ours(postgres: PostgresServer) -> Iterator[Database]:
    """A migrated PostgreSQL database of the test's own."""
    url = postgres.new()
    database = Database(url)
    yield database
    database.close()
    postgres.give_back(url)


def identity(database: Database) -> str:
    with database.transaction() as connection:
        return bindings.identity(connection)


def test_a_database_keeps_its_name_and_another_one_of_the_server_has_another(
    ours: Database, postgres_database: Database
) -> None:
    assert identity(ours) == identity(ours)
    assert not bindings.same_database(identity(ours), identity(postgres_database))


def test_a_restore_into_the_same_database_is_noticed(ours: Database) -> None:
    """What `pg_restore --clean` does: the tables are dropped and made anew."""
    before = identity(ours)
    with ours.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE restored (LIKE binding INCLUDING ALL)")
        connection.exec_driver_sql("DROP TABLE binding")
        connection.exec_driver_sql("ALTER TABLE restored RENAME TO binding")

    assert not bindings.same_database(identity(ours), before)


def test_without_the_privilege_the_rest_of_the_name_must_do(ours: Database) -> None:
    known = identity(ours)
    role = f"pillarbox_test_{uuid4().hex[:12]}"
    with ours.transaction() as connection:
        connection.exec_driver_sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        connection.exec_driver_sql(f"CREATE ROLE {role}")
    try:
        with ours.transaction() as connection:
            connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
            told = bindings.identity(connection)
            assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1  # it goes on
    finally:
        with ours.transaction() as connection:
            connection.exec_driver_sql(f"DROP ROLE {role}")

    assert told.startswith("cluster:?/")
    assert bindings.same_database(told, known)
