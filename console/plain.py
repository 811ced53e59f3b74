"""Values as JSON, for the command's `--json` and the pages' JSON alike.

One idea: one writer, so that a program gets the same object from either: UTC ISO times, durations in
seconds, everything else as its text.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any


def as_json(value: Any) -> str:
    """Write a value as JSON, indented, in stable order."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=2)


def utc(moment: datetime | None) -> str | None:
    """Write an instant for JSON."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(length: timedelta | None) -> float | None:
    """Write a duration for JSON, in seconds."""
    return None if length is None else round(length.total_seconds(), 3)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, timedelta):
        return seconds(value)
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)
