"""The limit of the key holds whatever happens to those who count: judged by when calls arrived."""

import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pillarbox.world import Control
from runtime.points import Point
from sandbox.server import Sandbox
from tests.support.children import At
from tests.support.proxy import Delay, Pass, Proxy
from tests.support.yard import Lot, Yard, world


class Metered:
    """A lot on a sandbox of its own, with a small limit, behind a proxy."""

    def __init__(self, yard: Yard, template: Path, *, calls: int, window: int) -> None:
        self.calls, self.window = calls, window
        self.sandbox = Sandbox(world())
        self.sandbox.start()
        self.control = Control(self.sandbox)
        self.control.put("/limiter", {"limit": calls, "window_s": window, "mode": "rolling"})
        port = urlsplit(self.sandbox.url).port or 0
        self.proxy = Proxy("127.0.0.1", port)
        url = self.sandbox.url.replace(f":{port}", f":{self.proxy.port}")
        settings = {"PILLARBOX_API_URL": url, "PILLARBOX_QUOTA": f"{calls}/{window}"}
        self.lot = yard.lot("postgresql", template, **settings)

    def close(self) -> None:
        """End it all."""
        self.lot.__exit__()
        self.proxy.close()
        self.sandbox.stop()

    def arrived(self) -> list[dict[str, Any]]:
        """Give all that arrived."""
        return self.control.get("/requests?limit=10000")["requests"]

    def fullest(self) -> int:
        """Say how many calls arrived in the fullest window there was."""
        times = [datetime.fromisoformat(one["arrived_at"]).timestamp() for one in self.arrived()]
        return max(_within(times, at, self.window) for at in times)


def _within(times: Sequence[float], at: float, window: float) -> int:
    return sum(at <= one < at + window for one in times)


@pytest.fixture
def metered(yard: Yard, sqlite_template: Path) -> Iterator[Metered]:
    """Ten calls in three seconds."""
    with closing(Metered(yard, sqlite_template, calls=10, window=3)) as made:
        yield made


def claims(lot: Lot, number: int) -> list[str]:
    return [lot.declare() for _ in range(number)]


@pytest.mark.sweep
def test_calls_held_up_on_the_way_and_a_worker_killed_with_a_slot_break_no_window(
    metered: Metered,
) -> None:
    lot, dice = metered.lot, random.Random(7)
    claims(lot, 16)
    lot.start("relay")
    victim = lot.start("worker", "--threads", "2", at=At(Point.SLOT_GIVEN, 3))
    other = lot.start("worker", "--threads", "2")
    held = 0
    while victim.alive or lot.open_count() > 6:
        metered.proxy.mode = Delay(dice.uniform(0.1, 0.8), way="request")
        time.sleep(0.3)
        held += metered.proxy.count
    metered.proxy.mode = Pass()
    other.end()
    lot.let_leases_run_out()  # nobody holds anything now
    lot.start("worker", "--threads", "2")
    lot.rest()

    assert victim.wait() == -signal.SIGKILL
    assert held > 5
    assert metered.fullest() <= metered.calls
    assert [one for one in metered.arrived() if one["limited"]] == []


def test_calls_of_another_program_pause_the_key_and_bury_nothing(metered: Metered) -> None:
    """It has used up the window; the refusal is plain text and says nothing of when to come back."""
    lot = metered.lot
    lot.start("relay")
    lot.start("worker", "--threads", "2")
    first = claims(lot, 1)
    lot.rest()
    metered.control.put("/limiter", {"prior_requests": {"crowd": metered.calls}})
    told = first + claims(lot, 6)
    lot.rest()

    arrived = metered.arrived()
    refused = [one for one in arrived if one["limited"]]
    assert 1 <= len(refused) <= 4, "whoever was under way, and a probe when a window may be over"
    assert [one["status"] for one in arrived if one["executed"]] == [200] * len(told)
    assert lot.doubts() == 0
