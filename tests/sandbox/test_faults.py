"""What goes wrong on request (control 6)."""

import http.client
import threading
import time
from collections.abc import Callable
from typing import cast

import pytest

from tests.sandbox.support import Got, Hand, Json, a_world, an_ect


def faults(hand: Hand, *rules: Json) -> None:
    got = hand.control("PUT", "/faults", list(rules))
    assert got.status == 200, got.body


def last(hand: Hand) -> Json:
    return cast("list[Json]", hand.control("GET", "/requests").json["requests"])[-1]


def fails(hand: Hand) -> bool:
    """Whether the connection ends without a whole answer."""
    try:
        hand.get("/participants")
    except (OSError, http.client.HTTPException):
        hand.renew()
        return True
    return False


@pytest.mark.parametrize(
    ("deed", "status", "kind", "body"),
    [
        ({"status": 503}, 503, "text/html", None),
        ({"status": 429}, 429, "text/plain", b"Retry later\n"),
        ({"status": 500}, 500, "application/json", b'{"error":"Internal server error"}'),
        ({"status": 502, "body": "<p>bad</p>"}, 502, "text/html", b"<p>bad</p>"),
        ({"status": 418, "body": {"a": 1}}, 418, "application/json", b'{"a":1}'),
        ({"status": 503, "body": "x", "headers": {"Content-Type": "text/plain"}}, 503,
         "text/plain", b"x"),
    ],
    ids=["page", "limit", "crash", "text", "json", "typed"],
)  # fmt: skip
def test_a_status_is_answered_and_nothing_executed(
    hand: Hand, deed: Json, status: int, kind: str, body: bytes | None
) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    faults(hand, {"do": deed})

    got = hand.act("e", "defer", reason="other")

    assert (got.status, got.headers["content-type"].partition(";")[0]) == (status, kind)
    assert body is None or got.body == body
    assert (last(hand)["executed"], last(hand)["fault"]) == (False, "rule-0")
    faults(hand)
    assert hand.participant("e").enrolment["training_status"] == "active"


def test_headers_of_a_fault_are_sent(hand: Hand) -> None:
    faults(hand, {"do": {"status": 429, "headers": {"Retry-After": "7"}}})

    assert hand.get("/participants").headers["retry-after"] == "7"


def test_a_status_after_the_write_was_carried_out(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    faults(hand, {"name": "late", "do": {"status": 500, "after": True}})

    assert hand.act("e", "defer", reason="other").status == 500
    assert (last(hand)["executed"], last(hand)["fault"]) == (True, "late")
    faults(hand)
    assert hand.participant("e").enrolment["training_status"] == "deferred"


@pytest.mark.parametrize(("when", "executed"), [("before", False), ("after", True)])
def test_a_dropped_connection_gives_no_byte(hand: Hand, when: str, executed: bool) -> None:
    faults(hand, {"do": {"drop": when}, "times": 1})

    assert fails(hand)

    assert (last(hand)["status"], last(hand)["executed"]) == (None, executed)
    assert not fails(hand)


def test_a_truncated_answer_has_the_full_length_and_then_ends(hand: Hand) -> None:
    faults(hand, {"do": {"truncate": 4}, "times": 1})

    assert fails(hand)

    assert last(hand)["executed"] is True


def test_a_delay_waits_and_then_goes_on_normally(hand: Hand) -> None:
    faults(hand, {"do": {"delay_ms": [60, 60]}})
    started = time.monotonic()

    assert hand.get("/participants").status == 200

    assert time.monotonic() - started >= 0.06
    assert cast("float", last(hand)["duration_ms"]) >= 60


def test_a_delay_may_stand_beside_another_deed(hand: Hand) -> None:
    faults(hand, {"do": {"delay_ms": [40, 40], "status": 503}})
    started = time.monotonic()

    assert hand.get("/participants").status == 503
    assert time.monotonic() - started >= 0.04


def test_a_delay_after_executes_first(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    faults(hand, {"match": {"method": "PUT"}, "do": {"delay_after_ms": [60_000, 60_000]}})
    other = hand.another()
    got: list[Got] = []
    waiting = threading.Thread(target=lambda: got.append(other.act("e", "defer", reason="other")))
    waiting.start()
    _wait_for(lambda: hand.participant("e").enrolment["training_status"] == "deferred")
    assert got == []

    hand.control("DELETE", "/faults")
    waiting.join(5)

    assert got[0].status == 200


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_flight(hand: Hand, count: int) -> bool:
    log = cast("list[Json]", hand.control("GET", "/requests").json["requests"])
    return sum(one["duration_ms"] is None for one in log) == count


def test_deleting_the_rules_releases_what_they_hold(hand: Hand) -> None:
    faults(hand, {"do": {"delay_ms": [60_000, 60_000]}})
    other = hand.another()
    got: list[Got] = []
    waiting = threading.Thread(target=lambda: got.append(other.get("/participants")))
    waiting.start()
    _wait_for(lambda: in_flight(hand, 1))

    hand.control("DELETE", "/faults")
    waiting.join(5)

    assert got[0].status == 200


def test_a_new_world_ends_what_faults_hold(hand: Hand) -> None:
    faults(hand, {"do": {"delay_ms": [60_000, 60_000]}})
    other = hand.another()
    ended: list[bool] = []
    waiting = threading.Thread(target=lambda: ended.append(fails(other)))
    waiting.start()
    _wait_for(lambda: in_flight(hand, 1))

    hand.world(a_world())
    waiting.join(5)

    assert ended == [True]


def test_of_two_simultaneous_declarations_the_later_gets_the_first(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    faults(hand, {"do": {"delay_ms": [60_000, 60_000]}, "times": 2})
    got: list[Got] = []

    def declare(other: Hand, date: str) -> None:
        got.append(other.declare("e", "started", declaration_date=date))

    waiting = [
        threading.Thread(target=declare, args=(hand.another(), date))
        for date in ("2025-10-01T09:00:00Z", "2025-10-02T09:00:00Z")
    ]
    waiting[0].start()
    _wait_for(lambda: in_flight(hand, 1))
    waiting[1].start()
    _wait_for(lambda: in_flight(hand, 2))

    hand.control("DELETE", "/faults")
    for thread in waiting:
        thread.join(5)

    assert [one.status for one in got] == [200, 200]
    assert got[0].data == got[1].data
    assert len(hand.get("/participant-declarations").rows) == 1
    assert hand.declare("e", "started").status == 422


@pytest.mark.parametrize(
    ("match", "fired"),
    [
        ({}, [1, 1, 1, 1]),
        ({"nth": 2}, [0, 1, 0, 0]),
        ({"every": 2}, [0, 1, 0, 1]),
        ({"method": "put"}, [0, 0, 0, 0]),
        ({"path_regex": "page=3"}, [0, 0, 1, 0]),
        ({"provider": "rival"}, [0, 0, 0, 0]),
        ({"provider": "fenland", "nth": 4}, [0, 0, 0, 1]),
        ({"probability": 0}, [0, 0, 0, 0]),
        ({"probability": 1}, [1, 1, 1, 1]),
    ],
    ids=str,
)
def test_a_rule_fires_where_it_matches(hand: Hand, match: Json, fired: list[int]) -> None:
    faults(hand, {"match": match, "do": {"status": 503}})

    statuses = [hand.get(f"/participants?page={n}&page=").status for n in range(1, 5)]

    assert [int(status == 503) for status in statuses] == fired


def test_chance_is_repeatable_by_its_seed(hand: Hand) -> None:
    def drawn() -> list[int]:
        faults(hand, {"match": {"probability": 0.5, "seed": 3}, "do": {"status": 503}})
        return [hand.get("/participants").status for _ in range(12)]

    first = drawn()

    assert drawn() == first
    assert set(first) == {200, 503}


def test_the_first_rule_that_fires_is_the_only_one_and_all_are_counted(hand: Hand) -> None:
    faults(
        hand,
        {"name": "once", "do": {"status": 503}, "times": 1},
        {"name": "then", "match": {"nth": 2}, "do": {"status": 502}},
    )

    assert [hand.get("/participants").status for _ in range(3)] == [503, 200, 502]
    rules = cast("list[Json]", hand.control("GET", "/faults").json)
    assert [(r["name"], r["matched"], r["fired"]) for r in rules] == [
        ("once", 3, 1),
        ("then", 2, 1),
    ]


def test_the_limiter_comes_before_faults_and_faults_before_the_token(hand: Hand) -> None:
    faults(hand, {"do": {"status": 503}})
    assert hand.get("/participants", by="nobody").status == 503

    hand.control("PUT", "/limiter", {"limit": 0})

    assert hand.get("/participants").status == 429


# Lists


def crowd(hand: Hand) -> None:
    like = an_ect(created_at="2025-09-01T09:00:00Z")
    del like["updated_at"]
    hand.world(a_world(participants={"c": {"bulk": {"count": 9, "like": like}}}))


def test_shifted_pages_skip_or_repeat_rows_but_not_on_page_one(hand: Hand) -> None:
    crowd(hand)
    page = "/participants?page[per_page]=3&page[page]="
    faults(hand, {"do": {"shift_pages": 1}})
    assert [hand.refs(page + str(n)) for n in (1, 2)] == [["c1", "c2", "c3"], ["c5", "c6", "c7"]]

    faults(hand, {"do": {"shift_pages": -2}})

    assert hand.refs(page + "2") == ["c2", "c3", "c4"]


def test_shuffled_ties_come_in_another_order_each_time(hand: Hand) -> None:
    crowd(hand)
    faults(hand, {"do": {"shuffle_ties": 5}})

    first, second = hand.refs("/participants"), hand.refs("/participants")

    assert sorted(first) == sorted(second)
    assert first != second


def test_shuffling_leaves_what_differs_in_order(hand: Hand) -> None:
    people = {f"p{n}": an_ect(created_at=f"2025-09-0{n}T09:00:00Z") for n in range(1, 6)}
    hand.world(a_world(participants=people))
    faults(hand, {"do": {"shuffle_ties": 5}})

    assert hand.refs("/participants") == ["p1", "p2", "p3", "p4", "p5"]


def test_hidden_things_are_missing_from_lists_and_shows(hand: Hand) -> None:
    crowd(hand)
    faults(hand, {"do": {"hide": ["c2", hand.ids["c3"]]}})

    assert hand.refs("/participants?page[per_page]=3") == ["c1", "c4", "c5"]
    assert hand.participant("c2").status == 404
    assert hand.participant("c1").status == 200


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"do": {}},
        {"do": {"status": 99}},
        {"do": {"status": 503, "drop": "before"}},
        {"do": {"drop": "now"}},
        {"do": {"delay_ms": [5, 1]}},
        {"do": {"hide": ["nobody"]}},
        {"do": {"status": 503, "headers": {"a b": "x"}}},
        {"do": {"status": 503, "headers": {"a": "x\r\ny"}}},
        {"match": {"provider": "nobody"}, "do": {"status": 503}},
        {"match": {"path_regex": "("}, "do": {"status": 503}},
        {"match": {"nth": 0}, "do": {"status": 503}},
        {"match": {"nth": 1, "every": 2}, "do": {"status": 503}},
        {"match": {"probability": 2}, "do": {"status": 503}},
        {"do": {"status": 503}, "speed": 1},
    ],
    ids=str,
)
def test_a_bad_rule_changes_nothing(hand: Hand, rule: Json) -> None:
    faults(hand, {"name": "good", "do": {"status": 503}})

    assert hand.control("PUT", "/faults", [rule]).status == 400

    assert counters_of(hand) == ["good"]


def counters_of(hand: Hand) -> list[object]:
    return [rule["name"] for rule in cast("list[Json]", hand.control("GET", "/faults").json)]
