"""One reading of a collection: window, pages, apply, promote.

One idea: each page is applied, and the run's place saved, in one transaction under the lease. So a
run killed anywhere repeats one page at most, and the watermark is never ahead of what was applied.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

import structlog
from sqlalchemy import Connection

from inbox import applying, checkpoints, walk
from inbox.checkpoints import Checkpoint, Run
from inbox.errors import BoundAnew, LeaseLost, NoStart, UnknownSource
from inbox.fetching import Fetch, Fetched, Got, Missing, NotGot, Refused, Shut
from inbox.full_sync import Sweep
from inbox.mirror import Reading
from inbox.pacing import Pacing, order_of
from inbox.telling import Close, Listener
from inbox.window import Everything, From, Nowhere, Start, anchored, limit, started, window
from runtime.clock import Clock
from runtime.database import Database
from schema.contract import Contract, Unreadable
from schema.fingerprint import Json
from schema.inbox import RunKind, RunState, Trigger
from schema.sources import Page, Source
from schema.states import Lane

logger = structlog.get_logger(__name__)

FETCH_TRIES = 4
"""How often a page is asked for in a slice before the run is left for later."""

LATER = timedelta(minutes=1)
"""How soon a run goes on that could not, doubled with each time in a row..."""

LATEST = timedelta(minutes=30)
"""...up to this."""


class Ended(StrEnum):
    """How a slice of a run ended."""

    COMPLETE = "complete"
    MORE = "more"
    NOT_NOW = "not_now"
    BRAKED = "braked"
    ABANDONED = "abandoned"
    BUSY = "busy"
    NO_START = "no_start"
    LOST = "lost"


class Moment(StrEnum):
    """Where a reading may be cut short, for tests to cut it."""

    PAGE_UNCOMMITTED = "page.uncommitted"
    PAGE_COMMITTED = "page.committed"


def _nobody_listens(moment: Moment) -> None:
    pass


def _always_bound(connection: Connection) -> bool:
    return True


class Reader:
    """Reads the collections of one destination; safe to share between threads."""

    def __init__(
        self,
        *,
        database: Database,
        contract: Contract,
        destination: str,
        clock: Clock,
        pacing: Pacing,
        fetch: Fetch,
        close: Close,
        dice: Random,
        sleep: Callable[[float], None] = time.sleep,
        reached: Callable[[Moment], None] = _nobody_listens,
        bound: Callable[[Connection], bool] = _always_bound,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """*bound* says, and keeps it so until the transaction ends, whether the database is still
        bound to the API that *fetch* reads; *stopping*, whether this process is asked to end."""
        self.bound = bound
        self.stopping = stopping
        self.destination = destination
        self.reached = reached
        self._database = database
        self._contract = contract
        self._clock = clock
        self._pacing = pacing
        self._fetch = fetch
        self._close = close
        self._dice = dice
        self._sleep = sleep

    def sources(self) -> dict[str, Source]:
        """Give the collections to read now, by name."""
        return {one.name: one for one in self._contract.sources(self._clock.now())}

    def source(self, name: str) -> Source:
        """Give a collection; raises `UnknownSource`."""
        known = self.sources()
        if name not in known:
            raise UnknownSource(f"there is no source {name!r}; there are {', '.join(known)}")
        return known[name]

    def read(
        self,
        name: str,
        kind: RunKind = RunKind.POLL,
        *,
        trigger: Trigger = Trigger.TIMER,
        start: Start | None = None,
        until: datetime | None = None,
    ) -> Ended:
        """Read a collection until the run is complete, its time is over or it cannot go on.

        A run that was not finished goes on where it was; a poll becomes a full sync where nothing
        was ever read, or not for too long. Raises `UnknownSource`.
        """
        source = self.source(name)
        now = self._clock.now()
        with self._database.transaction() as connection:
            if not self.bound(connection):
                return Ended.LOST
            checkpoints.ensure(connection, self.destination, name)
            held = checkpoints.take(
                connection, self.destination, name, now=now, until=now + self._pacing.lease
            )
            if held is None:
                return Ended.BUSY
            try:
                run = self._run(connection, held, source, kind, trigger, start, now)
            except NoStart:
                checkpoints.release(connection, held)
                return Ended.NO_START
        slice_ = Slice(self, source, held, run, end=self._end(now, until))
        try:
            return slice_.go_on()
        except BoundAnew:
            logger.warning("run_left", source=name, run=run.id, detail="bound anew")
            with self._database.transaction() as connection:
                checkpoints.release(connection, held)  # who is started anew need not wait for it
            return Ended.LOST
        except LeaseLost:
            logger.warning("run_lost_its_lease", source=name, run=run.id)
            return Ended.LOST

    def _end(self, now: datetime, until: datetime | None) -> datetime:
        end = now + self._pacing.runtime
        return end if until is None else min(end, until)

    # opening a run

    def _run(
        self,
        connection: Connection,
        held: Checkpoint,
        source: Source,
        kind: RunKind,
        trigger: Trigger,
        start: Start | None,
        now: datetime,
    ) -> Run:
        going_on = checkpoints.unfinished(connection, self.destination, source.name, kind)
        if going_on is not None:
            return going_on
        since: datetime | None = None
        if kind is RunKind.POLL and held.began is None and start is None:
            # The first reading of everything may have been asked for by hand.
            first = checkpoints.unfinished(connection, self.destination, source.name, RunKind.FULL)
            if first is not None:
                return first
        order = order_of(source, kind)
        if kind is RunKind.POLL:
            # Also where all is read because nothing is known: by the order that misses nothing.
            kind, trigger, since = self._window(held, source, trigger, start, now)
            going_on = checkpoints.unfinished(connection, self.destination, source.name, kind)
            if going_on is not None:
                return going_on
        begun = walk.begin(
            order,
            since=since,
            size=self._pacing.size(source, kind),
            largest=source.largest_page,
        )
        return checkpoints.open_run(
            connection,
            destination=self.destination,
            source=source.name,
            kind=kind,
            trigger=trigger,
            since=since,
            now=now,
            progress={"walk": walk.to_json(begun)},
        )

    def _window(
        self,
        held: Checkpoint,
        source: Source,
        trigger: Trigger,
        start: Start | None,
        now: datetime,
    ) -> tuple[RunKind, Trigger, datetime | None]:
        found = start or window(
            held.began,
            now=now,
            interval=self._pacing.interval,
            longest_gap=self._pacing.longest_gap,
            start=self._pacing.start,
        )
        match found:
            case Nowhere():
                raise NoStart(f"nobody has said from when to read {source.name} first")
            case Everything(gap=gap):
                return RunKind.FULL, trigger if gap is None else Trigger.GAP, None
            case From(since=since):
                return RunKind.POLL, trigger, since if source.filters else None

    # what a slice works with

    @property
    def pacing(self) -> Pacing:
        """The durations and sizes a run lives by."""
        return self._pacing

    @property
    def now(self) -> datetime:
        """This instant."""
        return self._clock.now()

    def transaction(self) -> Any:
        """Open a transaction."""
        return self._database.transaction()

    def listener(self, source: Source, kind: RunKind) -> Listener:
        """Make what tells records."""
        return Listener(
            contract=self._contract,
            source=source,
            kind=kind,
            quarantine=self._pacing.quarantine,
            close=self._close,
        )

    def fetch(self, run: Run, request: Any) -> tuple[Fetched, int]:
        """Fetch, a few times if need be; gives what came of it and how many requests it cost."""
        lane = Lane.POLL if run.kind is RunKind.POLL else Lane.BULK
        turn = 0
        while True:
            turn += 1
            got = self._fetch(request, lane, run.id)
            if not isinstance(got, NotGot) or turn >= FETCH_TRIES:
                return got, turn
            logger.info("read_failed", source=run.source, run=run.id, detail=got.detail)
            self._sleep(min(60.0, 2.0**turn) * self._dice.uniform(0.5, 1.0))
            if self.stopping():
                return got, turn


class Slice:
    """One run, as far as it gets before its time is over."""

    def __init__(
        self, reader: Reader, source: Source, held: Checkpoint, run: Run, *, end: datetime
    ) -> None:
        self._reader = reader
        self._source = source
        self._held = held
        self._run = run
        self._end = end
        self._listener = reader.listener(source, run.kind)
        self._latest = held.high_water

    def go_on(self) -> Ended:
        """Read page after page."""
        while True:
            if (why := self._over()) is not None:
                return self._leave(Ended.MORE, why)
            if self._run.pages >= self._reader.pacing.pages:
                return self._abandon("page ceiling: the walk does not end")
            people = self._run.progress.get("people", [])
            place = self._walk()
            if people:
                failed = self._fetch_person(people[0])
            elif not place.done:
                failed = self._fetch_page(place)
            elif self._run.kind is RunKind.FULL:
                return self._sweep()
            else:
                return self._complete()
            if failed is not None:
                return failed

    def _over(self) -> str | None:
        """Say why this slice is over, if it is; the run goes on in the next one."""
        if self._reader.stopping():
            return "stopped with its process"
        return "stopped by time" if self._reader.now >= self._end else None

    def _walk(self) -> walk.Walk:
        return walk.from_json(self._run.progress["walk"])

    # a page

    def _fetch_page(self, place: walk.Walk) -> Ended | None:
        wanted = walk.ask(place)
        assert wanted is not None
        got, requests = self._reader.fetch(self._run, self._source.request(wanted))
        self._run = self._run.but(requests=self._run.requests + requests)
        match got:
            case Got():
                return self._take_page(place, got)
            case Missing():
                return self._cannot(NotGot(detail="answered 404 for a list"))
            case _:
                return self._cannot(got)

    def _take_page(self, place: walk.Walk, got: Got) -> Ended | None:
        try:
            page = self._source.page(got.body)
        except Unreadable as error:
            return self._cannot(NotGot(detail=str(error)))
        with self._reader.transaction() as connection:
            self._hold(connection)
            again = self._begin_at(place, got) if self._run.started_at is None else None
            self._save(connection, self._apply(connection, page, got, place, again))
            over = self._is_over()
            if over:
                self._finish(connection)
            self._reader.reached(Moment.PAGE_UNCOMMITTED)
        self._reader.reached(Moment.PAGE_COMMITTED)
        if not over:
            return None
        self._tell_end()
        return Ended.COMPLETE

    def _is_over(self) -> bool:
        """Whether a poll is complete with the page in hand; a full sync has its sweep before it."""
        people = self._run.progress.get("people")
        return self._run.kind is RunKind.POLL and self._walk().done and not people

    def _begin_at(self, place: walk.Walk, got: Got) -> walk.Walk | None:
        """Take the start from the first answer.

        Gives another walk to begin instead where their clock stepped back, from further back.
        """
        self._run = self._run.but(started_at=started(got.date, got.began_at))
        end = limit(got.date, got.began_at)
        progress: dict[str, Any] = {**self._run.progress, "limit": end.isoformat()}
        self._run = self._run.but(progress=progress)
        began = self._held.began
        if place.since is None or began is None:
            return None
        since = anchored(
            place.since,
            began,
            date=got.date,
            here=got.began_at,
            interval=self._reader.pacing.interval,
        )
        if since >= place.since:
            return None
        self._run = self._run.but(since=since)
        return walk.begin(place.order, since=since, size=place.size, largest=place.largest)

    def _apply(
        self,
        connection: Connection,
        page: Page,
        got: Got,
        place: walk.Walk,
        again: walk.Walk | None,
    ) -> Run:
        end = datetime.fromisoformat(self._run.progress["limit"])
        reading = replace(self._reading(got.began_at), limit=end)
        parsed = applying.parse(self._listener, page)
        applied = applying.apply(connection, self._listener, reading, parsed)
        self._saw(connection, applied.latest)
        moved = again or walk.step(place, parsed.seen(applied.unseen), limit=end)
        people = [*self._run.progress.get("people", []), *applied.people]
        progress = {
            **self._run.progress,
            "walk": walk.to_json(moved),
            "people": list(dict.fromkeys(people)),
        }
        return counted(self._run, applied).but(pages=self._run.pages + 1, progress=progress)

    def _saw(self, connection: Connection, latest: datetime | None) -> None:
        """Keep the latest stamp, where it is later than all before: half of a walk's are not."""
        if latest is None or (self._latest is not None and latest <= self._latest):
            return
        checkpoints.saw(connection, self._held, latest)
        self._latest = latest

    def _reading(self, began_at: datetime, source: str | None = None) -> Reading:
        return Reading(
            destination=self._reader.destination,
            source=source or self._source.name,
            run_id=self._run.id,
            began_at=began_at,
            now=self._reader.now,
        )

    # a person whom a row mentions

    def _fetch_person(self, person: str) -> Ended | None:
        """Look for somebody in each collection they may be in, and keep them in its mirror."""
        known = self._reader.sources()
        for name in self._source.people:
            request = known[name].request_one(person) if name in known else None
            if request is None:
                continue
            got, requests = self._reader.fetch(self._run, request)
            self._run = self._run.but(requests=self._run.requests + requests)
            if isinstance(got, Got):
                return self._take_person(known[name], got, person)
            if not isinstance(got, Missing):
                return self._cannot(got)
        with self._reader.transaction() as connection:
            self._hold(connection)
            self._save(connection, self._without(person))
        return None

    def _take_person(self, source: Source, got: Got, person: str) -> Ended | None:
        listener = self._reader.listener(source, RunKind.POLL)
        with self._reader.transaction() as connection:
            self._hold(connection)
            page = _page_of_one(source, got.body)
            parsed = applying.parse(listener, page)
            applying.apply(connection, listener, self._reading(got.began_at, source.name), parsed)
            self._save(connection, self._without(person))
        return None

    def _without(self, person: str) -> Run:
        people = [one for one in self._run.progress.get("people", []) if one != person]
        return self._run.but(progress={**self._run.progress, "people": people})

    # the end

    def _complete(self) -> Ended:
        with self._reader.transaction() as connection:
            self._hold(connection)
            self._finish(connection)
        self._tell_end()
        return Ended.COMPLETE

    def _finish(self, connection: Connection) -> None:
        done = self._run.but(state=RunState.COMPLETE, ended_at=self._reader.now, reason=None)
        self._save(connection, done)
        checkpoints.promote(connection, self._held, done)
        checkpoints.release(connection, self._held)

    def _sweep(self) -> Ended:
        """What was not seen is looked up, one by one, and only then gone."""
        sweep = Sweep(self._source, self._listener, self._run)
        with self._reader.transaction() as connection:
            self._hold(connection)
            stopped = sweep.brake(connection)
        if stopped is not None:
            return self._brake(stopped)
        while True:
            if (why := self._over()) is not None:
                return self._leave(Ended.MORE, why)
            with self._reader.transaction() as connection:
                self._hold(connection)
                candidate = sweep.next(connection)
                if candidate is None:
                    self._finish(connection)
                    break
            failed = self._look_at(sweep, candidate)
            if failed is not None:
                return failed
        self._tell_end()
        return Ended.COMPLETE

    def _look_at(self, sweep: Sweep, candidate: str) -> Ended | None:
        request = self._source.request_one(candidate)
        got: Fetched = Missing(began_at=self._reader.now)
        if request is not None:
            got, requests = self._reader.fetch(self._run, request)
            self._run = self._run.but(requests=self._run.requests + requests)
        if not isinstance(got, Got | Missing):
            return self._cannot(got)
        reading = self._reading(got.began_at)
        with self._reader.transaction() as connection:
            self._hold(connection)
            if isinstance(got, Missing):
                sweep.gone(connection, reading, candidate)
                self._save(connection, self._run.but(gone=self._run.gone + 1))
                return None
            page = _page_of_one(self._source, got.body)
            parsed = applying.parse(self._listener, page)
            applied = applying.apply(connection, self._listener, reading, parsed)
            sweep.there(connection, reading, candidate)
            self._save(connection, counted(self._run, applied))
        return None

    # leaving

    def _cannot(self, got: Fetched) -> Ended:
        """Leave a run that cannot go on now, saved, for the next slice."""
        if isinstance(got, Refused):
            return self._abandon(got.detail)
        if self._reader.stopping():
            return self._leave(Ended.MORE, "stopped with its process")
        now = self._reader.now
        wait = min(LATEST, LATER * 2 ** min(self._held.failures, 10))
        at = now + wait
        detail = got.detail if isinstance(got, NotGot | Shut) else "not there"
        if isinstance(got, Shut) and got.until is not None:
            at = got.until
        failures = self._held.failures + (0 if isinstance(got, Shut) else 1)
        return self._leave(Ended.NOT_NOW, detail, next_poll_at=at, failures=failures)

    def _leave(self, ended: Ended, reason: str, **values: Any) -> Ended:
        with self._reader.transaction() as connection:
            self._hold(connection)
            self._save(connection, self._run.but(reason=reason))
            checkpoints.release(connection, self._held, **values)
        logger.info("run_left", source=self._source.name, run=self._run.id, detail=reason)
        return ended

    def _abandon(self, reason: str) -> Ended:
        self._end_with(RunState.ABANDONED, reason)
        logger.error("run_abandoned", source=self._source.name, run=self._run.id, detail=reason)
        return Ended.ABANDONED

    def _brake(self, reason: str) -> Ended:
        self._end_with(RunState.BRAKED, reason)
        logger.error("full_sync_braked", source=self._source.name, run=self._run.id, detail=reason)
        return Ended.BRAKED

    def _end_with(self, state: RunState, reason: str) -> None:
        now = self._reader.now
        with self._reader.transaction() as connection:
            self._hold(connection)
            self._save(connection, self._run.but(state=state, reason=reason, ended_at=now))
            checkpoints.release(connection, self._held)

    # saving

    def _hold(self, connection: Connection) -> None:
        if not self._reader.bound(connection):
            raise BoundAnew(f"{self._reader.destination} was bound anew since this was started")
        checkpoints.hold(connection, self._held, until=self._reader.now + self._reader.pacing.lease)

    def _save(self, connection: Connection, run: Run) -> None:
        checkpoints.save(connection, run)
        self._run = run

    def _tell_end(self) -> None:
        run = self._run
        if not run.seen and run.kind is RunKind.POLL:
            return  # nothing came: silence
        logger.info(
            "run_complete",
            source=run.source,
            run=run.id,
            kind=run.kind.value,
            pages=run.pages,
            seen=run.seen,
            applied=run.applied,
            held=run.held,
            failed=run.failed,
            gone=run.gone,
        )


def counted(run: Run, applied: applying.Applied) -> Run:
    """Add to a run what came of some rows; each row is in one count."""
    return replace(
        run,
        seen=run.seen + applied.seen,
        applied=run.applied + applied.applied,
        unchanged=run.unchanged + applied.unchanged,
        held=run.held + applied.held,
        failed=run.failed + applied.failed,
        drifted=run.drifted + (applied.silent if run.kind is RunKind.FULL else 0),
    )


def _page_of_one(source: Source, body: Json) -> Page:
    try:
        return Page(rows=[source.one(body)])
    except Unreadable:
        return Page(rows=[body])  # held, with its reason, as any row that cannot be read
