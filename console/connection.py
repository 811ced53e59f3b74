"""One connection to the console: how much it may say before it is heard, and how long it may take.

One idea: who opens many connections and says little on them, or says one thing without an end, must not
use up the files and the memory of a process that has other work.
"""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

SAID_WITHIN_S: Final = 20.0
"""How long a request may take to arrive whole. Shorter, and a form sent from a slow line is lost; longer,
and a stranger holds a connection for longer with one byte."""

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of an address with all its headers: that of a list of a few thousand ids fits."""


class Connection(H11Protocol):
    """Hangs up on whoever does not come to the point."""

    _hangs_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait on while it is no whole request."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._wait_no_more()
        elif self._hangs_up is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._hangs_up = self.loop.call_later(SAID_WITHIN_S, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._hangs_up is not None:
            self._hangs_up.cancel()
            self._hangs_up = None
