"""What can be read off a person, an enrolment or a training period. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sandbox.times import london_day
from sandbox.values import Enrolment, Mentorship, Partnership, Person, Post, Training
from sandbox.vocabulary import LIVE_STATES, Role


@dataclass(frozen=True, slots=True)
class Place:
    """A training period and the post it belongs to."""

    post: Post
    training: Training


def latest_with(enrolment: Enrolment, provider: str) -> Place | None:
    """The provider's latest training period in this role; one that waits does not count."""
    found: tuple[Post, Training] | None = None
    for post in enrolment.posts:
        for training in post.trainings:
            if training.provider != provider or not training.partnership:
                continue
            if found is None or training.started_on >= found[1].started_on:
                found = post, training
    return Place(*found) if found else None


def place_started_on(enrolment: Enrolment, provider: str, day: date | None) -> Place | None:
    """The provider's training period that began on that day, else the latest."""
    for post, training in enrolment.trainings():
        if training.provider == provider and training.partnership and training.started_on == day:
            return Place(post, training)
    return latest_with(enrolment, provider)


def place_at(enrolment: Enrolment, provider: str, day: date) -> Place | None:
    """The provider's training period in force on a day: the last that had begun, else the first."""
    if len(enrolment.posts) == 1 and len(enrolment.posts[0].trainings) == 1:
        return latest_with(enrolment, provider)
    mine = sorted(
        (
            Place(post, training)
            for post, training in enrolment.trainings()
            if training.provider == provider and training.partnership
        ),
        key=lambda place: place.training.started_on,
    )
    begun = [place for place in mine if place.training.started_on <= day]
    return begun[-1] if begun else next(iter(mine), None)


def covering(enrolment: Enrolment, provider: str, day: date) -> Place | None:
    """The provider's training period that covers a day."""
    for post, training in enrolment.trainings():
        if training.provider == provider and training.partnership and training.covers(day):
            return Place(post, training)
    return None


def latest_post(enrolment: Enrolment) -> Post:
    return max(enrolment.posts, key=lambda post: post.started_on)


def in_order(enrolment: Enrolment) -> list[Place]:
    """All training periods of a role, in order of time."""
    places = [Place(post, training) for post, training in enrolment.trainings()]
    return sorted(places, key=lambda place: place.training.started_on)


def mentor_on(enrolment: Enrolment, day: date) -> str | None:
    """The mentor of the earliest assignment that is in force on a day or yet to come."""
    ahead = [
        mentorship
        for post in enrolment.posts
        for mentorship in post.mentors
        if mentorship.finished_on is None
        or (day < mentorship.finished_on and mentorship.started_on < mentorship.finished_on)
    ]
    return min(ahead, key=lambda mentorship: mentorship.started_on).mentor if ahead else None


def mentor_nearest(enrolment: Enrolment, at: datetime) -> str | None:
    """The mentor of the assignment nearest to an instant, as a declaration records it."""
    day = london_day(at)
    mentorships = [mentorship for post in enrolment.posts for mentorship in post.mentors]
    if not mentorships:
        return None
    return min(mentorships, key=lambda mentorship: _distance(mentorship, day)).mentor


def _distance(mentorship: Mentorship, day: date) -> int:
    if day < mentorship.started_on:
        return (mentorship.started_on - day).days
    if mentorship.finished_on is None or day < mentorship.finished_on:
        return 0
    return (day - mentorship.finished_on).days + 1


def completed_on(person: Person, role: Role) -> date | None:
    """When an ECT passed or failed induction, or a mentor's training was completed."""
    if role == "mentor":
        return person.mentor.mentor_funding_end_date if person.mentor else None
    ends = [i.finished_on for i in person.inductions if i.outcome and i.finished_on]
    return max(ends) if ends else None


def participant_status(training: Training, *, completed: date | None, today: date) -> str:
    """Derive `joining`, `active`, `leaving` or `left`; the first rule that fits decides."""
    end = training.finished_on
    ended = "leaving" if training.ends_after(today) else "left"
    if training.deferral or training.withdrawal:
        return ended
    if completed is not None and (end is None or completed <= end):
        return "active"
    if end is not None:
        return ended
    return "joining" if training.started_on > today else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One training period left, and the one joined, if it is known yet."""

    enrolment: Enrolment
    leaving: Place
    joining: Place | None

    def sides(self) -> Iterable[Place]:
        return (self.leaving, self.joining) if self.joining else (self.leaving,)

    def concerns(self, provider: str) -> bool:
        return any(belongs(place.training, provider) for place in self.sides())


def belongs(training: Training, provider: str) -> bool:
    """Whether a period is a provider's to see."""
    return training.provider == provider and bool(training.partnership)


def transfers(person: Person, provider: str) -> list[Transfer]:
    """The moves of a person between schools or providers that a provider has a side in."""
    return [
        transfer
        for enrolment in person.enrolments()
        for transfer in _moves(enrolment)
        if transfer.concerns(provider)
    ]


def _moves(enrolment: Enrolment) -> list[Transfer]:
    if _never_moved(enrolment):
        return []
    places = in_order(enrolment)
    following = [*places[1:], None][: len(places)]  # nobody without a period has moved
    return [
        Transfer(enrolment=enrolment, leaving=here, joining=there)
        for here, there in zip(places, following, strict=True)
        if _is_move(here, there)
    ]


def _never_moved(enrolment: Enrolment) -> bool:
    """The common case, told apart cheaply: one post without an end and one period in it."""
    first = enrolment.posts[0] if len(enrolment.posts) == 1 else None
    return first is not None and first.finished_on is None and len(first.trainings) <= 1


def _is_move(here: Place, there: Place | None) -> bool:
    if here.training.finished_on is None:
        return False
    if there is None:
        return here.post.finished_on is not None
    same_school = here.post.school == there.post.school
    return not same_school or here.training.provider != there.training.provider


@dataclass(frozen=True, slots=True)
class Facts:
    """What the indexes hold of a person. Follows from the person and the partnerships alone."""

    seen_by: tuple[str, ...]
    ects_of: tuple[str, ...]
    trained_as_mentor_by: tuple[str, ...]
    transfers_of: tuple[str, ...]
    mentor_shown: str | None
    spans: tuple[tuple[str, date, date | None], ...]
    schools: tuple[str, ...]
    school_years: tuple[tuple[str, int | date, bool], ...]
    waiting: tuple[tuple[str, str, int], ...]


def facts(person: Person, partnerships: Mapping[str, Partnership]) -> Facts:
    """Gather what the indexes need to know of a person."""
    spans: list[tuple[str, date, date | None]] = []
    years: list[tuple[str, int | date, bool]] = []
    waiting: list[tuple[str, str, int]] = []
    seen: dict[Role, list[str]] = {"ect": [], "mentor": []}
    for enrolment in person.enrolments():
        for post, training in enrolment.trainings():
            if training.partnership and training.provider:
                spans.append((training.partnership, training.started_on, training.finished_on))
                years.append((post.school, partnerships[training.partnership].cohort, True))
                seen[enrolment.role].append(training.provider)
            elif training.provider and training.cohort:
                waiting.append((post.school, training.provider, training.cohort))
                years.append((post.school, training.cohort, True))
            else:
                years.append((post.school, training.started_on, False))
    seen_by = tuple(dict.fromkeys(seen["ect"] + seen["mentor"]))
    return Facts(
        seen_by=seen_by,
        ects_of=tuple(dict.fromkeys(seen["ect"])),
        trained_as_mentor_by=tuple(dict.fromkeys(seen["mentor"])),
        transfers_of=tuple(provider for provider in seen_by if transfers(person, provider)),
        mentor_shown=person.ect.mentor_shown if person.ect else None,
        spans=tuple(spans),
        schools=tuple({post.school: None for e in person.enrolments() for post in e.posts}),
        school_years=tuple(years),
        waiting=tuple(waiting),
    )


def declaration_seen_by(
    *, by: str, role: Role, state: str, dated: datetime, person: Person
) -> tuple[str, ...]:
    """The providers that see a declaration: whoever made it, and others while it is live.

    Another provider sees it when it trains or trained the person in that role and the date is
    not after the end of its training period.
    """
    enrolment = person.enrolment(role)
    if enrolment is None or state not in LIVE_STATES:
        return (by,)
    ends: dict[str, Training] = {}
    for _, training in enrolment.trainings():
        other = training.provider
        if not other or other == by or not training.partnership:
            continue
        if other not in ends or training.started_on >= ends[other].started_on:
            ends[other] = training
    if not ends:
        return (by,)
    day = london_day(dated)
    reach = [who for who, t in ends.items() if t.finished_on is None or day <= t.finished_on]
    return (by, *reach)
