"""What a person asks of the timetable: read now, read everything, wait, go on, in these hours.

One idea: nobody reads here. What is asked for is a row that a poller takes up, and who asked stands
beside it in the same transaction; the command line and the pages both come through here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from inbox import booked, checkpoints, mirror, walk
from inbox.booked import EVERY, Booked
from inbox.checkpoints import Run
from inbox.errors import NoStart, NotThisWay
from inbox.full_sync import PAST_THE_BRAKE
from inbox.pacing import Pacing, order_of
from runtime.audit import write_down
from schema.hours import Booking, bookings, written
from schema.inbox import RunKind, Trigger
from schema.sources import Order, Source

BULK_SHARE = 0.2
"""The part of the quota that full syncs get while everybody wants some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """Who asks, when, and of which destination."""

    destination: str
    actor: str
    now: datetime
    pacing: Pacing


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a full sync costs: there and back, at the share that bulk work has."""

    rows: int
    requests: int
    takes: timedelta

    @property
    def minutes(self) -> float:
        """How long it takes, to the tenth of a minute."""
        return round(self.takes / timedelta(minutes=1), 1)


# reading


def poll(
    connection: Connection,
    hand: Hand,
    source: Source,
    *,
    since: datetime | None = None,
    everything: bool = False,
    reason: str | None = None,
) -> None:
    """Have a source polled at once; raises `NoStart` where nobody has said from when, ever.

    *since* reads again from then on, *everything* all there is. Asked for twice is once.
    """
    place = _ready(connection, hand, source)
    begun = place.watermark is not None or hand.pacing.start is not None
    if since is None and not everything and not begun:
        raise NoStart(f"{source.name} was never read; say from when with --since, or --everything")
    if since is not None or everything:
        _open(connection, hand, source, since, source.order)
    checkpoints.plan_next(connection, hand.destination, source.name, hand.now)
    told = {"since": None if since is None else since.isoformat(), "everything": everything}
    _audit(connection, hand, "poll_asked_for", source.name, reason=reason, after=told)


def full(
    connection: Connection,
    hand: Hand,
    source: Source,
    *,
    past_the_brake: bool = False,
    reason: str | None = None,
) -> None:
    """Have all of a source read now, outside its hours.

    *past_the_brake* lets one go on that stopped for a person; raises `NotThisWay` when none did.
    """
    _ready(connection, hand, source)
    if past_the_brake:
        stopped = checkpoints.braked(connection, hand.destination, source.name)
        if stopped is None:
            raise NotThisWay(f"{source.name}: no full sync was stopped by the brake")
        progress = {**stopped.progress, PAST_THE_BRAKE: True}
        checkpoints.reopen(connection, stopped.but(progress=progress, trigger=Trigger.HAND))
    else:
        _open(connection, hand, source, None, order_of(source, RunKind.FULL))
    checkpoints.plan_next(connection, hand.destination, source.name, hand.now)
    action = "full_sync_past_the_brake" if past_the_brake else "full_sync_asked_for"
    _audit(connection, hand, action, source.name, reason=reason)


def estimate(
    connection: Connection, hand: Hand, source: Source, *, calls: int, window: timedelta
) -> Estimate:
    """Say what a full sync of a source costs, going by what the mirror has."""
    rows = mirror.count(connection, hand.destination, source.name)
    size = hand.pacing.size(source, RunKind.FULL)
    requests = walk.requests_for(order_of(source, RunKind.FULL), rows, size)
    return Estimate(rows=rows, requests=requests, takes=requests / (calls * BULK_SHARE) * window)


def _ready(connection: Connection, hand: Hand, source: Source) -> checkpoints.Checkpoint:
    checkpoints.ensure(connection, hand.destination, source.name)
    place = checkpoints.get(connection, hand.destination, source.name)
    if place.paused_at is not None:
        raise NotThisWay(f"{source.name} is paused, and nobody reads it; resume it first")
    return place


def _open(
    connection: Connection, hand: Hand, source: Source, since: datetime | None, order: Order
) -> Run:
    """Open the run that a poller then takes up; one that is open goes on instead."""
    kind = RunKind.FULL if since is None else RunKind.POLL
    going_on = checkpoints.unfinished(connection, hand.destination, source.name, kind)
    if going_on is not None:
        return going_on
    begun = walk.begin(
        order, since=since, size=hand.pacing.size(source, kind), largest=source.largest_page
    )
    return checkpoints.open_run(
        connection,
        destination=hand.destination,
        source=source.name,
        kind=kind,
        trigger=Trigger.HAND,
        since=since,
        now=hand.now,
        progress={"walk": walk.to_json(begun)},
    )


# waiting


def pause(connection: Connection, hand: Hand, source: Source, *, reason: str | None) -> None:
    """Stop reading a source; what was missed is caught up with later."""
    checkpoints.pause(connection, hand.destination, source.name, hand.now)
    _audit(connection, hand, "poll_paused", source.name, reason=reason)


def resume(connection: Connection, hand: Hand, source: Source, *, reason: str | None) -> None:
    """Read a paused source again, from where it was."""
    checkpoints.pause(connection, hand.destination, source.name, None)
    _audit(connection, hand, "poll_resumed", source.name, reason=reason)


# hours


def hours_of(text: str) -> list[Booking]:
    """Read hours as a person writes them; raises `NotThisWay` with an example."""
    try:
        found = list(bookings(text.lower()))
    except ValueError as error:
        raise NotThisWay(str(error)) from None
    if not found:
        raise NotThisWay("no hours are given; write tue 22:00-06:00")
    return found


def book(
    connection: Connection,
    hand: Hand,
    hours: str,
    *,
    agreed_by: str,
    source: Source | None = None,
    reason: str | None = None,
) -> list[Booked]:
    """Book hours for full syncs of a source, or of all; gives what was not booked before.

    Where a source has hours of its own, those of all do not hold for it. Nothing booked, the hours
    of `PILLARBOX_FULL_SYNC` hold.
    """
    if not agreed_by.strip():
        raise NotThisWay("nobody is named who agreed to these hours; say who")
    fresh: list[Booked] = []
    for one in hours_of(hours):
        wanted = Booked(
            source=EVERY if source is None else source.name,
            hours=written(one),
            agreed_by=agreed_by.strip(),
            booked_by=hand.actor,
            booked_at=hand.now,
        )
        if not booked.add(connection, hand.destination, wanted):
            continue
        fresh.append(wanted)
        told = {"hours": wanted.hours, "agreed_by": wanted.agreed_by}
        _audit(connection, hand, "hours_booked", wanted.source, reason=reason, after=told)
    return fresh


def unbook(
    connection: Connection,
    hand: Hand,
    hours: str,
    *,
    source: Source | None = None,
    reason: str | None = None,
) -> None:
    """Give booked hours up; raises `NotThisWay` when they are not booked."""
    of = EVERY if source is None else source.name
    known = {one.hours: one for one in booked.of(connection, hand.destination) if one.source == of}
    for one in map(written, hours_of(hours)):
        if not booked.remove(connection, hand.destination, of, one):
            has = ", ".join(known) or "none"
            raise NotThisWay(f"{one} is not booked for {of or 'all sources'}; booked are: {has}")
        was = known[one]
        told = {"hours": was.hours, "agreed_by": was.agreed_by, "booked_by": was.booked_by}
        _audit(connection, hand, "hours_given_up", of, reason=reason, before=told)


def _audit(
    connection: Connection,
    hand: Hand,
    action: str,
    source: str,
    *,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    write_down(
        connection,
        actor=hand.actor,
        action=action,
        subject=f"{hand.destination}/{source}" if source else hand.destination,
        now=hand.now,
        reason=reason,
        before=before,
        after=after,
    )
