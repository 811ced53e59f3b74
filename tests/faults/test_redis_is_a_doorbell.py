"""Whatever Redis does, the end is the same: sixty records under each condition, and once in peace.

All of it runs at the same time, each on a stage of its own; the tests look at what came of it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis as redis_library

from pillarbox.world import World
from runtime import redis as runtime_redis
from tests.support.redis_proxy import Fate, FatefulRedis
from tests.support.servers import NotHere, PostgresServer, RedisServer
from tests.support.stage import CLAIMS, PEOPLE, RECORDS, REFUSED, End, Stage, waves

pytestmark = pytest.mark.long

BACK_S = 30.0
"""How soon after Redis is back work must move again."""


@dataclass(frozen=True)
class Scale:
    """How hard everything is."""

    processes: bool
    """Real processes with real durations; else threads, that ring again soon."""
    share: float
    """How often fate strikes a request."""
    away_s: float
    patience_s: float


QUICK = Scale(processes=False, share=0.1, away_s=2, patience_s=100)
WHOLE = Scale(processes=True, share=0.3, away_s=8, patience_s=900)


@dataclass
class Run:
    """One run on a stage: what is disturbed, how it was shown, and how it ended."""

    stage: Stage
    redis: RedisServer | None = None
    proxy: FatefulRedis | None = None
    world: World | None = None
    away_s: float = 0.0
    proofs: list[str] = field(default_factory=list[str])
    moved_after_s: float = 0.0
    began: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    end: End | None = None

    def client(self) -> Any:
        """A client past every proxy, which does not wait for long."""
        if self.redis is None:
            assert self.world is not None
            return self.world.wiring.redis
        return runtime_redis.connect(self.redis.url, reply_timeout=0.5)

    def takes_no_writes(self) -> None:
        """Prove that Redis refuses, or does not answer."""
        try:
            self.client().set("probe", 1)
        except redis_library.RedisError as error:
            self.proofs.append(type(error).__name__)


def nothing(run: Run, between: Callable[[], None]) -> None:
    between()
    run.proofs.append("in peace")


def hung(run: Run, between: Callable[[], None]) -> None:
    """Fault 15: it takes connections, and says nothing."""
    assert run.redis is not None
    with run.redis.frozen():
        run.takes_no_writes()
        between()
        time.sleep(run.away_s)


def full(run: Run, between: Callable[[], None]) -> None:
    """Fault 12: under `noeviction` every write is refused."""
    client = run.client()
    client.config_set("maxmemory", 1)
    run.takes_no_writes()
    between()
    time.sleep(run.away_s)
    client.config_set("maxmemory", 0)


def read_only(run: Run, between: Callable[[], None]) -> None:
    """Fault 19: after a failover we speak to a replica."""
    client = run.client()
    client.replicaof("127.0.0.1", 1)
    run.takes_no_writes()
    between()
    time.sleep(run.away_s)
    client.replicaof("NO", "ONE")


def restarted(run: Run, between: Callable[[], None]) -> None:
    """Fault 11: it dies, stays away, and comes back with an empty memory."""
    assert run.redis is not None
    run.redis.close()
    run.takes_no_writes()
    between()
    time.sleep(run.away_s)
    run.redis.start()


def flushed(run: Run, between: Callable[[], None]) -> None:
    """Fault 11: it forgets everything, again and again."""
    client = run.client()
    between()
    for _ in range(3):
        if client.dbsize():
            client.flushall()
            run.proofs.append("forgot")
        time.sleep(run.away_s / 3)


def fateful(run: Run, between: Callable[[], None]) -> None:
    """Some requests never arrive, lose their reply, arrive twice, or arrive late, to the end."""
    assert run.proxy is not None
    between()
    run.proofs += [str(fate) for fate in run.proxy.shares if run.proxy.drawn[fate]]


@dataclass(frozen=True)
class Condition:
    """What is done to Redis, or to the requests on their way to it."""

    disturb: Callable[[Run, Callable[[], None]], None]
    fates: tuple[Fate, ...] = ()
    embedded: bool = False
    away_s: float | None = None


CONDITIONS = {
    "in peace": Condition(nothing),
    "drops": Condition(fateful, (Fate.DROP,)),
    "loses replies": Condition(fateful, (Fate.LOSE,)),
    "doubles": Condition(fateful, (Fate.DOUBLE,)),
    "delays": Condition(fateful, (Fate.DELAY,)),
    "all of it": Condition(fateful, (Fate.DROP, Fate.LOSE, Fate.DOUBLE, Fate.DELAY)),
    "hung": Condition(hung),
    "full": Condition(full),
    "read-only": Condition(read_only),
    "restarted": Condition(restarted),
    "flushed": Condition(flushed),
    "built in, flushed": Condition(flushed, embedded=True),
}
LONG = {"hung for 150 s": Condition(hung, away_s=150)}


def play(run: Run, condition: Condition, scale: Scale) -> None:
    """Tell the first wave; once calls arrive let Redis be disturbed, and tell the others meanwhile."""
    first, second, third = waves()
    run.stage.tell(first)
    run.stage.wait_for_calls(5, timeout=scale.patience_s)

    def between() -> None:
        run.stage.tell(second)
        run.stage.tell(third)

    condition.disturb(run, between)
    before = run.stage.arrived()
    if not run.stage.rests():
        run.moved_after_s = run.stage.wait_for_calls(before, timeout=2 * BACK_S)
    run.stage.wait_for_rest(timeout=scale.patience_s)
    run.end = run.stage.end()


class Runs:
    """Conditions, all at the same time."""

    def __init__(
        self,
        conditions: Mapping[str, Condition],
        scale: Scale,
        *,
        postgres: PostgresServer,
        template: Path,
        folder: Path,
    ) -> None:
        self._ends = ExitStack()
        self._conditions = conditions
        self._scale = scale
        self._postgres = postgres
        self._template = template
        self._failed: dict[str, BaseException] = {}
        self._runs: dict[str, Run] = {}
        try:
            for number, name in enumerate(conditions):
                self._runs[name] = self._set_up(conditions[name], folder / str(number))
            with ThreadPoolExecutor(len(self._runs)) as pool:
                list(pool.map(self._play, self._runs))
        except BaseException:
            self.close()
            raise

    def _set_up(self, condition: Condition, folder: Path) -> Run:
        folder.mkdir()
        run = self._embedded(folder) if condition.embedded else self._apart(condition, folder)
        run.away_s = condition.away_s or self._scale.away_s
        if self._scale.processes and not condition.embedded:
            run.stage.start_processes()
        else:
            run.world = run.stage.start_threads()
        if run.proxy is not None:
            run.proxy.shares = dict.fromkeys(
                condition.fates, self._scale.share / len(condition.fates)
            )
        return run

    def _embedded(self, folder: Path) -> Run:
        return Run(Stage(self._sqlite(folder), None, folder))

    def _sqlite(self, folder: Path) -> str:
        file = folder / "pillarbox.db"
        file.write_bytes(self._template.read_bytes())
        return f"sqlite:///{file}"

    def _apart(self, condition: Condition, folder: Path) -> Run:
        server = RedisServer(folder)
        self._ends.callback(server.close)
        proxy = FatefulRedis(server.port) if condition.fates else None
        url = server.url if proxy is None else proxy.url
        if proxy is not None:
            self._ends.callback(proxy.close)
        # Both databases: fates strike beside SQLite, servers fail beside PostgreSQL.
        database = self._postgres.new() if proxy is None else self._sqlite(folder)
        return Run(Stage(database, url, folder), redis=server, proxy=proxy)

    def _play(self, name: str) -> None:
        try:
            play(self._runs[name], self._conditions[name], self._scale)
        except BaseException as error:
            self._failed[name] = error

    def ended(self, name: str) -> Run:
        """Give a run that came to its end; raises what went wrong in it."""
        if name in self._failed:
            raise AssertionError(f"{name}: {self._failed[name]!r}") from self._failed[name]
        return self._runs[name]

    def close(self) -> None:
        """End everybody, all at once: each has its own to finish."""
        with self._ends, ThreadPoolExecutor(len(self._runs) or 1) as pool:
            list(pool.map(_close, self._runs.values()))


def _close(run: Run) -> None:
    run.stage.close()


Start: TypeAlias = Callable[[Mapping[str, Condition], Scale], Runs]


@pytest.fixture(scope="module")
def start(
    postgres: PostgresServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    with ExitStack() as ends:

        def made(conditions: Mapping[str, Condition], scale: Scale) -> Runs:
            folder = tmp_path_factory.mktemp("stages")
            try:
                runs = Runs(
                    conditions, scale, postgres=postgres, template=sqlite_template, folder=folder
                )
            except NotHere as error:
                pytest.skip(str(error))
            ends.callback(runs.close)
            return runs

        yield made


@pytest.fixture(scope="module")
def quick(start: Start) -> Runs:
    return start(CONDITIONS, QUICK)


@pytest.fixture(scope="module")
def whole(start: Start) -> Runs:
    return start(CONDITIONS | LONG, WHOLE)


DISTURBED = [name for name in CONDITIONS if name != "in peace"]


def test_in_peace_it_ends_as_it_was_told(quick: Runs) -> None:
    end = quick.ended("in peace").end

    assert end is not None
    assert len(end.records) == RECORDS
    assert (len(end.people), len(end.claims), end.creates) == (PEOPLE, CLAIMS, CLAIMS)
    assert sum(state == "dead" for state, _, _ in end.records.values()) == REFUSED


@pytest.mark.parametrize("name", DISTURBED)
def test_it_ends_the_same_whatever_redis_does(quick: Runs, name: str) -> None:
    judge(quick, name)


@pytest.mark.sweep
@pytest.mark.parametrize("name", [*DISTURBED, *LONG])
def test_it_ends_the_same_with_processes_and_their_real_durations(whole: Runs, name: str) -> None:
    judge(whole, name)


def judge(runs: Runs, name: str) -> None:
    """Compare a run with the one in peace; nobody was restarted for it."""
    run = runs.ended(name)

    assert run.end == runs.ended("in peace").end
    assert run.proofs != [], "the fault did not happen"
    assert run.moved_after_s <= BACK_S
    assert run.stage.all_live()
