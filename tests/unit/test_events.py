"""Bad input never enters: the field is named, and so is what would be right."""

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.events import (
    EVENTS,
    MAX_NAME_LENGTH,
    MAX_PAYLOAD_BYTES,
    DeclarationMade,
    Event,
    InvalidEvent,
    ParticipantDeferred,
    RecordSnapshot,
    decode,
    encode_payload,
    parse,
)

DEFERRED: dict[str, Any] = {
    "event": "participant_deferred",
    "source_id": "E-1",
    "reason": "parental-leave",
}
DECLARED: dict[str, Any] = {
    "event": "declaration_made",
    "source_id": "E-1",
    "declaration_type": "started",
    "declaration_date": "2025-09-20T09:00:00Z",
}
INSTANT = "must be an instant with a zone, such as 2025-09-20T09:00:00Z"


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def refusal_of(fields: object) -> tuple[str, str]:
    with pytest.raises(InvalidEvent) as refused:
        decode(fields)
    return refused.value.field, refused.value.problem


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ([], "line", 'is not a JSON object such as {"event": …, "source_id": …}'),
        ("text", "line", 'is not a JSON object such as {"event": …, "source_id": …}'),
        ({}, "event", f"must be one of {', '.join(EVENTS)}"),
        ({"event": None}, "event", f"must be one of {', '.join(EVENTS)}"),
        ({"event": ["x"]}, "event", f"must be one of {', '.join(EVENTS)}"),
        (
            DEFERRED | {"event": "participant_defered"},
            "event",
            f"must be one of {', '.join(EVENTS)}; did you mean participant_deferred?",
        ),
        (without(DEFERRED, "source_id"), "source_id", "is missing; this event needs it"),
        (without(DEFERRED, "reason"), "reason", "is missing; this event needs it"),
        (
            DEFERRED | {"reasons": "x"},
            "reasons",
            "is not a field of this event; remove it or correct its name",
        ),
        (
            DEFERRED | {"reason": "tired"},
            "reason",
            "must be one of 'bereavement', 'long-term-sickness', 'parental-leave', "
            "'career-break', 'other'",
        ),
        (
            DEFERRED | {"source_id": " "},
            "source_id",
            "must not be empty; give the local system's own reference",
        ),
        (DEFERRED | {"source_id": 7}, "source_id", "must be text, in quotation marks"),
        (
            DEFERRED | {"source_id": "E\n1"},
            "source_id",
            "contains the control character \\x0a; remove it",
        ),
        (
            DEFERRED | {"source": "a\x7f"},
            "source",
            "contains the control character \\x7f; remove it",
        ),
        (
            DEFERRED | {"event_id": "\ud800"},
            "event_id",
            "contains half of a character (a lone surrogate); write it whole",
        ),
        (
            DEFERRED | {"source_id": "x" * 201},
            "source_id",
            "is 201 characters long; at most 200 are kept",
        ),
        (DEFERRED | {"version": "3"}, "version", "must be a whole number"),
        (DEFERRED | {"version": 3.0}, "version", "must be a whole number"),
        (DEFERRED | {"version": -1}, "version", "must be 0 or more"),
        (
            DEFERRED | {"seen": 2**63},
            "seen",
            "must be 9223372036854775807 or less",
        ),
        (
            DEFERRED | {"happened_at": "0001-01-01T00:00:00+01:00"},
            "happened_at",
            "is in the year 1; write one from 1900 to 2199",
        ),
        (
            DEFERRED | {"happened_at": "9999-12-31T23:59:59-01:00"},
            "happened_at",
            "is in the year 9999; write one from 1900 to 2199",
        ),
        (DEFERRED | {"version": True}, "version", "must be a whole number"),
        (
            DEFERRED | {"happened_at": "2025-09-20T09:00:00"},
            "happened_at",
            "has no time zone; write an instant such as 2025-09-20T09:00:00Z",
        ),
        (
            DEFERRED | {"happened_at": 1_758_358_800},
            "happened_at",
            "must be an instant such as 2025-09-20T09:00:00Z",
        ),
        (DECLARED | {"declaration_date": "yesterday"}, "declaration_date", INSTANT),
        (DECLARED | {"declaration_date": "2025-02-30T09:00:00Z"}, "declaration_date", INSTANT),
        (
            {"event": "schedule_changed", "source_id": "E", "schedule_identifier": "ecf-standard-september", "cohort": "25"},
            "cohort",
            "must be a year such as 2025",
        ),
        (
            {"event": "record_snapshot", "source_id": "E", "kind": "enrolment", "state": []},
            "state",
            "must be a JSON object",
        ),
    ],
)  # fmt: skip
def test_a_bad_event_is_refused_with_its_field_and_the_cure(
    fields: object, field: str, problem: str
) -> None:
    assert refusal_of(fields) == (field, problem)


def test_a_refusal_never_repeats_the_value() -> None:
    secret = "Amara Okafor"

    with pytest.raises(InvalidEvent) as refused:
        decode(DEFERRED | {"reason": secret})

    assert secret not in str(refused.value)


@pytest.mark.parametrize("line", ["", "{", "not json", '{"version": NaN}', "[" * 100_000])
def test_what_is_no_json_is_refused(line: str) -> None:
    with pytest.raises(InvalidEvent, match="line: is not JSON; write one JSON object a line"):
        parse(line)


@pytest.mark.parametrize("field", ["source_id", "state"])
def test_a_field_that_is_there_twice_is_refused(field: str) -> None:
    inner = '{"state": {"full_name": "A", "full_name": "B"}}'
    line = '{"source_id": "E-1", "source_id": "E-2"}' if field == "source_id" else inner

    with pytest.raises(InvalidEvent, match=r"(source_id|full_name): is there twice; give it once"):
        parse(line)


@pytest.mark.parametrize("length", [1, MAX_NAME_LENGTH])
def test_a_name_just_inside_its_limits_enters(length: int) -> None:
    assert decode(DEFERRED | {"source_id": "é" * length}).source_id == "é" * length


def snapshot(**state: object) -> RecordSnapshot:
    return RecordSnapshot(source_id="P-1", kind="participant", state=state)


def test_a_payload_may_be_64_kib_and_not_a_byte_more() -> None:
    around = len(encode_payload(snapshot(full_name="")))
    largest = "x" * (MAX_PAYLOAD_BYTES - around)

    assert len(encode_payload(snapshot(full_name=largest))) == MAX_PAYLOAD_BYTES
    with pytest.raises(InvalidEvent, match=r"payload: is 65537 bytes long; at most 65536 may"):
        encode_payload(snapshot(full_name=largest + "x"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", "\x00", object(), b"x"])
def test_a_payload_that_a_database_could_not_keep_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent, match=r"payload"):
        encode_payload(snapshot(full_name=value))


def test_the_payload_holds_the_events_own_fields_and_instants_in_utc() -> None:
    event = DeclarationMade(
        source_id="E-1",
        source="app",
        version=3,
        declaration_type="started",
        declaration_date=datetime.fromisoformat("2025-09-20T10:00:00.999+01:00"),
    )

    assert json.loads(encode_payload(event)) == {
        "declaration_type": "started",
        "declaration_date": "2025-09-20T09:00:00Z",
    }


def test_what_is_left_out_has_its_defaults() -> None:
    event = ParticipantDeferred(source_id="E-1", reason="other")

    assert (event.source, event.destination, event.event_id) == ("local", "default", None)


def test_an_instant_is_kept_in_utc() -> None:
    event = decode(DEFERRED | {"happened_at": "2025-06-20T10:00:00+01:00"})

    assert event.happened_at == datetime(2025, 6, 20, 9, tzinfo=UTC)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = sorted({name for model in EVENTS.values() for name in model.model_fields})
likely = st.sampled_from(
    [
        "E-1",
        "other",
        "started",
        "ecf-standard-september",
        "2025",
        "2025-09-20T09:00:00Z",
        "enrolment",
    ]
)
event_like = st.fixed_dictionaries(
    {"event": st.sampled_from(sorted(EVENTS)), "source_id": likely | st.text()},
    optional=cast(Any, {name: likely | anything for name in names if name not in ("event", "source_id")}),
)  # fmt: skip


def entered(line: str) -> Event | InvalidEvent:
    try:
        event = parse(line)
        encode_payload(event)
    except InvalidEvent as refusal:
        return refusal
    return event


@given(fields=anything | event_like)
def test_any_json_is_refused_with_a_field_or_round_trips(fields: object) -> None:
    event = entered(json.dumps(fields))
    if isinstance(event, InvalidEvent):
        assert event.field != ""
        assert event.problem != ""
        return

    payload = encode_payload(event)
    envelope = {
        name: value for name in event.ENVELOPE if (value := getattr(event, name)) is not None
    }
    assert decode({**json.loads(payload), **envelope}) == event
