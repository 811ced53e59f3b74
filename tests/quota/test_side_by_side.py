"""A backlog drains while the same key polls and reads everything: shares in the sandbox's arrival log."""

import threading
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inbox.window import From
from pillarbox.world import SANDBOX_TOKEN, Control, World, limited, wait_until, with_sandbox
from producers import emit
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.events import decode
from schema.inbox import RunKind
from schema.states import Lane
from tests.support.crowd import a_crowd, person
from tests.support.site import PATIENCE_S

CALLS, WINDOW = 20, timedelta(seconds=2)
SHARES = {Lane.LIVE: 11, Lane.POLL: 5, Lane.BULK: 4}
WINDOWS = 4
"""Looked at while all three ask."""

EDGE = 2
"""Calls that a stretch cut out of the log may hold beyond whole windows."""

ENOUGH = 0.7
"""What a lane gets of its share even on a machine that is busy with other things; most is all of it."""

PEOPLE = 300
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)

WORLD = a_crowd(
    PEOPLE, token=SANDBOX_TOKEN, created_at_step_seconds=1, updated_at_step_seconds=1
) | {"schools": {f"s{number}": {"urn": f"{900_000 + number}"} for number in range(1, PEOPLE + 1)}}


def event(number: int) -> dict[str, Any]:
    return {
        "event": "participant_deferred",
        "source_id": f"E-{number}",
        "participant_id": person(number),
        "course_identifier": "ecf-induction",
        "reason": "other",
    }


@pytest.fixture
def busy(tmp_path: Path) -> Generator[Control]:
    """Three hundred changes to send, a poll that finds everybody, a full sync of every school.

    A row or two to a page make each of them hundreds of requests long.
    """
    with Sandbox(WORLD, limit=1_000_000) as sandbox:
        settings = replace(
            with_sandbox(Settings.from_environment({}), sandbox),
            database_url=f"sqlite:///{tmp_path / 'pillarbox.db'}",
            settle=timedelta(0),
            poll_page_size=2,
            full_sync_page_size=1,
        )
        here = limited(settings.destinations[0], CALLS, WINDOW)
        world = World(replace(settings, destinations=(here,)), sandbox)
        world.prepare()
        stop = threading.Event()
        reader = world.wiring.reader(here, stop)
        reading = [
            threading.Thread(target=reader.read, args=arguments, kwargs=more, daemon=True)
            for arguments, more in (
                (("participants", RunKind.POLL), {"start": From(since=LONG_AGO)}),
                (("schools-2025", RunKind.FULL), {}),
            )
        ]
        with world.wiring.database.transaction() as connection:
            emit(connection, [decode(event(number)) for number in range(1, PEOPLE + 1)])
        world.start()
        for thread in reading:
            thread.start()
        try:
            yield Control(sandbox)
        finally:
            stop.set()
            world.stop()
            for thread in reading:
                thread.join(timeout=PATIENCE_S)


def lane_of(arrival: dict[str, Any]) -> Lane:
    path = arrival["path"]
    if arrival["method"] == "GET" and "updated_since" in path:
        return Lane.POLL
    return Lane.BULK if path.startswith("/api/v3/schools") else Lane.LIVE


def test_polls_and_full_syncs_beside_a_backlog_have_their_shares_no_more_and_no_less(
    busy: Control,
) -> None:
    def arrived() -> list[tuple[timedelta, Lane]]:
        log = busy.get("/requests?limit=10000")["requests"]
        return [(timedelta(microseconds=one["monotonic_us"]), lane_of(one)) for one in log]

    def all_ask() -> timedelta:
        """Give since when all three have been calling."""
        first = {lane: at for at, lane in reversed(arrived())}
        return max(first.values()) if len(first) == len(SHARES) else timedelta.max

    assert wait_until(lambda: all_ask() < timedelta.max, timeout=PATIENCE_S)
    begin = all_ask() + 2 * WINDOW  # what a lane had borrowed before is given back by then
    end = begin + WINDOWS * WINDOW
    assert wait_until(lambda: arrived()[-1][0] > end, timeout=PATIENCE_S)
    made = Counter(lane for at, lane in arrived() if begin <= at < end)

    for lane, share in SHARES.items():
        assert made[lane] <= WINDOWS * share + EDGE, (lane, made)
        assert made[lane] >= ENOUGH * WINDOWS * share, (lane, made)
    assert busy.calls()[1] == 0
