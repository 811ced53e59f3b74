"""Bulks in words and as JSON, for the command line and the pages alike: pure.

One idea: plan and report use the same words, so that they can be laid side by side.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from console.views import london
from gateway.quota import SHARE_PERCENT
from outbox.bulk import Bulk, Item, Progress
from outbox.replay import Group, Plan, minutes
from runtime.settings import Destination
from schema.bulk import BulkState, Deed, ItemState, Result
from schema.states import RecordState

FORESEEN: Mapping[Result, str] = {
    Result.SENT: "would be sent",
    Result.WAITS: "would wait, and then go by itself",
    Result.ASIDE: "would be set aside again",
    Result.NOTHING: "nothing to send",
    Result.NEWER: "a newer change decides",
    Result.WENT_ON: "goes on without this",
    Result.DISCARDED: "would be discarded",
}

CAME: Mapping[Result, str] = {
    Result.SENT: "accepted",
    Result.WAITS: "waits, and goes by itself",
    Result.ASIDE: "set aside again",
    Result.NOTHING: "nothing to send",
    Result.NEWER: "a newer change decides",
    Result.WENT_ON: "went on without this",
    Result.DISCARDED: "discarded",
}

STATES: Mapping[BulkState, str] = {
    BulkState.TRYING: "trying one first",
    BulkState.TRIED: "one was tried",
    BulkState.RUNNING: "running",
    BulkState.CANCELLED: "cancelled",
    BulkState.DONE: "done",
}

TODAY: Mapping[RecordState, str] = {
    RecordState.IN_STEP: "in step",
    RecordState.WAITING: "waiting",
    RecordState.DISPATCHED: "waiting",
    RecordState.TAKEN: "being sent",
    RecordState.IN_DOUBT: "in doubt",
    RecordState.HELD: "set aside",
    RecordState.DEAD: "set aside",
}
"""How a record stands, in a word or two."""

CHOSEN_BY: Mapping[str, str] = {
    "ids": "ids",
    "reason": "set aside as",
    "owner": "of",
    "families": "only",
    "before": "set aside before",
    "since": "emitted since",
    "until": "emitted before",
    "outcome": "standing as",
    "source": "from",
}
"""What a word of a selection is called; those that are not here are called as they are."""

DEEDS: Mapping[Deed, str] = {Deed.REPLAY: "replay", Deed.DISCARD: "discard"}


def plan_json(plan: Plan, destination: Destination) -> dict[str, Any]:
    """Give a plan as JSON."""
    return {
        "destination": destination.name,
        "deed": plan.deed,
        "selection": plan.selection.document(),
        "records": plan.number,
        "calls": plan.calls,
        "minutes": plan_minutes(plan, destination),
        "lane": plan.lane,
        "starts_at": plan.starts_at,
        "foreseen": [_group_json(one) for one in plan.groups],
        "untouched": dict(plan.untouched),
    }


def _group_json(group: Group) -> dict[str, Any]:
    examples = [
        {"id": record.id, "record": str(record.key), "detail": detail}
        for record, detail in group.examples
    ]
    return {
        "result": group.result,
        "why": group.why,
        "records": group.number,
        "examples": examples,
    }


def plan_minutes(plan: Plan, destination: Destination) -> float:
    """Say how long its calls take at the share that its lane has while everybody wants some."""
    share = destination.calls * SHARE_PERCENT[plan.lane] // 100
    return minutes(plan.calls, share=share, window=destination.window)


def bulk_json(one: Bulk, progress: Progress, *, waits_until: datetime | None) -> dict[str, Any]:
    """Give a bulk as JSON."""
    return {
        "id": one.id,
        "state": one.state,
        "deed": one.deed,
        "destination": one.destination,
        "records": one.total,
        "left": progress.left,
        "moving": progress.moving,
        "spared": progress.spared,
        "results": {result.value: number for result, number in progress.results.items()},
        "lane": one.lane,
        "offpeak": one.offpeak,
        "waits_until": waits_until,
        "actor": one.actor,
        "reason": one.reason,
        "selection": one.selection,
        "created_at": one.created_at,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
    }


def item_json(item: Item) -> dict[str, Any]:
    """Give one record of a bulk as JSON."""
    return {
        "id": item.record.id,
        "record": str(item.record.key),
        "state": item.state,
        "result": item.result,
        "detail": item.detail,
        "at": item.at,
        "record_state": item.record.state,
        "record_reason": item.record.reason,
    }


def state_words(one: Bulk, *, waits_until: datetime | None) -> str:
    """Say where a bulk stands."""
    if one.state is BulkState.RUNNING and waits_until is not None:
        return f"waits for the off-peak hours, until {london(waits_until)}"
    return STATES[one.state]


def item_words(item: Item) -> str:
    """Say what became of one record."""
    match item.state:
        case ItemState.LEFT:
            return "its turn has not come"
        case ItemState.MOVING:
            return "on its way"
        case ItemState.SPARED:
            return "left as it was"
        case ItemState.ENDED:
            return CAME[item.result] if item.result else ""


def chosen_words(selection: Mapping[str, Any]) -> str:
    """Say by what a bulk was chosen."""
    entries: Mapping[str, Any] = selection.get("entries", {})
    told = _by(selection)
    if "entries" in selection:
        told.append(f"with entries {', '.join(_by(entries))}" if entries else "with any entry")
    return "; ".join(told) or "everything that waits for a person"


def _by(said: Mapping[str, Any]) -> list[str]:
    return [
        f"{CHOSEN_BY.get(name, name)} {_shown(one)}"
        for name, one in said.items()
        if name != "entries"
    ]


def _shown(said: Any) -> str:
    if isinstance(said, Sequence) and not isinstance(said, str):
        return ", ".join(str(one) for one in cast(Sequence[object], said)) or "what is not here"
    return str(said)


def share_done(progress: Progress) -> int:
    """Say how much of a bulk is over, in percent."""
    return progress.ended * 100 // max(1, progress.total)


CSV_HEAD = ("id", "record", "state", "result", "detail", "at", "record_state", "record_reason")


def csv_row(item: Item) -> list[object]:
    """Give one record of a bulk as a row under `CSV_HEAD`."""
    told = item_json(item)
    return [told[name] for name in CSV_HEAD]
