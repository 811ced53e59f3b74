"""What becomes of a record after an outcome: one rule each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.retry import (
    LOCKS,
    LOOK_SOON,
    PATIENCE,
    TAKES,
    TRIES,
    Moment,
    Shut,
    after,
    backoff,
    bury,
    lapse,
    put_back,
    shut_by,
)
from records.fold import Folded
from schema.keys import EntryId
from schema.outcomes import (
    AlreadyThere,
    Blame,
    Conflict,
    Delivered,
    InDoubt,
    InvalidHere,
    KeyRefused,
    Later,
    Outcome,
    Refused,
    Throttled,
    Transient,
)
from schema.plans import Call
from schema.record import Lock, Problem, Record
from schema.states import GateReason, Reason, RecordState
from tests.support.api import a_refusal
from tests.support.builders import a_look, a_mark, a_move, a_record, a_wish, a_write, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import TIMING

WRITE = a_write()
SAFE = NOON + timedelta(seconds=10 + 30 + 120)


def taken(*, marked: bool = True, **more: object) -> Record:
    """A record whose call is under way since noon."""
    values: dict[str, Any] = {
        "accepted": an_enrolment(),
        "state": RecordState.TAKEN,
        "takes": 1,
        "lease_until": NOON + timedelta(minutes=2),
        "pending": {"cohort": a_wish("2024", 7, base="2025")},
        "mark": a_mark(7, fields={"cohort": "2024"}) if marked else None,
        **more,
    }
    return a_record(**values)


MOMENT = Moment(now=NOON, server_now=NOON, dice=Random(1))


def came(outcome: Outcome, record: Record | None = None, call: Call = WRITE) -> Folded:
    return after(outcome, record or taken(), call, cause="c", timing=TIMING, moment=MOMENT)


def stands(ended: Folded) -> tuple[RecordState, Reason | None, datetime | None]:
    record = ended.record
    return record.state, record.reason, record.due_at


# the table


def test_already_there_is_looked_up_at_once_and_costs_no_try() -> None:
    ended = came(AlreadyThere(refusals=a_refusal()))
    record = ended.record

    assert stands(ended) == (RecordState.WAITING, Reason.LOOK_FIRST, NOON)
    assert (record.look_first, record.already) == (True, WRITE.request.fingerprint())
    assert (record.tries, record.calls, record.mark) == (0, 1, None)


def test_throttled_shuts_the_gate_for_as_long_as_it_says_at_no_cost() -> None:
    throttled = Throttled(retry_after=timedelta(seconds=40))
    ended = came(throttled)

    assert stands(ended) == (RecordState.WAITING, Reason.GATE, NOON)
    assert shut_by(throttled, TIMING, MOMENT) == Shut(
        reason=GateReason.THROTTLED,
        until=NOON + timedelta(seconds=40),
        detail="the API answered 429, too many requests",
    )
    assert (ended.record.tries, ended.record.takes) == (0, 0)


def test_throttled_without_a_word_waits_for_the_next_window_of_the_server_and_a_little() -> None:
    server = datetime(2026, 2, 10, 12, 4, 59, tzinfo=UTC)
    moment = Moment(now=NOON, server_now=server, dice=Random(1))

    shut = shut_by(Throttled(retry_after=None), TIMING, moment)

    assert shut is not None
    assert shut.until is not None
    assert timedelta(seconds=1.5) <= shut.until - NOON <= timedelta(seconds=6)


def test_a_passing_failure_is_a_try_and_waits_for_its_backoff() -> None:
    ended = came(Transient(detail="not sent: refused"))
    state, reason, due_at = stands(ended)

    assert (state, reason) == (RecordState.WAITING, Reason.BACKOFF)
    assert due_at is not None
    assert timedelta(seconds=1) <= due_at - NOON <= timedelta(seconds=2)
    assert (ended.record.tries, ended.record.first_try_at) == (1, NOON)


@pytest.mark.parametrize(
    ("tries_before", "since", "state"),
    [
        (TRIES - 1, PATIENCE, RecordState.DEAD),
        (TRIES - 2, PATIENCE, RecordState.WAITING),
        (TRIES - 1, PATIENCE - timedelta(seconds=1), RecordState.WAITING),
    ],
)
def test_a_record_is_given_up_only_after_the_tries_and_a_day(
    tries_before: int, since: timedelta, state: RecordState
) -> None:
    tired = taken(tries=tries_before, first_try_at=NOON - since)

    assert came(Transient(detail="no route"), tired).record.state is state


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(minutes=7), timedelta(minutes=-7)])
@pytest.mark.parametrize(
    ("there", "midnight"),
    [
        pytest.param("2026-02-10T12:00", "2026-02-11T00:01", id="winter"),
        pytest.param("2026-06-30T21:30", "2026-06-30T23:01", id="a summer evening"),
        pytest.param("2026-02-10T23:58", "2026-02-11T00:01", id="two minutes before midnight"),
        pytest.param("2026-03-29T00:30", "2026-03-29T23:01", id="the night the clocks go forward"),
        pytest.param("2026-03-28T23:59", "2026-03-29T00:01", id="the minute before that night"),
        pytest.param("2026-10-24T22:59", "2026-10-24T23:01", id="before the clocks go back"),
        pytest.param("2026-10-25T00:30", "2026-10-26T00:01", id="the long day"),
    ],
)
def test_tomorrow_means_just_after_midnight_in_london_by_the_servers_clock(
    there: str, midnight: str, skew: timedelta
) -> None:
    server_now = datetime.fromisoformat(there).replace(tzinfo=UTC)
    moment = Moment(now=server_now + skew, server_now=server_now, dice=Random(1))

    ended = after(
        Later(refusals=a_refusal("declaration", "try again tomorrow")),
        taken(),
        WRITE,
        cause="c",
        timing=TIMING,
        moment=moment,
    )

    due_at = datetime.fromisoformat(midnight).replace(tzinfo=UTC) + skew
    assert stands(ended) == (RecordState.WAITING, Reason.SNOOZED, due_at)
    assert ended.record.tries == 0


@pytest.mark.parametrize("blame", [Blame.DATA, Blame.STATE])
def test_refused_is_dead_at_once_with_the_apis_words_and_its_request_locked(
    blame: Blame,
) -> None:
    refusals = a_refusal("schedule_identifier", "is not one of ours")

    outcome = Refused(status=422, refusals=refusals, blame=blame)
    ended = came(outcome, call=a_write(fields={"cohort": "2024"})).record

    assert (ended.state, ended.reason, ended.due_at) == (RecordState.DEAD, Reason.REFUSED, None)
    request = WRITE.request.fingerprint()
    problem = Problem(
        reason=Reason.REFUSED,
        detail="schedule_identifier: is not one of ours",
        field="schedule_identifier",
        operation="defer",
        status=422,
    )
    assert ended.problem == problem
    assert ended.locks == {
        request: Lock(
            fingerprint=request,
            data=blame is Blame.DATA,
            cause="c",
            entries=(EntryId(7),),
            problem=problem,
        )
    }


def test_a_refused_read_is_dead_and_locks_nothing_so_that_a_newer_event_looks_again() -> None:
    looking = taken(marked=False, look_first=True)
    refused = Refused(status=404, refusals=a_refusal(), blame=Blame.STATE)

    record = came(refused, looking, a_look()).record

    assert (record.state, record.reason, record.locks) == (RecordState.DEAD, Reason.REFUSED, {})


def test_only_the_newest_refusals_are_kept() -> None:
    refused = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)
    record = taken()
    for entry in range(LOCKS + 5):
        record = replace(
            record,
            pending={"cohort": a_wish(str(entry), entry)},
            mark=a_mark(entry, fields={"cohort": str(entry)}),
        )
        call = a_write({"cohort": entry}, fields={"cohort": str(entry)})
        record = came(refused, record, call).record

    kept = sorted(entry for lock in record.locks.values() for entry in lock.entries)
    assert kept == list(range(5, LOCKS + 5))


def test_refused_with_more_to_send_goes_on_with_the_rest_and_keeps_the_refusal() -> None:
    more = taken(path=(a_move("deferred", 8),))
    refused = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)

    record = came(refused, more, a_write(fields={"cohort": "2024"})).record

    assert (record.state, record.due_at) == (RecordState.WAITING, NOON)
    assert record.locks
    assert record.problem is not None
    assert record.problem.reason is Reason.REFUSED


def test_a_refused_key_shuts_the_gate_for_a_person_and_costs_no_try() -> None:
    ended = came(KeyRefused(status=401))

    assert stands(ended) == (RecordState.WAITING, Reason.GATE, NOON)
    shut = shut_by(KeyRefused(status=401), TIMING, MOMENT)
    assert shut is not None
    assert (shut.reason, shut.until) == (GateReason.KEY_REFUSED, None)
    assert ended.record.tries == 0


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (InvalidHere(field="cohort", detail="must be a year"), Reason.INVALID_HERE),
        (Conflict(field="cohort", base="2025", ours="2024", theirs="2023"), Reason.CONFLICT),
    ],
)
def test_what_only_a_person_can_decide_is_dead_with_its_field(
    outcome: Outcome, reason: Reason
) -> None:
    record = came(outcome).record

    assert (record.state, record.reason) == (RecordState.DEAD, reason)
    assert record.problem is not None
    assert record.problem.field == "cohort"


@pytest.mark.parametrize(
    ("answered", "reason", "due_at"),
    [
        (False, Reason.NO_ANSWER, SAFE),
        (True, Reason.UNCLEAR_ANSWER, NOON + LOOK_SOON),
    ],
)
def test_in_doubt_keeps_its_mark_and_is_looked_up_when_nothing_can_land_any_more(
    answered: bool, reason: Reason, due_at: datetime
) -> None:
    ended = came(InDoubt(detail="reset", answered=answered))

    assert stands(ended) == (RecordState.IN_DOUBT, reason, due_at)
    record = ended.record
    assert (record.look_first, record.tries) == (True, 1)
    mark = taken().mark
    assert mark is not None
    kept = replace(mark, over_at=NOON if answered else None)
    assert record.mark == kept
    assert TIMING.safe_to_look(kept) == (NOON if answered else SAFE)


@pytest.mark.parametrize(
    "outcome",
    [
        Throttled(retry_after=None),
        Transient(detail="no answer"),
        KeyRefused(status=401),
        Later(refusals=a_refusal()),
        Refused(status=404, refusals=a_refusal(), blame=Blame.STATE),
        InvalidHere(field="f", detail="d"),
    ],
)
def test_a_look_up_that_fails_in_any_way_leaves_a_doubt_a_doubt(outcome: Outcome) -> None:
    doubtful = taken(look_first=True, reason=Reason.NO_ANSWER, tries=TRIES, first_try_at=NOON)

    record = came(outcome, doubtful, a_look()).record

    assert (record.state, record.mark) == (RecordState.IN_DOUBT, doubtful.mark)
    assert record.entries() == {7}
    assert record.locks == {}


def test_delivered_is_settled_elsewhere() -> None:
    with pytest.raises(TypeError, match="Delivered"):
        came(Delivered(accepted={}))


# backoff


@given(tries=st.integers(1, 10_000), seed=st.integers())
def test_a_backoff_doubles_from_two_seconds_to_a_minute_and_is_at_most_halved(
    tries: int, seed: int
) -> None:
    whole = min(2.0 * 2 ** min(tries - 1, 20), 60.0)

    wait = backoff(tries, Random(seed)).total_seconds()

    assert whole / 2 - 1e-6 <= wait <= whole + 1e-6


# leases that ran out


def test_a_ring_that_nobody_answered_is_rung_again() -> None:
    record = lapse(a_record(state=RecordState.DISPATCHED), timing=TIMING, now=NOON)

    assert (record.state, record.due_at, record.lease_until) == (RecordState.WAITING, NOON, None)


def test_a_holder_that_died_before_its_mark_left_nothing_there() -> None:
    record = lapse(taken(marked=False), timing=TIMING, now=NOON)

    assert (record.state, record.due_at) == (RecordState.WAITING, NOON)


@pytest.mark.parametrize(
    ("now", "due_at"),
    [(NOON + timedelta(minutes=2), SAFE), (SAFE, SAFE), (SAFE + timedelta(1), SAFE + timedelta(1))],
)
def test_a_holder_that_died_after_its_mark_leaves_a_doubt_never_something_due(
    now: datetime, due_at: datetime
) -> None:
    record = lapse(taken(), timing=TIMING, now=now)

    assert (record.state, record.reason) == (RecordState.IN_DOUBT, Reason.LEASE_RAN_OUT)
    assert (record.look_first, record.due_at) == (True, due_at)


@pytest.mark.parametrize(
    ("takes", "state"), [(TAKES - 1, RecordState.WAITING), (TAKES, RecordState.DEAD)]
)
def test_a_record_that_ends_its_worker_every_time_stops(takes: int, state: RecordState) -> None:
    record = lapse(taken(marked=False, takes=takes), timing=TIMING, now=NOON)

    assert record.state is state


def test_a_doubt_is_never_buried_as_dead() -> None:
    problem = Problem(reason=Reason.EXHAUSTED, detail="")

    assert bury(taken(), problem).state is RecordState.IN_DOUBT
    assert bury(taken(marked=False), problem).state is RecordState.DEAD


def test_given_back_costs_nothing() -> None:
    record = put_back(taken(marked=False, tries=3), Reason.QUOTA, NOON)

    assert (record.state, record.reason, record.tries, record.takes) == (
        RecordState.WAITING,
        Reason.QUOTA,
        3,
        0,
    )


def test_two_refused_steps_are_both_locked_and_neither_is_sent_again() -> None:
    more = taken(path=(a_move("deferred", 8),))
    refused = Refused(status=404, refusals=a_refusal(), blame=Blame.DATA)
    first, second = a_write(fields={"cohort": "2024"}), WRITE

    once = came(refused, more, first).record
    twice = came(refused, replace(once, mark=more.mark), second).record

    assert set(twice.locks) == {first.request.fingerprint(), second.request.fingerprint()}
    assert twice.calls == 2


def test_a_correction_that_came_during_a_refused_call_is_not_buried_with_it() -> None:
    refused = Refused(status=422, refusals=a_refusal(), blame=Blame.DATA)
    moment = Moment(now=NOON, server_now=NOON, dice=Random(1), moved_on=True)

    ended = after(refused, taken(), WRITE, cause="c", timing=TIMING, moment=moment)

    assert ended.record.state is RecordState.WAITING


def test_try_tomorrow_is_no_taking_without_an_orderly_end() -> None:
    record = came(Later(refusals=a_refusal()), taken(takes=4)).record

    assert record.takes == 0


def test_any_number_of_tomorrows_is_no_reason_to_give_up() -> None:
    record = taken(takes=0)
    for _ in range(3 * TAKES):
        record = came(Later(refusals=a_refusal()), record.but(takes=record.takes + 1)).record

    assert (record.state, record.reason) == (RecordState.WAITING, Reason.SNOOZED)
    assert lapse(record.but(state=RecordState.TAKEN, takes=1), timing=TIMING, now=NOON).state is (
        RecordState.WAITING
    )


def test_a_record_that_kills_its_worker_after_the_mark_stays_in_doubt_for_a_person() -> None:
    record = lapse(taken(takes=TAKES), timing=TIMING, now=NOON)

    assert (record.state, record.due_at) == (RecordState.IN_DOUBT, None)
