"""How long a rollback takes: the pointer itself, and until a running service follows."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Final

from benchmarks.inputs import CHECKOUT
from benchmarks.result import Cell, Result
from benchmarks.serving_speed import free_port, server

N_MOVES: Final = 100
MAX_MOVE_SECONDS: Final = 1.0
MAX_SEEN_SECONDS: Final = 2.0


def run() -> Result:
    """Train once, add a second champion, then move the pointer back and forth under a running service."""
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform
    from attrition_platform.stages.release import roll_back

    with tempfile.TemporaryDirectory(prefix="attrition-bench-") as name:
        place = {
            "ATTRITION_DATA": f"{name}/data",
            "ATTRITION_KEY_FILE": f"{name}/key",
            "ATTRITION_ROWS": "12000",
            "OMP_NUM_THREADS": "1",
        }
        attrition = [sys.executable, "-m", "attrition_platform.cli"]
        subprocess.run(
            [*attrition, "train"], env=os.environ | place, cwd=CHECKOUT, check=True, capture_output=True
        )
        platform = Platform(Settings.from_environment(place))
        first = platform.ledger.champion()
        assert first is not None
        second = f"{'f' * 15}0"
        platform.ledger.append("promotion", second, first.payload, at=platform.at())
        port = free_port()
        moves, seen = [], []
        command = [*attrition, "serve", "--port", str(port)]
        with server(command, os.environ | place, port, "/v2/health/ready"):
            _ = platform.registry  # the mirror in MLflow follows the move; the first one imports MLflow
            roll_back(platform, first.version, "warm-up", "benchmark")
            for number in range(N_MOVES):
                to = (second, first.version)[number % 2]
                n_before = platform.ledger.head()
                started = time.perf_counter()
                roll_back(platform, to, "benchmark", "benchmark")
                moves.append(time.perf_counter() - started)
                assert platform.ledger.head() == n_before + 1
                while _serving(port) != to:
                    time.sleep(0.005)
                seen.append(time.perf_counter() - started)
    rows: list[tuple[Cell, ...]] = [
        ("rollback, with MLflow's alias", *_quantiles(moves)),
        ("until the running service answers with it", *_quantiles(seen)),
    ]
    return Result(
        title="Moving the pointer",
        finding=f"A rollback takes {rows[0][2]:.3f} s at p99 (target {MAX_MOVE_SECONDS:g} s), and a running "
        f"service follows within {rows[1][3]:.2f} s at most (target {MAX_SEEN_SECONDS:g} s).",
        header=("what", "median s", "p99 s", "largest s"),
        rows=tuple(rows),
        notes=(
            f"{N_MOVES} rollbacks between two versions: files hashed, signature verified, one durable ledger "
            "record, then the alias. The import of MLflow, paid once per process, is not in it.",
        ),
    )


def _serving(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/champion", timeout=5) as answer:
        return str(json.load(answer)["serving"])


def _quantiles(seconds: list[float]) -> tuple[float, float, float]:
    return statistics.median(seconds), statistics.quantiles(seconds, n=100)[98], max(seconds)
