"""Rounds of the relay: claimed by state, shared by any number, dispatched as the quota allows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from outbox import entries, gates
from outbox.folding import FoldedMeanwhile
from outbox.gates import Gate
from outbox.relay import Relay, Ring
from producers import emit
from records import dispatching, store
from runtime.points import Point, listen, unlisten
from schema.asks import Asks
from schema.events import (
    DeclarationMade,
    DeclarationVoided,
    Event,
    MentorChanged,
    ParticipantLinked,
    ParticipantResumed,
    ParticipantWithdrawn,
    decode,
)
from schema.outcomes import Blame, Refused
from schema.states import GateReason, Lane, Reason, RecordState
from tests.support.api import a_refusal
from tests.support.builders import ECT, MENTOR, OTHER_PERSON, PERSON, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import Outbox
from tests.support.threads import at_once


def deferred(source_id: str = "E-1", **more: object) -> Event:
    return decode(
        {"event": "participant_deferred", "source_id": source_id, "reason": "other", **more}
    )


def resumed(source_id: str) -> Event:
    return ParticipantResumed(source_id=source_id)


def to_schedule(schedule: str, source_id: str = "E-1") -> Event:
    return decode(
        {
            "event": "schedule_changed",
            "source_id": source_id,
            "schedule_identifier": schedule,
            "cohort": "2025",
        }
    )


def declared(day: int = 1, source_id: str = "E-1") -> Event:
    return DeclarationMade(
        source_id=source_id,
        declaration_type="started",
        declaration_date=NOON.replace(month=1, day=day),
        evidence_held="other",
    )


# one change


def test_a_change_becomes_one_look_and_one_call(outbox: Outbox) -> None:
    linked = outbox.link()
    changed = outbox.emit(to_schedule("ecf-extended-september"))

    outbox.run()

    assert outbox.api.operations == ["look_up_participant", "change_schedule"]
    assert outbox.how(linked, *changed) == ["noted", "delivered"]
    assert outbox.record().state is RecordState.IN_STEP


def test_what_is_so_already_costs_the_look_and_no_call(outbox: Outbox) -> None:
    outbox.link()
    same = outbox.emit(to_schedule("ecf-standard-september"))

    outbox.run()
    again = outbox.emit(to_schedule("ecf-standard-september"))
    outbox.run()

    assert outbox.api.operations == ["look_up_participant"]
    assert outbox.how(*same, *again) == ["unchanged", "unchanged"]


def test_a_burst_is_one_call_and_the_reasons_add_up(outbox: Outbox) -> None:
    linked = outbox.link()
    burst = outbox.emit(
        to_schedule("ecf-extended-september"),
        to_schedule("ecf-reduced-september"),
        deferred(),
        ParticipantResumed(source_id="E-1"),
        to_schedule("ecf-extended-september"),
        MentorChanged(source_id="E-1", mentor_id=MENTOR),
    )

    outbox.run()

    assert outbox.api.writes == ["change_schedule"]
    assert outbox.how(*burst) == [
        "superseded", "superseded", "net_zero", "net_zero", "delivered", "noted",
    ]  # fmt: skip
    with outbox.database.reading() as connection:
        totals = entries.totals(connection, "default")
    assert totals == {"noted": 2, "superseded": 2, "net_zero": 2, "delivered": 1}
    assert sum(totals.values()) == len([linked, *burst])


def test_a_burst_waits_for_its_settle_time(outbox: Outbox) -> None:
    outbox.link()
    outbox.run()
    outbox.relay = outbox.another_relay(settle=timedelta(seconds=30))
    outbox.emit(deferred())

    outbox.round()
    assert not outbox.rings
    outbox.wait(seconds=29.9)
    outbox.round()
    assert not outbox.rings
    outbox.wait(seconds=0.1)
    outbox.round()
    assert len(outbox.rings) == 1


def test_a_declaration_ends_the_settle_time_of_its_kin(outbox: Outbox) -> None:
    outbox.link()
    outbox.run()
    outbox.relay = outbox.another_relay(settle=timedelta(seconds=30))
    outbox.emit(to_schedule("ecf-extended-september"))
    outbox.round()

    outbox.emit(declared())
    outbox.run()

    assert outbox.api.writes == ["change_schedule", "declare"]


# links and kin


def test_a_record_without_its_link_waits_and_goes_when_the_link_comes(outbox: Outbox) -> None:
    early = outbox.emit(deferred(), declared())
    outbox.run()
    assert outbox.record().waits_for == "link"
    assert outbox.api.calls == []

    outbox.link()
    outbox.run()

    assert outbox.api.writes == ["defer", "declare"]
    assert outbox.how(*early) == ["delivered", "delivered"]


def test_an_event_may_carry_the_link_itself(outbox: Outbox) -> None:
    carried = outbox.emit(deferred(participant_id=PERSON, course_identifier=ECT))

    outbox.run()

    assert outbox.how(*carried) == ["delivered"]


def test_two_local_records_of_one_person_are_never_both_sent(outbox: Outbox) -> None:
    outbox.link("E-1")
    outbox.emit(ParticipantLinked(source_id="E-2", participant_id=PERSON, course_identifier=ECT))
    outbox.emit(deferred("E-1"), deferred("E-2"))

    outbox.run()

    second = outbox.record("E-2")
    assert (second.state, second.reason) == (RecordState.HELD, Reason.SAME_PERSON_TWICE)
    assert second.remote_id is None
    assert outbox.api.writes == ["defer"]


def test_the_second_record_goes_on_once_it_is_linked_to_somebody_else(outbox: Outbox) -> None:
    outbox.api.people[OTHER_PERSON] = an_enrolment()
    outbox.link("E-1")
    wrong = outbox.link("E-2")
    (waiting,) = outbox.emit(deferred("E-2"))
    outbox.run()

    right = outbox.link("E-2", OTHER_PERSON)
    outbox.run()

    assert outbox.record("E-2").state is RecordState.IN_STEP
    assert outbox.how(wrong, waiting, right) == ["superseded", "delivered", "noted"]


def test_a_delivered_record_that_is_linked_anew_is_held(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(deferred())
    outbox.run()

    outbox.link("E-1", OTHER_PERSON)
    outbox.run()

    record = outbox.record()
    assert (record.state, record.reason) == (RecordState.HELD, Reason.RELINKED)
    assert record.remote_id == PERSON


def test_what_was_refused_under_a_wrong_link_goes_once_the_link_is_right(outbox: Outbox) -> None:
    outbox.api.people[OTHER_PERSON] = an_enrolment()
    outbox.api.then(Refused(status=422, refusals=a_refusal("participant_id"), blame=Blame.STATE))
    outbox.link()
    (claim,) = outbox.emit(declared())
    outbox.run()
    assert outbox.record(part="started").state is RecordState.DEAD

    outbox.link("E-1", OTHER_PERSON)
    outbox.run()

    assert outbox.how(claim) == ["delivered"]
    (there,) = outbox.api.declarations.values()
    assert there["participant_id"] == OTHER_PERSON


def test_kin_go_in_the_order_in_which_they_were_asked_for(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(to_schedule("ecf-extended-september"), declared(), deferred())

    outbox.run()

    assert outbox.api.writes == ["change_schedule", "declare", "defer"]


def test_a_claim_made_again_waits_for_the_void_of_the_one_before(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(declared(1))
    outbox.run()

    again = outbox.emit(DeclarationVoided(source_id="E-1", declaration_type="started"), declared(2))
    outbox.run()

    assert outbox.api.writes == ["declare", "void", "declare"]
    assert outbox.how(*again) == ["delivered", "delivered"]
    assert [one["state"] for one in outbox.api.declarations.values()] == ["voided", "submitted"]


def test_another_claim_in_a_live_round_is_held_and_nothing_is_voided_unasked(
    outbox: Outbox,
) -> None:
    outbox.link()
    outbox.emit(declared(1))
    outbox.run()

    outbox.emit(declared(2))
    outbox.run()

    claim = outbox.record(part="started")
    assert (claim.state, claim.reason) == (RecordState.HELD, Reason.VOID_FIRST)
    assert outbox.api.writes == ["declare"]


def test_a_claim_made_and_voided_before_it_was_sent_costs_nothing(outbox: Outbox) -> None:
    outbox.link()
    both = outbox.emit(declared(), DeclarationVoided(source_id="E-1", declaration_type="started"))

    outbox.run()

    assert outbox.api.calls == []
    assert outbox.how(*both) == ["net_zero", "net_zero"]


def test_a_void_of_a_claim_never_seen_here_is_looked_up_first(outbox: Outbox) -> None:
    outbox.link()
    voided = outbox.emit(DeclarationVoided(source_id="E-1", declaration_type="started"))

    outbox.run()

    assert outbox.api.operations == ["find_declaration"]
    assert outbox.how(*voided) == ["unchanged"]


def test_deferred_resumed_withdrawn_is_sent_as_one_withdrawal(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(
        deferred(),
        ParticipantResumed(source_id="E-1"),
        ParticipantWithdrawn(source_id="E-1", reason="other"),
    )

    outbox.run()

    assert outbox.api.writes == ["withdraw"]


# claimed by state


def test_an_entry_that_commits_late_is_picked_up_all_the_same(outbox: Outbox) -> None:
    if outbox.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: none can commit late")
    slow = outbox.database.engine.connect()
    opened = slow.begin()
    early = emit(slow, deferred("E-slow", participant_id=PERSON, course_identifier=ECT))
    quick = outbox.emit(deferred("E-quick"))[0]
    assert early < quick
    outbox.run()
    assert outbox.entries() == {quick: "folded"}

    opened.commit()
    slow.close()
    outbox.wait(seconds=5)
    outbox.run()

    assert outbox.how(early) == ["delivered"]


def test_a_rolled_back_entry_is_never_sent(outbox: Outbox) -> None:
    with outbox.database.engine.connect() as connection, connection.begin() as undone:
        emit(connection, deferred(participant_id=PERSON, course_identifier=ECT))
        undone.rollback()

    outbox.run()

    assert outbox.api.calls == []


def test_a_record_that_became_due_in_the_past_is_found_all_the_same(outbox: Outbox) -> None:
    outbox.room = 1
    for number in range(3):
        outbox.link(f"E-{number}", f"{number}{PERSON[1:]}")
        outbox.emit(deferred(f"E-{number}"))
    outbox.round()
    first = outbox.rings[0].record_id
    outbox.rings.clear()
    with outbox.database.reading() as connection:
        waiting = store.list_open(connection, "default", states=[RecordState.WAITING])
    outbox.set_record(waiting[0], due_at=NOON - timedelta(hours=1))

    outbox.wait(seconds=5)
    outbox.round()

    assert [ring.record_id for ring in outbox.rings] == [waiting[0].id]
    assert waiting[0].id != first


# any number of relays


def a_crowd(outbox: Outbox, number: int) -> list[str]:
    """Link and change so many enrolments, each its own person."""
    people = [f"{place:08d}{PERSON[8:]}" for place in range(number)]
    outbox.api.people = {person: an_enrolment() for person in people}
    outbox.emit(
        *(
            deferred(f"E-{place}", participant_id=person, course_identifier=ECT)
            for place, person in enumerate(people)
        )
    )
    return people


def rounds(relay: Relay) -> Callable[[], int]:
    """Make rounds until nothing is left; gives how many entries were folded."""

    def run() -> int:
        folded = 0
        for _ in range(100):
            try:
                done = relay.run_once()
            except FoldedMeanwhile:
                continue
            folded += done.folded
            if not done.done:
                return folded
        raise AssertionError("it does not come to rest")

    return run


def test_two_relays_share_the_work_and_never_do_it_twice(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.relay.FOLD_BATCH", 7)
    monkeypatch.setattr("outbox.relay.ADMIT_BATCH", 7)
    a_crowd(outbox, 100)
    relays = [outbox.another_relay() for _ in range(2)]

    folded = at_once(*(rounds(relay) for relay in relays))

    assert sum(folded) == 100
    rung = Counter(ring.record_id for ring in outbox.rings)
    assert Counter(rung.values()) == {1: 100}
    outbox.run()
    assert Counter(outbox.entries().values()) == {"delivered": 100}
    assert Counter(outbox.api.writes) == {"defer": 100}


def test_two_relays_meeting_on_one_new_record_make_it_once(outbox: Outbox) -> None:
    relays = [outbox.another_relay() for _ in range(2)]
    for turn in range(10):
        source_id = f"E-{turn}"
        outbox.emit(deferred(source_id), to_schedule("ecf-extended-september", source_id))
        at_once(*(rounds(relay) for relay in relays))

        assert len(outbox.record(source_id).entries()) == 2


def test_what_another_relay_has_locked_is_skipped_not_waited_for(outbox: Outbox) -> None:
    if outbox.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    first, second = outbox.emit(deferred("E-1"), deferred("E-2"))

    with outbox.database.transaction() as other:
        locked = entries.claim_new(other, "default", limit=1)
        with outbox.database.transaction() as connection:
            left = entries.claim_new(connection, "default", limit=10)

    assert [one.id for one in locked] == [first]
    assert [one.id for one in left] == [second]


def test_one_entry_that_cannot_be_folded_goes_to_a_person_and_holds_up_nobody(
    outbox: Outbox,
) -> None:
    asks = outbox.contract.asks

    def asks_or_breaks(event: Event) -> Asks:
        if event.source_id == "E-2":
            raise ZeroDivisionError("a mistake of ours")
        return asks(event)

    outbox.contract = replace(outbox.contract, asks=asks_or_breaks)
    outbox.relay = outbox.another_relay()
    first, broken, last = outbox.emit(deferred("E-1"), deferred("E-2"), deferred("E-3"))

    outbox.run()

    assert outbox.how(first, broken, last) == ["folded"] * 3
    aside = outbox.record("E-2")
    assert (aside.state, aside.reason) == (RecordState.DEAD, Reason.INVALID_HERE)
    assert aside.problem is not None
    assert "ZeroDivisionError" in aside.problem.detail
    assert aside.entries() == {broken}
    assert [outbox.record(one).state for one in ("E-1", "E-3")] == [RecordState.WAITING] * 2


# dispatched as the quota allows


def test_no_more_is_put_on_the_queue_than_the_quota_carries(outbox: Outbox) -> None:
    a_crowd(outbox, 10)
    outbox.room = 3

    outbox.round()

    assert len(outbox.rings) == 3
    with outbox.database.reading() as connection:
        assert dispatching.on_the_queue(connection, "default") == {Lane.LIVE: 3}


def test_the_longest_due_goes_first(outbox: Outbox) -> None:
    a_crowd(outbox, 3)
    outbox.room = 0
    outbox.round()
    last = outbox.record("E-2")
    outbox.set_record(last, due_at=NOON - timedelta(seconds=1))
    outbox.room = 1
    outbox.wait(seconds=5)

    outbox.round()

    assert [ring.record_id for ring in outbox.rings] == [last.id]


def test_what_a_fold_makes_due_is_dispatched_in_the_same_transaction(outbox: Outbox) -> None:
    a_crowd(outbox, 1)
    outbox.run()
    outbox.emit(resumed("E-0"))
    reached: list[Point] = []
    listen(reached.append)

    try:
        outbox.round()
    finally:
        unlisten(reached.append)

    assert reached == [
        Point.FOLD_UNCOMMITTED,
        Point.ADMIT_UNCOMMITTED,
        Point.FOLD_COMMITTED,
        Point.ADMIT_COMMITTED,
        Point.RUNG,
    ]
    assert outbox.deliver() == ["settled"]


def test_what_is_due_already_goes_before_what_a_fold_makes_due(outbox: Outbox) -> None:
    a_crowd(outbox, 3)
    outbox.run()
    outbox.room = 0
    outbox.emit(resumed("E-0"), resumed("E-1"))
    outbox.round()
    outbox.room = 1
    outbox.emit(resumed("E-2"))

    outbox.round()

    assert [ring.record_id for ring in outbox.rings] == [outbox.record("E-0").id]


def test_a_lost_ring_is_rung_again_with_a_new_token(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(deferred())
    outbox.round()
    lost = outbox.rings.popleft()

    outbox.wait(seconds=14.9)
    outbox.round()
    assert not outbox.rings
    outbox.wait(seconds=0.2)
    outbox.round()

    (again,) = outbox.rings
    assert (again.record_id, again.token > lost.token) == (lost.record_id, True)
    assert outbox.deliver() == ["settled"]


def test_a_queue_that_cannot_be_reached_loses_nothing(outbox: Outbox) -> None:
    def away(rings: Sequence[Ring]) -> None:
        raise ConnectionError

    outbox.link()
    outbox.emit(deferred())
    relay = Relay(
        database=outbox.database,
        contract=outbox.contract,
        destination="default",
        clock=outbox.clock,
        timing=outbox.timing,
        settle=timedelta(0),
        dispatch=away,
        room=lambda lane, on_the_queue: 10,
    )

    assert relay.run_once().dispatched == 0
    outbox.wait(seconds=15.1)
    outbox.run()

    assert list(outbox.entries().values()) == ["noted", "delivered"]


def test_nothing_is_dispatched_while_the_gate_is_shut(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(deferred())
    with outbox.database.transaction() as connection:
        gates.shut(
            connection,
            "default",
            Gate(reason=GateReason.PAUSED, until=NOON + timedelta(minutes=1), since=NOON),
        )

    outbox.round()
    assert not outbox.rings
    outbox.wait(minutes=1)
    outbox.round()

    assert len(outbox.rings) == 1


def test_entries_of_another_destination_are_left_to_its_relay(outbox: Outbox) -> None:
    other = outbox.emit(deferred(destination="elsewhere"))

    outbox.run()

    assert outbox.how(*other) == ["new"]
