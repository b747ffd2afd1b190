"""Extracts as HR systems write them: other label words, codes, copied ids, numbers with separators."""

from __future__ import annotations

import random
from collections.abc import Callable

import polars as pl
import pytest

from attrition_platform.contracts.draft import draft_contract, render_draft
from attrition_platform.contracts.model import Column, Contract
from attrition_platform.contracts.rows import check_rows
from attrition_platform.contracts.toml_file import parse_contract
from attrition_platform.errors import ContractFileError

N_ROWS = 400
Make = Callable[[random.Random], str]


def make_extract(**columns: Make) -> pl.DataFrame:
    """Rows with id, salary and label (three in ten left), and columns made by chance."""
    chance = random.Random(7)
    extract = {
        "Employee Number": [str(70000 + 3 * n) for n in range(N_ROWS)],
        "Salary": [f"{chance.uniform(2000, 9000):.2f}" for _ in range(N_ROWS)],
        "Attrition": ["Yes" if n % 10 < 3 else "No" for n in range(N_ROWS)],
    }
    for header, make in columns.items():
        extract[header] = [make(chance) for _ in range(N_ROWS)]
    return pl.DataFrame(extract)


def draft_of(header: str, make: Make) -> Column:
    drafted = draft_contract(make_extract(**{header: make}), "x")
    return next(column for column in drafted.columns.values() if column.source == header)


def failures(extract: pl.DataFrame, contract: Contract) -> dict[str, int]:
    """Reasons for which the extract's rows would be quarantined under its own written draft."""
    contract = parse_contract(render_draft(contract), "draft.toml")
    names = {column.source: name for name, column in contract.columns.items()}
    raw = extract.rename(names).with_row_index("row_number", 1)
    raw = raw.with_columns(pseudonym=pl.lit("ab"), split_bucket=pl.lit(1), batch=pl.lit("c0"))
    return check_rows(raw, contract).n_rule_failures


@pytest.mark.parametrize(
    ("header", "words", "positive"),
    [
        ("Termd", ("0", "1"), "1"),
        ("Job Status", ("Active", "Inactive"), "Inactive"),
        ("LeaveOrNot", ("0", "1"), "1"),
        ("Exited", ("no", "yes"), "yes"),
        ("target", ("0", "1"), "1"),
    ],
)
def test_the_label_goes_by_many_names(header: str, words: tuple[str, str], positive: str) -> None:
    extract = make_extract().rename({"Attrition": header})
    extract = extract.with_columns(pl.col(header).replace({"No": words[0], "Yes": words[1]}))

    contract = draft_contract(extract, "x")

    assert contract.columns[contract.label].source == header
    assert contract.columns[contract.label].positive == positive


def test_other_columns_that_could_be_the_label_are_listed() -> None:
    contract = draft_contract(make_extract(**{"Quit Smoking": lambda c: c.choice(["Yes", "No"])}), "x")

    assert contract.label == "attrition"
    assert contract.columns["attrition"].guess.endswith("these fit too: Quit Smoking")


def test_a_label_and_an_id_that_nobody_could_guess_can_be_named() -> None:
    extract = make_extract().rename({"Attrition": "Austritt", "Employee Number": "Personal"})

    contract = draft_contract(extract, "x", label="Austritt", identifier="Personal")

    assert (contract.id, contract.label) == ("personal", "austritt")
    assert contract.columns["austritt"].positive == "Yes"
    assert contract.columns["austritt"].guess.startswith("you named it")


@pytest.mark.parametrize(
    ("label", "identifier", "problem"),
    [
        ("Atrition", None, "no column 'Atrition'; did you mean 'Attrition'"),
        ("Salary", None, "'Salary' has [0-9]+ values; a label has two"),
        (None, "Badge", "no column 'Badge'"),
        ("Attrition", "Attrition", "'Attrition' can't be label and id"),
    ],
)
def test_a_named_column_that_can_not_be_it_is_refused(
    label: str | None, identifier: str | None, problem: str
) -> None:
    with pytest.raises(ContractFileError, match=problem):
        draft_contract(make_extract(), "x", label=label, identifier=identifier)


@pytest.mark.parametrize("header", ["HispanicLatino", "CitizenDesc"])
def test_who_people_are_is_protected_under_other_names_too(header: str) -> None:
    assert draft_of(header, lambda chance: chance.choice(["A", "B"])).protected


def test_protected_codes_are_groups_but_ages_are_numbers() -> None:
    """Codes can be audited one by one; a new age must not be refused because nobody had it yet."""
    status = draft_of("MaritalStatusID", lambda chance: str(chance.randint(0, 4)))
    age = draft_of("Age", lambda chance: str(chance.choice([25, 35, 45])))

    assert (status.kind, status.values) == ("nominal", ("0", "1", "2", "3", "4"))
    assert age.kind == "count"


@pytest.mark.parametrize(
    ("header", "make"),
    [
        ("DOB", lambda chance: f"19{chance.randint(50, 99)}-0{chance.randint(1, 9)}-11"),
        ("Nationality", lambda chance: f"country {chance.randint(1, 90)}"),
    ],
)
def test_a_protected_column_with_too_many_groups_to_audit_is_left_out_and_says_so(
    header: str, make: Make
) -> None:
    column = draft_of(header, make)

    assert column.kind == "ignore"
    assert "its name says that it is protected" in column.guess


def test_a_draft_without_a_protected_column_asks_for_a_second_look() -> None:
    foreign = draft_contract(make_extract(Geschlecht=lambda chance: chance.choice(["m", "w"])), "x")
    english = draft_contract(make_extract(Gender=lambda chance: chance.choice(["m", "w"])), "x")

    assert "No protected column was found" in render_draft(foreign)
    assert "No protected column was found" not in render_draft(english)


def test_a_flag_of_zeros_and_ones_is_binary() -> None:
    column = draft_of("Work Accident", lambda chance: str(chance.randint(0, 1)))

    assert (column.kind, column.values) == ("binary", ("0", "1"))


def test_what_repeats_the_id_or_only_numbers_the_rows_is_left_out() -> None:
    extract = make_extract().with_columns(
        pl.concat_str(pl.lit("B-00"), "Employee Number").alias("Badge"),
        pl.int_range(900, 900 + N_ROWS).shuffle(seed=3).cast(pl.String).alias("Personal"),
        pl.int_range(0, 7 * N_ROWS, 7).shuffle(seed=4).cast(pl.String).alias("Points"),
    )

    columns = draft_contract(extract, "x").columns

    assert columns["badge"].guess == "it repeats 'Employee Number'"
    assert (columns["personal"].kind, "--id" in columns["personal"].guess) == ("ignore", True)
    assert columns["points"].kind == "count"


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands", "kind"),
    [
        (["1,200", "900", "31,000"], ".", ",", "count"),
        (["1,200", "900", "nan", ""], ".", ",", "count"),
        (["1'200.50", "900.10"], ".", "'", "continuous"),
        (["1.200,50", "900,00", "2.000.000,1"], ",", ".", "continuous"),
        (["0,123", "0,900", "1,250"], ",", ".", "continuous"),
    ],
)
def test_numbers_with_separators_are_numbers_and_keep_the_drafted_contract(
    cells: list[str], decimal: str, thousands: str, kind: str
) -> None:
    extract = make_extract(Pay=lambda chance: chance.choice(cells)).drop("Salary")

    contract = draft_contract(extract, "x")

    assert (contract.source.decimal, contract.source.thousands) == (decimal, thousands)
    assert contract.columns["pay"].kind == kind
    assert "separators of [source]" in render_draft(contract)
    assert failures(extract, contract) == {}


def test_a_point_means_the_same_in_every_column() -> None:
    extract = make_extract(
        Pay=lambda chance: f"{chance.randint(1, 9)}.{chance.randint(100, 999)},50",
        Bonus=lambda chance: f"{chance.randint(1, 9)}.{chance.randint(100, 999)}",
    ).drop("Salary")

    contract = draft_contract(extract, "x")

    assert contract.columns["bonus"].kind == "count"
    assert (contract.columns["bonus"].max or 0) > 9999
    assert failures(extract, contract) == {}


def test_separators_that_would_break_another_column_are_not_declared() -> None:
    def euros(chance: random.Random) -> str:
        return f"{chance.randint(1, 9)}.{chance.randint(100, 999)},50"

    contract = draft_contract(make_extract(Pay=euros, Bonus=euros), "x")

    assert contract.columns["salary"].kind == "continuous"
    assert (contract.source.decimal, contract.columns["pay"].kind) == (".", "ignore")
    assert "separators of [source]" not in render_draft(contract)


def test_numbers_with_a_currency_sign_are_left_out_with_advice() -> None:
    column = draft_of("Bonus", lambda chance: f"${chance.randint(1000, 9999)}")

    assert column.kind == "ignore"
    assert "export plain numbers" in column.guess
