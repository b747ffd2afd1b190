"""How often a year without concept drift alarms, how soon a change is found, and what estimates miss.

A model learns from 40,000 rows of the reference data without protected columns. Years are drawn with
replacement from the other rows: 52 weeks of 250 labels, so that four weeks are a window of 1,000. Each
year's labels go through the code that the platform runs, with a look every week.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attrition_platform.contracts.model import CATEGORICAL_KINDS, Contract
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.features.matrix import to_matrix
from attrition_platform.features.spec import feature_spec
from attrition_platform.modeling.delong import auc_covariance
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform.modeling.watch_rules import PerformanceRule
from attrition_platform.monitoring.concept import (
    MARGIN,
    WEEK_MICROSECONDS,
    evidence_by_week,
    judge_concept,
)
from attrition_platform.monitoring.estimated import estimate_performance
from benchmarks.inputs import Extract, reference_extract
from benchmarks.result import Cell, Plot, Result

N_QUIET_YEARS: Final = 300
N_CHANGED_YEARS: Final = 60
N_WINDOWS: Final = 300
SEED: Final = 20260401
TRAIN_ROWS: Final = 40_000
WEEKS: Final = 52
LABELS_A_WEEK: Final = 250
WINDOW_LABELS: Final = 1_000
CHANGE_WEEK: Final = 20
FAMILY: Final = "logistic_regression"
COLUMN: Final = "remote_work"
RULE: Final = PerformanceRule()
Z_1_PERCENT: Final = 2.576  # two-sided
METRICS: Final = ("accuracy", "recall", "precision", "roc_auc")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Scored:
    """Employees whom the model did not learn from.

    Attributes
    ----------
    name : str
    categories : dict of str to tuple of str
        Columns that concept drift is looked for in: categories that are not protected.
    frame : DataFrame
        These columns and `probability`.
    left : ndarray of bool of shape (n_employees,)
    remote : ndarray of bool of shape (n_employees,)
    logit : ndarray of shape (n_employees,)
        Of the probability.
    protection : ndarray of shape (n_employees,)
        What working remotely adds to the logit, for those who do; else 0.
    """

    name: str
    categories: dict[str, tuple[str, ...]]
    frame: pl.DataFrame
    left: Bools
    remote: Bools
    logit: Floats
    protection: Floats


# Outcomes of the drawn rows before and after the change.
Truth = Callable[[Scored, Ints, Rng], Bools]


def _real(scored: Scored, rows: Ints, rng: Rng) -> Bools:
    return scored.left[rows]


def _believed(scored: Scored, rows: Ints, rng: Rng) -> Bools:
    return rng.random(len(rows)) < _chance(scored.logit[rows])


def _off_by(points: float) -> Truth:
    def draw(scored: Scored, rows: Ints, rng: Rng) -> Bools:
        return rng.random(len(rows)) < np.clip(_chance(scored.logit[rows]) + points, 0.0, 1.0)

    return draw


def _less_protection(share: float) -> Truth:
    """Take `share` of the protection away; 2 turns it round. Others keep what they really did."""

    def draw(scored: Scored, rows: Ints, rng: Rng) -> Bools:
        changed = _chance(scored.logit[rows] - share * scored.protection[rows])
        return np.where(scored.remote[rows], rng.random(len(rows)) < changed, scored.left[rows])

    return draw


QUIET: Final[dict[str, tuple[Truth, bool]]] = {
    "outcomes as the probabilities say": (_believed, False),
    "real outcomes": (_real, False),
    "real outcomes, remote work 19 % -> 35 % (data drift)": (_real, True),
    "4 points more leave than the model says, everywhere": (_off_by(0.04), False),
}
# What to blame for each change: a column, or none.
CHANGED: Final[dict[str, tuple[Truth, str | None]]] = {
    "remote work protects half as much": (_less_protection(0.5), COLUMN),
    "remote work no longer protects": (_less_protection(1.0), COLUMN),
    "remote work drives people away (effect turned round)": (_less_protection(2.0), COLUMN),
    "10 points more leave, everywhere": (_off_by(0.10), None),
    "20 points more leave, everywhere": (_off_by(0.20), None),
}
WINDOWS: Final[dict[str, tuple[Truth, bool]]] = {
    "real outcomes": (_real, False),
    "real outcomes, remote work 19 % -> 35 % (data drift)": (_real, True),
    "remote work no longer protects": (_less_protection(1.0), False),
    "remote work drives people away (effect turned round)": (_less_protection(2.0), False),
}


@dataclass(frozen=True)
class Delay:
    """What became of the changed years.

    Attributes
    ----------
    n_years, n_found, n_in_two_windows, n_named, n_early : int
        Years, those in which the change was found, within two windows, with the right column blamed (none
        where all changed); and those with an alarm before the change.
    median_labels : int or None
        Labels after the change until it was found; None if it is not found in most years.
    """

    n_years: int
    n_found: int
    n_in_two_windows: int
    n_named: int
    n_early: int
    median_labels: int | None


def run(n_quiet: int = N_QUIET_YEARS, n_changed: int = N_CHANGED_YEARS, n_windows: int = N_WINDOWS) -> Result:
    """Simulate quiet and changed years, and hold estimates against what happened."""
    with tempfile.TemporaryDirectory() as name:
        scored = score(reference_extract(Path(name)))
    quiet = {name: quiet_years(scored, *how, n_quiet) for name, how in QUIET.items()}
    delays = {
        (name, week): changed_years(scored, truth, blamed, week, n_changed)
        for name, (truth, blamed) in CHANGED.items()
        for week in (0, CHANGE_WEEK)
    }
    errors = {
        name: estimate_errors(scored, truth, more, n_windows) for name, (truth, more) in WINDOWS.items()
    }
    removed = delays["remote work no longer protects", 0]
    worst = max(alarms for alarms, _ in quiet.values())
    naive = quiet["real outcomes"][1]
    blind = errors["remote work drives people away (effect turned round)"]["accuracy"]
    return Result(
        title="Concept drift, and estimates without labels",
        finding=f"At most {worst:.1%} of years without concept drift alarm (a weekly z-test at 1 %: "
        f"{naive:.0%}). That remote work no longer protects is found in at most two windows of "
        f"{WINDOW_LABELS:,} labels in {removed.n_in_two_windows / removed.n_years:.0%} of years. Estimates "
        f"from probabilities alone overstate accuracy by {blind[0]:+.3f} when the effect turns round, and "
        "can't know.",
        header=(
            "what",
            "when",
            "found or alarmed",
            "within two windows",
            "rightly blamed",
            "median labels",
            "z-test",
        ),
        rows=(
            *(
                (name, "never", f"{alarms:.1%}", "-", "-", "-", f"{by_z:.1%}")
                for name, (alarms, by_z) in quiet.items()
            ),
            *(_delay_row(name, week, delay) for (name, week), delay in delays.items()),
            *(_error_row(name, metric, *found) for name, e in errors.items() for metric, found in e.items()),
        ),
        notes=(
            f"{scored.name}; {FAMILY} at its first settings on {TRAIN_ROWS:,} rows. {n_quiet} quiet years "
            f"for each row, {n_changed} changed ones; {WEEKS} weeks of {LABELS_A_WEEK} labels, alpha "
            f"{RULE.alpha:g}, margin {MARGIN:g}. The z-test asks each week whether the week's share of "
            "leavers is the mean probability.",
            f"Changes begin with the first label, or in week {CHANGE_WEEK + 1}: then evidence begins late.",
            f"Estimates: {n_windows} windows of {WINDOW_LABELS:,} rows; estimated minus realised, and how "
            "often the realised value lies in the estimate's 95 % interval.",
        ),
        plots=(
            Plot(
                "bars",
                tuple(CHANGED),
                {
                    f"change in week {week + 1}": tuple(
                        float(delays[name, week].median_labels or WEEKS * LABELS_A_WEEK) for name in CHANGED
                    )
                    for week in (0, CHANGE_WEEK)
                },
                "labels until found, median",
            ),
        ),
    )


def _delay_row(name: str, week: int, delay: Delay) -> tuple[Cell, ...]:
    n = delay.n_years
    return (
        name,
        "first label" if week == 0 else f"week {week + 1}",
        f"{delay.n_found / n:.0%}" + (f" ({delay.n_early} too early)" if delay.n_early else ""),
        f"{delay.n_in_two_windows / n:.0%}",
        f"{delay.n_named / n:.0%}",
        "-" if delay.median_labels is None else f"{delay.median_labels:,}",
        "-",
    )


def _error_row(name: str, metric: str, error: float, absolute: float, inside: float) -> tuple[Cell, ...]:
    told = f"{error:+.4f} on average, {absolute:.4f} absolute, {inside:.0%} in the interval"
    return (f"estimated {metric}: {name}", "-", told, "-", "-", "-", "-")


def score(extract: Extract, n_train: int = TRAIN_ROWS) -> Scored:
    """Fit on some rows and score the others."""
    contract = shipped_contract()
    raw = pl.read_csv(extract.path, infer_schema_length=None)
    frame = raw.select(_typed(contract, name) for name in (*contract.features, contract.label))
    frame = frame.sample(fraction=1.0, shuffle=True, seed=SEED)
    left = (frame[contract.label] == contract.columns[contract.label].positive).to_numpy().astype(np.bool_)
    spec = feature_spec(contract, frozenset(contract.protected))
    family = FAMILIES[FAMILY]
    pipeline = family.build(spec, family.first_params, 0, 1)
    fit_quietly(pipeline, to_matrix(frame[:n_train], spec), left[:n_train])
    rest = frame[n_train:]
    X = to_matrix(rest, spec)
    as_if_not = X.copy()
    as_if_not[:, spec.names.index(COLUMN)] = contract.columns[COLUMN].values.index("No")
    logit, logit_if_not = pipeline.decision_function(X), pipeline.decision_function(as_if_not)
    categories = {
        name: column.values
        for name, column in contract.features.items()
        if column.kind in CATEGORICAL_KINDS and not column.protected
    }
    return Scored(
        name=extract.name,
        categories=categories,
        frame=rest.select(list(categories)).with_columns(pl.Series("probability", _chance(logit))),
        left=left[n_train:],
        remote=(rest[COLUMN] == "Yes").to_numpy().astype(np.bool_),
        logit=logit,
        protection=logit - logit_if_not,
    )


def _typed(contract: Contract, name: str) -> pl.Expr:
    column = contract.columns[name]
    raw = pl.col(column.source)
    if column.kind in CATEGORICAL_KINDS:
        return raw.cast(pl.Enum(column.values)).alias(name)
    return (raw if column.kind == "label" else raw.cast(pl.Float64)).alias(name)


def _chance(logit: Floats) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-logit))
    return chance


def draw_rows(scored: Scored, n: int, rng: Rng, *, more_remote: bool = False) -> Ints:
    """Rows with replacement; with `more_remote`, 35 % of them work remotely."""
    if not more_remote:
        return rng.integers(0, scored.frame.height, n)
    pools = np.flatnonzero(~scored.remote), np.flatnonzero(scored.remote)
    return np.where(rng.random(n) < 0.35, rng.choice(pools[1], n), rng.choice(pools[0], n))


def labels(scored: Scored, rows: Ints, left: Bools) -> pl.DataFrame:
    """The drawn rows as matured labels, `LABELS_A_WEEK` for each week."""
    at = np.arange(len(rows)) // LABELS_A_WEEK * WEEK_MICROSECONDS
    return scored.frame[rows].with_columns(pl.Series("at", at), pl.Series("left", left))


def quiet_years(scored: Scored, truth: Truth, more_remote: bool, n_years: int) -> tuple[float, float]:
    """Share of years with an alarm: of the evidence, and of a z-test every week."""
    rng = np.random.default_rng(SEED)
    alarms = by_z = 0
    for _ in range(n_years):
        rows = draw_rows(scored, WEEKS * LABELS_A_WEEK, rng, more_remote=more_remote)
        frame = labels(scored, rows, truth(scored, rows, rng))
        alarms += evidence_by_week(frame, scored.categories).max() >= -np.log(RULE.alpha)
        by_z += np.abs(_z_scores(frame)).max() >= Z_1_PERCENT
    return alarms / n_years, by_z / n_years


def _z_scores(frame: pl.DataFrame) -> Floats:
    p = frame["probability"].to_numpy().reshape(WEEKS, LABELS_A_WEEK)
    left = frame["left"].to_numpy().reshape(WEEKS, LABELS_A_WEEK)
    z: Floats = (left - p).sum(axis=1) / np.sqrt((p * (1.0 - p)).sum(axis=1))
    return z


def changed_years(scored: Scored, truth: Truth, blamed: str | None, week: int, n_years: int) -> Delay:
    """Years in which outcomes are real until `week` and changed from then on, by `blamed` or overall."""
    rng = np.random.default_rng(SEED + 1)
    found: list[int] = []
    n_named = n_early = 0
    for _ in range(n_years):
        rows = draw_rows(scored, WEEKS * LABELS_A_WEEK, rng)
        changed = np.arange(len(rows)) >= week * LABELS_A_WEEK
        frame = labels(scored, rows, np.where(changed, truth(scored, rows, rng), scored.left[rows]))
        alarms = np.flatnonzero(evidence_by_week(frame, scored.categories) >= -np.log(RULE.alpha))
        if len(alarms) and alarms[0] < week:
            n_early += 1
        elif len(alarms):
            found.append((int(alarms[0]) - week + 1) * LABELS_A_WEEK)
            seen = frame.head((int(alarms[0]) + 1) * LABELS_A_WEEK)
            n_named += judge_concept(seen, RULE, scored.categories).column == blamed
    return Delay(
        n_years=n_years,
        n_found=len(found),
        n_in_two_windows=sum(n <= 2 * WINDOW_LABELS for n in found),
        n_named=n_named,
        n_early=n_early,
        median_labels=sorted(found)[n_years // 2] if len(found) > n_years // 2 else None,
    )


def estimate_errors(
    scored: Scored, truth: Truth, more_remote: bool, n_windows: int
) -> Mapping[str, tuple[float, float, float]]:
    """Mean error, mean absolute error and coverage of each estimated metric over windows."""
    rng = np.random.default_rng(SEED + 2)
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in METRICS}
    for _ in range(n_windows):
        rows = draw_rows(scored, WINDOW_LABELS, rng, more_remote=more_remote)
        left = truth(scored, rows, rng)
        p = _chance(scored.logit[rows])
        flagged = p >= 0.5
        estimated = estimate_performance(p, flagged)
        hits = float((left & flagged).sum())
        real = {
            "accuracy": float((left == flagged).mean()),
            "recall": hits / left.sum(),
            "precision": hits / flagged.sum(),
            "roc_auc": float(auc_covariance(left, p)[0][0]),
        }
        for name in METRICS:
            estimate = getattr(estimated, name)
            found[name].append((estimate.value - real[name], estimate.low <= real[name] <= estimate.high))
    return {
        name: (
            float(np.mean([error for error, _ in pairs])),
            float(np.mean([abs(error) for error, _ in pairs])),
            float(np.mean([inside for _, inside in pairs])),
        )
        for name, pairs in found.items()
    }
