"""A message is a ring at the door: the row decides."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from outbox.relay import Ring
from records import dispatching, holding, store
from schema.events import DeclarationMade, Event, ParticipantDeferred
from schema.keys import LeaseToken
from schema.states import RecordState
from tests.support.builders import ECT, PERSON
from tests.support.clock import NOON
from tests.support.outbox import Outbox
from tests.support.threads import at_once

UNTIL = NOON + timedelta(minutes=2)


def deferred() -> Event:
    return ParticipantDeferred(
        source_id="E-1", reason="other", participant_id=PERSON, course_identifier=ECT
    )


def a_ring(outbox: Outbox) -> Ring:
    outbox.emit(deferred())
    outbox.round()
    return outbox.rings.popleft()


def take(outbox: Outbox, ring: Ring) -> bool:
    with outbox.database.transaction() as connection:
        return holding.take(connection, ring.record_id, ring.token, until=UNTIL) is not None


def test_a_ring_is_exchanged_for_a_lease_with_a_token_of_its_own(outbox: Outbox) -> None:
    ring = a_ring(outbox)

    with outbox.database.transaction() as connection:
        taken = holding.take(connection, ring.record_id, ring.token, until=UNTIL)

    assert taken is not None
    assert (taken.state, taken.lease_until, taken.takes) == (RecordState.TAKEN, UNTIL, 1)
    assert taken.token == ring.token + 1
    assert outbox.record() == taken


def test_a_doubled_message_finds_nothing(outbox: Outbox) -> None:
    ring = a_ring(outbox)
    outbox.rings.extend([ring, ring, ring])

    assert outbox.deliver() == ["settled", "stale", "stale"]


def test_of_many_threads_with_one_message_one_takes_it(outbox: Outbox) -> None:
    ring = a_ring(outbox)

    taken = at_once(*[lambda: take(outbox, ring)] * 6)

    assert sorted(taken) == [False] * 5 + [True]


def test_a_message_from_before_is_stale(outbox: Outbox) -> None:
    old = a_ring(outbox)
    outbox.wait(seconds=15.1)
    outbox.round()
    new = outbox.rings.popleft()

    assert outbox.deliverer.deliver(old) == "stale"
    assert outbox.deliverer.deliver(new) == "settled"


def test_a_message_for_a_record_that_is_not_there_is_stale(outbox: Outbox) -> None:
    ring = a_ring(outbox)

    assert not take(outbox, replace(ring, record_id=ring.record_id + 1_000))


def test_a_write_under_a_stale_token_changes_nothing(outbox: Outbox) -> None:
    ring = a_ring(outbox)
    assert take(outbox, ring)
    held = outbox.record()

    with outbox.database.transaction() as connection:
        late = holding.update_held(connection, replace(held, tries=9), LeaseToken(held.token - 1))
        stale = replace(held, token=ring.token)
        marked = holding.put_mark(connection, stale, None, until=UNTIL, generation=1)

    assert (late, marked) == (False, False)
    assert outbox.record() == held


def two_of_one_person(outbox: Outbox) -> list[Ring]:
    """Rings for an enrolment and a claim of it, both dispatched behind admission's back."""
    outbox.emit(
        deferred(),
        DeclarationMade(
            source_id="E-1",
            declaration_type="started",
            declaration_date=NOON - timedelta(days=30),
            evidence_held="other",
        ),
    )
    outbox.room = 0
    outbox.round()
    with outbox.database.transaction() as connection:
        waiting = store.list_open(connection, "default", states=[RecordState.WAITING])
        same = [replace(one, serial_key=f"{PERSON}/{ECT}") for one in waiting]
        marked = dispatching.dispatch_all(connection, same, until=UNTIL)
    return [Ring(record_id=one.id, token=one.token, lane=one.lane) for one in marked]


def test_two_records_of_one_real_thing_are_never_both_taken(outbox: Outbox) -> None:
    for _ in range(10):
        rings = two_of_one_person(outbox) if not outbox.rings else list(outbox.rings)

        taken = at_once(*[lambda ring=ring: take(outbox, ring) for ring in rings])

        assert sorted(taken) == [False, True]
        with outbox.database.transaction() as connection:
            connection.execute(text("DELETE FROM outbox_entry"))
            connection.execute(text("DELETE FROM mapping"))
            connection.execute(text("DELETE FROM record"))


def test_the_second_of_them_is_rung_again_and_goes_afterwards(outbox: Outbox) -> None:
    first, second = two_of_one_person(outbox)
    assert take(outbox, first)
    assert outbox.deliverer.deliver(second) == "stale"

    outbox.wait(minutes=2, seconds=1)
    outbox.room = 10
    outbox.run()

    assert sorted(outbox.entries().values()) == ["delivered", "delivered"]


def test_the_table_itself_refuses_a_second_taken_record_of_one_real_thing(
    outbox: Outbox,
) -> None:
    first, second = two_of_one_person(outbox)
    assert take(outbox, first)

    with pytest.raises(IntegrityError):
        outbox.set_record(
            replace(outbox.record(), id=second.record_id), state="taken", lease_until=UNTIL
        )


def test_a_take_that_had_to_wait_for_a_change_sees_its_kin_as_they_are_after_it(
    outbox: Outbox,
) -> None:
    if outbox.database.is_sqlite:
        pytest.skip(
            "SQLite has one writer at a time: nobody reads before a change and waits for it"
        )
    ring = two_of_one_person(outbox)[0]

    def take_it() -> holding.Taken | None:
        with outbox.database.at_once() as connection:
            return holding.take_with_kin(
                connection,
                ring.record_id,
                ring.token,
                until=UNTIL,
                open_at=NOON,
                generation=1,
                key_name="default",
            )

    with ThreadPoolExecutor(1) as pool:
        with outbox.database.transaction() as connection:
            family = store.of_family(connection, "default", outbox.record().family, lock=True)
            changed = [one.but(revision=one.revision + 1, calls=7) for one in family]
            store.update_all(connection, changed)
            taking = pool.submit(take_it)
            until(lambda: taking.done() or waits_for_a_lock(outbox))
        found = taking.result(timeout=30)

    assert found is not None
    assert (found.record.state, found.record.calls) == (RecordState.TAKEN, 7)
    assert [one.calls for one in found.kin] == [7]


def waits_for_a_lock(outbox: Outbox) -> bool:
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with outbox.database.reading() as connection:
        return bool(connection.execute(query).scalar_one())


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)
