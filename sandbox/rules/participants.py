"""Defer, withdraw and resume, with their same-day rules in London time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from sandbox.edits import earlier_of, touch, with_enrolment, with_training
from sandbox.people import Place, latest_with
from sandbox.rules.answers import Answer, Conflict, Done, Refused, refused, text_of
from sandbox.state import Changes, State
from sandbox.times import london_day
from sandbox.values import Enrolment, Pause, Person, Training
from sandbox.vocabulary import (
    COURSES,
    DEFERRAL_REASONS,
    MENTOR_WITHDRAWAL_REASON,
    WITHDRAWAL_REASONS,
    Role,
)

ENTER_COURSE = "Enter a '#/course_identifier'."
UNKNOWN_COURSE = (
    "The entered '#/course_identifier' is not recognised for the given participant. "
    "Check details and try again."
)
ENTER_REASON = "Enter a '#/reason'."
UNKNOWN_REASON = (
    "The entered '#/reason' is not recognised for the given participant. "
    "Check details and try again."
)
ALREADY = "The '#/participant_id' is already {}."
NOT_A_DAY_YET = (
    "You cannot {} #/participant_id. This is because they have not been training with you for "
    "at least one day."
)
TRY_TOMORROW = (
    "You cannot defer or withdraw this participant today. You need to try again tomorrow as the "
    "training was recently changed for this participant."
)
NOT_A_MENTOR = "You cannot withdraw an ECT for this reason. The ECT is not a mentor."
RESUME_TOMORROW = (
    "You cannot resume a participant on the same day they were withdrawn or deferred. "
    "Resume them tomorrow or later."
)
WITH_ANOTHER = (
    "This participant cannot be resumed because they are already active with another provider."
)
LEFT_SCHOOL = (
    "The participant is no longer at the school. Please contact the induction tutor to resolve."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A person in the role a request names, and the provider's latest training period in it."""

    person: Person
    role: Role
    enrolment: Enrolment
    place: Place
    provider: str

    @property
    def training(self) -> Training:
        return self.place.training

    def with_trainings(self, at: datetime, *trainings: Training) -> Person:
        """The person with the period replaced by others, and the stamps of that moved."""
        enrolment = with_training(self.enrolment, self.place, *trainings)
        return touch(with_enrolment(self.person, self.role, enrolment), at)

    def done(self, at: datetime, *trainings: Training) -> Done:
        return Done(Changes(puts=(self.with_trainings(at, *trainings),)), self.person.ref)


def case_of(person: Person, provider: str, course: object) -> Case | Refused:
    """Find the enrolment that a `course_identifier` selects."""
    role = COURSES.get(text_of(course))
    if role is None:
        return refused("course_identifier", ENTER_COURSE)
    enrolment = person.enrolment(role)
    place = latest_with(enrolment, provider) if enrolment else None
    if enrolment is None or place is None:
        return refused("course_identifier", UNKNOWN_COURSE)
    return Case(person=person, role=role, enrolment=enrolment, place=place, provider=provider)


def _reason_errors(reason: str, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not reason:
        return (("reason", ENTER_REASON),)
    return () if reason in allowed else (("reason", UNKNOWN_REASON),)


def defer(
    state: State, person: Person, provider: str, attributes: Mapping[str, object], now: datetime
) -> Answer:
    """Take a break: the deferral is set and the training period ends today."""
    case = case_of(person, provider, attributes.get("course_identifier"))
    reason = text_of(attributes.get("reason"))
    errors = _reason_errors(reason, DEFERRAL_REASONS)
    if isinstance(case, Refused):
        return Refused(case.errors + errors)
    if errors:
        return Refused(errors)
    today = london_day(now)
    if case.training.status != "active":
        return refused("participant_id", ALREADY.format(case.training.status))
    too_soon = _too_soon(case.training, today, "defer")
    if too_soon:
        return refused("participant_id", too_soon)
    return case.done(now, _paused(case.training, now, deferral=Pause(reason=reason, at=now)))


def withdraw(
    state: State, person: Person, provider: str, attributes: Mapping[str, object], now: datetime
) -> Answer:
    """Stop: the withdrawal is set and the training period ends today, unless it has ended."""
    case = case_of(person, provider, attributes.get("course_identifier"))
    reason = text_of(attributes.get("reason"))
    errors = _reason_errors(reason, WITHDRAWAL_REASONS)
    if isinstance(case, Refused):
        return Refused(case.errors + errors)
    if not errors and case.role == "ect" and reason == MENTOR_WITHDRAWAL_REASON:
        errors = (("reason", NOT_A_MENTOR),)
    if errors:
        return Refused(errors)
    if case.training.status == "withdrawn":
        return refused("participant_id", ALREADY.format("withdrawn"))
    too_soon = _too_soon(case.training, london_day(now), "withdraw")
    if too_soon:
        return refused("participant_id", too_soon)
    return case.done(now, _paused(case.training, now, withdrawal=Pause(reason=reason, at=now)))


def _too_soon(training: Training, today: date, verb: str) -> str | None:
    if training.started_on > today:
        return NOT_A_DAY_YET.format(verb)
    return TRY_TOMORROW if training.started_on == today else None


def _paused(
    training: Training,
    now: datetime,
    *,
    deferral: Pause | None = None,
    withdrawal: Pause | None = None,
) -> Training:
    return replace(
        training,
        deferral=deferral or training.deferral,
        withdrawal=withdrawal or training.withdrawal,
        finished_on=earlier_of(training.finished_on, london_day(now)),
        transfer_updated_at=now,
    )


def resume(
    state: State, person: Person, provider: str, attributes: Mapping[str, object], now: datetime
) -> Answer:
    """Come back: a new training period from today, with the same schedule and partnership."""
    case = case_of(person, provider, attributes.get("course_identifier"))
    if isinstance(case, Refused):
        return case
    today = london_day(now)
    problem = _not_resumable(case, today)
    if problem:
        return refused("participant_id", problem)
    if case.training.ends_after(today):
        return Conflict()
    resumed = replace(
        case.training,
        started_on=today,
        finished_on=case.place.post.finished_on,
        deferral=None,
        withdrawal=None,
        created_at=now,
        transfer_updated_at=now,
    )
    return case.done(now, case.training, resumed)


def _not_resumable(case: Case, today: date) -> str | None:
    training, post = case.training, case.place.post
    if training.status == "active":
        return ALREADY.format("active")
    if training.finished_on == today:
        return RESUME_TOMORROW
    if any(_elsewhere(other, training, today) for _, other in case.enrolment.trainings()):
        return WITH_ANOTHER
    if post.finished_on is not None and post.finished_on <= today:
        return LEFT_SCHOOL
    return None


def _elsewhere(other: Training, mine: Training, today: date) -> bool:
    """Whether another period, under way or to come, leaves no room to resume this one."""
    return other is not mine and other.provider != mine.provider and other.ends_after(today)
