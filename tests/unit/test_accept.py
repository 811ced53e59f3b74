"""What the other side says, against what is wanted."""

from collections.abc import Mapping
from typing import Any

import pytest

from records.fold import Folded, accept, refuse_link, release
from schema.contract import ABSENT
from schema.fingerprint import Json
from schema.keys import EntryId, RemoteId
from schema.record import Expectation, Lock, Record
from schema.states import Closed, Reason, RecordState
from tests.support.builders import (
    a_mark,
    a_move,
    a_record,
    a_stamp,
    a_wish,
    an_enrolment,
)
from tests.support.clock import NOON

STATUS = "training_status"
WANTED = "ecf-extended-september"


def agrees(name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
    return accepted.get(name) == wanted


def answered(record: Record, accepted: Mapping[str, Json]) -> Folded:
    return accept(record, accepted, agrees=agrees, status_field=STATUS, now=NOON)


def sent(value: str = WANTED, entry: int = 7, **more: object) -> Record:
    """A record whose schedule change is under way."""
    values: dict[str, Any] = {
        "accepted": an_enrolment(),
        "state": RecordState.TAKEN,
        "pending": {"schedule_identifier": a_wish(value, entry, base="ecf-standard-september")},
        "mark": a_mark(entry, fields={"schedule_identifier": value}),
        **more,
    }
    return a_record(**values)


def moving(*path: str, marked: bool = True, **more: object) -> Record:
    """A record whose path is under way, from active."""
    moves = tuple(a_move(to, entry, "other") for entry, to in enumerate(path, 7))
    values: dict[str, Any] = {
        "accepted": an_enrolment(),
        "state": RecordState.TAKEN,
        "path": moves,
        "path_base": "active",
        "mark": a_mark(7, moves=True) if marked else None,
        **more,
    }
    return a_record(**values)


def test_what_was_answered_as_asked_is_delivered() -> None:
    after = answered(sent(), an_enrolment(schedule_identifier=WANTED))

    assert after.closed == {7: Closed.DELIVERED}
    assert (after.record.state, after.record.mark) == (RecordState.IN_STEP, None)


def test_a_read_that_shows_what_we_want_costs_no_call() -> None:
    pending = a_record(
        state=RecordState.TAKEN,
        look_first=True,
        pending={"schedule_identifier": a_wish(WANTED, 7, base_known=False)},
    )

    after = answered(pending, an_enrolment(schedule_identifier=WANTED))

    assert after.closed == {7: Closed.UNCHANGED}
    assert (after.record.state, after.record.look_first) == (RecordState.IN_STEP, False)


def test_the_first_read_becomes_the_base() -> None:
    pending = a_record(pending={"schedule_identifier": a_wish(WANTED, 7, base_known=False)})

    after = answered(pending, an_enrolment()).record

    assert after.pending["schedule_identifier"] == a_wish(WANTED, 7, base="ecf-standard-september")
    assert (after.state, after.due_at) == (RecordState.WAITING, NOON)


def test_a_field_moved_away_from_its_base_is_a_conflict() -> None:
    pending = a_record(
        accepted=an_enrolment(),
        pending={"schedule_identifier": a_wish(WANTED, 7, base="ecf-standard-september")},
    )

    after = answered(pending, an_enrolment(schedule_identifier="ecf-standard-april"))

    assert after.closed == {}
    assert (after.record.state, after.record.reason) == (RecordState.DEAD, Reason.CONFLICT)
    assert after.record.problem is not None
    assert after.record.problem.detail == (
        "schedule_identifier was ecf-standard-september when we asked for ecf-extended-september, "
        "and the other side has made it ecf-standard-april meanwhile"
    )


def test_a_change_of_theirs_to_a_field_nobody_asked_for_is_simply_accepted() -> None:
    pending = a_record(
        accepted=an_enrolment(),
        pending={"schedule_identifier": a_wish(WANTED, 7, base="ecf-standard-september")},
    )

    after = answered(pending, an_enrolment(cohort="2024", mentor_id="another")).record

    assert after.state is RecordState.WAITING
    assert after.accepted == an_enrolment(cohort="2024", mentor_id="another")


def test_our_own_earlier_write_is_no_conflict_for_the_wish_that_followed_it() -> None:
    newer = sent()
    newer = a_record(
        accepted=newer.accepted,
        state=RecordState.TAKEN,
        mark=newer.mark,
        pending={
            "schedule_identifier": a_wish("ecf-reduced-september", 8, base="ecf-standard-september")
        },
    )

    after = answered(newer, an_enrolment(schedule_identifier=WANTED))

    assert after.closed == {7: Closed.DELIVERED}
    assert after.record.state is RecordState.WAITING
    assert after.record.pending["schedule_identifier"] == a_wish(
        "ecf-reduced-september", 8, base=WANTED
    )


def test_a_wish_for_what_was_there_before_follows_the_write_it_takes_back() -> None:
    back = a_record(
        accepted=an_enrolment(),
        state=RecordState.TAKEN,
        mark=a_mark(7, fields={"schedule_identifier": WANTED}),
        pending={
            "schedule_identifier": a_wish(
                "ecf-standard-september", 8, base="ecf-standard-september"
            )
        },
    )

    after = answered(back, an_enrolment(schedule_identifier=WANTED))

    assert after.closed == {7: Closed.DELIVERED}
    assert after.record.wanted("schedule_identifier") == "ecf-standard-september"
    assert after.record.state is RecordState.WAITING


def test_an_answer_that_does_not_show_what_was_sent_delivers_nothing() -> None:
    after = answered(sent(), an_enrolment())

    assert after.closed == {}
    assert after.record.entries() == {7}
    assert after.record.state is RecordState.WAITING


def test_a_move_that_was_made_leaves_the_path() -> None:
    after = answered(moving("deferred", "withdrawn"), an_enrolment(training_status="deferred"))

    assert after.closed == {7: Closed.DELIVERED}
    assert [move.to for move in after.record.path] == ["withdrawn"]
    assert after.record.path_base == "deferred"


def test_a_read_may_show_that_several_moves_were_made() -> None:
    after = answered(
        moving("deferred", "withdrawn", marked=False), an_enrolment(training_status="withdrawn")
    )

    assert after.closed == {7: Closed.UNCHANGED, 8: Closed.UNCHANGED}
    assert after.record.state is RecordState.IN_STEP


def test_a_move_that_was_not_made_stays() -> None:
    after = answered(moving("deferred"), an_enrolment())

    assert after.closed == {}
    assert [move.to for move in after.record.path] == ["deferred"]


def test_a_way_back_cancels_once_a_look_shows_that_the_first_move_was_not_made() -> None:
    after = answered(moving("deferred", "active"), an_enrolment())

    assert after.closed == {7: Closed.NET_ZERO, 8: Closed.NET_ZERO}
    assert after.record.state is RecordState.IN_STEP


def test_a_status_that_is_on_no_path_of_ours_is_a_conflict() -> None:
    after = answered(moving("deferred", marked=False), an_enrolment(training_status="withdrawn"))

    assert (after.record.state, after.record.reason) == (RecordState.DEAD, Reason.CONFLICT)
    assert after.record.entries() == {7}


def test_what_was_expected_and_has_come_is_expected_no_more() -> None:
    expecting = a_record(
        accepted=an_enrolment(),
        expected={"mentor_id": Expectation(value="new", entry=EntryId(7), since=NOON)},
    )

    assert answered(expecting, an_enrolment(mentor_id="new")).record.expected == {}
    assert answered(expecting, an_enrolment()).record.expected.keys() == {"mentor_id"}


def test_in_step_means_a_fresh_start() -> None:
    worn = sent(
        tries=3,
        calls=2,
        takes=2,
        allowance=3,
        first_try_at=NOON,
        already="f",
        locks={
            "data": Lock(fingerprint="data", data=True, cause="c"),
            "state": Lock(fingerprint="state", data=False, cause="c"),
        },
    )

    after = answered(worn, an_enrolment(schedule_identifier=WANTED)).record

    assert (after.tries, after.calls, after.takes, after.allowance) == (0, 0, 0, None)
    assert after.locks.keys() == {"data"}, "the same bad data stays the same bad data"
    assert (after.already, after.first_try_at, after.problem) == (None,) * 3


def test_the_remote_id_of_a_create_is_kept_and_never_replaced() -> None:
    created = accept(
        a_record(remote_id=None),
        {"state": "submitted"},
        agrees=agrees,
        status_field=None,
        now=NOON,
        remote_id=RemoteId("d-1"),
    )
    again = accept(
        created.record,
        {"state": "submitted"},
        agrees=agrees,
        status_field=None,
        now=NOON,
        remote_id=RemoteId("d-2"),
    )

    assert (created.record.remote_id, again.record.remote_id) == ("d-1", "d-1")


def test_nothing_there_is_something_known() -> None:
    pending = a_record(pending={"schedule_identifier": a_wish(WANTED, 7, base_known=False)})

    after = answered(pending, ABSENT).record

    assert after.accepted == {"state": "absent"}
    assert after.pending["schedule_identifier"] == a_wish(WANTED, 7)


# a call that had no effect


def test_released_a_way_back_cancels() -> None:
    after = release(moving("deferred", "active"))

    assert after.closed == {7: Closed.NET_ZERO, 8: Closed.NET_ZERO}
    assert after.record.mark is None


def test_released_what_only_the_call_still_carried_is_superseded() -> None:
    in_flight = a_record(
        accepted=an_enrolment(),
        pending={"schedule_identifier": a_wish("ecf-reduced-september", 8)},
        mark=a_mark(7, fields={"schedule_identifier": WANTED}),
    )

    assert release(in_flight).closed == {7: Closed.SUPERSEDED}


def test_released_what_is_still_wanted_is_carried_on() -> None:
    after = release(sent())

    assert after.closed == {}
    assert after.record.entries() == {7}


def test_a_link_that_another_record_has_is_taken_off_and_shown() -> None:
    linked = a_record(stamps={"@link": a_stamp(7)}, serial_key="s")

    refused = refuse_link(linked)

    assert (refused.remote_id, refused.role, refused.serial_key) == (None, None, None)
    assert refused.pending["@link"].value == [linked.remote_id, linked.role]
    assert refused.entries() == {7}


@pytest.mark.parametrize("state", [RecordState.DEAD, RecordState.HELD])
def test_a_read_that_shows_what_we_want_ends_what_was_put_aside(state: RecordState) -> None:
    aside = a_record(
        accepted=an_enrolment(),
        state=state,
        reason=Reason.REFUSED,
        calls=1,
        pending={"schedule_identifier": a_wish(WANTED, 7, base="ecf-standard-september")},
    )

    after = answered(aside, an_enrolment(schedule_identifier=WANTED))

    assert (after.record.state, after.record.problem) == (RecordState.IN_STEP, None)
    assert after.closed == {7: Closed.DELIVERED}
