"""Find a number whose unit has changed: years sent as months, miles as kilometres, units as cents.

All values are then multiplied by one known factor. So the reference is multiplied by each factor that the
column's unit allows (and rounded where the window holds whole numbers only): where that brings both
distributions together, and they were certainly apart before, the unit has changed.

A window without any change is called changed with a chance below `MAX_CHANCE`, whatever its size: it would
have to fail an exact test first. A rise of all values by 8 % is no unit change, since no factor is near it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from attrition_platform.contracts.model import NUMERIC_KINDS, Column
from attrition_platform.monitoring.distances import normed_wasserstein_distance
from attrition_platform.monitoring.same_source import Floats, Ints, numbers_p_value
from attrition_platform.monitoring.summary import ColumnCounts

MAX_CHANCE: Final = 1e-6
MIN_ROWS: Final = 50
MIN_DISTINCT: Final = 3
MAX_DISTANCE: Final = 0.25  # in standard deviations, after scaling
MAX_REMAINS: Final = 0.25  # share of the difference that scaling may leave
# A factor below it may be a real change, so it must fit the column's unit and leave no more than noise:
# either nothing that a test finds, or, in a large window, next to nothing.
CLEAR_FACTOR: Final = 4.0
MIN_CHANCE_AFTER: Final = 1e-3
MIN_ROWS_NEAR_ONE: Final = 300  # fewer can't tell half as much again from kilometres
MAX_REMAINS_NEAR_ONE: Final = 0.5  # the difference is small to begin with
EXACT_DISTANCE: Final = 0.05

# What one unit is in the first one of its line. Pay counts working time: 8 hours, 5 days, 52 weeks.
_MONTH: Final = 365.25 / 12
_SIZES: Final[dict[str, dict[str, float]]] = {
    "time": {
        "days": 1.0,
        "weeks": 7.0,
        "months": _MONTH,
        "years": 365.25,
        "hours": 1 / 24,
        "minutes": 1 / 1440,
    },
    "pay": {
        "amounts per hour": 1.0,
        "amounts per day": 1 / 8,
        "amounts per week": 1 / 40,
        "amounts per month": 12 / 2080,
        "amounts per year": 1 / 2080,
    },
    "length": {
        "kilometres": 1.0,
        "miles": 1.609344,
        "metres": 1e-3,
        "feet": 3.048e-4,
        "inches": 2.54e-5,
        "centimetres": 1e-5,
    },
}
_SHIFTS: Final[dict[float, str]] = {
    10.0: "numbers whose decimal point has moved",
    100.0: "hundredths (such as cents or percent) instead of whole units",
    1000.0: "single units instead of thousands",
    0.1: "numbers whose decimal point has moved",
    0.01: "whole units instead of hundredths (such as cents or percent)",
    0.001: "thousands instead of single units",
}
_WORDS: Final[dict[str, tuple[str, str]]] = {
    pattern: (dimension, unit)
    for dimension, units in {
        "pay": {
            r"per hour|hourly": "amounts per hour",
            r"per day|daily": "amounts per day",
            r"per week|weekly": "amounts per week",
            r"per month|monthly": "amounts per month",
            r"per year|yearly|annual(ly)?|per annum": "amounts per year",
        },
        "time": {
            r"years?|yrs?": "years",
            r"months?": "months",
            r"weeks?": "weeks",
            r"days?": "days",
            r"hours?|hrs?": "hours",
            r"minutes?|mins?": "minutes",
        },
        "length": {
            r"miles?": "miles",
            r"kilomet(er|re)s?|km": "kilometres",
            r"met(er|re)s?": "metres",
            r"feet|foot|ft": "feet",
            r"inch(es)?": "inches",
            r"centimet(er|re)s?|cm": "centimetres",
        },
    }.items()
    for pattern, unit in units.items()
}


@dataclass(frozen=True)
class UnitChange:
    """A factor that turns the reference into the window.

    Attributes
    ----------
    factor : float
        Values of the window are so many times those of the reference.
    looks_like : str
        What they look like, in words.
    distance_before, distance_after : float
        Wasserstein distance of the window to the reference as it is and times the factor, in standard
        deviations of the latter; 0 is no difference.
    p_value_after : float
        Of the window and the reference times the factor being from one source, in (0, 1].
    """

    factor: float
    looks_like: str
    distance_before: float
    distance_after: float
    p_value_after: float


def find_unit_change(
    name: str, column: Column, reference: ColumnCounts, window: ColumnCounts
) -> UnitChange | None:
    """Compare a column's window with its reference times each known factor.

    Parameters
    ----------
    name : str
        Canonical name; it is searched for a unit where the contract states none.

    Returns
    -------
    UnitChange or None
        None too where the column is no number, or either side has fewer than `MIN_ROWS` values or
        `MIN_DISTINCT` distinct ones.

    Examples
    --------
    >>> spread = (20,) * 30
    >>> years = ColumnCounts("number", tuple(map(float, range(30))), spread)
    >>> months = ColumnCounts("number", tuple(12.0 * year for year in range(30)), spread)
    >>> tenure = Column(source="Tenure", kind="count", unit="years")
    >>> found = find_unit_change("tenure", tenure, years, months)
    >>> found.looks_like, round(found.factor)
    ('months instead of years', 12)
    """
    if column.kind not in NUMERIC_KINDS or not reference.kind == window.kind == "number":
        return None
    if min(reference.n_values, window.n_values) < MIN_ROWS:
        return None
    if min(len(reference.values), len(window.values)) < MIN_DISTINCT:
        return None
    before, now = (reference.numbers, reference.weights), (window.numbers, window.weights)
    apart = _on_one_grid(before, now)
    if not numbers_p_value(*apart[1:]) <= MAX_CHANCE:
        return None
    ratio = _size(now) / _size(before)
    fits = [
        _fit(factor, words, before, now)
        for factor, words in _known_factors(name, column).items()
        if factor / 2 <= ratio <= factor * 2
    ]
    best = min(fits, key=lambda fit: fit.distance_after, default=None)
    return best if best is not None and _explains(best, window.n_values) else None


def _explains(fit: UnitChange, n_rows: int) -> bool:
    if not fit.distance_after <= MAX_DISTANCE:
        return False
    remains = fit.distance_after / fit.distance_before
    if max(fit.factor, 1 / fit.factor) >= CLEAR_FACTOR:
        return remains <= MAX_REMAINS
    is_noise = fit.p_value_after >= MIN_CHANCE_AFTER or fit.distance_after <= EXACT_DISTANCE
    return n_rows >= MIN_ROWS_NEAR_ONE and is_noise and remains <= MAX_REMAINS_NEAR_ONE


_Sample = tuple[Floats, Ints]


def _size(sample: _Sample) -> float:
    """Mean distance from zero."""
    values, weights = sample
    return float(np.sum(np.abs(values) * weights)) / float(weights.sum()) or float("nan")


def _fit(factor: float, words: str, before: _Sample, now: _Sample) -> UnitChange:
    """Distances to the reference and to the reference times `factor`, on the scale of the latter."""
    scaled = [_scaled(before, factor)]
    if bool(np.all(now[0] == np.floor(now[0]))):
        # A whole number was made by rounding or by cutting off; nobody says which.
        scaled = [(rounding(scaled[0][0]), scaled[0][1]) for rounding in (np.rint, np.floor)]
    fits = []
    for sample in scaled:
        together = _on_one_grid(sample, now)
        fits.append((numbers_p_value(*together[1:]), -normed_wasserstein_distance(*together), _std(sample)))
    p_value, after, std = max(fits)
    # The same area in standard deviations of the scaled reference.
    unscaled = normed_wasserstein_distance(*_on_one_grid(before, now)) * _std(before) / max(std, 1e-9)
    return UnitChange(factor, words, unscaled, -after, p_value)


def _scaled(sample: _Sample, factor: float) -> _Sample:
    return sample[0] * factor, sample[1]


def _std(sample: _Sample) -> float:
    values, weights = sample
    mean = float(np.average(values, weights=weights))
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _on_one_grid(first: _Sample, second: _Sample) -> tuple[Floats, Ints, Ints]:
    values, places = np.unique(np.concatenate((first[0], second[0])), return_inverse=True)
    there, here = np.split(places, [len(first[0])])
    # Sums of whole numbers are exact in floats up to 2 to the power of 53.
    before, now = (
        np.bincount(where, weights=sample[1], minlength=len(values)).astype(np.int64)
        for where, sample in ((there, first), (here, second))
    )
    return values, before, now


def _known_factors(name: str, column: Column) -> dict[float, str]:
    """Factors from the column's unit to others, with what the values then look like."""
    factors = dict(_SHIFTS)
    known = _unit_of(name, column)
    if known is not None:
        dimension, unit = known
        factors |= _conversions(_SIZES[dimension], unit, "")
    elif not column.unit:
        for sizes in reversed(_SIZES.values()):
            for unit in sizes:
                every = _conversions(sizes, unit, "other units, such as ")
                factors |= {f: text for f, text in every.items() if max(f, 1 / f) >= CLEAR_FACTOR}
    return factors


def _conversions(sizes: dict[str, float], unit: str, lead: str) -> dict[float, str]:
    return {
        round(sizes[unit] / size, 6): f"{lead}{other} instead of {unit}"
        for other, size in sizes.items()
        if other != unit
    }


def _unit_of(name: str, column: Column) -> tuple[str, str] | None:
    """Dimension and unit that the contract states, else those that the column's name speaks of."""
    text = (column.unit or f"{name} {column.label} {column.source}").replace("_", " ").casefold()
    for pattern, known in _WORDS.items():
        if re.search(rf"\b({pattern})\b", text):
            return known
    return None
