"""The service against MLflow's scoring server with the same models; one prediction and a batch in process.

The load generator is wrk, from Debian's packages; this benchmark installs it where it is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.inputs import CHECKOUT
from benchmarks.result import Cell, Plot, Result

CONNECTIONS: Final = (1, 8, 16, 64)
SECONDS: Final = 5
N_ROWS: Final = 20_000
N_SINGLE: Final = 2_000
N_BATCH: Final = 400_000
SEED: Final = 7
MODELS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "logistic regression": ("logistic_regression", {}),
    "boosted stumps": ("boosted_trees", {}),
    "boosted trees, 8 leaves": ("boosted_trees", {"max_leaf_nodes": 8}),
}
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
done = function(summary, latency, requests)
  io.write(string.format("\\n@%d %d %d %f %f %f\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True)
class Load:
    """What one load gave: requests per second and per second of the server's CPU, latencies in ms."""

    per_second: float
    per_cpu_second: float
    p50: float
    p95: float
    p99: float


def run() -> Result:
    """Train once, then put each model behind both servers in turn."""
    _install_wrk()
    with tempfile.TemporaryDirectory(prefix="attrition-bench-") as name:
        return _run(Path(name))


def _run(folder: Path) -> Result:
    environment = os.environ | {
        "ATTRITION_DATA": str(folder / "data"),
        "ATTRITION_KEY_FILE": str(folder / "key"),
        "ATTRITION_ROWS": str(N_ROWS),
        "ATTRITION_RATE_LIMIT": "1000000",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ATTRITION_THREADS": "1",
    }
    attrition = [sys.executable, "-m", "attrition_platform.cli"]
    subprocess.run(
        [*attrition, "train"], env=environment, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL
    )
    os.environ.update({k: v for k, v in environment.items() if k.startswith("ATTRITION_")})
    bench = _Bench(folder, environment)
    rows: list[tuple[Cell, ...]] = []
    ratios: dict[str, float] = {}
    p99_at_8 = 0.0
    single: dict[str, tuple[float, float, float]] = {}
    batch: dict[str, float] = {}
    for model, (family, params) in MODELS.items():
        pipeline, arm, X = bench.put_up(family, params)
        ours, theirs = bench.load_ours(attrition), bench.load_mlflow(pipeline, X)
        for server, loads in (("attrition serve", ours), ("mlflow models serve", theirs)):
            rows += [
                (model, server, n, load.per_second, load.per_cpu_second, load.p50, load.p95, load.p99)
                for n, load in loads.items()
            ]
        ratios[model] = ours[16].per_cpu_second / theirs[16].per_cpu_second
        p99_at_8 = max(p99_at_8, ours[8].p99)
        single[model] = bench.one(pipeline, arm, X)
        batch[model] = bench.many(arm, X)
    in_process = "; ".join(
        f"{model} {ours:.1f} us compiled and {theirs:.0f} us as a pipeline, at most {gap:.0e} apart"
        for model, (ours, theirs, gap) in single.items()
    )
    return Result(
        title="Serving",
        finding="Per second of server CPU at 16 connections the service answers "
        + ", ".join(f"{ratio:.0f} x ({model})" for model, ratio in ratios.items())
        + " the requests of MLflow's scoring server, with validation, reasons and the durable log "
        + f"(targets 50 x linear, 25 x boosted); its p99 at 8 connections is {p99_at_8:.1f} ms (target 15). "
        + "One prediction in process is "
        + ", ".join(f"{theirs / ours:.0f} x ({model})" for model, (ours, theirs, _) in single.items())
        + " faster than Pipeline.predict_proba (target 500 x linear). A batch scores "
        + ", ".join(f"{rate:,.0f} rows/s ({model})" for model, rate in batch.items())
        + " (targets 500,000 linear, 100,000 trees).",
        header=(
            "model",
            "server",
            "connections",
            "requests/s",
            "requests/CPU s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
        ),
        rows=tuple(rows),
        notes=(
            f"wrk with one thread, {SECONDS} s per line, on the same two cores as the server; one worker "
            "each. The same pipeline behind both; MLflow's server takes the finished matrix row, ours the "
            "employee's fields, which it validates.",
            f"One prediction in process, from the feature vector to the probability: {in_process} over "
            f"{N_SINGLE:,} employees.",
            f"A batch goes from the matrix to probability, tier and the strongest reasons; {N_BATCH:,} rows.",
        ),
        plots=(
            Plot(
                "bars", tuple(ratios), {"x MLflow": tuple(ratios.values())}, "requests per CPU second, ratio"
            ),
        ),
    )


class _Bench:
    """One trained place, and what is measured on it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        from attrition_platform.adapters.pointers import Pointers
        from attrition_platform.settings import Settings
        from attrition_platform.stages.platform import Platform
        from attrition_platform.stages.splits import allowed_spec, load_sides

        self.folder, self.environment = folder, environment
        self.platform = Platform(Settings.from_environment(environment))
        pointers = Pointers(self.platform.pointers_dir)
        side = load_sides(self.platform, pointers.read("train_split"), pointers.read("validation_split"))
        self.X, self.y_true = side.X, side.y_true
        self.spec = allowed_spec(self.platform)
        self.n_models = 0

    def put_up(self, family: str, params: Mapping[str, Any]) -> tuple[Any, Any, np.ndarray]:
        """Fit a model and make it the champion."""
        from attrition_platform.adapters.model_store import save_model
        from attrition_platform.modeling.families import FAMILIES
        from attrition_platform.modeling.families.family import fit_quietly
        from attrition_platform.scoring.pipelines import compile_pipeline
        from attrition_platform.stages.challenger import MODEL_FILES
        from attrition_platform.stages.predicting import load_arm

        settings = {**FAMILIES[family].first_params, **params}
        pipeline = fit_quietly(FAMILIES[family].build(self.spec, settings, SEED, 1), self.X, self.y_true)
        compiled = compile_pipeline(pipeline, self.spec, self.X)
        self.n_models += 1
        version = f"{self.n_models:016d}"
        store = self.platform.steps.store
        with store.workspace() as folder:
            save_model(folder, pipeline, compiled, self.spec, 0.5, {"version": version}, self.platform.key)
            files = {name: store.take(folder / name) for name in MODEL_FILES}
        champion = self.platform.ledger.champion()
        assert champion is not None
        payload = champion.payload | {"files": files, "family": family, "threshold": 0.5}
        record = self.platform.ledger.append("promotion", version, payload, at=self.platform.at())
        return pipeline, load_arm(self.platform, record), self.X

    def load_ours(self, attrition: list[str]) -> dict[int, Load]:
        port = free_port()
        with server(
            [*attrition, "serve", "--port", str(port)], self.environment, port, "/v2/health/ready"
        ) as pid:
            return self._load(pid, f"http://127.0.0.1:{port}/predict", json.dumps(self._employee()))

    def load_mlflow(self, pipeline: Any, X: np.ndarray) -> dict[int, Load]:
        import mlflow.sklearn

        from attrition_platform.adapters.model_store import TRUSTED_TYPES

        place = self.folder / f"mlflow-{self.n_models}"
        mlflow.sklearn.save_model(
            pipeline,
            str(place),
            pip_requirements=["scikit-learn"],
            skops_trusted_types=list(TRUSTED_TYPES),
            pyfunc_predict_fn="predict_proba",
        )
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(place), "-p", str(port)]
        command += ["--env-manager", "local", "--host", "127.0.0.1"]
        body = json.dumps({"inputs": [X[0].tolist()]})
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        quiet["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # it calls uvicorn by name
        with server(command, {**self.environment, **quiet}, port, "/ping") as pid:
            return self._load(pid, f"http://127.0.0.1:{port}/invocations", body)

    def _load(self, pid: int, url: str, body: str) -> dict[int, Load]:
        script = self.folder / "load.lua"
        script.write_text(_SCRIPT.replace("{body}", body))
        found = {}
        for n in CONNECTIONS:
            before = _cpu_seconds(pid)
            command = ["wrk", "-t1", f"-c{n}", f"-d{SECONDS}s", "--timeout", "10s", "-s", str(script), url]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            spent = _cpu_seconds(pid) - before
            line = next(line for line in output.splitlines() if line.startswith("@"))
            requests, duration, errors, p50, p95, p99 = (float(part) for part in line[1:].split())
            if errors:
                raise RuntimeError(f"{errors:.0f} of {requests:.0f} requests to {url} failed")
            found[n] = Load(requests / duration * 1e6, requests / spent, p50, p95, p99)
        return found

    def _employee(self) -> dict[str, Any]:
        """Fields of the first employee of the training side, as the service takes them."""
        contract = self.platform.contract
        fields: dict[str, Any] = {str(contract.id): "bench"}
        derived = set(contract.derived)
        for name, kind, known, x in zip(
            self.spec.names, self.spec.kinds, self.spec.categories, self.X[0].tolist(), strict=True
        ):
            if name not in derived:
                fields[name] = known[int(x)] if kind == "category" else (int(x) if kind == "count" else x)
        return fields

    def one(self, pipeline: Any, arm: Any, X: np.ndarray) -> tuple[float, float, float]:
        """Microseconds compiled and by the pipeline, and the largest difference in probability."""
        from attrition_platform.scoring.compiled import to_probability

        rows = [row.tolist() for row in X[:N_SINGLE]]

        def compiled(row: list[float]) -> float:
            return to_probability(arm.compiled.explain_one(row)[0], arm.compiled.link)

        gap = float(
            np.abs(
                np.array([compiled(row) for row in rows]) - pipeline.predict_proba(X[:N_SINGLE])[:, 1]
            ).max()
        )
        singles = [X[i : i + 1] for i in range(200)]
        return _microseconds(compiled, rows), _microseconds(pipeline.predict_proba, singles), gap

    def many(self, arm: Any, X: np.ndarray) -> float:
        """Rows per second from matrix to probability, tier and reasons."""
        from attrition_platform.scoring.compiled import to_probabilities
        from attrition_platform.scoring.judgement import tier_codes, top_positions

        rows = np.asfortranarray(np.tile(X, (N_BATCH // len(X) + 1, 1))[:N_BATCH])
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            for start in range(0, N_BATCH, 65_536):
                scores, contributions = arm.compiled.explain_rows(rows[start : start + 65_536])
                tier_codes(to_probabilities(scores, arm.compiled.link), self.platform.policy.tiers)
                top_positions(contributions, self.platform.policy.serving.n_reasons)
            best = min(best, time.perf_counter() - started)
        return N_BATCH / best


def _microseconds(call: Callable[[Any], Any], inputs: list[Any]) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for one in inputs:
            call(one)
        best = min(best, time.perf_counter() - started)
    return best / len(inputs) * 1e6


def _install_wrk() -> None:
    if shutil.which("wrk") is None:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], environment: Mapping[str, str], port: int, ready: str) -> Iterator[int]:
    with subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=2)
                    break
                except (urllib.error.URLError, OSError):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{command[2]} does not start") from None
                    time.sleep(0.2)
            yield process.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def _cpu_seconds(pid: int) -> float:
    """CPU of a process and of all below it so far."""
    total = 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    parents = {}
    spent = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parts = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(parts[1])
            spent[int(entry.name)] = (int(parts[11]) + int(parts[12])) / ticks
    todo = [pid]
    while todo:
        one = todo.pop()
        total += spent.get(one, 0.0)
        todo += [child for child, parent in parents.items() if parent == one]
    return total
