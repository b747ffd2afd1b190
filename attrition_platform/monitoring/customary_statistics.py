"""Evidently's own statistics of two windows, from exact counts instead of rows.

They are what many know and compare with; our decision is `drift.judge_drift`. Evidently (0.7) chooses by the
reference: up to 1,000 values it gives p-values, which call a difference of nothing drift in a large window
and miss a large one in a small window; above, distances with a limit of 0.1. Cells without a readable value
are left out, as Evidently does.
"""

from __future__ import annotations

import math
import warnings
from typing import Final, Literal, NamedTuple

import numpy as np
from scipy.special import gammaincc
from scipy.stats import ks_2samp

from attrition_platform.monitoring.distances import jensen_shannon_distance, normed_wasserstein_distance
from attrition_platform.monitoring.same_source import Floats, Ints
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary

Method = Literal["ks", "chisquare", "z", "wasserstein", "jensenshannon", "psi"]

P_VALUES_UP_TO: Final = 1_000  # values of the reference
FEW_VALUES: Final = 5  # distinct values up to which a number is compared as a category
BINNED_ABOVE: Final = 20  # distinct values of the reference above which PSI has bins
MAX_P_VALUE: Final = 0.05
MIN_DISTANCE: Final = 0.1


class CustomaryVerdict(NamedTuple):
    """What Evidently says of a column.

    Attributes
    ----------
    method : Method
        ``ks``, ``chisquare`` and ``z`` give p-values: small is drift. The others give distances: large is.
    statistic : float
    drifted : bool
        P-value below 0.05, or distance of at least 0.1.
    """

    method: Method
    statistic: float
    drifted: bool


def customary_verdicts(
    reference: FrameSummary, window: FrameSummary, method: Method | None = None
) -> dict[str, CustomaryVerdict]:
    """Judge each column as Evidently does by default, or with one method.

    Parameters
    ----------
    method : Method or None
        ``jensenshannon`` and ``psi`` fit every column; a column that another one does not fit is left out.

    Returns
    -------
    dict of str to CustomaryVerdict
        Columns of the reference, without those for which Evidently raises: absent, without any value, or
        a number on one side and a category on the other.

    Examples
    --------
    >>> def remote(no, yes):
    ...     return FrameSummary(no + yes, {"remote": ColumnCounts("category", ("No", "Yes"), (no, yes))})
    >>> found = customary_verdicts(remote(8_100, 1_900), remote(3_250, 1_750))["remote"]
    >>> found.method, round(found.statistic, 4), found.drifted
    ('jensenshannon', 0.1282, True)
    >>> customary_verdicts(remote(810, 190), remote(3_900, 1_100))["remote"].method
    'z'
    """
    found: dict[str, CustomaryVerdict] = {}
    for name, before in reference.columns.items():
        now = window.columns.get(name)
        if now is None or now.kind != before.kind or 0 in (before.n_values, now.n_values):
            continue
        chosen = method or default_method(before, now)
        if method is None or _fits(method, before, now):
            found[name] = _judge(chosen, before, now)
    return found


def default_method(reference: ColumnCounts, window: ColumnCounts) -> Method:
    """Choose as Evidently does: by the size of the reference and the distinct values of both together."""
    n_distinct = _n_distinct(reference, window)
    as_category = reference.kind == "category" or n_distinct <= FEW_VALUES
    if reference.n_values > P_VALUES_UP_TO:
        return "jensenshannon" if as_category else "wasserstein"
    if as_category:
        return "chisquare" if n_distinct > 2 else "z"
    return "ks"


def _n_distinct(reference: ColumnCounts, window: ColumnCounts) -> int:
    """Distinct values of both, counted exactly only where they are few."""
    either = max(len(reference.values), len(window.values))
    return either if either > FEW_VALUES else len({*reference.values, *window.values})


def _fits(method: Method, reference: ColumnCounts, window: ColumnCounts) -> bool:
    if method in ("ks", "wasserstein"):
        return reference.kind == "number"
    if method in ("chisquare", "z"):
        return reference.kind == "category" and (method == "chisquare" or _n_distinct(reference, window) <= 2)
    return True


def _judge(method: Method, reference: ColumnCounts, window: ColumnCounts) -> CustomaryVerdict:
    if method == "ks":
        statistic = _ks_p_value(reference, window)
        return CustomaryVerdict(method, statistic, statistic <= MAX_P_VALUE)
    if method == "wasserstein":
        statistic = normed_wasserstein_distance(*_number_grid(reference, window))
        return CustomaryVerdict(method, statistic, statistic >= MIN_DISTANCE)
    binned = method in ("psi", "jensenshannon") and reference.kind == "number"
    sides = (_binned if binned and len(reference.values) > BINNED_ABOVE else _aligned)(reference, window)
    if method in ("chisquare", "z"):
        statistic = (_chi_square_p_value if method == "chisquare" else _z_p_value)(*sides)
        return CustomaryVerdict(method, statistic, statistic < MAX_P_VALUE)
    statistic = (_psi if method == "psi" else jensen_shannon_distance)(*sides)
    return CustomaryVerdict(method, statistic, statistic >= MIN_DISTANCE)


def _ks_p_value(reference: ColumnCounts, window: ColumnCounts) -> float:
    """Exact up to 10,000 rows on either side and asymptotic above, which SciPy decides."""
    rows = (np.repeat(column.numbers, column.weights) for column in (reference, window))
    with warnings.catch_warnings():
        # Where the exact way fails SciPy warns and takes the other, and so does Evidently's call.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ks_2samp(*rows).pvalue)


def _chi_square_p_value(reference: Ints, window: Ints) -> float:
    """Pearson's test of the window against shares that count as known.

    0 where a category is new, 1 where there is but one.
    """
    if len(reference) == 1:
        return 1.0
    expected = reference * (window.sum() / reference.sum())
    if (expected == 0).any():
        return 0.0
    chi_square = float(np.sum((window - expected) ** 2 / expected))
    return float(gammaincc((len(window) - 1) / 2, chi_square / 2))


def _z_p_value(reference: Ints, window: Ints) -> float:
    """Two-sided test of two proportions with their pooled variance; 1 where there is but one value."""
    if len(reference) == 1:
        return 1.0
    n_before, n_now = int(reference.sum()), int(window.sum())
    pooled = (reference[1] + window[1]) / (n_before + n_now)
    difference = reference[1] / n_before - window[1] / n_now
    return math.erfc(abs(difference) / math.sqrt(2 * pooled * (1 - pooled) * (1 / n_before + 1 / n_now)))


def _psi(reference: Ints, window: Ints) -> float:
    """Population stability index; an empty bin counts as a small share, as Evidently fills it."""
    before, now = (_without_zeros(side / side.sum()) for side in (reference, window))
    return float(np.sum((before - now) * np.log(before / now)))


def _without_zeros(shares: Floats) -> Floats:
    smallest = float(shares[shares > 0].min())
    return np.where(shares == 0, smallest / 1e6 if smallest <= 1e-4 else 1e-4, shares)


def _binned(reference: ColumnCounts, window: ColumnCounts) -> tuple[Ints, Ints]:
    """Rows in bins of equal width by Sturges's rule over both sides together."""
    low = min(reference.numbers[0], window.numbers[0])
    high = max(reference.numbers[-1], window.numbers[-1])
    n_rows = reference.n_values + window.n_values
    width = (high - low) / (math.log2(n_rows) + 1.0)
    edges = np.linspace(low, high, math.ceil((high - low) / width) + 1)
    before, now = (
        np.histogram(column.numbers, edges, weights=column.weights)[0] for column in (reference, window)
    )
    return before, now


def _number_grid(reference: ColumnCounts, window: ColumnCounts) -> tuple[Floats, Ints, Ints]:
    values = np.union1d(reference.numbers, window.numbers)
    sides = np.zeros((2, len(values)), dtype=np.int64)
    for side, column in zip(sides, (reference, window), strict=True):
        side[np.searchsorted(values, column.numbers)] = column.weights
    return values, sides[0], sides[1]


def _aligned(reference: ColumnCounts, window: ColumnCounts) -> tuple[Ints, Ints]:
    """Rows for each value that either side has."""
    places = {value: i for i, value in enumerate(sorted({*reference.values, *window.values}))}
    sides = np.zeros((2, len(places)), dtype=np.int64)
    for side, column in zip(sides, (reference, window), strict=True):
        side[[places[value] for value in column.values]] = column.weights
    return sides[0], sides[1]
