"""The proxy of the tests does what it says, and counts it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.support.proxy import Blackhole, Delay, Drip, Mode, Pass, Proxy, Refuse, Reset, Swallow


def _echo(listening: socket.socket) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(client,), daemon=True).start()


def _answer(client: socket.socket) -> None:
    with client, suppress(ConnectionError):
        while asked := client.recv(1000):
            client.sendall(asked.upper())


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that says everything again, in capitals."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=_echo, args=(listening,), daemon=True).start()
        with Proxy("127.0.0.1", listening.getsockname()[1]) as made:
            yield made
        listening.shutdown(socket.SHUT_RDWR)


def a_client(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    assert say(client, b"hello") == b"HELLO"
    return client


def say(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(1000)


def test_a_refused_client_finds_nobody_until_it_passes_again(proxy: Proxy) -> None:
    with a_client(proxy) as before:
        proxy.mode = Refuse()

        with pytest.raises(ConnectionResetError):
            before.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5)

    proxy.mode = Pass()
    a_client(proxy).close()


@pytest.mark.parametrize("mode", [Reset(), Swallow(b"TWO"), Swallow(asked=b"two")])
def test_a_connection_is_reset_and_that_is_counted(proxy: Proxy, mode: Mode) -> None:
    with a_client(proxy) as client:
        proxy.mode = mode

        with pytest.raises(ConnectionResetError):
            say(client, b"two")
        assert proxy.count == 1


def test_only_the_reply_that_matches_is_swallowed_and_only_once(proxy: Proxy) -> None:
    with a_client(proxy) as client, a_client(proxy) as other:
        proxy.mode = Swallow(b"TWO")

        assert say(client, b"one") == b"ONE"
        with pytest.raises(ConnectionResetError):
            say(client, b"two")
        assert say(other, b"two") == b"TWO"


@pytest.mark.parametrize("mode", [Blackhole(), Swallow(b"TWO", cut=False)])
def test_what_is_lost_stays_lost_and_nobody_says_so(proxy: Proxy, mode: Mode) -> None:
    with a_client(proxy) as client:
        proxy.mode = mode
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            say(client, b"two")
        assert proxy.count == 1
        proxy.mode = Pass()

        with pytest.raises(TimeoutError):
            say(client, b"three")


@pytest.mark.parametrize("mode", [Delay(0.05), Delay(0.05, way="request"), Drip(0.01)])
def test_what_is_slow_comes_whole(proxy: Proxy, mode: Mode) -> None:
    with a_client(proxy) as client:
        proxy.mode = mode
        client.sendall(b"five!")

        assert b"".join(client.recv(1) for _ in range(5)) == b"FIVE!"
        assert proxy.count == 1
