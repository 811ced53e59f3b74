"""Rows to what a person reads: pure, shared by the command line and the pages.

One idea: one sentence of verdict first, in words a data manager knows; the rest is evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby
from typing import Any, Protocol

from records.signature import unknown_there
from schema.contract import Contract
from schema.days import LONDON
from schema.fingerprint import Json
from schema.record import Pending, Problem, Record
from schema.states import ASLEEP, DEAD_LETTERS, Closed, Reason, RecordState
from schema.words import several

EVENTS = {
    "participant_linked": "linked to the API's record",
    "participant_deferred": "training deferred",
    "participant_resumed": "training resumed",
    "participant_withdrawn": "withdrawn from training",
    "schedule_changed": "schedule changed",
    "mentor_changed": "mentor changed",
    "declaration_made": "declaration made",
    "declaration_voided": "declaration voided",
    "partnership_formed": "partnership formed",
    "partnership_changed": "partnership corrected",
    "record_snapshot": "whole record given",
}

CLOSED = {
    "delivered": "sent and accepted",
    "unchanged": "not sent: nothing changed",
    "superseded": "not sent: a newer change took its place",
    "net_zero": "not sent: undone before it was sent",
    "noted": "noted, nothing to send",
    "confirmed": "confirmed by the API",
    "discarded": "discarded by a person",
}

WAITS = {
    Reason.SETTLING: "waits a moment for more edits",
    Reason.WAITING_FOR: "waits for {waits_for}",
    Reason.BACKOFF: "will be tried again after a failure",
    Reason.SNOOZED: "waits, because the API said not today, until after midnight in London",
    Reason.QUOTA: "waits for room in the quota",
    Reason.GATE: "waits because calls to the API are stopped for now",
    Reason.LOOK_FIRST: "is about to be looked up there",
    Reason.SHADOW: "would be sent ({waits_for}), and its destination is in shadow until "
    "`pillarbox destination go-live`",
    Reason.REBOUND: "would be sent ({waits_for}), and its destination was bound anew: everything is "
    "looked up first",
}

ASIDE = {
    Reason.VOID_FIRST: "the claim that stands there differs and must be voided first",
    Reason.SAME_PERSON_TWICE: "another local record is linked to the same person and role",
    Reason.RELINKED: "it was delivered under another remote id",
    Reason.DOES_NOT_SETTLE: "calls are answered, but the record still differs",
    Reason.REFUSED: "the API refused it",
    Reason.EXHAUSTED: "too many tries failed",
    Reason.INVALID_HERE: "it is not valid, and was not sent",
    Reason.CONFLICT: "both sides changed it",
    Reason.UNCONFIRMED: "what was expected there did not come",
}

NEXT = {
    Reason.REFUSED: "Correct it here, or in the local system, whose newer change is sent by itself.",
    Reason.INVALID_HERE: "Correct it here, or in the local system, whose newer change is sent by itself.",
    Reason.VOID_FIRST: "Void the claim that stands, then declare again.",
    Reason.SAME_PERSON_TWICE: "Find which of the two local records is right, and link the other.",
    Reason.RELINKED: "Say which participant is right: link it again, or take the old record on.",
    Reason.CONFLICT: "Compare both sides; then send ours, or accept theirs.",
    Reason.DOES_NOT_SETTLE: "Compare both sides; something there changes it back.",
    Reason.EXHAUSTED: "Look at the last answers below; when the API is well, change it again.",
    Reason.UNCONFIRMED: "Ask the school: the API takes this change from nobody else. Then wait again, or discard.",
}


class Read(Protocol):
    """What the mirror knows of when a remote thing was read."""

    @property
    def source(self) -> str:
        """From which collection."""
        ...

    @property
    def first_seen(self) -> datetime:
        """When it was there for the first time."""
        ...

    @property
    def last_seen(self) -> datetime:
        """When it was there last."""
        ...

    @property
    def gone_since(self) -> datetime | None:
        """Since when it is not there any more."""
        ...


def london(moment: datetime | None) -> str:
    """Write an instant as people here read it: London time."""
    if moment is None:
        return "-"
    return moment.astimezone(LONDON).strftime("%d %b %Y %H:%M:%S")


def deadline(moment: datetime) -> str:
    """Write until when something may be done: a midnight that ends a London day by that day."""
    here = moment.astimezone(LONDON)
    if (here.hour, here.minute, here.second) != (0, 0, 0):
        return london(moment)
    last = here.date() - timedelta(days=1)
    return f"end of {last.day} {last:%B %Y}"


A_DAY_S = 86_400


def ago(length: timedelta) -> str:
    """Write a length of time roughly: `12 s`, `3 min`, `2 h`, `4 days`."""
    total = max(0, int(length.total_seconds()))
    if total >= A_DAY_S:
        return several(total // A_DAY_S, "day")
    for size, unit in ((3_600, "h"), (60, "min")):
        if total >= 2 * size:
            return f"{total // size} {unit}"
    return f"{total} s"


def lag(seconds: float | None) -> str:
    """Write how long ago something was, given in seconds; None: it never was."""
    return "never" if seconds is None else f"{ago(timedelta(seconds=seconds))} ago"


def verdict(record: Record, now: datetime) -> str:
    """Say in one sentence where a record stands."""
    match record.state:
        case RecordState.IN_STEP if record.accepted is None:
            return "Nothing to send, and nothing was ever sent or read for it."
        case RecordState.IN_STEP:
            return f"In step: what we hold is what the API accepted, as of {london(record.accepted_at)}."
        case RecordState.WAITING:
            return f"Waiting: it {_wait(record)}{_due(record, now)}.{_besides(record)}"
        case RecordState.DISPATCHED | RecordState.TAKEN if record.look_first:
            return f"{_DOUBT if record.mark else 'Waiting:'} it is being looked up right now."
        case RecordState.DISPATCHED:
            return "Waiting: it is on the queue, a worker will send it in a moment."
        case RecordState.TAKEN:
            return "Being sent right now."
        case RecordState.IN_DOUBT if record.due_at is None:
            return f"{_DOUBT} a person must look there: {_aside(record)}."
        case RecordState.IN_DOUBT:
            return (
                "In doubt: a call was made and nobody knows whether it took effect; it is looked up"
                f"{_due(record, now)} before anything else is sent."
            )
        case RecordState.HELD:
            return f"Held for a person: {_aside(record)}."
        case RecordState.DEAD if record.reason is Reason.REFUSED:
            return f"Refused, and set aside for a person: {_aside(record)}."
        case RecordState.DEAD:
            return f"Not sent, and set aside for a person: {_aside(record)}."


_DOUBT = "In doubt: a call was made and nobody knows whether it took effect;"


def next_step(record: Record, contract: Contract | None = None) -> str | None:
    """Say what a person can do, where one is needed: for a refusal, what its contract advises."""
    if record.state is RecordState.IN_DOUBT and record.due_at is None:
        return (
            "Look there. If it was not done: `pillarbox dead-letters replay "
            f"{record.id} --override`; else link it, or leave it."
        )
    if record.state not in (RecordState.HELD, RecordState.DEAD) or record.reason is None:
        return None
    advised = (
        None if contract is None or record.problem is None else advice(record.problem, contract)
    )
    return advised or NEXT.get(record.reason)


def problem_words(record: Record) -> str:
    """Say what is wrong with what stands aside, with the field named."""
    return _aside(record)


def advice(problem: Problem, contract: Contract) -> str | None:
    """Give what the contract advises about a refusal that it knows."""
    for rule in contract.rules:
        if (
            problem.reason is Reason.REFUSED
            and problem.operation in rule.operations
            and problem.field == rule.title
            and problem.detail.startswith(f"{rule.title}: {rule.detail}")
        ):
            return rule.advice or None
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One field on both sides. `how` says in a word or two how they stand to each other."""

    field: str
    here: Json = None
    there: Json = None
    base: Json = None
    pending: bool = False
    how: str = ""


def sides(record: Record) -> list[Side]:
    """Give each field with what stands here, what stands there, and how they stand to each other."""
    pending = {name: one for name, one in record.pending.items() if not name.startswith("@")}
    names = {*(record.accepted or {}), *pending, *record.expected}
    found = {name: _side(record, name, pending.get(name)) for name in names}
    if record.path:
        here = " then ".join(move.to for move in record.path)
        wish = Pending(
            value=here,
            stamp=record.path[0].stamp,
            base=record.path_base,
            base_known=record.path_base is not None,
        )
        found["training_status"] = _side(record, "training_status", wish)
    return [found[name] for name in sorted(found)]


def _side(record: Record, name: str, wish: Pending | None) -> Side:
    there = None if record.accepted is None else record.accepted.get(name)
    expected = record.expected.get(name)
    if wish is not None:
        how = _how(record, wish.value, there, "differs")
        moved = wish.base_known and there not in (wish.base, wish.value)
        return Side(
            field=name,
            here=wish.value,
            there=there,
            base=wish.base,
            pending=True,
            how="both changed it" if record.reason is Reason.CONFLICT and moved else how,
        )
    if expected is not None:
        how = _how(record, expected.value, there, "expected there")
        return Side(field=name, here=expected.value, there=there, how=how)
    return Side(field=name, there=there)


def as_of(record: Record) -> str:
    """Say of when what is known of the other side is."""
    if unknown_there(record):
        return "not known there"
    return f"as of {london(record.accepted_at)}" if record.accepted_at else "not looked at yet"


def _how(record: Record, here: Json, there: Json, otherwise: str) -> str:
    if record.accepted is None:
        return as_of(record)
    return "" if here == there else otherwise


def entry_line(event: str, payload: Mapping[str, Any]) -> str:
    """Put an event into a few words."""
    words = EVENTS.get(event, event)
    parts = [
        str(payload[name])
        for name in (
            *(("participant_id",) if event == "participant_linked" else ()),
            "declaration_type",
            "reason",
            "schedule_identifier",
            "cohort",
            "declaration_date",
            "delivery_partner_id",
            "mentor_id",
        )
        if payload.get(name) is not None
    ]
    return f"{words} ({', '.join(parts)})" if parts else words


def attempt_line(attempt: Mapping[str, Any]) -> str:
    """Put a call and its answer into a line."""
    request = attempt["request"]
    line = f"{request['method']} {request['path']}"
    if attempt["outcome"] is None:
        return f"{line}: no answer yet"
    status = "" if attempt["status"] is None else f" {attempt['status']}"
    detail = f": {attempt['detail']}" if attempt["detail"] else ""
    then = THEN.get(attempt["outcome"], "")
    return f"{line} →{status} {outcome_word(request['method'], attempt['outcome'])}{detail}{then}"


def outcome_word(method: str, outcome: str) -> str:
    """Say how a call ended: a look delivers nothing, it is a read."""
    return "read" if (method, outcome) == ("GET", "delivered") else _plain(outcome)


THEN = {
    "refused": "; set aside",
    "later": "; snoozed until after midnight in London",
    "in_doubt": "; nothing else is sent before a look",
    "already_there": "; looked up before it is believed",
    "throttled": "; all calls wait",
    "key_refused": "; all calls stop",
    "transient": "; tried again",
}
"""What a call that delivered nothing led to."""


def story(
    record: Record,
    entries: Sequence[Mapping[str, Any]],
    attempts: Sequence[Mapping[str, Any]],
    people: Sequence[Mapping[str, Any]] = (),
    *,
    news: Sequence[Mapping[str, Any]] = (),
    reads: Sequence[Read] = (),
) -> list[tuple[datetime, str, str]]:
    """Tell everything that happened to a record, in order: when, what kind, what.

    *people* are the rows of the audit trail about it, *news* those of the feed, *reads* what the
    mirror holds of it.
    """
    told: list[tuple[datetime, str, str]] = []
    for _, alike in groupby(entries, _what_it_says):
        told += _told_of(list(alike))
    for attempt in attempts:
        when = attempt["answered_at"] or attempt["marked_at"]
        told.append((when, "call", attempt_line(attempt)))
    for deed in people:
        why = f": {deed['reason']}" if deed["reason"] else ""
        told.append((deed["at"], "person", f"{deed['actor']}, {_plain(deed['action'])}{why}"))
    for one in news:
        told.append((one["at"], "feed", news_line(one)))
    for read in reads:
        told.append((read.first_seen, "poll", f"first read from {read.source}"))
        if read.last_seen > read.first_seen:
            told.append((read.last_seen, "poll", f"last read from {read.source}"))
        if read.gone_since is not None:
            told.append((read.gone_since, "poll", f"not there any more, in {read.source}"))
    problem = record.problem
    # Of a refusal the call itself tells.
    if problem is not None and problem.at is not None and problem.status is None:
        what = "held" if record.state is RecordState.HELD else "set aside"
        line = f"{what}, {_plain(problem.reason)}: {problem.detail}"
        told.append((problem.at, "aside", line))
    return sorted(told, key=lambda line: (line[0], _ORDER.index(line[1])))


MANY = 3
"""So many events in a row that say and change the same nothing are told in one line."""


def _what_it_says(entry: Mapping[str, Any]) -> tuple[object, ...]:
    if entry["closed_as"] != Closed.UNCHANGED:
        return (entry["id"],)
    return entry["event"], entry["source"]


def _told_of(entries: Sequence[Mapping[str, Any]]) -> list[tuple[datetime, str, str]]:
    """Tell of events: each by itself, or of many that changed nothing in one line at the last."""
    if len(entries) >= MANY:
        first, last = entries[0], entries[-1]
        line = (
            f"#{first['id']} to #{last['id']} {EVENTS.get(last['event'], last['event'])}, "
            f"{len(entries)} times since {london(first['emitted_at'])}, from {last['source']}, "
            f"{CLOSED[Closed.UNCHANGED]}"
        )
        return [(last["emitted_at"], "event", line)]
    told: list[tuple[datetime, str, str]] = []
    for entry in entries:
        line = entry_line(entry["event"], entry["payload"])
        told.append(
            (entry["emitted_at"], "event", f"#{entry['id']} {line}, from {entry['source']}")
        )
        if entry["closed_at"] is not None:
            ended = CLOSED.get(str(entry["closed_as"]), str(entry["closed_as"]))
            told.append((entry["closed_at"], "closed", f"#{entry['id']} {ended}"))
    return told


_ORDER = ("event", "person", "call", "poll", "feed", "closed", "aside")


def news_line(one: Mapping[str, Any]) -> str:
    """Say what the feed tells of a remote thing: what happened there, and to which fields."""
    changed = ", ".join(_plain(name) for name in one["changed"])
    return f"{NEWS.get(one['kind'], _plain(one['kind']))}{f': {changed}' if changed else ''}"


NEWS = {
    "new": "new there",
    "updated": "changed there",
    "withdrawn": "withdrawn there",
    "gone": "gone from there",
    "merged": "merged into another there",
}


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _besides(record: Record) -> str:
    """Name what stands refused or in conflict while the rest of a record goes on."""
    problem = record.problem
    if problem is None or problem.reason not in DEAD_LETTERS or record.reason is Reason.BACKOFF:
        return ""
    if _is_overtaken(record, problem):
        return ""
    return f" A part of it needs a person: {problem.detail.removesuffix('.')}."


def _is_overtaken(record: Record, problem: Problem) -> bool:
    """Whether what was refused is asked for no more: it was corrected, or something newer came."""
    refused = [lock.entries for lock in record.locks.values() if lock.problem == problem]
    return bool(refused) and record.entries().isdisjoint(chain.from_iterable(refused))


def _wait(record: Record) -> str:
    if record.reason is None:
        return "is due"
    words = WAITS.get(record.reason, record.reason.value)
    return words.format(waits_for=_whom(record))


_EVENTS_MISSING = {
    "link": "its link to a participant",
    "resume": "training to be resumed, which no event has asked for",
    "partnership_formed": "the event that forms it",
    "record_snapshot": "its first snapshot",
}
"""What a record waits for that is no record: an event that nobody has sent yet."""


def _whom(record: Record) -> str:
    if record.waits_for is None or (record.waits_for == str(record.key) and not record.remote_id):
        return _EVENTS_MISSING["link"]
    return _EVENTS_MISSING.get(record.waits_for, record.waits_for)


def _due(record: Record, now: datetime) -> str:
    if record.due_at is None or record.reason is Reason.WAITING_FOR or record.reason in ASLEEP:
        return ""
    left = record.due_at - now
    if left <= timedelta(0):
        return ", due now"
    return f", due in {ago(left)} ({london(record.due_at)})"


def _aside(record: Record) -> str:
    words = ASIDE.get(record.reason, "") if record.reason else ""
    if record.problem is None:
        return words
    detail = record.problem.detail
    if record.problem.field and record.problem.field not in detail:
        detail = f"{record.problem.field}: {detail}"
    return f"{words} ({detail.removesuffix('.')})" if words else detail
