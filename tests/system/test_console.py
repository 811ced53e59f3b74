"""The console as a process, and its accounts on the command line."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.command import run
from tests.support.servers import surroundings

PASSWORD = b"correct horse battery\n"
PATIENCE_S = 60.0


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    file = tmp_path / "pillarbox.db"
    file.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{file}"


@pytest.fixture
def here(database_url: str, environment: pytest.MonkeyPatch) -> str:
    environment.setenv("DATABASE_URL", database_url)
    return database_url


def test_it_answers_at_the_address_it_prints_and_ends_in_order(
    database_url: str, tmp_path: Path
) -> None:
    with started(
        "console", "--port", "0", environment={"DATABASE_URL": database_url}, folder=tmp_path
    ) as (child, url):
        assert httpx.get(f"{url}healthz").text == "alive\n"
        assert "not a Department for Education service" in httpx.get(f"{url}audit").text

        child.send_signal(signal.SIGTERM)

        assert child.wait(PATIENCE_S) == 0


def test_up_opens_the_desk_and_ends_within_five_seconds_with_a_page_open(tmp_path: Path) -> None:
    with started("up", "--no-story", environment={}, folder=tmp_path) as (child, url):
        with httpx.Client() as browser:
            assert browser.get(f"{url}audit").status_code == 200
            asked = time.monotonic()
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE_S) == 0

        assert time.monotonic() - asked < 5


def test_a_port_that_is_taken_is_a_sentence_with_the_cure(here: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("console", "--port", str(taken.getsockname()[1]))

    assert ran.code == 2
    assert "cannot be taken" in ran.err
    assert "0 takes any free one" in ran.err


def test_others_are_not_let_in_before_anybody_has_an_account(here: str) -> None:
    ran = run("console", "--host", "0.0.0.0", "--port", "0")

    assert ran.code == 2
    assert "pillarbox console user add" in ran.err


def test_people_are_added_listed_and_removed_on_the_command_line(here: str) -> None:
    first = run("console", "user", "add", "sam", "--role", "viewer", "--no-password")
    made = run(
        "console", "user", "add", "Ines", "--role", "admin", "--password-stdin", stdin=PASSWORD
    )
    run("console", "user", "add", "sam", "--role", "viewer", "--no-password")
    last = run("console", "user", "remove", "ines")

    assert (first.code, "first account must be an admin's" in first.err) == (2, True)
    assert made.code == 0
    listed = run("console", "user", "list", "--json").json
    assert [(one["name"], one["role"]) for one in listed] == [("ines", "admin"), ("sam", "viewer")]
    assert "correct" not in str(listed)
    assert (last.code, "last admin" in last.err) == (2, True)
    assert run("console", "user", "remove", "nobody").code == 4
    assert run("console", "user", "remove", "sam").code == 0


def test_a_token_is_printed_once_and_listed_without_itself(here: str) -> None:
    made = run("console", "token", "add", "coaching-app", "--role", "feed")

    assert re.fullmatch(r"pillarbox_[\w-]{43}\n", made.out)
    assert made.out.strip() not in run("console", "token", "list", "--json").out
    assert run("console", "token", "remove", "coaching-app").code == 0
    assert run("console", "token", "list", "--json").code == 4


@contextmanager
def started(
    *arguments: str, environment: Mapping[str, str], folder: Path
) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Start the command, and give it with the address that it prints."""
    child = subprocess.Popen(
        [sys.executable, "-m", "pillarbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env={
            **surroundings(),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            **environment,
        },
    )
    try:
        assert child.stdout is not None
        said = (re.search(r"^(?:Desk\s+)?(http://\S+/)", line) for line in child.stdout)
        found = next((one for one in said if one is not None), None)
        assert found is not None, "it ended before it said where it answers"
        yield child, found[1]
    finally:
        child.kill()
        child.communicate()
