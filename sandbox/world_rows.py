"""The rows of a world's section: one by one, with bulks written out."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha1
from typing import cast
from uuid import NAMESPACE_URL

from sandbox.reading import Fields, Problems, as_list, as_object

MOST_IN_BULK = 1_000_000
"""Entities in one bulk. More would not fit into the memory of a common machine."""

LONGEST_STEP = 10_000_000.0
"""Seconds between two entities of a bulk, so that the last one stays in the calendar."""

_NAMESPACE = NAMESPACE_URL.bytes
_REF = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.A)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.A | re.I)
_NUMBER = re.compile(r"\{n(?:%(\d{1,9}))?\}", re.A)


def is_ref(text: str) -> bool:
    return _REF.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def id_for(section: str, ref: str) -> str:
    """The id of an entity that was given none: the same at every start."""
    digest = sha1(_NAMESPACE + f"sandbox:{section}:{ref}".encode("utf-8", "replace")).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]  # the rest is what `uuid5` does, at a third the cost
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


@dataclass(slots=True, kw_only=True)
class Bulk:
    """What the entities of one bulk share; the bases are remembered from the first of them."""

    count: int
    like: object
    prefix: str
    created_step: timedelta | None
    updated_step: timedelta | None
    created_base: datetime | None = None
    updated_base: datetime | None = None


@dataclass(frozen=True, slots=True)
class RawRow:
    """One entity as it was written, and where."""

    ref: str
    where: str
    raw: object
    number: int = 0
    bulk: Bulk | None = None


def entries(section: str, raw: object, problems: Problems) -> Iterator[tuple[str, object]]:
    """The keys and values of a section, without its note."""
    if raw is None:
        return
    found = as_object(raw)
    if found is None:
        problems.add(section, "must be an object")
        return
    for key, value in found.items():
        if key != "note":
            yield key, value


def expand(section: str, raw: object, problems: Problems) -> list["RawRow | Bulk"]:
    """The rows of a section, each bulk still as one."""
    rows: list[RawRow | Bulk] = []
    for key, value in entries(section, raw, problems):
        found = as_object(value)
        if found is not None and "bulk" in found:
            bulk = _bulk(Fields(found, f"{section}.{key}", problems), key)
            rows.append(bulk)
        else:
            rows.append(RawRow(key, f"{section}.{key}", value))
    return rows


def _bulk(outer: Fields, key: str) -> Bulk:
    fields = outer.inner("bulk")
    outer.done()
    count = fields.whole("count")
    if not 0 <= count <= MOST_IN_BULK:
        fields.complain("count", f"must be from 0 to {MOST_IN_BULK}")
        count = 0
    bulk = Bulk(
        count=count,
        like=fields.required("like"),
        prefix=fields.text_or("ref_prefix", key),
        created_step=_step(fields, "created_at_step_seconds"),
        updated_step=_step(fields, "updated_at_step_seconds"),
    )
    fields.done()
    return bulk


def _step(fields: Fields, key: str) -> timedelta | None:
    value = fields.take(key)
    if value is None:
        return None
    usable = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not usable or not abs(cast("float", value)) <= LONGEST_STEP:
        fields.complain(key, "must be a number of seconds")
        return None
    return timedelta(seconds=cast("float", value))


def written_out(section: str, rows: list["RawRow | Bulk"]) -> Iterator[RawRow]:
    """Every entity of a section as a row of its own."""
    for row in rows:
        if isinstance(row, RawRow):
            yield row
            continue
        made = template(row.like)
        for number in range(1, row.count + 1):
            ref = f"{row.prefix}{number}"
            raw = made(number) if made else row.like
            yield RawRow(ref, f"{section}.{ref}", raw, number, row)


def names(section: str, rows: list["RawRow | Bulk"]) -> Iterator[tuple[str, str, object]]:
    """Where each entity of a section stands, its ref, and the id it was given, if any."""
    for row in rows:
        if isinstance(row, RawRow):
            found = as_object(row.raw) or {}
            yield row.where, row.ref, found.get("id")
            continue
        given = (as_object(row.like) or {}).get("id")
        made = template(given)
        for number in range(1, row.count + 1):
            ref = f"{row.prefix}{number}"
            yield f"{section}.{ref}", ref, made(number) if made else given


Template = Callable[[int], object]


def template(value: object) -> Template | None:
    """How to write a value out for a number; None if it is the same for all.

    `{n}` stands for the number and `{n%40}` for its remainder. What is the same for all is shared
    between the rows, for a bulk can be large.
    """
    if isinstance(value, str):
        return _text_template(value)
    found = as_object(value)
    if found is not None:
        return _object_template(found)
    items = as_list(value)
    return _list_template(items) if items is not None else None


def _text_template(text: str) -> Template | None:
    pieces: list[str | int] = []
    end = 0
    for match in _NUMBER.finditer(text):
        divisor = match.group(1)
        if divisor is not None and not int(divisor):
            continue
        pieces += [text[end : match.start()], int(divisor) if divisor else 0]
        end = match.end()
    if not pieces:
        return None
    last = text[end:]
    return lambda number: "".join(_pieces(pieces, number)) + last


def _pieces(pieces: list[str | int], number: int) -> Iterator[str]:
    for piece in pieces:
        yield piece if isinstance(piece, str) else str(number % piece if piece else number)


def _object_template(found: dict[str, object]) -> Template | None:
    changing = {key: made for key, value in found.items() if (made := template(value))}
    if not changing:
        return None
    return lambda number: {**found, **{key: made(number) for key, made in changing.items()}}


def _list_template(items: list[object]) -> Template | None:
    templates = [template(item) for item in items]
    if not any(templates):
        return None
    return lambda number: [
        made(number) if made else item for made, item in zip(templates, items, strict=True)
    ]
