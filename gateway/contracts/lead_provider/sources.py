"""The collections of the Lead Provider API: how each is asked for, and what its rows say.

One idea: strict about what we act on, and everything else is kept as it came, so that what the API
adds one day is mirrored too. Which collections can be sorted by the column they filter is the API's
own peculiarity (§2, §5): transfers sort by another one, declarations and statements not at all.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, cast

from pydantic import AwareDatetime, ValidationError

from gateway.contracts.lead_provider import terms
from gateway.contracts.lead_provider.reading import (
    Answered,
    Declaration,
    DeclarationAttributes,
    Enrolment,
    Id,
    Partnership,
    PartnershipAttributes,
    Text,
    is_ours,
    parent_of,
)
from gateway.contracts.lead_provider.terms import LIVE, PAGE_SIZE, WITHDRAWN, plain_id
from schema.contract import ABSENT, Unreadable
from schema.days import london_day
from schema.fingerprint import Json, utc_seconds
from schema.keys import RemoteId
from schema.outcomes import Delivered
from schema.record import Record
from schema.sources import EVERYTHING, About, Ask, Order, Page, Row, Source

COURSES = {"ect": terms.ECT_COURSE, "mentor": terms.MENTOR_COURSE}

STATUS_FIELDS = frozenset({"training_status", "participant_status", "deferral", "withdrawal"})
SCHEDULE_FIELDS = frozenset(
    {
        "schedule_identifier",
        "cohort",
        "delivery_partner_id",
        "participant_status",
        "cohort_changed_after_payments_frozen",
    }
)

FIRST_MONTH = 6
"""A cohort begins on 1 June (§2)."""


def sources(now: datetime) -> Sequence[Source]:
    """Give the collections as of *now*: schools are read for this cohort and the last."""
    return _sources(cohort_at(now))


def cohort_at(now: datetime) -> int:
    """Name the cohort that began last."""
    day = london_day(now)
    return day.year if day.month >= FIRST_MONTH else day.year - 1


@lru_cache(maxsize=8)
def _sources(cohort: int) -> tuple[Source, ...]:
    return (
        PARTICIPANTS,
        DECLARATIONS,
        TRANSFERS,
        UNFUNDED_MENTORS,
        PARTNERSHIPS,
        *(_schools(year) for year in (cohort, cohort - 1)),
        DELIVERY_PARTNERS,
        STATEMENTS,
    )


# Asking


def _query(
    ask: Ask, *, fixed: tuple[tuple[str, str], ...] = (), sorts: bool = False
) -> tuple[tuple[str, str], ...]:
    """Always UTC with a `Z` and whole seconds: the value is decoded twice there (§5)."""
    since = () if ask.since is None else (("filter[updated_since]", utc_seconds(ask.since)),)
    sort = (("sort", "updated_at"),) if sorts and ask.by_change else ()
    page = (("page[page]", str(ask.page)), ("page[per_page]", str(ask.size)))
    return (*fixed, *since, *sort, *page)


def _page(body: Json) -> Page:
    rows = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise Unreadable("the answer is not as described at data")
    return Page(rows=rows)


def _one(body: Json) -> Json:
    row = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(row, Mapping):
        raise Unreadable("the answer is not as described at data")
    return row


# Reading. What is read strictly is a model; the content is what came, without its stamp.


class Stamped(Answered):
    """What every row has."""

    updated_at: AwareDatetime


class Change(Answered):
    """An id that was merged into another."""

    from_participant_id: Id
    to_participant_id: Id


class Person(Stamped):
    """A participant's attributes, as the mirror needs them."""

    full_name: str | None = None
    ecf_enrolments: list[Enrolment]
    participant_id_changes: tuple[Change, ...] = ()


class Move(Answered):
    """A change of school or provider."""

    training_record_id: Id
    transfer_type: Text
    status: Text


class Transfer(Stamped):
    """The moves of one person."""

    transfers: list[Move]


class School(Stamped):
    """A school in one cohort."""

    name: str
    urn: Text
    cohort: Text
    in_partnership: bool


class DeliveryPartner(Stamped):
    """An organisation that delivers training."""

    name: str
    cohort: list[Text]


class Statement(Stamped):
    """A payment period."""

    month: Text
    year: Text
    cohort: Text
    cut_off_date: Text
    paid: bool


class Envelope(Answered):
    """What stands around the attributes."""

    id: Id
    type: Text
    attributes: dict[str, Any]


def _read(kind: str, model: type[Any], raw: Json) -> tuple[str, Any, dict[str, Json]]:
    envelope = _valid(Envelope, raw)
    if envelope.type != kind:
        raise Unreadable("the row is not as described at type")
    told = _valid(model, envelope.attributes, "attributes")
    content = {name: value for name, value in envelope.attributes.items() if name != "updated_at"}
    return envelope.id, told, cast(dict[str, Json], content)


def _valid(model: type[Any], raw: object, where: str = "") -> Any:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(filter(None, (where, *(str(part) for part in first["loc"]))))
        raise Unreadable(
            f"the row is not as described at {place or 'the whole'} ({first['type']})"
        ) from None


def _plain_row(kind: str, model: type[Any], raw: Json) -> Row:
    row_id, told, content = _read(kind, model, raw)
    return Row(id=row_id, content=content, updated_at=told.updated_at)


def _participant(raw: Json) -> Row:
    """Read a person; each enrolment stands under its course, so that a change can be named."""
    row_id, person, content = _read("participant", Person, raw)
    courses = [COURSES[one.participant_type] for one in person.ecf_enrolments]
    if len(set(courses)) < len(courses):
        raise Unreadable("the row names the same enrolment twice")
    enrolments = cast(Sequence[Json], content.pop("ecf_enrolments"))
    content |= dict(zip(courses, enrolments, strict=True))
    return Row(
        id=row_id,
        content=content,
        updated_at=person.updated_at,
        merged=tuple(
            change.from_participant_id
            for change in person.participant_id_changes
            if change.to_participant_id == row_id
        ),
        mentions=tuple(one.mentor_id for one in person.ecf_enrolments if one.mentor_id),
    )


# Telling records


def _about_participant(row: Row) -> tuple[About, ...]:
    return tuple(
        About(kind="enrolment", remote_id=row.id, role=course, place=course)
        for course in terms.COURSES
    )


def _told_of_enrolment(row: Row, record: Record, kin: Sequence[Record]) -> Delivered | None:
    there = row.content.get(record.role or "")
    accepted = ABSENT if there is None else Enrolment.model_validate(there).accepted()
    return Delivered(
        accepted=accepted, remote_id=RemoteId(row.id), remote_updated_at=row.updated_at
    )


def _about_declaration(row: Row) -> tuple[About, ...]:
    told = _declared(row)
    return (
        About(
            kind="declaration",
            remote_id=row.id,
            parent=("enrolment", told.participant_id, told.course_identifier),
            part=told.declaration_type,
        ),
    )


def _told_of_declaration(row: Row, record: Record, kin: Sequence[Record]) -> Delivered | None:
    """A claim we do not know by its id is ours only if it is live and made by us (§10)."""
    told = _declared(row)
    declaration = Declaration(id=row.id, type="participant-declaration", attributes=told)
    if told.declaration_type != record.key.part:
        return None
    if record.remote_id is None:
        parent = parent_of(record, kin)
        if told.state not in LIVE or not is_ours(declaration, record, kin, parent):
            return None
    elif plain_id(record.remote_id) != row.id:
        return None
    return Delivered(
        accepted=told.accepted(), remote_id=RemoteId(row.id), remote_updated_at=row.updated_at
    )


def _declared(row: Row) -> DeclarationAttributes:
    return DeclarationAttributes.model_validate({**row.content, "updated_at": row.updated_at})


def _about_partnership(row: Row) -> tuple[About, ...]:
    place = f"partnership/{row.content['cohort']}/{plain_id(str(row.content['school_id']))}"
    return (About(kind="partnership", remote_id=row.id, serial_key=place),)


def _told_of_partnership(row: Row, record: Record, kin: Sequence[Record]) -> Delivered | None:
    told = Partnership.model_validate(
        {
            "id": row.id,
            "type": "partnership",
            "attributes": {**row.content, "updated_at": row.updated_at},
        }
    )
    return Delivered(
        accepted=told.attributes.accepted(),
        remote_id=RemoteId(row.id),
        remote_updated_at=row.updated_at,
    )


def _has_withdrawn(before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    return any(
        _status(after, course) == WITHDRAWN and _status(before, course) != WITHDRAWN
        for course in terms.COURSES
    )


def _status(content: Mapping[str, Json], course: str) -> Json:
    enrolment = content.get(course)
    return enrolment.get("training_status") if isinstance(enrolment, Mapping) else None


# The collections


def _source(name: str, path: str, order: Order, read: Callable[[Json], Row], **more: Any) -> Source:
    fixed = more.pop("fixed", ())
    return Source(
        name=name,
        path=path,
        order=order,
        query=partial(_query, fixed=fixed, sorts=order is Order.RESTART),
        page=_page,
        read=read,
        one=_one,
        largest_page=PAGE_SIZE,
        look_up_query=fixed,
        **more,
    )


PARTICIPANTS = _source(
    "participants",
    "/participants",
    Order.RESTART,
    _participant,
    look_up="/participants/{id}",
    kind="enrolment",
    about=_about_participant,
    told=_told_of_enrolment,
    effects={
        "defer": STATUS_FIELDS,
        "withdraw": STATUS_FIELDS,
        "resume": STATUS_FIELDS,
        "change_schedule": SCHEDULE_FIELDS,
    },
    withdrawn=_has_withdrawn,
    people=("participants", "unfunded-mentors"),
    named_by=(
        "full_name",
        "teacher_reference_number",
        *(f"{course}.email" for course in terms.COURSES),
    ),
)
DECLARATIONS = _source(
    "declarations",
    "/participant-declarations",
    Order.TWO_WAYS,
    partial(_plain_row, "participant-declaration", DeclarationAttributes),
    look_up="/participant-declarations/{id}",
    kind="declaration",
    about=_about_declaration,
    told=_told_of_declaration,
    effects={
        "declare": EVERYTHING,
        "void": frozenset({"state", "statement_id", "clawback_statement_id"}),
    },
)
TRANSFERS = _source(
    "transfers",
    "/participants/transfers",
    Order.TWO_WAYS,
    partial(_plain_row, "participant-transfer", Transfer),
    look_up="/participants/{id}/transfers",
)
UNFUNDED_MENTORS = _source(
    "unfunded-mentors",
    "/unfunded-mentors",
    Order.RESTART,
    partial(_plain_row, "unfunded-mentor", Stamped),
    look_up="/unfunded-mentors/{id}",
    named_by=("full_name", "teacher_reference_number", "email"),
)
PARTNERSHIPS = _source(
    "partnerships",
    "/partnerships",
    Order.RESTART,
    partial(_plain_row, "partnership", PartnershipAttributes),
    look_up="/partnerships/{id}",
    kind="partnership",
    about=_about_partnership,
    told=_told_of_partnership,
    effects={
        "form_partnership": EVERYTHING,
        "correct_partnership": frozenset({"delivery_partner_id", "delivery_partner_name"}),
    },
)
DELIVERY_PARTNERS = _source(
    "delivery-partners",
    "/delivery-partners",
    Order.TWO_WAYS,
    partial(_plain_row, "delivery-partner", DeliveryPartner),
    look_up="/delivery-partners/{id}",
    filters=False,
)
STATEMENTS = _source(
    "statements",
    "/statements",
    Order.TWO_WAYS,
    partial(_plain_row, "statement", Statement),
    look_up="/statements/{id}",
)


def _schools(year: int) -> Source:
    return _source(
        f"schools-{year}",
        "/schools",
        Order.RESTART,
        partial(_plain_row, "school", School),
        look_up="/schools/{id}",
        fixed=(("filter[cohort]", str(year)),),
    )
