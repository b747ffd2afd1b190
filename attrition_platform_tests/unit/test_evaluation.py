"""What a model's scores are worth, against values worked out by hand or by scikit-learn."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from attrition_platform.modeling.evaluation import (
    METRICS,
    calibration_bins,
    choose_threshold,
    evaluate,
    tier_of,
    wilson,
)


def make_scores(n_rows: int = 2_000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_prob = rng.beta(2, 3, n_rows).round(2)  # rounding makes ties
    return rng.random(n_rows) < y_prob, y_prob


def make_rule(**changes: Any) -> Any:
    return SimpleNamespace(
        **({"cost_false_alarm": 1.0, "cost_missed_leaver": 1.0, "capacity": 1.0} | changes)
    )


def test_each_metric_is_the_one_that_scikit_learn_computes() -> None:
    y_true, y_prob = make_scores()
    flagged = y_prob >= 0.4
    expected = {
        "roc_auc": reference.roc_auc_score(y_true, y_prob),
        "average_precision": reference.average_precision_score(y_true, y_prob),
        "accuracy": reference.accuracy_score(y_true, flagged),
        "precision": reference.precision_score(y_true, flagged),
        "recall": reference.recall_score(y_true, flagged),
        "f1": reference.f1_score(y_true, flagged),
        "brier": reference.brier_score_loss(y_true, y_prob),
    }

    found = evaluate("a1", y_true, y_prob, 0.4)

    assert {name: found.metrics[name].value for name in expected} == pytest.approx(expected)
    assert set(found.metrics) == set(METRICS)


def test_confusion_counts_are_those_of_scikit_learn() -> None:
    y_true, y_prob = make_scores()

    found = evaluate("a1", y_true, y_prob, 0.4).confusion

    table = reference.confusion_matrix(y_true, y_prob >= 0.4)
    assert (found.true_negative, found.false_positive) == tuple(table[0])
    assert (found.false_negative, found.true_positive) == tuple(table[1])
    assert found.n_rows == len(y_true)


def test_every_value_lies_within_its_interval() -> None:
    found = evaluate("a1", *make_scores(), 0.4)

    assert all(0 <= e.low <= e.value <= e.high <= 1 for e in found.metrics.values())
    assert all(e.low < e.high for e in found.metrics.values())


def test_roc_auc_interval_has_the_published_standard_error() -> None:
    """Leavers 3, 5, 4 and stayers 1, 2, 4: DeLong's variance worked out by hand."""
    y_true = np.array([True, True, True, False, False, False])
    y_prob = np.array([0.3, 0.5, 0.4, 0.1, 0.2, 0.4])
    of_leavers, of_stayers = np.array([2 / 3, 1.0, 2.5 / 3]), np.array([1.0, 1.0, 0.5])
    sd = np.sqrt(of_leavers.var(ddof=1) / 3 + of_stayers.var(ddof=1) / 3)

    auc = evaluate("a1", y_true, y_prob, 0.5).metrics["roc_auc"]

    assert auc.value == pytest.approx(7.5 / 9)
    assert auc.low == pytest.approx(7.5 / 9 - 1.959964 * sd, abs=1e-6)


@pytest.mark.parametrize("name", ["average_precision", "f1", "roc_auc", "calibration_error"])
def test_intervals_are_as_wide_as_the_spread_over_new_employees(name: str) -> None:
    drawn = [evaluate("a1", *make_scores(1_500, seed), 0.4).metrics[name] for seed in range(60)]
    spread = np.std([estimate.value for estimate in drawn], ddof=1)
    stated = np.median([(estimate.high - estimate.low) / (2 * 1.96) for estimate in drawn])

    assert stated == pytest.approx(spread, rel=0.4)


def test_intervals_repeat_and_do_not_depend_on_the_order_of_rows() -> None:
    y_true, y_prob = make_scores()
    shuffled = np.random.default_rng(3).permutation(len(y_true))

    first = evaluate("a1", y_true, y_prob, 0.4).as_json()

    assert evaluate("a1", y_true, y_prob, 0.4).as_json() == first
    other = evaluate("a1", y_true[shuffled], y_prob[shuffled], 0.4)
    for name, estimate in other.as_json()["metrics"].items():
        assert estimate == pytest.approx(first["metrics"][name], abs=1e-12)


def test_a_perfectly_calibrated_grouping_has_no_calibration_error() -> None:
    y_prob = np.repeat([0.2, 0.6], 50)
    y_true = np.concatenate([np.arange(50) < 10, np.arange(50) < 30])

    assert evaluate("a1", y_true, y_prob, 0.5).metrics["calibration_error"].value == pytest.approx(0.0)


def test_a_constant_off_by_a_tenth_has_a_calibration_error_of_a_tenth() -> None:
    y_true = np.arange(100) < 30

    error = evaluate("a1", y_true, np.full(100, 0.4), 0.5).metrics["calibration_error"]

    assert error.value == pytest.approx(0.1)


def test_calibration_bins_hold_every_employee_once_and_keep_ties_together() -> None:
    y_true, y_prob = make_scores()

    mean_prob, leaver_rate, n_employees = calibration_bins(y_true, y_prob)

    assert n_employees.sum() == len(y_true)
    assert (leaver_rate * n_employees).sum() == pytest.approx(y_true.sum())
    assert (np.diff(mean_prob) < 0).all()
    assert len(calibration_bins(y_true, np.full(len(y_true), 0.5))[2]) == 1


def test_flagging_nobody_has_precision_zero_with_the_widest_interval() -> None:
    y_true, y_prob = make_scores(200)

    found = evaluate("a1", y_true, y_prob, 2.0).metrics

    assert (found["precision"].value, found["precision"].low, found["precision"].high) == (0.0, 0.0, 1.0)
    assert (found["recall"].value, found["f1"].value) == (0.0, 0.0)


def test_a_missing_class_has_no_ranking_metric_and_json_says_none() -> None:
    found = evaluate("a1", np.zeros(10, dtype=bool), np.linspace(0, 1, 10), 0.5).as_json()

    assert found["metrics"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert found["metrics"]["average_precision"]["value"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_probability_that_is_not_finite_leaves_no_metric() -> None:
    y_true, y_prob = make_scores(50)
    y_prob[7] = np.nan

    assert all(np.isnan(e.value) for e in evaluate("a1", y_true, y_prob, 0.5).metrics.values())


def test_no_rows_leave_no_metric() -> None:
    found = evaluate("a1", np.array([], dtype=bool), np.array([]), 0.5)

    assert found.n_rows == 0
    assert all(np.isnan(e.value) for e in found.metrics.values())


def test_rows_of_labels_and_scores_must_match() -> None:
    with pytest.raises(ValueError, match="one row per employee"):
        evaluate("a1", np.array([True]), np.array([0.1, 0.2]), 0.5)


def test_evaluating_a_usual_test_side_takes_little_time() -> None:
    y_true, y_prob = make_scores(11_000)

    started = time.process_time()
    evaluate("a1", y_true, y_prob, 0.5)

    assert time.process_time() - started < 2.0


def test_wilson_interval_is_the_published_one() -> None:
    """Newcombe (1998): 81 of 263 gives 0.2553 to 0.3662."""
    found = wilson(81, 263)

    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_equal_costs_flag_from_one_half() -> None:
    assert choose_threshold(make_rule(), np.linspace(0, 1, 11)) == 0.5


def test_a_dear_missed_leaver_lowers_the_threshold() -> None:
    assert choose_threshold(make_rule(cost_missed_leaver=4.0), np.linspace(0, 1, 11)) == pytest.approx(0.2)


@pytest.mark.parametrize("capacity", [0.0, 0.05, 0.1, 0.3, 0.77])
def test_capacity_is_never_exceeded_and_costs_still_count(capacity: float) -> None:
    _, y_prob = make_scores(1_000)

    threshold = choose_threshold(make_rule(capacity=capacity), y_prob)

    assert (y_prob >= threshold).sum() <= capacity * 1_000 + 1e-6
    assert threshold >= 0.5


def test_capacity_is_used_to_the_last_place() -> None:
    """0.29 * 100 is a little under 29 in floating point."""
    y_prob = np.linspace(0.51, 0.99, 100)

    threshold = choose_threshold(make_rule(capacity=0.29), y_prob)

    assert (y_prob >= threshold).sum() == 29


def test_employees_tied_at_the_edge_of_capacity_are_treated_alike() -> None:
    threshold = choose_threshold(make_rule(capacity=0.5), np.array([0.9, 0.8, 0.8, 0.8]))

    assert threshold == 0.9


def test_tier_limits_belong_to_the_higher_tier() -> None:
    limits = SimpleNamespace(high=0.65, medium=0.45, low=0.25)

    tiers = tier_of(np.array([1.0, 0.65, 0.6499, 0.45, 0.4499, 0.25, 0.2499, 0.0]), limits).tolist()

    assert tiers == ["high", "high", "medium", "medium", "low", "low", "very-low", "very-low"]


def test_an_unknown_probability_has_no_tier() -> None:
    with pytest.raises(ValueError, match="not finite"):
        tier_of(np.array([np.nan]), SimpleNamespace(high=0.65, medium=0.45, low=0.25))
