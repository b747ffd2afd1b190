"""The paired difference of two models on the same employees."""

from __future__ import annotations

import numpy as np
import pytest

from attrition_platform.errors import EvaluationMismatchError
from attrition_platform.modeling.comparison import compare_auc
from attrition_platform.modeling.evaluation import evaluate


def make_two_models(n_rows: int = 3_000, seed: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n_rows)
    y_true = rng.random(n_rows) < 1 / (1 + np.exp(-risk))
    return y_true, risk + rng.normal(0, 0.5, n_rows), risk + rng.normal(0, 0.8, n_rows)


def test_a_model_does_not_differ_from_itself() -> None:
    y_true, candidate, _ = make_two_models()

    found = compare_auc(y_true, candidate, candidate, "a1", "a1")

    assert (found.value, found.low, found.high, found.sd) == (0.0, 0.0, 0.0, 0.0)


def test_the_sharper_model_is_told_apart() -> None:
    found = compare_auc(*make_two_models(), "a1", "a1")

    assert 0 < found.low < found.value < found.high


def test_swapping_the_models_turns_the_sign() -> None:
    y_true, candidate, incumbent = make_two_models(400)

    one = compare_auc(y_true, candidate, incumbent, "a1", "a1")
    other = compare_auc(y_true, incumbent, candidate, "a1", "a1")

    assert other.value == pytest.approx(-one.value)
    assert (other.low, other.high) == (pytest.approx(-one.high), pytest.approx(-one.low))


def test_the_paired_interval_is_narrower_than_two_separate_ones() -> None:
    y_true, candidate, incumbent = make_two_models()
    left, right = (evaluate("a1", y_true, s, 0).metrics["roc_auc"] for s in (candidate, incumbent))

    found = compare_auc(y_true, candidate, incumbent, "a1", "a1")

    apart = np.hypot(left.high - left.low, right.high - right.low)
    assert found.high - found.low < 0.9 * apart


def test_the_standard_error_is_the_spread_over_new_employees() -> None:
    drawn = [compare_auc(*make_two_models(500, seed), "a1", "a1") for seed in range(200)]

    assert np.mean([d.sd for d in drawn]) == pytest.approx(np.std([d.value for d in drawn]), rel=0.2)


def test_evaluations_of_other_rows_are_not_compared() -> None:
    y_true, candidate, incumbent = make_two_models(50)

    with pytest.raises(EvaluationMismatchError, match="can't be compared"):
        compare_auc(y_true, candidate, incumbent, "a1", "b2")
    with pytest.raises(EvaluationMismatchError):
        compare_auc(y_true, candidate, incumbent[:-1], "a1", "a1")


def test_what_cannot_be_told_is_none_in_json() -> None:
    scores = np.array([0.1, 0.2, np.nan])

    found = compare_auc(np.array([True, False, True]), scores, scores, "a1", "a1")

    assert found.as_json() == {"value": None, "low": None, "high": None, "sd": None}
