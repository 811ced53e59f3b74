"""The sentence about a record: what is over is not told as if it still stood."""

from datetime import timedelta
from typing import Any

from console.views import london, story, verdict
from schema.keys import EntryId
from schema.record import Lock, Problem, Record
from schema.states import Closed, Reason, RecordState
from tests.support.builders import a_record, a_wish, an_enrolment
from tests.support.clock import NOON

REFUSAL = Problem(reason=Reason.REFUSED, operation="change_schedule", detail="Not this one.")


def waiting(entry: int) -> Record:
    """Refused when entry 5 was sent; what is asked for now comes from *entry*."""
    lock = Lock(fingerprint="f", data=True, cause="c", entries=(EntryId(5),), problem=REFUSAL)
    return a_record(
        state=RecordState.WAITING,
        reason=Reason.SETTLING,
        due_at=NOON,
        accepted=an_enrolment(),
        pending={"schedule_identifier": a_wish("ecf-extended-september", entry)},
        locks={"f": lock},
        problem=REFUSAL,
    )


def test_a_refusal_that_still_stands_is_told_while_the_rest_goes_on() -> None:
    assert verdict(waiting(5), NOON).endswith("A part of it needs a person: Not this one.")


def test_a_refusal_that_was_corrected_is_told_no_more() -> None:
    assert "needs a person" not in verdict(waiting(9), NOON)


def entry(number: int, event: str = "record_snapshot", closed: Closed = Closed.UNCHANGED) -> Any:
    at = NOON + timedelta(days=number)
    return {
        "id": number,
        "event": event,
        "payload": {},
        "source": "nightly",
        "emitted_at": at,
        "closed_as": closed,
        "closed_at": at,
    }


def test_events_in_a_row_that_changed_nothing_are_one_line_of_the_story() -> None:
    entries = [
        *(entry(number) for number in range(1, 22)),
        entry(22, closed=Closed.DELIVERED),
        entry(23),
        entry(24),
    ]

    told = story(a_record(), entries, [])

    assert told[0] == (
        NOON + timedelta(days=21),
        "event",
        f"#1 to #21 whole record given, 21 times since {london(NOON + timedelta(days=1))}, from "
        "nightly, not sent: nothing changed",
    )
    assert [line.split()[0] for _, _, line in told[1:]] == [
        "#22",
        "#22",
        "#23",
        "#23",
        "#24",
        "#24",
    ]
