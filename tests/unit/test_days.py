"""The remote side's day is London's."""

from datetime import UTC, date, datetime

import pytest

from schema.days import just_after_midnight, london_day


@pytest.mark.parametrize(
    ("moment", "midnight"),
    [
        pytest.param("2026-02-10T12:00", "2026-02-11T00:01", id="winter"),
        pytest.param("2026-07-10T12:00", "2026-07-10T23:01", id="summer"),
        pytest.param("2026-07-10T22:59", "2026-07-10T23:01", id="last minute of a summer day"),
        pytest.param("2026-07-10T23:00", "2026-07-11T23:01", id="first minute of the next"),
        pytest.param("2026-03-28T12:00", "2026-03-29T00:01", id="before the clocks go forward"),
        pytest.param("2026-03-29T12:00", "2026-03-29T23:01", id="the day they did"),
        pytest.param("2026-10-24T12:00", "2026-10-24T23:01", id="before the clocks go back"),
        pytest.param("2026-10-25T12:00", "2026-10-26T00:01", id="the day they did too"),
    ],
)
def test_tomorrow_begins_at_midnight_in_london(moment: str, midnight: str) -> None:
    asked = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    assert just_after_midnight(asked) == datetime.fromisoformat(midnight).replace(tzinfo=UTC)


def test_late_in_a_summer_evening_it_is_tomorrow_in_london() -> None:
    assert london_day(datetime(2026, 6, 30, 23, 30, tzinfo=UTC)) == date(2026, 7, 1)
