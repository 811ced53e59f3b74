"""Finds what became of entries and has not been told yet.

One idea: nothing is told where it happens. A delivery writes its entry once, as ever; that its end is
still to be told is read off the row (`told`), and whoever tells it writes that down in the same
transaction. So an end is told once, whoever dies, and costs a delivery no statement.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from records.codec import from_row
from runtime.bulk import among, update_many
from schema.fates import Fate
from schema.keys import EntryId, RecordKey
from schema.states import Closed, EntryState, Reason, RecordState
from schema.tables import outbox_entry, record

# The states are written out, so that a kept plan may use the partial index on them.

_UNTOLD = and_(
    outbox_entry.c.destination == bindparam("in_destination"),
    outbox_entry.c.state == literal_column(f"'{EntryState.CLOSED.value}'"),
    outbox_entry.c.told.is_(None),
)
_ASIDE = and_(
    record.c.destination == bindparam("in_destination"),
    or_(
        record.c.state.in_([RecordState.DEAD.value, RecordState.HELD.value]),
        and_(record.c.state == RecordState.IN_DOUBT.value, record.c.due_at.is_(None)),
    ),
)
"""Records with which nothing goes on by itself."""

_WAITS_WITH_IT = and_(
    outbox_entry.c.record_id == record.c.id,
    outbox_entry.c.state == EntryState.FOLDED.value,
    outbox_entry.c.told.is_distinct_from(record.c.reason),
)
_NOT_CONFIRMED = and_(
    outbox_entry.c.record_id == record.c.id,
    outbox_entry.c.closed_as == Closed.NOTED.value,
    outbox_entry.c.told.is_distinct_from(record.c.reason),
    record.c.reason == Reason.UNCONFIRMED.value,
)
"""What is overdue was closed when it was noted: a school was to do it, and not we."""

_LATEST = 1_000
"""How many of the records that were set aside last, and of the entries that came last, are looked at."""

_LATEST_RECORDS = (
    select(record.c.id)
    .where(
        record.c.destination == bindparam("in_destination"),
        record.c.signature.is_not(None),
        record.c.aside_at.is_not(None),
    )
    .order_by(record.c.aside_at.desc())
    .limit(_LATEST)
)
_LATEST_ENTRIES = select(outbox_entry.c.id).order_by(outbox_entry.c.id.desc()).limit(_LATEST)
_LATELY = (
    and_(_WAITS_WITH_IT, record.c.id.in_(_LATEST_RECORDS)),
    and_(_WAITS_WITH_IT, outbox_entry.c.id.in_(_LATEST_ENTRIES)),
)
"""An entry may also join a record that stands aside already."""

_NAMED = (
    outbox_entry.c.id,
    outbox_entry.c.source,
    outbox_entry.c.event_id,
    record.c.kind,
    record.c.source_id,
    record.c.part,
    record.c.round,
    record.c.remote_id,
)


def any_closed(connection: Connection, destination: str) -> bool:
    """Whether an entry closed whose end is still to be told."""
    return _any(connection, select(literal(1)).where(_UNTOLD), destination)


def claim_closed(connection: Connection, destination: str, limit: int) -> list[Fate]:
    """Take the next ends that are still to be told, oldest entry first; each is taken once."""
    query = (
        select(*_NAMED, outbox_entry.c.closed_as)
        .join(record, record.c.id == outbox_entry.c.record_id)
        .where(_UNTOLD)
        .order_by(outbox_entry.c.id)
        .limit(limit)
        .with_for_update(of=outbox_entry, skip_locked=True)
    )
    rows = connection.execute(query, {"in_destination": destination}).all()
    if rows:
        mine = among(connection, outbox_entry.c.id, [row.id for row in rows])
        told = update(outbox_entry).where(mine).values(told=outbox_entry.c.closed_as)
        connection.execute(told)
    return [_fate(row, row.closed_as, None) for row in rows]


def any_aside(connection: Connection, destination: str) -> bool:
    """Whether a record was set aside whose entries have not been told so."""
    found = select(literal(1)).select_from(record)
    return any(
        _any(connection, found.join(outbox_entry, waiting).where(_ASIDE), destination)
        for waiting in (_WAITS_WITH_IT, _NOT_CONFIRMED)
    )


def any_lately_aside(connection: Connection, destination: str) -> bool:
    """Whether it is so of a record that was set aside lately, or of a late entry.

    Bounded, whatever waits for a person; `any_aside` finds what this one passes over.
    """
    found = select(literal(1)).select_from(record)
    return any(
        _any(connection, found.join(outbox_entry, waiting).where(_ASIDE), destination)
        for waiting in _LATELY
    )


def claim_lately_aside(connection: Connection, destination: str, limit: int) -> list[Fate]:
    """Take these entries; each once for each reason."""
    found: list[Fate] = []
    for waiting in _LATELY:
        some = _aside(connection, destination, waiting, limit - len(found))
        told = [{"id": one.entry, "told": one.outcome} for one in some]
        update_many(connection, outbox_entry, told)
        found += some
    return found


def claim_aside(connection: Connection, destination: str, limit: int) -> list[Fate]:
    """Take entries whose records were set aside since, oldest first; each once for each reason."""
    waiting = _aside(connection, destination, _WAITS_WITH_IT, limit)
    noted = _aside(connection, destination, _NOT_CONFIRMED, limit)
    # Those that came true, too: there is nothing to tell of them, and nobody need look again.
    told = [{"id": one.entry, "told": one.outcome} for one in (*waiting, *noted)]
    update_many(connection, outbox_entry, told)
    return [*waiting, *_overdue(connection, destination, noted)]


def _aside(
    connection: Connection, destination: str, waiting: ColumnElement[bool], limit: int
) -> list[Fate]:
    query = (
        select(*_NAMED, record.c.reason, record.c.problem)
        .join(record, waiting)
        .where(_ASIDE)
        .order_by(outbox_entry.c.id)
        .limit(limit)
        .with_for_update(of=outbox_entry, skip_locked=True)
    )
    rows = connection.execute(query, {"in_destination": destination}).all()
    return [_fate(row, row.reason, _words(row.problem)) for row in rows]


def _overdue(connection: Connection, destination: str, noted: Sequence[Fate]) -> list[Fate]:
    """Give the very entries that said what was to come, and has not."""
    if not noted:
        return []
    query = select(record).where(
        record.c.destination == destination,
        record.c.state == RecordState.DEAD.value,
        record.c.reason == Reason.UNCONFIRMED.value,
    )
    records = [from_row(row) for row in connection.execute(query).all()]
    expected = {
        wish.entry
        for one in records
        for name, wish in one.expected.items()
        if one.problem is not None and one.problem.field == name
    }
    return [one for one in noted if one.entry in expected]


def _any(connection: Connection, query: Any, destination: str) -> bool:
    found = connection.execute(query.limit(1), {"in_destination": destination})
    return found.scalar_one_or_none() is not None


def _fate(row: Any, outcome: str, reason: str | None) -> Fate:
    key = RecordKey(row.kind, row.source_id, row.part, row.round)
    return Fate(
        entry=EntryId(row.id),
        source=row.source,
        event_id=row.event_id,
        record_key=str(key),
        remote_id=row.remote_id,
        outcome=outcome,
        reason=reason,
    )


def _words(problem: Any) -> str | None:
    if not isinstance(problem, dict):
        return None
    detail: Any = problem.get("detail")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return detail if isinstance(detail, str) else None
