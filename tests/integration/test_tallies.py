"""What the overview's numbers are made of: exact, however often and by whomever they are gathered."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from inbox import requests
from outbox import attempts, entries, tallies
from outbox.tallies import Tallying
from records import counts
from runtime.database import Database
from schema.events import ParticipantDeferred, ScheduleChanged
from schema.states import Reason, RecordState, Span, Tallied
from schema.tables import attempt, outbox_entry, tally_note
from tests.support.outbox import Outbox


@pytest.fixture
def tallying(outbox: Outbox) -> Tallying:
    return another(outbox)


def another(outbox: Outbox) -> Tallying:
    return Tallying(
        database=outbox.database,
        clock=outbox.clock,
        destinations=["default"],
        counting={Tallied.CALL: attempts.by_minute, Tallied.READ: requests.by_minute},
    )


def a_day_at_work(outbox: Outbox) -> None:
    """Links, deliveries hours apart, one sent twice over, and one that changed nothing."""
    for source in ("E-1", "E-2"):
        outbox.link(source, f"{source[-1] * 8}-1111-4111-8111-111111111111")
        outbox.emit(ParticipantDeferred(source_id=source, reason="other"))
        outbox.run()
        outbox.wait(hours=2)
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    for schedule in ("ecf-extended-april", "ecf-extended-january"):
        outbox.emit(ScheduleChanged(source_id="E-2", schedule_identifier=schedule, cohort="2024"))
    outbox.run()
    outbox.link("E-3", "33333333-1111-4111-8111-111111111111")
    outbox.emit(ParticipantDeferred(source_id="E-3", reason="other"))
    outbox.run()


def ever(database: Database) -> Mapping[Tallied, Mapping[str, int]]:
    with database.reading() as connection:
        return tallies.in_all(connection, "default")


def closed(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        rows = connection.execute(
            select(outbox_entry.c.closed_as, func.count())
            .where(outbox_entry.c.closed_as.is_not(None))
            .group_by(outbox_entry.c.closed_as)
        )
        return {str(reason): number for reason, number in rows}


def called(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        rows = connection.execute(
            select(attempt.c.outcome, func.count())
            .where(attempt.c.outcome.is_not(None))
            .group_by(attempt.c.outcome)
        )
        return {str(outcome): number for outcome, number in rows}


def test_what_closed_is_counted_at_once_and_by_gathering_no_second_time(
    outbox: Outbox, tallying: Tallying
) -> None:
    a_day_at_work(outbox)
    truth = closed(outbox.database)
    assert len(truth) > 2

    assert ever(outbox.database)[Tallied.ENTRY] == truth
    for one in (tallying, another(outbox), tallying):
        one.gather()
        assert ever(outbox.database)[Tallied.ENTRY] == truth


def test_every_call_is_counted_once_also_one_that_ended_late(
    outbox: Outbox, tallying: Tallying
) -> None:
    outbox.link()
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.round()
    tallying.gather()
    a_day_at_work(outbox)
    tallying.gather()
    outbox.wait(minutes=10)
    another(outbox).gather()

    assert ever(outbox.database)[Tallied.CALL] == called(outbox.database)


def test_a_relay_that_was_away_for_days_counts_what_was_made_meanwhile(
    outbox: Outbox, tallying: Tallying
) -> None:
    tallying.gather()
    a_day_at_work(outbox)
    outbox.wait(days=5)
    for _ in range(8):
        tallying.gather()

    assert ever(outbox.database)[Tallied.CALL] == called(outbox.database)
    assert ever(outbox.database)[Tallied.ENTRY] == closed(outbox.database)


def test_minutes_hours_and_days_add_up_to_the_same(outbox: Outbox, tallying: Tallying) -> None:
    a_day_at_work(outbox)
    tallying.gather()

    sums = [span_sums(outbox, span) for span in Span]

    assert sums[0] == sums[1] == sums[2]
    calls = {what: number for (of, what), number in sums[0].items() if of is Tallied.CALL}
    assert calls == called(outbox.database)


def span_sums(outbox: Outbox, span: Span) -> Counter[tuple[Tallied, str]]:
    since = outbox.clock.now() - timedelta(days=2)
    found: Counter[tuple[Tallied, str]] = Counter()
    with outbox.database.reading() as connection:
        for one in tallies.of_span(connection, "default", span, since=since):
            found[one.subject, one.outcome] += one.number
    return found


def test_a_closing_that_is_rolled_back_is_in_no_tally(outbox: Outbox) -> None:
    outbox.link()
    entry = outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))[0]
    outbox.round()
    before = ever(outbox.database)

    with pytest.raises(ZeroDivisionError), outbox.database.transaction() as connection:
        entries.close(connection, {entry: entries.Closed.DISCARDED}, now=outbox.clock.now())
        raise ZeroDivisionError

    assert ever(outbox.database) == before


def test_an_idle_site_is_gathered_without_writing(outbox: Outbox, tallying: Tallying) -> None:
    tallying.gather()
    outbox.wait(seconds=30)
    with outbox.database.reading() as connection:
        at = connection.execute(select(func.max(tally_note.c.at))).scalar_one()

    assert at is None
    assert not outbox.database.is_sqlite or writes_nothing(outbox, tallying)


def writes_nothing(outbox: Outbox, tallying: Tallying) -> bool:
    """Gather while another one holds SQLite's only lock on writing."""
    with outbox.database.transaction():
        tallying.gather()
    return True


def test_open_records_are_counted_no_further_than_is_shown(outbox: Outbox) -> None:
    for number in range(4):
        outbox.emit(ParticipantDeferred(source_id=f"E-{number}", reason="other"))
    outbox.run()

    with outbox.database.reading() as connection:
        all_of_them = counts.open_ones(connection, "default", most=4)
        some = counts.open_ones(connection, "default", most=3)
        longest = counts.longest_waiting(connection, "default", some, limit=2)

    assert [(one.state, one.reason, one.number, one.more) for one in (*all_of_them, *some)] == [
        (RecordState.WAITING, Reason.WAITING_FOR, 4, False),
        (RecordState.WAITING, Reason.WAITING_FOR, 3, True),
    ]
    assert [one.key.source_id for one in longest] == ["E-0", "E-1"]
