"""How much one client may ask for, and how long a request's body may be and take."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from typing import Any, ClassVar

MAX_CLIENTS = 10_000

Message = MutableMapping[str, Any]


class RateLimit:
    """A token bucket per client. Not for use from several threads.

    Parameters
    ----------
    per_second : int
        Predictions per second that a client may go on asking for.
    burst : int, optional
        Predictions that a client may ask for at once after a pause; by default one second's.
    clock : callable
        Seconds that only grow.
    max_clients : int
        The client that was silent longest is forgotten beyond that; it comes back with a full bucket.
    """

    def __init__(
        self,
        per_second: int,
        burst: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_clients: int = MAX_CLIENTS,
    ) -> None:
        self.burst = per_second if burst is None else burst
        if per_second < 1 or self.burst < 1 or max_clients < 1:
            raise ValueError("per_second, burst and max_clients must be at least 1.")
        self.per_second = per_second
        self._clock = clock
        self._max_clients = max_clients
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()  # client -> [tokens, at]

    def allow(self, client: str, n: int = 1) -> float | None:
        """Take `n` predictions from a client's bucket.

        A batch larger than the burst needs a full bucket and leaves a debt: it is let through, and the
        client waits afterwards until it is paid.

        Returns
        -------
        float or None
            None when allowed; otherwise the seconds, above 0, after which the same question is allowed.
            Nothing is taken then.
        """
        if n < 1:
            raise ValueError("n must be at least 1.")
        now = self._clock()
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = [float(self.burst), now]
            if len(self._buckets) > self._max_clients:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(client)
            bucket[0] = min(bucket[0] + (now - bucket[1]) * self.per_second, float(self.burst))
            bucket[1] = now
        missing = min(n, self.burst) - bucket[0]
        # A bucket refilled after exactly the wait that we named may lack a rounding error.
        if missing > 1e-6:
            return missing / self.per_second
        bucket[0] -= n
        return None


def retry_after(seconds: float) -> bytes:
    """Value of a Retry-After header: whole seconds, rounded up, at least one.

    >>> retry_after(0.2), retry_after(2.1)
    (b'1', b'3')
    """
    return b"%d" % max(1, math.ceil(seconds))


class BodyError(Exception):
    """A request's body can't be read; says which status to answer with.

    Attributes
    ----------
    status : int
        HTTP status of the answer.
    code : str
        Short and stable.
    detail : str
        For the caller: the rule and what to do.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad-body"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class BadContentLength(BodyError):
    """Content-Length is no number, or two numbers."""

    code = "bad-content-length"


class PayloadTooLarge(BodyError):
    """The body is longer than the limit. What is left of it was not read: close the connection."""

    status = 413
    code = "payload-too-large"


class BodyTimeout(BodyError):
    """The body did not arrive in time. What is left of it was not read: close the connection."""

    status = 408
    code = "body-timeout"


class ClientGone(BodyError):
    """The client went away before its body was complete; nobody reads the answer (499 is for the metrics)."""

    status = 499
    code = "client-gone"


async def read_body(
    receive: Callable[[], Awaitable[Message]],
    headers: Iterable[tuple[bytes, bytes]],
    max_bytes: int,
    timeout_seconds: float,
) -> bytes:
    """Read a request's body from ASGI, within limits.

    Parameters
    ----------
    receive : callable
        ASGI's `receive`.
    headers : iterable of (bytes, bytes)
        ASGI's headers: names in lower case.
    max_bytes : int
        Longest body; a longer one is refused by its Content-Length before a byte is read, a chunked one as
        soon as it exceeds the limit.
    timeout_seconds : float
        For the whole body, however it trickles.

    Raises
    ------
    BadContentLength, PayloadTooLarge, BodyTimeout, ClientGone
        Each with the status to answer with.
    """
    _check_length(headers, max_bytes)
    started = _Started(receive())
    if started.done:
        message = started.result
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return body
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _read_parts(started, receive, max_bytes)
    except TimeoutError:
        raise BodyTimeout(
            f"The body did not arrive within {timeout_seconds:g} s. Send it faster, or in smaller requests."
        ) from None


async def _read_parts(started: _Started, receive: Callable[[], Awaitable[Message]], max_bytes: int) -> bytes:
    parts: list[bytes] = []
    n_bytes = 0
    message = started.result if started.done else await started
    while True:
        if message["type"] != "http.request":
            raise ClientGone("The connection was closed before the body was complete.")
        part: bytes = message.get("body", b"")
        n_bytes += len(part)
        if n_bytes > max_bytes:
            raise _too_large(max_bytes)
        if part:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def _check_length(headers: Iterable[tuple[bytes, bytes]], max_bytes: int) -> None:
    length: bytes | None = None
    for name, value in headers:
        if name == b"content-length":
            if length is not None or not value.isdigit():
                raise BadContentLength("Content-Length must be one whole number of bytes. Correct it.")
            length = value.lstrip(b"0") or b"0"
    # More digits than any limit has: a client should not be able to order int() of a thousand digits.
    if length is not None and (len(length) > 18 or int(length) > max_bytes):
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A body may have at most {max_bytes} bytes. Send fewer employees per request.")


class _Started:
    """An awaitable whose first step is taken at once.

    A small body has mostly arrived with its headers, and then `receive` ends in that step: no timer is set,
    which saves 4 us of some 30 per request.
    """

    def __init__(self, awaitable: Awaitable[Message]) -> None:
        self.done = False
        self.result: Message = {}
        self._steps = awaitable.__await__()
        try:
            self._waits_for = next(self._steps)
        except StopIteration as stop:
            self.done = True
            self.result = stop.value

    def __await__(self) -> Generator[Any, Any, Message]:
        try:
            yield self._waits_for
        except BaseException as error:
            # A cancelled task ends `receive` too; whatever else that does replaces the cancellation.
            self._steps.throw(error)
            raise
        return (yield from self._steps)
