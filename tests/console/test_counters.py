"""The numbers on every page."""

from datetime import timedelta

from console import counters
from console.counters import Counters
from console.counting import Count
from schema.events import ParticipantDeferred
from schema.outcomes import Blame, Refused
from tests.support.api import a_refusal
from tests.support.outbox import Outbox


def test_what_needs_a_person_is_not_waiting_and_what_was_refused_is_told_apart(
    outbox: Outbox,
) -> None:
    asked(outbox, "E-1")
    outbox.api.then(Refused(status=422, refusals=a_refusal(), blame=Blame.DATA))
    outbox.run()
    outbox.link("E-2", f"{'1' * 8}-1111-4111-8111-111111111111")  # as E-1 is: held
    outbox.emit(ParticipantDeferred(source_id="E-2", reason="other"))
    outbox.round()
    outbox.emit(ParticipantDeferred(source_id="E-3", reason="other"))
    outbox.round()
    outbox.wait(minutes=3)
    outbox.emit(ParticipantDeferred(source_id="E-4", reason="other"))

    with outbox.database.reading() as connection:
        found = counters.read(connection, ["default"], outbox.clock.now())

    assert found == Counters(
        oldest=found.oldest, waiting=Count(1), refused=Count(1), aside=Count(2)
    )
    assert found.oldest is not None
    assert found.oldest >= timedelta(0)


def test_where_nothing_waits_there_is_no_oldest(outbox: Outbox) -> None:
    with outbox.database.reading() as connection:
        found = counters.read(connection, ["default"], outbox.clock.now())

    assert found == Counters(oldest=None, waiting=Count(0), refused=Count(0), aside=Count(0))


def asked(outbox: Outbox, source_id: str) -> None:
    outbox.link(source_id, f"{source_id[-1] * 8}-1111-4111-8111-111111111111")
    outbox.emit(ParticipantDeferred(source_id=source_id, reason="other"))
