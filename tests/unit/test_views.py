"""The sentence about a record: what is over is not told as if it still stood."""

from console.views import verdict
from schema.keys import EntryId
from schema.record import Lock, Problem, Record
from schema.states import Reason, RecordState
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
