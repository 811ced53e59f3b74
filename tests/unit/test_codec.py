"""A record and its row say the same."""

from dataclasses import fields
from typing import Any

import pytest

from records.codec import WRITERS, from_row, to_row, written_anew
from schema.record import Record
from schema.tables import record as table
from tests.support.builders import a_record

IDENTITY = {"id", "destination", "key", "family"}
MAY_CHANGE = [one.name for one in fields(Record) if one.name not in IDENTITY]


def row_of(record: Record) -> list[Any]:
    values = {"id": record.id, **to_row(record)}
    return [values[column.name] for column in table.c]


def test_a_record_read_from_its_row_has_every_value_and_no_other() -> None:
    read = from_row(row_of(a_record()))

    assert read == a_record()
    assert vars(read).keys() == {one.name for one in fields(Record)}


@pytest.mark.parametrize("name", MAY_CHANGE)
def test_whatever_changes_in_a_record_its_column_is_written(name: str) -> None:
    before = a_record()

    [column] = written_anew([(before, before.but(**{name: object()}))])

    assert column == (name if name in table.c else "wanted")


def test_what_does_not_change_is_not_written() -> None:
    before = a_record()

    assert written_anew([(before, before.but())]) == []
    assert written_anew([(before, before.but(tries=before.tries))]) == []


def test_every_column_is_part_of_the_identity_or_may_change() -> None:
    identity = {"id", "destination", "kind", "source_id", "part", "round", "family"}

    assert {*WRITERS} == {*table.c.keys()} - identity


def test_a_record_refuses_a_value_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="no colour"):
        a_record().but(colour="red")
