"""The API's published schema, and as much of a validator as it needs."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from schema.plans import Request

FILE = Path(
    os.environ.get("LEAD_PROVIDER_API_SCHEMA")
    or Path(__file__).parents[2] / "../shared/lead-provider-api-v3.yaml"
)
BASE = "/api/v3"

needs_schema = pytest.mark.skipif(
    not FILE.exists(), reason=f"the API's schema is not at {FILE} (LEAD_PROVIDER_API_SCHEMA)"
)

_FORMATS = {
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
}
_TYPES: Mapping[str, type] = {"object": dict, "array": list, "string": str, "integer": int}


@cache
def document() -> dict[str, Any]:
    with FILE.open(encoding="utf-8") as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def component(name: str) -> dict[str, Any]:
    return document()["components"]["schemas"][name]


def operation_of(request: Request) -> dict[str, Any]:
    """Find the published operation that a request calls; raises KeyError when there is none."""
    for path, operations in document()["paths"].items():
        here = re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), BASE + request.path)
        if here and request.method.lower() in operations:
            return operations[request.method.lower()]
    raise KeyError(f"{request.method} {request.path}")


def complaints(request: Request) -> list[str]:
    """Say what the published schema finds wrong with a request."""
    operation = operation_of(request)
    published = operation.get("requestBody")
    if published is None:
        return [] if request.body is None else ["a body where none is wanted"]
    schema = published["content"]["application/json"]["schema"]
    return list(_complaints(schema, request.body, "body"))


def _complaints(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _complaints(component(schema["$ref"].rpartition("/")[2]), value, place)
        return
    if "anyOf" in schema:
        choices = [list(_complaints(one, value, place)) for one in schema["anyOf"]]
        yield from [] if [] in choices else min(choices, key=len)
    if not isinstance(value, _TYPES.get(schema.get("type", "object"), object)):
        yield f"{place} is not {schema.get('type')}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} is {value!r}, not one of {schema['enum']}"
    shape = _FORMATS.get(schema.get("format", ""))
    if shape is not None and not shape.fullmatch(value):
        yield f"{place} is no {schema['format']}"
    if isinstance(value, dict):
        yield from _of_object(schema, cast(dict[str, Any], value), place)


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Any], place: str) -> Iterator[str]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield f"{place}.{name} is missing"
    if schema.get("additionalProperties") is False:
        yield from (f"{place}.{name} is not known" for name in value if name not in known)
    for name, one in known.items():
        if value.get(name) is not None:
            yield from _complaints(one, value[name], f"{place}.{name}")
