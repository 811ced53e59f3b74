"""The words of the Lead Provider API: kinds, operations, courses, statuses, evidence.

One idea: what the API merely *is* stands here as tables; what follows from it is decided elsewhere.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from schema.contract import Kind, Operation
from schema.events import (
    DeclarationType,
    DeferralReason,
    Schedule,
    WithdrawalReason,
)
from schema.fingerprint import Json

ECT_COURSE = "ecf-induction"
MENTOR_COURSE = "ecf-mentor"
COURSES = (ECT_COURSE, MENTOR_COURSE)

ACTIVE = "active"
DEFERRED = "deferred"
WITHDRAWN = "withdrawn"
STATUSES = (ACTIVE, DEFERRED, WITHDRAWN)

SUBMITTED = "submitted"
VOIDED = "voided"
ABSENT_STATE = "absent"
LIVE = frozenset({"submitted", "eligible", "payable", "paid"})
"""States of a declaration that claims money, or has been paid."""
ENDED = frozenset({"voided", "awaiting-clawback", "clawed-back", ABSENT_STATE})
"""States in which a claim is taken back; "absent" is ours, for a claim that is not there at all."""

DEFERRAL_REASONS: tuple[str, ...] = get_args(DeferralReason)
WITHDRAWAL_REASONS: tuple[str, ...] = get_args(WithdrawalReason)
MENTOR_ONLY_REASON = "mentor-no-longer-being-mentor"
SCHEDULES: tuple[str, ...] = get_args(Schedule)
DECLARATION_TYPES: tuple[str, ...] = get_args(DeclarationType)
"""In the order in which training passes them."""

DETAILED_EVIDENCE_FROM = 2025
"""First cohort whose declarations need detailed evidence, each of them (§7.5)."""

MENTOR_TYPES_FROM_2025 = frozenset({"started", "completed"})

_PLAIN = frozenset({"training-event-attended", "self-study-material-completed", "other"})
_OFFLINE = _PLAIN | {"materials-engaged-with-offline"}
_ENGAGED = frozenset({"75-percent-engagement-met", "75-percent-engagement-met-reduced-induction"})


def evidence_allowed(declaration_type: str, course: str, cohort: int) -> frozenset[str] | None:
    """Say which evidence the API takes for a declaration; None where it ignores evidence (§7.5)."""
    if cohort < DETAILED_EVIDENCE_FROM:
        return None if declaration_type == "started" else _PLAIN
    if course == MENTOR_COURSE and declaration_type not in MENTOR_TYPES_FROM_2025:
        return frozenset()
    if declaration_type == "retained-2":
        return _ENGAGED
    if declaration_type == "completed":
        return _ENGAGED if course == MENTOR_COURSE else _ENGAGED | {"one-term-induction"}
    return _OFFLINE


_SHORTEST_UUID = 32
"""Characters. Most of what is asked about is a schedule or a year, and need not be matched."""

_UUID = re.compile(r"(\{)?(?:[0-9a-f]{4}-?){8}(?(1)\})", re.IGNORECASE)


def is_uuid(text: str) -> bool:
    """Whether the API reads this as an id; whatever else is in its place is never found (§1)."""
    return len(text) >= _SHORTEST_UUID and _UUID.fullmatch(text) is not None


def plain_id(text: str) -> str:
    """Write an id as the API does, so that one thing has one spelling; leave what is no id."""
    trimmed = text.strip()
    if not is_uuid(trimmed):
        return trimmed
    digits = re.sub(r"[{}-]", "", trimmed).lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


ENROLMENT = Kind(
    name="enrolment",
    ours=frozenset({"schedule_identifier", "cohort"}),
    theirs=frozenset(
        {
            "mentor_id",
            "participant_status",
            "status_reason",
            "status_date",
            "school_urn",
            "delivery_partner_id",
            "training_record_id",
            "eligible_for_funding",
        }
    ),
    status_field="training_status",
)
DECLARATION = Kind(
    name="declaration",
    ours=frozenset({"state", "declaration_date", "evidence_held"}),
    theirs=frozenset(
        {
            "participant_id",
            "course_identifier",
            "declaration_type",
            "mentor_id",
            "delivery_partner_id",
            "statement_id",
            "clawback_statement_id",
            "lead_provider_name",
        }
    ),
    parent="enrolment",
    rounds=True,
    unknown_means_look=False,
)
PARTNERSHIP = Kind(
    name="partnership",
    ours=frozenset({"cohort", "school_id", "delivery_partner_id"}),
    theirs=frozenset({"urn", "delivery_partner_name", "participants_currently_training"}),
    unknown_means_look=False,
)
KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (ENROLMENT, DECLARATION, PARTNERSHIP)}
)


def _participant_write(name: str, path: str, end: str, again: str, source: str) -> Operation:
    return Operation(
        name=name,
        kind="enrolment",
        method="PUT",
        path=f"/participants/{{id}}/{path}",
        look_up="look_up_participant",
        on_missing="find_merged",
        natural_key=end,
        again=f"safe; refused as {again}",
        source=f"{source}, §10",
    )


DEFER = _participant_write(
    "defer", "defer", "participant, course, status deferred", "already deferred", "§7.1"
)
WITHDRAW = _participant_write(
    "withdraw", "withdraw", "participant, course, withdrawn", "already withdrawn", "§7.2"
)
RESUME = _participant_write(
    "resume", "resume", "participant, course, status active", "already active", "§7.3"
)
CHANGE_SCHEDULE = _participant_write(
    "change_schedule",
    "change-schedule",
    "participant, course, schedule and cohort",
    "already on the profile",
    "§7.4",
)
LOOK_UP_PARTICIPANT = Operation(
    name="look_up_participant",
    kind="enrolment",
    method="GET",
    path="/participants/{id}",
    on_missing="find_merged",
    source="§6",
)
FIND_MERGED = Operation(
    name="find_merged",
    kind="enrolment",
    method="GET",
    path="/participants",
    natural_key="participant, by an id that was merged into it",
    source="§5",
)
DECLARE = Operation(
    name="declare",
    kind="declaration",
    method="POST",
    path="/participant-declarations",
    look_up="find_declaration",
    creates=True,
    natural_key="participant, course, type, date, ours, live",
    again="no second claim; refused as already submitted, which may be somebody else's claim",
    source="§7.5, §10",
)
VOID = Operation(
    name="void",
    kind="declaration",
    method="PUT",
    path="/participant-declarations/{id}/void",
    look_up="look_up_declaration",
    natural_key="declaration, state voided or refunded",
    again="safe; refused as already voided, or refunded",
    source="§7.6, §10",
)
LOOK_UP_DECLARATION = Operation(
    name="look_up_declaration",
    kind="declaration",
    method="GET",
    path="/participant-declarations/{id}",
    source="§6",
)
FIND_DECLARATION = Operation(
    name="find_declaration",
    kind="declaration",
    method="GET",
    path="/participant-declarations",
    natural_key="participant, course, type, ours, live",
    source="§10",
)
FORM_PARTNERSHIP = Operation(
    name="form_partnership",
    kind="partnership",
    method="POST",
    path="/partnerships",
    look_up="find_partnership",
    creates=True,
    natural_key="school and cohort",
    again="no second one, but for two at the very same moment; refused as already confirmed",
    source="§7.7, §10",
)
CORRECT_PARTNERSHIP = Operation(
    name="correct_partnership",
    kind="partnership",
    method="PUT",
    path="/partnerships/{id}",
    look_up="look_up_partnership",
    natural_key="partnership and delivery partner",
    again="safe; refused as already confirmed",
    source="§7.7, §10",
)
LOOK_UP_PARTNERSHIP = Operation(
    name="look_up_partnership",
    kind="partnership",
    method="GET",
    path="/partnerships/{id}",
    source="§6",
)
FIND_PARTNERSHIP = Operation(
    name="find_partnership",
    kind="partnership",
    method="GET",
    path="/partnerships",
    natural_key="school and cohort",
    source="§10",
)
OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            DEFER,
            WITHDRAW,
            RESUME,
            CHANGE_SCHEDULE,
            LOOK_UP_PARTICIPANT,
            FIND_MERGED,
            DECLARE,
            VOID,
            LOOK_UP_DECLARATION,
            FIND_DECLARATION,
            FORM_PARTNERSHIP,
            CORRECT_PARTNERSHIP,
            LOOK_UP_PARTNERSHIP,
            FIND_PARTNERSHIP,
        )
    }
)

PAGE_SIZE = 3000
"""The largest page the API gives (§2). A look-up by natural key asks for it, so that one call sees
everything there can be: what is not on a full page may be on the next, and then nobody may say
"absent"."""


def as_text(value: Json) -> str | None:
    """Give a JSON value as text, as the API spells it; None stays None."""
    return None if value is None else str(value)
