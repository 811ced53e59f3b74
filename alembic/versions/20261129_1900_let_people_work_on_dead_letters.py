"""Let people work on dead letters: groups, owners and notes, what was discarded, search by name.

Revision: 0008, after: 0007

What stands aside gets its signature and since when from what is in its row; of a refusal that is
when the call was answered. What the mirror holds can be found by name from then on.
"""

import json
from typing import Any

from alembic import op
from sqlalchemy import Connection, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = (
    "ALTER TABLE record ADD COLUMN signature TEXT",
    "ALTER TABLE record ADD COLUMN aside_at TIMESTAMP WITH TIME ZONE",
)

TABLES = (
    r"""
CREATE TABLE letter_group (
    destination TEXT NOT NULL,
    signature TEXT NOT NULL,
    owner TEXT,
    note TEXT,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by TEXT NOT NULL,
    CONSTRAINT letter_group_pk PRIMARY KEY (destination, signature)
)
""",
    r"""
CREATE TABLE letter (
    record_id BIGINT NOT NULL,
    owner TEXT,
    note TEXT,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by TEXT NOT NULL,
    CONSTRAINT letter_pk PRIMARY KEY (record_id),
    CONSTRAINT letter_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
""",
    r"""
CREATE TABLE discarded (
    id BIGSERIAL NOT NULL,
    destination TEXT NOT NULL,
    record_id BIGINT NOT NULL,
    action TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    last_entry BIGINT NOT NULL,
    dropped JSONB NOT NULL,
    problem JSONB,
    restored_at TIMESTAMP WITH TIME ZONE,
    restored_by TEXT,
    CONSTRAINT discarded_pk PRIMARY KEY (id),
    CONSTRAINT discarded_restored_by_somebody CHECK ((restored_at IS NULL) = (restored_by IS NULL)),
    CONSTRAINT discarded_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
""",
    r"""
CREATE TABLE remote_word (
    destination TEXT NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    remote_id TEXT NOT NULL,
    CONSTRAINT remote_word_pk PRIMARY KEY (destination, word, remote_id)
)
""",
)

ON_SQLITE = (
    ("TIMESTAMP WITH TIME ZONE", "TEXT"),
    ("BIGSERIAL", "INTEGER"),
    ("record_id BIGINT", "record_id INTEGER"),
    ("JSONB", "JSON"),
    (' COLLATE "C"', ""),
)

INDEXES = (
    "CREATE INDEX record_source ON record (source_id)",
    "CREATE INDEX record_aside ON record (destination, aside_at, id, reason) WHERE signature IS NOT NULL",
    "CREATE INDEX record_group ON record (destination, signature, aside_at, id, source_id, reason) "
    "WHERE signature IS NOT NULL",
    "CREATE INDEX mapping_remote ON mapping (remote_id)",
    "CREATE INDEX audit_subject ON audit (subject, id)",
    "CREATE INDEX discarded_of_record ON discarded (record_id, id)",
    "CREATE INDEX discarded_open ON discarded (destination, id) WHERE restored_at IS NULL",
    "CREATE INDEX remote_word_of ON remote_word (destination, remote_id, word)",
)

ASIDE = """
SELECT record.id, record.kind, record.reason, record.problem, (
    SELECT answered_at FROM attempt WHERE attempt.record_id = record.id AND answered_at IS NOT NULL
    ORDER BY id DESC LIMIT 1
) AS answered_at
FROM record
WHERE (state IN ('held', 'dead') OR (state = 'in_doubt' AND due_at IS NULL)) AND record.id > :after
ORDER BY record.id LIMIT 1000
"""

MIRROR = """
SELECT destination, source, remote_id, content FROM remote_record
WHERE source IN ('participants', 'unfunded-mentors')
AND (destination, source, remote_id) > (:destination, :source, :remote_id)
ORDER BY destination, source, remote_id LIMIT 1000
"""

NAMED_BY = (
    "full_name",
    "teacher_reference_number",
    "email",
    "ecf-induction.email",
    "ecf-mentor.email",
)


def upgrade() -> None:
    """Add columns, tables and indexes, and fill them from what is there."""
    connection = op.get_bind()
    for statement in (*COLUMNS, *TABLES):
        op.execute(_here(connection, statement))
    for statement in INDEXES:
        op.execute(statement)
    _sign(connection)
    _name(connection)


def _here(connection: Connection, statement: str) -> str:
    if connection.dialect.name == "sqlite":
        for theirs, ours in ON_SQLITE:
            statement = statement.replace(theirs, ours)
    return statement


def _sign(connection: Connection) -> None:
    """Give each dead letter its signature, by today's code: the next change writes it anew anyway."""
    from records.codec import read_problem
    from records.signature import sign
    from schema.states import Reason

    write = text("UPDATE record SET signature = :signature, aside_at = :aside_at WHERE id = :id")
    after = 0
    while rows := connection.execute(text(ASIDE), {"after": after}).all():
        for row in rows:
            problem = _document(row.problem)
            read = None if problem is None else read_problem(problem)
            told = {
                "id": row.id,
                "signature": sign(Reason(row.reason), row.kind, read),
                "aside_at": _since(connection, problem or {}) or row.answered_at,
            }
            connection.execute(write, told)
        after = rows[-1].id


def _since(connection: Connection, problem: dict[str, Any]) -> Any:
    from datetime import datetime

    from schema.tables import iso

    if "at" not in problem:
        return None
    moment = datetime.fromisoformat(problem["at"])
    return iso(moment) if connection.dialect.name == "sqlite" else moment


def _name(connection: Connection) -> None:
    """Let what is in the mirror be found by name."""
    from inbox.words import words_of

    write = text(
        "INSERT INTO remote_word (destination, word, remote_id) "
        "VALUES (:destination, :word, :remote_id) ON CONFLICT DO NOTHING"
    )
    after = {"destination": "", "source": "", "remote_id": ""}
    while rows := connection.execute(text(MIRROR), after).all():
        found = [
            {"destination": row.destination, "word": word, "remote_id": row.remote_id}
            for row in rows
            for word in sorted(words_of(_document(row.content) or {}, NAMED_BY))
        ]
        if found:
            connection.execute(write, found)
        after = {
            "destination": rows[-1].destination,
            "source": rows[-1].source,
            "remote_id": rows[-1].remote_id,
        }


def _document(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def downgrade() -> None:
    """Forget what people said of dead letters. What was discarded cannot be restored after that."""
    for table in ("letter_group", "letter", "discarded", "remote_word"):
        op.execute(f"DROP TABLE {table}")
    for index in ("record_source", "record_aside", "record_group", "mapping_remote", "audit_subject"):
        op.execute(f"DROP INDEX {index}")
    op.execute("ALTER TABLE record DROP COLUMN aside_at")
    op.execute("ALTER TABLE record DROP COLUMN signature")
