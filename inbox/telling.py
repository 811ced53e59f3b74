"""Tells our records what a page says of them.

One idea: only those are locked to whom it says something new, with their families, in key order,
as every other writer locks them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from inbox import differences
from inbox.drift import compare
from inbox.mirror import Change, Reading
from inbox.news import our_own
from records import links, readings, store
from records.fold import Agrees
from records.told import NO_CALLS, Calls, is_news, take_in
from schema.contract import Contract
from schema.fingerprint import Json
from schema.inbox import RunKind
from schema.keys import EntryId, RecordKey, RemoteId
from schema.outcomes import Delivered
from schema.record import Problem, Record
from schema.sources import About, Row, Source
from schema.states import Closed, Reason, RecordState

logger = structlog.get_logger(__name__)

Close = Callable[[Connection, Mapping[EntryId, Closed], datetime], None]
"""Closes entries, in the transaction of the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What is needed to tell records of one collection."""

    contract: Contract
    source: Source
    kind: RunKind
    quarantine: timedelta
    close: Close

    def agreeing(self, key: RecordKey) -> Agrees:
        """Bind the contract's comparison to a record."""
        return lambda name, wanted, accepted: self.contract.agrees(key, name, wanted, accepted)

    def status_field(self, key: RecordKey) -> str | None:
        """Name the field of a record that holds its status."""
        return self.contract.kinds[key.kind].status_field


@dataclass(slots=True, kw_only=True)
class Heard:
    """What came of telling: by row, the records it is about, and what of it is our own doing."""

    keys: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    ours: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    row: Row
    about: About
    record: Record
    change: Change | None


def tell(
    connection: Connection,
    listener: Listener,
    reading: Reading,
    rows: Sequence[Row],
    changes: Mapping[str, Change],
) -> Heard:
    """Tell the records behind these rows; *changes* are those that differ from the mirror."""
    heard = Heard()
    found = _found(connection, listener, reading, rows, changes)
    for said in found:
        known = heard.keys.get(said.row.id, ())
        heard.keys[said.row.id] = (*known, str(said.record.key))
    speaking = _speaking(listener, found)
    families = sorted({said.record.family for said in speaking})
    if not families:
        return heard
    fresh = store.of_families(connection, reading.destination, families, lock=True)
    by_id = {one.id: one for one in fresh}
    calls = readings.calls_for(connection, [said.record.id for said in speaking])
    for said in speaking:
        record = by_id.get(said.record.id)
        if record is None:
            continue
        kin = [one for one in by_id.values() if one.family == record.family and one.id != record.id]
        after = _told(connection, listener, reading, said, record, kin, calls, heard)
        if after is not None:
            by_id[record.id] = after
    return heard


def families_told(
    connection: Connection,
    listener: Listener,
    reading: Reading,
    rows: Sequence[Row],
    changes: Mapping[str, Change],
) -> set[str]:
    """Name the families that `tell` would lock."""
    found = _found(connection, listener, reading, rows, changes)
    return {said.record.family for said in _speaking(listener, found)}


def _speaking(listener: Listener, found: Sequence[_Said]) -> list[_Said]:
    return [said for said in found if said.change is not None or _speaks(listener, said)]


def _found(
    connection: Connection,
    listener: Listener,
    reading: Reading,
    rows: Sequence[Row],
    changes: Mapping[str, Change],
) -> list[_Said]:
    of_row = {about: row for row in rows for about in listener.source.about(row)}
    found = readings.find(connection, reading.destination, list(of_row))
    return [
        _Said(row=of_row[about], about=about, record=record, change=changes.get(of_row[about].id))
        for about, record in found.items()
    ]


def _speaks(listener: Listener, said: _Said) -> bool:
    """Whether a row may say something new to a record; decided before anything is locked."""
    if said.record.remote_id is None:
        return True
    told = listener.source.told(said.row, said.record, ())
    return told is not None and is_news(said.record, told.accepted or {})


def _told(
    connection: Connection,
    listener: Listener,
    reading: Reading,
    said: _Said,
    record: Record,
    kin: Sequence[Record],
    calls: Mapping[int, Calls],
    heard: Heard,
) -> Record | None:
    told = listener.source.told(said.row, record, kin)
    if told is None:
        return None
    known = calls.get(record.id, NO_CALLS)
    _silence(listener, said, record, told, known, heard)
    if listener.kind is RunKind.FULL:
        _note_drift(connection, listener, reading, said, record, told.accepted or {}, known)
    folded = take_in(
        record,
        told,
        began_at=reading.began_at,
        calls=known,
        quarantine=listener.quarantine,
        agrees=listener.agreeing(record.key),
        status_field=listener.status_field(record.key),
        now=reading.now,
    )
    if folded is None:
        return None
    after = _linked(connection, record, folded.record, reading.now)
    store.update_all(connection, [after, *_woken(kin, reading.now)])
    listener.close(connection, folded.closed, reading.now)
    logger.info(
        "record_told",
        record_key=str(after.key),
        source=reading.source,
        run=reading.run_id,
        remote_id=after.remote_id,
        state=after.state.value,
        reason=None if after.reason is None else after.reason.value,
    )
    return after


def _silence(
    listener: Listener,
    said: _Said,
    record: Record,
    told: Delivered,
    calls: Calls,
    heard: Heard,
) -> None:
    """Note which fields of a changed row are our own writes coming back.

    They are, if a write of ours had its effect since the mirror last read the row, and what is
    there agrees with what the record was told by the answer, or with what its doubt was for.
    """
    if said.change is None:
        return
    before = said.change.before
    since = None if before is None else before.read_began_at
    writes = {one.operation for one in calls.writes if since is None or one.at >= since}
    if not writes or not _as_we_made_it(listener, record, told.accepted or {}):
        return
    own = our_own(listener.source, said.about.place, writes)
    heard.ours[said.row.id] = heard.ours.get(said.row.id, frozenset()) | own


def _as_we_made_it(listener: Listener, record: Record, there: Mapping[str, Json]) -> bool:
    key, agrees = record.key, listener.agreeing(record.key)
    kind = listener.contract.kinds[key.kind]
    if record.mark is not None:
        return all(agrees(name, value, there) for name, value in record.mark.fields.items())
    status = [kind.status_field] if kind.status_field else []
    accepted = record.accepted or {}
    return all(agrees(name, accepted.get(name), there) for name in (*kind.ours, *status))


def _note_drift(
    connection: Connection,
    listener: Listener,
    reading: Reading,
    said: _Said,
    record: Record,
    there: Mapping[str, Json],
    calls: Calls,
) -> None:
    if calls.under_way or (record.accepted_at and record.accepted_at >= reading.began_at):
        return
    kind = listener.contract.kinds[record.key.kind]
    found = compare(record, there, kind, listener.agreeing(record.key))
    differences.note(connection, reading, said.row.id, str(record.key), found)


def _linked(connection: Connection, before: Record, after: Record, now: datetime) -> Record:
    """Map a remote id that the row told us; held when another record has it already."""
    remote_id = after.remote_id
    if remote_id is None or remote_id == before.remote_id:
        return after
    if links.link(connection, after, RemoteId(remote_id), after.role or "", now):
        return after
    return held_twice(after, now)


def held_twice(record: Record, now: datetime) -> Record:
    """Hold a record whose remote thing another record has already."""
    problem = Problem(
        reason=Reason.SAME_PERSON_TWICE,
        detail="another local record has this remote thing already",
        at=now,
    )
    return record.but(
        state=RecordState.HELD,
        reason=problem.reason,
        problem=problem,
        remote_id=None,
        due_at=None,
        lease_until=None,
    )


def _woken(kin: Sequence[Record], now: datetime) -> list[Record]:
    """Make kin due that wait for one another, or that were refused for how it was there."""
    return [
        one.but(due_at=now, state=RecordState.WAITING, reason=Reason.WAITING_FOR)
        for one in kin
        if (one.state is RecordState.WAITING and one.reason is Reason.WAITING_FOR)
        or (
            one.state is RecordState.DEAD
            and one.reason is Reason.REFUSED
            and any(not lock.data for lock in one.locks.values())
        )
    ]
