"""Reading the declarations of a world. What they leave out is set as the service would have."""

from collections.abc import Iterator
from datetime import date, datetime

from sandbox.evidence import default_evidence
from sandbox.people import Place, latest_with, mentor_nearest, place_at, place_started_on
from sandbox.reading import Fields
from sandbox.state import State
from sandbox.times import london_day, nine_o_clock
from sandbox.values import Declaration, Enrolment, Person
from sandbox.vocabulary import ALL_EVIDENCE, DECLARATION_STATES, DECLARATION_TYPES, Role
from sandbox.world import Reader, id_of
from sandbox.world_rows import RawRow

AWAITING_PAYMENT = ("eligible", "payable")
PAID_OR_LATER = ("paid", "awaiting-clawback", "clawed-back")
CLAWED_BACK = ("awaiting-clawback", "clawed-back")


def read_declarations(reader: Reader, rows: Iterator[RawRow]) -> None:
    for row in rows:
        fields = Fields(row.raw, row.where, reader.problems)
        declaration = _declaration(reader, fields, row)
        fields.done()
        if declaration is not None:
            reader.state.put(declaration)


def _declaration(reader: Reader, fields: Fields, row: RawRow) -> Declaration | None:
    person = reader.state.people.get(reader.ref(fields, "of", "participants"))
    kind = fields.choice("type", DECLARATION_TYPES)
    role = _role(fields, person)
    enrolment = person.enrolment(role) if person and role else None
    if person is None or enrolment is None or role is None:
        fields.take_rest()  # what is wrong was said; the rest cannot be judged
        return None
    by = _by(reader, fields, enrolment)
    given_date = fields.maybe_instant("date")
    place = _place(enrolment, by, given_date)
    made = _Made(reader.state, by, kind, role, place)
    dated = given_date or made.default_date() or reader.now
    if given_date and place is None:
        place = latest_with(enrolment, by)
    started_on = fields.maybe_day("training_started_on", _started_on(place))
    if started_on != made.started_on:
        made = _Made(reader.state, by, kind, role, place_started_on(enrolment, by, started_on))
    state = fields.choice_or("state", DECLARATION_STATES, "submitted")
    created, updated = reader.stamps(fields, row, dated)
    return Declaration(
        ref=row.ref,
        id=id_of(reader, fields, "declarations", row.ref),
        order=reader.state.take_order(),
        of=person.ref,
        role=role,
        by=by,
        type=kind,
        dated=dated,
        state=state,
        evidence_held=fields.maybe_choice("evidence_held", ALL_EVIDENCE)
        if fields.has("evidence_held")
        else made.default_evidence(),
        delivery_partner=_delivery_partner(reader, fields, made),
        mentor=reader.maybe_ref(fields, "mentor", "participants")
        if fields.has("mentor")
        else mentor_nearest(enrolment, dated),
        statement=_statement(reader, fields, "statement", made.default_statement(state, reader)),
        clawback_statement=_statement(
            reader, fields, "clawback_statement", made.default_clawback(state, reader)
        ),
        uplift_paid=fields.flag_or("uplift_paid", False),
        training_started_on=started_on,
        created_at=created,
        updated_at=updated,
    )


def _role(fields: Fields, person: Person | None) -> Role | None:
    given = fields.maybe_choice("role", ("ect", "mentor"))
    if person is None:
        return None
    roles: list[Role] = [enrolment.role for enrolment in person.enrolments()]
    if given is None and len(roles) == 1:
        return roles[0]
    for role in roles:
        if role == given:
            return role
    fields.complain("role", "missing key" if given is None else "the participant has no such role")
    return None


def _by(reader: Reader, fields: Fields, enrolment: Enrolment) -> str:
    given = reader.maybe_ref(fields, "by", "providers")
    if given is not None:
        return given
    periods = [t for _, t in enrolment.trainings() if t.provider and t.partnership]
    latest = max(periods, key=lambda training: training.started_on, default=None)
    if latest is None or latest.provider is None:
        fields.complain("by", "missing key: the participant has no training with a provider")
        return ""
    return latest.provider


def _place(enrolment: Enrolment, by: str, dated: datetime | None) -> Place | None:
    if dated is None:
        return latest_with(enrolment, by)
    return place_at(enrolment, by, london_day(dated))


def _started_on(place: Place | None) -> date | None:
    return place.training.started_on if place else None


def _delivery_partner(reader: Reader, fields: Fields, made: "_Made") -> str | None:
    if fields.has("delivery_partner"):
        return reader.maybe_ref(fields, "delivery_partner", "delivery_partners")
    if made.place is None:
        fields.complain("delivery_partner", "missing key: no training with that provider")
        return None
    partnership = made.state.partnerships.get(made.place.training.partnership or "")
    return partnership.delivery_partner if partnership else None


def _statement(reader: Reader, fields: Fields, key: str, default: str | None) -> str | None:
    return reader.maybe_ref(fields, key, "statements") if fields.has(key) else default


class _Made:
    """What the service would have set, from the training period a declaration was made under."""

    def __init__(self, state: State, by: str, kind: str, role: Role, place: Place | None) -> None:
        self.state, self.by, self.kind, self.place = state, by, kind, place
        self.role: Role = role
        partnership = state.partnerships.get(place.training.partnership or "") if place else None
        self.cohort = state.cohorts.get(partnership.cohort) if partnership else None
        self.started_on = place.training.started_on if place else None

    def default_date(self) -> datetime | None:
        if self.place is None:
            return None
        training = self.place.training
        schedule = self.state.schedule(self.cohort.year if self.cohort else None, training.schedule)
        window = schedule.get(self.kind) if schedule else None
        day = max(window.first, training.started_on) if window else training.started_on
        last = window.last if window else None
        return nine_o_clock(min(day, last) if last else day)

    def default_evidence(self) -> str | None:
        return default_evidence(self.cohort, self.role, self.kind) if self.cohort else None

    def default_statement(self, state: str, reader: Reader) -> str | None:
        if self.cohort is None:
            return None
        if state in AWAITING_PAYMENT:
            return reader.next_statement(self.by, self.cohort.year)
        return reader.newest_paid(self.by, self.cohort.year) if state in PAID_OR_LATER else None

    def default_clawback(self, state: str, reader: Reader) -> str | None:
        if self.cohort is None or state not in CLAWED_BACK:
            return None
        return reader.next_statement(self.by, self.cohort.year)
