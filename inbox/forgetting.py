"""At a rebind: what was read before is of another API, or of another time, and is forgotten.

One idea: one piece of news says so (`rebound`), and everything is read again from the start. So a
reader is told to begin anew, instead of being told of each thing that it is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, update

from inbox import checkpoints, feed, walk
from inbox.news import Item
from schema.inbox import DriftState, News, RunKind, RunState, Trigger
from schema.incoming_tables import (
    alias,
    checkpoint,
    drift,
    held_row,
    poll_run,
    remote_record,
    remote_word,
)
from schema.sources import Source

BOUND_ANEW = "bound anew"
"""Why a run that was under way is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How much was forgotten, for the audit trail."""

    mirrored: int
    drift: int
    sources: tuple[str, ...]
    """What was read before, and is read again from the start."""


def forget(
    connection: Connection,
    destination: str,
    sources: Sequence[Source],
    *,
    page_size: int,
    now: datetime,
) -> Forgotten:
    """Forget what was read of a destination, have it read again, and tell the readers of the feed.

    In the transaction of the rebind, under its lock: no page of before is applied after it. What
    people have resolved stays; differences still open are found again, or are none.
    """
    _give_up_runs(connection, destination, now)
    read_before = _reset(connection, destination)
    found = connection.execute(
        delete(drift).where(
            drift.c.destination == destination,
            drift.c.state.in_([DriftState.OPEN.value, DriftState.IGNORED.value]),
        )
    )
    mirrored = _empty(connection, remote_record, destination)
    _empty(connection, remote_word, destination)
    _empty(connection, alias, destination)
    _empty(connection, held_row, destination)
    again = [one for one in sources if one.name in read_before]
    for one in again:
        _read_again(connection, destination, one, page_size, now)
    feed.jump(connection, destination)
    told = feed.Entry(source="", remote_id=None, item=Item(kind=News.REBOUND))
    feed.append(connection, destination, [told], run_id=None, now=now)
    return Forgotten(
        mirrored=mirrored,
        drift=found.rowcount,
        sources=tuple(one.name for one in again),
    )


def _give_up_runs(connection: Connection, destination: str, now: datetime) -> None:
    connection.execute(
        update(poll_run)
        .where(poll_run.c.destination == destination, poll_run.c.state == RunState.OPEN.value)
        .values(state=RunState.ABANDONED.value, ended_at=now, reason=BOUND_ANEW)
    )


def _reset(connection: Connection, destination: str) -> set[str]:
    """Forget how far each collection was read; gives those that were. Pauses stay, and tokens grow."""
    known = checkpoints.all_of(connection, destination)
    connection.execute(
        update(checkpoint)
        .where(checkpoint.c.destination == destination)
        .values(
            watermark=None,
            watermark_here=None,
            high_water=None,
            completed_run=None,
            full_opened_at=None,
            next_poll_at=None,
            failures=0,
            token=checkpoint.c.token + 1,
            lease_until=None,
        )
    )
    return {name for name, one in known.items() if one.watermark is not None}


def _read_again(
    connection: Connection, destination: str, source: Source, page_size: int, now: datetime
) -> None:
    """Ask for everything, as a person does the first time; the pollers begin it within minutes."""
    begun = walk.begin(
        source.order,
        since=None,
        size=min(page_size, source.largest_page),
        largest=source.largest_page,
    )
    checkpoints.open_run(
        connection,
        destination=destination,
        source=source.name,
        kind=RunKind.FULL,
        trigger=Trigger.HAND,
        since=None,
        now=now,
        progress={"walk": walk.to_json(begun)},
    )


def _empty(connection: Connection, table: Table, destination: str) -> int:
    column: Any = table.c.destination
    return connection.execute(delete(table).where(column == destination)).rowcount
