"""The same model has the same identity anywhere; another model has another."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.identity import make_probe, model_identity
from attrition_platform_tests.fitted_models import SPEC, fit_family, make_employees

CHECKOUT = Path(__file__).resolve().parents[2]
PROBE = make_probe(SPEC)
ONE_IDENTITY = """
import sys
from attrition_platform.modeling.identity import make_probe, model_identity
from attrition_platform_tests.fitted_models import SPEC, fit_family
for family in sys.argv[2:]:
    print(model_identity(fit_family(family, int(sys.argv[1])), SPEC, make_probe(SPEC)))
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_fitting_again_gives_the_same_identity(family: str) -> None:
    again = fit_family.__wrapped__(family)

    assert model_identity(again, SPEC, PROBE) == model_identity(fit_family(family), SPEC, PROBE)


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
def test_another_process_with_other_threads_and_hash_seed_gives_the_same_identity(n_threads: int) -> None:
    threads = {name: str(n_threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = os.environ | threads | {"PYTHONHASHSEED": str(n_threads), "PYTHONPATH": str(CHECKOUT)}

    done = subprocess.run(
        [sys.executable, "-c", ONE_IDENTITY, str(n_threads), *FAMILIES],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=120,
    )

    here = [model_identity(fit_family(family), SPEC, PROBE) for family in FAMILIES]
    assert done.stdout.split() == here


def test_every_family_has_an_identity_of_its_own() -> None:
    found = {model_identity(fit_family(family), SPEC, PROBE) for family in FAMILIES}

    assert len(found) == len(FAMILIES)
    assert all(len(identity) == 64 for identity in found)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "baseline"])
def test_one_more_employee_makes_another_model(family: str) -> None:
    more = fit_family(family, n_rows=1_501)

    assert model_identity(more, SPEC, PROBE) != model_identity(fit_family(family), SPEC, PROBE)


def test_the_same_numbers_under_other_names_are_another_model() -> None:
    renamed = replace(SPEC, names=("level", "promotions", "bonus"))
    model = fit_family("logistic_regression")

    assert model_identity(model, renamed, PROBE) != model_identity(model, SPEC, PROBE)


def make_linear(coefficient: float) -> Pipeline:
    model = LogisticRegression()
    X, left = make_employees(200)
    pipeline = Pipeline([("model", model.fit(np.nan_to_num(X), left))])
    model.coef_ = np.array([[coefficient, 0.0, 0.0]])
    return pipeline


def test_the_last_digits_of_a_coefficient_do_not_count_but_the_eighth_does() -> None:
    probe = np.nan_to_num(PROBE)
    base = model_identity(make_linear(0.1234), SPEC, probe)

    assert model_identity(make_linear(0.1234 * (1 + 1e-13)), SPEC, probe) == base
    assert model_identity(make_linear(0.12340001), SPEC, probe) != base


def test_a_learned_number_counts_even_where_the_probe_does_not_show_it() -> None:
    nowhere = np.zeros((3, 3))

    first, second = (model_identity(make_linear(c), SPEC, nowhere) for c in (0.5, 0.6))

    assert first != second


def test_a_single_changed_tree_counts() -> None:
    forest = fit_family.__wrapped__("random_forest")
    before = model_identity(forest, SPEC, np.full((1, 3), 0.0))
    forest.named_steps["model"].estimators_[3].tree_.value[-1] += 0.01

    assert model_identity(forest, SPEC, np.full((1, 3), 0.0)) != before


def test_an_identity_can_be_taken_twice() -> None:
    """Predicting must leave nothing behind that counts as learned."""
    model = fit_family("boosted_trees")

    assert model_identity(model, SPEC, PROBE) == model_identity(model, SPEC, PROBE)


def test_the_probe_follows_from_the_spec_alone() -> None:
    np.testing.assert_array_equal(make_probe(SPEC), PROBE)
    assert make_probe(replace(SPEC, names=("a", "b", "c"))).shape == (256, 3)


def test_the_probe_covers_every_category_and_missing_values() -> None:
    spec = FeatureSpec(("level", "site"), ("category", "category"), (5, 30), ("level", "site"))

    probe = make_probe(spec)

    for position, n_categories in enumerate(spec.n_categories):
        known = probe[:, position][np.isfinite(probe[:, position])]
        assert set(known) == set(range(n_categories))
    assert np.isnan(probe[-1]).all()
