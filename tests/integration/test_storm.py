"""After an outage everything is due at once, and no more is put on the queue than workers answer."""

from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from gateway.quota import Limit, Quota
from runtime.redis import new_stand_in
from schema.events import Event, ParticipantDeferred
from schema.states import Lane
from tests.support.builders import ECT
from tests.support.outbox import TIMING, Outbox
from workers.pace import ON_THE_QUEUE, QuotaPace

CROWD = 2_500


def crowd() -> list[Event]:
    return [
        ParticipantDeferred(
            source_id=f"E-{number}",
            reason="other",
            participant_id=str(uuid5(NAMESPACE_URL, str(number))),
            course_identifier=ECT,
        )
        for number in range(CROWD)
    ]


def test_a_storm_of_due_records_is_rung_a_few_at_a_time(outbox: Outbox) -> None:
    """Fault 21: the quota could carry more, the queue may not hold more."""
    quota = Quota(
        new_stand_in(),
        key_name="key",
        limit=Limit(calls=100_000, window=timedelta(seconds=300)),
        hold=TIMING.send_by + TIMING.deadline,
        recent=list,
    )
    pace = QuotaPace(quota)
    pace.prepare()
    outbox.emit(*crowd())
    most = 0
    rung: set[int] = set()
    for _ in range(3):
        for _ in range(8):  # nobody answers: workers were away as well
            outbox.room = pace.room(Lane.LIVE, len(outbox.rings))
            outbox.round()
            most = max(most, len(outbox.rings))
        rung |= {ring.record_id for ring in outbox.rings}
        outbox.rings.clear()
        outbox.wait(seconds=TIMING.ring.total_seconds() + 1)

    assert most == ON_THE_QUEUE
    assert len(rung) <= 3 * ON_THE_QUEUE
    assert {one.takes for one in outbox.records()} == {0}, "a ring nobody heard counts for nothing"
