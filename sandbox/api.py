"""The 24 operations: from a request with a known token to its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import md5
from uuid import uuid4

from sandbox import lists, represent
from sandbox.lists import UNBENT, Bent, InYear, Rows, Select, Selections, Unfunded
from sandbox.messages import (
    BROKEN_JSON,
    NOT_FOUND,
    Answer,
    Request,
    crashed,
    errors_answer,
    json_answer,
    not_routed,
    parse_json,
)
from sandbox.people import latest_with
from sandbox.query import (
    BAD_BODY,
    Crash,
    Refusal400,
    filters_of,
    page_of,
    parse_query,
    required_year,
)
from sandbox.reading import as_list, as_object
from sandbox.rules import answers as rule_answers
from sandbox.rules import declarations, participants, partnerships, schedules
from sandbox.state import State
from sandbox.values import Declaration, DeliveryPartner, Partnership, Person, School, Statement
from sandbox.world_rows import is_uuid

ROOT = "/api/v3/"

CACHE_CONTROL = ("cache-control", "max-age=0, private, must-revalidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request on its way through: whose it is, what time it is for it, how it is bent.

    `now` is the time that rules go by; `stored_at` is the sandbox's own clock, which differs for
    a request that travels in time.
    """

    state: State
    selections: Selections
    request: Request
    provider: str
    now: datetime
    stored_at: datetime
    bent: Bent = UNBENT
    simultaneous: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a call, whether it was carried out, and what it brought into the world."""

    answer: Answer
    executed: bool = False
    created: tuple[str, ...] = field(default=())


Endpoint = Callable[[Call, str], Reply]


def respond(call: Call) -> Reply:
    """Find the operation and carry it out; what cannot be read is refused here."""
    request = call.request
    found = route(request.method, request.path)
    if found is None:
        return Reply(answer=not_routed(request))
    endpoint, wanted = found
    try:
        reply = endpoint(call, wanted)
    except Refusal400 as refusal:
        return Reply(answer=errors_answer(400, (refusal.title, refusal.detail)))
    except Crash:
        return Reply(answer=crashed(request))
    except BrokenBody:
        return Reply(answer=BROKEN_JSON)
    reading = request.method in ("GET", "HEAD")
    return _tagged(request, reply) if reading and reply.answer.status == 200 else reply


def _tagged(request: Request, reply: Reply) -> Reply:
    """Add the weak tag of a read, and leave the body out if the caller has it."""
    tag = f'W/"{md5(reply.answer.body, usedforsecurity=False).hexdigest()}"'
    headers = (("etag", tag), CACHE_CONTROL)
    known = request.header(b"if-none-match")
    if known is not None and tag in (part.strip() for part in known.split(",")):
        answer = Answer(status=304, headers=headers)
    else:
        answer = Answer(
            status=200, headers=(*reply.answer.headers, *headers), body=reply.answer.body
        )
    return Reply(answer=answer, executed=True)


# Routing


def route(method: str, path: str) -> tuple[Endpoint, str] | None:
    """The operation of a method and path, and the id in the path."""
    if not path.startswith(ROOT):
        return None
    parts = path[len(ROOT) :].removesuffix("/").split("/")
    method = "GET" if method == "HEAD" else method
    match parts:
        case [collection]:
            return _with(COLLECTIONS.get((method, collection)), "")
        case ["participants", "transfers"] if method == "GET":
            return list_transfers, ""
        case [collection, wanted] if wanted:
            return _with(MEMBERS.get((method, collection)), wanted)
        case [collection, wanted, action] if wanted:
            return _with(ACTIONS.get((method, collection, action)), wanted)
        case _:
            return None


def _with(endpoint: Endpoint | None, wanted: str) -> tuple[Endpoint, str] | None:
    return None if endpoint is None else (endpoint, wanted.lower())


# Reading


def _ok(value: object) -> Reply:
    return Reply(answer=json_answer({"data": value}), executed=True)


def _missing() -> Reply:
    return Reply(answer=NOT_FOUND, executed=True)


def _rows(call: Call, select: Select, path: str) -> Rows:
    params = parse_query(call.request.query)
    rows, order = call.selections.get(select, call.state, call.provider, path, params)
    return lists.page_rows(rows, order, page_of(params), call.bent)


def _hidden(call: Call, ref: str) -> bool:
    return ref in call.bent.hidden


def list_participants(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.participants, "participants")
    return _ok([_participant(call, row) for row in rows if isinstance(row, Person)])


def _participant(call: Call, person: Person) -> represent.Json:
    return represent.participant(call.state, person, call.provider, call.now)


def visible_person(call: Call, wanted: str) -> Person | None:
    """The person with an id, if the provider trains or trained them."""
    person = call.state.person_by_id(wanted) if is_uuid(wanted) else None
    if person is None or _hidden(call, person.ref):
        return None
    mine = any(latest_with(enrolment, call.provider) for enrolment in person.enrolments())
    return person if mine else None


def show_participant(call: Call, wanted: str) -> Reply:
    person = visible_person(call, wanted)
    return _ok(_participant(call, person)) if person else _missing()


def list_transfers(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.transfers, "participants/transfers")
    return _ok(
        [
            represent.participant_transfer(call.state, row, call.provider, call.now)
            for row in rows
            if isinstance(row, Person)
        ]
    )


def show_transfers(call: Call, wanted: str) -> Reply:
    person = visible_person(call, wanted)
    if person is None or not represent.has_transfers(person, call.provider):
        return _missing()
    return _ok(represent.participant_transfer(call.state, person, call.provider, call.now))


def list_declarations(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.declarations, "participant-declarations")
    return _ok([represent.declaration(call.state, r) for r in rows if isinstance(r, Declaration)])


def _named(call: Call, section: str, wanted: str) -> object:
    """The entity of a section with an id, unless a fault hides it."""
    ref = call.state.ids.get(wanted)
    if ref is None or not is_uuid(wanted) or _hidden(call, ref):
        return None
    return call.state.section(section).get(ref)


def show_declaration(call: Call, wanted: str) -> Reply:
    found = _named(call, "declarations", wanted)
    if not isinstance(found, Declaration):
        return _missing()
    visible = call.state.declaration_visible(found, call.provider)
    return _ok(represent.declaration(call.state, found)) if visible else _missing()


def list_partnerships(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.partnerships, "partnerships")
    return _ok(
        [
            represent.partnership(call.state, row, call.now)
            for row in rows
            if isinstance(row, Partnership)
        ]
    )


def _own_partnership(call: Call, wanted: str) -> Partnership | None:
    found = _named(call, "partnerships", wanted)
    mine = isinstance(found, Partnership) and found.provider == call.provider
    return found if mine and isinstance(found, Partnership) else None


def show_partnership(call: Call, wanted: str) -> Reply:
    found = _own_partnership(call, wanted)
    return _ok(represent.partnership(call.state, found, call.now)) if found else _missing()


def list_schools(call: Call, _: str) -> Reply:
    params = parse_query(call.request.query)
    year = required_year(filters_of(params))
    rows = _rows(call, lists.schools, "schools")
    return _ok(
        [
            represent.school(call.state, row.school, year, call.provider)
            for row in rows
            if isinstance(row, InYear)
        ]
    )


def show_school(call: Call, wanted: str) -> Reply:
    year = required_year(filters_of(parse_query(call.request.query)))
    found = _named(call, "schools", wanted)
    if not isinstance(found, School) or year not in call.state.cohorts:
        return _missing()
    if not lists.school_listed(call.state, found, year):
        return _missing()
    return _ok(represent.school(call.state, found, year, call.provider))


def list_delivery_partners(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.delivery_partners, "delivery-partners")
    return _ok(
        [
            represent.delivery_partner(row, call.provider)
            for row in rows
            if isinstance(row, DeliveryPartner)
        ]
    )


def show_delivery_partner(call: Call, wanted: str) -> Reply:
    found = _named(call, "delivery_partners", wanted)
    if not isinstance(found, DeliveryPartner):
        return _missing()
    mine = any(provider == call.provider for provider, _ in found.pairings)
    return _ok(represent.delivery_partner(found, call.provider)) if mine else _missing()


def list_statements(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.statements, "statements")
    return _ok([represent.statement(row) for row in rows if isinstance(row, Statement)])


def show_statement(call: Call, wanted: str) -> Reply:
    found = _named(call, "statements", wanted)
    if not isinstance(found, Statement) or found.fee != "output":
        return _missing()
    return _ok(represent.statement(found)) if found.provider == call.provider else _missing()


def list_unfunded_mentors(call: Call, _: str) -> Reply:
    rows = _rows(call, lists.unfunded_mentors, "unfunded-mentors")
    return _ok(
        [
            represent.unfunded_mentor(call.state, row.person, call.provider)
            for row in rows
            if isinstance(row, Unfunded)
        ]
    )


def show_unfunded_mentor(call: Call, wanted: str) -> Reply:
    found = _named(call, "participants", wanted)
    if not isinstance(found, Person):
        return _missing()
    if not call.state.index.is_unfunded(found.ref, call.provider):
        return _missing()
    return _ok(represent.unfunded_mentor(call.state, found, call.provider))


# Writing


class BrokenBody(Exception):
    """The body is not JSON at all."""


def attributes_of(request: Request, known: tuple[str, ...]) -> dict[str, object]:
    """The attributes of the body that an operation knows; others are dropped silently.

    A value that is not a scalar counts as absent. `data` that is something else than an object
    makes the service fall over.
    """
    if not request.body or not request.has_json:
        raise Refusal400("Bad request", BAD_BODY)
    body = as_object(_parsed(request)) or {}
    data = body.get("data")
    if _blank(data):
        raise Refusal400("Bad request", BAD_BODY)
    inner = as_object(data)
    if inner is None:
        raise Crash
    attributes = as_object(inner.get("attributes")) or {}
    kept = {key: attributes[key] for key in known if key in attributes}
    scalars = {
        key: value
        for key, value in kept.items()
        if as_object(value) is None and as_list(value) is None
    }
    if not scalars:
        raise Refusal400("Bad request", BAD_BODY)
    return scalars


def _blank(data: object) -> bool:
    """What the service takes for nothing given."""
    if data is None or data is False:
        return True
    if isinstance(data, str):
        return not data.strip()
    return as_object(data) == {} or as_list(data) == []


def _parsed(request: Request) -> object:
    try:
        return parse_json(request.body)
    except (ValueError, RecursionError) as error:
        raise BrokenBody from error


def _settled(
    call: Call, answer: rule_answers.Answer, shown: Callable[[str], represent.Json]
) -> Reply:
    """Write down what a rule decided, and answer."""
    match answer:
        case rule_answers.Refused(errors):
            return Reply(answer=errors_answer(422, *errors))
        case rule_answers.Conflict():
            return Reply(answer=json_answer({"error": "Unprocessable content"}, 422))
        case rule_answers.Unreadable(detail):
            return Reply(answer=errors_answer(400, ("Bad request", detail)))
        case rule_answers.Done(changes, ref):
            with call.state.transaction():
                call.state.apply(changes, call.now)
            new = tuple(d.ref for d in changes.puts if isinstance(d, Declaration))
            return Reply(
                answer=json_answer({"data": shown(ref)}),
                executed=True,
                created=new,
            )


ParticipantRule = Callable[
    [State, Person, str, Mapping[str, object], datetime], rule_answers.Answer
]


def _participant_action(rule: ParticipantRule, known: tuple[str, ...]) -> Endpoint:
    """An operation on a participant: the body is checked before the participant is looked up."""

    def endpoint(call: Call, wanted: str) -> Reply:
        attributes = attributes_of(call.request, known)
        person = visible_person(call, wanted)
        if person is None:
            return Reply(answer=NOT_FOUND)
        answer = rule(call.state, person, call.provider, attributes, call.now)
        return _settled(call, answer, lambda ref: _participant(call, call.state.people[ref]))

    return endpoint


def create_declaration(call: Call, _: str) -> Reply:
    known = (
        "participant_id",
        "declaration_type",
        "declaration_date",
        "course_identifier",
        "evidence_held",
    )
    answer = declarations.declare(
        call.state,
        call.provider,
        attributes_of(call.request, known),
        call.now,
        stored_at=call.stored_at,
        simultaneous=call.simultaneous,
        new_id=str(uuid4()),
    )
    return _settled(call, answer, lambda ref: _declaration(call, ref))


def _declaration(call: Call, ref: str) -> represent.Json:
    return represent.declaration(call.state, call.state.declarations[ref])


def void_declaration(call: Call, wanted: str) -> Reply:
    found = _named(call, "declarations", wanted)
    if not isinstance(found, Declaration) or found.by != call.provider:
        return Reply(answer=NOT_FOUND)
    if call.request.body and call.request.has_json:
        _parsed(call.request)
    answer = declarations.void(call.state, found, call.now)
    return _settled(call, answer, lambda ref: _declaration(call, ref))


def create_partnership(call: Call, _: str) -> Reply:
    known = ("cohort", "school_id", "delivery_partner_id")
    answer = partnerships.create(
        call.state,
        call.provider,
        attributes_of(call.request, known),
        call.now,
        stored_at=call.stored_at,
        new_id=str(uuid4()),
    )
    return _settled(call, answer, lambda ref: _partnership(call, ref))


def _partnership(call: Call, ref: str) -> represent.Json:
    return represent.partnership(call.state, call.state.partnerships[ref], call.now)


def correct_partnership(call: Call, wanted: str) -> Reply:
    found = _own_partnership(call, wanted)
    if found is None:
        return Reply(answer=NOT_FOUND)
    attributes = attributes_of(call.request, ("delivery_partner_id",))
    answer = partnerships.correct(call.state, found, attributes, call.now)
    return _settled(call, answer, lambda ref: _partnership(call, ref))


COLLECTIONS: dict[tuple[str, str], Endpoint] = {
    ("GET", "participants"): list_participants,
    ("POST", "participant-declarations"): create_declaration,
    ("GET", "participant-declarations"): list_declarations,
    ("GET", "partnerships"): list_partnerships,
    ("POST", "partnerships"): create_partnership,
    ("GET", "schools"): list_schools,
    ("GET", "delivery-partners"): list_delivery_partners,
    ("GET", "statements"): list_statements,
    ("GET", "unfunded-mentors"): list_unfunded_mentors,
}

MEMBERS: dict[tuple[str, str], Endpoint] = {
    ("GET", "participants"): show_participant,
    ("GET", "participant-declarations"): show_declaration,
    ("GET", "partnerships"): show_partnership,
    ("PUT", "partnerships"): correct_partnership,
    ("PATCH", "partnerships"): correct_partnership,
    ("GET", "schools"): show_school,
    ("GET", "delivery-partners"): show_delivery_partner,
    ("GET", "statements"): show_statement,
    ("GET", "unfunded-mentors"): show_unfunded_mentor,
}

ACTIONS: dict[tuple[str, str, str], Endpoint] = {
    ("PUT", "participants", "defer"): _participant_action(
        participants.defer, ("reason", "course_identifier")
    ),
    ("PUT", "participants", "resume"): _participant_action(
        participants.resume, ("course_identifier",)
    ),
    ("PUT", "participants", "withdraw"): _participant_action(
        participants.withdraw, ("reason", "course_identifier")
    ),
    ("PUT", "participants", "change-schedule"): _participant_action(
        schedules.change_schedule, ("schedule_identifier", "course_identifier", "cohort")
    ),
    ("GET", "participants", "transfers"): show_transfers,
    ("PUT", "participant-declarations", "void"): void_declaration,
}
