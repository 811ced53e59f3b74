"""Making a partnership with a school, and correcting its delivery partner."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sandbox.edits import touch
from sandbox.rules.answers import Answer, Done, Refused, refused, text_of
from sandbox.state import Changes, State
from sandbox.times import london_day
from sandbox.values import (
    Cohort,
    Declaration,
    DeliveryPartner,
    Partnership,
    Person,
    School,
    Training,
)
from sandbox.world_rows import is_uuid

ENTER_COHORT = "Enter a '#/cohort'."
UNKNOWN_COHORT = "The '#/cohort' you have entered is invalid. Check cohort details and try again."
FUTURE_COHORT = "You cannot create a partnership for a future cohort."
CLOSED_COHORT = "You cannot create this partnership as the cohort is closed."
ENTER_SCHOOL = "Enter a '#/school_id'."
UNKNOWN_SCHOOL = (
    "The '#/school_id' you have entered is invalid. Check school details and try again. Contact "
    "the DfE for support if you are unable to find the '#/school_id'."
)
INELIGIBLE_SCHOOL = (
    "The school you have entered is currently ineligible for DfE funding. Contact the school for "
    "more information."
)
SCHOOL_LED = (
    "This school has only registered school-led participants. Contact the school for more "
    "information."
)
ALREADY_CONFIRMED = (
    "You are already in a confirmed partnership with this school for the entered cohort."
)
ENTER_PARTNER = "Enter a '#/delivery_partner_id'."
UNKNOWN_PARTNER = (
    "The '#/delivery_partner_id' you have entered is invalid. Check delivery partner details and "
    "try again."
)
NOT_PAIRED = (
    "The entered delivery partner is not recognised to be working in partnership with you for "
    "the given cohort. Contact the DfE for more information."
)
SAME_PARTNER = (
    "We are unable to process this request. You are already confirmed to be in partnership with "
    "the entered delivery partner. Contact the DfE for support."
)


def create(
    state: State,
    provider: str,
    attributes: Mapping[str, object],
    now: datetime,
    *,
    stored_at: datetime,
    new_id: str,
) -> Answer:
    """Make a partnership; the school's participants who waited for it come with it."""
    cohort = _cohort(state, attributes)
    school = _entity(state, "schools", attributes.get("school_id"))
    partner = _entity(state, "delivery_partners", attributes.get("delivery_partner_id"))
    errors = (
        *_cohort_errors(cohort, attributes, now),
        *_school_errors(state, school, cohort, provider, attributes),
        *_partner_errors(partner, provider, cohort.year if cohort else None, attributes),
    )
    if errors or cohort is None:
        return Refused(errors)
    if not isinstance(school, School) or not isinstance(partner, DeliveryPartner):
        return Refused(errors)
    partnership = Partnership(
        ref=state.new_ref(),
        id=new_id,
        order=state.take_order(),
        school=school.ref,
        provider=provider,
        delivery_partner=partner.ref,
        cohort=cohort.year,
        created_at=now,
        updated_at=stored_at,
    )
    return Done(Changes(puts=(partnership, *linked(state, partnership, now))), partnership.ref)


def _cohort(state: State, attributes: Mapping[str, object]) -> Cohort | None:
    year = text_of(attributes.get("cohort"))
    known = year.isascii() and year.isdecimal() and len(year) == 4
    return state.cohorts.get(int(year)) if known else None


def _entity(state: State, section: str, wanted: object) -> School | DeliveryPartner | None:
    text = text_of(wanted).lower()
    ref = state.ids.get(text) if is_uuid(text) else None
    found = state.section(section).get(ref or "")
    return found if isinstance(found, (School, DeliveryPartner)) else None


def _cohort_errors(
    cohort: Cohort | None, attributes: Mapping[str, object], now: datetime
) -> tuple[tuple[str, str], ...]:
    if cohort is None:
        given = text_of(attributes.get("cohort"))
        return (("cohort", UNKNOWN_COHORT if given else ENTER_COHORT),)
    if cohort.started_on > london_day(now):
        return (("cohort", FUTURE_COHORT),)
    return () if cohort.enabled else (("cohort", CLOSED_COHORT),)


def _school_errors(
    state: State,
    school: School | DeliveryPartner | None,
    cohort: Cohort | None,
    provider: str,
    attributes: Mapping[str, object],
) -> tuple[tuple[str, str], ...]:
    if not isinstance(school, School):
        given = text_of(attributes.get("school_id"))
        return (("school_id", UNKNOWN_SCHOOL if given else ENTER_SCHOOL),)
    if not school.eligible:
        return (("school_id", INELIGIBLE_SCHOOL),)
    if cohort is None:
        return ()
    here = state.index.partnerships_at.get((school.ref, cohort.year), {})
    if any(state.partnerships[ref].provider == provider for ref in here):
        return (("school_id", ALREADY_CONFIRMED),)
    if state.school_shown(school.ref, cohort.year).choice == "school_led":
        return (("school_id", SCHOOL_LED),)
    return ()


def _partner_errors(
    partner: School | DeliveryPartner | None,
    provider: str,
    year: int | None,
    attributes: Mapping[str, object],
) -> tuple[tuple[str, str], ...]:
    if not isinstance(partner, DeliveryPartner):
        given = text_of(attributes.get("delivery_partner_id"))
        return (("delivery_partner_id", UNKNOWN_PARTNER if given else ENTER_PARTNER),)
    if year is None or (provider, year) not in partner.pairings:
        return (("delivery_partner_id", NOT_PAIRED),)
    return ()


def linked(state: State, partnership: Partnership, at: datetime) -> tuple[Person, ...]:
    """The participants of the school who waited for this partnership, now under it."""
    place = partnership.school, partnership.provider, partnership.cohort
    waiting = sorted(state.index.waiting.get(place, ()), key=lambda ref: state.people[ref].order)
    return tuple(_linked(state.people[ref], partnership, at) for ref in waiting)


def _linked(person: Person, partnership: Partnership, at: datetime) -> Person:
    def link(training: Training) -> Training:
        waits = training.partnership is None and training.provider == partnership.provider
        if not waits or training.cohort != partnership.cohort:
            return training
        return replace(training, partnership=partnership.ref, cohort=None)

    changed = person
    for enrolment in person.enrolments():
        here = replace(
            enrolment,
            posts=tuple(
                replace(post, trainings=tuple(link(training) for training in post.trainings))
                if post.school == partnership.school
                else post
                for post in enrolment.posts
            ),
        )
        changed = replace(changed, **{enrolment.role: here})
    return touch(changed, at)


def correct(
    state: State,
    partnership: Partnership,
    attributes: Mapping[str, object],
    now: datetime,
) -> Answer:
    """Correct a partnership's delivery partner; its id stays."""
    partner = _entity(state, "delivery_partners", attributes.get("delivery_partner_id"))
    errors = _partner_errors(partner, partnership.provider, partnership.cohort, attributes)
    if errors or not isinstance(partner, DeliveryPartner):
        return Refused(errors)
    if _has_already(state, partnership, partner):
        return refused("delivery_partner_id", SAME_PARTNER)
    return Done(corrected(state, partnership, partner.ref, now), partnership.ref)


def _has_already(state: State, partnership: Partnership, partner: DeliveryPartner) -> bool:
    here = state.index.partnerships_at.get((partnership.school, partnership.cohort), {})
    return any(
        other.provider == partnership.provider and other.delivery_partner == partner.ref
        for ref in here
        if (other := state.partnerships[ref])
    )


def corrected(state: State, partnership: Partnership, partner: str, at: datetime) -> Changes:
    """The partnership with another delivery partner, and the stamps of all that is under it."""
    changed = replace(partnership, delivery_partner=partner, updated_at=at)
    under = sorted(state.index.people_under.get(partnership.ref, ()))
    people = tuple(touch(state.people[ref], at) for ref in under)
    made = tuple(
        replace(declaration, updated_at=at)
        for ref in under
        for declaration in state.index.declarations_of.get(ref, {}).values()
        if _made_under(state, declaration, partnership)
    )
    return Changes(puts=(changed, *people, *made))


def _made_under(state: State, declaration: Declaration, partnership: Partnership) -> bool:
    if declaration.by != partnership.provider:
        return False
    return state.partnership_of(declaration) == partnership.ref
