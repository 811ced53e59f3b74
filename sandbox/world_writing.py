"""The world as it is, written in the long form with every default spelled out.

Putting it back gives the same state. Three keys appear only where what they say does not follow
from the rest: `mentor_shown` of an ECT whose new mentor the nightly refresh has not noticed yet,
`training_started_on` of a declaration made under another period than its date suggests, and
`unpaired_since` of a partnership whose delivery partner has lost the pairing since.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TypeVar

from sandbox.people import latest_with, mentor_on, place_at
from sandbox.state import Named, State
from sandbox.times import exact, london_day
from sandbox.values import (
    Cohort,
    Declaration,
    DeliveryPartner,
    Enrolment,
    Partnership,
    Pause,
    Person,
    Post,
    Provider,
    Schedule,
    School,
    Statement,
    Training,
)

Json = dict[str, object]
N = TypeVar("N", bound=Named)


def world_of(state: State, *, clock: Json, pending: Sequence[object], now: datetime) -> Json:
    """The whole world, as `PUT` takes it."""
    today = london_day(now)
    return {
        "format": 1,
        "clock": clock,
        "providers": {p.ref: _provider(p) for p in state.providers.values()},
        "cohorts": {str(c.year): _cohort(c) for c in state.cohorts.values()},
        "schedules": {
            str(year): {name: _schedule(schedule) for name, schedule in schedules.items()}
            for year, schedules in state.schedules.items()
        },
        "delivery_partners": {
            p.ref: _delivery_partner(p) for p in ordered(state.delivery_partners.values())
        },
        "schools": {s.ref: _school(s) for s in ordered(state.schools.values())},
        "partnerships": {
            p.ref: _partnership(p, state) for p in ordered(state.partnerships.values())
        },
        "statements": {s.ref: _statement(s) for s in ordered(state.statements.values())},
        "participants": {p.ref: _person(p, today) for p in ordered(state.people.values())},
        "declarations": {
            d.ref: _declaration(d, state.people[d.of]) for d in ordered(state.declarations.values())
        },
        "pending_events": list(pending),
    }


def ordered(entities: Iterable[N]) -> list[N]:
    """Entities in the order in which they came into the world."""
    return sorted(entities, key=lambda entity: entity.order)


def _stamps(entity: Named) -> Json:
    return {"created_at": exact(entity.created_at), "updated_at": exact(entity.updated_at)}


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _provider(provider: Provider) -> Json:
    return {"name": provider.name, "tokens": list(provider.tokens)}


def _cohort(cohort: Cohort) -> Json:
    frozen = cohort.payments_frozen_at
    return {
        "started_on": _day(cohort.started_on),
        "finished_on": _day(cohort.finished_on),
        "enabled": cohort.enabled,
        "payments_frozen_at": exact(frozen) if frozen else None,
        "mentor_funding_enabled": cohort.mentor_funding_enabled,
        "detailed_evidence_types_enabled": cohort.detailed_evidence_types_enabled,
        "uplift_fees_enabled": cohort.uplift_fees_enabled,
    }


def _schedule(schedule: Schedule) -> Json:
    return {kind: [_day(window.first), _day(window.last)] for kind, window in schedule.items()}


def _delivery_partner(partner: DeliveryPartner) -> Json:
    return {
        "id": partner.id,
        "name": partner.name,
        "pairings": [list(pairing) for pairing in partner.pairings],
        **_stamps(partner),
    }


def _school(school: School) -> Json:
    tutor = {"name": school.tutor_name, "email": school.tutor_email}
    return {
        "id": school.id,
        "urn": school.urn,
        "name": school.name,
        "eligible": school.eligible,
        "induction_tutor": tutor if school.tutor_name is not None else None,
        "gias_contact_email": school.gias_contact_email,
        "cohorts": {
            str(number): {
                "induction_programme_choice": year.choice,
                "expression_of_interest": list(year.interested_in),
                "created_at": exact(year.created_at),
                "updated_at": exact(year.updated_at),
            }
            for number, year in school.years.items()
        },
        **_stamps(school),
    }


def _partnership(partnership: Partnership, state: State) -> Json:
    pairing = partnership.provider, partnership.cohort
    paired = pairing in state.delivery_partners[partnership.delivery_partner].pairings
    return {
        "id": partnership.id,
        "school": partnership.school,
        "provider": partnership.provider,
        "delivery_partner": partnership.delivery_partner,
        "cohort": partnership.cohort,
        **({} if paired else {"unpaired_since": True}),
        **_stamps(partnership),
    }


def _statement(statement: Statement) -> Json:
    return {
        "id": statement.id,
        "provider": statement.provider,
        "cohort": statement.cohort,
        "fee": statement.fee,
        "status": statement.status,
        "month": statement.month,
        "year": statement.year,
        "cut_off_date": _day(statement.cut_off_date),
        "payment_date": _day(statement.payment_date),
        **_stamps(statement),
    }


def _person(person: Person, today: date) -> Json:
    written: Json = {
        "id": person.id,
        "full_name": person.full_name,
        "trn": person.trn,
        "id_changes": [{"from": c.from_id, "at": exact(c.at)} for c in person.id_changes],
        "inductions": [
            {
                "started_on": _day(induction.started_on),
                "finished_on": _day(induction.finished_on),
                "outcome": induction.outcome,
            }
            for induction in person.inductions
        ],
        **_stamps(person),
        "unfunded_updated_at": exact(person.unfunded_updated_at),
    }
    enrolments = {e.role: _enrolment(e, today) for e in person.enrolments()}
    if len(enrolments) == 1:
        role, only = next(iter(enrolments.items()))
        return {**written, "role": role, **only}
    return {**written, "roles": enrolments}


def _enrolment(enrolment: Enrolment, today: date) -> Json:
    written: Json = {
        "training_record_id": enrolment.training_record_id,
        "posts": [_post(post) for post in enrolment.posts],
        "fundable": enrolment.fundable,
        "working_pattern": enrolment.working_pattern,
        "pupil_premium_uplift": enrolment.pupil_premium_uplift,
        "sparsity_uplift": enrolment.sparsity_uplift,
        "mentor_funding_end_date": _day(enrolment.mentor_funding_end_date),
        "mentor_ineligible_for_funding_reason": enrolment.mentor_ineligible_for_funding_reason,
        "cohort_changed_after_payments_frozen": enrolment.cohort_changed_after_payments_frozen,
        "enrolment_created_at": exact(enrolment.created_at),
    }
    if enrolment.mentor_shown != mentor_on(enrolment, today):
        written["mentor_shown"] = enrolment.mentor_shown
    return written


def _post(post: Post) -> Json:
    return {
        "school": post.school,
        "started_on": _day(post.started_on),
        "finished_on": _day(post.finished_on),
        "email": post.email,
        "trainings": [_training(training) for training in post.trainings],
        "mentors": [
            {
                "mentor": mentorship.mentor,
                "started_on": _day(mentorship.started_on),
                "finished_on": _day(mentorship.finished_on),
            }
            for mentorship in post.mentors
        ],
    }


def _training(training: Training) -> Json:
    dates: Json = {
        "started_on": _day(training.started_on),
        "finished_on": _day(training.finished_on),
        "deferral": _pause(training.deferral),
        "withdrawal": _pause(training.withdrawal),
        "created_at": exact(training.created_at),
        "transfer_updated_at": exact(training.transfer_updated_at),
    }
    if training.provider is None:
        return {"provider": None, **dates}
    waiting: Json = {} if training.cohort is None else {"cohort": training.cohort}
    return {
        "provider": training.provider,
        "partnership": training.partnership,
        **waiting,
        "schedule": training.schedule,
        **dates,
    }


def _pause(pause: Pause | None) -> Json | None:
    return {"reason": pause.reason, "at": exact(pause.at)} if pause else None


def _declaration(declaration: Declaration, person: Person) -> Json:
    written: Json = {
        "id": declaration.id,
        "of": declaration.of,
        "role": declaration.role,
        "by": declaration.by,
        "type": declaration.type,
        "date": exact(declaration.dated),
        "state": declaration.state,
        "evidence_held": declaration.evidence_held,
        "delivery_partner": declaration.delivery_partner,
        "mentor": declaration.mentor,
        "statement": declaration.statement,
        "clawback_statement": declaration.clawback_statement,
        "uplift_paid": declaration.uplift_paid,
        **_stamps(declaration),
    }
    if declaration.training_started_on != _suggested_start(declaration, person):
        written["training_started_on"] = _day(declaration.training_started_on)
    return written


def _suggested_start(declaration: Declaration, person: Person) -> date | None:
    enrolment = person.enrolment(declaration.role)
    if enrolment is None:
        return None
    place = place_at(enrolment, declaration.by, london_day(declaration.dated))
    place = place or latest_with(enrolment, declaration.by)
    return place.training.started_on if place else None
