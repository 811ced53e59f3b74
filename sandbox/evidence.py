"""Which evidence a declaration must hold, by cohort, role and type. Pure."""

from sandbox.values import Cohort
from sandbox.vocabulary import (
    BASIC_EVIDENCE,
    DETAILED_EVIDENCE,
    ENGAGEMENT_EVIDENCE,
    INDUCTION_EVIDENCE,
    Role,
)


def allowed_evidence(cohort: Cohort, role: Role, kind: str) -> tuple[str, ...]:
    """The kinds of evidence one of which is required; none means that evidence is ignored."""
    if not cohort.detailed_evidence_types_enabled:
        return () if kind == "started" else BASIC_EVIDENCE
    if kind == "retained-2":
        return ENGAGEMENT_EVIDENCE
    if kind == "completed":
        return INDUCTION_EVIDENCE if role == "ect" else ENGAGEMENT_EVIDENCE
    return DETAILED_EVIDENCE


def default_evidence(cohort: Cohort, role: Role, kind: str) -> str | None:
    """The evidence a declaration of the start world holds when it does not say."""
    return next(iter(allowed_evidence(cohort, role, kind)), None)
