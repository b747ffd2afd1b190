"""What looks wrong before a model is fitted, on made-up columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from attrition_platform.modeling.suspicion import (
    Finding,
    SuspicionLimits,
    cramers_v,
    find_suspicious,
    single_auc,
)

N = 2_000
RNG = np.random.default_rng(4)
LEFT = RNG.random(N) < 0.3
LABEL = pl.Series(LEFT)
AGE = RNG.integers(20, 65, N)


def find(column: Any, protected: dict[str, Any] | None = None, **limits: float) -> tuple[Finding, ...]:
    features = pl.DataFrame({"tested": column})
    return find_suspicious(features, LABEL, pl.DataFrame(protected or {}), SuspicionLimits(**limits))


def kinds(found: tuple[Finding, ...]) -> list[str]:
    return [finding.kind for finding in found]


def test_ordinary_columns_are_not_suspicious() -> None:
    sites = pl.Series(RNG.choice(["north", "south", "west"], N), dtype=pl.Enum(["north", "south", "west"]))
    mild = LEFT * 1.0 + RNG.normal(0, 1.5, N)
    features = pl.DataFrame({"site": sites, "pay": RNG.normal(5, 2, N), "score": mild, "steps": AGE // 5})

    assert find_suspicious(features, LABEL, pl.DataFrame({"gender": RNG.integers(0, 2, N)})) == ()


@pytest.mark.parametrize("dead", [[1] * N, ["same"] * N, [None] * N])
def test_a_column_of_one_value_is_dead(dead: list[Any]) -> None:
    assert kinds(find(dead)) == ["dead-feature"]


def test_a_column_that_is_sometimes_filled_is_not_dead() -> None:
    assert find([1 if i % 3 else None for i in range(N)]) == ()


@pytest.mark.parametrize(
    "leak",
    [
        LEFT.astype(int),
        np.where(LEFT, "notice given", "none"),
        LEFT * 10.0 + RNG.normal(0, 1, N),
        -(LEFT * 10.0),
        np.where(LEFT, AGE % 7, 10 + AGE % 7),
    ],
    ids=["code", "word", "number", "falling", "levels"],
)
def test_a_column_that_tells_the_label_is_a_leak(leak: Any) -> None:
    (finding,) = find(leak)

    assert (finding.kind, finding.column, finding.limit) == ("leak", "tested", 0.95)
    assert finding.value > 0.95


def test_a_date_that_only_leavers_have_is_a_leak() -> None:
    exit_day = [float(i) if left else None for i, left in enumerate(LEFT)]

    assert kinds(find(exit_day)) == ["leak"]


def test_a_middle_range_that_tells_the_label_is_a_leak() -> None:
    """Neither high nor low values leave, so the value itself ranks nobody."""
    middle = np.where(LEFT, RNG.uniform(-1, 1, N), RNG.choice([-1, 1], N) * RNG.uniform(2, 3, N))

    assert kinds(find(middle)) == ["leak"]


def test_a_column_of_many_values_is_no_leak_by_chance() -> None:
    labels = pl.Series([f"team {i}" for i in RNG.integers(0, 400, N)])

    assert find(labels, max_single_auc=0.6) == ()


@pytest.mark.parametrize("own", [np.arange(N), [f"E{i}" for i in range(N)]], ids=["number", "word"])
def test_a_column_in_which_everyone_differs_copies_the_id(own: Any) -> None:
    assert kinds(find(own)) == ["copy-of-id"]


def test_an_id_given_out_by_age_is_only_called_an_id() -> None:
    by_age = np.argsort(np.argsort(AGE, kind="stable"))

    assert kinds(find(by_age, {"age": AGE})) == ["copy-of-id"]


def test_a_measured_quantity_may_differ_between_all() -> None:
    assert find(RNG.normal(5, 2, N)) == ()


def test_a_column_that_tells_a_protected_one_is_a_proxy_of_it() -> None:
    gender = RNG.integers(0, 2, N)
    club = np.where(RNG.random(N) < 0.95, gender, 1 - gender)

    (finding,) = find(club, {"gender": gender, "age": AGE})

    assert (finding.kind, finding.of) == ("proxy", "gender")
    assert 0.8 < finding.value < 1.0


def test_years_of_work_are_a_proxy_of_age() -> None:
    assert kinds(find(np.maximum(AGE - 20 - RNG.integers(0, 3, N), 0), {"age": AGE})) == ["proxy"]


def test_a_trend_that_bins_hide_is_a_proxy_up_or_down_and_despite_gaps() -> None:
    """Half the spread is noise: Cramér's V of ten bins is 0.27, the rank correlation 0.7."""
    falling = -AGE + RNG.normal(0, AGE.std(), N)
    some = [None if i % 5 == 0 else float(value) for i, value in enumerate(falling)]

    (finding,) = find(some, {"age": AGE})

    assert (finding.kind, finding.of) == ("proxy", "age")
    assert 0.6 < finding.value < 0.8


def test_a_protected_column_is_no_proxy_of_itself() -> None:
    frame = pl.DataFrame({"age": AGE})

    assert find_suspicious(frame, LABEL, frame) == ()


def test_limits_decide() -> None:
    weak = np.where(RNG.random(N) < 0.8, LEFT, ~LEFT).astype(int)

    assert find(weak) == ()
    assert kinds(find(weak, max_single_auc=0.7)) == ["leak"]


def test_missing_values_may_tell_the_label_too() -> None:
    interview = [None if left else int(a) for left, a in zip(LEFT, AGE, strict=True)]

    assert kinds(find(interview)) == ["leak"]


def test_one_class_alone_finds_no_leak() -> None:
    assert single_auc(pl.Series([1, 2, 3]), np.array([True, True, True])) == 0.5


def test_unrelated_columns_have_no_association_even_when_small() -> None:
    drawn = [
        cramers_v(
            np.random.default_rng(i).integers(0, 5, 60), np.random.default_rng(i + 999).integers(0, 4, 60)
        )
        for i in range(50)
    ]

    assert np.mean(drawn) < 0.12


def test_cramers_v_is_the_one_of_scipy_before_the_correction() -> None:
    from scipy.stats.contingency import association

    left = RNG.integers(0, 3, 200_000)
    right = np.where(RNG.random(200_000) < 0.5, left, RNG.integers(0, 3, 200_000))
    table = np.histogram2d(left, right, bins=3)[0].astype(int)

    assert cramers_v(left, right) == pytest.approx(association(table, method="cramer"), abs=1e-4)


def test_more_rows_than_are_looked_at_and_none_at_all_are_fine() -> None:
    many = pl.DataFrame({"code": np.tile(LEFT.astype(int), 60)})

    assert kinds(find_suspicious(many, pl.Series(np.tile(LEFT, 60)), pl.DataFrame())) == ["leak"]
    empty = pl.DataFrame({"code": pl.Series([], dtype=pl.Int64)})
    assert kinds(find_suspicious(empty, pl.Series([], dtype=pl.Boolean), pl.DataFrame())) == ["dead-feature"]
