"""What a fetch may come to. The functions that fetch are handed in; nothing here knows HTTP.

One idea: only an answer that can be read moves a run on. Everything else leaves it where it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from schema.fingerprint import Json
from schema.plans import Request
from schema.states import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A 2xx answer. `began_at` is when we asked, by our clock; `date` is the server's."""

    body: Json
    began_at: datetime
    date: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """404: it is not there."""

    began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NotGot:
    """No answer that can be used; worth asking again."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The API does not understand what we ask: asking again will not help."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """Nobody may ask now: the gate, the quota, or Redis. `until` is None where nobody knows."""

    detail: str
    until: datetime | None = None


Fetched: TypeAlias = Got | Missing | NotGot | Refused | Shut

Fetch = Callable[[Request, Lane, int], Fetched]
"""Makes one read, in a lane of the quota, for a run."""
