"""Bringing a database to this version, and saying which version it is at."""

from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from runtime.database import Database
from runtime.errors import DatabaseBehind

LOCK = 7_236_011
"""PostgreSQL advisory lock: two processes that upgrade at once do it one after the other."""


def upgrade(database: Database, *, to: str = "head") -> str:
    """Bring the database to the newest migration, all or nothing; gives its name.

    *to* stops at an earlier one, as a database of an earlier version is.
    """
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    return head() if to == "head" else to


def current(database: Database) -> str | None:
    """Give the migration the database is at, None for an empty one."""
    with database.reading() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Give the newest migration."""
    return cast(str, ScriptDirectory.from_config(_config()).get_current_head())


def require(database: Database) -> None:
    """Raise `DatabaseBehind`, with the cure, unless the database is at the newest migration."""
    at = current(database)
    if at == head():
        return
    if at is None:
        raise DatabaseBehind("the database is empty; run `pillarbox db upgrade` first")
    raise DatabaseBehind(
        f"the database is at migration {at} and this version needs {head()}; "
        "run `pillarbox db upgrade`"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    return config


def _folder() -> Path:
    """Find the migrations: in an installed wheel inside our package, else beside the packages."""
    root = Path(__file__).resolve().parent.parent
    installed = root / "pillarbox" / "migrations"
    return installed if installed.is_dir() else root / "alembic"
