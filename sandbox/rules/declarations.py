"""Declare and void."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from sandbox.edits import earlier_of, touch, with_enrolment, with_training
from sandbox.evidence import allowed_evidence
from sandbox.people import covering, mentor_nearest, place_started_on
from sandbox.rules.answers import Answer, Done, Refused, Unreadable, refused, text_of
from sandbox.rules.participants import ENTER_COURSE, Case, case_of
from sandbox.state import Changes, State
from sandbox.times import in_utc, london_day, shown
from sandbox.values import Cohort, Declaration, Person
from sandbox.vocabulary import (
    COURSES,
    DECLARATION_TYPES,
    DETAILED_FROM,
    LIVE_STATES,
    REFUNDED_STATES,
)
from sandbox.world_rows import is_uuid

ENTER_PARTICIPANT = "Enter a '#/participant_id'."
UNKNOWN_PARTICIPANT = (
    "Your update cannot be made as the '#/participant_id' is not recognised. "
    "Check participant details and try again."
)
ENTER_DATE = "Enter a '#/declaration_date'."
ENTER_TYPE = "Enter a '#/declaration_type'."
UNKNOWN_TYPE = "Enter a valid declaration type."
DUPLICATE = (
    "A declaration has already been submitted that will be, or has been, paid for this event."
)
IN_THE_FUTURE = (
    "The '#/declaration_date' value cannot be a future date. Check the date and try again."
)
TOO_EARLY = (
    "Declaration date must be on or after the milestone start date for the same declaration type."
)
TOO_LATE = "Declaration date must be on or before the milestone date for the same declaration type."
NOT_RFC3339 = "Enter a valid RCF3339 '#/declaration_date'."
NOT_FOR_MENTORS = (
    "You cannot send retained or extended declarations for participants who began their mentor "
    "training after June 2025. Resubmit this declaration with either a started or completed "
    "declaration."
)
ENTER_EVIDENCE = "Enter a '#/evidence_held' value for this participant."
UNKNOWN_EVIDENCE = "Enter an available '#/evidence_held' type for this participant."
WITHDREW = (
    "This participant withdrew from this course on {}. Enter a '#/declaration_date' that's on or "
    "before the withdrawal date."
)
FROZEN = (
    "You cannot submit declarations for the {} cohort. The funding contract for this cohort has "
    "ended. Get in touch if you need to discuss this with us."
)
NO_STATEMENT = (
    "You cannot submit or void declarations for the {} cohort. The funding contract for this "
    "cohort has ended. Get in touch if you need to discuss this with us."
)
NOT_ON_SCHEDULE = "The property '#/declaration_type' does not exist for this schedule."
OUT_OF_SEQUENCE = (
    "This '#/declaration_date' is invalid. Check that it is in sequence with existing "
    "declaration dates for this participant."
)
ALREADY_VOIDED = "The declaration has already been voided."
REFUNDED = "The declaration will or has been refunded"
UNCOMPARABLE = "comparison of String with Time failed"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.A | re.I)
_READABLE = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:\.(\d+))?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?)?",
    re.A | re.I,
)
_BRITISH = re.compile(r"(\d{1,2})[/ -](\d{1,2}|[A-Za-z]{3,9})[/ -](\d{4})", re.A)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A declaration that somebody wants to make, once its values could be read."""

    case: Case
    cohort: Cohort
    type: str
    dated: datetime
    written: str
    evidence: str
    now: datetime

    @property
    def day(self) -> date:
        return london_day(self.dated)

    @property
    def today(self) -> date:
        return london_day(self.now)


def declare(
    state: State,
    provider: str,
    attributes: Mapping[str, object],
    now: datetime,
    *,
    stored_at: datetime,
    simultaneous: frozenset[str],
    new_id: str,
) -> Answer:
    """Declare that a participant reached a milestone.

    `simultaneous` are the refs of declarations that came into being after this request arrived:
    neither could see the other, and the later of two equals gets the first. `stored_at` is the
    clock a new row's first `updated_at` is taken from.
    """
    shape = _shape(state, provider, attributes)
    if isinstance(shape, Refused):
        return shape
    case, kind = shape
    written = text_of(attributes.get("declaration_date"))
    dated = read_date(written)
    if dated is None:
        return Unreadable(UNCOMPARABLE)
    partnership = state.partnerships[case.training.partnership or ""]
    attempt = Attempt(
        case=case,
        cohort=state.cohorts[partnership.cohort],
        type=kind,
        dated=dated,
        written=written,
        evidence=text_of(attributes.get("evidence_held")),
        now=now,
    )
    twin = _live_twin(state, attempt)
    if twin is not None and not (twin.ref in simultaneous and twin.by == provider):
        return refused("declaration_type", DUPLICATE)
    problem = _first_problem(state, attempt, twin)
    if problem is not None:
        return problem
    if twin is not None:
        return Done(Changes(), twin.ref)
    return _made(state, attempt, new_id, stored_at)


def _shape(
    state: State, provider: str, attributes: Mapping[str, object]
) -> tuple[Case, str] | Refused:
    """The checks that need nothing but the values themselves, all of them at once."""
    errors: list[tuple[str, str]] = []
    wanted = text_of(attributes.get("participant_id")).lower()
    person = state.person_by_id(wanted) if is_uuid(wanted) else None
    visible = person is not None and any(
        training.provider == provider and training.partnership
        for enrolment in person.enrolments()
        for _, training in enrolment.trainings()
    )
    case: Case | Refused | None = None
    if person is not None and visible:
        case = case_of(person, provider, attributes.get("course_identifier"))
        errors += case.errors if isinstance(case, Refused) else ()
    else:
        errors.append(("participant_id", UNKNOWN_PARTICIPANT if wanted else ENTER_PARTICIPANT))
        errors += _course_errors(attributes)
    if not text_of(attributes.get("declaration_date")):
        errors.append(("declaration_date", ENTER_DATE))
    kind = text_of(attributes.get("declaration_type"))
    if kind not in DECLARATION_TYPES:
        errors.append(("declaration_type", UNKNOWN_TYPE if kind else ENTER_TYPE))
    if errors or not isinstance(case, Case):
        return Refused(tuple(errors))
    return case, kind


def _course_errors(attributes: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    known = text_of(attributes.get("course_identifier")) in COURSES
    return () if known else (("course_identifier", ENTER_COURSE),)


def read_date(text: str) -> datetime | None:
    """Read a date as leniently as the service does; None is what makes it fall over."""
    if _RFC3339.fullmatch(text):
        return in_utc(text.upper())
    match = _READABLE.fullmatch(text)
    if match:
        year, month, day, hour, minute, second, _, zone = match.groups()
        zone = "Z" if zone and zone.upper() in ("Z", "UTC") else zone or ""
        time = f"{hour or '00'}:{minute or '00'}:{second or '00'}"
        return in_utc(f"{year}-{month}-{day}T{time}{zone}")
    return _british(text)


def _british(text: str) -> datetime | None:
    match = _BRITISH.fullmatch(text)
    if match is None:
        return None
    day, month, year = match.groups()
    if not month.isdecimal():
        short = month[:3].lower()
        month = str(_MONTHS.index(short) + 1) if short in _MONTHS else "0"
    return in_utc(f"{year}-{int(month):02}-{int(day):02}T00:00:00")


def _live_twin(state: State, attempt: Attempt) -> Declaration | None:
    """A live declaration of the same type for that person and role, by anybody, of any date."""
    return next((d for d in _live(state, attempt.case) if d.type == attempt.type), None)


def _live(state: State, case: Case) -> list[Declaration]:
    made = state.index.declarations_of.get(case.person.ref, {}).values()
    return [d for d in made if d.role == case.role and d.state in LIVE_STATES]


def _first_problem(state: State, attempt: Attempt, twin: Declaration | None) -> Refused | None:
    """The first failing group of checks; it hides the rest."""
    checks = (
        _date_problem(state, attempt),
        _mentor_problem(attempt),
        _evidence_problem(attempt),
        _withdrawal_problem(attempt),
        _funding_problem(state, attempt),
        _schedule_problem(state, attempt),
        _sequence_problem(state, attempt, twin),
    )
    return next((refused(*problem) for problem in checks if problem), None)


Problem = tuple[str, str] | None


def _date_problem(state: State, attempt: Attempt) -> Problem:
    if attempt.dated > attempt.now:
        return "declaration_date", IN_THE_FUTURE
    schedule = state.schedule(attempt.cohort.year, attempt.case.training.schedule)
    window = schedule.get(attempt.type) if schedule else None
    if window and attempt.day < window.first:
        return "declaration_date", TOO_EARLY
    if window and window.last and attempt.day > window.last:
        return "declaration_date", TOO_LATE
    if not _RFC3339.fullmatch(attempt.written):
        return "declaration_date", NOT_RFC3339
    return None


def _mentor_problem(attempt: Attempt) -> Problem:
    restricted = attempt.case.role == "mentor" and attempt.cohort.mentor_funding_enabled
    if restricted and attempt.type not in ("started", "completed"):
        return "declaration_type", NOT_FOR_MENTORS
    return None


def _evidence_problem(attempt: Attempt) -> Problem:
    allowed = allowed_evidence(attempt.cohort, attempt.case.role, attempt.type)
    if not allowed:
        return None
    if not attempt.evidence:
        return "evidence_held", ENTER_EVIDENCE
    return None if attempt.evidence in allowed else ("evidence_held", UNKNOWN_EVIDENCE)


def _withdrawal_problem(attempt: Attempt) -> Problem:
    training = attempt.case.training
    withdrawal = training.withdrawal if training.status == "withdrawn" else None
    if withdrawal and attempt.dated >= withdrawal.at:
        return "participant_id", WITHDREW.format(shown(withdrawal.at))
    return None


def _funding_problem(state: State, attempt: Attempt) -> Problem:
    case = attempt.case
    here = covering(case.enrolment, case.provider, attempt.today)
    if here is not None:
        current = state.cohorts[state.partnerships[here.training.partnership or ""].cohort]
        if current.frozen(attempt.now):
            return "cohort", FROZEN.format(current.year)
    statement = state.next_statement(case.provider, attempt.cohort.year, attempt.today)
    if case.enrolment.fundable and statement is None:
        return "cohort", NO_STATEMENT.format(attempt.cohort.year)
    return None


def _schedule_problem(state: State, attempt: Attempt) -> Problem:
    schedule = state.schedule(attempt.cohort.year, attempt.case.training.schedule)
    if schedule is None or attempt.type not in schedule:
        return "declaration_type", NOT_ON_SCHEDULE
    return None


def _sequence_problem(state: State, attempt: Attempt, twin: Declaration | None) -> Problem:
    if attempt.cohort.year < DETAILED_FROM:
        return None
    place = DECLARATION_TYPES.index(attempt.type)
    for other in _live(state, attempt.case):
        if other is twin:
            continue
        comes_before = DECLARATION_TYPES.index(other.type) < place
        if (other.dated > attempt.dated) if comes_before else (other.dated < attempt.dated):
            return "declaration_date", OUT_OF_SEQUENCE
    return None


def _made(state: State, attempt: Attempt, new_id: str, stored_at: datetime) -> Done:
    case = attempt.case
    partnership = state.partnerships[case.training.partnership or ""]
    statement = state.next_statement(case.provider, attempt.cohort.year, attempt.today)
    eligible = case.enrolment.fundable and statement is not None
    keeps_evidence = allowed_evidence(attempt.cohort, case.role, attempt.type)
    declaration = Declaration(
        ref=state.new_ref(),
        id=new_id,
        order=state.take_order(),
        of=case.person.ref,
        role=case.role,
        by=case.provider,
        type=attempt.type,
        dated=attempt.dated,
        state="eligible" if eligible else "submitted",
        evidence_held=attempt.evidence if keeps_evidence else None,
        delivery_partner=partnership.delivery_partner,
        mentor=mentor_nearest(case.enrolment, attempt.dated) if case.role == "ect" else None,
        statement=statement.ref if eligible and statement else None,
        clawback_statement=None,
        uplift_paid=False,
        training_started_on=case.training.started_on,
        created_at=attempt.now,
        updated_at=stored_at,
    )
    ended = _ended_training(attempt)
    return Done(Changes(puts=(declaration, *ended)), declaration.ref)


def _ended_training(attempt: Attempt) -> tuple[Person, ...]:
    """A mentor's `completed` ends the training and the funding."""
    case = attempt.case
    if case.role != "mentor" or attempt.type != "completed":
        return ()
    day = max(attempt.day, case.training.started_on)
    ended = replace(
        case.training,
        finished_on=earlier_of(case.training.finished_on, day),
        transfer_updated_at=attempt.now,
    )
    enrolment = replace(
        with_training(case.enrolment, case.place, ended),
        mentor_funding_end_date=attempt.day,
        mentor_ineligible_for_funding_reason="completed_declaration_received",
    )
    return (touch(with_enrolment(case.person, "mentor", enrolment), attempt.now),)


def void(state: State, declaration: Declaration, now: datetime) -> Answer:
    """Take a declaration back: voided, or refunded on the next statement if it was paid."""
    if declaration.state == "voided":
        return refused("participant_declaration_id", ALREADY_VOIDED)
    if declaration.state in REFUNDED_STATES:
        return refused("participant_declaration_id", REFUNDED)
    if declaration.state != "paid":
        voided = replace(declaration, state="voided", statement=None, updated_at=now)
        return Done(Changes(puts=(voided, *_reopened(state, declaration, now))), voided.ref)
    cohort = state.cohort_of(declaration) or 0
    statement = state.next_statement(declaration.by, cohort, london_day(now))
    if statement is None:
        detail = NO_STATEMENT.format(cohort).removesuffix(".")
        return refused("participant_declaration_id", detail)
    refunded = replace(
        declaration,
        state="awaiting-clawback",
        clawback_statement=statement.ref,
        updated_at=now,
    )
    return Done(Changes(puts=(refunded, *_reopened(state, declaration, now))), refunded.ref)


def _reopened(state: State, declaration: Declaration, now: datetime) -> tuple[Person, ...]:
    """Without the `completed` that ended it, a mentor's training goes on."""
    person = state.people.get(declaration.of)
    enrolment = person.mentor if person else None
    if declaration.role != "mentor" or declaration.type != "completed":
        return ()
    if person is None or enrolment is None:
        return ()
    place = place_started_on(enrolment, declaration.by, declaration.training_started_on)
    reopened = replace(
        enrolment, mentor_funding_end_date=None, mentor_ineligible_for_funding_reason=None
    )
    ended = max(london_day(declaration.dated), place.training.started_on) if place else None
    if place and place.training.status == "active" and place.training.finished_on == ended:
        training = replace(
            place.training, finished_on=place.post.finished_on, transfer_updated_at=now
        )
        reopened = with_training(reopened, place, training)
    return (touch(with_enrolment(person, "mentor", reopened), now),)
