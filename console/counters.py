"""The numbers on every page: what waits and since when, what was refused, what else needs a person.

One idea: each number is capped, so that the strip costs the same on a bad day.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from console.counting import CAP, Count, counted
from outbox import entries
from records import counts
from records.counts import Number
from records.store import ON_THE_WAY
from schema.states import Reason, RecordState

ASIDE = (RecordState.DEAD, RecordState.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The strip. `oldest` is how long the oldest change has waited that is on its way."""

    oldest: timedelta | None
    waiting: Count
    refused: Count
    aside: Count

    def told(self) -> Mapping[str, Any]:
        """Give it as JSON."""
        return {
            "oldest_waiting_s": None if self.oldest is None else round(self.oldest.total_seconds()),
            "waiting": self.waiting.number,
            "refused": self.refused.number,
            "set_aside": self.aside.number,
        }


def read(connection: Connection, destinations: Iterable[str], now: datetime) -> Counters:
    """Count, over these destinations. A record that needs a person is not waiting."""
    waiting = refused = aside = Count(0)
    oldest: list[datetime] = []
    for name in destinations:
        numbers = counts.open_ones(connection, name, most=CAP)
        stuck = counted(counts.stuck(connection, name, most=CAP + 1))
        moving = _sum(one for one in numbers if one.state in ON_THE_WAY)
        waiting += Count(max(0, moving.number - stuck.number), moving.capped)
        refused += _sum(one for one in numbers if one.reason is Reason.REFUSED)
        aside += _sum(one for one in numbers if one.state in ASIDE) + stuck
        unfolded = entries.oldest_new(connection, name)
        longest = counts.longest_waiting(connection, name, numbers, limit=1)
        oldest += [one.since for one in longest] + ([unfolded] if unfolded else [])
    return Counters(
        oldest=max(timedelta(0), now - min(oldest)) if oldest else None,
        waiting=waiting,
        refused=refused,
        aside=aside,
    )


def _sum(numbers: Iterable[Number]) -> Count:
    found = list(numbers)
    return Count(sum(one.number for one in found), any(one.more for one in found))
