"""P-values for "two samples come from the same source" that hold for samples of any size, far into the tail.

A year of nightly looks at twenty columns leaves each test a level near one in a million, where asymptotic
tails are wrong by orders of magnitude. Here everything is conditional on the two samples thrown together:
if rows are exchangeable, which of them make up the window is a draw without replacement, so the rows of the
window within any fixed set of values follow the hypergeometric distribution, exactly and with ties.
Sets are chosen from the pooled sample alone, so that this stays true. A p-value is the smallest one over the
sets times the number of sets, so it is too large rather than too small.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Shares of the pooled sample that lie below a cut: eighths, and ever smaller shares at both ends, so that
# a few rows that went far away are seen too.
_ENDS = tuple(2.0**-power for power in range(4, 9))
CUT_SHARES: Final = np.array(
    [*reversed(_ENDS), *(i / 8 for i in range(1, 8)), *(1 - share for share in _ENDS)]
)
_LOG_SMALLEST: Final = math.log(1e-300)  # instead of an underflow to zero
_TAIL_TERMS: Final = 20_000
_STAKES: Final = np.geomspace(1e-3, 1e2, 60)


def categories_p_value(reference: Ints, window: Ints) -> float:
    """Test whether two samples share out alike over categories.

    Parameters
    ----------
    reference, window : ndarray of shape (n_categories,)
        Rows for each category that either sample has.

    Returns
    -------
    float
        In (0, 1].

    Examples
    --------
    >>> categories_p_value(np.array([800, 200]), np.array([80, 20]))
    1.0
    >>> categories_p_value(np.array([800, 200]), np.array([50, 50])) < 1e-8
    True
    """
    # The second of two categories says what the first says.
    sets = slice(1) if len(reference) == 2 else slice(None)
    pooled = reference + window
    return _smallest(window[sets], pooled[sets], int(window.sum()), int(pooled.sum()))


def numbers_p_value(reference: Ints, window: Ints) -> float:
    """Test whether two samples of a number have the same distribution.

    Parameters
    ----------
    reference, window : ndarray of shape (n_distinct,)
        Rows for each value that either sample has, values ascending.

    Returns
    -------
    float
        In (0, 1]. It depends on the order of the values only.

    Examples
    --------
    >>> spread = np.full(20, 50)
    >>> numbers_p_value(spread, spread)
    1.0
    >>> numbers_p_value(spread, np.roll(spread * (np.arange(20) < 10), 10)) < 1e-50
    True
    """
    below = np.cumsum(reference + window)[:-1]
    n_pooled = int(reference.sum() + window.sum())
    if len(below) > len(CUT_SHARES):
        reached = np.searchsorted(below, CUT_SHARES * n_pooled)
        cuts = np.unique(np.minimum(reached, len(below) - 1))
    else:
        cuts = np.arange(len(below))
    return _smallest(np.cumsum(window)[cuts], below[cuts], int(window.sum()), n_pooled)


def novelty_p_value(reference: Ints, window: Ints) -> float:
    """Bound the chance of as many rows in categories that only the window has.

    In a draw without replacement, "all rows of this category went into the window" are negatively
    associated events, so the moment generating function of the rows in such categories is at most the
    product of theirs, and Chernoff's bound holds: for one category of many rows and for many of one alike.

    Parameters
    ----------
    reference, window : ndarray of shape (n_categories,)

    Returns
    -------
    float
        In (0, 1].

    Examples
    --------
    >>> round(novelty_p_value(np.array([900, 100, 0]), np.array([90, 9, 1])), 3)
    0.091
    >>> novelty_p_value(np.array([900, 100, 0]), np.array([82, 10, 8])) < 1e-6
    True
    """
    n_new = int(window[reference == 0].sum())
    n_window = int(window.sum())
    n_pooled = n_window + int(reference.sum())
    if n_new == 0 or n_pooled == n_window:
        return 1.0
    pooled = reference + window
    pooled = pooled[(pooled > 0) & (pooled <= n_window)].astype(
        np.float64
    )  # others don't fit into the window
    log_all_in = (
        gammaln(n_window + 1)
        - gammaln(n_window - pooled + 1)
        - gammaln(n_pooled + 1)
        + gammaln(n_pooled - pooled + 1)
    )
    best = 0.0
    for stake in _STAKES / n_new * math.log(n_pooled + 1.0):
        gain = stake * pooled
        log_moment = np.logaddexp(np.log1p(-np.exp(log_all_in)), log_all_in + gain).sum()
        best = min(best, float(log_moment) - stake * n_new)
    return _clipped(best)


def _smallest(in_window: Ints, in_both: Ints, n_window: int, n_pooled: int) -> float:
    """Two-sided p-value of the set that stands out most, times the number of sets.

    The set is found by an upper bound of its tail: terms of the tail fall at least as fast as a geometric
    series with the first ratio, since the hypergeometric distribution is log-concave.
    """
    if len(in_window) == 0:
        return 1.0
    inside, pooled = in_window.astype(np.float64), in_both.astype(np.float64)
    # A lower tail is the upper tail of what lies outside the set.
    few = inside * n_pooled <= pooled * n_window
    inside[few] = n_window - inside[few]
    pooled[few] = n_pooled - pooled[few]
    ratio = _ratio(inside, pooled, n_window, n_pooled)
    log_mass = _log_choose(pooled, inside) + _log_choose(n_pooled - pooled, n_window - inside)
    with np.errstate(divide="ignore"):
        bound = log_mass - np.log(np.maximum(1.0 - ratio, 0.0))
    most = int(np.argmin(bound))
    if not math.isfinite(bound[most]):
        return 1.0
    log_first = float(log_mass[most]) - float(_log_choose(np.float64(n_pooled), np.float64(n_window)))
    log_tail = log_first + _log_sum(inside[most], pooled[most], n_window, n_pooled)
    return _clipped(math.log(2.0 * len(inside)) + log_tail)


def _log_sum(first: float, pooled: float, n_window: int, n_pooled: int) -> float:
    """Logarithm of the tail's sum over its first term; what lies beyond the summed terms is bounded."""
    variance = n_window * pooled * (n_pooled - pooled) * (n_pooled - n_window) / n_pooled**3
    n_terms = min(_TAIL_TERMS, 30 + int(10.0 * math.sqrt(max(variance, 0.0))))
    ratios = _ratio(first + np.arange(n_terms, dtype=np.float64), pooled, n_window, n_pooled)
    terms = np.cumprod(ratios)
    beyond = terms[-1] * ratios[-1] / (1.0 - ratios[-1])
    return math.log1p(float(terms.sum()) + float(beyond))


def _ratio(inside: Floats, pooled: Floats | float, n_window: int, n_pooled: int) -> Floats:
    """Chance of one more row inside the set over the chance of `inside`; zero where there can't be more."""
    n_outside = n_pooled - pooled - n_window + inside + 1.0
    more = np.maximum(pooled - inside, 0.0) * np.maximum(n_window - inside, 0.0)
    ratio: Floats = more / ((inside + 1.0) * np.maximum(n_outside, 1.0))
    return ratio


def _log_choose(n: Floats | np.float64, k: Floats | np.float64) -> Floats:
    logs: Floats = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return logs


def _clipped(log_p: float) -> float:
    if math.isnan(log_p):
        return math.nan
    return math.exp(min(0.0, max(_LOG_SMALLEST, log_p)))
