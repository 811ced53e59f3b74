"""How much of a strict server's allowance many processes use together, and at what cost.

Four processes of four threads each call, as fast as the quota lets them, a server that counts
arrivals in a strict rolling window and answers each after 0 to 30 ms. The server is the judge: its
count alone says how much was used and how often it had to refuse.

`python -m benchmarks.quota` prints the figures.
"""

import asyncio
import json
import multiprocessing
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from gateway.quota import Granted, Limit, Quota, Redis
from runtime.redis import connect, new_stand_in, ping
from schema.states import Lane

PROCESSES = 4
LANES = (Lane.LIVE, Lane.LIVE, Lane.POLL, Lane.BULK)
"""One thread each per process: every lane asks for more than its share."""

CALLS = 100
WINDOW_SECONDS = 3.0
WINDOWS = 5
"""How many windows are counted, after a first one that is not."""

LATENCY_SECONDS = 0.030
"""The longest an answer takes; half of it before the server counts the call, half after."""

HOLD = timedelta(seconds=10)
SINGLE_CALLS = 400
"""Asks measured one at a time for the cost of a single one."""


@dataclass
class Judge:
    """A strict rolling window over arrivals, and what came of them."""

    calls: int
    window: float
    inside: deque[float] = field(default_factory=deque[float])
    accepted: list[float] = field(default_factory=list[float])
    refused: int = 0

    def arrives(self, at: float) -> bool:
        while self.inside and self.inside[0] <= at - self.window:
            self.inside.popleft()
        if len(self.inside) >= self.calls:
            self.refused += 1
            return False
        self.inside.append(at)
        self.accepted.append(at)
        return True

    def used_percent(self) -> float:
        """Return how much was used from the end of the first window on.

        Between two calls that are whole windows' worth apart, so that it does not matter whether
        calls come evenly or in bursts.
        """
        windows = len(self.accepted) // self.calls - 1
        last, first = self.accepted[(windows + 1) * self.calls - 1], self.accepted[self.calls - 1]
        return 100 * windows * self.window / (last - first)


def run() -> dict[str, object]:
    """Saturate the judge and return the figures; without redis-server only a reason."""
    if shutil.which("redis-server") is None:
        return {"skipped": "redis-server is not installed"}
    with redis_server() as url, judge() as (port, verdict):
        counts = saturate(url, port)
        used_percent, refused = verdict()
        single = cost_of_one(connect(url))
    calls = sum(made for made, _, _ in counts)
    return {
        "processes": PROCESSES,
        "threads": len(LANES),
        "allowance": f"{CALLS} per {WINDOW_SECONDS:g} s",
        "used_percent": round(used_percent, 2),
        "refused": refused,
        "calls": calls,
        "round_trips_per_call": round(sum(trips for _, trips, _ in counts) / calls, 3),
        "lane_calls": {
            lane.value: sum(lanes.get(lane, 0) for _, _, lanes in counts) for lane in Lane
        },
        "ask_and_answered_ms": single,
        "ask_and_answered_built_in_ms": cost_of_one(new_stand_in()),
    }


def saturate(url: str, port: int) -> list[tuple[int, int, dict[Lane, int]]]:
    """Run the callers; per process: calls made, round trips to Redis, calls by lane."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(PROCESSES) as pool:
        return pool.starmap(call_on, [(url, port)] * PROCESSES)


def call_on(url: str, port: int) -> tuple[int, int, dict[Lane, int]]:
    """Call from one process until the time is over."""
    counting = CountingRedis(connect(url))
    quota = quota_on(counting)
    while (waiting := quota.prepare()) is not None:
        time.sleep(waiting.wait.total_seconds())
    counting.round_trips = 0
    made: dict[Lane, int] = {}
    ends = time.monotonic() + WINDOW_SECONDS * (WINDOWS + 1.5)
    threads = [
        threading.Thread(target=caller, args=(quota, lane, port, ends, made)) for lane in LANES
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(made.values()), counting.round_trips, made


def caller(quota: Quota, lane: Lane, port: int, ends: float, made: dict[Lane, int]) -> None:
    """Ask, call, report; over and over."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        while time.monotonic() < ends:
            grant = quota.ask(lane)
            if not isinstance(grant, Granted):
                time.sleep(grant.wait.total_seconds())
                continue
            server.sendall(b"?")
            if server.recv(1) == b"y":
                quota.answered(grant)
            else:
                quota.refused(grant)
            with _counting:
                made[lane] = made.get(lane, 0) + 1


_counting = threading.Lock()


class CountingRedis:
    """Passes scripts on and counts them."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.round_trips = 0

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        self._count()
        return self._client.evalsha(sha, numkeys, *keys_and_args)

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        self._count()
        return self._client.eval(script, numkeys, *keys_and_args)

    def _count(self) -> None:
        with _counting:
            self.round_trips += 1


def cost_of_one(client: Redis) -> dict[str, float]:
    """Return median and 95th percentile of one ask and its report, with nobody else about."""
    quota = Quota(
        client,
        key_name="single",
        limit=Limit(calls=1000, window=timedelta(seconds=300)),
        hold=HOLD,
        recent=tuple,
    )
    while (waiting := quota.prepare()) is not None:
        time.sleep(waiting.wait.total_seconds())
    took: list[float] = []
    for _ in range(SINGLE_CALLS):
        begun = time.perf_counter()
        grant = quota.ask(Lane.LIVE)
        if isinstance(grant, Granted):
            quota.answered(grant)
        took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    return {"p50": round(took[len(took) // 2], 3), "p95": round(took[len(took) * 95 // 100], 3)}


def quota_on(client: Redis) -> Quota:
    return Quota(
        client,
        key_name="benchmark",
        limit=Limit(calls=CALLS, window=timedelta(seconds=WINDOW_SECONDS)),
        hold=HOLD,
        recent=tuple,
    )


@contextmanager
def judge() -> Generator[tuple[int, Callable[[], tuple[float, int]]]]:
    """Run the judge in a process of its own; yields its port and a function for its verdict."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv(), lambda: _ask_for_verdict(ours)
    finally:
        process.terminate()
        process.join()


def _ask_for_verdict(pipe: Connection) -> tuple[float, int]:
    pipe.send("verdict")
    return pipe.recv()


def serve(pipe: Connection) -> None:
    """Count arrivals and answer each after its delay, until told to stop."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    verdict = Judge(calls=CALLS, window=WINDOW_SECONDS)
    chance = random.Random(7)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1):
            await asyncio.sleep(chance.uniform(0, LATENCY_SECONDS / 2))
            accepted = verdict.arrives(time.monotonic())
            await asyncio.sleep(chance.uniform(0, LATENCY_SECONDS / 2))
            writer.write(b"y" if accepted else b"n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(pipe.recv)
    pipe.send((verdict.used_percent(), verdict.refused))


@contextmanager
def redis_server() -> Generator[str]:
    """Run a redis-server of our own on a free port, in memory only; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            cwd=Path(folder),
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            url = f"redis://127.0.0.1:{port}/0"
            ping(connect(url))
            yield url
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int, *, patience: float = 5.0) -> None:
    """Return once something listens there."""
    ends = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.01)
        else:
            return


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
