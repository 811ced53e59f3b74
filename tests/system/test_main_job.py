"""The main job, whole: local changes in, calls out, judged by the sandbox's own arrival log."""

from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from outbox import entries
from pillarbox.demo import is_still, person
from pillarbox.world import Control, World, wait_until, with_sandbox
from producers import emit
from records import counts
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.events import Event, decode
from schema.states import Reason, RecordState
from tests.support.builders import ECT
from tests.support.servers import NotHere, PostgresServer, RedisServer
from tests.support.site import PATIENCE_S

SETTLE = timedelta(milliseconds=300)

AMARA, SANA, TOMOS, HARPREET, HANNAH, KWAME = (
    "amara-okafor", "sana-malik", "tomos-evans", "harpreet-sandhu", "hannah-whitfield",
    "kwame-boateng",
)  # fmt: skip


def said(event: str, source_id: str, **fields: str) -> Event:
    return decode({"event": event, "source_id": source_id, **fields})


def schedule(source_id: str, value: str) -> Event:
    return said("schedule_changed", source_id, schedule_identifier=value, cohort="2025")


def started(source_id: str, day: str) -> Event:
    return said(
        "declaration_made",
        source_id,
        declaration_type="started",
        declaration_date=f"{day}T09:00:00Z",
        evidence_held="training-event-attended",
    )


class Told:
    """A world in which everything has been told and has come to rest, and what came of it."""

    def __init__(self, world: World) -> None:
        assert world.sandbox is not None
        self._world = world
        self._control = Control(world.sandbox)
        self._control.put("/limiter", {"limit": 1000, "window_s": 300})

    def tell(self, *events: Event) -> None:
        """Commit events, and wait until nothing moves by itself any more."""
        wiring = self._world.wiring
        with wiring.database.transaction() as connection:
            emit(connection, events)

        def still() -> bool:
            with wiring.database.reading() as connection:
                return is_still(connection, "default", wiring.clock.now())

        assert wait_until(still, timeout=PATIENCE_S)

    def writes(self, name: str) -> list[tuple[str, int]]:
        """Give the writes for a person as they arrived: the last part of the path, the status."""
        found = [one for one in self.arrived() if one["method"] != "GET"]
        mine = [one for one in found if person(name) in one["path"] + str(one["json"])]
        return [(one["path"].rpartition("/")[2], one["status"]) for one in mine]

    def arrived(self) -> list[dict[str, Any]]:
        """Give all that arrived."""
        return self._control.get("/requests?limit=10000")["requests"]

    def reasons(self) -> Counter[str]:
        """Count the entries by how they ended."""
        with self._world.wiring.database.reading() as connection:
            return Counter(dict(entries.totals(connection, "default")))

    def states(self) -> Counter[tuple[RecordState, Reason | None]]:
        """Count the records that are not in step."""
        with self._world.wiring.database.reading() as connection:
            found = counts.open_ones(connection, "default", most=100_000)
        return Counter({(one.state, one.reason): one.number for one in found})


@contextmanager
def a_world(settings: Settings) -> Generator[World]:
    with Sandbox() as sandbox:
        world = World(with_sandbox(settings, sandbox), sandbox)
        world.prepare()
        world.start()
        try:
            yield world
        finally:
            world.stop()


@pytest.fixture(scope="module", params=["embedded", "postgresql and redis"])
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Told]:
    """The story, told once on each: links, then changes of every kind."""
    folder: Path = tmp_path_factory.mktemp("world")
    settings = replace(Settings.from_environment({}), settle=SETTLE)
    if request.param == "embedded":
        settings = replace(settings, database_url=f"sqlite:///{folder / 'pillarbox.db'}")
        with a_world(settings) as world:
            yield _told(world)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    try:
        redis = RedisServer(folder)
    except NotHere as error:
        pytest.skip(str(error))
    settings = replace(settings, database_url=server.new(), redis_url=redis.url)
    with closing(redis), a_world(settings) as world:
        yield _told(world)


def _told(world: World) -> Told:
    told = Told(world)
    told.tell(
        *(
            said("participant_linked", name, participant_id=person(name), course_identifier=ECT)
            for name in (AMARA, SANA, TOMOS, HARPREET, HANNAH, KWAME)
        )
    )
    told.tell(
        schedule(AMARA, "ecf-extended-september"),
        *(schedule(SANA, f"ecf-{kind}-september") for kind in ("standard", "reduced") * 2),
        said("participant_deferred", TOMOS, reason="other"),
        said("participant_resumed", TOMOS),
        started(HARPREET, "2025-05-20"),
        started(HANNAH, "2025-10-01"),
    )
    told.tell(
        schedule(AMARA, "ecf-extended-september"),
        said("participant_deferred", KWAME, reason="parental-leave"),
    )
    return told


def test_one_change_is_one_call(told: Told) -> None:
    assert told.writes(HANNAH) == [("participant-declarations", 200)]
    assert told.writes(KWAME) == [("defer", 200)]


def test_the_same_change_again_is_no_call(told: Told) -> None:
    assert told.writes(AMARA) == [("change-schedule", 200)]


def test_a_burst_on_one_record_is_one_call_with_the_last_word(told: Told) -> None:
    assert told.writes(SANA) == [("change-schedule", 200)]


def test_deferred_and_resumed_before_sending_is_no_call(told: Told) -> None:
    assert told.writes(TOMOS) == []


def test_what_the_api_refuses_is_sent_once_and_stands_before_a_person(told: Told) -> None:
    assert told.writes(HARPREET) == [("participant-declarations", 422)]
    assert told.states() == {(RecordState.DEAD, Reason.REFUSED): 1}


def test_every_entry_has_its_reason_and_the_reasons_add_up(told: Told) -> None:
    assert told.reasons() == {
        "noted": 6,
        "delivered": 4,
        "unchanged": 1,
        "superseded": 3,
        "net_zero": 2,
        "folded": 1,
    }


def test_nothing_was_refused_by_the_limiter_and_the_key_was_shown_to_nobody_else(
    told: Told,
) -> None:
    arrived = told.arrived()

    assert [one for one in arrived if one["limited"]] == []
    assert {one["provider"] for one in arrived} == {"harbour"}


def test_each_person_is_looked_up_at_most_once(told: Told) -> None:
    looks = Counter(one["path"] for one in told.arrived() if one["method"] == "GET")

    assert set(looks.values()) == {1}
