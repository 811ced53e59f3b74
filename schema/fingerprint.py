"""The canonical form of a payload and its hash: equal meaning, equal fingerprint."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | None | Sequence[Json] | Mapping[str, Json]"
"""What JSON can carry. A `Sequence` here is a list or a tuple."""

FINGERPRINT_BYTES = 16
"""128 bits: no accidental equality among billions of payloads, and short enough to show."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Json) -> str:
    """Write a payload so that key order, spaces and the spelling of whole numbers do not matter.

    An absent key and a key whose value is null mean the same to the API, so nulls in objects go.
    """
    return _ENCODER.encode(_plain(value))


def fingerprint(value: Json) -> str:
    """Hash the canonical form of a payload (32 hex digits)."""
    return blake2b(canonical(value).encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


def utc_seconds(moment: datetime) -> str:
    """Write an instant as the API does: UTC, whole seconds, truncated (`2025-09-20T09:00:00Z`)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Json) -> Json:
    if value is None or isinstance(value, str | int):
        return value  # nearly all of a payload, and the cheapest to tell
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value
