"""ROC AUC and its sampling covariance after DeLong, DeLong and Clarke-Pearson (1988).

The placements are computed from midranks (Sun and Xu 2014), so that one pass costs a sort rather than
a comparison of every leaver with every stayer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054


def placements(y_true: NDArray[np.bool_], y_prob: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Where each employee's score stands among the scores of the other class.

    Parameters
    ----------
    y_true : ndarray of bool of shape (n_employees,)
        True where the employee left.
    y_prob : ndarray of float of shape (n_employees,)
        Any score that grows with risk; ties count a half.

    Returns
    -------
    of_leavers : ndarray of shape (n_leavers,)
        Share of stayers that score lower than this leaver. Its mean is the ROC AUC.
    of_stayers : ndarray of shape (n_stayers,)
        Share of leavers that score higher than this stayer. Its mean is the ROC AUC too.

    Examples
    --------
    >>> placements(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.4, 0.1]))
    (array([1.  , 0.75]), array([0.75, 1.  ]))
    """
    leavers, stayers = y_prob[y_true], y_prob[~y_true]
    return _share_below(leavers, stayers), 1.0 - _share_below(stayers, leavers)


def _share_below(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    share: NDArray[np.float64] = (below + not_above) / (2.0 * len(ordered))
    return share


def auc_covariance(
    y_true: NDArray[np.bool_], *scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ROC AUC of each score on the same employees, and how the estimates vary together.

    Returns
    -------
    auc : ndarray of shape (n_scores,)
        In [0, 1]; 1 is ideal, a useless score gets 0.5. NaN when a class is missing.
    covariance : ndarray of shape (n_scores, n_scores)
        NaN when a class has fewer than two employees.

    Examples
    --------
    >>> y_true = np.array([True, True, False, False])
    >>> auc, covariance = auc_covariance(y_true, np.array([0.9, 0.4, 0.4, 0.1]))
    >>> auc.tolist(), covariance.tolist()
    ([0.875], [[0.03125]])
    """
    n_leavers = int(y_true.sum())
    n_stayers = len(y_true) - n_leavers
    unknown = np.full((len(scores), len(scores)), np.nan)
    if n_leavers == 0 or n_stayers == 0:
        return np.full(len(scores), np.nan), unknown
    pairs = [placements(y_true, score) for score in scores]
    of_leavers = np.vstack([pair[0] for pair in pairs])
    of_stayers = np.vstack([pair[1] for pair in pairs])
    auc = of_leavers.mean(axis=1)
    if n_leavers < 2 or n_stayers < 2:
        return auc, unknown
    covariance = np.atleast_2d(np.cov(of_leavers)) / n_leavers + np.atleast_2d(np.cov(of_stayers)) / n_stayers
    return auc, covariance
