"""The test of probabilities against outcomes: valid at every look, tolerant of a little, and it names."""

from __future__ import annotations

import json
from collections.abc import Callable

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
    read_from,
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


def in_years(n_years: int, truth: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> pl.DataFrame:
    """Twenty labels a week from the first Monday of a test's year on; `truth` of year and probability."""
    per_week = 20
    p = spread(n_years * N_WEEKS * per_week)
    year = np.arange(len(p)) // (N_WEEKS * per_week)
    frame = labels(p, truth(year, p), per_week=per_week)
    return frame.with_columns(pl.col("at") + read_from(0) + 3 * N_WEEKS * WEEK_MICROSECONDS)


def test_a_change_that_stands_stays_found_over_the_turn_of_a_year() -> None:
    frame = in_years(3, lambda year, p: np.clip(p + 0.2, 0, 1))

    weeks = [20, N_WEEKS, *range(N_WEEKS + 1, N_WEEKS + 8), 2 * N_WEEKS, 2 * N_WEEKS + 1, 3 * N_WEEKS]

    assert [week for week in weeks if not judge_concept(frame.head(20 * week), RULE).is_found] == []


def test_what_was_wrong_two_years_ago_is_forgotten() -> None:
    frame = in_years(3, lambda year, p: np.where(year == 0, 1 - p, p))

    assert judge_concept(frame.head(20 * N_WEEKS), RULE).is_found
    verdict = judge_concept(frame, RULE)
    assert (verdict.is_found, verdict.n_labels) == (False, 2 * 20 * N_WEEKS)


def test_two_years_without_a_change_do_not_make_it_slower_to_find_one() -> None:
    frame = in_years(3, lambda year, p: np.where(year == 2, np.clip(p + 0.2, 0, 1), p))

    def weeks_until_found(first_row: int) -> int:
        ends = range(1, N_WEEKS)
        read = {n: frame[first_row : 20 * (2 * N_WEEKS + n)] for n in ends}
        return next(n for n in ends if judge_concept(read[n], RULE).is_found)

    assert weeks_until_found(0) <= weeks_until_found(2 * N_WEEKS * 20) + 1


def test_when_the_oldest_labels_are_no_longer_read_the_evidence_is_the_same() -> None:
    """A test that began at the oldest label at hand would begin anew at every look."""
    frame = in_years(3, lambda year, p: np.clip(p + 0.1, 0, 1))
    needed = frame.filter(pl.col("at") >= read_from(int(frame["at"][-1])))

    assert needed.height == 2 * 20 * N_WEEKS
    assert judge_concept(needed, RULE) == judge_concept(frame, RULE)


@pytest.mark.slow
def test_false_alarms_stay_below_alpha_in_each_year_of_three() -> None:
    n_runs, alpha = 150, 0.1
    alarms = np.zeros(3)
    for run in range(n_runs):
        p = np.random.default_rng(run).beta(2.0, 2.0, 3 * N_WEEKS * 10)
        frame = labels(p, p, seed=run, per_week=10).with_columns(
            pl.col("at") + read_from(0) + 3 * N_WEEKS * WEEK_MICROSECONDS
        )
        for year in range(3):
            looks = evidence_by_week(frame.head((year + 1) * N_WEEKS * 10), CATEGORIES)[-N_WEEKS:]
            alarms[year] += looks.max() >= -np.log(alpha)

    assert (alarms / n_runs <= alpha).all()


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
