"""A record as a row and back."""

from dataclasses import replace
from datetime import timedelta

from records.codec import from_row, to_row
from schema.keys import EntryId, RecordKey
from schema.record import Expectation, Lock, Problem, Record
from schema.states import Lane, Reason, RecordState
from schema.tables import record as table
from tests.support.builders import (
    a_claim,
    a_mark,
    a_move,
    a_record,
    a_stamp,
    a_wish,
    an_enrolment,
)
from tests.support.clock import NOON

PROBLEM = Problem(
    reason=Reason.CONFLICT,
    detail="both changed it",
    field="cohort",
    operation="change_schedule",
    status=422,
    sides=(None, "2024", "2025"),
    at=NOON,
)
WHOLE = a_record(
    state=RecordState.DEAD,
    reason=Reason.CONFLICT,
    lane=Lane.BULK,
    due_at=NOON,
    waits_for="link",
    serial_key="s",
    pending={"cohort": a_wish("2024", 7, base="2023"), "x": a_wish(None, 8, base_known=False)},
    path=(a_move("deferred", 9, "other"), replace(a_move("active", 10), explicit=False)),
    path_base="active",
    stamps={"cohort": a_stamp(7, version=3, happened_at=NOON), "x": a_stamp(8)},
    words={"cohort": "2023", "training_status": ["active", None]},
    expected={"mentor_id": Expectation(value="m", entry=EntryId(3), since=NOON)},
    snapshots={"crm": {"cohort": "2024"}},
    accepted=an_enrolment(),
    look_first=True,
    already="f",
    accepted_at=NOON,
    remote_updated_at=NOON - timedelta(days=1),
    mark=a_mark(7, fields={"cohort": "2024"}),
    locks={
        "r": Lock(fingerprint="r", data=True, cause="c", entries=(EntryId(7),), problem=PROBLEM),
        "s": Lock(fingerprint="s", data=False, cause="c"),
    },
    problem=PROBLEM,
    lease_until=NOON,
    revision=3,
    tries=1,
    takes=2,
    creates=1,
    calls=4,
    allowance=5,
    first_try_at=NOON,
    oldest_entry=EntryId(7),
)


def kept(record: Record) -> Record:
    """Write a record as a row and read it back, all columns in the table's order."""
    # The cut-off is the table's own: what finds claims that are near it, and no value of a record.
    row = {**to_row(record), "id": record.id, "cut_off": None}
    return from_row([row[column.name] for column in table.c])


def test_nothing_of_a_record_is_lost_on_the_way_through_its_row() -> None:
    assert kept(WHOLE) == WHOLE


def test_a_record_that_says_little_is_read_back_as_little() -> None:
    bare = Record(
        id=a_claim().id, destination="default", key=RecordKey("enrolment", "E-1"), family="f"
    )

    assert kept(bare) == bare
