"""The SQL that folding, admitting and dispatching cannot do without, and nothing else.

What each entry and each record must have done to it, in batches of the relay's size and as plain
statements: no values of ours are read, decided about or written. No relay on this database is faster.
"""

import time

import psycopg

from benchmarks.ground import postgresql
from outbox.relay import FOLD_BATCH

PRIMED = """
INSERT INTO record
    (destination, kind, source_id, family, state, remote_id, wanted, accepted)
SELECT 'default', 'participant', 'E-' || n, 'participant:E-' || n, 'in_step', 'r-' || n,
    jsonb_build_object('stamps', jsonb_build_object()),
    jsonb_build_object('full_name', 'A B', 'start_date', '2025-09-01', 'mentor_id', 'm-1')
FROM generate_series(1, %s) AS n
"""
"""Records in step, so many of them. The relay's measurement begins with the same ones."""

ENTRIES = """
INSERT INTO outbox_entry (event, source_id, payload)
SELECT 'mentor_changed', 'E-' || n, '{"mentor_id": "m-2"}' FROM generate_series(1, %s) AS n
"""

CLAIM = """
SELECT id, event, source_id, payload, source, version, happened_at FROM outbox_entry
WHERE state = 'new' AND destination = 'default' AND id > %s
ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""

LOCK = """
SELECT id, wanted, accepted FROM record
WHERE destination = 'default' AND family = ANY (%s) ORDER BY family, id FOR UPDATE
"""

WANTED = """
wanted = jsonb_build_object('stamps', jsonb_build_object('mentor_id', jsonb_build_array(1, 'local')),
    'pending', jsonb_build_object('mentor_id', jsonb_build_array('m-2', 1, 'm-1', true)))
"""

DISPATCH = f"""
UPDATE record SET state = 'dispatched', lease_until = now() + interval '1 hour', token = token + 1,
    revision = revision + 1, {WANTED}
WHERE id = ANY (%s)
"""

AGAIN = f"UPDATE record SET revision = revision + 1, {WANTED} WHERE id = ANY (%s)"

FOLD = """
UPDATE outbox_entry SET state = 'folded', record_id = given.record_id
FROM unnest(%s::bigint[], %s::bigint[]) AS given(id, record_id) WHERE outbox_entry.id = given.id
"""

CLOSE = """
UPDATE outbox_entry SET state = 'closed', closed_as = 'superseded', closed_at = now()
WHERE state = 'folded' AND id = ANY (%s)
"""


def sql_alone(records: int) -> float:
    """Give how many entries a second the statements alone bring through, two for each record."""
    with postgresql() as url, psycopg.connect(url) as connection:
        connection.execute(PRIMED.encode(), (records,))
        for _ in range(2):
            connection.execute(ENTRIES.encode(), (records,))
        connection.execute("ANALYZE")
        connection.commit()
        begun = time.perf_counter()
        after = 0
        while (last := _batch(connection, after, records)) is not None:
            after = last
        return 2 * records / (time.perf_counter() - begun)


def _batch(connection: psycopg.Connection, after: int, records: int) -> int | None:
    """Bring one batch through; gives its last entry, None when there is none left."""
    new = connection.execute(CLAIM.encode(), (after, FOLD_BATCH)).fetchall()
    if not new:
        return None
    families = [f"participant:{row[2]}" for row in new]
    found = [row[0] for row in connection.execute(LOCK.encode(), (families,)).fetchall()]
    again = new[-1][0] > records
    connection.execute((AGAIN if again else DISPATCH).encode(), (found,))
    ids = [row[0] for row in new]
    connection.execute(FOLD.encode(), (ids, found))
    if again:
        connection.execute(CLOSE.encode(), ([one - records for one in ids],))
    connection.commit()
    return ids[-1]
