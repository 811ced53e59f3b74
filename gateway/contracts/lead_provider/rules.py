"""Every refusal the API is known to give: what it means, and what a person can do about it.

One idea: a list. A refusal is recognised by its title and the beginning of its detail; the same
sentence may mean "already done" to one operation and "impossible" to another.
"""

from collections.abc import Sequence

from gateway.contracts.lead_provider.terms import OPERATIONS
from schema.contract import Meaning, Rule

ALREADY, LATER, DATA, STATE = Meaning.ALREADY, Meaning.LATER, Meaning.DATA, Meaning.STATE

_ALL = tuple(OPERATIONS)
_PARTICIPANT = ("defer", "withdraw", "resume", "change_schedule")
_STATUS = ("defer", "withdraw")

_CHECK_LINK = "Check that the record is linked to the right participant and course."
_WAIT_SCHOOL = "Check with the school that the participant is registered with you."
_CHECK_MILESTONE = (
    "Correct the declaration date, or the participant's schedule and cohort. The API does not name "
    "the milestone's date; DfE's schedule does."
)
_OURS = "The request was built wrongly; report it. Nothing in the data needs to change."
_CONTACT = "Contact the DfE; nothing sent from here can change it."


def _rules(
    operations: tuple[str, ...], source: str, *rows: tuple[str, str, Meaning, str]
) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            operations=operations,
            title=title,
            detail=detail,
            meaning=meaning,
            source=source,
            advice=advice,
        )
        for title, detail, meaning, advice in rows
    )


RULES: Sequence[Rule] = (
    *_rules(
        _ALL,
        "§3",
        ("Bad request", "Correct json data structure required", DATA, _OURS),
        ("Bad request", "The '#/page[page]' and '#/page[per_page]'", DATA, _OURS),
        ("Bad request", "The filter '#/updated_since'", DATA, _OURS),
        ("Bad parameter", "", DATA, _OURS),
        (
            "Resource not found",
            "",
            Meaning.MISSING,
            "The API does not know this id, or does not show it to you, and lists nobody whom it was "
            "merged into. Look there, then link the record anew, or ask the school.",
        ),
        (
            "error",
            "Unprocessable content",
            Meaning.PASSING,
            "Two requests met; nothing was saved. It is tried again by itself.",
        ),
        (
            "error",
            "Resource not found",
            STATE,
            "The address is not one of this API. Check PILLARBOX_API_URL; it ends in /api/v3.",
        ),
    ),
    *_rules(
        _PARTICIPANT,
        "§7",
        ("course_identifier", "Enter a '#/course_identifier'.", DATA, _CHECK_LINK),
        (
            "course_identifier",
            "The entered '#/course_identifier' is not recognised for the given participant.",
            STATE,
            f"{_CHECK_LINK} {_WAIT_SCHOOL}",
        ),
    ),
    *_rules(
        _STATUS,
        "§7.1",
        ("reason", "Enter a '#/reason'.", DATA, "Give a reason."),
        (
            "reason",
            "The entered '#/reason' is not recognised",
            DATA,
            "Choose one of the API's reasons, spelled with dashes.",
        ),
        (
            "participant_id",
            "You cannot defer or withdraw this participant today.",
            LATER,
            "Training changed today; it is sent again tomorrow by itself.",
        ),
    ),
    *_rules(
        ("defer",),
        "§7.1",
        (
            "participant_id",
            "The '#/participant_id' is already deferred.",
            ALREADY,
            "Look there whether it is deferred for your reason; the API cannot change a reason.",
        ),
        (
            "participant_id",
            "The '#/participant_id' is already withdrawn.",
            STATE,
            "A withdrawn participant cannot be deferred. Resume first, or discard this change.",
        ),
        (
            "participant_id",
            "You cannot defer #/participant_id.",
            STATE,
            "Training has not run for a day yet. Replay this once it has.",
        ),
    ),
    *_rules(
        ("withdraw",),
        "§7.2",
        (
            "participant_id",
            "The '#/participant_id' is already withdrawn.",
            ALREADY,
            "Look there whether it is withdrawn for your reason; the API cannot change a reason.",
        ),
        (
            "participant_id",
            "You cannot withdraw #/participant_id.",
            STATE,
            "Training has not run for a day yet. Replay this once it has.",
        ),
        (
            "reason",
            "You cannot withdraw an ECT for this reason.",
            DATA,
            "Choose a reason that applies to an early career teacher.",
        ),
    ),
    *_rules(
        ("resume",),
        "§7.3",
        (
            "participant_id",
            "The '#/participant_id' is already active.",
            ALREADY,
            "Look there: training goes on already, and nothing needs to be sent.",
        ),
        (
            "participant_id",
            "You cannot resume a participant on the same day",
            LATER,
            "Training ended today; it is sent again tomorrow by itself.",
        ),
        (
            "participant_id",
            "This participant cannot be resumed because they are already active with another",
            STATE,
            "Another provider trains this participant now. Ask the school; discard if so.",
        ),
        (
            "participant_id",
            "The participant is no longer at the school.",
            STATE,
            "Ask the school's induction tutor to register the participant; then replay.",
        ),
    ),
    *_rules(
        ("change_schedule",),
        "§7.4",
        (
            "schedule_identifier",
            "The property '#/schedule_identifier' must be present",
            DATA,
            "This schedule does not exist for the cohort. Choose another schedule or cohort.",
        ),
        (
            "schedule_identifier",
            "Enter a valid schedule identifier.",
            DATA,
            "Choose one of the API's schedules, such as ecf-standard-september.",
        ),
        (
            "schedule_identifier",
            "Selected schedule is already on the profile",
            ALREADY,
            "Look there: the schedule is set already, and nothing needs to be sent.",
        ),
        (
            "schedule_identifier",
            "Selected schedule is not valid for the course_identifier",
            DATA,
            "A replacement schedule is for mentors only. Choose another one.",
        ),
        (
            "schedule_identifier",
            "Mentors cannot be placed on a reduced schedule.",
            DATA,
            "A reduced schedule is for early career teachers only. Choose another one.",
        ),
        (
            "schedule_identifier",
            "The change of schedule cannot be applied because a previous change",
            STATE,
            f"It would invalidate a declaration made today. {_CONTACT}",
        ),
        (
            "cohort",
            "You cannot change a participant to this ",
            STATE,
            "You need a partnership with the school in that cohort. Form it, then replay.",
        ),
        (
            "cohort",
            "You cannot move a participant to a payments frozen cohort",
            DATA,
            "That cohort's funding is closed. Choose another cohort.",
        ),
        (
            "participant_id",
            "You cannot change this participant's schedule as they have completed",
            STATE,
            "Training or induction is complete; only an ECT may still go to a reduced schedule.",
        ),
        (
            "participant_id",
            "You cannot change this participant's schedule. This is because",
            STATE,
            "The participant is not training with you now. Resume first; then it is sent again.",
        ),
        (
            "participant_id",
            "Cannot perform actions on a withdrawn participant",
            STATE,
            "The participant is withdrawn. Resume first; then it is sent again.",
        ),
        (
            "participant_id",
            "You cannot change this participant's schedule as they are due to start with another",
            STATE,
            "Another provider will train this participant. Ask the school; discard if so.",
        ),
    ),
    *_rules(
        ("declare",),
        "§7.5",
        (
            "participant_id",
            "Your update cannot be made as the '#/participant_id' is not recognised.",
            STATE,
            f"{_CHECK_LINK} {_WAIT_SCHOOL}",
        ),
        ("participant_id", "Enter a '#/participant_id'.", DATA, _CHECK_LINK),
        (
            "participant_id",
            "This participant withdrew from this course on ",
            STATE,
            "Declare with a date before the withdrawal, or resume the participant first.",
        ),
        ("course_identifier", "Enter a '#/course_identifier'.", DATA, _CHECK_LINK),
        (
            "course_identifier",
            "The entered '#/course_identifier' is not recognised for the given participant.",
            STATE,
            f"{_CHECK_LINK} {_WAIT_SCHOOL}",
        ),
        ("declaration_date", "Enter a '#/declaration_date'.", DATA, "Give the declaration's date."),
        ("declaration_type", "Enter a '#/declaration_type'.", DATA, "Give the declaration's type."),
        (
            "declaration_type",
            "Enter a valid declaration type.",
            DATA,
            "Choose one of started, retained-1 to retained-4, completed, extended-1 to extended-3.",
        ),
        (
            "declaration_type",
            "A declaration has already been submitted that will be, or has been, paid",
            ALREADY,
            "Look there whose it is: yours is in step; another provider's cannot be claimed again.",
        ),
        (
            "declaration_date",
            "The '#/declaration_date' value cannot be a future date.",
            DATA,
            "Correct the date, or declare once it has come.",
        ),
        (
            "declaration_date",
            "Declaration date must be on or after the milestone start date",
            STATE,
            f"The declaration date is before this type's milestone begins. {_CHECK_MILESTONE}",
        ),
        (
            "declaration_date",
            "Declaration date must be on or before the milestone date",
            STATE,
            f"The declaration date is after this type's milestone. {_CHECK_MILESTONE}",
        ),
        (
            "declaration_date",
            "Enter a valid RCF3339 '#/declaration_date'.",
            DATA,
            "Give date and time in UTC, such as 2025-09-20T09:00:00Z.",
        ),
        (
            "declaration_date",
            "This '#/declaration_date' is invalid. Check that it is in sequence",
            STATE,
            "Earlier types need earlier dates. Correct this date, or void the one that is wrong.",
        ),
        (
            "declaration_type",
            "You cannot send retained or extended declarations for participants who began",
            DATA,
            "Mentors who began after June 2025 have started and completed only.",
        ),
        (
            "declaration_type",
            "The property '#/declaration_type' does not exist for this schedule.",
            STATE,
            "This schedule has no such declaration. Choose another type, or change the schedule.",
        ),
        (
            "evidence_held",
            "Enter a '#/evidence_held' value for this participant.",
            DATA,
            "Say which evidence you hold.",
        ),
        (
            "evidence_held",
            "Enter an available '#/evidence_held' type for this participant.",
            DATA,
            "This evidence does not go with the type and cohort. Choose another kind of evidence.",
        ),
        ("cohort", "You cannot submit declarations for the ", STATE, _CONTACT),
        ("cohort", "You cannot submit or void declarations for the ", STATE, _CONTACT),
    ),
    *_rules(
        ("void",),
        "§7.6",
        (
            "participant_declaration_id",
            "The declaration has already been voided.",
            ALREADY,
            "Look there: the claim is taken back already, and nothing needs to be sent.",
        ),
        (
            "participant_declaration_id",
            "The declaration will or has been refunded",
            ALREADY,
            "Look there: the claim was paid and is being refunded; nothing needs to be sent.",
        ),
        (
            "participant_declaration_id",
            "You cannot submit or void declarations for the ",
            STATE,
            _CONTACT,
        ),
    ),
    *_rules(
        ("form_partnership",),
        "§7.7",
        ("cohort", "Enter a '#/cohort'.", DATA, "Give the cohort."),
        ("cohort", "The '#/cohort' you have entered is invalid.", DATA, "Check the cohort."),
        (
            "cohort",
            "You cannot create a partnership for a future cohort.",
            STATE,
            "The cohort is not open yet. Replay once it is.",
        ),
        (
            "cohort",
            "You cannot create this partnership as the cohort is closed.",
            STATE,
            "The cohort is closed. Choose another one, or contact the DfE.",
        ),
        ("school_id", "Enter a '#/school_id'.", DATA, "Give the school's id."),
        (
            "school_id",
            "The '#/school_id' you have entered is invalid.",
            DATA,
            "Check the school's id; the schools list of the API gives it.",
        ),
        (
            "school_id",
            "The school you have entered is currently ineligible",
            STATE,
            "Ask the school; it does not get funding at present.",
        ),
        (
            "school_id",
            "This school has only registered school-led participants.",
            STATE,
            "Ask the school to register a participant as provider-led; then replay.",
        ),
        (
            "school_id",
            "You are already in a confirmed partnership with this school",
            ALREADY,
            "Look there; if the delivery partner differs it is corrected.",
        ),
    ),
    *_rules(
        ("form_partnership", "correct_partnership"),
        "§7.7",
        (
            "delivery_partner_id",
            "Enter a '#/delivery_partner_id'.",
            DATA,
            "Give the delivery partner's id.",
        ),
        (
            "delivery_partner_id",
            "The '#/delivery_partner_id' you have entered is invalid.",
            DATA,
            "Check the delivery partner's id; the delivery partners list of the API gives it.",
        ),
        (
            "delivery_partner_id",
            "The entered delivery partner is not recognised to be working in partnership",
            STATE,
            "The DfE does not know this partner as yours in that cohort. Contact it, then replay.",
        ),
    ),
    *_rules(
        ("correct_partnership",),
        "§7.7",
        (
            "delivery_partner_id",
            "We are unable to process this request. You are already confirmed",
            ALREADY,
            "Look there; if it is not this partner, another partnership of that school has it.",
        ),
    ),
)
