"""Whatever is missing at the start is one sentence with its cure, and an exit code."""

import fcntl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outbox.relay import Ring
from runtime.redis import connect
from runtime.settings import Settings
from schema.keys import LeaseToken, RecordId
from schema.states import Lane
from tests.support.command import run
from tests.support.servers import RedisServer, free_port
from workers.wiring import Wiring

LOOPBACK = "http://127.0.0.1:9/api/v3"


@pytest.fixture
def ready(
    sqlite_template: Path,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    redis_server: RedisServer,
) -> pytest.MonkeyPatch:
    """An environment in which a worker could start."""
    file = tmp_path / "pillarbox.db"
    file.write_bytes(sqlite_template.read_bytes())
    environment.setenv("DATABASE_URL", f"sqlite:///{file}")
    environment.setenv("REDIS_URL", redis_server.url)
    environment.setenv("PILLARBOX_API_URL", LOOPBACK)
    environment.setenv("PILLARBOX_API_TOKEN", "s3cret")
    return environment


def refused(*arguments: str) -> tuple[int, str]:
    """Start a process that must not start; gives its code and its one sentence."""
    ran = run(*arguments)
    assert ran.err.startswith("error: "), ran.err
    assert ran.err.count("\n") == 1
    assert "s3cret" not in ran.err
    assert ran.out == ""
    return ran.code, ran.err


@pytest.mark.parametrize("role", ["relay", "worker"])
@pytest.mark.parametrize(
    ("variable", "value", "code", "sentence"),
    [
        ("REDIS_URL", None, 2, "REDIS_URL is not set, and the built-in Redis lives in one process only"),
        ("REDIS_URL", "redis://127.0.0.1:1/0", 3, "REDIS_URL: no answer from Redis at 127.0.0.1:1; start Redis or correct the address"),
        ("REDIS_URL", "http://x", 3, "REDIS_URL must look like redis://host:6379/0"),
        ("DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/x", 3, "DATABASE_URL: no answer from postgresql+psycopg://u:***@127.0.0.1:1/x"),
        ("DATABASE_URL", "oracle://x", 2, "DATABASE_URL names oracle; only"),
        ("DATABASE_URL", "sqlite:////proc/nothing/x.db", 3, "DATABASE_URL: the folder /proc/nothing cannot be made"),
        ("PILLARBOX_API_URL", None, 2, "PILLARBOX_API_URL is not set; put the base URL of the API there"),
        ("PILLARBOX_CONTRACT", "nothing_v9", 2, "PILLARBOX_CONTRACT: there is no contract 'nothing_v9'; known are"),
        ("PILLARBOX_SETLE", "3s", 2, "PILLARBOX_SETLE is no variable of Pillarbox; did you mean PILLARBOX_SETTLE?"),
        ("PILLARBOX_LEASE", "1s", 2, "PILLARBOX_LEASE is 1s; it must be longer than"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_starts(
    ready: pytest.MonkeyPatch, role: str, variable: str, value: str | None, code: int, sentence: str
) -> None:
    ready.delenv(variable, raising=False)
    if value is not None:
        ready.setenv(variable, value)

    ended, said = refused(role)

    assert said.startswith(f"error: {sentence}")
    assert ended == code


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PILLARBOX_API_TOKEN", None, "PILLARBOX_API_TOKEN is not set; put the API token there"),
        ("PILLARBOX_API_URL", "http://api.example/api/v3", "PILLARBOX_API_URL is plain http to another machine; write https://"),
        ("PILLARBOX_API_URL", "ftp://api.example", "PILLARBOX_API_URL is not an https URL"),
    ],
)  # fmt: skip
def test_a_worker_without_a_usable_address_or_key_does_not_start(
    ready: pytest.MonkeyPatch, variable: str, value: str | None, sentence: str
) -> None:
    ready.delenv(variable)
    if value is not None:
        ready.setenv(variable, value)

    code, said = refused("worker")

    assert (code, said.startswith(f"error: {sentence}")) == (2, True), said


def test_an_unmigrated_database_is_refused_with_the_cure(
    ready: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")

    for command in (["relay"], ["worker"], ["status"], ["entries", "list"]):
        assert refused(*command) == (
            3,
            "error: the database is empty; run `pillarbox db upgrade` first\n",
        )


def test_a_database_of_another_destination_is_refused(ready: pytest.MonkeyPatch) -> None:
    assert run("destination", "bind").code == 0
    ready.setenv("PILLARBOX_API_URL", f"http://127.0.0.1:{free_port()}/api/v3")

    code, said = refused("relay")

    assert code == 2
    assert "but this database is bound to http://127.0.0.1:9/api/v3; set it back" in said


def evicting(client: Any) -> str:
    client.config_set("maxmemory-policy", "allkeys-lru")
    return "has maxmemory-policy allkeys-lru; set it to noeviction"


def full(client: Any) -> str:
    client.config_set("maxmemory", 1)
    return "is full; raise its maxmemory"


def a_replica(client: Any) -> str:
    client.replicaof("127.0.0.1", 1)
    return "is a replica and takes no writes; name the primary in REDIS_URL"


@pytest.mark.parametrize("spoil", [evicting, full, a_replica])
def test_a_redis_that_cannot_be_relied_on_is_said_at_the_start_by_check_and_by_status(
    ready: pytest.MonkeyPatch, redis_server: RedisServer, spoil: Callable[[Any], str]
) -> None:
    def no_work(*_: object, **__: object) -> None:
        return None

    ready.setattr("workers.worker.run", no_work)
    with closing(connect(redis_server.url)) as client:
        said = spoil(client)

    checked = run("check", "--json")
    started = run("worker")

    (redis,) = (line for line in checked.json if line["name"] == "redis")
    assert (checked.code, redis["ok"]) == (3, False)
    assert said in redis["detail"]
    assert f"Redis {said}" in "\n".join(run("status", "--json").json["attention"])
    assert started.code == 0, "it warns, and works: a restart is when a worker is needed most"
    assert "redis_unfit" in started.err
    assert said in started.err


def test_a_second_up_in_one_folder_is_refused_for_each_would_count_its_own_calls(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.chdir(tmp_path)
    folder = tmp_path / ".pillarbox"
    folder.mkdir()
    with (folder / "up.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)

        code, sentence = refused("up")

    assert code == 2
    assert "another `pillarbox up` is running in this folder" in sentence
    assert "REDIS_URL" in sentence


def test_rings_that_nobody_fetches_leave_no_room_for_more(
    sqlite_template: Path, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pillarbox.db"
    file.write_bytes(sqlite_template.read_bytes())
    environment.setenv("DATABASE_URL", f"sqlite:///{file}")
    environment.setenv("PILLARBOX_API_URL", LOOPBACK)
    wiring = Wiring.build(Settings.from_environment())
    [destination] = wiring.settings.destinations
    room = wiring.room(destination)
    free = room(Lane.LIVE, 0)
    ring = Ring(record_id=RecordId(1), token=LeaseToken(1), lane=Lane.LIVE)

    wiring.ring(destination)([ring] * 900)

    assert free > 0
    assert room(Lane.LIVE, 0) == room(Lane.LIVE, 900) == 0
    wiring.close()
