"""Nothing of the key or of a person in logs, messages, or columns that are not the API's own words.

Fault 58: canaries for the token, a name, an e-mail address and a teacher number go through a run in
which everything fails once; then all that is left of it is searched.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from pillarbox.world import wait_until
from runtime import redis as runtime_redis
from schema.all_tables import metadata
from tests.support.servers import NotHere, PostgresServer, RedisServer
from tests.support.stage import PATIENCE_S, Stage, waves

TOKEN = "canary-token-5e1f"
PERSON = {
    "full_name": "Canaria Vogel",
    "email": "canaria@vogel.example",
    "trn": "7654321",
}
KEY, NAMES = re.compile(TOKEN), re.compile("|".join(map(re.escape, PERSON.values())))
DATABASE_ERROR = re.compile("ProgrammingError|UndefinedTable")

APIS_WORDS = {
    "attempt.answer",
    "attempt.detail",
    "record.problem",
    "record.locks",
}
"""Where the words of a refusal are kept: whom they name is not ours to choose."""


@pytest.fixture
def stage(
    postgres: PostgresServer, redis_server: RedisServer, tmp_path: Path
) -> Iterator[tuple[Stage, RedisServer]]:
    try:
        made = Stage(postgres.new(), redis_server.url, tmp_path, token=TOKEN, person=PERSON)
    except NotHere as error:
        pytest.skip(str(error))
    made.environment |= {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"}
    with closing(made):
        yield made, redis_server


def failing() -> list[dict[str, Any]]:
    """Each of these once: pages that repeat what was sent, words that name somebody, no answer."""
    page = f"<pre>Authorization: Bearer {TOKEN}\n{PERSON}</pre>"
    named = {"errors": [{"title": "participant", "detail": f"{PERSON['full_name']} is not right"}]}
    return [
        {"match": {"method": method}, "times": 1, "do": do}
        for method in ("GET", "PUT", "POST")
        for do in (
            {"status": 500, "body": page},
            {"status": 422, "body": named},
            {"status": 200, "body": page, "after": True},
            {"truncate": 200},
            {"drop": "before"},
        )
    ]


def test_no_canary_is_left_where_it_does_not_belong(stage: tuple[Stage, RedisServer]) -> None:
    made, server = stage
    made.faults(*failing())
    made.start_processes()
    first, second, third = waves()
    made.tell([*first, *second])
    made.wait_for_calls(45)
    with closing(runtime_redis.connect(server.url)) as client:
        plain: Any = client
        plain.rpush("pillarbox:queue:deliver", b'{"args": ["' + TOKEN.encode() + b'"]}')
        # What the test itself put there is only gone once a worker came by and dropped it.
        assert wait_until(lambda: "message_unreadable" in made.logs(), timeout=PATIENCE_S)
        with no_attempts(made):
            made.tell(third)
            assert wait_until(lambda: DATABASE_ERROR.search(made.logs()), timeout=PATIENCE_S)
        seen = everything_in(client)
    made.close()

    logs = made.logs()
    assert "attempt_settled" in logs
    for where, kept in {"logs": logs, "Redis": seen}.items():
        assert not KEY.search(kept), f"the key is in {where}"
        assert not NAMES.search(kept), f"a person is in {where}"
    columns = texts_of(made)
    assert {where for where, kept in columns.items() if KEY.search(kept)} == set()
    named = {where for where, kept in columns.items() if NAMES.search(kept)}
    assert named <= APIS_WORDS
    assert "attempt.answer" in named, "the canary did not come this far"


@contextmanager
def no_attempts(stage: Stage) -> Generator[None]:
    """Let every statement on attempts fail for a while."""
    with stage.database.transaction() as connection:
        connection.execute(text("ALTER TABLE attempt RENAME TO attempt_away"))
    try:
        yield
    finally:
        with stage.database.transaction() as connection:
            connection.execute(text("ALTER TABLE attempt_away RENAME TO attempt"))


def everything_in(client: Any) -> str:
    """Read every key and every value of a Redis."""
    found: list[str] = []
    for key in client.scan_iter():
        match client.type(key):
            case b"hash":
                value = client.hgetall(key)
            case b"list":
                value = client.lrange(key, 0, -1)
            case b"zset":
                value = client.zrange(key, 0, -1)
            case _:
                value = client.dump(key)
        found.append(f"{key} {value}")
    return "\n".join(found)


def texts_of(stage: Stage) -> dict[str, str]:
    """Read every column of every table."""
    found: dict[str, str] = {}
    with stage.database.reading() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for name, value in row.items():
                    where = f"{table.name}.{name}"
                    found[where] = found.get(where, "") + "\n" + str(value)
    return found
