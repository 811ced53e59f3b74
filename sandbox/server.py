"""The sandbox on a port: on a thread of its own for tests, or in the foreground."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

from sandbox.bundled import bundled_world
from sandbox.control import PATH, Control
from sandbox.engine import Engine, Exchange, Outcome
from sandbox.limiter import LimiterSettings
from sandbox.messages import Request, crashed, not_routed
from sandbox.pages.site import Pages
from sandbox.reading import BadInput
from sandbox.wire import Connection, Sender

logger = logging.getLogger("sandbox")

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 2.0
BACKLOG = 1024


class SandboxError(Exception):
    """The sandbox cannot start. The text names the cure."""


class PortTaken(SandboxError):
    """Somebody else listens there."""


class BadWorld(SandboxError):
    """The start world cannot be used; carries what is wrong with it."""

    def __init__(self, bad: BadInput) -> None:
        told = "\n".join(f"  {p.where or 'the world'}: {p.problem}" for p in bad.problems)
        super().__init__(f"The world cannot be used; correct these and start again:\n{told}")
        self.problems = bad.problems


@dataclass(slots=True)
class _Hold:
    """A request that a fault holds back."""

    exchange: Exchange
    sender: Sender
    timer: asyncio.TimerHandle
    then: Callable[[], None]


class Site:
    """What a request is for: the control side, a page, or the API."""

    def __init__(self, engine: Engine, *, control: bool) -> None:
        self.engine = engine
        self.connections: set[Connection] = set()
        self._held: dict[int, _Hold] = {}
        self._control = Control(engine, self) if control else None
        self._pages = Pages(engine, control=control)

    # The connections' side

    def now(self) -> datetime:
        return self.engine.clock.now()

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def handle(self, request: Request, sender: Sender) -> None:
        """Answer a request, now or when a fault lets it go."""
        path = request.path
        if path == PATH or path.startswith(f"{PATH}/"):
            answer = self._control.answer(request) if self._control else not_routed(request)
            sender.send(answer)
        elif self._pages.knows(path):
            sender.send(self._pages.answer(request))
        else:
            self._exchange(request, sender)

    def _exchange(self, request: Request, sender: Sender) -> None:
        exchange = self.engine.begin(request)
        if exchange.wait_before > 0:
            self._hold(exchange, sender, exchange.wait_before, self._carry_out)
        else:
            self._carry_out(exchange, sender)

    def _carry_out(self, exchange: Exchange, sender: Sender) -> None:
        try:
            outcome = self.engine.carry_out(exchange)
        except Exception:
            logger.exception("request_failed")
            outcome = Outcome(answer=crashed(exchange.request))
        if exchange.wait_after > 0 and outcome.answer is not None:
            self._hold(
                exchange, sender, exchange.wait_after, lambda e, s: self._finish(e, s, outcome)
            )
        else:
            self._finish(exchange, sender, outcome)

    def _finish(self, exchange: Exchange, sender: Sender, outcome: Outcome) -> None:
        self.engine.finish(exchange, outcome)
        sender.send(outcome.answer, truncate=outcome.truncate)

    # Requests held back

    def _hold(
        self,
        exchange: Exchange,
        sender: Sender,
        seconds: float,
        then: Callable[[Exchange, Sender], None],
    ) -> None:
        sender.later = True

        def go_on() -> None:
            self._forget(exchange)
            then(exchange, sender)

        timer = asyncio.get_running_loop().call_later(seconds, go_on)
        self._held[id(exchange)] = _Hold(exchange, sender, timer, go_on)
        self.engine.held = len(self._held)

    def _forget(self, exchange: Exchange) -> None:
        self._held.pop(id(exchange), None)
        self.engine.held = len(self._held)

    def release(self) -> None:
        """Let all requests held back go on now."""
        for hold in list(self._held.values()):
            hold.timer.cancel()
            hold.then()

    def end(self) -> None:
        """End all requests held back, without an answer."""
        for hold in list(self._held.values()):
            hold.timer.cancel()
            self._forget(hold.exchange)
            self.engine.finish(hold.exchange, None)
            hold.sender.send(None)


class Sandbox:
    """A sandbox in this process, served on a thread of its own.

    `with Sandbox() as sandbox:` starts and stops it. `limit` raises or lowers both limits, per
    key and per address.
    """

    def __init__(
        self,
        world: object = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control: bool = True,
        time_travel: bool = False,
        limit: int | None = None,
    ) -> None:
        if control and not is_loopback(host):
            raise SandboxError(
                f"The control side is for this machine only: bind to 127.0.0.1 instead of {host}, "
                "or start with --no-control."
            )
        self._host, self._port = host, port
        try:
            self._engine = Engine(
                bundled_world() if world is None else world,
                limiter=LimiterSettings().with_limit(limit),
                time_travel=time_travel,
            )
        except BadInput as bad:
            raise BadWorld(bad) from bad
        self._site = Site(self._engine, control=control)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._listening = threading.Event()

    @property
    def root_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"{self.root_url}/api/v3"

    def start(self) -> "Sandbox":
        """Serve on a background thread; returns once the port is open."""
        self._listening.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()
        self._listening.wait(START_TIMEOUT_S)
        if self._failure is not None:
            failure, self._thread = self._failure, None
            raise failure
        return self

    def stop(self) -> None:
        """Close the port and all connections, within two seconds. Twice is once."""
        loop, stopping, thread = self._loop, self._stopping, self._thread
        if loop is None or stopping is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stopping.set)
        thread.join(STOP_TIMEOUT_S)
        self._thread = self._loop = self._stopping = None

    def __enter__(self) -> "Sandbox":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def serve(self, listening: Callable[["Sandbox"], None] = lambda _: None) -> None:
        """Serve in the foreground until SIGINT or SIGTERM; `listening` is told of the start."""
        asyncio.run(self._serve(lambda: listening(self), signals=True))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve(self._listening.set, signals=False))
        except BaseException as failure:
            self._failure = failure
        finally:
            self._listening.set()

    async def _serve(self, listening: Callable[[], None], *, signals: bool) -> None:
        loop = self._loop = asyncio.get_running_loop()
        stopping = self._stopping = asyncio.Event()
        server = await self._listen(loop)
        if signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stopping.set)
        listening()
        try:
            await stopping.wait()
        finally:
            server.close()
            self._site.end()
            for connection in list(self._site.connections):
                connection.abort()
            await asyncio.sleep(0)

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        try:
            server = await loop.create_server(
                lambda: Connection(self._site), self._host, self._port, backlog=BACKLOG
            )
        except OSError as error:
            raise PortTaken(
                f"Cannot listen on {self._host}:{self._port} ({error.strerror}); choose another "
                "port with --port, or 0 for any."
            ) from error
        self._port = int(server.sockets[0].getsockname()[1])
        return server


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(
    world: object = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    control: bool = True,
    time_travel: bool = False,
    limit: int | None = None,
    listening: Callable[[Sandbox], None] = lambda _: None,
) -> None:
    """Serve a sandbox in the foreground until SIGINT or SIGTERM."""
    sandbox = Sandbox(
        world,
        host=host,
        port=port,
        control=control,
        time_travel=time_travel,
        limit=limit,
    )
    gc.freeze()  # a large world is not looked through for garbage again and again
    sandbox.serve(listening)
