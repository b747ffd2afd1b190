"""Draw one block of employees from the facts.

The columns are independent except for three real dependencies: years at the company are bounded by the
age, the tenure builds on those years, and the income follows the job role. The label is drawn from the
clip-linear model: a sum of effects, clipped to [0, 1], is the probability of leaving.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from attrition_platform.population.facts import (
    AGE,
    DISTANCE,
    TENURE_GAP,
    YEARS_BELOW_AGE,
    PopulationFacts,
)

BLOCK_ROWS: Final = 100_000

# Header and column order of the reference file, without its train/test marker.
SOURCE_COLUMNS: Final = (
    "Employee ID",
    "Age",
    "Gender",
    "Years at Company",
    "Job Role",
    "Monthly Income",
    "Work-Life Balance",
    "Job Satisfaction",
    "Performance Rating",
    "Number of Promotions",
    "Overtime",
    "Distance from Home",
    "Education Level",
    "Marital Status",
    "Number of Dependents",
    "Job Level",
    "Company Size",
    "Company Tenure",
    "Remote Work",
    "Leadership Opportunities",
    "Innovation Opportunities",
    "Company Reputation",
    "Employee Recognition",
    "Attrition",
)
_COUNTED: Final = ("Number of Promotions", "Number of Dependents")  # drawn by share, but numbers
NUMBERS: Final = (
    "Employee ID",
    "Age",
    "Years at Company",
    "Company Tenure",
    "Distance from Home",
    "Monthly Income",
    *_COUNTED,
)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def draw_block(facts: PopulationFacts, seed: int, block: int) -> pl.DataFrame:
    """Draw the employees number ``block * BLOCK_ROWS`` up to the next block.

    Parameters
    ----------
    facts : PopulationFacts
        What to draw from.
    seed : int
        Names the population; not negative.
    block : int
        Names the block inside the population; not negative.

    Returns
    -------
    polars.DataFrame
        `BLOCK_ROWS` rows, `SOURCE_COLUMNS`; words as Enum, everything else as Int64. The employee ids are
        the block's own range of numbers, shuffled, so no two blocks share one.

    Examples
    --------
    >>> from attrition_platform.population.facts import population_facts
    >>> frame = draw_block(population_facts(), seed=1, block=2)
    >>> frame["Employee ID"].min(), frame["Employee ID"].max(), frame["Employee ID"].n_unique()
    (200001, 300000, 100000)
    """
    rng = np.random.default_rng((seed, block))
    ids = rng.permutation(BLOCK_ROWS).astype(np.int64) + (block * BLOCK_ROWS + 1)
    codes = {column: _codes(rng, shares) for column, shares in facts.shares.items()}
    numbers = _numbers(rng, facts, codes["Job Role"])
    left = rng.random(BLOCK_ROWS) < leaving_probability(facts, codes, numbers)
    columns = {name: pl.Series(name, values) for name, values in numbers.items()}
    columns |= {name: _words(name, codes[name], list(facts.shares[name])) for name in codes}
    columns["Employee ID"] = pl.Series("Employee ID", ids)
    columns["Attrition"] = _words("Attrition", left.astype(np.uint8), ["Stayed", "Left"])
    return pl.DataFrame([columns[name] for name in SOURCE_COLUMNS])


def leaving_probability(
    facts: PopulationFacts, codes: Mapping[str, npt.NDArray[np.uint8]], numbers: Mapping[str, Integers]
) -> Floats:
    """Compute each employee's probability of leaving, by the clip-linear label model.

    Parameters
    ----------
    facts : PopulationFacts
        Holds the effects.
    codes : mapping of str to ndarray of shape (n_employees,)
        Per categorical column the position of the value in ``facts.shares[column]``.
    numbers : mapping of str to ndarray of shape (n_employees,)
        The numeric columns.

    Returns
    -------
    ndarray of shape (n_employees,)
        In [0, 1]; about a tenth of a population is at 0 and a sixteenth at 1.
    """
    effects = facts.label_effects
    total = np.full(len(numbers["Age"]), effects["const"])
    for column, conditions in _CATEGORY_CONDITIONS.items():
        # One look-up table per column: the effect of each of its values.
        table = np.zeros(len(facts.shares[column]))
        for condition, values in conditions.items():
            for position, value in enumerate(facts.shares[column]):
                table[position] += effects[condition] if value in values else 0.0
        total += table[codes[column]]
    for condition, holds in _number_conditions(numbers).items():
        total += effects[condition] * holds
    clipped: Floats = np.clip(total, 0.0, 1.0)
    return clipped


_CATEGORY_CONDITIONS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "Work-Life Balance": {
        "WLB=Poor": ("Poor",),
        "WLB=Fair": ("Fair",),
        "WLB=Excellent": ("Excellent",),
    },
    "Job Satisfaction": {"JS in(Low,Very High)": ("Low", "Very High")},
    "Performance Rating": {"PR=Low": ("Low",), "PR=Below": ("Below Average",)},
    "Company Reputation": {"Rep=Poor": ("Poor",), "Rep=Fair": ("Fair",)},
    "Job Level": {"Level=Entry": ("Entry",), "Level=Senior": ("Senior",)},
    "Company Size": {"Size=Small": ("Small",)},
    "Education Level": {"Edu=PhD": ("PhD",)},
    "Marital Status": {"Single": ("Single",), "Divorced": ("Divorced",)},
    "Overtime": {"Overtime": ("Yes",)},
    "Remote Work": {"Remote": ("Yes",)},
    "Leadership Opportunities": {"Leadership": ("Yes",)},
    "Innovation Opportunities": {"Innovation": ("Yes",)},
    "Gender": {"Female": ("Female",)},
    "Employee Recognition": {"Recog=VeryHigh": ("Very High",)},
    "Number of Promotions": {"Promo>=3": ("3", "4")},
    "Number of Dependents": {"Dep>=4": ("4", "5", "6")},
}


def _number_conditions(numbers: Mapping[str, Integers]) -> dict[str, Booleans]:
    return {
        "Age<30": numbers["Age"] < 30,
        "Years<10": numbers["Years at Company"] < 10,
        "Dist>50": numbers["Distance from Home"] > 50,
        "Income<5000": numbers["Monthly Income"] < 5000,
    }


def _numbers(
    rng: np.random.Generator, facts: PopulationFacts, roles: npt.NDArray[np.uint8]
) -> dict[str, Integers]:
    age = _uniform(rng, AGE[0], AGE[1])
    years = _uniform(rng, 1, age - YEARS_BELOW_AGE)
    tenure = years + _uniform(rng, *TENURE_GAP)
    distance = _uniform(rng, *DISTANCE)
    mean, sd = np.array([facts.income_by_role[role] for role in facts.shares["Job Role"]]).T
    income = np.rint(mean[roles] + sd[roles] * rng.standard_normal(BLOCK_ROWS))
    return {
        "Age": age,
        "Years at Company": years,
        "Company Tenure": tenure,
        "Distance from Home": distance,
        # In ten million rows a normal tail would reach below zero; no real extract does.
        "Monthly Income": np.clip(income, *facts.income_range).astype(np.int64),
    }


def _uniform(rng: np.random.Generator, low: int, high: int | Integers) -> Integers:
    return low + np.floor(rng.random(BLOCK_ROWS) * (high - low + 1)).astype(np.int64)


def _codes(rng: np.random.Generator, shares: Mapping[str, float]) -> npt.NDArray[np.uint8]:
    # The last share takes what is left, so that rounding can't yield a code beyond the values.
    edges = np.cumsum(list(shares.values()))[:-1]
    return np.searchsorted(edges, rng.random(BLOCK_ROWS), side="right").astype(np.uint8)


def _words(name: str, codes: npt.NDArray[np.uint8], values: list[str]) -> pl.Series:
    if name in _COUNTED:
        return pl.Series(name, np.array([int(value) for value in values], dtype=np.int64)[codes])
    return pl.Series(name, codes).cat.to(pl.Enum(values))
