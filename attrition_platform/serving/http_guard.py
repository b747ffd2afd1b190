"""Keep slow, silent and too many clients from stopping the service; headers for its pages.

uvicorn waits for ever for a request that was begun, so 150 connections that say nothing can stop it. The
protocol below closes what keeps it waiting too long, and makes room for newcomers when it is full.
"""

from __future__ import annotations

import asyncio
import json
import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from attrition_platform.web.headers import security_headers

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = security_headers(CONTENT_SECURITY_POLICY)

SWEEP_SECONDS = 0.25
_MAX_LINGERING = 32
_FILES_KEPT_FREE = 64
_OLD_UPLOAD_SECONDS = 1.0

# head: waits for a request line and headers; body: waits for the rest of a body; busy: the service owes an
# answer; idle: the client may ask again; refused: no room, waits only to be told so.
Phase = Literal["new", "head", "body", "busy", "idle", "refused"]


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection, and all of them together, may take.

    Attributes
    ----------
    head_seconds : float
        From the connection, or from a later request's first byte, to the end of the headers.
    body_seconds : float
        From there to the end of the body, while we read; longer than the time limit of `read_body`, which
        answers more kindly.
    write_seconds : float
        How long a client may leave an answer unread that no longer fits the buffers.
    linger_seconds : float
        How long a closing connection may take to accept what was still to be sent.
    max_connections : int
        In total; fewer where the process may not open that many files.
    max_head_bytes, max_headers : int
        Request line and headers together; their number.
    max_request_bytes : int
        One request as it crosses the wire, read by the service or not.
    """

    head_seconds: float = 10.0
    body_seconds: float = 60.0
    write_seconds: float = 30.0
    linger_seconds: float = 2.0
    max_connections: int = 1_000
    max_head_bytes: int = 16_384
    max_headers: int = 100
    max_request_bytes: int = 64 << 20


class GuardedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol under `ConnectionLimits`, for ``uvicorn.Config(http=…)``.

    Idle connections are closed by uvicorn's own ``timeout_keep_alive``. Leave its ``limit_concurrency``
    unset: it counts silent connections, so they would make it refuse everyone.
    """

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = _guards.setdefault(server_state, _Guard(self.limits))
        self._phase: Phase = "new"
        self._since = self.loop.time()
        self._n_bytes = 0
        self._message_open = False
        self._fault = HTTPStatus.BAD_REQUEST
        self._stalled_since: float | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._guard.admit(self):
            self._enter("head")
        elif self._guard.let_linger(self):
            self._enter("refused")
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase == "refused":
            self._end(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._n_bytes += len(data)
        super().data_received(data)
        cycle = self.cycle
        phase: Phase
        if self._message_open:
            phase = "body"
        elif cycle is None or cycle.response_complete:
            phase = "head"
        else:
            phase = "busy"
        if phase != self._phase:
            self._enter(phase)
        if self._n_bytes > self.limits.max_head_bytes and not self.transport.is_closing():
            if phase == "head":
                self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif self._n_bytes > self.limits.max_request_bytes:
                self._end(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if len(self.headers) > self.limits.max_headers or (
            self._n_bytes > self.limits.max_head_bytes and self._head_size() > self.limits.max_head_bytes
        ):
            self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            # The parser turns it into its own error, and uvicorn calls `send_400_response`.
            raise ValueError("The head of the request is too large.")
        self._message_open = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._message_open = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # otherwise the next request has been waiting and is at work now
            self._enter("idle")

    def send_400_response(self, msg: str) -> None:
        self._end(self._fault)

    def handle_websocket_upgrade(self) -> None:
        self._guard.forget(self)
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_since = None
        super().resume_writing()

    def close_if_overdue(self, now: float) -> None:
        """Close the connection when its client has kept us waiting too long."""
        waited = now - self._since
        if self.transport.is_closing():
            # Closing waits until everything is sent, which a client that doesn't read can put off for ever.
            self._closing_since = now if self._closing_since is None else self._closing_since
            if now - self._closing_since >= self.limits.linger_seconds:
                self.transport.abort()
        elif self._stalled_since is not None and now - self._stalled_since >= self.limits.write_seconds:
            self.transport.abort()
        elif self._phase == "head" and waited >= self.limits.head_seconds:
            self._end(HTTPStatus.REQUEST_TIMEOUT if self._n_bytes else None)
        elif self._phase == "body" and self.flow.read_paused:
            self._since = now  # it is we who don't read
        elif self._phase == "body" and waited >= self.limits.body_seconds:
            self._end(HTTPStatus.REQUEST_TIMEOUT)
        elif self._phase == "refused" and waited >= self.limits.linger_seconds:
            self.transport.abort()

    def seconds_waited(self) -> float:
        """How long this connection has been in its phase."""
        return self.loop.time() - self._since

    def _enter(self, phase: Phase) -> None:
        waiting = self._guard.waiting
        if self._phase in waiting:
            waiting[self._phase].pop(self, None)
        if phase in waiting:
            waiting[phase][self] = None
            self._since = self.loop.time()
            if phase == "idle":
                self._n_bytes = 0
        self._phase = phase

    def _end(self, status: HTTPStatus | None) -> None:
        """Say why, where that is still possible, and close."""
        cycle = self.cycle
        unanswered = cycle is not None and not cycle.response_complete
        if status is not None and not (unanswered and cycle.response_started):
            self.transport.write(_short_answer(status))
        if unanswered:
            # The service may still be at work on it: nothing of that may follow what was just written.
            cycle.disconnected = True
        self.transport.close()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class _Guard:
    """The connections of one server; among those that wait, the oldest stand first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        most_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.room = limits.max_connections
        if most_files != resource.RLIM_INFINITY:
            self.room = max(1, min(self.room, most_files - _FILES_KEPT_FREE))
        self.connections: dict[GuardedHttpProtocol, None] = {}
        self.lingering: dict[GuardedHttpProtocol, None] = {}
        # In the order in which they make room: who has asked nothing yet, who may ask again, who uploads.
        self.waiting: dict[str, dict[GuardedHttpProtocol, None]] = {"head": {}, "idle": {}, "body": {}}
        self._sweeping = False

    def admit(self, connection: GuardedHttpProtocol) -> bool:
        """Take a connection in, if need be in the place of one that waits; False when all are at work."""
        if len(self.connections) >= self.room and not self._make_room():
            return False
        self.connections[connection] = None
        self._start_sweeping(connection.loop)
        return True

    def let_linger(self, connection: GuardedHttpProtocol) -> bool:
        """Whether there is place to let a refused client ask, so that it can read the refusal."""
        if len(self.lingering) >= _MAX_LINGERING:
            return False
        self.lingering[connection] = None
        self._start_sweeping(connection.loop)
        return True

    def forget(self, connection: GuardedHttpProtocol) -> None:
        """Drop a connection that is gone."""
        for connections in (self.connections, self.lingering, *self.waiting.values()):
            connections.pop(connection, None)

    def _make_room(self) -> bool:
        for phase, connections in self.waiting.items():
            oldest = next(iter(connections), None)
            if oldest is None or (phase == "body" and oldest.seconds_waited() < _OLD_UPLOAD_SECONDS):
                continue
            self.forget(oldest)
            # Only the idle one may still have to receive the end of an answer.
            if phase == "idle" and self.let_linger(oldest):
                oldest.transport.close()
            else:
                oldest.transport.abort()
            return True
        return False

    def _start_sweeping(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at every connection: one timer for all costs a request nothing."""
        self._sweeping = False
        now = loop.time()
        everyone = [*self.connections, *self.lingering]
        if everyone:
            self._start_sweeping(loop)
        for connection in everyone:
            connection.close_if_overdue(now)


_guards: WeakKeyDictionary[ServerState, _Guard] = WeakKeyDictionary()


def guarded(limits: ConnectionLimits) -> type[GuardedHttpProtocol]:
    """Make a protocol class for ``uvicorn.Config(http=…)`` with other limits than the usual ones.

    >>> guarded(ConnectionLimits(head_seconds=2)).limits.head_seconds
    2
    """
    return type("GuardedHttpProtocol", (GuardedHttpProtocol,), {"limits": limits})


def _short_answer(status: HTTPStatus) -> bytes:
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value}
    body = json.dumps(problem).encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
        *(["retry-after: 1"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
