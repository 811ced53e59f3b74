"""Which reads may say something of a record, and what."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from records.fold import Folded
from records.reads import LastCall, Seen, in_hand, is_newest, take_over
from schema.fingerprint import Json
from schema.record import Record
from schema.states import Closed, Reason, RecordState
from tests.support.builders import a_mark, a_record, a_wish, an_enrolment
from tests.support.clock import NOON
from tests.unit.test_accept import WANTED, agrees

SECOND = timedelta(seconds=1)
SAFE = NOON + timedelta(seconds=160)
THERE = an_enrolment(schedule_identifier=WANTED)


def read(
    record: Record,
    began: datetime,
    accepted: dict[str, Json],
    *,
    last: LastCall | None = None,
    safe: datetime | None = None,
) -> Folded | None:
    seen = Seen(accepted=accepted, began=began)
    if not is_newest(record, seen, last):
        return None
    return take_over(
        record,
        seen,
        safe_to_look=safe,
        agrees=agrees,
        status_field="training_status",
        now=NOON + timedelta(hours=1),
    )


def known(**more: Any) -> Record:
    values: dict[str, Any] = {"accepted": an_enrolment(), "accepted_at": NOON, **more}
    return a_record(**values)


def doubtful() -> Record:
    return known(
        state=RecordState.IN_DOUBT,
        reason=Reason.NO_ANSWER,
        look_first=True,
        pending={"schedule_identifier": a_wish(WANTED, 7, base="ecf-standard-september")},
        mark=a_mark(7, fields={"schedule_identifier": WANTED}),
    )


@pytest.mark.parametrize(
    ("began", "last", "counts"),
    [
        pytest.param(NOON + SECOND, None, True, id="after the last read"),
        pytest.param(NOON, None, False, id="no later than the last read"),
        pytest.param(NOON - SECOND, None, False, id="before the last read"),
        pytest.param(NOON + SECOND, LastCall(ended_at=NOON), True, id="after our last call"),
        pytest.param(
            NOON + SECOND, LastCall(ended_at=NOON + SECOND), False, id="as our last call ended"
        ),
        pytest.param(
            NOON + SECOND, LastCall(ended_at=NOON + 2 * SECOND), False, id="before it ended"
        ),
        pytest.param(NOON + SECOND, LastCall(ended_at=None), False, id="while one is open"),
    ],
)
def test_a_read_counts_from_when_it_began(
    began: datetime, last: LastCall | None, counts: bool
) -> None:
    after = read(known(), began, THERE, last=last)

    assert (after is not None) == counts
    if after is not None:
        assert (after.record.accepted, after.record.accepted_at) == (THERE, began)
        assert (after.record.state, after.record.pending) == (RecordState.IN_STEP, {})


def test_two_reads_that_arrive_the_wrong_way_round_end_as_the_later_one_began() -> None:
    newer, older = NOON + 2 * SECOND, NOON + SECOND
    first = read(known(), newer, THERE)
    assert first is not None

    assert read(first.record, older, an_enrolment()) is None


@pytest.mark.parametrize(
    ("began", "accepted", "settled"),
    [
        pytest.param(NOON + SECOND, THERE, {7: Closed.DELIVERED}, id="done, at once"),
        pytest.param(SAFE - SECOND, an_enrolment(), None, id="not done, but may still land"),
        pytest.param(SAFE, an_enrolment(), {}, id="not done, and nothing can land any more"),
    ],
)
def test_a_doubt_is_done_as_soon_as_it_shows_and_not_done_only_after_the_quarantine(
    began: datetime, accepted: dict[str, Json], settled: dict[int, Closed] | None
) -> None:
    after = read(doubtful(), began, accepted, safe=SAFE)

    assert (None if after is None else after.closed) == settled
    if after is not None:
        assert after.record.mark is None
        assert after.record.state is not RecordState.IN_DOUBT


def test_who_has_the_record_in_hand_keeps_it_and_finds_it_changed() -> None:
    taken = known(state=RecordState.TAKEN, lease_until=SAFE, takes=1, revision=4)

    told = read(taken, NOON + SECOND, THERE)
    assert told is not None
    after = in_hand(taken, told).record

    assert (after.state, after.lease_until, after.takes) == (RecordState.TAKEN, SAFE, 1)
    assert (after.accepted, after.revision) == (THERE, 5)
