"""Leases that ran out, clocks that went back, gates and whom a database belongs to."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outbox import attempts, bindings, gates
from outbox.bindings import Binding
from outbox.delivery import Ended
from outbox.gates import Gate
from outbox.retry import TAKES
from records import holding
from runtime.database import Database
from runtime.errors import NotOurs
from runtime.settings import Settings
from schema.events import Event, ParticipantDeferred
from schema.outcomes import Transient
from schema.states import GateReason, Lane, Reason, RecordState
from tests.support.api import Scripted
from tests.support.builders import ECT, PERSON
from tests.support.clock import NOON
from tests.support.outbox import Outbox
from tests.support.pace import FakePace, Slot
from workers.wiring import Wiring


class Died(BaseException):
    """What a worker process meets when it is killed: nothing after it runs."""


def deferred() -> Event:
    return ParticipantDeferred(
        source_id="E-1", reason="other", participant_id=PERSON, course_identifier=ECT
    )


@pytest.fixture
def dispatched(outbox: Outbox) -> Outbox:
    """One deferral, looked up and on the queue."""
    outbox.emit(deferred())
    outbox.round()
    outbox.deliver()
    outbox.round()
    outbox.api.calls.clear()
    return outbox


def dies_in_the_call(outbox: Outbox, *, executed: bool) -> None:
    """Deliver with a worker that is killed while its call is under way."""

    def killed() -> None:
        raise Died

    if executed:
        outbox.api.people[PERSON]["training_status"] = "deferred"
    outbox.api.then(Scripted(outcome=Transient(detail="never heard"), meanwhile=killed))
    with pytest.raises(Died):
        outbox.deliver()


def test_a_worker_that_dies_before_its_mark_costs_only_time(dispatched: Outbox) -> None:
    ring = dispatched.rings.popleft()
    with dispatched.database.transaction() as connection:
        holding.take(connection, ring.record_id, ring.token, until=NOON + timedelta(minutes=2))

    dispatched.wait(minutes=2)
    dispatched.run()
    assert dispatched.api.calls == []
    dispatched.wait(seconds=1)
    dispatched.run()

    assert dispatched.api.operations == ["defer"]


@pytest.mark.parametrize("executed", [True, False])
def test_a_worker_that_dies_after_its_mark_leaves_a_doubt_that_is_looked_up(
    dispatched: Outbox, executed: bool
) -> None:
    dies_in_the_call(dispatched, executed=executed)
    dispatched.wait(minutes=2, seconds=1)
    dispatched.run()
    record = dispatched.record()
    assert (record.state, record.reason) == (RecordState.IN_DOUBT, Reason.LEASE_RAN_OUT)
    with dispatched.database.reading() as connection:
        assert attempts.of_record(connection, record.id)[-1]["outcome"] == "in_doubt"

    dispatched.wait(minutes=1)
    dispatched.run()

    again = [] if executed else ["defer"]
    assert dispatched.api.operations == ["defer", "look_up_participant", *again]
    assert list(dispatched.entries().values()) == ["delivered"]


def test_a_record_that_ends_its_worker_every_time_stops(dispatched: Outbox) -> None:
    for _ in range(TAKES):
        ring = dispatched.rings.popleft()
        with dispatched.database.transaction() as connection:
            holding.take(
                connection,
                ring.record_id,
                ring.token,
                until=dispatched.clock.now() + timedelta(minutes=2),
            )
        dispatched.wait(minutes=2, seconds=1)
        dispatched.round()

    record = dispatched.record()
    assert (record.state, record.reason) == (RecordState.DEAD, Reason.EXHAUSTED)
    assert not dispatched.rings


def test_a_lease_that_ends_later_than_any_can_is_shortened(dispatched: Outbox) -> None:
    """The database's clock went back by a day while the record was taken."""
    ring = dispatched.rings.popleft()
    with dispatched.database.transaction() as connection:
        holding.take(connection, ring.record_id, ring.token, until=NOON + timedelta(days=1))

    dispatched.round()
    assert dispatched.record().lease_until == NOON + timedelta(minutes=2)
    dispatched.wait(minutes=2, seconds=1)
    dispatched.run()

    assert list(dispatched.entries().values()) == ["delivered"]


def ring_is_lost(outbox: Outbox) -> None:
    outbox.rings.clear()


def dies_with_the_record(outbox: Outbox) -> None:
    ring = outbox.rings.popleft()
    until = outbox.clock.now() + timedelta(minutes=2)
    with outbox.database.transaction() as connection:
        holding.take(connection, ring.record_id, ring.token, until=until)


def dies_once_sent(outbox: Outbox) -> None:
    dies_in_the_call(outbox, executed=True)


def fails_and_waits(outbox: Outbox) -> None:
    outbox.api.then(Transient(detail="not now"))
    outbox.deliver()


@pytest.mark.parametrize(
    "leave_it", [ring_is_lost, dies_with_the_record, dies_once_sent, fails_and_waits]
)
def test_no_record_stays_behind_when_the_databases_clock_goes_back(
    dispatched: Outbox, leave_it: Callable[[Outbox], None]
) -> None:
    leave_it(dispatched)
    dispatched.clock.step(-timedelta(minutes=5))
    for _ in range(10):  # the step, a lease, the quarantine, and a little
        dispatched.wait(minutes=1)
        dispatched.run()

    assert list(dispatched.entries().values()) == ["delivered"]
    assert dispatched.api.people[PERSON]["training_status"] == "deferred"
    assert len(dispatched.api.writes) <= 2


def test_a_rescued_record_refuses_its_old_holder(dispatched: Outbox) -> None:
    ring = dispatched.rings.popleft()
    with dispatched.database.transaction() as connection:
        held = holding.take(
            connection, ring.record_id, ring.token, until=NOON + timedelta(minutes=2)
        )
    assert held is not None
    dispatched.wait(minutes=2, seconds=1)
    dispatched.round()

    with dispatched.database.transaction() as connection:
        assert not holding.put_mark(connection, held, None, until=NOON, generation=1)


# gates


def gate(reason: GateReason, seconds: int | None = 60) -> Gate:
    until = None if seconds is None else NOON + timedelta(seconds=seconds)
    return Gate(reason=reason, until=until, since=NOON)


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        pytest.param(
            gate(GateReason.THROTTLED, 60), gate(GateReason.THROTTLED, 90), 1, id="later moves on"
        ),
        pytest.param(
            gate(GateReason.THROTTLED, 60), gate(GateReason.THROTTLED, 30), 0, id="never earlier"
        ),
        pytest.param(
            gate(GateReason.PAUSED, None),
            gate(GateReason.PAUSED, 600),
            0,
            id="no end is the latest",
        ),
        pytest.param(
            gate(GateReason.PAUSED, -1), gate(GateReason.BREAKER), 1, id="one that is over is none"
        ),
    ],
)
def test_of_two_ends_the_later_one_stands(
    database: Database, first: Gate, second: Gate, stays: int
) -> None:
    with database.transaction() as connection:
        gates.shut(connection, "default", first)
        gates.shut(connection, "default", second)
        found = gates.shut_now(connection, "default", NOON)

    assert found == (first, second)[stays]


def test_a_pause_ends_by_itself_when_its_time_has_come(database: Database) -> None:
    with database.transaction() as connection:
        gates.shut(connection, "default", gate(GateReason.PAUSED, 60))
        just_before = gates.shut_now(connection, "default", NOON + timedelta(seconds=59.999))
        then = gates.shut_now(connection, "default", NOON + timedelta(seconds=60))
        elsewhere = gates.shut_now(connection, "another", NOON)

    assert just_before is not None
    assert (then, elsewhere) == (None, None)


# whom a database belongs to


def wired(url: str, **environment: str) -> Wiring:
    given = {"PILLARBOX_API_URL": "https://one.example/api/v3", "DATABASE_URL": url}
    return Wiring.build(Settings.from_environment({**given, **environment}))


def test_a_database_is_bound_at_its_first_use_and_knows_its_own_again(database_url: str) -> None:
    for _ in range(2):
        wiring = wired(database_url)
        wiring.bind()
        wiring.close()


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PILLARBOX_API_URL", "https://two.example/api/v3", "PILLARBOX_API_URL is https://two"),
        ("PILLARBOX_CONTRACT", "guidance", "PILLARBOX_CONTRACT is guidance, but this database is"),
        ("PILLARBOX_KEY_NAME", "other", "PILLARBOX_KEY_NAME is other, but this database is bound"),
    ],
)
def test_a_database_of_another_destination_is_refused(
    database_url: str, variable: str, value: str, complaint: str
) -> None:
    first, other = wired(database_url), wired(database_url, **{variable: value})
    first.bind()

    with pytest.raises(NotOurs, match=complaint):
        other.bind()

    first.close()
    other.close()


def test_a_copy_of_a_database_never_speaks_for_the_original(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "original.db")
    original = wired(f"sqlite:///{tmp_path / 'original.db'}")
    original.bind()
    with original.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    original.close()
    shutil.copy(tmp_path / "original.db", tmp_path / "copy.db")

    copy = wired(f"sqlite:///{tmp_path / 'copy.db'}")
    with pytest.raises(NotOurs, match="this database is a copy or a restore"):
        copy.bind()
    copy.close()


def test_the_first_difference_is_named() -> None:
    was = Binding(destination="d", contract="c", url="u", key_name="k", database_id="i")

    assert bindings.difference(was, was) is None
    assert bindings.difference(replace(was, database_id="j"), was) is not None


def test_a_worker_that_lost_its_record_to_one_who_calls_now_gives_its_slot_back(
    dispatched: Outbox,
) -> None:
    class FrozenOnce(FakePace):
        def ask(self, lane: Lane) -> Slot | timedelta:
            if not self.asked:
                self.asked += 1
                dispatched.wait(seconds=130)
                dispatched.round()
                dies_in_the_call(dispatched, executed=False)
            return super().ask(lane)

    ring = dispatched.rings.popleft()
    dispatched.pace = FrozenOnce()

    assert dispatched.another_deliverer().deliver(ring) is Ended.MOVED_ON
    assert [how for _, how in dispatched.pace.ended] == ["unused"]
