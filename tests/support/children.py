"""The nursery, from the side of a test: start relays and workers, and see how they end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

from runtime.points import Point
from tests.support.nursery import log_of
from tests.support.servers import surroundings

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
"""How long a child may take to do what it is to do; nothing waits this long."""


@dataclass(frozen=True)
class At:
    """A child gets this signal, of its own doing, at the n-th hit of a point."""

    point: Point
    hit: int = 1
    signum: signal.Signals = signal.SIGKILL


@dataclass
class Child:
    """A process: a relay, a worker, or everything in one."""

    pid: int
    folder: Path
    _ended: threading.Event = field(default_factory=threading.Event)
    _code: int | None = None

    @property
    def alive(self) -> bool:
        """Whether it is there still."""
        return not self._ended.is_set()

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Give its exit code, or minus the signal that ended it."""
        if not self._ended.wait(timeout):
            self.send(signal.SIGUSR1)
            self._ended.wait(1)
            raise AssertionError(f"it goes on: {log_of(self.folder)[-6000:]}")
        assert self._code is not None
        return self._code

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal, if it is there still."""
        if self.alive:
            os.kill(self.pid, signum)

    def end(self) -> int:
        """Ask it to stop, and wait for that."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.wait()

    def note_end(self, code: int) -> None:
        """Hear that it has ended."""
        self._code = code
        self._ended.set()


class Children:
    """All that one nursery brings forth; safe to share between threads."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            cwd=ROOT,
            env=surroundings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._born: Queue[Child] = Queue()
        self._folders: Queue[Path] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path,
        at: At | None = None,
    ) -> Child:
        """Start `pillarbox` with these arguments, in a folder."""
        order = {
            "arguments": arguments,
            "environment": {**surroundings(), **environment},
            "folder": str(folder),
            "signal": at and at.signum.value,
            "point": at and at.point.value,
            "hit": at and at.hit,
        }
        assert self._process.stdin is not None
        with self._lock:
            self._folders.put(folder)
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return self._born.get(timeout=PATIENCE_S)

    def _read(self) -> None:
        children: dict[int, Child] = {}
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "born" in said:
                child = Child(pid=said["born"], folder=self._folders.get())
                children[child.pid] = child
                self._born.put(child)
            else:
                children.pop(said["ended"]).note_end(said["code"])

    def close(self) -> None:
        """Kill whoever is left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE_S)
        self._reader.join(timeout=PATIENCE_S)
        self._process.stdout.close()
