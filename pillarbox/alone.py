"""Who may work on a database at the same time.

One idea: the built-in Redis lives in one process, and the quota's log with it. Two processes that each
count for themselves would together make twice the calls; so who counts alone works alone, and those
who count in one real Redis may be many.
"""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pillarbox.commands.common import Stop
from runtime.database import Database

ADVISORY = 7_236_012
"""PostgreSQL's advisory lock of the one that counts alone; another is taken for migrations."""

TAKEN = (
    "another process is at work on this database, and its calls and ours would be counted in two "
    "places; stop it first, or set REDIS_URL for both"
)


@contextmanager
def alone(database: Database) -> Generator[None]:
    """Work on a database without anybody beside; raises `Stop` when somebody is there."""
    if not database.is_sqlite:
        with _advisory(database):
            yield
        return
    with _locked(database, fcntl.LOCK_EX):
        yield


@contextmanager
def among_others(database: Database) -> Generator[None]:
    """Work beside others who count in the same Redis; raises `Stop` beside one that counts alone.

    On PostgreSQL nothing is locked: it would cost every process a connection.
    """
    if not database.is_sqlite:
        yield
        return
    with _locked(database, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(database: Database, how: int) -> Generator[None]:
    file = Path(f"{database.url.database}.lock")
    with file.open("a") as held:
        try:
            fcntl.flock(held, how | fcntl.LOCK_NB)
        except OSError:
            raise Stop(TAKEN) from None
        yield  # given up when the file is closed, or its process ends however


@contextmanager
def _advisory(database: Database) -> Generator[None]:
    database.check()
    with database.at_once() as connection:
        query = "SELECT pg_try_advisory_lock(%s)"
        if not connection.exec_driver_sql(query, (ADVISORY,)).scalar_one():
            raise Stop(TAKEN)
        yield
        connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (ADVISORY,))
