"""An event into what is wanted, entry by entry."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from records.conflict import conflicts
from records.fold import (
    INVALID,
    LINK,
    Change,
    Folded,
    accept,
    fold,
    fold_link,
    fold_unreadable,
    release,
)
from schema.asks import Expect, Link, MoveTo, SetField
from schema.fingerprint import Json
from schema.keys import EntryId, RemoteId
from schema.record import Expectation, Record
from schema.states import Closed, Reason, RecordState
from tests.support.builders import (
    ECT,
    OTHER_PERSON,
    PERSON,
    SETTLE,
    a_change,
    a_mark,
    a_move,
    a_record,
    a_stamp,
    a_wish,
    an_enrolment,
    to_schedule,
    to_status,
)
from tests.support.clock import NOON

STATUS = "training_status"


def agrees(name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
    return accepted.get(name) == wanted


def folded(record: Record, *changes: Change) -> Folded:
    """Fold changes one after the other; gives the record, and everything that closed."""
    closed: dict[EntryId, Closed] = {}
    for change in changes:
        one = fold(record, change, agrees=agrees, status_field=STATUS, now=NOON)
        assert not closed.keys() & one.closed.keys(), "an entry ended twice"
        record = one.record
        closed.update(one.closed)
    return Folded(record=record, closed=closed)


def known(**differs: Json) -> Record:
    """A record whose other side is known."""
    return a_record(accepted=an_enrolment(**differs))


def steps(record: Record) -> list[str]:
    return [move.to for move in record.path]


# fields


def test_a_changed_field_is_pending_on_what_is_accepted() -> None:
    after = folded(known(), a_change(7, to_schedule("ecf-extended-september")))

    assert after.closed == {}
    assert after.record.pending == {
        "schedule_identifier": a_wish("ecf-extended-september", 7, base="ecf-standard-september")
    }
    assert (after.record.state, after.record.reason) == (RecordState.WAITING, Reason.SETTLING)
    assert after.record.due_at == NOON + SETTLE
    assert after.record.oldest_entry == 7


def test_what_is_so_already_is_unchanged_and_makes_nothing_due() -> None:
    after = folded(known(), a_change(7, to_schedule("ecf-standard-september")))

    assert after.closed == {7: Closed.UNCHANGED}
    assert (after.record.state, after.record.due_at) == (RecordState.IN_STEP, None)


def test_a_newer_value_supersedes_the_one_not_sent() -> None:
    after = folded(
        known(),
        a_change(7, to_schedule("ecf-extended-september")),
        a_change(8, to_schedule("ecf-reduced-september")),
    )

    assert after.closed == {7: Closed.SUPERSEDED}
    assert after.record.wanted("schedule_identifier") == "ecf-reduced-september"


def test_there_and_back_before_sending_is_net_zero_for_both() -> None:
    after = folded(
        known(),
        a_change(7, to_schedule("ecf-extended-september")),
        a_change(8, to_schedule("ecf-standard-september")),
    )

    assert after.closed == {7: Closed.NET_ZERO, 8: Closed.NET_ZERO}
    assert after.record.state is RecordState.IN_STEP


@pytest.mark.parametrize("state", [RecordState.TAKEN, RecordState.IN_DOUBT])
def test_back_again_is_kept_while_a_call_may_have_landed(state: RecordState) -> None:
    in_flight = a_record(
        accepted=an_enrolment(),
        state=state,
        pending={"schedule_identifier": a_wish("ecf-extended-september", 7)},
        mark=a_mark(7, fields={"schedule_identifier": "ecf-extended-september"}),
    )

    after = folded(in_flight, a_change(8, to_schedule("ecf-standard-september")))

    assert after.closed == {}
    assert after.record.wanted("schedule_identifier") == "ecf-standard-september"
    assert after.record.state is state


def test_without_anything_known_the_base_is_unknown() -> None:
    after = folded(a_record(), a_change(7, to_schedule("ecf-extended-september")))

    assert after.record.pending["schedule_identifier"].base_known is False


def test_a_burst_is_sent_one_settle_time_after_its_first_edit() -> None:
    edited = folded(known(), a_change(7, to_schedule("ecf-extended-september"))).record
    later = NOON + timedelta(seconds=20)

    after = fold(
        edited,
        a_change(8, to_schedule("ecf-reduced-september")),
        agrees=agrees,
        status_field=STATUS,
        now=later,
    )

    assert after.record.due_at == NOON + SETTLE


def test_a_wish_that_waits_for_something_else_is_due_again_by_a_newer_one() -> None:
    parked = a_record(
        accepted=an_enrolment(),
        state=RecordState.WAITING,
        reason=Reason.SNOOZED,
        due_at=NOON + timedelta(hours=9),
        pending={"schedule_identifier": a_wish("ecf-extended-september", 7)},
    )

    after = folded(parked, a_change(8, to_schedule("ecf-reduced-september")))

    assert (after.record.reason, after.record.due_at) == (Reason.SETTLING, NOON + SETTLE)


@pytest.mark.parametrize("state", [RecordState.DEAD, RecordState.HELD])
def test_a_newer_wish_heals_what_was_put_aside_and_gives_it_fresh_tries(
    state: RecordState,
) -> None:
    aside = a_record(
        accepted=an_enrolment(),
        state=state,
        reason=Reason.REFUSED,
        tries=4,
        calls=3,
        allowance=3,
        pending={"schedule_identifier": a_wish("ecf-extended-september", 7)},
    )

    after = folded(aside, a_change(8, to_schedule("ecf-reduced-september"))).record

    assert (after.state, after.tries, after.calls, after.allowance) == (
        RecordState.WAITING,
        0,
        0,
        None,
    )


def test_what_asks_for_nothing_new_leaves_a_dead_letter_where_it_is() -> None:
    dead = a_record(
        accepted=an_enrolment(),
        state=RecordState.DEAD,
        reason=Reason.REFUSED,
        tries=4,
        pending={"schedule_identifier": a_wish("ecf-extended-september", 7)},
    )

    after = folded(dead, a_change(8, SetField(name="cohort", value="2025")))

    assert after.closed == {8: Closed.UNCHANGED}
    assert (after.record.state, after.record.tries) == (RecordState.DEAD, 4)


# which of two events is the later one


def test_a_field_yields_only_to_a_later_entry() -> None:
    after = folded(
        known(),
        a_change(8, to_schedule("ecf-reduced-september")),
        a_change(7, to_schedule("ecf-extended-september")),
    )

    assert after.closed == {7: Closed.SUPERSEDED}
    assert after.record.wanted("schedule_identifier") == "ecf-reduced-september"


def test_within_a_source_that_gives_versions_the_version_decides() -> None:
    after = folded(
        known(),
        a_change(7, to_schedule("ecf-reduced-september"), version=5),
        a_change(8, to_schedule("ecf-extended-september"), version=4),
    )

    assert after.closed == {8: Closed.SUPERSEDED}


def test_versions_of_two_sources_say_nothing_about_each_other() -> None:
    after = folded(
        known(),
        a_change(7, to_schedule("ecf-reduced-september"), version=5, source="one"),
        a_change(8, to_schedule("ecf-extended-september"), version=4, source="two"),
    )

    assert after.closed == {7: Closed.SUPERSEDED}


def test_what_happened_earlier_does_not_take_a_field_back() -> None:
    after = folded(
        known(),
        a_change(7, to_schedule("ecf-reduced-september"), happened_at=NOON),
        a_change(8, to_schedule("ecf-extended-september"), happened_at=NOON - timedelta(seconds=1)),
    )

    assert after.closed == {8: Closed.SUPERSEDED}


def test_a_late_event_yields_to_the_later_word_also_once_that_was_accepted() -> None:
    settled = a_record(
        accepted=an_enrolment(schedule_identifier="ecf-reduced-september"),
        stamps={"schedule_identifier": a_stamp(7, happened_at=NOON)},
    )

    after = folded(
        settled,
        a_change(8, to_schedule("ecf-extended-september"), happened_at=NOON - timedelta(seconds=1)),
    )

    assert after.closed == {8: Closed.SUPERSEDED}
    assert after.record.state is RecordState.IN_STEP


def test_order_is_kept_per_field() -> None:
    after = folded(
        known(),
        a_change(8, to_schedule("ecf-reduced-september")),
        a_change(7, to_schedule("ecf-extended-september"), SetField(name="cohort", value="2024")),
    )

    assert after.closed == {}
    assert {name: wish.value for name, wish in after.record.pending.items()} == {
        "schedule_identifier": "ecf-reduced-september",
        "cohort": "2024",
    }


def test_the_same_entry_twice_is_the_same_as_once() -> None:
    change = a_change(7, to_schedule("ecf-extended-september"), to_status("deferred", "other"))
    once = fold(known(), change, agrees=agrees, status_field=STATUS, now=NOON)

    twice = fold(once.record, change, agrees=agrees, status_field=STATUS, now=NOON)

    assert (twice.record.pending, twice.record.path) == (once.record.pending, once.record.path)
    assert twice.closed == {}


# moves


def test_moves_are_kept_in_order_with_their_reasons() -> None:
    after = folded(
        known(),
        a_change(7, to_status("deferred", "bereavement")),
        a_change(8, to_status("withdrawn", "other")),
    )

    assert after.closed == {}
    assert after.record.path == (
        a_move("deferred", 7, "bereavement"),
        a_move("withdrawn", 8, "other"),
    )


def test_deferred_and_resumed_before_sending_is_net_zero() -> None:
    after = folded(
        known(), a_change(7, to_status("deferred", "other")), a_change(8, to_status("active"))
    )

    assert after.closed == {7: Closed.NET_ZERO, 8: Closed.NET_ZERO}
    assert (after.record.path, after.record.state) == ((), RecordState.IN_STEP)


def test_a_loop_inside_a_path_cancels_and_the_rest_stays() -> None:
    after = folded(
        known(),
        a_change(7, to_status("deferred", "other")),
        a_change(8, to_status("withdrawn", "other")),
        a_change(9, to_status("deferred", "other")),
    )

    assert after.closed == {8: Closed.NET_ZERO, 9: Closed.NET_ZERO}
    assert steps(after.record) == ["deferred"]


def test_the_same_move_again_keeps_the_newer_reason() -> None:
    after = folded(
        known(),
        a_change(7, to_status("deferred", "other")),
        a_change(8, to_status("deferred", "bereavement")),
    )

    assert after.closed == {7: Closed.SUPERSEDED}
    assert after.record.path == (a_move("deferred", 8, "bereavement"),)


def test_a_move_to_where_it_stands_is_unchanged_whatever_its_reason() -> None:
    deferred = known(training_status="deferred", status_reason="bereavement")

    after = folded(deferred, a_change(7, to_status("deferred", "other")))

    assert after.closed == {7: Closed.UNCHANGED}


def test_while_nothing_is_known_a_way_back_is_kept() -> None:
    after = folded(
        a_record(), a_change(7, to_status("deferred", "other")), a_change(8, to_status("active"))
    )

    assert after.closed == {}
    assert steps(after.record) == ["deferred", "active"]


def test_a_move_in_flight_is_never_cancelled() -> None:
    in_flight = a_record(
        accepted=an_enrolment(),
        state=RecordState.TAKEN,
        path=(a_move("deferred", 7, "other"),),
        path_base="active",
        mark=a_mark(7, moves=True),
    )

    after = folded(in_flight, a_change(8, to_status("active")))

    assert after.closed == {}
    assert steps(after.record) == ["deferred", "active"]


def test_a_move_that_a_later_one_says_again_is_superseded_however_late_it_comes() -> None:
    withdrawn, resumed, deferred = (to_status(one) for one in ("withdrawn", "active", "deferred"))

    after = folded(
        a_record(),
        *(a_change(2, withdrawn), a_change(5, resumed), a_change(6, deferred)),
        a_change(4, deferred),
    )

    assert steps(after.record) == ["withdrawn", "active", "deferred"]
    assert after.closed == {4: Closed.SUPERSEDED}


def test_a_move_that_is_older_than_all_that_wait_is_superseded() -> None:
    after = folded(known(), a_change(24, to_status("deferred")), a_change(3, to_status("active")))

    assert (steps(after.record), after.closed) == (["deferred"], {3: Closed.SUPERSEDED})


def test_a_move_beside_a_doubt_about_something_else_stands_on_the_status_as_it_was() -> None:
    doubtful = known().but(mark=a_mark(3, fields={"cohort": "2026"}), look_first=True)

    asked = folded(doubtful, a_change(7, to_status("active")), a_change(8, to_status("deferred")))
    assert asked.closed == {7: Closed.UNCHANGED}
    assert (steps(asked.record), asked.record.path_base) == (["deferred"], "active")

    seen = accept(
        asked.record.but(mark=None, look_first=False),
        an_enrolment(training_status="withdrawn"),
        agrees=agrees,
        status_field=STATUS,
        now=NOON,
    )
    assert seen.record.reason is Reason.CONFLICT


def test_moves_after_one_in_flight_still_cancel_among_themselves() -> None:
    in_flight = a_record(
        accepted=an_enrolment(),
        state=RecordState.TAKEN,
        path=(a_move("deferred", 7, "other"),),
        path_base="active",
        mark=a_mark(7, moves=True),
    )

    after = folded(
        in_flight,
        a_change(8, to_status("active")),
        a_change(9, to_status("withdrawn", "other")),
        a_change(10, to_status("active")),
    )

    assert after.closed == {9: Closed.NET_ZERO, 10: Closed.NET_ZERO}
    assert steps(after.record) == ["deferred", "active"]


# links


def linking(entry: int, person: str = PERSON) -> Change:
    return a_change(entry, Link(remote_id=RemoteId(person), role=ECT))


def test_a_first_link_is_noted() -> None:
    after = folded(a_record(remote_id=None, role=None), linking(7))

    assert after.closed == {7: Closed.NOTED}
    assert (after.record.remote_id, after.record.role) == (PERSON, ECT)


def test_the_same_link_again_is_unchanged() -> None:
    after = folded(a_record(remote_id=None, role=None), linking(7), linking(8))

    assert after.closed == {7: Closed.NOTED, 8: Closed.UNCHANGED}


def test_before_anything_was_delivered_a_link_may_be_corrected() -> None:
    after = folded(a_record(remote_id=None, role=None), linking(7), linking(8, OTHER_PERSON))

    assert after.closed == {7: Closed.NOTED, 8: Closed.NOTED}
    assert after.record.remote_id == OTHER_PERSON


def test_a_new_link_of_a_delivered_record_stands_in_front_of_a_person() -> None:
    after = folded(known(), linking(7, OTHER_PERSON))

    assert after.closed == {}
    assert after.record.remote_id == PERSON
    assert after.record.pending[LINK].value == [OTHER_PERSON, ECT]


def test_the_old_link_said_again_takes_the_new_one_back() -> None:
    after = folded(known(), linking(7, OTHER_PERSON), linking(8))

    assert after.closed == {7: Closed.SUPERSEDED, 8: Closed.UNCHANGED}
    assert (after.record.pending, after.record.state) == ({}, RecordState.IN_STEP)


def test_a_late_link_does_not_take_a_later_one_back() -> None:
    after = folded(a_record(remote_id=None, role=None), linking(8, OTHER_PERSON), linking(7))

    assert after.closed == {8: Closed.NOTED, 7: Closed.SUPERSEDED}
    assert after.record.remote_id == OTHER_PERSON


def test_a_link_that_a_kin_carries_wakes_what_waits_for_it() -> None:
    waiting = a_record(
        remote_id=None,
        role=None,
        state=RecordState.WAITING,
        reason=Reason.WAITING_FOR,
        waits_for="link",
        due_at=NOON + timedelta(minutes=10),
        pending={"schedule_identifier": a_wish("ecf-extended-september", 3, base_known=False)},
    )

    linked = fold_link(waiting, [Link(remote_id=RemoteId(PERSON), role=ECT)], linking(7), NOON)
    after = linked.record

    assert (after.remote_id, after.waits_for) == (PERSON, None)
    assert after.due_at == NOON + SETTLE


# expectations


def expecting(entry: int, value: str) -> Change:
    return a_change(entry, Expect(name="mentor_id", value=value))


def test_what_is_theirs_is_expected_and_never_pending() -> None:
    after = folded(known(), expecting(7, "new-mentor"))

    assert after.closed == {7: Closed.NOTED}
    assert after.record.expected == {
        "mentor_id": Expectation(value="new-mentor", entry=EntryId(7), since=NOON)
    }
    assert after.record.state is RecordState.IN_STEP


def test_what_is_expected_and_there_already_is_confirmed() -> None:
    after = folded(known(mentor_id="new-mentor"), expecting(7, "new-mentor"))

    assert after.closed == {7: Closed.CONFIRMED}
    assert after.record.expected == {}


# snapshots


def snapshot(entry: int, source: str = "local", **state: str) -> Change:
    asks = [SetField(name=name, value=value) for name, value in state.items()]
    return a_change(entry, *asks, snapshot=True, source=source)


def test_a_snapshot_speaks_only_for_what_differs_from_the_last_one() -> None:
    after = folded(
        known(),
        snapshot(7, schedule_identifier="ecf-extended-september", cohort="2025"),
        a_change(8, to_schedule("ecf-reduced-september"), source="another"),
        snapshot(9, schedule_identifier="ecf-extended-september", cohort="2024"),
    )

    assert after.closed == {7: Closed.SUPERSEDED}
    assert {name: wish.value for name, wish in after.record.pending.items()} == {
        "schedule_identifier": "ecf-reduced-september",
        "cohort": "2024",
    }


def test_the_same_snapshot_again_is_unchanged() -> None:
    state = {"schedule_identifier": "ecf-extended-september"}

    after = folded(known(), snapshot(7, **state), snapshot(8, **state))

    assert after.closed == {8: Closed.UNCHANGED}


def test_a_snapshot_from_before_the_last_one_is_superseded_whole() -> None:
    after = folded(
        known(),
        snapshot(8, schedule_identifier="ecf-extended-september"),
        snapshot(7, schedule_identifier="ecf-reduced-september", cohort="2024"),
    )

    assert after.closed == {7: Closed.SUPERSEDED}
    assert after.record.pending.keys() == {"schedule_identifier"}


def test_snapshots_of_two_sources_are_compared_each_with_its_own() -> None:
    after = folded(
        known(),
        snapshot(7, "one", schedule_identifier="ecf-extended-september"),
        snapshot(8, "two", schedule_identifier="ecf-standard-september"),
    )

    assert after.closed == {7: Closed.NET_ZERO, 8: Closed.NET_ZERO}


# what cannot be read


def test_what_cannot_be_read_stands_beside_the_rest_of_its_record() -> None:
    pending = folded(known(), a_change(7, to_schedule("ecf-extended-september"))).record

    after = fold_unreadable(pending, a_change(8), "entry 8: reason: is missing", NOON)

    assert after.entries() == {7, 8}
    assert after.pending[f"{INVALID}:8"].value == "entry 8: reason: is missing"


SEQUENCES: Sequence[tuple[str, Sequence[Change], dict[int, str]]] = (
    (
        "one event of many parts ends with the weightiest of their reasons",
        [
            a_change(7, to_schedule("ecf-standard-september"), Expect(name="mentor_id", value="m")),
        ],
        {7: "unchanged"},
    ),
    (
        "an event is carried until its last part is settled",
        [
            a_change(7, to_schedule("ecf-extended-september"), to_status("deferred", "other")),
            a_change(8, to_schedule("ecf-standard-september")),
        ],
        {8: "net_zero"},
    ),
)


@pytest.mark.parametrize(
    ("changes", "closed"),
    [pytest.param(changes, closed, id=name) for name, changes, closed in SEQUENCES],
)
def test_an_entry_ends_when_its_last_part_has(
    changes: Sequence[Change], closed: dict[int, str]
) -> None:
    assert folded(known(), *changes).closed == closed


# our last word


def spoken(**words: Json) -> Record:
    """A record whose schedule they have changed since we had ours delivered."""
    accepted = an_enrolment(schedule_identifier="ecf-standard-april")
    said: dict[str, Json] = {"schedule_identifier": "ecf-extended-september", **words}
    return a_record(accepted=accepted, words=said)


def test_our_last_word_said_again_has_that_word_for_its_base() -> None:
    again = folded(spoken(), a_change(7, to_schedule("ecf-extended-september"))).record
    newer = folded(spoken(), a_change(7, to_schedule("ecf-reduced-september"))).record

    assert conflicts(again, agrees, STATUS)["schedule_identifier"].sides == (
        "ecf-extended-september",
        "ecf-extended-september",
        "ecf-standard-april",
    )
    assert conflicts(newer, agrees, STATUS) == {}


def test_a_newer_word_in_between_does_not_make_the_last_delivered_one_new() -> None:
    after = folded(
        spoken(),
        a_change(7, to_schedule("ecf-reduced-september")),
        a_change(8, to_schedule("ecf-extended-september")),
    )

    assert after.closed == {7: Closed.SUPERSEDED}
    assert conflicts(after.record, agrees, STATUS).keys() == {"schedule_identifier"}


def test_theirs_said_by_us_as_well_is_no_conflict_and_our_word_from_then_on() -> None:
    after = folded(spoken(), a_change(7, to_schedule("ecf-standard-april")))

    assert after.closed == {7: Closed.UNCHANGED}
    assert after.record.words["schedule_identifier"] == "ecf-standard-april"


def test_a_last_word_said_again_before_they_are_known_is_judged_by_the_first_read() -> None:
    unknown = a_record(words={"schedule_identifier": "ecf-extended-september"})
    again = folded(unknown, a_change(7, to_schedule("ecf-extended-september"))).record

    def read(schedule: str) -> Record:
        accepted = an_enrolment(schedule_identifier=schedule)
        return accept(again, accepted, agrees=agrees, status_field=STATUS, now=NOON).record

    assert read("ecf-standard-april").reason is Reason.CONFLICT
    assert read("ecf-extended-september").state is RecordState.IN_STEP


@pytest.mark.parametrize(
    ("reason", "conflict"), [("other", True), ("bereavement", False)], ids=["again", "another act"]
)
def test_a_status_asked_for_again_word_for_word_is_a_conflict_where_they_moved_it(
    reason: str, conflict: bool
) -> None:
    record = a_record(accepted=an_enrolment(), words={STATUS: ["deferred", "other"]})

    after = folded(record, a_change(7, to_status("deferred", reason))).record

    assert (STATUS in conflicts(after, agrees, STATUS)) == conflict


def test_a_schedule_refused_beside_a_status_in_conflict_leaves_the_conflict() -> None:
    record = a_record(
        accepted=an_enrolment(),
        words={STATUS: ["deferred", "other"]},
        mark=a_mark(6, fields={"cohort": "2024"}),
    )
    asked = folded(record, a_change(7, to_status("deferred", "other"))).record

    after = release(asked)

    assert (after.closed, steps(after.record)) == ({6: Closed.SUPERSEDED}, ["deferred"])


def test_what_was_delivered_is_our_last_word() -> None:
    asked = folded(
        known(),
        a_change(7, to_schedule("ecf-extended-september")),
        a_change(8, to_status("deferred", "other")),
    ).record
    there = an_enrolment(schedule_identifier="ecf-extended-september", training_status="deferred")

    after = accept(asked, there, agrees=agrees, status_field=STATUS, now=NOON).record

    assert after.words == {
        "schedule_identifier": "ecf-extended-september",
        STATUS: ["deferred", "other"],
    }


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_a_whole_state_that_repeats_an_act_takes_nothing_of_it_back(
    first: bool, second: bool
) -> None:
    after = folded(
        known(training_status="withdrawn"),
        a_change(7, MoveTo(status="active", reason=None, explicit=first)),
        a_change(8, MoveTo(status="active", reason=None, explicit=second)),
    )

    assert [move.explicit for move in after.record.path] == [True]
