"""One yard for all faults of a run."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.servers import NotHere
from tests.support.yard import Yard


@pytest.fixture(scope="session")
def yard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Yard]:
    """A sandbox with a crowd, a Redis server, and a nursery for processes."""
    try:
        made = Yard(tmp_path_factory.mktemp("yard"), lambda: request.getfixturevalue("postgres"))
    except NotHere as error:
        pytest.skip(str(error))
    with closing(made):
        yield made
