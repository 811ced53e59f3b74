"""How many lines strangers may leave in the audit trail.

One idea: each refused action is one line, and a flood of them must not fill the disk: beyond the cap
a minute's lines are counted, and one line says how many there were.
"""

import threading
from typing import Final

LINES_A_MINUTE: Final = 120
"""More than any office causes by old pages; at that rate a day of attack is a few megabytes."""


class Flood:
    """Counts lines by the minute; many threads ask at once."""

    def __init__(self, cap: int = LINES_A_MINUTE) -> None:
        self._cap = cap
        self._lock = threading.Lock()
        self._minute = -1
        self._lines = 0

    def room(self, minute: int) -> tuple[bool, int]:
        """Say whether a line may be written, and how many were left out in the minute before."""
        with self._lock:
            left_out = 0
            if minute != self._minute:
                left_out = max(0, self._lines - self._cap)
                self._minute, self._lines = minute, 0
            self._lines += 1
            return self._lines <= self._cap, left_out
