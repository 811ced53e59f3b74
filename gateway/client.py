"""Sends one request to the remote API and gives what came of it. The only module that speaks HTTP.

One idea: a caller must be able to tell "not sent for sure" from "perhaps done". So every byte goes
through a stream of ours, which notes the first one that leaves and lets nothing outlive the
deadline.

httpx gets a transport of ours for that: httpx's own engine, httpcore, on connections of ours.
httpx is told to read no environment and to follow no redirect, and a body is taken as it came.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import certifi
import httpcore
import httpx

from gateway.answers import KEPT_HEADERS, Answer, Failure, FailureKind, Reply
from gateway.errors import UnusableAddress, UnusableKey
from runtime.points import Point, reach
from schema.addresses import is_loopback
from schema.plans import Request

DEADLINE = timedelta(seconds=30)
"""How long a call may take in all, from the start to the last byte. The API answers most within one
second. Longer holds a thread, a quota slot and the lease; shorter puts slow successes in doubt."""

CONNECT_TIMEOUT = timedelta(seconds=5)
"""How long one address may take to accept a connection. Nothing is sent before that, so giving up
is free."""

KEEPALIVE = timedelta(seconds=2)
"""How long an idle connection is used again. Well under the idle limit of common servers (5 s and
more): a write on a connection that the server is just closing ends in doubt."""

MAX_BYTES = 16 * 1024 * 1024
"""How large an answer may be. The API's largest page, 3,000 participants, has about 6 MB."""

LONGEST_HEADER = 200
"""How much of a header is kept, in characters: a request id has 36, a date 29."""

LONGEST_REASON = 200
"""How much of the operating system's reason is kept, in characters."""

USER_AGENT = "pillarbox"

SETTING = "PILLARBOX_API_URL"
CURE = "write it as https://host/api/v3"

NETWORK_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.ConnectionNotAvailable,
)


class DeadlinePassed(Exception):
    """The call's time is over."""


class SendByPassed(Exception):
    """Not one byte has left, and now none may."""


@dataclass(slots=True, kw_only=True)
class Sending:
    """What is known of one call while it is under way. It belongs to one thread."""

    monotonic: Callable[[], float]
    began: float
    deadline: float
    send_by: float | None
    sent: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def left(self) -> float:
        """Give the seconds left until the deadline; raises `DeadlinePassed` when there are none."""
        seconds = self.deadline - self.monotonic()
        if seconds <= 0:
            raise DeadlinePassed
        return seconds

    def about_to_write(self) -> None:
        """Look at the clock, last thing before the first byte leaves."""
        if not self.sent and self.send_by is not None and self.monotonic() > self.send_by:
            raise SendByPassed
        self.sent = True

    def duration(self) -> timedelta:
        """How long it has taken."""
        return timedelta(seconds=self.monotonic() - self.began)

    def failed(self, kind: FailureKind, detail: str) -> Failure:
        """End without a whole answer."""
        return Failure(
            kind=kind,
            detail=detail,
            status=self.status,
            headers=self.headers,
            duration=self.duration(),
        )

    def broken(self, why: str) -> Failure:
        """End where it stands: before the first byte, before an answer, or within one."""
        if not self.sent:
            return self.failed(FailureKind.NOT_SENT, f"not sent: {why}")
        if self.status is None:
            return self.failed(FailureKind.NO_ANSWER, f"sent, but no answer: {why}")
        return self.failed(FailureKind.CUT_SHORT, f"answered {self.status}, but cut short: {why}")


class Client:
    """Calls one base URL with one key. Any number of threads may share it; connections are reused.

    `token` is asked on each call, so a new key is used at once; it is nowhere kept or shown.
    `monotonic` must be the clock that `send_by` was read from. `ca_file` names the certificates to
    trust instead of the usual ones. Raises `UnusableAddress`.
    """

    def __init__(
        self,
        base_url: str,
        token: Callable[[], str],
        *,
        deadline: timedelta = DEADLINE,
        connect_timeout: timedelta = CONNECT_TIMEOUT,
        max_bytes: int = MAX_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        ca_file: str | None = None,
    ) -> None:
        self._base = BaseUrl.parse(base_url)
        self._token = token
        self._deadline = deadline.total_seconds()
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._here = _Here()
        pool = httpcore.ConnectionPool(
            ssl_context=_verifying(ca_file) if self._base.secure else None,
            max_connections=None,  # else a thread would wait for another one's, past its deadline
            keepalive_expiry=KEEPALIVE.total_seconds(),
            network_backend=_Network(
                self._here, connect_timeout.total_seconds(), self._base.secure
            ),
        )
        self._http = httpx.Client(
            transport=_Transport(pool), trust_env=False, follow_redirects=False, timeout=None
        )

    def send(self, request: Request, *, send_by: float | None = None) -> Reply:
        """Send a request once and give the whole answer, or how far it came.

        After `send_by` (on the client's clock) not one byte leaves any more. Nothing is ever sent
        twice, redirected or retried here, and nothing is raised for what the other side does.
        """
        began = self._monotonic()
        call = Sending(
            monotonic=self._monotonic,
            began=began,
            deadline=began + self._deadline,
            send_by=send_by,
        )
        try:
            key = usable_key(self._token())
        except UnusableKey as error:
            return call.failed(FailureKind.KEY_UNUSABLE, f"not sent: {error}")
        except Exception as error:
            # Where the key comes from is not ours to know, and whatever stopped it from being read,
            # nothing was sent. Raising instead would leave a mark without an outcome: a doubt.
            return call.failed(FailureKind.KEY_UNUSABLE, f"not sent: no key ({_name(error)})")
        self._here.call = call
        try:
            return _without(key, self._answer(self._base.request(request, key), call))
        except SendByPassed:
            return call.broken("it had become too late to send")
        except (DeadlinePassed, httpcore.TimeoutException):
            return call.broken(f"time ran out after {call.duration().total_seconds():.1f} s")
        except NETWORK_ERRORS as error:
            return call.broken(_in_words(error, call))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _answer(self, http: httpx.Request, call: Sending) -> Reply:
        response = self._http.send(http, stream=True)
        try:
            call.status, call.headers = response.status_code, _kept(response.headers)
            if response.headers.get("content-encoding", "").strip() not in ("", "identity"):
                return call.failed(FailureKind.ENCODED, "answered in an encoding not asked for")
            body = self._body(response, call)
        finally:
            response.close()
        if body is None:
            return call.failed(FailureKind.TOO_LARGE, f"answered more than {self._max_bytes} bytes")
        return Answer(
            status=response.status_code, headers=call.headers, body=body, duration=call.duration()
        )

    def _body(self, response: httpx.Response, call: Sending) -> bytes | None:
        """Read the whole body; None when it is too large, and then the rest is left unread."""
        parts: list[bytes] = []
        size = 0
        for part in response.iter_raw():
            size += len(part)
            if size > self._max_bytes:
                return None
            call.left()
            parts.append(part)
        return b"".join(parts)


def _without(key: str, reply: Reply) -> Reply:
    """Take the key out of an answer that repeats it, as an error page may: answers are kept."""
    if not isinstance(reply, Answer) or key.encode() not in reply.body:
        return reply
    return replace(reply, body=reply.body.replace(key.encode(), b"***"))


def usable_key(key: str) -> str:
    """Give the key back if a header can carry it; raises `UnusableKey`, which does not quote it."""
    if not key:
        raise UnusableKey(
            "there is no API key; set PILLARBOX_API_TOKEN or PILLARBOX_API_TOKEN_FILE"
        )
    if not all("!" <= character <= "~" for character in key):
        raise UnusableKey(
            "the API key has a space, a line break or a letter outside ASCII; "
            "copy it again, as one word, into PILLARBOX_API_TOKEN or PILLARBOX_API_TOKEN_FILE"
        )
    return key


# The address


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseUrl:
    """A base URL that may be called, in parts."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> "BaseUrl":
        """Read a base URL; raises `UnusableAddress`, which never quotes it: it may hold a key."""
        try:
            parts = urlsplit(text)
            port = parts.port
            host = (parts.hostname or "").encode("ascii").decode()
        except ValueError:
            raise _unusable(f"is not a URL; {CURE}") from None
        if parts.scheme not in ("https", "http") or not host:
            raise _unusable(f"is not an https URL; {CURE}")
        if any(not "!" <= character <= "~" for character in text):
            raise _unusable(f"has a space, a line break or a letter outside ASCII; {CURE}")
        if "@" in parts.netloc:
            raise _unusable("has a user or password in it; the key goes into PILLARBOX_API_TOKEN")
        if "?" in text or "#" in text:
            raise _unusable(f"has a query or fragment; {CURE}")
        if parts.scheme == "http" and not is_loopback(host):
            raise _unusable("is plain http to another machine; write https:// instead of http://")
        secure = parts.scheme == "https"
        path = parts.path.rstrip("/")
        return cls(secure=secure, host=host, port=port or (443 if secure else 80), path=path)

    def request(self, request: Request, key: str) -> httpx.Request:
        """Write a request of a contract as one of HTTP."""
        headers = [
            ("Host", self._host_header()),
            ("Authorization", f"Bearer {key}"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", USER_AGENT),
        ]
        content = b""
        if request.body is not None:
            text = json.dumps(
                request.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False
            )
            content = text.encode()
            headers.append(("Content-Type", "application/json"))
        if request.writes:
            headers.append(("Content-Length", str(len(content))))
        scheme = "https" if self.secure else "http"
        url = f"{scheme}://{self._host_header()}{self._target(request)}"
        return httpx.Request(request.method, url, headers=headers, content=content or None)

    def _host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.secure else 80
        return host if self.port == default else f"{host}:{self.port}"

    def _target(self, request: Request) -> str:
        target = self.path + request.path
        if request.query:
            target += "?" + urlencode(request.query, quote_via=quote, safe="")
        return target


def _unusable(problem: str) -> UnusableAddress:
    return UnusableAddress(f"{SETTING} {problem}")


# The connection


class _Here(threading.local):
    """The call that this thread is making."""

    call: Sending


class _Transport(httpx.BaseTransport):
    """httpx's way to our connections. What goes wrong comes up as httpcore calls it."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request as it stands, and give the answer with its body still to come."""
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
            )
        )
        return httpx.Response(
            status_code=response.status, headers=response.headers, stream=_Body(response)
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer, as it comes in."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()


class _Network(httpcore.NetworkBackend):
    """Opens connections, each step of it within the deadline of the call in hand."""

    def __init__(self, here: _Here, connect_timeout: float, secure: bool) -> None:
        self._here = here
        self._connect_timeout = connect_timeout
        self._secure = secure
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the host's addresses one after another."""
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in self._addresses(host, port):
            seconds = min(self._connect_timeout, self._here.call.left())
            try:
                stream = self._plain.connect_tcp(address, port, timeout=seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _Stream(stream, self._here, self._connect_timeout)
        raise failure or httpcore.ConnectError("the name has no address that may be called")

    def _addresses(self, host: str, port: int) -> list[str]:
        """Look the name up. Without TLS a name that leads elsewhere than here is not followed."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from None
        addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
        return [one for one in addresses if self._secure or is_loopback(one)]


class _Stream(httpcore.NetworkStream):
    """A connection that knows whether anything has left, and when to stop."""

    def __init__(self, stream: httpcore.NetworkStream, here: _Here, connect_timeout: float) -> None:
        self._stream = stream
        self._here = here
        self._connect_timeout = connect_timeout

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read within what is left of the deadline."""
        return self._stream.read(max_bytes, self._here.call.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write within what is left of the deadline; the first byte not after `send_by`."""
        if not buffer:
            return
        seconds = self._here.call.left()
        self._here.call.about_to_write()
        reach(Point.SENDING)
        self._stream.write(buffer, seconds)
        reach(Point.SENT)

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Shake hands. Nothing of the request is in it, so this is still before sending."""
        seconds = min(self._connect_timeout, self._here.call.left())
        stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return _Stream(stream, self._here, self._connect_timeout)

    def get_extra_info(self, info: str) -> Any:
        """Say what httpcore asks about the socket."""
        return self._stream.get_extra_info(info)


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    """Make the one TLS context: verifying, and deaf to the environment's files and key logs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=ca_file or certifi.where())
    return context


# Words


def _kept(headers: httpx.Headers) -> dict[str, str]:
    named = {name: headers.get(name, "").strip()[:LONGEST_HEADER] for name in KEPT_HEADERS}
    return {name: value for name, value in named.items() if value}


def _in_words(error: Exception, call: Sending) -> str:
    """Say why, in words that hold nothing of the request or the answer.

    Before the first byte that is the operating system's or TLS's own reason; later errors may quote
    what was sent or received, so only their name is told.
    """
    if isinstance(error, httpcore.ConnectError) and not call.sent:
        return f"could not connect: {error}"[:LONGEST_REASON]
    return f"the connection failed ({_name(error)})"


def _name(error: Exception) -> str:
    return type(error).__name__
