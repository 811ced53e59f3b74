"""The tutorial's run: what the page says of it is so, on any day."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from schema.states import Closed
from tests.tutorial.make_events import FILE, LINES

ROOT = FILE.parents[2]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The totals of one run, and where its database is."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PILLARBOX_") and name not in ("DATABASE_URL", "REDIS_URL")
    }
    done = subprocess.run(
        [sys.executable, "-m", "pillarbox", "demo", "--events", str(FILE), "--json"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder / ".pillarbox" / "demo" / "pillarbox.db"


def test_everything_comes_to_rest_and_every_entry_has_a_reason(
    ran: tuple[dict[str, Any], Path],
) -> None:
    told, _ = ran

    assert told["converged"] is True
    assert told["faulty"] == 6
    assert told["entries"] == LINES - 6
    reasons = sum(told[reason.value] for reason in Closed)
    assert reasons + told["waiting"] + told["dead"] == told["entries"]


def test_nine_in_ten_events_cost_no_call_and_none_is_refused_by_the_limiter(
    ran: tuple[dict[str, Any], Path],
) -> None:
    told, _ = ran

    assert told["limit_refusals"] == 0
    assert told["calls"] < told["entries"] / 10
    for reason in ("delivered", "unchanged", "superseded", "net_zero", "noted"):
        assert told[reason] > 20, reason


def test_the_totals_are_those_on_the_page(ran: tuple[dict[str, Any], Path]) -> None:
    told, _ = ran
    page = (FILE.parent / "README.md").read_text()
    totals = page[page.index("Totals\n") : page.index("refused by the limiter")]

    for reason in ("delivered", "unchanged", "superseded", "net_zero", "noted"):
        name = reason.replace("_", " ")
        assert f"      {name:<18}{told[reason]}\n" in totals
    assert f"      {'waiting for you':<18}{told['dead']}\n" in totals
    assert f"   {'calls':<21}{told['calls']} " in totals


def test_each_story_ends_as_it_is_told(ran: tuple[dict[str, Any], Path]) -> None:
    engine = create_engine(f"sqlite:///{ran[1]}")
    with engine.connect() as connection:
        stands = {
            (row.source_id, row.part, row.round): (row.state, row.reason)
            for row in connection.execute(text("SELECT * FROM record WHERE state <> 'in_step'"))
        }
        calls = {
            (row.source_id, row.operation)
            for row in connection.execute(
                text(
                    "SELECT source_id, operation FROM attempt JOIN record "
                    "ON record.id = record_id WHERE outcome = 'delivered'"
                )
            )
        }
    engine.dispose()

    assert stands == {
        ("E-1001", "", 0): ("waiting", "snoozed"),
        ("E-1006", "retained-1", 1): ("dead", "conflict"),
        ("E-1007", "", 0): ("dead", "refused"),
        ("E-1012", "", 0): ("waiting", "waiting_for"),
        ("E-1013", "started", 1): ("dead", "refused"),
        ("E-1016", "", 0): ("dead", "refused"),
        ("E-1019", "started", 1): ("held", "void_first"),
        ("E-1021", "started", 1): ("dead", "invalid_here"),
        ("E-1022", "", 0): ("dead", "refused"),
        ("E-1023", "retained-2", 1): ("dead", "invalid_here"),
        ("E-1024", "retained-1", 1): ("dead", "invalid_here"),
        ("E-1901", "", 0): ("held", "same_person_twice"),
        ("E-1902", "", 0): ("waiting", "waiting_for"),
        ("E-1902", "started", 1): ("waiting", "waiting_for"),
        ("M-2002", "retained-1", 1): ("dead", "invalid_here"),
        ("M-2005", "", 0): ("dead", "invalid_here"),
        ("P-3002", "", 0): ("dead", "refused"),
    }
    assert {
        ("E-1001", "change_schedule"),
        ("E-1002", "withdraw"),
        ("E-1003", "resume"),
        ("E-1003", "change_schedule"),
        ("E-1010", "void"),
        ("E-1010", "declare"),
        ("E-1018", "find_merged"),
        ("E-1020", "defer"),
        ("E-1020", "withdraw"),
        ("P-3001", "form_partnership"),
        ("P-3003", "find_partnership"),
    } <= calls
