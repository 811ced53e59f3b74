"""Runs the migrations: by `pillarbox db upgrade`, by `alembic upgrade head`, and in tests."""

from alembic import context
from sqlalchemy import Connection

from runtime.database import Database
from runtime.settings import Settings
from schema.all_tables import metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite changes a table by copying it.
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    database = Database(Settings.from_environment().database_url)
    with database.transaction() as opened:
        _run(opened)
