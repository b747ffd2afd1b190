"""Features that look wrong before any model is fitted: dead, leaking, a copy of the id, a proxy.

A finding is a question for a person and not a verdict: it names a column, a measure and the limit that
the measure passed, and it never shows a value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl

from attrition_platform.modeling.delong import auc_covariance

FindingKind = Literal["dead-feature", "leak", "copy-of-id", "proxy"]

MAX_ROWS = 50_000
MAX_NUMBER_LEVELS = 10
MIN_LEVEL_ROWS = 5
MIN_SHARE_FOR_PATTERN = 20
N_FOLDS = 5


class SuspicionRule(Protocol):
    """Limits from which a column is looked at."""

    @property
    def max_single_auc(self) -> float:
        """Most that one column alone may tell of the label, as ROC AUC."""

    @property
    def max_unique_share(self) -> float:
        """Largest share of distinct values that a whole-number or category column may have."""

    @property
    def max_association(self) -> float:
        """Most that a column may tell of a protected one, as `association` measures it, in [0, 1]."""


@dataclass(frozen=True)
class SuspicionLimits:
    """Default limits; a policy may hold others under the same names.

    Attributes
    ----------
    max_single_auc : float
        No single fact of working life separates leavers from stayers this well; a record of the
        leaving does.
    max_unique_share : float
        A column in which nearly every employee differs names people.
    max_association : float
        From here on a model that reads the column knows the protected one rather well.
    """

    max_single_auc: float = 0.95
    max_unique_share: float = 0.98
    max_association: float = 0.4


@dataclass(frozen=True)
class Finding:
    """One column that needs a look.

    Attributes
    ----------
    column : str
        Feature.
    kind : FindingKind
        ``dead-feature``: at most one value; ``leak``: it tells the label; ``copy-of-id``: nearly every
        employee has an own value; ``proxy``: it tells a protected column.
    value, limit : float
        The measure and what it may be at most; of a dead feature the number of distinct values, which
        must be above the limit.
    of : str or None
        Of a proxy, the protected column.
    """

    column: str
    kind: FindingKind
    value: float
    limit: float
    of: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_suspicious(
    features: pl.DataFrame,
    label: pl.Series,
    protected: pl.DataFrame,
    limits: SuspicionRule | None = None,
) -> tuple[Finding, ...]:
    """Look at each feature alone.

    Parameters
    ----------
    features : DataFrame of shape (n_employees, n_features)
        Feature columns only; categories as Enum, missing as null. Above 50,000 employees evenly
        spaced ones stand for all.
    label : Series of bool of shape (n_employees,)
        True where the employee left; without nulls.
    protected : DataFrame of shape (n_employees, n_protected)
        Protected columns. A feature of the same name is not called a proxy of itself.
    limits : SuspicionRule, optional
        Limits; `SuspicionLimits` by default.

    Returns
    -------
    tuple of Finding
        In the order of the features; a proxy once per protected column.

    Examples
    --------
    >>> frame = pl.DataFrame({"always_one": [1, 1, 1, 1]})
    >>> label = pl.Series([True, False, True, False])
    >>> [(f.column, f.kind) for f in find_suspicious(frame, label, pl.DataFrame())]
    [('always_one', 'dead-feature')]
    """
    rule = limits or SuspicionLimits()
    rows = _sample(features.height)
    left = label.gather(rows).to_numpy().astype(bool)
    groups = {name: protected[name].gather(rows) for name in protected.columns}
    found: list[Finding] = []
    for name in features.columns:
        column = features[name].gather(rows)
        n_distinct = column.drop_nulls().n_unique()
        if n_distinct <= 1 and not column.has_nulls():
            found.append(Finding(name, "dead-feature", float(n_distinct), 1.0))
            continue
        if n_distinct == 0:
            found.append(Finding(name, "dead-feature", 0.0, 1.0))
            continue
        found.extend(_look_at(name, column, left, groups, rule))
    return tuple(found)


def _look_at(
    name: str, column: pl.Series, left: np.ndarray, groups: dict[str, pl.Series], rule: SuspicionRule
) -> list[Finding]:
    found = []
    auc = single_auc(column, left)
    if auc > rule.max_single_auc:
        found.append(Finding(name, "leak", auc, rule.max_single_auc))
    unique_share = _unique_share(column)
    if unique_share > rule.max_unique_share:
        found.append(Finding(name, "copy-of-id", unique_share, rule.max_unique_share))
        return found  # a value of one's own tells everything about everyone: no sign of a proxy
    for attribute, group in groups.items():
        strength = 0.0 if attribute == name else association(column, group)
        if strength > rule.max_association:
            found.append(Finding(name, "proxy", strength, rule.max_association, attribute))
    return found


def _sample(n_rows: int) -> list[int]:
    spaced = np.unique(np.linspace(0, max(n_rows - 1, 0), min(n_rows, MAX_ROWS)).astype(int))
    return [int(row) for row in spaced]


def _unique_share(column: pl.Series) -> float:
    # A measured quantity may well differ between all employees; a whole number or a word should not.
    known = column.drop_nulls()
    if known.dtype.is_float() or known.len() < MIN_SHARE_FOR_PATTERN:
        return 0.0
    return known.n_unique() / known.len()


def _codes(column: pl.Series, max_levels: int) -> np.ndarray:
    """Whole numbers from 0 that tell values apart; many numbers become bins of about equal count."""
    if column.dtype.is_numeric() and column.n_unique() > max_levels:
        known = column.drop_nulls().to_numpy()
        edges = np.unique(np.quantile(known, np.linspace(0, 1, max_levels + 1)[1:-1]))
        codes = np.digitize(column.fill_null(0).to_numpy(), edges)
        return np.where(column.is_null().to_numpy(), len(edges) + 1, codes)
    # `rank` of a physical value counts null as null; it becomes a level of its own.
    ranks = column.to_physical().rank("dense").cast(pl.Int64).fill_null(0)
    return ranks.to_numpy()


def single_auc(column: pl.Series, left: np.ndarray) -> float:
    """ROC AUC of the best that one column alone could say, in [0.5, 1].

    The better of two readings: the value itself, up or down; and the leaver rate of each value (rare
    values together), learned on other employees than it is tried on, so that a column of many
    values does not look like a leak by chance. A missing value counts as a value.

    Parameters
    ----------
    column : Series of shape (n_employees,)
    left : ndarray of bool of shape (n_employees,)

    Examples
    --------
    >>> column = pl.Series([5.0, 6.0, 1.0, 2.0] * 5)
    >>> single_auc(column, np.array([True, True, False, False] * 5))
    1.0
    """
    if left.all() or not left.any():
        return 0.5
    readings = [_rate_score(column, left)]
    if column.dtype.is_numeric():
        lowest = column.min()
        readings.append(column.cast(pl.Float64).fill_null(float(str(lowest)) - 1.0).to_numpy())
    aucs = [float(auc_covariance(left, reading)[0][0]) for reading in readings]
    return max(max(auc, 1.0 - auc) for auc in aucs)


def _rate_score(column: pl.Series, left: np.ndarray) -> np.ndarray:
    n_levels = MAX_NUMBER_LEVELS * 10
    codes = _codes(column, n_levels)
    fold = np.arange(len(left)) % N_FOLDS
    overall = left.mean()
    size = int(codes.max()) + 1
    score = np.empty(len(left))
    for held_out in range(N_FOLDS):
        known, asked = fold != held_out, fold == held_out
        n = np.bincount(codes[known], minlength=size)
        n_left = np.bincount(codes[known], weights=left[known], minlength=size)
        rate = np.where(n >= MIN_LEVEL_ROWS, n_left / np.maximum(n, 1), overall)
        score[asked] = rate[codes[asked]]
    return score


def association(left: pl.Series, right: pl.Series) -> float:
    """How much one column tells of another, in [0, 1].

    Cramér's V; for two numbers the stronger of it and of their rank correlation, since bins hide much
    of a trend. A missing value counts as a value in the first and is left out of the second.

    Examples
    --------
    >>> association(pl.Series([1, 2, 3, 4] * 9), pl.Series([1.5, 2.5, 3.5, 4.5] * 9))
    1.0
    """
    strength = cramers_v(_codes(left, MAX_NUMBER_LEVELS), _codes(right, MAX_NUMBER_LEVELS))
    if not (left.dtype.is_numeric() and right.dtype.is_numeric()):
        return strength
    both = (left.is_not_null() & right.is_not_null()).to_numpy()
    ranks = [column.filter(pl.Series(both)).rank().to_numpy() for column in (left, right)]
    if both.sum() < MIN_SHARE_FOR_PATTERN or any(np.ptp(rank) == 0 for rank in ranks):
        return strength
    return round(max(strength, abs(float(np.corrcoef(ranks[0], ranks[1])[0, 1]))), 12)


def cramers_v(left_codes: np.ndarray, right_codes: np.ndarray) -> float:
    """Strength of association of two columns of codes, corrected for chance (Bergsma 2013).

    Parameters
    ----------
    left_codes, right_codes : ndarray of int of shape (n_employees,)
        Codes from 0.

    Returns
    -------
    float
        In [0, 1]; 0 for unrelated columns or a column of one value, 1 when each tells the other.

    Examples
    --------
    >>> codes = np.array([0, 1] * 100)
    >>> round(cramers_v(codes, 1 - codes), 6)
    1.0
    """
    table = np.zeros((int(left_codes.max()) + 1, int(right_codes.max()) + 1))
    np.add.at(table, (left_codes, right_codes), 1.0)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, (n_rows, n_columns) = table.sum(), table.shape
    if min(n_rows, n_columns) < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi_squared = float(((table - expected) ** 2 / expected).sum() / n)
    corrected = max(0.0, phi_squared - (n_rows - 1) * (n_columns - 1) / (n - 1))
    rows = n_rows - (n_rows - 1) ** 2 / (n - 1)
    columns = n_columns - (n_columns - 1) ** 2 / (n - 1)
    smaller = min(rows, columns) - 1
    return float(min(1.0, np.sqrt(corrected / smaller))) if smaller > 0 else 0.0
