"""A proxy in front of Redis that knows where a request ends, and draws a fate for each.

One idea: what a network or a failing server can do to one request is one of five things, and each
is counted, so that a test can show that it happened.
"""

import socket
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from random import Random

import hiredis


class Fate(StrEnum):
    """What becomes of a request."""

    PASS = "pass"
    DROP = "drop"
    """It never arrives; the connection breaks."""
    LOSE = "lose"
    """It is carried out, its reply is lost; the connection breaks."""
    DOUBLE = "double"
    """It is carried out twice."""
    DELAY = "delay"
    """It arrives late."""


class FatefulRedis:
    """Listens on a port of its own for clients of one Redis server.

    A request is what a client sends before it waits: one command, or a whole transaction. How a
    client introduces itself is none.
    """

    def __init__(self, port: int, *, delay: float = 0.2) -> None:
        self._upstream = ("127.0.0.1", port)
        self.shares: Mapping[Fate, float] = {}
        """How often each fate is drawn from now on; the rest passes."""
        self._delay = delay
        self._dice = Random(1)
        self._lock = threading.Lock()
        self.drawn: Counter[Fate] = Counter()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The address through it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        """Take no more clients; those there are end with their next request."""
        self._closed.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._upstream) as server:
            while not self._closed.is_set():
                raw, commands = _request(client)
                if not raw:
                    return
                fate = Fate.PASS if b"\r\nSETINFO\r\n" in raw else self._draw()
                if fate is Fate.DROP:
                    return
                if fate is Fate.DELAY:
                    self._closed.wait(self._delay)
                reply = _carried_out(server, raw, commands)
                if fate is Fate.LOSE:
                    return
                if fate is Fate.DOUBLE:
                    _carried_out(server, raw, commands)
                client.sendall(reply)

    def _draw(self) -> Fate:
        with self._lock:
            number = self._dice.random()
            fate = Fate.PASS
            for one, share in self.shares.items():
                if number < share:
                    fate = one
                    break
                number -= share
            self.drawn[fate] += 1
            return fate


def _request(client: socket.socket) -> tuple[bytes, int]:
    """Read one request; gives its bytes, and how many replies it will have."""
    reader = hiredis.Reader()
    raw, commands, open_ended = b"", 0, True
    while open_ended:
        part = client.recv(65_536)
        if not part:
            return b"", 0
        raw += part
        reader.feed(part)
        while reader.gets() is not False:
            commands += 1
        in_transaction = b"\r\nMULTI\r\n" in raw and b"\r\nEXEC\r\n" not in raw
        open_ended = reader.has_data() or in_transaction or not commands
    return raw, commands


def _carried_out(server: socket.socket, raw: bytes, replies: int) -> bytes:
    """Send a request on; gives its replies as they came."""
    server.sendall(raw)
    reader = hiredis.Reader()
    received, seen = b"", 0
    while seen < replies:
        part = server.recv(65_536)
        if not part:
            raise ConnectionResetError
        received += part
        reader.feed(part)
        while seen < replies and reader.gets() is not False:
            seen += 1
    return received
