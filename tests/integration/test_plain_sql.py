"""Entries by plain SQL, from any language: accepted when right, refused by the table when wrong."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from typing import Any, LiteralString, cast

import psycopg
import pytest

from outbox import entries
from runtime.database import Database
from schema.states import Closed, RecordState
from tests.support.builders import ECT, PERSON
from tests.support.outbox import Outbox

GOOD: dict[str, object] = {
    "event": "participant_deferred",
    "source_id": "E-1",
    "payload": '{"reason": "other"}',
}

Write = Callable[..., None]


@pytest.fixture
def write(database: Database) -> Write:
    """An INSERT with the bare driver, as another language would make it."""

    def through_sqlite(**columns: object) -> None:
        connection = sqlite3.connect(str(database.url.database))
        marks = ", ".join("?" for _ in columns)
        try:
            with connection:
                connection.execute(
                    f"INSERT INTO outbox_entry ({', '.join(columns)}) VALUES ({marks})",
                    tuple(columns.values()),
                )
        finally:
            connection.close()

    def through_psycopg(**columns: object) -> None:
        marks = ", ".join("%s" for _ in columns)
        statement = f"INSERT INTO outbox_entry ({', '.join(columns)}) VALUES ({marks})"
        with psycopg.connect(address(database)) as connection:
            connection.execute(cast(LiteralString, statement), tuple(columns.values()))

    return through_sqlite if database.is_sqlite else through_psycopg


def address(database: Database) -> str:
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


def number_of_entries(database: Database) -> int:
    with database.reading() as connection:
        return len(entries.list_entries(connection))


def test_what_is_right_goes_in_and_has_its_defaults(database: Database, write: Write) -> None:
    write(**GOOD)

    with database.reading() as connection:
        (entry,) = entries.list_entries(connection)
    assert (entry.state, entry.source, entry.destination) == ("new", "local", "default")
    assert entry.emitted_at.tzinfo is not None
    assert entry.read().model_dump(exclude_none=True) == {
        "event": "participant_deferred",
        "source_id": "E-1",
        "source": "local",
        "destination": "default",
        "reason": "other",
    }


def test_psql_will_do(database: Database) -> None:
    program = shutil.which("psql")
    if database.is_sqlite or program is None:
        pytest.skip("needs PostgreSQL and psql on the PATH")
    statement = (
        "BEGIN; INSERT INTO outbox_entry (event, source_id, payload) "
        "VALUES ('participant_resumed', 'E-1', '{}'); COMMIT"
    )

    subprocess.run(
        [program, address(database), "-v", "ON_ERROR_STOP=1", "-qc", statement],
        check=True,
        env={"PATH": os.environ["PATH"]},
    )

    assert number_of_entries(database) == 1


WRONG: list[tuple[str, dict[str, object]]] = [
    ("event_known", {"event": "participant_paused"}),
    ("state_known", {"state": "sent"}),
    ("closed_with_reason", {"state": "closed"}),
    ("closed_with_reason", {"closed_as": "delivered"}),
    ("closed_with_reason", {"closed_at": "2026-02-10T12:00:00.000000Z"}),
    (
        "closed_as_known",
        {"state": "closed", "closed_as": "gone", "closed_at": "2026-02-10T12:00:00.000000Z"},
    ),
    ("source_id_clean", {"source_id": ""}),
    ("source_id_clean", {"source_id": "  "}),
    ("source_id_clean", {"source_id": "E\x011"}),
    ("source_id_clean", {"source_id": "E\n1"}),
    ("source_id_clean", {"source_id": "E\x7f1"}),
    ("source_id_clean", {"source_id": "x" * 201}),
    ("source_clean", {"source": "\t"}),
    ("destination_clean", {"destination": ""}),
    ("payload_object", {"payload": "[]"}),
    ("payload_object", {"payload": '"text"'}),
    ("payload_object", {"payload": '{"a": "' + "x" * 70_000 + '"}'}),
]


@pytest.mark.parametrize(("constraint", "columns"), WRONG)
def test_what_is_wrong_is_refused_by_the_constraint_that_says_so(
    database: Database, write: Write, constraint: str, columns: dict[str, object]
) -> None:
    with pytest.raises(
        (sqlite3.IntegrityError, psycopg.errors.CheckViolation),
        match=f"outbox_entry_{constraint}",
    ):
        write(**(GOOD | columns))

    assert number_of_entries(database) == 0


@pytest.mark.parametrize("column", ["event", "source_id", "payload"])
def test_what_is_missing_is_refused(database: Database, write: Write, column: str) -> None:
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.NotNullViolation), match=column):
        write(**{name: value for name, value in GOOD.items() if name != column})


def test_what_is_no_json_is_refused(database: Database, write: Write) -> None:
    with pytest.raises((sqlite3.Error, psycopg.errors.InvalidTextRepresentation)):
        write(**(GOOD | {"payload": "{"}))

    assert number_of_entries(database) == 0


@pytest.mark.parametrize(
    "columns", [{"version": "three"}, {"happened_at": "yesterday"}, {"seen": 1.5}]
)
def test_sqlite_too_refuses_a_value_of_another_type(
    database: Database, write: Write, columns: dict[str, Any]
) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL's own types do it")
    with pytest.raises(sqlite3.IntegrityError, match="outbox_entry_types"):
        write(**(GOOD | columns))


def test_the_same_event_id_twice_is_refused(database: Database, write: Write) -> None:
    write(**GOOD, event_id="a")

    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.UniqueViolation)):
        write(**GOOD, event_id="a")


def test_an_event_that_the_table_lets_in_but_nobody_can_read_is_shown_on_its_record(
    outbox: Outbox, write: Write
) -> None:
    outbox.link()
    write(**(GOOD | {"payload": '{"reason": "tired"}'}))
    write(
        event="schedule_changed",
        source_id="E-1",
        payload='{"schedule_identifier": "ecf-extended-september", "cohort": "2025"}',
    )

    outbox.run()

    record = outbox.record()
    assert outbox.api.writes == ["change_schedule"]
    assert (record.state, record.reason) == (RecordState.DEAD, "invalid_here")
    assert record.problem is not None
    assert "reason: must be one of 'bereavement'" in record.problem.detail
    assert sorted(outbox.entries().values()) == ["delivered", "folded", "noted"]


def test_a_payload_may_not_speak_for_a_column(outbox: Outbox, write: Write) -> None:
    write(**(GOOD | {"payload": '{"reason": "other", "source_id": "E-2"}'}))

    outbox.run()

    assert outbox.record("E-1").problem is not None
    assert list(outbox.entries().values()) == ["folded"]


def test_an_entry_by_plain_sql_is_delivered_like_any_other(outbox: Outbox, write: Write) -> None:
    write(
        **(
            GOOD
            | {
                "payload": f'{{"reason": "other", "participant_id": "{PERSON}", "course_identifier": "{ECT}"}}'
            }
        )
    )

    outbox.run()

    assert list(outbox.entries().values()) == [Closed.DELIVERED]
