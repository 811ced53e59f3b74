"""The closed lists of words that the API and the world format know."""

from typing import Literal

Role = Literal["ect", "mentor"]

COURSES: dict[str, Role] = {"ecf-induction": "ect", "ecf-mentor": "mentor"}
COURSE_OF: dict[Role, str] = {"ect": "ecf-induction", "mentor": "ecf-mentor"}

DEFERRAL_REASONS = ("bereavement", "long-term-sickness", "parental-leave", "career-break", "other")
MENTOR_WITHDRAWAL_REASON = "mentor-no-longer-being-mentor"
WITHDRAWAL_REASONS = (
    "left-teaching-profession",
    "moved-school",
    MENTOR_WITHDRAWAL_REASON,
    "switched-to-school-led",
    "changed-lead-provider",
    "other",
)

SCHEDULES = tuple(
    f"ecf-{kind}-{month}"
    for kind in ("standard", "extended", "reduced", "replacement")
    for month in ("january", "april", "september")
)

DECLARATION_TYPES = (
    "started",
    "retained-1",
    "retained-2",
    "retained-3",
    "retained-4",
    "completed",
    "extended-1",
    "extended-2",
    "extended-3",
)
"""In the order in which a participant passes through them."""

DECLARATION_STATES = (
    "submitted",
    "eligible",
    "payable",
    "paid",
    "voided",
    "awaiting-clawback",
    "clawed-back",
)
LIVE_STATES = frozenset({"submitted", "eligible", "payable", "paid"})
REFUNDED_STATES = frozenset({"awaiting-clawback", "clawed-back"})

BASIC_EVIDENCE = ("training-event-attended", "self-study-material-completed", "other")
DETAILED_EVIDENCE = (*BASIC_EVIDENCE[:2], "materials-engaged-with-offline", "other")
ENGAGEMENT_EVIDENCE = ("75-percent-engagement-met", "75-percent-engagement-met-reduced-induction")
INDUCTION_EVIDENCE = (*ENGAGEMENT_EVIDENCE, "one-term-induction")
ALL_EVIDENCE = (*DETAILED_EVIDENCE, *INDUCTION_EVIDENCE)

WORKING_PATTERNS = ("full_time", "part_time")
MENTOR_FUNDING_END_REASONS = (
    "completed_declaration_received",
    "completed_during_early_roll_out",
    "started_not_completed",
)
PROGRAMME_CHOICES = ("school_led", "provider_led", "not_yet_known")
TRAINING_STATUSES = ("active", "deferred", "withdrawn")

DETAILED_FROM = 2025
"""The first cohort with detailed evidence, funded mentor training and the sequence rule."""
