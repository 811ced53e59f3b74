"""A record and its row say the same."""

from dataclasses import fields
from typing import Any

import pytest

from records.codec import WRITERS, from_row, to_row, written_anew
from records.signature import pattern, signature_of
from schema.record import Problem, Record
from schema.states import Reason, RecordState
from schema.tables import record as table
from tests.support.builders import PERSON, a_record
from tests.support.clock import NOON

IDENTITY = {"id", "destination", "key", "family"}
MAY_CHANGE = [one.name for one in fields(Record) if one.name not in IDENTITY]


def row_of(record: Record) -> list[Any]:
    values = {"id": record.id, "cut_off": None, **to_row(record)}
    return [values[column.name] for column in table.c]


def a_letter(**values: Any) -> Record:
    problem = Problem(reason=Reason.REFUSED, detail="reason: no", operation="defer", at=NOON)
    return a_record(state=RecordState.DEAD, reason=Reason.REFUSED, problem=problem, **values)


def test_a_record_read_from_its_row_has_every_value_and_no_other() -> None:
    read = from_row(row_of(a_record()))

    assert read == a_record()
    assert vars(read).keys() == {one.name for one in fields(Record)}


@pytest.mark.parametrize("name", MAY_CHANGE)
def test_whatever_changes_in_a_record_its_column_is_written(name: str) -> None:
    before = a_record()

    [column] = written_anew([(before, before.but(**{name: object()}))])

    assert column == (name if name in table.c else "wanted")


def test_a_letter_is_found_by_its_group_and_age_from_when_it_stands_aside_until_it_does_not() -> (
    None
):
    going, aside = a_record(), a_letter()

    assert (to_row(going)["signature"], to_row(going)["aside_at"]) == (None, None)
    assert to_row(aside)["signature"].startswith("defer-")
    assert to_row(aside)["aside_at"] == NOON
    for change in ((going, aside), (aside, going)):
        assert {"signature", "aside_at"} <= {*written_anew([change])}


def test_a_signature_takes_out_whom_it_happened_to_and_nothing_else() -> None:
    def signed(detail: str, **problem: Any) -> str | None:
        told = Problem(reason=Reason.REFUSED, detail=detail, **problem)
        return signature_of(a_letter().but(problem=told))

    one = "entry 12: E-1042 was deferred on 2025-09-20 to ecf-standard-april by a@b.org"
    other = "entry 7: E-9 was deferred on 2024-01-02 to ecf-extended-september by c@d.org"
    assert signed(one, field="reason") == signed(other, field="reason")
    assert pattern(f"There it is {PERSON}.") == "There it is ….", "nothing of an id is left"
    assert signed(one, field="reason") != signed(one, field="cohort")
    assert signed("is not right", status=422) != signed("is not right", status=404)
    assert signed("is not right") != signed("is not there")


def test_what_does_not_change_is_not_written() -> None:
    before = a_record()

    assert written_anew([(before, before.but())]) == []
    assert written_anew([(before, before.but(tries=before.tries))]) == []


def test_every_column_is_part_of_the_identity_or_may_change() -> None:
    identity = {"id", "destination", "kind", "source_id", "part", "round", "family"}

    # Until when it counts is not its own: `outbox.dating` gives it, and each settling forgets it.
    assert {*WRITERS, "cut_off"} == {*table.c.keys()} - identity


def test_a_record_refuses_a_value_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="no colour"):
        a_record().but(colour="red")
