"""Whoever says too much, or too little, on a connection to the console is hung up on."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from console import connection
from console.server import Serving, take
from runtime.database import Database
from tests.support.clock import HandClock
from tests.support.desk import a_site

SOON_S = 0.3
PATIENCE_S = 10.0
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def address(
    database: Database, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, int]]:
    """A console that hangs up soon."""
    monkeypatch.setattr(connection, "SAID_WITHIN_S", SOON_S)
    taken = take("127.0.0.1", 0)
    serving = Serving(a_site(database, clock), taken)
    serving.start()
    yield taken.getsockname()
    serving.stop()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /he",
        b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nname",
    ],
    ids=["nothing", "half a head", "half a form"],
)
def test_who_does_not_come_to_the_point_is_hung_up_on(
    address: tuple[str, int], said: bytes
) -> None:
    with closing(socket.create_connection(address, timeout=PATIENCE_S)) as client:
        client.sendall(said)

        assert hung_up(client)


def test_it_is_so_of_a_second_request_too(address: tuple[str, int]) -> None:
    with closing(socket.create_connection(address, timeout=PATIENCE_S)) as client:
        client.sendall(WHOLE)
        while not client.recv(4096).endswith(b"alive\n"):
            pass
        client.sendall(b"GET /he")

        assert hung_up(client)


def test_a_head_without_an_end_is_not_read_on(address: tuple[str, int]) -> None:
    with closing(socket.create_connection(address, timeout=PATIENCE_S)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 2 * connection.LONGEST_HEAD)

        assert client.recv(100).startswith(b"HTTP/1.1 400")


def test_who_asks_in_whole_sentences_may_take_time_between_them(address: tuple[str, int]) -> None:
    with closing(HTTPConnection(*address, timeout=PATIENCE_S)) as client:
        for _ in range(2):
            client.request("GET", "/healthz")
            assert client.getresponse().read() == b"alive\n"
            time.sleep(2 * SOON_S)


def hung_up(client: socket.socket) -> bool:
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True
