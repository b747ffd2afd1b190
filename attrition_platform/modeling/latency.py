"""How long a model takes to score one employee, and many.

The numbers depend on the machine and on what else it does, so they are reported and gated with slack
but never part of a model's identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

N_SINGLE = 200
N_BATCH = 7
N_WARM_UP = 5
N_LEAST = 20
MAX_SECONDS = 0.8
BATCH_ROWS = 1_000


@dataclass(frozen=True)
class Latency:
    """Wall time of scoring, in milliseconds; after some calls that warm the model up.

    Attributes
    ----------
    single_p50_ms, single_p95_ms, single_p99_ms : float
        Of calls with one employee each.
    batch_p50_ms : float
        Of calls with `batch_rows` employees.
    n : int
        Timed single calls; fewer than 200 when the model is slow.
    batch_rows : int
        Employees in a batch: 1,000, or all when there are fewer.
    """

    single_p50_ms: float
    single_p95_ms: float
    single_p99_ms: float
    batch_p50_ms: float
    n: int
    batch_rows: int

    def as_json(self) -> dict[str, float]:
        """Numbers by name, rounded to a microsecond."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure_latency(
    pipeline: Pipeline, X: np.ndarray, timer: Callable[[], float] = time.perf_counter
) -> Latency:
    """Time a fitted pipeline on real rows, one by one and as a batch, within about a second.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    X : ndarray of shape (n_employees, n_features)
        At least one row. Rows are taken evenly over it.
    timer : callable
        Seconds on a clock that never goes back.

    Raises
    ------
    ValueError
        If there is no row to score.
    """
    if len(X) == 0:
        raise ValueError("There is no row to time the model on")
    rows = np.ascontiguousarray(X[np.linspace(0, len(X) - 1, N_SINGLE).astype(int)])
    batch = np.ascontiguousarray(X[:BATCH_ROWS])
    for i in range(N_WARM_UP):
        pipeline.predict_proba(rows[i : i + 1])
    deadline = timer() + MAX_SECONDS
    batches = _time_calls(pipeline, [batch] * N_BATCH, timer, deadline - MAX_SECONDS / 2, 2)
    singles = _time_calls(pipeline, [rows[i : i + 1] for i in range(N_SINGLE)], timer, deadline, N_LEAST)
    p50, p95, p99 = (float(value) for value in np.percentile(singles, [50, 95, 99]))
    return Latency(p50, p95, p99, float(np.median(batches)), len(singles), len(batch))


def _time_calls(
    pipeline: Pipeline, inputs: list[np.ndarray], timer: Callable[[], float], deadline: float, n_least: int
) -> list[float]:
    spent: list[float] = []
    for X in inputs:
        started = timer()
        if len(spent) >= n_least and started > deadline:
            break
        pipeline.predict_proba(X)
        spent.append((timer() - started) * 1e3)
    return spent
