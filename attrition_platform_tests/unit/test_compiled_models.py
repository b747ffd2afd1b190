"""A compiled model says what its pipeline says, one by one and for many, and adds up."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform.modeling.identity import make_probe
from attrition_platform.modeling.policy import Tiers
from attrition_platform.scoring.additive import AdditiveModel, Curve, Table, add_curves, step_curve
from attrition_platform.scoring.compiled import (
    CompiledModel,
    from_bytes,
    to_bytes,
    to_probabilities,
    to_probability,
)
from attrition_platform.scoring.judgement import (
    TIERS,
    is_flagged,
    tier_codes,
    tier_of,
    top_positions,
    top_reasons,
)
from attrition_platform.scoring.parity import parity_gap
from attrition_platform.scoring.pipelines import compile_pipeline
from attrition_platform.scoring.trees import MAX_BIT_LEAVES, TreeEnsemble
from attrition_platform_tests.fitted_models import SPEC, compile_family, fit_family, make_employees

PROBE = make_probe(SPEC)
LEAFY = {"learning_rate": 0.15, "l2_regularization": 1.0}
ROUNDING = 1e-14


def fit(family: str, X: np.ndarray, left: np.ndarray, **params: Any) -> Any:
    first = FAMILIES[family].first_params
    return fit_quietly(FAMILIES[family].build(SPEC, {**first, **params}, 7, 1), X, left)


def with_gaps() -> tuple[np.ndarray, np.ndarray]:
    """Employees of whom no one has level 2, and some have no level or count."""
    X, left = make_employees()
    X[X[:, 0] == 2, 0] = np.nan
    X[::7, 1] = np.nan
    return X, left


@pytest.mark.parametrize("family", FAMILIES)
def test_a_compiled_model_of_each_family_says_what_its_pipeline_says(family: str) -> None:
    compiled = from_bytes(to_bytes(compile_family(family)))

    for X in (make_employees()[0], with_gaps()[0], PROBE):
        assert parity_gap(compiled, fit_family(family), X) < ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("leaves", [2, 4, 16])
def test_codes_that_training_never_saw_and_missing_values_go_where_the_pipeline_sends_them(
    family: str, leaves: int
) -> None:
    if family != "boosted_trees" and leaves != 2:
        pytest.skip("only boosted trees have a number of leaves")
    X, left = with_gaps()
    pipeline = fit(family, X, left, **({"max_leaf_nodes": leaves} if family == "boosted_trees" else {}))

    compiled = compile_pipeline(pipeline, SPEC, X)

    for rows in (X, make_employees()[0], PROBE):
        assert parity_gap(compiled, pipeline, rows) < ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
def test_contributions_add_up_to_the_score_bit_by_bit(family: str) -> None:
    compiled = compile_family(family)
    scores, contributions = compiled.explain_rows(PROBE)

    for x, score, own in zip(PROBE.tolist(), scores.tolist(), contributions.tolist(), strict=True):
        one, parts = compiled.explain_one(x)
        total = compiled.base
        for part in parts:
            total += part
        assert (one, list(parts), total) == (score, own, score)


@pytest.mark.parametrize("family", ["logistic_regression", "boosted_trees"])
def test_the_average_employee_has_no_reasons(family: str) -> None:
    X, _ = make_employees()

    _, contributions = compile_family(family).explain_rows(X)

    assert np.abs(contributions.mean(axis=0)).max() < 1e-12


def test_a_forest_whose_trees_are_large_is_walked_and_a_small_one_struck_out() -> None:
    X, left = make_employees()
    large = fit("random_forest", X, left, min_samples_leaf=1)

    compiled = compile_pipeline(large, SPEC, X)

    assert isinstance(compiled, TreeEnsemble)
    assert max(tree.column.count(-1) for tree in compiled.trees) > MAX_BIT_LEAVES
    assert parity_gap(compiled, large, np.vstack([X, PROBE])) < ROUNDING


def test_many_rows_are_scored_in_chunks_as_they_are_at_once() -> None:
    X, left = make_employees()
    compiled = compile_pipeline(fit("boosted_trees", X, left, max_leaf_nodes=4), SPEC, X)
    many = np.tile(X, (4, 1))

    scores, contributions = compiled.explain_rows(many)

    assert np.array_equal(scores, np.tile(scores[: len(X)], 4))
    assert np.array_equal(contributions[-len(X) :], contributions[: len(X)])


def test_a_constant_number_compiles() -> None:
    X, left = make_employees()
    X[:, 2] = 5.0
    for family in FAMILIES:
        pipeline = fit(family, X, left)
        assert parity_gap(compile_pipeline(pipeline, SPEC, X), pipeline, np.vstack([X, PROBE])) < ROUNDING


def test_a_pipeline_of_another_kind_is_not_compiled() -> None:
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import Pipeline

    with pytest.raises(ValueError, match="GaussianNB can't be compiled"):
        compile_pipeline(Pipeline([("model", GaussianNB())]), SPEC, PROBE)


def test_parity_sees_a_wrong_number_and_a_score_that_is_none() -> None:
    X, _ = make_employees()
    pipeline, right = fit_family("logistic_regression"), compile_family("logistic_regression")
    assert isinstance(right, AdditiveModel)
    shifted = AdditiveModel(right.base + 1e-6, right.terms)
    broken = AdditiveModel(math.nan, right.terms)

    assert parity_gap(shifted, pipeline, X) == pytest.approx(2.5e-7, rel=0.2)
    assert parity_gap(broken, pipeline, X) == math.inf


def test_parity_sees_that_one_employee_is_scored_another_way_than_many() -> None:
    class Twofold(AdditiveModel):
        def explain_one(self, x: Any) -> Any:
            score, parts = super().explain_one(x)
            return math.nextafter(score, 9.0), parts

    right = compile_family("logistic_regression")
    assert isinstance(right, AdditiveModel)

    gap = parity_gap(Twofold(right.base, right.terms), fit_family("logistic_regression"), PROBE)

    assert gap == math.inf


@pytest.mark.parametrize("family", FAMILIES)
def test_a_compiled_model_is_written_the_same_each_time(family: str) -> None:
    data = to_bytes(compile_family(family))

    assert to_bytes(from_bytes(data)) == data


BROKEN: list[Any] = [
    b"",
    b"[]",
    b"{}",
    b'{"format": 2, "kind": "additive", "base": 0, "terms": []}',
    b'{"format": 1, "kind": "pickle"}',
    b'{"format": 1, "kind": "additive", "base": 0, "terms": [{"missing": 0}]}',
    b'{"format": 1, "kind": "additive", "base": 0, "terms": '
    b'[{"missing": 0, "breaks": [2, 1], "origins": [0, 0, 0], "cubics": [[0,0,0,0],[0,0,0,0],[0,0,0,0]]}]}',
    b'{"format": 1, "kind": "additive", "base": 0, "terms": '
    b'[{"missing": 0, "breaks": [1], "origins": [0], "cubics": [[0,0,0,0]]}]}',
]


@pytest.mark.parametrize("data", BROKEN)
def test_what_is_no_compiled_model_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="compiled model"):
        from_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"left": [0, 0, 0]},
        {"left": [9, 0, 0]},
        {"column": [7, -1, -1]},
        {"column": [-2, -1, -1]},
        {"value": [0.0]},
    ],
)
def test_a_tree_that_no_walk_can_leave_is_refused(change: dict[str, Any]) -> None:
    tree = {
        "column": [0, -1, -1],
        "threshold": [1.0, 0.0, 0.0],
        "left_codes": [None, None, None],
        "missing_left": [True, False, False],
        "left": [1, 0, 0],
        "right": [2, 0, 0],
        "value": [0.0, -1.0, 1.0],
    }
    values: dict[str, Any] = {
        "format": 1,
        "kind": "trees",
        "link": "logit",
        "offset": 0.0,
        "scale": 1.0,
        "n_features": 1,
        "columns": [{"feature": 0, "kind": "number", "fill": None}],
        "trees": [tree],
    }
    assert from_bytes(json.dumps(values).encode()).explain_one([0.5])[0] == -1.0

    with pytest.raises(ValueError, match="compiled model"):
        from_bytes(json.dumps(values | {"trees": [tree | change]}).encode())


def test_a_number_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_bytes(AdditiveModel(math.inf, [Table((0.0,), 0.0)]))


def test_two_curves_with_polynomials_that_do_not_share_an_origin_are_not_added() -> None:
    a = Curve((0.0,), (0.0, 1.0), ((0.0,) * 4, (0.0, 1.0, 0.0, 0.0)), 0.0)
    b = Curve((0.0,), (0.0, 2.0), ((0.0,) * 4, (0.0, 1.0, 0.0, 0.0)), 0.0)

    with pytest.raises(ValueError, match="different origins"):
        add_curves(a, b)
    assert add_curves(a, step_curve([(5.0, 1.0)], 0.0, 0.0)).scalar()(6.0) == 6.0


@pytest.mark.parametrize("score", [-900.0, -745.5, -40.0, -1e-17, 0.0, 3.0, 40.0, 900.0])
def test_a_probability_is_the_same_by_both_routes_and_never_leaves_its_range(score: float) -> None:
    one, many = to_probability(score, "logit"), to_probabilities(np.array([score]), "logit")[0]

    assert 0.0 <= one <= 1.0
    assert one == pytest.approx(many, rel=1e-15, abs=1e-300)


def test_tiers_and_flags_agree_between_one_and_many_at_every_edge() -> None:
    tiers = Tiers()
    edges = [tiers.high, tiers.medium, tiers.low]
    values = [0.0, 1.0, *edges, *(e - 1e-15 for e in edges), *(e - 1e-9 for e in edges)]

    many = [TIERS[code] for code in tier_codes(np.array(values), tiers)]

    assert many == [tier_of(value, tiers) for value in values]
    assert is_flagged(0.3 - 1e-13, 0.3)
    assert not is_flagged(0.3 - 1e-9, 0.3)


def test_reasons_of_one_are_those_of_many() -> None:
    compiled: CompiledModel = compile_family("logistic_regression")
    _, contributions = compiled.explain_rows(PROBE)
    positions = top_positions(contributions, 2)

    for own, found in zip(contributions.tolist(), positions.tolist(), strict=True):
        reasons = top_reasons(own, SPEC.names, SPEC.names, 2)
        assert [reason.feature for reason in reasons] == [SPEC.names[i] for i in found if own[i] != 0]
        assert all((reason.direction == "raises") == (reason.contribution > 0) for reason in reasons)
