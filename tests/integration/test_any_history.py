"""Any history of events, faults, deaths and changes of theirs, on the real tables.

The oracle keeps its own books: what was asked, what the API holds, which calls were made. A trigger
writes down every transition of every record, also those inside one transaction.
"""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from outbox.relay import Ring
from runtime.database import Database
from schema.events import decode
from schema.keys import EntryId
from schema.outcomes import AlreadyThere, Blame, InDoubt, Later, Refused, Throttled, Transient
from schema.states import MAY_FOLLOW, RecordState
from tests.support.api import Scripted, a_refusal
from tests.support.builders import PERSON
from tests.support.outbox import Outbox

TRIGGER = """
CREATE TRIGGER record_moved AFTER UPDATE OF state ON record WHEN old.state <> new.state
BEGIN INSERT INTO moved VALUES (old.state, new.state); END
"""
SCHEDULES = ("ecf-standard-september", "ecf-extended-september", "ecf-reduced-september")

EVENTS: list[dict[str, object]] = [
    {"event": "participant_deferred", "reason": "other"},
    {"event": "participant_deferred", "reason": "bereavement"},
    {"event": "participant_resumed"},
    {"event": "participant_withdrawn", "reason": "other"},
    *({"event": "schedule_changed", "schedule_identifier": one, "cohort": "2025"} for one in SCHEDULES),
    {"event": "declaration_made", "declaration_type": "started", "declaration_date": "2025-10-01T09:00:00Z", "evidence_held": "other"},
    {"event": "declaration_made", "declaration_type": "started", "declaration_date": "2025-10-02T09:00:00Z", "evidence_held": "other"},
    {"event": "declaration_voided", "declaration_type": "started"},
]  # fmt: skip

NOT_EXECUTED = (
    Throttled(retry_after=timedelta(seconds=3)),
    Transient(detail="not sent"),
    Refused(status=422, refusals=a_refusal(), blame=Blame.DATA),
    Refused(status=422, refusals=a_refusal(), blame=Blame.STATE),
    Later(refusals=a_refusal()),
    AlreadyThere(refusals=a_refusal()),
)
PERHAPS = (InDoubt(detail="reset", answered=False), InDoubt(detail="500", answered=True))


class Died(BaseException):
    """The worker was killed."""


class History:
    """One enrolment and its claims, and everything that may happen to them."""

    def __init__(self, template: Path) -> None:
        """Open a fresh database, with the link in it."""
        self.folder = tempfile.TemporaryDirectory(prefix="pillarbox-history-")
        file = Path(self.folder.name) / "pillarbox.db"
        shutil.copy(template, file)
        self.database = Database(f"sqlite:///{file}")
        with self.database.transaction() as connection:
            connection.execute(text("CREATE TABLE moved (old TEXT, new TEXT)"))
            connection.execute(text(TRIGGER))
        self.outbox = Outbox(self.database)
        self.emitted = [self.outbox.link()]
        self.theirs = False

    def end(self) -> None:
        """Let everything come to rest, without faults."""
        for _ in range(6):
            self.outbox.wait(hours=13)
            self.outbox.run()

    def close(self) -> None:
        """Forget it."""
        self.database.close()
        self.folder.cleanup()

    # what happens

    def local_system(self, event: dict[str, object]) -> None:
        """A local system says something."""
        self.emitted.extend(self.outbox.emit(decode({**event, "source_id": "E-1"})))

    def relay(self) -> None:
        """The relay makes a round."""
        self.outbox.round()

    def worker(self) -> None:
        """A worker answers a ring."""
        for ring in self._ring():
            self.outbox.deliverer.deliver(ring)

    def worker_dies(self, executed: bool) -> None:
        """A worker answers a ring and is killed in its call, if it gets so far."""
        self._with(Scripted(outcome=Transient(detail=""), executed=executed, meanwhile=_die))
        self.outbox.wait(seconds=130)

    def call_without_effect(self, outcome: object) -> None:
        """A call is made and has no effect there."""
        self._with(Scripted(outcome=outcome))  # pyright: ignore[reportArgumentType]

    def call_without_an_answer(self, outcome: InDoubt, executed: bool) -> None:
        """A call is made, and nobody hears what came of it."""
        self._with(Scripted(outcome=outcome, executed=executed))

    def ring_is_lost(self) -> None:
        """Redis forgets."""
        self.outbox.rings.clear()

    def ring_is_doubled(self) -> None:
        """Redis says it twice."""
        self.outbox.rings.extend(list(self.outbox.rings)[:1])

    def time_passes(self, seconds: int) -> None:
        """Time passes."""
        self.outbox.wait(seconds=seconds)

    def school(self, schedule: str) -> None:
        """The other side changes the schedule."""
        self.theirs = True
        self.outbox.api.people[PERSON]["schedule_identifier"] = schedule

    def _ring(self) -> list[Ring]:
        """Give the next ring, if there is one or a round makes one."""
        if not self.outbox.rings:
            self.outbox.round()
        return [self.outbox.rings.popleft()] if self.outbox.rings else []

    def _with(self, scripted: Scripted) -> None:
        self.outbox.api.script.append(scripted)
        for ring in self._ring():
            try:
                self.outbox.deliverer.deliver(ring)
            except Died:
                if scripted.executed:
                    self.outbox.api.carry_out(self.outbox.api.calls[-1])
        self.outbox.api.script.clear()

    # what must hold

    def check(self) -> None:
        """Check what must hold at any moment."""
        self.no_state_follows_that_may_not()
        self.every_entry_is_closed_or_carried()
        self.no_claim_is_live_twice()

    def no_state_follows_that_may_not(self) -> None:
        """Every transition there ever was is one that may be."""
        with self.database.reading() as connection:
            moved = connection.execute(text("SELECT DISTINCT old, new FROM moved")).all()
        wrong = [
            (old, new) for old, new in moved if RecordState(new) not in MAY_FOLLOW[RecordState(old)]
        ]
        assert wrong == []

    def every_entry_is_closed_or_carried(self) -> None:
        """No entry is lost: it is new, closed with a reason, or its record still carries it."""
        how = self.outbox.entries()
        assert sorted(how) == sorted(self.emitted)
        open_ones = {entry for entry, state in how.items() if state == "folded"}
        assert open_ones == self._carried()

    def no_claim_is_live_twice(self) -> None:
        """There is never more than one live claim of a type."""
        live = [one for one in self.outbox.api.declarations.values() if one["state"] == "submitted"]
        assert len(live) < 2

    def _carried(self) -> set[EntryId]:
        carried: set[EntryId] = set()
        for one in self.outbox.records():
            carried |= one.entries()
        return carried

    def judge(self) -> None:
        """At rest: everything is in step, or in front of a person; and what is in step is right."""
        self.check()
        for one in self.outbox.records():
            if one.state is RecordState.WAITING:
                assert one.waits_for is not None, f"{one.key} waits for nothing"
                continue
            if one.state is RecordState.IN_DOUBT:
                assert (one.due_at, one.problem is not None) == (None, True), one
                continue
            assert one.state in (RecordState.IN_STEP, RecordState.HELD, RecordState.DEAD), one
            assert (one.state is RecordState.IN_STEP) == (not one.entries()), one
        enrolment = self.outbox.record()
        there = self.outbox.api.people[PERSON]
        if enrolment.state is RecordState.IN_STEP and enrolment.accepted is not None:
            assert enrolment.accepted["training_status"] == there["training_status"]
            if not self.theirs:
                assert enrolment.accepted["schedule_identifier"] == there["schedule_identifier"]


def _die() -> None:
    raise Died


Deed = tuple[Any, ...]
"""What happens, and with what."""


def deeds(about: list[dict[str, object]]) -> st.SearchStrategy[Deed]:
    """Give all that may happen, half of it the work itself."""

    def one_of(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Deed]:
        return st.tuples(st.just(name), *arguments)

    return st.one_of(
        one_of("local_system", st.sampled_from(about)),
        one_of("local_system", st.sampled_from(about)),
        one_of("worker"),
        one_of("worker"),
        one_of("relay"),
        one_of("worker_dies", st.booleans()),
        one_of("worker_dies", st.just(True)),
        one_of("call_without_effect", st.sampled_from(NOT_EXECUTED)),
        one_of("call_without_an_answer", st.sampled_from(PERHAPS), st.booleans()),
        one_of("ring_is_lost"),
        one_of("ring_is_doubled"),
        one_of("time_passes", st.sampled_from([1, 16, 200, 50_000])),
        one_of("school", st.sampled_from(SCHEDULES)),
    )


histories = st.sampled_from([EVENTS, EVENTS[:4], EVENTS[2:7], EVENTS[7:], EVENTS[7:]]).flatmap(
    lambda about: st.lists(deeds(about), min_size=12, max_size=30)
)


@settings(max_examples=30)
@given(history=histories)
def test_any_history_ends_in_step_or_in_front_of_a_person(
    sqlite_template: Path, history: list[Deed]
) -> None:
    played = History(sqlite_template)
    try:
        for name, *given_to_it in history:
            getattr(played, name)(*given_to_it)
            played.check()
        played.end()
        played.judge()
    finally:
        played.close()
