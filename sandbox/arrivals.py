"""The log of what arrived: bounded, in order of arrival, with both clocks to the microsecond."""

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import cast

from sandbox.times import exact

KEPT = 200_000
"""Requests kept. The log of a long load test must not grow without end; the oldest go first."""

LARGEST_BODY_KEPT = 65_536
"""Bytes of a body that are kept. What is larger is counted and not kept."""

HEADER_SETS_KEPT = 4096
"""Different sets of headers remembered, so that requests with equal ones share them."""

RawHeaders = tuple[tuple[bytes, bytes], ...]


class Arrival:
    """One request, and, once it is over, what became of it."""

    __slots__ = (
        "arrived_at",
        "body",
        "body_bytes",
        "duration_ms",
        "executed",
        "fault",
        "headers",
        "limited",
        "method",
        "monotonic_us",
        "path",
        "provider",
        "remote",
        "request_id",
        "sandbox_now",
        "seq",
        "status",
    )

    def __init__(
        self,
        *,
        arrived_at: datetime,
        monotonic_us: int,
        sandbox_now: datetime,
        remote: str,
        provider: str | None,
        method: str,
        path: str,
        headers: RawHeaders,
        body: bytes,
        request_id: str,
    ) -> None:
        self.seq = 0
        self.arrived_at = arrived_at
        self.monotonic_us = monotonic_us
        self.sandbox_now = sandbox_now
        self.remote = remote
        self.provider = provider
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body if len(body) <= LARGEST_BODY_KEPT else b""
        self.body_bytes = len(body)
        self.status: int | None = None
        self.executed = False
        self.limited = False
        self.fault: str | None = None
        self.duration_ms: float | None = None
        self.request_id = request_id

    def as_json(self) -> dict[str, object]:
        return {
            "seq": self.seq,
            "arrived_at": exact(self.arrived_at),
            "monotonic_us": self.monotonic_us,
            "sandbox_now": exact(self.sandbox_now),
            "remote": self.remote,
            "provider": self.provider,
            "method": self.method,
            "path": self.path,
            "headers": shown_headers(self.headers),
            "json": _parsed(self.body),
            "body_bytes": self.body_bytes,
            "status": self.status,
            "executed": self.executed,
            "limited": self.limited,
            "fault": self.fault,
            "duration_ms": self.duration_ms,
            "request_id": self.request_id,
        }


def shown_headers(headers: RawHeaders) -> dict[str, str]:
    """Headers by lower-case name; the token only as the beginning of its hash."""
    shown: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1")
        if name == "authorization":
            value = "sha256:" + hashlib.sha256(raw_value).hexdigest()[:16]
        shown[name] = f"{shown[name]}, {value}" if name in shown else value
    return shown


def _parsed(body: bytes) -> object:
    if not body:
        return None
    try:
        return cast("object", json.loads(body))
    except (ValueError, RecursionError):
        return None


class ArrivalLog:
    """The newest requests, numbered from 1."""

    def __init__(self, kept: int = KEPT) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=kept)
        self._headers: dict[RawHeaders, RawHeaders] = {}
        self.kept = kept
        self.last_seq = 0

    def add(self, arrival: Arrival) -> None:
        self.last_seq += 1
        arrival.seq = self.last_seq
        arrival.headers = self._shared(arrival.headers)
        self._arrivals.append(arrival)

    def _shared(self, headers: RawHeaders) -> RawHeaders:
        if len(self._headers) >= HEADER_SETS_KEPT:
            self._headers.clear()
        return self._headers.setdefault(headers, headers)

    def after(self, seq: int, limit: int) -> Sequence[Arrival]:
        """The oldest requests kept that came after one."""
        first = self._arrivals[0].seq if self._arrivals else 1
        start = max(0, seq + 1 - first)
        return list(islice(self._arrivals, start, start + limit))

    def newest(self, count: int) -> Iterator[Arrival]:
        return islice(reversed(self._arrivals), count)

    def empty(self) -> None:
        self._arrivals.clear()
        self._headers.clear()
        self.last_seq = 0
