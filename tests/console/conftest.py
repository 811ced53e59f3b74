"""A desk on an empty database, at noon."""

import pytest

from runtime.database import Database
from tests.support.clock import HandClock
from tests.support.desk import Desk, a_site


@pytest.fixture
def clock() -> HandClock:
    """The clock of the console."""
    return HandClock()


@pytest.fixture
def desk(database: Database, clock: HandClock) -> Desk:
    """The console, opened at this machine's keyboard; nobody has an account."""
    return Desk(a_site(database, clock))
