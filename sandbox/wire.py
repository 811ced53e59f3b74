"""HTTP/1.1 on a connection: bytes in, requests out, answers back in order.

Own protocol rather than a framework's, because faults reach down to the connection: an answer may
be cut short, or the connection closed without a byte, and whatever arrives must end in an answer.
"""

import asyncio
import logging
from collections import deque
from datetime import datetime
from email.utils import format_datetime
from typing import Protocol, cast

import httptools

from sandbox.messages import Answer, Request, html_status, phrase_of

logger = logging.getLogger("sandbox")

LARGEST_HEADER = 65_536
"""Bytes of request line and headers. What is larger is refused with 431."""

LARGEST_BODY = 5_000_000
"""Bytes of a body. What is larger is refused with 413; no write of the API comes near it."""

LARGEST_CONTROL_BODY = 500_000_000
"""Bytes of a body to the control side, where whole worlds are sent."""

REQUEST_TIMEOUT_S = 20.0
"""How long a request may take to arrive, so that half a request is not a hung connection."""

IDLE_TIMEOUT_S = 75.0
"""How long a connection may be idle between requests."""

WATCH_EVERY_S = 5.0

CONTROL = b"/_sandbox"

NOT_HTTP = Answer(status=400, headers=(("content-type", "text/html"),))

NO_BODY = frozenset({204, 304})


class Sender(Protocol):
    """How an answer leaves: whole, in part, or not at all.

    `later` is set by whoever keeps it to answer after `handle` has returned.
    """

    later: bool

    def send(self, answer: Answer | None, *, truncate: int | None = None) -> None: ...


class Application(Protocol):
    """What is done with a request. It may answer at once or later, but always once."""

    def handle(self, request: Request, sender: Sender) -> None: ...
    def now(self) -> datetime: ...
    def opened(self, connection: "Connection") -> None: ...
    def closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One connection. Requests that arrive while one is under way wait their turn."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._address, self._port = "", 0
        self._waiting: deque[tuple[Request, bool] | Answer] = deque()
        self._busy: _Sender | None = None
        self._broken = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._receiving = False
        self._too_large: int | None = None
        self._start_message()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._address, self._port = _peer(cast("tuple[object, ...]", peer))
        self._idle_since = asyncio.get_running_loop().time()
        self._application.opened(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer:
            self._timer.cancel()
        self._application.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = True  # what follows is no HTTP any more; the request itself is answered
        except httptools.HttpParserError:
            self._refuse(html_status(self._too_large) if self._too_large else NOT_HTTP)
        self._next()

    def eof_received(self) -> bool:
        """The other side has said all: what it asked is answered, half a request is not."""
        self._broken = True
        self._next()
        return self._busy is not None

    def _watch(self) -> None:
        """Close a connection that has been idle, or in the middle of a request, for too long."""
        loop = asyncio.get_running_loop()
        limit = REQUEST_TIMEOUT_S if self._receiving else IDLE_TIMEOUT_S
        if self._busy is None and loop.time() - self._idle_since >= limit:
            self.close()
            return
        self._timer = loop.call_later(WATCH_EVERY_S, self._watch)

    def close(self) -> None:
        """End the connection, after what was already sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # The parser's side

    def _start_message(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._header_size = 0
        self._body_size = 0

    def on_message_begin(self) -> None:
        self._start_message()
        self._receiving = True
        self._idle_since = asyncio.get_running_loop().time()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes | None) -> None:
        self._headers.append((name, value or b""))
        self._count_header(len(name) + len(value or b""))

    def _count_header(self, size: int) -> None:
        self._header_size += size
        if self._header_size > LARGEST_HEADER:
            self._stop_reading(431)

    def on_headers_complete(self) -> None:
        expects = any(name.lower() == b"expect" for name, _ in self._headers)
        if expects and self._transport is not None and self._busy is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_size += len(body)
        most = LARGEST_CONTROL_BODY if self._url.startswith(CONTROL) else LARGEST_BODY
        if self._body_size > most:
            self._stop_reading(413)

    def _stop_reading(self, status: int) -> None:
        """Have the parser give up; it tells only that it did, so the reason is kept here."""
        self._too_large = status
        raise ValueError(status)

    def on_message_complete(self) -> None:
        self._receiving = False
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=_target(self._url),
            headers=tuple(self._headers),
            body=b"".join(self._body),
            address=self._address,
            port=self._port,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._start_message()

    # One request after the other

    def _refuse(self, answer: Answer) -> None:
        """Answer what is no request, after those before it, and have done with the connection."""
        self._broken = True
        self._receiving = False
        self._waiting.append(answer)

    def _next(self) -> None:
        while self._busy is None and self._waiting and self._transport is not None:
            first = self._waiting.popleft()
            if isinstance(first, Answer):
                self._write(first, None, head=False, keep_alive=False)
                return
            request, keep_alive = first
            more = bool(self._waiting) or not self._broken
            sender = _Sender(self, head=request.method == "HEAD", keep_alive=keep_alive and more)
            self._busy = sender
            self._handle(request, sender)
        if self._busy is None and self._broken:
            self.close()

    def _handle(self, request: Request, sender: "_Sender") -> None:
        try:
            self._application.handle(request, sender)
        except Exception:
            logger.exception("request_failed")
            sender.send(html_status(500))

    def answered(self, sender: "_Sender", answer: Answer | None, truncate: int | None) -> None:
        """Write an answer, or end the connection without one, and go on to the next request."""
        if self._busy is not sender:
            return
        self._busy = None
        self._idle_since = asyncio.get_running_loop().time()
        if answer is None:
            self._broken = True
            self._waiting.clear()
            self.close()
            return
        self._write(answer, truncate, head=sender.head, keep_alive=sender.keep_alive)

    def resume(self) -> None:
        """Go on after an answer that came later than its request."""
        self._next()

    def _write(self, answer: Answer, truncate: int | None, *, head: bool, keep_alive: bool) -> None:
        if self._transport is None:
            return
        ends = not keep_alive or truncate is not None
        body = b"" if head or answer.status in NO_BODY else answer.body
        self._transport.write(
            encoded_head(answer, self._application.now(), ends=ends) + body[:truncate]
        )
        if ends:
            self._broken = True
            self._waiting.clear()
            self.close()


class _Sender:
    """The way back for the answer to one request."""

    __slots__ = ("_connection", "head", "keep_alive", "later")

    def __init__(self, connection: Connection, *, head: bool, keep_alive: bool) -> None:
        self._connection = connection
        self.head = head
        self.keep_alive = keep_alive
        self.later = False

    def send(self, answer: Answer | None, *, truncate: int | None = None) -> None:
        self._connection.answered(self, answer, truncate)
        if self.later:
            self._connection.resume()


def encoded_head(answer: Answer, now: datetime, *, ends: bool) -> bytes:
    """The status line and the headers."""
    lines = [f"HTTP/1.1 {answer.status} {phrase_of(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.status not in NO_BODY:
        lines.append(f"content-length: {len(answer.body)}")
    lines.append(f"date: {_http_date(now.replace(microsecond=0))}")
    if ends:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


_dates: dict[datetime, str] = {}


def _http_date(now: datetime) -> str:
    found = _dates.get(now)
    if found is None:
        _dates.clear()
        found = _dates[now] = format_datetime(now, usegmt=True)
    return found


def _target(url: bytes) -> str:
    """The path with its query; of an absolute address, what follows the host."""
    target = url.decode("latin-1")
    if target.startswith("/"):
        return target
    _, found, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if found else "/" + target


def _peer(peer: tuple[object, ...]) -> tuple[str, int]:
    port = peer[1] if len(peer) > 1 else 0
    return str(peer[0]) if peer else "", port if isinstance(port, int) else 0
