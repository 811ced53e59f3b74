"""What a record is once nothing that was accepted is believed any more, and whether a write may leave."""

from datetime import timedelta
from typing import Any

import pytest

from gateway.contracts import guidance, lead_provider_v3
from outbox.admission import ASLEEP_FOR, Close, Decision, Go, Park, with_leave
from outbox.bindings import same_database
from outbox.rebind import doubted
from schema.addresses import leads_here
from schema.keys import LeaseToken, RecordKey, RemoteId
from schema.record import Record
from schema.states import Lane, Reason, RecordState, Writes
from tests.support.builders import (
    a_claim,
    a_look,
    a_mark,
    a_record,
    a_wish,
    a_write,
    an_enrolment,
)
from tests.support.clock import NOON
from tests.support.outbox import TIMING

V3 = lead_provider_v3.CONTRACT
LATER = NOON + timedelta(minutes=1)


def now_doubted(record: Record, contract: Any = V3) -> Record:
    return doubted(record, contract, timing=TIMING, now=LATER)


# leave


@pytest.mark.parametrize(
    ("writes", "reason"), [(Writes.SHADOW, Reason.SHADOW), (Writes.REBOUND, Reason.REBOUND)]
)
def test_a_write_without_leave_sleeps_and_names_its_operation(
    writes: Writes, reason: Reason
) -> None:
    asleep = Park(reason=reason, due_at=NOON + ASLEEP_FOR, waits_for="defer")

    assert with_leave(Go(call=a_write()), writes, NOON) == asleep


@pytest.mark.parametrize(
    "decision",
    [Go(call=a_look()), Close(), Park(reason=Reason.SNOOZED, due_at=LATER)],
    ids=["a read", "nothing", "a wait"],
)
@pytest.mark.parametrize("writes", Writes)
def test_whatever_is_no_write_needs_no_leave(decision: Decision, writes: Writes) -> None:
    assert with_leave(decision, writes, NOON) is decision


def test_a_write_with_leave_goes() -> None:
    go = Go(call=a_write())

    assert with_leave(go, Writes.ALLOWED, NOON) is go


# doubted


def test_what_is_in_step_is_looked_up_in_the_lane_that_has_time() -> None:
    after = now_doubted(a_record(accepted=an_enrolment()))

    assert (after.state, after.reason, after.due_at) == (
        RecordState.WAITING,
        Reason.LOOK_FIRST,
        LATER,
    )
    assert (after.look_first, after.lane) == (True, Lane.BULK)


@pytest.mark.parametrize("state", [RecordState.WAITING, RecordState.HELD, RecordState.DEAD])
def test_what_is_pending_is_looked_up_first_and_keeps_its_base(state: RecordState) -> None:
    wish = a_wish("2024", 7, base="2025")
    record = a_record(
        state=state, reason=Reason.REFUSED, accepted=an_enrolment(), pending={"cohort": wish}
    )

    after = now_doubted(record)

    assert (after.state, after.look_first, after.lane) == (RecordState.WAITING, True, Lane.LIVE)
    assert after.pending == {"cohort": wish}


@pytest.mark.parametrize(
    "state", [RecordState.TAKEN, RecordState.DISPATCHED, RecordState.WAITING, RecordState.IN_DOUBT]
)
def test_a_mark_becomes_a_doubt_that_is_looked_up_after_its_quarantine(state: RecordState) -> None:
    record = a_record(state=state, mark=a_mark(7), lease_until=LATER, token=LeaseToken(4))

    after = now_doubted(record)

    assert (after.state, after.reason) == (RecordState.IN_DOUBT, Reason.LEASE_RAN_OUT)
    assert after.due_at == TIMING.safe_to_look(a_mark(7))
    assert after.mark == record.mark
    assert (after.token, after.lease_until) == (5, None)


@pytest.mark.parametrize("state", [RecordState.TAKEN, RecordState.DISPATCHED])
def test_who_holds_a_record_loses_it(state: RecordState) -> None:
    record = a_record(state=state, lease_until=LATER, token=LeaseToken(4), revision=2)

    after = now_doubted(record)

    assert (after.state, after.token, after.revision) == (RecordState.WAITING, 5, 3)


def test_a_claim_that_was_never_sent_may_not_be_assumed_to_be_absent() -> None:
    claim = a_claim(state=RecordState.WAITING, pending={"state": a_wish("submitted", 7)})
    parent = a_record(accepted=an_enrolment())

    plan = V3.plan(now_doubted(claim), [parent], LATER)

    assert getattr(plan, "operation", None) == "find_declaration"


def test_a_partnership_that_was_never_sent_is_searched_for() -> None:
    record = a_record(
        key=RecordKey("partnership", "P-7"),
        state=RecordState.WAITING,
        pending={
            "cohort": a_wish("2025", 7),
            "school_id": a_wish("s", 7),
            "delivery_partner_id": a_wish("d", 7),
        },
    )

    plan = V3.plan(now_doubted(record), [], LATER)

    assert getattr(plan, "operation", None) == "find_partnership"


def test_what_was_never_called_for_stays_as_it_is() -> None:
    record = a_record(remote_id=None, role=None)

    assert now_doubted(record) is record


def test_what_cannot_be_looked_up_stays_and_a_person_is_asked_before_its_next_call() -> None:
    record = a_record(
        key=RecordKey("participant", "E-1"),
        family="participant:E-1",
        remote_id=RemoteId("r-1"),
        accepted={"full_name": "A"},
    )

    after = now_doubted(record, guidance.CONTRACT)

    assert (after.state, after.look_first) == (RecordState.IN_STEP, True)
    wish = {"full_name": a_wish("B", 7)}
    plan = guidance.CONTRACT.plan(after.but(pending=wish), [], LATER)
    assert getattr(plan, "reason", None) is Reason.DOES_NOT_SETTLE


# where it is


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:4010/api/v3", True),
        ("http://127.9.9.9/api", True),
        ("http://[::1]:4010/api", True),
        ("http://localhost:4010/api", True),
        ("https://localhost.example/api", False),
        ("https://127.0.0.1.example/api", False),
        ("https://user@127.0.0.1@api.example/", False),
        ("https://api.example/127.0.0.1", False),
        ("https://0.0.0.0/api", False),
        ("https://10.0.0.1/api", False),
        ("https://[::1", False),
        ("127.0.0.1", False),
    ],
)
def test_only_an_address_of_this_computer_is_here(url: str, here: bool) -> None:
    assert leads_here(url) is here


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("file:/a/b.db#1", "file:/a/b.db#1", True),
        ("file:/a/b.db#1", "file:/a/b.db#2", False),
        ("file:/a/b.db#1", "file:/c/b.db#1", False),
        ("file:/a/b.db#1", "file:/a/b.db", True),
        ("cluster:7/5/9", "cluster:7/5/9", True),
        ("cluster:7/5/9", "cluster:8/5/9", False),
        ("cluster:7/5/9", "cluster:7/6/9", False),
        ("cluster:7/5/9", "cluster:7/5/8", False),
        ("cluster:?/5/9", "cluster:7/5/9", True),
        ("cluster:?/5/9", "cluster:7/6/9", False),
        ("cluster:7/5", "cluster:7/5/9", True),
        ("file:/a", "cluster:7/5/9", False),
    ],
)
def test_a_database_is_known_again_by_all_that_it_tells(one: str, other: str, same: bool) -> None:
    assert same_database(one, other) is same
    assert same_database(other, one) is same
