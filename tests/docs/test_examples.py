"""The examples on the pages are real."""

import re
import tomllib
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from producers import emit
from runtime.database import Database
from runtime.settings import Settings
from schema.events import InvalidEvent, ParticipantDeferred
from schema.tables import outbox_entry
from tests.docs.reference import ROOT

HOW_TO = ROOT / "docs" / "how-to"


def test_emit_as_it_is_shown(database: Database) -> None:
    with Session(database.engine) as session, session.begin():
        first = emit(
            session,
            ParticipantDeferred(
                source_id="E-1042", reason="parental-leave", source="coaching-app", event_id="1"
            ),
        )
    with Session(database.engine) as session, session.begin():
        again = emit(
            session,
            ParticipantDeferred(
                source_id="E-1042", reason="parental-leave", source="coaching-app", event_id="1"
            ),
        )

    assert first == again
    with database.reading() as connection:
        assert connection.execute(select(outbox_entry.c.source)).scalars().all() == ["coaching-app"]


def test_the_refusal_that_is_shown_is_the_one_that_comes() -> None:
    page = (HOW_TO / "emit-from-python.md").read_text(encoding="utf-8")
    shown = re.search(r"# InvalidEvent: (.*)", page)

    assert shown is not None
    with pytest.raises(InvalidEvent) as refused:
        ParticipantDeferred(source_id="E-1042", reason="parental_leave")  # pyright: ignore[reportArgumentType]
    assert str(refused.value) == shown[1]


@pytest.mark.parametrize("page", ["how-to/run-in-production.md", "reference/settings.md"])
def test_the_file_of_destinations_is_understood(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    shown = re.search(r"```toml\n(.*?)```", text, re.S)
    assert shown is not None
    file = tmp_path / "destinations.toml"
    file.write_text(shown[1], encoding="utf-8")

    found = Settings.from_environment(
        {"PILLARBOX_DESTINATIONS": str(file), "HARBOUR_TOKEN": "a-key"}
    )

    assert [one.name for one in found.destinations] == list(tomllib.loads(shown[1])["destinations"])


def test_the_grace_of_the_unit_is_longer_than_a_call() -> None:
    unit = (HOW_TO / "run-in-production.md").read_text(encoding="utf-8")
    seconds = re.search(r"TimeoutStopSec=(\d+)", unit)

    assert seconds is not None
    assert int(seconds[1]) > Settings().deadline.total_seconds()


def test_the_environment_for_production_is_understood() -> None:
    page = (HOW_TO / "run-in-production.md").read_text(encoding="utf-8")
    block = re.search(r"```\n(DATABASE_URL=.*?)```", page, re.S)
    assert block is not None
    told = dict(line.split("=", 1) for line in block[1].split())

    settings = Settings.from_environment(told)

    assert not settings.embedded
    assert not settings.destinations[0].is_loopback
