"""What an event asks of one record, in words that know no particular API.

One idea: a contract translates each event into a few of these, and the fold needs no other
knowledge of the domain.
"""

from dataclasses import dataclass
from typing import TypeAlias

from schema.fingerprint import Json
from schema.keys import RemoteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The record is this remote thing, in this role."""

    remote_id: RemoteId
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetField:
    """A field of ours is to have this value."""

    name: str
    value: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTo:
    """The status is to become this: an act with its reason, kept in order.

    `explicit` is false where a whole state says so, and nobody that it was done.
    """

    status: str
    reason: str | None
    explicit: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """A field of theirs will have this value; nothing is sent for it."""

    name: str
    value: Json


Ask: TypeAlias = Link | SetField | MoveTo | Expect


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """All that one event asks: of its record, and (a link it carries) of that record's parent.

    `opens_round` and `ends_round` belong to kinds that keep rounds, claims for money: which round
    is meant is decided by the fold, which knows the earlier ones.
    """

    kind: str
    part: str = ""
    asks: tuple[Ask, ...] = ()
    of_parent: tuple[Ask, ...] = ()
    opens_round: bool = False
    ends_round: bool = False
    snapshot: bool = False
    """The asks are a whole state: only those that differ from this source's last one speak."""
    at_once: bool = False
    """No settle time, neither for this record nor for its kin."""
