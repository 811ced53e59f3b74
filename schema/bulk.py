"""The closed lists of a bulk: where it stands, what it does, what becomes of each of its records.

One idea: what is foreseen and what came of it are said in the same words, so that a person can lay
the plan beside the report.
"""

from enum import StrEnum


class Deed(StrEnum):
    """What is done to each record of a bulk."""

    REPLAY = "replay"
    DISCARD = "discard"


class BulkState(StrEnum):
    """Where a bulk stands."""

    TRYING = "trying"
    """One record goes first; the others stand by."""
    TRIED = "tried"
    """What came of the one is known; a person says whether the others follow."""
    RUNNING = "running"
    CANCELLED = "cancelled"
    DONE = "done"


ACTIVE = frozenset({BulkState.TRYING, BulkState.TRIED, BulkState.RUNNING})
"""States in which a bulk may still put records on their way. One of these per destination."""


class ItemState(StrEnum):
    """Where one record of a bulk stands."""

    LEFT = "left"
    """Its turn has not come."""
    MOVING = "moving"
    """Put on its way by the bulk, and not at its end yet."""
    ENDED = "ended"
    SPARED = "spared"
    """The bulk was cancelled before its turn came."""


class Result(StrEnum):
    """What becomes of one record: foreseen by a plan, told by a report."""

    SENT = "sent"
    """A call would be made for it; in a report, the API accepted it."""
    WAITS = "waits"
    """It goes on by itself, later: tomorrow, after another record, when writes are allowed."""
    ASIDE = "aside"
    """It stays before a person, or came back there."""
    NOTHING = "nothing"
    """There is nothing to send for it; it leaves the desk."""
    NEWER = "newer"
    """A newer event is on its way, and decides."""
    WENT_ON = "went_on"
    """It no longer waited for a person when its turn came."""
    DISCARDED = "discarded"
    """What was wanted of it is no longer asked for."""
