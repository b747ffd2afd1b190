"""Cells that look right to a parser and are not what the contract says."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from attrition_platform.contracts.model import Contract
from attrition_platform.contracts.rows import CheckedRows, check_rows


def check_cell(cell: str, column: dict[str, Any], *, label: str = "Stayed", **contract: Any) -> CheckedRows:
    columns = {
        "cell": {"source": "Cell"} | column,
        "left": {"source": "Left", "kind": "label", "values": ["Stayed", "Left"], "positive": "Left"},
    }
    raw = pl.DataFrame(
        {
            "cell": [cell],
            "left": [label],
            "row_number": [1],
            "pseudonym": ["ab" * 16],
            "split_bucket": [5],
            "batch": ["c0ffee"],
        }
    )
    return check_rows(raw, Contract.model_validate({"name": "edges", "columns": columns} | contract))


@pytest.mark.parametrize(
    "cell",
    [
        "2024-1-5",
        "+2024-01-05",
        "-2024-01-01",
        "0000-01-01",
        "12024-01-01",
        "2024-01-05T00:00:00",
        "20240105",
    ],
)
def test_a_date_is_taken_only_in_its_full_iso_form(cell: str) -> None:
    """The parser alone takes one-digit months and the year 0, which Python's dates do not have."""
    assert check_cell(cell, {"kind": "date"}).n_rule_failures == {"cell:not-a-date": 1}


@pytest.mark.parametrize("kind", ["count", "continuous"])
@pytest.mark.parametrize("cell", ["٣", "1_000", "0x10", "--1", "1e", "True", "=1+1"])
def test_what_only_resembles_a_number_is_called_no_number(cell: str, kind: str) -> None:
    assert check_cell(cell, {"kind": kind}).n_rule_failures == {"cell:not-a-number": 1}


@pytest.mark.parametrize("cell", ["12.34", "1.23,5", "1.234.56", "1.234,5.6", "1.234x", "0.123"])
def test_a_point_that_groups_nothing_is_refused_where_the_comma_is_the_decimal(cell: str) -> None:
    source = {"decimal": ",", "thousands": "."}

    found = check_cell(cell, {"kind": "continuous", "max": 1e9}, source=source)

    assert found.n_rule_failures == {"cell:not-a-number": 1}


def test_a_value_that_the_column_declares_is_never_a_missing_word() -> None:
    plan = {"kind": "nominal", "values": ["None", "Basic"]}

    assert check_cell("None", plan).valid["cell"].to_list() == ["None"]
    assert check_cell("NA", plan).n_rule_failures == {"cell:missing": 1}


def test_the_label_is_unified_by_the_same_declared_rules() -> None:
    folded = check_cell("3", {"kind": "count"}, label="LEFT", normalise={"case": True})

    assert folded.valid["left"].to_list() == [True]
    assert folded.n_normalised == {"left": 1}


def test_the_label_is_not_unified_without_a_rule() -> None:
    strict = check_cell("3", {"kind": "count"}, label="LEFT")

    assert strict.n_rule_failures == {"left:unseen-category": 1}


def test_no_reason_quotes_a_cell() -> None:
    found = check_cell("SECRET-4711", {"kind": "count"}, label="SECRET-4712")

    assert "SECRET" not in str(found.quarantined.to_dicts())
    assert "SECRET" not in str(found.n_rule_failures)
