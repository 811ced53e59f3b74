"""The closed lists of states and reasons, and which state may follow which.

One idea: a state is a column value, a metric label and a word on a screen, so it is written down
once, here. The two state machines (entry and record) are drawn in `docs/explanation/states.md`.
"""

from collections.abc import Mapping
from enum import StrEnum


class Lane(StrEnum):
    """A class of calls with its own share of the quota."""

    LIVE = "live"
    POLL = "poll"
    BULK = "bulk"


class EntryState(StrEnum):
    """Where an entry of the outbox stands."""

    NEW = "new"
    FOLDED = "folded"
    CLOSED = "closed"


class Closed(StrEnum):
    """Why an entry is closed."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    NET_ZERO = "net_zero"
    NOTED = "noted"
    CONFIRMED = "confirmed"
    DISCARDED = "discarded"


class RecordState(StrEnum):
    """Where a record stands."""

    IN_STEP = "in_step"
    WAITING = "waiting"
    DISPATCHED = "dispatched"
    TAKEN = "taken"
    IN_DOUBT = "in_doubt"
    HELD = "held"
    DEAD = "dead"


class Reason(StrEnum):
    """Why a record waits, is held or is dead."""

    # waiting
    SETTLING = "settling"
    WAITING_FOR = "waiting_for"
    BACKOFF = "backoff"
    SNOOZED = "snoozed"
    QUOTA = "quota"
    GATE = "gate"
    LOOK_FIRST = "look_first"
    SHADOW = "shadow"
    REBOUND = "rebound"
    # held
    VOID_FIRST = "void_first"
    SAME_PERSON_TWICE = "same_person_twice"
    RELINKED = "relinked"
    DOES_NOT_SETTLE = "does_not_settle"
    # in doubt
    NO_ANSWER = "no_answer"
    UNCLEAR_ANSWER = "unclear_answer"
    LEASE_RAN_OUT = "lease_ran_out"
    # dead
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    INVALID_HERE = "invalid_here"
    CONFLICT = "conflict"
    UNCONFIRMED = "unconfirmed"


class Writes(StrEnum):
    """Whether writes may leave for a destination. Reads always may."""

    ALLOWED = "allowed"
    SHADOW = "shadow"
    """Nobody has said yet that it may be written to."""
    REBOUND = "rebound"
    """What is there is unknown since a rebind, until everything has been looked up."""


class Span(StrEnum):
    """How long one bar of a chart is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class Tallied(StrEnum):
    """What is counted: entries closed, calls for records, reads of collections."""

    ENTRY = "entry"
    CALL = "call"
    READ = "read"


class GateReason(StrEnum):
    """Why the gate of a key is shut."""

    THROTTLED = "throttled"
    KEY_REFUSED = "key_refused"
    BREAKER = "breaker"
    PAUSED = "paused"


class GateScope(StrEnum):
    """Whom a shut gate stops: everybody with that key, or one destination."""

    KEY = "key"
    DESTINATION = "destination"


SCOPE_OF: Mapping[GateReason, GateScope] = {
    GateReason.THROTTLED: GateScope.KEY,
    GateReason.KEY_REFUSED: GateScope.KEY,
    GateReason.BREAKER: GateScope.DESTINATION,
    GateReason.PAUSED: GateScope.DESTINATION,
}
"""The limit and the key are shared by all that use the key's name; a server's fault and a person's
pause are about one destination."""

ASLEEP = frozenset({Reason.SHADOW, Reason.REBOUND})
"""Waits that no time ends: writes are allowed, or the record changes."""

HOLDS = frozenset(
    {Reason.VOID_FIRST, Reason.SAME_PERSON_TWICE, Reason.RELINKED, Reason.DOES_NOT_SETTLE}
)
DOUBTS = frozenset({Reason.NO_ANSWER, Reason.UNCLEAR_ANSWER, Reason.LEASE_RAN_OUT})
DEAD_LETTERS = frozenset(
    {
        Reason.REFUSED,
        Reason.EXHAUSTED,
        Reason.INVALID_HERE,
        Reason.CONFLICT,
        Reason.UNCONFIRMED,
    }
)
WAITS = frozenset(Reason) - HOLDS - DEAD_LETTERS - DOUBTS

LEASED = frozenset({RecordState.DISPATCHED, RecordState.TAKEN})
"""States of a record that is on the queue or with a worker."""

OPEN_STATES = frozenset(RecordState) - {RecordState.IN_STEP}

MAY_FOLLOW: Mapping[RecordState, frozenset[RecordState]] = {
    RecordState.IN_STEP: frozenset(
        {RecordState.WAITING, RecordState.DISPATCHED, RecordState.HELD, RecordState.DEAD}
    ),
    RecordState.WAITING: frozenset(
        {RecordState.IN_STEP, RecordState.DISPATCHED, RecordState.HELD, RecordState.DEAD}
    ),
    RecordState.DISPATCHED: frozenset(
        {
            RecordState.WAITING,
            RecordState.TAKEN,
            RecordState.IN_DOUBT,  # its look-up was dispatched, and nobody answered the ring
            RecordState.IN_STEP,
            RecordState.HELD,
            RecordState.DEAD,
        }
    ),
    RecordState.TAKEN: frozenset(RecordState) - {RecordState.DISPATCHED, RecordState.TAKEN},
    RecordState.IN_DOUBT: frozenset(
        {RecordState.DISPATCHED, RecordState.IN_STEP, RecordState.WAITING, RecordState.DEAD}
    ),
    RecordState.HELD: frozenset(
        {RecordState.WAITING, RecordState.DISPATCHED, RecordState.IN_STEP, RecordState.DEAD}
    ),
    RecordState.DEAD: frozenset(
        {RecordState.WAITING, RecordState.DISPATCHED, RecordState.IN_STEP, RecordState.HELD}
    ),
}
"""Which state of a record may follow which; to stay is always allowed.

An event that need not settle is folded and dispatched in one transaction: then `waiting` is passed
over.
"""
