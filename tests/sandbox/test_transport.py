"""How requests are let in, and how errors look (contract 1 and 3)."""

import pytest

from tests.sandbox.support import Hand, a_world, an_ect

NO_ID = "00000000-0000-0000-0000-000000000000"
BAD_BODY = "Correct json data structure required. See API docs for reference."
BAD_PAGE = (
    "The '#/page[page]' and '#/page[per_page]' parameter values must be a valid positive number"
)
DENIED = {"error": "HTTP Token: Access denied"}


@pytest.mark.parametrize(
    "header",
    ["", "sandbox-fenland", "bearer sandbox-fenland", "BEARER sandbox-fenland", "Bearer nobody",
     "Basic sandbox-fenland", "Bearer"],
)  # fmt: skip
def test_a_missing_or_unknown_token_is_denied(hand: Hand, header: str) -> None:
    got = hand.call("GET", "/api/v3/participants", headers={"Authorization": header})

    assert (got.status, got.json) == (401, DENIED)
    assert "www-authenticate" not in got.headers


@pytest.mark.parametrize("scheme", ["Bearer", "Token"])
def test_the_schemes_bearer_and_token_are_known(hand: Hand, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} sandbox-fenland"}

    assert hand.call("GET", "/api/v3/participants", headers=headers).status == 200


def test_a_request_without_any_token_is_denied(hand: Hand) -> None:
    assert hand.call("GET", "/api/v3/participants").json == DENIED


def test_answers_are_json_in_utf_8(hand: Hand) -> None:
    got = hand.get("/participants")

    assert got.headers["content-type"] == "application/json; charset=utf-8"


def test_every_answer_has_a_request_id_and_the_callers_own_is_kept(hand: Hand) -> None:
    assert len(hand.get("/participants").headers["x-request-id"]) == 36
    assert hand.get("/participants", X_Request_Id="mine-1").headers["x-request-id"] == "mine-1"


def test_the_date_header_is_the_sandboxs_clock(hand: Hand) -> None:
    assert hand.get("/participants").headers["date"] == "Fri, 14 Nov 2025 12:00:00 GMT"


def test_a_read_has_a_weak_tag_and_is_not_repeated_to_who_has_it(hand: Hand) -> None:
    tag = hand.get("/participants").headers["etag"]

    again = hand.get("/participants", If_None_Match=tag)

    assert tag.startswith('W/"')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)


def test_a_head_has_the_headers_of_a_get_and_no_body(hand: Hand) -> None:
    headers = {"Authorization": "Bearer sandbox-fenland"}

    got = hand.call("HEAD", "/api/v3/participants", headers=headers)

    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "11")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/participants"), ("DELETE", f"/participants/{NO_ID}"), ("GET", "/nothing"),
     ("PUT", f"/participants/ecf/{NO_ID}/defer"), ("PUT", "/statements")],
)  # fmt: skip
def test_a_path_that_is_not_routed_is_not_found_in_the_callers_form(
    hand: Hand, method: str, path: str
) -> None:
    as_json = hand.send(method, path, {})
    as_page = hand.send(method, path, {}, Accept="*/*")

    assert (as_json.status, as_json.json) == (404, {"error": "Resource not found"})
    assert (as_page.status, as_page.headers["content-type"][:9]) == (404, "text/html")


@pytest.mark.parametrize(
    "path",
    ["participants", "participant-declarations", "partnerships", "delivery-partners",
     "statements", "unfunded-mentors"],
)  # fmt: skip
@pytest.mark.parametrize("wanted", [NO_ID, "ecf", "not-a-uuid", "%00", "%ff"])
def test_an_unknown_id_is_not_found(hand: Hand, path: str, wanted: str) -> None:
    got = hand.get(f"/{path}/{wanted}")

    assert (got.status, got.errors) == (
        404,
        [("Resource not found", "Nothing could be found for the provided details")],
    )


@pytest.mark.parametrize(
    "body",
    [None, {}, [], {"data": {}}, {"data": None}, {"data": {"attributes": {}}},
     {"data": {"attributes": {"unknown": 1}}}, {"data": {"attributes": {"reason": ["other"]}}},
     {"data": {"attributes": "other"}}, {"reason": "other"}],
)  # fmt: skip
def test_a_body_without_known_attributes_is_a_bad_request(hand: Hand, body: object) -> None:
    got = hand.send("PUT", f"/participants/{NO_ID}/defer", body)

    assert (got.status, got.errors) == (400, [("Bad request", BAD_BODY)])


@pytest.mark.parametrize("kind", ["application/vnd.api+json", "text/plain", ""])
def test_a_body_of_another_type_is_not_read(hand: Hand, kind: str) -> None:
    body = {"data": {"attributes": {"course_identifier": "ecf-induction"}}}

    got = hand.send("PUT", f"/participants/{NO_ID}/resume", body, Content_Type=kind)

    assert (got.status, got.errors) == (400, [("Bad request", BAD_BODY)])


@pytest.mark.parametrize("body", [b"{", b"not json", b"\xff", b'{"data": NaN}', b"[" * 5000])
def test_broken_json_is_an_empty_page(hand: Hand, body: bytes) -> None:
    headers = {
        "Authorization": "Bearer sandbox-fenland",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }

    got = hand.call("POST", "/api/v3/partnerships", headers=headers, body=body)

    assert (got.status, got.body, got.headers["content-type"]) == (400, b"", "text/html")


def test_data_that_is_a_string_makes_the_service_fall_over(hand: Hand) -> None:
    got = hand.send("POST", "/participant-declarations", {"data": "x"})
    page = hand.send("POST", "/participant-declarations", {"data": "x"}, Accept="*/*")

    assert (got.status, got.json) == (500, {"error": "Internal server error"})
    assert (page.status, page.headers["content-type"][:9]) == (500, "text/html")


def test_a_bad_body_is_told_before_the_participant_is_looked_up(hand: Hand) -> None:
    for action in ("defer", "resume", "withdraw", "change-schedule"):
        assert hand.send("PUT", f"/participants/{NO_ID}/{action}", {}).status == 400


def test_void_and_partnership_corrections_look_up_first(hand: Hand) -> None:
    assert hand.send("PUT", f"/partnerships/{NO_ID}", {}).status == 404
    assert hand.send("PUT", f"/participant-declarations/{NO_ID}/void", {}).status == 404


@pytest.mark.parametrize("value", ["0", "-1", "abc", "0.8", "", "%20"])
@pytest.mark.parametrize("name", ["page", "per_page"])
def test_a_page_that_is_no_positive_number_is_a_bad_request(
    hand: Hand, name: str, value: str
) -> None:
    got = hand.get(f"/participants?page[{name}]={value}")

    assert (got.status, got.errors) == (400, [("Bad request", BAD_PAGE)])


def test_a_flat_page_makes_the_service_fall_over(hand: Hand) -> None:
    assert hand.get("/participants?page=2").status == 500


@pytest.mark.parametrize("query", ["filter=2025", "filter[]=2025"])
def test_a_filter_that_is_no_hash_is_a_bad_parameter(hand: Hand, query: str) -> None:
    got = hand.get(f"/participants?{query}")

    assert (got.status, got.errors) == (400, [("Bad parameter", "Filter must be a hash")])


def test_an_id_may_be_written_in_capitals(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    assert hand.get(f"/participants/{hand.ids['e'].upper()}").status == 200


def test_unknown_attributes_are_dropped_silently(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))

    got = hand.act("e", "defer", reason="other", extra={"deep": [1]})

    assert got.status == 200


def test_the_type_in_a_body_is_never_read(hand: Hand) -> None:
    hand.world(a_world(participants={"e": an_ect()}))
    attributes = {"reason": "other", "course_identifier": "ecf-induction"}

    body = {"data": {"type": 7, "attributes": attributes}}

    assert hand.send("PUT", f"/participants/{hand.ids['e']}/defer", body).status == 200
