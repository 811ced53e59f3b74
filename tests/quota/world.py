"""A small world in which processes call a strict server, on time that is moved by hand.

Everything that the quota cannot know is decided here: how long a commit, a request, an answer
takes, when Redis forgets, when a clock steps, when a process dies. The server's own list of
arrivals is the only judge.
"""

import heapq
import itertools
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

from gateway.quota import Granted, Limit, PastCall, Quota, Redis, Wait
from runtime.redis import Redis as RealOrBuiltIn
from schema.states import Lane

HOLD = timedelta(seconds=4)
"""The longest call of this world."""

LATENCY = 0.0005
"""What a request to Redis takes in this world, in seconds."""


class HandClock:
    """One true time, and Redis's idea of it, which can be stepped."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.redis_ahead = 0.0
        self.grain = 0.0
        """How far time goes on with each look at a clock: the latency of a round trip."""

    def monotonic(self) -> float:
        self.now += self.grain
        return self.now

    def redis_time(self) -> int:
        return int((self.monotonic() + self.redis_ahead) * 1e6)

    def goes_on(self, span: timedelta) -> None:
        self.now += span.total_seconds()


class Shared:
    """A Redis that other processes use as well, and a count of the requests."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.round_trips = 0

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        self.round_trips += 1
        return self._client.evalsha(sha, numkeys, *keys_and_args)

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        self.round_trips += 1
        return self._client.eval(script, numkeys, *keys_and_args)


def stored_keys(client: RealOrBuiltIn, namespace: str) -> list[str]:
    """Return the names of all keys of a namespace."""
    found = cast(
        "Iterator[bytes]",
        client.scan_iter(  # pyright: ignore[reportUnknownMemberType]
            match=f"{{{namespace}}}*", count=1000
        ),
    )
    return sorted(key.decode() for key in found)


@dataclass
class Row:
    """A call as it was committed."""

    lane: Lane
    key_name: str
    marked_at: float
    answered_at: float | None = None


class Database:
    """The committed rows of calls, and a clock of its own."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.rows: dict[str, Row] = {}
        self.behind = 0.0

    def now(self) -> float:
        return self._clock.now - self.behind

    def mark(self, grant: Granted, *, key_name: str = "key") -> None:
        self.rows[grant.id] = Row(lane=grant.lane, key_name=key_name, marked_at=self.now())

    def settle(self, grant: Granted) -> None:
        self.rows[grant.id].answered_at = self.now()

    def forget(self, grant: Granted) -> None:
        del self.rows[grant.id]

    def recent(self) -> Sequence[PastCall]:
        return [self._past(grant_id, row) for grant_id, row in self.rows.items()]

    def _past(self, grant_id: str, row: Row) -> PastCall:
        since = row.marked_at if row.answered_at is None else row.answered_at
        return PastCall(
            grant_id=grant_id,
            lane=row.lane,
            age=timedelta(seconds=self.now() - since),
            in_flight=row.answered_at is None,
            key_name=row.key_name,
        )


@dataclass
class Server:
    """A server that writes down when each request arrived."""

    arrivals: list[float] = field(default_factory=list[float])

    def arrives(self, at: float) -> None:
        self.arrivals.append(at)

    def most_in_any(self, window: timedelta) -> int:
        """Return the most arrivals in any window, both its ends included."""
        times = sorted(self.arrivals)
        first = (bisect_left(times, at - window.total_seconds()) for at in times)
        return max((last - start + 1 for last, start in enumerate(first)), default=0)


@dataclass
class Process:
    """Some threads that share a quota."""

    quota: Quota
    key_name: str
    alive: bool = True


@dataclass(frozen=True)
class Habits:
    """How long things take in this world, at most, in seconds."""

    commit: float = 0.05
    request: float = 0.05
    answer: float = 0.05
    settle: float = 0.05
    rest: float = 0.0
    patience: float = float("inf")


class World:
    """Processes of threads that call one server as fast as the quota lets them."""

    def __init__(
        self,
        client: Redis,
        *,
        limit: Limit,
        seed: int,
        namespace: str,
        habits: Habits | None = None,
        address_limit: Limit | None = None,
    ) -> None:
        self.clock = HandClock()
        self.clock.grain = LATENCY / 2
        self.redis = Shared(client)
        self.database = Database(self.clock)
        self.servers: dict[str, Server] = {}
        self.chance = random.Random(seed)
        self.processes: list[Process] = []
        self.made: dict[tuple[str, Lane], int] = {}
        self.longest_wait: dict[Lane, float] = {}
        self._limit = limit
        self._address_limit = address_limit
        self._namespace = namespace
        self._habits = habits or Habits()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def start(self, *lanes: Lane, key_name: str = "key") -> Process:
        """Start a process with one thread per lane named."""
        quota = Quota(
            self.redis,
            key_name=key_name,
            limit=self._limit,
            hold=HOLD,
            recent=self.database.recent,
            address=None if self._address_limit is None else "198.51.100.7",
            address_limit=self._address_limit,
            namespace=self._namespace,
            monotonic=self.clock.monotonic,
            _redis_time=self.clock.redis_time,
        )
        process = Process(quota=quota, key_name=key_name)
        self.processes.append(process)
        for place, lane in enumerate(lanes):
            self._soon(self._asks(process, lane, place, self.clock.now), 0.01)
        return process

    def at(self, seconds: float, deed: Callable[[], None]) -> None:
        """Do something once the world has run this long."""
        self._push(self.clock.now + seconds, deed)

    def run(self, seconds: float) -> None:
        ends = self.clock.now + seconds
        while self._events and self._events[0][0] <= ends:
            at, _, deed = heapq.heappop(self._events)
            self.clock.now = max(self.clock.now, at)
            deed()
        self.clock.now = max(self.clock.now, ends)

    def server(self, key_name: str = "key") -> Server:
        return self.servers.setdefault(key_name, Server())

    def everybody(self) -> Server:
        """All arrivals, whatever the key: what the address's limit counts."""
        return Server([at for server in self.servers.values() for at in server.arrivals])

    def kill(self, process: Process) -> None:
        process.alive = False

    # -- the way of a call

    def _asks(self, process: Process, lane: Lane, place: int, since: float) -> Callable[[], None]:
        def deed() -> None:
            if not process.alive:
                return
            answer = process.quota.ask(lane, caller=str(place))
            if isinstance(answer, Wait):
                wait = min(answer.wait.total_seconds(), self._habits.patience)
                self._soon(self._asks(process, lane, place, since), 0.002, after=wait)
                return
            waited = self.clock.now - since
            self.longest_wait[lane] = max(self.longest_wait.get(lane, 0.0), waited)
            self._soon(self._marks(process, answer, place), self._habits.commit)

        return deed

    def _marks(self, process: Process, grant: Granted, place: int) -> Callable[[], None]:
        def deed() -> None:
            if not process.alive:
                return
            self.database.mark(grant, key_name=process.key_name)
            if process.quota.still_good(grant):
                self._soon(self._arrives(process, grant, place), self._habits.request)
                return
            process.quota.unused(grant)
            self.database.forget(grant)
            self._soon(self._asks(process, grant.lane, place, self.clock.now), 0.01)

        return deed

    def _arrives(self, process: Process, grant: Granted, place: int) -> Callable[[], None]:
        def deed() -> None:
            self.server(process.key_name).arrives(self.clock.now)
            made = (process.key_name, grant.lane)
            self.made[made] = self.made.get(made, 0) + 1
            self._soon(self._answers(process, grant, place), self._habits.answer)

        return deed

    def _answers(self, process: Process, grant: Granted, place: int) -> Callable[[], None]:
        def deed() -> None:
            if not process.alive:
                return
            process.quota.answered(grant)
            self._soon(self._settles(process, grant, place), self._habits.settle)

        return deed

    def _settles(self, process: Process, grant: Granted, place: int) -> Callable[[], None]:
        def deed() -> None:
            if not process.alive:
                return
            self.database.settle(grant)
            rest = self._habits.rest
            self._soon(self._asks(process, grant.lane, place, self.clock.now + rest), rest)

        return deed

    def _soon(self, deed: Callable[[], None], within: float, *, after: float = 0.0) -> None:
        self._push(self.clock.now + after + self.chance.uniform(0, within), deed)

    def _push(self, at: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), deed))
