"""What every model family must bear, whatever an extract holds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from attrition_platform.features.spec import FeatureKind, FeatureSpec
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform_tests.fitted_models import SPEC, fit_family, make_employees

LEARNING = [name for name, family in FAMILIES.items() if family.searchable]
N = 600
RNG = np.random.default_rng(11)
NUMBER = RNG.normal(size=N)
LEFT = RNG.random(N) < 1 / (1 + np.exp(2.5 - NUMBER))


class Middle:
    """Answers a family's questions with the middle of each range, or the lower or upper end."""

    def __init__(self, share: float) -> None:
        self.share = share

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(low * (high / low) ** self.share) if log else low + self.share * (high - low)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return round(self.suggest_float(name, low, high, log=log))

    def suggest_categorical(self, name: str, choices: list[int]) -> int:
        return choices[round(self.share * (len(choices) - 1))]


def score(
    family: str, X: np.ndarray, kinds: tuple[FeatureKind, ...], n_categories: tuple[int, ...], X_new=None
):
    names = tuple(f"feature_{i}" for i in range(len(kinds)))
    spec = FeatureSpec(names, kinds, n_categories, names)
    pipeline = FAMILIES[family].build(spec, FAMILIES[family].first_params, 3, 1)
    fit_quietly(pipeline, X, LEFT)
    return pipeline.predict_proba(X if X_new is None else np.asarray(X_new, dtype=float))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("column", "kind", "n_categories"),
    [
        (np.full(N, 3.0), "number", 0),
        (np.full(N, 3.0), "count", 0),
        (np.full(N, np.nan), "number", 0),
        (np.full(N, np.nan), "count", 0),
        (np.full(N, np.nan), "category", 4),
        (np.where(np.arange(N) == 0, 5.0, np.nan), "number", 0),
        (np.arange(N) % 300.0, "category", 300),
        (np.where(np.arange(N) % 2, 1e15, -1e15), "number", 0),
        (np.exp(6 * NUMBER), "number", 0),
        (np.arange(N) + 15_000.0, "count", 0),
    ],
    ids=[
        "constant number", "constant count", "no number", "no count", "no category", "one number",
        "300 categories", "largest numbers", "skewed", "days",
    ],
)  # fmt: skip
def test_an_odd_column_does_not_end_the_training(
    family: str, column: np.ndarray, kind: FeatureKind, n_categories: int
) -> None:
    y_prob = score(family, np.column_stack([column, NUMBER]), (kind, "number"), (n_categories, 0))

    assert y_prob.shape == (N, 2)
    assert np.isfinite(y_prob).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_categories_alone_and_numbers_alone_are_enough(family: str) -> None:
    codes = (np.arange(N) % 3.0).reshape(-1, 1)

    assert np.isfinite(score(family, codes, ("category",), (3,))).all()
    assert np.isfinite(score(family, NUMBER.reshape(-1, 1), ("number",), (0,))).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_and_gaps_that_training_never_saw_are_scored(family: str) -> None:
    X = np.column_stack([np.arange(N) % 3.0, NUMBER])

    y_prob = score(
        family, X, ("category", "number"), (5, 0), [[4, 0], [9, 0], [np.nan, np.nan], [0, 1e15], [0, -1e15]]
    )

    assert np.isfinite(y_prob).all()


@pytest.mark.parametrize("family", ["logistic_regression", "boosted_trees"])
def test_a_gap_that_training_never_saw_is_an_ordinary_value_and_no_extreme(family: str) -> None:
    """A missing income must not score like the lowest one."""
    y_prob = score(family, NUMBER.reshape(-1, 1), ("number",), (0,), [[-3.0], [np.nan], [3.0]])[:, 1]

    assert y_prob[0] < y_prob[1] < y_prob[2]


@pytest.mark.parametrize("family", LEARNING)
def test_a_missing_value_that_tells_the_label_is_learned(family: str) -> None:
    from sklearn.metrics import roc_auc_score

    holes = np.where(LEFT, np.nan, 1.0)  # filled with its median, the column would say nothing

    y_prob = score(family, np.column_stack([holes, NUMBER]), ("number", "number"), (0, 0))[:, 1]

    assert roc_auc_score(LEFT, y_prob) > 0.95


@pytest.mark.parametrize("family", LEARNING)
def test_few_leavers_are_ranked_and_their_share_is_kept(family: str) -> None:
    """Imbalance is left in the probabilities, because tiers and thresholds read them."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(8)
    X = rng.normal(size=(4_000, 2))
    left = rng.random(4_000) < 1 / (1 + np.exp(3.6 - 1.2 * X[:, 0]))
    spec = FeatureSpec(("a", "b"), ("number", "number"), (0, 0), ("a", "b"))
    pipeline = FAMILIES[family].build(spec, FAMILIES[family].first_params, 3, 1)

    y_prob = fit_quietly(pipeline, X[:3_000], left[:3_000]).predict_proba(X[3_000:])[:, 1]

    assert 0.03 < left.mean() < 0.08
    assert roc_auc_score(left[3_000:], y_prob) > 0.7
    assert y_prob.mean() == pytest.approx(left[3_000:].mean(), abs=0.02)


@pytest.mark.parametrize("family", LEARNING)
def test_a_learning_family_beats_the_baseline(family: str) -> None:
    from sklearn.metrics import roc_auc_score

    X, left = make_employees(1_000, seed=99)

    assert roc_auc_score(left, fit_family("baseline").predict_proba(X)[:, 1]) == 0.5
    assert roc_auc_score(left, fit_family(family).predict_proba(X)[:, 1]) > 0.75


@pytest.mark.parametrize("family", ["random_forest", "boosted_trees"])
def test_growing_in_stages_ends_in_the_model_that_the_refit_builds(family: str) -> None:
    """Otherwise the challenger would not be the model that the search scored."""
    X, left = make_employees(600)
    params = dict(FAMILIES[family].first_params)
    grown = FAMILIES[family].build(SPEC, params, 7, 1)

    for stage in FAMILIES[family].stages(params):
        fit_quietly(grown.set_params(**stage), X, left)

    at_once = fit_quietly(FAMILIES[family].build(SPEC, params, 7, 1), X, left)
    np.testing.assert_array_equal(grown.predict_proba(X), at_once.predict_proba(X))


@pytest.mark.parametrize("family", ["random_forest", "boosted_trees"])
def test_more_than_five_stages_leave_something_to_stop(family: str) -> None:
    assert len(FAMILIES[family].stages(FAMILIES[family].first_params)) > 5


@pytest.mark.parametrize("family", LEARNING)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_every_corner_of_the_search_space_can_be_fitted(family: str, share: float) -> None:
    params = FAMILIES[family].space(Middle(share))
    X, left = make_employees(300)

    pipeline = fit_quietly(FAMILIES[family].build(SPEC, params, 7, 1), X, left)

    assert set(params) == set(FAMILIES[family].first_params)
    assert np.isfinite(pipeline.predict_proba(X)).all()
    assert FAMILIES[family].n_operations(SPEC, params) > 0


def test_a_stump_model_is_a_sum_over_single_columns() -> None:
    X, _ = make_employees(200)
    X = np.nan_to_num(X)
    model = fit_family("boosted_trees")
    a, b = X[0].copy(), X[1].copy()
    a_with_b, b_with_a = a.copy(), b.copy()
    a_with_b[2], b_with_a[2] = b[2], a[2]

    odds = np.log(model.predict_proba(np.array([a, b, a_with_b, b_with_a]))[:, 1])
    odds -= np.log(model.predict_proba(np.array([a, b, a_with_b, b_with_a]))[:, 0])

    assert odds[0] + odds[1] == pytest.approx(odds[2] + odds[3])
    assert odds[0] != pytest.approx(odds[2])


def test_fitting_is_quiet_about_constant_counts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(
            "logistic_regression",
            np.column_stack([np.full(N, 2.0), np.arange(N) % 4.0]),
            ("count",) * 2,
            (0, 0),
        )


def test_fitting_lets_other_warnings_through() -> None:
    from sklearn.dummy import DummyClassifier

    class Talkative(DummyClassifier):
        def fit(self, X: np.ndarray, y: np.ndarray) -> None:
            warnings.warn("something else", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="something else"):
        fit_quietly(Talkative(), NUMBER.reshape(-1, 1), LEFT)
