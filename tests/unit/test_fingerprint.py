"""Equal meaning, equal fingerprint; different meaning, different fingerprint."""

from itertools import combinations

import pytest

from schema.fingerprint import Json, fingerprint, utc_seconds
from schema.plans import Request
from tests.support.clock import NOON

EQUAL: list[tuple[Json, Json]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 1}, {"a": 1, "b": None}),
    ({"a": 1}, {"a": 1.0}),
    ({"a": [1, 2]}, {"a": (1, 2)}),
    ({"a": {"b": None}}, {"a": {}}),
]

DIFFERENT: list[Json] = [
    None, True, False, 0, 1, 0.5, "", "0", "1", "true", "null", [], [None], [1], ["1"], [1, 2],
    [2, 1], [[1], 2], {}, {"a": 1}, {"a": "1"}, {"a": [1]}, {"a": {"b": 1}}, {"a.b": 1}, {"A": 1},
    "é", "e\u0301", "ſ", "s",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_the_spelling_does_not_matter(one: Json, other: Json) -> None:
    assert fingerprint(one) == fingerprint(other)


def test_whatever_differs_in_meaning_differs() -> None:
    same = [
        (one, other)
        for one, other in combinations(DIFFERENT, 2)
        if fingerprint(one) == fingerprint(other)
    ]

    assert same == []


def test_it_is_the_same_in_every_process() -> None:
    assert fingerprint({"b": [1, None], "a": "é"}) == "d76dff578d92e51130e57f3ca4fabb6c"


def test_a_request_differs_by_method_path_query_and_body() -> None:
    requests = [
        Request(method="PUT", path="/a"),
        Request(method="POST", path="/a"),
        Request(method="PUT", path="/b"),
        Request(method="PUT", path="/a", query=(("x", "1"),)),
        Request(method="PUT", path="/a", body={"x": 1}),
        Request(method="PUT", path="/a", body={}),
    ]

    assert len({request.fingerprint() for request in requests}) == len(requests)


def test_an_instant_is_written_as_the_api_does() -> None:
    assert utc_seconds(NOON.replace(microsecond=999_999)) == "2026-02-10T12:00:00Z"
