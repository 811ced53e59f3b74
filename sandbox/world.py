"""Reading a world: what a person wrote in, a `State` out, or everything that is wrong with it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from sandbox.reading import NO_DAY, Fields, Problems, as_list, is_whole
from sandbox.state import State
from sandbox.times import london_day, parse_day
from sandbox.values import (
    Cohort,
    DeliveryPartner,
    Partnership,
    Provider,
    Schedule,
    School,
    SchoolYear,
    Statement,
    Window,
)
from sandbox.vocabulary import DECLARATION_TYPES, DETAILED_FROM, PROGRAMME_CHOICES, SCHEDULES
from sandbox.world_rows import Bulk, RawRow, entries, id_for, is_ref, is_uuid

FIRST_STAMP = datetime(2021, 6, 1, 9, tzinfo=UTC)
YEARS = range(2000, 2101)


class Names:
    """Every ref and id of the world, and the section and ref it stands for."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self._ids: dict[str, str] = {}

    def id_of(self, section: str, ref: str) -> str:
        """The id that an entity was given, or its own."""
        return self._ids.get(ref) or id_for(section, ref)

    def claim(self, section: str, ref: str, given: object, where: str, problems: Problems) -> str:
        """Take a ref and an id for an entity; answers the id."""
        fresh = self.claim_ref(section, ref, where, problems)
        return self._claim_id(section, ref, given, where, problems) if fresh else ""

    def claim_ref(self, section: str, ref: str, where: str, problems: Problems) -> bool:
        """Take a ref for an entity; false if another has it."""
        if not is_ref(ref):
            problems.add(where, "a ref is 1 to 64 letters, digits, '_', '.' or '-'")
        if ref in self._known:
            problems.add(where, f"duplicate ref '{ref}'")
            return False
        self._known[ref] = section, ref
        return True

    def _claim_id(
        self, section: str, ref: str, given: object, where: str, problems: Problems
    ) -> str:
        if section == "providers":
            return ""
        if given is not None and (not isinstance(given, str) or not is_uuid(given)):
            problems.add(f"{where}.id", "must be a UUID")
            return ""
        chosen = id_for(section, ref) if given is None else given.lower()
        if chosen in self._known:
            problems.add(f"{where}.id", f"duplicate id '{chosen}'")
        self._known[chosen] = section, ref
        self._ids[ref] = chosen
        return chosen

    def resolve(self, section: str, name: str) -> str | None:
        known = self._known.get(name) or self._known.get(name.lower())
        return known[1] if known and known[0] == section else None


class Resolver(Protocol):
    """Finds the ref that a ref or an id of a section stands for."""

    def resolve(self, section: str, name: str) -> str | None: ...
    def id_of(self, section: str, ref: str) -> str: ...


class Reader:
    """The world being read: its state so far, the clock, and the problems found."""

    def __init__(self, state: State, names: Resolver, problems: Problems, now: datetime) -> None:
        self.state = state
        self.names = names
        self.problems = problems
        self.now = now
        self.today = london_day(now)
        self._next: dict[tuple[str, int], str | None] = {}
        self._paid: dict[tuple[str, int], str | None] = {}

    # Statements, which do not change while declarations are read

    def next_statement(self, provider: str, cohort: int) -> str | None:
        """The statement that a new declaration would get."""
        key = provider, cohort
        if key not in self._next:
            found = self.state.next_statement(provider, cohort, self.today)
            self._next[key] = found.ref if found else None
        return self._next[key]

    def newest_paid(self, provider: str, cohort: int) -> str | None:
        """The newest paid output statement."""
        key = provider, cohort
        if key not in self._paid:
            self._paid[key] = self.state.newest_paid(provider, cohort)
        return self._paid[key]

    # References

    def ref(self, fields: Fields, key: str, section: str) -> str:
        """The ref under a key, which must be of an entity of that section."""
        name = fields.text(key) if fields.has(key) else None
        if name is None:
            fields.required(key)
            return ""
        return self._resolved(fields, key, section, name)

    def maybe_ref(self, fields: Fields, key: str, section: str) -> str | None:
        name = fields.maybe_text(key)
        return None if name is None else self._resolved(fields, key, section, name)

    def _resolved(self, fields: Fields, key: str, section: str, name: str) -> str:
        ref = self.names.resolve(section, name)
        if ref is None:
            fields.complain(key, f"unknown ref '{name}'")
        return ref or ""

    def cohort(self, fields: Fields, key: str = "cohort") -> int:
        """The year under a key, which must be of a cohort; as text it is understood too."""
        raw = fields.required(key)
        year = int(raw) if isinstance(raw, str) and raw.isdecimal() and len(raw) == 4 else raw
        if not is_whole(year) or not isinstance(year, int):
            if raw is not None:
                fields.complain(key, "must be a year")
            return 0
        if year not in self.state.cohorts:
            fields.complain(key, f"unknown cohort {year}")
        return year

    # Stamps

    def stamps(self, fields: Fields, row: RawRow, default: datetime) -> tuple[datetime, datetime]:
        """`created_at` and `updated_at` of an entity; no default lies after the clock."""
        try:
            return self._stamps(fields, row, default)
        except OverflowError:
            fields.complain("created_at", "steps out of the calendar")
            return self.now, self.now

    def _stamps(self, fields: Fields, row: RawRow, default: datetime) -> tuple[datetime, datetime]:
        bulk = row.bulk or NO_BULK
        created, updated = fields.maybe_instant("created_at"), fields.maybe_instant("updated_at")
        created_step = _steps(bulk.created_step, row.number)
        if created is not None:
            created += created_step or timedelta(0)
        else:
            bulk.created_base = bulk.created_base if row.number > 1 else min(default, self.now)
            base = min(default, self.now) if created_step is None else bulk.created_base
            created = min((base or self.now) + (created_step or timedelta(0)), self.now)
        updated_step = _steps(bulk.updated_step, row.number)
        if updated is not None:
            return created, updated + (updated_step or timedelta(0))
        bulk.updated_base = bulk.updated_base if row.number > 1 else min(created, self.now)
        base = min(created, self.now) if updated_step is None else bulk.updated_base
        return created, min((base or self.now) + (updated_step or timedelta(0)), self.now)


NO_BULK = Bulk(count=0, like=None, prefix="", created_step=None, updated_step=None)


def _steps(step: timedelta | None, number: int) -> timedelta | None:
    return None if step is None else step * (number - 1)


# The sections that have neither ids nor stamps


def read_providers(reader: Reader, rows: Iterator[RawRow]) -> None:
    taken: dict[str, str] = {}
    for row in rows:
        fields = Fields(row.raw, row.where, reader.problems)
        name = fields.text("name")
        raw_tokens = fields.items("tokens") if fields.has("tokens") else [f"sandbox-{row.ref}"]
        fields.done()
        tokens: list[str] = []
        for token in raw_tokens:
            if not isinstance(token, str) or not is_token(token):
                fields.complain("tokens", "a token is printable text without spaces")
            elif token in taken:
                fields.complain("tokens", f"duplicate token, also of '{taken[token]}'")
            else:
                taken[token] = row.ref
                tokens.append(token)
        reader.state.put(Provider(ref=row.ref, name=name, tokens=tuple(tokens)))


def is_token(text: str) -> bool:
    """Whether a text can be sent as a token in a header."""
    return text.isascii() and text.isprintable() and " " not in text and bool(text)


def read_cohorts(reader: Reader, raw: object) -> None:
    for key, value in entries("cohorts", raw, reader.problems):
        where = f"cohorts.{key}"
        if not (key.isascii() and key.isdecimal() and int(key) in YEARS):
            reader.problems.add(where, "the ref of a cohort is its year")
            continue
        reader.state.put(_cohort(Fields(value, where, reader.problems), int(key)))


def _cohort(fields: Fields, year: int) -> Cohort:
    cohort = Cohort(
        year=year,
        started_on=fields.day_or("started_on", date(year, 6, 1)),
        finished_on=fields.day_or("finished_on", date(year + 1, 5, 31)),
        enabled=fields.flag_or("enabled", True),
        payments_frozen_at=fields.maybe_instant("payments_frozen_at"),
        mentor_funding_enabled=fields.flag_or("mentor_funding_enabled", year >= DETAILED_FROM),
        detailed_evidence_types_enabled=fields.flag_or(
            "detailed_evidence_types_enabled", year >= DETAILED_FROM
        ),
        uplift_fees_enabled=fields.flag_or("uplift_fees_enabled", year < DETAILED_FROM),
    )
    fields.done()
    return cohort


def read_schedules(reader: Reader, raw: object) -> None:
    for key, value in entries("schedules", raw, reader.problems):
        where = f"schedules.{key}"
        year = int(key) if key.isascii() and key.isdecimal() and len(key) == 4 else 0
        if year not in reader.state.cohorts:
            reader.problems.add(where, f"unknown cohort {key}")
        reader.state.schedules[year] = {
            identifier: _schedule(reader, f"{where}.{identifier}", identifier, windows)
            for identifier, windows in entries(where, value, reader.problems)
        }


def _schedule(reader: Reader, where: str, identifier: str, raw: object) -> Schedule:
    if identifier not in SCHEDULES:
        reader.problems.add(where, f"must be one of {', '.join(SCHEDULES)}")
    windows: dict[str, Window] = {}
    for kind, value in entries(where, raw, reader.problems):
        if kind not in DECLARATION_TYPES:
            reader.problems.add(f"{where}.{kind}", "unknown declaration type")
            continue
        windows[kind] = _window(reader, f"{where}.{kind}", value)
    return windows


def _window(reader: Reader, where: str, raw: object) -> Window:
    pair = as_list(raw) or []
    days = [parse_day(day) if isinstance(day, str) else None for day in pair]
    first = days[0] if len(days) == 2 else None
    if first is None or (pair[1] is not None and days[1] is None):
        reader.problems.add(where, "must be a first and a last day, the last may be null")
        return Window(first=NO_DAY, last=None)
    if days[1] is not None and days[1] < first:
        reader.problems.add(where, "the last day is before the first")
    return Window(first=first, last=days[1])


# The sections with ids and stamps


def read_delivery_partners(reader: Reader, rows: Iterator[RawRow]) -> None:
    for place, row in enumerate(rows):
        fields = Fields(row.raw, row.where, reader.problems)
        created, updated = reader.stamps(fields, row, later(place))
        reader.state.put(
            DeliveryPartner(
                ref=row.ref,
                id=id_of(reader, fields, "delivery_partners", row.ref),
                order=reader.state.take_order(),
                name=fields.text("name"),
                pairings=_pairings(reader, fields),
                created_at=created,
                updated_at=updated,
            )
        )
        fields.done()


def id_of(reader: Reader, fields: Fields, section: str, ref: str) -> str:
    """The id an entity was given, or its default; whether it is usable was seen before."""
    given = fields.take("id")
    return given.lower() if isinstance(given, str) else reader.names.id_of(section, ref)


def later(place: int) -> datetime:
    """The default `created_at` of the entity at a place in its section."""
    return FIRST_STAMP + timedelta(seconds=place)


def _pairings(reader: Reader, fields: Fields) -> tuple[tuple[str, int], ...]:
    pairings: dict[tuple[str, int], None] = {}
    for number, raw in enumerate(fields.items("pairings")):
        where = f"pairings.{number}"
        pair = as_list(raw) or []
        if len(pair) != 2 or not isinstance(pair[0], str):
            fields.complain(where, "must be a provider and a year")
            continue
        one = Fields({"provider": pair[0], "cohort": pair[1]}, fields.at(where), reader.problems)
        pairings[reader.ref(one, "provider", "providers"), reader.cohort(one)] = None
    return tuple(pairings)


def read_schools(reader: Reader, rows: Iterator[RawRow]) -> None:
    urns: dict[str, str] = {school.urn: school.ref for school in reader.state.schools.values()}
    for place, row in enumerate(rows):
        fields = Fields(row.raw, row.where, reader.problems)
        school = _school(reader, fields, row, later(place))
        fields.done()
        if school.urn in urns:
            fields.complain("urn", f"duplicate urn, also of '{urns[school.urn]}'")
        urns[school.urn] = school.ref
        reader.state.put(school)


def _school(reader: Reader, fields: Fields, row: RawRow, default: datetime) -> School:
    created, updated = reader.stamps(fields, row, default)
    tutor = fields.maybe_inner("induction_tutor")
    tutor_name, tutor_email = (tutor.text("name"), tutor.text("email")) if tutor else (None, None)
    if tutor:
        tutor.done()
    return School(
        ref=row.ref,
        id=id_of(reader, fields, "schools", row.ref),
        order=reader.state.take_order(),
        urn=fields.text("urn"),
        name=fields.text_or("name", f"School {row.ref}"),
        eligible=fields.flag_or("eligible", True),
        tutor_name=tutor_name,
        tutor_email=tutor_email,
        gias_contact_email=fields.maybe_text("gias_contact_email"),
        years=_school_years(reader, fields, created, updated),
        created_at=created,
        updated_at=updated,
    )


def _school_years(
    reader: Reader, fields: Fields, created: datetime, updated: datetime
) -> dict[int, SchoolYear]:
    inner = fields.maybe_inner("cohorts") or Fields({}, fields.where, reader.problems)
    years: dict[int, SchoolYear] = {}
    plain = SchoolYear(choice=None, interested_in=(), created_at=created, updated_at=updated)
    for year in reader.state.cohorts:
        one = inner.maybe_inner(str(year))
        years[year] = _school_year(reader, one, plain) if one else plain
    for key in inner.names():
        inner.complain(key, f"unknown cohort {key}")
    return years


def _school_year(reader: Reader, fields: Fields, plain: SchoolYear) -> SchoolYear:
    interested: list[str] = []
    for raw in fields.items("expression_of_interest"):
        one = Fields({"expression_of_interest": raw}, fields.where, reader.problems)
        interested.append(reader.ref(one, "expression_of_interest", "providers"))
    year = SchoolYear(
        choice=fields.maybe_choice("induction_programme_choice", PROGRAMME_CHOICES),
        interested_in=tuple(dict.fromkeys(interested)),
        created_at=fields.instant_or("created_at", plain.created_at),
        updated_at=fields.instant_or("updated_at", plain.updated_at),
    )
    fields.done()
    return year


def read_partnerships(reader: Reader, rows: Iterator[RawRow]) -> None:
    for place, row in enumerate(rows):
        fields = Fields(row.raw, row.where, reader.problems)
        reader.state.put(read_partnership(reader, fields, row, later(place)))


def read_partnership(reader: Reader, fields: Fields, row: RawRow, default: datetime) -> Partnership:
    created, updated = reader.stamps(fields, row, default)
    partnership = Partnership(
        ref=row.ref,
        id=id_of(reader, fields, "partnerships", row.ref),
        order=reader.state.take_order(),
        school=reader.ref(fields, "school", "schools"),
        provider=reader.ref(fields, "provider", "providers"),
        delivery_partner=reader.ref(fields, "delivery_partner", "delivery_partners"),
        cohort=reader.cohort(fields),
        created_at=created,
        updated_at=updated,
    )
    unpaired = fields.flag_or("unpaired_since", False)
    fields.done()
    partner = None if unpaired else reader.state.delivery_partners.get(partnership.delivery_partner)
    pairing = partnership.provider, partnership.cohort
    if partner and partnership.provider and partnership.cohort and pairing not in partner.pairings:
        fields.complain(
            "delivery_partner",
            f"'{partner.ref}' is not paired with '{pairing[0]}' for {pairing[1]}",
        )
    return partnership


def read_statements(reader: Reader, rows: Iterator[RawRow]) -> None:
    for place, row in enumerate(rows):
        fields = Fields(row.raw, row.where, reader.problems)
        reader.state.put(read_statement(reader, fields, row, later(place)))


def read_statement(reader: Reader, fields: Fields, row: RawRow, default: datetime) -> Statement:
    created, updated = reader.stamps(fields, row, default)
    statement = Statement(
        ref=row.ref,
        id=id_of(reader, fields, "statements", row.ref),
        order=reader.state.take_order(),
        provider=reader.ref(fields, "provider", "providers"),
        cohort=reader.cohort(fields),
        month=fields.whole("month"),
        year=fields.whole("year"),
        cut_off_date=fields.day("cut_off_date"),
        payment_date=fields.day("payment_date"),
        fee=fields.choice_or("fee", ("output", "service"), "output"),
        status=fields.choice_or("status", ("open", "payable", "paid"), "open"),
        created_at=created,
        updated_at=updated,
    )
    fields.done()
    if not 1 <= statement.month <= 12:
        fields.complain("month", "must be from 1 to 12")
    if statement.year not in YEARS:
        fields.complain("year", "must be a year")
    return statement
