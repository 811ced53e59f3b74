"""Reading the participants of a world, in the short form and the long one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from sandbox.people import mentor_on
from sandbox.reading import NO_DAY, Fields
from sandbox.times import london_day, nine_o_clock
from sandbox.values import (
    Enrolment,
    IdChange,
    Induction,
    Mentorship,
    Pause,
    Person,
    Post,
    Training,
)
from sandbox.vocabulary import (
    DEFERRAL_REASONS,
    MENTOR_FUNDING_END_REASONS,
    WITHDRAWAL_REASONS,
    WORKING_PATTERNS,
    Role,
)
from sandbox.world import Reader, id_of
from sandbox.world_rows import RawRow, id_for, is_uuid

FIRST_TRN = 1_000_001
SHORT_FORM = (
    "school",
    "school_started_on",
    "school_finished_on",
    "email",
    "training",
    "earlier_training",
    "then_training",
    "deferral",
    "withdrawal",
    "moves_to",
    "mentor",
)
ROLES: tuple[Role, ...] = ("ect", "mentor")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftTraining:
    """A training period whose schedule and stamps may still have to be worked out."""

    fields: Fields
    provider: str | None
    partnership: str | None
    cohort: int | None
    schedule: str | None
    started_on: date
    finished_on: date | None
    deferral: Pause | None
    withdrawal: Pause | None
    created_at: datetime | None
    transfer_updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftPost:
    school: str
    started_on: date
    finished_on: date | None
    email: str | None
    trainings: Sequence[DraftTraining]
    mentors: tuple[Mentorship, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftEnrolment:
    fields: Fields
    role: Role
    posts: Sequence[DraftPost]


@dataclass(frozen=True, slots=True)
class DraftPerson:
    """What the roles of a person need to know of the whole."""

    ref: str
    created_at: datetime
    updated_at: datetime
    drafts: Sequence[DraftEnrolment]


def read_participants(reader: Reader, rows: Iterator[RawRow]) -> None:
    for place, row in enumerate(rows):
        reader.state.put(read_participant(reader, row, place=place))


def read_participant(
    reader: Reader, row: RawRow, *, place: int, created: datetime | None = None
) -> Person:
    """Read one participant; `created` is the default stamp of somebody registered by an event."""
    fields = Fields(row.raw, row.where, reader.problems)
    drafts = _roles(reader, fields, row.ref)
    first_day = min((p.started_on for d in drafts for p in d.posts), default=reader.today)
    default = nine_o_clock(first_day) + timedelta(milliseconds=place)
    created_at, updated_at = reader.stamps(fields, row, created or default)
    full_name = fields.text_or("full_name", f"Participant {row.ref}")
    trn = fields.maybe_text("trn", str(FIRST_TRN + place))
    unfunded_updated_at = fields.instant_or("unfunded_updated_at", updated_at)
    id_changes, inductions = _id_changes(reader, fields), _inductions(fields, first_day)
    given_id = id_of(reader, fields, "participants", row.ref)
    whole = DraftPerson(row.ref, created_at, updated_at, drafts)
    finished = {draft.role: _finish(reader, draft, whole) for draft in drafts}
    fields.done()
    return Person(
        ref=row.ref,
        id=given_id,
        order=reader.state.take_order(),
        full_name=full_name,
        trn=trn,
        created_at=created_at,
        updated_at=updated_at,
        unfunded_updated_at=unfunded_updated_at,
        id_changes=id_changes,
        inductions=inductions,
        ect=finished.get("ect"),
        mentor=finished.get("mentor"),
    )


def _roles(reader: Reader, fields: Fields, ref: str) -> list[DraftEnrolment]:
    if not fields.has("roles"):
        role = fields.choice("role", ROLES)
        return [_enrolment(reader, fields, "mentor" if role == "mentor" else "ect", ref)]
    if fields.has("role"):
        fields.complain("role", "give either role or roles")
        fields.take("role")
    inner = fields.inner("roles")
    drafts: list[DraftEnrolment] = []
    for role in ROLES:
        one = inner.maybe_inner(role)
        if one is not None:
            drafts.append(_enrolment(reader, one, role, ref))
    inner.done()
    if not drafts:
        fields.complain("roles", "must have an ect or a mentor")
    return drafts


def _enrolment(reader: Reader, fields: Fields, role: Role, ref: str) -> DraftEnrolment:
    if fields.has("posts"):
        for key in SHORT_FORM:
            if fields.has(key):
                fields.complain(key, "posts and the short form must not be mixed")
                fields.take(key)
        posts = [_long_post(reader, post, role, ref) for post in fields.inners("posts")]
        if not posts:
            fields.complain("posts", "must have at least one post")
    else:
        posts = _short_posts(reader, fields, role, ref)
    return DraftEnrolment(fields=fields, role=role, posts=posts)


# The long form: nothing is implied


def _long_post(reader: Reader, fields: Fields, role: Role, ref: str) -> DraftPost:
    school = reader.ref(fields, "school", "schools")
    started_on = fields.day("started_on")
    trainings = [
        _training(reader, one, school, deferral=_pause(one, DEFERRAL_REASONS, "deferral"),
                  withdrawal=_pause(one, WITHDRAWAL_REASONS, "withdrawal"))
        for one in fields.inners("trainings")
    ]  # fmt: skip
    mentors = tuple(_mentorship(reader, one) for one in fields.inners("mentors"))
    if mentors and role == "mentor":
        fields.complain("mentors", "a mentor has no mentor")
    post = DraftPost(
        school=school,
        started_on=started_on,
        finished_on=fields.maybe_day("finished_on"),
        email=fields.maybe_text("email", f"{ref}@example.com"),
        trainings=trainings,
        mentors=mentors,
    )
    _in_sequence(fields, post.started_on, post.finished_on)
    fields.done()
    return post


def _mentorship(reader: Reader, fields: Fields) -> Mentorship:
    mentorship = Mentorship(
        mentor=reader.ref(fields, "mentor", "participants"),
        started_on=fields.day("started_on"),
        finished_on=fields.maybe_day("finished_on"),
    )
    _in_sequence(fields, mentorship.started_on, mentorship.finished_on)
    fields.done()
    return mentorship


def _in_sequence(fields: Fields, first: date, last: date | None) -> None:
    if last is not None and last < first:
        fields.complain("finished_on", "is before started_on")


def _pause(fields: Fields, reasons: Sequence[str], key: str) -> Pause | None:
    inner = fields.maybe_inner(key)
    if inner is None:
        return None
    pause = Pause(reason=inner.choice("reason", reasons), at=inner.instant("at"))
    inner.done()
    return pause


# The short form: posts and periods are put together from it


def _short_posts(reader: Reader, fields: Fields, role: Role, ref: str) -> list[DraftPost]:
    school = reader.ref(fields, "school", "schools")
    started_on = fields.day("school_started_on")
    finished_on = fields.maybe_day("school_finished_on")
    if finished_on is not None and finished_on < started_on:
        fields.complain("school_finished_on", "is before school_started_on")
    email = fields.maybe_text("email", f"{ref}@example.com")
    mentors = _short_mentor(reader, fields, role, started_on, finished_on)
    trainings = [t for t in _short_trainings(reader, fields, school) if t is not None]
    first = DraftPost(
        school=school,
        started_on=started_on,
        finished_on=finished_on,
        email=email,
        trainings=trainings,
        mentors=mentors,
    )
    moves_to = fields.maybe_inner("moves_to")
    return [first] if moves_to is None else [first, _later_post(reader, moves_to, ref)]


def _short_mentor(
    reader: Reader, fields: Fields, role: Role, started_on: date, finished_on: date | None
) -> tuple[Mentorship, ...]:
    mentor = reader.maybe_ref(fields, "mentor", "participants")
    if mentor is None:
        return ()
    if role == "mentor":
        fields.complain("mentor", "a mentor has no mentor")
    return (Mentorship(mentor=mentor, started_on=started_on, finished_on=finished_on),)


def _short_trainings(reader: Reader, fields: Fields, school: str) -> list[DraftTraining | None]:
    deferral, kept_1 = _short_pause(fields, DEFERRAL_REASONS, "deferral")
    withdrawal, kept_2 = _short_pause(fields, WITHDRAWAL_REASONS, "withdrawal")
    earlier = fields.maybe_inner("earlier_training")
    main = fields.maybe_inner("training")
    then = fields.maybe_inner("then_training")
    if main is None and (deferral or withdrawal):
        fields.complain("training", "missing key: a deferral or withdrawal is of a training")
    training = (
        _training(reader, main, school, deferral=deferral, withdrawal=withdrawal) if main else None
    )
    if training is not None:
        ends = [london_day(p.at) for p, kept in ((deferral, kept_1), (withdrawal, kept_2))
                if p is not None and not kept]  # fmt: skip
        if ends:
            training = replace(training, finished_on=_earliest(training.finished_on, ends))
    return [
        _training(reader, earlier, school) if earlier else None,
        training,
        _training(reader, then, school) if then else None,
    ]


def _short_pause(fields: Fields, reasons: Sequence[str], key: str) -> tuple[Pause | None, bool]:
    inner = fields.maybe_inner(key)
    if inner is None:
        return None, False
    pause = Pause(reason=inner.choice("reason", reasons), at=inner.instant("at"))
    kept = inner.flag_or("keeps_finished_on", False)
    inner.done()
    return pause, kept


def _earliest(day: date | None, others: Sequence[date]) -> date | None:
    return min([*others, *([day] if day else [])], default=None)


def _later_post(reader: Reader, fields: Fields, ref: str) -> DraftPost:
    school = reader.ref(fields, "school", "schools")
    started_on = fields.day("started_on")
    finished_on = fields.maybe_day("finished_on")
    _in_sequence(fields, started_on, finished_on)
    email = fields.maybe_text("email", f"{ref}@example.com")
    training = _training(reader, fields, school, started_on=started_on, finished_on=finished_on)
    return DraftPost(
        school=school,
        started_on=started_on,
        finished_on=finished_on,
        email=email,
        trainings=[training],
        mentors=(),
    )


# Training periods, in both forms


def _training(
    reader: Reader,
    fields: Fields,
    school: str,
    *,
    deferral: Pause | None = None,
    withdrawal: Pause | None = None,
    started_on: date | None = None,
    finished_on: date | None = None,
) -> DraftTraining:
    """Read a period; with `started_on` it is the first of a later post and begins with that."""
    if started_on is None:
        started_on, finished_on = fields.day("started_on"), fields.maybe_day("finished_on")
        _in_sequence(fields, started_on, finished_on)
    provider = reader.maybe_ref(fields, "provider", "providers")
    if provider is None:
        _nothing_of_a_provider(fields)
        partnership, cohort, schedule = None, None, None
    else:
        partnership, cohort, schedule = _with_partnership(reader, fields, provider, school)
    draft = DraftTraining(
        fields=fields,
        provider=provider,
        partnership=partnership,
        cohort=cohort,
        schedule=schedule,
        started_on=started_on,
        finished_on=finished_on,
        deferral=deferral,
        withdrawal=withdrawal,
        created_at=fields.maybe_instant("created_at"),
        transfer_updated_at=fields.maybe_instant("transfer_updated_at"),
    )
    fields.done()
    return draft


def _nothing_of_a_provider(fields: Fields) -> None:
    """A school-led period has dates and nothing else."""
    for key in ("partnership", "cohort", "schedule"):
        if fields.take(key) is not None:
            fields.complain(key, "a period without a provider is school-led")


def _with_partnership(
    reader: Reader, fields: Fields, provider: str, school: str
) -> tuple[str | None, int | None, str | None]:
    """The partnership, or the cohort in which one is waited for, and the schedule."""
    if not fields.has("partnership"):
        fields.required("partnership")
    ref = reader.maybe_ref(fields, "partnership", "partnerships")
    partnership = reader.state.partnerships.get(ref or "")
    if partnership is None:
        cohort = reader.cohort(fields) if ref is None else 0
    else:
        cohort = partnership.cohort
        if fields.has("cohort") and reader.cohort(fields) != cohort:
            fields.complain("cohort", f"the partnership is of {cohort}")
        if partnership.provider != provider:
            fields.complain("partnership", f"'{ref}' is not of '{provider}'")
        if partnership.school != school:
            fields.complain("partnership", f"'{ref}' is not of the school '{school}'")
    schedule = fields.maybe_text("schedule")
    if schedule is not None and cohort and reader.state.schedule(cohort, schedule) is None:
        fields.complain("schedule", f"'{schedule}' does not exist for {cohort}")
    return ref, cohort if ref is None else None, schedule


def _finish(reader: Reader, draft: DraftEnrolment, person: DraftPerson) -> Enrolment:
    """Work out what depends on the whole person, and check that periods do not overlap."""
    fields, role = draft.fields, draft.role
    posts = tuple(_finish_post(reader, post, draft, person) for post in draft.posts)
    _no_overlaps(fields, "training", [(t.started_on, t.finished_on) for p in posts
                                      for t in p.trainings])  # fmt: skip
    if role == "ect":
        _no_overlaps(fields, "posts", [(p.started_on, p.finished_on) for p in posts])
        _no_overlaps(fields, "mentors", [(m.started_on, m.finished_on) for p in posts
                                         for m in p.mentors])  # fmt: skip
    record_id = fields.text_or("training_record_id", id_for(f"training-{role}", person.ref))
    if not is_uuid(record_id):
        fields.complain("training_record_id", "must be a UUID")
    enrolment = Enrolment(
        role=role,
        training_record_id=record_id.lower(),
        posts=posts,
        fundable=fields.flag_or("fundable", True),
        working_pattern=_working_pattern(fields, role),
        pupil_premium_uplift=fields.flag_or("pupil_premium_uplift", False),
        sparsity_uplift=fields.flag_or("sparsity_uplift", False),
        mentor_funding_end_date=fields.maybe_day("mentor_funding_end_date"),
        mentor_ineligible_for_funding_reason=fields.maybe_choice(
            "mentor_ineligible_for_funding_reason", MENTOR_FUNDING_END_REASONS
        ),
        cohort_changed_after_payments_frozen=fields.flag_or(
            "cohort_changed_after_payments_frozen", False
        ),
        created_at=fields.instant_or("enrolment_created_at", person.created_at),
        mentor_shown=None,
    )
    shown = mentor_on(enrolment, reader.today)
    if fields.has("mentor_shown"):
        shown = reader.maybe_ref(fields, "mentor_shown", "participants")
    fields.done()
    return replace(enrolment, mentor_shown=shown) if shown else enrolment


def _working_pattern(fields: Fields, role: Role) -> str | None:
    default = "full_time" if role == "ect" else None
    return fields.maybe_choice("working_pattern", WORKING_PATTERNS, default)


def _finish_post(
    reader: Reader,
    post: DraftPost,
    draft: DraftEnrolment,
    person: DraftPerson,
) -> Post:
    return Post(
        school=post.school,
        started_on=post.started_on,
        finished_on=post.finished_on,
        email=post.email,
        trainings=tuple(
            _finish_training(reader, training, draft, person) for training in post.trainings
        ),
        mentors=post.mentors,
    )


def _finish_training(
    reader: Reader,
    training: DraftTraining,
    draft: DraftEnrolment,
    person: DraftPerson,
) -> Training:
    schedule = training.schedule
    if training.provider is not None and schedule is None:
        schedule = _nearest_schedule(reader, training, draft, person.drafts)
    created_at = training.created_at or min(nine_o_clock(training.started_on), reader.now)
    return Training(
        provider=training.provider,
        partnership=training.partnership,
        cohort=training.cohort,
        schedule=schedule,
        started_on=training.started_on,
        finished_on=training.finished_on,
        deferral=training.deferral,
        withdrawal=training.withdrawal,
        created_at=created_at,
        transfer_updated_at=training.transfer_updated_at or person.updated_at,
    )


def _nearest_schedule(
    reader: Reader,
    training: DraftTraining,
    draft: DraftEnrolment,
    drafts: Sequence[DraftEnrolment],
) -> str | None:
    """The schedule of the nearest period that has one, in the same role before the other."""
    others = [
        (other_draft is not draft, abs((other.started_on - training.started_on).days), other)
        for other_draft in drafts
        for post in other_draft.posts
        for other in post.trainings
        if other.schedule is not None
    ]
    if not others:
        training.fields.complain("schedule", "missing key")
        return None
    schedule = min(others, key=lambda other: other[:2])[2].schedule
    partnership = reader.state.partnerships.get(training.partnership or "")
    cohort = partnership.cohort if partnership else training.cohort
    if cohort and reader.state.schedule(cohort, schedule) is None:
        training.fields.complain("schedule", f"'{schedule}' does not exist for {cohort}")
    return schedule


def _no_overlaps(fields: Fields, key: str, periods: list[tuple[date, date | None]]) -> None:
    if len(periods) < 2 or any(first == NO_DAY for first, _ in periods):
        return
    ordered = sorted(periods, key=lambda period: period[0])
    for (_, end), (start, _) in pairwise(ordered):
        if end is None or start < end:
            fields.complain(key, "overlapping periods")


# The rest of the person


def _id_changes(reader: Reader, fields: Fields) -> tuple[IdChange, ...]:
    changes: list[IdChange] = []
    for one in fields.inners("id_changes"):
        from_id, at = one.text("from"), one.instant("at")
        if from_id and not is_uuid(from_id):
            one.complain("from", "must be a UUID")
        one.done()
        changes.append(IdChange(from_id=from_id.lower(), at=at))
    return tuple(changes)


def _inductions(fields: Fields, first_day: date) -> tuple[Induction, ...]:
    if fields.has("inductions"):
        if fields.take("induction") is not None:
            fields.complain("induction", "give either induction or inductions")
        return tuple(_induction(one, first_day) for one in fields.inners("inductions"))
    one = fields.maybe_inner("induction")
    return () if one is None else (_induction(one, first_day),)


def _induction(fields: Fields, first_day: date) -> Induction:
    induction = Induction(
        started_on=fields.day_or("started_on", first_day),
        finished_on=fields.maybe_day("finished_on"),
        outcome=fields.maybe_choice("outcome", ("pass", "fail")),
    )
    _in_sequence(fields, induction.started_on, induction.finished_on)
    fields.done()
    return induction
