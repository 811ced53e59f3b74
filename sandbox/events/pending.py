"""Events as they come due: those whose time is now, those that wait, and the nights between."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from sandbox.events import people, rest
from sandbox.events.context import Context, Effect, Impossible, Unreadable
from sandbox.events.shapes import Event, Known, read_events
from sandbox.reading import BadInput, Problem, Problems
from sandbox.state import State
from sandbox.times import exact

MOST_NIGHTS = 40
"""Nightly runs made up for when the clock leaps; the latest ones."""

EFFECTS: dict[str, Effect] = {**people.EFFECTS, **rest.EFFECTS}


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event and its place in the order in which events were given."""

    number: int
    event: Event

    @property
    def key(self) -> tuple[datetime, int]:
        return self.event.due, self.number


class Queue:
    """The events that wait, and how far the world has been brought up to date."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._given = 0
        self._seen: datetime | None = None
        self.dropped: list[object] = []

    @property
    def pending(self) -> list[Event]:
        """The events that wait, in the order in which they will come due."""
        return [waiting.event for waiting in self._waiting]

    def load(self, state: State, raw: list[object], now: datetime) -> None:
        """Take over the pending events of a world."""
        problems = Problems()
        events = read_events(
            raw,
            "pending_events",
            problems,
            known=replace(known_in(state, ()), may_be_gone=True),
            now=now,
        )
        problems.raise_any()
        self._add(events)
        self._seen = now

    def _add(self, events: list[Event]) -> None:
        for event in events:
            self._given += 1
            self._waiting.append(Waiting(self._given, event))
        self._waiting.sort(key=lambda waiting: waiting.key)

    def post(self, state: State, raw: object, now: datetime) -> dict[str, object]:
        """Apply a list of events, all or none; those whose time has not come wait for it."""
        problems = Problems()
        events = read_events(raw, "", problems, known=known_in(state, self.pending), now=now)
        problems.raise_any()
        due = [(number, event) for number, event in enumerate(events) if event.due <= now]
        later = [event for event in events if event.due > now]
        before = set(state.refs)
        with state.transaction():
            for number, event in due:
                self._apply_or_refuse(state, event, str(number), now)
            _refuse_unreadable(state, events, now)
        self._add(later)
        added = {ref: state.refs[ref] for ref in state.refs if ref not in before}
        return {"applied": len(due), "pending": len(later), "ids": added}

    def _apply_or_refuse(self, state: State, event: Event, where: str, now: datetime) -> None:
        try:
            apply(state, event, now)
        except Unreadable as bad:
            raise BadInput(
                [Problem(f"{where}.{p.where}", p.problem) for p in bad.problems]
            ) from bad
        except Impossible as bad:
            raise BadInput([Problem(f"{where}.{bad.part}", bad.problem)]) from bad

    def catch_up(self, state: State, now: datetime, *, nightly: bool) -> None:
        """Let happen what is due by now, in the order of time."""
        seen, self._seen = self._seen or now, now
        nights = nights_between(seen, now) if nightly and seen.date() < now.date() else []
        for night in nights:
            self._until(state, night, now)
            self._happen(state, nightly_event(night), now)
        if self._waiting and self._waiting[0].event.due <= now:
            self._until(state, now, now)

    def _until(self, state: State, until: datetime, now: datetime) -> None:
        while self._waiting and self._waiting[0].event.due <= until:
            self._happen(state, self._waiting.pop(0).event, now)

    def _happen(self, state: State, event: Event, now: datetime) -> None:
        """Apply one event; if it is impossible by now it is dropped, and listed."""
        try:
            with state.transaction():
                apply(state, event, now)
        except Impossible as bad:
            problem = f"{bad.part}: {bad.problem}" if bad.part else bad.problem
            self.dropped.append({"event": event.as_json(), "problem": problem, "at": exact(now)})


def apply(state: State, event: Event, now: datetime) -> None:
    """Write down what an event changes."""
    changes = EFFECTS[event.kind](Context(state, event, now))
    state.apply(changes, event.at)


def _refuse_unreadable(state: State, events: list[Event], now: datetime) -> None:
    """Look at what waiting events will add, so that a bad one is refused when it is given."""
    for number, event in enumerate(events):
        if event.due <= now or event.kind not in rest.ADDS:
            continue
        try:
            rest.ADDS[event.kind](Context(state, event, now))
        except Unreadable as bad:
            wrong = [p for p in bad.problems if not _may_come(p, events[:number])]
            if wrong:
                raise BadInput([Problem(f"{number}.{p.where}", p.problem) for p in wrong]) from bad


def _may_come(problem: Problem, before: list[Event]) -> bool:
    """Whether a name is unknown only because an event before has not happened yet."""
    coming = [event.text("ref") for event in before if event.kind in rest.ADDS]
    return any(problem.problem == f"unknown ref '{ref}'" for ref in coming)


def known_in(state: State, pending: "list[Event] | tuple[Event, ...]") -> Known:
    """What an event read now may name."""
    announced: dict[str, str] = {}
    for event in pending:
        if event.kind in rest.ADDS:
            announced[event.text("ref")] = SECTION_ADDED_TO[event.kind]
    return Known(
        resolve=state.resolve,
        cohorts=frozenset(state.cohorts),
        taken=lambda name: is_taken(state, name),
        announced=announced,
    )


SECTION_ADDED_TO = {
    "school_registers_participant": "participants",
    "statement_added": "statements",
    "partnership_added": "partnerships",
}


def is_taken(state: State, name: str) -> bool:
    """Whether a ref or an id is in use."""
    if name in state.refs or name in state.ids or name in state.providers:
        return True
    return name.isdecimal() and int(name) in state.cohorts


def nights_between(seen: datetime, now: datetime) -> list[datetime]:
    """The midnights (UTC) that the clock has passed, at most the latest forty."""
    last = datetime.combine(now.date(), time(), UTC)
    passed = (now.date() - seen.date()).days
    return [last - timedelta(days=back) for back in reversed(range(min(passed, MOST_NIGHTS)))]


def nightly_event(at: datetime) -> Event:
    return Event(kind="nightly_run", at=at, visible_at=at, given={}, raw={"event": "nightly_run"})
