"""The outgoing half on one database, turned by hand: a relay, a deliverer, and what they rang."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random

from sqlalchemy import Connection, select, update

from gateway.contracts.lead_provider_v3 import CONTRACT
from outbox import bindings
from outbox import entries as entry_store
from outbox.bindings import Binding
from outbox.delivery import Deliverer, Ended
from outbox.gates import Gates
from outbox.relay import Relay, Ring, Round
from outbox.retry import Timing
from producers import emit
from records import store
from runtime.database import Database
from schema.contract import Contract
from schema.events import Event, ParticipantLinked
from schema.keys import EntryId, RecordKey
from schema.record import Record
from schema.states import Lane, RecordState
from schema.tables import outbox_entry, record
from tests.support.api import FakeApi
from tests.support.builders import ECT, PERSON
from tests.support.clock import HandClock
from tests.support.pace import FakePace

TIMING = Timing(
    send_by=timedelta(seconds=10),
    deadline=timedelta(seconds=30),
    lease=timedelta(minutes=2),
    quarantine=timedelta(minutes=2),
    window=timedelta(seconds=300),
)


class Outbox:
    """Everything between `emit` and the API. Nothing moves unless the test says so."""

    def __init__(self, database: Database, contract: Contract = CONTRACT) -> None:
        self.database = database
        self.contract = contract
        self.timing = TIMING
        self.clock = HandClock()
        self.api = FakeApi()
        self.pace = FakePace()
        self.bind()
        self.rings: deque[Ring] = deque()
        self.room = 1_000
        self.slept: list[float] = []
        self.relay = self.another_relay()
        self.deliverer = self.another_deliverer()

    def bind(self, *, live: bool = True) -> None:
        """Bind the database, unless it is: to an address on this computer, or one in shadow."""
        url = "http://127.0.0.1:9/api/v3" if live else "https://api.example/api/v3"
        wanted = Binding(
            destination="default",
            contract=self.contract.name,
            url=url,
            key_name="default",
            database_id="here",
        )
        with self.database.transaction() as connection:
            bindings.bind(connection, wanted, now=self.clock.now(), live=live)

    def another_relay(
        self, *, settle: timedelta = timedelta(0), gates: Gates | None = None
    ) -> Relay:
        """Make a relay that shares nothing with the others but the database and the queue."""
        return Relay(
            database=self.database,
            contract=self.contract,
            destination=gates.destination if gates else "default",
            gates=gates,
            clock=self.clock,
            timing=TIMING,
            settle=settle,
            dispatch=self._ring,
            room=self._room,
        )

    def another_deliverer(self, *, generation: int = 1, gates: Gates | None = None) -> Deliverer:
        """Make a deliverer that shares nothing with the others but the database and the API."""
        return Deliverer(
            database=self.database,
            contract=self.contract,
            destination=gates.destination if gates else "default",
            gates=gates,
            clock=self.clock,
            timing=TIMING,
            pace=self.pace,
            make_call=self.api,
            dice=Random(1),
            sleep=self.slept.append,
            generation=generation,
        )

    def _ring(self, rings: Sequence[Ring]) -> None:
        self.rings.extend(rings)

    def _room(self, lane: Lane, on_the_queue: int) -> int:
        return self.room

    # what happens

    def emit(self, *events: Event) -> list[EntryId]:
        """Commit events, in order."""
        with self.database.transaction() as connection:
            return emit(connection, events)

    def link(self, source_id: str = "E-1", person: str = PERSON) -> EntryId:
        """Commit the link of an enrolment."""
        return self.emit(
            ParticipantLinked(source_id=source_id, participant_id=person, course_identifier=ECT)
        )[0]

    def round(self) -> Round:
        """Make one round of the relay."""
        return self.relay.run_once()

    def deliver(self) -> list[Ended]:
        """Answer every ring that is out."""
        ended: list[Ended] = []
        while self.rings:
            ended.append(self.deliverer.deliver(self.rings.popleft()))
        return ended

    def run(self, *, rounds: int = 50) -> None:
        """Round and answer until nothing moves any more; the clock stands still."""
        for _ in range(rounds):
            if not self.round().done and not self.rings:
                return
            self.deliver()
        raise AssertionError("it does not come to rest")

    def wait(self, **length: float) -> None:
        """Let time pass, and look at everything afresh."""
        self.clock.advance(timedelta(**length))

    # what is there

    def record(self, source_id: str = "E-1", part: str = "", number: int = 1) -> Record:
        """Read a record: an enrolment, or with *part* a declaration."""
        key = RecordKey("enrolment", source_id)
        if part:
            key = RecordKey("declaration", source_id, part, number)
        with self.database.reading() as connection:
            found = store.by_key(connection, "default", key)
        assert found is not None, f"there is no record {key}"
        return found

    def records(self) -> list[Record]:
        """Read all records."""
        with self.database.reading() as connection:
            return store.list_open(connection, "default", states=RecordState, limit=10_000)

    def entries(self) -> Mapping[int, str]:
        """Say of every entry how it stands: its reason when closed, else its state."""
        with self.database.reading() as connection:
            found = entry_store.list_entries(connection, limit=10_000)
        return {one.id: str(one.closed_as or one.state) for one in found}

    def how(self, *entries: int) -> list[str]:
        """Say of some entries how they stand."""
        found = self.entries()
        return [found[entry] for entry in entries]

    def set_record(self, one: Record, **columns: object) -> None:
        """Change a record's row behind everybody's back, as another process would."""
        with self.database.transaction() as connection:
            connection.execute(update(record).where(record.c.id == one.id).values(**columns))


def count_entries(connection: Connection) -> int:
    """Count all entries."""
    return len(connection.execute(select(outbox_entry.c.id)).all())
