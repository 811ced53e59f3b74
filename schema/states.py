"""The closed lists of states and reasons, and which state may follow which.

One idea: a state is a column value, a metric label and a word on a screen, so it is written down
once, here. The two state machines (entry and record) are drawn in `docs/explanation/states.md`.
"""

from enum import StrEnum


class Lane(StrEnum):
    """A class of calls with its own share of the quota."""

    LIVE = "live"
    POLL = "poll"
    BULK = "bulk"
