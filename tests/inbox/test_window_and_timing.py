"""From where a poll asks, and when runs are due."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from gateway.contracts import lead_provider_v3
from inbox.timing import Until, begins, first_poll, full_due, next_poll
from inbox.window import Began, Everything, From, Nowhere, anchored, limit, started, window
from schema.days import LONDON
from schema.hours import bookings, nightly, occurrence, upcoming, written
from tests.support.clock import NOON

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
BOOKED = bookings("tue 22:00-06:00, sat 22:00-06:00")
QUIET = nightly("22:00-06:00")
BEFORE, AFTER = timedelta(minutes=2), timedelta(minutes=59, seconds=30)
"""From where to where in an hour something of ours may begin."""

CHI_SQUARE = 94.5
"""What 57 minutes that are alike exceed once in a thousand times."""


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


def test_over_a_thousand_days_polls_begin_at_each_minute_alike_but_never_around_the_hour() -> None:
    dice = Random(1)
    at, minutes = NOON, Counter[int]()
    while at < NOON + timedelta(days=1_000):
        after = next_poll(at, interval=HOUR, spacing=timedelta(0), others=(), dice=dice)
        assert HOUR / 2 <= after - at <= HOUR
        minutes[after.minute] += 1
        at = after

    assert minutes[0] == minutes[1] == 0
    rest = [minutes[minute] for minute in range(2, 59)]  # of the last one only half is left
    expected = sum(rest) / len(rest)
    chi_square = sum((count - expected) ** 2 / expected for count in rest)
    assert chi_square < CHI_SQUARE
    assert abs(minutes[59] - expected / 2) < 0.1 * expected


def test_the_same_seed_draws_the_same_moments() -> None:
    def drawn() -> datetime:
        nowhere = timedelta(0)
        return next_poll(NOON, interval=HOUR, spacing=nowhere, others=(), dice=Random(7))

    assert drawn() == drawn()


@pytest.mark.parametrize("seconds", [0, 119, 3_569, 3_570, 3_599])
def test_from_the_turn_of_an_hour_too_the_next_poll_is_not_around_one(seconds: int) -> None:
    dice, at = Random(1), NOON + timedelta(seconds=seconds)

    for interval in (HOUR / 60, HOUR / 4, HOUR, 24 * HOUR):
        for _ in range(100):
            after = next_poll(at, interval=interval, spacing=HOUR * 0, others=(), dice=dice)
            assert at + interval / 2 <= after
            assert after - at <= interval + timedelta(minutes=2, seconds=30)
            assert BEFORE <= after - after.replace(minute=0, second=0, microsecond=0) < AFTER
        first = first_poll(at, within=timedelta(minutes=2), dice=dice)
        assert BEFORE <= first - first.replace(minute=0, second=0, microsecond=0) < AFTER


def test_polls_of_a_key_are_apart() -> None:
    dice = Random(1)
    spacing = timedelta(minutes=2)
    times: list[datetime] = []
    for _ in range(9):
        times.append(next_poll(NOON, interval=HOUR, spacing=spacing, others=times, dice=dice))

    ordered = sorted(times)
    assert all(b - a >= spacing for a, b in pairwise(ordered))


FOUR_WEEKS = timedelta(weeks=4)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)  # British summer time begins on the 29th
SOURCES = [one.name for one in lead_provider_v3.CONTRACT.sources(MONDAY)]


OUTAGES = (None, 2, 5, None, 0, 6, 3, 1, None)


@pytest.mark.parametrize(("source", "outage"), list(zip(SOURCES, OUTAGES, strict=True)))
def test_four_weeks_give_eight_full_syncs_of_each_source_in_quiet_hours_and_none_on_the_hour(
    source: str, outage: int | None
) -> None:
    """Each takes more than its first night, and goes on in the next hours; of one the process is
    down for the whole booked night."""
    completed: datetime | None = MONDAY - timedelta(hours=24)
    opened: datetime | None = None
    needed = timedelta(0)
    began: list[datetime] = []
    ended: list[datetime] = []
    step = timedelta(seconds=1_010)  # so that rounds come at every minute of the hour
    now = MONDAY
    while now < MONDAY + FOUR_WEEKS:
        now += step
        hours = occurrence(BOOKED, now)
        if outage == len(ended) and hours is not None and now < hours[1]:
            continue
        due = full_due(source, now=now, booked=BOOKED, offpeak=QUIET, completed=completed)
        if due is None:
            continue
        hour = now.astimezone(LONDON).hour
        assert hour >= 22 or hour < 6
        assert now < due.end
        if opened is None:
            opened, needed = now, timedelta(hours=9 if len(ended) == 4 else 2)
            began.append(now)
        needed -= step
        if needed <= timedelta(0):
            completed, opened = opened, None
            ended.append(now)

    assert len(ended) == 8
    assert len(began) == 8


def test_no_full_sync_of_any_source_begins_around_the_hour_nor_with_another() -> None:
    nights = [one.on((MONDAY + timedelta(days=day)).date()) for day in range(28) for one in BOOKED]
    quiet = [QUIET.on((MONDAY + timedelta(days=day)).date()) for day in range(28)]

    for hours in (*nights, *quiet):
        moments = [begins(source, hours) for source in SOURCES]
        assert len(set(moments)) == len(SOURCES)
        for at in moments:
            assert hours[0] <= at <= hours[0] + (hours[1] - hours[0]) / 2
            assert BEFORE <= at - at.replace(minute=0, second=0, microsecond=0) < AFTER


def test_hours_that_were_over_when_they_were_agreed_are_nobodys_to_make_up_for() -> None:
    [tuesday, _] = BOOKED
    hours = tuesday.on(date(2026, 2, 10))
    inside, over = hours[1] - HOUR, hours[1]

    assert occurrence([replace(tuesday, since=inside)], over) == hours
    assert occurrence([replace(tuesday, since=over)], over) is None
    assert occurrence([replace(tuesday, since=over)], over + WEEK) == tuesday.on(date(2026, 2, 17))


def test_the_hours_that_come_next_are_those_going_on_or_else_the_first_to_begin() -> None:
    tuesday = datetime(2026, 2, 10, 22, tzinfo=UTC)
    saturday = datetime(2026, 2, 14, 22, tzinfo=UTC)

    assert upcoming(BOOKED, tuesday + 7 * HOUR) == (tuesday, tuesday + 8 * HOUR)
    assert upcoming(BOOKED, tuesday + 8 * HOUR) == (saturday, saturday + 8 * HOUR)
    assert upcoming((), tuesday) is None


def test_a_full_sync_that_is_missed_is_made_up_for_on_the_next_night() -> None:
    tuesday = datetime(2026, 2, 10, 22, tzinfo=UTC)
    wednesday_noon, wednesday_night = tuesday + timedelta(hours=14), tuesday + timedelta(hours=29)
    before = tuesday - timedelta(days=3)

    def due(now: datetime, completed: datetime | None = before) -> Until | None:
        return full_due("x", now=now, booked=BOOKED, offpeak=QUIET, completed=completed)

    assert due(wednesday_noon) is None
    quiet = datetime(2026, 2, 11, 22, tzinfo=UTC), datetime(2026, 2, 12, 6, tzinfo=UTC)
    assert due(begins("x", quiet) - HOUR / 60) is None
    assert due(wednesday_night) == Until(end=quiet[1], missed=True)
    assert due(wednesday_night, tuesday) is None


def test_hours_are_written_as_they_are_read() -> None:
    assert [written(one) for one in bookings("Tue 22:00-06:00,sat 01:30-05:00")] == [
        "tue 22:00-06:00",
        "sat 01:30-05:00",
    ]


@pytest.mark.parametrize("text", ["tuesday 22:00-06:00", "tue 22-06", "tue", "tue 25:00-06:00"])
def test_hours_that_are_none_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write "):
        bookings(text)
