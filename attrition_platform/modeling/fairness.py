"""Group metrics in the layout of New York City's Local Law 144 rule (6 RCNY § 5-300 to 5-304).

Here "selected" means flagged as likely to leave. Being flagged may help or harm a person, so a rate
that is far lower counts as much as one that is far higher: the impact ratio of a group is its
selection rate over the largest rate of the groups that count, and the least ratio is what a gate
looks at (the four-fifths rule of the Uniform Guidelines, 29 CFR 1607.4 D).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from attrition_platform.modeling.policy import FairnessRule

_Z = 1.959963984540054
CROSS = " × "


@dataclass(frozen=True)
class GroupMetrics:
    """One group of one protected column, or of two of them together.

    Attributes
    ----------
    attribute, group : str
        Which group; combined attributes are joined by " × ".
    n, n_unknown : int
        Employees in the group, and those whose group on this attribute is not known.
    selection_rate : float or None
        Share that is flagged, in [0, 1].
    impact_ratio, impact_ratio_low, impact_ratio_high : float or None
        Rate over the largest counted rate, with a 95 % interval (Katz et al., Biometrics 1978: Wald on
        the log of the ratio, the group with the largest rate as the reference).
    scoring_rate, scoring_impact_ratio : float or None
        The same with "scores above the sample's median" instead of "flagged".
    tpr, fpr, precision : float or None
        None where the group has nobody to compute it from.
    calibration_gap : float or None
        Mean probability minus the share that left.
    counted : bool
        Whether the group enters the largest rate and the gate; `why_not` says why not.
    """

    attribute: str
    group: str
    n: int
    n_unknown: int
    selection_rate: float | None
    impact_ratio: float | None
    impact_ratio_low: float | None
    impact_ratio_high: float | None
    scoring_rate: float | None
    scoring_impact_ratio: float | None
    tpr: float | None
    fpr: float | None
    precision: float | None
    calibration_gap: float | None
    counted: bool
    why_not: str


@dataclass(frozen=True)
class FairnessAudit:
    """All groups, single attributes first.

    Attributes
    ----------
    rows : tuple of GroupMetrics
    attributes : tuple of str
        The protected columns that were audited one by one; only these enter the gates.
    """

    rows: tuple[GroupMetrics, ...]
    attributes: tuple[str, ...]

    def least_impact_ratios(self) -> dict[str, float | None]:
        """Least impact ratio per protected column; None where fewer than two groups count."""
        return {a: _least([row.impact_ratio for row in self._counted(a)]) for a in self.attributes}

    def equalised_odds_gaps(self) -> dict[str, float | None]:
        """Largest difference of TPR or FPR between counted groups, per protected column."""
        gaps: dict[str, float | None] = {}
        for attribute in self.attributes:
            rows = self._counted(attribute)
            spreads = [_spread([row.tpr for row in rows]), _spread([row.fpr for row in rows])]
            known = [spread for spread in spreads if spread is not None]
            gaps[attribute] = max(known) if len(known) == len(spreads) else None
        return gaps

    def as_json(self) -> dict[str, Any]:
        """Rows and what the gates look at."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "least_impact_ratios": self.least_impact_ratios(),
            "equalised_odds_gaps": self.equalised_odds_gaps(),
        }

    def _counted(self, attribute: str) -> list[GroupMetrics]:
        return [row for row in self.rows if row.attribute == attribute and row.counted]


class Variant(NamedTuple):
    """One point of the frontier: its name and the columns left out."""

    name: str
    excluded: tuple[str, ...]


def impact_ratios(rates: Mapping[str, float]) -> dict[str, float | None]:
    """Divide each rate by the largest; None where the largest is not a positive number.

    Examples
    --------
    >>> {group: round(ratio, 2) for group, ratio in impact_ratios({"male": 0.543, "female": 0.447}).items()}
    {'male': 1.0, 'female': 0.82}
    """
    largest = max(rates.values(), default=math.nan)
    if not largest > 0:
        return dict.fromkeys(rates)
    return {group: rate / largest for group, rate in rates.items()}


def audit(
    selected: np.ndarray,
    y_true: np.ndarray,
    y_prob: np.ndarray,
    groups: Mapping[str, np.ndarray],
    rule: FairnessRule,
) -> FairnessAudit:
    """Compare groups of employees.

    Parameters
    ----------
    selected, y_true : ndarray of bool of shape (n_employees,)
        Who is flagged, and who left.
    y_prob : ndarray of float of shape (n_employees,)
        Probability of leaving, in [0, 1].
    groups : mapping of str to ndarray of shape (n_employees,)
        Group of each employee per protected column; None where it is not known.
    rule : FairnessRule
        Which groups count.

    Returns
    -------
    FairnessAudit
        Each protected column, then each pair of them.
    """
    above_median = y_prob > np.median(y_prob) if len(y_prob) else np.zeros(0, dtype=bool)
    people = _People(selected, above_median, y_true.astype(bool), y_prob)
    rows: list[GroupMetrics] = []
    for attribute, values in groups.items():
        rows += _audit_attribute(attribute, values, people, rule)
    for (first, left), (second, right) in itertools.combinations(groups.items(), 2):
        rows += _audit_attribute(f"{first}{CROSS}{second}", _cross(left, right), people, rule)
    return FairnessAudit(tuple(rows), tuple(groups))


def frontier_variants(protected: Sequence[str], proxies: Sequence[str]) -> tuple[Variant, ...]:
    """List the sets of columns that the frontier compares.

    Examples
    --------
    >>> [variant.name for variant in frontier_variants(["age", "gender"], ["tenure"])]
    ['all columns', 'without age', 'without gender', 'without protected', 'without protected and proxies']
    """
    variants = [Variant("all columns", ())]
    if len(protected) > 1:
        variants += [Variant(f"without {name}", (name,)) for name in protected]
    if protected:
        variants.append(Variant("without protected", tuple(protected)))
    if proxies:
        variants.append(Variant("without protected and proxies", (*protected, *proxies)))
    return tuple(variants)


class _People(NamedTuple):
    selected: np.ndarray
    above_median: np.ndarray
    left: np.ndarray
    y_prob: np.ndarray


def _cross(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    pairs = zip(left, right, strict=True)
    return np.array([None if a is None or b is None else f"{a}{CROSS}{b}" for a, b in pairs], dtype=object)


def _audit_attribute(
    attribute: str, values: np.ndarray, people: _People, rule: FairnessRule
) -> list[GroupMetrics]:
    known = np.array([value is not None for value in values], dtype=bool)
    n_unknown = int((~known).sum())
    names, codes = np.unique(values[known].astype(str), return_inverse=True)
    position = np.full(len(values), -1)
    position[known] = codes
    members = {str(name): position == code for code, name in enumerate(names)}
    n_known = int(known.sum())
    why_not = {name: _why_not(int(inside.sum()), n_known, rule) for name, inside in members.items()}
    counted = [name for name, reason in why_not.items() if not reason]
    rates = {name: float(people.selected[inside].mean()) for name, inside in members.items()}
    scoring = {name: float(people.above_median[inside].mean()) for name, inside in members.items()}
    largest = max(counted, key=lambda name: rates[name], default=None)
    ratios = _against(rates, counted)
    scoring_ratios = _against(scoring, counted)
    rows = []
    for name, inside in members.items():
        low, high = (None, None) if largest is None else _katz(people.selected, inside, members[largest])
        rows.append(
            GroupMetrics(
                attribute=attribute,
                group=name,
                n=int(inside.sum()),
                n_unknown=n_unknown,
                selection_rate=rates[name],
                impact_ratio=ratios[name],
                impact_ratio_low=low,
                impact_ratio_high=high,
                scoring_rate=scoring[name],
                scoring_impact_ratio=scoring_ratios[name],
                tpr=_share(people.selected, inside & people.left),
                fpr=_share(people.selected, inside & ~people.left),
                precision=_share(people.left, inside & people.selected),
                calibration_gap=float(people.y_prob[inside].mean() - people.left[inside].mean()),
                counted=not why_not[name],
                why_not=why_not[name],
            )
        )
    return rows


def _why_not(n: int, n_known: int, rule: FairnessRule) -> str:
    if n < rule.min_group_size:
        return f"fewer than {rule.min_group_size} people"
    if n < rule.min_group_share * n_known:
        return f"under {rule.min_group_share:.0%} of people"
    return ""


def _against(rates: dict[str, float], counted: list[str]) -> dict[str, float | None]:
    """Ratios of all groups to the largest counted rate."""
    largest = max((rates[name] for name in counted), default=math.nan)
    return {name: rate / largest if largest > 0 else None for name, rate in rates.items()}


def _katz(
    selected: np.ndarray, inside: np.ndarray, reference: np.ndarray
) -> tuple[float | None, float | None]:
    hits, n = int(selected[inside].sum()), int(inside.sum())
    hits_ref, n_ref = int(selected[reference].sum()), int(reference.sum())
    if not hits or not hits_ref:
        return None, None
    ratio = (hits / n) / (hits_ref / n_ref)
    if inside is reference:
        return 1.0, 1.0
    spread = _Z * math.sqrt(max(0.0, 1 / hits - 1 / n + 1 / hits_ref - 1 / n_ref))
    return ratio * math.exp(-spread), ratio * math.exp(spread)


def _share(flags: np.ndarray, among: np.ndarray) -> float | None:
    return float(flags[among].mean()) if among.any() else None


def _least(ratios: list[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return min(known) if len(known) == len(ratios) and len(known) > 1 else None


def _spread(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if len(known) == len(values) and len(known) > 1 else None
