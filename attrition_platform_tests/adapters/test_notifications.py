"""Notifications reach the file and a real server on loopback; a channel that fails stops nothing."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters import notifications
from attrition_platform.adapters.notifications import Notification, Notifier

NOON = "2026-03-01T12:00:00.000+00:00"


def make_notification(**changes: Any) -> Notification:
    fields: dict[str, Any] = {
        "kind": "canary-rolled-back",
        "key": "c1/7",
        "title": "Canary c1 was rolled back",
        "cause": "It fails more often than stable",
        "version_before": "c1",
        "version_after": "s1",
        "evidence": {"n_canary": 300, "canary_error_rate": 0.06},
        "run_url": None,
        "at": NOON,
    }
    return Notification(**(fields | changes))


@dataclass
class Hook:
    """A server that remembers what it was sent, and answers with the next of `answers`."""

    url: str
    answers: list[int]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)


@contextmanager
def serving(*answers: int, location: str | None = None) -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.bodies.append(json.loads(body))
            hook.types.append(self.headers["Content-Type"])
            status = hook.answers.pop(0) if hook.answers else 200
            self.send_response(status)
            if location is not None and 300 <= status < 400:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            hook.bodies.append({"followed": True})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Hook(f"http://127.0.0.1:{server.server_port}/hook-secret", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A port where someone listens who is no web server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def accept() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

        def converse(connection: socket.socket) -> None:
            with connection:
                try:
                    talk(connection)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        stopped.set()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "notifications.jsonl"


def test_without_a_hook_it_is_one_line_of_the_file(file: Path) -> None:
    delivery = Notifier(file).send(make_notification())

    assert (delivery.repeated, delivery.failed) == (False, {})
    assert lines(file) == [make_notification().as_json()]
    assert lines(file)[0]["version_after"] == "s1"


def test_a_hook_gets_the_same_as_json_with_a_sentence(file: Path) -> None:
    with serving() as hook:
        assert Notifier(file, hook.url).send(make_notification()).failed == {}

    sent = make_notification().as_json()
    assert hook.bodies == [sent | {"text": "Canary c1 was rolled back. It fails more often than stable"}]
    assert hook.types == ["application/json; charset=utf-8"]
    assert lines(file) == [sent]


def test_a_hook_that_fails_once_is_asked_again(file: Path) -> None:
    with serving(503, 200) as hook:
        assert Notifier(file, hook.url).send(make_notification()).failed == {}

    assert len(hook.bodies) == 2
    assert len(lines(file)) == 1


def test_a_hook_that_fails_twice_is_told_and_stands_in_the_file(file: Path) -> None:
    with serving(500, 502, 200) as hook:
        delivery = Notifier(file, hook.url).send(make_notification())

    assert delivery.failed == {"webhook": "it answered HTTP 502"}
    assert len(hook.bodies) == 2
    kept, failure = lines(file)
    assert kept["kind"] == "canary-rolled-back"
    assert failure["kind"] == "notification-failed"
    assert failure["key"] == "canary-rolled-back/c1/7"
    assert "secret" not in file.read_text()


def test_a_dead_port_stops_nothing(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    delivery = Notifier(file, f"http://127.0.0.1:{port}/").send(make_notification())

    assert delivery.failed == {"webhook": "it can't be reached (ConnectionRefusedError)"}
    assert [line["kind"] for line in lines(file)] == ["canary-rolled-back", "notification-failed"]


def _says_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(5)


def _drips(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"." * 500:
        connection.send(bytes([byte]))
        time.sleep(0.02)


def _babbles(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.send(b"what?\r\n\r\n")


@pytest.mark.parametrize("talk", [_says_nothing, _drips])
def test_a_hook_that_hangs_costs_two_time_limits_and_no_more(
    file: Path, monkeypatch: pytest.MonkeyPatch, talk: Callable[[socket.socket], None]
) -> None:
    """Bytes that drip in would start a socket's own time limit anew each time."""
    monkeypatch.setattr(notifications, "POST_SECONDS", 0.2)
    with talking(talk) as url:
        started = time.monotonic()
        delivery = Notifier(file, url).send(make_notification())
        spent = time.monotonic() - started

    assert delivery.failed == {"webhook": "no answer within 0.2 s"}
    assert spent < 0.9


def test_the_time_limit_is_three_seconds() -> None:
    assert notifications.POST_SECONDS == 3.0


def test_an_answer_that_is_no_http_is_a_failure(file: Path) -> None:
    with talking(_babbles) as url:
        assert "BadStatusLine" in Notifier(file, url).send(make_notification()).failed["webhook"]


def test_a_redirect_is_not_followed(file: Path) -> None:
    """The numbers go to the address that was set, not to whoever it names."""
    with serving() as elsewhere, serving(302, 302, location=elsewhere.url) as hook:
        delivery = Notifier(file, hook.url).send(make_notification())

    assert delivery.failed == {"webhook": "it answered HTTP 302"}
    assert elsewhere.bodies == []


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/", "hooks", "http://", "http://[::"]
)
def test_an_address_that_is_none_is_a_failure(file: Path, url: str) -> None:
    delivery = Notifier(file, url).send(make_notification())

    assert set(delivery.failed) == {"webhook"}
    assert url not in delivery.failed["webhook"]


def test_a_file_that_can_not_be_written_still_reaches_the_hook(tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    with serving() as hook:
        delivery = Notifier(blocked / "notifications.jsonl", hook.url).send(make_notification())
    assert set(delivery.failed) == {"file"}
    assert len(hook.bodies) == 1

    both = Notifier(blocked / "notifications.jsonl", "nowhere").send(make_notification())
    assert set(both.failed) == {"file", "webhook"}


@pytest.mark.parametrize(
    ("changes", "repeated"),
    [
        ({}, True),
        ({"at": "2026-03-01T12:59:59.000+00:00", "title": "other words"}, True),
        ({"at": "2026-03-01T13:59:59.000+01:00"}, True),
        ({"at": "2026-03-01T13:00:01.000+00:00"}, False),
        ({"key": "c2/9"}, False),
        ({"kind": "canary-ramped"}, False),
    ],
)
def test_the_same_is_told_once_an_hour(file: Path, changes: dict[str, Any], repeated: bool) -> None:
    with serving() as hook:
        Notifier(file, hook.url).send(make_notification())
        delivery = Notifier(file, hook.url).send(make_notification(**changes))

    assert delivery.repeated is repeated
    assert len(lines(file)) == len(hook.bodies) == (1 if repeated else 2)


def test_many_at_once_are_told_once(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: Notifier(file).send(make_notification()), range(16)))

    assert sum(not delivery.repeated for delivery in told) == 1
    assert len(lines(file)) == 1


def test_a_line_that_was_cut_off_spoils_no_other(file: Path) -> None:
    Notifier(file).send(make_notification())
    with file.open("ab") as torn:
        torn.write(b'{"kind": "canary-ra\xff')
    assert Notifier(file).send(make_notification()).repeated
    Notifier(file).send(make_notification(key="c2/9"))

    whole = [line for line in file.read_bytes().splitlines() if not line.endswith(b"\xff")]
    assert [json.loads(line)["key"] for line in whole] == ["c1/7", "c2/9"]


def test_numbers_that_json_does_not_know_are_written_all_the_same(file: Path) -> None:
    evidence = {"ratio": math.inf, "rates": (0.1, math.nan), "what": Path("x"), 3: None}
    with serving() as hook:
        notifier = Notifier(file, hook.url)
        # A lone surrogate is what a command line's broken bytes become.
        assert notifier.send(make_notification(evidence=evidence, cause="why \udcff")).failed == {}

    expected = {"ratio": None, "rates": [0.1, None], "what": "<PosixPath>", "3": None}
    assert lines(file)[0]["evidence"] == expected
