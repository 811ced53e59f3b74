"""`python -m tests.support.nursery`: a process from which relays and workers are forked.

One idea: importing everything takes a second of processor time, so it is done once. A child is the
usual `pillarbox …` from there on, but that it may be told to end, or to freeze, by a signal of its
own at the n-th time that it reaches a named point.

Orders come as JSON lines on standard input; every birth and every end is a JSON line on standard
output. When its input ends, all children are killed.
"""

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime import points
from runtime.points import Point

LOG = "children.log"
"""File in a child's folder with all that the children of that folder said."""


def at(point: Point, hit: int, signum: signal.Signals) -> Callable[[Point], None]:
    """Give a listener that sends this process a signal at the n-th hit of a point."""
    left = [hit]
    lock = threading.Lock()

    def listener(reached: Point) -> None:
        if reached is not point:
            return
        with lock:
            left[0] -= 1
            if left[0] != 0:
                return
            os.write(2, f"\n{signum.name} at {point.value}, hit {hit}\n".encode())
            os.kill(os.getpid(), signum)

    return listener


def _live(order: dict[str, Any]) -> None:
    """Be a child, to the end."""
    os.setsid()
    os.chdir(order["folder"])
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(here, there)
    faulthandler.register(signal.SIGUSR1)  # says in the log where every thread is
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["pillarbox", *order["arguments"]]
    if order["signal"]:
        points.listen(at(Point(order["point"]), order["hit"], signal.Signals(order["signal"])))
    from pillarbox.__main__ import main

    main()


def _fork(order: dict[str, Any]) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code: object = 0
    try:
        _live(order)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _say(**words: int) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _reap(children: set[int]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.remove(pid)
            _say(ended=pid, code=os.waitstatus_to_exitcode(status))


NEEDED = (
    "console.server",
    "fakeredis",
    "gateway.client",
    "lupa",
    "pillarbox.commands.processes",
    "pillarbox.commands.worlds",
    "psycopg",
    "runtime.broker",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "structlog.dev",
    "workers.fetch",
    "workers.poller",
    "workers.relay",
    "workers.worker",
)
"""What relays, workers and everything in one come to load, also where only a function imports it."""


def _import_everything() -> None:
    for name in NEEDED:
        importlib.import_module(name)
    gc.freeze()  # else each child's collector writes to every page it shares with the others


def _noted(signum: int, frame: object) -> None:
    """Have the wake-up byte written: only a signal with a handler of its own does that."""


def main() -> None:
    """Fork a child for each order."""
    _import_everything()
    children: set[int] = set()
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, _noted)
    signal.set_wakeup_fd(waker)
    watched = selectors.DefaultSelector()
    watched.register(0, selectors.EVENT_READ)
    watched.register(wake, selectors.EVENT_READ)
    unread = b""
    while True:
        ready = {key.fd for key, _ in watched.select()}
        if wake in ready:
            os.read(wake, 1000)
            _reap(children)
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, unread = (unread + more).split(b"\n")
            for line in lines:
                pid = _fork(json.loads(line))
                children.add(pid)
                _say(born=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def log_of(folder: Path) -> str:
    """Read what the children of a folder said."""
    file = folder / LOG
    return file.read_text(errors="replace") if file.exists() else ""


if __name__ == "__main__":
    main()
