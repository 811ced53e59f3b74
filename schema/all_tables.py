"""Every table of Pillarbox on its one MetaData, for what needs them all: migrations, tests, docs."""

from schema import console_tables, incoming_tables
from schema.tables import metadata

__all__ = ["console_tables", "incoming_tables", "metadata"]
