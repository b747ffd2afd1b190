"""The search keeps to its budget, stops what is hopeless, and repeats."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform.modeling.policy import TuningBudget
from attrition_platform.modeling.tuning import Clocks, Trial, TuningResult, rank, tune
from attrition_platform_tests.fitted_models import SPEC, make_employees

X, LEFT = make_employees(600)
TRAIN, VALIDATION = (X[:400], LEFT[:400]), (X[400:], LEFT[400:])


class Scripted:
    """A model whose ranking is as good as it is told; it learns nothing."""

    def __init__(self, qualities: list[list[float]]) -> None:
        self.qualities = qualities
        self.n_built = -1
        self.n_fits: list[int] = []

    first_params: Mapping[str, Any] = {"number": 0.5}
    searchable = True

    def space(self, trial: Any) -> dict[str, Any]:
        return {"number": trial.suggest_float("number", 0.0, 1.0)}

    def build(self, spec: Any, params: Any, seed: int, n_jobs: int) -> Any:
        self.n_built += 1
        self.n_fits.append(0)
        return _ScriptedPipeline(self)

    def stages(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"stage": i} for i in range(len(self.qualities[0]))]

    def n_operations(self, spec: Any, params: Any) -> int:
        return 7


class _ScriptedPipeline:
    def __init__(self, family: Scripted) -> None:
        self.family = family

    def set_params(self, **params: Any) -> _ScriptedPipeline:
        return self

    def fit(self, X: np.ndarray, y_true: np.ndarray) -> _ScriptedPipeline:
        self.family.n_fits[-1] += 1
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        quality = self.family.qualities[self.family.n_built][self.family.n_fits[-1] - 1]
        n_wrong = round((1 - quality) * len(X))
        risk = X[:, 0].copy()
        risk[:n_wrong] = 1 - risk[:n_wrong]
        return np.column_stack([1 - risk, risk])


def make_scripted_rows() -> tuple[np.ndarray, np.ndarray]:
    left = np.arange(200) % 2 == 1
    return left.astype(float).reshape(-1, 1), left


def search(family: Any = None, **changes: Any) -> TuningResult:
    given: dict[str, Any] = {
        "name": "logistic_regression",
        "trials": 3,
        "seconds": 3_600.0,
        "n_families": 1,
    } | changes
    budget = TuningBudget(trials=given.pop("trials"), seconds=given.pop("seconds"), seed=given.pop("seed", 5))
    sides = {"train": TRAIN, "validation": VALIDATION, "folds": None, "spec": SPEC}
    name = given.pop("name")
    return tune(name, budget=budget, family=family or FAMILIES[name], **(sides | given))


def search_script(qualities: list[list[float]]) -> tuple[TuningResult, Scripted]:
    rows, family = make_scripted_rows(), Scripted(qualities)
    return search(family, name="scripted", trials=len(qualities), train=rows, validation=rows), family


def repeatable(result: TuningResult) -> list[tuple[Any, ...]]:
    return [(t.number, t.params, t.roc_auc, t.recall, t.n_steps, t.pruned) for t in result.trials]


def test_the_first_trial_is_at_the_family_s_good_settings() -> None:
    first = search(trials=1).trials[0]

    assert first.params == dict(FAMILIES["logistic_regression"].first_params)
    assert (first.family, first.number, first.n_steps, first.pruned) == ("logistic_regression", 0, 1, False)


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest"])
def test_the_same_seed_finds_the_same_and_another_looks_elsewhere(family: str) -> None:
    one, again, other = search(name=family), search(name=family), search(name=family, seed=6)

    assert repeatable(one) == repeatable(again)
    assert [t.params for t in other.trials[1:]] != [t.params for t in one.trials[1:]]


def test_each_trial_tries_another_setting() -> None:
    assert len({str(t.params) for t in search(trials=5).trials}) == 5


def test_the_best_trial_is_the_first_of_the_ranking() -> None:
    result = search(trials=4)

    assert result.trials[result.best_index] == rank(result.trials)[0]


def test_a_score_is_the_one_of_scikit_learn_on_the_validation_side() -> None:
    from sklearn.metrics import recall_score, roc_auc_score

    family = FAMILIES["logistic_regression"]
    pipeline = fit_quietly(family.build(SPEC, family.first_params, 5, 1), *TRAIN)
    y_prob = pipeline.predict_proba(VALIDATION[0])[:, 1]

    trial = search(trials=1).trials[0]

    assert trial.roc_auc == pytest.approx(roc_auc_score(VALIDATION[1], y_prob))
    assert trial.recall == pytest.approx(recall_score(VALIDATION[1], y_prob >= 0.5))


def test_a_family_with_nothing_to_tune_is_tried_once() -> None:
    result = search(name="baseline", trials=4)

    assert [(t.roc_auc, t.params) for t in result.trials] == [(0.5, {})]
    assert not result.budget_exhausted


def make_clock(seconds_per_look: float) -> Clocks:
    looks = iter(range(1_000_000))
    return Clocks(wall=lambda: next(looks) * seconds_per_look, cpu=lambda: 0.0)


def test_time_ends_a_search_and_the_result_says_so() -> None:
    result = search(trials=50, seconds=100.0, clocks=make_clock(1.0))

    assert 1 < len(result.trials) < 50
    assert result.budget_exhausted


def test_families_share_the_seconds() -> None:
    alone, shared = (search(trials=50, seconds=200.0, n_families=n, clocks=make_clock(1.0)) for n in (1, 4))

    assert len(shared.trials) < len(alone.trials) < 50


def test_one_trial_is_made_however_little_time_there_is() -> None:
    result = search(seconds=1e-9, clocks=make_clock(1.0))

    assert len(result.trials) == 1
    assert result.budget_exhausted


def test_a_search_that_ends_by_itself_is_not_called_exhausted() -> None:
    assert not search().budget_exhausted


GOOD = [0.8] * 8
HOPELESS = [0.6] * 8


def test_a_hopeless_trial_is_stopped_after_five_steps() -> None:
    result, family = search_script([GOOD, GOOD, HOPELESS, GOOD])

    assert [t.n_steps for t in result.trials] == [8, 8, 5, 8]
    assert [t.pruned for t in result.trials] == [False, False, True, False]
    assert family.n_fits[2] == 5


def test_nothing_is_stopped_before_five_steps() -> None:
    """A slow starter may still win."""
    late = [0.6, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9]

    result, _ = search_script([GOOD, GOOD, late])

    assert [t.pruned for t in result.trials] == [False, False, False]
    assert result.best_index == 2


def test_the_first_two_trials_are_never_stopped() -> None:
    result, _ = search_script([GOOD, HOPELESS])

    assert [t.n_steps for t in result.trials] == [8, 8]


def test_a_trial_that_reached_its_last_step_is_complete() -> None:
    """It has cost everything that it could cost, so calling it pruned would claim a saving."""
    short, poor = [0.8] * 5, [0.6] * 5

    result, _ = search_script([short, short, poor])

    assert [t.n_steps for t in result.trials] == [5, 5, 5]
    assert [t.pruned for t in result.trials] == [False, False, False]


def cross_validate(left: np.ndarray, **changes: Any) -> TuningResult:
    folds = (X[: len(left)], left, np.arange(len(left)) % 5)
    return search(train=(X[:400], left[:400]), validation=(X[400:600], left[400:600]), folds=folds, **changes)


def test_small_data_is_scored_by_the_mean_over_folds() -> None:
    from sklearn.metrics import roc_auc_score

    family, fold = FAMILIES["logistic_regression"], np.arange(600) % 5
    expected = []
    for held_out in range(5):
        inside = fold == held_out
        pipeline = fit_quietly(family.build(SPEC, family.first_params, 5, 1), X[~inside], LEFT[~inside])
        expected.append(roc_auc_score(LEFT[inside], pipeline.predict_proba(X[inside])[:, 1]))

    trial = cross_validate(LEFT, trials=1).trials[0]

    assert trial.n_steps == 5
    assert trial.roc_auc == pytest.approx(np.mean(expected))


def test_a_fold_without_both_classes_is_left_out() -> None:
    left = LEFT.copy()
    left[np.arange(600) % 5 == 0] = False

    assert cross_validate(left, trials=1).trials[0].n_steps == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_usable_fold_the_validation_side_selects(family: str) -> None:
    """Two leavers of one fold: no fold has both classes inside and outside."""
    left = np.zeros(600, dtype=bool)
    left[[5, 500]] = True

    result = cross_validate(left, name=family, trials=2)

    for trial in result.trials:
        assert trial.n_steps >= 1
        assert np.isfinite([trial.roc_auc, trial.recall, trial.latency_ms]).all()


def test_a_validation_side_of_one_class_ends_the_search_without_a_score() -> None:
    one_class = (VALIDATION[0], np.zeros(200, dtype=bool))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = search(validation=one_class, trials=3)

    assert len(result.trials) == 3
    assert np.isnan([t.roc_auc for t in result.trials]).all()


def make_trial(family: str = "forest", roc_auc: float = 0.8, **changes: Any) -> Trial:
    usual: dict[str, Any] = {
        "number": 0, "params": {}, "recall": 0.5, "n_steps": 1, "pruned": False,
        "n_operations": 10, "cpu_seconds": 1.0, "latency_ms": 1.0,
    }  # fmt: skip
    return Trial(family=family, roc_auc=roc_auc, **(usual | changes))


def test_measured_latency_does_not_change_the_ranking() -> None:
    """Noise of the clock must not pick another champion on another day."""
    trials = [make_trial("a", latency_ms=9.0), make_trial("b", latency_ms=1.0)]
    later = [make_trial("a", latency_ms=1.0), make_trial("b", latency_ms=9.0)]

    assert [t.family for t in rank(trials)] == [t.family for t in rank(later)] == ["a", "b"]


def test_a_tie_goes_to_the_cheaper_model_and_a_better_score_beats_it() -> None:
    cheap, dear = make_trial("cheap", 0.80001, n_operations=5), make_trial("dear", 0.80004, n_operations=50)
    better = make_trial("better", 0.8001, n_operations=500)

    assert [t.family for t in rank([dear, cheap, better])] == ["better", "cheap", "dear"]


def test_pruned_trials_and_those_without_a_score_come_last() -> None:
    ranked = rank(
        [make_trial("pruned", 0.99, pruned=True), make_trial("nan", float("nan")), make_trial("poor", 0.51)]
    )

    assert [t.family for t in ranked] == ["poor", "nan", "pruned"]
