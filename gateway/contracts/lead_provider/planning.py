"""What to call next, from accepted to wanted.

One idea: only what an event asked for is ever sent, one call at a time, and the next one is worked
out afresh from what the last one answered.

What may be waited for: a `link`, a `resume`, the `void` of an earlier round, the end of a `doubt`,
or `partnership_formed`. Where it is another record's to bring, its key is named; else an event on
the record itself is missing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from gateway.contracts.lead_provider import terms
from gateway.contracts.lead_provider.agreement import agrees
from gateway.contracts.lead_provider.reading import parent_of
from gateway.contracts.lead_provider.terms import (
    ABSENT_STATE,
    ACTIVE,
    DEFERRED,
    DETAILED_EVIDENCE_FROM,
    ENDED,
    KINDS,
    LIVE,
    PAGE_SIZE,
    SUBMITTED,
    VOIDED,
    WITHDRAWN,
    as_text,
    plain_id,
)
from gateway.contracts.lead_provider.validation import (
    check_declaration,
    check_link,
    check_move,
    check_partnership,
    check_schedule,
    cohort_of,
    instant,
    invalid,
)
from schema.contract import Operation
from schema.fingerprint import Json, utc_seconds
from schema.keys import RecordKey
from schema.plans import Call, Hold, InStep, Plan, Request, WaitFor
from schema.record import Move, Pending, Record
from schema.states import Reason, RecordState

MOVES: Mapping[str, Operation] = {
    DEFERRED: terms.DEFER,
    WITHDRAWN: terms.WITHDRAW,
    ACTIVE: terms.RESUME,
}


def plan(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
    """Say what comes next for a record. `kin` are the other records of its family."""
    if not record.look_first and not _differing(record) and not _moves(record):
        return InStep()
    match record.key.kind:
        case "enrolment":
            return _plan_enrolment(record)
        case "declaration":
            return _plan_declaration(record, kin, now)
        case _:
            return _plan_partnership(record)


def steps(record: Record) -> int:
    """Count the calls that a wanted state can need at most, look-ups apart."""
    match record.key.kind:
        case "enrolment":
            return len(record.path) + int(bool(record.pending))
        case "declaration":
            return int(record.changed)
        case _:
            return 2 * int(record.changed)  # formed by somebody else, with another partner


# Enrolments


def _plan_enrolment(record: Record) -> Plan:
    if record.remote_id is None or record.role is None:
        return WaitFor(whom="link") if record.changed else InStep()
    if (wrong := check_link(record)) is not None:
        return wrong
    if record.missing:
        return _find(terms.FIND_MERGED, ("filter[from_participant_id]", record.remote_id))
    if record.look_first or record.accepted is None:
        return _look_up(terms.LOOK_UP_PARTICIPANT, record)
    if _state(record) == ABSENT_STATE:
        return invalid(
            "course_identifier",
            f"is {record.role}, and the participant has no such enrolment with you: correct the "
            "link, or ask the school to register it and look again",
        )
    return _first_that_can_go(_enrolment_steps(record), record)


def _enrolment_steps(record: Record) -> list[Plan]:
    """The schedule change and the first move, in the order in which they were asked for.

    A schedule can be changed only while active. Whatever was asked first, under a deferral the move
    goes first; and with no move left, the change waits for a resume, which nobody sends unasked.
    """
    moves: list[Plan] = [_move(record, move) for move in _moves(record)[:1]]
    changes: list[Plan] = [_change_schedule(record)] if _differing(record) else []
    return [*changes, *moves] if _schedule_first(record) else [*moves, *changes]


def _schedule_first(record: Record) -> bool:
    """One event may ask for both: then the schedule goes first, while it still can."""
    if _training_status(record) != ACTIVE or not record.path:
        return True
    move = record.path[0].stamp
    return not any(
        pending.stamp.entry != move.entry and pending.stamp.later_than(move)
        for pending in _differing(record).values()
    )


def _moves(record: Record) -> tuple[Move, ...]:
    """The path, without a last move that the API says has been made."""
    if len(record.path) == 1 and record.path[0].to == _training_status(record):
        return ()
    return record.path


def _move(record: Record, move: Move) -> Plan:
    if (wrong := check_move(record, move) or _not_unasked(record, move)) is not None:
        return wrong
    attributes: dict[str, Json] = {"course_identifier": record.role}
    if move.to != ACTIVE:
        attributes["reason"] = move.reason
    operation = MOVES[move.to]
    body = _envelope(f"participant-{operation.name}", attributes)
    return Call(operation=operation.name, request=_request(operation, record, body), move=True)


def _not_unasked(record: Record, move: Move) -> Hold | None:
    """Who is withdrawn is made active by an event that says so, never by a whole state."""
    if move.explicit or move.to != ACTIVE or _training_status(record) != WITHDRAWN:
        return None
    return Hold(
        reason=Reason.CONFLICT,
        field="training_status",
        detail="is withdrawn there, and a whole record that says active is no word that training "
        "was resumed; send participant_resumed if it was",
    )


def _change_schedule(record: Record) -> Plan:
    """`cohort` always goes along: left out, the API silently takes the current one (§7.4)."""
    schedule = as_text(record.wanted("schedule_identifier"))
    if (wrong := check_schedule(record, schedule)) is not None:
        return wrong
    if _training_status(record) != ACTIVE:
        return WaitFor(whom="resume")
    body = _envelope(
        "participant-change-schedule",
        {
            "schedule_identifier": schedule,
            "course_identifier": record.role,
            "cohort": as_text(record.wanted("cohort")),
        },
    )
    return Call(
        operation=terms.CHANGE_SCHEDULE.name,
        request=_request(terms.CHANGE_SCHEDULE, record, body),
        fields=_values(record),
    )


def _first_that_can_go(steps: Sequence[Plan], record: Record) -> Plan:
    """A step that is refused or wrong holds up no other one; what is left says why it stands."""
    calls = [step for step in steps if isinstance(step, Call)]
    free = [call for call in calls if not _locked(call, record)]
    holds = [step for step in steps if isinstance(step, Hold)]
    return next(iter((*free, *holds, *calls, *steps)), InStep())


def _locked(call: Call, record: Record) -> bool:
    return bool(record.locks) and call.request.fingerprint() in record.locks


# Declarations


def _plan_declaration(record: Record, kin: Sequence[Record], now: datetime) -> Plan:
    parent = parent_of(record, kin)
    if record.look_first or _unknown_but_not_new(record):
        return _look_up_declaration(record, parent)
    wanted = record.wanted("state")
    if wanted in LIVE:  # asked for, or found there under a claim that differs in another field
        return _claim(record, parent, kin, now)
    return _void(record, parent) if wanted == VOIDED else InStep()


def _unknown_but_not_new(record: Record) -> bool:
    """Nothing there may be assumed only for a first submission."""
    if record.accepted is not None:
        return False
    return record.remote_id is not None or record.wanted("state") == VOIDED


def _claim(record: Record, parent: Record | None, kin: Sequence[Record], now: datetime) -> Plan:
    if _state(record) in LIVE:
        return _void_first(record)
    return (
        _wait_for_parent(record, parent)
        or _wait_for_void(record, kin)
        or check_declaration(record, kin, now)
        or _declare(record, parent)
    )


def _void_first(record: Record) -> Plan:
    field = next(name for name in _differing(record))
    there = None if record.accepted is None else record.accepted.get(field)
    detail = f"is {there} in a declaration that is {_state(record)}; void it, then declare anew"
    return Hold(reason=Reason.VOID_FIRST, detail=detail, field=field)


def _void(record: Record, parent: Record | None) -> Plan:
    if _state(record) in ENDED:
        return InStep()
    if record.remote_id is None:
        return _look_up_declaration(record, parent)
    if parent is not None and parent.state is RecordState.IN_DOUBT:
        return WaitFor(whom="doubt", key=parent.key)
    request = _request(terms.VOID, record)
    return Call(operation=terms.VOID.name, request=request, fields=_values(record))


def _look_up_declaration(record: Record, parent: Record | None) -> Plan:
    if record.remote_id is not None:
        return _look_up(terms.LOOK_UP_DECLARATION, record)
    if (wait := _wait_for_link(record, parent)) is not None:
        return wait
    participant = None if parent is None else parent.remote_id
    return _find(terms.FIND_DECLARATION, ("filter[participant_id]", participant or ""))


def _wait_for_parent(record: Record, parent: Record | None) -> Plan | None:
    if parent is not None and parent.state is RecordState.IN_DOUBT:
        return WaitFor(whom="doubt", key=parent.key)
    return _wait_for_link(record, parent)


def _wait_for_link(record: Record, parent: Record | None) -> Plan | None:
    if parent is None or parent.remote_id is None or parent.role is None:
        return WaitFor(whom="link", key=RecordKey("enrolment", record.key.source_id))
    return check_link(parent)


def _wait_for_void(record: Record, kin: Sequence[Record]) -> Plan | None:
    """Round n comes after the void of round n-1, or two claims would meet in either order."""
    key = record.key
    before = RecordKey(key.kind, key.source_id, key.part, key.round - 1)
    earlier = next((one for one in kin if one.key == before), None)
    if earlier is None or _ended(earlier):
        return None
    return WaitFor(whom="void", key=before)


def _ended(record: Record) -> bool:
    if record.state is RecordState.IN_DOUBT or record.look_first:
        return False
    if record.accepted is None:
        return not record.changed  # taken back before it was ever sent
    return _state(record) in ENDED and record.wanted("state") != SUBMITTED


def _declare(record: Record, parent: Record | None) -> Plan:
    if parent is None:
        return WaitFor(whom="link", key=RecordKey("enrolment", record.key.source_id))
    date = instant(record.wanted("declaration_date"))
    attributes: dict[str, Json] = {
        "participant_id": parent.remote_id,
        "declaration_type": record.key.part,
        "declaration_date": None if date is None else utc_seconds(date),
        "course_identifier": parent.role,
    }
    evidence = record.wanted("evidence_held")
    if evidence is not None and not _evidence_is_ignored(record, parent):
        attributes["evidence_held"] = evidence
    body = _envelope("participant-declaration", attributes)
    request = _request(terms.DECLARE, record, body)
    return Call(operation=terms.DECLARE.name, request=request, fields=_values(record))


def _evidence_is_ignored(record: Record, parent: Record) -> bool:
    cohort = cohort_of(parent)
    before = cohort is not None and cohort < DETAILED_EVIDENCE_FROM
    return before and record.key.part == "started"


# Partnerships


def _plan_partnership(record: Record) -> Plan:
    known = record.wanted("school_id") is not None and record.wanted("cohort") is not None
    if record.look_first or record.accepted is None:
        if record.remote_id is not None:
            return _look_up(terms.LOOK_UP_PARTNERSHIP, record)
        if not known:
            return WaitFor(whom="partnership_formed")
        if record.look_first:
            return _find_partnership(record)
    if (wrong := check_partnership(record)) is not None:
        return wrong
    return _form(record) if _nothing_there(record) else _correct(record)


def _find_partnership(record: Record) -> Plan:
    cohort = as_text(record.wanted("cohort")) or ""
    return _find(terms.FIND_PARTNERSHIP, ("filter[cohort]", cohort), ("sort", "-created_at"))


def _nothing_there(record: Record) -> bool:
    return record.accepted is None or _state(record) == ABSENT_STATE


def _form(record: Record) -> Plan:
    names = ("cohort", "school_id", "delivery_partner_id")
    attributes = {name: _as_id(record.wanted(name)) for name in names}
    missing = next((name for name, value in attributes.items() if value is None), None)
    if missing is not None:
        return WaitFor(whom="partnership_formed")
    request = _request(terms.FORM_PARTNERSHIP, record, _envelope("partnership", attributes))
    return Call(operation=terms.FORM_PARTNERSHIP.name, request=request, fields=_values(record))


def _correct(record: Record) -> Plan:
    for name in ("cohort", "school_id"):
        if name in _differing(record):
            return invalid(
                name, "cannot be changed in a partnership; form another one under another source id"
            )
    if record.remote_id is None:
        return _find_partnership(record)
    partner = _as_id(record.wanted("delivery_partner_id"))
    body = _envelope("partnership", {"delivery_partner_id": partner})
    request = _request(terms.CORRECT_PARTNERSHIP, record, body)
    return Call(operation=terms.CORRECT_PARTNERSHIP.name, request=request, fields=_values(record))


# Parts of a plan


def _differing(record: Record) -> dict[str, Pending]:
    """The pending fields of ours that are not so there yet."""
    ours = KINDS[record.key.kind].ours
    return {
        name: pending
        for name, pending in record.pending.items()
        if name in ours
        and (
            record.accepted is None or not agrees(record.key, name, pending.value, record.accepted)
        )
    }


def _values(record: Record) -> dict[str, Json]:
    """All pending fields: what a success settles, also those that agree already."""
    ours = KINDS[record.key.kind].ours
    return {name: one.value for name, one in record.pending.items() if name in ours}


def _state(record: Record) -> Json:
    return None if record.accepted is None else record.accepted.get("state")


def _training_status(record: Record) -> Json:
    return None if record.accepted is None else record.accepted.get("training_status")


def _as_id(value: Json) -> str | None:
    text = as_text(value)
    return None if text is None else plain_id(text)


def _look_up(operation: Operation, record: Record) -> Call:
    return Call(operation=operation.name, request=_request(operation, record))


def _find(operation: Operation, *query: tuple[str, str]) -> Call:
    page = (("page[page]", "1"), ("page[per_page]", str(PAGE_SIZE)))
    request = Request(method=operation.method, path=operation.path, query=(*query, *page))
    return Call(operation=operation.name, request=request)


def _request(
    operation: Operation, record: Record, body: Mapping[str, Json] | None = None
) -> Request:
    path = operation.path.format(id=quote(record.remote_id or "", safe=""))
    return Request(method=operation.method, path=path, body=body)


def _envelope(kind: str, attributes: Mapping[str, Json]) -> dict[str, Json]:
    return {"data": {"type": kind, "attributes": attributes}}
