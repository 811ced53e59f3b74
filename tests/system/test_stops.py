"""What makes the API stop us, in real parts: the sandbox, the client, the quota, the key's file."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from outbox import gates
from outbox.relay import Relay, Ring
from pillarbox.demo import person
from pillarbox.world import SANDBOX_TOKEN, Control, wait_until
from producers import emit
from runtime.settings import Settings
from sandbox.server import Sandbox
from schema.events import DeclarationMade
from tests.support.builders import ECT
from tests.support.clock import NOON
from workers.wiring import Wiring

PEOPLE = ("tomos-evans", "kwame-boateng", "sana-malik")


class Stopped:
    """A site whose relay and worker are turned by hand."""

    def __init__(self, wiring: Wiring, sandbox: Sandbox, key: Path) -> None:
        self.wiring = wiring
        self.key = key
        self.control = Control(sandbox)
        self._rings: deque[Ring] = deque()
        destination = wiring.settings.destinations[0]
        self._deliverer = wiring.deliverer(destination)
        self._relay = Relay(
            database=wiring.database,
            contract=wiring.contract(destination),
            destination=destination.name,
            clock=wiring.clock,
            timing=wiring.timing(destination),
            settle=wiring.settings.settle,
            dispatch=self._rings.extend,
            room=wiring.paces[destination.name].room,
            gates=wiring.gates(destination),
        )

    def declare(self) -> None:
        claims = [
            DeclarationMade(
                source_id=name,
                participant_id=person(name),
                course_identifier=ECT,
                declaration_type="started",
                declaration_date=NOON.replace(year=2025, month=10, day=1),
                evidence_held="training-event-attended",
            )
            for name in PEOPLE
        ]
        with self.wiring.database.transaction() as connection:
            emit(connection, claims)

    def turn(self) -> None:
        self._relay.run_once()
        while self._rings:
            self._deliverer.deliver(self._rings.popleft())

    def turn_until(self, done: Callable[[], object]) -> None:
        def look() -> bool:
            self.turn()
            return bool(done())

        assert wait_until(look, timeout=30)

    def statuses(self) -> list[int]:
        asked = self.control.get("/requests?limit=1000")["requests"]
        return sorted(one["status"] for one in asked if one["method"] == "POST")

    def shut(self) -> list[str]:
        with self.wiring.database.reading() as connection:
            known = gates.on_the_way(connection, "default", "default")
        return [one.reason.value for one in known]


@pytest.fixture
def stopped(sqlite_template: Path, tmp_path: Path) -> Iterator[Stopped]:
    """A site that holds a key nobody there knows."""
    file, key = tmp_path / "pillarbox.db", tmp_path / "key"
    file.write_bytes(sqlite_template.read_bytes())
    key.write_text("a-key-of-yesterday\n")
    with Sandbox() as sandbox:
        environment = {
            "DATABASE_URL": f"sqlite:///{file}",
            "PILLARBOX_API_URL": sandbox.url,
            "PILLARBOX_API_TOKEN_FILE": str(key),
            "PILLARBOX_SETTLE": "0",
        }
        wiring = Wiring.build(Settings.from_environment(environment))
        wiring.bind()
        with closing(wiring):
            yield Stopped(wiring, sandbox, key)


def test_a_key_file_that_is_rewritten_is_tried_at_once_and_nobody_resumes(
    stopped: Stopped,
) -> None:
    stopped.declare()
    stopped.turn_until(stopped.shut)
    for _ in range(5):
        stopped.turn()
    assert (stopped.statuses(), stopped.shut()) == ([401], ["key_refused"])

    stopped.key.unlink()
    stopped.turn()
    assert (stopped.statuses(), stopped.shut()) == ([401], ["key_refused"])

    stopped.key.write_text(SANDBOX_TOKEN)
    for _ in range(4):
        stopped.turn()
    assert (stopped.statuses(), stopped.shut()) == ([200, 200, 200, 401], [])


def test_after_a_429_the_wait_it_names_is_kept_and_one_call_goes_first(stopped: Stopped) -> None:
    stopped.key.write_text(SANDBOX_TOKEN)
    throttle = {"status": 429, "headers": {"Retry-After": "1"}}
    stopped.control.put(
        "/faults", [{"name": "full", "match": {"method": "POST"}, "do": throttle, "times": 1}]
    )
    stopped.declare()
    stopped.turn_until(stopped.shut)
    stopped.turn()
    assert (stopped.statuses(), stopped.shut()) == ([429], ["throttled"])

    stopped.turn_until(lambda: not stopped.shut())
    assert stopped.statuses() == [200, 429]
    stopped.turn_until(lambda: stopped.statuses() == [200, 200, 200, 429])
