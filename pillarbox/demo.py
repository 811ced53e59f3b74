"""The demo: a story told through the public producer API, or a file of the user's own.

One idea: everything that is printed was read back from the tables or from the sandbox's own log;
the demo knows what it emitted and nothing else.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event as StopEvent
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, func, select

from console.views import ago
from pillarbox import school
from pillarbox.watcher import Watcher
from pillarbox.world import Control, World
from producers import emit
from schema.events import (
    DeclarationMade,
    Event,
    ParticipantDeferred,
    ParticipantLinked,
    ParticipantResumed,
    ScheduleChanged,
)
from schema.incoming_tables import request_log
from schema.states import Closed, EntryState, Reason, RecordState
from schema.tables import attempt, outbox_entry, record

CALLS = 6
WINDOW = timedelta(seconds=4)
"""The limit of the story, for sandbox and quota alike: small enough that one call has to wait."""

CAST = {
    "E-1001": "Amara Okafor",
    "E-1002": "Sana Malik",
    "E-1003": "Daniel Adeyemi",
    "E-1004": "Harpreet Sandhu",
    "E-1005": "Hannah Whitfield",
    "E-1006": "Grace Mensah",
}
SOURCE = "coaching-app"

SETTLED_WAIT = timedelta(seconds=90)
"""A record due later than this is not waited for: it is told as waiting."""

STORY_TIMEOUT_S = 50.0

LOOK_EVERY_S = 0.05
"""How often the tables are read for something to tell."""


def person(name: str) -> str:
    """Give a participant's id in the bundled world."""
    ref = name.lower().replace(" ", "-")
    return str(uuid5(NAMESPACE_URL, f"sandbox:participants:{ref}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What became of all entries of a run: the reasons add up to `entries`."""

    entries: int
    reasons: Mapping[str, int]
    waiting: int
    dead: int
    calls: int
    reads: int
    writes: int
    polled: int
    limit_refusals: int
    converged: bool
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Give them as one JSON object."""
        return {
            "entries": self.entries,
            **{reason.value: self.reasons.get(reason, 0) for reason in Closed},
            "waiting": self.waiting,
            "dead": self.dead,
            "calls": self.calls,
            "reads": self.reads,
            "writes": self.writes,
            "polled": self.polled,
            "limit_refusals": self.limit_refusals,
            "converged": self.converged,
            "seconds": round(self.seconds, 1),
        }


def is_still(connection: Connection, destination: str, now: datetime) -> bool:
    """Say whether nothing will happen by itself soon: all folded, nothing due or under way."""
    new = connection.execute(
        select(func.count()).where(
            outbox_entry.c.state == EntryState.NEW.value,
            outbox_entry.c.destination == destination,
        )
    ).scalar_one()
    moving = connection.execute(
        select(func.count()).where(
            record.c.destination == destination,
            record.c.state.in_(("dispatched", "taken", "waiting", "in_doubt")),
            (record.c.lease_until.is_not(None))
            | (record.c.due_at <= now)  # woken, and not looked at yet
            | (
                (record.c.due_at <= now + SETTLED_WAIT)
                & (func.coalesce(record.c.reason, "") != Reason.WAITING_FOR.value)
            ),
        )
    ).scalar_one()
    return new == 0 and moving == 0


def totals(world: World, *, started: float) -> Totals:
    """Add up what became of every entry, and what the sandbox says arrived."""
    destination = world.settings.destinations[0].name
    with world.wiring.database.reading() as connection:
        closed = connection.execute(
            select(outbox_entry.c.closed_as, func.count())
            .where(outbox_entry.c.closed_as.is_not(None))
            .group_by(outbox_entry.c.closed_as)
        )
        reasons = {str(row[0]): int(row[1]) for row in closed}
        entries = connection.execute(select(func.count()).select_from(outbox_entry)).scalar_one()
        dead = connection.execute(
            select(func.count())
            .select_from(outbox_entry.join(record, record.c.id == outbox_entry.c.record_id))
            .where(
                outbox_entry.c.state != EntryState.CLOSED.value,
                record.c.state.in_((RecordState.DEAD.value, RecordState.HELD.value)),
            )
        ).scalar_one()
        method = attempt.c.request["method"].as_string()
        reads = connection.execute(
            select(func.count()).where(method == "GET").select_from(attempt)
        ).scalar_one()
        polled = connection.execute(select(func.count()).select_from(request_log)).scalar_one()
        still = is_still(connection, destination, world.wiring.clock.now())
    calls, refused = _arrived(world, reads + polled)
    return Totals(
        entries=entries,
        reasons=reasons,
        waiting=entries - sum(reasons.values()) - dead,
        dead=dead,
        calls=calls,
        reads=reads,
        writes=calls - reads - polled,
        polled=polled,
        limit_refusals=refused,
        converged=still,
        seconds=time.monotonic() - started,
    )


def _arrived(world: World, reads: int) -> tuple[int, int]:
    if world.sandbox is None:
        return reads, 0
    return Control(world.sandbox).calls()


# the story


def acts() -> Sequence[tuple[str, Sequence[Event]]]:
    """Give the story: what is told, and what the local system emits."""
    return (
        ("A training provider's app says who is who. Nothing is sent for that.", _links()),
        (
            "One change: Amara moves to an extended schedule. It is read once, then sent.",
            [_schedule("E-1001", "ecf-extended-september")],
        ),
        (
            "The app saves Amara again, unchanged. No call.",
            [_schedule("E-1001", "ecf-extended-september")],
        ),
        (
            "Four edits of Sana's schedule in one second. One call, for the last of them.",
            [
                _schedule("E-1002", "ecf-standard-january"),
                _schedule("E-1002", "ecf-reduced-september"),
                _schedule("E-1002", "ecf-standard-january"),
                _schedule("E-1002", "ecf-reduced-september"),
            ],
        ),
        (
            "Amara is deferred by mistake, and resumed before it was sent. No call.",
            [
                ParticipantDeferred(source_id="E-1001", source=SOURCE, reason="other"),
                ParticipantResumed(source_id="E-1001", source=SOURCE),
            ],
        ),
        (
            "Harpreet's declaration has a date before the milestone. The API refuses it.",
            [_started("E-1004", "2025-05-20T09:00:00Z")],
        ),
        (
            f"Three more, but only {CALLS} calls fit into {WINDOW.seconds} s here: one has to wait.",
            [
                ParticipantDeferred(source_id="E-1003", source=SOURCE, reason="parental-leave"),
                _started("E-1005", "2025-10-01T09:00:00Z"),
                _started("E-1006", "2025-10-02T09:00:00Z"),
            ],
        ),
    )


def play(world: World, watcher: Watcher, tell: Callable[[str], None]) -> bool:
    """Play the story act by act; says whether each came to rest in time."""
    watcher.skip()
    for number, (title, events) in enumerate(acts(), 1):
        tell(f"{number}. {title}")
        with world.wiring.database.transaction() as connection:
            emit(connection, _named(events, number))
        if not settle(world, watcher, timeout=STORY_TIMEOUT_S):
            return False
    tell(f"{len(acts()) + 1}. {school.ACT}")
    return _read_back(world, watcher)


def _read_back(world: World, watcher: Watcher) -> bool:
    if not school.read(world):
        return False
    school.rename(world)
    back = school.read(world)
    watcher.look()
    return back


def _named(events: Sequence[Event], act: int) -> list[Event]:
    """Give each event its own reference: told twice, the story happens once."""
    return [
        event.model_copy(update={"event_id": f"story-{act}-{place}"})
        for place, event in enumerate(events)
    ]


def settle(world: World, watcher: Watcher, *, timeout: float) -> bool:
    """Wait until nothing happens by itself any more, saying what happens meanwhile."""
    destination = world.settings.destinations[0].name
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with world.wiring.database.reading() as connection:
            still = is_still(connection, destination, world.wiring.clock.now())
        watcher.look()
        if still:
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def _links() -> list[Event]:
    return [
        ParticipantLinked(
            source_id=source_id,
            source=SOURCE,
            participant_id=person(name),
            course_identifier="ecf-induction",
        )
        for source_id, name in CAST.items()
    ]


def _schedule(source_id: str, schedule: Any) -> Event:
    return ScheduleChanged(
        source_id=source_id, source=SOURCE, schedule_identifier=schedule, cohort="2025"
    )


def _started(source_id: str, date: str) -> Event:
    return DeclarationMade(
        source_id=source_id,
        source=SOURCE,
        declaration_type="started",
        declaration_date=datetime.fromisoformat(date),
        evidence_held="training-event-attended",
    )


THROTTLED: Mapping[str, Any] = {
    "name": "the story's throttle",
    "match": {"method": "POST", "path_regex": "participant-declarations", "nth": 2},
    "do": {"status": 429, "headers": {"Retry-After": "20"}},
    "times": 1,
}
"""What the sandbox does to the story's second claim in a world that is left running: its limit is
the real one there, and nobody would see what a throttle looks like."""

STAGED = (
    "Three more. The sandbox is told to answer one of them with 429, for show: all calls stop for "
    "20 s, then go on."
)
BEGINS = (
    "The demo's people and their changes go in; watch what becomes of them. What is edited waits "
    "{settle} for more edits."
)
BETWEEN_S = 1.5
"""How long after one act the next one begins in a world that is left running."""


def begin(world: World, tell: Callable[[str], None], stop: StopEvent) -> None:
    """Tell the story act by act, in a world that is left running; what it knows is not told again."""
    if (heard := acts_heard(world)) == len(acts()):
        tell("This world has heard the demo's story; `pillarbox up --reset` tells it anew.")
        return
    tell(BEGINS.format(settle=ago(world.settings.settle)))
    if world.sandbox is not None:
        Control(world.sandbox).put("/faults", [THROTTLED])
        school.ask_for(world)
    told = [*acts()[:-1], (STAGED, acts()[-1][1])]
    for number, (title, events) in list(enumerate(told, 1))[heard:]:
        tell(f"{number}. {title}")
        with world.wiring.database.transaction() as connection:
            emit(connection, _named(events, number))
        if stop.wait(BETWEEN_S):
            return
    if world.sandbox is None:
        return
    while not school.was_read(world):
        if stop.wait(BETWEEN_S):
            return
    tell(f"{len(told) + 1}. {school.ACT}")
    school.rename(world)
    school.ask_for(world)


def acts_heard(world: World) -> int:
    """Count the acts that this world has heard: each act is one transaction."""
    firsts = [f"story-{number}-0" for number in range(1, len(acts()) + 1)]
    told = select(func.count()).where(
        outbox_entry.c.source == SOURCE, outbox_entry.c.event_id.in_(firsts)
    )
    with world.wiring.database.reading() as connection:
        return connection.execute(told).scalar_one()
