"""What a read of the other side says of a record, and whether it may say it. Pure.

One idea: a read counts from when its request began. What began before something newer was known
changes nothing, however late it arrives; and it may show that a call in doubt was done, but that it
was not done only if it began after nothing of it could land any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from records.conflict import Agrees
from records.fold import Folded, accept, landed
from schema.fingerprint import Json
from schema.keys import RemoteId
from schema.record import Record
from schema.states import RecordState

IN_HAND = frozenset({RecordState.DISPATCHED, RecordState.TAKEN})
"""States in which somebody is on the way to the record, or has it: he reads it afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a read showed of one record; `began` is when its request was sent, by our clock."""

    accepted: Mapping[str, Json]
    began: datetime
    remote_id: RemoteId | None = None
    remote_updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCall:
    """How the last call for a record ended; `ended_at` is None while it is still open."""

    ended_at: datetime | None


def is_newest(record: Record, seen: Seen, last: LastCall | None) -> bool:
    """Whether a read may say anything: it began after what is known, and after our last call ended.

    *last* is the last call for the record. A look-up of the record's own needs no asking: it is the
    one call in flight.
    """
    if last is not None and (last.ended_at is None or seen.began <= last.ended_at):
        return False
    return record.accepted_at is None or seen.began > record.accepted_at


def take_over(
    record: Record,
    seen: Seen,
    *,
    safe_to_look: datetime | None,
    agrees: Agrees,
    status_field: str | None,
    now: datetime,
) -> Folded | None:
    """Take over what a read shows that counts; None when it says nothing of the record's doubt.

    *safe_to_look* is when nothing sent under the record's mark can land any more, None without one.
    """
    too_early = safe_to_look is not None and seen.began < safe_to_look
    if too_early and not landed(record, seen.accepted, agrees, status_field):
        return None
    folded = accept(
        record,
        seen.accepted,
        agrees=agrees,
        status_field=status_field,
        now=now,
        remote_id=seen.remote_id,
        remote_updated_at=seen.remote_updated_at,
    )
    return replace(folded, record=folded.record.but(accepted_at=seen.began))


def in_hand(before: Record, folded: Folded) -> Folded:
    """Leave a record to who has it, or is on the way to it, when a read by somebody else came in.

    Lease and state stay; what is wanted is read afresh before anything is sent.
    """
    if before.state not in IN_HAND:
        return folded
    kept = folded.record.but(
        state=before.state,
        reason=before.reason,
        due_at=before.due_at,
        lease_until=before.lease_until,
        takes=before.takes,
    )
    return replace(folded, record=kept)
