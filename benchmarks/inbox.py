"""What reading costs: requests of polls and of a full sync, and how fast pages are applied.

The sandbox answers from a process of its own, and requests are counted on the way they take in
production: gate, quota in Redis, a row for each request, one transaction for each page. How fast rows
are applied is measured on the same pages once more, kept in memory: everything but the network.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from threading import Event
from typing import Any, cast
from unittest.mock import patch

import psutil

from benchmarks import ground
from benchmarks.result import Line, Peer, Result
from inbox import checkpoints
from inbox.fetching import Fetched, Got
from inbox.poll import Ended, Reader
from inbox.window import From
from outbox import entries
from runtime.memory import collect_seldom
from runtime.settings import Settings
from schema.inbox import RunKind
from schema.plans import Request
from schema.states import Lane
from workers.bound import Bound
from workers.wiring import Wiring

CHANGED = (0, 1, 100, 250, 1_000)
"""How many rows a poll finds changed."""

PEOPLE = "participants"

MOST_REQUESTS = 603
"""What a full sync of 60,000 people may take."""

UNCHANGED_RATE, CHANGED_RATE = 3_000, 1_000
"""Rows a second that are to be applied when nothing changed, and when all of them did."""

SHARE = 0.05
"""The part of a run that saving its place may take."""


def run(*, quick: bool) -> Result:
    """Read everything, then what changed, then everything again from memory."""
    people = 6_000 if quick else 60_000
    collect_seldom()
    with (
        ground.postgresql() as url,
        ground.redis_server() as redis_url,
        ground.sandbox(ground.world_of(people)) as root,
        ground.wired(_settings(url, redis_url, root)) as wiring,
    ):
        reader = wiring.reader(wiring.settings.destinations[0], Event())
        tidy = partial(ground.tidied, url)
        lines = [*_full_sync(wiring, reader, people, tidy), *_polls(wiring, reader, root)]
        tidy()
        lines += _applied(wiring, tidy)
    return Result(
        scenario="inbox",
        conditions=f"{people:,} participants on PostgreSQL, {wiring.settings.full_sync_page_size} "
        "rows to a page of a full sync, 100 to one of a poll",
        lines=lines,
    )


def _settings(url: str, redis_url: str, root: str) -> Settings:
    settings = ground.settings_for(url, redis_url, url=root)
    return replace(settings, poll_start="everything", poll_runtime=timedelta(hours=2))


# by the way of production


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one run cost."""

    requests: int
    seen: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.seen / self.seconds


def _read(wiring: Wiring, reader: Reader, kind: RunKind, **more: Any) -> Took:
    begun = time.perf_counter()
    ended = reader.read(PEOPLE, kind, **more)
    seconds = time.perf_counter() - begun
    if ended is not Ended.COMPLETE:
        raise ground.Unavailable(f"{PEOPLE} were not read to the end: {ended}")
    with wiring.database.reading() as connection:
        [last] = checkpoints.latest(connection, "default", source=PEOPLE, limit=1)
    return Took(requests=last.requests, seen=last.seen, seconds=seconds)


def _full_sync(
    wiring: Wiring, reader: Reader, people: int, tidy: Callable[[], None]
) -> Sequence[Line]:
    first = _read(wiring, reader, RunKind.FULL)
    tidy()
    warm = _resident()
    with _timed() as spent:
        again = _read(wiring, reader, RunKind.FULL)
    return (
        Line(
            name="requests of a full sync",
            value=again.requests,
            unit="",
            at_most=MOST_REQUESTS * people / 60_000 + 3,
            counter=True,
        ),
        Line(
            name="rows it read, there and back",
            value=again.seen / people,
            unit="of all",
            at_least=2,
            counter=True,
        ),
        Line(name="the first one, all rows new", value=first.rate, unit="rows/s"),
        Line(name="the next, nothing changed", value=again.rate, unit="rows/s"),
        Line(
            name="memory of the reading process after it",
            value=_resident(),
            unit="MiB",
            peer=Peer(name="after the first", value=warm),
            at_most=1.1,
        ),
        Line(
            name="part of it that saves its place",
            value=spent[0] / again.seconds,
            unit="",
            at_most=SHARE,
        ),
    )


def _resident() -> float:
    return psutil.Process().memory_info().rss / 2**20


def _polls(wiring: Wiring, reader: Reader, root: str) -> Sequence[Line]:
    """Poll from just before so many people were touched, a second apart; each time on a later day."""
    lines: list[Line] = []
    for place, number in enumerate(CHANGED):
        day = wiring.clock.now() - timedelta(days=len(CHANGED) - place)
        _touch(root, number, day)
        took = _read(wiring, reader, RunKind.POLL, start=From(since=day - timedelta(minutes=1)))
        lines.append(
            Line(
                name=f"requests of a poll, {number:,} changed",
                value=took.requests,
                unit="",
                at_most=-(-number // 100) + 2,
                counter=True,
            )
        )
    return lines


def _touch(root: str, number: int, at: datetime) -> None:
    events = [
        {
            "event": "touched",
            "refs": [f"c{place}"],
            "at": (at + timedelta(seconds=place)).isoformat(),
        }
        for place in range(1, number + 1)
    ]
    if events:
        ground.control(root, "POST", "/events", events)


# from memory


@dataclass(slots=True)
class Kept:
    """Answers by what was asked, and when each was asked for again."""

    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """When each page was handed over, and how many rows it had."""

    def change_all(self) -> None:
        """Give everybody another name and a later stamp."""
        later = datetime.now().astimezone().isoformat(timespec="seconds")
        self.answers = deepcopy(self.answers)
        for body in self.answers.values():
            for row in cast(Sequence[Mapping[str, Any]], body["data"]):
                row["attributes"]["full_name"] += " Again"
                row["attributes"]["updated_at"] = later

    def fetch(self, request: Request, lane: Lane, run_id: int) -> Fetched:
        """Give the answer that is kept."""
        now = datetime.now().astimezone()
        body = self.answers[str(request.query)]
        self.asked.append((time.perf_counter(), len(body["data"])))
        return Got(body=body, began_at=now, date=now)

    def way_there(self) -> tuple[int, float]:
        """Give rows and seconds of the way forward of the last run, and forget it."""
        end = next(place for place, (_, rows) in enumerate(self.asked) if not rows)
        rows = sum(number for _, number in self.asked[:end])
        seconds = self.asked[end][0] - self.asked[0][0]
        self.asked.clear()
        return rows, seconds


def _applied(wiring: Wiring, tidy: Callable[[], None]) -> Sequence[Line]:
    kept = Kept()
    _read(wiring, _reader(wiring, _keeping(wiring, kept)), RunKind.FULL)
    from_memory = _reader(wiring, kept.fetch)
    tidy()
    _read(wiring, from_memory, RunKind.FULL)
    same, same_s = kept.way_there()
    kept.change_all()
    tidy()
    _read(wiring, from_memory, RunKind.FULL)
    changed, changed_s = kept.way_there()
    return (
        Line(
            name="rows applied, nothing changed",
            value=same / same_s,
            unit="rows/s",
            at_least=UNCHANGED_RATE,
        ),
        Line(
            name="rows applied, all changed",
            value=changed / changed_s,
            unit="rows/s",
            at_least=CHANGED_RATE,
        ),
    )


def _keeping(wiring: Wiring, kept: Kept) -> Callable[[Request, Lane, int], Fetched]:
    """Read by the way of production, and keep each answer."""
    destination = wiring.settings.destinations[0]
    fetch = wiring.fetcher(destination, Bound(destination.name, 1), Event())

    def keep(request: Request, lane: Lane, run_id: int) -> Fetched:
        told = fetch(request, lane, run_id)
        if isinstance(told, Got):
            kept.answers[str(request.query)] = told.body
        return told

    return keep


def _reader(wiring: Wiring, fetch: Callable[[Request, Lane, int], Fetched]) -> Reader:
    destination = wiring.settings.destinations[0]
    return Reader(
        database=wiring.database,
        contract=wiring.contract(destination),
        destination=destination.name,
        clock=wiring.clock,
        pacing=wiring.pacing(destination),
        fetch=fetch,
        close=lambda connection, closed, now: entries.close(connection, closed, now=now),
        dice=Random(1),
    )


@contextmanager
def _timed() -> Generator[list[float]]:
    """Add up the seconds spent with the lease and with the place of a run."""
    spent = [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                spent[0] += time.perf_counter() - begun

        return call

    with ExitStack() as stack:
        for name in ("hold", "save", "saw", "promote", "release"):
            function = timed(getattr(checkpoints, name))
            stack.enter_context(patch.object(checkpoints, name, function))
        yield spent
