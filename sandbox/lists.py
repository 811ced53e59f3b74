"""The rows of each collection that a request asks for: filtered, sorted, cut to a page.

What was selected last is kept for a while, by everything it depends on, so that walking the pages
of a large collection does not select it anew for each page. Nothing selected depends on the time.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sandbox.people import latest_with
from sandbox.query import (
    Page,
    Params,
    filters_of,
    ids_of,
    required_year,
    since_of,
    sort_of,
    years_of,
)
from sandbox.represent import transfer_stamps
from sandbox.state import State
from sandbox.values import (
    Declaration,
    DeliveryPartner,
    Partnership,
    Person,
    School,
    SchoolYear,
    Statement,
)
from sandbox.vocabulary import TRAINING_STATUSES

SELECTIONS_KEPT = 24
"""Selections remembered. Each costs a list of references; a poller walks one at a time."""


class Stamped(Protocol):
    @property
    def ref(self) -> str: ...
    @property
    def order(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class InYear:
    """A school in one cohort, with that cohort's stamps."""

    school: School
    year: SchoolYear

    @property
    def ref(self) -> str:
        return self.school.ref

    @property
    def order(self) -> int:
        return self.school.order

    @property
    def created_at(self) -> datetime:
        return self.year.created_at

    @property
    def updated_at(self) -> datetime:
        return self.year.updated_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Bent:
    """What a fault does to one answer of a list."""

    shift: int = 0
    shuffle: random.Random | None = None
    hidden: frozenset[str] = frozenset()


UNBENT = Bent()

Rows = Sequence[Stamped]
Select = Callable[[State, str, Params], tuple[Rows, tuple[str, ...]]]


class Selections:
    """The selections made last, by state version, provider, path and query."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str, str, str], tuple[Rows, tuple[str, ...]]] = (
            OrderedDict()
        )

    def clear(self) -> None:
        self._kept.clear()

    def get(
        self, select: Select, state: State, provider: str, path: str, params: Params
    ) -> tuple[Rows, tuple[str, ...]]:
        asked = {key: value for key, value in params.items() if key in ("filter", "sort")}
        if not asked and path in PLAIN:
            return select(state, provider, asked)
        key = state.version, provider, path, repr(asked)
        found = self._kept.get(key)
        if found is None:
            found = select(state, provider, asked)
            self._kept[key] = found
            if len(self._kept) > SELECTIONS_KEPT:
                self._kept.popitem(last=False)
        return found


PLAIN = ("participants", "participants/transfers", "participant-declarations", "unfunded-mentors")
"""Collections whose default order is kept at hand; selecting all of one costs nothing."""


def page_rows(rows: Rows, order: tuple[str, ...], page: Page, bent: Bent) -> Rows:
    """The rows of a page, bent as a fault would have it."""
    if bent.shuffle is not None:
        rows = shuffled_ties(rows, order, bent.shuffle)
    if bent.hidden:
        rows = [row for row in rows if row.ref not in bent.hidden]
    start = page.start if page.number == 1 else max(0, page.start + bent.shift)
    return rows[start : start + page.size]


def in_sort_order(rows: Iterable[Stamped], sort: tuple[str, ...]) -> Rows:
    """Rows by the sort asked for; what it leaves equal stays in the order it had."""
    ordered = list(rows)
    for part in reversed(sort):
        attribute = part.removeprefix("-")
        ordered.sort(key=_stamp(attribute), reverse=part.startswith("-"))
    return ordered


def _stamp(attribute: str) -> Callable[[Stamped], datetime]:
    if attribute == "created_at":
        return lambda row: row.created_at
    return lambda row: row.updated_at


def shuffled_ties(rows: Rows, order: tuple[str, ...], chance: random.Random) -> Rows:
    """Rows whose keys are equal, in an order drawn anew."""
    drawn = list(rows)
    chance.shuffle(drawn)
    if order == ("payment_date",):
        return sorted(drawn, key=_payment_date)
    return in_sort_order(drawn, order or ("created_at",))


def _payment_date(row: Stamped) -> str:
    return row.payment_date.isoformat() if isinstance(row, Statement) else ""


# One selection per collection


def _changed_since(rows: Iterable[Stamped], since: datetime | None) -> Rows:
    if since is None:
        return rows if isinstance(rows, Sequence) else list(rows)
    return [row for row in rows if row.updated_at >= since]


def _sorted(rows: Rows, params: Params) -> tuple[Rows, tuple[str, ...]]:
    sort = sort_of(params)
    return (in_sort_order(rows, sort), sort) if sort else (rows, ())


def participants(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    filters = filters_of(params)
    since = since_of(filters)
    rows: Sequence[Person] = state.index.participants[provider].rows()
    if filters.get("from_participant_id", "").strip():
        survivor = state.index.merged_from.get(filters["from_participant_id"].strip().lower())
        rows = [person for person in rows if person.ref == survivor]
    if since is not None:
        rows = [person for person in rows if person.updated_at >= since]
    years = years_of(filters)
    if years is not None:
        rows = _people_of_years(state, rows, provider, years)
    status = filters.get("training_status", "")
    if status.strip():
        rows = _with_status(rows, provider, status)
    return _sorted(rows, params)


def _people_of_years(
    state: State, rows: Sequence[Person], provider: str, years: frozenset[int]
) -> list[Person]:
    """Those with an enrolment in one of the years; what was worked out once is remembered."""
    known = state.index.cohorts_of_person
    found: list[Person] = []
    for person in rows:
        cohorts = known.get((provider, person.ref))
        if cohorts is None:
            cohorts = known[provider, person.ref] = _cohorts(state, person, provider)
        if cohorts & years:
            found.append(person)
    return found


def _cohorts(state: State, person: Person, provider: str) -> frozenset[int]:
    places = [latest_with(enrolment, provider) for enrolment in person.enrolments()]
    return frozenset(
        state.partnerships[place.training.partnership or ""].cohort for place in places if place
    )


def _declarations_of_years(
    state: State, rows: Sequence[Declaration], years: frozenset[int]
) -> list[Declaration]:
    """Those made under a training period of one of the years; remembered likewise."""
    known = state.index.cohort_of_declaration
    found: list[Declaration] = []
    for declaration in rows:
        ref = declaration.ref
        if ref not in known:
            known[ref] = state.cohort_of(declaration)
        if known[ref] in years:
            found.append(declaration)
    return found


def _with_status(rows: Sequence[Person], provider: str, status: str) -> Sequence[Person]:
    """Either enrolment may match; a flag counts even when the other is newer."""
    if status not in TRAINING_STATUSES:
        return []
    return [person for person in rows if status in _statuses(person, provider)]


def _statuses(person: Person, provider: str) -> set[str]:
    found: set[str] = set()
    for enrolment in person.enrolments():
        place = latest_with(enrolment, provider)
        if place is None:
            continue
        flags = {
            "deferred": place.training.deferral,
            "withdrawn": place.training.withdrawal,
        }
        found |= {name for name, flag in flags.items() if flag} or {"active"}
    return found


def transfers(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    since = since_of(filters_of(params))
    rows: Sequence[Person] = state.index.transfers[provider].rows()
    if since is not None:
        rows = [p for p in rows if any(at >= since for at in transfer_stamps(p, provider))]
    return _sorted(rows, params)


def declarations(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    filters = filters_of(params)
    since = since_of(filters)
    rows: Sequence[Declaration] = state.index.declarations[provider].rows()
    of = ids_of(filters, "participant_id")
    if of is not None:
        rows = _declarations_of(state, provider, of)
    if since is not None:
        rows = [declaration for declaration in rows if declaration.updated_at >= since]
    partners = ids_of(filters, "delivery_partner_id")
    if partners is not None:
        refs = {state.ids.get(partner) for partner in partners} - {None}
        rows = [declaration for declaration in rows if declaration.delivery_partner in refs]
    years = years_of(filters)
    if years is not None:
        rows = _declarations_of_years(state, rows, years)
    return rows, ()


def _declarations_of(state: State, provider: str, ids: frozenset[str]) -> list[Declaration]:
    """Those of the participants named, found without reading all."""
    made = [
        declaration
        for wanted in ids
        for declaration in state.index.declarations_of.get(state.ids.get(wanted, ""), {}).values()
        if state.declaration_visible(declaration, provider)
    ]
    return sorted(made, key=lambda declaration: (declaration.created_at, declaration.order))


def partnerships(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    filters = filters_of(params)
    since, years = since_of(filters), years_of(filters)
    partners = ids_of(filters, "delivery_partner_id")
    refs = None if partners is None else {state.ids.get(partner) for partner in partners} - {None}
    rows: list[Partnership] = [
        partnership
        for partnership in state.partnerships.values()
        if partnership.provider == provider
        and (years is None or partnership.cohort in years)
        and (refs is None or partnership.delivery_partner in refs)
    ]
    return _sorted(_changed_since(_by_created(rows), since), params)


def _by_created(rows: Iterable[Stamped]) -> Rows:
    return sorted(rows, key=lambda row: (row.created_at, row.order))


def schools(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    filters = filters_of(params)
    year = required_year(filters)
    since = since_of(filters)
    if year not in state.cohorts:
        return (), ()
    urn = filters.get("urn", "").strip()
    rows = [
        InYear(school, school.years[year])
        for school in state.schools.values()
        if school_listed(state, school, year) and (not urn or school.urn == urn)
    ]
    return _sorted(_changed_since(_by_created(rows), since), params)


def school_listed(state: State, school: School, year: int) -> bool:
    """Eligible schools are listed, and ineligible ones with a partnership that year."""
    return school.eligible or bool(state.index.partnerships_at.get((school.ref, year)))


def delivery_partners(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    years = years_of(filters_of(params))
    rows: list[DeliveryPartner] = [
        partner
        for partner in state.delivery_partners.values()
        if any(who == provider and (years is None or y in years) for who, y in partner.pairings)
    ]
    return _sorted(_by_created(rows), params)


def statements(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    filters = filters_of(params)
    since, years = since_of(filters), years_of(filters)
    rows: list[Statement] = [
        statement
        for statement in state.statements.values()
        if statement.provider == provider
        and statement.fee == "output"
        and (years is None or statement.cohort in years)
    ]
    rows.sort(key=lambda statement: (statement.payment_date, statement.order))
    return _changed_since(rows, since), ("payment_date",)


@dataclass(frozen=True, slots=True)
class Unfunded:
    """A mentor with the stamp that the unfunded collection goes by."""

    person: Person

    @property
    def ref(self) -> str:
        return self.person.ref

    @property
    def order(self) -> int:
        return self.person.order

    @property
    def created_at(self) -> datetime:
        return self.person.created_at

    @property
    def updated_at(self) -> datetime:
        return self.person.unfunded_updated_at


def unfunded_mentors(state: State, provider: str, params: Params) -> tuple[Rows, tuple[str, ...]]:
    since = since_of(filters_of(params))
    rows = [Unfunded(person) for person in state.index.unfunded[provider].rows()]
    return _sorted(_changed_since(rows, since), params)
