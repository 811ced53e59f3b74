"""The closed lists of the incoming half: runs, news, drift."""

from enum import StrEnum


class RunKind(StrEnum):
    """What a run reads: what changed, or everything."""

    POLL = "poll"
    FULL = "full"


class RunState(StrEnum):
    """Where a run stands."""

    OPEN = "open"
    COMPLETE = "complete"
    BRAKED = "braked"
    ABANDONED = "abandoned"


class Trigger(StrEnum):
    """Who asked for a run."""

    TIMER = "timer"
    HAND = "hand"
    GAP = "gap"


class News(StrEnum):
    """What the feed tells: of a remote thing, of the fate of a local event, of the feed itself."""

    NEW = "new"
    UPDATED = "updated"
    WITHDRAWN = "withdrawn"
    GONE = "gone"
    MERGED = "merged"
    SETTLED = "settled"
    """What became of a local event: its entry is closed, or its record waits for a person."""
    REBOUND = "rebound"
    """The destination was bound anew: all that was told before may be of another API or time."""


OF_NO_THING = frozenset({News.SETTLED, News.REBOUND})
"""News that are not about one remote thing."""


class Begin(StrEnum):
    """Where a reader of the feed begins: with all that is there, or with what comes from now on."""

    EVERYTHING = "everything"
    NOW = "now"


class DriftKind(StrEnum):
    """How the two sides differ."""

    MISSING_THERE = "missing_there"
    MISSING_HERE = "missing_here"
    DIFFERENT = "different"


class DriftState(StrEnum):
    """What became of a difference."""

    OPEN = "open"
    IGNORED = "ignored"
    SENT_OURS = "sent_ours"
    ACCEPTED_THEIRS = "accepted_theirs"
    HEALED = "healed"
