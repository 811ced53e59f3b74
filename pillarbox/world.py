"""Every role in one process: sandbox, relay and worker threads on the embedded default.

One idea: the same code and the same tables as in production; only who is behind them differs.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from runtime import migrations
from runtime.settings import Destination, Settings, Token
from sandbox.server import Sandbox
from workers.poller import Poller
from workers.relay import RelayLoop
from workers.wiring import Wiring
from workers.worker import Worker

SANDBOX_TOKEN = "sandbox-harbour"
"""The token of the provider whose side the demo takes, in the bundled world."""

SANDBOX_BINDING = "the built-in sandbox"
"""What a database is bound to that has only ever spoken to the sandbox inside this process."""

THREADS = 4

STOP_S = 4.0
"""How long to wait for the relay's round in hand when stopping."""


class World:
    """A relay and worker threads, and, unless an API is configured, a sandbox; in this process."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None, *, polls: bool = False) -> None:
        """*polls*: read the other side as well; a story that counts its calls does without."""
        self._polls = polls
        self._poller: threading.Thread | None = None
        self.settings = settings
        self.sandbox = sandbox
        self.wiring = Wiring.build(settings, bound_url=SANDBOX_BINDING if sandbox else None)
        self._stop = threading.Event()
        self._worker: Worker | None = None
        self._relay: threading.Thread | None = None

    def prepare(self) -> str:
        """Check and migrate the database, and bind it; gives the migration it is at."""
        self.wiring.database.check()
        self.wiring.check_redis()
        at = migrations.upgrade(self.wiring.database)
        self.wiring.bind()
        return at

    def start(self) -> None:
        """Start the worker threads and the relay."""
        # The poller first: a handler that cannot be imported ends it before anything has begun.
        poller = Poller(self.wiring, self._stop, threads=1) if self._polls else None
        self._worker = Worker(self.wiring, threads=THREADS)
        self._worker.start()
        loop = RelayLoop(self.wiring, self._stop)
        self._relay = threading.Thread(target=loop.run, name="relay", daemon=True)
        self._relay.start()
        if poller is not None:
            self._poller = threading.Thread(target=poller.run, name="poller", daemon=True)
            self._poller.start()

    def stop(self) -> None:
        """Stop in order: the relay first, then the calls in hand."""
        self._stop.set()
        if self._relay is not None:
            self._relay.join(timeout=STOP_S)
        if self._poller is not None:
            self._poller.join(timeout=STOP_S)
        if self._worker is not None:
            self._worker.stop()
        self.wiring.close()


def with_sandbox(settings: Settings, sandbox: Sandbox) -> Settings:
    """Point the settings at a sandbox of this process."""
    here = replace(
        settings.destinations[0],
        url=sandbox.url,
        token=Token(variable="PILLARBOX_API_TOKEN", value=SANDBOX_TOKEN),
    )
    return replace(settings, destinations=(here, *settings.destinations[1:]))


def limited(destination: Destination, calls: int, window: timedelta) -> Destination:
    """Give a destination another limit."""
    return replace(destination, calls=calls, window=window)


class Control:
    """The sandbox's control side, as a demo uses it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._root = f"{sandbox.root_url}/_sandbox"

    def get(self, path: str) -> dict[str, Any]:
        """Read a control resource."""
        return self._ask("GET", path, None)

    def put(self, path: str, body: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
        """Replace a control resource."""
        return self._ask("PUT", path, body)

    def post(self, path: str, body: Mapping[str, Any] | Sequence[Any]) -> Any:
        """Add to a control resource."""
        return self._ask("POST", path, body)

    def calls(self) -> tuple[int, int]:
        """Give how many requests arrived, and how many the limiter refused."""
        after = arrived = refused = 0
        while True:
            page = self.get(f"/requests?after={after}&limit=10000")
            requests = page["requests"]
            if not requests:
                return arrived, refused
            arrived += len(requests)
            refused += sum(1 for one in requests if one["limited"])
            after = requests[-1]["seq"]

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | Sequence[Any] | None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + path,
            data=content,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return cast(dict[str, Any], json.load(answer))


class Keeper:
    """Keeps the sandbox's world in a file, so that a database and its sandbox grow old together."""

    def __init__(self, sandbox: Sandbox, file: Path) -> None:
        self._control = Control(sandbox)
        self._file = file
        self._kept = -1

    def keep(self) -> None:
        """Write the world down if anything arrived since."""
        arrived = self._control.get("/requests?limit=1")["last_seq"]
        if arrived == self._kept:
            return
        world = json.dumps(self._control.get("/world"))
        draft = self._file.with_suffix(".new")
        draft.write_text(world, encoding="utf-8")
        draft.replace(self._file)
        self._kept = arrived


def wait_until(done: Any, *, timeout: float, every: float = 0.05) -> bool:
    """Wait until `done()` is true; says whether it was in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(every)
    return False
