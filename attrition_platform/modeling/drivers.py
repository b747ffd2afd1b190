"""Which features a model's ranking rests on, and in which direction they push.

These describe the model and not the world: a feature that stands in for another one shows up in its
place, and nothing here says that changing it would keep an employee.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attrition_platform.modeling.delong import auc_covariance

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from attrition_platform.features.spec import FeatureSpec

MAX_ROWS = 3_000
N_SHUFFLES = 2
MAX_EFFECT_ROWS = 500
LOW_QUANTILE, HIGH_QUANTILE = 0.1, 0.9


@dataclass(frozen=True)
class Driver:
    """One feature's part in a model's ranking.

    Attributes
    ----------
    feature : str
        Name in the feature spec.
    importance : float
        Mean loss of ROC AUC when the feature's values are shuffled over employees; about 0 for a
        feature that the model does not use.
    effect : float or None
        Mean change in probability when everyone's value goes from the 10th percentile to the 90th (from
        the lowest to the highest where those are equal). None for a category, which has no direction,
        and for a feature with one value.
    """

    feature: str
    importance: float
    effect: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded to six digits."""
        values = asdict(self)
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}


def find_drivers(
    pipeline: Pipeline, spec: FeatureSpec, X: np.ndarray, y_true: np.ndarray, seed: int
) -> tuple[Driver, ...]:
    """Rank features by what the model's ROC AUC loses without them.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    spec : FeatureSpec
        Names and kinds of the matrix columns.
    X : ndarray of shape (n_employees, n_features)
        Employees with a known label; at most 3,000 of them are used,
        and 500 of those for the effects.
    y_true : ndarray of bool of shape (n_employees,)
        True where the employee left.
    seed : int
        Draws the employees and shuffles the values.

    Returns
    -------
    tuple of Driver
        All features, the most important first; equal ones by name. Importance is NaN when a class
        is missing among the employees.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(X))[:MAX_ROWS]
    sample, left = np.array(X[rows], dtype=np.float64), np.asarray(y_true, dtype=bool)[rows]
    full = _auc(pipeline, sample, left)
    drivers = []
    for position, name in enumerate(spec.names):
        kept = sample[:, position].copy()
        losses = []
        for _ in range(N_SHUFFLES):
            sample[:, position] = rng.permutation(kept)
            losses.append(full - _auc(pipeline, sample, left))
        sample[:, position] = kept
        category = spec.kinds[position] == "category"
        effect = None if category else _effect(pipeline, sample[:MAX_EFFECT_ROWS].copy(), kept, position)
        drivers.append(Driver(name, float(np.mean(losses)), effect))
    return tuple(sorted(drivers, key=lambda driver: (-driver.importance, driver.feature)))


def _auc(pipeline: Pipeline, X: np.ndarray, left: np.ndarray) -> float:
    return float(auc_covariance(left, pipeline.predict_proba(X)[:, 1])[0][0])


def _effect(pipeline: Pipeline, sample: np.ndarray, values: np.ndarray, position: int) -> float | None:
    """Mean change over the sample, which is written to, from a low to a high one of the values."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return None
    low, high = np.quantile(known, [LOW_QUANTILE, HIGH_QUANTILE], method="nearest")
    if low == high:
        low, high = known.min(), known.max()
    if low == high:
        return None
    means = []
    for value in (low, high):
        sample[:, position] = value
        means.append(float(pipeline.predict_proba(sample)[:, 1].mean()))
    return means[1] - means[0]
