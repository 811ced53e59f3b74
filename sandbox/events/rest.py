"""What schools and DfE do to everything but people: statements, partners, schools, tokens."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from sandbox.edits import refreshed, touch
from sandbox.events.context import Context, Effect, Impossible, Unreadable, stamped
from sandbox.events.shapes import body_of
from sandbox.people import belongs, transfers
from sandbox.reading import Fields, Problems
from sandbox.rules.partnerships import corrected, linked
from sandbox.state import Changes, State
from sandbox.values import (
    Declaration,
    DeliveryPartner,
    Enrolment,
    Entity,
    Partnership,
    Person,
    School,
    Statement,
    Training,
)
from sandbox.world import Reader, read_partnership, read_statement
from sandbox.world_people import read_participant
from sandbox.world_rows import RawRow, id_for


def _one(entity: Entity) -> Changes:
    return Changes(puts=(entity,))


# What is added


class StateNames:
    """The names of a world that is there already, for reading something new into it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def resolve(self, section: str, name: str) -> str | None:
        return self._state.resolve(section, name)

    def id_of(self, section: str, ref: str) -> str:
        return id_for(section, ref)


def _row(c: Context) -> tuple[Reader, RawRow, Problems]:
    problems = Problems()
    reader = Reader(c.state, StateNames(c.state), problems, c.at)
    ref = c.event.text("ref")
    if ref in c.state.refs:
        raise Impossible("ref", f"duplicate ref '{ref}'")
    return reader, RawRow(ref, "", dict(body_of(c.event))), problems


def _usable(problems: Problems) -> None:
    """What was read is usable, or the event impossible."""
    if problems.found:
        raise Unreadable(problems.found)


def school_registers_participant(c: Context) -> Changes:
    reader, row, problems = _row(c)
    person = read_participant(reader, row, place=len(c.state.people), created=c.at)
    _usable(problems)
    return _one(person)


def statement_added(c: Context) -> Changes:
    reader, row, problems = _row(c)
    statement = read_statement(reader, Fields(row.raw, "", problems), row, c.at)
    _usable(problems)
    return _one(statement)


def partnership_added(c: Context) -> Changes:
    reader, row, problems = _row(c)
    partnership = read_partnership(reader, Fields(row.raw, "", problems), row, c.at)
    _usable(problems)
    return Changes(puts=(partnership, *linked(c.state, partnership, c.at)))


# Statements and declarations


def declaration_payable_run(c: Context) -> Changes:
    statement = c.statement()
    return Changes(puts=tuple(_payable(c, statement)))


def _payable(c: Context, statement: Statement) -> Iterable[Declaration | Statement]:
    yield replace(statement, status="payable", updated_at=c.at)
    for declaration in c.state.declarations.values():
        if declaration.statement == statement.ref and declaration.state == "eligible":
            yield replace(declaration, state="payable", updated_at=c.at)


def declaration_paid_run(c: Context) -> Changes:
    ref = c.statement().ref
    changed: list[Declaration] = []
    for declaration in c.state.declarations.values():
        if declaration.statement == ref and declaration.state == "payable":
            changed.append(replace(declaration, state="paid", updated_at=c.at))
        elif declaration.clawback_statement == ref and declaration.state == "awaiting-clawback":
            changed.append(replace(declaration, state="clawed-back", updated_at=c.at))
    return Changes(puts=tuple(changed))


def statement_paid(c: Context) -> Changes:
    return _one(replace(c.statement(), status="paid", updated_at=c.at))


def statement_dates_changed(c: Context) -> Changes:
    old = c.statement()
    return _one(
        replace(
            old,
            cut_off_date=c.event.day("cut_off_date", old.cut_off_date),
            payment_date=c.event.day("payment_date", old.payment_date),
            updated_at=c.at,
        )
    )


NAMED_BY_CORRECTIONS = {
    "statement": "statements",
    "clawback_statement": "statements",
    "mentor": "participants",
}


def declaration_corrected(c: Context) -> Changes:
    old, event = c.declaration(), c.event
    for part, section in NAMED_BY_CORRECTIONS.items():
        name = event.maybe_text(part)
        if name is not None and name not in c.state.section(section):
            raise Impossible(part, f"unknown ref '{name}'")
    kept = {
        name: event.maybe_text(name) if event.has(name) else getattr(old, name)
        for name in ("type", "evidence_held", "state", "statement", "clawback_statement", "mentor")
    }
    return _one(
        replace(
            old,
            **kept,
            dated=event.instant("date", old.dated),
            uplift_paid=event.flag("uplift_paid", old.uplift_paid),
            updated_at=c.at,
        )
    )


# Delivery partners and partnerships


def delivery_partner_renamed(c: Context) -> Changes:
    partner = c.delivery_partner()
    renamed = replace(partner, name=c.event.text("name"), updated_at=c.at)
    under = [p for p in c.state.partnerships.values() if p.delivery_partner == partner.ref]
    return Changes(puts=(renamed, *(replace(p, updated_at=c.at) for p in under)))


def delivery_partner_paired(c: Context) -> Changes:
    partner = c.delivery_partner()
    pairing = c.provider().ref, c.event.year("cohort")
    return _paired(c, partner, dict.fromkeys((*partner.pairings, pairing)))


def delivery_partner_unpaired(c: Context) -> Changes:
    partner = c.delivery_partner()
    pairing = c.provider().ref, c.event.year("cohort")
    if pairing not in partner.pairings:
        raise Impossible("delivery_partner", "has no such pairing")
    return _paired(c, partner, [p for p in partner.pairings if p != pairing])


def _paired(c: Context, partner: DeliveryPartner, pairings: Iterable[tuple[str, int]]) -> Changes:
    return _one(replace(partner, pairings=tuple(pairings), updated_at=c.at))


def partnership_delivery_partner_corrected(c: Context) -> Changes:
    return corrected(c.state, c.partnership(), c.delivery_partner().ref, c.at)


# Schools


def _of_school(c: Context, school: School) -> list[Partnership]:
    return [p for p in c.state.partnerships.values() if p.school == school.ref]


def _with_partnerships(c: Context, school: School) -> Changes:
    moved = (replace(p, updated_at=c.at) for p in _of_school(c, school))
    return Changes(puts=(stamped(school, c.at), *moved))


def school_renamed(c: Context) -> Changes:
    return _one(stamped(replace(c.school(), name=c.event.text("name")), c.at))


def school_urn_changed(c: Context) -> Changes:
    school, urn = c.school(), c.event.text("urn")
    if any(other.urn == urn and other is not school for other in c.state.schools.values()):
        raise Impossible("urn", f"duplicate urn '{urn}'")
    people = (_at_school(c, c.state.people[ref], school) for ref in _people_at(c, school))
    return Changes(puts=(*_with_partnerships(c, replace(school, urn=urn)).puts, *people))


def _people_at(c: Context, school: School) -> list[str]:
    return sorted(c.state.index.people_at[school.ref])


def _at_school(c: Context, person: Person, school: School) -> Person:
    """The person with the stamps of a school moved: their own, and their periods' there."""
    moved = touch(person, c.at)
    for enrolment in person.enrolments():
        posts = tuple(
            replace(post, trainings=tuple(_moved(c, t) for t in post.trainings))
            if post.school == school.ref
            else post
            for post in enrolment.posts
        )
        moved = replace(moved, **{enrolment.role: replace(enrolment, posts=posts)})
    return moved


def _moved(c: Context, training: Training) -> Training:
    return replace(training, transfer_updated_at=c.at)


def induction_tutor_changed(c: Context) -> Changes:
    tutor = {"tutor_name": c.event.maybe_text("name"), "tutor_email": c.event.maybe_text("email")}
    return _with_partnerships(c, replace(c.school(), **tutor))


def gias_contact_changed(c: Context) -> Changes:
    email = c.event.maybe_text("email")
    return _with_partnerships(c, replace(c.school(), gias_contact_email=email))


def expression_of_interest_made(c: Context) -> Changes:
    school, year, provider = c.school(), c.event.year("cohort"), c.provider().ref
    interested = tuple(dict.fromkeys((*school.years[year].interested_in, provider)))
    return _one(_with_interest(c, school, year, interested))


def expression_of_interest_withdrawn(c: Context) -> Changes:
    school, year, provider = c.school(), c.event.year("cohort"), c.provider().ref
    old = school.years[year].interested_in
    if provider not in old:
        raise Impossible("provider", "the school has expressed no interest in it")
    return _one(_with_interest(c, school, year, tuple(p for p in old if p != provider)))


def _with_interest(c: Context, school: School, year: int, interested: tuple[str, ...]) -> School:
    years = {**school.years, year: replace(school.years[year], interested_in=interested)}
    return stamped(replace(school, years=years), c.at)


def induction_programme_choice_changed(c: Context) -> Changes:
    school, year = c.school(), c.event.year("cohort")
    chosen = replace(school.years[year], choice=c.event.maybe_text("choice"))
    years = {**school.years, year: chosen}
    return _one(_year_stamped(replace(school, years=years), year, c))


def _year_stamped(school: School, year: int, c: Context) -> School:
    years = {**school.years, year: replace(school.years[year], updated_at=c.at)}
    return replace(school, years=years)


def school_becomes_ineligible(c: Context) -> Changes:
    return _one(replace(c.school(), eligible=False))


def school_becomes_eligible(c: Context) -> Changes:
    return _one(replace(c.school(), eligible=True))


# Cohorts, providers, tokens


def cohort_payments_frozen(c: Context) -> Changes:
    cohort = c.state.cohorts[c.event.year("cohort")]
    return _one(replace(cohort, payments_frozen_at=c.at))


def provider_renamed(c: Context) -> Changes:
    provider = c.provider()
    renamed = replace(provider, name=c.event.text("name"))
    people = (
        _in_transfers(c, person, provider.ref)
        for person in list(c.state.index.transfers[provider.ref].rows())
    )
    return Changes(puts=(renamed, *people))


def _in_transfers(c: Context, person: Person, provider: str) -> Person:
    """The person with the stamps of the provider's periods that show in a transfer moved."""
    shown = [
        place.training
        for move in transfers(person, provider)
        for place in move.sides()
        if belongs(place.training, provider)
    ]

    def move(enrolment: Enrolment) -> Enrolment:
        posts = tuple(
            replace(
                post,
                trainings=tuple(
                    _moved(c, t) if any(t is one for one in shown) else t for t in post.trainings
                ),
            )
            for post in enrolment.posts
        )
        return replace(enrolment, posts=posts)

    moved = person
    for enrolment in person.enrolments():
        moved = replace(moved, **{enrolment.role: move(enrolment)})
    return moved


def token_issued(c: Context) -> Changes:
    provider, token = c.provider(), c.event.text("token")
    owner = c.state.tokens.get(token)
    if owner is not None:
        raise Impossible("token", f"duplicate token, also of '{owner}'")
    return _one(replace(provider, tokens=(*provider.tokens, token)))


def token_revoked(c: Context) -> Changes:
    provider, token = c.provider(), c.event.text("token")
    if token not in provider.tokens:
        raise Impossible("token", "the provider has no such token")
    return _one(replace(provider, tokens=tuple(t for t in provider.tokens if t != token)))


# Touched, and the nightly run


def touched(c: Context) -> Changes:
    refs: dict[str, None] = {}
    for name in c.event.texts("refs"):
        found = _matching(c.state, name)
        if not found:
            raise Impossible("refs", f"unknown ref '{name}'")
        refs.update(dict.fromkeys(found))
    return Changes(puts=tuple(_touched(c, ref) for ref in refs))


def _matching(state: State, name: str) -> list[str]:
    if name.endswith("*"):
        numbered = re.compile(re.escape(name[:-1]) + r"\d+", re.A)
        return [ref for ref in state.refs if numbered.fullmatch(ref)]
    ref = state.ids.get(name.lower(), name)
    return [ref] if ref in state.refs else []


def _touched(c: Context, ref: str) -> Entity:
    sections: tuple[Mapping[str, Entity], ...] = (
        c.state.people,
        c.state.declarations,
        c.state.partnerships,
        c.state.statements,
        c.state.delivery_partners,
    )
    if ref in c.state.schools:
        return stamped(c.state.schools[ref], c.at)
    entity = next(section[ref] for section in sections if ref in section)
    assert isinstance(entity, (Person, Declaration, Partnership, Statement, DeliveryPartner))
    return replace(entity, updated_at=c.at)


def nightly_run(c: Context) -> Changes:
    """What the service does at night, for the night before the event's stamp."""
    return Changes(puts=(*_paid_for(c), *_mentors_noticed(c), *_counted(c)))


def _paid_for(c: Context) -> Iterable[Declaration | Statement]:
    for statement in list(c.state.statements.values()):
        open_output = statement.fee == "output" and statement.status == "open"
        if open_output and statement.cut_off_date < c.day:
            yield from _payable(c, statement)


def _mentors_noticed(c: Context) -> Iterable[Person]:
    for person in list(c.state.people.values()):
        if person.ect is None:
            continue
        noticed = refreshed(person.ect, c.day)
        if noticed is not person.ect:
            yield touch(replace(person, ect=noticed), c.at)


def _counted(c: Context) -> Iterable[Partnership]:
    yesterday = c.day - timedelta(days=1)
    for ref, spans in c.state.index.spans.items():
        changed = any(
            count > 0 and (started_on == c.day or finished_on == yesterday)
            for (started_on, finished_on), count in spans.items()
        )
        if changed and ref in c.state.partnerships:
            yield replace(c.state.partnerships[ref], updated_at=c.at)


ADDS: dict[str, Effect] = {
    effect.__name__: effect
    for effect in (school_registers_participant, statement_added, partnership_added)
}

EFFECTS: dict[str, Effect] = {
    **ADDS,
    **{
        effect.__name__: effect
        for effect in (
            declaration_payable_run,
            declaration_paid_run,
            statement_paid,
            statement_dates_changed,
            declaration_corrected,
            delivery_partner_renamed,
            delivery_partner_paired,
            delivery_partner_unpaired,
            partnership_delivery_partner_corrected,
            school_renamed,
            school_urn_changed,
            induction_tutor_changed,
            gias_contact_changed,
            expression_of_interest_made,
            expression_of_interest_withdrawn,
            induction_programme_choice_changed,
            school_becomes_ineligible,
            school_becomes_eligible,
            cohort_payments_frozen,
            provider_renamed,
            token_issued,
            token_revoked,
            touched,
            nightly_run,
        )
    },
}
