"""What a person decides about a difference, in the transaction that writes it down.

One idea: theirs is already what is accepted, so to accept it is to say so; to send ours is an event of
the desk like any other. What is not there any more is only then taken for absent when a person says
that it is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from inbox import differences
from inbox.errors import NotThisWay
from inbox.telling import Close
from records import store
from records.append import append
from records.fold import accept
from runtime.audit import write_down
from schema.contract import ABSENT, Contract
from schema.events import DESK
from schema.inbox import DriftKind, DriftState
from schema.keys import RecordKey
from schema.record import Record
from schema.states import RecordState

BUSY = (RecordState.TAKEN, RecordState.IN_DOUBT, RecordState.DISPATCHED)


def resolve(
    connection: Connection,
    contract: Contract,
    drift_id: int,
    way: DriftState,
    *,
    actor: str,
    reason: str | None,
    now: datetime,
    close: Close,
) -> None:
    """Say who is right: ours is sent, theirs accepted, or it is left as it is and not told again.

    Raises `NotThisWay`, and `InvalidEvent` where no event can ask for ours.
    """
    found = open_one(connection, drift_id)
    if way is DriftState.ACCEPTED_THEIRS:
        accept_theirs(connection, contract, found, actor=actor, now=now, close=close)
    else:
        if way is DriftState.SENT_OURS:
            send_ours(connection, contract, found, actor=actor, reason=reason)
        differences.resolve(connection, drift_id, way, actor=actor, now=now)
    write_down(
        connection,
        actor=actor,
        action=f"drift_{way.value}",
        subject=found["record_key"] or found["remote_id"],
        now=now,
        reason=reason,
        before={"ours": found["ours"], "theirs": found["theirs"], "field": found["field"]},
        after={"state": way.value},
    )


def send_ours(
    connection: Connection,
    contract: Contract,
    found: Mapping[str, Any],
    *,
    actor: str,
    reason: str | None,
) -> None:
    """Ask anew for our value, by an event that the relay folds; raises `NotThisWay`, `InvalidEvent`."""
    if found["kind"] != DriftKind.DIFFERENT:
        raise NotThisWay(
            "it is not there, so there is nothing to send ours to; accept or ignore it"
        )
    record = record_of(connection, found)
    event = contract.restate(record, found["field"], found["ours"], reason)
    told = {
        "source": DESK,
        "event_id": f"drift-{found['id']}",
        "destination": found["destination"],
        "actor": actor,
    }
    append(connection, event.model_copy(update=told))


def open_one(connection: Connection, drift_id: int) -> Mapping[str, Any]:
    """Read an open difference, locked; raises `NotThisWay` when there is none."""
    found = differences.by_id(connection, drift_id)
    if found is None or found["state"] not in (DriftState.OPEN, DriftState.IGNORED):
        raise NotThisWay(f"there is no open difference {drift_id}; see `pillarbox drift list`")
    return found


def record_of(connection: Connection, found: Mapping[str, Any]) -> Record:
    """Read the record of a difference, locked; raises `NotThisWay`."""
    key = found["record_key"]
    known = None
    if key is not None:
        known = store.by_key(connection, found["destination"], RecordKey.parse(key))
    fresh = None if known is None else store.by_id(connection, known.id, lock=True)
    if fresh is None:
        raise NotThisWay(f"difference {found['id']} has no local record; link one, or ignore it")
    return fresh


def accept_theirs(
    connection: Connection,
    contract: Contract,
    found: Mapping[str, Any],
    *,
    actor: str,
    now: datetime,
    close: Close,
) -> None:
    """Take what is there for right; raises `NotThisWay` while a call is under way."""
    if found["kind"] == DriftKind.MISSING_THERE:
        record = record_of(connection, found)
        if record.state in BUSY:
            raise NotThisWay(f"a call for {record.key} is under way; try again in a few minutes")
        folded = accept(
            record,
            ABSENT,
            agrees=lambda name, wanted, there: contract.agrees(record.key, name, wanted, there),
            status_field=contract.kinds[record.key.kind].status_field,
            now=now,
        )
        store.update_all(connection, [folded.record])
        close(connection, folded.closed, now)
    differences.resolve(connection, found["id"], DriftState.ACCEPTED_THEIRS, actor=actor, now=now)
