"""`pillarbox relay`, `worker` and `poller`: one process each, exactly the Procfile's lines."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Annotated

import structlog
import typer

from pillarbox.alone import among_others
from pillarbox.commands.common import Stop, settings, wired
from runtime import log
from runtime import redis as runtime_redis
from runtime.settings import Settings
from workers.wiring import Wiring

logger = structlog.get_logger(__name__)

RESTART_S = 1.0
"""How long to wait before a worker that died is started again."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(relay)
    app.command()(worker)
    app.command()(poller)


def relay() -> None:
    """Fold, admit and dispatch, until stopped. Run as many as you like.

    Example: pillarbox relay
    """
    from workers.relay import RelayLoop

    found = settings()
    wiring = _ready(found, "relay")
    wiring.bind()
    stop = stopping()
    with among_others(wiring.database):
        RelayLoop(wiring, stop).run()
    wiring.close()


def worker(
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes on this machine.")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads in each.")] = 4,
) -> None:
    """Call the API for what the relay dispatched, until stopped. Run as many as you like.

    Example: pillarbox worker --threads 8
    """
    from workers.worker import run

    found = settings()
    wiring = _ready(found, "worker")
    for destination in found.destinations:
        wiring.client(destination)  # a missing key or a bad address ends here, not at 3 a.m.
    wiring.bind()  # after that: a database is not to be bound to an address nobody can call
    if processes > 1:
        wiring.close()
        _several(processes, threads)
        return
    with among_others(wiring.database):
        run(wiring, stopping(), threads=threads)
    wiring.close()


def poller(
    threads: Annotated[int, typer.Option(min=1, max=16, help="Sources read at a time.")] = 2,
) -> None:
    """Read what changed on the other side, by a timetable, until stopped.

    Example: pillarbox poller
    """
    from workers.poller import Poller

    found = settings()
    wiring = _ready(found, "poller")
    for destination in found.destinations:
        wiring.client(destination)
    wiring.bind()  # it applies what it reads: of the API only that the database speaks for
    Poller(wiring, stopping(), threads=threads).run()
    wiring.close()


def stopping(also: Callable[[], None] | None = None) -> threading.Event:
    """Give an event that SIGTERM and SIGINT set.

    A supervisor often signals the whole group, so the same signal comes twice: that is one wish to
    stop, not two. A second one later than two seconds ends the process at once.
    """
    stop = threading.Event()
    first = [0.0]

    def handle(signum: int, _: object) -> None:
        if first[0] and time.monotonic() - first[0] > 2:
            sys.stderr.write("stopped at once; what was in hand is taken up again by others\n")
            sys.stderr.flush()
            import os

            os._exit(128 + signum)
        first[0] = first[0] or time.monotonic()
        # The main thread may be about to wait for the event, and then holds its lock; set here, in
        # the middle of that, it would wait for itself for ever.
        threading.Thread(target=stop.set, daemon=True).start()
        if also is not None:
            also()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def _ready(found: Settings, role: str) -> Wiring:
    log.set_up(form=found.log_format, level=found.log_level, role=role)
    if found.embedded:
        raise Stop(
            "REDIS_URL is not set, and the built-in Redis lives in one process only; set it to "
            "redis://host:6379/0, or run everything in one process with `pillarbox up`"
        )
    wiring = wired(found)
    wiring.check_redis()
    weakness = runtime_redis.weakness(wiring.redis)
    if weakness is not None:
        # Not refused: nothing is lost by it, and whoever restarts a worker needs it most just then.
        logger.warning("redis_unfit", problem=weakness)
    return wiring


def _several(processes: int, threads: int) -> None:
    """Keep so many workers running, each a process of its own, until stopped."""
    command = [sys.executable, "-m", "pillarbox", "worker", "--threads", str(threads)]
    children = [subprocess.Popen(command) for _ in range(processes)]
    stop = stopping(also=lambda: _pass_on(children))
    while not stop.wait(RESTART_S):
        for place, child in enumerate(children):
            if child.poll() is not None and not stop.is_set():
                logger.error("worker_died", pid=child.pid, code=child.returncode)
                children[place] = subprocess.Popen(command)
    _pass_on(children)
    for child in children:
        child.wait()


def _pass_on(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
