"""Many records that wait for a person, and what a person and a relay do about them."""

from collections.abc import Sequence
from typing import Any

from outbox import bulk, replay
from outbox.bulk import Bulk, Item, Progress
from outbox.bulk_round import BulkRound
from outbox.replay import How, Plan
from outbox.saying import Person
from outbox.selection import Selection
from records import store
from schema.bulk import Result
from schema.events import Event, ParticipantLinked, decode
from schema.hours import nightly
from schema.record import Problem, Record
from schema.states import Reason, RecordState
from tests.support.builders import ECT, an_enrolment
from tests.support.outbox import Outbox

QUIET = nightly("22:00-06:00")

EVERYTHING = Selection()
REPLAY, AT_ONCE, TRY_ONE = How(), How(at_once=True), How(try_one=True)


def person_of(number: int) -> str:
    return f"{number:08d}-1111-4111-8111-111111111111"


def crowd_events(number: int) -> list[Event]:
    """So many enrolments, each linked and deferred."""
    return [
        event
        for one in range(number)
        for event in (
            ParticipantLinked(
                source_id=f"E-{one}", participant_id=person_of(one), course_identifier=ECT
            ),
            decode({"event": "participant_deferred", "source_id": f"E-{one}", "reason": "other"}),
        )
    ]


class Desk:
    """The outgoing half with a person before it."""

    def __init__(self, outbox: Outbox, *, crowd: int = 0) -> None:
        self.outbox = outbox
        self.round = self.another_round()
        if crowd:
            self.give_up_on(crowd)

    def another_round(self) -> BulkRound:
        """What another relay would do."""
        return BulkRound(
            database=self.outbox.database,
            contract=self.outbox.contract,
            destination="default",
            clock=self.outbox.clock,
            offpeak=QUIET,
        )

    def give_up_on(self, number: int) -> None:
        """Let so many enrolments be known, deferred here, and given up after many failures."""
        outbox = self.outbox
        for one in range(number):
            outbox.api.people[person_of(one)] = an_enrolment()
        outbox.emit(*crowd_events(number))
        outbox.room = 0
        outbox.round()
        outbox.room = 1_000
        tired = Problem(
            reason=Reason.EXHAUSTED,
            detail="failed 10 times",
            operation="defer",
            at=outbox.clock.now(),
        )
        given_up = [
            one.but(
                state=RecordState.DEAD,
                reason=Reason.EXHAUSTED,
                due_at=None,
                tries=10,
                problem=tired,
                accepted=an_enrolment(),
            )
            for one in outbox.records()
        ]
        with outbox.database.transaction() as connection:
            store.update_all(connection, given_up)

    def put_aside(self, one: Record, **changes: Any) -> None:
        """Change a record that waits for a person, or make it one."""
        with self.outbox.database.transaction() as connection:
            store.update_all(connection, [one.but(**changes)])

    # what a person does

    def plan(self, chosen: Selection = EVERYTHING, *, how: How = REPLAY) -> Plan:
        with self.outbox.database.reading() as connection:
            return replay.planned(
                connection,
                "default",
                chosen,
                self.outbox.contract,
                offpeak=QUIET,
                now=self.outbox.clock.now(),
                how=how,
            )

    def start(
        self,
        number: int,
        chosen: Selection = EVERYTHING,
        *,
        by: str = "Ada",
        how: How = REPLAY,
    ) -> Bulk:
        with self.outbox.database.transaction() as connection:
            return bulk.start(
                connection,
                "default",
                chosen,
                self.person(by),
                expect=number,
                how=how,
            )

    def person(self, by: str = "Ada") -> Person:
        return Person(actor=by, reason="the API is well again", now=self.outbox.clock.now())

    def go(self, one: Bulk, *, at_once: bool = False) -> Bulk:
        with self.outbox.database.transaction() as connection:
            return bulk.go(connection, one.id, self.person(), at_once=at_once)

    def cancel(self, one: Bulk) -> Bulk:
        with self.outbox.database.transaction() as connection:
            return bulk.cancel(connection, one.id, self.person())

    def resume(self, one: Bulk) -> Bulk:
        with self.outbox.database.transaction() as connection:
            return bulk.resume(connection, one.id, self.person())

    # what the relay does

    def run(self, *, rounds: int = 200) -> None:
        """Bulk, relay and workers until nothing moves any more; the clock stands still."""
        for _ in range(rounds):
            stepped = self.round.run_once()
            moved = self.outbox.round().done
            rang = bool(self.outbox.rings)
            self.outbox.deliver()
            if not stepped and not moved and not rang:
                return
        raise AssertionError("it does not come to rest")

    # what is there

    def now(self, one: Bulk) -> Bulk:
        with self.outbox.database.reading() as connection:
            found = bulk.get(connection, one.id)
        assert found is not None
        return found

    def progress(self, one: Bulk) -> Progress:
        with self.outbox.database.reading() as connection:
            return bulk.progress(connection, self.now(one))

    def items(self, one: Bulk, result: Result | None = None) -> Sequence[Item]:
        with self.outbox.database.reading() as connection:
            return bulk.items(connection, one.id, result=result, limit=10_000)
