"""One feature definition for training, scoring and serving."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from attrition_platform.contracts.model import Column, Contract, Derived
from attrition_platform.contracts.rows import LARGEST_NUMBER
from attrition_platform.features.groups import compute_group
from attrition_platform.features.matrix import to_matrix
from attrition_platform.features.spec import FeatureSpec, feature_spec

LEVELS = ("Entry", "Mid", "Senior")


def make_contract(levels: tuple[str, ...] = LEVELS) -> Contract:
    return Contract(
        name="plant",
        columns={
            "left": Column(source="Left", kind="label", values=("no", "yes"), positive="yes"),
            "level": Column(source="Level", kind="ordinal", values=levels, group="career"),
            "pay": Column(source="Pay", kind="continuous", missing="allow", group="pay"),
            "hours": Column(source="Hours", kind="count", group="pay"),
            "age": Column(source="Age", kind="count", protected=True, group="people"),
            "hired": Column(source="Hired", kind="date", missing="allow", group="career"),
            "note": Column(source="Note", kind="ignore"),
        },
        derived={
            "hourly": Derived(how="ratio", of=("pay", "hours"), group="pay"),
            "age_after_hours": Derived(how="difference", of=("age", "hours"), group="people"),
            "both": Derived(how="sum", of=("pay", "hours"), group="pay"),
        },
    )


def make_validated(rows: list[dict[str, Any]], levels: tuple[str, ...] = LEVELS) -> pl.DataFrame:
    usual = {"level": "Mid", "pay": 100.0, "hours": 40, "age": 50, "hired": dt.date(1970, 1, 3)}
    types = {
        "level": pl.Enum(levels),
        "pay": pl.Float64,
        "hours": pl.Int64,
        "age": pl.Int64,
        "hired": pl.Date,
    }
    frame = pl.DataFrame([usual | row for row in rows], schema=types)
    return frame.with_columns(pseudonym=pl.int_range(len(rows)).cast(pl.String))


def compute_all(contract: Contract, validated: pl.DataFrame) -> pl.DataFrame:
    groups = [compute_group(validated, contract, group).drop("pseudonym") for group in contract.groups]
    return pl.concat([validated.select("pseudonym"), *groups], how="horizontal")


def test_a_group_has_its_own_columns_and_derived_features_and_no_other() -> None:
    contract, validated = make_contract(), make_validated([{}])

    found = {group: compute_group(validated, contract, group).columns for group in contract.groups}

    assert found == {
        "career": ["pseudonym", "level", "hired"],
        "pay": ["pseudonym", "pay", "hours", "hourly", "both"],
        "people": ["pseudonym", "age", "age_after_hours"],
    }


def test_a_group_needs_only_the_columns_that_the_contract_says_it_reads() -> None:
    contract, validated = make_contract(), make_validated([{}])

    for group, reads in contract.groups.items():
        compute_group(validated.select("pseudonym", *reads), contract, group)


def test_derived_features_are_what_they_say() -> None:
    row = compute_all(make_contract(), make_validated([{"pay": 90.0, "hours": 30, "age": 45}])).row(
        0, named=True
    )

    assert (row["hourly"], row["both"], row["age_after_hours"]) == (3.0, 120.0, 15.0)


def test_a_ratio_to_nothing_or_of_nothing_is_missing() -> None:
    features = compute_all(make_contract(), make_validated([{"hours": 0}, {"pay": None}]))

    assert features["hourly"].to_list() == [None, None]
    assert features["both"].to_list() == [100.0, None]


def test_a_derived_feature_never_exceeds_what_a_column_may_hold() -> None:
    """Forests and histograms refuse infinity, so one odd row would end the whole training."""
    contract = make_contract()
    contract = contract.model_copy(
        update={"derived": {"odd": Derived(how="ratio", of=("hours", "pay"), group="pay")}}
    )
    features = compute_all(contract, make_validated([{"pay": 1e-300}, {"pay": -1e-300}, {"pay": 10.0}]))

    assert features["odd"].to_list() == [None, None, 4.0]
    assert np.finfo(np.float32).max > LARGEST_NUMBER


def test_a_date_becomes_days_since_1970() -> None:
    validated = make_validated(
        [{"hired": dt.date(1970, 1, 3)}, {"hired": dt.date(1969, 12, 31)}, {"hired": None}]
    )

    assert compute_all(make_contract(), validated)["hired"].to_list() == [2, -1, None]


def test_the_matrix_follows_the_spec_and_not_the_order_of_the_frame() -> None:
    contract = make_contract()
    features = compute_all(contract, make_validated([{"level": "Senior", "pay": None}]))
    spec = feature_spec(contract)

    matrix = to_matrix(features.select(reversed(features.columns)), spec)

    assert spec.names == ("level", "pay", "hours", "age", "hired", "hourly", "age_after_hours", "both")
    np.testing.assert_array_equal(matrix, [[2, np.nan, 40, 50, 2, np.nan, 10, np.nan]])
    assert matrix.dtype == np.float64


def test_no_employees_make_a_matrix_without_rows() -> None:
    contract = make_contract()

    assert to_matrix(compute_all(contract, make_validated([{}]).head(0)), feature_spec(contract)).shape == (
        0,
        8,
    )


def test_excluding_a_column_excludes_what_is_computed_from_it() -> None:
    spec = feature_spec(make_contract(), frozenset({"age", "pay"}))

    assert spec.names == ("level", "hours", "hired")
    assert spec.source_columns == ("hired", "hours", "level")


def test_kinds_and_categories_come_from_the_contract() -> None:
    spec = feature_spec(make_contract())

    assert spec.kinds == ("category", "number", "count", "count", "number", "number", "number", "number")
    assert spec.categories == (LEVELS, *((),) * 7)
    assert spec.n_categories == (3, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "later", [("Mid", "Senior", "Entry"), ("Intern", "Entry", "Mid", "Senior")], ids=["reordered", "longer"]
)
def test_a_later_contract_does_not_shift_the_codes_that_a_stored_model_reads(later: tuple[str, ...]) -> None:
    """Otherwise the champion would read 'Mid' as 'Entry' the day that the list of values changes."""
    spec = feature_spec(make_contract())
    employees = [{"level": level} for level in LEVELS]

    features = compute_all(make_contract(later), make_validated(employees, later))

    assert to_matrix(features, spec)[:, 0].tolist() == [0, 1, 2]


def test_a_category_that_the_model_never_knew_counts_as_missing() -> None:
    later = (*LEVELS, "Board")
    features = compute_all(
        make_contract(later), make_validated([{"level": "Board"}, {"level": "Mid"}], later)
    )

    np.testing.assert_array_equal(to_matrix(features, feature_spec(make_contract()))[:, 0], [np.nan, 1])


def test_plain_text_and_stored_categories_make_the_same_matrix() -> None:
    contract = make_contract()
    features = compute_all(contract, make_validated([{"level": level} for level in LEVELS]))
    as_text = features.with_columns(pl.col("level").cast(pl.String))

    np.testing.assert_array_equal(
        to_matrix(as_text, feature_spec(contract)), to_matrix(features, feature_spec(contract))
    )


def test_scoring_one_employee_gives_the_row_that_training_saw() -> None:
    contract = make_contract()
    validated = make_validated([{"pay": 1.0 * i, "hours": i % 3, "level": LEVELS[i % 3]} for i in range(30)])
    spec = feature_spec(contract)

    together = to_matrix(compute_all(contract, validated), spec)
    alone = [to_matrix(compute_all(contract, validated[i]), spec) for i in range(30)]

    np.testing.assert_array_equal(np.vstack(alone), together)


def test_the_digest_changes_with_the_meaning_of_a_code() -> None:
    digests = {feature_spec(make_contract(levels)).digest for levels in (LEVELS, LEVELS[::-1], LEVELS[:2])}

    assert len(digests) == 3
    assert feature_spec(make_contract()).digest in digests


def test_a_spec_survives_its_json() -> None:
    spec = feature_spec(make_contract())

    again = FeatureSpec.from_json(json.loads(json.dumps(spec.as_json())))

    assert again == spec
    assert again.digest == spec.digest


@pytest.mark.parametrize(
    "change",
    [
        {"kinds": ["category"]},
        {"kinds": ["category", "letter", *["number"] * 6]},
        {"n_categories": [4, 0, 0, 0, 0, 0, 0, 0]},
        {"categories": [["Entry"]]},
    ],
    ids=["too few kinds", "unknown kind", "other count", "too few categories"],
)
def test_values_that_are_no_spec_are_refused(change: dict[str, Any]) -> None:
    values = json.loads(json.dumps(feature_spec(make_contract()).as_json())) | change

    with pytest.raises(ValueError, match="no feature spec"):
        FeatureSpec.from_json(values)
