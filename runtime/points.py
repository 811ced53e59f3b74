"""The named moments of a change's way at which a process may die.

One idea: every commit, send, receive and acknowledgement has a name, so that tests can kill a process
at each of them and a simulation can stop there. In production nothing listens.
"""

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """A moment between two steps that cannot be one."""

    RESCUE_UNCOMMITTED = "rescue.uncommitted"
    RESCUE_COMMITTED = "rescue.committed"
    FOLD_UNCOMMITTED = "fold.uncommitted"
    FOLD_COMMITTED = "fold.committed"
    ADMIT_UNCOMMITTED = "admit.uncommitted"
    ADMIT_COMMITTED = "admit.committed"
    RUNG = "rung"
    TAKE_UNCOMMITTED = "take.uncommitted"
    TAKE_COMMITTED = "take.committed"
    SLOT_GIVEN = "slot.given"
    MARK_UNCOMMITTED = "mark.uncommitted"
    MARK_COMMITTED = "mark.committed"
    SENDING = "sending"
    SENT = "sent"
    ANSWERED = "answered"
    SLOT_DATED = "slot.dated"
    SETTLE_UNCOMMITTED = "settle.uncommitted"
    SETTLE_COMMITTED = "settle.committed"


_listeners: list[Callable[[Point], None]] = []


def reach(point: Point) -> None:
    """Say that a point is reached."""
    for listener in _listeners:
        listener(point)


def listen(listener: Callable[[Point], None]) -> None:
    """Let *listener* hear of every point reached in this process."""
    _listeners.append(listener)


def unlisten(listener: Callable[[Point], None]) -> None:
    """Let it hear of nothing any more."""
    _listeners.remove(listener)
