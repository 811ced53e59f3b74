"""Which events there are, what each must say, and reading one.

A shape is written as a line: `name:kind`, in brackets if it may be left out, with `?` if it may be
null. Whether an event is possible shows only when it is applied; here its form is checked, and
that everything it names exists or is announced by an event before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sandbox.reading import Fields, Problems, as_list, as_object
from sandbox.times import exact
from sandbox.vocabulary import (
    ALL_EVIDENCE,
    DECLARATION_STATES,
    DECLARATION_TYPES,
    MENTOR_FUNDING_END_REASONS,
    PROGRAMME_CHOICES,
    SCHEDULES,
    WORKING_PATTERNS,
)
from sandbox.world import is_token
from sandbox.world_rows import is_ref, is_uuid

SHAPES = {
    "school_registers_participant": "ref:new body:participant",
    "school_assigns_mentor": "ect:participants mentor:participants [from:day]",
    "school_removes_mentor": "ect:participants [on:day]",
    "school_reports_leaving": "participant:participants [role:role] [on:day]",
    "school_reports_transfer": (
        "participant:participants [role:role] school:schools [leaves_on:day] joins_on:day "
        "provider:providers? [partnership:partnerships?] [schedule:schedule] [email:text?]"
    ),
    "training_provider_changed": (
        "participant:participants [role:role] provider:providers [partnership:partnerships?] "
        "[on:day]"
    ),
    "switched_to_school_led": "participant:participants [on:day]",
    "participant_renamed": "participant:participants full_name:text",
    "participant_trn_changed": "participant:participants trn:text?",
    "participant_email_changed": "participant:participants [role:role] email:text?",
    "participant_merged": "from:participants to:participants",
    "participant_removed": "participant:participants",
    "schedule_corrected": "participant:participants [role:role] schedule:schedule",
    "moved_from_frozen_cohort": (
        "participant:participants [role:role] cohort:cohort [schedule:schedule]"
    ),
    "induction_recorded": "participant:participants started_on:day [finished_on:day?]",
    "induction_completed": "participant:participants [finished_on:day] [outcome:outcome]",
    "funding_eligibility_confirmed": "participant:participants [role:role]",
    "mentor_funding_ended": "participant:participants [on:day] reason:funding_end",
    "working_pattern_changed": "participant:participants working_pattern:pattern?",
    "uplift_changed": (
        "participant:participants [pupil_premium_uplift:flag] [sparsity_uplift:flag]"
    ),
    "declaration_payable_run": "statement:statements",
    "declaration_paid_run": "statement:statements",
    "statement_paid": "statement:statements",
    "statement_dates_changed": "statement:statements [cut_off_date:day] [payment_date:day]",
    "statement_added": "ref:new body:statement",
    "declaration_corrected": (
        "declaration:declarations [date:instant] [type:declaration_type] "
        "[evidence_held:evidence?] [state:declaration_state] [statement:statements?] "
        "[clawback_statement:statements?] [mentor:participants?] [uplift_paid:flag]"
    ),
    "delivery_partner_renamed": "delivery_partner:delivery_partners name:text",
    "delivery_partner_paired": (
        "delivery_partner:delivery_partners provider:providers cohort:cohort"
    ),
    "delivery_partner_unpaired": (
        "delivery_partner:delivery_partners provider:providers cohort:cohort"
    ),
    "partnership_added": "ref:new body:partnership",
    "partnership_delivery_partner_corrected": (
        "partnership:partnerships delivery_partner:delivery_partners"
    ),
    "school_renamed": "school:schools name:text",
    "school_urn_changed": "school:schools urn:text",
    "induction_tutor_changed": "school:schools name:text? email:text?",
    "gias_contact_changed": "school:schools email:text?",
    "expression_of_interest_made": "school:schools provider:providers cohort:cohort",
    "expression_of_interest_withdrawn": "school:schools provider:providers cohort:cohort",
    "induction_programme_choice_changed": "school:schools cohort:cohort choice:programme?",
    "school_becomes_ineligible": "school:schools",
    "school_becomes_eligible": "school:schools",
    "cohort_payments_frozen": "cohort:cohort",
    "provider_renamed": "provider:providers name:text",
    "token_issued": "provider:providers token:token",
    "token_revoked": "provider:providers token:token",
    "touched": "refs:refs",
    "nightly_run": "",
}

CHOICES = {
    "role": ("ect", "mentor"),
    "schedule": SCHEDULES,
    "outcome": ("pass", "fail"),
    "funding_end": MENTOR_FUNDING_END_REASONS,
    "pattern": WORKING_PATTERNS,
    "declaration_type": DECLARATION_TYPES,
    "evidence": ALL_EVIDENCE,
    "declaration_state": DECLARATION_STATES,
    "programme": PROGRAMME_CHOICES,
}

SECTION_OF_BODY = {
    "participant": "participants",
    "statement": "statements",
    "partnership": "partnerships",
}

AT_LEAST_ONE = frozenset({"declaration_corrected", "statement_dates_changed", "uplift_changed"})
"""Events that must say at least one of the things they may change."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing an event says."""

    name: str
    kind: str
    needed: bool
    nullable: bool


def _parsed(line: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    for word in line.split():
        name, _, kind = word.strip("[]").partition(":")
        parts.append(Part(name, kind.removesuffix("?"), word[0] != "[", kind.endswith("?")))
    return tuple(parts)


PARTS: Mapping[str, tuple[Part, ...]] = {name: _parsed(line) for name, line in SHAPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that was read: its stamp, when readers see it, and what it says."""

    kind: str
    at: datetime
    visible_at: datetime
    given: Mapping[str, object]
    raw: Mapping[str, object]

    @property
    def due(self) -> datetime:
        return max(self.at, self.visible_at)

    def as_json(self) -> dict[str, object]:
        """The event as it can be given again."""
        return {**self.raw, "at": exact(self.at), "visible_at": exact(self.visible_at)}

    # What it says, by kind. What was left out is absent; what is null is None.

    def has(self, name: str) -> bool:
        return name in self.given

    def text(self, name: str) -> str:
        value = self.given.get(name)
        return value if isinstance(value, str) else ""

    def maybe_text(self, name: str) -> str | None:
        value = self.given.get(name)
        return value if isinstance(value, str) else None

    def day(self, name: str, default: date) -> date:
        value = self.given.get(name)
        return value if isinstance(value, date) else default

    def flag(self, name: str, default: bool) -> bool:
        value = self.given.get(name)
        return value if isinstance(value, bool) else default

    def instant(self, name: str, default: datetime) -> datetime:
        value = self.given.get(name)
        return value if isinstance(value, datetime) else default

    def year(self, name: str) -> int:
        value = self.given.get(name)
        return value if isinstance(value, int) else 0

    def texts(self, name: str) -> tuple[str, ...]:
        value = as_list(self.given.get(name)) or []
        return tuple(text for text in value if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class Known:
    """What exists when an event is read: entities by section, cohorts, and what is announced.

    `may_be_gone` is for events that were accepted once: what they name may have left the world
    since, and then they will be dropped when their time comes.
    """

    resolve: Callable[[str, str], str | None]
    cohorts: frozenset[int]
    taken: Callable[[str], bool]
    announced: dict[str, str]
    may_be_gone: bool = False


def read_events(
    raw: object, where: str, problems: Problems, *, known: Known, now: datetime
) -> list[Event]:
    """Read a list of events, each of which may name what those before it add."""
    items = as_list(raw)
    if items is None:
        problems.add(where, "must be a list of events")
        return []
    prefix = f"{where}." if where else ""
    events = [
        _event(Fields(item, f"{prefix}{number}", problems), known, now)
        for number, item in enumerate(items)
    ]
    return [event for event in events if event is not None]


def _event(fields: Fields, known: Known, now: datetime) -> Event | None:
    raw = fields.rest()
    kind = fields.text("event")
    at = fields.instant_or("at", now)
    visible_at = fields.instant_or("visible_at", at)
    if kind not in PARTS:
        if kind:
            fields.complain("event", f"there is no event '{kind}'")
        return None
    given = _given(fields, PARTS[kind], known)
    fields.done()
    _complain_of_whole(fields, kind, given)
    return Event(kind=kind, at=at, visible_at=visible_at, given=given, raw=raw)


def _complain_of_whole(fields: Fields, kind: str, given: Mapping[str, object]) -> None:
    optional = [part.name for part in PARTS[kind] if not part.needed]
    if kind in AT_LEAST_ONE and not any(name in given for name in optional):
        fields.problems.add(fields.where, f"must have one of {', '.join(optional)}")
    if kind == "induction_tutor_changed" and (given.get("name") is None) != (
        given.get("email") is None
    ):
        fields.complain("email", "name and email must be given both, or both null")


def _given(fields: Fields, parts: tuple[Part, ...], known: Known) -> dict[str, object]:
    given: dict[str, object] = {}
    for part in parts:
        if part.name == "body":
            given["body"] = fields.take_rest()
        elif part.needed or fields.has(part.name):
            given[part.name] = _value(fields, part, known)
    if "body" in given:
        body = next(part for part in parts if part.name == "body")
        known.announced[str(given["ref"])] = SECTION_OF_BODY[body.kind]
    return given


def _value(fields: Fields, part: Part, known: Known) -> object:
    if not fields.has(part.name):
        return fields.required(part.name)
    if part.nullable and fields.is_null(part.name):
        return fields.take(part.name)
    if part.kind in CHOICES:
        return fields.choice(part.name, CHOICES[part.kind])
    match part.kind:
        case "text":
            return fields.text(part.name)
        case "day":
            return fields.day(part.name)
        case "instant":
            return fields.instant(part.name)
        case "flag":
            return fields.flag_or(part.name, False)
        case "cohort":
            return _cohort(fields, part.name, known)
        case "new":
            return _new_ref(fields, part.name, known)
        case "token":
            return _token(fields, part.name)
        case "refs":
            return _refs(fields, part.name, known)
        case section:
            return _ref(fields, part.name, section, known)


def _cohort(fields: Fields, name: str, known: Known) -> int:
    raw = fields.take(name)
    year = int(raw) if isinstance(raw, str) and raw.isdecimal() and len(raw) == 4 else raw
    if not isinstance(year, int) or isinstance(year, bool):
        fields.complain(name, "must be a year")
        return 0
    if year not in known.cohorts:
        fields.complain(name, f"unknown cohort {year}")
    return year


def _new_ref(fields: Fields, name: str, known: Known) -> str:
    ref = fields.text(name)
    if not is_ref(ref):
        fields.complain(name, "a ref is 1 to 64 letters, digits, '_', '.' or '-'")
    elif (known.taken(ref) and not known.may_be_gone) or ref in known.announced:
        fields.complain(name, f"duplicate ref '{ref}'")
    given_id = fields.peek("id")
    if given_id is not None and not (isinstance(given_id, str) and is_uuid(given_id)):
        fields.complain("id", "must be a UUID")
    elif isinstance(given_id, str) and known.taken(given_id.lower()) and not known.may_be_gone:
        fields.complain("id", f"duplicate id '{given_id}'")
    return ref


def _token(fields: Fields, name: str) -> str:
    token = fields.text(name)
    if not is_token(token):
        fields.complain(name, "a token is printable text without spaces")
    return token


def _refs(fields: Fields, name: str, known: Known) -> list[object]:
    raw = fields.take(name)
    items = as_list(raw) or [raw]
    for item in items:
        plain = isinstance(item, str) and (item.endswith("*") or known.taken(item))
        coming = isinstance(item, str) and (item in known.announced or known.may_be_gone)
        if not plain and not coming:
            fields.complain(name, f"unknown ref '{item}'")
    return items


def _ref(fields: Fields, name: str, section: str, known: Known) -> str:
    text = fields.text(name)
    if known.announced.get(text) == section:
        return text
    ref = known.resolve(section, text)
    if ref is None and not known.may_be_gone:
        fields.complain(name, f"unknown ref '{text}'")
    return ref or text


def body_of(event: Event) -> Mapping[str, object]:
    return as_object(event.given.get("body")) or {}
