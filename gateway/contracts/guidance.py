"""The API as the guidance texts sketch it: create a participant, update it, declare.

One idea: the smallest contract there can be, and the one to copy for another API. Flat JSON; what
is there is known from its own answers alone, for the texts name nothing to look it up by.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from schema.asks import Asks, Link, SetField
from schema.contract import Contract, Kind, Operation, Unreadable
from schema.events import (
    DeclarationMade,
    Event,
    InvalidEvent,
    MentorChanged,
    ParticipantLinked,
    RecordSnapshot,
)
from schema.fingerprint import Json, utc_seconds
from schema.keys import RecordKey, RemoteId
from schema.outcomes import Delivered
from schema.plans import Call, Hold, InStep, Plan, Request, WaitFor
from schema.record import Record
from schema.sources import EVERYTHING, About, Ask, Order, Page, Row, Source
from schema.states import Reason

LONDON = ZoneInfo("Europe/London")
SNAPSHOT = ("full_name", "start_date", "mentor_id")
STATUS_AFTER = {
    "participant_deferred": "deferred",
    "participant_resumed": "active",
    "participant_withdrawn": "withdrawn",
}
KINDS = {
    "participant": Kind(
        name="participant", ours=frozenset({*SNAPSHOT, "status"}), unknown_means_look=False
    ),
    "declaration": Kind(
        name="declaration",
        ours=frozenset({"declaration_date"}),
        parent="participant",
        unknown_means_look=False,
    ),
}
CREATE = Operation(
    name="create",
    kind="participant",
    method="POST",
    path="/participants",
    creates=True,
    natural_key="nothing that the texts name; its id comes with the answer",
    again="not safe: it may make a second participant",
    source='"duplicated records"; "providers would send: POST /participants"',
)
UPDATE = Operation(
    name="update",
    kind="participant",
    method="PUT",
    path="/participants/{id}",
    natural_key="participant, every field sent",
    again="safe where nobody else writes; it would overwrite what they wrote",
    source='"Repeatedly submitting ... overwriting correct data"',
)
DECLARE = Operation(
    name="declare",
    kind="declaration",
    method="POST",
    path="/declarations",
    creates=True,
    natural_key="nothing that the texts name; participant and type in our own books",
    again="not safe: it may declare twice",
    source='"they might later send a declaration: POST /declarations"',
)


def asks(event: Event) -> Asks:
    """Say what an event asks for; raises `InvalidEvent` when this API has no such thing."""
    match event:
        case RecordSnapshot(kind="participant"):
            return Asks(kind="participant", asks=_fields(event.state), snapshot=True)
        case ParticipantLinked():
            link = Link(remote_id=RemoteId(event.participant_id), role=event.course_identifier)
            return Asks(kind="participant", asks=(link,))
        case MentorChanged():
            return Asks(kind="participant", asks=_fields({"mentor_id": event.mentor_id}))
        case DeclarationMade():
            day = event.declaration_date.astimezone(LONDON).date().isoformat()
            asked = (SetField(name="declaration_date", value=day),)
            return Asks(kind="declaration", part=event.declaration_type, asks=asked, at_once=True)
        case _ if event.event in STATUS_AFTER:
            status = SetField(name="status", value=STATUS_AFTER[event.event])
            return Asks(kind="participant", asks=(status,))
        case _:
            raise InvalidEvent("event", f"{event.event} means nothing to this destination")


def _fields(state: Mapping[str, object]) -> tuple[SetField, ...]:
    return tuple(_field(name, value) for name, value in state.items() if value is not None)


def _field(name: str, value: object) -> SetField:
    if name not in SNAPSHOT:
        raise InvalidEvent(f"state.{name}", f"is not one of {', '.join(SNAPSHOT)}")
    if not isinstance(value, str) or not value.strip():
        raise InvalidEvent(f"state.{name}", "must be text, in quotation marks")
    return SetField(name=name, value=value)


def plan(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
    """Create what is not there yet, then send what differs; declare once there is an id."""
    if record.look_first:
        reason = Reason.DOES_NOT_SETTLE if record.mark is None else Reason.NO_ANSWER
        return Hold(reason=reason, detail="cannot be looked up from here; look there yourself")
    wanted = {name: pending.value for name, pending in record.pending.items()}
    there = record.accepted or {}
    differing = {name: value for name, value in wanted.items() if value != there.get(name)}
    if not differing:
        return InStep()
    if record.key.kind == "declaration":
        return _declare(record, kin, wanted)
    if record.remote_id is not None:
        return _call(UPDATE, differing, wanted, record.remote_id)
    if not {"full_name", "start_date"} <= wanted.keys():
        return WaitFor(whom="record_snapshot")
    return _call(CREATE, wanted, wanted)


def _declare(record: Record, kin: Sequence[Record], wanted: Mapping[str, Json]) -> Plan:
    if record.accepted is not None:
        detail = "cannot be changed there once it is declared"
        return Hold(reason=Reason.INVALID_HERE, detail=detail, field="declaration_date")
    parent = RecordKey("participant", record.key.source_id)
    participant = next((one.remote_id for one in kin if one.key == parent), None)
    if participant is None:
        return WaitFor(whom="link", key=parent)
    claim = {"participant_id": participant, "declaration_type": record.key.part, **wanted}
    return _call(DECLARE, claim, wanted)


def _call(
    operation: Operation, body: Mapping[str, Json], fields: Mapping[str, Json], remote_id: str = ""
) -> Call:
    path = operation.path.format(id=quote(remote_id, safe=""))
    request = Request(method=operation.method, path=path, body=body)
    return Call(operation=operation.name, request=request, fields=fields)


def read(operation: Operation, record: Record, kin: Sequence[Record], body: Json) -> Delivered:
    """Read an id and, where the answer repeats them, the fields; the others are as sent."""
    if not isinstance(body, Mapping) or not isinstance(body.get("id"), str):
        raise Unreadable("the answer has no id")
    ours = sorted(KINDS[operation.kind].ours)
    accepted = {name: body.get(name, record.wanted(name)) for name in ours}
    return Delivered(accepted=accepted, remote_id=RemoteId(str(body["id"])))


# What is read: the texts name a filter of changes and pages of 100, and no order.


def _query(ask: Ask) -> tuple[tuple[str, str], ...]:
    since = () if ask.since is None else (("filter[updated_since]", utc_seconds(ask.since)),)
    return (*since, ("page[page]", str(ask.page)), ("page[per_page]", str(ask.size)))


def _page(body: Json) -> Page:
    rows = body.get("data") if isinstance(body, Mapping) else body
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise Unreadable("the answer is no list")
    return Page(rows=rows)


def _row(raw: Json) -> Row:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("id"), str):
        raise Unreadable("the row has no id")
    content = {name: value for name, value in raw.items() if name not in ("id", "updated_at")}
    return Row(id=str(raw["id"]), content=content, updated_at=_instant(raw.get("updated_at")))


def _instant(value: Json) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment


def _one(body: Json) -> Json:
    return body


def _told(row: Row, record: Record, kin: Sequence[Record]) -> Delivered:
    ours = sorted(KINDS[record.key.kind].ours)
    accepted = {name: row.content.get(name) for name in ours}
    return Delivered(
        accepted=accepted, remote_id=RemoteId(row.id), remote_updated_at=row.updated_at
    )


def _source(name: str, path: str, kind: str, effects: Mapping[str, frozenset[str]]) -> Source:
    def about(row: Row) -> tuple[About, ...]:
        return tuple(
            About(kind=kind, remote_id=row.id, role=role) for role in ("", *LINKED_ROLES[kind])
        )

    return Source(
        name=name,
        path=path,
        order=Order.TWO_WAYS,
        query=_query,
        page=_page,
        read=_row,
        one=_one,
        look_up=f"{path}/{{id}}",
        kind=kind,
        about=about,
        told=_told,
        effects=effects,
    )


LINKED_ROLES = {"participant": ("ecf-induction", "ecf-mentor"), "declaration": ()}
"""Roles a link may name besides none at all; a record that we created has none."""

SOURCES = (
    _source(
        "participants",
        "/participants",
        "participant",
        {"create": EVERYTHING, "update": KINDS["participant"].ours},
    ),
    _source("declarations", "/declarations", "declaration", {"declare": EVERYTHING}),
)


CONTRACT = Contract(
    name="guidance",
    calls=1000,
    window_seconds=300,
    kinds=KINDS,
    operations={operation.name: operation for operation in (CREATE, UPDATE, DECLARE)},
    asks=asks,
    plan=plan,
    agrees=lambda key, name, wanted, accepted: wanted == accepted.get(name),
    read=read,
    serial_key=lambda record: record.remote_id if record.key.kind == "participant" else None,
    steps=lambda record: int(record.changed),
    sources=lambda now: SOURCES,
)
