"""A TCP proxy between two parts, which does to their bytes what networks do.

One idea: the mode is a value that may be changed at any time, and `count` proves that the fault
really happened. Bytes that were lost stay lost: a connection that went through a fault is never
well again.
"""

import re
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

CHUNK = 65_536
"""Bytes read at once. Small replies come whole, so that a pattern may be matched against one read."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Carry everything."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens, and whoever was connected is cut off (ECONNREFUSED; not counted)."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset a connection at the next bytes that come from the client (ECONNRESET)."""


@dataclass(frozen=True, slots=True)
class Swallow:
    """Carry the request, but not the reply.

    It is the reply that matches *reply* to a request that matches *asked*, both regular expressions
    over the bytes of one read; so many that match are carried before. Then the connection is reset,
    or, without *cut*, stays silent.
    """

    reply: bytes = b""
    asked: bytes = b""
    times: int = 1
    cut: bool = True
    before: int = 0


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Carry nothing any more, in both directions, and say nothing of it: no FIN, no reset."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold back replies, or requests, for so many seconds."""

    seconds: float
    way: Literal["request", "reply"] = "reply"


@dataclass(frozen=True, slots=True)
class Drip:
    """Carry replies byte by byte, so many seconds apart."""

    every: float


Mode: TypeAlias = Pass | Refuse | Reset | Swallow | Blackhole | Delay | Drip
Way: TypeAlias = Literal["request", "reply"]


class Proxy:
    """Listens on a port of its own, and connects each client to the upstream.

    An upstream host that begins with a slash is a folder, in which PostgreSQL has its socket.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._mode: Mode = Pass()
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._closed = threading.Event()
        self._carried = 0
        self.count = 0
        """How often the fault of the mode set last has struck."""
        self._listening: socket.socket | None = self._listen(0)
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def mode(self) -> Mode:
        """What it does to bytes from now on."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        with self._lock:
            self._mode, self.count, self._carried = mode, 0, 0
            if isinstance(mode, Refuse):
                self._stop_listening()
            elif self._listening is None:
                self._listening = self._listen(self.port)
        if isinstance(mode, Refuse):
            self.cut()

    def cut(self) -> None:
        """Reset every connection there is, now."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.reset()

    def close(self) -> None:
        """Listen no longer, and cut off whoever is connected."""
        self._closed.set()
        with self._lock:
            self._stop_listening()
        self.cut()

    def _listen(self, port: int) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def _stop_listening(self) -> None:
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            self._listening.close()
            self._listening = None

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                _reset(client)
                continue
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.append(pair)
            ways: tuple[Way, ...] = ("request", "reply")
            for way in ways:
                threading.Thread(target=self._pump, args=(pair, way), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._upstream
        if not host.startswith("/"):
            return socket.create_connection(self._upstream, timeout=None)
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pump(self, pair: "_Pair", way: Way) -> None:
        source, target = pair.ends(way)
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                self._carry(pair, way, chunk, target)
            if not pair.lost:
                target.shutdown(socket.SHUT_WR)

    def _carry(self, pair: "_Pair", way: Way, chunk: bytes, target: socket.socket) -> None:
        with self._lock:
            mode = self._mode
            strikes = pair.lost or _strikes(mode, pair, way, chunk)
            if strikes and isinstance(mode, Swallow) and not pair.lost:
                self._carried += 1
                strikes = self._carried > mode.before
            if strikes and not pair.lost:
                self.count += 1
            if strikes and isinstance(mode, Swallow) and self.count >= mode.times:
                self._mode = Pass()
            pair.lost = pair.lost or (strikes and isinstance(mode, Blackhole | Swallow))
        if not strikes:
            target.sendall(chunk)
        elif isinstance(mode, Reset) or (isinstance(mode, Swallow) and mode.cut):
            pair.reset()
        elif isinstance(mode, Delay) and not pair.lost:
            self._closed.wait(mode.seconds)
            target.sendall(chunk)
        elif isinstance(mode, Drip) and not pair.lost:
            for place in range(len(chunk)):
                self._closed.wait(mode.every)
                target.sendall(chunk[place : place + 1])


def _strikes(mode: Mode, pair: "_Pair", way: Way, chunk: bytes) -> bool:
    """Say whether the mode does something to these bytes."""
    match mode:
        case Blackhole():
            return True
        case Reset():
            return way == "request"
        case Delay(way=delayed):
            return way == delayed
        case Drip():
            return way == "reply"
        case Swallow(reply=reply, asked=asked):
            if way == "request":
                pair.asked = re.search(asked, chunk, re.DOTALL) is not None
                return False
            return pair.asked and re.search(reply, chunk, re.DOTALL) is not None
        case _:
            return False


class _Pair:
    """A client's connection, and the one made for it to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self.asked = False
        """Whether its last request was the one whose reply is to be swallowed."""
        self.lost = False
        """Whether bytes of it were lost: nothing is carried any more."""

    def ends(self, way: Way) -> tuple[socket.socket, socket.socket]:
        """Where bytes come from, and where they go to."""
        if way == "request":
            return self._client, self._server
        return self._server, self._client

    def reset(self) -> None:
        """End both connections with a reset."""
        self.lost = True
        _reset(self._client)
        _reset(self._server)


def _reset(end: socket.socket) -> None:
    """Close without a farewell: the other end gets a reset."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        end.shutdown(socket.SHUT_RD)  # wakes who reads; a full shutdown would send a FIN
    end.close()
