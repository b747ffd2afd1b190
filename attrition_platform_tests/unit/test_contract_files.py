"""Contract files: what is read, and how each mistake in one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from attrition_platform.contracts.model import Contract
from attrition_platform.contracts.toml_file import (
    contract_digest,
    dump_contract,
    load_contract,
    parse_contract,
    shipped_contract,
)
from attrition_platform.errors import ContractFileError

GOOD = """
[contract]
name = "staff"

[columns.pay]
source = "Pay"
kind = "continuous"
min = 0

[columns.left]
source = "Left"
kind = "label"
values = ["No", "Yes"]
positive = "Yes"
"""


def test_a_good_file_is_read_in_its_order() -> None:
    contract = parse_contract(GOOD, "staff.toml")

    assert list(contract.columns) == ["pay", "left"]
    assert (contract.label, contract.id, contract.columns["pay"].min) == ("left", None, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('kind = "continuous"', 'kind = "continous"', "columns.pay.kind: .*did you mean 'continuous'"),
        ("min = 0", "minn = 0", "columns.pay.minn: no such key; did you mean 'min'"),
        ("min = 0", 'min = "low"', "columns.pay.min: "),
        ("min = 0", "min = 5\nmax = 4", "columns.pay: min must be at most max"),
        ("min = 0", "bands = [50, 30]", "columns.pay: bands must rise"),
        ("min = 0", 'proxy_of = ["age"]', "columns.pay.proxy_of names 'age', which is no protected column"),
        ('source = "Pay"\n', "", "columns.pay.source: must be given"),
        ('source = "Pay"', 'source = "Left"', "two columns have the same source"),
        ("[columns.pay]", "[columns.Pay]", "lower-case letters, digits and _"),
        ("[columns.pay]", "[column.pay]", "column: no such table; did you mean 'columns'"),
        ('values = ["No", "Yes"]', 'values = ["No"]', "columns.left: kind 'label' needs exactly two values"),
        ('positive = "Yes"', 'positive = "Gone"', "needs positive = one of its values"),
        ('kind = "label"', 'kind = "nominal"', "only kind 'label' has positive"),
        ('name = "staff"', 'name = "staff"\nout_of_time = "pay"', "out_of_time must name a column of kind"),
        ("[contract]", "[source]\nthousands = '.'\n[contract]", "source: decimal and thousands are both '.'"),
        ("[contract]", "[contract", "is no TOML"),
        (
            "[contract]",
            "[source]\ndelimeter = ';'\n[contract]",
            "source.delimeter: .*did you mean 'delimiter'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key_and_the_accepted_form(old: str, new: str, problem: str) -> None:
    assert old in GOOD

    with pytest.raises(ContractFileError, match=problem):
        parse_contract(GOOD.replace(old, new, 1), "staff.toml")


def test_all_mistakes_are_listed_at_once() -> None:
    broken = GOOD.replace('kind = "continuous"', 'kind = "x"').replace('source = "Left"', "")

    with pytest.raises(ContractFileError) as caught:
        parse_contract(broken, "staff.toml")

    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "columns.left.source",
        "columns.pay.kind",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractFileError, match=r"gone\.toml.*\n.*can't be read: No such file"):
        load_contract(tmp_path / "gone.toml")


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "staff.toml"
    path.write_bytes(GOOD.replace("Pay", "Gehält").encode("cp1252"))

    with pytest.raises(ContractFileError, match="it is not UTF-8 text"):
        load_contract(path)


def test_a_dumped_contract_is_read_back_as_it_was() -> None:
    contract = Contract.model_validate(
        {
            "name": "hard",
            "version": 3,
            "out_of_time": "since",
            "source": {"delimiter": "\t", "encoding": "cp1252", "decimal": ",", "thousands": "."},
            "normalise": {"case": True, "missing": ["-", 'n"a']},
            "columns": {
                "age": {
                    "source": 'Age "of"\n\x7f\\person',
                    "kind": "count",
                    "protected": True,
                    "bands": [30, 50.5],
                },
                "pay": {"source": "Pay €", "kind": "continuous", "proxy_of": ["age"], "missing": "allow"},
                "since": {"source": "Since", "kind": "date"},
                "left": {"source": "Left", "kind": "label", "values": ["1", "0"], "positive": "0"},
            },
            "derived": {"pay_by_age": {"how": "ratio", "of": ["pay", "age"], "group": "pay"}},
        }
    )

    assert parse_contract(dump_contract(contract), "again.toml") == contract


def test_the_digest_follows_the_meaning_and_not_the_spelling_of_the_file() -> None:
    plain = parse_contract(GOOD, "a.toml")
    commented = parse_contract("# a comment\n" + GOOD.replace("min = 0", "min = 0.0\nguess = 'x'"), "b.toml")
    tighter = parse_contract(GOOD.replace("min = 0", "min = 1"), "c.toml")

    assert contract_digest(plain) == contract_digest(commented)
    assert contract_digest(plain) != contract_digest(tighter)


def test_the_digest_follows_the_order_of_the_columns() -> None:
    """It is the order of the validated rows and of the features: a step may not be reused across it."""
    plain = parse_contract(GOOD, "a.toml")
    turned = plain.model_copy(update={"columns": dict(reversed(plain.columns.items()))})

    assert contract_digest(turned) != contract_digest(plain)


def test_a_table_that_nobody_reads_is_named_even_if_the_rest_is_good() -> None:
    with pytest.raises(ContractFileError, match="normalize: no such table; did you mean 'normalise'"):
        parse_contract(GOOD + "[normalize]\ntrim = false\n", "staff.toml")


def test_the_shipped_contract_protects_who_people_are() -> None:
    contract = shipped_contract()

    assert contract.protected == ("age", "gender", "marital_status")
    assert contract.proxies == ("years_at_company", "company_tenure")
    assert contract.groups["demographics"] == contract.protected
    assert set(contract.groups) == {
        "career",
        "company",
        "compensation",
        "demographics",
        "household",
        "satisfaction",
        "tenure",
        "workload",
    }


def test_every_shipped_column_has_a_label_for_people() -> None:
    assert [name for name, column in shipped_contract().features.items() if not column.label] == []
