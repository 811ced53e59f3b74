"""Files of events: one JSON object a line.

One idea: a bad line is named with its number and reason, and costs nobody else anything. A line
without an `event_id` gets one made from the file's hash and its number, so that the same file
twice is one import.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, func, select

from producers.append import emit
from producers.errors import EventIdTaken
from schema.events import Event, InvalidEvent, parse
from schema.tables import outbox_entry

BATCH = 1_000
"""Lines that go in with one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A line that may not enter."""

    line: int
    field: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A good line."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A file as read: its good lines and its faults."""

    lines: Sequence[Line]
    faults: Sequence[Fault]


def read(content: bytes, check: Callable[[Event], None]) -> Reading:
    """Read a whole file; *check* raises `InvalidEvent` for what this system has no use for."""
    digest = sha256(content).hexdigest()[:16]
    lines: list[Line] = []
    faults: list[Fault] = []
    for number, text in _numbered(content):
        try:
            event = parse(text)
            check(event)
        except InvalidEvent as error:
            faults.append(Fault(line=number, field=error.field, problem=error.problem))
            continue
        if event.event_id is None:
            event = event.model_copy(update={"event_id": f"{digest}:{number}"})
        lines.append(Line(number=number, event=event))
    return Reading(lines=lines, faults=faults)


def append(connection: Connection, lines: Sequence[Line]) -> tuple[int, list[Fault]]:
    """Append good lines in the caller's transaction; gives how many were new, and the faults.

    A fault here is an `event_id` that stands for another content already; the other lines go in.
    """
    before = _last(connection)
    try:
        with connection.begin_nested():
            ids = emit(connection, [line.event for line in lines])
        return sum(1 for one in ids if one > before), []
    except (EventIdTaken, InvalidEvent):
        return _one_by_one(connection, lines, before)


def _one_by_one(
    connection: Connection, lines: Sequence[Line], before: int
) -> tuple[int, list[Fault]]:
    new = 0
    faults: list[Fault] = []
    for line in lines:
        try:
            with connection.begin_nested():
                new += emit(connection, line.event) > before
        except EventIdTaken as error:
            field, _, problem = str(error).partition(": ")
            faults.append(Fault(line=line.number, field=field, problem=problem))
        except InvalidEvent as error:
            faults.append(Fault(line=line.number, field=error.field, problem=error.problem))
    return new, faults


def batches(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """Cut the lines into what goes in with one transaction."""
    for start in range(0, len(lines), BATCH):
        yield lines[start : start + BATCH]


def _numbered(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, text in enumerate(content.splitlines(), 1):
        if text.strip():
            yield number, text


def _last(connection: Connection) -> int:
    return connection.execute(select(func.max(outbox_entry.c.id))).scalar_one() or 0
