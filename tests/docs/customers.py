"""Customers to a CRM: a contract for another API, whole."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from schema.asks import Asks, SetField
from schema.contract import Contract, Kind, Meaning, Operation, Rule, Unreadable
from schema.events import Event, InvalidEvent, RecordSnapshot
from schema.fingerprint import Json
from schema.keys import RemoteId
from schema.outcomes import Delivered
from schema.plans import Call, InStep, Plan, Request, WaitFor
from schema.record import Record

FIELDS = ("name", "email", "phone")

CUSTOMER = Kind(name="customer", ours=frozenset(FIELDS), unknown_means_look=False)
CREATE = Operation(
    name="create",
    kind="customer",
    method="POST",
    path="/customers",
    creates=True,
    natural_key="email",
)
UPDATE = Operation(
    name="update", kind="customer", method="PATCH", path="/customers/{id}", look_up="look_up"
)
LOOK_UP = Operation(name="look_up", kind="customer", method="GET", path="/customers/{id}")

RULES = (
    Rule(
        operations=("create",),
        title="email",
        detail="is taken",
        meaning=Meaning.STATE,
        source="the CRM's manual",
        advice="Another customer has this address. Merge them there, then send this again.",
    ),
)


def asks(event: Event) -> Asks:
    """A customer comes whole, as a snapshot; only what differs from the last one speaks."""
    if not isinstance(event, RecordSnapshot) or event.kind != "customer":
        raise InvalidEvent("event", f"{event.event} means nothing to this destination")
    for name, value in event.state.items():
        if name not in FIELDS or not isinstance(value, str):
            raise InvalidEvent(f"state.{name}", f"must be text, and one of {', '.join(FIELDS)}")
    fields = tuple(SetField(name=name, value=value) for name, value in event.state.items())
    return Asks(kind="customer", asks=fields, snapshot=True)


def plan(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
    """Create what is not there, then send only what differs."""
    if record.look_first and record.remote_id is not None:
        return _call(LOOK_UP, record, None)
    there = record.accepted or {}
    pending = {name: wish.value for name, wish in record.pending.items()}
    differing = {name: value for name, value in pending.items() if value != there.get(name)}
    if not differing:
        return InStep()
    if record.remote_id is not None:
        return _call(UPDATE, record, differing)
    if "email" not in pending:
        return WaitFor(whom="record_snapshot")
    return _call(CREATE, record, pending)


def _call(operation: Operation, record: Record, body: Mapping[str, Json] | None) -> Call:
    path = operation.path.format(id=record.remote_id)
    request = Request(method=operation.method, path=path, body=body)
    return Call(operation=operation.name, request=request, fields=body or {})


def read(operation: Operation, record: Record, kin: Sequence[Record], body: Json) -> Delivered:
    """Every answer is the whole customer."""
    if not isinstance(body, Mapping) or "id" not in body:
        raise Unreadable("the answer has no id")
    accepted = {name: body.get(name) for name in FIELDS}
    return Delivered(accepted=accepted, remote_id=RemoteId(str(body["id"])))


CONTRACT = Contract(
    name="customers",
    calls=600,
    window_seconds=60,
    kinds={"customer": CUSTOMER},
    operations={one.name: one for one in (CREATE, UPDATE, LOOK_UP)},
    rules=RULES,
    asks=asks,
    plan=plan,
    agrees=lambda key, name, wanted, accepted: wanted == accepted.get(name),
    read=read,
    serial_key=lambda record: record.remote_id,
    steps=lambda record: int(record.changed),
)
