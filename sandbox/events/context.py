"""What an event is applied with, and what it may find."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise
from typing import TypeVar

from sandbox.edits import touch, with_enrolment
from sandbox.events.shapes import Event
from sandbox.people import Place, in_order
from sandbox.reading import Problem
from sandbox.state import Changes, State
from sandbox.times import london_day
from sandbox.values import (
    Declaration,
    DeliveryPartner,
    Enrolment,
    Partnership,
    Person,
    Provider,
    School,
    Statement,
)
from sandbox.vocabulary import Role

T = TypeVar("T")


class Impossible(Exception):
    """The event cannot happen in the world as it is; names the part that stands in the way."""

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(problem)
        self.part, self.problem = part, problem


class Unreadable(Impossible):
    """What an event adds cannot be read; carries all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0].where, problems[0].problem)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Context:
    """The world, the event, and the two days: that of its stamp, and today's."""

    state: State
    event: Event
    now: datetime

    @property
    def at(self) -> datetime:
        return self.event.at

    @property
    def day(self) -> date:
        """The London day of the event, which dates left out default to."""
        return london_day(self.event.at)

    @property
    def today(self) -> date:
        return london_day(self.now)

    # What the event names

    def person(self, part: str = "participant") -> Person:
        return self._of(self.state.people, part)

    def school(self) -> School:
        return self._of(self.state.schools, "school")

    def statement(self) -> Statement:
        return self._of(self.state.statements, "statement")

    def declaration(self) -> Declaration:
        return self._of(self.state.declarations, "declaration")

    def partnership(self) -> Partnership:
        return self._of(self.state.partnerships, "partnership")

    def delivery_partner(self) -> DeliveryPartner:
        return self._of(self.state.delivery_partners, "delivery_partner")

    def provider(self) -> Provider:
        return self._of(self.state.providers, "provider")

    def _of(self, section: Mapping[str, T], part: str) -> T:
        found = section.get(self.event.text(part))
        if found is None:
            raise Impossible(part, f"unknown ref '{self.event.text(part)}'")
        return found

    def enrolment(self, person: Person) -> Enrolment:
        """The role the event is about; a person with both must have it named."""
        asked = self.event.maybe_text("role")
        have = list(person.enrolments())
        if asked is None and len(have) == 1:
            return have[0]
        for enrolment in have:
            if enrolment.role == asked:
                return enrolment
        if asked is None:
            raise Impossible("role", "missing key: the participant has both roles")
        raise Impossible("role", f"the participant is no {asked}")

    def role(self, person: Person, role: Role, part: str = "participant") -> Enrolment:
        enrolment = person.enrolment(role)
        if enrolment is None:
            raise Impossible(part, f"'{person.ref}' is no {role}")
        return enrolment

    # What comes of it

    def touched(self, person: Person, enrolment: Enrolment, *, unfunded: bool = False) -> Person:
        """The person with an enrolment changed, and its stamps moved."""
        changed = with_enrolment(person, enrolment.role, consistent(enrolment))
        return touch(changed, self.at, unfunded=unfunded)


def consistent(enrolment: Enrolment) -> Enrolment:
    """The enrolment, if none of its periods overlap."""
    for here, there in pairwise(in_order(enrolment)):
        end = here.training.finished_on
        if end is None or there.training.started_on < end:
            raise Impossible("participant", "overlapping periods")
    posts = sorted(enrolment.posts, key=lambda post: post.started_on)
    for one, other in pairwise(posts if enrolment.role == "ect" else ()):
        if one.finished_on is None or other.started_on < one.finished_on:
            raise Impossible("participant", "overlapping periods")
    return enrolment


def latest_place(enrolment: Enrolment) -> Place:
    """The latest training period of a role, whoever's it is."""
    places = in_order(enrolment)
    if not places:
        raise Impossible("participant", "has no training period")
    return places[-1]


def stamped(school: School, at: datetime, years: Mapping[int, bool] | None = None) -> School:
    """A school with the stamps of its cohorts moved, of all or of those named."""
    moved = {
        year: replace(shown, updated_at=at) if years is None or year in years else shown
        for year, shown in school.years.items()
    }
    return replace(school, years=moved, updated_at=at)


Effect = Callable[[Context], Changes]
