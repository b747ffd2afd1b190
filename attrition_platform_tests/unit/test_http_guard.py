"""Rude clients, over real sockets: silent, slow, endless, too many, and never reading."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from attrition_platform.serving.http_guard import (
    SECURITY_HEADERS,
    ConnectionLimits,
    GuardedHttpProtocol,
    guarded,
)

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
BIG = 12_000_000  # more than the kernel buffers for a client that does not read
UPLOAD = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n"


@dataclass
class Service:
    """A running server; what clients of it do."""

    port: int
    n_heads: list[str] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)

    def connect(self, sent: bytes = b"", **options: int) -> socket.socket:
        client = socket.socket()
        for name, value in options.items():
            client.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        client.settimeout(5)
        client.connect(("127.0.0.1", self.port))
        client.sendall(sent)
        return client

    def ask(self, sent: bytes = REQUEST) -> bytes:
        with self.connect(sent) as client:
            return read_answer(client)


@contextmanager
def running(limits: ConnectionLimits | None, loop: str = "auto", keep_alive: int = 5) -> Iterator[Service]:
    """Serve under limits, or with plain uvicorn for None."""
    service = Service(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        service.n_heads.append(scope["path"])
        body = b"ok"
        if scope["path"] == "/big":
            body = b"x" * BIG
        elif scope["path"] == "/slow":
            await asyncio.sleep(0.6)
        elif scope["path"] != "/early":
            await asyncio.sleep(0.6 if scope["path"] == "/lazy" else 0)
            while (message := await receive()).get("more_body"):
                pass
            if message["type"] == "http.disconnect":
                service.disconnects.append(scope["path"])
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app,
        port=0,
        log_level="critical",
        lifespan="off",
        ws="none",
        loop=loop,
        http=guarded(limits) if limits else "httptools",
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    service.port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield service
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def wait_until(happened: Callable[[], bool], seconds: float = 5.0) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.005)
    return time.monotonic() - began


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed; what it said before is read and dropped."""
    client.setblocking(False)
    try:
        while client.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def read_answer(client: socket.socket) -> bytes:
    """Read one answer, which may come in several parts."""
    said = b""
    while b"\r\n\r\n" not in said or len(said.partition(b"\r\n\r\n")[2]) < _length(said):
        part = client.recv(4096)
        assert part, f"closed after {said!r}"
        said += part
    return said


def _length(said: bytes) -> int:
    return int(said.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


def read_to_the_end(client: socket.socket) -> bytes:
    said = b""
    try:
        while part := client.recv(1 << 16):
            said += part
    except ConnectionResetError:
        pass
    return said


def gets_answers(client: socket.socket, n_answers: int) -> bool:
    """Whether so many answers come before the connection ends."""
    said = b""
    while said.count(b"\r\n\r\nok") < n_answers and (part := client.recv(4096)):
        said += part
    return said.count(b"\r\n\r\nok") == n_answers


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_client_that_says_nothing_or_half_a_head_is_closed_after_the_limit(loop: str) -> None:
    with running(ConnectionLimits(head_seconds=0.3), loop) as service:
        silent, half = service.connect(), service.connect(REQUEST[:-2])

        assert read_to_the_end(half).startswith(b"HTTP/1.1 408 ")
        assert read_to_the_end(silent) == b""
        assert service.n_heads == []


def test_a_head_that_trickles_in_does_not_win_time() -> None:
    with running(ConnectionLimits(head_seconds=0.4)) as service, service.connect() as slow:
        began = time.monotonic()
        for byte in REQUEST:
            if is_closed(slow):
                break
            slow.setblocking(True)
            slow.send(bytes([byte]))
            time.sleep(0.04)

        assert is_closed(slow)
        assert time.monotonic() - began < 1.0


def test_a_second_head_on_a_kept_connection_has_the_same_limit() -> None:
    with running(ConnectionLimits(head_seconds=0.3)) as service, service.connect(REQUEST) as client:
        assert read_answer(client).endswith(b"ok")
        client.sendall(b"\r\n")  # cancels uvicorn's own timer

        assert read_to_the_end(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("path", [b"/", b"/early"])
def test_a_body_that_does_not_come_is_closed_answered_or_not(path: bytes) -> None:
    """After an early answer each byte of the body would cancel uvicorn's timer for idle connections."""
    with running(ConnectionLimits(body_seconds=0.4)) as service:
        with service.connect(UPLOAD.replace(b"/", path, 1)) as client:
            began = time.monotonic()
            while not is_closed(client) and time.monotonic() - began < 3:
                client.setblocking(True)
                if time.monotonic() - began < 0.3:
                    client.send(b"x")
                time.sleep(0.05)
            took = time.monotonic() - began

        assert 0.35 < took < 0.95
        wait_until(lambda: service.disconnects == (["/"] if path == b"/" else []))


def test_a_slow_answer_of_our_own_is_not_the_clients_fault() -> None:
    limits = ConnectionLimits(head_seconds=0.2, body_seconds=0.2, write_seconds=0.2, linger_seconds=0.2)
    with running(limits) as service:
        assert service.ask(REQUEST.replace(b"/", b"/slow", 1)).endswith(b"ok")


@pytest.mark.slow
def test_an_idle_connection_is_left_to_the_keep_alive_time() -> None:
    with running(ConnectionLimits(head_seconds=0.2), keep_alive=1) as service:
        client = service.connect(REQUEST)
        assert read_answer(client).endswith(b"ok")
        time.sleep(0.6)
        client.sendall(REQUEST)
        assert read_answer(client).endswith(b"ok")

        assert wait_until(lambda: is_closed(client)) < 2


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("closing", [False, True])
def test_a_client_that_never_reads_its_answer_is_aborted(loop: str, closing: bool) -> None:
    """Also where the connection is closing: closing waits until everything is sent."""
    request = REQUEST.replace(b"/", b"/big", 1)
    limits = ConnectionLimits(write_seconds=0.1, linger_seconds=99)
    if closing:
        request = request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        limits = ConnectionLimits(write_seconds=99, linger_seconds=0.1)
    with running(limits, loop, keep_alive=60) as service:
        deaf = service.connect(request, SO_RCVBUF=4096)
        time.sleep(0.6)

        began = time.monotonic()
        assert len(read_to_the_end(deaf)) < BIG
        assert time.monotonic() - began < 0.2  # the whole answer takes seconds through so small a buffer


def test_nothing_of_a_broken_off_request_follows_its_refusal() -> None:
    with running(ConnectionLimits(max_head_bytes=500, max_request_bytes=5000)) as service:
        client = service.connect(REQUEST.replace(b"/", b"/big", 1))
        wait_until(lambda: service.n_heads == ["/big"])
        client.sendall(UPLOAD.replace(b"/", b"/early", 1).replace(b" 10", b" 9999") + b"x" * 6000)
        wait_until(lambda: service.n_heads == ["/big", "/early"])

        said = read_to_the_end(client)

    assert (said.count(b"HTTP/1.1 200"), said.count(b"HTTP/1.1 413")) == (1, 1)


def test_a_body_that_we_do_not_read_yet_is_not_the_clients_fault() -> None:
    upload = UPLOAD.replace(b"/", b"/lazy", 1).replace(b" 10", b" 9000000")
    with running(ConnectionLimits(body_seconds=0.1)) as service, service.connect(upload) as client:
        client.sendall(b"x" * 9_000_000)

        assert read_answer(client).endswith(b"ok")


def test_pipelined_requests_are_all_answered() -> None:
    with running(ConnectionLimits(head_seconds=0.3)) as service, service.connect(REQUEST * 3) as client:
        assert gets_answers(client, n_answers=3)
        assert len(service.n_heads) == 3


def test_on_a_kept_connection_each_request_is_measured_by_itself() -> None:
    with running(ConnectionLimits(max_head_bytes=100)) as service, service.connect() as client:
        for _ in range(5):
            client.sendall(REQUEST[:-2])
            time.sleep(0.02)
            client.sendall(REQUEST[-2:])
            assert read_answer(client).endswith(b"ok")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 3000, id="endless value"),
        pytest.param(b"GET /" + b"x" * 3000, id="endless path"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 3000 + b"\r\n\r\n", id="whole, too long"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 60 + b"\r\n", id="too many"),
    ],
)
def test_a_head_beyond_the_limit_is_refused_before_the_service_sees_it(head: bytes) -> None:
    with running(ConnectionLimits(max_head_bytes=2000, max_headers=50)) as service:
        assert service.ask(head).startswith(b"HTTP/1.1 431 ")
        assert service.ask(REQUEST).endswith(b"ok")
        assert len(service.n_heads) == 1


def test_a_long_body_does_not_count_as_head() -> None:
    body = b"x" * 5000
    head = REQUEST.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\ncontent-length: 5000\r\n\r\n")
    with running(ConnectionLimits(max_head_bytes=2000)) as service:
        assert service.ask(head + body).endswith(b"ok")


def test_a_request_that_never_ends_is_cut_off() -> None:
    """Also what follows the last chunk (trailers), which uvicorn would collect."""
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    with running(ConnectionLimits(max_head_bytes=2000, max_request_bytes=9000)) as service:
        assert service.ask(head + b"0\r\nx: " + b"y" * 9000).startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_gets_400_as_a_problem_document() -> None:
    with running(ConnectionLimits()) as service:
        said = service.ask(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
    assert b"nonsense" not in said


def test_a_newcomer_takes_the_place_of_the_oldest_silent_one_and_not_of_an_idle_one() -> None:
    with running(ConnectionLimits(max_connections=3)) as service, ExitStack() as open_clients:
        clients = [open_clients.enter_context(service.connect(sent)) for sent in (REQUEST, b"", b"GET")]
        idle, oldest, younger = clients
        assert read_answer(idle).endswith(b"ok")

        assert service.ask().endswith(b"ok")

        assert is_closed(oldest)
        assert not is_closed(younger)
        assert not is_closed(idle)


def test_an_idle_connection_makes_room_when_nobody_is_silent() -> None:
    with running(ConnectionLimits(max_connections=1)) as service, service.connect(REQUEST) as idle:
        assert read_answer(idle).endswith(b"ok")

        assert service.ask().endswith(b"ok")
        assert is_closed(idle)


def test_an_idle_connection_that_makes_room_still_receives_the_end_of_its_answer() -> None:
    with running(ConnectionLimits(max_connections=1)) as service:
        client = service.connect(REQUEST.replace(b"/", b"/big", 1))
        wait_until(lambda: service.n_heads == ["/big"])

        assert service.ask().endswith(b"ok")
        assert len(read_to_the_end(client)) > BIG


def test_a_connection_whose_next_request_is_at_work_already_is_not_idle() -> None:
    pipelined = REQUEST + REQUEST.replace(b"/", b"/slow", 1)
    with running(ConnectionLimits(max_connections=1)) as service, service.connect(pipelined) as busy:
        wait_until(lambda: service.n_heads == ["/", "/slow"])

        assert service.ask().startswith(b"HTTP/1.1 503 ")
        assert gets_answers(busy, n_answers=2)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_when_every_connection_is_at_work_a_newcomer_is_told_to_come_back(loop: str) -> None:
    with running(ConnectionLimits(max_connections=1), loop) as service:
        with service.connect(REQUEST.replace(b"/", b"/slow", 1)) as busy:
            wait_until(lambda: service.n_heads == ["/slow"])

            refused = service.ask()

            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in refused
            assert read_answer(busy).endswith(b"ok")
        wait_until(lambda: service.ask().endswith(b"ok"))


def test_refused_clients_that_wait_in_silence_are_dropped() -> None:
    limits = ConnectionLimits(max_connections=1, linger_seconds=0.3)
    with running(limits) as service, service.connect(REQUEST.replace(b"/", b"/slow", 1)):
        wait_until(lambda: service.n_heads == ["/slow"])
        crowd = [service.connect() for _ in range(40)]

        time.sleep(0.1)
        assert sum(is_closed(client) for client in crowd) == 8  # 32 may wait
        assert wait_until(lambda: all(is_closed(client) for client in crowd)) < 0.8


@pytest.mark.slow
def test_withheld_bodies_do_not_keep_others_out() -> None:
    with running(ConnectionLimits(max_connections=2)) as service:
        uploads = [service.connect(UPLOAD) for _ in range(2)]
        wait_until(lambda: len(service.n_heads) == 2)
        assert service.ask().startswith(b"HTTP/1.1 503 ")  # young uploads are given a second
        time.sleep(1.0)

        assert service.ask().endswith(b"ok")
        assert is_closed(uploads[0])
        assert not is_closed(uploads[1])


def test_an_upgrade_that_is_not_offered_is_answered_as_plain_http() -> None:
    head = REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    with running(ConnectionLimits(head_seconds=0.3)) as service:
        assert service.ask(head).endswith(b"ok")


def open_rude_clients(service: Service) -> list[socket.socket]:
    """300 half-open ones, and one that sends a byte per second."""
    half_open = [service.connect(b"GET / HT" if i % 2 else b"") for i in range(300)]
    return [*half_open, service.connect(b"G")]


@pytest.mark.slow
def test_300_half_open_sockets_and_a_slow_loris_neither_stop_nor_outlast_the_service() -> None:
    with running(ConnectionLimits(head_seconds=2.0, max_connections=200)) as service:
        began = time.monotonic()
        *half_open, loris = open_rude_clients(service)

        asked = time.monotonic()
        assert service.ask().endswith(b"ok")
        assert time.monotonic() - asked < 1.0

        rest = [*half_open, loris]
        sent_at = time.monotonic()
        while rest and time.monotonic() - began < 6:
            readable, _, _ = select.select(rest, [], [], 0.1)
            rest = [client for client in rest if client not in readable or not is_closed(client)]
            if loris in rest and time.monotonic() - sent_at >= 1:
                loris.setblocking(True)
                loris.send(b"E")
                sent_at = time.monotonic()
        assert not rest
        assert time.monotonic() - began < 4.0


@pytest.mark.slow
def test_plain_uvicorn_keeps_half_open_sockets() -> None:
    """What the guard is for; when this fails, uvicorn has learnt it and the guard may go."""
    with running(None, keep_alive=1) as service, service.connect(REQUEST[:-2]) as half:
        time.sleep(3)

        assert not is_closed(half)


def test_pages_may_load_nothing_from_elsewhere_and_be_framed_by_nobody() -> None:
    headers = dict(SECURITY_HEADERS)

    policy = dict(part.split(" ", 1) for part in headers[b"content-security-policy"].decode().split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert "unsafe" not in headers[b"content-security-policy"].decode()
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
    assert all(name == name.lower() for name in headers)


def test_the_class_itself_has_the_usual_limits() -> None:
    assert GuardedHttpProtocol.limits == ConnectionLimits()
