"""One history as it happens: the processes, what they share, and what strikes them.

One idea: everything of ours is the product's own code (relay, delivery, quota and its script,
contract, tables); everything around it (time, network, Redis, the other side, death) is made here,
and decided by one seed.
"""

import hashlib
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from random import Random
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from gateway.answers import Answer, outcome
from gateway.contracts.lead_provider_v3 import CONTRACT
from gateway.quota import Limit, PastCall, Quota
from outbox import attempts, bindings, gates
from outbox.bindings import Binding
from outbox.delivery import Deliverer
from outbox.relay import Relay, Ring
from outbox.retry import Timing
from producers import emit
from records import store
from runtime import points
from runtime.database import Database, database_url, read_json
from runtime.points import Point
from schema.events import Event
from schema.outcomes import Came
from schema.plans import Call
from schema.record import Record
from schema.states import RecordState
from schema.tables import metadata, outbox_entry
from tests.simulation.memory import Memory
from tests.simulation.network import Network, Sent
from tests.simulation.plan import BEGINNING, Fate, Fault, Plan, Saying, Spell, Theirs, died_at
from tests.simulation.server import LIVE, Limiter, Server
from tests.simulation.tasks import Died, Loop, Process, Task
from workers.pace import QuotaPace

DESTINATION = "default"
DEADLINE = timedelta(seconds=30)
SEND_BY = timedelta(seconds=10)
HORIZON = 6 * 86_400.0
"""How long after the last fault everything must have come to rest: a few "try tomorrow"s."""

FREEZES = ((11, 60), (60, 118), (130, 300))
MOMENT = ((0, 0.03),)
"""How long a process stands still when it is frozen, and otherwise, in seconds: past the last
moment to send, past a slot but not a lease, past a lease."""

THREADS = 2
"""Deliveries that a worker process has in hand at a time."""

MOST_TURNS = 20_000
"""How many turns a history may take: some ten times what it needs."""

STILL = 4
"""After so many rounds without a fault that find nothing to do, a history is over."""


@dataclass(frozen=True)
class Committed:
    """What a local system was told is committed."""

    saying: Saying
    at: float
    entry: int


@dataclass(frozen=True)
class Outside:
    """What the judge may know: what was said, and what happened at the server and on the way."""

    plan: Plan
    server: Server
    pristine: Server
    sent: Sequence[Sent]
    committed: Sequence[Committed]
    opened: Sequence[float]
    """When a person opened a gate again."""
    fired: Mapping[str, int]
    """How often each fault struck."""
    surprises: Sequence[str]
    """Errors that no fault explains."""
    ends: Sequence[Record]
    """Every record at the end: only whether it is in front of a person is read."""


class SimulatedDatabase(Database):
    """The tables in memory, on one connection: no two transactions are ever open at once."""

    def __init__(self) -> None:
        self.url = database_url("sqlite://")
        self.is_sqlite = True
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, json_deserializer=read_json, hide_parameters=True
        )
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)
        metadata.create_all(self.engine)
        with self.engine.connect() as connection:
            self._only: Any = connection.connection.dbapi_connection
        self._empty = sqlite3.connect(":memory:")
        self._raw().backup(self._empty)

    def begin_anew(self) -> None:
        """Empty all tables."""
        self._empty.backup(self._raw())

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        return self._raw().in_transaction

    def soonest(self) -> tuple[bool, str | None, str | None]:
        """Say whether there is a new entry, when the next record is due, and a lease runs out."""
        found = self._raw().execute(
            "SELECT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'new'),"
            " (SELECT min(due_at) FROM record WHERE reason IS NULL OR reason <> 'waiting_for'),"
            " (SELECT min(lease_until) FROM record)"
        )
        new, due, lease = found.fetchone()
        return bool(new), due, lease

    def _raw(self) -> sqlite3.Connection:
        return self._only


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


@cache
def shared_database() -> SimulatedDatabase:
    """The one of this process. Its statements are put together once, for all histories."""
    return SimulatedDatabase()


class ProcessClock:
    """What time it is to one process: the database's, sampled now and then, and its own seconds."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self._process = process
        self._sampled = float("-inf")
        self._ahead = 0.0

    def now(self) -> datetime:
        """Give the database's time."""
        if self._world.loop.now - self._sampled > 5.0:
            self._sampled, self._ahead = self._world.loop.now, self._world.database_ahead
        return BEGINNING + timedelta(seconds=self._world.loop.now + self._ahead)

    def monotonic(self) -> float:
        """Give seconds that only ever grow."""
        return self._world.loop.now + self._process.origin


class Wire:
    """A process's way to Redis."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script by its name."""
        return self._asked(partial(self._world.memory.evalsha, sha, numkeys, *keys_and_args))

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script."""
        return self._asked(partial(self._world.memory.eval, script, numkeys, *keys_and_args))

    def _asked(self, run: Callable[[], object]) -> object:
        world = self._world
        world.wait_for_redis()
        if world.redis_away:
            raise RedisConnectionError("nobody listens")
        found = run()
        world.wait_for_redis()
        if world.strikes(Fault.REDIS_REPLY_LOST):
            raise RedisConnectionError("the reply was lost")
        return found


@dataclass
class Worker:
    """A worker process, from one start to its death."""

    process: Process
    deliverer: Deliverer
    clock: ProcessClock


@dataclass
class World:
    """A history under way."""

    plan: Plan
    database: SimulatedDatabase
    show: Callable[[str], None] = field(default=lambda line: None)
    loop: Loop = field(default_factory=Loop)
    committed: list[Committed] = field(default_factory=list[Committed])
    opened: list[float] = field(default_factory=list[float])
    fired: Counter[str] = field(default_factory=Counter[str])
    surprises: list[str] = field(default_factory=list[str])
    rings: deque[Ring] = field(default_factory=deque[Ring])
    database_ahead: float = 0.0
    redis_ahead: float = 0.0
    redis_away: bool = False

    def __post_init__(self) -> None:
        self.dice = Random(self.plan.seed * 7919 + 1)
        self.budget = self.plan.budget
        self.trace = hashlib.sha256()
        self.memory = Memory(self._redis_time)
        self.server = Server(
            clock=self._server_time,
            true_time=lambda: self.loop.now,
            limiter=Limiter(
                calls=self.plan.calls,
                window=self.plan.window.total_seconds(),
                fixed=self.plan.fixed_windows,
            ),
        )
        self.server_ahead = self.dice.uniform(-20, 20)
        for person in self.plan.people.values():
            self.server.add_person(person)
        self.pristine = self.server.copy()
        self.network = Network(
            loop=self.loop, server=self.server, dice=self.dice, strikes=self.strikes
        )
        self.workers: list[Worker] = []
        self.relays: list[Process] = []
        self.deliveries = 0
        self.still = 0

    # the whole

    def run(self) -> Outside:
        """Let it happen, to the end."""
        self.database.begin_anew()
        self._bind()
        for saying in self.plan.sayings:
            self.loop.at(saying.at, partial(self._say, saying))
        for one in self.plan.theirs:
            self.loop.at(one.at, partial(self._they_do, one))
        for spell in self.plan.spells:
            self.loop.at(spell.at, partial(self._begin_spell, spell))
        for number in range(self.plan.relays):
            self._start_relay(Process(f"relay-{number}", origin=1_000.0 * number))
        for number in range(self.plan.workers):
            self._start_worker(Process(f"worker-{number}", origin=5_000.0 * number + 77))
        with self._listening():
            self.loop.run(until=self.plan.quiet_from + HORIZON, most=MOST_TURNS)
            self.loop.end([*self.relays, *(one.process for one in self.workers)])
        return Outside(
            plan=self.plan,
            server=self.server,
            pristine=self.pristine,
            sent=self.network.sent,
            committed=self.committed,
            opened=self.opened,
            fired=self.fired,
            surprises=self.surprises,
            ends=self._ends(),
        )

    def _bind(self) -> None:
        """Let the database speak for this API, and write there."""
        ours = Binding(
            destination=DESTINATION,
            contract=CONTRACT.name,
            url="http://127.0.0.1:9/api/v3",
            key_name=DESTINATION,
            database_id="here",
        )
        with self.database.transaction() as connection:
            bindings.bind(connection, ours, now=BEGINNING, live=True)

    @contextmanager
    def _listening(self) -> Generator[None]:
        points.listen(self._reached)
        before = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        try:
            yield
        finally:
            structlog.configure(**before)
            points.unlisten(self._reached)

    def _ends(self) -> list[Record]:
        with self.database.reading() as connection:
            return store.list_open(connection, DESTINATION, states=RecordState, limit=1_000)

    def note(self, *what: object) -> None:
        """Write a line of the trace: the same seed writes the same lines."""
        line = f"{self.loop.now:.6f} {' '.join(map(str, what))}"
        self.trace.update(line.encode())
        self.show(line)

    # chance

    def strikes(self, name: str) -> bool:
        """Say whether a fault strikes here and now, and count it."""
        rate = self.plan.rates.get(name)
        if rate is None or self.budget <= 0 or self.loop.now >= self.plan.quiet_from:
            return False
        if self.dice.random() >= rate:
            return False
        self.budget -= 1
        self._struck(name)
        return True

    def _struck(self, name: str) -> None:
        self.fired[str(name)] += 1
        task = self.loop.current
        self.note("FAULT", name, "" if task is None else task.process.name)

    def pause(self, seconds: float) -> None:
        """Let the task in hand wait a moment, and others go on."""
        if self.loop.current is not None:
            if self.database.in_transaction:
                raise AssertionError("a turn is never given away inside a transaction")
            self.loop.sleep(seconds)

    def wait_for_redis(self) -> None:
        """Let Redis take its time. Who asks while reading the database keeps the turn."""
        if not self.database.in_transaction:
            self.pause(self.dice.uniform(0.0002, 0.004))

    # moments of our own code

    def _reached(self, point: Point) -> None:
        task = self.loop.current
        if task is None:
            return
        self.fired[f"reached:{point}"] += 1
        self.note(task.process.name, task.about, point)
        if point is Point.SETTLE_COMMITTED:
            self._settled(task)
        if self.strikes(died_at(point)):
            self._dies(task.process)
            raise Died
        inside = point.endswith(".uncommitted")
        if inside and self.strikes(Fault.TRANSACTION_FAILS):
            raise OperationalError("COMMIT", None, Exception("the server ended it"))
        if point.endswith(".committed") and self.strikes(Fault.COMMIT_UNSURE):
            raise OperationalError("COMMIT", None, Exception("no reply"))
        if not inside and point not in (Point.SENDING, Point.SENT):
            frozen = self.plan.freezes_at in (None, point) and self.strikes(Fault.FROZEN)
            self.pause(self.dice.uniform(*self.dice.choice(FREEZES if frozen else MOMENT)))

    def _settled(self, task: Task) -> None:
        for note in reversed(self.network.sent):
            if f"#{note.task}" == task.about.split()[-1]:
                note.settled = self.loop.now
                return

    def _dies(self, process: Process) -> None:
        self.note("died", process.name)
        self.loop.kill(process)
        again = self._start_relay if process in self.relays else self._start_worker
        fresh = Process(process.name, origin=process.origin + 11.0)
        self.loop.after(self.dice.uniform(0.5, 8.0), partial(again, fresh))

    # processes

    @property
    def timing(self) -> Timing:
        """The durations of the product's own defaults."""
        return Timing(
            send_by=SEND_BY,
            deadline=DEADLINE,
            lease=timedelta(minutes=2),
            quarantine=timedelta(minutes=2),
            window=self.plan.window,
        )

    def _start_relay(self, process: Process) -> None:
        self.relays = [one for one in self.relays if one.alive] + [process]
        clock = ProcessClock(self, process)
        relay = Relay(
            database=self.database,
            contract=CONTRACT,
            destination=DESTINATION,
            clock=clock,
            timing=self.timing,
            settle=self.plan.settle,
            dispatch=self._dispatch,
            room=self._pace(clock).room,
        )
        self.loop.start(process, lambda: self._turn_of(relay), about="rounds")

    def _turn_of(self, relay: Relay) -> None:
        idle = 0
        while True:
            done = 0
            try:
                made = relay.run_once()
                # Records that wait for another one are looked at again and again: that is no work.
                done = made.rescued + made.folded + made.dispatched
            except Exception as error:
                self._failed(error)
            idle = 0 if done else idle + 1
            task = self.loop.current
            self._rest(idle)
            if self._over():
                return
            if task is not None:
                task.about = "rounds"

    def _rest(self, idle: int) -> None:
        """Wait for the next round. What is not due before then needs none, so it may be long."""
        task = self.loop.current
        if task is not None:
            task.about = "resting"
        soonest = self._next_due()
        least = 0.3 * 2.0 ** min(idle, 11)
        if soonest is None:
            self.pause(30.0 * 4.0 ** min(idle, 5))
            return
        self.pause(max(least, soonest - self.loop.now + self.dice.uniform(0.01, 0.5)))

    def _next_due(self) -> float | None:
        """When something is next due; what waits for another record is woken, or looked at late."""
        new, due, lease = self.database.soonest()
        if new:
            return self.loop.now
        times = [datetime.fromisoformat(one) for one in (due, lease) if one is not None]
        if not times:
            return None
        return (min(times) - BEGINNING).total_seconds() - self.database_ahead

    def _over(self) -> bool:
        """Whether nothing is left to happen."""
        quiet = self.loop.now >= self.plan.quiet_from and not self.rings
        if not quiet or any(one.process.tasks for one in self.workers):
            self.still = 0
            return False
        if self._next_due() is not None:
            self.still = 0
            return False
        self.still += 1
        return self.still >= STILL * self.plan.relays

    def _start_worker(self, process: Process) -> None:
        self.workers = [one for one in self.workers if one.process.alive]
        clock = ProcessClock(self, process)
        deliverer = Deliverer(
            database=self.database,
            contract=CONTRACT,
            destination=DESTINATION,
            clock=clock,
            timing=self.timing,
            pace=self._pace(clock),
            make_call=partial(self._make_call, clock),
            dice=self.dice,
            sleep=self.pause,
        )
        self.workers.append(Worker(process=process, deliverer=deliverer, clock=clock))
        self._pump()

    def _pace(self, clock: ProcessClock) -> QuotaPace:
        quota = Quota(
            Wire(self),
            key_name="key",
            limit=Limit(calls=self.plan.calls, window=self.plan.window),
            hold=SEND_BY + DEADLINE,
            recent=lambda: self._recent(clock, quota.lookback),
            monotonic=clock.monotonic,
        )
        return QuotaPace(quota)

    def _recent(self, clock: ProcessClock, lookback: timedelta) -> list[PastCall]:
        now = clock.now()
        with self.database.reading() as connection:
            return [
                PastCall(
                    grant_id=past.grant_id,
                    lane=past.lane,
                    age=now - (past.answered_at or past.marked_at),
                    in_flight=past.answered_at is None,
                )
                for past in attempts.since(connection, DESTINATION, now - lookback)
            ]

    def _make_call(
        self, clock: ProcessClock, call: Call, one: Record, kin: Sequence[Record], send_by: float
    ) -> Came:
        task = self.loop.current
        number = 0 if task is None else int(task.about.split("#")[-1])
        reply = self.network.send(
            call.request,
            send_by=send_by,
            monotonic=clock.monotonic,
            deadline=DEADLINE,
            task=number,
        )
        said = outcome(CONTRACT, CONTRACT.operations[call.operation], one, kin, reply)
        date = reply.date if isinstance(reply, Answer) else None
        self.note("heard", one.key, call.operation, reply.status, type(said).__name__)
        return Came(outcome=said, status=reply.status, server_date=date, duration=reply.duration)

    def _failed(self, error: Exception) -> None:
        """Only what a fault explains may end a round or a delivery."""
        self.note("failed", type(error).__name__)
        if not isinstance(error, OperationalError):
            self.surprises.append(f"{type(error).__name__}: {error}"[:300])

    # the doorbell

    def _dispatch(self, rings: Sequence[Ring]) -> None:
        self.pause(self.dice.uniform(0.0005, 0.01))
        if self.redis_away or self.strikes(Fault.RINGS_REFUSED):
            raise ConnectionError("nobody listens")
        for ring in rings:
            if self.strikes(Fault.RING_LOST):
                continue
            late = self.dice.uniform(5, 140) if self.strikes(Fault.RING_LATE) else 0.0
            copies = 2 if self.strikes(Fault.RING_DOUBLED) else 1
            for _ in range(copies):
                self.loop.after(late + self.dice.uniform(0, 0.05), partial(self._rings, ring))

    def _rings(self, ring: Ring) -> None:
        self.rings.append(ring)
        self._pump()

    def _pump(self) -> None:
        while self.rings:
            alive = [one for one in self.workers if one.process.alive]
            free = [one for one in alive if len(one.process.tasks) < THREADS]
            if not free:
                return
            worker = self.dice.choice(free)
            self.deliveries += 1
            about = f"record {self.rings[0].record_id} #{self.deliveries}"
            self.loop.start(
                worker.process, partial(self._deliver, worker, self.rings.popleft()), about=about
            )

    def _deliver(self, worker: Worker, ring: Ring) -> None:
        try:
            ended = worker.deliverer.deliver(ring)
            self.note(worker.process.name, "record", ring.record_id, ended)
        except Exception as error:
            self._failed(error)
        self.loop.after(0.0, self._pump)
        self._wake_relays()

    def _wake_relays(self) -> None:
        """Real ones look several times a second; one of them now stands for all those looks."""
        self.still = 0
        soonest = self._next_due()
        resting = [task for one in self.relays for task in one.tasks if task.about == "resting"]
        if resting and soonest is not None:
            left = max(0.0, soonest - self.loop.now)
            self.loop.wake(self.dice.choice(resting), left + self.dice.uniform(0.0, 0.3))

    # local systems

    def _say(self, saying: Saying) -> None:
        if saying.fate is Fate.ROLLS_BACK:
            with suppress(_RolledBack), self.database.transaction() as connection:
                emit(connection, saying.event)
                raise _RolledBack
            self.fired[saying.fate] += 1
        elif saying.fate is Fate.COMMITS_LATE:
            self._say_late(saying)
            self.fired[saying.fate] += 1
        else:
            entry = self._emit(saying.event)
            if saying.fate is Fate.UNSURE:
                again = self._emit(saying.event)
                assert entry == again, "the same event made two entries"
                self.fired[saying.fate] += 1
            self._is_committed(saying, entry)

    def _emit(self, what: Event) -> int:
        with self.database.transaction() as connection:
            return emit(connection, what)

    def _say_late(self, saying: Saying) -> None:
        """Take an entry's place now, and let the entry be seen when its transaction commits."""
        with self.database.transaction() as connection:
            entry = emit(connection, saying.event)
            chosen = outbox_entry.c.id == entry
            row = connection.execute(select(outbox_entry).where(chosen)).mappings().one()
            connection.execute(outbox_entry.delete().where(chosen))
        self.loop.after(saying.open_for, partial(self._commit_late, saying, dict(row)))

    def _commit_late(self, saying: Saying, row: dict[str, Any]) -> None:
        with self.database.transaction() as connection:
            connection.execute(outbox_entry.insert().values(**row))
        self._is_committed(saying, row["id"])

    def _is_committed(self, saying: Saying, entry: int) -> None:
        self.note("committed", entry, saying.event.event, saying.thing, saying.value)
        self.committed.append(Committed(saying=saying, at=self.loop.now, entry=entry))
        self._wake_relays()

    # the other side, and what comes over all

    def _they_do(self, one: Theirs) -> None:
        person = self.server.people[one.person]
        match one.what:
            case "schedule":
                others = [
                    s
                    for s in ("ecf-extended-april", "ecf-standard-april", "ecf-reduced-september")
                    if s != person.schedule
                ]
                self.server.set_schedule(person, self.dice.choice(others), ours=False)
            case "withdraw" if person.status != "withdrawn":
                self.server.set_status(person, "withdrawn", "other", ours=False)
            case "resume" if person.status != "active":
                self.server.set_status(person, "active", None, ours=False)
            case "claim" if self.server.live(person.id, "started") is None:
                self.server.add_claim(
                    person.id, "started", "2025-10-03T09:00:00Z", "other", by="Them"
                )
            case "void" | "pay":
                live = [c for c in self.server.claims.values() if c.state in LIVE]
                if not live:
                    return
                state = "voided" if one.what == "void" else "paid"
                self.server.set_claim(self.dice.choice(live), state, ours=False)
            case _:
                return
        self._struck(Fault.THEY_CHANGE)
        self.server.they_did(one.what)

    def _begin_spell(self, spell: Spell) -> None:
        self._struck(spell.fault)
        end = spell.at + spell.lasts
        match spell.fault:
            case Fault.KEY_REFUSED:
                self.server.key_works = False
                self.loop.at(end, self._key_works)
            case Fault.FOREIGN_CALLS:
                for _ in range(min(self.plan.calls, 40)):
                    self.server.foreign()
            case Fault.REDIS_AWAY:
                self.redis_away = True
                self.loop.at(end, self._redis_back)
            case Fault.REDIS_FLUSHED:
                self.memory.flush()
                self.rings.clear()
            case Fault.REDIS_CLOCK_STEPS:
                self.redis_ahead += self.dice.choice((-600.0, 600.0))
            case Fault.DATABASE_CLOCK_STEPS:
                self.database_ahead -= 300.0
            case _:
                alive = [*self.relays, *(one.process for one in self.workers)]
                self._dies(
                    self.dice.choice([one for one in alive if one.alive] or [self.relays[-1]])
                )

    def _redis_back(self) -> None:
        self.redis_away = False

    def _key_works(self) -> None:
        """The key is good again; a little later a person says so."""
        self.server.key_works = True
        self.loop.after(30.0, self._open_gate)
        self.loop.after(300.0, self._open_gate)

    def _open_gate(self) -> None:
        now = BEGINNING + timedelta(seconds=self.loop.now + self.database_ahead)
        with self.database.transaction() as connection:
            gates.resume(connection, DESTINATION, DESTINATION, now, throttle=True)
        self.opened.append(self.loop.now)
        self._wake_relays()

    # clocks

    def _redis_time(self) -> int:
        return int((1_700_000_000 + self.loop.now + self.redis_ahead) * 1e6)

    def _server_time(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.loop.now + self.server_ahead)


class _RolledBack(Exception):
    """A local system changes its mind."""
