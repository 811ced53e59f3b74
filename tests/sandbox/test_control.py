"""The control side: clock, limiter, requests, and who may call it."""

from typing import cast

import pytest

from sandbox.server import Sandbox, SandboxError
from tests.sandbox.support import NOON, Hand, Json, a_world, an_ect

STAMP = "X-With-Server-Date"


def limited(hand: Hand, **settings: object) -> Json:
    got = hand.control("PUT", "/limiter", settings)
    assert got.status == 200, got.body
    return got.json


def counter(hand: Hand, provider: str = "fenland") -> Json:
    counters = cast("dict[str, Json]", hand.control("GET", "/limiter").json["counters"])
    return counters[provider]


# Who may call it


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""},
     {"Origin": "http://evil.example"}, {"Origin": "null"}],
)  # fmt: skip
def test_only_this_machines_own_pages_and_programs_may_call(
    hand: Hand, headers: dict[str, str]
) -> None:
    assert hand.call("POST", "/_sandbox/reset", headers=headers).status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80", "LOCALHOST:1"])
def test_loopback_names_may(hand: Hand, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}

    assert hand.call("GET", "/_sandbox", headers=headers).status == 200


def test_other_methods_and_paths_are_told_apart(hand: Hand) -> None:
    assert hand.control("PATCH", "/world").status == 405
    assert hand.control("DELETE", "").headers["allow"] == "GET"
    assert hand.control("GET", "/nothing").status == 404


@pytest.mark.parametrize("path", ["/world", "/clock", "/limiter", "/faults"])
def test_what_is_not_json_is_refused(hand: Hand, path: str) -> None:
    got = hand.call("PUT", f"/_sandbox{path}", body=b"{")

    assert (got.status, got.json) == (400, {"errors": [{"where": "", "problem": "must be JSON"}]})


def test_without_control_its_paths_are_not_routed() -> None:
    with Sandbox(a_world(), control=False) as sandbox:
        hand = Hand(sandbox)

        got = hand.call("GET", "/_sandbox", headers={"Accept": "application/json"})

        assert (got.status, got.json) == (404, {"error": "Resource not found"})


def test_the_control_side_is_only_for_loopback_addresses() -> None:
    with pytest.raises(SandboxError, match="--no-control"):
        Sandbox(a_world(), host="0.0.0.0")


def test_the_overview_counts(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    got = hand.control("GET", "").json

    assert (got["control"], got["now"], got["running"]) == (1, NOON, False)
    assert cast("Json", got["counts"])["participants"] == 1
    assert (got["pending_events"], got["dropped_events"]) == (0, [])


# The clock


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"now": "2026-01-01T00:00:00.5Z"}, {"now": "2026-01-01T00:00:00.500000Z"}),
        ({"now": "2026-01-01T01:00:00+01:00"}, {"now": "2026-01-01T00:00:00Z"}),
        ({"now": "2026-01-01T00:00:00Z", "running": True}, {"running": True, "real": False}),
        ({"running": True}, {"running": True, "real": False}),
        ({"real": True}, {"running": True, "real": True}),
        ({"time_travel": True}, {"now": NOON, "running": False, "time_travel": True}),
        ({"nightly_runs": True}, {"now": NOON, "nightly_runs": True}),
    ],
)
def test_the_clock_is_set_by_its_keys(hand: Hand, change: Json, shown: Json) -> None:
    got = hand.control("PUT", "/clock", change).json

    assert {key: got[key] for key in shown} == shown
    assert set(got) == {"now", "running", "real", "time_travel", "nightly_runs"}
    hand.control("PUT", "/clock", {"now": NOON, "time_travel": False, "nightly_runs": False})


def test_now_alone_freezes_a_running_clock(hand: Hand) -> None:
    hand.control("PUT", "/clock", {"running": True})

    assert hand.control("PUT", "/clock", {"now": NOON}).json["running"] is False


def test_a_bad_clock_changes_nothing(hand: Hand) -> None:
    got = hand.control("PUT", "/clock", {"now": "2026-01-01T00:00:00Z", "speed": 2})

    assert got.json == {"errors": [{"where": "speed", "problem": "unknown key"}]}
    assert hand.control("GET", "/clock").json["now"] == NOON


# Time travel


def test_a_request_travels_in_time_only_where_that_is_allowed(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    there = {STAMP: "2026-03-01T10:00:00Z"}

    assert hand.send("PUT", f"/participants/{hand.ids['e']}/resume", **there).status == 400
    assert hand.act("e", "resume").status == 422
    hand.control("PUT", "/clock", {"time_travel": True})
    body = {"data": {"attributes": {"reason": "other", "course_identifier": "ecf-induction"}}}
    got = hand.send("PUT", f"/participants/{hand.ids['e']}/defer", body, **there)
    hand.control("PUT", "/clock", {"time_travel": False})

    assert got.enrolment["deferral"] == {"reason": "other", "date": "2026-03-01T10:00:00Z"}
    assert got.attributes["updated_at"] == "2026-03-01T10:00:00Z"


def test_a_new_row_of_a_traveller_is_first_stamped_with_the_real_time(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}, clock={"time_travel": True}))
    attributes = {
        "participant_id": hand.ids["e"],
        "declaration_type": "started",
        "declaration_date": "2025-10-01T09:00:00Z",
        "course_identifier": "ecf-induction",
        "evidence_held": "other",
    }
    body = {"data": {"attributes": attributes}}
    there = {STAMP: "2025-11-20T10:00:00Z"}

    got = hand.send("POST", "/participant-declarations", body, **there).attributes

    assert (got["created_at"], got["updated_at"]) == ("2025-11-20T10:00:00Z", NOON)
    hand.control("PUT", "/clock", {"time_travel": False})


def test_a_traveller_counts_in_the_window_it_says(hand: Hand) -> None:
    hand.control("PUT", "/clock", {"time_travel": True})
    hand.get("/participants", **{STAMP: "2026-03-01T10:00:00Z"})
    hand.control("PUT", "/clock", {"time_travel": False})

    assert counter(hand)["count"] == 0
    hand.clock("2026-03-01T10:01:00Z")
    assert counter(hand)["count"] == 1


# The limiter


def test_the_limit_counts_everything_of_a_header_also_what_it_refused(hand: Hand) -> None:
    limited(hand, limit=2)

    statuses = [hand.get("/participants").status, hand.get("/nothing").status,
                hand.get("/participants").status, hand.get("/participants").status]  # fmt: skip

    assert statuses == [200, 404, 429, 429]
    assert counter(hand) == {"count": 4, "remaining": 0, "resets_at": "2025-11-14T12:05:00Z"}
    assert hand.get("/participants", by="rival").status == 200


def test_a_refusal_is_plain_text_without_a_hint_when_to_retry(hand: Hand) -> None:
    limited(hand, limit=0)

    got = hand.get("/participants")

    assert (got.status, got.body, got.headers["content-type"]) == (
        429,
        b"Retry later\n",
        "text/plain",
    )
    assert "retry-after" not in got.headers


def test_fixed_windows_begin_at_multiples_of_their_length(hand: Hand) -> None:
    limited(hand, limit=1)
    hand.clock("2025-11-14T12:04:59.999Z")
    assert [hand.get("/participants").status for _ in "ab"] == [200, 429]

    hand.clock("2025-11-14T12:05:00Z")

    assert hand.get("/participants").status == 200


def test_a_rolling_window_looks_back_exactly(hand: Hand) -> None:
    limited(hand, limit=1, mode="rolling")
    hand.clock("2025-11-14T12:04:59Z")
    assert hand.get("/participants").status == 200
    hand.clock("2025-11-14T12:09:58.9Z")
    assert hand.get("/participants").status == 429
    assert counter(hand)["count"] == 2

    hand.clock("2025-11-14T12:14:58.9Z")

    assert hand.get("/participants").status == 200


def test_an_address_has_a_limit_over_all_tokens(hand: Hand) -> None:
    limited(hand, per_ip_limit=2)

    statuses = [hand.get("/participants", by=by).status for by in ("fenland", "rival", "x")]

    assert statuses == [200, 200, 429]
    assert hand.control("GET", "/limiter").json["by_ip"] == {"127.0.0.1": 3}
    limited(hand, per_ip_limit=None)
    assert hand.get("/participants").status == 200


def test_the_limiter_can_be_switched_off(hand: Hand) -> None:
    limited(hand, limit=0, enabled=False)

    assert hand.get("/participants").status == 200


def test_prior_requests_set_the_count_of_a_provider(hand: Hand) -> None:
    limited(hand, limit=1000, prior_requests={"fenland": 999})

    assert [hand.get("/participants").status for _ in "ab"] == [200, 429]
    assert hand.control("GET", "/limiter").json["by_ip"] == {"127.0.0.1": 2}


def test_prior_requests_can_be_spread_over_a_time(hand: Hand) -> None:
    spread = {"count": 11, "from": "2025-11-14T11:59:00Z", "to": "2025-11-14T12:01:00Z"}
    limited(hand, prior_requests={"fenland": spread})

    assert counter(hand)["count"] == 6
    limited(hand, mode="rolling", prior_requests={"fenland": spread})
    assert counter(hand)["count"] == 11


@pytest.mark.parametrize(
    ("settings", "where"),
    [({"limit": -1}, "limit"), ({"limit": "x"}, "limit"), ({"mode": "sliding"}, "mode"),
     ({"window_s": 0}, "window_s"), ({"speed": 1}, "speed"),
     ({"prior_requests": {"nobody": 1}}, "prior_requests.nobody")],
)  # fmt: skip
def test_bad_limiter_settings_change_nothing(hand: Hand, settings: Json, where: str) -> None:
    before = hand.control("GET", "/limiter").json

    got = hand.control("PUT", "/limiter", settings)

    assert got.status == 400
    assert where in [error["where"] for error in cast("list[Json]", got.json["errors"])]
    assert hand.control("GET", "/limiter").json == before


def test_a_new_world_empties_counts_log_faults_and_events(hand: Hand) -> None:
    limited(hand, limit=5)
    hand.get("/participants")
    hand.control("PUT", "/faults", [{"do": {"status": 503}}])
    hand.event("nightly_run", at="2030-01-01T00:00:00Z")

    hand.world(a_world())

    assert counter(hand)["count"] == 0
    assert hand.control("GET", "/limiter").json["limit"] == 1_000_000
    assert hand.control("GET", "/requests").json == {"requests": [], "last_seq": 0}
    assert hand.control("GET", "/faults").body == b"[]"
    assert hand.control("GET", "").json["pending_events"] == 0


# The arrival log


def logged(hand: Hand, query: str = "") -> list[Json]:
    return cast("list[Json]", hand.control("GET", f"/requests{query}").json["requests"])


def test_an_arrival_is_told_with_all_that_is_known_of_it(hand: Hand) -> None:
    body = {"data": {"attributes": {"cohort": "1999"}}}
    hand.send("POST", "/partnerships?x=%20y", body, X_Request_Id="mine")

    (one,) = logged(hand)

    assert one["seq"] == 1
    assert (str(one["arrived_at"])[10], str(one["arrived_at"])[-1]) == ("T", "Z")
    assert (type(one["monotonic_us"]), type(one["duration_ms"])) == (int, float)
    assert one["sandbox_now"] == NOON
    assert str(one["remote"]).startswith("127.0.0.1:")
    assert (one["method"], one["path"]) == ("POST", "/api/v3/partnerships?x=%20y")
    headers = cast("Json", one["headers"])
    assert str(headers["authorization"]).startswith("sha256:")
    assert len(str(headers["authorization"])) == 23
    assert headers["content-type"] == "application/json"
    assert (one["json"], one["body_bytes"]) == (body, 44)
    assert (one["provider"], one["status"], one["executed"]) == ("fenland", 422, False)
    assert (one["limited"], one["fault"], one["request_id"]) == (False, None, "mine")


def test_executed_is_what_was_carried_out(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    hand.get("/participants")
    hand.act("e", "defer", reason="other")
    hand.act("e", "defer", reason="other")
    hand.get("/participants", by="nobody")
    limited(hand, limit=0)
    hand.get("/participants")

    assert [(r["executed"], r["limited"], r["provider"]) for r in logged(hand)] == [
        (True, False, "fenland"),
        (True, False, "fenland"),
        (False, False, "fenland"),
        (False, False, None),
        (False, True, "fenland"),
    ]


def test_the_log_is_read_in_pieces_and_can_be_emptied(hand: Hand) -> None:
    for _ in range(5):
        hand.get("/participants")

    assert [r["seq"] for r in logged(hand, "?after=2&limit=2")] == [3, 4]
    assert logged(hand, "?after=9") == []
    assert hand.control("GET", "/requests?limit=0").json["last_seq"] == 5
    assert hand.control("GET", "/requests?after=x").status == 400
    hand.control("DELETE", "/requests")
    hand.get("/participants")
    assert [r["seq"] for r in logged(hand)] == [1]


def test_the_control_side_is_neither_logged_nor_limited(hand: Hand) -> None:
    limited(hand, limit=0, per_ip_limit=0)

    assert hand.control("GET", "").status == 200
    assert logged(hand) == []
