"""How far two distributions are apart, in the measures whose customary limit is 0.1."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from attrition_platform.monitoring.same_source import Floats, Ints

SMALLEST_STD: Final = 0.001  # as Evidently's normed Wasserstein distance has it


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
