"""What became of each local event is told in the feed, once, and apart from the deliveries."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from inbox import expectations, feed, settling
from inbox.cursor import Cursor
from inbox.feed import Wants
from inbox.settling import Fates, Teller
from outbox import entries, fates
from schema.events import Event, decode
from schema.fates import Fate
from schema.keys import EntryId
from schema.outcomes import Blame, Refused
from schema.states import Closed, RecordState
from schema.tables import outbox_entry
from tests.support.api import a_refusal
from tests.support.builders import PERSON
from tests.support.outbox import Outbox


def teller(outbox: Outbox, **instead: Any) -> Teller:
    return Teller(
        database=outbox.database,
        clock=outbox.clock,
        destination="default",
        sorts=(
            Fates(any=fates.any_closed, claim=instead.get("claim", fates.claim_closed)),
            Fates(any=fates.any_aside, claim=fates.claim_aside),
        ),
    )


def told(outbox: Outbox) -> list[tuple[int | None, str | None, str | None]]:
    with outbox.database.reading() as connection:
        batch = feed.read_on(
            connection,
            "default",
            Cursor(position=0),
            Wants(subject=feed.EVENT),
            limit=10_000,
        )
    return [(one.entry_id, one.event_id, one.outcome) for one in batch.notices]


def to_schedule(schedule: str, **more: Any) -> Event:
    return decode(
        {
            "event": "schedule_changed",
            "source_id": "E-1",
            "schedule_identifier": schedule,
            "cohort": "2025",
            **more,
        }
    )


def refusal() -> Refused:
    return Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)


def test_every_event_is_told_how_it_ended_once_with_its_own_reference(outbox: Outbox) -> None:
    link = outbox.link()
    first, second = outbox.emit(
        to_schedule("ecf-reduced-september", source="crm", event_id="c-1"),
        to_schedule("ecf-extended-september", source="crm", event_id="c-2"),
    )
    outbox.run()
    telling = teller(outbox)

    assert telling.run_once() == 3
    assert sorted(told(outbox), key=str) == sorted(
        [(link, None, "noted"), (first, "c-1", "superseded"), (second, "c-2", "delivered")], key=str
    )
    assert (telling.run_once(), teller(outbox).run_once()) == (0, 0)
    with outbox.database.reading() as connection:
        row = feed.read(connection, "default", source="crm")[-1]
    assert (row["kind"], row["record_keys"], row["remote_id"]) == (
        "settled",
        ["enrolment:E-1"],
        PERSON,
    )
    assert outbox.how(link, first, second) == ["noted", "superseded", "delivered"]


def test_what_waits_for_a_person_is_told_with_the_words_and_its_end_afterwards(
    outbox: Outbox,
) -> None:
    outbox.link()
    outbox.run()
    teller(outbox).run_once()
    end = len(told(outbox))
    outbox.api.then(refusal())
    [entry] = outbox.emit(to_schedule("ecf-reduced-september", source="crm", event_id="c-1"))
    outbox.run()
    dead = outbox.record()
    assert dead.state is RecordState.DEAD
    assert dead.problem is not None
    problem = dead.problem.detail
    telling = teller(outbox)
    for _ in range(3):
        telling.run_once()
    refused = told(outbox)[end:]
    with outbox.database.reading() as connection:
        reason = feed.read(connection, "default", source="crm")[-1]["reason"]
    [newer] = outbox.emit(to_schedule("ecf-extended-september", source="crm", event_id="c-2"))
    outbox.run()
    telling.run_once()

    assert refused == [(entry, "c-1", "refused")]
    assert reason == problem
    assert told(outbox)[end + 1 :] == [(entry, "c-1", "superseded"), (newer, "c-2", "delivered")]


def test_what_was_set_aside_lately_is_told_once_without_a_look_at_all_that_stand_aside(
    outbox: Outbox,
) -> None:
    outbox.link()
    outbox.run()
    outbox.api.then(refusal())
    [entry] = outbox.emit(to_schedule("ecf-reduced-september", source="crm", event_id="c-1"))
    outbox.run()
    lately = Teller(
        database=outbox.database,
        clock=outbox.clock,
        destination="default",
        sorts=(Fates(any=fates.any_lately_aside, claim=fates.claim_lately_aside),),
    )

    assert [lately.run_once() for _ in range(2)] == [1, 0]
    assert told(outbox) == [(entry, "c-1", "refused")]
    with outbox.database.reading() as connection:
        assert not fates.any_aside(connection, "default")


def test_who_dies_while_telling_has_told_nothing_and_it_is_told_once(outbox: Outbox) -> None:
    outbox.link()
    outbox.run()

    def claim(connection: Connection, destination: str, limit: int) -> list[Fate]:
        fates.claim_closed(connection, destination, limit)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teller(outbox, claim=claim).run_once()
    assert told(outbox) == []

    teller(outbox).run_once()
    assert len(told(outbox)) == 1


def test_an_end_that_commits_late_is_told_after_later_ones(outbox: Outbox) -> None:
    first = outbox.link("E-1")
    second = outbox.link("E-2", person="51a0f0e7-038d-54ff-9b88-0a24f263e320")
    outbox.emit(to_schedule("ecf-reduced-september"))
    outbox.run()
    with outbox.database.transaction() as connection:  # as if its close were not committed yet
        hidden = outbox_entry.c.id == first
        connection.execute(
            update(outbox_entry)
            .where(hidden)
            .values(state="folded", closed_as=None, closed_at=None)
        )
    teller(outbox).run_once()
    assert first not in [entry for entry, _, _ in told(outbox)]
    with outbox.database.transaction() as connection:
        entries.close(connection, {EntryId(first): Closed.NOTED}, now=outbox.clock.now())
    teller(outbox).run_once()

    ends = [entry for entry, _, _ in told(outbox)]
    assert second in ends
    assert ends[-1] == first


def test_a_backlog_is_told_in_bounded_batches(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "BATCH", 2)
    monkeypatch.setattr(settling, "BATCHES", 2)
    outbox.link()
    outbox.emit(
        *(to_schedule(f"ecf-{'reduced' if n % 2 else 'extended'}-september") for n in range(8))
    )
    outbox.run()
    telling = teller(outbox)

    assert [telling.run_once() for _ in range(4)] == [4, 4, 1, 0]
    assert len(told(outbox)) == 9


def test_what_should_have_come_and_has_not_is_told_of_the_event_that_said_it(
    outbox: Outbox,
) -> None:
    outbox.link()
    outbox.emit(to_schedule("ecf-reduced-september"))
    mentor = {"event": "mentor_changed", "source_id": "E-1", "mentor_id": PERSON}
    [entry] = outbox.emit(decode({**mentor, "source": "crm", "event_id": "m-1"}))
    outbox.run()
    teller(outbox).run_once()
    end = len(told(outbox))
    outbox.wait(days=15)
    with outbox.database.transaction() as connection:
        after = timedelta(days=14)
        now = outbox.clock.now()
        assert expectations.bury_overdue(connection, "default", now=now, after=after) == 1
    telling = teller(outbox)
    for _ in range(2):
        telling.run_once()

    assert told(outbox)[end:] == [(entry, "m-1", "unconfirmed")]
