"""Builders that say only what matters."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from records.fold import Change
from schema.asks import Ask, Asks, MoveTo, SetField
from schema.fingerprint import Json
from schema.keys import AttemptId, EntryId, LeaseToken, RecordId, RecordKey, RemoteId
from schema.plans import Call, Request
from schema.record import Mark, Move, Pending, Record, Stamp
from schema.states import RecordState
from tests.support.clock import NOON

PERSON = "11111111-1111-4111-8111-111111111111"
OTHER_PERSON = "22222222-2222-4222-8222-222222222222"
MENTOR = "33333333-3333-4333-8333-333333333333"

ECT = "ecf-induction"

ACTIVE: Mapping[str, Json] = {
    "training_status": "active",
    "schedule_identifier": "ecf-standard-september",
    "cohort": "2025",
    "mentor_id": MENTOR,
}
"""What is accepted of an enrolment nothing has happened to."""

SETTLE = timedelta(seconds=30)


def an_enrolment(**differs: Json) -> dict[str, Json]:
    """An accepted enrolment, active but for what is given."""
    return {**ACTIVE, **differs}


def a_stamp(entry: int, **more: Any) -> Stamp:
    """Who set a field: entry *entry* of the source `local`."""
    values: dict[str, Any] = {"source": "local", **more}
    return Stamp(entry=EntryId(entry), **values)


def a_wish(value: Json, entry: int, base: Json = None, **more: Any) -> Pending:
    """A pending value, asked for by entry *entry*; its base is known unless said otherwise."""
    values: dict[str, Any] = {"base_known": True, **more}
    return Pending(value=value, stamp=a_stamp(entry), base=base, **values)


def a_move(to: str, entry: int, reason: str | None = None) -> Move:
    """A status move, asked for by entry *entry*."""
    return Move(to=to, reason=reason, stamp=a_stamp(entry))


def a_mark(
    entry: int,
    *,
    fields: Mapping[str, Json] | None = None,
    moves: bool = False,
    at: datetime = NOON,
) -> Mark:
    """ "About to send", for one entry: some fields, or the first move of the path."""
    return Mark(
        attempt=AttemptId(1),
        operation="defer" if moves else "change_schedule",
        fingerprint="f" * 32,
        fields=fields or {},
        entries=(EntryId(entry),),
        move=EntryId(entry) if moves else None,
        at=at,
    )


def a_record(source_id: str = "E-1", **differs: Any) -> Record:
    """A linked enrolment in step, with nothing known of the other side."""
    key = differs.pop("key", RecordKey("enrolment", source_id))
    values: dict[str, Any] = {
        "id": RecordId(1),
        "destination": "default",
        "family": f"enrolment:{key.source_id}",
        "state": RecordState.IN_STEP,
        "token": LeaseToken(1),
    }
    if key.kind == "enrolment":
        values |= {"remote_id": RemoteId(PERSON), "role": ECT}
    return Record(key=key, **{**values, **differs})


def a_claim(part: str = "started", number: int = 1, **differs: Any) -> Record:
    """A declaration's record in step, with nothing known of the other side."""
    values: dict[str, Any] = {"key": RecordKey("declaration", "E-1", part, number), **differs}
    return a_record(**values)


def a_change(entry: int, *asks: Ask, settle: timedelta = SETTLE, **more: Any) -> Change:
    """An entry on its way into an enrolment's record. Stamp parts and parts of `Asks` by keyword."""
    told = {name: more.pop(name) for name in ("source", "version", "happened_at") if name in more}
    values: dict[str, Any] = {"kind": "enrolment", "asks": asks, **more}
    return Change(stamp=a_stamp(entry, **told), asks=Asks(**values), settle=settle)


def to_schedule(value: str) -> SetField:
    """The schedule is to be this."""
    return SetField(name="schedule_identifier", value=value)


def to_status(status: str, reason: str | None = None) -> MoveTo:
    """The status is to become this."""
    return MoveTo(status=status, reason=reason)


def a_write(body: Mapping[str, Json] | None = None, **more: Any) -> Call:
    """A call that changes something there."""
    request = Request(method="PUT", path=f"/participants/{PERSON}/defer", body=body or {"a": 1})
    values: dict[str, Any] = {"operation": "defer", "request": request, **more}
    return Call(**values)


def a_look() -> Call:
    """A call that only reads."""
    request = Request(method="GET", path=f"/participants/{PERSON}")
    return Call(operation="look_up_participant", request=request)
