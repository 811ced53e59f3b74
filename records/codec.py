"""A record as a row, and a row as a record.

One idea: what SQL must find has a column; what only the fold reads lies in one document, in short
lists, since it is read and written for every change.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from records.signature import aside_since, is_aside, signature_of
from schema.fingerprint import Json
from schema.keys import AttemptId, EntryId, LeaseToken, RecordId, RecordKey, RemoteId
from schema.record import Expectation, Lock, Mark, Move, Pending, Problem, Record, Stamp
from schema.states import Lane, Reason, RecordState

_STATES = {state.value: state for state in RecordState}
_REASONS = {reason.value: reason for reason in Reason}
_LANES = {lane.value: lane for lane in Lane}


def to_row(record: Record) -> dict[str, Any]:
    """Write every column of the record but its id."""
    return {
        "destination": record.destination,
        "kind": record.key.kind,
        "source_id": record.key.source_id,
        "part": record.key.part,
        "round": record.key.round,
        "family": record.family,
        **{name: write(record) for name, write in WRITERS.items()},
    }


def from_row(row: Sequence[Any]) -> Record:
    """Read a record back from its row: all columns of `record`, in the table's order."""
    (
        id_,
        destination,
        kind,
        source_id,
        part,
        round_,
        family,
        state,
        reason,
        _signature,
        _aside_at,
        lane,
        due_at,
        _cut_off,
        waits_for,
        role,
        remote_id,
        serial_key,
        token,
        lease_until,
        revision,
        tries,
        takes,
        calls,
        allowance,
        first_try_at,
        oldest_entry,
        look_first,
        already,
        accepted_at,
        remote_updated_at,
        wanted,
        accepted,
        mark,
        locks,
        problem,
    ) = row
    return Record.of(
        {
            "id": RecordId(id_),
            "destination": destination,
            "key": RecordKey(kind, source_id, part, round_),
            "family": family,
            "state": _STATES[state],
            "reason": None if reason is None else _REASONS[reason],
            "lane": _LANES[lane],
            "due_at": due_at,
            "waits_for": waits_for,
            "role": role,
            "remote_id": remote_id,
            "serial_key": serial_key,
            "pending": {
                name: _read_pending(value) for name, value in wanted.get("pending", {}).items()
            },
            "path": tuple(_read_move(move) for move in wanted.get("path", ())),
            "path_base": wanted.get("path_base"),
            "stamps": {
                name: _read_stamp(stamp) for name, stamp in wanted.get("stamps", {}).items()
            },
            "aliases": tuple(RemoteId(one) for one in wanted.get("aliases", ())),
            "missing": wanted.get("missing", False),
            "words": wanted.get("words", {}),
            "expected": {
                name: Expectation(value=value, entry=EntryId(entry), since=_read_time(since))
                for name, (value, entry, since) in wanted.get("expected", {}).items()
            },
            "snapshots": wanted.get("snapshots", {}),
            "creates": wanted.get("creates", 0),
            "accepted": accepted,
            "look_first": bool(look_first),
            "already": already,
            "accepted_at": accepted_at,
            "remote_updated_at": remote_updated_at,
            "mark": None if mark is None else _read_mark(mark),
            "locks": _read_locks(locks),
            "problem": None if problem is None else read_problem(problem),
            "token": LeaseToken(token),
            "lease_until": lease_until,
            "revision": revision,
            "tries": tries,
            "takes": takes,
            "calls": calls,
            "allowance": allowance,
            "first_try_at": first_try_at,
            "oldest_entry": oldest_entry,
        }
    )


def problem_json(problem: Problem) -> dict[str, Json]:
    """Write a problem with only the keys that say something."""
    parts: dict[str, Json] = {
        "reason": problem.reason.value,
        "detail": problem.detail,
        "field": problem.field,
        "operation": problem.operation,
        "status": problem.status,
    }
    if problem.at is not None:
        parts["at"] = problem.at.isoformat()
    if problem.sides is not None:
        base, ours, theirs = problem.sides
        parts["sides"] = {"base": base, "ours": ours, "theirs": theirs}
    return {name: value for name, value in parts.items() if value is not None}


def read_problem(value: Mapping[str, Any]) -> Problem:
    """Read a problem back."""
    sides = value.get("sides")
    return Problem(
        reason=_REASONS[value["reason"]],
        detail=value["detail"],
        field=value.get("field"),
        operation=value.get("operation"),
        status=value.get("status"),
        sides=None if sides is None else (sides["base"], sides["ours"], sides["theirs"]),
        at=_read_time(value["at"]) if "at" in value else None,
    )


def _wanted(record: Record) -> dict[str, Json]:
    wanted: dict[str, Json] = {
        "stamps": {name: _stamp(stamp) for name, stamp in record.stamps.items()}
    }
    if record.pending:
        wanted["pending"] = {name: _pending(value) for name, value in record.pending.items()}
    if record.path:
        wanted["path"] = [_move(move) for move in record.path]
    if record.path_base is not None:
        wanted["path_base"] = record.path_base
    if record.expected:
        wanted["expected"] = {
            name: [value.value, value.entry, value.since.isoformat()]
            for name, value in record.expected.items()
        }
    if record.aliases:
        wanted["aliases"] = list(record.aliases)
    if record.missing:
        wanted["missing"] = True
    if record.words:
        wanted["words"] = record.words
    if record.creates:
        wanted["creates"] = record.creates
    if record.snapshots:
        wanted["snapshots"] = record.snapshots
    return wanted


def _stamp(stamp: Stamp) -> list[Json]:
    if stamp.version is None and stamp.happened_at is None:
        return [stamp.entry, stamp.source]
    happened = None if stamp.happened_at is None else stamp.happened_at.isoformat()
    return [stamp.entry, stamp.source, stamp.version, happened]


def _read_stamp(value: list[Any]) -> Stamp:
    if len(value) == 2:  # entry and source, the usual case
        return Stamp(entry=value[0], source=value[1])
    entry, source, version, happened = value
    at = None if happened is None else _read_time(happened)
    return Stamp(entry=entry, source=source, version=version, happened_at=at)


def _pending(pending: Pending) -> list[Json]:
    return [pending.value, _stamp(pending.stamp), pending.base, pending.base_known]


def _read_pending(value: list[Any]) -> Pending:
    return Pending(value=value[0], stamp=_read_stamp(value[1]), base=value[2], base_known=value[3])


def _move(move: Move) -> list[Json]:
    written: list[Json] = [move.to, move.reason, _stamp(move.stamp)]
    return written if move.explicit else [*written, False]


def _read_move(value: list[Any]) -> Move:
    explicit = len(value) == 3  # said by an event of its own, the usual case
    return Move(to=value[0], reason=value[1], stamp=_read_stamp(value[2]), explicit=explicit)


def mark_json(mark: Mark) -> dict[str, Json]:
    """Write a mark."""
    over = {} if mark.over_at is None else {"over_at": mark.over_at.isoformat()}
    return {
        **over,
        "attempt": mark.attempt,
        "operation": mark.operation,
        "fingerprint": mark.fingerprint,
        "fields": mark.fields,
        "entries": list(mark.entries),
        "move": mark.move,
        "at": mark.at.isoformat(),
    }


def _read_locks(value: Mapping[str, Any] | None) -> dict[str, Lock]:
    return {name: read_lock(lock) for name, lock in value.items()} if value else {}


def read_lock(value: Mapping[str, Any]) -> Lock:
    """Read a lock back."""
    problem = value.get("problem")
    return Lock(
        fingerprint=value["fingerprint"],
        data=value["data"],
        cause=value["cause"],
        entries=tuple(EntryId(entry) for entry in value.get("entries", ())),
        problem=None if problem is None else read_problem(problem),
    )


def _read_mark(value: Mapping[str, Any]) -> Mark:
    return Mark(
        attempt=AttemptId(value["attempt"]),
        operation=value["operation"],
        fingerprint=value["fingerprint"],
        fields=value["fields"],
        entries=tuple(EntryId(entry) for entry in value["entries"]),
        move=value["move"],
        at=_read_time(value["at"]),
        over_at=_read_time(value["over_at"]) if "over_at" in value else None,
    )


def lock_json(lock: Lock) -> dict[str, Json]:
    """Write a lock."""
    return {
        "fingerprint": lock.fingerprint,
        "data": lock.data,
        "cause": lock.cause,
        "entries": list(lock.entries),
        "problem": None if lock.problem is None else problem_json(lock.problem),
    }


def _read_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _value(text: StrEnum | None) -> str | None:
    return None if text is None else text.value


WRITERS: Mapping[str, Callable[[Record], Any]] = {
    "state": lambda one: one.state.value,
    "reason": lambda one: _value(one.reason),
    "signature": signature_of,
    "aside_at": aside_since,
    "lane": lambda one: one.lane.value,
    "due_at": attrgetter("due_at"),
    "waits_for": attrgetter("waits_for"),
    "role": attrgetter("role"),
    "remote_id": attrgetter("remote_id"),
    "serial_key": attrgetter("serial_key"),
    "token": attrgetter("token"),
    "lease_until": attrgetter("lease_until"),
    "revision": attrgetter("revision"),
    "tries": attrgetter("tries"),
    "takes": attrgetter("takes"),
    "calls": attrgetter("calls"),
    "allowance": attrgetter("allowance"),
    "first_try_at": attrgetter("first_try_at"),
    "oldest_entry": attrgetter("oldest_entry"),
    "look_first": lambda one: int(one.look_first),
    "already": attrgetter("already"),
    "accepted_at": attrgetter("accepted_at"),
    "remote_updated_at": attrgetter("remote_updated_at"),
    "wanted": _wanted,
    "accepted": attrgetter("accepted"),
    "mark": lambda one: None if one.mark is None else mark_json(one.mark),
    "locks": lambda one: {name: lock_json(lock) for name, lock in one.locks.items()} or None,
    "problem": lambda one: None if one.problem is None else problem_json(one.problem),
}
"""How each column that may change is written."""

_COLUMN_OF = {
    one.name: one.name if one.name in WRITERS else "wanted"
    for one in fields(Record)
    if one.name not in ("id", "destination", "key", "family")
}
_OF_A_LETTER = {"signature", "aside_at"}
"""Which column each value of a record is in; what has none of its own is in the one document."""

_PARTS = attrgetter(*_COLUMN_OF)


def written_anew(changes: Iterable[tuple[Record, Record]]) -> list[str]:
    """Name the columns that differ between before and after in any of these changes.

    By identity: a record made from another one shares with it what it did not change.
    """
    places: set[int] = set()
    letters = False
    for before, after in changes:
        letters = letters or is_aside(before) or is_aside(after)
        pairs = enumerate(zip(_PARTS(before), _PARTS(after), strict=True))
        places.update([place for place, (was, is_now) in pairs if was is not is_now])
    found = {column for place, column in enumerate(_COLUMN_OF.values()) if place in places}
    if letters and found & {"state", "reason", "due_at", "problem"}:
        found |= _OF_A_LETTER
    return [name for name in WRITERS if name in found]
