"""The 24 operations as a document: what `/docs` shows and `/openapi.json` says."""

from dataclasses import dataclass

from sandbox.vocabulary import (
    ALL_EVIDENCE,
    COURSES,
    DECLARATION_TYPES,
    DEFERRAL_REASONS,
    SCHEDULES,
    TRAINING_STATUSES,
    WITHDRAWAL_REASONS,
)

Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    name: str
    told: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    name: str
    told: str
    allowed: tuple[str, ...] = ()
    example: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation, as a person wants it told."""

    method: str
    path: str
    group: str
    summary: str
    told: str = ""
    filters: tuple[Filter, ...] = ()
    pages: bool = False
    sorts: bool = False
    body_type: str = ""
    attributes: tuple[Attribute, ...] = ()

    @property
    def id(self) -> str:
        words = f"{self.method} {self.path}".lower().replace("{id}", "one")
        return "".join(letter if letter.isalnum() else "-" for letter in words).strip("-")

    @property
    def example_body(self) -> Json | None:
        if not self.attributes:
            return None
        attributes = {a.name: a.example or a.allowed[0] for a in self.attributes}
        return {"data": {"type": self.body_type, "attributes": attributes}}


COHORTS = Filter(name="cohort", told="years, separated by commas")
SINCE = Filter(
    name="updated_since", told="changed at or after this instant, like 2026-01-01T00:00:00Z"
)
COHORT = Filter(name="cohort", told="one year", required=True)
PARTNERS = Filter(name="delivery_partner_id", told="ids, separated by commas")

COURSE = Attribute(
    name="course_identifier", told="which enrolment is meant", allowed=tuple(COURSES)
)
AN_ID = "00000000-0000-0000-0000-000000000000"

OPERATIONS = (
    Operation(
        method="GET",
        path="/participants",
        group="Participants",
        summary="List your participants",
        filters=(
            COHORTS,
            SINCE,
            Filter(name="training_status", told=", ".join(TRAINING_STATUSES)),
            Filter(name="from_participant_id", told="an id that was merged into another"),
        ),
        pages=True,
        sorts=True,
    ),
    Operation(
        method="GET", path="/participants/{id}", group="Participants", summary="Show a participant"
    ),
    Operation(
        method="PUT",
        path="/participants/{id}/defer",
        group="Participants",
        summary="Defer a participant",
        told="Training ends today. Not on the day it began.",
        body_type="participant-defer",
        attributes=(Attribute(name="reason", told="why", allowed=DEFERRAL_REASONS), COURSE),
    ),
    Operation(
        method="PUT",
        path="/participants/{id}/resume",
        group="Participants",
        summary="Resume a participant",
        told="A new training period begins today. Not on the day the last one ended.",
        body_type="participant-resume",
        attributes=(COURSE,),
    ),
    Operation(
        method="PUT",
        path="/participants/{id}/withdraw",
        group="Participants",
        summary="Withdraw a participant",
        told="Training ends today. Not on the day it began.",
        body_type="participant-withdraw",
        attributes=(Attribute(name="reason", told="why", allowed=WITHDRAWAL_REASONS), COURSE),
    ),
    Operation(
        method="PUT",
        path="/participants/{id}/change-schedule",
        group="Participants",
        summary="Change a participant's schedule",
        told="From today, or in place if training began today or later.",
        body_type="participant-change-schedule",
        attributes=(
            Attribute(name="schedule_identifier", told="the new schedule", allowed=SCHEDULES),
            COURSE,
            Attribute(
                name="cohort",
                told="left out or unknown: the current one",
                example="2025",
                required=False,
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/participants/transfers",
        group="Participants",
        summary="List transfers",
        told="`updated_since` looks at your own training periods only.",
        filters=(SINCE,),
        pages=True,
        sorts=True,
    ),
    Operation(
        method="GET",
        path="/participants/{id}/transfers",
        group="Participants",
        summary="Show a participant's transfers",
    ),
    Operation(
        method="POST",
        path="/participant-declarations",
        group="Declarations",
        summary="Declare that a participant reached a milestone",
        body_type="participant-declaration",
        attributes=(
            Attribute(name="participant_id", told="who", example=AN_ID),
            Attribute(name="declaration_type", told="which event", allowed=DECLARATION_TYPES),
            Attribute(
                name="declaration_date", told="when, RFC 3339", example="2026-01-20T09:00:00Z"
            ),
            COURSE,
            Attribute(
                name="evidence_held",
                told="required from 2025, and before that for all but `started`",
                allowed=ALL_EVIDENCE,
                required=False,
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/participant-declarations",
        group="Declarations",
        summary="List declarations",
        told="Yours, and live ones of other providers for your participants. There is no sort.",
        filters=(
            COHORTS,
            Filter(name="participant_id", told="ids, separated by commas"),
            PARTNERS,
            SINCE,
        ),
        pages=True,
    ),
    Operation(
        method="GET",
        path="/participant-declarations/{id}",
        group="Declarations",
        summary="Show a declaration",
    ),
    Operation(
        method="PUT",
        path="/participant-declarations/{id}/void",
        group="Declarations",
        summary="Void a declaration",
        told="No body. One that was paid is clawed back on the next statement.",
    ),
    Operation(
        method="GET",
        path="/partnerships",
        group="Partnerships",
        summary="List your partnerships",
        filters=(COHORTS, SINCE, PARTNERS),
        pages=True,
        sorts=True,
    ),
    Operation(
        method="GET", path="/partnerships/{id}", group="Partnerships", summary="Show a partnership"
    ),
    Operation(
        method="POST",
        path="/partnerships",
        group="Partnerships",
        summary="Make a partnership with a school",
        told="The school's participants who waited for it come with it.",
        body_type="partnership",
        attributes=(
            Attribute(name="cohort", told="the year", example="2025"),
            Attribute(name="school_id", told="the school", example=AN_ID),
            Attribute(name="delivery_partner_id", told="the delivery partner", example=AN_ID),
        ),
    ),
    Operation(
        method="PUT",
        path="/partnerships/{id}",
        group="Partnerships",
        summary="Correct a partnership's delivery partner",
        body_type="partnership",
        attributes=(Attribute(name="delivery_partner_id", told="the right one", example=AN_ID),),
    ),
    Operation(
        method="GET",
        path="/schools",
        group="Schools",
        summary="List schools of a cohort",
        filters=(COHORT, Filter(name="urn", told="one school's number"), SINCE),
        pages=True,
        sorts=True,
    ),
    Operation(
        method="GET",
        path="/schools/{id}",
        group="Schools",
        summary="Show a school in a cohort",
        filters=(COHORT,),
    ),
    Operation(
        method="GET",
        path="/delivery-partners",
        group="Delivery partners",
        summary="List your delivery partners",
        filters=(COHORTS,),
        pages=True,
        sorts=True,
    ),
    Operation(
        method="GET",
        path="/delivery-partners/{id}",
        group="Delivery partners",
        summary="Show a delivery partner",
    ),
    Operation(
        method="GET",
        path="/statements",
        group="Statements",
        summary="List your output statements",
        told="By payment date. There is no sort.",
        filters=(COHORTS, SINCE),
        pages=True,
    ),
    Operation(
        method="GET", path="/statements/{id}", group="Statements", summary="Show a statement"
    ),
    Operation(
        method="GET",
        path="/unfunded-mentors",
        group="Unfunded mentors",
        summary="List mentors of your ECTs whom you do not train",
        filters=(SINCE,),
        pages=True,
        sorts=True,
    ),
    Operation(
        method="GET",
        path="/unfunded-mentors/{id}",
        group="Unfunded mentors",
        summary="Show an unfunded mentor",
    ),
)


def openapi(server: str) -> Json:
    """The operations as an OpenAPI 3.0 document."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Lead Provider API, sandbox",
            "version": "v3",
            "description": "A local stand-in. Not a DfE service.",
        },
        "servers": [{"url": f"{server}/api/v3"}],
        "security": [{"api_key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Errors": ERRORS, "Error": ERROR, "One": ONE, "Many": MANY},
        },
    }


_ENTITY: Json = {
    "type": "object",
    "required": ["id", "type", "attributes"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "type": {"type": "string"},
        "attributes": {"type": "object"},
    },
}
ONE: Json = {"type": "object", "required": ["data"], "properties": {"data": _ENTITY}}
MANY: Json = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "array", "items": _ENTITY}},
}
ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
ERRORS: Json = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"title": {"type": "string"}, "detail": {"type": "string"}},
            },
        }
    },
}


def _described(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.id,
        "tags": [operation.group],
        "summary": operation.summary,
        "description": operation.told,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.attributes:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _body_schema(operation)}},
        }
    return described


def _parameters(operation: Operation) -> list[Json]:
    parameters: list[Json] = []
    if "{id}" in operation.path:
        schema: Json = {"type": "string", "format": "uuid"}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": schema})
    for wanted in operation.filters:
        parameters.append(_in_query(f"filter[{wanted.name}]", wanted.told, wanted.required))
    if operation.pages:
        parameters.append(_in_query("page[page]", "which page, from 1"))
        parameters.append(_in_query("page[per_page]", "rows on a page, 100, at most 3000"))
    if operation.sorts:
        parameters.append(_in_query("sort", "created_at, -created_at, updated_at, -updated_at"))
    return parameters


def _in_query(name: str, told: str, required: bool = False) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": told,
        "schema": {"type": "string"},
    }


def _responses(operation: Operation) -> Json:
    listed = operation.method == "GET" and "{id}" not in operation.path
    statuses = {
        "200": ("what was asked for", "Many" if listed else "One"),
        "400": ("cannot be read", "Errors"),
        "401": ("no known token", "Error"),
    }
    if "{id}" in operation.path:
        statuses["404"] = ("unknown, or not yours to see", "Errors")
    if operation.method != "GET":
        statuses["422"] = ("refused by a rule", "Errors")
    return {
        status: {
            "description": told,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
        for status, (told, schema) in statuses.items()
    }


def _body_schema(operation: Operation) -> Json:
    properties: Json = {}
    for attribute in operation.attributes:
        allowed: Json = {"enum": list(attribute.allowed)} if attribute.allowed else {}
        properties[attribute.name] = {
            "type": "string",
            "description": attribute.told,
            **allowed,
        }
    attributes: Json = {
        "type": "object",
        "required": [a.name for a in operation.attributes if a.required],
        "properties": properties,
    }
    data: Json = {
        "type": "object",
        "required": ["attributes"],
        "properties": {"type": {"type": "string"}, "attributes": attributes},
    }
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": data},
        "example": operation.example_body,
    }
