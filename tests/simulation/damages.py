"""Deliberate damages to the product's code, each of which the judge must notice.

One idea: a damage is a few words of a function replaced while it runs, so it is exactly the mistake
it is named after. Where the words are no longer there it says so, and has to be thought of anew.
"""

import importlib
import inspect
import textwrap
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha1
from types import CodeType, FunctionType
from typing import Any, cast


class NoLongerThere(Exception):
    """What a damage replaces is not in the code any more: it must be written anew."""


@dataclass(frozen=True)
class Edit:
    """Words of one function, and what stands there instead. Without a function: of the script."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Damage:
    """A mistake somebody might make."""

    name: str
    edits: tuple[Edit, ...]
    needs: tuple[str, ...] = ()
    """What a history must have for it to matter; others are not played in search of it."""


def damage(name: str, *edits: tuple[str, str, str], needs: str = "") -> Damage:
    """Put a damage together."""
    return Damage(name, tuple(Edit(*one) for one in edits), tuple(needs.split()))


SCRIPT = "gateway.quota:script"

DAMAGES: Sequence[Damage] = (
    damage(
        "no fence check",
        (
            "outbox.delivery:Deliverer._settle_once",
            "if record is None or record.token != taken.record.token:",
            "if record is None:",
        ),
        needs="frozen",
    ),
    damage(
        "done before it is answered",
        (
            "outbox.delivery:Deliverer._with",
            "reach(Point.MARK_COMMITTED)\n",
            "done = taken.record.but(state=RecordState.IN_STEP, lease_until=None, pending={}, path=())\n"
            "    with self._database.transaction() as connection:\n"
            "        store.update_held(connection, done, done.token)\n"
            "    reach(Point.MARK_COMMITTED)\n",
        ),
    ),
    damage(
        "a lost answer taken for a yes",
        (
            "outbox.retry:after",
            "return Folded(record=_doubt(record, outcome, timing, moment))",
            "return Folded(record=record.but(state=RecordState.IN_STEP, mark=None, pending={},"
            " path=(), due_at=None, lease_until=None))",
        ),
    ),
    damage(
        "resend without look-up",
        ("outbox.retry:_doubt", "look_first=True,", "look_first=False,"),
    ),
    damage(
        "quarantine skipped",
        (
            "outbox.retry:Timing.safe_to_look",
            "return mark.at + self.send_by + self.deadline + self.quarantine",
            "return mark.at",
        ),
        needs="lands_late",
    ),
    damage(
        "token not exchanged",
        (
            "records.holding:take_with_kin",
            "record = from_row(row[:-1])",
            "there, was = globals()['record'], {'token': token, 'state': 'dispatched'}\n"
            "        connection.execute(update(there).where(there.c.id == record_id).values(was))\n"
            "        record = from_row(row[:-1]).but(token=token)",
        ),
    ),
    damage(
        "mark after send",
        (
            "outbox.delivery:Deliverer._with",
            "marked = self._mark(taken, grant)",
            "came = self._make_call(taken.call, taken.record, taken.kin, self._clock.monotonic() + 9)\n"
            "        marked = self._mark(taken, grant)",
        ),
        (
            "outbox.delivery:Deliverer._with",
            "came = self._make_call(taken.call, taken.record, taken.kin, marked.send_by)",
            "pass",
        ),
    ),
    damage(
        "SEND_BY not checked",
        (
            "gateway.client:Sending.about_to_write",
            "if not self.sent and self.send_by is not None and self.monotonic() > self.send_by:",
            "if False:",
        ),
        needs="freezes:mark.committed",
    ),
    damage(
        "slot refunded on an unclear outcome",
        (
            "outbox.delivery:Deliverer._date_slot",
            "self._pace.answered(grant)",
            "(self._pace.unused if heard.came.status is None else self._pace.answered)(grant)",
        ),
        needs="tight",
    ),
    damage(
        "slot dated at sending",
        (SCRIPT, "put(lane, grant, now + hold + keep)", "put(lane, grant, now + keep)"),
        (SCRIPT, "put(arg.lane, arg.grant, now + keep)", "--"),
        needs="tight",
    ),
    damage(
        "a lost log taken for an empty one",
        (SCRIPT, "if not log.opened or (address and not address.opened)", "if false"),
        (SCRIPT, "if arg.joined == token() then return true end", "if true then return true end"),
        needs="redis_flushed tight",
    ),
    damage(
        "a clock that ran ahead not noticed",
        ("gateway.quota:_ran_ahead", "return answer.redis_time >", "return 0 >"),
        needs="redis_clock_steps",
    ),
    damage(
        "gate ignored",
        (
            "outbox.delivery:Deliverer._not_taken",
            "standing = self._gates.standing(connection, now)",
            "standing = Open()",
        ),
        (
            "outbox.relay:Relay._admit_lane",
            "standing = self._gates.standing(connection, now)",
            "standing = Open()",
        ),
        (
            "outbox.relay:Relay._goes_at_once",
            "return isinstance(self._gates.standing(connection, now), Open)",
            "return True",
        ),
        needs="key_refused",
    ),
    damage(
        "rescue makes marked records due",
        ("outbox.retry:lapse", "if record.mark is not None:", "if False:"),
    ),
    damage(
        "lost rings not rung again",
        (
            "outbox.relay:Relay._rescue",
            "found = dispatching.lapsed(connection, now=now, limit=RESCUE_BATCH)",
            "found = [one for one in dispatching.lapsed(connection, now=now, limit=RESCUE_BATCH)"
            " if one.state is RecordState.TAKEN]",
        ),
        needs="ring_lost",
    ),
    damage(
        "create resent without limit",
        ("outbox.delivery:Deliverer._read", "if sent.creates < CREATES:", "if True:"),
        ("outbox.admission:_follow", "if record.creates >= CREATES and", "if False and"),
        needs="fails_before",
    ),
    damage(
        "create resent after a void",
        ("records.fold:_end_round", "return record.but(pending=pending)", "return record"),
        (
            "gateway.contracts.lead_provider.planning:_plan_declaration",
            "if wanted in LIVE:",
            "if wanted in LIVE or (_state(record) == ABSENT_STATE and len(record.pending) > 1):",
        ),
        needs="request_lost",
    ),
    damage(
        "base not compared",
        (
            "records.conflict:of_field",
            "if not wish.base_known or theirs == wish.base:",
            "if True:",
        ),
        needs="theirs",
    ),
    damage(
        "newest wins dropped from the fold",
        (
            "schema.record:Stamp.later_than",
            "if self.source == other.source",
            "return self.entry > other.entry\n    if self.source == other.source",
        ),
    ),
    damage(
        "path cancelled across a state in doubt",
        ("records.fold:_move", "1 if _moved(record) else 0", "0"),
        ("records.fold:_around_moves", "mark is not None and mark.move is None", "True"),
        needs="reply_lost",
    ),
    damage(
        "floor never forgotten",
        (
            "outbox.relay:Relay._forget_floors",
            "if now - self._floors.forgotten_at >= LOOK_BACK:",
            "if self._floors.forgotten_at < 0:",
        ),
        needs="commits_late",
    ),
    damage(
        "kin in doubt does not block",
        (
            "outbox.admission:_goes_first",
            "if other.state in _BLOCKING or other.mark is not None:",
            "if False:",
        ),
    ),
    damage(
        "not today taken for never",
        (
            "gateway.answers:_refused",
            "if Meaning.LATER in meanings and",
            "if False and",
        ),
    ),
    damage(
        "a throttled call taken for a refused one",
        (
            "gateway.answers:_answered",
            "return Throttled(retry_after=_retry_after(answer))",
            "return _refused(contract, operation, answer)",
        ),
        needs="foreign_calls",
    ),
)


@contextmanager
def damaged(by: Damage) -> Generator[None]:
    """Run with a damage in place; everything is whole again afterwards. Raises `NoLongerThere`."""
    with ExitStack() as stack:
        for edit in by.edits:
            stack.enter_context(_script(edit) if edit.where == SCRIPT else _function(edit))
        yield


@contextmanager
def _function(edit: Edit) -> Generator[None]:
    function = _found(edit.where)
    before = function.__code__
    source = _SOURCES.get(function) or textwrap.dedent(inspect.getsource(function))
    changed = _replaced(source, edit)
    _SOURCES[function] = changed
    function.__code__ = _compiled(changed, function)
    try:
        yield
    finally:
        function.__code__ = before
        _SOURCES.pop(function, None)


_SOURCES: dict[FunctionType, str] = {}
"""What functions say that are damaged in more than one place."""


def _found(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return cast(FunctionType, found)


def _replaced(source: str, edit: Edit) -> str:
    if source.count(edit.old) != 1:
        raise NoLongerThere(f"{edit.where}: {edit.old!r} is there {source.count(edit.old)} times")
    return source.replace(edit.old, edit.new)


def _compiled(source: str, function: FunctionType) -> CodeType:
    """Compile a function anew; whoever holds it runs the new words."""
    there: dict[str, Any] = {}
    lines = f"from __future__ import annotations\n{source}"
    exec(compile(lines, f"<damaged {function.__name__}>", "exec"), function.__globals__, there)
    return cast(FunctionType, there[function.__name__]).__code__


@contextmanager
def _script(edit: Edit) -> Generator[None]:
    quota: Any = importlib.import_module("gateway.quota")
    before = (quota._SCRIPT, quota._SCRIPT_SHA)
    quota._SCRIPT = _replaced(quota._SCRIPT, edit)
    quota._SCRIPT_SHA = sha1(quota._SCRIPT.encode(), usedforsecurity=False).hexdigest()
    try:
        yield
    finally:
        quota._SCRIPT, quota._SCRIPT_SHA = before
