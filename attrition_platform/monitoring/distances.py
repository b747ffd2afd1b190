"""How far two distributions are apart, in the measures whose customary limit is 0.1."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from attrition_platform.monitoring.same_source import Floats, Ints

SMALLEST_STD: Final = 0.001  # as Evidently's normed Wasserstein distance has it
OUTERMOST: Final = 0.01  # share of the reference at each end that typos may fill


def jensen_shannon_distance(reference: Ints, window: Ints) -> float:
    """Distance of two shares over the same categories, with natural logarithms, as SciPy and Evidently.

    Parameters
    ----------
    reference, window : ndarray of shape (n_categories,)
        Rows; each sums to more than zero.

    Returns
    -------
    float
        0 for equal shares, at most sqrt(ln 2) = 0.833.

    Examples
    --------
    >>> round(jensen_shannon_distance(np.array([81, 19]), np.array([65, 35])), 4)
    0.1282
    """
    p, q = reference / reference.sum(), window / window.sum()
    middle = (p + q) / 2
    divergence = (_entropy_to(p, middle) + _entropy_to(q, middle)) / 2
    return math.sqrt(max(divergence, 0.0))


def _entropy_to(p: Floats, middle: Floats) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / middle[some])))


def normed_wasserstein_distance(values: Floats, reference: Ints, window: Ints) -> float:
    """Area between two distribution functions over the reference's standard deviation, as Evidently.

    Parameters
    ----------
    values : ndarray of shape (n_distinct,)
        Ascending.
    reference, window : ndarray of shape (n_distinct,)
        Rows for each value; each sums to more than zero.

    Returns
    -------
    float
        0 for equal distributions; a shift of all values by one standard deviation gives 1. NaN where
        numbers are too large.

    Examples
    --------
    >>> values = np.array([0.0, 2.0, 4.0])
    >>> normed_wasserstein_distance(values, np.array([5, 5, 0]), np.array([0, 5, 5]))
    2.0
    """
    with np.errstate(over="ignore", invalid="ignore"):
        p, q = reference / reference.sum(), window / window.sum()
        area = float(np.sum(np.abs(np.cumsum(p - q)[:-1]) * np.diff(values)))
        mean = float(np.sum(p * values))
        std = math.sqrt(float(np.sum(p * (values - mean) ** 2)))
    return area / max(std, SMALLEST_STD) if math.isfinite(std) else math.nan


def robust_wasserstein_distance(values: Floats, reference: Ints, window: Ints) -> float:
    """Compute the normed Wasserstein distance with values beyond the reference's ends drawn in to them.

    A few typos of many digits make the reference's standard deviation, and with it the unit of the plain
    distance, as large as they like. Here the outermost hundredth of the reference at each end, and whatever
    of the window lies beyond, counts as the last value before it.

    Parameters
    ----------
    values, reference, window : ndarray of shape (n_distinct,)
        As for `normed_wasserstein_distance`.

    Returns
    -------
    float
        0 for equal distributions, and where all that differs lies in the outermost hundredth.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 3.0, 1e9])
    >>> before, now = np.array([500, 500, 0, 1]), np.array([0, 500, 500, 0])
    >>> normed_wasserstein_distance(values, before, now) < 0.1
    True
    >>> round(robust_wasserstein_distance(values, before, now), 3)
    0.999
    """
    below = np.cumsum(reference)
    low, high = np.searchsorted(below, (OUTERMOST * below[-1], (1 - OUTERMOST) * below[-1]))
    return normed_wasserstein_distance(np.clip(values, values[low], values[high]), reference, window)
