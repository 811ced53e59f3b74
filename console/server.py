"""The console on a port, on threads of its own.

One idea: the port is taken before anything else happens, so that "taken" is a sentence and not a
traceback; and the server ends when it is told to, whoever still has a page open.
"""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Final

import uvicorn

from console.app import build
from console.connection import LONGEST_HEAD, Connection
from console.errors import NotOpen
from console.site import Site

STOP_S: Final = 2
"""How long requests in hand may go on at the end: a page takes milliseconds."""

KEEP_ALIVE_S: Final = 15
"""How long an idle connection stays: a page asks again every 5 s."""


class Serving:
    """A console that answers at a socket until stopped."""

    def __init__(
        self,
        site: Site,
        taken: socket.socket,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self._socket = taken
        self._server = uvicorn.Server(
            uvicorn.Config(
                build(site),
                http=Connection,
                h11_max_incomplete_event_size=LONGEST_HEAD,
                log_config=None,
                access_log=False,
                # Whoever sends X-Forwarded-For from this machine would else be somebody else.
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=STOP_S,
                timeout_keep_alive=KEEP_ALIVE_S,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._is_tls = certificate is not None

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._is_tls else 'http'}://{shown}:{port}/"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing new, finish what is in hand, close the port."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S + 1)
        self._socket.close()

    @property
    def is_up(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


def take(host: str, port: int) -> socket.socket:
    """Take an address; raises `NotOpen`, with the cure, when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise NotOpen(
            f"--port: {host}:{port} cannot be taken ({error.strerror}); end what listens there, or "
            "choose another port (0 takes any free one)"
        ) from None
    return taken
