"""What a read that was not asked for by a record does to it. Pure.

One idea: `records.reads` says which reads count; a read that only comes by must beyond that leave a
record as it stands where it has nothing to say of what is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from records.fold import Agrees, Folded
from records.reads import LastCall, Seen, in_hand, is_newest, take_over
from schema.fingerprint import Json, canonical
from schema.outcomes import Delivered
from schema.record import Record
from schema.states import Reason, RecordState


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write of ours that may have had its effect there."""

    operation: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls for a record: whether one is under way, when the last one ended, the writes."""

    under_way: bool = False
    ended_at: datetime | None = None
    writes: tuple[Write, ...] = ()


NO_CALLS = Calls()

HEALED_BY_NEWS = frozenset({Reason.REFUSED, Reason.INVALID_HERE})
"""Dead letters that another state there may heal: admission decides it afresh, without a call."""


def may_be_told(record: Record, calls: Calls, began_at: datetime) -> bool:
    """Whether a read that began then is later than all that is known of the record."""
    if record.state is RecordState.TAKEN:
        return False
    last = None
    if calls.under_way or calls.ended_at is not None:
        last = LastCall(ended_at=None if calls.under_way else calls.ended_at)
    return is_newest(record, Seen(accepted={}, began=began_at), last)


def is_news(record: Record, accepted: Mapping[str, Json]) -> bool:
    """Whether a record does not know this already, or has something that it may settle."""
    return (
        record.accepted is None
        or record.mark is not None
        or record.look_first
        or canonical(record.accepted) != canonical(accepted)
    )


def take_in(
    record: Record,
    told: Delivered,
    *,
    began_at: datetime,
    calls: Calls,
    quarantine: timedelta,
    agrees: Agrees,
    status_field: str | None,
    now: datetime,
) -> Folded | None:
    """Take over what a read that began at *began_at* says of a record; None when it says nothing.

    *quarantine* is how long after the mark of a call without an answer it may still land. A read
    settles a doubt as done at once, as not done only if it began after that.
    """
    accepted = told.accepted or {}
    if not may_be_told(record, calls, began_at) or not is_news(record, accepted):
        return None
    seen = Seen(
        accepted=accepted,
        began=began_at,
        remote_id=told.remote_id,
        remote_updated_at=told.remote_updated_at,
    )
    folded = take_over(
        record,
        seen,
        safe_to_look=None if record.mark is None else record.mark.at + quarantine,
        agrees=agrees,
        status_field=status_field,
        now=now,
    )
    if folded is None:
        return None
    return in_hand(record, replace(folded, record=_left_in_peace(record, folded.record)))


def _left_in_peace(before: Record, after: Record) -> Record:
    """Leave a record where it stands when the read changed nothing of what is asked for.

    An answer to a call makes its record due again. A read that comes by must not: a wait until
    tomorrow would end, and a dead letter would be tried again, with each change of another field.
    """
    if before.reason is Reason.UNCONFIRMED and after.expected and not after.changed:
        return _standing_as(before, after)
    same = (
        after.state is RecordState.WAITING
        and before.mark is None
        and not before.look_first
        and _asked(before) == _asked(after)
    )
    heals = before.state is RecordState.DEAD and before.reason in HEALED_BY_NEWS
    return _standing_as(before, after) if same and not heals else after


def _standing_as(before: Record, after: Record) -> Record:
    return after.but(
        state=before.state,
        reason=before.reason,
        problem=before.problem,
        due_at=before.due_at,
        waits_for=before.waits_for,
        lease_until=before.lease_until,
        tries=before.tries,
        takes=before.takes,
        first_try_at=before.first_try_at,
    )


def _asked(record: Record) -> object:
    wishes = {name: (wish.value, wish.stamp) for name, wish in record.pending.items()}
    return wishes, record.path
