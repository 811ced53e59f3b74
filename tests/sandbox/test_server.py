"""Starting, stopping, and the command."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.server import PortTaken, Sandbox
from tests.sandbox.support import Hand, a_world, an_ect

ROOT = Path(__file__).parents[2]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "sandbox", *options]


@contextmanager
def child(*options: str) -> Generator[tuple["subprocess.Popen[str]", str]]:
    """The command in a process of its own, and the address it told first."""
    process = subprocess.Popen(
        command("--port", "0", *options),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def get(url: str, path: str, token: str = "sandbox-harbour") -> int:
    host, _, port = url.removeprefix("http://").removesuffix("/api/v3").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        return int(connection.recv(4096)[9:12])


def test_a_sandbox_serves_between_start_and_stop() -> None:
    with Sandbox(a_world(participants={"e": an_ect()})) as sandbox:
        hand = Hand(sandbox)

        assert sandbox.url == f"{sandbox.root_url}/api/v3"
        assert len(hand.get("/participants").rows) == 1

    with pytest.raises(OSError):
        Hand(sandbox).get("/participants")


def test_a_stop_is_quick_even_while_requests_are_held() -> None:
    sandbox = Sandbox(a_world()).start()
    hand = Hand(sandbox)
    hand.control("PUT", "/faults", [{"do": {"delay_ms": [60_000, 60_000]}}])
    host, _, port = sandbox.root_url.removeprefix("http://").rpartition(":")
    waiting = socket.create_connection((host, int(port)))
    waiting.sendall(b"GET /api/v3/participants HTTP/1.1\r\nHost: x\r\n\r\n")
    started = time.monotonic()

    sandbox.stop()
    sandbox.stop()

    assert time.monotonic() - started < 2
    waiting.close()


def test_a_port_that_is_taken_is_told_with_the_cure() -> None:
    with Sandbox(a_world()) as sandbox:
        port = int(sandbox.root_url.rpartition(":")[2])

        with pytest.raises(PortTaken, match="choose another port with --port, or 0 for any"):
            Sandbox(a_world(), port=port).start()


def test_a_limit_given_at_the_start_is_for_keys_and_addresses() -> None:
    with Sandbox(a_world(), limit=7) as sandbox:
        settings = Hand(sandbox).control("GET", "/limiter").json

    assert (settings["limit"], settings["per_ip_limit"]) == (7, 7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_tells_its_address_first_and_ends_cleanly(number: signal.Signals) -> None:
    with child() as (process, url):
        assert url.endswith("/api/v3")
        assert get(url, "/api/v3/participants") == 200
        assert get(url, "/_sandbox") == 200
        started = time.monotonic()

        process.send_signal(number)

        assert process.wait(5) == 0
        assert time.monotonic() - started < 2


def test_the_commands_options(tmp_path: Path) -> None:
    world = tmp_path / "world.json"
    world.write_text(json.dumps(a_world()))

    with child("--world", str(world), "--no-control", "--limit", "1") as (_, url):
        statuses = [get(url, "/api/v3/participants", "sandbox-fenland") for _ in "ab"]

        assert statuses == [200, 429]
        assert get(url, "/_sandbox") == 404


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--world", "nowhere.json"], "give another with --world"),
        (["--limit", "-1"], "give --limit 0 or more"),
        (["--port", "70000"], "give --port from 0 to 65535"),
        (["--host", "0.0.0.0"], "start with --no-control"),
        (["--colour", "red"], "unrecognized arguments"),
    ],
    ids=str,
)
def test_a_start_that_cannot_be_is_told_in_a_sentence(options: list[str], told: str) -> None:
    done = subprocess.run(
        command(*options), cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_world_that_is_not_json_or_not_a_world_is_told(tmp_path: Path) -> None:
    world = tmp_path / "world.json"
    for text, told in (("{", "is not JSON"), ('{"colour": 1}', "colour: unknown key")):
        world.write_text(text)
        done = subprocess.run(
            command("--world", str(world)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (done.returncode, told in done.stderr) == (2, True)


def test_the_sandbox_shares_no_code_with_its_clients() -> None:
    ours = {"workers", "console", "producers", "outbox", "inbox", "gateway", "records",
            "runtime", "schema", "pillarbox"}  # fmt: skip
    code = "import sandbox.server, sandbox.__main__, sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True)  # fmt: skip

    assert not {name.partition(".")[0] for name in done.stdout.split()} & ours
