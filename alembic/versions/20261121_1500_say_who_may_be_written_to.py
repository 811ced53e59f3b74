"""Say of each destination whether it may be written to.

Revision: 0002, after: 0001

What is bound to an address that is not on this computer is in shadow from now on, until
`pillarbox destination go-live`. The new reasons are put into the list that stands in the database,
whatever else is in it by now.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = {
    "generation": ("INTEGER DEFAULT '1' NOT NULL", "INTEGER DEFAULT '1' NOT NULL"),
    "live_since": ("TIMESTAMP WITH TIME ZONE", "TEXT"),
    "live_by": ("TEXT", "TEXT"),
    "unknown_since": ("TIMESTAMP WITH TIME ZONE", "TEXT"),
    "unknown_after": ("BIGINT", "BIGINT"),
    "unknown_total": ("BIGINT", "BIGINT"),
}

UNKNOWN = "CREATE INDEX record_unknown ON record (destination, state) WHERE look_first = 1"

NEW = ("shadow", "rebound")
AFTER = "look_first"


def upgrade() -> None:
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    for name, types in COLUMNS.items():
        connection.exec_driver_sql(f"ALTER TABLE binding ADD COLUMN {name} {types[sqlite]}")
    connection.exec_driver_sql(UNKNOWN)
    cast = "" if sqlite else "::text"
    old = f"'{AFTER}'{cast}"
    _replace_in_reasons(connection, old, ", ".join([old, *(f"'{one}'{cast}" for one in NEW)]))


def downgrade() -> None:
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    cast = "" if sqlite else "::text"
    connection.exec_driver_sql(
        "UPDATE record SET reason = NULL, waits_for = NULL WHERE reason IN ('shadow', 'rebound')"
    )
    _replace_in_reasons(connection, "".join(f", '{one}'{cast}" for one in NEW), "")
    connection.exec_driver_sql("DROP INDEX record_unknown")
    for name in reversed(COLUMNS):
        connection.exec_driver_sql(f"ALTER TABLE binding DROP COLUMN {name}")


def _replace_in_reasons(connection, old, new):
    if connection.dialect.name == "sqlite":
        _replace_in_table_text(connection, old, new)
        return
    check = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'record_reason_known'"
    written = connection.exec_driver_sql(check).scalar_one()
    assert old in written
    connection.exec_driver_sql("ALTER TABLE record DROP CONSTRAINT record_reason_known")
    connection.exec_driver_sql(
        f"ALTER TABLE record ADD CONSTRAINT record_reason_known {written.replace(old, new, 1)}"
    )


def _replace_in_table_text(connection, old, new):
    # SQLite cannot change a check. No row is touched by this one, so its text may be, the way that
    # SQLite's own page on ALTER TABLE describes; a new table would have to be put under every key
    # that refers to it.
    find = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'record'"
    written = connection.exec_driver_sql(find).scalar_one()
    assert old in written
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = 'record'",
        (written.replace(old, new, 1),),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
