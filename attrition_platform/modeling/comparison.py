"""How much better a candidate ranks employees than the incumbent, with its uncertainty.

Both score the same employees, so their errors go together; the paired interval takes that into
account and is much narrower than the difference of two separate ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from attrition_platform.errors import EvaluationMismatchError
from attrition_platform.modeling.delong import Z_95, auc_covariance


@dataclass(frozen=True)
class AucDifference:
    """Candidate's ROC AUC less the incumbent's.

    Attributes
    ----------
    value : float
        In [-1, 1]; 0 says that the models rank alike.
    low, high : float
        Bounds of the 95 % interval; NaN when a class has fewer than two employees.
    sd : float
        Standard error of the difference; exactly 0 for two models that rank alike.
    """

    value: float
    low: float
    high: float
    sd: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; None stands for what can't be told."""
        return {
            name: float(number) if np.isfinite(number) else None
            for name, number in (
                ("value", self.value),
                ("low", self.low),
                ("high", self.high),
                ("sd", self.sd),
            )
        }


def compare_auc(
    y_true: np.ndarray,
    candidate: np.ndarray,
    incumbent: np.ndarray,
    candidate_split: str,
    incumbent_split: str,
) -> AucDifference:
    """Difference of two models' ROC AUC on the same employees, by the paired DeLong method.

    Parameters
    ----------
    y_true : ndarray of bool of shape (n_employees,)
        True where the employee left.
    candidate, incumbent : ndarray of float of shape (n_employees,)
        Scores of the two models, in the order of `y_true`.
    candidate_split, incumbent_split : str
        Fingerprints of the rows that each model scored.

    Returns
    -------
    AucDifference
        Positive when the candidate ranks better.

    Raises
    ------
    EvaluationMismatchError
        If the two models scored different rows.

    Examples
    --------
    >>> y_true = np.array([True, True, False, False])
    >>> sharp, blunt = np.array([0.9, 0.8, 0.3, 0.1]), np.array([0.9, 0.2, 0.3, 0.1])
    >>> compare_auc(y_true, sharp, blunt, "a1", "a1").value
    0.25
    >>> compare_auc(y_true, sharp, sharp, "a1", "a1")
    AucDifference(value=0.0, low=0.0, high=0.0, sd=0.0)
    """
    same_rows = len(y_true) == len(candidate) == len(incumbent)
    if candidate_split != incumbent_split or not same_rows:
        raise EvaluationMismatchError(candidate_split, incumbent_split)
    left = np.asarray(y_true, dtype=bool)
    scores = [np.asarray(score, dtype=np.float64) for score in (candidate, incumbent)]
    if not all(np.isfinite(score).all() for score in scores):
        return AucDifference(np.nan, np.nan, np.nan, np.nan)
    auc, covariance = auc_covariance(left, *scores)
    value = float(auc[0] - auc[1])
    # Rounding can leave a tiny negative variance where both models rank alike.
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    sd = float(np.sqrt(max(variance, 0.0))) if np.isfinite(variance) else float("nan")
    return AucDifference(value, value - Z_95 * sd, value + Z_95 * sd, sd)
