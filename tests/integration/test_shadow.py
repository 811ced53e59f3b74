"""A destination in shadow plans, looks up and shows, and writes nothing; a rebind believes nothing."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event as Signal
from threading import Thread

import pytest
from sqlalchemy import Connection, select

from outbox import attempts, bindings, rebind
from outbox.admission import ASLEEP_FOR
from outbox.rebind import Progress
from outbox.relay import Ring
from records import unknown as unknown_records
from runtime.database import Database
from schema.events import DeclarationMade, Event, ParticipantDeferred, decode
from schema.outcomes import Blame, Refused, Transient
from schema.record import Record
from schema.states import Lane, Reason, RecordState, Writes
from schema.tables import audit
from tests.support.api import Scripted, a_refusal
from tests.support.builders import ECT, OTHER_PERSON, PERSON, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import Outbox
from tests.support.pace import FakePace, Slot


class Died(Exception):
    """The worker is gone in the middle of its call."""


def killed() -> None:
    raise Died


class InShadow(Outbox):
    """An outbox whose API is not on this computer."""

    def bind(self, *, live: bool = False) -> None:
        """Bind it without leave to write."""
        super().bind(live=live)


@pytest.fixture
def shadow(database: Database) -> Outbox:
    """An outbox in shadow."""
    return InShadow(database)


def deferred(source_id: str = "E-1") -> Event:
    return ParticipantDeferred(
        source_id=source_id, reason="other", participant_id=PERSON, course_identifier=ECT
    )


def declared(day: int = 1) -> Event:
    return DeclarationMade(
        source_id="E-1",
        declaration_type="started",
        declaration_date=NOON.replace(month=1, day=day),
        evidence_held="other",
    )


def to_schedule(schedule: str) -> Event:
    return decode(
        {
            "event": "schedule_changed",
            "source_id": "E-1",
            "schedule_identifier": schedule,
            "cohort": "2025",
        }
    )


def go_live(outbox: Outbox) -> None:
    with outbox.database.transaction() as connection:
        bindings.hold_still(connection, "default")
        bindings.let_live(connection, "default", by="Ada", now=outbox.clock.now())


def bind_anew(connection: Connection, outbox: Outbox, *, live: bool = True) -> None:
    bindings.hold_still(connection, "default")
    was = bindings.bound(connection, "default")
    assert was is not None
    last = unknown_records.last_id(connection, "default")
    bindings.rebind(connection, was, now=outbox.clock.now(), live=live, last_record=last)


def rebound(outbox: Outbox, *, live: bool = True) -> None:
    """Bind anew, and let another process take over, as after a restart."""
    with outbox.database.transaction() as connection:
        bind_anew(connection, outbox, live=live)
    outbox.deliverer = outbox.another_deliverer(generation=2)
    outbox.relay = outbox.another_relay()


def stands(record: Record) -> tuple[RecordState, Reason | None]:
    return record.state, record.reason


def progress(outbox: Outbox) -> Progress | None:
    with outbox.database.reading() as connection:
        return rebind.progress(connection, "default", outbox.clock.now())


# shadow


def test_in_shadow_it_looks_up_plans_and_writes_nothing(shadow: Outbox) -> None:
    shadow.emit(deferred())

    shadow.run()

    assert shadow.api.operations == ["look_up_participant"]
    record = shadow.record()
    assert stands(record) == (RecordState.WAITING, Reason.SHADOW)
    assert record.waits_for == "defer"
    assert record.due_at == NOON + ASLEEP_FOR


def test_what_sleeps_is_not_looked_at_again_until_it_changes(shadow: Outbox) -> None:
    shadow.emit(deferred())
    shadow.run()

    shadow.wait(days=30)
    assert shadow.round().done == 0

    shadow.emit(to_schedule("ecf-extended-september"))
    shadow.run()
    assert shadow.record().due_at == NOON + timedelta(days=30) + ASLEEP_FOR
    assert shadow.api.writes == []


def test_what_is_undone_in_shadow_is_in_step_again_and_costs_nothing(shadow: Outbox) -> None:
    shadow.emit(to_schedule("ecf-extended-september"), deferred())
    shadow.run()

    shadow.emit(to_schedule("ecf-standard-september"))
    shadow.emit(decode({"event": "participant_resumed", "source_id": "E-1"}))
    shadow.run()

    assert stands(shadow.record()) == (RecordState.IN_STEP, None)
    assert shadow.api.writes == []


def test_once_live_what_slept_is_sent_without_a_word_more(shadow: Outbox) -> None:
    (entry,) = shadow.emit(deferred())
    shadow.run()

    go_live(shadow)
    shadow.wait(seconds=5)
    shadow.run()

    assert shadow.api.writes == ["defer"]
    assert shadow.how(entry) == ["delivered"]


def test_a_destination_that_is_not_bound_is_not_written_to(outbox: Outbox) -> None:
    with outbox.database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM binding")
    outbox.emit(deferred())

    outbox.round()
    outbox.deliver()

    assert outbox.api.calls == []


def test_what_was_dispatched_before_is_not_sent_after(outbox: Outbox) -> None:
    outbox.emit(deferred())
    outbox.round()
    outbox.deliver()  # the look-up
    outbox.round()
    assert len(outbox.rings) == 1
    with outbox.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE binding SET live_since = NULL, live_by = NULL")

    assert outbox.deliver() == ["no_call"]

    assert stands(outbox.record()) == (RecordState.WAITING, Reason.SHADOW)
    assert outbox.api.writes == []


# a write that is on its way while leave is taken away


class AfterTaking(FakePace):
    """Does something between the taking of a record and its mark."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def ask(self, lane: Lane) -> Slot | timedelta:
        """Let it happen now."""
        self._meanwhile()
        return super().ask(lane)


def about_to_write(outbox: Outbox) -> Ring:
    """Bring a record to where its write is dispatched."""
    outbox.emit(deferred())
    outbox.round()
    outbox.deliver()
    outbox.round()
    return outbox.rings.popleft()


@pytest.mark.parametrize("sql", ["live_since = NULL", "unknown_since = '2026-02-10'"])
def test_no_write_is_marked_once_leave_was_taken_away(outbox: Outbox, sql: str) -> None:
    ring = about_to_write(outbox)

    def take_leave() -> None:
        with outbox.database.transaction() as connection:
            connection.exec_driver_sql(f"UPDATE binding SET {sql}")

    outbox.pace = AfterTaking(take_leave)
    worker = outbox.another_deliverer()

    assert worker.deliver(ring) == "moved_on"
    assert outbox.api.writes == []
    assert outbox.record().mark is None


def test_no_call_is_marked_by_who_was_started_under_another_binding(outbox: Outbox) -> None:
    outbox.emit(deferred())
    outbox.round()
    ring = outbox.rings.popleft()  # a look-up: it would ask the wrong API

    def bind() -> None:
        with outbox.database.transaction() as connection:
            bind_anew(connection, outbox)

    outbox.pace = AfterTaking(bind)

    assert outbox.another_deliverer().deliver(ring) == "moved_on"
    assert outbox.api.calls == []


def test_who_was_started_under_another_binding_leaves_its_rings_to_others_and_ends(
    outbox: Outbox,
) -> None:
    old = outbox.deliverer
    ring = about_to_write(outbox)
    with outbox.database.transaction() as connection:
        bind_anew(connection, outbox)

    assert old.deliver(ring) == "not_ours"

    assert old.bound_anew
    assert outbox.api.writes == []


def test_a_mark_that_waits_for_a_rebind_to_commit_is_none(outbox: Outbox, backend: str) -> None:
    """The worker stands in the statement that commits its mark while leave is taken away."""
    if backend == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    ring = about_to_write(outbox)
    taken, going = Signal(), Signal()

    def rebinding() -> None:
        with outbox.database.transaction() as connection:
            bindings.hold_still(connection, "default")
            taken.set()
            assert going.wait(10)
            _wait_for_a_blocked_statement(outbox.database)
            bind_anew(connection, outbox)

    def ask() -> None:
        going.set()

    thread = Thread(target=rebinding)
    thread.start()
    assert taken.wait(10)
    outbox.pace = AfterTaking(ask)
    ended = outbox.another_deliverer().deliver(ring)
    thread.join()

    assert ended == "moved_on"
    assert outbox.api.writes == []


def _wait_for_a_blocked_statement(database: Database) -> None:
    """Wait until another connection to this database waits for a lock."""
    blocked = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(2_000):
        with database.reading() as connection:
            if connection.exec_driver_sql(blocked).scalar_one():
                return
    raise AssertionError("nobody waits")


# after a rebind


@pytest.fixture
def known(outbox: Outbox) -> Outbox:
    """An enrolment and a claim in step, and a change of the schedule that nobody has seen yet."""
    outbox.emit(deferred(), declared())
    outbox.run()
    assert outbox.api.writes == ["defer", "declare"]
    outbox.api.calls.clear()
    return outbox


def test_after_a_rebind_everything_is_looked_up_before_anything_is_written(known: Outbox) -> None:
    known.emit(decode({"event": "participant_resumed", "source_id": "E-1"}))

    rebound(known)
    known.run()
    known.wait(seconds=5)
    known.run()

    assert sorted(known.api.operations[:2]) == ["look_up_declaration", "look_up_participant"]
    assert known.api.operations[2:] == ["resume"]
    assert progress(known) is None


def test_what_has_nothing_pending_is_looked_up_in_the_lane_that_has_time(known: Outbox) -> None:
    known.emit(decode({"event": "participant_resumed", "source_id": "E-1"}))
    known.room = 0
    rebound(known)
    known.round()
    known.round()

    assert known.record().lane is Lane.LIVE
    assert known.record(part="started").lane is Lane.BULK

    known.room = 10
    known.run()
    assert known.record(part="started").lane is Lane.LIVE


def test_news_of_what_is_only_to_be_looked_up_brings_it_into_its_own_lane(known: Outbox) -> None:
    known.room = 0
    rebound(known)
    known.round()
    known.round()
    assert known.record().lane is Lane.BULK

    known.emit(decode({"event": "participant_resumed", "source_id": "E-1"}))
    known.round()

    assert known.record().lane is Lane.LIVE


def test_a_rebind_shows_how_far_it_has_come_and_is_lifted_by_itself(known: Outbox) -> None:
    known.room = 0
    rebound(known)
    before = progress(known)
    known.round()
    known.round()
    marked = progress(known)
    known.room = 1
    known.round()
    known.deliver()
    half = progress(known)
    known.room = 10
    known.run()
    known.wait(seconds=5)
    known.run()

    assert before is not None
    assert before.marking
    assert marked is not None
    assert marked.words() == "0 of 2 looked up"
    assert half is not None
    assert half.words() == "1 of 2 looked up"
    assert progress(known) is None
    with known.database.reading() as connection:
        assert bindings.writes(connection, "default") is Writes.ALLOWED
        row = connection.execute(select(audit.c.actor, audit.c.action)).one()
    assert tuple(row) == ("pillarbox", "destination_known_again")


def test_while_it_is_held_a_write_sleeps_and_a_new_claim_is_looked_for_first(
    known: Outbox,
) -> None:
    known.room = 0
    rebound(known)
    known.round()
    known.round()
    known.api.people[OTHER_PERSON] = an_enrolment()
    (entry,) = known.emit(
        DeclarationMade(
            source_id="E-2",
            declaration_type="started",
            declaration_date=NOON.replace(month=1, day=20),
            evidence_held="other",
            participant_id=OTHER_PERSON,
            course_identifier=ECT,
        )
    )
    known.room = 10
    known.run()

    assert known.api.writes == []
    assert "find_declaration" in known.api.operations
    assert stands(known.record("E-2", "started")) == (RecordState.WAITING, Reason.REBOUND)

    known.wait(seconds=5)
    known.run()
    assert known.api.writes == ["declare"]
    assert known.how(entry) == ["delivered"]


def test_what_is_different_there_and_not_pending_is_simply_believed(known: Outbox) -> None:
    known.api.people[PERSON] = an_enrolment(training_status="active", cohort="2024")

    rebound(known)
    known.run()

    assert known.api.writes == []
    assert known.record().accepted == known.api.people[PERSON]
    assert stands(known.record()) == (RecordState.IN_STEP, None)


def test_what_is_pending_and_was_changed_there_meanwhile_is_a_conflict(known: Outbox) -> None:
    known.api.people[PERSON]["training_status"] = "active"
    rebound(known)
    known.run()
    known.wait(seconds=5)
    known.run()
    known.room = 0
    known.emit(to_schedule("ecf-extended-september"))
    known.round()

    known.api.people[PERSON]["schedule_identifier"] = "ecf-reduced-april"
    with known.database.transaction() as connection:
        bind_anew(connection, known)
    known.deliverer = known.another_deliverer(generation=3)
    known.room = 10
    known.wait(seconds=5)
    known.run()

    assert stands(known.record()) == (RecordState.DEAD, Reason.CONFLICT)
    assert known.api.writes == []


def test_a_claim_of_an_old_backup_that_was_sent_since_is_found_and_not_sent_again(
    outbox: Outbox,
) -> None:
    """The backup knows the claim as new; the API has it."""
    outbox.emit(deferred())
    outbox.run()
    (entry,) = outbox.emit(declared())
    outbox.room = 0
    outbox.round()
    outbox.api.declarations["d-1"] = {
        "participant_id": PERSON,
        "declaration_type": "started",
        "declaration_date": NOON.replace(month=1, day=1).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "evidence_held": "other",
        "state": "submitted",
    }
    outbox.api.calls.clear()

    rebound(outbox)
    outbox.room = 10
    outbox.run()
    outbox.wait(seconds=5)
    outbox.run()

    assert outbox.api.writes == []
    assert outbox.how(entry) == ["unchanged"]
    assert outbox.record(part="started").remote_id == "d-1"


def test_a_write_that_was_under_way_is_in_doubt_and_never_due(outbox: Outbox) -> None:
    ring = about_to_write(outbox)
    outbox.api.then(Scripted(outcome=Transient(detail="never heard"), meanwhile=killed))
    with pytest.raises(Died):
        outbox.deliverer.deliver(ring)

    rebound(outbox)
    outbox.run()

    record = outbox.record()
    assert stands(record) == (RecordState.IN_DOUBT, Reason.LEASE_RAN_OUT)
    with outbox.database.reading() as connection:
        assert attempts.of_record(connection, record.id)[-1]["outcome"] == "in_doubt"

    outbox.wait(minutes=3)
    outbox.run()
    assert outbox.api.operations[-1] == "look_up_participant"


def test_what_was_refused_is_looked_up_and_not_sent_again(known: Outbox) -> None:
    known.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    known.emit(decode({"event": "participant_resumed", "source_id": "E-1"}))
    known.run()
    assert stands(known.record()) == (RecordState.DEAD, Reason.REFUSED)
    problem = known.record().problem
    known.api.calls.clear()

    rebound(known)
    known.run()
    known.wait(seconds=5)
    known.run()

    assert "look_up_participant" in known.api.operations
    assert known.api.writes == []
    assert stands(known.record()) == (RecordState.DEAD, Reason.REFUSED)
    assert known.record().problem == problem


def test_a_rebind_to_what_is_not_here_is_in_shadow_though_it_was_live(known: Outbox) -> None:
    known.emit(decode({"event": "participant_resumed", "source_id": "E-1"}))

    rebound(known, live=False)
    known.run()
    known.wait(seconds=5)
    known.run()

    assert progress(known) is None
    assert stands(known.record()) == (RecordState.WAITING, Reason.SHADOW)
    assert known.api.writes == []


def test_a_record_that_nobody_can_look_up_holds_up_only_itself(known: Outbox) -> None:
    known.emit(
        decode({"event": "participant_deferred", "source_id": "E-9", "reason": "other"}),
        decode({"event": "participant_resumed", "source_id": "E-1"}),
    )
    known.room = 0
    known.round()
    rebound(known)
    known.room = 10
    known.run()
    known.wait(seconds=5)
    known.run()

    assert known.record("E-9").reason is Reason.WAITING_FOR
    assert progress(known) is None
    assert known.api.writes == ["resume"]
