"""The API fails in the middle of a call: what arrived there is done once, and is known here.

Faults 33, 34, 36 and 39, from the worker's side of the database to the sandbox's own log.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from outbox.delivery import Deliverer, MakeCall
from pillarbox.world import Control
from runtime.database import Database
from runtime.redis import new_stand_in
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.events import Event, decode
from schema.states import RecordState
from tests.gateway.server import a_closed_port
from tests.support.builders import ECT
from tests.support.clock import HandClock
from tests.support.outbox import TIMING, Outbox
from tests.support.stage import TOKEN, a_person, world
from workers.wiring import Wiring

DEADLINE = timedelta(seconds=0.5)


class Clock(HandClock):
    """A hand clock whose other hand runs: sockets wait by it."""

    def monotonic(self) -> float:
        """Give this machine's seconds."""
        return time.monotonic()


class Edge(Outbox):
    """The outgoing half, whose calls really go out, to a sandbox."""

    def __init__(self, database: Database, sandbox: Sandbox) -> None:
        super().__init__(database)
        self.clock = Clock()
        self.relay = self.another_relay()
        self._control = Control(sandbox)
        self.use(self.caller(sandbox.url))

    def caller(self, url: str) -> MakeCall:
        """Make what calls an address, as a worker does."""
        settings = Settings.from_environment(
            {"PILLARBOX_API_URL": url, "PILLARBOX_API_TOKEN": TOKEN}
        )
        wiring = Wiring(
            settings=replace(settings, deadline=DEADLINE),
            database=self.database,
            redis=new_stand_in(),
        )
        destination = settings.destinations[0]
        return wiring.make_call_of(destination, wiring.contract(destination))

    def use(self, make_call: MakeCall) -> None:
        """Make the next calls with this."""
        self.deliverer = Deliverer(
            database=self.database,
            contract=self.contract,
            destination="default",
            clock=self.clock,
            timing=TIMING,
            pace=self.pace,
            make_call=make_call,
            dice=Random(1),
            sleep=self.slept.append,
        )

    def faults(self, *rules: dict[str, Any]) -> None:
        """Set the sandbox's faults, each for one request."""
        body: Any = [{"times": 1, **rule} for rule in rules]
        self._control.put("/faults", body)

    def come_to_rest(self) -> None:
        """Go on until nothing is in doubt or due, whatever has to be waited for."""
        for _ in range(40):
            self.run()
            if all(one.state in (RecordState.IN_STEP, RecordState.DEAD) for one in self.records()):
                return
            self.wait(minutes=1)

    def writes(self, person: str) -> list[tuple[str, bool, int | None]]:
        """Give the writes for a person, from the sandbox's own log: what, executed, status."""
        arrived = self._control.get("/requests?limit=10000")["requests"]
        return [
            (one["path"].rpartition("/")[2], one["executed"], one["status"])
            for one in arrived
            if one["method"] != "GET" and person in str(one)
        ]

    def reads(self, person: str) -> int:
        """Count the reads for a person."""
        arrived = self._control.get("/requests?limit=10000")["requests"]
        return sum(one["method"] == "GET" and person in str(one) for one in arrived)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(world(), limit=1_000_000) as started:
        yield started


@pytest.fixture
def edge(database: Database, sandbox: Sandbox) -> Iterator[Edge]:
    """An empty database; the sandbox forgets what came before."""
    control = Control(sandbox)
    control.put("/world", world())
    made = Edge(database, sandbox)
    yield made
    made.faults()


def told(number: int = 4, *, first: int = 1) -> Sequence[Event]:
    """Links, a claim for one person, a deferral for the next."""
    link = {"event": "participant_linked", "course_identifier": ECT}
    claims, defers = f"E-{first}", f"E-{first + 1}"
    return [
        decode({**link, "source_id": claims, "participant_id": a_person(first)}),
        decode({**link, "source_id": defers, "participant_id": a_person(first + 1)}),
        decode(
            {
                "event": "declaration_made",
                "source_id": claims,
                "declaration_type": "started",
                "declaration_date": "2025-10-01T09:00:00Z",
                "evidence_held": "training-event-attended",
            }
        ),
        decode({"event": "participant_deferred", "source_id": defers, "reason": "other"}),
    ][:number]


def on_writes(do: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The same for the first claim and the first deferral."""
    return tuple({"match": {"method": method}, "do": do} for method in ("POST", "PUT"))


APPLIED: dict[str, dict[str, Any]] = {
    "the connection breaks": {"drop": "after"},
    "no answer in time": {"delay_after_ms": [1500, 1500]},
    "the answer is cut": {"truncate": 30},
    "500": {"status": 500, "after": True},
    "503": {"status": 503, "after": True},
    "a page that says 200": {"status": 200, "body": "<html>Fine.</html>", "after": True},
    "JSON of something else": {"status": 200, "body": {"data": []}, "after": True},
    "a redirect": {
        "status": 302,
        "headers": {"Location": "https://elsewhere.example/"},
        "after": True,
    },
}


@pytest.mark.parametrize("do", [pytest.param(do, id=name) for name, do in APPLIED.items()])
def test_what_was_applied_and_not_answered_is_looked_up_and_never_sent_again(
    edge: Edge, do: dict[str, Any]
) -> None:
    """Fault 34, and 36 on writes."""
    edge.emit(*told())
    edge.faults(*on_writes(do))

    edge.come_to_rest()

    assert [(what, done) for what, done, _ in edge.writes(a_person(1))] == [
        ("participant-declarations", True)
    ]
    assert [(what, done) for what, done, _ in edge.writes(a_person(2))] == [("defer", True)]
    assert list(edge.entries().values()) == ["noted", "noted", "delivered", "delivered"]


@pytest.mark.parametrize("do", [{"drop": "before"}, {"status": 503}, {"status": 200, "body": "ok"}])
def test_what_was_not_applied_is_looked_up_and_then_sent_once_more(
    edge: Edge, do: dict[str, Any]
) -> None:
    edge.emit(*told())
    edge.faults(*on_writes(do))

    edge.come_to_rest()

    assert [done for _, done, _ in edge.writes(a_person(1))] == [False, True]
    assert [done for _, done, _ in edge.writes(a_person(2))] == [False, True]
    assert list(edge.entries().values()) == ["noted", "noted", "delivered", "delivered"]


def test_a_read_that_fails_in_any_way_is_read_again_and_nothing_is_sent_meanwhile(
    edge: Edge,
) -> None:
    """Fault 36 on reads: never taken for what is there."""
    edge.emit(*told())
    every = [*APPLIED.values(), {"status": 429, "headers": {"Retry-After": "1"}}]
    edge.faults(
        *({"match": {"method": "GET", "path_regex": a_person(2)}, "do": do} for do in every)
    )

    edge.come_to_rest()

    assert edge.reads(a_person(2)) == len(every) + 1
    assert edge.writes(a_person(2)) == [("defer", True, 200)]


def refused() -> str:
    return f"http://127.0.0.1:{a_closed_port()}/api/v3"


def a_name_that_is_unknown() -> str:
    return "https://api.invalid/api/v3"


@pytest.mark.parametrize("address", [refused, a_name_that_is_unknown])
def test_what_was_not_sent_is_sent_later_without_a_look(
    edge: Edge, sandbox: Sandbox, address: Callable[[], str]
) -> None:
    """Fault 33."""
    edge.use(edge.caller(address()))
    edge.emit(told(3)[0], told(3)[2])
    edge.run()
    record = edge.record(part="started")
    assert (record.tries, record.mark) == (1, None)
    edge.use(edge.caller(sandbox.url))

    edge.come_to_rest()

    assert edge.reads(a_person(1)) == 0
    assert [done for _, done, _ in edge.writes(a_person(1))] == [True]


def test_a_redirect_takes_neither_the_call_nor_the_key_elsewhere(edge: Edge) -> None:
    """Fault 39."""
    came: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as elsewhere:
        threading.Thread(target=_listen, args=(elsewhere, came), daemon=True).start()
        there = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/api/v3"
        for first, status in enumerate((301, 302, 303, 307, 308)):
            redirect = {"status": status, "headers": {"Location": there}, "after": True}
            edge.faults(*on_writes(redirect), {"match": {"method": "GET"}, "do": redirect})
            edge.emit(*told(first=2 * first + 1))
            edge.come_to_rest()
            assert edge.writes(a_person(2 * first + 1))[0][2] == status
            assert edge.writes(a_person(2 * first + 2))[0][2] == status

    assert came == []


def _listen(server: socket.socket, came: list[bytes]) -> None:
    try:
        while True:
            client, _ = server.accept()
            came.append(client.recv(1000))
            client.close()
    except OSError:
        return


def test_a_key_refused_in_the_middle_stops_everybody_and_kills_nobody(edge: Edge) -> None:
    """Fault 37."""
    edge.faults(*on_writes({"status": 401}))
    edge.emit(*told())

    edge.run()

    states = {str(one.key): (one.state.value, one.tries) for one in edge.records()}
    assert {state for state, _ in states.values()} <= {"waiting", "in_step"}
    assert {tries for _, tries in states.values()} == {0}
    assert not any(done for person in (1, 2) for _, done, _ in edge.writes(a_person(person)))
