"""Test whether matured outcomes contradict the probabilities that were given.

Given its probability p, an outcome is a coin that falls on "left" with chance p, whatever the employees are
like: a change of who is scored (data drift) says nothing here, a change of what leads people to leave does.
The test bets on coins, overall, by band of the probability and by category of each column, and its evidence
may be looked at as often as one likes (see `betting`).

No model is calibrated to the last percent, so the null hypothesis is wider: each chance lies within
`MARGIN` of p. A bet that more leave is a likelihood ratio against ``p + MARGIN``, which favours nobody in
the whole null; a bet that fewer leave, against ``p - MARGIN``. The evidence of all cells is averaged with
shares that are fixed beforehand, so there is no further price for looking at many.

Within a cell the evidence is a sum over labels for each alternative and each week that it may begin in: it
doesn't depend on the order in which outcomes arrive, and late ones do no harm. What does harm is hearing
more of those who left than of those who stayed (see `performance.join_outcomes`), and counting one leaver in
several weeks as several (see `performance.independent_labels`).

A change that stands must stay found, and a model that was right for ten years must not be beyond doubt. So
years of `N_WEEKS` weeks, which begin at the same time for all models, each have a test of their own; a test
reads on through the year after its own, and the evidence is the mean of the two tests that are under way, a
mean of e-values again. In any year they are the same two, so the chance of a false alarm is `alpha` a year.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attrition_platform.modeling.watch_rules import PerformanceRule
from attrition_platform.monitoring.betting import Floats, Ints, wealth

CellKind = Literal["overall", "band", "category"]

MARGIN: Final = 0.05
# Odds of leaving relative to the edge of the null, below 1 against the lower edge.
ODDS: Final = (1.5, 3.0, 8.0, 1 / 1.5, 1 / 3.0, 1 / 8.0)
ODDS_STAKES: Final = (1 / 6,) * 6
BAND_EDGES: Final = (0.2, 0.4, 0.6, 0.8)
SHARES: Final[dict[CellKind, float]] = {"overall": 0.25, "band": 0.25, "category": 0.5}
# Alternatives begin in one of so many weeks; after them another test starts, and this one ends a year later.
N_WEEKS: Final = 52
MIN_NAMED_LABELS: Final = 10
# Standard deviations; one column in a thousand goes over it by chance.
BLAME_SCORE: Final = 3.0
OTHER: Final = "(other or missing)"
_LOG_CAP: Final = 600.0

WEEK_MICROSECONDS: Final = 7 * 86_400 * 1_000_000
_MONDAY: Final = 4 * 86_400 * 1_000_000  # 1970-01-05


@dataclass(frozen=True)
class Cell:
    """What was found in one group of labels.

    Attributes
    ----------
    kind : {"overall", "band", "category"}
    column, value : str
        The column and its category; a band's limits; empty for all.
    n_labels : int
    expected, observed : float
        Mean probability and share who left, in [0, 1]; they agree ideally.
    log_e : float
        Logarithm of the cell's own e-value, before its share; at most 0 in expectation without drift.
    share : float
        Of the stake.
    """

    kind: CellKind
    column: str
    value: str
    n_labels: int
    expected: float
    observed: float
    log_e: float
    share: float

    def as_json(self) -> dict[str, Any]:
        """Plain values; the share of the stake is left out."""
        return {
            "kind": self.kind,
            "column": self.column,
            "value": self.value,
            "n_labels": self.n_labels,
            "expected": round(self.expected, 4),
            "observed": round(self.observed, 4),
            "e_value": float(np.exp(min(self.log_e, _LOG_CAP))),
        }


@dataclass(frozen=True)
class ConceptVerdict:
    """Whether the outcomes contradict the probabilities.

    Attributes
    ----------
    is_found : bool
        The evidence stands at ``1 / alpha`` or above.
    log_e : float
        Logarithm of the evidence now. Without drift, ``exp(log_e)`` is 1 or less on average.
    alpha : float
        Chance that `is_found` ever is true in a year, if there was no drift in it and in the year before.
    n_labels, n_unreadable : int
        Labels that were read, and those left out because their probability is no probability.
    column : str or None
        The column whose categories differ most in how the newest outcomes contradict; None when nothing is
        found, and when no column's do, as when more leave everywhere.
    cells : tuple of Cell
        The strongest evidence first; groups of fewer than `MIN_NAMED_LABELS` are not listed.
    """

    is_found: bool
    log_e: float
    alpha: float
    n_labels: int
    n_unreadable: int
    column: str | None
    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        """One sentence for people."""
        if self.n_labels == 0:
            return "No outcome can be held against a probability yet."
        if not self.is_found:
            return f"{self.n_labels:,} outcomes do not contradict the probabilities that were given."
        first = next((cell for cell in self.cells if cell.column == (self.column or "")), None)
        if first is None:
            return f"{self.n_labels:,} outcomes contradict the probabilities that were given."
        where = {
            "overall": "overall",
            "band": f"where the probability is {first.value}",
            "category": f"where {first.column} is {first.value}",
        }[first.kind]
        return (
            f"Outcomes contradict the probabilities {where}: {first.observed:.0%} left, "
            f"{first.expected:.0%} were expected ({first.n_labels:,} outcomes)."
        )

    def as_json(self, n_cells: int = 10) -> dict[str, Any]:
        """Plain values, with the `n_cells` strongest cells."""
        return {
            "is_found": self.is_found,
            "e_value": float(np.exp(min(self.log_e, _LOG_CAP))),
            "alpha": self.alpha,
            "n_labels": self.n_labels,
            "n_unreadable": self.n_unreadable,
            "column": self.column,
            "text": self.text,
            "cells": [cell.as_json() for cell in self.cells[:n_cells]],
        }


def judge_concept(
    labels: pl.DataFrame,
    rule: PerformanceRule,
    categories: Mapping[str, Sequence[str]] | None = None,
    *,
    margin: float = MARGIN,
) -> ConceptVerdict:
    """Hold matured outcomes against the probabilities that one model gave.

    Parameters
    ----------
    labels : DataFrame
        Columns `at` (Datetime or microseconds since 1970), `probability`, `left` (Boolean, no nulls) and
        those of `categories`; each employee at most once per horizon. Read are those of the newest label's
        year and of the year before, see `read_from`.
    rule : PerformanceRule
        Its `alpha`; a column is looked for in the newest `window_labels` labels.
    categories : mapping of str to sequence of str
        Columns to look into, and the values that the contract gives each. They are not taken from the
        labels, because the stake is shared beforehand. Any other value counts as `OTHER`.
    margin : float
        How far from p a chance may lie without being drift.

    Returns
    -------
    ConceptVerdict
        Rows without a finite probability in [0, 1] are left out and counted.

    Notes
    -----
    Ville's inequality for the average of e-processes; each label multiplies a bet by its likelihood ratio
    under an alternative over that of the null's edge. See `betting` for the sources.
    """
    readable = labels.filter(_is_probability() & pl.col("left").is_not_null())
    n_unreadable = labels.height - readable.height
    if readable.height == 0:
        return ConceptVerdict(False, 0.0, rule.alpha, 0, n_unreadable, None, ())
    found = _Evidence.of(readable, categories or {}, margin)
    log_e = float(found.total[-1])
    is_found = bool(log_e >= -np.log(rule.alpha))
    named = tuple(cell for cell in found.cells() if cell.n_labels >= MIN_NAMED_LABELS)
    return ConceptVerdict(
        is_found=is_found,
        log_e=log_e,
        alpha=rule.alpha,
        n_labels=len(found.p),
        n_unreadable=n_unreadable,
        column=found.column(rule.window_labels) if is_found else None,
        cells=named,
    )


def evidence_by_week(
    labels: pl.DataFrame,
    categories: Mapping[str, Sequence[str]] | None = None,
    *,
    margin: float = MARGIN,
) -> Floats:
    """Logarithm of the evidence after each week, had outcomes come in order.

    Parameters
    ----------
    labels, categories, margin
        As in `judge_concept`; every probability must be readable.

    Returns
    -------
    ndarray of shape (n_weeks,)
        From the first label's week that is read to the newest one's; the last is what `judge_concept`
        reads. In weeks of the earlier year the later test has not begun and counts as 1.
    """
    found = _Evidence.of(labels, categories or {}, margin)
    return found.total[int(found.week.min()) :]


def read_from(at: int) -> int:
    """Time from which on labels are read where the newest one is of the time `at`.

    Parameters
    ----------
    at : int
        Microseconds since 1970.

    Returns
    -------
    int
        Microseconds since 1970: the begin of the year before that of `at`, in years of `N_WEEKS` weeks. It
        is the same all year, because evidence that begins elsewhere at every look would be no evidence.
    """
    week = (at - _MONDAY) // WEEK_MICROSECONDS
    return (week // N_WEEKS - 1) * N_WEEKS * WEEK_MICROSECONDS + _MONDAY


@dataclass(frozen=True)
class _Group:
    """Cells of one question, as a code for each label."""

    kind: CellKind
    column: str
    values: tuple[str, ...]
    codes: Ints
    share: float


@dataclass(frozen=True)
class _Evidence:
    """E-processes of all cells; `courses` are of shape (n_values, n_weeks), one for each group.

    Weeks are counted from `read_from`, so there are more than `N_WEEKS` of them and at most twice as many.
    """

    week: Ints
    p: Floats
    left: NDArray[np.bool_]
    groups: tuple[_Group, ...]
    courses: tuple[Floats, ...]

    @classmethod
    def of(cls, labels: pl.DataFrame, categories: Mapping[str, Sequence[str]], margin: float) -> _Evidence:
        labels, week = _newest_years(labels)
        p = labels["probability"].cast(pl.Float64).to_numpy()
        left = labels["left"].to_numpy().astype(np.bool_)
        groups = _groups(labels, p, categories)
        bets = _bets(p, left, margin)
        return cls(week, p, left, groups, tuple(_course(group, week, bets) for group in groups))

    @property
    def total(self) -> Floats:
        """Average of all cells' e-values, by their shares of the stake."""
        stakes = [g.share / len(g.values) for g in self.groups]
        whole = sum(g.share for g in self.groups)
        parts = [
            np.log(stake / whole) + np.logaddexp.reduce(course, axis=0)
            for stake, course in zip(stakes, self.courses, strict=True)
        ]
        total: Floats = np.logaddexp.reduce(parts, axis=0)
        return total

    def cells(self) -> list[Cell]:
        """All cells that have labels, the strongest evidence first."""
        pairs = zip(self.groups, self.courses, strict=True)
        cells = [cell for group, course in pairs for cell in _cells(group, course, self.p, self.left)]
        return sorted(cells, key=lambda cell: -(cell.log_e + np.log(cell.share)))

    def column(self, n_labels: int) -> str | None:
        """Column whose categories differ most in the newest labels, beyond what all have in common.

        A change of everybody shows in each category, and by chance most in some: so the common shift is
        taken off before columns are compared, by Pearson's chi-squared as a normal score.
        """
        newest = np.argsort(self.week, kind="stable")[-n_labels:]
        residual = (self.left - self.p)[newest]
        residual = residual - residual.mean()
        spread = (self.p * (1.0 - self.p))[newest]
        scores = {
            group.column: _difference(group.codes[newest], residual, spread)
            for group in self.groups
            if group.kind == "category"
        }
        most = max(scores, key=lambda name: scores[name], default=None)
        return most if most is not None and scores[most] >= BLAME_SCORE else None


def _is_probability() -> pl.Expr:
    p = pl.col("probability").cast(pl.Float64)
    return p.is_between(0.0, 1.0).fill_null(value=False)  # NaN stands above every number


def _newest_years(labels: pl.DataFrame) -> tuple[pl.DataFrame, Ints]:
    """Labels of the year that runs and of the one before, and each one's week in them, from 0."""
    at = labels["at"].cast(pl.Int64).to_numpy()
    if len(at) == 0:
        return labels, np.zeros(0, dtype=np.int64)
    week = (at - read_from(int(at.max()))) // WEEK_MICROSECONDS
    kept = week >= 0
    return labels.filter(pl.Series(kept)), week[kept]


def _bets(p: Floats, left: NDArray[np.bool_], margin: float) -> Floats:
    """Logarithm of each label's likelihood ratios, of shape (n_labels, n_odds)."""
    odds = np.array(ODDS)
    # At an edge of 0 or 1 the null allows everything on that side, and what it forbids costs the whole bet.
    edge = np.clip(p[:, None] + np.where(odds > 1.0, margin, -margin), 0.0, 1.0)
    per_stayer = 1.0 / (1.0 - edge + odds * edge)
    bets: Floats = np.log(np.where(left[:, None], odds * per_stayer, per_stayer))
    return bets


def _groups(labels: pl.DataFrame, p: Floats, categories: Mapping[str, Sequence[str]]) -> tuple[_Group, ...]:
    bounds = (0.0, *BAND_EDGES, 1.0)
    bands = tuple(f"{low:.0%} to {high:.0%}" for low, high in pairwise(bounds))
    groups = [
        _Group("overall", "", ("",), np.zeros(len(p), dtype=np.int64), SHARES["overall"]),
        _Group("band", "", bands, np.searchsorted(BAND_EDGES, p, side="right"), SHARES["band"]),
    ]
    for name, declared in categories.items():
        values = (*dict.fromkeys(declared), OTHER)
        places = {value: place for place, value in enumerate(values)}
        codes = (
            labels[name]
            .cast(pl.String)
            .replace_strict(places, default=places[OTHER], return_dtype=pl.Int64)
            .fill_null(places[OTHER])
            .to_numpy()
        )
        groups.append(_Group("category", name, values, codes, SHARES["category"] / len(categories)))
    return tuple(groups)


def _course(group: _Group, week: Ints, bets: Floats) -> Floats:
    """Log e-value of each value of a group after each week, of shape (n_values, n_weeks).

    Half of the stake is on the test that began with the year before, half on the one of the year that runs.
    """
    n_values, n_weeks = len(group.values), int(week.max()) + 1
    place = group.codes * n_weeks + week
    by_odds: list[Floats] = [
        np.bincount(place, weights=bets[:, i], minlength=n_values * n_weeks).astype(np.float64)
        for i in range(bets.shape[1])
    ]
    together: Floats = np.stack(by_odds, axis=-1).reshape(n_values, n_weeks, len(ODDS))
    earlier = wealth(together, ODDS_STAKES, N_WEEKS)
    running = np.zeros_like(earlier)
    running[:, N_WEEKS:] = wealth(together[:, N_WEEKS:], ODDS_STAKES, N_WEEKS)
    course: Floats = np.logaddexp(earlier, running) - np.log(2.0)
    return course


def _cells(group: _Group, course: Floats, p: Floats, left: NDArray[np.bool_]) -> list[Cell]:
    n_values = len(group.values)
    n = np.bincount(group.codes, minlength=n_values)
    expected = np.bincount(group.codes, weights=p, minlength=n_values) / np.maximum(n, 1)
    observed = np.bincount(group.codes, weights=left, minlength=n_values) / np.maximum(n, 1)
    return [
        Cell(
            kind=group.kind,
            column=group.column,
            value=value,
            n_labels=int(n[i]),
            expected=float(expected[i]),
            observed=float(observed[i]),
            log_e=float(course[i, -1]),
            share=group.share / n_values,
        )
        for i, value in enumerate(group.values)
        if n[i]
    ]


def _difference(codes: Ints, residual: Floats, spread: Floats) -> float:
    """How unlikely equal mean residuals of all categories are, as a standard normal score."""
    n = np.bincount(codes)
    told = n >= MIN_NAMED_LABELS
    sums = np.bincount(codes, weights=residual)[told]
    variances = np.bincount(codes, weights=spread)[told]
    freedom = int(told.sum()) - 1
    if freedom < 1 or not (variances > 0.0).all():
        return 0.0
    ratio = float((sums**2 / variances).sum()) / freedom
    # Wilson and Hilferty (1931): the cube root of a chi-squared over its degrees of freedom is near normal.
    step = 2.0 / (9.0 * freedom)
    return float((np.cbrt(ratio) - (1.0 - step)) / np.sqrt(step))
