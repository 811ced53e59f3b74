"""Wanted and event to wanted, wanted and answer to accepted. Pure.

One idea: an event only ever changes what is pending, an answer or a read only ever changes what is
accepted, and whatever stands in neither any more closes the entry it came from, with a reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from records.conflict import Agrees, conflicts, of_path, without
from schema.asks import Ask, Asks, Expect, Link, MoveTo, SetField
from schema.contract import ABSENT
from schema.events import DESK
from schema.fingerprint import Json, canonical
from schema.keys import EntryId, RemoteId
from schema.record import Expectation, Move, Pending, Problem, Record, Stamp
from schema.states import Closed, Lane, Reason, RecordState

LINK = "@link"
"""Pending field for a link that cannot be used: to another record's remote thing, or to a new
remote thing for a record already delivered. Never sent; it holds the record for a person."""

INVALID = "@invalid"
"""Pending field for an entry that cannot be read (only plain SQL can bring one in). Never sent; the
rest of the record goes on, and this stays in front of a person."""

STATE = "state"
"""The field of a claim that says whether it stands."""

VOIDED = "voided"

PRECEDENCE = (
    Closed.DELIVERED,
    Closed.NET_ZERO,
    Closed.SUPERSEDED,
    Closed.CONFIRMED,
    Closed.UNCHANGED,
    Closed.NOTED,
)
"""Which reason an entry closes with when its parts ended in several ways."""

BUSY = frozenset({RecordState.DISPATCHED, RecordState.TAKEN, RecordState.IN_DOUBT})
"""States that a new wish does not change: whoever has the record reads it afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry, on its way into its record."""

    stamp: Stamp
    asks: Asks
    settle: timedelta
    """How long the record waits for more edits before it is due."""
    bound: bool = False
    """Something was called for, or is being, under the family's link: another one is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """The record as it then is, and the entries that are closed by it."""

    record: Record
    closed: Mapping[EntryId, Closed] = field(default_factory=dict[EntryId, Closed])


class _Ends:
    """Collects how the parts of entries end."""

    def __init__(self) -> None:
        self.reasons: dict[EntryId, Closed] = {}

    def say(self, entry: EntryId, reason: Closed) -> None:
        known = self.reasons.get(entry)
        if known is None or PRECEDENCE.index(reason) < PRECEDENCE.index(known):
            self.reasons[entry] = reason

    def closed(
        self, candidates: Iterable[EntryId], carried: frozenset[EntryId]
    ) -> dict[EntryId, Closed]:
        """Close what nothing carries any more; without a word of its own it was superseded."""
        return {
            entry: self.reasons.get(entry, Closed.SUPERSEDED)
            for entry in candidates
            if entry not in carried
        }


def round_for(asks: Asks, stamp: Stamp, rounds: Sequence[Record], agrees: Agrees) -> int:
    """Say which round of a claim an event means; *rounds* are all there are, in order.

    A void ends its round; a claim made after it opens the next. A claim or void that comes late,
    from before the void, still belongs to the round it was made in; so does a claim that only
    repeats what the other side has taken back: that is a conflict there, not a claim anew.
    """
    if not rounds:
        return 1
    last = rounds[-1]
    said = last.stamps.get(STATE)
    late = said is not None and not stamp.later_than(said)
    if (
        asks.opens_round
        and has_ended(last, agrees)
        and not (late or _says_again(last, asks, agrees))
    ):
        return last.key.round + 1
    return last.key.round


def _says_again(last: Record, asks: Asks, agrees: Agrees) -> bool:
    """Whether a claim is only said again, word for word, though the other side has ended it."""
    if STATE in last.pending:
        return False
    return all(
        isinstance(ask, SetField) and _repeats(last, ask.name, ask.value, agrees)
        for ask in asks.asks
    )


def has_ended(claim: Record, agrees: Agrees) -> bool:
    """Whether a round is over: voided, asked to be, or cancelled before it was ever sent."""
    pending = claim.pending.get(STATE)
    if pending is not None:
        return pending.value == VOIDED
    if claim.accepted is None:
        return STATE in claim.stamps
    return agrees(STATE, VOIDED, claim.accepted)


def fold(
    record: Record, change: Change, *, agrees: Agrees, status_field: str | None, now: datetime
) -> Folded:
    """Bring an entry into the wanted state of its record.

    Folding the same entry again, or entries in another order, ends in the same wanted state:
    each field keeps the stamp of who set it and yields only to a later one.
    """
    ends = _Ends()
    entry = change.stamp.entry
    before = record.entries() | {entry}
    asks, record = _that_speak(record, change, ends, status_field)
    after = record
    if change.asks.opens_round and _said_later(record, change):
        # A claim is stated whole: a later statement, or the void after it, took its place.
        ends.say(entry, Closed.SUPERSEDED)
        asks = ()
    if change.asks.ends_round:
        after = _end_round(after, change, ends)
    for ask in asks:
        after = _apply(after, ask, change, ends, agrees, status_field, now)
    after = _eligible(record, after, now, change)
    return Folded(record=after, closed=ends.closed(before, after.entries()))


def fold_unreadable(record: Record, change: Change, detail: str, now: datetime) -> Record:
    """Keep an entry that no event can be read from with its record, for a person to see."""
    name = f"{INVALID}:{change.stamp.entry}"
    wish = Pending(value=detail, stamp=change.stamp, base_known=True)
    return _eligible(record, record.but(pending={**record.pending, name: wish}), now, change)


def fold_link(record: Record, asks: Iterable[Ask], change: Change, now: datetime) -> Folded:
    """Bring a link that an event of a kin carries into this record.

    The event itself belongs to its kin and is not closed here; a link that it replaces is.
    """
    ends = _Ends()
    before = record.entries()
    after = record
    for ask in asks:
        if isinstance(ask, Link):
            after = _link(after, ask, change, ends)
    if after is record:
        return Folded(record=record)
    after = _eligible(record, after, now, change)
    return Folded(record=after, closed=ends.closed(before, after.entries()))


def dropped(
    record: Record, names: Iterable[str], status_field: str | None, now: datetime
) -> tuple[Record, frozenset[EntryId]]:
    """Take wishes off a record, the status among them, and give the entries that only they carried.

    Where nothing is left to ask for it is in step, and waits for nothing there either.
    """
    gone = frozenset(names)
    before = record.entries()
    after = record.but(
        pending={name: wish for name, wish in record.pending.items() if name not in gone},
        path=() if status_field in gone else record.path,
        path_base=None if status_field in gone else record.path_base,
        already=None,
        revision=record.revision + 1,
    )
    if not after.changed:
        after = after.but(expected={} if record.reason is Reason.UNCONFIRMED else after.expected)
    after = _stand(after, None, now, goes_on=True)
    return after.but(problem=None), before - after.entries()


def is_unreadable(name: str) -> bool:
    """Whether a pending field stands for an entry that cannot be read."""
    return name.startswith(INVALID)


def accept(
    record: Record,
    accepted: Mapping[str, Json],
    *,
    agrees: Agrees,
    status_field: str | None,
    now: datetime,
    remote_id: RemoteId | None = None,
    remote_updated_at: datetime | None = None,
) -> Folded:
    """Take over what the remote side says of a record: an answer to our call, or a read.

    What agrees stops being pending. What differs stays pending, unless the remote side moved away
    from the base it was asked on: that is a conflict, for a person.
    """
    ends = _Ends()
    before = record.entries()
    mark = record.mark
    after = record.but(
        accepted=accepted,
        accepted_at=now,
        look_first=False,
        mark=None,
        remote_id=record.remote_id or remote_id,
        remote_updated_at=remote_updated_at or record.remote_updated_at,
        revision=record.revision + 1,
    )
    sent: Mapping[str, Json] = {} if mark is None else mark.fields
    tried = record.calls > 0 or mark is not None
    done = mark is None or landed(record, accepted, agrees, status_field)
    if mark is not None and done:
        for entry in mark.entries:
            ends.say(entry, Closed.DELIVERED)
    if done:
        after = after.but(tries=0, first_try_at=None)
    after = _settle_fields(after, sent, ends, agrees, tried=tried)
    after = _settle_path(after, ends, status_field, tried=tried)
    after = _confirm(after)
    found = conflicts(after, agrees, status_field)
    goes_on = without(after, found, status_field).changed
    after = _stand(after, next(iter(found.values()), None), now, goes_on=goes_on)
    return Folded(record=after, closed=ends.closed(before, after.entries()))


def landed(
    record: Record, accepted: Mapping[str, Json], agrees: Agrees, status_field: str | None
) -> bool:
    """Whether all that the call under the record's mark was to bring about is so."""
    if record.mark is None:
        return False
    if _moved(record) and accepted.get(status_field or STATE) != record.path[0].to:
        return False
    return all(agrees(name, value, accepted) for name, value in record.mark.fields.items())


def release(record: Record) -> Folded:
    """Take the mark off a record whose call had no effect there, and close what only it carried."""
    ends = _Ends()
    before = record.entries()
    said_again = bool(record.path) and record.path_base == record.path[0].to
    path, reasons = normalise(None if said_again else record.path_base, record.path)
    for entry, reason in reasons.items():
        ends.say(entry, reason)
    after = record.but(mark=None, path=path, revision=record.revision + 1)
    after = after.but(oldest_entry=min(after.entries(), default=None))
    return Folded(record=after, closed=ends.closed(before, after.entries()))


def normalise(
    base: str | None, moves: Sequence[Move], pinned: int = 0
) -> tuple[tuple[Move, ...], Mapping[EntryId, Closed]]:
    """Take out of a path what asks for nothing: repeats, and loops back to where they began.

    The first *pinned* moves may have happened there already and are kept whole. While the status
    there is not known (*base* is None), a way back to it cannot be seen and is kept. A loop back
    to a move that is itself unsent, for another reason, leaves the newer reason.
    """
    ends = _Ends()
    out = list(moves[:pinned])
    for move in moves[pinned:]:
        current = out[-1].to if out else base
        if move.to == current:
            _repeat(out, move, pinned, ends)
            continue
        places = [base if pinned == 0 else None, *(step.to for step in out)]
        if move.to in places:
            cut = places.index(move.to)
            cut = max(cut, pinned)
            _cancel(out, move, cut, pinned, ends)
            continue
        out.append(move)
    return tuple(out), ends.reasons


def _cancel(out: list[Move], move: Move, cut: int, pinned: int, ends: _Ends) -> None:
    """Take a loop out. Where it leads back to an unsent move, the newer reason for it stays."""
    stays = cut > pinned and (out[cut - 1].to, out[cut - 1].reason) != (move.to, move.reason)
    first = cut - 1 if stays else cut
    cancelled = out[first:] if stays else [*out[first:], move]
    for one in cancelled:
        ends.say(one.stamp.entry, Closed.NET_ZERO)
    out[first:] = [_as_explicit(move, out[first])] if stays else []


def _repeat(out: list[Move], move: Move, pinned: int, ends: _Ends) -> None:
    if len(out) > pinned:
        ends.say(out[-1].stamp.entry, Closed.SUPERSEDED)
        out[-1] = _as_explicit(move, out[-1])
    elif out:
        out.append(move)  # the same as what is in flight: known to be unchanged once that settled
    else:
        ends.say(move.stamp.entry, Closed.UNCHANGED)


def _as_explicit(move: Move, before: Move) -> Move:
    """A whole state that repeats what an event said takes nothing of it back."""
    return replace(move, explicit=move.explicit or before.explicit)


def _that_speak(
    record: Record, change: Change, ends: _Ends, status_field: str | None
) -> tuple[tuple[Ask, ...], Record]:
    """Of a snapshot, only what differs from the same source's last one speaks; at the desk, all."""
    if not change.asks.snapshot or change.stamp.source == DESK:
        return change.asks.asks, record
    name = f"@snapshot:{change.stamp.source}"
    last = record.stamps.get(name)
    if last is not None and not change.stamp.later_than(last):
        ends.say(change.stamp.entry, Closed.SUPERSEDED)
        return (), record
    previous = record.snapshots.get(change.stamp.source, {})
    state = {_name_of(ask, status_field): _value_of(ask) for ask in change.asks.asks}
    speaking = tuple(
        ask
        for ask in change.asks.asks
        if _name_of(ask, status_field) not in previous
        or canonical(previous[_name_of(ask, status_field)]) != canonical(_value_of(ask))
    )
    if not speaking:
        ends.say(change.stamp.entry, Closed.UNCHANGED)
    kept = record.but(
        snapshots={**record.snapshots, change.stamp.source: {**previous, **state}},
        stamps={**record.stamps, name: change.stamp},
    )
    return speaking, kept


def asked(asks: Asks, status_field: str | None) -> frozenset[str]:
    """Name the fields that an event speaks of."""
    return frozenset(_name_of(ask, status_field) for ask in (*asks.asks, *asks.of_parent))


def _name_of(ask: Ask, status_field: str | None) -> str:
    match ask:
        case Link():
            return LINK
        case MoveTo():
            return status_field or STATE
        case SetField(name=name) | Expect(name=name):
            return name


def _value_of(ask: Ask) -> Json:
    match ask:
        case Link(remote_id=remote_id, role=role):
            return [remote_id, role]
        case MoveTo(status=status, reason=reason):
            return [status, reason]
        case SetField(value=value) | Expect(value=value):
            return value


def _apply(
    record: Record,
    ask: Ask,
    change: Change,
    ends: _Ends,
    agrees: Agrees,
    status_field: str | None,
    now: datetime,
) -> Record:
    if isinstance(ask, Link):
        return _link(record, ask, change, ends)
    name = _name_of(ask, status_field)
    last = record.stamps.get(name)
    if last is not None and not change.stamp.later_than(last):
        if last.entry != change.stamp.entry:
            ends.say(change.stamp.entry, Closed.SUPERSEDED)
        return record
    # Each of these copies the record once: an entry with three fields is three copies.
    stamps = {**record.stamps, name: change.stamp}
    match ask:
        case SetField(value=value):
            pending, words = _set(record, name, value, change.stamp, ends, agrees)
            return record.but(stamps=stamps, pending=pending, words=words)
        case MoveTo(status=status, reason=reason, explicit=explicit):
            said = explicit or change.stamp.source == DESK
            move = Move(to=status, reason=reason, stamp=change.stamp, explicit=said)
            path, base = _move(record, move, name, ends)
            words = _said(record.words, name, move) if not path else record.words
            return record.but(stamps=stamps, path=path, path_base=base, words=words)
        case Expect(value=value):
            expected = _expect(record, name, value, change.stamp, ends, now)
            return record.but(stamps=stamps, expected=expected)


def _known(record: Record) -> Mapping[str, Json] | None:
    """What is accepted, unless a call in flight or a doubt makes that uncertain."""
    if record.look_first or record.mark is not None:
        return None
    return record.accepted


def _around_moves(record: Record) -> Mapping[str, Json] | None:
    """What is accepted, as far as the status goes: a call that moves nothing leaves it as it was.

    Were it forgotten for such a call, what they make of the status meanwhile would pass for what it
    was when we were asked to move it, and be overwritten.
    """
    mark = record.mark
    return record.accepted if mark is not None and mark.move is None else _known(record)


def _repeats(record: Record, name: str, value: Json, agrees: Agrees) -> bool:
    """Whether a value is our last word on a field, said again."""
    words = record.words
    return name in words and agrees(name, value, {name: words[name]})


def _said(words: Mapping[str, Json], status_field: str, move: Move) -> Mapping[str, Json]:
    """Keep a status that is so there as our last word on it."""
    return {**words, status_field: [move.to, move.reason]}


def _set(
    record: Record, name: str, value: Json, stamp: Stamp, ends: _Ends, agrees: Agrees
) -> tuple[dict[str, Pending], Mapping[str, Json]]:
    """Give what is then pending, and our last words."""
    pending = dict(record.pending)
    old = pending.pop(name, None)
    accepted = _known(record)
    if accepted is not None and agrees(name, value, accepted):
        reason = Closed.NET_ZERO if old else Closed.UNCHANGED
        ends.say(stamp.entry, reason)
        if old is not None:
            ends.say(old.stamp.entry, Closed.NET_ZERO)
        return pending, {**record.words, name: value}
    base, base_known = (record.accepted or {}).get(name), record.accepted is not None
    if _repeats(record, name, value, agrees) and stamp.source != DESK:
        base, base_known = record.words[name], True
    pending[name] = Pending(value=value, stamp=stamp, base=base, base_known=base_known)
    return pending, record.words


def _move(
    record: Record, move: Move, status_field: str, ends: _Ends
) -> tuple[tuple[Move, ...], str | None]:
    """Give the path that is then to go, and from where."""
    accepted = _around_moves(record)
    base = None if accepted is None else _text(accepted.get(status_field))
    pinned = 1 if _moved(record) else 0
    path, reasons = normalise(base, (*record.path, move), pinned)
    for entry, reason in reasons.items():
        ends.say(entry, reason)
    path_base = record.path_base if record.path else base
    if move.stamp.source == DESK and accepted is not None:
        path_base = base
    elif not record.path and record.words.get(status_field) == [move.to, move.reason]:
        path_base = move.to  # our last word, said again
    return path, path_base if path else None


def _moved(record: Record) -> bool:
    """Whether the first move of the path may have happened there already."""
    mark = record.mark
    return (
        mark is not None
        and mark.move is not None
        and bool(record.path)
        and record.path[0].stamp.entry == mark.move
    )


def _expect(
    record: Record, name: str, value: Json, stamp: Stamp, ends: _Ends, now: datetime
) -> dict[str, Expectation]:
    """Give what is then expected."""
    accepted = record.accepted
    expected = dict(record.expected)
    expected.pop(name, None)
    if accepted is not None and accepted.get(name) == value:
        ends.say(stamp.entry, Closed.CONFIRMED)
        return expected
    ends.say(stamp.entry, Closed.NOTED)
    expected[name] = Expectation(value=value, entry=stamp.entry, since=now)
    return expected


def _link(record: Record, link: Link, change: Change, ends: _Ends) -> Record:
    last = record.stamps.get(LINK)
    if last is not None and not change.stamp.later_than(last):
        return record
    stamps = {**record.stamps, LINK: change.stamp}
    pending = {name: value for name, value in record.pending.items() if name != LINK}
    known_as = (record.remote_id, *record.aliases)
    if link.remote_id in known_as and record.role == link.role:
        ends.say(change.stamp.entry, Closed.UNCHANGED)
        if LINK not in record.pending:
            return record  # said again: nothing to keep, not even who said it
        return record.but(stamps=stamps, pending=pending)
    nothing_there = record.accepted is None or record.accepted == ABSENT
    spoken_for = not nothing_there or record.mark is not None or change.bound
    if record.remote_id is not None and spoken_for:
        pending[LINK] = Pending(
            value=[link.remote_id, link.role],
            stamp=change.stamp,
            base=[record.remote_id, record.role],
            base_known=True,
        )
        return record.but(stamps=stamps, pending=pending)
    ends.say(change.stamp.entry, Closed.NOTED)
    return record.but(
        stamps=stamps,
        pending=pending,
        remote_id=link.remote_id,
        role=link.role,
        aliases=(),
        missing=False,
        # That nothing was there was said of another.
        accepted=None,
    )


def refuse_link(record: Record) -> Record:
    """Put back a link that another record has already: held, as `same_person_twice`."""
    stamp = record.stamps[LINK]
    taken = Pending(value=[record.remote_id, record.role], stamp=stamp)
    return record.but(
        remote_id=None,
        role=None,
        serial_key=None,
        pending={**record.pending, LINK: taken},
    )


def _said_later(record: Record, change: Change) -> bool:
    last = record.stamps.get(STATE)
    return (
        last is not None and last.entry != change.stamp.entry and not change.stamp.later_than(last)
    )


def _end_round(record: Record, change: Change, ends: _Ends) -> Record:
    """A void: the content of the claim is no longer asked for.

    A claim that was never sent, or refused for certain, is not there: claim and void cancel.
    """
    last = record.stamps.get(STATE)
    if last is not None and not change.stamp.later_than(last):
        return record
    claim = record.pending.get(STATE)
    unsent = (
        claim is not None
        and claim.value != VOIDED
        and record.accepted is None
        and record.mark is None
        and not record.look_first
    )
    if not unsent or claim is None:
        pending = {
            name: value
            for name, value in record.pending.items()
            if name in (STATE, LINK) or is_unreadable(name)
        }
        return record.but(pending=pending)
    for pending_field in record.pending.values():
        ends.say(pending_field.stamp.entry, Closed.NET_ZERO)
    ends.say(change.stamp.entry, Closed.NET_ZERO)
    return record.but(pending={}, stamps={**record.stamps, STATE: change.stamp})


def _eligible(before: Record, after: Record, now: datetime, change: Change) -> Record:
    """Make a record due again when what is wanted changed; a dead letter heals by it."""
    if after is before:
        return after
    wanted_changed = (after.pending, after.path) != (before.pending, before.path)
    news: dict[str, Any] = {
        "revision": before.revision + 1,
        "oldest_entry": min(after.entries(), default=None),
    }
    if wanted_changed:
        news |= {"tries": 0, "takes": 0, "calls": 0, "allowance": None, "first_try_at": None}
        news["lane"] = Lane.LIVE  # also where it was only to be looked up, for want of news
    if after.state not in BUSY:
        linked = after.remote_id != before.remote_id
        news |= _due(before, after, now, change, again=wanted_changed or linked)
    return after.but(**news)


def _due(
    before: Record, after: Record, now: datetime, change: Change, *, again: bool
) -> dict[str, Any]:
    """Give what a change does to the time of a record's next call."""
    if not after.changed:
        return {
            "state": RecordState.IN_STEP,
            "reason": None,
            "due_at": None,
            "waits_for": None,
            "problem": None,
        }
    if not again:
        return {}
    settled = now + (timedelta(0) if change.asks.at_once else change.settle)
    if before.state is RecordState.WAITING and before.due_at is not None and before.changed:
        settled = min(settled, max(before.due_at, now)) if _settles(before) else settled
    return {
        "state": RecordState.WAITING,
        "reason": Reason.SETTLING,
        "due_at": settled,
        "waits_for": None,
    }


def _settles(record: Record) -> bool:
    """A burst is measured from its first edit: a record edited without end still goes."""
    return record.reason in (Reason.SETTLING, Reason.QUOTA, Reason.GATE)


def _settle_fields(
    record: Record, sent: Mapping[str, Json], ends: _Ends, agrees: Agrees, *, tried: bool
) -> Record:
    accepted = record.accepted or {}
    pending: dict[str, Pending] = {}
    words = dict(record.words)
    for name, wish in record.pending.items():
        ours_there = name in sent and agrees(name, sent[name], accepted)
        if name == LINK or is_unreadable(name):
            pending[name] = wish
        elif agrees(name, wish.value, accepted):
            ends.say(wish.stamp.entry, Closed.DELIVERED if tried else Closed.UNCHANGED)
            words[name] = wish.value
        elif not wish.base_known or ours_there:
            pending[name] = replace(wish, base=accepted.get(name), base_known=True)
        else:
            pending[name] = wish
    return record.but(pending=pending, words=words)


def _settle_path(record: Record, ends: _Ends, status_field: str | None, *, tried: bool) -> Record:
    if not record.path or status_field is None or of_path(record, status_field) is not None:
        return record
    status = _text((record.accepted or {}).get(status_field))
    path, words = record.path, record.words
    if record.path_base is not None and (status != record.path_base or status == path[0].to):
        done = [move.to for move in path].index(status or "") + 1
        for move in path[:done]:
            ends.say(move.stamp.entry, Closed.DELIVERED if tried else Closed.UNCHANGED)
        words = _said(words, status_field, path[done - 1])
        path = path[done:]
    path, reasons = normalise(status, path)
    for entry, reason in reasons.items():
        ends.say(entry, reason)
    return record.but(path=path, path_base=status if path else None, words=words)


def _confirm(record: Record) -> Record:
    accepted = record.accepted or {}
    expected = {
        name: expectation
        for name, expectation in record.expected.items()
        if accepted.get(name) != expectation.value
    }
    return record if len(expected) == len(record.expected) else record.but(expected=expected)


def _stand(record: Record, conflict: Problem | None, now: datetime, *, goes_on: bool) -> Record:
    record = record.but(oldest_entry=min(record.entries(), default=None))
    if conflict is not None and not goes_on:
        return record.but(
            state=RecordState.DEAD,
            reason=Reason.CONFLICT,
            due_at=None,
            problem=_since(conflict, record.problem, now),
            lease_until=None,
        )
    if not record.changed:
        return record.but(
            state=RecordState.IN_STEP,
            reason=None,
            due_at=None,
            waits_for=None,
            lease_until=None,
            problem=None,
            locks={name: lock for name, lock in record.locks.items() if lock.data},
            tries=0,
            takes=0,
            calls=0,
            allowance=None,
            already=None,
            creates=0,
            first_try_at=None,
            lane=Lane.LIVE,
        )
    return record.but(
        state=RecordState.WAITING,
        reason=None,
        due_at=now,
        waits_for=None,
        lease_until=None,
        takes=0,
        problem=conflict or record.problem,
    )


def _since(problem: Problem, before: Problem | None, now: datetime) -> Problem:
    """Keep since when the same conflict stands."""
    same = before is not None and (before.reason, before.field) == (problem.reason, problem.field)
    return replace(problem, at=before.at if before is not None and same and before.at else now)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
