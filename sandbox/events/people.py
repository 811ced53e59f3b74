"""What schools and DfE do to a person: registered, mentored, moved, renamed, merged, funded."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from sandbox.edits import (
    assigned,
    earlier_of,
    every_mentorship,
    refreshed,
    touch,
    with_enrolment,
    with_post,
    with_training,
    without_mentor,
)
from sandbox.events.context import Context, Effect, Impossible, latest_place
from sandbox.people import Place, latest_post
from sandbox.rules.schedules import best_partnership
from sandbox.state import Changes, State
from sandbox.times import day_before
from sandbox.values import (
    Declaration,
    Enrolment,
    IdChange,
    Induction,
    Mentorship,
    Person,
    Post,
    Training,
)


def _only(person: Person) -> Changes:
    return Changes(puts=(person,))


# Mentors


def school_assigns_mentor(c: Context) -> Changes:
    ect, mentor = c.person("ect"), c.person("mentor")
    enrolment = c.role(ect, "ect", "ect")
    c.role(mentor, "mentor", "mentor")
    if mentor.ref == ect.ref:
        raise Impossible("mentor", "is the same participant")
    changed = assigned(enrolment, mentor.ref, c.event.day("from", c.day))
    return _only(c.touched(ect, refreshed(changed, c.today)))


def school_removes_mentor(c: Context) -> Changes:
    ect = c.person("ect")
    enrolment = c.role(ect, "ect", "ect")
    changed = without_mentor(enrolment, c.event.day("on", c.day))
    if changed == enrolment:
        raise Impossible("ect", "has no mentor")
    return _only(c.touched(ect, refreshed(changed, c.today)))


# Leaving and moving


def school_reports_leaving(c: Context) -> Changes:
    person = c.person()
    enrolment = c.enrolment(person)
    left = _left(c, enrolment, c.event.day("on", c.day))
    return _only(c.touched(person, refreshed(left, c.today)))


def _left(c: Context, enrolment: Enrolment, on: date) -> Enrolment:
    """The latest post with everything in it ended on a day, unless it ends earlier."""
    post = latest_post(enrolment)

    def end(training: Training) -> Training:
        over = max(on, training.started_on)
        if training.finished_on is not None and training.finished_on <= over:
            return training
        return replace(training, finished_on=over, transfer_updated_at=c.at)

    ended = replace(
        post,
        finished_on=earlier_of(post.finished_on, max(on, post.started_on)),
        trainings=tuple(end(training) for training in post.trainings),
        mentors=tuple(m for mentorship in post.mentors if (m := _unassigned(mentorship, on))),
    )
    return with_post(enrolment, post, ended)


def _unassigned(mentorship: Mentorship, on: date) -> Mentorship | None:
    if mentorship.started_on > on:
        return None
    return replace(mentorship, finished_on=earlier_of(mentorship.finished_on, on))


def school_reports_transfer(c: Context) -> Changes:
    person = c.person()
    enrolment = c.enrolment(person)
    joins_on = c.event.day("joins_on", c.day)
    school = c.school()
    before = latest_place(enrolment)
    leaves_on = c.event.day("leaves_on", joins_on)
    left = _left(c, enrolment, leaves_on)
    training = _begun(
        c,
        before.training,
        school=school.ref,
        provider=c.event.maybe_text("provider"),
        on=joins_on,
        until=None,
        schedule=c.event.maybe_text("schedule"),
    )
    email = c.event.maybe_text("email") if c.event.has("email") else before.post.email
    post = Post(
        school=school.ref,
        started_on=joins_on,
        finished_on=None,
        email=email,
        trainings=(training,),
        mentors=(),
    )
    moved = replace(left, posts=(*left.posts, post))
    return _only(c.touched(person, refreshed(moved, c.today), unfunded=True))


def _begun(
    c: Context,
    before: Training,
    *,
    school: str,
    provider: str | None,
    on: date,
    until: date | None,
    schedule: str | None = None,
) -> Training:
    """A training period that begins on a day, under a partnership if there is one."""
    begun = Training(
        provider=provider,
        partnership=None,
        cohort=None,
        schedule=None,
        started_on=on,
        finished_on=until,
        deferral=None,
        withdrawal=None,
        created_at=c.at,
        transfer_updated_at=c.at,
    )
    if provider is None:
        return begun
    return _placed(c, begun, before, school=school, schedule=schedule)


def _placed(
    c: Context, begun: Training, before: Training, *, school: str, schedule: str | None
) -> Training:
    state, provider = c.state, begun.provider or ""
    year = _cohort(state, before, begun.started_on)
    named = c.event.maybe_text("partnership")
    if named is not None:
        partnership = c.partnership()
        if partnership.provider != provider or partnership.school != school:
            raise Impossible("partnership", f"'{named}' is not of that provider and school")
        year = partnership.cohort
    elif c.event.has("partnership"):
        partnership = None
    else:
        partnership = best_partnership(
            state, school=school, provider=provider, year=year or 0, like=None
        )
    identifier = schedule or before.schedule or _any_schedule(state, year)
    if year is None or state.schedule(year, identifier) is None:
        raise Impossible("schedule", f"'{identifier}' does not exist for {year}")
    return replace(
        begun,
        partnership=partnership.ref if partnership else None,
        cohort=None if partnership else year,
        schedule=identifier,
    )


def _cohort(state: State, before: Training, on: date) -> int | None:
    """The cohort of the period before; after a school-led one, that of the day."""
    if before.partnership is not None:
        return state.partnerships[before.partnership].cohort
    return before.cohort or state.cohort_of_day(on)


def _any_schedule(state: State, year: int | None) -> str | None:
    return next(iter(state.schedules.get(year or 0, {})), None)


def training_provider_changed(c: Context) -> Changes:
    person = c.person()
    return _replaced(c, person, c.enrolment(person), c.provider().ref)


def switched_to_school_led(c: Context) -> Changes:
    person = c.person()
    return _replaced(c, person, c.role(person, "ect"), None)


def _replaced(c: Context, person: Person, enrolment: Enrolment, provider: str | None) -> Changes:
    """The latest period ends the day before; in the same post another one begins."""
    place = latest_place(enrolment)
    on = c.event.day("on", c.day)
    begun = _begun(
        c,
        place.training,
        school=place.post.school,
        provider=provider,
        on=on,
        until=place.post.finished_on,
    )
    return _only(c.touched(person, _followed(c, enrolment, place, begun)))


def _followed(c: Context, enrolment: Enrolment, place: Place, begun: Training) -> Enrolment:
    if begun.started_on <= place.training.started_on:
        raise Impossible("on", "the training period began that day or later")
    if begun.finished_on is not None and begun.finished_on < begun.started_on:
        raise Impossible("on", "the participant has left the school by then")
    over = earlier_of(place.training.finished_on, day_before(begun.started_on))
    ended = replace(place.training, finished_on=over, transfer_updated_at=c.at)
    return with_training(enrolment, place, ended, begun)


def moved_from_frozen_cohort(c: Context) -> Changes:
    person = c.person()
    enrolment = c.enrolment(person)
    place = latest_place(enrolment)
    provider, year = place.training.provider, c.event.year("cohort")
    if provider is None:
        raise Impossible("participant", "is in school-led training")
    partnership = best_partnership(
        c.state, school=place.post.school, provider=provider, year=year, like=None
    )
    identifier = c.event.maybe_text("schedule") or place.training.schedule
    if partnership is None:
        raise Impossible("cohort", "the provider has no partnership with the school there")
    if c.state.schedule(year, identifier) is None:
        raise Impossible("schedule", f"'{identifier}' does not exist for {year}")
    begun = replace(
        place.training,
        partnership=partnership.ref,
        cohort=None,
        schedule=identifier,
        started_on=c.day,
        deferral=None,
        withdrawal=None,
        created_at=c.at,
        transfer_updated_at=c.at,
    )
    moved = replace(
        _followed(c, enrolment, place, begun), cohort_changed_after_payments_frozen=True
    )
    return _only(c.touched(person, moved))


# Names


def participant_renamed(c: Context) -> Changes:
    renamed = replace(c.person(), full_name=c.event.text("full_name"))
    return _only(touch(renamed, c.at, unfunded=True))


def participant_trn_changed(c: Context) -> Changes:
    changed = replace(c.person(), trn=c.event.maybe_text("trn"))
    return _only(touch(changed, c.at, unfunded=True))


def participant_email_changed(c: Context) -> Changes:
    person = c.person()
    enrolment = c.enrolment(person)
    post = latest_post(enrolment)
    changed = with_post(enrolment, post, replace(post, email=c.event.maybe_text("email")))
    return _only(touch(with_enrolment(person, enrolment.role, changed), c.at, unfunded=True))


# Merged and removed


def participant_merged(c: Context) -> Changes:
    gone, to = c.person("from"), c.person("to")
    if gone.ref == to.ref:
        raise Impossible("to", "is the same participant")
    merged = replace(
        to,
        id_changes=(*to.id_changes, *gone.id_changes, IdChange(from_id=gone.id, at=c.at)),
        ect=to.ect or _as_of(gone.ect, gone.ref, to.ref),
        mentor=to.mentor or gone.mentor,
        updated_at=c.at,
    )
    people = {person.ref: person for person in _mentored_by_another(c, gone.ref, to.ref)}
    if merged.ref in people:
        raise Impossible("to", f"'{gone.ref}' is the mentor of '{to.ref}'")
    declarations = tuple(
        replace(d, of=to.ref) for d in c.state.index.declarations_of[gone.ref].values()
    )
    others = tuple(_with_mentor(c.state, gone.ref, to.ref, declarations))
    return Changes(puts=(merged, *people.values(), *others), removes=(gone,))


def _as_of(ect: Enrolment | None, old: str, new: str) -> Enrolment | None:
    """An enrolment that goes over to another record, which keeps no name of the old one."""
    if ect is None:
        return None
    shown = new if ect.mentor_shown == old else ect.mentor_shown
    return replace(every_mentorship(ect, lambda m: _renamed(m, old, new)), mentor_shown=shown)


def _mentored_by_another(c: Context, old: str, new: str | None) -> Iterable[Person]:
    """The ECTs whose mentor was one person, now another's or nobody's."""
    for ect in list(c.state.people.values()):
        enrolment = ect.ect
        if enrolment is None or ect.ref == old or not _names(enrolment, old):
            continue
        changed = every_mentorship(enrolment, lambda m: _renamed(m, old, new))
        if enrolment.mentor_shown == old:
            shown = replace(changed, mentor_shown=new)
            shown = shown if new else refreshed(shown, c.today)
            yield touch(replace(ect, ect=shown), c.at)
        else:
            yield replace(ect, ect=changed)


def _names(enrolment: Enrolment, mentor: str) -> bool:
    return any(m.mentor == mentor for post in enrolment.posts for m in post.mentors)


def _renamed(mentorship: Mentorship, old: str, new: str | None) -> Mentorship | None:
    if mentorship.mentor != old:
        return mentorship
    return replace(mentorship, mentor=new) if new else None


def _with_mentor(
    state: State, old: str, new: str | None, moved: tuple[Declaration, ...]
) -> Iterable[Declaration]:
    """The declarations that moved, and those that name a mentor who is not there any more."""
    refs = {declaration.ref for declaration in moved}
    for declaration in (*moved, *state.declarations.values()):
        current = declaration.ref in refs and state.declarations[declaration.ref] is declaration
        if current:
            continue
        if declaration.mentor == old:
            yield replace(declaration, mentor=new)
        elif declaration.ref in refs:
            yield declaration


def participant_removed(c: Context) -> Changes:
    gone = c.person()
    made = tuple(c.state.index.declarations_of[gone.ref].values())
    refs = {declaration.ref for declaration in made}
    others = [d for d in _with_mentor(c.state, gone.ref, None, ()) if d.ref not in refs]
    ects = tuple(_mentored_by_another(c, gone.ref, None))
    return Changes(puts=(*ects, *others), removes=(*made, gone))


# Schedule, induction, funding


def schedule_corrected(c: Context) -> Changes:
    person = c.person()
    enrolment = c.enrolment(person)
    place = latest_place(enrolment)
    identifier = c.event.text("schedule")
    year = _cohort(c.state, place.training, place.training.started_on)
    if place.training.provider is None:
        raise Impossible("participant", "is in school-led training")
    if c.state.schedule(year, identifier) is None:
        raise Impossible("schedule", f"'{identifier}' does not exist for {year}")
    corrected = with_training(enrolment, place, replace(place.training, schedule=identifier))
    return _only(c.touched(person, corrected))


def induction_recorded(c: Context) -> Changes:
    person = c.person()
    c.role(person, "ect")
    started_on = c.event.day("started_on", c.day)
    finished_on = c.event.given.get("finished_on")
    end = finished_on if isinstance(finished_on, date) else None
    if end is not None and end < started_on:
        raise Impossible("finished_on", "is before started_on")
    period = Induction(started_on=started_on, finished_on=end, outcome=None)
    return _only(touch(replace(person, inductions=(*person.inductions, period)), c.at))


def induction_completed(c: Context) -> Changes:
    person = c.person()
    still_open = [i for i in person.inductions if i.finished_on is None]
    if not still_open:
        raise Impossible("participant", "has no open induction period")
    over = replace(
        still_open[-1],
        finished_on=max(c.event.day("finished_on", c.day), still_open[-1].started_on),
        outcome=c.event.maybe_text("outcome") or "pass",
    )
    inductions = tuple(over if i is still_open[-1] else i for i in person.inductions)
    return _only(touch(replace(person, inductions=inductions), c.at))


def funding_eligibility_confirmed(c: Context) -> Changes:
    person = c.person()
    enrolment = c.enrolment(person)
    funded = c.touched(person, replace(enrolment, fundable=True))
    eligible: list[Declaration] = []
    for declaration in c.state.index.declarations_of[person.ref].values():
        if declaration.role != enrolment.role or declaration.state != "submitted":
            continue
        cohort = c.state.cohort_of(declaration)
        statement = c.state.next_statement(declaration.by, cohort or 0, c.today)
        if statement is not None:
            eligible.append(
                replace(declaration, state="eligible", statement=statement.ref, updated_at=c.at)
            )
    return Changes(puts=(funded, *eligible))


def mentor_funding_ended(c: Context) -> Changes:
    person = c.person()
    ended = replace(
        c.role(person, "mentor"),
        mentor_funding_end_date=c.event.day("on", c.day),
        mentor_ineligible_for_funding_reason=c.event.text("reason"),
    )
    return _only(c.touched(person, ended))


def working_pattern_changed(c: Context) -> Changes:
    person = c.person()
    pattern = c.event.maybe_text("working_pattern")
    changed = replace(c.role(person, "ect"), working_pattern=pattern)
    return _only(with_enrolment(person, "ect", changed))


def uplift_changed(c: Context) -> Changes:
    person = c.person()
    old = c.role(person, "ect")
    changed = replace(
        old,
        pupil_premium_uplift=c.event.flag("pupil_premium_uplift", old.pupil_premium_uplift),
        sparsity_uplift=c.event.flag("sparsity_uplift", old.sparsity_uplift),
    )
    return _only(with_enrolment(person, "ect", changed))


EFFECTS: dict[str, Effect] = {
    effect.__name__: effect
    for effect in (
        school_assigns_mentor,
        school_removes_mentor,
        school_reports_leaving,
        school_reports_transfer,
        training_provider_changed,
        switched_to_school_led,
        participant_renamed,
        participant_trn_changed,
        participant_email_changed,
        participant_merged,
        participant_removed,
        schedule_corrected,
        moved_from_frozen_cohort,
        induction_recorded,
        induction_completed,
        funding_eligibility_confirmed,
        mentor_funding_ended,
        working_pattern_changed,
        uplift_changed,
    )
}
