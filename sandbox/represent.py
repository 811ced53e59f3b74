"""What the API shows of each thing, attribute by attribute."""

from datetime import date, datetime

from sandbox.people import (
    Place,
    Transfer,
    completed_on,
    latest_with,
    participant_status,
    transfers,
)
from sandbox.state import State
from sandbox.times import london_day, shown
from sandbox.values import (
    Declaration,
    DeliveryPartner,
    Enrolment,
    Partnership,
    Pause,
    Person,
    School,
    Statement,
)
from sandbox.vocabulary import COURSE_OF, DETAILED_FROM

Json = dict[str, object]

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def envelope(entity_id: str, kind: str, attributes: Json) -> Json:
    return {"id": entity_id, "type": kind, "attributes": attributes}


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


# Participants


def participant(state: State, person: Person, provider: str, now: datetime) -> Json:
    """A person as one provider sees them."""
    today = london_day(now)
    enrolments = [
        _enrolment(state, person, enrolment, place, today)
        for enrolment in person.enrolments()
        if (place := latest_with(enrolment, provider))
    ]
    return envelope(
        person.id,
        "participant",
        {
            "full_name": person.full_name,
            "teacher_reference_number": person.trn,
            "updated_at": shown(person.updated_at),
            "ecf_enrolments": enrolments,
            "participant_id_changes": [
                {
                    "from_participant_id": change.from_id,
                    "to_participant_id": person.id,
                    "changed_at": shown(change.at),
                }
                for change in person.id_changes
            ],
        },
    )


def _enrolment(
    state: State, person: Person, enrolment: Enrolment, place: Place, today: date
) -> Json:
    training, post = place.training, place.post
    partnership = state.partnerships[training.partnership or ""]
    is_ect = enrolment.role == "ect"
    completed = completed_on(person, enrolment.role)
    status = training.status
    uplifts = is_ect and partnership.cohort < DETAILED_FROM
    return {
        "training_record_id": enrolment.training_record_id,
        "email": post.email,
        "mentor_id": _id_of(state, enrolment.mentor_shown) if is_ect else None,
        "school_urn": state.schools[partnership.school].urn,
        "participant_type": enrolment.role,
        "working_pattern": enrolment.working_pattern if is_ect else None,
        "cohort": str(partnership.cohort),
        "training_status": status,
        "participant_status": participant_status(training, completed=completed, today=today),
        "eligible_for_funding": enrolment.fundable,
        "pupil_premium_uplift": uplifts and enrolment.pupil_premium_uplift,
        "sparsity_uplift": uplifts and enrolment.sparsity_uplift,
        "schedule_identifier": training.schedule,
        "delivery_partner_id": state.delivery_partners[partnership.delivery_partner].id,
        "withdrawal": _pause(training.withdrawal) if status == "withdrawn" else None,
        "deferral": _pause(training.deferral) if status == "deferred" else None,
        "created_at": shown(enrolment.created_at),
        "induction_end_date": _day(completed) if is_ect else None,
        **_inductions(person, is_ect),
        "mentor_funding_end_date": None if is_ect else _day(enrolment.mentor_funding_end_date),
        "cohort_changed_after_payments_frozen": enrolment.cohort_changed_after_payments_frozen,
        "mentor_ineligible_for_funding_reason": None
        if is_ect
        else enrolment.mentor_ineligible_for_funding_reason,
    }


def _inductions(person: Person, is_ect: bool) -> Json:
    periods = sorted(person.inductions, key=lambda induction: induction.started_on)
    known = is_ect and bool(periods)
    return {
        "most_recent_induction_period_end_date": _day(periods[-1].finished_on) if known else None,
        "overall_induction_start_date": _day(periods[0].started_on) if known else None,
    }


def _pause(pause: Pause | None) -> Json | None:
    return {"reason": pause.reason, "date": shown(pause.at)} if pause else None


def _id_of(state: State, ref: str | None) -> str | None:
    return state.refs.get(ref) if ref else None


# Transfers


def participant_transfer(state: State, person: Person, provider: str, now: datetime) -> Json:
    """The moves of a person that a provider has a side in."""
    today = london_day(now)
    moves = transfers(person, provider)
    stamps = [place.training.transfer_updated_at for move in moves for place in move.sides()]
    return envelope(
        person.id,
        "participant-transfer",
        {
            "updated_at": shown(max(stamps)),
            "transfers": [_transfer(state, move, today) for move in moves],
        },
    )


def has_transfers(person: Person, provider: str) -> bool:
    return bool(transfers(person, provider))


def transfer_stamps(person: Person, provider: str) -> list[datetime]:
    """The stamps that `updated_since` looks at: those of the provider's own periods."""
    return [
        place.training.transfer_updated_at
        for move in transfers(person, provider)
        for place in move.sides()
        if place.training.provider == provider and place.training.partnership
    ]


def _transfer(state: State, move: Transfer, today: date) -> Json:
    leaving, joining = move.leaving, move.joining
    left = leaving.training.finished_on
    return {
        "training_record_id": move.enrolment.training_record_id,
        "transfer_type": _transfer_type(leaving, joining),
        "status": "incomplete" if _ahead(left, joining, today) else "complete",
        "created_at": shown(leaving.training.created_at),
        "leaving": _side(state, leaving, left),
        "joining": _side(state, joining, joining.training.started_on) if joining else None,
    }


def _transfer_type(leaving: Place, joining: Place | None) -> str:
    if joining is None:
        return "unknown"
    same = leaving.training.provider == joining.training.provider
    return "new_school" if same else "new_provider"


def _ahead(left: date | None, joining: Place | None, today: date) -> bool:
    if left is not None and left > today:
        return True
    return joining is not None and joining.training.started_on > today


def _side(state: State, place: Place, day: date | None) -> Json:
    provider = place.training.provider
    return {
        "school_urn": state.schools[place.post.school].urn,
        "provider": state.providers[provider].name if provider else None,
        "date": _day(day),
    }


# Declarations, partnerships and the rest


def declaration(state: State, made: Declaration) -> Json:
    return envelope(
        made.id,
        "participant-declaration",
        {
            "participant_id": _id_of(state, made.of),
            "declaration_type": made.type,
            "course_identifier": COURSE_OF[made.role],
            "declaration_date": shown(made.dated),
            "state": made.state,
            "mentor_id": _id_of(state, made.mentor),
            "updated_at": shown(made.updated_at),
            "created_at": shown(made.created_at),
            "delivery_partner_id": _id_of(state, made.delivery_partner),
            "statement_id": _id_of(state, made.statement),
            "clawback_statement_id": _id_of(state, made.clawback_statement),
            "ineligible_for_funding_reason": None,
            "uplift_paid": made.uplift_paid,
            "evidence_held": made.evidence_held,
            "lead_provider_name": state.providers[made.by].name,
        },
    )


def partnership(state: State, partnership: Partnership, now: datetime) -> Json:
    school = state.schools[partnership.school]
    partner = state.delivery_partners[partnership.delivery_partner]
    return envelope(
        partnership.id,
        "partnership",
        {
            "cohort": str(partnership.cohort),
            "urn": school.urn,
            "school_id": school.id,
            "delivery_partner_id": partner.id,
            "delivery_partner_name": partner.name,
            "induction_tutor_name": school.tutor_name,
            "induction_tutor_email": school.tutor_email or school.gias_contact_email,
            "participants_currently_training": _training_now(state, partnership, london_day(now)),
            "created_at": shown(partnership.created_at),
            "updated_at": shown(partnership.updated_at),
        },
    )


def _training_now(state: State, partnership: Partnership, today: date) -> int:
    return sum(
        count
        for (started_on, finished_on), count in state.index.spans[partnership.ref].items()
        if started_on <= today and (finished_on is None or today < finished_on)
    )


def school(state: State, school: School, cohort: int, provider: str) -> Json:
    year = school.years[cohort]
    interested = provider in year.interested_in
    worked_out = state.school_shown(school.ref, cohort)
    return envelope(
        school.id,
        "school",
        {
            "name": school.name,
            "urn": school.urn,
            "cohort": str(cohort),
            "in_partnership": worked_out.in_partnership,
            "induction_programme_choice": worked_out.choice,
            "expression_of_interest": interested,
            "induction_tutor_name": school.tutor_name if interested else None,
            "induction_tutor_email": school.tutor_email if interested else None,
            "created_at": shown(year.created_at),
            "updated_at": shown(year.updated_at),
        },
    )


def delivery_partner(partner: DeliveryPartner, provider: str) -> Json:
    years = sorted({year for who, year in partner.pairings if who == provider})
    return envelope(
        partner.id,
        "delivery-partner",
        {
            "name": partner.name,
            "cohort": [str(year) for year in years],
            "created_at": shown(partner.created_at),
            "updated_at": shown(partner.updated_at),
        },
    )


def statement(statement: Statement) -> Json:
    return envelope(
        statement.id,
        "statement",
        {
            "month": MONTHS[statement.month - 1],
            "year": str(statement.year),
            "cohort": str(statement.cohort),
            "cut_off_date": _day(statement.cut_off_date),
            "payment_date": _day(statement.payment_date),
            "paid": statement.status == "paid",
            "created_at": shown(statement.created_at),
            "updated_at": shown(statement.updated_at),
        },
    )


def unfunded_mentor(state: State, mentor: Person, provider: str) -> Json:
    return envelope(
        mentor.id,
        "unfunded-mentor",
        {
            "full_name": mentor.full_name,
            "email": _email_where_mentoring(state, mentor, provider),
            "teacher_reference_number": mentor.trn,
            "created_at": shown(mentor.created_at),
            "updated_at": shown(mentor.unfunded_updated_at),
        },
    )


def _email_where_mentoring(state: State, mentor: Person, provider: str) -> str | None:
    """The mentor's email at the school of the provider's ECT assigned last."""
    if mentor.mentor is None:
        return None
    posts = sorted(mentor.mentor.posts, key=lambda post: post.started_on)
    mentees = state.index.mentees.get((mentor.ref, provider), {})
    newest = state.people.get(next(reversed(mentees), ""))
    there = newest.ect.posts if newest and newest.ect else ()
    schools = [post.school for post in there if any(m.mentor == mentor.ref for m in post.mentors)]
    here = [post for post in posts if schools and post.school == schools[-1]]
    return (here or posts)[-1].email if posts else None
