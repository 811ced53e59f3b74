"""A request as it arrived, and an answer as it is sent."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

from sandbox.arrivals import RawHeaders

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
TEXT_TYPE = "text/plain"

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True, kw_only=True)
class Request:
    """One request. `target` is the path with its query, as sent."""

    method: str
    target: str
    headers: RawHeaders
    body: bytes
    address: str
    port: int
    path: str = field(init=False)
    query: str = field(init=False)
    _named: dict[bytes, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        path, _, query = self.target.partition("?")
        self.path, self.query = path, query.partition("#")[0]
        self._named = {name.lower(): value.decode("latin-1") for name, value in self.headers}

    def header(self, name: bytes) -> str | None:
        return self._named.get(name)

    @property
    def wants_json(self) -> bool:
        """Whether what the framework itself answers comes as JSON."""
        return "application/json" in (self.header(b"accept") or "")

    @property
    def has_json(self) -> bool:
        """Whether the body is of the one type that is read."""
        kind = (self.header(b"content-type") or "").partition(";")[0]
        return kind.strip().lower() == "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, headers and a body."""

    status: int
    headers: Headers = ()
    body: bytes = b""


def dumped(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status=status, headers=(("content-type", JSON_TYPE),), body=dumped(value))


def text_answer(text: str, status: int) -> Answer:
    return Answer(status=status, headers=(("content-type", TEXT_TYPE),), body=text.encode())


def html_answer(html: str, status: int = 200) -> Answer:
    return Answer(status=status, headers=(("content-type", HTML_TYPE),), body=html.encode())


def html_status(status: int) -> Answer:
    """The short page that frameworks and proxies show."""
    phrase = phrase_of(status)
    return html_answer(
        f"<!DOCTYPE html><html><head><title>{status} {phrase}</title></head>"
        f"<body><h1>{status} {phrase}</h1></body></html>\n",
        status,
    )


def phrase_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def errors_answer(status: int, *errors: tuple[str, str]) -> Answer:
    """A list of titles and details, as the service gives for what it understands."""
    return json_answer(
        {"errors": [{"title": title, "detail": detail} for title, detail in errors]}, status
    )


def framework_answer(request: Request, status: int, error: str) -> Answer:
    """What the framework answers for itself: JSON for those who accept it, else a page."""
    return json_answer({"error": error}, status) if request.wants_json else html_status(status)


UNAUTHORISED = json_answer({"error": "HTTP Token: Access denied"}, 401)
RETRY_LATER = text_answer("Retry later\n", 429)
BROKEN_JSON = Answer(status=400, headers=(("content-type", "text/html"),))
NOT_FOUND = errors_answer(
    404, ("Resource not found", "Nothing could be found for the provided details")
)


def not_routed(request: Request) -> Answer:
    return framework_answer(request, 404, "Resource not found")


def crashed(request: Request) -> Answer:
    return framework_answer(request, 500, "Internal server error")


def reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def parse_json(body: bytes) -> object:
    """Read strict JSON; raises ValueError or RecursionError for anything else."""
    return cast("object", json.loads(body.decode("utf-8"), parse_constant=reject_constant))
