"""The contract as a pandera schema over validated rows: an independent second look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from attrition_platform.contracts.dtypes import validated_dtypes
from attrition_platform.contracts.model import Column, Contract

if TYPE_CHECKING:
    import pandera.polars as pa

N_BUCKETS = 100
_ALWAYS_THERE = ("pseudonym", "split_bucket", "batch")


@dataclass(frozen=True)
class SchemaProblem:
    """A check that failed; `n_rows` is 0 where a whole column is wrong. Never a value."""

    column: str
    check: str
    n_rows: int


def validated_schema(contract: Contract) -> pa.DataFrameSchema:
    """Build the schema of validated rows: exactly these columns, types, ranges and missing rules.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> validated_schema(shipped_contract()).columns["age"].nullable
    False
    """
    import pandera.polars as pa

    columns = {}
    for name, dtype in validated_dtypes(contract).items():
        column = contract.columns.get(name)
        nullable = name == contract.label or (column is not None and column.missing == "allow")
        columns[name] = pa.Column(
            dtype,
            nullable=nullable and name not in _ALWAYS_THERE,
            checks=_range_checks(column) if column is not None else _identity_checks(name),
        )
    return pa.DataFrameSchema(columns, strict=True)


def find_schema_problems(frame: pl.DataFrame, contract: Contract) -> tuple[SchemaProblem, ...]:
    """Hold a frame against the schema.

    Returns
    -------
    tuple of SchemaProblem
        Empty when the frame keeps the contract.
    """
    from pandera.errors import SchemaErrors

    try:
        validated_schema(contract).validate(frame, lazy=True)
    except SchemaErrors as errors:
        counts: dict[tuple[str, str], int] = {}
        for error in errors.schema_errors:
            failing = error.failure_cases
            n_rows = failing.height if isinstance(failing, pl.DataFrame) else 0
            check = str(getattr(error.check, "name", None) or error.reason_code.name.lower())
            key = (str(error.schema.name or "frame"), check)
            counts[key] = counts.get(key, 0) + n_rows
        return tuple(SchemaProblem(*key, n_rows) for key, n_rows in sorted(counts.items()))
    return ()


def _range_checks(column: Column) -> list[pa.Check]:
    import pandera.polars as pa

    checks = []
    if column.min is not None:
        checks.append(pa.Check.ge(column.min, name="at least min"))
    if column.max is not None:
        checks.append(pa.Check.le(column.max, name="at most max"))
    return checks


def _identity_checks(name: str) -> list[pa.Check]:
    import pandera.polars as pa

    if name == "split_bucket":
        return [pa.Check.lt(N_BUCKETS, name="below 100")]
    return [pa.Check.str_matches(r"^[0-9a-f]+$", name="hexadecimal")]
