"""Which records go before all others: those whose date is near. Pure.

One idea: the order of a lane is the order of due times, so who leads it is due long before everybody
else, and among those the nearest date comes first. Nothing about the order itself changes.
"""

from datetime import UTC, datetime, timedelta

SOON = timedelta(days=7)
"""Inside this time before its cut-off a record leads its lane. Longer, and most claims do, which is no
lead; shorter, and a refusal leaves no time to correct it."""

BEFORE_ALL = timedelta(days=36_500)
"""How much earlier than its cut-off a leading record is due: earlier than anything that waits."""

NO_DATE = datetime(9999, 1, 1, tzinfo=UTC)
"""Of what has no cut-off, or none that is known yet."""


def leads(cut_off: datetime, now: datetime) -> bool:
    """Whether a record with this cut-off goes before all others of its lane."""
    return now < cut_off <= now + SOON


def front(cut_off: datetime) -> datetime:
    """Give the due time of a record that leads."""
    return cut_off - BEFORE_ALL
