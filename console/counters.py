"""The numbers on every page: what waits and since when, what was refused, what else needs a person.

One idea: one statement, each number capped, so that the strip costs the same on a bad day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select

from console.counting import Count, capped, counted
from schema.states import EntryState, Reason, RecordState
from schema.tables import outbox_entry, record

MOVING = (RecordState.WAITING, RecordState.DISPATCHED, RecordState.TAKEN, RecordState.IN_DOUBT)


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


def read(connection: Connection, now: datetime) -> Counters:
    """Count, over all destinations. A record that needs a person is not waiting."""
    moving = record.c.state.in_([one.value for one in MOVING])
    for_a_person = or_(
        record.c.state.in_((RecordState.DEAD.value, RecordState.HELD.value)),
        (record.c.state == RecordState.IN_DOUBT.value) & record.c.due_at.is_(None),
    )
    refused = (record.c.state == RecordState.DEAD.value) & (record.c.reason == Reason.REFUSED.value)
    open_ones = record.c.state != RecordState.IN_STEP.value
    on_its_way = select(record.c.id).where(open_ones, moving, ~for_a_person)
    oldest = (
        select(func.min(record.c.oldest_entry))
        .where(open_ones, moving, ~for_a_person)
        .scalar_subquery()
    )
    emitted = select(outbox_entry.c.emitted_at).where(outbox_entry.c.id == oldest)
    unfolded = (
        select(outbox_entry.c.emitted_at)
        .where(outbox_entry.c.state == EntryState.NEW.value)
        .order_by(outbox_entry.c.id)
        .limit(1)
    )
    row = connection.execute(
        select(
            capped(on_its_way).label("waiting"),
            capped(select(record.c.id).where(open_ones, refused)).label("refused"),
            capped(select(record.c.id).where(open_ones, for_a_person)).label("aside"),
            emitted.scalar_subquery().label("emitted"),
            unfolded.scalar_subquery().label("unfolded"),
        )
    ).one()
    since = min((one for one in (row.emitted, row.unfolded) if one is not None), default=None)
    return Counters(
        oldest=None if since is None else max(timedelta(0), now - since),
        waiting=counted(row.waiting),
        refused=counted(row.refused),
        aside=counted(row.aside),
    )
