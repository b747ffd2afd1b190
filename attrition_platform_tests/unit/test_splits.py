"""Sides follow the employee, and a manifest says who is where."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from attrition_platform.contracts.model import Column, Contract
from attrition_platform.modeling.policy import SmallDataRule
from attrition_platform.modeling.splits import (
    assign_sides,
    build_manifest,
    fold_of,
    needs_cross_validation,
    side_of,
)

RULE = SmallDataRule(cross_validate_below_rows=5_000)
DAY = dt.date(2024, 1, 1)


def make_contract(*, by_date: bool = False) -> Contract:
    return Contract(
        name="plant",
        out_of_time="seen" if by_date else None,
        columns={
            "left": Column(source="Left", kind="label", values=("no", "yes"), positive="yes"),
            "seen": Column(source="Seen", kind="date", missing="allow"),
        },
    )


def make_employees(n_rows: int = 1_000, **changes: Any) -> pl.DataFrame:
    """One employee per day; each bucket has the same number of them."""
    columns = {
        "pseudonym": [f"{i:032x}" for i in range(n_rows)],
        "split_bucket": pl.Series([(i * 37) % 100 for i in range(n_rows)], dtype=pl.UInt8),
        "left": [i % 3 == 0 for i in range(n_rows)],
        "seen": [DAY + dt.timedelta(days=i) for i in range(n_rows)],
    }
    return pl.DataFrame(columns | changes, schema_overrides={"left": pl.Boolean, "seen": pl.Date})


def count(sides: pl.Series) -> dict[str | None, int]:
    return dict(sides.value_counts().rows())


def test_sides_are_70_15_15_by_bucket() -> None:
    employees = make_employees()

    sides = assign_sides(employees, make_contract())

    assert count(sides) == {"train": 700, "validation": 150, "test": 150}
    assert sides.to_list() == [side_of(bucket) for bucket in employees["split_bucket"]]


def test_nobody_without_a_label_has_a_side() -> None:
    employees = make_employees(4, left=[None, True, None, False])

    assert assign_sides(employees, make_contract()).is_null().to_list() == [True, False, True, False]


def test_more_employees_move_nobody() -> None:
    fewer, more = (assign_sides(make_employees(n), make_contract()) for n in (300, 1_000))

    assert more[:300].to_list() == fewer.to_list()


def test_the_newest_are_the_test_side_when_the_contract_names_a_date() -> None:
    employees = make_employees()

    sides = assign_sides(employees, make_contract(by_date=True))

    assert employees.filter(sides == "test")["seen"].min() > employees.filter(sides != "test")["seen"].max()
    assert count(sides)["test"] == 150
    assert count(sides)["train"] / 850 == pytest.approx(70 / 85, abs=0.02)


def test_a_day_is_never_cut_in_two() -> None:
    days = [DAY + dt.timedelta(days=min(i, 700)) for i in range(1_000)]
    employees = make_employees(seen=days)

    sides = assign_sides(employees, make_contract(by_date=True))

    assert set(sides[700:]) == {"test"}
    assert count(sides)["test"] == 300


def test_only_labelled_employees_decide_where_the_newest_begin() -> None:
    left = [None if i >= 500 else i % 3 == 0 for i in range(1_000)]

    sides = assign_sides(make_employees(left=left), make_contract(by_date=True))

    assert count(sides[:500])["test"] == 75
    assert count(sides[500:]) == {None: 500}


def test_an_employee_without_a_date_has_no_side_and_is_counted() -> None:
    days = [None if i % 10 == 0 else DAY + dt.timedelta(days=i) for i in range(1_000)]
    employees, contract = make_employees(seen=days), make_contract(by_date=True)
    sides = assign_sides(employees, contract)

    manifest = build_manifest(employees, sides, contract, RULE)

    assert manifest.n_without_side == sides.null_count() == 100
    assert sum(manifest.n_rows.values()) == 900
    assert manifest.n_unlabelled == 0


def manifest_of(employees: pl.DataFrame, **changes: Any) -> Any:
    contract = make_contract(**changes)
    return build_manifest(employees, assign_sides(employees, contract), contract, RULE)


def test_a_manifest_counts_every_employee_once() -> None:
    left = [None if i % 5 == 0 else i % 3 == 0 for i in range(1_000)]

    manifest = manifest_of(make_employees(left=left))

    assert sum(manifest.n_rows.values()) + manifest.n_unlabelled == 1_000
    assert manifest.n_unlabelled == 200
    assert sum(manifest.n_positive.values()) == sum(label is True for label in left)
    assert manifest.facts()["left_rate"]["train"] == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("by_date", [False, True])
def test_no_employees_make_an_empty_manifest(by_date: bool) -> None:
    manifest = manifest_of(make_employees(0), by_date=by_date)

    assert manifest.n_rows == {"train": 0, "validation": 0, "test": 0}
    assert manifest.facts()["left_rate"] == {"train": None, "validation": None, "test": None}


@pytest.mark.parametrize(
    "change",
    [
        {"left": [i % 3 == 1 for i in range(1_000)]},
        {"pseudonym": [f"{i + 1:032x}" for i in range(1_000)]},
        {"split_bucket": pl.Series([(i * 37 + 50) % 100 for i in range(1_000)], dtype=pl.UInt8)},
    ],
    ids=["label", "employee", "side"],
)
def test_the_fingerprint_follows_employee_side_and_label(change: dict[str, Any]) -> None:
    fingerprint = manifest_of(make_employees()).fingerprint

    assert manifest_of(make_employees(**change)).fingerprint != fingerprint
    assert manifest_of(make_employees()).fingerprint == fingerprint


def test_unlabelled_employees_do_not_change_the_fingerprint() -> None:
    """A champion's evaluation stays comparable when new people, whose outcome is open, are hired."""
    known = make_employees(500)
    hired = make_employees(600, left=[None] * 600)[500:]

    assert manifest_of(pl.concat([known, hired])).fingerprint == manifest_of(known).fingerprint


def test_the_rule_in_words_names_the_date_column() -> None:
    assert "'seen'" in manifest_of(make_employees(), by_date=True).rule
    assert "70/15/15" in manifest_of(make_employees()).rule


@pytest.mark.parametrize(("n_rows", "wanted"), [(4_999, True), (5_000, False), (0, True)])
def test_small_data_is_cross_validated(n_rows: int, wanted: bool) -> None:
    assert needs_cross_validation(n_rows, RULE) is wanted


def test_cross_validation_is_decided_without_the_test_side() -> None:
    employees, contract = make_employees(), make_contract()
    sides = assign_sides(employees, contract)

    decided = [
        build_manifest(employees, sides, contract, SmallDataRule(cross_validate_below_rows=n)).cross_validated
        for n in (850, 851)
    ]

    assert decided == [False, True]


def test_every_fold_has_a_fifth_of_the_buckets_of_train_and_validation() -> None:
    assert np.bincount(fold_of(np.arange(85, dtype=np.uint8))).tolist() == [17] * 5
