"""A client that keeps many connections busy and remembers every answer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attrition_platform.stages.platform import Platform


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Served:
    """A service in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, seconds: float = 30.0) -> None:
        """Return when a model can serve."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.address}/v2/health/ready", timeout=2)
                # Another program may have taken the port since it was found free; ours has ended then.
                time.sleep(0.2)
                assert self.process.poll() is None, self.log_file.read_text()
                return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, self.log_file.read_text()
                time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log_file.read_text()}")

    def get(self, path: str) -> Any:
        """A JSON document."""
        with urllib.request.urlopen(self.address + path, timeout=5) as answer:
            return json.load(answer)


def environment_of(platform: Platform) -> dict[str, str]:
    """The environment in which a command works on the same place."""
    settings = platform.settings
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ATTRITION_", "DAGSTER_"))}
    return kept | {
        "ATTRITION_DATA": str(settings.data_dir),
        "ATTRITION_KEY_FILE": str(settings.key_file),
        "ATTRITION_CONTRACT": str(settings.contract_file or ""),
        "ATTRITION_POLICY": settings.policy,
        "ATTRITION_RATE_LIMIT": "1000000",
        "ATTRITION_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def serving(platform: Platform, command: tuple[str, ...] = (), **more: str) -> Iterator[Served]:
    """Run the service until the block ends."""
    port = free_port()
    log_file = platform.settings.data_dir / f"service-{port}.log"
    start = command or (sys.executable, "-m", "attrition_platform.cli", "serve")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*start, "--port", str(port)], env=environment_of(platform) | more, stdout=log, stderr=log
        )
    served = Served(process, port, log_file)
    try:
        served.wait_ready()
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


@dataclass
class Answers:
    """What came back.

    Attributes
    ----------
    told : list of dict
        Bodies of answers with status 200, in the order of arrival.
    failed : list of tuple
        Status (0 for a broken connection) and body of the others.
    """

    told: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[int, bytes]] = field(default_factory=list)


async def ask_many(
    port: int,
    n_requests: int,
    n_connections: int,
    employee: Callable[[int], Mapping[str, Any]],
    answers: Answers,
    *,
    give_up: bool = False,
) -> None:
    """Ask for predictions over connections that stay open.

    Parameters
    ----------
    employee : callable
        Fields by the number of the request.
    answers : Answers
        Filled while it runs.
    give_up : bool
        Whether a broken connection ends its work instead of being opened again.
    """
    numbers = iter(range(n_requests))

    async def work() -> None:
        reader = writer = None
        for number in numbers:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = json.dumps({**employee(number)}).encode()
            head = (
                f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            try:
                writer.write(head.encode() + body)
                status, content = await _read_answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                answers.failed.append((0, b""))
                if give_up:
                    return
                writer.close()
                reader = writer = None
                continue
            if status == 200:
                answers.told.append(json.loads(content))
            else:
                answers.failed.append((status, content))
        if writer is not None:
            writer.close()

    await asyncio.gather(*(work() for _ in range(n_connections)), return_exceptions=give_up)


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    return status, await reader.readexactly(length)
