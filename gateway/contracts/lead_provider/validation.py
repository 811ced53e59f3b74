"""What is certain to be refused, known before any call.

One idea: never refuse here what the API might accept. Each check answers None, or which field is at
fault and what would be right; where a fact is not known here, the API decides.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from gateway.contracts.lead_provider.reading import parent_of
from gateway.contracts.lead_provider.terms import (
    ACTIVE,
    DECLARATION_TYPES,
    DEFERRAL_REASONS,
    DEFERRED,
    DETAILED_EVIDENCE_FROM,
    ECT_COURSE,
    LIVE,
    MENTOR_COURSE,
    MENTOR_ONLY_REASON,
    MENTOR_TYPES_FROM_2025,
    SCHEDULES,
    VOIDED,
    WITHDRAWAL_REASONS,
    WITHDRAWN,
    as_text,
    evidence_allowed,
    is_uuid,
)
from schema.fingerprint import Json
from schema.plans import Hold
from schema.record import Move, Record
from schema.states import Reason

CLOCKS_APART = timedelta(minutes=5)
"""How far the API's clock may be ahead of ours. A declaration dated less than this in the future is
sent, and the API decides; with more, a date that has come there would be refused here."""


def invalid(field: str, detail: str) -> Hold:
    """Stop it here, naming the field."""
    return Hold(reason=Reason.INVALID_HERE, detail=detail, field=field)


def check_link(record: Record) -> Hold | None:
    """The participant's id must be an id."""
    if record.remote_id is not None and is_uuid(record.remote_id):
        return None
    return invalid("participant_id", "is not a participant's id (a UUID); link the record anew")


def check_move(record: Record, move: Move) -> Hold | None:
    """A pause and an end need a reason of the API's list, and not every reason fits everyone."""
    if move.to not in (ACTIVE, DEFERRED, WITHDRAWN):
        return invalid("training_status", f"must be {ACTIVE}, {DEFERRED} or {WITHDRAWN}")
    if move.to == ACTIVE:
        return None
    known = DEFERRAL_REASONS if move.to == DEFERRED else WITHDRAWAL_REASONS
    if move.reason not in known:
        return invalid("reason", f"must be one of {', '.join(known)}")
    if move.reason == MENTOR_ONLY_REASON and record.role == ECT_COURSE:
        return invalid("reason", f"{MENTOR_ONLY_REASON} is for mentors; this is an ECT")
    return None


def check_schedule(record: Record, schedule: str | None) -> Hold | None:
    """Replacement schedules are for mentors, reduced ones for ECTs."""
    field = "schedule_identifier"
    if schedule not in SCHEDULES:
        return invalid(field, f"must be one of {', '.join(SCHEDULES)}")
    if record.role == ECT_COURSE and schedule.startswith("ecf-replacement-"):
        return invalid(field, f"{schedule} is for mentors; this is an ECT")
    if record.role == MENTOR_COURSE and schedule.startswith("ecf-reduced-"):
        return invalid(field, f"{schedule} is for ECTs; this is a mentor")
    return None


def check_partnership(record: Record) -> Hold | None:
    """The other sides of a partnership must be ids."""
    for field in ("school_id", "delivery_partner_id"):
        if field in record.pending and not is_uuid(as_text(record.wanted(field)) or ""):
            return invalid(field, "is not an id (a UUID); the API's lists give the right one")
    return None


def check_declaration(record: Record, kin: Sequence[Record], now: datetime) -> Hold | None:
    """Everything about a claim that is certain to be refused."""
    parent = parent_of(record, kin)
    course = None if parent is None else parent.role
    cohort = cohort_of(parent)
    return (
        _check_type(record.key.part, course, cohort)
        or _check_date(record, now)
        or _check_evidence(record, course, cohort)
        or _check_withdrawal(record, parent)
        or _check_sequence(record, kin, cohort)
    )


def instant(value: Json) -> datetime | None:
    """Read an instant in whole seconds of UTC; None when it is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC).replace(microsecond=0)


def cohort_of(parent: Record | None) -> int | None:
    """The cohort if it is sure: one that is about to change decides nothing."""
    if parent is None or parent.accepted is None or "cohort" in parent.pending:
        return None
    cohort = as_text(parent.accepted.get("cohort"))
    return int(cohort) if cohort is not None and cohort.isdecimal() else None


def _check_type(part: str, course: str | None, cohort: int | None) -> Hold | None:
    if part not in DECLARATION_TYPES:
        return invalid("declaration_type", f"must be one of {', '.join(DECLARATION_TYPES)}")
    detailed = cohort is not None and cohort >= DETAILED_EVIDENCE_FROM
    if detailed and course == MENTOR_COURSE and part not in MENTOR_TYPES_FROM_2025:
        return invalid(
            "declaration_type",
            f"{part} is not for mentors who began after June 2025; use started or completed",
        )
    return None


def _check_date(record: Record, now: datetime) -> Hold | None:
    date = instant(record.wanted("declaration_date"))
    if date is None:
        return invalid(
            "declaration_date", "must be an instant with a zone, such as 2025-09-20T09:00:00Z"
        )
    if date > now + CLOCKS_APART:
        detail = "is in the future; correct it, or declare once it has come"
        return invalid("declaration_date", detail)
    return None


def _check_evidence(record: Record, course: str | None, cohort: int | None) -> Hold | None:
    """While the cohort is not known, only what every cohort refuses is refused."""
    part, evidence = record.key.part, as_text(record.wanted("evidence_held"))
    eras = (DETAILED_EVIDENCE_FROM - 1, DETAILED_EVIDENCE_FROM) if cohort is None else (cohort,)
    allowed = [evidence_allowed(part, course or ECT_COURSE, era) for era in eras]
    if any(choice is None or evidence in choice for choice in allowed):
        return None
    choices = sorted(set[str]().union(*(choice or () for choice in allowed)))
    return invalid("evidence_held", f"must be one of {', '.join(choices)} for {part}")


def _check_withdrawal(record: Record, parent: Record | None) -> Hold | None:
    """A claim may not be dated after the withdrawal; the shown second is the last that may pass."""
    if parent is None or parent.accepted is None or parent.path:
        return None
    if parent.accepted.get("training_status") != WITHDRAWN:
        return None
    date = instant(record.wanted("declaration_date"))
    withdrawn = instant(parent.accepted.get("status_date"))
    if date is None or withdrawn is None or date <= withdrawn:
        return None
    return invalid(
        "declaration_date",
        f"is after the withdrawal at {parent.accepted.get('status_date')}; "
        "give a date before it, or resume the participant",
    )


def _check_sequence(record: Record, kin: Sequence[Record], cohort: int | None) -> Hold | None:
    """From cohort 2025, live claims of one enrolment are dated in the order of their types."""
    if cohort is None or cohort < DETAILED_EVIDENCE_FROM:
        return None
    place, date = _place(record), instant(record.wanted("declaration_date"))
    for other in sorted(kin, key=lambda one: one.key):
        theirs = _live_date(other)
        if date is None or theirs is None or _place(other) == place:
            continue
        if (theirs > date) if _place(other) < place else (theirs < date):
            return invalid(
                "declaration_date",
                f"is out of sequence with {other.key.part} of {other.wanted('declaration_date')}",
            )
    return None


def _live_date(other: Record) -> datetime | None:
    if other.key.kind != "declaration" or other.key.part not in DECLARATION_TYPES:
        return None
    if other.accepted is None or other.accepted.get("state") not in LIVE:
        return None
    if other.wanted("state") == VOIDED:
        return None
    return instant(other.accepted.get("declaration_date"))


def _place(record: Record) -> int:
    return DECLARATION_TYPES.index(record.key.part)
