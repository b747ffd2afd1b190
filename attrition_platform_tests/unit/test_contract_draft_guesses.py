"""The guesses that decide whether a draft can be trained on: leaks, protected names, ranges, gaps."""

from __future__ import annotations

import random
from collections.abc import Callable

import polars as pl
import pytest

from attrition_platform.contracts.draft import draft_contract, render_draft
from attrition_platform.contracts.model import Column, Source
from attrition_platform.contracts.rows import check_rows
from attrition_platform.contracts.toml_file import contract_digest, parse_contract
from attrition_platform.errors import ContractFileError

N_ROWS = 400
Make = Callable[[random.Random, bool], str]


def make_extract(**columns: Make) -> pl.DataFrame:
    """Rows with id, salary and label (three in ten left), and columns made from chance and who left."""
    chance = random.Random(11)
    left = [n % 10 < 3 for n in range(N_ROWS)]
    extract = {
        "Employee Number": [str(70000 + 3 * n) for n in range(N_ROWS)],
        "Salary": [f"{chance.uniform(2000, 9000):.2f}" for _ in left],
        "Attrition": ["Yes" if gone else "No" for gone in left],
    }
    for header, make in columns.items():
        extract[header] = [make(chance, gone) for gone in left]
    return pl.DataFrame(extract)


def draft_of(header: str, make: Make) -> Column:
    drafted = draft_contract(make_extract(**{header: make}), "x")
    return next(column for column in drafted.columns.values() if column.source == header)


def some_number(chance: random.Random, gone: bool) -> str:
    return str(chance.randint(20, 60))


def last_day(chance: random.Random, gone: bool) -> str:
    return f"2024-0{chance.randint(1, 9)}-{chance.randint(10, 28)}" if gone else ""


@pytest.mark.parametrize(
    ("header", "make", "guess"),
    [
        ("Exit Interview", lambda chance, gone: chance.choice(["a", "b"]), "its name speaks of leaving"),
        (
            "Reason",
            lambda chance, gone: chance.choice(["pay", "boss"]) if gone else "",
            "is filled just where",
        ),
        ("Last Day", last_day, "is filled just where"),
        ("Notice", lambda chance, gone: "given" if gone else "none given", "it alone tells who left"),
        (
            "Notice Days",
            lambda chance, gone: str(chance.randint(1, 90) if gone else 0),
            "one side of a value",
        ),
        (
            "Days Here",
            lambda chance, gone: str(chance.randint(0, 999) + 1000 * (not gone)),
            "one side of a value",
        ),
    ],
)
def test_what_is_known_only_after_leaving_is_left_out(header: str, make: Make, guess: str) -> None:
    column = draft_of(header, make)

    assert column.kind == "ignore"
    assert guess in column.guess


@pytest.mark.parametrize(
    ("header", "make"),
    [
        ("Department", lambda chance, gone: chance.choice(["Sales", "Ops", "IT"])),
        ("Bonus", lambda chance, gone: "" if chance.random() < 0.9 else str(chance.randint(1, 3))),
        ("Score", lambda chance, gone: str(chance.randint(0, 400) + (100 if gone else 0))),
    ],
)
def test_an_honest_column_is_no_leak(header: str, make: Make) -> None:
    assert draft_of(header, make).kind != "ignore"


def test_a_useless_column_is_no_leak_where_hardly_anybody_leaves() -> None:
    """Where 3 in 1,000 leave, the guess that nobody does is right about 99.7 % of the people."""
    n_rows, n_leavers = 12_000, 36
    extract = pl.DataFrame(
        {
            "Team": [f"team {n % 7}" for n in range(n_rows)],
            "Left": ["Yes" if n < n_leavers else "No" for n in range(n_rows)],
        }
    )

    assert draft_contract(extract, "x").columns["team"].kind == "nominal"


def test_a_split_that_somebody_else_made_is_no_feature() -> None:
    assert draft_of("dataset_type", lambda chance, gone: chance.choice(["train", "test"])).kind == "ignore"


@pytest.mark.parametrize("header", ["Age", "Sex", "MaritalStatus", "Ethnicity", "Religion", "is_disabled"])
def test_a_protected_column_is_known_by_a_word_of_its_name(header: str) -> None:
    column = draft_of(header, some_number)

    assert column.protected
    assert column.group == "demographics"
    assert "protected" in column.guess


@pytest.mark.parametrize("header", ["Percentage", "Stage", "Wage", "Message Count", "Sextant"])
def test_a_name_that_only_contains_a_protected_word_is_not_protected(header: str) -> None:
    assert not draft_of(header, some_number).protected


def test_numbers_get_slack_so_that_next_month_still_fits() -> None:
    column = draft_of("Years", lambda chance, gone: str(chance.randint(1, 40)))

    assert column.min == 0
    assert column.max is not None
    assert column.max >= 60


def test_headers_that_collide_get_names_of_their_own() -> None:
    extract = make_extract(**{"Pay €": some_number, "pay": some_number})

    assert {"pay", "pay_2"} <= set(draft_contract(extract, "2026!").columns)


def test_the_written_draft_is_read_back_with_its_source() -> None:
    odd = make_extract(**{'We"ird\n': lambda chance, gone: chance.choice(["a", "b\x7f", "c\\"])})
    drafted = draft_contract(odd, "x").model_copy(update={"source": Source(encoding="cp1252", delimiter=";")})

    again = parse_contract(render_draft(drafted), "draft.toml")

    assert contract_digest(again) == contract_digest(drafted)
    assert again.source.encoding == "cp1252"


def test_the_extract_keeps_the_contract_that_was_drafted_from_it() -> None:
    extract = make_extract(
        Age=some_number,
        Bonus=lambda chance, gone: chance.choice(["nan", "1.5", "", "2e3", "-4"]),
        Plan=lambda chance, gone: chance.choice(["None", "Basic", "Full"]),
        Since=lambda chance, gone: f"201{chance.randint(0, 9)}-05-11",
        Team=lambda chance, gone: chance.choice([" A", "B ", "C"]),
    )
    contract = parse_contract(render_draft(draft_contract(extract, "x")), "draft.toml")
    names = {column.source: name for name, column in contract.columns.items()}
    raw = extract.rename(names).with_row_index("row_number", 1)
    raw = raw.with_columns(pseudonym=pl.lit("ab"), split_bucket=pl.lit(1), batch=pl.lit("c0"))

    assert check_rows(raw, contract).n_rule_failures == {}


def test_a_draft_that_can_be_no_contract_names_the_rule_and_quotes_nothing() -> None:
    extract = make_extract().drop("Salary").with_columns(pl.lit("SECRET").alias("Team"))

    with pytest.raises(ContractFileError) as caught:
        draft_contract(extract, "x")

    assert caught.value.problems == ("the file: at least one column must be a feature",)
