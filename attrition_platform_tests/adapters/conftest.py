"""A real PostgreSQL server for the suites of the adapters."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa


def _postgres_binary(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server on loopback, made for this session."""
    initdb, server = _postgres_binary("initdb"), _postgres_binary("postgres")
    if initdb is None or server is None:
        assert not os.environ.get("ATTRITION_CI"), "PostgreSQL is missing; .ci/run installs it."
        pytest.skip("PostgreSQL is not installed")
    # Not below pytest's own folder: another session sets that one's mode back, and shuts the server out.
    folder = Path(tempfile.mkdtemp(prefix="attrition-postgres-"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [*as_user, initdb, "-D", str(data), "-U", "attrition", "-A", "trust"], check=True, capture_output=True
    )
    options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off"]
    with subprocess.Popen(
        [*as_user, server, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as p:
        url = f"postgresql+psycopg2://attrition@127.0.0.1:{port}/postgres"
        _wait_for(url)
        yield url
        # SIGTERM would wait for connections that a test left open, and `runuser` passes no SIGINT on.
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
        p.wait(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    engine = sa.create_engine(url)
    for _ in range(150):
        try:
            engine.connect().close()
            return
        except sa.exc.OperationalError:
            time.sleep(0.2)
    raise AssertionError("PostgreSQL did not start")
