"""The client, against a server that misbehaves in every way it can."""

import gzip
import logging
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.answers import Answer, Failure, FailureKind, Reply
from gateway.client import Client
from gateway.errors import UnusableAddress
from schema.plans import Request
from tests.gateway.server import (
    Connection,
    Script,
    Server,
    a_closed_port,
    an_answer,
    answering,
    serving,
)

KEY = "canary-4f1c8d"
WRITE = Request(
    method="PUT", path="/participants/1/defer", body={"data": {"attributes": {"name": "Zoë"}}}
)
VOID = Request(method="PUT", path="/participant-declarations/1/void")
READ = Request(
    method="GET",
    path="/participant-declarations",
    query=(("filter[participant_id]", "a b&c+d"), ("page[page]", "1")),
)
SHORT = timedelta(seconds=0.4)


@contextmanager
def a_client(url: str, key: Callable[[], str] = lambda: KEY, **options: Any) -> Generator[Client]:
    client = Client(url, key, **options)
    try:
        yield client
    finally:
        client.close()


def sent_to(script: Script, request: Request = WRITE, **options: Any) -> tuple[Reply, Server]:
    """Send one request to a server with this script."""
    with serving(script) as server, a_client(server.url, **options) as client:
        return client.send(request), server


def failed(reply: Reply, kind: FailureKind, status: int | None = None) -> bool:
    return isinstance(reply, Failure) and (reply.kind, reply.status) == (kind, status)


# What is sent


def test_a_write_carries_its_key_its_body_and_what_it_accepts() -> None:
    _, server = sent_to(answering(an_answer()))

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"PUT /api/v3/participants/1/defer HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}".encode(),
        f"Authorization: Bearer {KEY}".encode(),
        b"Accept: application/json",
        b"Accept-Encoding: identity",
        b"User-Agent: pillarbox",
        b"Content-Type: application/json",
        b"Content-Length: 39",
    ]
    assert body == '{"data":{"attributes":{"name":"Zoë"}}}'.encode()


def test_a_write_without_a_body_says_so() -> None:
    _, server = sent_to(answering(an_answer()), VOID)

    assert b"Content-Length: 0\r\n\r\n" in server.requests[0]
    assert b"Content-Type" not in server.requests[0]


def test_a_query_arrives_as_it_was_meant() -> None:
    _, server = sent_to(answering(an_answer()), READ)

    target = server.requests[0].split(b" ")[1].decode()
    assert tuple(parse_qsl(urlsplit(target).query)) == READ.query


def test_a_new_key_is_used_at_once() -> None:
    keys = iter(["old", "new"])
    with (
        serving(answering(an_answer())) as server,
        a_client(server.url, lambda: next(keys)) as client,
    ):
        client.send(READ)
        client.send(READ)

    assert [b"Bearer new" in request for request in server.requests] == [False, True]


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = f"http://127.0.0.1:{a_closed_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed)

    reply, _ = sent_to(answering(an_answer()))

    assert isinstance(reply, Answer)


# What comes back


def test_an_answer_keeps_its_status_body_and_the_headers_that_matter() -> None:
    answer = an_answer(
        b'{"data":1}', "X-Request-Id: r-1", "Date: Tue, 10 Feb 2026 12:00:00 GMT", "Set-Cookie: a=b"
    )

    reply, _ = sent_to(answering(answer))

    assert isinstance(reply, Answer)
    assert (reply.status, reply.body, reply.request_id) == (200, b'{"data":1}', "r-1")
    assert set(reply.headers) == {"content-type", "date", "x-request-id"}
    assert timedelta(0) < reply.duration < timedelta(seconds=5)


def test_connections_are_used_again() -> None:
    with serving(answering(an_answer())) as server, a_client(server.url) as client:
        for _ in range(5):
            assert isinstance(client.send(WRITE), Answer)

    assert (len(server.requests), server.connections) == (5, 1)


def test_a_connection_the_server_has_closed_is_not_used_again() -> None:
    def once(connection: Connection) -> None:
        connection.read_request()
        connection.write(an_answer())

    with serving(once) as server, a_client(server.url) as client:
        first = client.send(WRITE)
        server.closed.wait(5)
        second = client.send(WRITE)

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert server.connections == 2


def test_a_write_on_a_connection_that_dies_is_never_sent_twice() -> None:
    def dying(connection: Connection) -> None:
        connection.read_request()
        connection.write(an_answer())
        connection.read_request()
        connection.reset()

    with serving(dying) as server, a_client(server.url) as client:
        client.send(WRITE)
        reply = client.send(WRITE)

    assert failed(reply, FailureKind.NO_ANSWER)
    assert (len(server.requests), server.connections) == (2, 1)


def test_threads_share_a_client_and_get_their_own_answers() -> None:
    def echo(connection: Connection) -> None:
        while request := connection.read_request():
            connection.write(an_answer(request.split(b" ")[1]))

    wrong: list[object] = []

    def work(client: Client, name: str) -> None:
        for number in range(20):
            reply = client.send(Request(method="GET", path=f"/{name}/{number}"))
            if not isinstance(reply, Answer) or not reply.body.endswith(f"{number}".encode()):
                wrong.append(reply)

    with serving(echo) as server, a_client(server.url) as client:
        threads = [threading.Thread(target=work, args=(client, f"t{n}")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []
    assert len(server.requests) == 160


def test_no_thread_waits_for_the_connection_of_another() -> None:
    replies: list[Reply] = []
    with serving(say_nothing) as server, a_client(server.url, deadline=SHORT) as client:
        threads = [
            threading.Thread(target=lambda: replies.append(client.send(WRITE))) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)

    assert len(replies) == 20
    assert all(failed(reply, FailureKind.NO_ANSWER) for reply in replies)


def test_a_redirect_is_answered_and_not_followed() -> None:
    with serving(answering(an_answer())) as elsewhere:
        redirect = an_answer(b"", f"Location: {elsewhere.url}", status=301)
        reply, _ = sent_to(answering(redirect))

    assert isinstance(reply, Answer)
    assert reply.status == 301
    assert elsewhere.connections == 0


# Not sent for sure


def test_a_closed_port_means_not_sent() -> None:
    with a_client(f"http://127.0.0.1:{a_closed_port()}") as client:
        reply = client.send(WRITE)

    assert failed(reply, FailureKind.NOT_SENT)
    assert isinstance(reply, Failure)
    assert "refused" in reply.detail


def test_a_name_that_does_not_exist_means_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with a_client("https://api.example.invalid/api/v3") as client:
        reply = client.send(WRITE)

    assert failed(reply, FailureKind.NOT_SENT)


def test_without_tls_a_name_that_leads_elsewhere_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def elsewhere(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    with a_client("http://localhost/api/v3") as client:
        reply = client.send(WRITE)

    assert failed(reply, FailureKind.NOT_SENT)


def test_a_server_that_does_not_shake_hands_means_not_sent() -> None:
    with serving(lambda connection: connection.hang()) as server:
        url = f"https://127.0.0.1:{server.port}/api/v3"
        with a_client(url, connect_timeout=SHORT) as client:
            reply = client.send(WRITE)

    assert failed(reply, FailureKind.NOT_SENT)


def test_after_send_by_not_one_byte_leaves() -> None:
    seen: list[bytes] = []

    def listen(connection: Connection) -> None:
        seen.append(connection.socket.recv(1))

    with serving(listen) as server, a_client(server.url) as client:
        reply = client.send(WRITE, send_by=time.monotonic() - 0.001)

    assert failed(reply, FailureKind.NOT_SENT)
    assert seen in ([], [b""])


def test_the_clock_is_read_after_connecting_last_thing_before_the_first_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        now[0] = 105.0
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with (
        serving(answering(an_answer())) as server,
        a_client(server.url, monotonic=lambda: now[0]) as client,
    ):
        late = client.send(WRITE, send_by=104.9)
        in_time = client.send(WRITE, send_by=105.1)

    assert failed(late, FailureKind.NOT_SENT)
    assert isinstance(in_time, Answer)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["", "two words", f"{KEY}\n", f"{KEY}\r\nX: y", "schlüssel", "鍵"])
def test_a_key_no_header_can_carry_is_never_sent_and_never_shown(key: str) -> None:
    with serving(answering(an_answer())) as server, a_client(server.url, lambda: key) as client:
        reply = client.send(WRITE)

    assert failed(reply, FailureKind.KEY_UNUSABLE)
    assert server.connections == 0
    assert not key or key.strip() not in repr(reply)


def test_a_key_that_cannot_be_read_is_an_unusable_key(tmp_path: Path) -> None:
    def unset() -> str:
        raise LookupError("not set")

    for key in ((tmp_path / "missing").read_text, unset):
        with a_client("https://127.0.0.1", key) as client:
            assert failed(client.send(WRITE), FailureKind.KEY_UNUSABLE)


# Perhaps done


def close_at_once(connection: Connection) -> None:
    connection.read_request()


def reset_at_once(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def say_nothing(connection: Connection) -> None:
    connection.read_request()
    connection.hang()


def drip_the_head(connection: Connection) -> None:
    connection.read_request()
    connection.drip(an_answer(), every=0.05)


def talk_nonsense(connection: Connection) -> None:
    connection.read_request()
    connection.write(b"SMTP ready, thank you for " + WRITE.path.encode() + b"\r\n\r\n")


def drip_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.write(an_answer(b"", length=1000))
    connection.drip(b" " * 1000, every=0.05)


def cut_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.write(an_answer(b'{"data":', length=1000))


def reset_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.write(an_answer(b'{"data":', length=1000))
    connection.reset()


@pytest.mark.parametrize(
    "script", [close_at_once, reset_at_once, say_nothing, drip_the_head, talk_nonsense]
)
def test_what_was_sent_and_not_answered_may_have_been_done(script: Script) -> None:
    began = time.monotonic()

    reply, server = sent_to(script, deadline=SHORT)

    assert failed(reply, FailureKind.NO_ANSWER)
    assert len(server.requests) == 1
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("script", [drip_the_body, cut_the_body, reset_in_the_body])
def test_an_answer_cut_short_tells_its_status_and_no_more(script: Script) -> None:
    began = time.monotonic()

    reply, _ = sent_to(script, deadline=SHORT)

    assert failed(reply, FailureKind.CUT_SHORT, 200)
    assert time.monotonic() - began < 2


def test_an_answer_announced_as_huge_is_not_read() -> None:
    reply, _ = sent_to(answering(an_answer(b"x" * 5000)), max_bytes=4999)

    assert failed(reply, FailureKind.TOO_LARGE, 200)


def test_an_answer_as_large_as_may_be_is_read() -> None:
    reply, _ = sent_to(answering(an_answer(b"x" * 5000)), max_bytes=5000)

    assert isinstance(reply, Answer)


def test_an_answer_without_end_is_left_when_it_is_too_large() -> None:
    def endless(connection: Connection) -> None:
        connection.read_request()
        connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    reply, _ = sent_to(endless, max_bytes=100_000)

    assert failed(reply, FailureKind.TOO_LARGE, 200)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)

    reply, _ = sent_to(answering(an_answer(bomb, "Content-Encoding: gzip")))

    assert failed(reply, FailureKind.ENCODED, 200)


def test_the_next_call_is_well_after_a_bad_answer() -> None:
    scripts = iter([cut_the_body, answering(an_answer(b"x" * 99)), answering(an_answer())])

    def next_script(connection: Connection) -> None:
        next(scripts)(connection)

    with (
        serving(next_script) as server,
        a_client(server.url, max_bytes=50) as client,
    ):
        replies = [client.send(WRITE) for _ in range(3)]

    assert failed(replies[0], FailureKind.CUT_SHORT, 200)
    assert failed(replies[1], FailureKind.TOO_LARGE, 200)
    assert isinstance(replies[2], Answer)


# Secrets


@pytest.mark.parametrize("script", [answering(an_answer()), talk_nonsense, reset_at_once])
def test_the_key_is_in_no_log_no_reply_and_no_representation(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(script) as server, a_client(server.url) as client:
        reply = client.send(WRITE)

        shown = [repr(client), repr(reply), caplog.text]

    assert not any(KEY in text or "Zoë" in text for text in shown)
    assert WRITE.path not in repr(reply)


def test_an_error_page_that_repeats_the_key_is_kept_without_it() -> None:
    page = f"<pre>Authorization: Bearer {KEY}</pre>".encode()

    reply, _ = sent_to(answering(an_answer(page, status=500)))

    assert isinstance(reply, Answer)
    assert reply.body == b"<pre>Authorization: Bearer ***</pre>"


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/api/v3",
        "https://api.example.org/api/v3/",
        "https://api.example.org:8443",
        "http://127.0.0.1:8080/api/v3",
        "http://127.9.9.9/api/v3",
        "http://[::1]:8080/api/v3",
        "http://localhost:8080",
    ],
)
def test_https_and_loopback_may_be_called(url: str) -> None:
    with a_client(url):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.org",
        "ftp://api.example.org",
        "file:///etc/passwd",
        "https://",
        "https:///api/v3",
        "https://api.example.org:port",
        "https://api.example.org:99999",
        "http://api.example.org/api/v3",
        "http://10.0.0.1/api/v3",
        "http://localhost.example.org/api/v3",
        "http://169.254.169.254/latest",
        "https://user:s3cret@api.example.org/api/v3",
        "https://api.example.org/api/v3?token=s3cret",
        "https://api.example.org/api/v3#s3cret",
        "https://api.example.org/api v3",
        "https://api.example.org/api/v3\n",
        "https://äpi.example.org/api/v3",
        "https://[::1",
    ],
)
def test_any_other_address_is_refused_with_its_cure_and_without_its_secrets(url: str) -> None:
    with pytest.raises(UnusableAddress, match=r"PILLARBOX_API_URL.*(write|key goes)") as refusal:
        Client(url, lambda: KEY)

    assert "s3cret" not in str(refusal.value)


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1, key and all in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem "
        "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    try:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl cannot make a certificate here")
    return folder


def a_tls_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


def test_a_certificate_nobody_vouches_for_means_not_sent(certificate: Path) -> None:
    with (
        serving(answering(an_answer()), a_tls_context(certificate)) as server,
        a_client(f"https://127.0.0.1:{server.port}") as client,
    ):
        reply = client.send(WRITE)

    assert failed(reply, FailureKind.NOT_SENT)
    assert isinstance(reply, Failure)
    assert "certificate verify failed" in reply.detail
    assert server.requests == []


def test_a_certificate_for_another_name_means_not_sent(certificate: Path) -> None:
    with serving(answering(an_answer()), a_tls_context(certificate)) as server:
        url = f"https://localhost:{server.port}"
        with a_client(url, ca_file=str(certificate / "cert.pem")) as client:
            reply = client.send(WRITE)

    assert failed(reply, FailureKind.NOT_SENT)
    assert server.requests == []


def test_a_trusted_certificate_is_enough(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with serving(answering(an_answer()), a_tls_context(certificate)) as server:
        url = f"https://127.0.0.1:{server.port}"
        with a_client(url, ca_file=str(certificate / "cert.pem")) as client:
            assert isinstance(client.send(WRITE), Answer)
            assert isinstance(client.send(WRITE), Answer)

    assert server.connections == 1
    assert not (tmp_path / "keys").exists()
