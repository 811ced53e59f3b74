"""`pillarbox destination`: what would be sent is listed and confirmed before anything may be."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pillarbox.commands.worlds import headline
from pillarbox.world import World
from runtime.database import Database
from runtime.settings import Settings
from schema.events import ParticipantDeferred
from schema.tables import audit
from tests.support.builders import ECT, PERSON
from tests.support.command import Ran, run
from tests.support.outbox import Outbox
from workers.wiring import Wiring

REAL = "https://api.example/api/v3"
HERE = "http://127.0.0.1:9/api/v3"


@pytest.fixture
def database(named_database: Database, environment: pytest.MonkeyPatch) -> Database:
    """A migrated SQLite file that `DATABASE_URL` names, and an API that is not on this computer."""
    environment.setenv("PILLARBOX_API_URL", REAL)
    environment.setenv("PILLARBOX_API_TOKEN", "s3cret")
    return named_database


@pytest.fixture
def waiting(database: Database) -> Outbox:
    """One deferral that was looked up, and sleeps."""
    assert run("destination", "bind").code == 0
    outbox = Outbox(database)
    outbox.emit(
        ParticipantDeferred(
            source_id="E-1", reason="other", participant_id=PERSON, course_identifier=ECT
        )
    )
    outbox.run()
    assert outbox.api.writes == []
    return outbox


def trail(database: Database) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        rows = connection.execute(
            select(audit.c.action, audit.c.reason, audit.c.actor, audit.c.after).order_by(
                audit.c.id
            )
        )
        return [tuple(row) for row in rows]


def shown() -> dict[str, Any]:
    (row,) = run("destination", "show", "--json").json
    return row


def refused(ran: Ran) -> tuple[int, str]:
    assert ran.err.startswith("error: "), ran.err
    assert "s3cret" not in ran.err + ran.out
    return ran.code, ran.err


def test_what_is_not_here_is_in_shadow_and_everybody_says_so_with_the_cure(
    waiting: Outbox,
) -> None:
    cure = "`pillarbox destination go-live`"

    told = run("status", "--json").json

    (here,) = told["destinations"]
    assert here["writes"] == "shadow"
    assert cure in here["held"]
    assert any(cure in line for line in told["attention"])
    assert cure in run("status").out
    assert cure in run("check").out
    assert cure in run("destination", "show").out
    assert (shown()["writes"], shown()["live_since"]) == ("shadow", None)


@pytest.mark.parametrize("url", [HERE, "http://localhost:9/api/v3", "http://[::1]:9/api/v3"])
def test_what_is_here_is_live_from_the_start(
    database: Database, environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv("PILLARBOX_API_URL", url)

    assert run("destination", "bind").code == 0

    assert shown()["writes"] == "allowed"
    assert shown()["live_by"] == "an address on this computer"
    assert re.search(
        r"may leave since \d\d \w{3} \d{4} [\d:]{8}, by an address on", run("check").out
    )


def test_explain_shows_the_request_that_would_be_sent(waiting: Outbox) -> None:
    (told,) = run("records", "explain", "E-1", "--json").json

    assert told["reason"] == "shadow"
    assert told["would_send"]["method"] == "PUT"
    assert told["would_send"]["path"] == f"/participants/{PERSON}/defer"
    assert "Would send: PUT /participants/" in run("records", "explain", "E-1").out


def test_a_dry_run_lists_what_would_leave_and_changes_nothing(waiting: Outbox) -> None:
    told = run("destination", "go-live", "--dry-run", "--json").json

    assert (told["writes"], told["operations"], told["live"]) == (1, {"defer": 1}, False)
    assert told["sample"][0]["request"]["path"] == f"/participants/{PERSON}/defer"
    assert shown()["writes"] == "shadow"
    assert trail(waiting.database) == []


def test_go_live_needs_the_number_and_is_written_down(waiting: Outbox) -> None:
    nobody = refused(run("destination", "go-live"))
    without = refused(run("destination", "go-live", "--yes"))
    other = refused(run("destination", "go-live", "--yes", "--expect", "2"))
    assert nobody == (2, "error: nobody can be asked here; add --yes --expect 1\n")
    assert without == (2, "error: --yes needs --expect; --dry-run says 1\n")
    assert other == (6, "error: 1 writes wait, not 2; nothing is changed, look again\n")
    assert trail(waiting.database) == []

    ran = run("destination", "go-live", "--yes", "--expect", "1", "--reason", "checked with Ada")

    assert ran.code == 0
    ((action, reason, actor, after),) = trail(waiting.database)
    assert (action, reason) == ("destination_live", "checked with Ada")
    assert actor == shown()["live_by"]
    assert after["writes"] == {"defer": 1}
    waiting.wait(seconds=5)
    waiting.run()
    assert waiting.api.writes == ["defer"]
    assert run("destination", "go-live").code == 0  # it is live already: nothing to ask
    assert len(trail(waiting.database)) == 1


def test_no_variable_lets_a_write_leave(waiting: Outbox, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PILLARBOX_API_URL", HERE)

    assert refused(run("destination", "go-live", "--yes", "--expect", "1"))[0] == 2
    assert refused(run("destination", "bind"))[0] == 2

    environment.setenv("PILLARBOX_API_URL", REAL)
    assert shown()["writes"] == "shadow"


def test_a_mismatch_names_the_command_that_binds_anew(
    waiting: Outbox, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("PILLARBOX_KEY_NAME", "other")

    code, said = refused(run("destination", "bind"))

    assert code == 2
    assert "but this database is bound to the key default" in said
    assert "run `pillarbox destination rebind`" in said


def test_another_contract_is_no_case_for_a_rebind(
    waiting: Outbox, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("PILLARBOX_CONTRACT", "guidance")

    code, said = refused(run("destination", "rebind", "--reason", "a try", "--dry-run"))

    assert code == 2
    assert said.endswith("set it back, or use another DATABASE_URL for the other one\n")


def test_a_rebind_is_confirmed_written_down_and_in_shadow_again(
    waiting: Outbox, environment: pytest.MonkeyPatch
) -> None:
    assert run("destination", "go-live", "--yes", "--expect", "1").code == 0
    environment.setenv("PILLARBOX_API_URL", "https://two.example/api/v3")
    rebind = ("destination", "rebind", "--reason", "the API has moved")

    dry = run(*rebind, "--dry-run", "--json").json
    assert (dry["records"], dry["shadow"]) == (1, True)
    assert run(*rebind, "--yes", "--expect", "7").code == 6
    assert run(*rebind, "--yes", "--expect", "1").code == 0

    assert (shown()["bound_url"], shown()["writes"]) == ("https://two.example/api/v3", "shadow")
    assert shown()["unknown_since"] is not None
    (action, reason, _, after) = trail(waiting.database)[-1]
    assert (action, reason) == ("destination_rebound", "the API has moved")
    assert (after["url"], after["live"]) == ("https://two.example/api/v3", False)
    (here,) = run("status", "--json").json["destinations"]
    assert here["looked_up"]["marking"] is True


def test_before_it_is_bound_there_is_nothing_to_let_live_or_bind_anew(database: Database) -> None:
    for verb in (["go-live"], ["rebind", "--reason", "a try"]):
        code, said = refused(run("destination", *verb, "--dry-run"))

        assert (code, "is not bound yet" in said) == (4, True)


def test_a_backup_put_in_the_place_of_the_file_is_noticed(waiting: Outbox, tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.db"
    with waiting.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    waiting.database.close()
    backup = tmp_path / "backup.db"
    backup.write_bytes(file.read_bytes())
    file.unlink()
    backup.rename(file)

    code, said = refused(run("destination", "bind"))

    assert code == 2
    assert "this database is a copy or a restore" in said


def test_up_says_that_it_is_in_shadow(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(Settings.from_environment(), None)
    headline(world, world.prepare())
    world.wiring.close()

    said = capsys.readouterr().out
    assert "LOOK-UPS GO TO A REAL API, NO WRITES" in said
    assert "writes     in shadow" in said


def test_a_worker_in_shadow_is_told_so_when_it_starts(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    wiring = Wiring.build(Settings.from_environment())
    wiring.bind()
    wiring.close()

    said = capsys.readouterr().out
    assert "writes_held" in said
    assert "pillarbox destination go-live" in said
