"""The published facts of the reference data, as a typed record.

`facts.json` is stored as it was published, with its source and its evidence; only the shares, the incomes
and the label model are drawn from. Three rules stand there as sentences, not as numbers, so this module
states them once more as constants beside the sentence that they come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

AGE: Final = (18, 59)  # "discrete uniform", min and max
DISTANCE: Final = (1, 99)  # "discrete uniform", min and max
YEARS_BELOW_AGE: Final = 8  # "discrete uniform on 1..(Age-8), given Age"
TENURE_GAP: Final = (1, 79)  # "Years at Company + discrete uniform 1..79"


@dataclass(frozen=True)
class PopulationFacts:
    """What a population is drawn from.

    Attributes
    ----------
    shares : mapping of str to mapping of str to float
        Per categorical column (header of the reference file) the share of each value; sums to 1.
    income_by_role : mapping of str to (float, float)
        Mean and standard deviation of the monthly income, given the job role.
    income_range : (int, int)
        Smallest and largest income ever observed; a drawn income is held inside.
    label_effects : mapping of str to float
        ``"const"`` and the effect of each condition on the probability of leaving.
    n_source_rows : int
        Employees that the facts were measured on.
    """

    shares: Mapping[str, Mapping[str, float]]
    income_by_role: Mapping[str, tuple[float, float]]
    income_range: tuple[int, int]
    label_effects: Mapping[str, float]
    n_source_rows: int


@cache
def population_facts() -> PopulationFacts:
    """Read the facts that ship with the package.

    Returns
    -------
    PopulationFacts
        Read-only; the same object at each call.

    Examples
    --------
    >>> facts = population_facts()
    >>> facts.n_source_rows
    74498
    >>> round(sum(facts.shares["Job Level"].values()), 12)
    1.0
    """
    raw = json.loads(files(__package__).joinpath("facts.json").read_text(encoding="utf-8"))
    marginals = raw["marginals"]
    income = marginals["Monthly Income"]
    effects = raw["label_model_clip_linear"]["coefficients_value_se"]
    return PopulationFacts(
        shares=MappingProxyType(
            {column: _normalised(shares) for column, shares in marginals["categorical_shares"].items()}
        ),
        income_by_role=MappingProxyType({role: (mean, sd) for role, (mean, sd) in income["by_role"].items()}),
        income_range=(income["observed_min"], income["observed_max"]),
        label_effects=MappingProxyType({name: value for name, (value, _se) in effects.items()}),
        n_source_rows=raw["source"]["rows"],
    )


def _normalised(shares: Mapping[str, float]) -> Mapping[str, float]:
    # Published with four digits, so a column may sum to 0.9999 or 1.0001.
    total = sum(shares.values())
    return MappingProxyType({value: share / total for value, share in shares.items()})
