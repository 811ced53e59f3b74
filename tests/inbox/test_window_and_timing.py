"""From where a poll asks, and when runs are due."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from inbox.timing import Until, bookings, full_due, next_poll, nightly, occurrence
from inbox.window import Began, Everything, From, Nowhere, anchored, limit, started, window
from schema.days import LONDON
from tests.support.clock import NOON

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
BOOKED = bookings("tue 22:00-06:00, sat 22:00-06:00")
QUIET = nightly("22:00-06:00")


def asked(began: Began | None, now: datetime = NOON) -> object:
    return window(began, now=now, interval=HOUR, longest_gap=WEEK)


def test_an_hourly_poll_reaches_two_windows_further_back_than_the_last_complete_one_began() -> None:
    last = NOON - HOUR

    assert asked(Began(there=last, here=last)) == From(since=NOON - 3 * HOUR)


def test_after_an_outage_it_still_reaches_back_from_the_last_complete_one() -> None:
    last = NOON - 6 * HOUR

    assert asked(Began(there=last, here=last)) == From(since=NOON - 8 * HOUR)


def test_a_server_whose_clock_was_ahead_is_asked_from_two_windows_before_now() -> None:
    began = Began(there=NOON + timedelta(days=1), here=NOON - HOUR)

    assert asked(began) == From(since=NOON - 2 * HOUR)


def test_after_too_long_a_gap_everything_is_asked_for() -> None:
    inside, outside = NOON - WEEK, NOON - WEEK - timedelta(seconds=1)

    assert isinstance(asked(Began(there=inside, here=inside)), From)
    assert asked(Began(there=outside, here=outside)) == Everything(gap=NOON - outside)


def test_a_first_run_needs_a_start_and_is_never_from_now() -> None:
    assert asked(None) == Nowhere()
    start = From(since=NOON - WEEK)
    assert window(None, now=NOON, interval=HOUR, longest_gap=WEEK, start=start) == start


def test_the_local_summer_time_is_asked_for_in_utc() -> None:
    last = datetime(2026, 7, 1, 15, 15, tzinfo=LONDON)

    found = window(Began(there=last, here=last), now=last + HOUR, interval=HOUR, longest_gap=WEEK)

    assert found == From(since=datetime(2026, 7, 1, 12, 15, tzinfo=UTC))


def test_a_servers_clock_that_stepped_back_is_followed() -> None:
    began = Began(there=NOON - HOUR, here=NOON - HOUR)
    since = NOON - 3 * HOUR

    same = anchored(since, began, date=NOON, here=NOON, interval=HOUR)
    back = anchored(since, began, date=NOON - 5 * HOUR, here=NOON, interval=HOUR)

    assert same == since
    assert back == NOON - 8 * HOUR


def test_the_start_is_the_servers_second_before_or_our_own_if_that_is_earlier() -> None:
    assert started(NOON, NOON + HOUR) == NOON - timedelta(seconds=1)
    assert started(NOON + HOUR, NOON) == NOON
    assert started(None, NOON) < NOON


def test_what_changed_after_the_start_is_the_next_runs_by_the_servers_clock_and_not_by_ours() -> (
    None
):
    behind = NOON - 2 * HOUR

    assert limit(behind, NOON) < behind + timedelta(minutes=5)
    assert limit(None, NOON) > NOON


def test_polls_begin_at_any_minute_but_around_the_hour_and_within_the_interval() -> None:
    dice = Random(1)
    at = NOON
    minutes: Counter[int] = Counter()
    for _ in range(24 * 365):
        after = next_poll(at, interval=HOUR, spacing=timedelta(0), others=(), dice=dice)
        assert HOUR / 2 <= after - at <= HOUR
        minutes[after.minute] += 1
        at = after

    assert minutes[0] == minutes[1] == 0
    rest = [minutes[minute] for minute in range(2, 59)]
    expected = sum(rest) / len(rest)
    chi_square = sum((count - expected) ** 2 / expected for count in rest)
    assert chi_square < 2 * len(rest)  # even chances give about len(rest)
    assert max(rest) < 1.4 * expected


def test_polls_of_a_key_are_apart() -> None:
    dice = Random(1)
    spacing = timedelta(minutes=2)
    times: list[datetime] = []
    for _ in range(9):
        times.append(next_poll(NOON, interval=HOUR, spacing=spacing, others=times, dice=dice))

    ordered = sorted(times)
    assert all(b - a >= spacing for a, b in pairwise(ordered))


@pytest.mark.parametrize("outage", [None, 2, 5])
def test_four_weeks_give_eight_full_syncs_each_within_quiet_hours(outage: int | None) -> None:
    """The process is down for a whole booked night, and makes up for it in the next quiet one."""
    began = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday; British summer time begins on the 29th
    completed: datetime | None = began - timedelta(hours=24)
    runs: list[datetime] = []
    for quarter in range(4 * 7 * 24 * 4):
        now = began + quarter * timedelta(minutes=15)
        first = occurrence(BOOKED, now)
        down = outage is not None and first is not None and len(runs) == outage and now < first[1]
        if down:
            continue
        due = full_due("participants", now=now, booked=BOOKED, offpeak=QUIET, completed=completed)
        if due is not None:
            hour = now.astimezone(LONDON).hour
            assert hour >= 22 or hour < 6
            assert now < due.end
            completed = now
            runs.append(now)

    assert len(runs) == 8


def test_a_full_sync_that_is_missed_is_made_up_for_on_the_next_night() -> None:
    tuesday = datetime(2026, 2, 10, 22, tzinfo=UTC)
    wednesday_noon, wednesday_night = tuesday + timedelta(hours=14), tuesday + timedelta(hours=25)
    before = tuesday - timedelta(days=3)

    def due(now: datetime, completed: datetime | None = before) -> Until | None:
        return full_due("x", now=now, booked=BOOKED, offpeak=QUIET, completed=completed)

    assert due(wednesday_noon) is None
    assert due(wednesday_night) == Until(end=datetime(2026, 2, 12, 6, tzinfo=UTC), missed=True)
    assert due(wednesday_night, tuesday) is None


@pytest.mark.parametrize("text", ["tuesday 22:00-06:00", "tue 22-06", "tue", "tue 25:00-06:00"])
def test_hours_that_are_none_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write "):
        bookings(text)
