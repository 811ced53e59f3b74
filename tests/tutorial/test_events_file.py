"""The file of a thousand events: it is what its maker makes, and has the shape that is told."""

import json
from collections import Counter

import pytest

from gateway.contracts import lead_provider_v3
from producers import files
from schema.events import EVENTS, parse
from tests.tutorial.make_events import FAULTS, FILE, LINES, lines


def test_the_file_is_what_its_maker_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == "\n".join(lines()) + "\n"


def test_it_has_a_thousand_lines_and_six_faulty_ones_each_of_another_sort() -> None:
    reading = files.read(FILE.read_bytes(), lambda event: None)

    assert len(reading.lines) + len(reading.faults) == LINES
    assert [fault.line for fault in reading.faults] == [number for number, _ in FAULTS]
    told = [
        ("event", "must be one of participant_linked"),
        ("reason", "is missing"),
        ("schedule", "is not a field of this event"),
        ("reason", "must be one of 'bereavement'"),
        ("declaration_date", "has no time zone"),
        ("source_id", "control character"),
    ]
    for fault, (field, words) in zip(reading.faults, told, strict=True):
        assert fault.field == field
        assert words in fault.problem


def test_every_event_of_the_domain_is_in_it_and_means_something_to_the_api() -> None:
    faulty = {number for number, _ in FAULTS}
    good = [
        parse(line)
        for number, line in enumerate(FILE.read_text(encoding="utf-8").splitlines(), 1)
        if number not in faulty
    ]

    assert {event.event for event in good} == set(EVENTS)
    for event in good:
        lead_provider_v3.CONTRACT.asks(event)


def test_it_holds_repeats_bursts_and_corrections() -> None:
    told = Counter[str]()
    for line in FILE.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        fields.pop("happened_at", None)
        told[json.dumps(fields, sort_keys=True)] += 1

    assert sum(number - 1 for number in told.values()) > 300


@pytest.mark.parametrize("name", ["event_id", "destination"])
def test_each_line_is_one_entry_here(name: str) -> None:
    assert all(name not in json.loads(line) for line in FILE.read_text("utf-8").splitlines())
