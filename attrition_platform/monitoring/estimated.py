"""What a model's flags are worth before any outcome is known, if its probabilities are right.

If the employees with probability p leave with chance p, every count of a confusion matrix has a known
expectation: a flagged employee is a hit with chance p. This is confidence-based performance estimation
(CBPE; NannyML's documentation, and Kivimäki, Białek, Nurminen and Kuberski, "Confidence-based estimators
for predictive performance in model monitoring", JAIR 82, 2025). Intervals take the outcomes as independent
coins (sums of them are Poisson-binomial, here by their normal limit) and say where the value will lie once
outcomes are known.

**What it can't see.** Concept drift: when remote work no longer protects, the probabilities are wrong, and
so is every number here, quietly. It sees a change of who is scored (more employees near the threshold make
it fall) and nothing else. `concept` asks matured outcomes whether it may be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attrition_platform.modeling.delong import Z_95
from attrition_platform.modeling.evaluation import Estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class EstimatedPerformance:
    """Performance that is expected of predictions without outcomes.

    Attributes
    ----------
    n_predictions, n_unreadable : int
        Predictions that were read, and those left out because their probability is no probability.
    accuracy : Estimate or None
        Ideal 1; flagging nobody gets the mean of ``1 - p``. None without predictions.
    recall : Estimate or None
        Ideal 1; flagging at random gets the share flagged. None where nobody is expected to leave.
    precision : Estimate or None
        Ideal 1; flagging at random gets the mean of p. None where nobody is flagged.
    roc_auc : Estimate or None
        Ideal 1, useless 0.5. None where all are expected to leave, or all to stay.
    """

    n_predictions: int
    n_unreadable: int
    accuracy: Estimate | None
    recall: Estimate | None
    precision: Estimate | None
    roc_auc: Estimate | None

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the reservation that belongs to them."""
        metrics = {name: getattr(self, name) for name in ("accuracy", "recall", "precision", "roc_auc")}
        return {
            "n_predictions": self.n_predictions,
            "n_unreadable": self.n_unreadable,
            **{name: None if value is None else value.as_json() for name, value in metrics.items()},
            "blind_to": "concept drift: it believes the probabilities",
        }


def estimate_performance(probability: Floats, flagged: Bools) -> EstimatedPerformance:
    """Estimate performance from calibrated probabilities alone.

    Parameters
    ----------
    probability : ndarray of float of shape (n_predictions,)
        Of leaving within the horizon, in [0, 1]; others are left out and counted.
    flagged : ndarray of bool of shape (n_predictions,)

    Examples
    --------
    >>> found = estimate_performance(np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, True, False, False]))
    >>> round(found.accuracy.value, 3), round(found.precision.value, 3), round(found.recall.value, 3)
    (0.8, 0.75, 0.833)
    """
    p = np.asarray(probability, dtype=np.float64)
    is_flagged = np.asarray(flagged, dtype=np.bool_)
    if p.shape != is_flagged.shape or p.ndim != 1:
        raise ValueError(f"probability has shape {p.shape}, flagged {is_flagged.shape}; one row each")
    readable = (p >= 0.0) & (p <= 1.0)  # not true of NaN
    p, is_flagged = p[readable], is_flagged[readable]
    return EstimatedPerformance(
        n_predictions=len(p),
        n_unreadable=int((~readable).sum()),
        accuracy=_mean_of_coins(np.where(is_flagged, p, 1.0 - p)),
        recall=_recall(p, is_flagged),
        precision=_mean_of_coins(p[is_flagged]),
        roc_auc=_roc_auc(p),
    )


def _mean_of_coins(chance: Floats) -> Estimate | None:
    if len(chance) == 0:
        return None
    return _within_one(float(chance.mean()), float((chance * (1.0 - chance)).sum()) / len(chance) ** 2)


def _recall(p: Floats, flagged: Bools) -> Estimate | None:
    """Expected hits over expected leavers; its variance by the delta method."""
    hits, missed = float(p[flagged].sum()), float(p[~flagged].sum())
    leavers = hits + missed
    if leavers <= 0.0:
        return None
    spread = p * (1.0 - p)
    variance = (missed**2 * spread[flagged].sum() + hits**2 * spread[~flagged].sum()) / leavers**4
    return _within_one(hits / leavers, float(variance))


def _roc_auc(p: Floats) -> Estimate | None:
    """Expected share of pairs (leaver, stayer) in the right order; its variance by the delta method.

    The score is the probability itself: any other score in the same order has the same AUC.
    """
    total, n = float(p.sum()), len(p)
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    below, level = _sums_below(ordered)
    below_stay, level_stay = _sums_below(ordered, 1.0 - ordered)
    # What stands lower, and half of what stands level, oneself left out: weighed as stayers, as leavers.
    stayers_lower = below_stay + (level_stay - (1.0 - ordered)) / 2.0
    leavers_higher = (total - below - level) + (level - ordered) / 2.0
    pairs = total * (n - total) - float((ordered * (1.0 - ordered)).sum())
    if pairs <= 1e-12:
        return None
    auc = float(ordered @ stayers_lower) / pairs
    # Derivative of (pairs in order) / (pairs) by each outcome, at its expectation.
    slope = (stayers_lower - leavers_higher - auc * (n - 2.0 * total - (1.0 - 2.0 * ordered))) / pairs
    return _within_one(auc, float((ordered * (1.0 - ordered)) @ slope**2))


def _sums_below(ordered: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Total weight of lower scores, and of equal ones (oneself included), for ascending scores."""
    weights = ordered if weight is None else weight
    running = np.concatenate(([0.0], np.cumsum(weights)))
    first = np.searchsorted(ordered, ordered, side="left")
    behind = np.searchsorted(ordered, ordered, side="right")
    return running[first], running[behind] - running[first]


def _within_one(value: float, variance: float) -> Estimate:
    half = Z_95 * float(np.sqrt(max(variance, 0.0)))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))
