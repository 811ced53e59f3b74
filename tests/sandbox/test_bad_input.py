"""Any bytes at all, on any path, end in a documented answer; nothing hangs, nothing falls over.

`SANDBOX_FUZZ_CASES` sets how many cases each of these tries; without it there are few, always the
same ones.
"""

import json
import os
import random
import re
import socket
import string
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.bundled import bundled_world
from sandbox.events.shapes import PARTS, Part
from sandbox.server import Sandbox
from tests.sandbox.support import Got, Hand, Json, a_declaration, a_world, an_ect, unfunded

CASES = int(os.environ.get("SANDBOX_FUZZ_CASES", "200"))
FUZZ = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
DOCUMENTED = {200, 304, 400, 401, 404, 422, 429, 500}
TOLD_BY_THE_WIRE = {413, 431}

COLLECTIONS = (
    "participants",
    "participants/transfers",
    "participant-declarations",
    "partnerships",
    "schools",
    "delivery-partners",
    "statements",
    "unfunded-mentors",
)
ACTIONS = ("defer", "resume", "withdraw", "change-schedule", "void", "transfers", "nothing")
ATTRIBUTES = (
    "reason",
    "course_identifier",
    "schedule_identifier",
    "cohort",
    "participant_id",
    "declaration_type",
    "declaration_date",
    "evidence_held",
    "school_id",
    "delivery_partner_id",
)


@pytest.fixture(scope="module")
def fuzzed(served: Sandbox) -> Hand:
    hand = Hand(served)
    people = {"e": an_ect(mentor="m"), "m": unfunded()}
    hand.world(a_world(participants=people, declarations={"d": a_declaration("e")}))
    return hand


def _exchange(sandbox: Sandbox, sent: bytes) -> bytes:
    """Send bytes, say no more, and read until the other side has said all."""
    host, _, port = sandbox.root_url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def raw_exchange(sandbox: Sandbox, sent: bytes) -> bytes:
    """Send bytes and give all that comes back.

    Who closes with bytes unread resets the connection, and the answer may go with it: asked again then.
    """
    for _ in range(4):
        with suppress(ConnectionError):
            return _exchange(sandbox, sent)
    return _exchange(sandbox, sent)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# Bytes on the wire

BYTES = st.binary(max_size=400)
REQUEST_LINES = st.sampled_from(
    [b"GET /api/v3/participants HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"PUT /_sandbox/clock ",
     b"POST /api/v3/partnerships HTTP/1.1\r\nContent-Length: 5\r\n", b"CONNECT a:1 HTTP/1.1\r\n",
     b"GET http://x/api/v3/participants HTTP/1.1\r\nHost: x\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n",
     b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", b""]
)  # fmt: skip


@FUZZ
@given(line=REQUEST_LINES, rest=BYTES)
def test_any_bytes_on_a_connection_end_in_an_answer_or_its_end(
    served: Sandbox, line: bytes, rest: bytes
) -> None:
    answer = raw_exchange(served, line + rest)

    known = DOCUMENTED | TOLD_BY_THE_WIRE | {303, 403, 405}
    assert set(statuses(answer)) <= known, answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), (b"hello\r\n\r\n", 400),
     (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 431),
     (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
     (b"POST /api/v3/x HTTP/1.1\r\nContent-Length: 6000000\r\n\r\n" + b"x" * 5_100_000, 413)],
    ids=["tls", "words", "long path", "long header", "large body"],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_connection_closed(
    served: Sandbox, sent: bytes, status: int
) -> None:
    assert statuses(raw_exchange(served, sent)) == [status]


def test_half_a_request_ends_without_an_answer(served: Sandbox) -> None:
    assert raw_exchange(served, b"GET /api/v3/participants HT") == b""


def test_requests_in_one_go_are_answered_in_order(served: Sandbox) -> None:
    one = b"GET /api/v3/participants HTTP/1.1\r\nHost: x\r\n\r\n"
    other = b"GET /nothing HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n"

    assert statuses(raw_exchange(served, one + other + one)) == [401, 404, 401]


# Requests


def texts(alphabet: str = string.printable) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, max_size=12) | st.sampled_from(
        [
            "2025",
            "%",
            "%ff",
            "%00",
            "\x00",
            "é",
            "-1",
            "9" * 400,
            "0",
            "1e9",
            "2025-09-01T00:00:00Z",
        ]
    )


QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            ["filter[cohort]", "filter[updated_since]", "filter", "page", "page[page]",
             "page[per_page]", "sort", "filter[participant_id]", "filter[a][b][c]", "filter[]",
             "page[page][]", "[", "]", "filter[training_status]", "filter[urn]"]
        ),
        texts(),
    ),
    max_size=4,
)  # fmt: skip


def path_safe(text: str) -> str:
    return "".join(chr(byte) if byte < 128 and chr(byte).isalnum() else f"%{byte:02x}"
                   for byte in text.encode())  # fmt: skip


@FUZZ
@given(
    collection=st.sampled_from(COLLECTIONS),
    wanted=st.none() | texts() | st.sampled_from(["{e}", "{m}", "{d}", "{mill}", "{hub}"]),
    query=QUERIES,
    encoded=st.booleans(),
)
def test_any_read_ends_in_a_documented_answer(
    fuzzed: Hand, collection: str, wanted: str | None, query: list[tuple[str, str]], encoded: bool
) -> None:
    ids = dict(fuzzed.ids)
    known = wanted is not None and wanted.startswith("{") and wanted.endswith("}")
    member = "" if wanted is None else wanted.format(**ids) if known else path_safe(wanted)
    pairs = [f"{path_safe(key) if encoded else key}={path_safe(value)}" for key, value in query]

    got = fuzzed.get(f"/{collection}/{member}".rstrip("/") + "?" + "&".join(pairs))

    assert got.status in DOCUMENTED
    assert got.status != 500 or "page" in dict(query) or "page[page][]" in dict(query), got.body


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | texts() | st.text(max_size=8)
VALUES = (
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(texts(), SCALARS, max_size=2)
    | st.sampled_from(
        ["ecf-induction", "ecf-mentor", "started", "completed", "other", "2025-10-01T09:00:00Z",
         "ecf-extended-september", "2025", "{e}", "{m}", "{weir}", "{hub}"]
    )
)  # fmt: skip
BODIES = (
    st.dictionaries(st.sampled_from(ATTRIBUTES), VALUES, max_size=6).map(
        lambda attributes: {"data": {"type": "x", "attributes": attributes}}
    )
    | VALUES
    | st.dictionaries(st.sampled_from(["data", "x"]), VALUES, max_size=2)
)


@FUZZ
@given(
    collection=st.sampled_from(COLLECTIONS),
    wanted=st.none() | st.sampled_from(["{e}", "{m}", "{d}", "{mill-25}", "x"]),
    action=st.none() | st.sampled_from(ACTIONS),
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
    body=BODIES,
)
def test_any_write_ends_in_a_documented_answer(
    fuzzed: Hand,
    collection: str,
    wanted: str | None,
    action: str | None,
    method: str,
    body: object,
) -> None:
    parts = [collection, *(p.format(**fuzzed.ids) for p in (wanted, action) if p is not None)]
    sent = json.dumps(body)
    for ref in ("e", "m", "weir", "hub"):
        sent = sent.replace(f"{{{ref}}}", fuzzed.ids[ref])

    got = fuzzed.call(
        method,
        "/api/v3/" + "/".join(parts),
        headers={
            "Authorization": "Bearer sandbox-fenland",
            "Accept": "application/json",
            "Content-Type": "application/json",
        },
        body=sent.encode("utf-8", "surrogatepass"),
    )

    assert got.status in DOCUMENTED
    assert got.status != 500 or has_odd_data(body), (sent, got.body)


def has_odd_data(body: object) -> bool:
    """Whether `data` is what makes the real service fall over too."""
    found = cast("Json", body).get("data") if isinstance(body, dict) else None
    return bool(found) and not isinstance(found, dict)


# The control side

ODD: tuple[object, ...] = (
    None, True, 0, -1, 1.5, 10**30, "", "x", "2025", "2025-09-01", "9999-12-31T23:59:59Z",
    "0001-01-01", [], [1], {}, {"x": 1}, "\ud800", "é" * 70, ["harbour", 2025], {"bulk": {}},
)  # fmt: skip


ODD_FAULTS: tuple[object, ...] = (
    [cast("Json", {})],
    [{"do": 1}],
    [{"do": {"status": 1}}],
    {"prior_requests": 3},
    {"limit": True},
    [{"match": {"path_regex": "("}, "do": {"status": 500}}],
    [{"do": {"delay_ms": [1]}}],
    [{"do": {"hide": ["x"]}}],
)


def damaged(world: object, chance: random.Random) -> object:
    """A world with one thing in it replaced, removed or added."""
    here = world
    for _ in range(chance.randint(1, 8)):
        keys = list(cast("Json", here)) if isinstance(here, dict) else []
        if isinstance(here, list):
            keys = list(range(len(cast("list[object]", here))))
        if not keys:
            break
        key = chance.choice(keys)
        inner = cast("Callable[[object], object]", here.__getitem__)(key)  # type: ignore[union-attr]
        if not isinstance(inner, (dict, list)) or chance.random() < 0.25:
            _damage(cast("Json", here), cast("str", key), chance)
            break
        here = cast("object", inner)
    return world


def _damage(holder: Json, key: str, chance: random.Random) -> None:
    how = chance.random()
    if how < 0.25:
        del holder[key]
    elif how < 0.35 and hasattr(holder, "keys"):
        holder[chance.choice(("x", "posts", "role", "note", "id", "moves_to"))] = chance.choice(ODD)
    else:
        holder[key] = chance.choice(ODD)


@pytest.mark.parametrize("long_form", [False, True])
def test_any_damage_to_a_world_is_told_or_harmless(served: Sandbox, long_form: bool) -> None:
    hand, chance = Hand(served), random.Random(7)
    hand.control("PUT", "/world", bundled_world())
    whole = hand.control("GET", "/world").json if long_form else bundled_world()

    for _ in range(CASES // 6):
        got = hand.control("PUT", "/world", damaged(deepcopy(whole), chance))

        assert got.status in (200, 400), got.body
        if got.status == 200:
            assert hand.control("GET", "/world").status == 200
            assert hand.get("/participants", by="harbour").status in (200, 401)
            assert hand.get("/participant-declarations", by="harbour").status in (200, 401)


KNOWN: dict[str, tuple[object, ...]] = {
    "participants": ("amara-okafor", "leila-hosseini", "fiona-campbell", "gareth-lloyd"),
    "schools": ("ashcombe", "fernhill"),
    "providers": ("harbour", "northmoor"),
    "partnerships": ("ash-2025", "ash-northmoor"),
    "statements": ("apr26-for-2025", "jan26-for-2025"),
    "declarations": ("d-amara-1", "d-yusuf-1", "d-sunita-1"),
    "delivery_partners": ("kestrel", "larkfield"),
    "cohort": (2024, 2025, "2026"),
    "day": ("2025-09-01", "2026-02-10", "2026-03-01", "2024-01-01"),
    "instant": ("2026-02-10T09:00:00Z",),
    "flag": (True, False),
    "role": ("ect", "mentor"),
    "schedule": ("ecf-extended-september", "ecf-standard-april"),
    "text": ("some text",),
    "token": ("t1", "sandbox-harbour"),
    "new": ("n1", "n2", "ashcombe"),
    "refs": (["amara-okafor"], ["ashcombe", "p*"]),
    "declaration_state": ("voided", "paid"),
    "declaration_type": ("started", "completed"),
    "evidence": ("other",),
    "outcome": ("pass", "fail"),
    "funding_end": ("started_not_completed",),
    "pattern": ("part_time",),
    "programme": ("school_led",),
}


def some_event(chance: random.Random) -> Json:
    kind = chance.choice(list(PARTS))
    event: Json = {"event": kind}
    for part in PARTS[kind]:
        if part.name != "body" and (part.needed or chance.random() < 0.5):
            event[part.name] = _some_value(part, chance)
    if kind == "school_registers_participant":
        event |= {"role": "ect", "school": "ashcombe", "school_started_on": "2026-02-01"}
    if chance.random() < 0.2:
        event[chance.choice(["at", "visible_at"])] = chance.choice(
            ["2026-02-09T00:00:00Z", "2026-02-20T00:00:00Z"]
        )
    if chance.random() < 0.2:
        event[chance.choice([*event, "x"])] = chance.choice(ODD)
    return event


def _some_value(part: Part, chance: random.Random) -> object:
    return None if part.nullable and chance.random() < 0.2 else chance.choice(KNOWN[part.kind])


def some_write(hand: Hand, chance: random.Random) -> Got:
    """A write that may well be accepted, of a person who may well be gone."""
    ref = str(chance.choice(KNOWN["participants"]))
    by, course = chance.choice(("harbour", "northmoor")), chance.choice(("induction", "mentor"))
    action = chance.choice(("defer", "resume", "withdraw", "change-schedule", "declare", "void"))
    if action == "declare":
        kind = chance.choice(("started", "retained-2", "completed"))
        return hand.declare(
            ref,
            kind,
            by=by,
            course_identifier=f"ecf-{course}",
            declaration_date=chance.choice(("2025-10-01T09:00:00Z", "2026-02-10T09:00:00Z")),
            evidence_held="other" if kind == "started" else "75-percent-engagement-met",
        )
    if action == "void":
        return hand.void(str(chance.choice(KNOWN["declarations"])), by=by)
    return hand.act(
        ref,
        action,
        by=by,
        course_identifier=f"ecf-{course}",
        reason="other",
        schedule_identifier="ecf-extended-september",
        cohort=chance.choice(("2024", "2025")),
    )


def test_any_events_are_applied_or_refused_and_leave_a_world_that_loads(
    served: Sandbox,
) -> None:
    hand, chance = Hand(served), random.Random(11)
    applied = 0
    for number in range(CASES):
        if number % 15 == 0:
            hand.world(bundled_world())
            hand.clock("2026-02-10T12:00:00Z")
        assert some_write(hand, chance).status in (200, 401, 404, 422)
        got = hand.events(*(some_event(chance) for _ in range(chance.randint(1, 2))))
        assert got.status in (200, 400), got.body
        applied += got.status == 200
        if number % 5 == 4:
            world = hand.control("GET", "/world").json
            again = hand.control("PUT", "/world", world)
            assert again.status == 200, again.body
            assert hand.control("GET", "/world").json == world
            for path in COLLECTIONS:
                for by in ("harbour", "northmoor"):
                    status = hand.get(f"/{path}?filter[cohort]=2025", by=by).status
                    assert status in (200, 401)
    assert applied > CASES / 5
    hand.clock("2026-03-10T12:00:00Z")


@pytest.mark.parametrize("path", ["/clock", "/limiter", "/faults", "/events", "/world", "/reset"])
def test_any_json_to_the_control_side_is_answered(served: Sandbox, path: str) -> None:
    hand = Hand(served)
    method = "POST" if path in ("/events", "/reset") else "PUT"
    for value in (*ODD, *ODD_FAULTS):
        body = json.dumps(value).encode("utf-8", "surrogatepass")
        assert hand.call(method, f"/_sandbox{path}", body=body).status in (200, 400)
    hand.control("POST", "/reset")
