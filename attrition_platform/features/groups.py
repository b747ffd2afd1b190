"""Stateless features: a function of one row, so training and serving can't differ."""

from __future__ import annotations

import polars as pl

from attrition_platform.contracts.model import Contract, Derived
from attrition_platform.contracts.rows import LARGEST_NUMBER


def compute_group(validated: pl.DataFrame, contract: Contract, group: str) -> pl.DataFrame:
    """Compute the features of one group.

    Parameters
    ----------
    validated : DataFrame
        `pseudonym` and at least the columns that the group reads.
    contract : Contract
        Says which columns and derived features belong to the group.
    group : str
        Name of the group.

    Returns
    -------
    DataFrame
        `pseudonym`, then the group's features in the contract's order. Categories stay categories, a
        date becomes days since 1970-01-01, a missing value stays missing. A derived feature is missing
        where it is larger than any number that the platform accepts, such as a ratio to almost 0.
    """
    own = [name for name, column in contract.features.items() if column.group == group]
    derived = {name: d for name, d in contract.derived.items() if d.group == group}
    expressions = [
        pl.col(name).to_physical().cast(pl.Int64) if contract.columns[name].kind == "date" else pl.col(name)
        for name in own
    ]
    expressions += [_within_limits(_derive(d)).alias(name) for name, d in derived.items()]
    return validated.select("pseudonym", *expressions)


def _within_limits(value: pl.Expr) -> pl.Expr:
    return pl.when(value.abs() <= LARGEST_NUMBER).then(value)


def _derive(derived: Derived) -> pl.Expr:
    parts = [pl.col(name).cast(pl.Float64) for name in derived.of]
    if derived.how == "sum":
        return sum(parts[1:], start=parts[0])
    if derived.how == "difference":
        return parts[0] - parts[1]
    return pl.when(parts[1] != 0).then(parts[0] / parts[1])
