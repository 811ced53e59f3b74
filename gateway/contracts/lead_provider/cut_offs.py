"""Until when a claim must be accepted: the cut-off of the statement it then falls under.

One idea: a claim goes to the next open statement of its cohort. Which one that is follows from the
statements as last read and the day in London, and from nothing else.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from gateway.contracts.lead_provider.reading import parent_of
from gateway.contracts.lead_provider.terms import SUBMITTED, as_text
from schema.days import LONDON, london_day
from schema.fingerprint import Json
from schema.record import Record


def cut_off(
    record: Record, kin: Sequence[Record], dates: Sequence[Mapping[str, Json]], now: datetime
) -> datetime | None:
    """Give the end of the cut-off day in London, for a claim that is to be made.

    A void has none: it takes money back. While nobody knows the cohort, the next cut-off of all
    counts: too early a warning costs a look, too late a one a payment.
    """
    if record.key.kind != "declaration" or record.wanted("state") != SUBMITTED:
        return None
    parent = parent_of(record, kin)
    cohort = None if parent is None else as_text(parent.wanted("cohort"))
    days = [day for one in dates if (day := _open_until(one, cohort, london_day(now)))]
    return _end_of(min(days)) if days else None


def _open_until(statement: Mapping[str, Json], cohort: str | None, today: date) -> date | None:
    """Give the last day on which a statement takes claims of a cohort; None when it is over."""
    if statement.get("paid") is True or cohort not in (None, as_text(statement.get("cohort"))):
        return None
    try:
        day = date.fromisoformat(as_text(statement.get("cut_off_date")) or "")
    except ValueError:
        return None
    return day if day >= today else None


def _end_of(day: date) -> datetime:
    midnight = datetime.combine(day + timedelta(days=1), time(0), tzinfo=LONDON)
    return midnight.astimezone(UTC)
