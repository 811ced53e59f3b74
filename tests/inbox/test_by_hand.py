"""What a person asks of the timetable, by the command: shown, audited, and kept to."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from inbox import checkpoints
from runtime.database import Database
from schema.inbox import RunKind, RunState, Trigger
from schema.tables import audit
from tests.support.clock import NOON
from tests.support.command import Ran, run

TWICE = "tue 22:00-06:00, sat 22:00-06:00"


@pytest.fixture
def command(database: Database, environment: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """The command on an empty database."""
    environment.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    return run


def full_sync_of(command: Callable[..., Ran], source: str) -> Any:
    [line] = [
        one for one in command("polls", "list", "--json").json["sources"] if one["source"] == source
    ]
    return line["full_sync"]


def audited(database: Database) -> list[tuple[str, str, Any, Any]]:
    with database.reading() as connection:
        columns = (audit.c.action, audit.c.subject, audit.c.before, audit.c.after)
        return [tuple(row) for row in connection.execute(select(*columns).order_by(audit.c.id))]


def test_where_nothing_is_booked_the_hours_are_those_of_the_settings(
    command: Callable[..., Ran],
) -> None:
    assert full_sync_of(command, "participants")["hours"] == TWICE.split(", ")
    assert "nothing is booked" in command("polls", "list").out


def test_booked_hours_show_who_agreed_them_and_when_and_are_audited(
    database: Database, command: Callable[..., Ran]
) -> None:
    agreed = ("--agreed-by", "Priya Nair, DfE")
    assert command("polls", "book", "Mon 01:00-05:00, thu 01:00-05:00", *agreed).code == 0
    assert (
        command("polls", "book", "wed 10:00-11:00", *agreed, "--source", "participants").code == 0
    )
    own, others = full_sync_of(command, "participants"), full_sync_of(command, "transfers")

    assert own["hours"] == ["wed 10:00-11:00"]
    assert others["hours"] == ["mon 01:00-05:00", "thu 01:00-05:00"]
    [shown] = own["booked"]
    assert shown["agreed_by"] == "Priya Nair, DfE"
    assert shown["booked_at"]
    assert "thu 01:00-05:00 for all sources: agreed by Priya Nair" in command("polls", "list").out
    first, _, last = audited(database)
    assert first[:2] == ("hours_booked", "default")
    assert first[3] == {"hours": "mon 01:00-05:00", "agreed_by": "Priya Nair, DfE"}
    assert last[1] == "default/participants"


def test_hours_given_up_leave_no_source_unread_and_say_what_they_were(
    database: Database, command: Callable[..., Ran]
) -> None:
    command("polls", "book", "mon 01:00-05:00", "--agreed-by", "DfE")
    assert command("polls", "unbook", "MON 01:00-05:00", "--dry-run").code == 0
    assert full_sync_of(command, "statements")["hours"] == ["mon 01:00-05:00"]
    assert command("polls", "unbook", "mon 01:00-05:00").code == 0

    assert full_sync_of(command, "statements")["hours"] == TWICE.split(", ")
    assert audited(database)[-1][0] == "hours_given_up"
    assert audited(database)[-1][2]["agreed_by"] == "DfE"
    again = command("polls", "unbook", "mon 01:00-05:00")
    assert again.code == 2
    assert "booked are: none" in again.err


def test_the_same_hours_are_booked_once_and_a_dry_run_books_none(
    database: Database, command: Callable[..., Ran]
) -> None:
    booking = ("polls", "book", "mon 01:00-05:00", "--agreed-by", "DfE", "--json")

    assert len(command(*booking, "--dry-run").json["booked"]) == 1
    assert len(command(*booking).json["booked"]) == 1
    assert command(*booking).json["booked"] == []
    assert len(audited(database)) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("book", "monday", "--agreed-by", "DfE"), "write tue 22:00-06:00"),
        (("book", "mon 01:00-05:00", "--agreed-by", " "), "nobody is named"),
        (("full", "--source", "statements", "--past-the-brake"), "no full sync was stopped"),
        (("run", "--source", "statements"), "was never read"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(
    command: Callable[..., Ran], arguments: tuple[str, ...], sentence: str
) -> None:
    refused = command("polls", *arguments)

    assert refused.code == 2
    assert sentence in refused.err


def test_a_full_sync_asked_for_is_opened_once_and_waits_for_a_poller(
    database: Database, command: Callable[..., Ran]
) -> None:
    for _ in range(2):
        assert (
            command("polls", "full", "--source", "statements", "--reason", "to be sure").code == 0
        )

    with database.reading() as connection:
        [opened] = checkpoints.latest(connection, "default")
    assert (opened.kind, opened.trigger, opened.state) == (
        RunKind.FULL,
        Trigger.HAND,
        RunState.OPEN,
    )
    assert audited(database)[0][:2] == ("full_sync_asked_for", "default/statements")


def test_of_a_paused_source_nothing_is_asked_until_it_is_resumed(
    database: Database, command: Callable[..., Ran]
) -> None:
    source = ("--source", "statements")
    assert command("polls", "pause", *source).code == 0
    refused = command("polls", "full", *source)
    assert refused.code == 2
    assert "resume it first" in refused.err

    assert command("polls", "resume", *source).code == 0
    assert command("polls", "full", *source).code == 0


def test_runs_are_read_page_by_page_from_the_newest(database: Database) -> None:
    with database.transaction() as connection:
        for source in ("a", "b", "c"):
            checkpoints.open_run(
                connection,
                destination="default",
                source=source,
                kind=RunKind.POLL,
                trigger=Trigger.TIMER,
                since=None,
                now=NOON,
                progress={},
            )
        newest = checkpoints.latest(connection, "default", limit=2)
        rest = checkpoints.latest(connection, "default", before=newest[-1].id, limit=2)

    assert [one.source for one in (*newest, *rest)] == ["c", "b", "a"]
