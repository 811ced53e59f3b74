"""Whatever is sent as a parameter or a field: never an error of ours, and a sentence that says which."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

import console
from console.app import PAGES
from console.chosen import BULK_WORDS, WORDS
from runtime.database import Database
from tests.desk.test_deeds import refused
from tests.integration.test_delivery import known
from tests.support.desk import ROOT, Desk, a_site
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture

NASTY = {
    "nothing": "",
    "huge": "9" * 30,
    "negative": "-1",
    "NUL": "a%00b",
    "emoji": quote("🦉"),
    "long": "x" * 10_000,
    "quotes": quote("'\"; --<b>%"),
    "no date": "2025-13-45T99:99:99Z",
    "first day": "0001-01-01T00:00:00%2B14:00",
    "long time": "99999999999d",
    "bad UTF-8": "%ff%fe%80",
}
NASTY_PARTS = tuple(NASTY[one] for one in ("huge", "negative", "NUL", "quotes", "bad UTF-8"))
UNHELPFUL = ("A number in it is too large", "Something went wrong", "The database does not answer")

QUERIES: dict[str, Sequence[str]] = {
    "/": ("numbers",),
    "/accounts": (),
    "/audit": ("actor", "action", "subject", "after"),
    "/bulk": ("destination", "after"),
    "/bulk/new": (*BULK_WORDS, "destination", "deed"),
    "/bulk/{id}": ("result", "show", "after"),
    "/bulk/{id}/records": ("result", "after"),
    "/bulk/{id}/report.csv": (),
    "/differences": ("kind", "field", "person", "state", "after", "destination"),
    "/differences/{id}": ("destination",),
    "/entries": (
        *("record", "event", "source", "outcome", "since", "until", "kind", "entries"),
        *("destination", "after"),
    ),
    "/entries/{id}": (),
    "/feed": ("after", "limit", "subject", "source", "kind", "destination"),
    "/feed/subscribers": ("destination",),
    "/metrics": (),
    "/people": ("q", "state", "destination", "after", "format"),
    "/people/{id}": (),
    "/polls": ("destination",),
    "/polls/runs": ("source", "destination", "after"),
    "/polls/{source}": ("destination",),
    "/problems": (*WORDS, "destination"),
    "/problems/list": (*WORDS, "destination", "after", "format"),
    "/problems/discarded": ("destination", "after"),
    "/problems/{id}": (),
    "/problems/{id}/correct": ("entry",),
    "/quota": (),
    "/readyz": (),
    "/rules": (),
    "/runbook": (),
    "/sign-in": ("next",),
    "/status.json": (),
}
"""The parameters of each page."""

FORMS: dict[str, Sequence[str]] = {
    "/accounts": ("name", "password", "role"),
    "/accounts/{name}/password": ("password",),
    "/accounts/{name}/remove": (),
    "/accounts/{name}/role": ("role",),
    "/bulk": ("number", "first", "when", "reason"),
    "/bulk/{id}/cancel": ("reason",),
    "/bulk/{id}/go": ("when", "reason"),
    "/bulk/{id}/resume": ("reason",),
    "/differences/{id}/resolve": ("way", "reason"),
    "/feed/subscribers/{name}/forget": ("reason", "destination"),
    "/feed/subscribers/{name}/resume": ("reason", "destination", "begin"),
    "/feed/subscribers/{name}/skip": ("reason", "destination"),
    "/polls/book": ("hours", "agreed_by", "source", "back"),
    "/polls/unbook": ("hours", "source"),
    "/polls/{source}/full": ("number", "reason"),
    "/polls/{source}/past-the-brake": ("brake_reason",),
    "/polls/{source}/pause": ("pause_reason",),
    "/polls/{source}/resume": (),
    "/polls/{source}/run": ("since", "everything"),
    "/problems/groups/{group}/say": ("owner", "note", "destination"),
    "/problems/{id}/accept-theirs": ("seen", "reason"),
    "/problems/{id}/correct": ("entry", "why", "seen", "reason"),
    "/problems/{id}/discard": ("discard_reason", "seen"),
    "/problems/{id}/look": ("seen", "back"),
    "/problems/{id}/override": ("reason", "seen"),
    "/problems/{id}/replay": ("reason", "seen"),
    "/problems/{id}/restore": ("reason",),
    "/problems/{id}/say": ("owner", "note"),
    "/problems/{id}/send-ours": ("seen", "reason"),
    "/quota/{destination}/pause": ("length", "reason"),
    "/quota/{destination}/resume": ("reason", "throttle"),
    "/reveal": ("subject", "back"),
    "/sign-in": ("name", "password", "next"),
    "/sign-out": (),
    "/tokens": ("program", "program_role"),
    "/tokens/{name}/remove": (),
}
"""The fields of each form."""

GOOD = {"reason": "why", "why": "so", "agreed_by": "Priya", "discard_reason": "why", "hours": "mon"}
"""What else is in a form, so that the field that is looked at is reached."""


WRITTEN = frozenset(
    {"reason", "why", "note", "owner", "discard_reason", "pause_reason", "agreed_by"}
)
"""The fields that are only written down: a few values say as much as all of them."""


@pytest.fixture
def desk(known: Outbox, database: Database) -> Desk:
    """The console on that database, by that clock, before one letter."""
    refused(known)
    return Desk(a_site(database, known.clock))


def of(path: str, value: str) -> str:
    """Fill in an address; ids are those of the letter."""
    told = {"id": "1", "source": "participants", "destination": "default"}
    return re.sub(r"\{(\w+)\}", lambda part: told.get(part[1], value), path)


def test_the_lists_name_every_route_and_every_parameter() -> None:
    gets = {one.path for one in PAGES if "GET" in (one.methods or ())}
    posts = {one.path for one in PAGES if "POST" in (one.methods or ())}
    source = "".join(one.read_text() for one in Path(console.__file__).parent.rglob("*.py"))
    asked = set(re.findall(r"\basked\(\s*\"(\w+)\"", source))
    filled = set(re.findall(r"\bform\.(?:text|needed|number|all)\(\s*\"(\w+)\"", source))

    assert (set(QUERIES), set(FORMS)) == (gets, posts)
    assert asked <= {one for names in QUERIES.values() for one in names}
    assert filled - {"csrf"} <= {one for names in FORMS.values() for one in names}


def test_no_parameter_makes_an_error_of_ours(desk: Desk) -> None:
    asks = [
        (name, f"{of(path, 'x')}?{query}")
        for path, names in QUERIES.items()
        for name in names
        for query in (*(f"{name}={one}" for one in NASTY.values()), f"{name}=1&{name}=2")
    ]
    ids = [
        ("id", path.replace("{id}", value).replace("{source}", value))
        for path in QUERIES
        for value in NASTY_PARTS
        if "{" in path
    ]

    async def send(client: httpx.AsyncClient) -> list[str]:
        found: list[str] = []
        for number, (name, url) in enumerate((*asks, *ids)):
            head = {"accept": "text/html"} if number % 5 == 0 else {}
            found += wrong(await client.get(url, headers=head), name, url)
        return found

    assert in_one_go(desk, send) == []


def test_no_field_makes_an_error_of_ours(desk: Desk) -> None:
    seal = desk.csrf()

    def body(name: str, value: str) -> str:
        others = {one: text for one, text in GOOD.items() if one != name}
        return "&".join(
            [f"csrf={seal}", f"{name}={value}", *(f"{a}={b}" for a, b in others.items())]
        )

    asks = [
        (name, of(path, "x"), body(name, value))
        for path, names in FORMS.items()
        for name in names
        for value in (*NASTY.values(), f"1&{name}=2")
        if name not in WRITTEN or value in NASTY_PARTS
    ]
    asks += [
        ("path", of(path, value), body("none", ""))
        for path in FORMS
        for value in NASTY_PARTS
        if "{" in path
    ]

    async def send(client: httpx.AsyncClient) -> list[str]:
        head = {"content-type": "application/x-www-form-urlencoded", "origin": ROOT}
        return [
            found
            for name, url, text in asks
            for found in wrong(await client.post(url, content=text, headers=head), name, url + text)
        ]

    assert in_one_go(desk, send) == []


def in_one_go(desk: Desk, send: Callable[[httpx.AsyncClient], Awaitable[list[str]]]) -> list[str]:
    """Send many requests in one loop, as a program."""

    async def sending() -> list[str]:
        transport = httpx.ASGITransport(desk.app, raise_app_exceptions=False)
        head = {"accept": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url=ROOT, headers=head) as client:
            return await send(client)

    return asyncio.run(sending())


def wrong(answer: httpx.Response, name: str, sent: str) -> list[str]:
    """Say what is wrong with an answer, if anything is."""
    line = f"{answer.status_code} {sent[:120]}: {answer.text[:160]}"
    if answer.status_code == 503 and sent.startswith("/readyz"):
        return []
    if answer.status_code >= 500:
        return [line]
    if answer.status_code < 400 or "json" not in answer.headers["content-type"]:
        return []
    told = answer.json()
    sentence = told.get("error", "")
    helpful = bool(sentence) and not sentence.startswith(UNHELPFUL)
    named = answer.status_code != 422 or told.get("field") or name in sentence
    return [] if helpful and (named or "?" not in sent) else [line]
