"""What the champion's predictions turned out to be worth, as far as outcomes are known.

A prediction says who leaves within a horizon, so it can be judged when the horizon is over, and only if
something was heard of the employee. Three things are kept apart everywhere: matured predictions, which have
an outcome; estimates for the others, which believe the probabilities (`estimated`); and what is unknown.

Nobody counts before the horizon is over, leavers included: at once one hears of those who leave, and only
at the end of those who stay, so a half-finished quarter would be a quarter in which everybody leaves. Nor
does anybody count before a list of those who stayed reaches the end of the horizon: such lists come every
few weeks, and until the next one a finished quarter would be one of leavers too.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import bdtr

from attrition_platform.modeling.delong import Z_95, auc_covariance
from attrition_platform.modeling.evaluation import Estimate, evaluate, wilson
from attrition_platform.modeling.watch_rules import PerformanceRule
from attrition_platform.monitoring.concept import ConceptVerdict, judge_concept
from attrition_platform.monitoring.estimated import EstimatedPerformance, estimate_performance

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Outcome = Literal["ok", "below-floor", "concept-drift", "cannot-judge"]

METRICS: Final = (
    "accuracy",
    "recall",
    "precision",
    "roc_auc",
    "calibration_in_the_large",
    "calibration_error",
)
# Of those who are said to have stayed, this share must be told of on a date or later before the date is
# covered: a few single notices are no list.
MIN_COVERING: Final = 0.01
# Chance that a year in which accuracy and recall stand at their floors has any alarm about them. It is shared
# by two floors and a look a day: labels have dates, so looking more often shows nothing new.
FLOOR_ALPHA: Final = 0.05
LOOKS_PER_YEAR: Final = 365
# A larger share of unreadable predictions is a damage to be looked into, not a few bad rows.
MAX_UNREADABLE: Final = 0.01
_DAY_US: Final = 86_400 * 1_000_000


@dataclass(frozen=True)
class Performance:
    """What a set of predictions was worth.

    Attributes
    ----------
    n_matured : int
        Predictions with a known outcome; all metrics are theirs.
    n_left : int
        Those of them whose employee left within the horizon.
    n_pending : int
        Predictions whose horizon is not over.
    n_unheard : int
        Predictions whose horizon is over and of whose employee too little was heard, and those that wait
        for a list of those who stayed; they count for nothing.
    n_unreadable : int
        Matured predictions without a finite probability in [0, 1] or without a flag; they are in no metric.
    metrics : dict of str to Estimate or None
        With 95 % intervals; None where it can't be told. ``accuracy`` (ideal 1; the larger class's share is
        useless), ``recall`` (1; the share flagged), ``precision`` (1; the share of leavers), ``roc_auc`` (1;
        0.5), ``calibration_in_the_large`` (share who left minus mean probability: 0; a constant at the
        right share gets 0 too), ``calibration_error`` (mean gap of ten bins: 0; a constant at the right
        share gets 0 too, and chance alone gives a perfect model about 0.04 on 1,000 labels).
    """

    n_matured: int
    n_left: int
    n_pending: int
    n_unheard: int
    n_unreadable: int
    metrics: dict[str, Estimate | None]

    @property
    def n_unknown(self) -> int:
        """Predictions without an outcome, for whichever reason."""
        return self.n_pending + self.n_unheard

    def as_json(self) -> dict[str, Any]:
        """Matured and unknown apart, as plain values."""
        metrics = {name: None if value is None else value.as_json() for name, value in self.metrics.items()}
        return {
            "matured": {
                "n": self.n_matured,
                "n_left": self.n_left,
                "n_unreadable": self.n_unreadable,
                **metrics,
            },
            "unknown": {"n": self.n_unknown, "n_pending": self.n_pending, "n_unheard": self.n_unheard},
        }


@dataclass(frozen=True)
class WeekPerformance:
    """Performance of one model version on the predictions of one ISO week.

    Attributes
    ----------
    week : str
        Such as ``2026-W05``, of the prediction (UTC), not of the outcome.
    version : str
    performance : Performance
    estimated : EstimatedPerformance
        Of the week's predictions without an outcome.
    """

    week: str
    version: str
    performance: Performance
    estimated: EstimatedPerformance

    def as_json(self) -> dict[str, Any]:
        """Matured, estimated and unknown apart, as plain values."""
        found = self.performance.as_json()
        return {"week": self.week, "version": self.version, **found, "estimated": self.estimated.as_json()}


@dataclass(frozen=True)
class PerformanceVerdict:
    """Whether the champion is still good enough.

    Attributes
    ----------
    outcome : {"ok", "below-floor", "concept-drift", "cannot-judge"}
        Concept drift is named first where a floor is broken too: it says why. "cannot-judge" is no "ok".
    reasons : tuple of str
        Sentences for people.
    below_floor : tuple of str
        Metrics that are further below their floor than chance brings, see `judge_performance`.
    version : str
        The model that is judged.
    n_labels : int
        Independent labels of the version, see `independent_labels`; the window holds the newest of them.
    window : Performance
        Of the newest labels; its unknown are all unknown predictions of the version.
    estimated : EstimatedPerformance
        Of all predictions of the version without an outcome, see `estimated`.
    concept : ConceptVerdict
        From all labels of the version.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    below_floor: tuple[str, ...]
    version: str
    n_labels: int
    window: Performance
    estimated: EstimatedPerformance
    concept: ConceptVerdict

    def as_json(self) -> dict[str, Any]:
        """Matured, estimated and unknown apart, as plain values."""
        return {
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "below_floor": list(self.below_floor),
            "version": self.version,
            "n_labels": self.n_labels,
            **self.window.as_json(),
            "estimated": self.estimated.as_json(),
            "concept": self.concept.as_json(),
        }


def join_outcomes(
    predictions: pl.DataFrame,
    outcomes: pl.DataFrame,
    *,
    now: int | dt.datetime,
    horizon_days: int,
    time_zone: str = "UTC",
) -> pl.DataFrame:
    """Say of each prediction what became of it.

    Parameters
    ----------
    predictions : DataFrame
        `pseudonym`, `at` (Datetime in UTC, or microseconds since 1970), `version`, `probability`, `flagged`;
        further columns are kept.
    outcomes : DataFrame
        `pseudonym`, `date` (Date), `left` (Boolean), of one row per employee; what is dated after `now` is
        not news yet.
    now : int or datetime
        Microseconds since 1970, or with a time zone.
    horizon_days : int
        A prediction says who leaves within so many days.
    time_zone : str
        IANA name of the zone that the dates of outcomes are in.

    Returns
    -------
    DataFrame
        The latest prediction of each employee in each ISO week, oldest first, with `at` (Datetime, UTC),
        `week`, `is_due` (Boolean: the horizon is over) and `left` (Boolean). Only a prediction that is due
        and covered has a `left`: true when the employee left on the day of the prediction or within the
        horizon after it; false when the employee was there at its end or later, or left after it; null
        when neither was heard.

    Notes
    -----
    A prediction is covered when its horizon ends on or before the newest date on which, or after which, at
    least `MIN_COVERING` of all who stayed are told of. Without this a leaver counts at once and a stayer at
    the next list, so every model seems to expect too few leavers until it comes. Lists that each tell of
    another part of the staff are not seen through: then tell of all parts by the same date.

    Examples
    --------
    >>> predictions = pl.DataFrame({"pseudonym": ["a", "b", "c"], "at": [0, 0, 0], "version": ["m"] * 3,
    ...     "probability": [0.9, 0.2, 0.5], "flagged": [True, False, False]})
    >>> outcomes = pl.DataFrame({"pseudonym": ["a", "b", "c"], "left": [True, False, False],
    ...     "date": [dt.date(1970, 1, 20), dt.date(1970, 2, 1), dt.date(1970, 1, 20)]})
    >>> now = dt.datetime(1970, 3, 1, tzinfo=dt.UTC)
    >>> join_outcomes(predictions, outcomes, now=now, horizon_days=30)["left"].to_list()
    [True, False, None]
    """
    this_moment = _as_datetime(now)
    today = this_moment.astimezone(ZoneInfo(time_zone)).date()
    at = pl.col("at")
    latest = (
        predictions.with_columns(_utc(predictions.schema["at"]))
        .with_columns(at.dt.to_string("%G-W%V").alias("week"))
        .sort("at", "pseudonym", maintain_order=True)
        .unique(["pseudonym", "week"], keep="last", maintain_order=True)
        .with_row_index("place")
    )
    day = at.dt.convert_time_zone(time_zone).dt.date()
    end = day.dt.offset_by(f"{horizon_days}d")
    known = outcomes.select("pseudonym", "date", pl.col("left").alias("gone")).filter(pl.col("date") <= today)
    told = latest.select("place", "pseudonym", day.alias("day"), end.alias("end")).join(known, on="pseudonym")
    date, gone = pl.col("date"), pl.col("gone")
    heard = told.group_by("place").agg(
        (gone & date.is_between(pl.col("day"), pl.col("end"))).any().alias("has_left"),
        (pl.when(gone).then(date > pl.col("end")).otherwise(date >= pl.col("end"))).any().alias("was_there"),
    )
    is_due = at + pl.duration(days=horizon_days) <= pl.lit(this_moment)
    covered = _covered_until(known)
    counts = pl.lit(value=False) if covered is None else pl.col("is_due") & (end <= covered)
    return (
        latest.join(heard, on="place", how="left", maintain_order="left")
        .with_columns(is_due.alias("is_due"))
        .with_columns(
            pl.when(counts & pl.col("has_left"))
            .then(pl.lit(value=True))
            .when(counts & pl.col("was_there"))
            .then(pl.lit(value=False))
            .alias("left")
        )
        .drop("place", "has_left", "was_there")
    )


def independent_labels(joined: pl.DataFrame, horizon_days: int) -> pl.DataFrame:
    """Matured predictions, each employee at most once within a horizon.

    An employee who is scored every night and leaves would otherwise be thirteen leavers of thirteen weeks,
    and an interval would be too narrow by a factor of three or more. The first prediction counts, then
    the first after its horizon: so a label that counted once counts at every later look.

    Parameters
    ----------
    joined : DataFrame
        From `join_outcomes`, of one model version.
    """
    matured = joined.filter(pl.col("left").is_not_null()).with_row_index("place")
    by_employee = matured.sort("pseudonym", "at", maintain_order=True)
    at = by_employee["at"].cast(pl.Int64).to_list()
    employee = by_employee["pseudonym"].to_list()
    horizon = horizon_days * _DAY_US
    kept = []
    of, free = None, 0
    for n, (who, when) in enumerate(zip(employee, at, strict=True)):
        if who != of or when >= free:
            kept.append(n)
            of, free = who, when + horizon
    return by_employee[kept].sort("place").drop("place")


def measure(joined: pl.DataFrame) -> tuple[WeekPerformance, ...]:
    """Performance by ISO week of the prediction and by model version, oldest week first.

    Parameters
    ----------
    joined : DataFrame
        From `join_outcomes`.
    """
    parts = joined.partition_by(["week", "version"], as_dict=True, maintain_order=True)
    return tuple(
        WeekPerformance(str(week), str(version), measure_all(part), estimate_unknown(part))
        for (week, version), part in sorted(parts.items(), key=lambda item: tuple(map(str, item[0])))
    )


def measure_all(joined: pl.DataFrame) -> Performance:
    """Performance of all given predictions together; None where a metric can't be told.

    Shares of counted employees have Wilson's interval, the AUC has DeLong's, calibration in the large the
    normal one of a mean; the calibration error has 1.96 standard deviations over resamples drawn from
    a fixed seed.
    """
    matured = joined.filter(pl.col("left").is_not_null())
    readable = _readable(matured)
    left, flagged = _bools(readable["left"]), _bools(readable["flagged"])
    probability = readable["probability"].cast(pl.Float64).to_numpy()
    n_pending = int((~joined["is_due"]).sum())
    return Performance(
        n_matured=matured.height,
        n_left=int(matured["left"].sum()),
        n_pending=n_pending,
        n_unheard=joined.height - matured.height - n_pending,
        n_unreadable=matured.height - readable.height,
        metrics=_metrics(left, flagged, probability),
    )


def estimate_unknown(joined: pl.DataFrame) -> EstimatedPerformance:
    """Estimate the performance of the predictions whose outcome is not known."""
    unknown = joined.filter(pl.col("left").is_null() & pl.col("flagged").is_not_null())
    return estimate_performance(
        unknown["probability"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        _bools(unknown["flagged"]),
    )


def judge_performance(
    joined: pl.DataFrame,
    rule: PerformanceRule,
    *,
    version: str,
    categories: Mapping[str, Sequence[str]] | None = None,
) -> PerformanceVerdict:
    """Judge one model by the newest outcomes.

    Parameters
    ----------
    joined : DataFrame
        From `join_outcomes`, with the columns of `categories`.
    rule : PerformanceRule
        `min_labels` labels are needed; a floor is broken when the newest `window_labels` labels would
        hardly ever be so bad by chance.
    version : str
        The model that is judged, as in `joined`.
    categories : mapping of str to sequence of str
        Columns in which concept drift is looked for, with the contract's values; see `judge_concept`.

    Returns
    -------
    PerformanceVerdict
        "cannot-judge" with too few labels, with labels of leavers only or of stayers only, and when more
        than `MAX_UNREADABLE` of the window have no probability or no flag: what can't be read is not "ok".

    Notes
    -----
    A floor is held against an exact binomial test at ``FLOOR_ALPHA / 2 / LOOKS_PER_YEAR``. The window is
    looked at again and again, and a 95 % interval that is looked at every week lies below the true value
    at some time in three years of four. The price: on 475 leavers a recall of 0.46 is below a floor of
    0.55, and of 0.49 is not. The intervals that are shown are those of a single look.
    """
    own = joined.filter(pl.col("version") == version)
    unknown = own.filter(pl.col("left").is_null())
    labels = independent_labels(own, rule.horizon_days)
    newest = labels.tail(rule.window_labels)
    window = measure_all(pl.concat([newest, unknown]))
    concept = judge_concept(labels, rule, categories)
    below = _below_floors(_readable(newest), window, rule)
    doubts = _doubts(window, labels.height, rule)
    outcome: Outcome = "ok"
    if doubts:
        outcome = "cannot-judge"
    elif concept.is_found:
        outcome = "concept-drift"
    elif below:
        outcome = "below-floor"
    reasons = doubts or ((concept.text,) if concept.is_found else ()) + tuple(below.values())
    return PerformanceVerdict(
        outcome=outcome,
        reasons=reasons or (f"The newest {window.n_matured:,} outcomes keep every floor.",),
        below_floor=() if doubts else tuple(below),
        version=version,
        n_labels=labels.height,
        window=window,
        estimated=estimate_unknown(own),
        concept=concept,
    )


def _below_floors(readable: pl.DataFrame, window: Performance, rule: PerformanceRule) -> dict[str, str]:
    left, flagged = _bools(readable["left"]), _bools(readable["flagged"])
    floors = {
        "accuracy": (left == flagged, rule.min_accuracy),
        "recall": (flagged[left], rule.min_recall),
    }
    below = {}
    for name, (hit, floor) in floors.items():
        found = window.metrics[name]
        # The chance of so few hits or fewer, were the true value at the floor.
        by_chance = float(bdtr(int(hit.sum()), len(hit), floor)) if len(hit) else 1.0
        if found is not None and by_chance <= FLOOR_ALPHA / len(floors) / LOOKS_PER_YEAR:
            below[name] = (
                f"The {name} of the newest {window.n_matured:,} outcomes is {found.value:.3f} "
                f"({found.low:.3f} to {found.high:.3f}), below the floor of {floor:g} by more than chance, "
                "also when looked at daily."
            )
    return below


def _doubts(window: Performance, n_labels: int, rule: PerformanceRule) -> tuple[str, ...]:
    doubts = []
    if n_labels < rule.min_labels:
        doubts.append(f"{n_labels:,} outcomes are known; a verdict needs {rule.min_labels:,}.")
        if window.n_unheard:
            doubts.append(
                f"Of {window.n_unheard:,} predictions the horizon is over, but no list of those who stayed "
                "reaches its end or names the employee. Drop one into the outcomes folder."
            )
    elif window.n_left in (0, window.n_matured):
        only = "stayed" if window.n_left == 0 else "left"
        doubts.append(
            f"All {window.n_matured:,} newest outcomes are '{only}'. Outcome files must tell of those who "
            "left and of those who stayed."
        )
    if window.n_unreadable > MAX_UNREADABLE * window.n_matured:
        doubts.append(
            f"{window.n_unreadable:,} of the newest {window.n_matured:,} predictions with an outcome have no "
            "probability between 0 and 1, or no flag. Look into the prediction log."
        )
    return tuple(doubts)


def _covered_until(known: pl.DataFrame) -> dt.date | None:
    """Newest date on which or after which enough of those who stayed are told of; None where nobody is."""
    stayed = known.filter(~pl.col("gone"))["date"].sort(descending=True)
    if stayed.len() == 0:
        return None
    covered: dt.date = stayed[math.ceil(MIN_COVERING * stayed.len()) - 1]
    return covered


def _readable(matured: pl.DataFrame) -> pl.DataFrame:
    # NaN stands above every number, so it lies in no range.
    is_probability = pl.col("probability").cast(pl.Float64).is_between(0.0, 1.0).fill_null(value=False)
    return matured.filter(is_probability & pl.col("flagged").is_not_null())


def _bools(column: pl.Series) -> Bools:
    return column.to_numpy().astype(np.bool_)


def _metrics(left: Bools, flagged: Bools, probability: Floats) -> dict[str, Estimate | None]:
    n = len(left)
    if n == 0:
        return dict.fromkeys(METRICS)
    hits, n_left, n_flagged = int((left & flagged).sum()), int(left.sum()), int(flagged.sum())
    error = evaluate("window", left, probability, 0.5).metrics["calibration_error"]
    return {
        "accuracy": wilson(int((left == flagged).sum()), n),
        "recall": wilson(hits, n_left) if n_left else None,
        "precision": wilson(hits, n_flagged) if n_flagged else None,
        "roc_auc": _roc_auc(left, probability),
        "calibration_in_the_large": _mean_residual(left, probability),
        "calibration_error": error if n > 1 else None,
    }


def _roc_auc(left: Bools, probability: Floats) -> Estimate | None:
    auc, covariance = auc_covariance(left, probability)
    if not np.isfinite(covariance[0, 0]):
        return None
    value, sd = float(auc[0]), float(np.sqrt(covariance[0, 0]))
    if sd == 0.0:  # every pair in order: not certainty, but too few to see disorder
        sd = _sd_of_nearly(value, int(left.sum()), int((~left).sum()))
    return Estimate(value, max(0.0, value - Z_95 * sd), min(1.0, value + Z_95 * sd))


def _sd_of_nearly(auc: float, n_leavers: int, n_stayers: int) -> float:
    """Standard deviation after Hanley and McNeil (1982), had half of one pair stood the other way round."""
    n_pairs = n_leavers * n_stayers
    near = (auc * n_pairs + 0.5) / (n_pairs + 1)
    q1, q2 = near / (2 - near), 2 * near**2 / (1 + near)
    square = near**2
    spread = near * (1 - near) + (n_leavers - 1) * (q1 - square) + (n_stayers - 1) * (q2 - square)
    return float(np.sqrt(max(spread, 0.0) / n_pairs))


def _mean_residual(left: Bools, probability: Floats) -> Estimate | None:
    residual = left - probability
    if len(residual) < 2:
        return None
    half = Z_95 * float(residual.std(ddof=1)) / float(np.sqrt(len(residual)))
    value = float(residual.mean())
    return Estimate(value, value - half, value + half)


def _as_datetime(now: int | dt.datetime) -> dt.datetime:
    if isinstance(now, dt.datetime):
        return now.astimezone(dt.UTC)
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=now)


def _utc(kind: pl.DataType) -> pl.Expr:
    at = pl.col("at")
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        at = at.dt.convert_time_zone("UTC")
    return at.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
