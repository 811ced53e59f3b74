"""The things of the world, as frozen values. A change is a new value in the old one's place.

Things refer to each other by ref. Each knows its `order`, the place it was given when it came
into the world, which settles the order of rows whose stamps are equal.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sandbox.vocabulary import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    ref: str
    name: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    year: int
    started_on: date
    finished_on: date
    enabled: bool
    payments_frozen_at: datetime | None
    mentor_funding_enabled: bool
    detailed_evidence_types_enabled: bool
    uplift_fees_enabled: bool

    def frozen(self, now: datetime) -> bool:
        """Whether its payments are frozen by now."""
        return self.payments_frozen_at is not None and self.payments_frozen_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The days on which a declaration of one type may be dated."""

    first: date
    last: date | None


Schedule = Mapping[str, Window]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPartner:
    ref: str
    id: str
    order: int
    name: str
    pairings: tuple[tuple[str, int], ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolYear:
    """What a school shows for one cohort."""

    choice: str | None
    interested_in: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    ref: str
    id: str
    order: int
    urn: str
    name: str
    eligible: bool
    tutor_name: str | None
    tutor_email: str | None
    gias_contact_email: str | None
    years: Mapping[int, SchoolYear]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Partnership:
    ref: str
    id: str
    order: int
    school: str
    provider: str
    delivery_partner: str
    cohort: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    ref: str
    id: str
    order: int
    provider: str
    cohort: int
    month: int
    year: int
    cut_off_date: date
    payment_date: date
    fee: str
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A deferral or a withdrawal."""

    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training period. Without a provider it is school-led; without a partnership it waits."""

    provider: str | None
    partnership: str | None
    cohort: int | None
    schedule: str | None
    started_on: date
    finished_on: date | None
    deferral: Pause | None
    withdrawal: Pause | None
    created_at: datetime
    transfer_updated_at: datetime

    @property
    def status(self) -> str:
        """What the provider reported last: the newer of the two flags wins."""
        if self.withdrawal is None:
            return "deferred" if self.deferral else "active"
        if self.deferral and self.deferral.at > self.withdrawal.at:
            return "deferred"
        return "withdrawn"

    def covers(self, day: date) -> bool:
        return self.started_on <= day and (self.finished_on is None or day < self.finished_on)

    def ends_after(self, day: date) -> bool:
        return self.finished_on is None or day < self.finished_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Mentorship:
    mentor: str
    started_on: date
    finished_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A stay at one school in one role."""

    school: str
    started_on: date
    finished_on: date | None
    email: str | None
    trainings: tuple[Training, ...]
    mentors: tuple[Mentorship, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A person in one role."""

    role: Role
    training_record_id: str
    posts: tuple[Post, ...]
    fundable: bool
    working_pattern: str | None
    pupil_premium_uplift: bool
    sparsity_uplift: bool
    mentor_funding_end_date: date | None
    mentor_ineligible_for_funding_reason: str | None
    cohort_changed_after_payments_frozen: bool
    created_at: datetime
    mentor_shown: str | None
    """The mentor readers see. Dates alone do not change it: the nightly refresh does."""

    def trainings(self) -> Iterator[tuple[Post, Training]]:
        for post in self.posts:
            for training in post.trainings:
                yield post, training


@dataclass(frozen=True, slots=True, kw_only=True)
class Induction:
    started_on: date
    finished_on: date | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdChange:
    from_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    ref: str
    id: str
    order: int
    full_name: str
    trn: str | None
    created_at: datetime
    updated_at: datetime
    unfunded_updated_at: datetime
    id_changes: tuple[IdChange, ...]
    inductions: tuple[Induction, ...]
    ect: Enrolment | None
    mentor: Enrolment | None

    def enrolment(self, role: Role) -> Enrolment | None:
        return self.ect if role == "ect" else self.mentor

    def enrolments(self) -> Iterator[Enrolment]:
        """The roles this person has, the ECT's first."""
        if self.ect:
            yield self.ect
        if self.mentor:
            yield self.mentor


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    ref: str
    id: str
    order: int
    of: str
    role: Role
    by: str
    type: str
    dated: datetime
    state: str
    evidence_held: str | None
    delivery_partner: str | None
    mentor: str | None
    statement: str | None
    clawback_statement: str | None
    uplift_paid: bool
    training_started_on: date | None
    """The start of the training period it was made under."""
    created_at: datetime
    updated_at: datetime


Entity = (
    Provider | Cohort | DeliveryPartner | School | Partnership | Statement | Person | Declaration
)
