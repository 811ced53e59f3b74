"""Lists entries, the newest first, at a price that does not grow with how many there are.

One idea: ids follow time, so that a moment is found among them by halving, and a list looks through so
many ids and no more. Where few of these match it gives what it found and from where to go on: a person
reads how far it looked, and needs no index for every word they may filter by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

from outbox import entries
from outbox.entries import Entry
from outbox.selection import Selection, entries_of
from schema.tables import outbox_entry

LOOKED_AT = 100_000
"""How many ids are looked through at a time: some tens of milliseconds on either database."""

SLACK = timedelta(days=1)
"""How far an entry's time may lie from those with ids around it: another server's clock after a
failover, or a time that plain SQL gave. Wider costs a look at a day's entries more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some entries, the newest first; where more may lie further back, from before which id to go on."""

    entries: Sequence[Entry]
    go_on: int | None
    back_to: datetime | None
    """When that was emitted, where the list is short only because it looked no further."""


def newest(
    connection: Connection,
    destination: str,
    chosen: Selection,
    *,
    before: int | None = None,
    limit: int,
    looked_at: int = LOOKED_AT,
) -> Stretch:
    """Read up to *limit* entries of a selection, the newest first, from before id *before*."""
    entry = outbox_entry.c
    low, high = _between(connection, chosen, before)
    narrow = _is_narrow(chosen)
    floor = low if narrow else max(low, high - looked_at)
    # Few, with an index of theirs: to say id + 0 keeps SQLite from walking all the ids instead.
    place = entry.id + 0 if narrow else entry.id
    query = (
        entries_of(connection, destination, chosen)
        .where(place < high, place >= floor)
        .order_by(place.desc())
        .limit(limit + 1)
    )
    ids = connection.execute(query).scalars().all()
    found = entries.by_ids(connection, ids[:limit])
    found.sort(key=lambda one: one.id, reverse=True)
    if len(ids) > limit:
        return Stretch(entries=found, go_on=found[-1].id, back_to=None)
    below = _at(connection, low, floor, outbox_entry.c.id.desc())
    return Stretch(
        entries=found,
        go_on=None if below is None else below[0] + 1,
        back_to=None if below is None else below[1],
    )


def _is_narrow(chosen: Selection) -> bool:
    """Whether the entries meant are found by an index of theirs."""
    by_id = chosen.entries is not None and bool(chosen.entries.ids)
    return by_id or chosen.families is not None


def _between(connection: Connection, chosen: Selection, before: int | None) -> tuple[int, int]:
    """Give the ids between which all lie that may match: from the first, up to before the second."""
    entry = outbox_entry.c
    first, last = connection.execute(
        select(
            select(func.min(entry.id)).scalar_subquery(),
            select(func.max(entry.id)).scalar_subquery(),
        )
    ).one()
    if first is None:
        return 0, 0
    low, high = first, last + 1
    wanted = chosen.entries
    if wanted is not None and wanted.until is not None:
        high = _first_since(connection, low, high, _moved(wanted.until, SLACK))
    if wanted is not None and wanted.since is not None:
        low = _first_since(connection, low, high, _moved(wanted.since, -SLACK))
    return low, high if before is None else min(high, before)


def _moved(moment: datetime, by: timedelta) -> datetime:
    """Move a moment; one at an end of the calendar stays."""
    try:
        return moment + by
    except OverflowError:
        return moment


def _first_since(connection: Connection, low: int, high: int, moment: datetime) -> int:
    """Find by halving an id from which on all were emitted at *moment* or later; *high* if none."""
    while low < high:
        middle = (low + high) // 2
        found = _at(connection, middle, high, outbox_entry.c.id)
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = found[0] + 1
    return low


def _at(
    connection: Connection, low: int, high: int, order: ColumnElement[int]
) -> tuple[int, datetime] | None:
    """Give the first entry in this order from *low* on and before *high*: its id, and when it came."""
    entry = outbox_entry.c
    query = select(entry.id, entry.emitted_at).where(entry.id >= low, entry.id < high)
    row = connection.execute(query.order_by(order).limit(1)).one_or_none()
    return None if row is None else (row.id, row.emitted_at)
