"""Drivers of a model whose truth the test knows."""

from __future__ import annotations

import numpy as np
import pytest

from attrition_platform.modeling.drivers import Driver, find_drivers
from attrition_platform_tests.fitted_models import SPEC, fit_family, make_employees


def find(family: str, seed: int = 3) -> dict[str, Driver]:
    X, left = make_employees()
    return {driver.feature: driver for driver in find_drivers(fit_family(family), SPEC, X, left, seed)}


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest", "boosted_trees"])
def test_what_moves_employees_comes_before_what_does_not(family: str) -> None:
    found = find(family)

    assert next(iter(found)) == "level"
    assert list(found)[-1] == "promotions"
    assert found["level"].importance > found["pay"].importance > found["promotions"].importance


def test_more_pay_lowers_the_probability_and_a_category_has_no_direction() -> None:
    found = find("logistic_regression")

    assert found["pay"].effect is not None
    assert found["pay"].effect < -0.1
    assert found["level"].effect is None


def test_a_constant_model_rests_on_nothing() -> None:
    found = find("baseline")

    assert [driver.importance for driver in found.values()] == [0.0, 0.0, 0.0]
    assert list(found) == sorted(found)
    assert found["pay"].effect == 0.0


def test_the_same_seed_finds_the_same() -> None:
    assert find("logistic_regression") == find("logistic_regression")
    assert find("logistic_regression") != find("logistic_regression", seed=4)


def test_the_matrix_is_left_as_it_was() -> None:
    X, left = make_employees(300)
    before = X.copy()

    find_drivers(fit_family("logistic_regression"), SPEC, X, left, 3)

    np.testing.assert_array_equal(X, before)


def test_a_feature_that_is_always_missing_has_no_effect() -> None:
    X, left = make_employees(300)
    X[:, 2] = np.nan

    found = {d.feature: d for d in find_drivers(fit_family("logistic_regression"), SPEC, X, left, 3)}

    assert found["pay"].effect is None
    assert found["pay"].importance == pytest.approx(0.0)


def test_a_rarely_filled_count_still_has_a_direction() -> None:
    X, left = make_employees(300)
    X[:, 1] = (np.arange(300) == 5).astype(float)  # 10th and 90th percentile are both 0

    found = {d.feature: d for d in find_drivers(fit_family("logistic_regression"), SPEC, X, left, 3)}

    assert found["promotions"].effect is not None
