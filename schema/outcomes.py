"""What an attempt may end in. Each outcome has one rule (`docs/reference/outcomes.md`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from schema.fingerprint import Json
from schema.keys import RemoteId
from schema.states import Reason


class OutcomeName(StrEnum):
    """Column value and metric label of each outcome."""

    DELIVERED = "delivered"
    ALREADY_THERE = "already_there"
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    IN_DOUBT = "in_doubt"
    LATER = "later"
    REFUSED = "refused"
    INVALID_HERE = "invalid_here"
    KEY_REFUSED = "key_refused"
    CONFLICT = "conflict"


class Blame(StrEnum):
    """What heals a refusal: other data, or also another state there."""

    DATA = "data"
    STATE = "state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One complaint of the API, in its words."""

    title: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """2xx with a readable answer. `accepted` is what the remote side now says of the record;
    None when a look-up answered that there is nothing."""

    accepted: Mapping[str, Json] | None
    remote_id: RemoteId | None = None
    remote_updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyThere:
    """The API says it was so already. Perhaps by us: look before believing it."""

    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """429. Never executed. `retry_after` is None where the API does not say."""

    retry_after: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """Not executed for sure, or only a read that failed."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """It may have been executed. `answered` is false where nothing came back: it may still land."""

    detail: str
    answered: bool

    @property
    def reason(self) -> Reason:
        """The reason the record shows."""
        return Reason.UNCLEAR_ANSWER if self.answered else Reason.NO_ANSWER


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A "try again tomorrow" rule of the API."""

    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Refused for good, as things stand."""

    status: int
    refusals: tuple[Refusal, ...]
    blame: Blame
    merged_by: str | None = None
    """The read that tells whether the id, which is not known there, was merged into another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidHere:
    """Stopped by our own validation, before any call."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRefused:
    """401 or 403: the whole destination stops."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Both sides changed the same thing."""

    field: str
    base: Json
    ours: Json
    theirs: Json


Outcome: TypeAlias = (
    Delivered
    | AlreadyThere
    | Throttled
    | Transient
    | InDoubt
    | Later
    | Refused
    | InvalidHere
    | KeyRefused
    | Conflict
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one call: its outcome, and what is kept of the answer."""

    outcome: Outcome
    status: int | None = None
    request_id: str | None = None
    server_date: datetime | None = None
    duration: timedelta | None = None
    answer: str | None = None


NAMES: Mapping[type[object], OutcomeName] = {
    Delivered: OutcomeName.DELIVERED,
    AlreadyThere: OutcomeName.ALREADY_THERE,
    Throttled: OutcomeName.THROTTLED,
    Transient: OutcomeName.TRANSIENT,
    InDoubt: OutcomeName.IN_DOUBT,
    Later: OutcomeName.LATER,
    Refused: OutcomeName.REFUSED,
    InvalidHere: OutcomeName.INVALID_HERE,
    KeyRefused: OutcomeName.KEY_REFUSED,
    Conflict: OutcomeName.CONFLICT,
}


def name_of(outcome: Outcome) -> OutcomeName:
    """Give the outcome's name, for columns and metrics."""
    return NAMES[type(outcome)]


def detail_of(outcome: Outcome) -> str | None:
    """Give the outcome's own words, where it has some."""
    match outcome:
        case Transient(detail=detail) | InDoubt(detail=detail) | InvalidHere(detail=detail):
            return detail
        case (
            AlreadyThere(refusals=refusals) | Later(refusals=refusals) | Refused(refusals=refusals)
        ):
            return "; ".join(f"{refusal.title}: {refusal.detail}" for refusal in refusals)
        case _:
            return None
