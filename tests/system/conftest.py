"""What the commands are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.database import Database


@pytest.fixture
def named_database(
    sqlite_template: Path, tmp_path: Path, environment: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A migrated SQLite file that `DATABASE_URL` names."""
    file = tmp_path / "pillarbox.db"
    file.write_bytes(sqlite_template.read_bytes())
    environment.setenv("DATABASE_URL", f"sqlite:///{file}")
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()
