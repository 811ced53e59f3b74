"""The SQL that is shown does what is said, on both databases."""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from runtime.database import Database
from tests.docs.reference import ROOT

PAGE = (ROOT / "docs" / "how-to" / "emit-from-sql.md").read_text(encoding="utf-8")
BLOCKS = [block.strip() for block in re.findall(r"```sql\n(.*?)```", PAGE, re.S)]
GOOD = [re.sub(r"^(BEGIN.*?;|COMMIT;)$", "", block, flags=re.M) for block in BLOCKS[:2]]
BAD = BLOCKS[2:]


def test_what_is_shown_for_this_database_goes_in_once(database: Database) -> None:
    statement = GOOD[1 if database.is_sqlite else 0]
    with database.transaction() as connection:
        connection.exec_driver_sql(statement)
    if not database.is_sqlite:
        with database.transaction() as connection:
            connection.exec_driver_sql(statement)  # the same event_id: nothing happens

    with database.reading() as connection:
        rows = connection.execute(text("SELECT state, source_id, source FROM outbox_entry")).all()

    assert [tuple(row) for row in rows] == [("new", "E-1042", "crm")]


@pytest.mark.parametrize("block", BAD, ids=lambda block: block.rpartition(" ")[2])
def test_what_is_said_to_be_refused_is_refused_by_that_rule(database: Database, block: str) -> None:
    statement, rule = re.split(r"\n-- refused: ", block)

    with pytest.raises(DBAPIError, match=rule), database.transaction() as connection:
        connection.exec_driver_sql(statement)
