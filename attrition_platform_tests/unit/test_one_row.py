"""One employee's feature vector."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from attrition_platform.contracts.model import Column, Contract, Derived
from attrition_platform.contracts.rows import LARGEST_NUMBER
from attrition_platform.features.one_row import RowMaker
from attrition_platform.features.spec import FeatureSpec, feature_spec

LEVELS = ("Entry", "Mid", "Senior")
CONTRACT = Contract(
    name="plant",
    columns={
        "left": Column(source="Left", kind="label", values=("no", "yes"), positive="yes"),
        "level": Column(source="Level", kind="ordinal", values=LEVELS, missing="allow"),
        "pay": Column(source="Pay", kind="continuous", missing="allow"),
        "hours": Column(source="Hours", kind="count", missing="allow"),
        "hired": Column(source="Hired", kind="date", missing="allow"),
    },
    derived={
        "hourly": Derived(how="ratio", of=("pay", "hours"), group="pay"),
        "gap": Derived(how="difference", of=("pay", "hours"), group="pay"),
        "both": Derived(how="sum", of=("pay", "pay", "hours"), group="pay"),
    },
)
USUAL = {"level": "Mid", "pay": 100.0, "hours": 40, "hired": dt.date(1970, 1, 3)}


def vector_of(spec: FeatureSpec | None = None, **values: Any) -> dict[str, float]:
    spec = spec or feature_spec(CONTRACT)
    return dict(zip(spec.names, RowMaker(CONTRACT, spec).vector(USUAL | values), strict=True))


def make_spec(kind: Any, name: str, categories: tuple[str, ...] = ()) -> FeatureSpec:
    return FeatureSpec((name,), (kind,), (len(categories),), (name,), (categories,))


def test_every_feature_is_a_float_in_the_order_of_the_spec() -> None:
    vector = RowMaker(CONTRACT, feature_spec(CONTRACT)).vector(USUAL)

    assert vector == [1.0, 100.0, 40.0, 2.0, 2.5, 60.0, 240.0]
    assert {type(value) for value in vector} == {float}


def test_missing_values_are_nan_and_so_is_what_is_derived_from_them() -> None:
    vector = vector_of(level=None, hours=None, hired=None)

    missing = {name for name, value in vector.items() if math.isnan(value)}
    assert missing == {"level", "hours", "hired", "hourly", "gap", "both"}


@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_a_ratio_to_zero_is_missing(zero: float) -> None:
    assert math.isnan(vector_of(hours=zero)["hourly"])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hourly", {"pay": 1e10, "hours": 1e-6}),
        ("hourly", {"pay": -LARGEST_NUMBER, "hours": 5e-324}),
        ("gap", {"pay": -LARGEST_NUMBER, "hours": 1}),
        ("both", {"pay": LARGEST_NUMBER, "hours": 1}),
    ],
)
def test_a_derived_feature_beyond_all_accepted_numbers_is_missing(
    name: str, values: dict[str, float]
) -> None:
    assert math.isnan(vector_of(**values)[name])


def test_a_sum_is_taken_from_left_to_right() -> None:
    assert vector_of(pay=0.3, hours=40)["both"] == (0.3 + 0.3) + 40 != 0.3 + (0.3 + 40)


def test_codes_are_those_of_the_model_and_what_it_does_not_know_is_missing() -> None:
    spec = make_spec("category", "level", ("Senior", "Mid"))

    assert vector_of(spec, level="Mid") == {"level": 1.0}
    assert math.isnan(vector_of(spec, level="Entry")["level"])


def test_a_spec_without_lists_takes_the_contracts_codes() -> None:
    spec = FeatureSpec(("level",), ("category",), (3,), ("level",))

    assert vector_of(spec, level="Senior") == {"level": 2.0}


def test_a_forgotten_column_is_an_error_and_not_a_missing_value() -> None:
    with pytest.raises(KeyError, match="hours"):
        RowMaker(CONTRACT, feature_spec(CONTRACT)).vector({"level": None, "pay": None, "hired": None})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("number", "salary"),
        ("category", "left"),
        ("number", "level"),
        ("category", "pay"),
        ("category", "gap"),
        ("category", "hired"),
    ],
)
def test_a_model_that_does_not_fit_the_contract_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"no feature '{name}' of kind '{kind}'"):
        RowMaker(CONTRACT, make_spec(kind, name))
