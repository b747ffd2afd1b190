"""What becomes of each kind of cell: kept, unified and counted, or quarantined with its reason."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from attrition_platform.contracts.model import Contract
from attrition_platform.contracts.pandera_schema import find_schema_problems
from attrition_platform.contracts.rows import CheckedRows, check_rows

GOOD = {
    "level": "Mid",
    "degree": "Bachelor’s",
    "remote": "Yes",
    "trips": "3",
    "pay": "5200.50",
    "hired": "2020-02-29",
    "left": "Left",
}


def make_contract(**changes: Any) -> Contract:
    columns = {
        "employee_id": {"source": "ID", "kind": "id"},
        "level": {"source": "Level", "kind": "ordinal", "values": ["Entry", "Mid"]},
        "degree": {"source": "Degree", "kind": "nominal", "values": ["Bachelor’s", "PhD"]},
        "remote": {"source": "Remote", "kind": "binary", "values": ["No", "Yes"]},
        "trips": {"source": "Trips", "kind": "count", "min": 0, "max": 99},
        "pay": {"source": "Pay", "kind": "continuous", "min": 0, "max": 1e6},
        "hired": {"source": "Hired", "kind": "date"},
        "left": {"source": "Left", "kind": "label", "values": ["Stayed", "Left"], "positive": "Left"},
    }
    for name, fields in changes.pop("columns", {}).items():
        columns[name] |= fields
    return Contract.model_validate({"name": "test", "columns": columns, **changes})


def check(contract: Contract | None = None, **cells: str | None) -> CheckedRows:
    """Check one row that is good but for the named cells."""
    raw = pl.DataFrame(
        {name: [value] for name, value in {**GOOD, **cells}.items()}, schema=dict.fromkeys(GOOD, pl.String)
    ).with_columns(
        pl.lit(1, pl.UInt32).alias("row_number"),
        pl.lit("ab" * 16).alias("pseudonym"),
        pl.lit(5).alias("split_bucket"),
        pl.lit("c0ffee000000").alias("batch"),
    )
    return check_rows(raw, contract or make_contract())


def test_a_good_row_is_typed_and_keeps_the_schema() -> None:
    found = check()

    assert found.quarantined.is_empty()
    assert found.valid.row(0, named=True)["pay"] == 5200.5
    assert found.valid.row(0, named=True)["left"] is True
    assert find_schema_problems(found.valid, make_contract()) == ()


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("level", "mid", "unseen-category"),
        ("level", "Director", "unseen-category"),
        ("level", "Міd", "unseen-category"),  # Cyrillic letters that look like Latin ones
        ("level", "=cmd|' /C calc'!A0", "formula-cell"),
        ("level", "Mi\x00d", "control-character"),
        ("level", "", "missing"),
        ("level", None, "missing"),
        ("level", "N/A", "missing"),
        ("remote", "maybe", "unseen-category"),
        ("trips", "3.0", "not-whole"),
        ("trips", "2.5", "not-whole"),
        ("trips", "1e1", "not-whole"),
        ("trips", "-1", "out-of-range"),
        ("trips", "100", "out-of-range"),
        ("trips", "999", "out-of-range"),
        ("trips", "99999999999999999999", "out-of-range"),
        ("trips", "2020-02-29", "not-a-number"),
        ("trips", "three", "not-a-number"),
        ("trips", "1,0", "not-a-number"),
        ("pay", "5,200.50", "not-a-number"),
        ("pay", "nan", "not-finite"),
        ("pay", "inf", "not-finite"),
        ("pay", "-Infinity", "not-finite"),
        ("pay", "1e308", "out-of-range"),
        ("pay", "1e999", "not-finite"),
        ("pay", "-0.01", "out-of-range"),
        ("pay", "$5200", "not-a-number"),
        ("pay", "", "missing"),
        ("hired", "29.02.2020", "not-a-date"),
        ("hired", "2021-02-29", "not-a-date"),
        ("hired", "42", "not-a-date"),
        ("left", "gone", "unseen-category"),
    ],
)
def test_a_bad_cell_is_quarantined_with_its_reason(column: str, cell: str | None, reason: str) -> None:
    found = check(**{column: cell})

    assert found.valid.is_empty()
    assert found.quarantined["reasons"].to_list() == [[f"{column}:{reason}"]]
    assert found.n_rule_failures == {f"{column}:{reason}": 1}


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("level", "  Mid ", "Mid"),
        ("degree", "Bachelor's", "Bachelor’s"),
        ("degree", "Bachelor‘s", "Bachelor’s"),
        ("remote", "True", "Yes"),
        ("remote", "n", "No"),
        ("remote", "0", "No"),
        ("trips", " 7", 7),
        ("pay", "5200 ", 5200.0),
    ],
)
def test_a_declared_spelling_is_unified_and_counted(column: str, cell: str, value: object) -> None:
    found = check(**{column: cell})

    assert found.valid.row(0, named=True)[column] == value
    assert found.n_normalised == {column: 1}


def test_case_is_unified_only_where_the_contract_says_so() -> None:
    contract = make_contract(normalise={"case": True})

    assert check(contract, level="mID").valid.row(0, named=True)["level"] == "Mid"


@pytest.mark.parametrize(
    ("source", "cell", "value"),
    [
        ({"thousands": ","}, "5,200.50", 5200.5),
        ({"thousands": ".", "decimal": ","}, "5.200,50", 5200.5),
        ({"decimal": ","}, "5200,50", 5200.5),
        ({"thousands": "'"}, "5'200", 5200.0),
    ],
)
def test_a_declared_number_format_is_read(source: dict[str, str], cell: str, value: float) -> None:
    assert check(make_contract(source=source), pay=cell).valid.row(0, named=True)["pay"] == value


@pytest.mark.parametrize("cell", ["52,00.50", "5,20", "1,,000", ",500"])
def test_separators_in_the_wrong_place_are_refused(cell: str) -> None:
    found = check(make_contract(source={"thousands": ","}), pay=cell)

    assert found.n_rule_failures == {"pay:not-a-number": 1}


def test_a_missing_value_is_kept_where_the_contract_allows_it() -> None:
    contract = make_contract(columns={"pay": {"missing": "allow"}, "level": {"missing": "allow"}})

    row = check(contract, pay="", level=None).valid.row(0, named=True)

    assert (row["pay"], row["level"]) == (None, None)


@pytest.mark.parametrize("cell", ["", None, "NA"])
def test_a_row_without_a_label_is_kept_as_unlabelled(cell: str | None) -> None:
    assert check(left=cell).valid.row(0, named=True)["left"] is None


def test_every_reason_of_a_row_is_listed() -> None:
    found = check(level="x", trips="-4", pay="nan")

    assert found.quarantined["reasons"].to_list() == [
        ["level:unseen-category", "trips:out-of-range", "pay:not-finite"]
    ]


def test_a_row_without_an_id_is_quarantined() -> None:
    raw = pl.DataFrame({**{k: [v] for k, v in GOOD.items()}, "row_number": [1], "split_bucket": [None]})
    raw = raw.with_columns(pl.lit(None, pl.String).alias("pseudonym"), pl.lit("b").alias("batch"))

    found = check_rows(raw, make_contract())

    assert found.quarantined["reasons"].to_list() == [["employee_id:missing-id"]]
