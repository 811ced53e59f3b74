"""Bringing a database to this version, and saying which version it is at.

One idea: every process asks at its start whether the database is at this version, and nearly always
it is. So that is asked without Alembic, whose loading takes longer than all else that is done then.
"""

import re
from functools import cache
from pathlib import Path

from sqlalchemy import inspect

from runtime.database import Database
from runtime.errors import DatabaseAhead, DatabaseBehind

LOCK = 7_236_011
"""PostgreSQL advisory lock: two processes that upgrade at once do it one after the other."""

NAME = re.compile(r"""^revision = ["'](\w+)["']$""", re.MULTILINE)
FOLLOWS = re.compile(r"""^down_revision = ["'](\w+)["']$""", re.MULTILINE)
"""How a migration says its name, and after which it comes."""


def upgrade(database: Database, *, to: str = "head") -> str:
    """Bring the database to the newest migration, all or nothing; gives its name.

    *to* stops at an earlier one, as a database of an earlier version is. Raises `DatabaseAhead` where
    a newer version was at it.
    """
    at = known(database)
    if to == "head" and at == head():
        return head()
    from alembic import command
    from alembic.config import Config

    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        config = Config()
        config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    return head() if to == "head" else to


def current(database: Database) -> str | None:
    """Give the migration the database is at, None for an empty one."""
    with database.reading() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        at = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return None if at is None else str(at)


def known(database: Database) -> str | None:
    """Give the same; raises `DatabaseAhead` where this version has no such migration."""
    at = current(database)
    if at is not None and at not in _names():
        raise DatabaseAhead(
            f"the database is at migration {at}, which this version does not know (its newest is "
            f"{head()}); a newer version brought it there: run that one, or restore a backup"
        )
    return at


@cache
def head() -> str:
    """Give the newest migration: the one that no other comes after."""
    followed = {found[1] for text in _texts() if (found := FOLLOWS.search(text))}
    [newest] = _names() - followed
    return newest


@cache
def _names() -> frozenset[str]:
    return frozenset(found[1] for text in _texts() if (found := NAME.search(text)))


@cache
def _texts() -> tuple[str, ...]:
    files = (_folder() / "versions").glob("*.py")
    return tuple(file.read_text(encoding="utf-8") for file in files)


def require(database: Database) -> None:
    """Raise `DatabaseBehind` or `DatabaseAhead`, with the cure, unless it is at the newest migration."""
    at = known(database)
    if at == head():
        return
    if at is None:
        raise DatabaseBehind("the database is empty; run `pillarbox db upgrade` first")
    raise DatabaseBehind(
        f"the database is at migration {at} and this version needs {head()}; "
        "run `pillarbox db upgrade`"
    )


def _folder() -> Path:
    """Find the migrations: in an installed wheel inside our package, else beside the packages."""
    root = Path(__file__).resolve().parent.parent
    installed = root / "pillarbox" / "migrations"
    return installed if installed.is_dir() else root / "alembic"
