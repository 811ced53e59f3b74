"""A small server that does to a connection whatever a test wants done."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

Script = Callable[["Connection"], None]


@dataclass
class Connection:
    """One accepted connection, seen from the server."""

    socket: socket.socket
    server: "Server"

    def read_request(self) -> bytes:
        """Read one request to its end; empty when the client has gone."""
        received = b""
        while not _is_whole(received):
            part = self.socket.recv(65536)
            if not part:
                return b""
            received += part
        self.server.requests.append(received)
        return received

    def write(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def reset(self) -> None:
        """Close so that the client gets a reset instead of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.server.over.wait(20)

    def drip(self, text: bytes, every: float) -> None:
        """Send a byte at a time until the client has had enough."""
        for byte in text:
            if self.server.over.wait(every):
                return
            self.write(bytes([byte]))


@dataclass
class Server:
    """What came in, and where to call."""

    port: int
    requests: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v3"


def an_answer(
    body: bytes = b"{}", *headers: str, status: int = 200, length: int | None = None
) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Length: {len(body) if length is None else length}",
        "Content-Type: application/json; charset=utf-8",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(answer: bytes) -> Script:
    """Answer every request of a connection alike."""

    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.write(answer)

    return script


@contextlib.contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Generator[Server]:
    """Serve on a free port, a thread for each connection, until the block is left."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(port=listener.getsockname()[1])

    def run(accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            wrapped = accepted if tls is None else tls.wrap_socket(accepted, server_side=True)
            script(Connection(wrapped, server))
        server.closed.set()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                server.connections += 1
                threading.Thread(target=run, args=(accepted,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        listener.close()


def a_closed_port() -> int:
    """Give a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return bool(end)
