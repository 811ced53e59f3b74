"""All SQL on runs and watermarks; they only move forward.

One idea: a lease says who reads a collection, and every write of a run shows its token. What a page
brought and how far the run is by it are written in one transaction, so that a run killed anywhere
goes on with the page after the last one that was applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, CursorResult, Select, Update, func, insert, or_, select, update

from inbox.errors import LeaseLost
from inbox.pacing import LEASE
from inbox.window import Began
from runtime.bulk import insert_many
from schema.fingerprint import Json
from schema.inbox import RunKind, RunState, Trigger
from schema.incoming_tables import checkpoint, poll_run

RECENT = 500
"""How far back the last run of a kind is looked for: three weeks of hourly polls. When the last full sync
began is in the checkpoint, however long ago."""

SLACK = timedelta(minutes=1)
"""How far apart the clocks of two machines may be. A lease further ahead than one lease and this was
given by a clock that has been set back since, and is nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where the reading of a collection stands."""

    destination: str
    source: str
    watermark: datetime | None = None
    watermark_here: datetime | None = None
    high_water: datetime | None = None
    completed_run: int | None = None
    full_opened_at: datetime | None = None
    next_poll_at: datetime | None = None
    paused_at: datetime | None = None
    failures: int = 0
    token: int = 0
    lease_until: datetime | None = None

    @property
    def began(self) -> Began | None:
        """When the last complete run began."""
        if self.watermark is None or self.watermark_here is None:
            return None
        return Began(there=self.watermark, here=self.watermark_here)

    def is_free(self, now: datetime) -> bool:
        """Whether nobody reads it now."""
        until = self.lease_until
        return until is None or until < now or until > now + LEASE + SLACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One reading of a collection. `progress` is all it needs to go on."""

    id: int
    state: RunState
    kind: RunKind
    destination: str
    source: str
    trigger: Trigger
    since: datetime | None
    opened_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pages: int = 0
    requests: int = 0
    seen: int = 0
    applied: int = 0
    unchanged: int = 0
    held: int = 0
    failed: int = 0
    gone: int = 0
    drifted: int = 0
    reason: str | None = None
    progress: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def but(self, **changes: Any) -> "Run":
        """Give this run with other values."""
        return replace(self, **changes)


def ensure(connection: Connection, destination: str, source: str) -> None:
    """Make sure that a collection has its row."""
    row = {"destination": destination, "source": source}
    insert_many(connection, checkpoint, [row])


def get(connection: Connection, destination: str, source: str) -> Checkpoint:
    """Read where a collection stands; an unread one stands nowhere."""
    row = connection.execute(_of(destination, source)).mappings().one_or_none()
    if row is None:
        return Checkpoint(destination=destination, source=source)
    return _checkpoint(row)


def all_of(connection: Connection, destination: str) -> Mapping[str, Checkpoint]:
    """Read where every collection stands."""
    rows = connection.execute(select(checkpoint).where(checkpoint.c.destination == destination))
    return {row["source"]: _checkpoint(row) for row in rows.mappings()}


def _checkpoint(row: Mapping[Any, Any]) -> Checkpoint:
    return Checkpoint(**{str(name): value for name, value in row.items()})


def _of(destination: str, source: str) -> Select[Any]:
    return select(checkpoint).where(
        checkpoint.c.destination == destination, checkpoint.c.source == source
    )


def take(
    connection: Connection, destination: str, source: str, *, now: datetime, until: datetime
) -> Checkpoint | None:
    """Take the lease on a collection; None while another one reads it, or it is paused.

    A lease that ends later than any that is given now was given by a clock that was ahead.
    """
    taken = connection.execute(
        update(checkpoint)
        .where(
            checkpoint.c.destination == destination,
            checkpoint.c.source == source,
            checkpoint.c.paused_at.is_(None),
            or_(
                checkpoint.c.lease_until.is_(None),
                checkpoint.c.lease_until < now,
                checkpoint.c.lease_until > until + SLACK,
            ),
        )
        .values(token=checkpoint.c.token + 1, lease_until=until)
        .returning(*checkpoint.c)
    )
    row = taken.mappings().one_or_none()
    return None if row is None else _checkpoint(row)


def hold(connection: Connection, held: Checkpoint, *, until: datetime) -> None:
    """Renew the lease, first thing in each transaction of a run; raises `LeaseLost`."""
    _write(connection, held, lease_until=until)


def release(connection: Connection, held: Checkpoint, **values: Any) -> None:
    """Give the lease back, with what is known by now; another holder's row is left alone."""
    connection.execute(_held(held).values(lease_until=None, **values))


def _write(connection: Connection, held: Checkpoint, **values: Any) -> None:
    if connection.execute(_held(held).values(**values)).rowcount != 1:
        raise LeaseLost(f"{held.source} is read by another process now")


def _held(held: Checkpoint) -> Update:
    return update(checkpoint).where(
        checkpoint.c.destination == held.destination,
        checkpoint.c.source == held.source,
        checkpoint.c.token == held.token,
    )


def promote(connection: Connection, held: Checkpoint, run: Run) -> None:
    """Move the watermark to the start of a complete run; never back."""
    known = get(connection, held.destination, held.source)
    values: dict[str, Any] = {"failures": 0}
    if run.kind is RunKind.FULL:
        values["full_opened_at"] = run.opened_at
    later = known.watermark_here is None or run.opened_at > known.watermark_here
    if later and run.started_at is not None:
        there = max(run.started_at, known.watermark or run.started_at)
        values |= {"watermark": there, "watermark_here": run.opened_at, "completed_run": run.id}
    _write(connection, held, **values)


def saw(connection: Connection, held: Checkpoint, latest: datetime | None) -> None:
    """Keep the latest stamp ever seen: for people, as lag; no window is chosen by it."""
    if latest is None:
        return
    # Compared with the row, not with what was read when the lease was taken: on a walk of two ways
    # later pages hold earlier stamps.
    further = or_(checkpoint.c.high_water.is_(None), checkpoint.c.high_water < latest)
    connection.execute(_held(held).where(further).values(high_water=latest))


def plan_next(connection: Connection, destination: str, source: str, at: datetime) -> None:
    """Say when a collection is polled next."""
    ensure(connection, destination, source)
    connection.execute(
        update(checkpoint)
        .where(checkpoint.c.destination == destination, checkpoint.c.source == source)
        .values(next_poll_at=at)
    )


def pause(
    connection: Connection, destination: str, source: str, paused_at: datetime | None
) -> None:
    """Pause a collection, or with None let it be read again."""
    ensure(connection, destination, source)
    connection.execute(
        update(checkpoint)
        .where(checkpoint.c.destination == destination, checkpoint.c.source == source)
        .values(paused_at=paused_at)
    )


# Runs


def open_run(
    connection: Connection,
    *,
    destination: str,
    source: str,
    kind: RunKind,
    trigger: Trigger,
    since: datetime | None,
    now: datetime,
    progress: Mapping[str, Json],
) -> Run:
    """Open a run. The table refuses a second one of its kind beside it."""
    opened = connection.execute(
        insert(poll_run)
        .values(
            state=RunState.OPEN.value,
            kind=kind.value,
            destination=destination,
            source=source,
            trigger=trigger.value,
            since=since,
            opened_at=now,
            progress=progress,
        )
        .returning(*poll_run.c)
    )
    return _run(opened.mappings().one())


def unfinished(connection: Connection, destination: str, source: str, kind: RunKind) -> Run | None:
    """Give the open run of a collection and kind, if there is one."""
    found = connection.execute(
        select(poll_run).where(
            poll_run.c.destination == destination,
            poll_run.c.source == source,
            poll_run.c.kind == kind.value,
            poll_run.c.state == RunState.OPEN.value,
        )
    )
    return _one(found)


def asked_for(connection: Connection, destination: str) -> Mapping[str, set[RunKind]]:
    """Name the collections with an open run that a person asked for, or that fills a gap."""
    rows = connection.execute(
        select(poll_run.c.source, poll_run.c.kind).where(
            poll_run.c.destination == destination,
            poll_run.c.state == RunState.OPEN.value,
            poll_run.c.trigger != Trigger.TIMER.value,
        )
    )
    found: dict[str, set[RunKind]] = {}
    for source, kind in rows:
        found.setdefault(source, set()).add(RunKind(kind))
    return found


def save(connection: Connection, run: Run) -> None:
    """Write a run down, as far as it is."""
    connection.execute(
        update(poll_run)
        .where(poll_run.c.id == run.id)
        .values(
            state=run.state.value,
            trigger=run.trigger.value,
            since=run.since,
            started_at=run.started_at,
            ended_at=run.ended_at,
            pages=run.pages,
            requests=run.requests,
            seen=run.seen,
            applied=run.applied,
            unchanged=run.unchanged,
            held=run.held,
            failed=run.failed,
            gone=run.gone,
            drifted=run.drifted,
            reason=run.reason,
            progress=run.progress,
        )
    )


def reopen(connection: Connection, run: Run) -> Run:
    """Let a run that was stopped go on."""
    again = run.but(state=RunState.OPEN, ended_at=None, reason=None)
    save(connection, again)
    return again


def by_id(connection: Connection, run_id: int) -> Run | None:
    """Read one run."""
    return _one(connection.execute(select(poll_run).where(poll_run.c.id == run_id)))


def latest(
    connection: Connection,
    destination: str,
    *,
    source: str | None = None,
    before: int | None = None,
    limit: int = 20,
) -> list[Run]:
    """Read the latest runs, the newest first; *before* is the last one of a page that was read."""
    query = select(poll_run).where(poll_run.c.destination == destination)
    if before is not None:
        query = query.where(poll_run.c.id < before)
    if source is not None:
        query = query.where(poll_run.c.source == source)
    rows = connection.execute(query.order_by(poll_run.c.id.desc()).limit(limit))
    return [_run(row) for row in rows.mappings()]


def latest_of_each(connection: Connection, destination: str) -> Mapping[tuple[str, str], Run]:
    """Read the latest run of each collection and kind among its last `RECENT` runs."""
    recent = (
        select(poll_run.c.id, poll_run.c.kind)
        .where(
            poll_run.c.destination == checkpoint.c.destination,
            poll_run.c.source == checkpoint.c.source,
        )
        .order_by(poll_run.c.id.desc())
        .limit(RECENT)
        .correlate(checkpoint)
        .subquery()
    )
    ids = [
        select(func.max(recent.c.id)).where(recent.c.kind == kind.value).scalar_subquery()
        for kind in RunKind
    ]
    found = connection.execute(select(*ids).where(checkpoint.c.destination == destination))
    newest = [one for row in found for one in row if one is not None]
    rows = connection.execute(select(poll_run).where(poll_run.c.id.in_(newest)))
    return {(row["source"], row["kind"]): _run(row) for row in rows.mappings()}


def braked(connection: Connection, destination: str, source: str) -> Run | None:
    """Give the last full sync of a collection if the brake stopped it."""
    found = connection.execute(
        select(poll_run)
        .where(
            poll_run.c.destination == destination,
            poll_run.c.source == source,
            poll_run.c.kind == RunKind.FULL.value,
        )
        .order_by(poll_run.c.id.desc())
        .limit(1)
    )
    run = _one(found)
    return run if run is not None and run.state is RunState.BRAKED else None


def _one(found: CursorResult[Any]) -> Run | None:
    row = found.mappings().one_or_none()
    return None if row is None else _run(row)


def _run(row: Mapping[Any, Any]) -> Run:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["state"] = RunState(values["state"])
    values["kind"] = RunKind(values["kind"])
    values["trigger"] = Trigger(values["trigger"])
    return Run(**values)
