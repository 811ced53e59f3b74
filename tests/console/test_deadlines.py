"""A deadline is written as people say it."""

from datetime import UTC, datetime

import pytest

from console.templating import TEMPLATES
from console.views import deadline


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        pytest.param("2026-08-31T23:00", "end of 31 August 2026", id="summer's midnight"),
        pytest.param("2026-12-01T00:00", "end of 30 November 2026", id="winter's midnight"),
        pytest.param("2026-01-02T00:00", "end of 1 January 2026", id="a day of one digit"),
        pytest.param("2026-08-31T22:59", "31 Aug 2026 23:59:00", id="a minute before"),
        pytest.param("2026-09-01T00:00", "01 Sep 2026 01:00:00", id="London's is an hour ago"),
    ],
)
def test_a_midnight_that_ends_a_day_is_that_days_end(moment: str, words: str) -> None:
    assert deadline(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == words


def test_a_page_says_the_day_and_keeps_the_instant() -> None:
    source = '{% import "macros.html" as m with context %}{{ m.until(at) }}'
    at = datetime(2026, 8, 31, 23, tzinfo=UTC)

    told = TEMPLATES.environment.from_string(source).render(at=at)

    assert 'datetime="2026-08-31T23:00:00Z"' in told
    assert ">end of 31 August 2026<" in told
