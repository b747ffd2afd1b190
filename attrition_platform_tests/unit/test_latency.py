"""Scoring time, with a clock that the test turns."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from attrition_platform.modeling.latency import measure_latency
from attrition_platform_tests.fitted_models import fit_family, make_employees


class Clock:
    """A clock and a model: each call of the model takes the seconds that the test says."""

    def __init__(self, seconds: list[float], batch_seconds: float = 0.01) -> None:
        self.now, self.seconds, self.batch_seconds = 100.0, seconds, batch_seconds
        self.n_single = 0

    def __call__(self) -> float:
        return self.now

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        if len(X) > 1:
            self.now += self.batch_seconds
        else:
            self.now += self.seconds[self.n_single % len(self.seconds)]
            self.n_single += 1
        return np.full((len(X), 2), 0.5)


def measure(clock: Any, n_rows: int = 500) -> Any:
    return measure_latency(clock, np.zeros((n_rows, 3)), timer=clock)


def test_percentiles_are_those_of_the_calls() -> None:
    found = measure(Clock([0.001] * 19 + [0.003], batch_seconds=0.02))

    assert found.n == 200
    assert found.single_p50_ms == pytest.approx(1.0)
    assert found.single_p99_ms == pytest.approx(3.0)
    assert found.batch_p50_ms == pytest.approx(20.0)


def test_a_slow_model_is_timed_on_fewer_calls() -> None:
    clock = Clock([0.03], batch_seconds=0.3)

    found = measure(clock)

    assert found.n == 20
    assert found.single_p95_ms == pytest.approx(30.0)


def test_warming_up_is_not_timed() -> None:
    found = measure(Clock([5.0] * 5 + [0.001] * 300))

    assert found.single_p99_ms == pytest.approx(1.0)


def test_one_employee_is_enough_and_none_is_refused() -> None:
    assert measure(Clock([0.001]), n_rows=1).batch_rows == 1
    with pytest.raises(ValueError, match="no row"):
        measure(Clock([0.001]), n_rows=0)


def test_json_names_what_the_gates_and_pages_read() -> None:
    found = json.loads(json.dumps(measure(Clock([0.0012345])).as_json()))

    assert set(found) >= {"single_p50_ms", "single_p95_ms", "single_p99_ms", "batch_p50_ms", "n"}
    assert found["single_p50_ms"] == pytest.approx(1.234, abs=0.002)


def test_a_real_model_is_timed_within_seconds() -> None:
    X, _ = make_employees()

    started = time.perf_counter()
    found = measure_latency(fit_family("logistic_regression"), X)

    assert time.perf_counter() - started < 3.0
    assert 0 < found.single_p50_ms <= found.single_p95_ms <= found.single_p99_ms
