"""What a model's scores are worth on employees that it has not seen, with intervals.

Every number carries a 95 % interval, so that a gate can tell a gain from luck. ROC AUC has DeLong's,
shares of counted employees have Wilson's, and the rest have plus or minus 1.96 standard deviations
over resamples of the employees, drawn from a fixed seed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from attrition_platform.modeling.delong import Z_95, auc_covariance

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Tier = Literal["high", "medium", "low", "very-low"]

BOOTSTRAP_SEED = 20260101
MAX_RESAMPLES = 200
MIN_RESAMPLES = 40
# Resamples times rows; keeps the time flat on the test side of a very large population.
BOOTSTRAP_BUDGET = 6_000_000
CALIBRATION_BINS = 10


class CostRule(Protocol):
    """The part of a policy that says when an employee is flagged."""

    @property
    def cost_false_alarm(self) -> float:
        """Price of flagging one employee who stays."""

    @property
    def cost_missed_leaver(self) -> float:
        """Price of not flagging one employee who leaves, in the same unit."""

    @property
    def capacity(self) -> float:
        """Largest share of employees that may be flagged."""


class TierLimits(Protocol):
    """Lowest probability of each tier."""

    @property
    def high(self) -> float:
        """At least this is a high risk."""

    @property
    def medium(self) -> float:
        """At least this is a medium risk."""

    @property
    def low(self) -> float:
        """At least this is a low risk; what is under it is very low."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; NaN stands for what can't be told."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """Plain numbers; None stands for what can't be told."""
        return {name: float(x) if np.isfinite(x) else None for name, x in asdict(self).items()}


@dataclass(frozen=True)
class Confusion:
    """Employees by what was said of them and what they did."""

    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int

    @property
    def n_rows(self) -> int:
        """All employees."""
        return self.true_negative + self.false_positive + self.false_negative + self.true_positive

    def as_json(self) -> dict[str, int]:
        """Counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Evaluation:
    """A model's scores against what the employees did.

    Attributes
    ----------
    split_id : str
        Fingerprint of the rows; evaluations of different rows can't be compared.
    n_rows, n_positive : int
        Employees, and those of them who left.
    threshold : float
        Employees at or above it count as flagged.
    metrics : dict of str to Estimate
        ``roc_auc`` (ideal 1, useless 0.5), ``average_precision`` (1; the share of leavers),
        ``accuracy`` (1; the larger class's share), ``precision`` (1; the share of leavers), ``recall``
        (1; the share flagged), ``f1`` (1; 0 when nobody is flagged), ``brier`` (0; share of leavers
        times share of stayers), ``calibration_error`` (0; a constant at the right share gets 0 too).
    confusion : Confusion
        Counts at the threshold.
    """

    split_id: str
    n_rows: int
    n_positive: int
    threshold: float
    metrics: dict[str, Estimate]
    confusion: Confusion

    def as_json(self) -> dict[str, Any]:
        """The evaluation as plain values."""
        return {
            "split_id": self.split_id,
            "n_rows": self.n_rows,
            "n_positive": self.n_positive,
            "threshold": self.threshold,
            "metrics": {name: estimate.as_json() for name, estimate in self.metrics.items()},
            "confusion": self.confusion.as_json(),
        }


def evaluate(split_id: str, y_true: np.ndarray, y_prob: np.ndarray, threshold: float) -> Evaluation:
    """Score probabilities against what happened.

    Parameters
    ----------
    split_id : str
        Fingerprint of the rows.
    y_true : ndarray of bool of shape (n_employees,)
        True where the employee left.
    y_prob : ndarray of float of shape (n_employees,)
        Probability of leaving, in [0, 1].
    threshold : float
        Employees at or above it are flagged.

    Returns
    -------
    Evaluation
        Precision and F1 are 0 when nobody is flagged, with precision's interval from 0 to 1. All
        metrics are NaN when a probability is not finite.

    Examples
    --------
    >>> y_true, y_prob = np.array([1, 1, 0, 0], bool), np.array([0.9, 0.4, 0.6, 0.1])
    >>> found = evaluate("a1", y_true, y_prob, threshold=0.5)
    >>> found.confusion
    Confusion(true_negative=1, false_positive=1, false_negative=1, true_positive=1)
    >>> found.metrics["roc_auc"].value, found.metrics["recall"].value
    (0.75, 0.5)
    """
    left = np.asarray(y_true, dtype=bool)
    score = np.asarray(y_prob, dtype=np.float64)
    if left.shape != score.shape or left.ndim != 1:
        raise ValueError(f"y_true has shape {left.shape}, y_prob {score.shape}; one row per employee each")
    flagged = score >= threshold
    confusion = _confusion(left, flagged)
    if len(left) and np.isfinite(score).all():
        metrics = _metrics(left, score, flagged, confusion)
    else:
        metrics = dict.fromkeys(METRICS, Estimate(np.nan, np.nan, np.nan))
    return Evaluation(split_id, len(left), int(left.sum()), float(threshold), metrics, confusion)


METRICS = (
    "roc_auc",
    "average_precision",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "brier",
    "calibration_error",
)


def _metrics(left: Bools, score: Floats, flagged: Bools, counts: Confusion) -> dict[str, Estimate]:
    resampled = _Resampled(left, score, flagged)
    hits, n_flagged = counts.true_positive, counts.true_positive + counts.false_positive
    metrics = {
        "roc_auc": _auc(left, score),
        "accuracy": wilson(hits + counts.true_negative, counts.n_rows),
        "precision": wilson(hits, n_flagged),
        "recall": wilson(hits, hits + counts.false_negative),
        "brier": _mean((score - left) ** 2),
        **resampled.estimates(),
    }
    return {name: metrics[name] for name in METRICS}


def _confusion(left: Bools, flagged: Bools) -> Confusion:
    hits = int((left & flagged).sum())
    false_alarms, missed = int(flagged.sum()) - hits, int(left.sum()) - hits
    return Confusion(len(left) - hits - false_alarms - missed, false_alarms, missed, hits)


def _auc(left: Bools, score: Floats) -> Estimate:
    auc, covariance = auc_covariance(left, score)
    return _around(float(auc[0]), float(np.sqrt(covariance[0, 0])))


def _around(value: float, sd: float) -> Estimate:
    if not np.isfinite(sd):
        return Estimate(value, 0.0 if np.isfinite(value) else np.nan, 1.0 if np.isfinite(value) else np.nan)
    return Estimate(value, max(0.0, value - Z_95 * sd), min(1.0, value + Z_95 * sd))


def _mean(values: Floats) -> Estimate:
    sd = float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return _around(float(values.mean()), float(sd))


def wilson(n_hits: int, n: int) -> Estimate:
    """Share of hits with Wilson's interval, which stays in [0, 1] and suits small counts.

    Parameters
    ----------
    n_hits, n : int
        Hits among n employees; with none, the share is 0 and the interval goes from 0 to 1.

    Examples
    --------
    >>> estimate = wilson(5, 10)
    >>> round(estimate.low, 4), round(estimate.high, 4)
    (0.2366, 0.7634)
    >>> wilson(0, 0)
    Estimate(value=0.0, low=0.0, high=1.0)
    """
    if n == 0:
        return Estimate(0.0, 0.0, 1.0)
    rate = n_hits / n
    z_squared = Z_95**2
    centre = (rate + z_squared / (2 * n)) / (1 + z_squared / n)
    half = Z_95 / (1 + z_squared / n) * np.sqrt(rate * (1 - rate) / n + z_squared / (4 * n * n))
    return Estimate(rate, float(max(0.0, centre - half)), float(min(1.0, centre + half)))


class _Resampled:
    """Metrics that have no closed interval, computed from how often each employee was drawn.

    The employees are sorted by falling score once, so that a resample costs a few passes and no sort.
    """

    def __init__(self, left: Bools, score: Floats, flagged: Bools) -> None:
        order = np.lexsort((left, -score))
        self.left = left[order].astype(np.float64)
        self.score = score[order]
        self.n_flagged = int(flagged.sum())
        # Employees of one score enter together, or the order of ties would decide.
        self.ends = np.append(np.flatnonzero(np.diff(self.score)), len(self.score) - 1)
        self.bin_starts = _bin_starts(self.score)

    def estimates(self) -> dict[str, Estimate]:
        n = len(self.left)
        names = ("average_precision", "f1", "calibration_error")
        values = self._values(np.ones(n))
        n_resamples = int(np.clip(BOOTSTRAP_BUDGET // n, MIN_RESAMPLES, MAX_RESAMPLES))
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        drawn = [
            self._values(np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64))
            for _ in range(n_resamples)
        ]
        # A resample without leavers has no average precision; it says nothing, so it is left out.
        spread = np.array(drawn)
        usable = np.isfinite(spread).all(axis=1)
        sds = spread[usable].std(axis=0, ddof=1) if usable.sum() > 1 else np.full(len(names), np.nan)
        return {name: _around(v, float(sd)) for name, v, sd in zip(names, values, sds, strict=True)}

    def _values(self, weight: Floats) -> tuple[float, float, float]:
        hits = weight * self.left
        caught = np.cumsum(hits)
        seen = np.cumsum(weight)
        n_leavers = caught[-1]
        recall_steps = np.diff(caught[self.ends], prepend=0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.nan_to_num(caught[self.ends] / seen[self.ends])
            average_precision = float(recall_steps @ precision / n_leavers)
        k = self.n_flagged
        total = (seen[k - 1] if k else 0.0) + n_leavers
        f1 = float(2 * caught[k - 1] / total) if k and total else 0.0
        gaps = np.add.reduceat(hits - weight * self.score, self.bin_starts)
        return average_precision, f1, float(np.abs(gaps).sum() / seen[-1])


def _bin_starts(falling: Floats) -> NDArray[np.intp]:
    """First index of each calibration bin: about ten bins of equal count; equal scores stay together."""
    n = len(falling)
    wanted = falling[np.arange(CALIBRATION_BINS) * n // CALIBRATION_BINS]
    starts: NDArray[np.intp] = np.unique(np.searchsorted(-falling, -wanted, side="left"))
    return starts


def calibration_bins(y_true: np.ndarray, y_prob: np.ndarray) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Mean probability, share who left and count of the bins behind ``calibration_error``.

    Returns
    -------
    mean_prob, leaver_rate : ndarray of shape (n_bins,)
        From the highest scores to the lowest.
    n_employees : ndarray of int of shape (n_bins,)
    """
    order = np.lexsort((y_true, -y_prob))
    score, left = np.asarray(y_prob, float)[order], np.asarray(y_true, float)[order]
    starts = _bin_starts(score)
    counts = np.diff(np.append(starts, len(score)))
    return np.add.reduceat(score, starts) / counts, np.add.reduceat(left, starts) / counts, counts


def choose_threshold(rule: CostRule, y_prob: np.ndarray) -> float:
    """Probability from which flagging an employee costs less than not flagging.

    Parameters
    ----------
    rule : CostRule
        Costs of the two mistakes, and the largest share that may be flagged.
    y_prob : ndarray of float of shape (n_employees,)
        Scores that stand for those to come; they matter only when capacity binds.

    Returns
    -------
    float
        The costs' own threshold, or the lowest score above it that keeps to the capacity; above every
        score when the capacity lets nobody be flagged.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rule = SimpleNamespace(cost_false_alarm=1, cost_missed_leaver=3, capacity=1.0)
    >>> choose_threshold(rule, np.array([0.1, 0.5, 0.9]))
    0.25
    >>> rule.capacity = 0.5
    >>> choose_threshold(rule, np.array([0.1, 0.5, 0.9]))
    0.9
    """
    threshold = rule.cost_false_alarm / (rule.cost_false_alarm + rule.cost_missed_leaver)
    score = np.sort(np.asarray(y_prob, dtype=np.float64))
    # A hundredth of an employee of slack, so that 0.1 * 30 does not lose its third by rounding.
    allowed = int(np.floor(rule.capacity * len(score) + 0.01))
    if np.count_nonzero(score >= threshold) <= allowed:
        return float(threshold)
    first_refused = score[len(score) - allowed - 1]
    above = score[score > first_refused]
    return float(above[0]) if len(above) else float(np.nextafter(first_refused, np.inf))


def tier_of(y_prob: np.ndarray, tiers: TierLimits) -> NDArray[np.str_]:
    """Tier of each employee.

    Parameters
    ----------
    y_prob : ndarray of float of shape (n_employees,)
        Probability of leaving, in [0, 1].
    tiers : TierLimits
        Lowest probability of the tiers.

    Returns
    -------
    ndarray of str of shape (n_employees,)
        ``"high"``, ``"medium"``, ``"low"`` or ``"very-low"``.

    Raises
    ------
    ValueError
        If a probability is not finite: no tier is a safe guess.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> limits = SimpleNamespace(high=0.65, medium=0.45, low=0.25)
    >>> tier_of(np.array([0.65, 0.5, 0.25, 0.1]), limits).tolist()
    ['high', 'medium', 'low', 'very-low']
    """
    score = np.asarray(y_prob, dtype=np.float64)
    if not np.isfinite(score).all():
        raise ValueError("y_prob has values that are not finite; a tier needs a probability")
    names = np.array(["very-low", "low", "medium", "high"])
    tier: NDArray[np.str_] = names[
        np.searchsorted([tiers.low, tiers.medium, tiers.high], score, side="right")
    ]
    return tier
