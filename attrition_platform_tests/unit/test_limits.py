"""How much a client may ask for, and how long a body may be and take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrition_platform.serving.limits import (
    BadContentLength,
    BodyError,
    BodyTimeout,
    ClientGone,
    PayloadTooLarge,
    RateLimit,
    read_body,
)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_client_may_ask_for_the_burst_at_once_and_then_waits() -> None:
    clock = Clock()
    limit = RateLimit(10, burst=3, clock=clock)

    assert [limit.allow("hr") for _ in range(3)] == [None, None, None]
    assert limit.allow("hr") == pytest.approx(0.1)
    assert limit.allow("bi") is None  # another client has its own bucket

    clock.now += 0.1
    assert limit.allow("hr") is None
    assert limit.allow("hr") is not None


def test_a_pause_fills_the_bucket_to_the_burst_and_no_further() -> None:
    clock = Clock()
    limit = RateLimit(10, clock=clock)
    limit.allow("hr", 10)
    clock.now += 3600

    assert limit.allow("hr", 10) is None
    assert limit.allow("hr") is not None


def test_a_refused_question_takes_nothing() -> None:
    clock = Clock()
    limit = RateLimit(10, clock=clock)
    limit.allow("hr", 5)

    assert limit.allow("hr", 8) == pytest.approx(0.3)
    assert limit.allow("hr", 5) is None


def test_a_batch_larger_than_the_burst_passes_a_full_bucket_and_is_paid_for_afterwards() -> None:
    clock = Clock()
    limit = RateLimit(10, clock=clock)

    assert limit.allow("hr", 100) is None
    assert limit.allow("hr") == pytest.approx(9.1)
    clock.now += 9.1
    assert limit.allow("hr") is None
    assert limit.allow("hr", 100) == pytest.approx(1.0)  # only from a full bucket


@given(
    rate=st.integers(1, 5000), asked=st.lists(st.tuples(st.integers(1, 50), st.floats(0, 0.2)), max_size=60)
)
def test_over_any_stretch_no_more_passes_than_burst_plus_rate(
    rate: int, asked: list[tuple[int, float]]
) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst=50, clock=clock)
    passed = 0

    for n, pause in asked:
        clock.now += pause
        passed += n if limit.allow("hr", n) is None else 0

    assert passed <= 50 + rate * (clock.now - 50.0) + 1e-3


@given(
    rate=st.integers(1, 100_000), taken=st.integers(1, 300), n=st.integers(1, 300), start=st.floats(0, 1e4)
)
def test_who_waits_as_long_as_told_is_let_through(rate: int, taken: int, n: int, start: float) -> None:
    clock = Clock()
    clock.now = start
    limit = RateLimit(rate, burst=100, clock=clock)
    limit.allow("hr", taken)

    wait = limit.allow("hr", n)

    assert wait is None or wait > 0
    clock.now += wait or 0.0
    assert limit.allow("hr", n) is None or wait is None


def test_the_client_that_was_silent_longest_is_forgotten_first() -> None:
    clock = Clock()
    limit = RateLimit(1, clock=clock, max_clients=2)
    for client in ("a", "b", "a", "c"):  # c drops b, because a was heard since
        limit.allow(client)

    assert limit.allow("a") is not None
    assert limit.allow("c") is not None
    assert limit.allow("b") is None


@pytest.mark.parametrize("arguments", [{"per_second": 0}, {"per_second": 1, "burst": 0}])
def test_a_limit_that_lets_nothing_through_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimit(**arguments)


def test_nothing_can_be_asked_for_zero_times() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimit(1).allow("hr", 0)


Messages = list[dict[str, Any] | float]


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def sending(*messages: dict[str, Any] | float) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Make a `receive` that gives messages; a number is a pause in seconds."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        while left:
            message = left.pop(0)
            if isinstance(message, dict):
                return message
            await asyncio.sleep(message)
        raise AssertionError("read on after the end")

    return receive


def read(
    *messages: dict[str, Any] | float, max_bytes: int = 10, seconds: float = 1.0, length: bytes | None = None
) -> bytes:
    headers = [(b"host", b"localhost")] + ([] if length is None else [(b"content-length", length)])
    return asyncio.run(read_body(sending(*messages), headers, max_bytes, seconds))


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"0123456789", more=False)],
        [part(b"01234", more=True), part(b"56789", more=False)],
        [0.001, part(b"0123456789", more=False)],
        [
            0,
            part(b"0123", more=True),
            0.001,
            part(b"", more=True),
            part(b"456789", more=True),
            part(b"", more=False),
        ],
    ],
)
def test_a_body_is_read_whole_however_it_comes(messages: Messages) -> None:
    assert read(*messages) == b"0123456789"
    assert read(*messages, length=b"10") == b"0123456789"


def test_no_body_is_an_empty_body() -> None:
    assert read({"type": "http.request"}) == b""


@pytest.mark.parametrize("length", [b"11", b"9" * 18, b"9" * 5000, b"0" * 30 + b"11"])
def test_a_long_body_is_refused_by_its_length_before_a_byte_is_read(length: bytes) -> None:
    with pytest.raises(PayloadTooLarge, match="at most 10 bytes") as refused:
        read(length=length)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"x" * 11, more=False)],
        [part(b"x" * 11, more=True)],
        [part(b"x" * 6, more=True), part(b"x" * 6, more=True)],
        [0.001, part(b"x" * 11, more=True)],
    ],
)
@pytest.mark.parametrize("length", [None, b"3"])
def test_a_long_body_is_refused_as_soon_as_it_is_too_long(messages: Messages, length: bytes | None) -> None:
    with pytest.raises(PayloadTooLarge):
        read(*messages, length=length)


@pytest.mark.parametrize("length", [b"", b"-1", b"1.0", b"0x10", b"5, 5", b"+5", b"\xb2", b" 5"])
def test_a_length_that_is_no_number_is_a_bad_request(length: bytes) -> None:
    with pytest.raises(BadContentLength, match="whole number") as refused:
        read(length=length)
    assert refused.value.status == 400


def test_two_lengths_are_a_bad_request() -> None:
    """Two readers may believe different ones: that is how requests are smuggled."""
    headers = [(b"content-length", b"5")] * 2
    with pytest.raises(BadContentLength):
        asyncio.run(read_body(sending(), headers, 10, 1))


@pytest.mark.parametrize(
    "messages",
    [[5.0], [part(b"x", more=True), 5.0], [*[part(b"", more=True), 0.02] * 20, part(b"", more=False)]],
)
def test_a_body_that_stalls_or_trickles_is_given_up(messages: Messages) -> None:
    began = time.monotonic()
    with pytest.raises(BodyTimeout, match=r"within 0\.1 s") as refused:
        read(*messages, seconds=0.1)
    assert refused.value.status == 408
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("before", [[], [part(b"x", more=True)], [0.001]])
def test_a_client_that_goes_away_is_told_apart(before: Messages) -> None:
    with pytest.raises(ClientGone):
        read(*before, {"type": "http.disconnect"})


def test_all_of_it_can_be_caught_as_one() -> None:
    for error in (BadContentLength, PayloadTooLarge, BodyTimeout, ClientGone):
        assert issubclass(error, BodyError)
        assert error("why").detail == "why"


def test_cancelling_the_reader_also_ends_what_it_waits_for() -> None:
    ended = []

    async def receive() -> dict[str, Any]:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            ended.append(True)
            raise
        raise AssertionError

    async def cancel() -> None:
        reader = asyncio.create_task(read_body(receive, [], 10, 5))
        await asyncio.sleep(0.01)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    asyncio.run(cancel())
    assert ended == [True]


def test_an_error_of_the_server_itself_is_not_hidden() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        asyncio.run(read_body(receive, [], 10, 1))
