"""Five hundred simulated days, and proof that they would notice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from inbox import walk
from inbox import window as windows
from inbox.poll import Ended
from inbox.walk import PageSeen, Walk
from inbox.window import From
from runtime.database import Database
from schema.fingerprint import Json
from schema.inbox import RunKind
from schema.sources import Row
from tests.simulation_inbox import world
from tests.simulation_inbox.__main__ import summary
from tests.simulation_inbox.world import Day
from tests.support.clock import HandClock
from tests.support.inbox import Inbox, of_remote
from tests.support.remote import crm

SEEDS = 500


def wrong(seeds: Sequence[int]) -> list[int]:
    """Name the seeds at whose end something was wrong."""
    return [seed for seed in seeds if Day(seed).live() != (0, 0)]


def test_no_seed_leaves_a_stale_row_after_two_windows_or_any_difference_after_a_full_sync() -> None:
    stale = different = 0
    for seed in range(SEEDS):
        late, other = Day(seed).live()
        stale, different = stale + late, different + other

    assert summary(SEEDS, stale, different) == (
        "500 seeds: 0 stale after two windows, 0 different after a full sync"
    )


def test_the_same_seed_is_the_same_day() -> None:
    one, other = Day(26), Day(26)
    one.live()
    other.live()

    assert one.requests == other.requests
    assert one.kept.mirror == other.kept.mirror


def no_overlap(patch: pytest.MonkeyPatch) -> None:
    """Ask from exactly where the last run began."""
    patch.setattr(windows, "OVERLAP_INTERVALS", 0)


def from_now(patch: pytest.MonkeyPatch) -> None:
    """Ask for two windows before now, whenever the last success was."""

    def from_now(began: object, *, now: datetime, **more: object) -> object:
        found = windows.window(began, now=now, **more)  # type: ignore[arg-type]
        return From(since=now - timedelta(hours=2)) if isinstance(found, From) else found

    def not_anchored(since: datetime, *rest: object, **more: object) -> datetime:
        return since

    patch.setattr(world, "window", from_now)
    patch.setattr(world, "anchored", not_anchored)


def believe_an_empty_page(patch: pytest.MonkeyPatch) -> None:
    """End at the first empty page."""
    step = walk.step

    def once(place: Walk, page: PageSeen, *, limit: datetime | None) -> Walk:
        return step(replace(place, empty=9), page, limit=limit)

    patch.setattr(walk, "step", once)


def end_at_a_short_page(patch: pytest.MonkeyPatch) -> None:
    """Take a page with fewer rows than asked for as the last one."""
    step = walk.step

    def short(place: Walk, page: PageSeen, *, limit: datetime | None) -> Walk:
        if 0 < page.rows < place.size:
            return replace(place, phase=walk.Phase.DONE)
        return step(place, page, limit=limit)

    patch.setattr(walk, "step", short)


def only_newer_stamps(patch: pytest.MonkeyPatch) -> None:
    """Take over a row only if its stamp is newer."""
    apply = Day.apply

    def newer(
        day: Day, rows: list[Row], began: datetime, number: int, limit: datetime | None = None
    ) -> int:
        def is_newer(row: Row) -> bool:
            known = day.kept.mirror.get(row.id)
            stamp = None if known is None else known.remote_updated_at
            return stamp is None or row.updated_at is None or row.updated_at > stamp

        old = [row.id for row in rows if not is_newer(row)]
        unseen = apply(day, [row for row in rows if is_newer(row)], began, number, limit)
        for row_id in old:
            known = day.kept.mirror[row_id]
            unseen += known.seen_run != number
            day.kept.mirror[row_id] = replace(known, seen_run=number)
        return unseen

    patch.setattr(Day, "apply", newer)


@pytest.mark.parametrize(
    ("mistake", "seeds"),
    [
        (no_overlap, (13, 22, 26)),
        (from_now, (1, 2, 3)),
        (believe_an_empty_page, (26, 37, 40)),
        (end_at_a_short_page, (8, 49, 69)),
        (only_newer_stamps, (2, 6, 26)),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_mistake_that_others_have_made_would_be_noticed(
    mistake: Callable[[pytest.MonkeyPatch], None],
    seeds: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert wrong(seeds) == []

    mistake(monkeypatch)

    assert wrong(seeds) != []


class RealDay(Day):
    """The same day, read by the real reader into a real database."""

    def __init__(self, seed: int, database: Database) -> None:
        super().__init__(seed)
        # What happens there may not depend on what is asked, for the two readers to see the same.
        self.faults = replace(self.faults, during=0.0, dies=0.0, false_empty=0.0, shuffled=False)
        self.remote.shuffles = False
        self._clock = HandClock(self.now)
        contract = crm(self.order, size=10, largest=60)
        self._inbox = Inbox(database, contract, of_remote(self.remote), clock=self._clock)
        self._inbox.date = self.remote.date

    def poll(self, kind: RunKind = RunKind.POLL) -> None:
        """Poll in a world where a reading takes no time."""
        self._clock.advance(self.now - self._clock.now())
        self._inbox.takes = timedelta(0)
        while self._inbox.poll("customers", kind) is not Ended.COMPLETE:
            pass

    def mirrored(self) -> dict[str, Json]:
        """Give what the real mirror holds."""
        return {row_id: one["value"] for row_id, one in self._inbox.mirror("customers").items()}


class QuickDay(Day):
    """The same day, where a reading takes no time."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.faults = replace(self.faults, during=0.0, dies=0.0, false_empty=0.0, shuffled=False)
        self.remote.shuffles = False

    def poll(self, kind: RunKind = RunKind.POLL) -> None:
        """Poll, and go back to when it began."""
        began, state = self.now, self.dice.getstate()
        super().poll(kind)
        self.now = began
        self.dice.setstate(state)

    def mirrored(self) -> dict[str, Json]:
        """Give what the simulated mirror holds."""
        return {one.remote_id: one.content["value"] for one in self.kept.mirror.values()}


@pytest.mark.parametrize("seed", [1, 5, 13])
def test_the_simulated_reader_is_the_real_one(
    seed: int, sqlite_template: Path, tmp_path: Path
) -> None:
    file = tmp_path / "day.db"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    real, simulated = RealDay(seed, database), QuickDay(seed)
    for day in (real, simulated):
        dice = Random(seed)
        day.poll()
        for _ in range(6):
            day.pass_time(day.now + timedelta(hours=dice.uniform(0.5, 1)))
            day.poll()
        day.poll(RunKind.FULL)

    assert real.mirrored() == simulated.mirrored()
    assert real.mirrored() == real.there()
    database.close()
