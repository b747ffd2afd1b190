"""Budgeted search of one family's settings, and the ranking of all trials.

The budget is first a number of trials, which repeats exactly, and then a number of seconds, a safety
net: when the clock ends a search, the result says so, because another machine may get further. The
clock is read between trials; a trial that has begun runs to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families.family import Family, fit_quietly

if TYPE_CHECKING:
    from attrition_platform.modeling.policy import TuningBudget

Rows = tuple[np.ndarray, np.ndarray]
Folds = tuple[np.ndarray, np.ndarray, np.ndarray]
_STARTUP_TRIALS = 2
_LATENCY_REPEATS = 15
AUC_DIGITS = 4


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Attributes
    ----------
    family, number, params
        Which family, the how-manieth trial, and its settings.
    roc_auc, recall : float
        On the validation side (or the mean over folds); recall at probability 0.5.
    n_steps : int
        Growth stages or folds that were computed.
    pruned : bool
        Whether the median rule stopped it before its last step; its scores are then those of the step
        that it reached.
    n_operations : int
        Estimated operations per scored row, the repeatable stand-in for latency.
    cpu_seconds, latency_ms : float
        Measured, so they differ from run to run.
    """

    family: str
    number: int
    params: dict[str, Any]
    roc_auc: float
    recall: float
    n_steps: int
    pruned: bool
    n_operations: int
    cpu_seconds: float
    latency_ms: float


@dataclass(frozen=True)
class TuningResult:
    """Trials of one family in the order they were tried."""

    trials: tuple[Trial, ...]
    best_index: int
    budget_exhausted: bool


@dataclass(frozen=True)
class Clocks:
    """Wall and CPU clock in seconds; tests replace them."""

    wall: Callable[[], float] = time.monotonic
    cpu: Callable[[], float] = time.process_time


class _Search:
    """One family's search; the state that a trial needs."""

    def __init__(
        self,
        name: str,
        family: Family,
        spec: FeatureSpec,
        train: Rows,
        validation: Rows,
        folds: Folds | None,
        seed: int,
        n_jobs: int,
        clocks: Clocks,
    ) -> None:
        self.name, self.family, self.spec = name, family, spec
        self.train, self.validation, self.folds = train, validation, folds
        self.seed, self.n_jobs, self.clocks = seed, n_jobs, clocks

    def run(self, number: int, params: dict[str, Any], stop: Callable[[int, float], bool]) -> Trial:
        """Fit one setting step by step, asking after each whether to stop."""
        started = self.clocks.cpu()
        held_out = self._usable_folds()
        steps = self._folds(params, held_out) if held_out else self._stages(params)
        n_planned = len(held_out) or len(self.family.stages(params)) or 1
        done: list[tuple[Any, float, float]] = []
        pruned = False
        for step in steps:
            done.append(step)
            # After the last step there is nothing left to save, so the trial counts as complete.
            if stop(len(done), step[1]) and len(done) < n_planned:
                pruned = True
                break
        pipeline, roc_auc, recall = done[-1]
        return Trial(
            family=self.name,
            number=number,
            params=params,
            roc_auc=float(roc_auc),
            recall=float(recall),
            n_steps=len(done),
            pruned=pruned,
            n_operations=self.family.n_operations(self.spec, params),
            cpu_seconds=round(self.clocks.cpu() - started, 4),
            latency_ms=round(self._latency_ms(pipeline), 4),
        )

    def _stages(self, params: dict[str, Any]) -> Any:
        pipeline = self.family.build(self.spec, params, self.seed, self.n_jobs)
        X, y_true = self.validation
        for stage in self.family.stages(params) or [{}]:
            fit_quietly(pipeline.set_params(**stage), *self.train)
            yield pipeline, *_scores(y_true, pipeline.predict_proba(X)[:, 1])

    def _usable_folds(self) -> list[np.ndarray]:
        """Rows of each fold that has both classes inside and outside; none without cross-validation."""
        if self.folds is None:
            return []
        _, y_true, fold = self.folds
        inside = [fold == held_out for held_out in np.unique(fold)]
        return [rows for rows in inside if _has_both(y_true[rows]) and _has_both(y_true[~rows])]

    def _folds(self, params: dict[str, Any], held_out: list[np.ndarray]) -> Any:
        assert self.folds is not None
        X, y_true, _ = self.folds
        scores = []
        for inside in held_out:
            pipeline = self.family.build(self.spec, params, self.seed, self.n_jobs)
            fit_quietly(pipeline, X[~inside], y_true[~inside])
            scores.append(_scores(y_true[inside], pipeline.predict_proba(X[inside])[:, 1]))
            yield pipeline, *np.mean(scores, axis=0)

    def _latency_ms(self, pipeline: Any) -> float:
        row = (self.validation if self.folds is None else self.folds)[0][:1]
        seconds = []
        for _ in range(_LATENCY_REPEATS):
            started = self.clocks.wall()
            pipeline.predict_proba(row)
            seconds.append(self.clocks.wall() - started)
        return float(np.median(seconds)) * 1000


def _has_both(y_true: np.ndarray) -> bool:
    return bool(y_true.any()) and not y_true.all()


def _scores(y_true: np.ndarray, y_prob: np.ndarray) -> tuple[float, float]:
    from sklearn.metrics import recall_score, roc_auc_score

    if not _has_both(y_true):
        return float("nan"), 0.0
    recall = recall_score(y_true, y_prob >= 0.5, zero_division=0.0)
    return float(roc_auc_score(y_true, y_prob)), float(recall)


def tune(
    name: str,
    family: Family,
    spec: FeatureSpec,
    *,
    train: Rows,
    validation: Rows,
    folds: Folds | None,
    budget: TuningBudget,
    n_families: int,
    n_jobs: int = 1,
    clocks: Clocks | None = None,
) -> TuningResult:
    """Search a family's settings within the budget.

    Parameters
    ----------
    train, validation : tuple of (X, y_true)
        X of shape (n_employees, n_features), y_true of bool.
    folds : tuple of (X, y_true, fold) or None
        For small data: cross-validate over these rows instead; a step is then a fold. A fold without
        both classes inside and outside is left out, and when none is left the validation side selects.
    budget : TuningBudget
        Trials per family, seconds for all families together, steps before median stopping.
    n_families : int
        Families that share the seconds.

    Returns
    -------
    TuningResult
        At least one trial: the first is never cut short.

    Notes
    -----
    Median stopping: Golovin et al., "Google Vizier", KDD 2017, section 3.2.2; seeded TPE sampler.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clocks = clocks or Clocks()
    search = _Search(name, family, spec, train, validation, folds, budget.seed, n_jobs, clocks)
    deadline = clocks.wall() + budget.seconds / n_families
    if not family.searchable:
        return TuningResult((search.run(0, {}, lambda *_: False),), 0, False)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=budget.seed, n_startup_trials=_STARTUP_TRIALS),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=budget.median_stopping_steps
        ),
    )
    study.enqueue_trial(dict(family.first_params))
    trials: list[Trial] = []
    exhausted = False
    for number in range(budget.trials):
        if number and clocks.wall() >= deadline:
            exhausted = True
            break
        asked = study.ask()
        params = family.space(asked)

        def stop(step: int, score: float, asked: Any = asked) -> bool:
            asked.report(score, step)
            return bool(asked.should_prune())

        trial = search.run(number, params, stop)
        if trial.pruned:
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        elif np.isnan(trial.roc_auc):
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, trial.roc_auc)
        trials.append(trial)
    best = rank(trials)[0]
    return TuningResult(tuple(trials), trials.index(best), exhausted)


def rank(trials: Sequence[Trial]) -> list[Trial]:
    """Order trials, best first.

    Pruned trials come last. Then ROC AUC to four digits; a tie goes to the cheaper model by its
    estimated operations per row, not by measured latency, so that noise can't change the winner.

    Examples
    --------
    >>> def trial(family, auc, n_operations, pruned=False):
    ...     return Trial(family, 0, {}, auc, 0.5, 1, pruned, n_operations, 1.0, 1.0)
    >>> ranked = rank([trial("slow", 0.85001, 900), trial("quick", 0.85002, 30), trial("cut", 0.9, 1, True)])
    >>> [t.family for t in ranked]
    ['quick', 'slow', 'cut']
    """

    def place(trial: Trial) -> tuple[bool, float, int, str, int]:
        score = -1.0 if np.isnan(trial.roc_auc) else round(trial.roc_auc, AUC_DIGITS)
        return (trial.pruned, -score, trial.n_operations, trial.family, trial.number)

    return sorted(trials, key=place)
