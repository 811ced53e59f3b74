"""Redis forgets: nothing is granted before the calls of the database are counted again."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from gateway.quota import (
    MARK_BY,
    MARK_MARGIN,
    Granted,
    Limit,
    PastCall,
    Quota,
    Wait,
    WaitReason,
)
from runtime.redis import Redis, connect, new_stand_in
from schema.states import Lane
from tests.quota.conftest import Bench, RedisChild
from tests.quota.world import HOLD

WINDOW = 10
SETTLED = (MARK_BY + MARK_MARGIN).total_seconds()


def test_nothing_is_granted_at_the_first_contact(bench: Bench) -> None:
    quota = bench.process()

    answer = quota.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.SEEDING
    assert answer.wait <= MARK_BY + MARK_MARGIN


def test_a_log_that_was_never_there_opens_as_soon_as_marks_must_be_committed(bench: Bench) -> None:
    quota = bench.process()
    quota.ask(Lane.LIVE)

    bench.later(SETTLED - 0.01)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(0.02)
    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_redis_wiped_at_99_percent_of_the_window_lets_one_percent_through(bench: Bench) -> None:
    quota = bench.quota(calls=100, window=60)
    for lane in (Lane.POLL, Lane.BULK, Lane.LIVE):
        bench.calls(quota, lane, at_most=33)
    bench.forget_everything()
    bench.let_in(quota)

    assert quota.fill().used == 99
    assert len(bench.calls(quota, Lane.LIVE)) == 1


def test_seeded_calls_free_when_they_would_have_freed(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)
    bench.later(4)
    bench.forget_everything()
    bench.let_in(quota)

    bench.later(WINDOW - 4 - 3 - 0.1)
    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(0.2)
    assert len(bench.calls(quota, Lane.LIVE)) == 5


def test_calls_in_flight_in_the_database_are_counted(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.grants(quota, Lane.LIVE, at_most=2)
    bench.forget_everything()
    quota = bench.quota(calls=5, window=WINDOW)

    assert (quota.fill().used, quota.fill().in_flight) == (2, 2)
    bench.later(HOLD.total_seconds() + WINDOW - 3 - 0.1)
    assert quota.fill().used == 2
    bench.later(0.2)
    assert quota.fill().used == 0


def test_a_call_that_was_granted_but_not_marked_when_redis_forgot_is_counted(bench: Bench) -> None:
    """The race: another process fills the log from the database before the mark is there."""
    slow, quick = bench.quota(calls=1, window=WINDOW), bench.quota(calls=1, window=WINDOW)
    grant = slow.ask(Lane.LIVE)
    assert isinstance(grant, Granted)
    bench.forget_everything()
    assert isinstance(quick.ask(Lane.LIVE), Wait)

    bench.clock.goes_on(MARK_BY)
    bench.database.mark(grant)
    good = slow.still_good(grant)
    bench.later(1)
    answer = quick.ask(Lane.LIVE)

    assert not (good and isinstance(answer, Granted))


def test_a_mark_that_comes_after_the_log_was_filled_is_not_honoured(bench: Bench) -> None:
    slow, quick = bench.quota(calls=1, window=WINDOW), bench.quota(calls=1, window=WINDOW)
    grant = slow.ask(Lane.LIVE)
    assert isinstance(grant, Granted)
    bench.forget_everything()
    quick.ask(Lane.LIVE)
    bench.later(SETTLED)
    assert isinstance(quick.ask(Lane.LIVE), Granted)

    bench.database.mark(grant)

    assert not slow.still_good(grant)


def test_an_answer_that_comes_after_the_loss_is_counted(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    (grant,) = bench.grants(quota, Lane.LIVE, at_most=1)
    bench.forget_everything()
    quota.answered(grant)
    bench.let_in(quota)

    fill = quota.fill()
    assert (fill.used, fill.in_flight) == (1, 0)


def test_filling_the_log_twice_counts_each_call_once(bench: Bench) -> None:
    first, second = bench.quota(calls=9, window=WINDOW), bench.quota(calls=9, window=WINDOW)
    bench.calls(first, Lane.LIVE, at_most=4)
    bench.forget_everything()
    for quota in (first, second):
        quota.ask(Lane.LIVE)
    bench.later(3)
    bench.let_in(first)
    bench.let_in(second)

    assert first.fill().used == 4


def test_a_database_that_fails_leaves_the_log_closed_and_is_asked_again(bench: Bench) -> None:
    class DatabaseAway(Exception):
        pass

    def fails() -> Sequence[PastCall]:
        raise DatabaseAway

    def fails_once() -> Sequence[PastCall]:
        return next(attempts)()

    attempts = iter([fails, list[PastCall]])
    quota = bench.process(recent=fails_once)
    quota.ask(Lane.LIVE)
    bench.later(3)

    with pytest.raises(DatabaseAway):
        quota.ask(Lane.LIVE)
    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_a_log_that_is_lost_while_the_database_is_read_stays_closed(bench: Bench) -> None:
    """What was read may lack a call that was marked since."""

    def reads_slowly() -> Sequence[PastCall]:
        rows = bench.database.recent()
        bench.forget_everything()
        return rows

    quota = bench.process(recent=reads_slowly)
    quota.ask(Lane.LIVE)
    bench.later(3)

    assert isinstance(quota.ask(Lane.LIVE), Wait)
    assert not quota.fill().is_open


def test_a_process_alone_with_its_stand_in_need_not_wait(namespace: str) -> None:
    quota = a_quota_on_the_stand_in(new_stand_in(), namespace)

    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_a_process_alone_with_its_stand_in_knows_its_own_grants(namespace: str) -> None:
    """Without a wait the database may not have the mark yet."""
    stand_in = new_stand_in()
    quota = a_quota_on_the_stand_in(stand_in, namespace)
    assert isinstance(quota.ask(Lane.LIVE), Granted)

    stand_in.flushall()  # pyright: ignore[reportUnknownMemberType]

    assert isinstance(quota.ask(Lane.LIVE), Wait)
    assert quota.fill().used == 1


def a_quota_on_the_stand_in(stand_in: Redis, namespace: str) -> Quota:
    return Quota(
        stand_in,
        key_name="key",
        limit=Limit(calls=1, window=timedelta(seconds=WINDOW)),
        hold=HOLD,
        recent=tuple,
        namespace=namespace,
    )


def test_one_set_thrown_away_is_a_loss(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)
    (slots,) = [key for key in bench.stored() if key.endswith(":live") and "tickets" not in key]
    bench.client.delete(slots)

    answer = quota.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.SEEDING
    bench.let_in(quota)
    assert quota.fill().used == 5


def test_a_log_older_than_what_a_caller_was_told_is_a_loss(bench: Bench) -> None:
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE, at_most=1)
    older = {key: bench.client.dump(key) or b"" for key in bench.stored()}
    bench.calls(quota, Lane.LIVE, at_most=2)
    bench.forget_everything()
    for key, value in older.items():
        bench.client.restore(key, 0, value)

    answer = quota.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.SEEDING
    bench.let_in(quota)
    assert quota.fill().used == 3


def test_a_restart_that_brings_back_an_older_log_is_noticed_by_those_who_saw_nothing(
    redis_child: RedisChild, namespace: str
) -> None:
    """A caller that was told no higher number cannot notice by its own memory."""
    bench = Bench(connect(redis_child.url), namespace)
    busy, idle = bench.quota(calls=5, window=WINDOW), bench.quota(calls=5, window=WINDOW)
    bench.client.save()  # pyright: ignore[reportUnknownMemberType]
    bench.calls(busy, Lane.LIVE)
    redis_child.stop()
    redis_child.start()
    assert bench.stored() != [], "the older state is there"

    answer = idle.ask(Lane.LIVE)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.SEEDING
    bench.let_in(idle)
    assert idle.fill().used == 5


def test_a_new_process_beside_busy_ones_starts_within_seconds(bench: Bench) -> None:
    busy = bench.quota(calls=5, window=WINDOW)
    bench.calls(busy, Lane.LIVE, at_most=2)
    newcomer = bench.process(calls=5, window=WINDOW)
    newcomer.ask(Lane.LIVE)

    bench.later(SETTLED + 0.01)

    assert isinstance(newcomer.ask(Lane.LIVE), Granted)
    assert busy.fill().used == 3


def test_a_process_that_prepares_is_granted_its_first_slot_at_once(bench: Bench) -> None:
    quota = bench.process()
    assert isinstance(quota.prepare(), Wait)
    bench.later(3)
    assert quota.prepare() is None
    assert quota.prepare() is None

    assert isinstance(quota.ask(Lane.LIVE), Granted)


def test_a_negative_age_counts_as_just_now(bench: Bench) -> None:
    """The database's clock went back after the answer was written down."""
    quota = bench.quota(calls=5, window=WINDOW)
    bench.calls(quota, Lane.LIVE)
    bench.database.behind = timedelta(minutes=5).total_seconds()
    bench.forget_everything()
    bench.let_in(quota)

    assert isinstance(quota.ask(Lane.LIVE), Wait)
    bench.later(WINDOW + 0.1)
    assert isinstance(quota.ask(Lane.LIVE), Granted)
