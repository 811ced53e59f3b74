"""Builds the collaborators of a process, once.

One idea: this is the only place that knows who is behind `dispatch`, `pace` and `make_call`; what
they are handed to does not.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection

from gateway.answers import Answer, Failure, outcome
from gateway.errors import GatewayError
from gateway.registry import contract_named
from inbox import mirror, requests, retention
from inbox.pacing import Pacing, pacing_of
from inbox.poll import Reader
from inbox.settling import Fates, Teller
from outbox import attempts, bindings, entries, fates
from outbox.bindings import Binding
from outbox.bulk_round import BulkRound
from outbox.dating import Dating
from outbox.delivery import Deliverer, MakeCall
from outbox.gates import Gates
from outbox.rebind import held_words
from outbox.relay import Relay, Ring
from outbox.retry import Timing
from outbox.standing import Breaker
from outbox.tallies import Tallying
from outbox.upkeep import Prune, Retention, Upkeep
from runtime import redis as runtime_redis
from runtime.clock import Clock, clock_of
from runtime.database import Database
from runtime.errors import InvalidSettings, NotOurs, RedisAway
from runtime.settings import Destination, Settings
from schema.contract import Contract
from schema.fingerprint import Json
from schema.hours import nightly
from schema.keys import EntryId
from schema.outcomes import Came, Outcome
from schema.plans import Call
from schema.record import Record
from schema.states import Closed, Lane, Tallied
from workers.bound import Bound
from workers.key_print import key_print
from workers.pace import QuotaPace, pace_for

# What looks and what changes rows builds this too, and need not load what calls and what listens.
if TYPE_CHECKING:
    from gateway.client import Client
    from runtime.broker import Doorbell
    from workers.fetch import Fetcher

logger = structlog.get_logger(__name__)

QUEUE = "deliver"
ACTOR = "deliver"

LOOK_LATELY_ASIDE = timedelta(seconds=10)
"""How often it is looked for records that were set aside since, among the latest. What heals sooner than
this is told only how it ended."""

LOOK_ASIDE = timedelta(minutes=5)
"""How often every entry of all that stand aside is looked at: seconds, with tens of thousands of them. It
finds what was not among the latest, and what has not come true."""


@dataclass(frozen=True)
class Wiring:
    """What one process works with."""

    settings: Settings
    database: Database
    redis: runtime_redis.Redis
    bound_url: str | None = None
    """What to bind the database to instead of the URL: the built-in sandbox has a new one at
    each start."""
    deliverers: list[Deliverer] = field(default_factory=list[Deliverer])
    bounds: list[Bound] = field(default_factory=list[Bound])
    generations: dict[str, int] = field(default_factory=dict[str, int])
    """Under which binding of each destination this process was started; filled by `bind`."""

    @classmethod
    def build(cls, settings: Settings, *, bound_url: str | None = None) -> "Wiring":
        """Connect to nothing yet; `check` does."""
        return cls(
            settings=settings,
            database=Database(settings.database_url),
            redis=runtime_redis.connect(settings.redis_url),
            bound_url=bound_url,
        )

    @cached_property
    def clock(self) -> Clock:
        """The clock that leases are measured by."""
        return clock_of(self.database)

    @cached_property
    def broker(self) -> "Doorbell":
        """The broker of this process."""
        from runtime.broker import Doorbell

        return Doorbell(self.redis, self.settings.namespace)

    @cached_property
    def paces(self) -> dict[str, QuotaPace]:
        """The quota of each destination's key."""
        return {
            one.name: pace_for(self.settings, one, self.redis, self.database, self.clock)
            for one in self.settings.destinations
        }

    def contract(self, destination: Destination) -> Contract:
        """The contract of a destination; raises `InvalidSettings`."""
        try:
            return contract_named(destination.contract)
        except GatewayError as error:
            raise InvalidSettings(f"PILLARBOX_CONTRACT: {error}") from None

    def timing(self, destination: Destination) -> Timing:
        """The durations that deliveries to a destination live by."""
        return Timing(
            send_by=self.settings.send_by,
            deadline=self.settings.deadline,
            lease=self.settings.lease,
            quarantine=self.settings.quarantine,
            window=destination.window,
        )

    def check_redis(self) -> None:
        """Raise `RedisAway`, with the cure, when Redis does not answer."""
        try:
            runtime_redis.ping(self.redis)
        except runtime_redis.RedisProblem as error:
            raise RedisAway(f"REDIS_URL: {error}; start Redis or correct the address") from None

    def bind(self) -> None:
        """Bind this database to its destinations, or refuse when it belongs to others."""
        with self.database.transaction() as connection:
            identity = bindings.identity(connection)
            for destination in self.settings.destinations:
                self._bind(connection, destination, self.wanted(destination, identity))
        for destination in self.settings.destinations:
            self._say_what_is_held(destination)

    def wanted(self, destination: Destination, identity: str) -> Binding:
        """What a destination is to be bound to, in the database of that identity."""
        return Binding(
            destination=destination.name,
            contract=destination.contract,
            url=self.bound_url or address_of(destination),
            key_name=destination.key_name,
            database_id=identity,
        )

    def is_here(self, destination: Destination) -> bool:
        """Whether it is on this computer, and so may be written to from the start."""
        return self.bound_url is not None or destination.is_loopback

    def _bind(self, connection: Connection, destination: Destination, wanted: Binding) -> None:
        now = self.clock.now()
        here = self.is_here(destination)
        if bindings.bound(connection, destination.name) is None:
            bindings.bind(connection, wanted, now=now, live=here)
        was = bindings.bound(connection, destination.name) or wanted
        difference = bindings.difference(wanted, was)
        if difference is not None:
            raise NotOurs(f"{difference}; {bindings.cure(wanted, was)}")
        if here:  # bound by a version that knew of no shadow
            bindings.let_live(connection, destination.name, by=bindings.FIRST_LIVE_BY, now=now)
        standing = bindings.standing(connection, destination.name)
        self.generations[destination.name] = 1 if standing is None else standing.generation

    def _say_what_is_held(self, destination: Destination) -> None:
        with self.database.reading() as connection:
            held = held_words(connection, destination.name, self.clock.now())
        if held is not None:
            logger.warning("writes_held", destination=destination.name, why=held)

    def relay(self, destination: Destination) -> Relay:
        """The relay of a destination."""
        return Relay(
            database=self.database,
            contract=self.contract(destination),
            destination=destination.name,
            clock=self.clock,
            timing=self.timing(destination),
            settle=self.settings.settle,
            dispatch=self.ring(destination),
            room=self.room(destination),
            gates=self.gates(destination),
        )

    def bulk_round(self, destination: Destination) -> BulkRound:
        """What goes on with the active bulk of a destination."""
        return BulkRound(
            database=self.database,
            contract=self.contract(destination),
            destination=destination.name,
            clock=self.clock,
            offpeak=nightly(self.settings.offpeak),
        )

    def upkeep(self) -> Upkeep:
        """What prunes this database."""
        settings = self.settings
        kept = retention.Kept(
            feed=settings.keep_feed, unread=settings.keep_unread, gone=settings.keep_gone
        )
        return Upkeep(
            database=self.database,
            clock=self.clock,
            retention=Retention(entries=settings.keep_entries, bodies=settings.keep_bodies),
            also=(
                Prune(
                    name="feed",
                    some=lambda open_: retention.prune_feed(open_, kept, self.clock.now()),
                ),
                Prune(
                    name="remote_record",
                    some=lambda open_: retention.prune_gone(open_, kept, self.clock.now()),
                ),
            ),
        )

    def teller(self, destination: Destination) -> Teller:
        """What tells the feed of a destination what became of local events."""
        return Teller(
            database=self.database,
            clock=self.clock,
            destination=destination.name,
            sorts=(
                Fates(any=fates.any_closed, claim=fates.claim_closed),
                Fates(
                    any=fates.any_lately_aside,
                    claim=fates.claim_lately_aside,
                    every=LOOK_LATELY_ASIDE,
                ),
                Fates(any=fates.any_aside, claim=fates.claim_aside, every=LOOK_ASIDE),
            ),
        )

    def tallying(self) -> Tallying:
        """What counts for the overview what closed and what was called."""
        return Tallying(
            database=self.database,
            clock=self.clock,
            destinations=[one.name for one in self.settings.destinations],
            counting={Tallied.CALL: attempts.by_minute, Tallied.READ: requests.by_minute},
        )

    def dating(self, destination: Destination) -> Dating:
        """What dates the claims of a destination, by its statements as last read."""
        contract = self.contract(destination)

        def dates(connection: Connection) -> Sequence[Mapping[str, Json]]:
            return mirror.contents(connection, destination.name, contract.dates_from or "")

        return Dating(
            database=self.database,
            clock=self.clock,
            contract=contract,
            destination=destination.name,
            dates=dates,
        )

    def gates(self, destination: Destination) -> Gates:
        """The gates before a destination, and what names the key it uses."""
        settings = self.settings
        return Gates(
            destination=destination.name,
            key_name=destination.key_name,
            key_print=lambda: key_print(destination.token, self._salt),
            breaker=Breaker(
                failures=settings.breaker_failures,
                # A call that is given up takes all of its deadline; they still count as in a row.
                within=settings.breaker_within + settings.deadline,
            ),
        )

    @cached_property
    def _salt(self) -> str:
        with self.database.reading() as connection:
            return bindings.identity(connection)

    def room(self, destination: Destination) -> Callable[[Lane, int], int]:
        """What says how many more rings are worth putting on the queue.

        Rings that nobody has fetched yet count too: without a living worker they would be rung
        again and again, and fill the Redis that also holds the log of the quota.
        """
        pace = self.paces[destination.name]

        def room(lane: Lane, on_the_queue: int) -> int:
            waiting = self.broker.waiting(QUEUE)
            if waiting is None:
                return 0  # asking the quota too would only wait for the same silence again
            return pace.room(lane, max(on_the_queue, waiting))

        return room

    def ring(self, destination: Destination) -> Callable[[Sequence[Ring]], None]:
        """What puts rings on the queue."""

        def ring(rings: Sequence[Ring]) -> None:
            self.broker.ring(
                ACTOR,
                QUEUE,
                [(destination.name, one.record_id, one.token, one.lane.value) for one in rings],
            )

        return ring

    def deliverer(self, destination: Destination) -> Deliverer:
        """What delivers to a destination."""
        contract = self.contract(destination)
        deliverer = Deliverer(
            database=self.database,
            contract=contract,
            destination=destination.name,
            clock=self.clock,
            timing=self.timing(destination),
            pace=self.paces[destination.name],
            make_call=self.make_call_of(destination, contract),
            dice=random.Random(),
            generation=self.generations.get(destination.name, 1),
            gates=self.gates(destination),
        )
        self.deliverers.append(deliverer)
        return deliverer

    @property
    def bound_anew(self) -> bool:
        """Whether the database was bound anew since this process was started: it is to end."""
        return any(one.bound_anew for one in self.deliverers) or any(
            one.anew for one in self.bounds
        )

    def reader(self, destination: Destination, stop: threading.Event) -> Reader:
        """What reads the collections of a destination, until *stop* is set."""

        bound = Bound(destination.name, self.generations.get(destination.name, 1))
        self.bounds.append(bound)
        return Reader(
            database=self.database,
            contract=self.contract(destination),
            destination=destination.name,
            clock=self.clock,
            pacing=self.pacing(destination),
            fetch=self.fetcher(destination, bound, stop),
            close=close_entries,
            dice=random.Random(),
            sleep=_sleeping(stop),
            bound=bound,
            stopping=stop.is_set,
        )

    def fetcher(self, destination: Destination, bound: Bound, stop: threading.Event) -> "Fetcher":
        """What makes the reads of a destination: gate, slot, row, call, answer."""
        from workers.fetch import Fetcher

        return Fetcher(
            database=self.database,
            destination=destination.name,
            clock=self.clock,
            timing=self.timing(destination),
            pace=self.paces[destination.name],
            client=self.client(destination),
            gates=self.gates(destination),
            dice=random.Random(),
            sleep=_sleeping(stop),
            bound=bound,
            stopping=stop.is_set,
        )

    def pacing(self, destination: Destination) -> Pacing:
        """How often and how far a destination is read."""
        timing = self.timing(destination)
        over = timing.send_by + timing.deadline + timing.quarantine
        return replace(pacing_of(self.settings), quarantine=over)

    def make_call_of(self, destination: Destination, contract: Contract) -> MakeCall:
        client = self.client(destination)

        def make_call(call: Call, record: Record, kin: Sequence[Record], send_by: float) -> Came:
            operation = contract.operations[call.operation]
            reply = client.send(call.request, send_by=send_by)
            return _came(outcome(contract, operation, record, kin, reply), reply)

        return make_call

    def client(self, destination: Destination) -> "Client":
        """The HTTP client of a destination; raises `InvalidSettings`."""
        from gateway.client import Client

        self.check_key(destination)
        try:
            return Client(
                address_of(destination), destination.token.read, deadline=self.settings.deadline
            )
        except GatewayError as error:
            raise InvalidSettings(str(error)) from None

    def check_key(self, destination: Destination) -> None:
        """Raise `InvalidSettings` when there is no key, or none that a header can carry."""
        from gateway.client import usable_key

        try:
            usable_key(destination.token.read())
        except GatewayError as error:
            raise InvalidSettings(str(error)) from None

    def close(self) -> None:
        """Let go of every connection."""
        self.database.close()


def close_entries(connection: Connection, closed: Mapping[EntryId, Closed], now: datetime) -> None:
    """Close entries, for the incoming half: the outbox's own rows are the outgoing half's."""
    entries.close(connection, closed, now=now)


def _sleeping(stop: threading.Event) -> Callable[[float], None]:
    """Wait as long as is said, or until this process is to end."""

    def sleep(seconds: float) -> None:
        stop.wait(seconds)

    return sleep


def address_of(destination: Destination) -> str:
    """Give the base URL; raises `InvalidSettings` when none is set."""
    if destination.url is None:
        raise InvalidSettings(
            "PILLARBOX_API_URL is not set; put the base URL of the API there, such as "
            "https://…/api/v3, or try `pillarbox up`, which brings a sandbox of its own"
        )
    return destination.url


def _came(told: Outcome, reply: Answer | Failure) -> Came:
    if isinstance(reply, Failure):
        return Came(outcome=told, status=reply.status, duration=reply.duration)
    return Came(
        outcome=told,
        status=reply.status,
        request_id=reply.request_id,
        server_date=reply.date,
        duration=reply.duration,
        answer=reply.body.decode("utf-8", errors="replace"),
    )
