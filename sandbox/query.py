"""Query strings as the API reads them: nested names, integer pages, instants decoded twice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus

from sandbox.reading import as_object
from sandbox.times import in_utc
from sandbox.world_rows import is_uuid

PER_PAGE = 100
MOST_PER_PAGE = 3000
MOST_LEVELS = 8
"""How deep names may nest; deeper ones are left out."""

_LEADING_INTEGER = re.compile(r"\s*([+-]?\d+(?:_\d+)*)", re.A)
_KEY = re.compile(r"([^\[]*)((?:\[[^\]]*\])*)")
_SINCE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?", re.A | re.I
)
SORTABLE = ("created_at", "updated_at")

Params = dict[str, object]


class Refusal400(Exception):
    """The request cannot be read; answered with 400."""

    def __init__(self, title: str, detail: str) -> None:
        super().__init__(detail)
        self.title, self.detail = title, detail


class Crash(Exception):
    """What makes the real service fall over; answered with 500."""


BAD_BODY = "Correct json data structure required. See API docs for reference."
BAD_PAGE = (
    "The '#/page[page]' and '#/page[per_page]' parameter values must be a valid positive number"
)
BAD_SINCE = "The filter '#/updated_since' must be a valid ISO 8601 date"
NO_COHORT = "The filter '#/cohort' must be included in your request"
BAD_FILTER = "Filter must be a hash"


def parse_query(query: str) -> Params:
    """Read `a[b]=c` into nested objects, and `a[]=c` into lists. Later values win."""
    params: Params = {}
    for pair in query.split("&"):
        if not pair:
            continue
        raw_key, _, raw_value = pair.partition("=")
        _store(params, unquote_plus(raw_key), unquote_plus(raw_value))
    return params


def _store(params: Params, key: str, value: str) -> None:
    match = _KEY.match(key)
    if match is None or not match.group(1):
        return
    path = re.findall(r"\[([^\]]*)\]", match.group(2))[:MOST_LEVELS]
    here, name = params, match.group(1)
    for part in path:
        if part == "":
            here[name] = [value]
            return
        inner = as_object(here.get(name))
        if inner is None:
            inner = {}
            here[name] = inner
        here, name = inner, part
    here[name] = value


def leading_integer(text: str) -> int:
    """The integer a text begins with, else 0: how the service reads numbers."""
    match = _LEADING_INTEGER.match(text)
    return int(match.group(1)[:40].replace("_", "")) if match else 0


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    size: int

    @property
    def start(self) -> int:
        return (self.number - 1) * self.size


def page_of(params: Params) -> Page:
    """The page asked for. A flat `page` makes the service fall over."""
    page = params.get("page")
    if page is None:
        return Page(1, PER_PAGE)
    given = as_object(page)
    if given is None:
        raise Crash
    size = min(_positive(given, "per_page", PER_PAGE), MOST_PER_PAGE)
    return Page(_positive(given, "page", 1), size)


def _positive(given: Mapping[str, object], key: str, default: int) -> int:
    value = given.get(key)
    if not isinstance(value, str):
        return default
    number = leading_integer(value)
    if number < 1:
        raise Refusal400("Bad request", BAD_PAGE)
    return number


def filters_of(params: Params) -> dict[str, str]:
    """The filters that are plain values; others count as absent."""
    raw = params.get("filter")
    if raw is None:
        return {}
    given = as_object(raw)
    if given is None:
        raise Refusal400("Bad parameter", BAD_FILTER)
    return {key: value for key, value in given.items() if isinstance(value, str)}


def since_of(filters: Mapping[str, str]) -> datetime | None:
    """The `updated_since` filter. It is decoded a second time, so `+` is lost."""
    value = filters.get("updated_since", "")
    if not value.strip():
        return None
    text = unquote_plus(value)
    at = in_utc(text.upper()) if _SINCE.fullmatch(text) else None
    if at is None:
        raise Refusal400("Bad request", BAD_SINCE)
    return at


def years_of(filters: Mapping[str, str]) -> frozenset[int] | None:
    """The years of a `cohort` list: None is no filter, an empty set matches nothing."""
    parts = _parts(filters, "cohort")
    return None if parts is None else frozenset(
        int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) < 9
    )  # fmt: skip


def ids_of(filters: Mapping[str, str], key: str) -> frozenset[str] | None:
    """The ids of a list: None is no filter, an empty set matches nothing."""
    parts = _parts(filters, key)
    return None if parts is None else frozenset(p.lower() for p in parts if is_uuid(p))


def _parts(filters: Mapping[str, str], key: str) -> list[str] | None:
    value = filters.get(key, "")
    return [part.strip() for part in value.split(",")] if value.strip() else None


def required_year(filters: Mapping[str, str]) -> int:
    """The one year that schools must be asked for; only its leading digits are read."""
    value = filters.get("cohort", "")
    if not value.strip():
        raise Refusal400("Bad parameter", NO_COHORT)
    return leading_integer(value)


def sort_of(params: Params) -> tuple[str, ...]:
    """The known parts of `sort`, each `created_at` or `updated_at`, with `-` for descending."""
    value = params.get("sort")
    if not isinstance(value, str):
        return ()
    parts = [part[1:] if part.startswith("+") else part for part in value.split(",")]
    return tuple(part for part in parts if part.removeprefix("-") in SORTABLE)
