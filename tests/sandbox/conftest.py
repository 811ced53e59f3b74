from collections.abc import Iterator

import pytest

from sandbox.server import Sandbox
from tests.sandbox.support import Hand, a_world


@pytest.fixture(scope="package")
def served() -> Iterator[Sandbox]:
    """One sandbox for all tests, with a limit out of their way."""
    with Sandbox(a_world(), limit=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def hand(served: Sandbox) -> Hand:
    """Calls to a sandbox in which nobody is yet; a test loads whom it needs."""
    hand = Hand(served)
    hand.world(a_world())
    return hand
