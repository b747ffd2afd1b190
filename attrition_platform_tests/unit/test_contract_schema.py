"""Types of validated rows, audit groups, and the independent second look."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from attrition_platform.contracts.bands import band_of
from attrition_platform.contracts.dtypes import polars_dtype, validated_dtypes
from attrition_platform.contracts.model import Column, Contract
from attrition_platform.contracts.pandera_schema import SchemaProblem, find_schema_problems

CONTRACT = Contract.model_validate(
    {
        "name": "staff",
        "columns": {
            "staff_no": {"source": "No", "kind": "id"},
            "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
            "age": {"source": "Age", "kind": "count", "min": 16, "max": 100},
            "pay": {"source": "Pay", "kind": "continuous", "missing": "allow"},
            "level": {"source": "Level", "kind": "ordinal", "values": ["Mid", "Entry"]},
            "since": {"source": "Since", "kind": "date"},
            "note": {"source": "Note", "kind": "ignore"},
        },
    }
)


def make_rows(**changes: object) -> pl.DataFrame:
    row: dict[str, object] = {
        "pseudonym": "ab" * 16,
        "split_bucket": 7,
        "batch": "c0ffee",
        "age": 40,
        "pay": 10.5,
        "level": "Mid",
        "since": date(2020, 1, 2),
        "left": True,
    }
    return pl.DataFrame([row | changes, row], schema=validated_dtypes(CONTRACT))


def test_validated_rows_hold_features_and_label_but_neither_id_nor_ignored_columns() -> None:
    assert list(validated_dtypes(CONTRACT)) == [
        "pseudonym",
        "split_bucket",
        "batch",
        "age",
        "pay",
        "level",
        "since",
        "left",
    ]


def test_categories_keep_the_order_of_the_contract() -> None:
    assert polars_dtype(CONTRACT.columns["level"]) == pl.Enum(["Mid", "Entry"])


def test_rows_that_keep_the_contract_have_no_problem() -> None:
    assert find_schema_problems(make_rows(pay=None, left=None), CONTRACT) == ()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"age": 15}, SchemaProblem("age", "at least min", 1)),
        ({"age": 101}, SchemaProblem("age", "at most max", 1)),
        ({"split_bucket": 100}, SchemaProblem("split_bucket", "below 100", 1)),
        ({"pseudonym": "Jane Doe"}, SchemaProblem("pseudonym", "hexadecimal", 1)),
    ],
)
def test_a_broken_rule_is_found_and_counted(changes: dict[str, object], problem: SchemaProblem) -> None:
    assert find_schema_problems(make_rows(**changes), CONTRACT) == (problem,)


@pytest.mark.parametrize("column", ["age", "level", "since", "pseudonym", "split_bucket"])
def test_a_missing_value_is_found_where_none_may_be(column: str) -> None:
    assert [p.column for p in find_schema_problems(make_rows(**{column: None}), CONTRACT)] == [column]


@pytest.mark.parametrize(
    "frame",
    [
        make_rows().drop("pay"),
        make_rows().with_columns(pl.lit("x").alias("staff_no")),
        make_rows().with_columns(pl.col("age").cast(pl.Float64)),
        make_rows().with_columns(pl.col("level").cast(pl.String)),
    ],
    ids=["column missing", "column too many", "another number type", "text instead of categories"],
)
def test_a_frame_of_another_shape_is_found(frame: pl.DataFrame) -> None:
    assert find_schema_problems(frame, CONTRACT)


def test_no_problem_quotes_a_value() -> None:
    assert "Jane" not in repr(find_schema_problems(make_rows(pseudonym="Jane Doe"), CONTRACT))


def test_numbers_are_banded_at_the_cuts_and_unknown_stays_unknown() -> None:
    age = Column(source="Age", kind="count", bands=(30, 40))

    assert band_of(pl.Series([29, 30, 39, 40, None]), age).to_list() == [
        "under 30",
        "30 to below 40",
        "30 to below 40",
        "40 and over",
        None,
    ]


def test_one_cut_makes_two_groups() -> None:
    pay = Column(source="Pay", kind="continuous", bands=(2.5,))

    assert band_of(pl.Series([2.4, 2.5, None]), pay).to_list() == ["under 2.5", "2.5 and over", None]


def test_a_category_is_its_own_group() -> None:
    column = Column(source="Gender", kind="nominal", values=("F", "M"))

    groups = band_of(pl.Series(["M", None, "F"], dtype=pl.Enum(column.values)), column)

    assert groups.dtype == pl.String
    assert groups.to_list() == ["M", None, "F"]


@pytest.mark.parametrize("values", [[], [None, None]])
def test_no_known_value_makes_no_group(values: list[None]) -> None:
    age = Column(source="Age", kind="count", bands=(30, 50))

    assert band_of(pl.Series(values, dtype=pl.Int64), age).to_list() == values
