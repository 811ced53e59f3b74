"""Many records replayed on one person's word: planned, tried, run, cancelled, resumed, reported."""

import shutil
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from outbox import bulk_round, dead_letters, replay
from outbox.discarding import discard, restore
from outbox.errors import BulkUnderWay, CountMoved, NotThatBulk
from outbox.replay import How
from outbox.selection import Entries, Selection
from records.signature import is_aside, signature_of
from runtime.audit import of_subject
from runtime.database import Database
from schema.bulk import BulkState, Deed, ItemState, Result
from schema.events import DeclarationMade, Event, decode
from schema.outcomes import AlreadyThere, Blame, Refused, Transient
from schema.states import Closed, EntryState, Lane, Reason, RecordState
from tests.integration.test_dead_letters import unknown_there
from tests.support.api import a_refusal, lost
from tests.support.builders import an_enrolment
from tests.support.bulk import AT_ONCE, TRY_ONE, Desk, crowd_events, person_of
from tests.support.clock import NOON
from tests.support.outbox import Outbox

REFUSED = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three be few, so that many are not fifty."""
    monkeypatch.setattr(replay, "FEW", 3)


def deferred(number: int, reason: str = "other") -> Event:
    return decode({"event": "participant_deferred", "source_id": f"E-{number}", "reason": reason})


def resumed(number: int) -> Event:
    return decode({"event": "participant_resumed", "source_id": f"E-{number}"})


def claimed(number: int) -> Event:
    return DeclarationMade(
        source_id=f"E-{number}",
        declaration_type="started",
        declaration_date=NOON.replace(month=1, day=1),
        evidence_held="other",
    )


def audited(desk: Desk, subject: str) -> list[tuple[str, str]]:
    with desk.outbox.database.reading() as connection:
        return [(row["actor"], row["action"]) for row in of_subject(connection, subject)]


# plan


def test_a_plan_says_what_would_become_of_each_record_and_changes_nothing(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=5)
    sent = outbox.record("E-0")
    desk.put_aside(outbox.record("E-1"), remote_id=None, role=None)
    outbox.emit(deferred(3, "career-break"))
    before = outbox.records()

    plan = desk.plan()

    assert {one.result: one.number for one in plan.groups} == {
        Result.SENT: 3,
        Result.WAITS: 1,
        Result.NEWER: 1,
    }
    assert (plan.number, plan.calls, plan.lane) == (5, 3, Lane.BULK)
    assert plan.starts_at == NOON + timedelta(hours=10), "off-peak begins at 22:00"
    assert plan.groups[0].examples[0][0].key == sent.key
    assert outbox.records() == before
    assert outbox.api.calls == []


def test_what_was_refused_for_its_data_is_foreseen_as_refused_and_never_sent_again(
    outbox: Outbox,
) -> None:
    desk = Desk(outbox, crowd=2)
    outbox.api.then(REFUSED)
    one = desk.start(2)
    desk.run()
    assert desk.progress(one).results == {Result.SENT: 1, Result.ASIDE: 1}
    calls = len(outbox.api.calls)

    (group,) = desk.plan().groups
    again = desk.start(1)
    desk.run()

    assert (group.result, group.number) == (Result.ASIDE, 1)
    assert len(outbox.api.calls) == calls
    assert desk.now(again).state is BulkState.DONE
    assert desk.progress(again).results == {Result.ASIDE: 1}


def test_an_id_that_is_not_known_there_is_foreseen_as_set_aside_and_not_asked_for(
    outbox: Outbox,
) -> None:
    record = unknown_there(outbox)
    desk = Desk(outbox)
    calls = len(outbox.api.calls)

    plan = desk.plan()
    one = desk.start(1)
    desk.run()

    (group,) = plan.groups
    assert (group.result, group.why, plan.calls) == (Result.ASIDE, "refused, participant_id", 0)
    assert str(record.remote_id) in group.examples[0][1]
    assert len(outbox.api.calls) == calls
    assert desk.progress(one).results == {Result.ASIDE: 1}


# run


def test_many_go_in_the_bulk_lane_off_peak_a_few_at_a_time_and_the_report_tells_each(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_round, "ON_THE_WAY", 2)
    desk = Desk(outbox, crowd=5)

    one = desk.start(5)
    desk.run()
    assert outbox.api.calls == [], "it is noon"
    outbox.wait(hours=10)
    desk.round.run_once()
    assert [r.lane for r in outbox.records()].count(Lane.BULK) == 2
    desk.run()

    over = desk.now(one)
    assert (over.state, over.lane) == (BulkState.DONE, Lane.BULK)
    assert desk.progress(one).results == {Result.SENT: 5}
    assert outbox.api.writes == ["defer"] * 5
    assert {item.record.state for item in desk.items(one)} == {RecordState.IN_STEP}
    assert audited(desk, f"bulk:{one.id}") == [("Ada", "bulk_started"), ("relay", "bulk_done")]
    assert audited(desk, "enrolment:E-4") == [("Ada", "dead_letter_replayed")]


def test_a_few_go_at_once_and_as_urgent_as_any_change(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=3)

    one = desk.start(3)
    desk.round.run_once()

    assert {r.lane for r in outbox.records()} == {Lane.LIVE}
    desk.run()
    assert desk.now(one).state is BulkState.DONE


def test_a_person_may_say_now(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=4)

    one = desk.start(4, how=AT_ONCE)
    desk.run()

    assert desk.now(one).state is BulkState.DONE
    assert outbox.api.writes == ["defer"] * 4


def test_a_bulk_that_waits_for_the_night_can_be_hurried(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=4)
    one = desk.start(4)
    desk.run()
    assert outbox.api.writes == []

    desk.go(one, at_once=True)
    desk.run()

    assert desk.now(one).state is BulkState.DONE


def test_records_that_came_back_are_few_again_when_one_is_replayed(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=4)
    outbox.api.then(*[REFUSED] * 4)
    desk.start(4, how=AT_ONCE)
    desk.run()
    record = outbox.record("E-0")
    assert record.lane is Lane.BULK

    assert dead_letters.replayed(record, NOON).lane is Lane.LIVE


def test_what_fails_again_and_again_holds_up_no_other(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_round, "ON_THE_WAY", 1)
    desk = Desk(outbox, crowd=2)
    outbox.api.then(*[Transient(detail="503")] * bulk_round.TRIES)
    one = desk.start(2)
    for _ in range(bulk_round.TRIES):
        desk.run()
        outbox.wait(minutes=2)

    desk.run()

    assert desk.now(one).state is BulkState.DONE
    assert desk.progress(one).results.get(Result.SENT, 0) >= 1


def test_a_doubt_is_awaited_until_it_was_looked_up(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=1)
    outbox.api.then(lost(executed=True))
    one = desk.start(1)
    desk.run()
    assert desk.progress(one).moving == 1

    outbox.wait(minutes=5)
    desk.run()

    assert desk.progress(one).results == {Result.SENT: 1}
    assert outbox.api.writes == ["defer"]


def test_what_went_on_meanwhile_is_left_alone(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=2)
    one = desk.start(2)
    with outbox.database.transaction() as connection:
        dead_letters.replay(
            connection,
            outbox.record("E-0").id,
            outbox.contract,
            actor="Bob",
            reason="",
            now=outbox.clock.now(),
        )

    desk.run()

    assert desk.progress(one).results == {Result.SENT: 1, Result.WENT_ON: 1}
    assert audited(desk, "enrolment:E-0") == [("Bob", "dead_letter_replayed")]
    assert outbox.api.writes == ["defer"] * 2


def test_many_are_discarded_with_one_reason_and_each_can_be_restored(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=5)
    how = How(deed=Deed.DISCARD)
    (group,) = desk.plan(how=how).groups

    one = desk.start(5, how=how)
    desk.run()

    assert (group.result, group.number) == (Result.DISCARDED, 5)
    assert desk.progress(one).results == {Result.DISCARDED: 5}
    assert outbox.api.calls == []
    assert {record.state for record in outbox.records()} == {RecordState.IN_STEP}
    with outbox.database.transaction() as connection:
        restore(connection, outbox.record("E-0").id, outbox.contract, person=desk.person("Bob"))
    outbox.run()
    assert outbox.api.writes == ["defer"]


def test_what_somebody_discards_meanwhile_is_not_told_as_accepted(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=2)
    one = desk.start(2, how=AT_ONCE)
    outbox.api.then(REFUSED)
    desk.round.run_once()
    outbox.round()
    outbox.deliver()

    (dead,) = (record for record in outbox.records() if is_aside(record))
    with outbox.database.transaction() as connection:
        discard(connection, dead.id, outbox.contract, person=desk.person("Dan"))
    desk.run()

    assert desk.progress(one).results == {Result.SENT: 1, Result.DISCARDED: 1}


def test_what_was_on_its_way_when_cancelled_is_told_as_it_ended(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_round, "ON_THE_WAY", 3)
    desk = Desk(outbox, crowd=5)
    one = desk.start(5, how=AT_ONCE)
    desk.round.run_once()
    desk.cancel(one)
    outbox.api.then(REFUSED, REFUSED)
    outbox.round()
    outbox.deliver()

    _, dropped = (each for each in outbox.records() if each.reason is Reason.REFUSED)
    with outbox.database.transaction() as connection:
        discard(connection, dropped.id, outbox.contract, person=desk.person("Dan"))
    desk.resume(one)
    desk.run()

    assert desk.now(one).state is BulkState.DONE
    assert desk.progress(one).results == {Result.SENT: 3, Result.DISCARDED: 1, Result.ASIDE: 1}


# try one first


def test_one_goes_first_and_the_others_wait_for_a_persons_word(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=4)
    desk.put_aside(outbox.record("E-0"), remote_id=None, role=None)

    one = desk.start(4, how=TRY_ONE)
    desk.run()

    assert desk.now(one).state is BulkState.TRIED
    assert desk.progress(one).left == 3
    (first,) = desk.items(one, Result.SENT)
    assert first.record.key.source_id == "E-1", (
        "the first one would make no call, and shows nothing"
    )
    assert outbox.api.writes == ["defer"]

    desk.go(one, at_once=True)
    desk.run()
    assert desk.now(one).state is BulkState.DONE
    assert desk.progress(one).results == {Result.SENT: 3, Result.WAITS: 1}


def test_where_the_first_is_refused_the_others_are_spared(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=4)
    outbox.api.then(REFUSED)
    one = desk.start(4, how=TRY_ONE)
    desk.run()

    over = desk.cancel(one)
    desk.run()

    assert over.state is BulkState.CANCELLED
    assert len(outbox.api.calls) == 1
    assert desk.progress(one).results == {Result.ASIDE: 1}
    assert [item.state for item in desk.items(one)].count(ItemState.SPARED) == 3


# cancel, resume, crash


def test_a_cancelled_bulk_stops_and_one_that_is_resumed_does_the_rest_once(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_round, "ON_THE_WAY", 2)
    desk = Desk(outbox, crowd=5)
    one = desk.start(5, how=AT_ONCE)
    desk.round.run_once()

    desk.cancel(one)
    desk.run()
    assert outbox.api.writes == ["defer"] * 2, "what was on its way goes on"
    with pytest.raises(NotThatBulk, match="cancelled already"):
        desk.cancel(one)

    desk.resume(one)
    desk.run()

    assert outbox.api.writes == ["defer"] * 5
    assert desk.now(one).state is BulkState.DONE
    with pytest.raises(NotThatBulk, match="done"):
        desk.resume(one)
    assert [action for _, action in audited(desk, f"bulk:{one.id}")] == [
        "bulk_started",
        "bulk_cancelled",
        "bulk_resumed",
        "bulk_done",
    ]


class Killed(Exception):
    """The process dies here."""


@pytest.mark.parametrize("dies_in", ["update_all", "write_down_all", "note"])
def test_a_relay_that_dies_in_the_middle_leaves_it_to_the_next_and_nothing_goes_twice(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    monkeypatch.setattr(bulk_round, "ON_THE_WAY", 2)
    desk = Desk(outbox, crowd=4)
    one = desk.start(4, how=AT_ONCE)
    desk.round.run_once()

    def die(*_: object) -> None:
        raise Killed

    place = {"update_all": bulk_round.store, "write_down_all": bulk_round, "note": bulk_round.bulk}
    outbox.round()
    outbox.deliver()
    with monkeypatch.context() as broken:
        broken.setattr(place[dies_in], dies_in, die)
        with pytest.raises(Killed):
            desk.round.run_once()
    desk.round = desk.another_round()
    desk.run()

    assert outbox.api.writes == ["defer"] * 4
    assert desk.progress(one).results == {Result.SENT: 4}
    for number in range(4):
        assert len(audited(desk, f"enrolment:E-{number}")) == 1


# two people, two relays


def test_of_two_people_at_once_one_begins_and_the_other_is_told(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=2)
    barrier = threading.Barrier(2)
    told: dict[str, object] = {}

    def begin(who: str) -> None:
        barrier.wait()
        try:
            told[who] = desk.start(2, by=who)
        except BulkUnderWay as error:
            told[who] = error

    people = [threading.Thread(target=begin, args=(who,)) for who in ("Ada", "Bob")]
    for one in people:
        one.start()
    for one in people:
        one.join()
    (refusal,) = [one for one in told.values() if isinstance(one, BulkUnderWay)]
    (first,) = [who for who, one in told.items() if not isinstance(one, BulkUnderWay)]
    desk.run()

    assert f"of {first} is running" in str(refusal)
    assert outbox.api.writes == ["defer"] * 2


def test_two_relays_share_a_bulk_and_send_each_record_once(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_round, "ON_THE_WAY", 3)
    desk = Desk(outbox, crowd=9)
    one = desk.start(9, how=AT_ONCE)
    relays = [desk.another_round() for _ in range(3)]
    barrier = threading.Barrier(len(relays))

    def work(relay: bulk_round.BulkRound) -> None:
        barrier.wait()
        for _ in range(5):
            relay.run_once()

    while desk.now(one).active:
        threads = [threading.Thread(target=work, args=(relay,)) for relay in relays]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outbox.round()
        outbox.deliver()

    assert outbox.api.writes == ["defer"] * 9
    for number in range(9):
        assert len(audited(desk, f"enrolment:E-{number}")) == 1


def test_a_number_that_moved_starts_nothing(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=2)

    with pytest.raises(CountMoved, match="2 records are meant by now, not 3"):
        desk.start(3)
    desk.run()

    assert outbox.api.calls == []
    assert desk.start(2).total == 2


# the same as one by one


@pytest.mark.parametrize("seed", range(3))
def test_a_bulk_makes_exactly_the_calls_that_replays_of_one_would(
    tmp_path: Path, sqlite_template: Path, seed: int
) -> None:
    made: list[list[tuple[str, str]]] = []
    for way in ("bulk", "one by one"):
        file = tmp_path / f"{way}.db"
        shutil.copy(sqlite_template, file)
        with closing(Database(f"sqlite:///{file}")) as database:
            desk = Desk(Outbox(database))
            number = a_mess(desk, Random(seed))
            desk.outbox.api.calls.clear()
            if way == "bulk":
                desk.start(number, how=AT_ONCE)
                desk.run()
            else:
                replay_each(desk)
                desk.outbox.run()
            calls = desk.outbox.api.calls
            made.append(sorted((call.operation, call.request.path) for call in calls))

    assert made[0] == made[1]
    assert made[0]


def a_mess(desk: Desk, dice: Random) -> int:
    """Ten enrolments with claims, each brought before a person in one way or another."""
    outbox = desk.outbox
    for number in range(10):
        outbox.api.people[person_of(number)] = an_enrolment()
    outbox.emit(*crowd_events(10))
    outbox.run()
    for number in range(10):
        blame = dice.choice([Blame.DATA, Blame.STATE])
        refused = Refused(status=422, refusals=a_refusal(), blame=blame)
        answer = dice.choice([refused, AlreadyThere(refusals=a_refusal()), Transient(detail="")])
        outbox.api.then(answer)
        asked = dice.choice([claimed(number), resumed(number)])
        outbox.emit(asked)
        outbox.run()
        outbox.api.script.clear()
        if dice.random() < 0.3:  # what it was refused for is no longer so
            outbox.api.people[person_of(number)]["cohort"] = "2024"
    for one in outbox.records():
        if one.state is not RecordState.IN_STEP and not is_aside(one):
            tired = {"state": RecordState.DEAD, "reason": Reason.EXHAUSTED, "due_at": None}
            desk.put_aside(one, **tired)
    return sum(is_aside(one) for one in outbox.records())


def replay_each(desk: Desk) -> None:
    for one in desk.outbox.records():
        if is_aside(one):
            with desk.outbox.database.transaction() as connection:
                dead_letters.replay(
                    connection,
                    one.id,
                    desk.outbox.contract,
                    actor="Ada",
                    reason="",
                    now=desk.outbox.clock.now(),
                )


# what is meant


def test_records_are_chosen_by_what_is_wrong_with_them_and_by_the_entries_they_carry(
    outbox: Outbox,
) -> None:
    desk = Desk(outbox, crowd=3)
    desk.put_aside(outbox.record("E-1"), reason=Reason.UNCONFIRMED)
    desk.outbox.wait(days=1)
    (late,) = outbox.emit(
        decode(
            {
                "event": "participant_withdrawn",
                "source_id": "E-2",
                "reason": "other",
                "source": "crm",
            }
        )
    )
    outbox.round()
    desk.put_aside(
        outbox.record("E-2"),
        state=RecordState.DEAD,
        reason=Reason.EXHAUSTED,
        due_at=None,
        lease_until=None,
    )

    def meant(**said: object) -> list[str]:
        plan = desk.plan(Selection(**said))  # pyright: ignore[reportArgumentType]
        return sorted(r.key.source_id for group in plan.groups for r, _ in group.examples)

    assert meant(reason=Reason.UNCONFIRMED) == ["E-1"]
    assert meant(families=("enrolment:E-0",)) == ["E-0"]
    assert meant(ids=(outbox.record("E-0").id,)) == ["E-0"]
    assert meant(kind="declaration") == meant(operation="withdraw") == []
    assert len(meant(group=signature_of(outbox.record("E-0")))) == 2
    for entries in (
        Entries(ids=(late,)),
        Entries(event="participant_withdrawn"),
        Entries(source="crm"),
    ):
        assert meant(entries=entries) == ["E-2"]
    assert len(meant(entries=Entries(outcome=EntryState.FOLDED))) == 3


def test_a_dry_run_over_entries_says_which_need_nothing_and_why(outbox: Outbox) -> None:
    desk = Desk(outbox, crowd=3)
    desk.start(1, Selection(families=("enrolment:E-0",)))
    desk.run()

    plan = desk.plan(Selection(entries=Entries(event="participant_deferred")))

    assert plan.number == 2
    assert plan.untouched == {"delivered": 1}
    assert desk.plan(Selection(entries=Entries(outcome=Closed.DELIVERED))).number == 0
