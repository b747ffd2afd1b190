"""A column that declares no range still has a limit, because models refuse what is beyond it."""

from __future__ import annotations

import polars as pl
import pytest

from attrition_platform.contracts.model import Column, Contract
from attrition_platform.contracts.rows import CheckedRows, check_rows

CONTRACT = Contract(
    name="plant",
    columns={
        "left": Column(source="Left", kind="label", values=("no", "yes"), positive="yes"),
        "pay": Column(source="Pay", kind="continuous"),
    },
)


def check_pay(cell: str) -> CheckedRows:
    row = {"left": "no", "pay": cell, "pseudonym": "ab", "split_bucket": 1, "batch": "cd", "row_number": 1}
    return check_rows(pl.DataFrame([row]), CONTRACT)


@pytest.mark.parametrize("cell", ["1e16", "-1e16", "1e308", "9" * 16])
def test_a_number_beyond_the_limit_is_quarantined_without_a_declared_range(cell: str) -> None:
    checked = check_pay(cell)

    assert checked.valid.height == 0
    assert checked.quarantined["reasons"].to_list() == [["pay:out-of-range"]]


@pytest.mark.parametrize("cell", ["1e15", "-1e15"])
def test_the_limit_itself_is_kept(cell: str) -> None:
    checked = check_pay(cell)

    assert checked.valid["pay"].to_list() == [float(cell)]
    assert checked.quarantined.height == 0
