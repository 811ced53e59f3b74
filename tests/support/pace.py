"""A quota under the test's hand."""

from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from outbox.delivery import Grant
from outbox.errors import QuotaAway
from schema.states import Lane


@dataclass(frozen=True)
class Slot:
    """A slot of the quota."""

    id: str


class FakePace:
    """Grants everything, unless answers were put in line; remembers what became of each slot."""

    def __init__(self) -> None:
        self.answers: deque[timedelta | QuotaAway] = deque()
        self.good = True
        self.asked = 0
        self.booked: timedelta | None = None
        self.ended: list[tuple[str, str]] = []
        """Each slot and how it ended: `answered`, `unused` or `refused`."""

    def ask(self, lane: Lane) -> Slot | timedelta:
        """Give the next answer in line, else a slot."""
        self.asked += 1
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, QuotaAway):
            raise answer
        return Slot(f"slot-{self.asked}") if answer is None else answer

    def still_good(self, grant: Grant) -> bool:
        """Say what the test says."""
        return self.good

    def answered(self, grant: Grant) -> None:
        """Note it."""
        self.ended.append((grant.id, "answered"))

    def unused(self, grant: Grant) -> None:
        """Note it."""
        self.ended.append((grant.id, "unused"))

    def refused(self, grant: Grant, again_after: timedelta | None) -> None:
        """Note it, and for how long others' calls are booked."""
        self.booked = again_after
        self.ended.append((grant.id, "refused"))
