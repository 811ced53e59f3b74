"""Change-schedule, with moves between cohorts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from sandbox.people import completed_on, in_order, participant_status
from sandbox.rules.answers import Answer, Done, Refused, text_of
from sandbox.rules.participants import Case, case_of
from sandbox.state import Changes, State
from sandbox.times import day_before, london_day
from sandbox.values import Cohort, Declaration, Partnership, Person, Schedule
from sandbox.vocabulary import SCHEDULES

NOT_VALID = (
    "The property '#/schedule_identifier' must be present and correspond to a valid schedule."
)
NOT_LISTED = "Enter a valid schedule identifier."
UNCHANGED = "Selected schedule is already on the profile"
NOT_FOR_ECTS = "Selected schedule is not valid for the course_identifier"
NOT_FOR_MENTORS = (
    "Mentors cannot be placed on a reduced schedule. Assign them to a different schedule."
)
WOULD_INVALIDATE = (
    "The change of schedule cannot be applied because a previous change of schedule and a "
    "declaration were made on the same day. Applying another change of schedule would invalidate "
    "existing declarations. Please contact DfE for assistance."
)
NO_PARTNERSHIP = (
    "You cannot change a participant to this contract_period as you do not have a partnership "
    "with the school for the contract_period. Contact the DfE for assistance."
)
FROZEN = (
    "You cannot move a participant to a payments frozen cohort unless they previously belonged "
    "to that cohort."
)
COMPLETED = (
    "You cannot change this participant's schedule as they have completed their training or "
    "induction."
)
LEFT = (
    "You cannot change this participant's schedule. This is because the participant has a 'left' "
    "participant_status, so they are not training with you currently."
)
WITHDRAWN = "Cannot perform actions on a withdrawn participant"
STARTS_ELSEWHERE = (
    "You cannot change this participant's schedule as they are due to start with another lead "
    "provider in the future."
)

Error = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The schedule and cohort asked for, and where that would be."""

    identifier: str
    cohort: Cohort
    current: Cohort
    partnership: Partnership | None
    schedule: Schedule | None


def change_schedule(
    state: State, person: Person, provider: str, attributes: Mapping[str, object], now: datetime
) -> Answer:
    """Put a participant on another schedule, from today or, if they began today, in place."""
    case = case_of(person, provider, attributes.get("course_identifier"))
    identifier = text_of(attributes.get("schedule_identifier"))
    unusable = _unusable(identifier)
    if isinstance(case, Refused):
        return Refused(case.errors + unusable)
    wish = _wish(state, case, identifier, text_of(attributes.get("cohort")))
    errors = (
        *(unusable or _schedule_errors(state, case, wish, now)),
        *_cohort_errors(state, case, wish, now),
        *_participant_errors(case, identifier, now),
    )
    if errors or wish.partnership is None:
        return Refused(errors)
    return _done(case, wish, now)


def _unusable(identifier: str) -> tuple[Error, ...]:
    if not identifier:
        return (("schedule_identifier", NOT_VALID),)
    return () if identifier in SCHEDULES else (("schedule_identifier", NOT_LISTED),)


def _wish(state: State, case: Case, identifier: str, year: str) -> Wish:
    """A cohort that is left out or unknown is the current one, silently."""
    current = state.partnerships[case.training.partnership or ""]
    known = int(year) if year.isascii() and year.isdecimal() and len(year) == 4 else None
    cohort = state.cohorts.get(known or 0, state.cohorts[current.cohort])
    return Wish(
        identifier=identifier,
        cohort=cohort,
        current=state.cohorts[current.cohort],
        partnership=_partnership_in(state, case, current, cohort.year),
        schedule=state.schedule(cohort.year, identifier),
    )


def _partnership_in(
    state: State, case: Case, current: Partnership, year: int
) -> Partnership | None:
    """The provider's partnership with the school in a cohort: same delivery partner, else newest"""
    if year == current.cohort:
        return current
    return best_partnership(
        state,
        school=case.place.post.school,
        provider=case.provider,
        year=year,
        like=current.delivery_partner,
    )


def best_partnership(
    state: State, *, school: str, provider: str, year: int, like: str | None
) -> Partnership | None:
    """The provider's partnership with a school: the same delivery partner's, else the newest."""
    refs = state.index.partnerships_at.get((school, year), {})
    mine = [p for ref in refs if (p := state.partnerships[ref]).provider == provider]
    return max(
        mine, key=lambda p: (p.delivery_partner == like, p.created_at, p.order), default=None
    )


def _schedule_errors(state: State, case: Case, wish: Wish, now: datetime) -> tuple[Error, ...]:
    if wish.schedule is None:
        return (("schedule_identifier", NOT_VALID),)
    errors: list[str] = []
    if wish.identifier == case.training.schedule and wish.cohort == wish.current:
        errors.append(UNCHANGED)
    if case.role == "ect" and "-replacement-" in wish.identifier:
        errors.append(NOT_FOR_ECTS)
    if case.role == "mentor" and "-reduced-" in wish.identifier:
        errors.append(NOT_FOR_MENTORS)
    if _would_invalidate(state, case, wish.schedule, london_day(now)):
        errors.append(WOULD_INVALIDATE)
    return tuple(("schedule_identifier", detail) for detail in errors)


def _would_invalidate(state: State, case: Case, schedule: Schedule, today: date) -> bool:
    """Whether a declaration made under a period that began today would not fit any more."""
    if case.training.started_on != today:
        return False
    made = state.index.declarations_of.get(case.person.ref, {}).values()
    return any(
        not _fits(declaration, schedule)
        for declaration in made
        if declaration.state != "voided"
        and declaration.by == case.provider
        and declaration.role == case.role
        and declaration.training_started_on == today
    )


def _fits(declaration: Declaration, schedule: Schedule) -> bool:
    window = schedule.get(declaration.type)
    if window is None:
        return False
    day = london_day(declaration.dated)
    return window.first <= day and (window.last is None or day <= window.last)


def _cohort_errors(state: State, case: Case, wish: Wish, now: datetime) -> tuple[Error, ...]:
    errors: list[Error] = []
    if wish.partnership is None:
        errors.append(("cohort", NO_PARTNERSHIP))
    moves = wish.cohort != wish.current
    if moves and wish.cohort.frozen(now) and not _belonged(state, case, wish.cohort.year):
        errors.append(("cohort", FROZEN))
    return tuple(errors)


def _belonged(state: State, case: Case, year: int) -> bool:
    return any(
        training.partnership is not None and state.partnerships[training.partnership].cohort == year
        for _, training in case.enrolment.trainings()
    )


def _participant_errors(case: Case, identifier: str, now: datetime) -> tuple[Error, ...]:
    today, training = london_day(now), case.training
    completed = completed_on(case.person, case.role)
    errors: list[str] = []
    if completed and not (case.role == "ect" and "-reduced-" in identifier):
        errors.append(COMPLETED)
    status = participant_status(training, completed=completed, today=today)
    if status == "left":
        errors.append(LEFT)
    elif training.status == "withdrawn":
        errors.append(WITHDRAWN)
    if any(place.training.started_on > training.started_on for place in in_order(case.enrolment)):
        errors.append(STARTS_ELSEWHERE)
    return tuple(("participant_id", detail) for detail in errors)


def _done(case: Case, wish: Wish, now: datetime) -> Done:
    assert wish.partnership is not None
    today, training = london_day(now), case.training
    changed = replace(
        training,
        schedule=wish.identifier,
        partnership=wish.partnership.ref,
        transfer_updated_at=now,
    )
    if training.started_on >= today:
        person = case.with_trainings(now, changed)
    else:
        ended = replace(training, finished_on=day_before(today), transfer_updated_at=now)
        begun = replace(changed, started_on=today, created_at=now, deferral=None, withdrawal=None)
        person = case.with_trainings(now, ended, begun)
    return Done(Changes(puts=(_flagged(person, case, wish, now),)), person.ref)


def _flagged(person: Person, case: Case, wish: Wish, now: datetime) -> Person:
    """Remember a move out of a cohort whose payments are frozen, and forget it on the way back."""
    enrolment = person.enrolment(case.role)
    if enrolment is None or wish.cohort == wish.current:
        return person
    flag = enrolment.cohort_changed_after_payments_frozen
    if wish.current.frozen(now) and not wish.cohort.frozen(now):
        flag = True
    elif wish.cohort.frozen(now):
        flag = False
    flagged = replace(enrolment, cohort_changed_after_payments_frozen=flag)
    return replace(person, **{case.role: flagged})
