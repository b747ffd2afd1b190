"""The features of the public recipe, with its faults.

Written anew from a description of what the recipe does (DESIGN, section 4); its code was not available
and nothing is copied. The description leaves open which columns it keeps and how it splits. About 1,500
combinations of columns and six splits, all with the described faults, were tried against the published
scores, and this is the closest that also trains on years / 12. So the closeness of the scores is by choice
and proves nothing; the faults are what the comparison is about.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]

MONTHS: Final = 12
# Fault: years at the company are divided by twelve as if they were months, so at most 51 / 12 = 4.25 is
# left, and the lowest of these edges is never reached. The bin is a constant.
YEAR_EDGES: Final = (5, 10, 20)

_YES_NO: Final = {"No": 0, "Yes": 1}
# Fault: codes in the order of the words. The label is not monotone in some of them (of the degrees, only
# the last differs; both the lowest and the highest job satisfaction leave), which a slope can't follow.
_ORDERS: Final[dict[str, dict[str, int]]] = {
    "Performance Rating": {"Low": 1, "Below Average": 2, "Average": 3, "High": 4},
    "Job Level": {"Entry": 1, "Mid": 2, "Senior": 3},
    "Company Size": {"Small": 1, "Medium": 2, "Large": 3},
    "Education Level": {
        "High School": 1,
        "Associate Degree": 2,
        "Bachelor’s Degree": 3,
        "Master’s Degree": 4,
        "PhD": 5,
    },
    "Job Role": {"Education": 0, "Finance": 1, "Healthcare": 2, "Media": 3, "Technology": 4},
    "Overtime": _YES_NO,
    "Remote Work": _YES_NO,
}
_PLAIN: Final = ("Age", "Monthly Income", "Number of Promotions", "Number of Dependents")
# Fault: four columns with different, partly opposite effects become one sum.
_SATISFACTION: Final[dict[str, dict[str, int]]] = {
    "Work-Life Balance": {"Poor": 1, "Fair": 2, "Good": 3, "Excellent": 4},
    "Job Satisfaction": {"Low": 1, "Medium": 2, "High": 3, "Very High": 4},
    "Employee Recognition": {"Low": 1, "Medium": 2, "High": 3, "Very High": 4},
    "Company Reputation": {"Poor": 1, "Fair": 2, "Good": 3, "Excellent": 4},
}
_OPPORTUNITIES: Final = ("Leadership Opportunities", "Innovation Opportunities")


def recipe_matrix(raw: pl.DataFrame, *, years_divisor: int = MONTHS) -> Floats:
    """Turn raw rows into the recipe's 15 features.

    Parameters
    ----------
    raw : polars.DataFrame
        Rows of the reference file, with its headers.
    years_divisor : int
        12 when the recipe trains. When it serves it is 1: the two were written twice, and differ.

    Returns
    -------
    ndarray of shape (n_employees, 15)
    """
    years = pl.col("Years at Company") / years_divisor
    columns = [pl.col(name).cast(pl.Float64) for name in _PLAIN]
    columns += [_coded(name, order) for name, order in _ORDERS.items()]
    columns += [
        pl.sum_horizontal(_coded(name, order) for name, order in _SATISFACTION.items()).alias("satisfaction"),
        pl.sum_horizontal(_coded(name, _YES_NO) for name in _OPPORTUNITIES).alias("opportunities"),
        years.alias("years"),
        pl.sum_horizontal((years >= edge).cast(pl.Float64) for edge in YEAR_EDGES).alias("years_bin"),
    ]
    return raw.select(columns).to_numpy()


def labels(raw: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return 1 for those who left, else 0; shape (n_employees,)."""
    return (raw["Attrition"] == "Left").cast(pl.Int64).to_numpy()


def _coded(name: str, order: dict[str, int]) -> pl.Expr:
    return pl.col(name).replace_strict(order, return_dtype=pl.Float64)
