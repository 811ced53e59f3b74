"""Faults that the thousand events brought to light, each in its smallest form."""

from collections.abc import Mapping
from datetime import UTC, datetime

from console.views import verdict
from gateway.contracts import lead_provider_v3
from outbox.admission import Close
from outbox.decided import settled_without_call
from records.fold import normalise
from schema.fingerprint import Json
from schema.keys import EntryId, RecordId, RecordKey, RemoteId
from schema.plans import Hold
from schema.record import Move, Pending, Record, Stamp
from schema.states import Closed, Reason, RecordState

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTRACT = lead_provider_v3.CONTRACT
STANDING: Mapping[str, Json] = {
    "state": "eligible",
    "declaration_date": "2025-09-24T09:00:00Z",
    "evidence_held": "other",
}


def _stamp(entry: int) -> Stamp:
    return Stamp(entry=EntryId(entry), source="local")


def _claim_found_with_another_date() -> Record:
    return Record(
        id=RecordId(1),
        destination="default",
        key=RecordKey("declaration", "E-1", "started", 1),
        family="enrolment:E-1",
        remote_id=RemoteId("0a88cf3a-4b18-565e-a78b-e651fd3721d0"),
        pending={
            "declaration_date": Pending(
                value="2025-09-30T09:00:00Z",
                stamp=_stamp(1),
                base=STANDING["declaration_date"],
                base_known=True,
            )
        },
        accepted=STANDING,
        oldest_entry=EntryId(1),
    )


def test_a_claim_that_stands_there_with_another_date_is_held_for_a_void() -> None:
    plan = CONTRACT.plan(_claim_found_with_another_date(), [], NOW)

    assert isinstance(plan, Hold)
    assert (plan.reason, plan.field) == (Reason.VOID_FIRST, "declaration_date")


def test_a_record_that_differs_with_nothing_to_send_is_put_aside_instead_of_going_round() -> None:
    record, closed = settled_without_call(_claim_found_with_another_date(), Close(), CONTRACT, NOW)

    assert (record.state, record.reason) == (RecordState.HELD, Reason.DOES_NOT_SETTLE)
    assert closed == {}


def test_a_loop_back_to_an_unsent_move_leaves_the_newer_one_with_its_reason() -> None:
    moves = [
        Move(to=to, reason=reason, stamp=_stamp(entry))
        for entry, (to, reason) in enumerate(
            [("deferred", "other"), ("active", None), ("deferred", "parental-leave")], 1
        )
    ]

    path, reasons = normalise(None, moves)

    assert [(move.to, move.reason) for move in path] == [("deferred", "parental-leave")]
    assert reasons == {EntryId(1): Closed.NET_ZERO, EntryId(2): Closed.NET_ZERO}


def test_a_record_that_waits_for_an_event_nobody_sent_says_for_which() -> None:
    key = RecordKey("enrolment", "E-1")
    waiting = Record(
        id=RecordId(1),
        destination="default",
        key=key,
        family=str(key),
        reason=Reason.WAITING_FOR,
        waits_for="resume",
    )

    assert "training to be resumed" in verdict(waiting, NOW)
