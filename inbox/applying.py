"""Applies what was read: to the mirror, to our records, to the feed. Twice is the same as once.

One idea: a row is read by itself, so a bad one is held with its reason and the other ninety-nine
are applied; and each row of a page ends in one count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from inbox import differences, feed, merging, mirror
from inbox.mirror import Change, Known, Reading, Verdict, judge
from inbox.news import Item, news_of
from inbox.telling import Listener, families_told, tell
from inbox.walk import PageSeen
from records import store
from runtime.log import named
from schema.contract import Unreadable
from schema.fingerprint import Json, fingerprint
from schema.sources import Page, Row

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of some rows: the counts of a run, what its walk must know, whom to fetch."""

    applied: int = 0
    unchanged: int = 0
    held: int = 0
    failed: int = 0
    unseen: int = 0
    silent: int = 0
    """Rows that changed though their stamp did not."""
    latest: datetime | None = None
    people: tuple[str, ...] = ()

    @property
    def seen(self) -> int:
        """All rows there were."""
        return self.applied + self.unchanged + self.held + self.failed


@dataclass(slots=True, kw_only=True)
class _Sorted:
    """Rows by what they are to the mirror."""

    changes: dict[str, Change] = field(default_factory=dict[str, Change])
    same: dict[str, Row] = field(default_factory=dict[str, Row])
    touched: list[Row] = field(default_factory=list[Row])
    older: int = 0
    unseen: int = 0
    silent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The rows of a page that could be read, and for the others why not."""

    rows: tuple[Row, ...]
    bad: tuple[tuple[str, str], ...]
    page: Page

    def seen(self, unseen: int) -> PageSeen:
        """Say to the walk what the page held."""
        stamps = [row.updated_at for row in self.rows if row.updated_at is not None]
        return PageSeen(
            rows=len(self.page.rows),
            unseen=unseen,
            first=min(stamps, default=None),
            last=max(stamps, default=None),
            last_id=self.rows[-1].id if self.rows else None,
            cursor=self.page.cursor,
            ascending=stamps == sorted(stamps),
        )


def parse(listener: Listener, page: Page) -> Parsed:
    """Read each row of a page by itself."""
    rows: list[Row] = []
    bad: list[tuple[str, str]] = []
    for raw in page.rows:
        try:
            rows.append(listener.source.read(raw))
        except Unreadable as error:
            bad.append((_ref(raw), str(error)))
    return Parsed(rows=tuple(rows), bad=tuple(bad), page=page)


def _ref(raw: Json) -> str:
    """Name a row that cannot be read: by its id if it has one, else by its hash."""
    found = raw.get("id") if isinstance(raw, Mapping) else None
    return found[:200] if isinstance(found, str) and found else fingerprint([raw])


def apply(connection: Connection, listener: Listener, reading: Reading, parsed: Parsed) -> Applied:
    """Apply the rows of a page, in the transaction of the connection."""
    unseen_bad = sum(mirror.hold(connection, reading, ref, why) for ref, why in parsed.bad)
    total = Applied(held=len(parsed.bad), unseen=unseen_bad)
    if not parsed.rows:
        return total
    try:
        with connection.begin_nested():
            return _sum(total, _apply(connection, listener, reading, parsed.rows))
    except Exception as error:
        if connection.invalidated or _passes(error):
            raise
        logger.error("page_not_applied", source=reading.source, run=reading.run_id, **named(error))
    for row in parsed.rows:
        total = _sum(total, _alone(connection, listener, reading, row))
    return total


def _alone(connection: Connection, listener: Listener, reading: Reading, row: Row) -> Applied:
    """Apply one row of a page that could not be applied whole; the one at fault is put aside."""
    try:
        with connection.begin_nested():
            return _apply(connection, listener, reading, [row])
    except Exception as error:
        if connection.invalidated or _passes(error):
            raise
        told = named(error)
        logger.error("row_not_applied", source=reading.source, remote_id=row.id, **told)
        why = f"could not be applied ({told['error']})"
        return Applied(failed=1, unseen=int(mirror.hold(connection, reading, row.id, why)))


def _passes(error: Exception) -> bool:
    """Whether it is trouble of the database, such as a deadlock, not of a row: the page comes again.

    Of PostgreSQL's operational errors class 54 is of a row: it is larger than what can be kept.
    """
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return not (isinstance(state, str) and state.startswith("54"))


def _sum(one: Applied, other: Applied) -> Applied:
    stamps = [moment for moment in (one.latest, other.latest) if moment is not None]
    return Applied(
        applied=one.applied + other.applied,
        unchanged=one.unchanged + other.unchanged,
        held=one.held + other.held,
        failed=one.failed + other.failed,
        unseen=one.unseen + other.unseen,
        silent=one.silent + other.silent,
        latest=max(stamps, default=None),
        people=(*one.people, *other.people),
    )


def _apply(
    connection: Connection, listener: Listener, reading: Reading, rows: Sequence[Row]
) -> Applied:
    ids = [row.id for row in rows]
    known = mirror.known(connection, reading.destination, reading.source, ids)
    found = _sort(rows, known, reading)
    changes = list(found.changes.values())
    mirror.write(connection, reading, changes, named_by=listener.source.named_by)
    mirror.seen_again(connection, reading, list(found.same))
    mirror.stamp_again(connection, reading, found.touched)
    mirror.clear_held(connection, reading, ids)
    back = [one.row.id for one in found.changes.values() if one.before and one.before.gone_since]
    differences.heal_missing(connection, reading, back)
    latest_rows = list({row.id: row for row in rows}.values())
    told = [*(change.row for change in found.changes.values()), *found.same.values()]
    _lock(connection, listener, reading, latest_rows, told, found.changes)
    merged = merging.follow(connection, listener, reading, latest_rows)
    heard = tell(connection, listener, reading, told, found.changes)
    news = [
        feed.Entry(
            source=reading.source,
            remote_id=row_id,
            item=item,
            record_keys=heard.keys.get(row_id, ()),
            remote_updated_at=change.row.updated_at,
        )
        for row_id, change in found.changes.items()
        if (item := _item(listener, change, heard.ours.get(row_id, frozenset()))) is not None
    ]
    feed.append(
        connection, reading.destination, [*merged, *news], run_id=reading.run_id, now=reading.now
    )
    stamps = [row.updated_at for row in rows if row.updated_at is not None]
    return Applied(
        applied=len(found.changes),
        unchanged=len(rows) - len(found.changes),
        unseen=found.unseen,
        silent=found.silent,
        latest=max(stamps, default=None),
        people=_strangers(connection, listener, reading, found),
    )


def _lock(
    connection: Connection,
    listener: Listener,
    reading: Reading,
    rows: Sequence[Row],
    told: Sequence[Row],
    changes: Mapping[str, Change],
) -> None:
    """Lock at once, in key order, the families that are moved and those that are told.

    One after the other the second ones could come before the first in the order in which everybody
    else locks, and two would wait for each other. Without a move there is but one lock to take.
    """
    moved = merging.families_moved(connection, listener, reading, rows)
    if moved:
        families = moved | families_told(connection, listener, reading, told, changes)
        store.of_families(connection, reading.destination, sorted(families), lock=True)


def _item(listener: Listener, change: Change, ours: frozenset[str]) -> Item | None:
    before = change.before
    there = None if before is None or before.gone_since is not None else before.content
    return news_of(listener.source, there, change.row.content, ours)


def _sort(rows: Sequence[Row], known: Mapping[str, Known], reading: Reading) -> _Sorted:
    """Sort rows; of one that comes twice on a page the later stands."""
    found = _Sorted()
    for row in {one.id: one for one in rows}.values():
        before = known.get(row.id)
        new_here = before is None or before.seen_run != reading.run_id
        found.unseen += new_here and reading.counts(row)
        print_ = fingerprint(row.content)
        match judge(before, print_, reading.began_at):
            case Verdict.OLDER:
                found.older += 1
            case Verdict.SAME:
                found.same[row.id] = row
                if before is not None and before.remote_updated_at != row.updated_at:
                    found.touched.append(row)
            case Verdict.NEW | Verdict.CHANGED:
                found.changes[row.id] = Change(row=row, before=before, fingerprint=print_)
                found.silent += before is not None and before.remote_updated_at == row.updated_at
    return found


def _strangers(
    connection: Connection, listener: Listener, reading: Reading, found: _Sorted
) -> tuple[str, ...]:
    """Name the people whom changed rows mention and the mirror has never seen."""
    named_people = [one for change in found.changes.values() for one in change.row.mentions]
    unique = list(dict.fromkeys(named_people))
    known = mirror.known_anywhere(connection, reading.destination, listener.source.people, unique)
    return tuple(one for one in unique if one not in known)
