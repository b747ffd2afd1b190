"""Counts give the statistics that SciPy and Evidently's formulas give for rows.

The comparison with Evidently itself is in `adapters/test_evidently_report.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import chisquare, ks_2samp, wasserstein_distance

from attrition_platform.monitoring.customary_statistics import (
    CustomaryVerdict,
    Method,
    customary_verdicts,
    default_method,
)
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary


def numbers(values: NDArray[np.float64], n_missing: int = 0) -> ColumnCounts:
    distinct, counts = np.unique(values, return_counts=True)
    return ColumnCounts("number", tuple(map(float, distinct)), tuple(map(int, counts)), n_missing)


def categories(*counts: int) -> ColumnCounts:
    some = {chr(ord("a") + i): n for i, n in enumerate(counts) if n}
    return ColumnCounts("category", tuple(some), tuple(some.values()))


def judge(before: ColumnCounts, now: ColumnCounts, method: Method | None = None) -> CustomaryVerdict | None:
    sides = (FrameSummary(column.n_rows, {"x": column}) for column in (before, now))
    return customary_verdicts(*sides, method).get("x")


@pytest.mark.parametrize(
    ("n_reference", "n_distinct", "kind", "expected"),
    [
        (1_000, 6, "number", "ks"),
        (1_001, 6, "number", "wasserstein"),
        (1_000, 5, "number", "chisquare"),
        (1_000, 2, "number", "z"),
        (1_001, 5, "number", "jensenshannon"),
        (1_000, 3, "category", "chisquare"),
        (1_000, 2, "category", "z"),
        (1_001, 2, "category", "jensenshannon"),
    ],
)
def test_the_method_follows_the_reference_and_the_distinct_values(
    n_reference: int, n_distinct: int, kind: str, expected: Method
) -> None:
    counts = (n_reference - n_distinct + 1, *(1,) * (n_distinct - 1))
    values = tuple(float(i) for i in range(n_distinct)) if kind == "number" else tuple("abcdefg"[:n_distinct])
    column = ColumnCounts(kind, values, counts)  # type: ignore[arg-type]
    first_only = ColumnCounts(kind, values[:1], (100,))  # type: ignore[arg-type]

    assert default_method(column, first_only) == expected


def test_p_values_of_numbers_are_those_of_rows() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.integers(0, 40, 800).astype(float), rng.integers(8, 48, 300).astype(float)

    found = judge(numbers(before), numbers(now))

    assert found is not None
    assert found == ("ks", pytest.approx(ks_2samp(before, now).pvalue), True)


def test_distances_of_numbers_are_those_of_rows() -> None:
    rng = np.random.default_rng(2)
    before, now = rng.normal(5, 2, 3_000), rng.normal(5, 2, 900)

    found = judge(numbers(before), numbers(now, n_missing=50))

    assert found is not None
    assert found.method == "wasserstein"
    assert found.statistic == pytest.approx(wasserstein_distance(before, now) / np.std(before))
    assert not found.drifted


def test_a_constant_number_does_not_divide_by_zero() -> None:
    found = judge(numbers(np.full(2_000, 7.0)), numbers(np.arange(10.0)))

    assert found is not None
    assert found.statistic > 1_000
    assert judge(numbers(np.full(900, 7.0)), numbers(np.full(50, 7.0))) == ("z", 1.0, False)


def test_p_values_of_categories_are_those_of_the_formulas() -> None:
    before, now = np.array([500, 300, 200]), np.array([90, 70, 40])

    chi_square = judge(categories(*before), categories(*now))
    two = judge(categories(500, 300), categories(90, 30))

    assert chi_square is not None
    assert chi_square == ("chisquare", pytest.approx(chisquare(now, before * 0.2).pvalue), False)
    assert two == ("z", pytest.approx(0.0077, abs=1e-4), True)


def test_a_new_category_is_certain_drift_for_the_chi_square_test() -> None:
    assert judge(categories(500, 400), categories(90, 70, 1)) == ("chisquare", 0.0, True)


def test_distances_of_categories_are_those_of_the_formula() -> None:
    before, now = np.array([5_000, 3_000, 2_000, 0]), np.array([90, 70, 0, 40])

    found = judge(categories(*before), categories(*now))

    assert found is not None
    assert found == ("jensenshannon", pytest.approx(jensenshannon(before, now)), True)


def test_psi_fills_empty_bins_as_evidently_does() -> None:
    found = judge(categories(500, 500), categories(100), "psi")

    assert found is not None
    halved, emptied = 0.5 * np.log(2), (0.5 - 1e-4) * np.log(0.5 / 1e-4)
    assert found.statistic == pytest.approx(halved + emptied)


def test_psi_bins_a_number_by_sturges() -> None:
    before, now = np.arange(0.0, 96.0), np.arange(0.0, 32.0)
    edges = np.histogram_bin_edges(np.concatenate((before, now)), "sturges")
    first, second = (np.histogram(side, edges)[0] / len(side) for side in (before, now))
    second = np.where(second == 0, 1e-4, second)

    found = judge(numbers(before), numbers(now), "psi")

    assert found is not None
    assert found.statistic == pytest.approx(float(np.sum((first - second) * np.log(first / second))))


def test_columns_that_evidently_cannot_compare_are_left_out() -> None:
    empty = ColumnCounts("number", (), (), n_missing=9)

    assert judge(numbers(np.arange(9.0)), empty) is None
    assert judge(empty, numbers(np.arange(9.0))) is None
    assert judge(numbers(np.arange(9.0)), categories(5, 4)) is None
    assert judge(categories(5, 4), categories(5, 4), "wasserstein") is None
    assert judge(categories(5, 4, 3), categories(5, 4), "z") is None
    assert customary_verdicts(FrameSummary(9, {"x": categories(9)}), FrameSummary(9, {})) == {}


def test_one_and_the_same_category_everywhere_is_no_drift_by_any_p_value() -> None:
    same = FrameSummary(2_000, {"x": ColumnCounts("category", ("A",), (2_000,))})

    for method in ("chisquare", "z"):
        assert customary_verdicts(same, same, method)["x"] == (method, 1.0, False)
