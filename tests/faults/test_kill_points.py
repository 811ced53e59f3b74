"""A process is killed at every named point; the sandbox's own log tells what came of it.

A trial tells a lot of changes while a process lives that ends by SIGKILL at the n-th hit of a
point; then it tells newer ones, starts a fresh process and waits until everything is in step. Trials run
beside one another: most of each is waiting.
"""

import itertools
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from _pytest.mark import ParameterSet
from sqlalchemy import Select, select, update

from runtime.points import Point
from schema.states import RecordState
from schema.tables import record
from tests.support.children import At, Child
from tests.support.nursery import log_of
from tests.support.yard import LONG_AGO, SCHEDULES, Arrived, Lot, Yard, overlaps, said

AT_ONCE = 10
"""Trials that run beside one another."""

WAVES = 20
"""Changes that are told while the process lives, one after another, at most."""

QUICK = 6
BETWEEN_S, SLOWLY_S = 0.2, 1.0
"""Time between two of the first ones, and of the later: a round of the relay sees one or two, also
where processes take their time to start."""

LOOKS = 2
"""Look-ups of one person: before the first change, and to settle a doubt."""

THREADS = {"sqlite": 4, "postgresql": 1}
"""Calls that a process may have had under way when it was killed."""

ROLES = {
    **dict.fromkeys(("rescue", "fold", "admit", "rung"), "relay"),
    **dict.fromkeys(("take", "slot", "mark", "sending", "sent", "answered", "settle"), "worker"),
}
"""Who reaches a point, by the first word of its name."""


def role_of(point: Point) -> str | None:
    """Say which process reaches a point."""
    return ROLES.get(point.value.partition(".")[0])


POINTS = [point for point in Point if role_of(point)]

DECLARE, MOVE, PAUSE = "claim", "schedule", "pause"
FIRST, SECOND = f"change-schedule {SCHEDULES[1]}", f"change-schedule {SCHEDULES[2]}"

ENDS: Mapping[str, Sequence[Sequence[str]]] = {
    DECLARE: [["participant-declarations"]],
    MOVE: [[SECOND], [FIRST, SECOND]],
    PAUSE: [["withdraw"], ["defer", "withdraw"]],
}
"""What may have been carried out in the end for a person, by what was told of them."""


@dataclass(frozen=True)
class Trial:
    """Where a process is killed."""

    backend: str
    point: Point
    hit: int

    @property
    def named(self) -> str:
        """What pytest calls it."""
        return f"{self.backend}-{self.point.value}-{self.hit}"


@dataclass(frozen=True)
class Found:
    """What came of a trial."""

    code: int
    log: str
    arrived: Mapping[str, Sequence[Arrived]]
    doubts: int


def tell_first(lot: Lot, kind: str) -> str:
    """Tell a change for somebody new."""
    match kind:
        case "claim":
            return lot.declare()
        case "schedule":
            return lot.move(SCHEDULES[1])
        case _:
            return lot.defer()


def tell_newer(lot: Lot) -> None:
    """Tell a newer change for everybody of whom there may be one."""
    for name in lot.people:
        match name.partition("-")[0]:
            case "schedule":
                lot.move(SCHEDULES[2], name)
            case "pause":
                lot.tell(said("participant_withdrawn", name, reason="other"))
            case _:
                pass


class Play:
    """One trial, from the first change to the last answer."""

    def __init__(self, lot: Lot, trial: Trial) -> None:
        self._lot = lot
        self._trial = trial
        self._embedded = trial.backend == "sqlite"
        self._kinds = itertools.cycle((DECLARE, MOVE, PAUSE))

    def run(self) -> Found:
        """Kill, recover, and collect what the other side saw."""
        lot = self._lot
        if self._trial.point.value.startswith("rescue"):
            self._leave_two_leases_behind()
        left = self._taken()
        victim, *others = self._start(At(self._trial.point, self._trial.hit))
        if left:
            self._let_them_run_out(left, victim)
        self._tell_while_it_lives(victim)
        code = victim.wait()
        tell_newer(lot)
        # What a worker that lives on holds is not to be let go of.
        lot.let_leases_run_out(*([RecordState.DISPATCHED] if others and self._relay_dies else ()))
        self._successor()
        lot.rest()
        return Found(code=code, log=log_of(lot.folder), arrived=lot.arrived(), doubts=lot.doubts())

    @property
    def _relay_dies(self) -> bool:
        return role_of(self._trial.point) == "relay"

    def _start(self, at: At) -> list[Child]:
        """Start all processes; the one that is to die comes first."""
        if self._embedded:
            return [self._lot.start("up", at=at)]
        if role_of(at.point) == "relay":
            return [self._lot.start("relay", at=at), self._worker()]
        return [self._worker(at), self._lot.start("relay")]

    def _worker(self, at: At | None = None) -> Child:
        return self._lot.start("worker", "--threads", "1", at=at)

    def _successor(self) -> None:
        if self._embedded:
            self._lot.start("up")
        elif self._relay_dies:
            self._lot.start("relay")
        else:
            self._worker()

    def _tell_while_it_lives(self, victim: Child) -> None:
        for wave in range(WAVES):
            if not victim.alive:
                return
            tell_first(self._lot, next(self._kinds))
            time.sleep(BETWEEN_S if wave < QUICK else SLOWLY_S)

    def _leave_two_leases_behind(self) -> None:
        """Let workers die with a record in hand."""
        for _ in range(4):
            tell_first(self._lot, next(self._kinds))
        while len(self._taken()) < 2:
            dies, *others = self._start(At(Point.TAKE_COMMITTED))
            dies.wait()
            for other in others:
                other.end()

    def _let_them_run_out(self, left: Sequence[int], victim: Child) -> None:
        """Let the lease of one run out, and when it was rescued that of the next."""
        lot = self._lot
        for record_id in left:
            one = record.c.id == record_id
            with lot.database.transaction() as connection:
                connection.execute(update(record).where(one).values(lease_until=LONG_AGO))
            rescued = select(record.c.id).where(one, record.c.lease_until == LONG_AGO)

            def over(query: Select[tuple[int]] = rescued) -> bool:
                with lot.database.reading() as connection:
                    return not victim.alive or connection.execute(query).first() is None

            lot.until(over, "it is rescued, or the rescuer dead")

    def _taken(self) -> Sequence[int]:
        with self._lot.database.reading() as connection:
            held = select(record.c.id).where(record.c.state == RecordState.TAKEN.value)
            return connection.execute(held.order_by(record.c.id)).scalars().all()


def wrong(found: Found, *, threads: int) -> list[str]:
    """Say everything that should not have come of a trial."""
    told: list[str] = []
    extra = 0
    for name, calls in found.arrived.items():
        writes = [one for one in calls if one.writes]
        done = [one.deed for one in writes if one.executed]
        if done not in ENDS[name.partition("-")[0]]:
            told.append(f"{name}: carried out was {done}")
        if len(writes) - len(done) > 1:
            told.append(f"{name}: asked for {len(writes)} times")
        if len(calls) - len(writes) > LOOKS:
            told.append(f"{name}: looked up {len(calls) - len(writes)} times")
        extra += len(writes) - len(done)
    if extra > found.doubts:
        told.append(f"{extra} calls too many, but only {found.doubts} were in doubt")
    if found.doubts > threads:
        told.append(f"{found.doubts} calls in doubt, but only {threads} could be under way")
    return told + [f"{name}: two calls at once" for name, _ in overlaps(found.arrived)]


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, yard: Yard, sqlite_template: Path
) -> Iterator[Mapping[Trial, "Future[Found]"]]:
    """Begin every trial that was asked for, some at once."""

    def play(trial: Trial) -> Found:
        with yard.lot(trial.backend, sqlite_template) as lot:
            return Play(lot, trial).run()

    asked = [
        cast(Trial, item.callspec.params["trial"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {trial: pool.submit(play, trial) for trial in asked}


def all_trials() -> list[ParameterSet]:
    """Give every point, hit and database; the representative ones belong to the default run."""
    found = itertools.starmap(Trial, itertools.product(("sqlite", "postgresql"), POINTS, (1, 2)))
    return [
        pytest.param(
            trial,
            id=trial.named,
            marks=() if trial in REPRESENTATIVE else (pytest.mark.sweep,),
        )
        for trial in found
    ]


REPRESENTATIVE = {
    *(Trial("sqlite", point, 1) for point in POINTS),
    *(
        Trial("postgresql", point, 2)
        for point in (
            Point.FOLD_UNCOMMITTED,
            Point.ADMIT_COMMITTED,
            Point.TAKE_COMMITTED,
            Point.MARK_COMMITTED,
            Point.SENT,
            Point.SETTLE_UNCOMMITTED,
        )
    ),
}
"""The trials of every run: each point embedded, and on servers one of each transaction."""


@pytest.mark.parametrize("trial", all_trials())
def test_killed_at_any_point_nothing_is_lost_or_doubled_or_out_of_order(
    trial: Trial, trials: Mapping[Trial, "Future[Found]"]
) -> None:
    found = trials[trial].result()

    assert found.code == -signal.SIGKILL
    assert f"SIGKILL at {trial.point.value}, hit {trial.hit}" in found.log
    assert wrong(found, threads=THREADS[trial.backend]) == []
