"""The migrated database is the one that the tables describe."""

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from runtime import migrations
from runtime.database import Database
from runtime.errors import DatabaseAhead, DatabaseBehind
from schema.all_tables import metadata
from tests.support.servers import PostgresServer


@pytest.fixture
def empty(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with nothing in it."""
    if backend == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
        yield database
        database.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    database = Database(server.new(migrated=False))
    yield database
    database.close()


def columns(connection: Connection) -> dict[str, Any]:
    """Every column as the database knows it."""
    seen = inspect(connection)
    return {
        f"{table}.{column['name']}": (
            str(column["type"]),
            column["nullable"],
            str(column["default"]).replace("(", "").replace(")", ""),
        )
        for table in metadata.tables
        for column in seen.get_columns(table)
    }


def keys(connection: Connection) -> dict[str, Any]:
    """Every primary and foreign key."""
    seen = inspect(connection)
    return {
        table: (
            seen.get_pk_constraint(table)["constrained_columns"],
            sorted(
                (str(key["name"]), key["constrained_columns"], key["referred_table"])
                for key in seen.get_foreign_keys(table)
            ),
        )
        for table in metadata.tables
    }


def indexes(connection: Connection) -> dict[str, str]:
    """Every index as the database would write it, predicate and all."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    rows = connection.execute(text(query))
    return {
        str(name): " ".join(str(written).split())
        for name, written in rows
        if not str(name).startswith("alembic")
    }


def checks(connection: Connection) -> dict[str, str]:
    """Every check constraint as the database would write it."""
    seen = inspect(connection)
    return {
        f"{table}: {check['name']}": " ".join(check["sqltext"].split())
        for table in metadata.tables
        for check in seen.get_check_constraints(table)
    }


def storage(connection: Connection) -> dict[str, str]:
    """How full the pages of each table are kept; SQLite does not ask."""
    if connection.dialect.name == "sqlite":
        return {}
    rows = connection.execute(
        text("SELECT relname, reloptions::text FROM pg_class WHERE reloptions IS NOT NULL")
    )
    return {str(name): str(options) for name, options in rows if name in metadata.tables}


def test_the_migrated_database_equals_the_tables(empty: Database) -> None:
    with empty.transaction() as connection:
        metadata.create_all(connection)
        described = [look(connection) for look in (columns, keys, indexes, checks, storage)]
        metadata.drop_all(connection)

    migrations.upgrade(empty)

    with empty.reading() as connection:
        migrated = [look(connection) for look in (columns, keys, indexes, checks, storage)]
    assert migrated == described
    assert len(described[3]) > 10  # the comparison compares something


def test_nothing_is_left_to_generate(empty: Database) -> None:
    migrations.upgrade(empty)

    with empty.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_gates_that_were_shut_stay_so_and_a_key_s_goes_to_its_name(empty: Database) -> None:
    at = "'2026-01-01T00:00:00.000000Z'"
    rows = [
        ("one", "throttled"),
        ("two", "throttled"),
        ("three", "paused"),
        ("four", "key_refused"),
    ]
    migrations.upgrade(empty, to=_before("give_each_reason_a_gate_of_its_own"))
    with empty.transaction() as connection:
        for name in ("one", "two"):
            connection.execute(
                text(
                    f"INSERT INTO binding (destination, contract, url, key_name, database_id, bound_at) VALUES ('{name}', 'c', 'u', 'shared', 'd', {at})"
                )
            )
        for name, reason in rows:
            connection.execute(
                text(
                    "INSERT INTO gate (destination, reason, since, actor) "
                    f"VALUES ('{name}', '{reason}', {at}, 'somebody')"
                )
            )

    migrations.upgrade(empty)

    with empty.reading() as connection:
        found = connection.execute(
            text("SELECT scope, name, reason, actor FROM gate ORDER BY 1, 2")
        )
        assert [tuple(row) for row in found] == [
            ("destination", "three", "paused", "somebody"),
            ("key", "four", "key_refused", "somebody"),
            ("key", "shared", "throttled", "somebody"),
        ]


def _before(deed: str) -> str:
    """Name the migration before the one that does this."""
    (file,) = (Path(__file__).parents[2] / "alembic" / "versions").glob(f"*_{deed}.py")
    named = re.search(r'^down_revision = "(\w+)"$', file.read_text(), re.MULTILINE)
    assert named is not None
    return named.group(1)


def test_an_upgrade_twice_is_the_same_as_once(empty: Database) -> None:
    first = migrations.upgrade(empty)
    again = migrations.upgrade(empty)

    assert first == again == migrations.head() == migrations.current(empty)


def test_two_upgrades_at_once_are_one_after_the_other(empty: Database) -> None:
    barrier = Barrier(2)
    reached: list[str] = []

    def upgrade() -> None:
        barrier.wait()
        reached.append(migrations.upgrade(empty))

    threads = [Thread(target=upgrade) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert reached == [migrations.head()] * 2


def test_a_database_that_lacks_migrations_is_refused_with_the_cure(empty: Database) -> None:
    with pytest.raises(DatabaseBehind, match="is empty; run `pillarbox db upgrade` first"):
        migrations.require(empty)

    migrations.upgrade(empty)
    with empty.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0013'"))

    with pytest.raises(DatabaseBehind, match="at migration 0013 and this version needs"):
        migrations.require(empty)


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(empty: Database) -> None:
    migrations.upgrade(empty)
    with empty.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for refused in (migrations.require, migrations.upgrade):
        with pytest.raises(DatabaseAhead, match="9999, which this version does not know"):
            refused(empty)

    assert migrations.current(empty) == "9999"
