"""One record on both sides, as a value: what was accepted, what is pending, what stands between.

One idea: a field is pending since an event, a correction or "send ours", with its base, what was
accepted then. A read never makes a field pending.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from schema.fingerprint import Json
from schema.keys import AttemptId, EntryId, LeaseToken, RecordId, RecordKey, RemoteId
from schema.states import Lane, Reason, RecordState


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Where a value came from: what decides which of two events is the later one."""

    entry: EntryId
    source: str
    version: int | None = None
    happened_at: datetime | None = None

    def later_than(self, other: "Stamp") -> bool:
        """Whether a field set under `other` yields to this one.

        Within one source that gives versions, by version. Else by entry; but what happened
        earlier than what set the field does not take it back.
        """
        if self.source == other.source and self.version is not None and other.version is not None:
            return (self.version, self.entry) > (other.version, other.entry)
        if self.happened_at and other.happened_at and self.happened_at != other.happened_at:
            return self.happened_at > other.happened_at
        return self.entry > other.entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A value of ours that the remote side has not confirmed.

    `base` is what was accepted when it was asked for; None also while that is not known
    (`base_known`), until the first read tells.
    """

    value: Json
    stamp: Stamp
    base: Json = None
    base_known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One act on the status, with its reason.

    `explicit` is false where it was only read out of a whole state: nobody said that it was done.
    """

    to: str
    reason: str | None
    stamp: Stamp
    explicit: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A value of theirs that a local system says will come."""

    value: Json
    entry: EntryId
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """ "About to send", committed before a write: what may have happened there when we die now."""

    attempt: AttemptId
    operation: str
    fingerprint: str
    fields: Mapping[str, Json]
    entries: tuple[EntryId, ...]
    move: EntryId | None
    at: datetime
    over_at: datetime | None = None
    """When an unclear answer came; None while none has: then it may land until the quarantine ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a person is needed, in words: what the desk shows."""

    reason: Reason
    detail: str
    field: str | None = None
    operation: str | None = None
    status: int | None = None
    sides: tuple[Json, Json, Json] | None = None
    """Of a conflict: base, ours, theirs."""
    at: datetime | None = dataclasses.field(default=None, compare=False)
    """Since when it stands so. When, not what: two that say the same are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A refused request: not sent again as it is.

    `cause` is what it was planned from, hashed: a `state` refusal heals when that changes too.
    `entries` are those it carried, `problem` is what was said to it.
    """

    fingerprint: str
    data: bool
    cause: str
    entries: tuple[EntryId, ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of `record`. Times are UTC.

    Without slots: its forty values are then copied in one go, and every event, every decision and
    every answer makes a few copies.
    """

    id: RecordId
    destination: str
    key: RecordKey
    family: str
    state: RecordState = RecordState.WAITING
    reason: Reason | None = None
    lane: Lane = Lane.LIVE
    due_at: datetime | None = None
    waits_for: str | None = None

    role: str | None = None
    remote_id: RemoteId | None = None
    aliases: tuple[RemoteId, ...] = ()
    """Ids it had there before it was merged into another."""
    missing: bool = False
    """Its remote id is not known there: the next look asks whether it was merged."""
    serial_key: str | None = None

    pending: Mapping[str, Pending] = field(default_factory=dict[str, Pending])
    path: tuple[Move, ...] = ()
    path_base: str | None = None
    """The accepted status when the first move of the path was asked for; None while unknown."""
    stamps: Mapping[str, Stamp] = field(default_factory=dict[str, Stamp])
    """Who last set each field, also after it was accepted: late events yield to it."""
    words: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Our last word on each field, once it was so there; of a status `[status, reason]`."""
    expected: Mapping[str, Expectation] = field(default_factory=dict[str, Expectation])
    snapshots: Mapping[str, Mapping[str, Json]] = field(
        default_factory=dict[str, Mapping[str, Json]]
    )

    accepted: Mapping[str, Json] | None = None
    """What the remote side last confirmed; None while nothing is known of it."""
    look_first: bool = False
    """The next call must be a look-up, whatever is pending."""
    already: str | None = None
    """Fingerprint of the request last answered with "already": the same twice is a conflict."""
    accepted_at: datetime | None = None
    remote_updated_at: datetime | None = None

    mark: Mark | None = None
    locks: Mapping[str, Lock] = field(default_factory=dict[str, Lock])
    """The refused requests, by fingerprint. In step, those for their data stay."""
    problem: Problem | None = None

    token: LeaseToken = LeaseToken(0)
    lease_until: datetime | None = None
    revision: int = 0
    """Grows with every change of what is wanted or accepted."""
    tries: int = 0
    takes: int = 0
    """Takings in a row that ended without an orderly end."""
    creates: int = 0
    """Creates in a row that may have been done there, and that a look-up did not show."""
    calls: int = 0
    """Calls made for what is wanted now."""
    allowance: int | None = None
    """How many calls that may be before it counts as not settling."""
    first_try_at: datetime | None = None
    oldest_entry: EntryId | None = None

    def but(self, **changes: Any) -> "Record":
        """Give this record with other values, as `dataclasses.replace` does in ten times the time."""
        if not changes.keys() <= _NAMES:
            raise TypeError(f"a record has no {', '.join(changes.keys() - _NAMES)}")
        return Record.of({**self.__dict__, **changes})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Record":
        """Make a record of all its values by name; for whoever has all of them at hand."""
        other = object.__new__(cls)
        other.__dict__.update(values)
        return other

    @property
    def changed(self) -> bool:
        """Whether anything is pending."""
        return bool(self.pending or self.path)

    def wanted(self, name: str) -> Json:
        """Give a field as our side wants it: pending, else accepted."""
        pending = self.pending.get(name)
        if pending is not None:
            return pending.value
        return None if self.accepted is None else self.accepted.get(name)

    def entries(self) -> frozenset[EntryId]:
        """Give the open entries this record still carries, those in flight among them."""
        carried = {pending.stamp.entry for pending in self.pending.values()}
        carried.update(move.stamp.entry for move in self.path)
        if self.mark is not None:
            carried.update(self.mark.entries)
        return frozenset(carried)


_NAMES = frozenset(one.name for one in fields(Record))
