"""Models that are a sum over features: logistic regression on splines, boosted stumps, the baseline.

Each feature has a term: a table for a category, a piecewise cubic for a number. The terms are centred
on their mean over the training employees, which makes a term's value the feature's Shapley value
(Lundberg & Lee 2017, for independent features: exact for additive models).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from attrition_platform.scoring.compiled import Link

if TYPE_CHECKING:
    import numpy as np

Cubic = tuple[float, float, float, float]


@dataclass(frozen=True)
class Table:
    """Term of a category.

    Attributes
    ----------
    values : tuple of float
        By code.
    missing : float
        Where the value is missing, or is none of the codes.
    """

    values: tuple[float, ...]
    missing: float

    def shifted(self, by: float) -> Table:
        """Subtract a constant."""
        return Table(tuple(value - by for value in self.values), self.missing - by)

    def scalar(self) -> Callable[[float], float]:
        """Function of one code."""
        values, missing = self.values, self.missing
        n = len(values)

        def term(x: float) -> float:
            return values[int(x)] if 0 <= x < n else missing  # False for NaN, too

        return term

    def vector(self) -> Callable[[np.ndarray], np.ndarray]:
        """Function of many codes."""
        import numpy as np

        values = np.array([*self.values, self.missing])
        n = len(self.values)

        def term(x: np.ndarray) -> np.ndarray:
            known = (x >= 0) & (x < n)
            return values[np.where(known, x, n).astype(np.intp)]

        return term

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"values": list(self.values), "missing": self.missing}


@dataclass(frozen=True)
class Curve:
    """Term of a number: a cubic polynomial per interval.

    Attributes
    ----------
    breaks : tuple of float
        Rising; interval i begins at ``breaks[i - 1]``, which belongs to it, and the first at minus
        infinity.
    origins : tuple of float
        Where each interval's polynomial has its zero; one more than breaks.
    cubics : tuple of tuple of float
        Per interval the coefficients of 1, d, d**2, d**3 with d = x - origin.
    missing : float
        Where the value is missing.
    """

    breaks: tuple[float, ...]
    origins: tuple[float, ...]
    cubics: tuple[Cubic, ...]
    missing: float

    def shifted(self, by: float) -> Curve:
        """Subtract a constant."""
        cubics = tuple((c[0] - by, *c[1:]) for c in self.cubics)
        return Curve(self.breaks, self.origins, cubics, self.missing - by)

    @property
    def is_step(self) -> bool:
        """Whether it is constant on each interval."""
        return not any(any(cubic[1:]) for cubic in self.cubics)

    def scalar(self) -> Callable[[float], float]:
        """Function of one value."""
        breaks, missing = self.breaks, self.missing
        if self.is_step:
            steps = tuple(cubic[0] for cubic in self.cubics)

            def step(x: float) -> float:
                return steps[bisect_right(breaks, x)] if x == x else missing

            return step
        pieces = tuple(
            (origin, *reversed(cubic)) for origin, cubic in zip(self.origins, self.cubics, strict=True)
        )

        def curve(x: float) -> float:
            if x != x:
                return missing
            origin, c3, c2, c1, c0 = pieces[bisect_right(breaks, x)]
            d = x - origin
            return ((c3 * d + c2) * d + c1) * d + c0

        return curve

    def vector(self) -> Callable[[np.ndarray], np.ndarray]:
        """Function of many values; the same operations in the same order as `scalar`."""
        import numpy as np

        breaks, origins = np.array(self.breaks), np.array(self.origins)
        c0, c1, c2, c3 = (np.array(column) for column in zip(*self.cubics, strict=True))
        missing, is_step = self.missing, self.is_step

        def term(x: np.ndarray) -> np.ndarray:
            known = ~np.isnan(x)
            interval = breaks.searchsorted(x, side="right")
            interval[~known] = 0
            if is_step:
                found = c0[interval]
            else:
                # On the flat ends every coefficient but the first is 0; d must stay finite there.
                d = np.where(known, x, 0.0) - origins[interval]
                found = ((c3[interval] * d + c2[interval]) * d + c1[interval]) * d + c0[interval]
            if not known.all():
                found[~known] = missing
            return found

        return term

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "breaks": list(self.breaks),
            "origins": list(self.origins),
            "cubics": [list(cubic) for cubic in self.cubics],
            "missing": self.missing,
        }


Term = Table | Curve


def step_curve(steps: Sequence[tuple[float, float]], first: float, missing: float) -> Curve:
    """Build a curve that is constant between jumps.

    Parameters
    ----------
    steps : sequence of (float, float)
        Where a jump is (the value there belongs to its right side), and how high; in any order.
    first : float
        Value left of all jumps.

    Examples
    --------
    >>> term = step_curve([(3.0, 0.5), (1.0, 0.25)], first=-1.0, missing=0.0).scalar()
    >>> [term(x) for x in (0.0, 1.0, 2.9, 3.0, math.nan)]
    [-1.0, -0.75, -0.75, -0.25, 0.0]
    """
    jumps: dict[float, float] = {}
    for at, height in steps:
        jumps[at] = jumps.get(at, 0.0) + height
    breaks = sorted(jumps)
    values = [first]
    for at in breaks:
        values.append(values[-1] + jumps[at])
    cubics: list[Cubic] = [(value, 0.0, 0.0, 0.0) for value in values]
    return Curve(tuple(breaks), (0.0,) * len(values), tuple(cubics), missing)


def add_curves(left: Curve, right: Curve) -> Curve:
    """Add two curves on the intervals of both.

    Examples
    --------
    >>> both = add_curves(step_curve([(1.0, 1.0)], 0.0, 0.5), step_curve([(2.0, 1.0)], 0.0, 0.25))
    >>> [both.scalar()(x) for x in (0.0, 1.5, 2.0, math.nan)]
    [0.0, 1.0, 2.0, 0.75]
    """
    breaks = sorted({*left.breaks, *right.breaks})
    starts = [-math.inf, *breaks]
    origins, cubics = [], []
    for start in starts:
        i, j = bisect_right(left.breaks, start), bisect_right(right.breaks, start)
        a, b = left.cubics[i], right.cubics[j]
        if any(a[1:]) and any(b[1:]) and left.origins[i] != right.origins[j]:
            raise ValueError("Two polynomials with different origins can't be added")
        origins.append(left.origins[i] if any(a[1:]) else right.origins[j])
        cubics.append((a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]))
    return Curve(tuple(breaks), tuple(origins), tuple(cubics), left.missing + right.missing)


class AdditiveModel:
    """A base and one term per feature; see `compiled.CompiledModel`.

    Parameters
    ----------
    base : float
    terms : sequence of Term
        One per feature of the spec, in its order.
    """

    def __init__(self, base: float, terms: Sequence[Term]) -> None:
        self._base = base
        self.terms = tuple(terms)
        self._scalar = tuple(term.scalar() for term in self.terms)
        self._vector: tuple[Callable[[np.ndarray], np.ndarray], ...] | None = None

    @property
    def link(self) -> Link:
        """Log-odds."""
        return "logit"

    @property
    def base(self) -> float:
        """Score of the average training employee."""
        return self._base

    @property
    def n_features(self) -> int:
        """How many terms there are."""
        return len(self.terms)

    def explain_one(self, x: Sequence[float]) -> tuple[float, Sequence[float]]:
        """Score one employee; see `compiled.CompiledModel`."""
        contributions = [term(value) for term, value in zip(self._scalar, x, strict=True)]
        score = self._base
        for contribution in contributions:
            score += contribution
        return score, contributions

    def explain_rows(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score many employees; see `compiled.CompiledModel`."""
        import numpy as np

        if self._vector is None:  # NumPy is imported by those who score many only
            self._vector = tuple(term.vector() for term in self.terms)
        contributions = np.empty(X.shape, order="F")
        scores = np.full(len(X), self._base)
        for position, term in enumerate(self._vector):
            contributions[:, position] = term(X[:, position])
            scores += contributions[:, position]
        return scores, contributions

    def centred(self, X: np.ndarray) -> AdditiveModel:
        """Move each term's mean over some employees into the base, which leaves every score as it is.

        Parameters
        ----------
        X : ndarray of shape (n_employees, n_features)
            At least one row.
        """
        means = [float(mean) for mean in self.explain_rows(X)[1].mean(axis=0)]
        terms = [term.shifted(mean) for term, mean in zip(self.terms, means, strict=True)]
        return AdditiveModel(self._base + math.fsum(means), terms)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "additive", "base": self._base, "terms": [term.as_json() for term in self.terms]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `as_json` wrote; KeyError, TypeError or ValueError where it is none."""
        return cls(float(values["base"]), [_term(term) for term in values["terms"]])


def _term(values: dict[str, Any]) -> Term:
    missing = float(values["missing"])
    if "values" in values:
        return Table(tuple(float(value) for value in values["values"]), missing)
    breaks = tuple(float(value) for value in values["breaks"])
    origins = tuple(float(value) for value in values["origins"])
    cubics: list[Cubic] = []
    for c0, c1, c2, c3 in values["cubics"]:
        cubics.append((float(c0), float(c1), float(c2), float(c3)))
    if not len(breaks) + 1 == len(origins) == len(cubics) or list(breaks) != sorted(breaks):
        raise ValueError("A curve's parts do not fit together")
    return Curve(breaks, origins, tuple(cubics), missing)
