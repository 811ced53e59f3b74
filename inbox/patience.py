"""What comes after a handler of the feed has failed. Pure.

One idea: what fails may pass by itself, so it is tried again, ever more seldom; what does not pass in
about an hour is a person's, and until then nothing of that handler's news is passed over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST = timedelta(seconds=5)
"""How soon a handler is tried again, doubled with each failure in a row..."""

LONGEST = timedelta(minutes=5)
"""...up to this."""

TRIES = 20
"""After so many failures in a row a handler is held: about 70 minutes. Fewer, and an evening's restart
of what it depends on needs a person; more, and a mistake in it shows later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again then."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Leave it to a person."""


def after_failure(failures: int, now: datetime) -> Again | Hold:
    """Decide after the latest of so many failures in a row."""
    if failures >= TRIES:
        return Hold()
    return Again(at=now + min(LONGEST, FIRST * 2 ** min(failures - 1, 16)))
