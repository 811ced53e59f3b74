"""The pages for people."""

import json
from html import unescape
from urllib.parse import urlencode

import pytest

from sandbox.pages.operations import OPERATIONS
from sandbox.server import Sandbox
from tests.sandbox.support import Got, Hand, a_declaration, a_world, an_ect, unfunded


def page(hand: Hand, path: str) -> str:
    got = hand.call("GET", path)
    assert (got.status, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert got.headers["content-security-policy"].startswith("default-src 'self';")
    return unescape(got.body.decode())


def act(hand: Hand, **form: str) -> Got:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return hand.call("POST", "/act", headers=headers, body=urlencode(form).encode())


@pytest.fixture
def people(hand: Hand) -> Hand:
    hand.world(
        a_world(
            participants={
                "e": an_ect(full_name="Zoë <b>O'Neil</b>", mentor="m"),
                "f": an_ect(),
                "m": unfunded(full_name="Beth"),
                "n": unfunded(full_name="Nia"),
            },
            declarations={"d": a_declaration("e", state="eligible")},
        )
    )
    return hand


def test_the_first_page_tells_what_this_is_and_who_is_in_it(people: Hand) -> None:
    shown = people.call("GET", "/").body.decode()

    for told in ("Not a DfE service", "sandbox-fenland", "/api/v3", "Beth", "Mill Lane",
                 "Zoë &lt;b&gt;O&#39;Neil&lt;/b&gt;", "of 1000000 requests"):  # fmt: skip
        assert told in shown
    assert "<b>" not in shown


def test_nothing_is_fetched_from_elsewhere(people: Hand) -> None:
    for path in ("/", "/docs", "/people/e"):
        shown = people.call("GET", path).body.decode()
        assert "<style" not in shown
        assert "onclick" not in shown
        assert 'src="http' not in shown
        assert 'href="http' not in shown


@pytest.mark.parametrize("name", ["sandbox.css", "sandbox.js", "icon.svg"])
def test_what_pages_are_made_of_is_served(hand: Hand, name: str) -> None:
    assert hand.call("GET", f"/static/{name}").status == 200
    assert hand.call("GET", f"/static/../{name}").status == 404


def test_people_are_searched_and_paged(people: Hand) -> None:
    crowd = {"bulk": {"count": 60, "like": an_ect(full_name="Crowd {n}")}}
    people.world(a_world(participants={"c": crowd}))

    assert "page 1 of 3" in page(people, "/")
    assert "Crowd 60" in page(people, "/?page=3")
    assert "Crowd 42" in page(people, "/?search=crowd+42")
    assert "0 people" in page(people, "/?search=nobody")


def test_a_click_renames(people: Hand) -> None:
    got = act(people, act="rename", participant="e", full_name="New Name")

    assert (got.status, got.headers["location"]) == (303, "/people/e")
    assert people.participant("e").attributes["full_name"] == "New Name"
    assert "Participant renamed." in page(people, "/people/e")
    assert "Participant renamed." not in page(people, "/people/e")


def test_a_click_assigns_a_mentor_reports_leaving_merges_and_pays(people: Hand) -> None:
    act(people, act="assign", participant="e", mentor="n")
    assert people.participant("e").enrolment["mentor_id"] == people.ids["n"]

    act(people, act="payable", statement="dec")
    assert people.declared("d").attributes["state"] == "payable"
    act(people, act="paid", statement="dec")
    assert people.declared("d").attributes["state"] == "paid"

    act(people, act="leave", participant="e", on="2025-11-14")
    assert people.participant("e").enrolment["participant_status"] == "left"

    act(people, act="merge", participant="e", to="f")
    assert people.participant("e").status == 404
    assert act(people, act="night").status == 303


def test_what_cannot_be_done_is_said(people: Hand) -> None:
    act(people, act="merge", participant="e", to="nobody")

    assert "unknown ref 'nobody'" in page(people, "/")
    assert act(people, act="dance").status == 400
    assert people.call("GET", "/act").status == 405
    assert people.call("GET", "/people/nobody").status == 404
    assert people.call("POST", "/").status == 405


@pytest.mark.parametrize("headers", [{"Host": "evil"}, {"Origin": "http://evil"}], ids=str)
def test_other_sites_cannot_act(people: Hand, headers: dict[str, str]) -> None:
    form = urlencode({"act": "rename", "participant": "e", "full_name": "X"}).encode()

    assert people.call("POST", "/act", headers=headers, body=form).status == 403


def test_the_operations_are_all_24(hand: Hand) -> None:
    shown = page(hand, "/docs")
    document = json.loads(hand.call("GET", "/openapi.json").body)

    count = sum(len(methods) for methods in document["paths"].values())
    assert (len(OPERATIONS), count) == (24, 24)
    for operation in OPERATIONS:
        assert operation.summary in shown


def test_without_control_the_pages_show_nobody() -> None:
    with Sandbox(a_world(participants={"e": an_ect(full_name="Secret")}), control=False) as sandbox:
        hand = Hand(sandbox)

        assert "Secret" not in page(hand, "/")
        assert "sandbox-fenland" not in page(hand, "/docs")
        assert hand.call("GET", "/people/e").status == 404
        assert hand.call("POST", "/act").status == 404
