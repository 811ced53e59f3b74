"""What the pages show, worked out from the state. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sandbox.people import completed_on, latest_post, latest_with, participant_status
from sandbox.state import State
from sandbox.times import shown
from sandbox.values import Enrolment, Person
from sandbox.vocabulary import Role

PEOPLE_ON_A_PAGE = 25

ROLE_NAMES: dict[Role, str] = {"ect": "ECT", "mentor": "Mentor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleView:
    """A person in one role, in the words of a table."""

    role: str
    role_name: str
    school: str
    provider: str
    status: str
    schedule: str
    cohort: str
    mentor: str
    mentor_ref: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    ref: str
    id: str
    full_name: str
    trn: str
    updated_at: str
    roles: Sequence[RoleView]

    @property
    def is_ect(self) -> bool:
        return any(role.role == "ect" for role in self.roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationView:
    ref: str
    type: str
    dated: str
    state: str
    by: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementView:
    ref: str
    provider: str
    told: str
    status: str
    eligible: int
    payable: int
    awaiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """One page of the people that were searched for."""

    people: Sequence[PersonView]
    found: int
    number: int
    pages: int
    search: str


def people_page(state: State, *, search: str, number: int, today: date) -> PeoplePage:
    """The people whose name, ref, number or id contains what was searched for."""
    wanted = search.strip().casefold()
    found = [person for person in state.people.values() if _matches(person, wanted)]
    pages = max(1, -(-len(found) // PEOPLE_ON_A_PAGE))
    number = min(max(1, number), pages)
    start = (number - 1) * PEOPLE_ON_A_PAGE
    return PeoplePage(
        people=[
            person_view(state, person, today) for person in found[start : start + PEOPLE_ON_A_PAGE]
        ],
        found=len(found),
        number=number,
        pages=pages,
        search=search,
    )


def _matches(person: Person, wanted: str) -> bool:
    if not wanted:
        return True
    return (
        wanted in person.full_name.casefold()
        or wanted in person.ref.casefold()
        or wanted in (person.trn or "")
        or wanted == person.id
    )


def person_view(state: State, person: Person, today: date) -> PersonView:
    return PersonView(
        ref=person.ref,
        id=person.id,
        full_name=person.full_name,
        trn=person.trn or "none",
        updated_at=shown(person.updated_at),
        roles=[_role_view(state, person, enrolment, today) for enrolment in person.enrolments()],
    )


def _role_view(state: State, person: Person, enrolment: Enrolment, today: date) -> RoleView:
    providers = [t.provider for _, t in enrolment.trainings()]
    provider = providers[-1] if providers else None
    place = latest_with(enrolment, provider) if provider else None
    training = place.training if place else None
    status = "school-led" if providers and provider is None else "not in training"
    if provider and training is None:
        status = "waits for a partnership"
    if training is not None:
        completed = completed_on(person, enrolment.role)
        now = participant_status(training, completed=completed, today=today)
        status = now if training.status == "active" else f"{training.status}, {now}"
    mentor = state.people.get(enrolment.mentor_shown or "")
    post = place.post if place else latest_post(enrolment)
    return RoleView(
        role=enrolment.role,
        role_name=ROLE_NAMES[enrolment.role],
        school=state.schools[post.school].name,
        provider=state.providers[provider].name if provider else "",
        status=status,
        schedule=(training.schedule or "") if training else "",
        cohort=str(state.partnerships[training.partnership or ""].cohort) if training else "",
        mentor=mentor.full_name if mentor else "",
        mentor_ref=mentor.ref if mentor else "",
        email=post.email or "",
    )


def declarations_of(state: State, ref: str) -> list[DeclarationView]:
    made = sorted(
        state.index.declarations_of.get(ref, {}).values(),
        key=lambda declaration: (declaration.dated, declaration.order),
    )
    return [
        DeclarationView(
            ref=declaration.ref,
            type=declaration.type,
            dated=shown(declaration.dated),
            state=declaration.state,
            by=state.providers[declaration.by].name,
            updated_at=shown(declaration.updated_at),
        )
        for declaration in made
    ]


def mentors(state: State, *, at_most: int) -> list[tuple[str, str]]:
    """People who can be assigned as mentors, by name."""
    found = [(p.ref, p.full_name) for p in state.people.values() if p.mentor is not None]
    return sorted(found, key=lambda pair: pair[1])[:at_most]


def statements(state: State, *, at_most: int) -> list[StatementView]:
    """Output statements that are not paid yet, the next to be paid first."""
    waiting = [s for s in state.statements.values() if s.fee == "output" and s.status != "paid"]
    waiting.sort(key=lambda statement: (statement.payment_date, statement.order))
    counts: dict[tuple[str | None, str], int] = {}
    for declaration in state.declarations.values():
        refunded = declaration.state == "awaiting-clawback"
        ref = declaration.clawback_statement if refunded else declaration.statement
        counts[ref, declaration.state] = counts.get((ref, declaration.state), 0) + 1
    return [
        StatementView(
            ref=statement.ref,
            provider=state.providers[statement.provider].name,
            told=f"{statement.month:02}/{statement.year} for {statement.cohort}, "
            f"cut-off {statement.cut_off_date}",
            status=statement.status,
            eligible=counts.get((statement.ref, "eligible"), 0),
            payable=counts.get((statement.ref, "payable"), 0),
            awaiting=counts.get((statement.ref, "awaiting-clawback"), 0),
        )
        for statement in waiting[:at_most]
    ]
