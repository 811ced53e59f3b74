"""One simulated day: a collection that misbehaves, and a reader made of the product's decisions.

What decides is the product's own: the window, the walk, when a run began, what a row is to the
mirror, what full syncs may take for gone. Only where things are kept differs: in a dictionary, of
which a death leaves what was committed. `test_the_simulated_reader_is_the_real_one` holds the two
against each other.

The oracle is the other side itself: what it has now, and since when.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from random import Random

from inbox import walk
from inbox.drift import too_many
from inbox.mirror import Known, Reading, Verdict, judge
from inbox.pacing import Pacing, order_of
from inbox.walk import PageSeen, Walk
from inbox.window import Began, Everything, From, anchored, limit, started, window
from schema.fingerprint import fingerprint
from schema.inbox import RunKind
from schema.sources import Order, Row
from tests.support.clock import NOON
from tests.support.remote import Remote, customers, page, read

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)

LAG = timedelta(seconds=40)
"""How long after its stamp a change becomes visible at most."""

MOST_REQUESTS = 20_000
"""More than this for a day is a walk without end."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on this day."""

    shuffled: bool
    lag: bool
    during: float
    """How likely a change is with each page that is read."""
    bursts: bool
    removals: bool
    silent: bool
    ahead: timedelta
    steps: bool
    outage: bool
    false_empty: float
    cap: int
    dies: float


def faults(dice: Random) -> Faults:
    """Draw what goes wrong."""

    def maybe(likely: float) -> bool:
        return dice.random() < likely

    return Faults(
        shuffled=maybe(0.7),
        lag=maybe(0.7),
        during=dice.choice((0.0, 0.3, 0.9)),
        bursts=maybe(0.4),
        removals=maybe(0.5),
        silent=maybe(0.4),
        ahead=dice.choice((0, 0, 120, -120, 7200, -7200)) * SECOND,
        steps=maybe(0.15),
        outage=maybe(0.35),
        false_empty=dice.choice((0.0, 0.0, 0.05)),
        cap=dice.choice((3000, 3000, 20, 7)),
        dies=dice.choice((0.0, 0.0, 0.1)),
    )


@cache
def _hashed(value: str) -> str:
    return fingerprint({"value": value})


class Died(Exception):
    """The process ended."""


@dataclass(slots=True, kw_only=True)
class Run:
    """A run as its row has it."""

    number: int
    kind: RunKind
    place: Walk
    opened_at: datetime
    started_at: datetime | None = None
    limit: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Kept:
    """What is committed."""

    mirror: dict[str, Known] = field(default_factory=dict[str, Known])
    began: Began | None = None
    runs: dict[RunKind, Run] = field(default_factory=dict[RunKind, Run])
    number: int = 0


class Day:
    """A simulated day, and what was wrong at its end."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.faults = faults(self.dice)
        self.order = self.dice.choice((Order.RESTART, Order.RESTART, Order.TWO_WAYS))
        self.source = customers(self.order, size=10, largest=60)
        self.pacing = Pacing(interval=HOUR, start=Everything(), page_size=10, full_page_size=25)
        self.remote = Remote(
            dice=self.dice,
            cap=self.faults.cap,
            shuffles=self.faults.shuffled,
            ahead=self.faults.ahead,
        )
        self.now = NOON
        self.kept = Kept()
        self.counter = 0
        self.changed: dict[str, datetime] = {}
        """When a row was last changed in a way that a poll can see, by our clock."""
        self.silent: set[str] = set()
        self.requests = 0
        for number in range(self.dice.randrange(0, 60)):
            self._put(f"c{number:03}", NOON - timedelta(days=2) + number * SECOND)

    # the other side

    def _put(self, row_id: str, at: datetime) -> None:
        self.counter += 1
        lag = LAG * self.dice.random() if self.faults.lag else timedelta(0)
        self.remote.put(row_id, self.counter, at, lag=lag, created_at=at)
        self.changed[row_id] = at + lag
        self.silent.discard(row_id)

    def happen(self) -> None:
        """Let something happen there."""
        dice, rows = self.dice, sorted(self.remote.rows)
        drawn = dice.random()
        if drawn < 0.15 or not rows:
            self._put(f"n{self.counter:04}", self.now)
        elif drawn < 0.22 and self.faults.removals and len(rows) > 5:
            gone = dice.choice(rows)
            self.remote.remove(gone)
            self.changed.pop(gone, None)
        elif drawn < 0.3 and self.faults.silent:
            self.counter += 1
            row_id = dice.choice(rows)
            self.remote.change_silently(row_id, self.counter)
            self.silent.add(row_id)
        elif drawn < 0.4 and self.faults.bursts:
            for row_id in dice.sample(rows, min(len(rows), dice.randrange(2, 25))):
                self._put(row_id, self.now)
        else:
            self._put(dice.choice(rows), self.now)

    # our side

    def pass_time(self, until: datetime) -> None:
        """Let time pass, with changes now and then."""
        while self.now < until:
            self.now += timedelta(seconds=self.dice.uniform(60, 1800))
            self.happen()
        self.now = max(self.now, until)

    def poll(self, kind: RunKind = RunKind.POLL) -> None:
        """Read, dying and going on as often as this day has it, to the end."""
        while True:
            try:
                self._read(kind)
                return
            except Died:
                self.now += timedelta(minutes=11)  # a lease runs out

    def _read(self, kind: RunKind) -> None:
        run = self._open(kind)
        while (wanted := walk.ask(run.place)) is not None:
            began = self.now
            self.remote.false_empty = self.faults.false_empty
            self.requests += 1
            answer = self.remote.page(wanted, began)
            self.now += timedelta(seconds=self.dice.uniform(0.2, 4))
            if self.dice.random() < self.faults.during:
                self.happen()
            if self.dice.random() < self.faults.dies:
                raise Died
            run = self._commit_page(run, [read(one) for one in page(answer).rows], began)
            if self.dice.random() < self.faults.dies:
                raise Died
            assert self.requests < MOST_REQUESTS, "the walk does not end"
        if run.kind is RunKind.FULL:
            self._sweep(run)
        self._complete(run)

    def _open(self, kind: RunKind) -> Run:
        going_on = self.kept.runs.get(kind)
        if going_on is not None:
            return going_on
        since: datetime | None = None
        order = order_of(self.source, kind)
        if kind is RunKind.POLL:
            found = window(
                self.kept.began,
                now=self.now,
                interval=self.pacing.interval,
                longest_gap=self.pacing.longest_gap,
                start=self.pacing.start,
            )
            if isinstance(found, From):
                since = found.since
            else:
                kind = RunKind.FULL
                if kind in self.kept.runs:
                    return self.kept.runs[kind]
        self.kept.number += 1
        size = self.pacing.size(self.source, kind)
        begun = walk.begin(order, since=since, size=size, largest=60)
        run = Run(number=self.kept.number, kind=kind, place=begun, opened_at=self.now)
        self.kept.runs[kind] = run
        return run

    def _commit_page(self, before: Run, rows: list[Row], began: datetime) -> Run:
        run = copy(before)
        again: Walk | None = None
        if run.started_at is None:
            date = self.remote.date(self.now)
            run.started_at = started(date, began)
            run.limit = limit(date, began)
            if run.place.since is not None and self.kept.began is not None:
                since = anchored(
                    run.place.since,
                    self.kept.began,
                    date=date,
                    here=began,
                    interval=self.pacing.interval,
                )
                if since < run.place.since:
                    again = walk.begin(run.place.order, since=since, size=10, largest=60)
        unseen = self.apply(rows, began, run.number, run.limit)
        stamps = [row.updated_at for row in rows if row.updated_at is not None]
        seen = PageSeen(
            rows=len(rows),
            unseen=unseen,
            first=min(stamps, default=None),
            last=max(stamps, default=None),
            last_id=rows[-1].id if rows else None,
            ascending=stamps == sorted(stamps),
        )
        run.place = again or walk.step(run.place, seen, limit=run.limit)
        self.kept.runs[run.kind] = run
        return run

    def apply(
        self, rows: list[Row], began: datetime, number: int, end: datetime | None = None
    ) -> int:
        """Bring rows into the mirror; gives how many this run had not seen and ought to have."""
        reading = Reading(
            destination="default",
            source="customers",
            run_id=number,
            began_at=began,
            now=self.now,
            limit=end,
        )
        unseen = 0
        for row in {one.id: one for one in rows}.values():
            known = self.kept.mirror.get(row.id)
            new_here = known is None or known.seen_run != number
            unseen += new_here and reading.counts(row)
            hashed = _hashed(str(row.content["value"]))
            if judge(known, hashed, began) is Verdict.OLDER:
                continue
            self.kept.mirror[row.id] = Known(
                remote_id=row.id,
                fingerprint=hashed,
                content=row.content,
                read_began_at=began,
                first_seen=began,
                remote_updated_at=row.updated_at,
                gone_since=None,
                seen_run=number,
            )
        return unseen

    def _sweep(self, run: Run) -> None:
        there = {one.id: one for one in self.remote.visible(self.now)}
        candidates = [
            known.remote_id
            for known in self.kept.mirror.values()
            if known.gone_since is None
            and known.seen_run != run.number
            and known.read_began_at < run.opened_at
        ]
        missing = [one for one in candidates if one not in there]
        assert len(missing) <= len(candidates)
        # A person looks at a brake and lets it go on: here they always do, having looked.
        self.braked = too_many(len(candidates), len(self.kept.mirror))
        for remote_id in candidates:
            self.requests += 1
            one = there.get(remote_id)
            if one is None:
                del self.kept.mirror[remote_id]
                continue
            body = {"id": one.id, "updated_at": one.stamp.isoformat(), "value": one.value}
            self.apply([read(body)], self.now, run.number)

    def _complete(self, run: Run) -> None:
        assert run.started_at is not None
        was = self.kept.began
        there = run.started_at if was is None else max(run.started_at, was.there)
        if was is None or run.opened_at > was.here:
            self.kept.began = Began(there=there, here=run.opened_at)
        del self.kept.runs[run.kind]

    # a whole day

    def live(self) -> tuple[int, int]:
        """Live through the day; gives the rows stale after two windows and different at its end."""
        self.poll()
        outage_at = self.dice.randrange(2, 7) if self.faults.outage else None
        step_at = self.dice.randrange(2, 7) if self.faults.steps else None
        for hour in range(1, 9):
            wait = HOUR * self.dice.uniform(0.5, 1.0)
            if hour == outage_at:
                wait = 5 * HOUR
            if hour == step_at:
                self.remote.ahead -= self.dice.choice((60, 3600, 3 * 3600)) * SECOND
            self.pass_time(self.now + wait)
            self.poll()
        stale = self._stale_after_two_windows()
        self._still()
        self.poll(RunKind.FULL)
        return stale, len(self.different(self.there()))

    def _stale_after_two_windows(self) -> int:
        """Let two windows pass; what was changed before them must be known, while the rest goes on."""
        began = self.now
        before = {row_id for row_id, at in self.changed.items() if at <= began}
        for _ in range(2):
            self.pass_time(self.now + HOUR * self.dice.uniform(0.5, 1.0))
            self.poll()
        same = {row_id for row_id in before if self.changed.get(row_id, self.now) <= began}
        there = {row_id: value for row_id, value in self.there().items() if row_id in same}
        return len([one for one in self.different(there) if one in same and one not in self.silent])

    def _still(self) -> None:
        """Let nothing happen any more, and all that is on its way become visible."""
        self.faults = replace(self.faults, during=0.0)
        self.now += LAG + SECOND

    def there(self) -> dict[str, int]:
        """Say what the other side has."""
        return {one.id: one.value for one in self.remote.visible(self.now)}

    def different(self, there: Mapping[str, int]) -> set[str]:
        """Name the rows in which the mirror is not what is there."""
        here = {
            one.remote_id: one.content["value"]
            for one in self.kept.mirror.values()
            if one.gone_since is None
        }
        missing = {row_id for row_id, value in there.items() if here.get(row_id) != value}
        return missing | (set(here) - set(self.there()))
