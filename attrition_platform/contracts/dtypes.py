"""How a validated column is stored."""

from __future__ import annotations

import polars as pl

from attrition_platform.contracts.model import CATEGORICAL_KINDS, Column, Contract

IDENTITY_DTYPES: dict[str, pl.DataType] = {
    "pseudonym": pl.String(),
    "split_bucket": pl.UInt8(),
    "batch": pl.String(),
}


def polars_dtype(column: Column) -> pl.DataType:
    """Type of a validated column.

    >>> polars_dtype(Column(source="n", kind="count"))
    Int64
    """
    if column.kind in CATEGORICAL_KINDS:
        return pl.Enum(column.values)
    return {
        "count": pl.Int64(),
        "continuous": pl.Float64(),
        "date": pl.Date(),
        "label": pl.Boolean(),
    }[column.kind]


def validated_dtypes(contract: Contract) -> dict[str, pl.DataType]:
    """Types of all columns of the validated frame, in its order; the label comes last."""
    features = {name: polars_dtype(column) for name, column in contract.features.items()}
    return {**IDENTITY_DTYPES, **features, contract.label: pl.Boolean()}
