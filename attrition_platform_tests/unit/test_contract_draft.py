"""A drafted contract: sensible guesses, each marked, and a clear word where there is none."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from attrition_platform.contracts.draft import draft_contract, render_draft
from attrition_platform.contracts.model import Contract
from attrition_platform.contracts.toml_file import contract_digest, parse_contract
from attrition_platform.errors import ContractFileError

N = 400
RANDOM = np.random.default_rng(0)
LEFT = RANDOM.random(N) < 0.1


def make_frame(**columns: object) -> pl.DataFrame:
    base = {
        "EmployeeNumber": np.arange(N) + 1000,
        "Attrition": np.where(LEFT, "Yes", "No"),
        "MonthlyIncome": RANDOM.integers(1000, 9000, N),
    }
    return pl.DataFrame({**base, **columns}).with_columns(pl.all().cast(pl.String))


def draft(**columns: object) -> Contract:
    return draft_contract(make_frame(**columns), "hr extract")


def test_label_and_id_are_found_also_where_few_left() -> None:
    contract = draft()

    assert (contract.label, contract.id) == ("attrition", "employee_number")
    assert contract.columns["attrition"].values == ("No", "Yes")
    assert contract.columns["attrition"].positive == "Yes"
    assert contract.columns["monthly_income"].group == "compensation"


@pytest.mark.parametrize(
    ("header", "values", "kind"),
    [
        ("Hired On", ["2020-01-31"] * 200 + ["2021-02-01"] * 200, "date"),
        ("Rating", ["low", "medium", "high", "medium"] * 100, "ordinal"),
        ("Team", ["A", "B", "C", "D"] * 100, "nominal"),
        ("Overtime", ["y", "n"] * 200, "binary"),
        ("Trips", ["1", "2", "3", "4"] * 100, "count"),
        ("Score", ["1.5", "2.25", "3", "4"] * 100, "continuous"),
        ("Standard Hours", ["80"] * N, "ignore"),
        ("Comment", [f"text number {i}" for i in range(N)], "ignore"),
        ("Badge No", [str(900000 + i) for i in range(N)], "ignore"),
        ("Exit Interview", ["none", "done"] * 200, "ignore"),
        ("Last Day", np.where(LEFT, "2024-05-01", "").tolist(), "ignore"),
        ("Email Disabled", np.where(LEFT, "x", "o").tolist(), "ignore"),
    ],
)
def test_each_kind_of_column_is_guessed(header: str, values: list[str], kind: str) -> None:
    column = list(draft(**{header: values}).columns.values())[-1]

    assert column.kind == kind
    assert column.guess


@pytest.mark.parametrize(
    "header", ["Age", "Gender", "MaritalStatus", "Ethnicity", "Religion", "Disability", "Nationality"]
)
def test_a_protected_column_is_flagged_by_its_name(header: str) -> None:
    contract = draft(**{header: ["20", "40", "60", "30"] * 100})

    assert len(contract.protected) == 1
    assert contract.columns[contract.protected[0]].group == "demographics"


def test_missing_values_are_allowed_where_there_are_some() -> None:
    contract = draft(Bonus=["1", "", "3", "NA"] * 100, Level=["1", "2", "3", "4"] * 100)

    assert contract.columns["bonus"].missing == "allow"
    assert contract.columns["level"].missing == "refuse"


def test_numbers_get_room_above_what_was_seen() -> None:
    column = draft().columns["monthly_income"]

    assert column.min == 0
    assert column.max is not None
    assert column.max > 9000


def test_without_an_id_the_draft_says_what_that_costs() -> None:
    contract = draft_contract(make_frame().drop("EmployeeNumber"), "hr")

    assert contract.id is None
    assert "identified by their content" in render_draft(contract)


def test_the_rendered_draft_reads_back_as_the_same_contract() -> None:
    contract = draft(Age=["20", "40", "60", "30"] * 100, Team=['A "x"', "B\\", "C’", "D"] * 100)

    text = render_draft(contract)

    assert contract_digest(parse_contract(text, "draft.toml")) == contract_digest(contract)
    assert text.count("# guess:") == len(contract.columns)


def test_an_extract_without_a_label_says_what_is_looked_for() -> None:
    with pytest.raises(ContractFileError, match="no column looks like the label"):
        draft_contract(make_frame().drop("Attrition"), "hr")


def test_a_number_beyond_all_bounds_does_not_stop_the_draft() -> None:
    column = draft(Bonus=["1.5", "1e308", "1e999", "4.5"] * 100).columns["bonus"]

    assert (column.min, column.max) == (0, 8)
