"""The gates of a key and of a destination: what they stop, and who tries them again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import event

from outbox import bindings, gates
from outbox.bindings import Binding
from outbox.gates import Gates
from outbox.standing import Ajar, Barred, Gate, Open
from records import holding
from runtime import metrics
from schema.events import DeclarationMade
from schema.keys import EntryId
from schema.outcomes import InDoubt, KeyRefused, Throttled, Transient
from schema.plans import Plan
from schema.record import Record
from schema.states import GateReason, Reason, RecordState
from tests.support.api import Scripted
from tests.support.builders import ECT
from tests.support.clock import NOON
from tests.support.outbox import Outbox
from tests.support.threads import at_once

MINUTE = timedelta(minutes=1)
OURS = Gates(destination="default", key_name="default")
NEIGHBOUR = Gates(destination="neighbour", key_name="default")


def a_claim(
    source_id: str,
    *,
    day: datetime = NOON,
    participant_id: str | None = str(UUID(int=2)),
    destination: str = "default",
) -> DeclarationMade:
    return DeclarationMade(
        source_id=source_id,
        participant_id=participant_id,
        course_identifier=ECT if participant_id else None,
        declaration_type="started",
        declaration_date=day,
        evidence_held="other",
        destination=destination,
    )


def declared(outbox: Outbox, *numbers: int, destination: str = "default") -> list[EntryId]:
    """Commit a claim of its own person for each number: one call each, in any order."""
    return outbox.emit(
        *[
            a_claim(f"E-{one}", participant_id=str(UUID(int=one + 1)), destination=destination)
            for one in numbers
        ]
    )


def shut(
    outbox: Outbox, reason: GateReason, length: timedelta | None, name: str = "default"
) -> None:
    now = outbox.clock.now()
    with outbox.database.transaction() as connection:
        until = None if length is None else now + length
        gates.shut(connection, name, Gate(reason=reason, until=until, since=now))


def known(outbox: Outbox) -> list[Gate]:
    with outbox.database.reading() as connection:
        return gates.on_the_way(connection, "default", "default")


def claims(outbox: Outbox) -> list[tuple[RecordState, Reason | None, int, int]]:
    """How each claim stands: state, reason, tries, takes."""
    return [
        (one.state, one.reason, one.tries, one.takes)
        for one in outbox.records()
        if one.key.kind == "declaration"
    ]


# several reasons


@pytest.mark.parametrize("pause_first", [True, False])
def test_a_pause_and_a_throttle_each_hold_until_their_own_end(
    outbox: Outbox, pause_first: bool
) -> None:
    order = [(GateReason.PAUSED, MINUTE), (GateReason.THROTTLED, 5 * MINUTE)]
    for reason, length in order if pause_first else reversed(order):
        shut(outbox, reason, length)
    declared(outbox, 1, 2)

    def reasons() -> list[GateReason]:
        with outbox.database.reading() as connection:
            standing = OURS.standing(connection, outbox.clock.now())
        return [one.reason for one in standing.gates] if isinstance(standing, Barred) else []

    assert reasons() == [GateReason.PAUSED, GateReason.THROTTLED]
    outbox.wait(minutes=1)
    outbox.run()
    assert (reasons(), outbox.api.calls) == ([GateReason.THROTTLED], [])
    with outbox.database.transaction() as connection:
        still = gates.resume(connection, "default", "default", outbox.clock.now(), throttle=False)
    assert [one.reason for one in still] == [GateReason.THROTTLED]
    outbox.wait(minutes=4)
    outbox.run()
    assert len(outbox.api.calls) == 2


def test_a_pause_outlasts_the_throttle_it_came_after(outbox: Outbox) -> None:
    shut(outbox, GateReason.THROTTLED, MINUTE)
    shut(outbox, GateReason.PAUSED, None)
    declared(outbox, 1)

    outbox.wait(hours=1)
    outbox.run()

    assert (outbox.api.calls, outbox.pace.asked) == ([], 0)


def test_destinations_with_one_key_share_its_throttle_and_not_a_pause(outbox: Outbox) -> None:
    with outbox.database.transaction() as connection:
        wanted = Binding(
            destination="neighbour",
            contract="guidance",
            url="http://127.0.0.1:9",
            key_name="default",
            database_id="here",
        )
        bindings.bind(connection, wanted, now=NOON, live=True)
    relay = outbox.another_relay(gates=NEIGHBOUR)
    deliverer = outbox.another_deliverer(gates=NEIGHBOUR)
    declared(outbox, 1)
    declared(outbox, 2, 3, destination="neighbour")
    shut(outbox, GateReason.PAUSED, None)
    outbox.api.then(Throttled(retry_after=MINUTE))

    relay.run_once()
    assert [deliverer.deliver(outbox.rings.popleft()) for _ in range(2)] == ["settled", "gate"]
    outbox.round()
    assert not outbox.rings
    with outbox.database.reading() as connection:
        ours = OURS.standing(connection, outbox.clock.now())
        elsewhere = Gates(destination="third", key_name="another").standing(
            connection, outbox.clock.now()
        )
    assert isinstance(ours, Barred)
    assert {one.reason for one in ours.gates} == {GateReason.PAUSED, GateReason.THROTTLED}
    assert elsewhere == Open()

    outbox.wait(minutes=1)
    for _ in range(3):
        relay.run_once()
        while outbox.rings:
            deliverer.deliver(outbox.rings.popleft())
    assert len(outbox.api.calls) == 3


# the probe


def throttled(outbox: Outbox, number: int) -> list[EntryId]:
    """Have so many claims waiting behind a 429 whose time has just come."""
    entries = declared(outbox, *range(number))
    outbox.api.then(Throttled(retry_after=MINUTE))
    outbox.round()
    outbox.deliver()
    assert len(outbox.api.calls) == 1
    outbox.api.calls.clear()
    outbox.wait(minutes=1)
    return entries


def test_after_a_throttle_one_call_goes_and_then_all(outbox: Outbox) -> None:
    entries = throttled(outbox, 6)

    outbox.round()
    outbox.round()
    assert len(outbox.rings) == 1
    assert outbox.deliver() == ["settled"]
    assert (len(outbox.api.calls), known(outbox)) == (1, [])
    outbox.round()
    assert len(outbox.rings) == 5
    outbox.run()

    assert outbox.how(*entries) == ["delivered"] * 6
    assert len(outbox.api.calls) == 6


def test_a_429_on_the_probe_shuts_the_gate_again_and_costs_nobody_a_try(outbox: Outbox) -> None:
    throttled(outbox, 4)
    outbox.api.then(Throttled(retry_after=2 * MINUTE))

    outbox.run()

    assert len(outbox.api.calls) == 1
    (gate,) = known(outbox)
    assert (gate.turn, gate.until) == (2, outbox.clock.now() + 2 * MINUTE)
    assert gate.probe is None
    assert claims(outbox) == [(RecordState.WAITING, Reason.GATE, 0, 0)] * 4
    assert [ended for _, ended in outbox.pace.ended] == ["refused", "refused"]


def test_without_a_word_of_the_server_a_throttle_lasts_to_its_next_window(outbox: Outbox) -> None:
    declared(outbox, 1)
    outbox.api.server_date = NOON + timedelta(seconds=200)
    outbox.api.then(Throttled(retry_after=None))

    outbox.run()

    (gate,) = known(outbox)
    assert gate.until is not None
    assert 100.5 <= (gate.until - NOON).total_seconds() <= 105
    assert outbox.pace.booked == gate.until - NOON


def test_of_many_workers_with_rings_in_hand_one_makes_the_probe(outbox: Outbox) -> None:
    entries = declared(outbox, *range(8))
    outbox.round()
    shut(outbox, GateReason.THROTTLED, timedelta(seconds=1))
    outbox.wait(seconds=1)
    at_it: list[int] = []

    def meanwhile() -> None:
        at_it.append(len(outbox.api.calls))

    outbox.api.then(Scripted(outcome=Throttled(retry_after=MINUTE), meanwhile=meanwhile))
    deliverers = [outbox.another_deliverer() for _ in range(8)]
    rings = [outbox.rings.popleft() for _ in range(8)]
    ended = at_once(
        *[
            lambda deliverer=deliverer, ring=ring: deliverer.deliver(ring)
            for deliverer, ring in zip(deliverers, rings, strict=True)
        ]
    )

    assert sorted(ended) == ["gate"] * 7 + ["settled"]
    assert (len(outbox.api.calls), at_it, outbox.pace.asked) == (1, [1], 1)
    assert claims(outbox) == [(RecordState.WAITING, Reason.GATE, 0, 0)] * 8
    outbox.wait(minutes=1)
    outbox.run()
    assert outbox.how(*entries) == ["delivered"] * 8


def test_a_probe_whose_worker_dies_is_made_by_another_when_its_lease_is_over(
    outbox: Outbox,
) -> None:
    entries = throttled(outbox, 2)
    outbox.round()
    ring, now = outbox.rings.popleft(), outbox.clock.now()
    with outbox.database.transaction() as connection:
        holding.take(connection, ring.record_id, ring.token, until=now + 2 * MINUTE)
        standing = OURS.standing(connection, now)
        assert isinstance(standing, Ajar)
        assert OURS.claim(connection, standing, "one that dies", now=now, until=now + 2 * MINUTE)
    outbox.wait(minutes=1, seconds=59)
    outbox.run()
    assert outbox.api.calls == []

    outbox.wait(seconds=2)
    outbox.run()

    assert outbox.how(*entries) == ["delivered"] * 2


def test_a_probe_that_needs_no_call_leaves_the_next_one_to_another(outbox: Outbox) -> None:
    throttled(outbox, 2)
    outbox.pace.answers.append(MINUTE)

    outbox.round()
    assert outbox.deliver() == ["no_slot"]
    assert [gate.probe for gate in known(outbox)] == [None]
    outbox.run()

    assert len(outbox.api.calls) == 1


# the breaker


FAULT = Transient(detail="no connection")


def down(outbox: Outbox, number: int = 10, *, spare: int = 5) -> list[EntryId]:
    """Let so many calls fail in a row, by two workers in turn."""
    entries = declared(outbox, *range(number + spare))
    other = outbox.another_deliverer()
    outbox.room = number
    outbox.api.then(*[FAULT] * number)
    outbox.round()
    for turn in range(number):
        (other if turn % 2 else outbox.deliverer).deliver(outbox.rings.popleft())
    outbox.room = 1_000
    return entries


def test_failures_in_a_row_stop_a_destination_before_its_quota_is_asked(outbox: Outbox) -> None:
    down(outbox)
    (gate,) = known(outbox)
    assert (gate.reason, gate.turn) == (GateReason.BREAKER, 1)
    assert gate.until == NOON + timedelta(seconds=30)

    asked = outbox.pace.asked
    outbox.wait(seconds=29)
    outbox.run()

    assert (len(outbox.api.calls), outbox.pace.asked) == (10, asked)
    assert sorted(tries for _, _, tries, _ in claims(outbox)) == [0] * 5 + [1] * 10


def test_nine_failures_do_not(outbox: Outbox) -> None:
    down(outbox, 9)

    assert known(outbox) == []


def test_probes_of_a_throttle_that_nobody_answers_count_too(outbox: Outbox) -> None:
    throttled(outbox, 15)
    outbox.api.then(*[FAULT] * 15)

    outbox.run()

    assert len(outbox.api.calls) == 10
    assert {gate.reason for gate in known(outbox)} == {GateReason.BREAKER, GateReason.THROTTLED}


def fail(outbox: Outbox, number: int) -> None:
    """Let so many of the records that are due fail, whichever they are."""
    outbox.room = number
    outbox.api.then(*[FAULT] * number)
    outbox.round()
    assert len(outbox.deliver()) == number


def test_an_answer_in_between_begins_the_count_anew(outbox: Outbox) -> None:
    down(outbox, 9)
    outbox.room = 1
    outbox.round()
    assert outbox.deliver() == ["settled"]
    outbox.wait(seconds=3)
    fail(outbox, 9)
    assert known(outbox) == []

    fail(outbox, 1)

    assert [gate.reason for gate in known(outbox)] == [GateReason.BREAKER]


def test_failures_of_long_ago_and_calls_never_made_do_not_count(outbox: Outbox) -> None:
    down(outbox, 9)
    outbox.wait(seconds=61)
    fail(outbox, 9)
    outbox.wait(seconds=3)
    outbox.pace.good = False
    outbox.room = 5
    outbox.round()
    assert outbox.deliver() == ["moved_on"] * 5
    assert known(outbox) == []

    outbox.pace.good = True
    fail(outbox, 1)

    assert [gate.reason for gate in known(outbox)] == [GateReason.BREAKER]


def test_a_breaker_waits_longer_while_its_probe_fails_and_opens_when_it_does_not(
    outbox: Outbox,
) -> None:
    entries = down(outbox)
    ends: list[float] = []
    for _ in range(3):
        (gate,) = known(outbox)
        assert gate.until is not None
        ends.append((gate.until - outbox.clock.now()).total_seconds())
        outbox.wait(seconds=ends[-1])
        outbox.api.calls.clear()
        outbox.api.then(InDoubt(detail="answered 500", answered=True))
        outbox.run()
        assert len(outbox.api.calls) == 1
    assert ends == [30, 60, 120]

    outbox.wait(minutes=4)
    outbox.run()

    assert known(outbox) == []
    assert outbox.how(*entries) == ["delivered"] * 15


def test_the_probe_is_a_record_that_has_failed_the_least(outbox: Outbox) -> None:
    down(outbox, spare=0)
    outbox.wait(seconds=30)
    declared(outbox, 50)

    outbox.round()

    (ring,) = outbox.rings
    (record,) = [one for one in outbox.records() if one.id == ring.record_id]
    assert (str(record.key), record.tries) == ("declaration:E-50:started:1", 0)


def test_only_a_delivery_that_fails_asks_the_gates(outbox: Outbox) -> None:
    seen: list[str] = []

    def note(_c: object, _u: object, statement: str, *_: object) -> None:
        if "gate" in statement and not statement.startswith("UPDATE record"):
            seen.append(statement)

    declared(outbox, 1, 2)
    outbox.round()
    first, second = outbox.rings
    event.listen(outbox.database.engine, "before_cursor_execute", note)
    outbox.deliverer.deliver(first)
    after_success = list(seen)
    outbox.api.then(FAULT)
    outbox.deliverer.deliver(second)
    event.remove(outbox.database.engine, "before_cursor_execute", note)

    assert after_success == []
    assert len(seen) == 1


# the key


class Key:
    """A key that is changed by hand."""

    def __init__(self) -> None:
        self.now = "old"

    def __call__(self) -> str:
        return self.now


def with_key(outbox: Outbox) -> Key:
    key = Key()
    ours = replace(OURS, key_print=key)
    outbox.relay = outbox.another_relay(gates=ours)
    outbox.deliverer = outbox.another_deliverer(gates=ours)
    return key


@pytest.mark.parametrize("status", [401, 403, 0])
def test_a_refused_key_is_tried_again_only_once_it_is_another(outbox: Outbox, status: int) -> None:
    key = with_key(outbox)
    entries = declared(outbox, 1, 2, 3)
    outbox.api.then(KeyRefused(status=status), KeyRefused(status=401))
    outbox.run()
    outbox.wait(hours=1)
    outbox.run()
    assert len(outbox.api.calls) == 1

    key.now = "wrong too"
    outbox.run()
    outbox.wait(hours=1)
    outbox.run()
    assert len(outbox.api.calls) == 2
    assert claims(outbox) == [(RecordState.WAITING, Reason.GATE, 0, 0)] * 3

    key.now = "right"
    outbox.round()
    assert len(outbox.rings) == 1
    outbox.run()
    assert outbox.how(*entries) == ["delivered"] * 3
    assert known(outbox) == []


def test_a_person_lets_a_refused_key_be_tried_by_one_call(outbox: Outbox) -> None:
    with_key(outbox)
    declared(outbox, 1, 2, 3)
    outbox.api.then(KeyRefused(status=401), KeyRefused(status=401))
    outbox.run()

    with outbox.database.transaction() as connection:
        gates.resume(connection, "default", "default", outbox.clock.now(), throttle=False)
    outbox.run()

    assert len(outbox.api.calls) == 2
    assert [(gate.reason, gate.until) for gate in known(outbox)] == [(GateReason.KEY_REFUSED, None)]


# too late


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Throttled(retry_after=10 * MINUTE), GateReason.THROTTLED),
        (KeyRefused(status=401), GateReason.KEY_REFUSED),
    ],
)
def test_an_answer_too_late_for_its_record_still_shuts_the_gate(
    outbox: Outbox, outcome: Throttled | KeyRefused, reason: GateReason
) -> None:
    def frozen() -> None:
        outbox.wait(minutes=2, seconds=1)
        outbox.round()

    before = metrics.read()["late_settles_total"]
    declared(outbox, 1)
    outbox.api.then(Scripted(outcome=outcome, meanwhile=frozen))
    outbox.round()

    assert outbox.deliver() == ["late"]
    assert [gate.reason for gate in known(outbox)] == [reason]
    assert metrics.read()["late_settles_total"] == before + 1


# what needs no call


def test_what_needs_no_call_is_decided_though_none_can_be_made(outbox: Outbox) -> None:
    (first,) = declared(outbox, 1)
    outbox.run()
    assert outbox.how(first) == ["delivered"]
    outbox.api.calls.clear()
    planned = _counting(outbox)
    relay = outbox.another_relay()
    shut(outbox, GateReason.PAUSED, None)
    declared(outbox, *range(10, 40))
    outbox.emit(a_claim("E-1", day=NOON - timedelta(days=1)), a_claim("E-99", participant_id=None))

    for _ in range(20):
        relay.run_once()

    assert outbox.api.calls == []
    by_key = {str(one.key): (one.state, one.reason) for one in outbox.records()}
    assert by_key.pop("declaration:E-1:started:1") == (RecordState.HELD, Reason.VOID_FIRST)
    parked = (RecordState.WAITING, Reason.WAITING_FOR)
    assert by_key.pop("declaration:E-99:started:1") == parked
    waiting = [how for how in by_key.values() if how == (RecordState.WAITING, Reason.GATE)]
    assert len(waiting) == 30
    assert len(planned) == 32, "each was decided about once"


def _counting(outbox: Outbox) -> list[str]:
    """Count what is planned from here on."""
    planned: list[str] = []
    plan = outbox.contract.plan

    def counted(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
        planned.append(str(record.key))
        return plan(record, kin, now)

    outbox.contract = replace(outbox.contract, plan=counted)
    return planned


def test_a_full_quota_holds_up_only_what_needs_a_call(outbox: Outbox) -> None:
    outbox.room = 0
    declared(outbox, 1)
    outbox.round()
    assert claims(outbox) == [(RecordState.WAITING, Reason.QUOTA, 0, 0)]

    outbox.room = 10
    outbox.run()

    assert claims(outbox) == [(RecordState.IN_STEP, None, 0, 0)]
