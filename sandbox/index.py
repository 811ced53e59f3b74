"""What is worked out from the world and kept at hand, so that no request walks all of it.

Everything here follows from the entities; `State` tells it of each one that comes, changes or
goes. Nothing here depends on the time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TypeVar

from sandbox.listing import Listing
from sandbox.people import Facts, declaration_seen_by, facts
from sandbox.values import Declaration, Partnership, Person

Span = tuple[date, date | None]


class Index:
    """Lists per provider, and who is where."""

    def __init__(self, people: Mapping[str, Person], partnerships: Mapping[str, Partnership]):
        self._people = people
        self._partnerships = partnerships
        self.loading = False
        self.participants: dict[str, Listing[Person]] = defaultdict(Listing)
        self.transfers: dict[str, Listing[Person]] = defaultdict(Listing)
        self.unfunded: dict[str, Listing[Person]] = defaultdict(Listing)
        self.declarations: dict[str, Listing[Declaration]] = defaultdict(Listing)
        self.declarations_of: dict[str, dict[str, Declaration]] = defaultdict(dict)
        self.spans: dict[str, Counter[Span]] = defaultdict(Counter)
        self.people_under: dict[str, set[str]] = defaultdict(set)
        self.people_at: dict[str, set[str]] = defaultdict(set)
        self.school_years: dict[str, Counter[tuple[int | date, bool]]] = defaultdict(Counter)
        self.waiting: dict[tuple[str, str, int], set[str]] = defaultdict(set)
        self.mentees: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self.mentees_anywhere: dict[str, set[str]] = defaultdict(set)
        self.partnerships_at: dict[tuple[str, int], dict[str, None]] = defaultdict(dict)
        self.merged_from: dict[str, str] = {}
        self.cohort_of_declaration: dict[str, int | None] = {}
        self.cohorts_of_person: dict[tuple[str, str], frozenset[int]] = {}
        self._unfunded: set[tuple[str, str]] = set()

    # Partnerships

    def partnership_put(self, partnership: Partnership) -> None:
        self.partnerships_at[partnership.school, partnership.cohort][partnership.ref] = None

    def partnership_gone(self, partnership: Partnership) -> None:
        del self.partnerships_at[partnership.school, partnership.cohort][partnership.ref]

    # People

    def person_changed(self, old: Person | None, new: Person | None) -> None:
        """Bring everything up to date with a person who came, changed or went."""
        before = facts(old, self._partnerships) if old else NOTHING
        after = facts(new, self._partnerships) if new else NOTHING
        _relist(self.participants, before.seen_by, after.seen_by, old, new)
        _relist(self.transfers, before.transfers_of, after.transfers_of, old, new)
        if before != after:
            self._recount(old or new, before, after)
        self._rename_merged(old, new)
        if old and not self.loading:
            self._forget_cohorts(old)
            self._redeclare(old, new)
        self._revisit_mentors(old, new, before, after)

    def _recount(self, person: Person | None, before: Facts, after: Facts) -> None:
        assert person is not None
        ref = person.ref
        for partnership, started_on, finished_on in before.spans:
            self.spans[partnership][started_on, finished_on] -= 1
            self.people_under[partnership].discard(ref)
        for partnership, started_on, finished_on in after.spans:
            self.spans[partnership][started_on, finished_on] += 1
            self.people_under[partnership].add(ref)
        for school, year, led in before.school_years:
            self.school_years[school][year, led] -= 1
        for school, year, led in after.school_years:
            self.school_years[school][year, led] += 1
        for school in before.schools:
            self.people_at[school].discard(ref)
        for school in after.schools:
            self.people_at[school].add(ref)
        for place in before.waiting:
            self.waiting[place].discard(ref)
        for place in after.waiting:
            self.waiting[place].add(ref)
        self._remember_mentees(ref, before, after)

    def _remember_mentees(self, ref: str, before: Facts, after: Facts) -> None:
        if before.mentor_shown:
            self.mentees_anywhere[before.mentor_shown].discard(ref)
            for provider in before.ects_of:
                self.mentees[before.mentor_shown, provider].pop(ref, None)
        if after.mentor_shown:
            self.mentees_anywhere[after.mentor_shown].add(ref)
            for provider in after.ects_of:
                self.mentees[after.mentor_shown, provider][ref] = None

    def _rename_merged(self, old: Person | None, new: Person | None) -> None:
        if old and (new is None or old.id_changes != new.id_changes):
            for change in old.id_changes:
                self.merged_from.pop(change.from_id, None)
        if new:
            for change in new.id_changes:
                self.merged_from[change.from_id] = new.ref

    # Unfunded mentors

    def _revisit_mentors(
        self, old: Person | None, new: Person | None, before: Facts, after: Facts
    ) -> None:
        if self.loading:
            return
        for ref in {before.mentor_shown or "", after.mentor_shown or ""}:
            if ref in self._people and (not new or ref != new.ref):
                self._relist_mentor(self._people[ref], self._people[ref])
        if (old and old.mentor) or (new and new.mentor):
            self._relist_mentor(old, new)

    def is_unfunded(self, ref: str, provider: str) -> bool:
        """Whether a provider sees a person as an unfunded mentor."""
        return (ref, provider) in self._unfunded

    def _relist_mentor(self, old: Person | None, new: Person | None) -> None:
        person = old or new
        if person is None:
            return
        ref = person.ref
        before = [provider for provider in self.unfunded if (ref, provider) in self._unfunded]
        after = self._unfunded_for(new) if new else []
        _relist(self.unfunded, before, after, old, new)
        self._unfunded -= {(ref, provider) for provider in before}
        self._unfunded |= {(ref, provider) for provider in after}

    def _unfunded_for(self, mentor: Person) -> list[str]:
        """The providers whose ECTs a mentor has, and who do not train the mentor as one."""
        if mentor.mentor is None:
            return []
        trained_by = facts(mentor, self._partnerships).trained_as_mentor_by
        providers = dict.fromkeys([*self.participants, *self.unfunded])
        return [
            provider
            for provider in providers
            if self.mentees.get((mentor.ref, provider)) and provider not in trained_by
        ]

    # Declarations

    def declaration_changed(self, old: Declaration | None, new: Declaration | None) -> None:
        """Bring the lists up to date with a declaration that came, changed or went."""
        before = self._seen_by(old, self._people) if old else ()
        after = self._seen_by(new, self._people) if new else ()
        _relist(self.declarations, before, after, old, new)
        if old:
            self.cohort_of_declaration.pop(old.ref, None)
            del self.declarations_of[old.of][old.ref]
        if new:
            self.declarations_of[new.of][new.ref] = new

    def declaration_seen_by(self, declaration: Declaration) -> tuple[str, ...]:
        """The providers that see a declaration."""
        return self._seen_by(declaration, self._people)

    def _forget_cohorts(self, person: Person) -> None:
        """What was remembered of a person's cohorts may not hold any more."""
        for provider in self.participants:
            self.cohorts_of_person.pop((provider, person.ref), None)
        for ref in self.declarations_of[person.ref]:
            self.cohort_of_declaration.pop(ref, None)

    def _redeclare(self, old: Person, new: Person | None) -> None:
        """Who sees a person's declarations depends on where the person is in training."""
        for declaration in self.declarations_of[old.ref].values():
            before = self._seen_by(declaration, {old.ref: old})
            after = self._seen_by(declaration, {new.ref: new} if new else {})
            if before != after:
                _relist(self.declarations, before, after, declaration, declaration)

    def _seen_by(self, declaration: Declaration, people: Mapping[str, Person]) -> tuple[str, ...]:
        person = people.get(declaration.of)
        if person is None:
            return (declaration.by,)
        return declaration_seen_by(
            by=declaration.by,
            role=declaration.role,
            state=declaration.state,
            dated=declaration.dated,
            person=person,
        )

    def loaded(self) -> None:
        """A whole world is in: work out what needs all of it."""
        self.loading = False
        for ref, mentees in self.mentees_anywhere.items():
            if mentees and ref in self._people:
                self._relist_mentor(None, self._people[ref])


NOTHING = Facts((), (), (), (), None, (), (), (), ())


T = TypeVar("T", Person, Declaration)


def _relist(
    lists: dict[str, Listing[T]],
    before: Iterable[str],
    after: Iterable[str],
    old: T | None,
    new: T | None,
) -> None:
    """Move a row between the providers' lists."""
    was, now = set(before), set(after)
    if old is not None:
        for provider in was - now:
            lists[provider].remove(old)
    if new is None:
        return
    for provider in now - was:
        lists[provider].add(new)
    if old is not new:
        for provider in was & now:
            lists[provider].replace(new)
