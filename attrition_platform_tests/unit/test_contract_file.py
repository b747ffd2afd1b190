"""Contract files: every mistake is named with its key and the accepted form."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from attrition_platform.contracts.toml_file import (
    contract_digest,
    load_contract,
    parse_contract,
    shipped_contract,
)
from attrition_platform.errors import ContractFileError

TEXT = files("attrition_platform.contracts").joinpath("reference.toml").read_text(encoding="utf-8")


def test_the_shipped_contract_knows_its_label_id_groups_and_protected_columns() -> None:
    contract = shipped_contract()

    assert (contract.label, contract.id) == ("attrition", "employee_id")
    assert contract.protected == ("age", "gender", "marital_status")
    assert contract.groups["demographics"] == ("age", "gender", "marital_status")
    assert contract.columns["dataset_type"].kind == "ignore"
    assert "Bachelor’s Degree" in contract.columns["education_level"].values


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('kind = "ordinal"', 'kind = "ordnial"', "did you mean 'ordinal'"),
        (
            "protected = true",
            "protcted = true",
            "columns.age.protcted: no such key; did you mean 'protected'",
        ),
        ("protected = true", 'protected = "maybe"', "columns.age.protected"),
        ("[columns.age]", "[columns.Age]", "lower-case letters"),
        ("[columns.age]", "[colums.age]", "colums: no such table; did you mean 'columns'"),
        ("[contract]", "[contract", "is no TOML"),
        ("min = 16", "min = 160", "min must be at most max"),
        ('positive = "Left"', 'positive = "Gone"', "needs positive"),
        ('values = ["No", "Yes"]', 'values = ["No"]', "exactly two values"),
        ('proxy_of = ["age"]', 'proxy_of = ["monthly_income"]', "is no protected column"),
        ("bands = [30, 50]", "bands = [50, 30]", "bands must rise"),
        ('source = "Gender"', 'source = "Age"', "two columns have the same source"),
        ('kind = "id"', 'kind = "label"', "columns.employee_id"),
        ("max_bad_row_share = 0.05", "max_bad_row_share = 5", "source.max_bad_row_share"),
        ('delimiter = ","', 'delimiter = ",,"', "source.delimiter"),
    ],
)
def test_a_mistake_is_named_with_its_key(old: str, new: str, problem: str) -> None:
    assert old in TEXT

    with pytest.raises(ContractFileError) as caught:
        parse_contract(TEXT.replace(old, new, 1), "mine.toml")

    assert problem in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_all_mistakes_are_listed_not_just_the_first() -> None:
    broken = TEXT.replace('kind = "ordinal"', 'kind = "x"').replace("min = 16", 'min = "low"')

    with pytest.raises(ContractFileError) as caught:
        parse_contract(broken, "mine.toml")

    assert len(caught.value.problems) > 5


def test_a_file_that_can_not_be_read_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ContractFileError, match="can't be read"):
        load_contract(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContractFileError, match="not UTF-8"):
        load_contract(binary)


def test_the_digest_follows_the_meaning_and_not_the_guesses() -> None:
    same = parse_contract(TEXT.replace('source = "Age"', 'source = "Age"\nguess = "by its name"', 1), "x")
    other = parse_contract(TEXT.replace("max = 100\n", "max = 99\n", 1), "x")

    assert contract_digest(same) == contract_digest(shipped_contract())
    assert contract_digest(other) != contract_digest(shipped_contract())
