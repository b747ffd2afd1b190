"""Drift is found where it is, and nothing is called stable that was not tested."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import hypergeom, wasserstein_distance

from attrition_platform.modeling.watch_rules import DriftRule
from attrition_platform.monitoring.distances import (
    jensen_shannon_distance,
    normed_wasserstein_distance,
    robust_wasserstein_distance,
)
from attrition_platform.monitoring.drift import ColumnVerdict, judge_drift
from attrition_platform.monitoring.same_source import (
    categories_p_value,
    novelty_p_value,
    numbers_p_value,
)
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary
from attrition_platform.stages.drift import in_words

RULE = DriftRule()
LEVELS = ("High", "Low", "Medium")


def categories(n_missing: int = 0, n_unreadable: int = 0, **counts: int) -> ColumnCounts:
    there = {name: n for name, n in sorted(counts.items()) if n}
    return ColumnCounts("category", tuple(there), tuple(there.values()), n_missing, n_unreadable)


def numbers(values: np.ndarray, n_missing: int = 0, n_unreadable: int = 0) -> ColumnCounts:
    distinct, counts = np.unique(np.asarray(values, dtype=float), return_counts=True)
    return ColumnCounts("number", tuple(distinct.tolist()), tuple(counts.tolist()), n_missing, n_unreadable)


def normal(n: int, seed: int, mean: float = 5_000.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1_000.0, n).round()


def frame(**columns: ColumnCounts) -> FrameSummary:
    return FrameSummary(max((c.n_rows for c in columns.values()), default=0), columns)


def judged(reference: ColumnCounts, window: ColumnCounts, rule: DriftRule = RULE) -> ColumnVerdict:
    return judge_drift(frame(x=reference), frame(x=window), rule).by_column["x"]


def test_a_share_that_nearly_doubles_is_drift_and_names_its_column() -> None:
    reference = frame(remote=categories(No=8_100, Yes=1_900), level=categories(A=500, B=500))
    window = frame(remote=categories(No=3_250, Yes=1_750), level=categories(A=2_480, B=2_520))

    verdict = judge_drift(reference, window, RULE)

    assert verdict.columns == ("remote",)
    assert verdict.drifted
    assert verdict.score == pytest.approx(jensenshannon([0.81, 0.19], [0.65, 0.35]))
    assert verdict.by_column["level"].outcome == "stable"
    assert "distributed otherwise (score 0.128, limit 0.1)" in verdict.by_column["remote"].text


def test_income_that_grows_by_eight_percent_is_drift() -> None:
    verdict = judged(numbers(normal(20_000, 0)), numbers(normal(5_000, 1) * 1.08))

    assert verdict.outcome == "drifted"
    assert verdict.score == pytest.approx(0.4, abs=0.05)


def test_a_small_difference_in_a_huge_window_is_certain_and_does_not_alarm() -> None:
    verdict = judged(categories(No=500_000, Yes=500_000), categories(No=510_000, Yes=490_000))

    assert verdict.outcome == "below-effect-floor"
    assert verdict.p_value is not None
    assert verdict.p_value < 1e-30
    assert verdict.text == "x differs a little (score 0.007)."


def test_a_large_difference_in_a_small_window_may_be_chance() -> None:
    verdict = judged(categories(No=900, Yes=100), categories(No=39, Yes=13))

    assert verdict.score is not None
    assert verdict.score > RULE.min_score
    assert verdict.outcome == "stable"


@pytest.mark.parametrize("where", ["reference", "window"])
def test_half_of_the_cells_missing_is_flagged(where: str) -> None:
    full, half = numbers(normal(5_000, 0)), numbers(normal(2_500, 1), n_missing=2_500)
    reference, window = (half, full) if where == "reference" else (full, half)

    verdict = judged(reference, window)

    assert verdict.findings == ("missing-values",)
    assert verdict.outcome == "drifted"
    assert "50.0%" in verdict.text


def test_a_column_that_becomes_empty_drifts_and_its_values_are_not_called_stable() -> None:
    verdict = judged(numbers(normal(5_000, 0)), numbers(np.array([]), n_missing=5_000))

    assert (verdict.outcome, verdict.reason, verdict.findings) == ("drifted", "empty", ("missing-values",))


def test_cells_that_are_no_number_any_more_are_flagged() -> None:
    verdict = judged(numbers(normal(5_000, 0)), numbers(normal(4_000, 1), n_unreadable=1_000))

    assert verdict.findings == ("missing-values",)


def test_missing_cells_that_become_unreadable_ones_are_flagged() -> None:
    reference, window = (numbers(normal(4_000, 0), **n) for n in ({"n_missing": 900}, {"n_unreadable": 900}))

    assert judged(reference, window).findings == ("missing-values",)


@pytest.mark.parametrize(
    ("reference", "window", "reason"),
    [
        (None, categories(A=500), "no-reference"),
        (categories(A=500), None, "missing-column"),
        (categories(A=500), numbers(normal(500, 0)), "kind-changed"),
        (categories(A=500), categories(), "empty"),
        (categories(), categories(A=500), "empty-reference"),
        (categories(A=500), categories(A=49), "too-few-rows"),
        (categories(A=49), categories(A=500), "too-few-reference-rows"),
        (categories(A=300, B=200), categories(A=49, n_missing=1), "too-few-rows"),
        (categories(A=500), categories(A=500), "constant"),
        (numbers(np.full(500, 7)), numbers(np.full(99, 7)), "constant"),
        (numbers(np.linspace(0, 1e308, 100)), numbers(np.linspace(-1e308, 0, 100)), "not-finite"),
    ],
)
def test_what_cannot_be_tested_is_said_to_be_so(
    reference: ColumnCounts | None, window: ColumnCounts | None, reason: str
) -> None:
    sides = [frame() if side is None else frame(x=side) for side in (reference, window)]

    verdict = judge_drift(sides[0], sides[1], RULE)

    assert verdict.by_column["x"].outcome == "cannot-test"
    assert verdict.by_column["x"].reason == reason
    assert verdict.untested == ("x",)
    assert not verdict.drifted
    assert "can't be tested" in verdict.by_column["x"].text


def test_nothing_to_test_has_no_score() -> None:
    verdict = judge_drift(frame(), frame(), RULE)

    assert (verdict.score, verdict.drifted, verdict.columns) == (None, False, ())


def test_a_constant_that_changes_is_drift() -> None:
    assert judged(numbers(np.full(500, 7)), numbers(np.full(500, 8))).outcome == "drifted"
    other = judge_drift(frame(x=categories(A=500)), frame(x=categories(B=500)), RULE)
    assert other.by_column["x"].findings == ("distribution", "new-category")
    assert other.score == pytest.approx(math.sqrt(math.log(2)))


def test_a_new_category_at_eight_percent_is_found_and_named() -> None:
    verdict = judged(categories(A=5_000, B=5_000), categories(A=2_300, B=2_300, Platform=400))

    assert "new-category" in verdict.findings
    assert [(new.name, new.n_rows) for new in verdict.new_categories] == [("Platform", 400)]
    assert (
        "8.0% of its values are in categories that training never saw: 'Platform' (400 rows)" in verdict.text
    )


def test_a_new_category_over_its_tolerated_share_alarms_below_the_floor_of_the_distance() -> None:
    verdict = judged(categories(A=50_000, B=50_000), categories(A=2_460, B=2_460, C=80))

    assert verdict.score is not None
    assert verdict.score < RULE.min_score
    assert (verdict.outcome, verdict.findings) == ("drifted", ("new-category",))
    assert verdict.text.endswith("never saw: 'C' (80 rows) (1.0% is tolerated, whatever the score).")


def test_where_new_categories_alone_are_the_drift_the_report_says_so_beside_its_small_score() -> None:
    reference = frame(x=categories(A=50_000, B=50_000), y=categories(A=500, B=500))
    window = frame(x=categories(A=2_460, B=2_460, C=80), y=categories(A=2_500, B=2_500))
    found = judge_drift(reference, window, RULE).as_json()
    facts = {"problem": None, "window": "w1", "schema_changes": [], "windows": [found]}

    text = in_words(facts | {key: found[key] for key in ("drifted", "columns", "score")})

    assert found["score"] < RULE.min_score
    assert text.startswith("Window w1: x drifted (largest score 0.0")
    assert "x: 1.6% of its values are in categories that training never saw: 'C' (80 rows)" in text


@pytest.mark.parametrize("typos", [1, 5, 20])
@pytest.mark.parametrize("where", ["reference", "window", "both"])
def test_a_few_typos_of_many_digits_do_not_hide_that_everybody_earns_more(where: str, typos: int) -> None:
    before, now = normal(20_000, 0), normal(5_000, 1) * 1.08
    if where != "window":
        before[:typos] = 99_999_999.0
    if where != "reference":
        now[:typos] = 99_999_999.0

    verdict = judge_drift(frame(x=numbers(before)), frame(x=numbers(now)), RULE)

    column = verdict.by_column["x"]
    assert column.outcome == "drifted"
    assert verdict.score is not None
    assert verdict.score > 0.35
    if where == "reference":
        assert column.score is not None
        assert column.score < RULE.min_score, "it stays the number that Evidently gives"
        assert "without the outermost values, limit 0.1)" in column.text


def test_typos_alone_are_no_drift() -> None:
    """The robust effect is that of a shift among nearly all, so it adds nothing to what is none."""
    now = normal(5_000, 1)
    now[:3] = 99_999_999.0

    verdict = judged(numbers(normal(20_000, 0)), numbers(now))

    assert verdict.outcome == "stable"
    assert verdict.answers[0].robust_effect < 0.05


@pytest.mark.parametrize("n_same", [999, 1_000])
def test_a_column_of_nearly_one_value_has_a_robust_effect_of_zero(n_same: int) -> None:
    values = np.array([3.0, 8.0])

    assert robust_wasserstein_distance(values, np.array([n_same, 1]), np.array([95, 5])) == 0.0


def test_a_new_category_within_its_tolerated_share_is_counted_without_an_alarm() -> None:
    verdict = judged(categories(A=50_000, B=50_000), categories(A=2_475, B=2_475, C=50))

    assert verdict.outcome == "below-effect-floor"
    assert verdict.n_new_category_rows == 50


def test_many_new_categories_of_a_row_each_are_found_and_none_is_named() -> None:
    typos = {f"typo{i}": 1 for i in range(60)}
    verdict = judged(categories(A=50_000, B=50_000), categories(A=2_000, B=2_000, **typos))

    assert verdict.findings == ("new-category",)
    assert verdict.new_categories == ()
    assert verdict.n_new_category_rows == 60
    assert "typo" not in json.dumps(verdict.as_json())


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "a\x00", "a\nb", "x" * 61, "rare"])
def test_a_new_category_is_not_named_where_it_is_rare_or_no_name(name: str) -> None:
    n_rows = 9 if name == "rare" else 400

    verdict = judged(categories(A=5_000), categories(**{"A": 4_000, name: n_rows}))

    assert verdict.new_categories == ()
    assert verdict.n_new_category_rows == n_rows


def test_facts_are_json_without_any_number_that_is_not_finite() -> None:
    reference = frame(a=categories(A=500, B=500), b=numbers(normal(1_000, 0)), c=categories(A=1))
    window = frame(a=categories(C=500), b=numbers(normal(500, 0), 3, 4), d=categories(A=1))

    facts = json.loads(json.dumps(judge_drift(reference, window, RULE).as_json(), allow_nan=False))

    assert facts["columns"] == ["a"]
    assert facts["by_column"]["a"]["findings"] == ["distribution", "new-category"]
    assert facts["untested"] == ["c", "d"]


def test_the_level_of_a_window_is_its_part_of_the_years_chance() -> None:
    rule = DriftRule(false_alarms_per_year=0.05, windows_per_year=365)

    assert judge_drift(frame(), frame(), rule).level == 0.05 / 365


def test_distances_are_those_of_scipy() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        p, q = rng.integers(0, 50, (2, 7)) + np.eye(7, dtype=int)[:2]
        values = np.sort(rng.normal(size=7))
        std = np.std(np.repeat(values, p))

        assert jensen_shannon_distance(p, q) == pytest.approx(jensenshannon(p, q), abs=1e-7)
        assert normed_wasserstein_distance(values, p, q) == pytest.approx(
            wasserstein_distance(values, values, p, q) / std
        )


def test_a_two_by_two_table_has_the_p_value_of_the_hypergeometric_distribution() -> None:
    rng = np.random.default_rng(6)
    for _ in range(200):
        n, m = rng.integers(1, 2_000, 2)
        a, b = rng.integers(0, n + 1), rng.integers(0, m + 1)
        exact = hypergeom(n + m, a + b, m)
        expected = min(1.0, 2 * min(exact.sf(b - 1), exact.cdf(b)))

        p_value = categories_p_value(np.array([a, n - a]), np.array([b, m - b]))

        assert p_value == pytest.approx(max(expected, 1e-300), rel=1e-6)


def test_p_values_are_at_most_as_small_as_chance_makes_them() -> None:
    """For rows that are exchangeable, the chance of p <= t is at most t, with many ties and with few."""
    rng = np.random.default_rng(7)
    pool = {
        "categories": (categories_p_value, np.array([300, 120, 40, 12, 3, 1, 1])),
        "ties": (numbers_p_value, np.array([200, 10, 90, 1, 1, 50, 25])),
        "distinct": (numbers_p_value, np.full(400, 1)),
        "novelty": (novelty_p_value, np.array([300, 40, 5, 3, 2, 2, *[1] * 50])),
    }
    for p_value_of, pooled in pool.values():
        windows = rng.multivariate_hypergeometric(pooled, 100, size=800)
        p_values = np.array([p_value_of(pooled - window, window) for window in windows])

        for level in (0.2, 0.05, 0.01):
            error = math.sqrt(level * (1 - level) / len(windows))
            assert np.mean(p_values <= level) <= level + 3 * error


def test_a_decision_takes_milliseconds() -> None:
    reference = frame(**{f"c{i}": numbers(normal(20_000, i)) for i in range(20)})
    window = frame(**{f"c{i}": numbers(normal(5_000, 99 + i)) for i in range(20)})
    before = time.process_time()

    judge_drift(reference, window, RULE)

    assert time.process_time() - before < 0.3


def test_a_column_without_unreadable_cells_is_asked_for_missing_ones_alone() -> None:
    """One set and not three, so that the p-value is that of the two-by-two table."""
    verdict = judged(numbers(normal(980, 0), n_missing=20), numbers(normal(460, 1), n_missing=40))

    missing = next(answer for answer in verdict.answers if answer.question == "missing-values")
    assert missing.p_value == categories_p_value(np.array([980, 20]), np.array([460, 40]))


def test_new_categories_are_named_by_their_frequency() -> None:
    verdict = judged(categories(A=5_000), categories(A=4_000, Ash=100, Oak=300, Elm=9))

    assert [new.name for new in verdict.new_categories] == ["Oak", "Ash"]
    assert verdict.n_new_category_rows == 409


def test_the_share_without_a_value_counts_empty_and_unreadable_cells() -> None:
    verdict = judged(categories(A=90, n_missing=4, n_unreadable=6), categories(A=400))

    assert (verdict.reference_missing_share, verdict.missing_share) == (0.1, 0.0)


def test_a_shift_within_the_largest_values_alone_is_certain() -> None:
    """A cut lies just below the largest value, however many rows have it."""
    reference, window = np.arange(100), np.arange(100)
    reference[-1], window[-1] = 2_000, 400

    assert numbers_p_value(reference, window) < 1e-20
