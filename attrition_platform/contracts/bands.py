"""Audit groups of a protected column."""

from __future__ import annotations

import itertools

import polars as pl

from attrition_platform.contracts.model import Column


def band_of(values: pl.Series, column: Column) -> pl.Series:
    """Name the audit group of each value.

    Parameters
    ----------
    values : Series
        Values of the column; null means unknown and stays null.
    column : Column
        With `bands` for a numeric column, at which the groups are cut.

    Examples
    --------
    >>> age = Column(source="Age", kind="count", protected=True, bands=(30, 50))
    >>> band_of(pl.Series([29, 30, 49, 50, None]), age).to_list()
    ['under 30', '30 to below 50', '30 to below 50', '50 and over', None]
    """
    if not column.bands:
        return values.cast(pl.String)
    cuts = [f"{cut:g}" for cut in column.bands]
    names = [f"under {cuts[0]}"]
    names += [f"{low} to below {high}" for low, high in itertools.pairwise(cuts)]
    names.append(f"{cuts[-1]} and over")
    position = pl.Series(column.bands).search_sorted(values.cast(pl.Float64), side="right")
    named = pl.Series(names).gather(position)
    return pl.select(pl.when(values.is_not_null()).then(named))[:, 0]
