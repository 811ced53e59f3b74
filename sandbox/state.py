"""The world as it is now: its entities by ref, what follows from them, and all-or-none changes."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeVar

from sandbox.index import Index
from sandbox.people import facts, place_started_on
from sandbox.values import (
    Cohort,
    Declaration,
    DeliveryPartner,
    Entity,
    Partnership,
    Person,
    Provider,
    Schedule,
    School,
    Statement,
)

E = TypeVar("E", bound=Entity)
K = TypeVar("K")

SECTIONS_WITH_IDS = (
    "delivery_partners",
    "schools",
    "partnerships",
    "statements",
    "participants",
    "declarations",
)

Named = DeliveryPartner | School | Partnership | Statement | Person | Declaration


@dataclass(frozen=True, slots=True)
class Changes:
    """What a decision asks to be written: new values, and things that go."""

    puts: tuple[Entity, ...] = ()
    removes: tuple[Person | Declaration, ...] = ()


@dataclass(frozen=True, slots=True)
class SchoolShown:
    """What a school shows for a cohort that follows from others."""

    in_partnership: bool
    choice: str


class State:
    """All there is. Changed only by `put`, `remove` and `apply`."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.cohorts: dict[int, Cohort] = {}
        self.schedules: dict[int, dict[str, Schedule]] = {}
        self.delivery_partners: dict[str, DeliveryPartner] = {}
        self.schools: dict[str, School] = {}
        self.partnerships: dict[str, Partnership] = {}
        self.statements: dict[str, Statement] = {}
        self.people: dict[str, Person] = {}
        self.declarations: dict[str, Declaration] = {}
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.refs: dict[str, str] = {}
        self._sections: dict[str, Mapping[str, Provider | Named]] = {
            "providers": self.providers,
            "delivery_partners": self.delivery_partners,
            "schools": self.schools,
            "partnerships": self.partnerships,
            "statements": self.statements,
            "participants": self.people,
            "declarations": self.declarations,
        }
        self.index = Index(self.people, self.partnerships)
        self.version = 0
        self.next_order = 0
        self.made = 0
        self._journal: list[tuple[Entity | None, Entity | None]] | None = None

    # Looking

    def section(self, name: str) -> Mapping[str, Provider | Named]:
        """The entities of one section of the world, by ref."""
        return self._sections[name]

    def resolve(self, section: str, name: str) -> str | None:
        """The ref that a ref or an id stands for, if there is such a thing in that section."""
        ref = self.ids.get(name.lower(), name)
        return ref if ref in self.section(section) else None

    def person_by_id(self, wanted: str) -> Person | None:
        return self.people.get(self.ids.get(wanted, ""))

    def schedule(self, cohort: int | None, identifier: str | None) -> Schedule | None:
        if cohort is None or identifier is None:
            return None
        return self.schedules.get(cohort, {}).get(identifier)

    def cohort_of_day(self, day: date) -> int | None:
        """The cohort whose year a day lies in."""
        for cohort in self.cohorts.values():
            if cohort.started_on <= day <= cohort.finished_on:
                return cohort.year
        return None

    def school_shown(self, school: str, year: int) -> SchoolShown:
        """Work out what a school shows for a cohort."""
        partnered = bool(self.index.partnerships_at.get((school, year)))
        chosen = self.schools[school].years[year].choice
        return SchoolShown(partnered, chosen or self._worked_out(school, year, partnered))

    def _worked_out(self, school: str, year: int, partnered: bool) -> str:
        if partnered:
            return "provider_led"
        school_led = False
        for (when, led), count in self.index.school_years[school].items():
            if count <= 0:
                continue
            in_year = when if isinstance(when, int) else self.cohort_of_day(when)
            if in_year != year:
                continue
            if led:
                return "provider_led"
            school_led = True
        return "school_led" if school_led else "not_yet_known"

    def next_statement(self, provider: str, cohort: int, today: date) -> Statement | None:
        """The open output statement with the nearest deadline that is today or later."""
        open_ones = [
            statement
            for statement in self.statements.values()
            if statement.provider == provider
            and statement.cohort == cohort
            and statement.fee == "output"
            and statement.status == "open"
            and statement.cut_off_date >= today
        ]
        return min(open_ones, key=lambda s: (s.cut_off_date, s.order), default=None)

    def partnership_of(self, declaration: Declaration) -> str | None:
        """The partnership whose training period a declaration was made under."""
        person = self.people.get(declaration.of)
        enrolment = person.enrolment(declaration.role) if person else None
        if enrolment is None:
            return None
        place = place_started_on(enrolment, declaration.by, declaration.training_started_on)
        return place.training.partnership if place else None

    def cohort_of(self, declaration: Declaration) -> int | None:
        """The cohort of the training period a declaration was made under."""
        ref = self.partnership_of(declaration)
        return self.partnerships[ref].cohort if ref else None

    def declaration_visible(self, declaration: Declaration, provider: str) -> bool:
        """Whether a provider sees a declaration."""
        return provider in self.index.declaration_seen_by(declaration)

    def newest_paid(self, provider: str, cohort: int) -> str | None:
        """The newest paid output statement of a provider and cohort."""
        paid = [
            statement
            for statement in self.statements.values()
            if statement.provider == provider
            and statement.cohort == cohort
            and statement.fee == "output"
            and statement.status == "paid"
        ]
        newest = max(paid, key=lambda s: (s.payment_date, s.order), default=None)
        return newest.ref if newest else None

    # Changing

    def take_order(self) -> int:
        self.next_order += 1
        return self.next_order

    def new_ref(self) -> str:
        """A ref for something an API call creates."""
        while True:
            self.made += 1
            ref = f"new-{self.made}"
            if ref not in self.refs:
                return ref

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All that is put within happens, or, if an exception passes, none of it does."""
        journal: list[tuple[Entity | None, Entity | None]] = []
        kept = self.next_order, self.made
        self._journal = journal
        try:
            yield
        except BaseException:
            self._journal = None
            for old, new in reversed(journal):
                self._swap(new, old)
            self.next_order, self.made = kept
            raise
        finally:
            self._journal = None

    def apply(self, changes: Changes, at: datetime) -> None:
        """Write changes down; schools whose shown state thereby changes get the stamp."""
        touched = self._schools_touched(changes)
        before = {key: self.school_shown(*key) for key in touched if key[0] in self.schools}
        for entity in changes.removes:
            self.remove(entity)
        for entity in changes.puts:
            self.put(entity)
        for (ref, year), shown in before.items():
            if self.school_shown(ref, year) != shown:
                self._stamp_school_year(ref, year, at)

    def _schools_touched(self, changes: Changes) -> list[tuple[str, int]]:
        refs: dict[str, None] = {}
        coming = {p.ref: p for p in changes.puts if isinstance(p, Partnership)}
        partnerships = {**self.partnerships, **coming} if coming else self.partnerships
        for entity in changes.puts:
            if isinstance(entity, Person):
                refs.update(dict.fromkeys(self._schools_moved(entity, partnerships)))
            elif isinstance(entity, (Partnership, School)):
                refs[entity.school if isinstance(entity, Partnership) else entity.ref] = None
        for entity in changes.removes:
            if isinstance(entity, Person):
                refs.update(dict.fromkeys(facts(entity, self.partnerships).schools))
        return [(ref, year) for ref in refs for year in self.cohorts]

    def _schools_moved(
        self, person: Person, partnerships: Mapping[str, Partnership]
    ) -> Iterable[str]:
        old = self.people.get(person.ref)
        before = facts(old, self.partnerships).school_years if old else ()
        moved = set(before) ^ set(facts(person, partnerships).school_years)
        return [school for school, _, _ in moved]

    def _stamp_school_year(self, ref: str, year: int, at: datetime) -> None:
        school = self.schools[ref]
        years = {**school.years, year: replace(school.years[year], updated_at=at)}
        self.put(replace(school, years=years))

    def put(self, entity: Entity) -> None:
        """Bring an entity into the world, or a new value of one that is there."""
        old = self._current(entity)
        if old is entity:
            return
        self._swap(old, entity)
        if self._journal is not None:
            self._journal.append((old, entity))

    def remove(self, entity: Person | Declaration) -> None:
        """Take an entity out of the world."""
        old = self._current(entity)
        if old is None:
            return
        self._swap(old, None)
        if self._journal is not None:
            self._journal.append((old, None))

    def _current(self, entity: Entity) -> Entity | None:
        if isinstance(entity, Cohort):
            return self.cohorts.get(entity.year)
        return self.section(SECTION_OF[type(entity)]).get(entity.ref)

    def _swap(self, old: Entity | None, new: Entity | None) -> None:
        self.version += 1
        some = new or old
        assert some is not None
        match some:
            case Cohort():
                _set(self.cohorts, some.year, new, Cohort)
            case Provider():
                self._swap_provider(old, new)
            case DeliveryPartner():
                _set(self.delivery_partners, some.ref, new, DeliveryPartner)
            case School():
                _set(self.schools, some.ref, new, School)
            case Partnership():
                self._swap_partnership(old, new)
            case Statement():
                _set(self.statements, some.ref, new, Statement)
            case Person():
                _set(self.people, some.ref, new, Person)
                self.index.person_changed(_as(old, Person), _as(new, Person))
            case Declaration():
                _set(self.declarations, some.ref, new, Declaration)
                self.index.declaration_changed(_as(old, Declaration), _as(new, Declaration))
        self._name(old, new)

    def _swap_provider(self, old: Entity | None, new: Entity | None) -> None:
        if isinstance(old, Provider):
            for token in old.tokens:
                self.tokens.pop(token, None)
        if isinstance(new, Provider):
            self.providers[new.ref] = new
            for token in new.tokens:
                self.tokens[token] = new.ref

    def _swap_partnership(self, old: Entity | None, new: Entity | None) -> None:
        if isinstance(old, Partnership):
            self.index.partnership_gone(old)
            del self.partnerships[old.ref]
        if isinstance(new, Partnership):
            self.partnerships[new.ref] = new
            self.index.partnership_put(new)

    def _name(self, old: Entity | None, new: Entity | None) -> None:
        if isinstance(old, Named):
            self.ids.pop(old.id, None)
            self.refs.pop(old.ref, None)
        if isinstance(new, Named):
            self.ids[new.id] = new.ref
            self.refs[new.ref] = new.id


SECTION_OF: dict[type, str] = {
    Provider: "providers",
    DeliveryPartner: "delivery_partners",
    School: "schools",
    Partnership: "partnerships",
    Statement: "statements",
    Person: "participants",
    Declaration: "declarations",
}


def _as(entity: Entity | None, kind: type[E]) -> E | None:
    return entity if isinstance(entity, kind) else None


def _set(section: dict[K, E], key: K, new: Entity | None, kind: type[E]) -> None:
    if isinstance(new, kind):
        section[key] = new
    else:
        section.pop(key, None)
