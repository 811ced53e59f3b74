"""Measure the sandbox in a process of its own, and compare with what is promised of it.

`python -m benchmarks.sandbox [--requests N] [--json]`. Rates are requests per second of the
server's own processor time, so that the load generator beside it does not count, nor whoever else
is at work on the machine; page times are what a caller waits. Exits 1 if a promise is broken.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.sandbox.world import PARTICIPANTS, big_world

ROOT = Path(__file__).parents[2]
PAGES = 200
SINGLES = 4000
WRITES = 2000
BATCH = 50
"""Requests sent in one go in the long run."""

LOG_FULL = 200_000
"""Requests after which the log is full. Memory grows until then, and must not afterwards."""

JsonRow = dict[str, object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, and what is promised of it."""

    name: str
    value: float
    unit: str
    limit: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def told(self) -> str:
        bound = "at least" if self.at_least else "at most"
        mark = "ok  " if self.kept else "FAIL"
        return f"{mark} {self.name}: {self.value:,.1f} {self.unit} ({bound} {self.limit:,.0f})"


class Server:
    """The sandbox under load, and a connection to it."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.pid = process.pid
        host, _, port = url.removeprefix("http://").removesuffix("/api/v3").rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._file = self._socket.makefile("rb")
        self._head = (
            f"Host: {host}\r\nAuthorization: Bearer sandbox-harbour\r\nAccept: application/json\r\n"
        )

    def encoded(self, method: str, path: str, body: object = None) -> bytes:
        raw = b"" if body is None else json.dumps(body).encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n" if raw else ""
        return f"{method} {path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + raw

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def answer(self) -> tuple[int, bytes]:
        status, length = int(self._file.readline().split()[1]), 0
        while (line := self._file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status, self._file.read(length)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        self.send(self.encoded(method, path, body))
        return self.answer()

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, name: str = "VmRSS") -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        return 0.0


@contextmanager
def served(world: object) -> Generator[tuple[Server, float]]:
    """A sandbox with a world, and how long it took to be ready."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.json"
        path.write_text(json.dumps(world))
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--port", "0", "--world", str(path),
             "--limit", "1000000000"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            yield Server(process, url), time.monotonic() - started
        finally:
            process.terminate()
            process.wait(10)


def rate(server: Server, count: int, one: Callable[[int], int]) -> float:
    """Requests per second of the server's processor time; all must succeed."""
    before = server.processor_seconds()
    for number in range(count):
        status = one(number)
        assert status == 200, status
    return count / max(server.processor_seconds() - before, 0.01)


def p95_ms(server: Server, paths: Sequence[str]) -> float:
    times: list[float] = []
    for path in paths:
        started = time.perf_counter()
        status, _ = server.call("GET", path)
        times.append((time.perf_counter() - started) * 1000)
        assert status == 200, status
    return sorted(times)[int(len(times) * 0.95)]


def ids_of(server: Server) -> list[str]:
    """Participants to act on: the first 6,000."""
    found: list[str] = []
    for page in (1, 2):
        _, body = server.call("GET", f"/api/v3/participants?page[per_page]=3000&page[page]={page}")
        rows = cast("dict[str, list[JsonRow]]", json.loads(body))["data"]
        found += [str(row["id"]) for row in rows]
    return found


def measure(requests: int) -> Iterator[Figure]:
    with served(big_world()) as (server, seconds):
        yield loaded("60,000 participants and 200,000 declarations", server, seconds, limit=20)
        yield Figure("memory after that", server.memory_mb("VmHWM"), "MB", 1500)
        yield from singles(server, ids_of(server))
        yield from pages(server)
        yield from long_run(server, requests)
    with served({**big_world(), "declarations": {}}) as (server, seconds):
        yield loaded("60,000 participants", server, seconds, limit=10)


def loaded(what: str, server: Server, seconds: float, *, limit: float) -> Figure:
    """How long a start took, of the processor; what the clock says depends on who else works."""
    name = f"start with {what}, in {seconds:.1f} s by the clock"
    return Figure(name, server.processor_seconds(), "s of one core", limit)


def singles(server: Server, ids: Sequence[str]) -> Iterator[Figure]:
    def read(number: int) -> int:
        return server.call("GET", f"/api/v3/participants/{ids[number % len(ids)]}")[0]

    def defer(number: int) -> int:
        attributes = {"reason": "other", "course_identifier": "ecf-induction"}
        path = f"/api/v3/participants/{ids[number]}/defer"
        return server.call("PUT", path, {"data": {"attributes": attributes}})[0]

    def declare(number: int) -> int:
        attributes = {
            "participant_id": ids[WRITES + number],
            "declaration_type": "completed",
            "declaration_date": "2026-02-02T09:00:00Z",
            "course_identifier": "ecf-induction",
            "evidence_held": "75-percent-engagement-met",
        }
        body = {"data": {"attributes": attributes}}
        return server.call("POST", "/api/v3/participant-declarations", body)[0]

    for name, count, one in (
        ("single reads", SINGLES, read),
        ("deferrals", WRITES, defer),
        ("declarations", WRITES, declare),
    ):
        value = rate(server, count, one)
        yield Figure(name, value, "requests/s of one core", 1500, at_least=True)


def pages(server: Server) -> Iterator[Figure]:
    chance = random.Random(1)
    last = PARTICIPANTS // 100
    for name, path in (
        ("participants", "participants?"),
        ("participants changed since", "participants?filter[updated_since]=2025-09-10T00:00:00Z&"),
        ("participants of a cohort", "participants?filter[cohort]=2025&"),
        ("participants sorted", "participants?sort=-updated_at&"),
        ("declarations", "participant-declarations?"),
        ("declarations changed since",
         "participant-declarations?filter[updated_since]=2025-10-01T00:00:00Z&"),
        ("partnerships", "partnerships?"),
        ("schools", "schools?filter[cohort]=2025&"),
    ):  # fmt: skip
        wanted = [f"/api/v3/{path}page[page]={chance.randint(1, last)}" for _ in range(PAGES)]
        yield Figure(f"page of 100 {name}, p95", p95_ms(server, wanted), "ms", 30)


def long_run(server: Server, requests: int) -> Iterator[Figure]:
    """Memory over many requests: once the log is full it must stand still."""
    raw = server.encoded("GET", "/api/v3/statements") * BATCH
    marks: list[float] = []
    for number in range(requests // BATCH):
        if number % max(1, requests // BATCH // 10) == 0:
            marks.append(server.memory_mb())
        server.send(raw)
        for _ in range(BATCH):
            server.answer()
    marks.append(server.memory_mb())
    yield Figure(f"memory after {requests:,} more requests", marks[-1], "MB", 1500)
    if requests >= LOG_FULL * 2:
        growth = marks[-1] - marks[len(marks) // 2]
        yield Figure("growth in the second half of them", growth, "MB", 20)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.sandbox")
    options.add_argument("--requests", type=int, default=1_000_000, help="of the long run")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    figures: list[Figure] = []
    for figure in measure(given.requests):
        figures.append(figure)
        if not given.json:
            print(figure.told(), flush=True)
    if given.json:
        told = [{"name": f.name, "value": f.value, "unit": f.unit, "kept": f.kept} for f in figures]
        print(json.dumps(told))
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
