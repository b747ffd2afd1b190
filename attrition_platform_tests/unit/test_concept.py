"""The test of probabilities against outcomes: valid at every look, tolerant of a little, and it names."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from attrition_platform.modeling.watch_rules import PerformanceRule
from attrition_platform.monitoring.concept import (
    MARGIN,
    MIN_NAMED_LABELS,
    N_WEEKS,
    WEEK_MICROSECONDS,
    evidence_by_week,
    judge_concept,
)

RULE = PerformanceRule()
CATEGORIES = {"remote": ("No", "Yes"), "level": ("Low", "Mid", "High")}
N = 1_000


def labels(
    p: np.ndarray, truth: np.ndarray, *, seed: int = 3, per_week: int = 250, remote: float = 0.2
) -> pl.DataFrame:
    """Outcomes that fall as `truth` says, for probabilities `p`."""
    rng = np.random.default_rng(seed)
    n = len(p)
    return pl.DataFrame(
        {
            "at": np.arange(n) // per_week * WEEK_MICROSECONDS,
            "probability": p,
            "remote": np.where(np.arange(n) % 10 < round(10 * remote), "Yes", "No").tolist(),
            "level": rng.choice(["Low", "Mid", "High"], n).tolist(),
            "left": rng.random(n) < truth,
        }
    )


def spread(n: int = N, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).beta(2.0, 2.0, n)


def without_protection(p: np.ndarray) -> np.ndarray:
    """Two in ten work remotely; their odds of leaving grow sixfold."""
    remote = np.arange(len(p)) % 10 < 2
    return np.where(remote, 6 * p / (1 - p + 6 * p), p)


def test_probabilities_that_come_true_are_not_contradicted() -> None:
    p = spread()

    verdict = judge_concept(labels(p, p), RULE, CATEGORIES)

    assert not verdict.is_found
    assert verdict.log_e < 0.0
    assert verdict.column is None
    assert "do not contradict" in verdict.text


def test_a_changed_effect_is_found_and_its_column_is_named() -> None:
    p = spread()

    verdict = judge_concept(labels(p, without_protection(p)), RULE, CATEGORIES)

    assert verdict.is_found
    assert verdict.column == "remote"
    assert "where remote is Yes" in verdict.text
    json.dumps(verdict.as_json(), allow_nan=False)


def test_a_change_that_begins_later_is_found_too() -> None:
    p = spread(4 * N)
    truth = np.concatenate([p[: 2 * N], without_protection(p[2 * N :])])

    assert not judge_concept(labels(p, truth)[: 2 * N], RULE, CATEGORIES).is_found
    assert judge_concept(labels(p, truth), RULE, CATEGORIES).column == "remote"


def test_fewer_leavers_than_said_are_a_contradiction_as_well() -> None:
    p = spread()

    verdict = judge_concept(labels(p, p / 3), RULE, CATEGORIES)

    assert verdict.is_found
    assert verdict.cells[0].observed < verdict.cells[0].expected


def test_a_shift_of_all_employees_is_blamed_on_no_column() -> None:
    p = spread(2 * N)

    verdict = judge_concept(labels(p, np.clip(p + 0.25, 0, 1)), RULE, CATEGORIES)

    assert verdict.is_found
    assert verdict.column is None
    assert "remote" not in verdict.text


def test_a_small_miscalibration_is_tolerated_however_many_labels_there_are() -> None:
    p = np.clip(spread(200_000), 0.1, 0.9)
    slightly_off = labels(p, p + 0.9 * MARGIN, per_week=4_000)

    assert not judge_concept(slightly_off, RULE, CATEGORIES).is_found
    assert judge_concept(slightly_off, RULE, CATEGORIES, margin=0.0).is_found
    twice_the_margin = labels(p, np.clip(p + 2 * MARGIN, 0, 1), per_week=4_000)
    assert judge_concept(twice_the_margin, RULE, CATEGORIES).is_found


def test_it_is_found_when_the_evidence_reaches_one_over_alpha() -> None:
    p = spread(200)
    frame = labels(p, np.clip(p + 0.2, 0, 1))
    log_e = judge_concept(frame, RULE, CATEGORIES).log_e
    assert log_e > 1.0

    above, below = (PerformanceRule(alpha=float(np.exp(-log_e * share))) for share in (0.99, 1.01))

    assert judge_concept(frame, above, CATEGORIES).is_found
    assert not judge_concept(frame, below, CATEGORIES).is_found


def test_data_drift_is_no_concept_drift() -> None:
    """Half of the staff works remotely now and all are at higher risk, which the model said of each."""
    p = spread(2 * N) ** 0.5

    assert not judge_concept(labels(p, p, remote=0.5), RULE, CATEGORIES).is_found


def test_evidence_does_not_depend_on_the_order_in_which_outcomes_arrive() -> None:
    p = spread()
    frame = labels(p, without_protection(p))
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=5)

    in_order, late = (judge_concept(table, RULE, CATEGORIES).log_e for table in (frame, shuffled))
    assert in_order == pytest.approx(late)


def test_false_alarms_stay_below_alpha_over_a_year_of_weekly_looks() -> None:
    rng = np.random.default_rng(11)
    n_years, alpha = 100, 0.1
    alarms = 0
    for year in range(n_years):
        p = rng.beta(2.0, 2.0, 52 * 30)
        evidence = evidence_by_week(labels(p, p, seed=year, per_week=30), CATEGORIES)
        assert len(evidence) == 52
        alarms += evidence.max() >= -np.log(alpha)

    assert alarms / n_years <= alpha


def test_a_second_year_starts_again() -> None:
    p = spread(2 * N_WEEKS * 20)
    broken_first_year = np.where(np.arange(len(p)) < N_WEEKS * 20, 1 - p, p)
    frame = labels(p, broken_first_year, per_week=20)

    assert judge_concept(frame[: N_WEEKS * 20], RULE).is_found
    verdict = judge_concept(frame, RULE)
    assert (verdict.is_found, verdict.n_labels) == (False, N_WEEKS * 20)


def test_values_that_the_contract_does_not_know_share_one_cell_and_few_are_not_named() -> None:
    p = spread()
    frame = labels(p, p).with_columns(
        pl.when(pl.int_range(pl.len()) < 6)
        .then(pl.lit("secret"))
        .when(pl.int_range(pl.len()) < 12)
        .then(None)
        .otherwise(pl.col("level"))
        .alias("level")
    )

    verdict = judge_concept(frame, RULE, CATEGORIES)

    named = {cell.value: cell.n_labels for cell in verdict.cells if cell.column == "level"}
    assert named.pop("(other or missing)") == 12
    assert set(named) == {"Low", "Mid", "High"}
    fewer = judge_concept(frame.filter(pl.col("level").is_not_null()), RULE, CATEGORIES)
    assert "(other or missing)" not in {cell.value for cell in fewer.cells}
    assert min(cell.n_labels for cell in fewer.cells) >= MIN_NAMED_LABELS


def test_what_is_no_probability_is_left_out_and_counted() -> None:
    p = np.append(spread(), [np.nan, 2.0])

    verdict = judge_concept(labels(p, np.ones(len(p)) * 0.5), RULE)

    assert (verdict.n_labels, verdict.n_unreadable) == (N, 2)
    nothing = judge_concept(labels(np.array([np.nan]), np.ones(1)), RULE)
    assert (nothing.is_found, nothing.cells) == (False, ())
    assert "yet" in nothing.text
