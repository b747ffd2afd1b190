"""One fitted, tuned pipeline per model family, and the leaderboard of all trials."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.splits import allowed_spec, load_sides
from attrition_platform.stages.threads import single_threaded_kernels

if TYPE_CHECKING:
    from attrition_platform.adapters.mlflow_registry import OpenRun
    from attrition_platform.modeling.tuning import Trial, TuningResult

MODEL_CODE = ("modeling/families", "modeling/tuning.py", "features/spec.py", "features/matrix.py")
LEADERS = 5


def tune_candidate(
    platform: Platform, family: str, sides: Mapping[str, StepResult], links: Mapping[str, str], tell: Progress
) -> StepResult:
    """Search one family's settings on train and validation; the test side is not read.

    Parameters
    ----------
    family : str
        Name in the registry of families.
    sides : mapping of str to StepResult
        The sides ``train`` and ``validation``.
    links : mapping
        Tags of the MLflow run that lead back to the Dagster run.
    tell : callable
        Progress in plain words.

    Returns
    -------
    StepResult
        Facts: ``trials`` (what repeats exactly) and ``best``. Measured: seconds and latency by trial,
        and the MLflow run.
    """

    def compute(out: StepOutput) -> None:
        with platform.registry.run(experiment(platform), f"candidates/{family}", links) as run:
            with single_threaded_kernels():
                result = _tune(platform, family, sides)
            _log_trials(run, family, sides, result.trials)
        best = result.trials[result.best_index]
        out.facts.update(
            trials=[_repeatable(trial) for trial in result.trials],
            best=_repeatable(best),
            budget_exhausted=result.budget_exhausted,
        )
        out.measured.update(
            trials=[{"cpu_seconds": t.cpu_seconds, "latency_ms": t.latency_ms} for t in result.trials],
            mlflow_run_id=run.run_id,
        )
        tell(
            f"{family}: validation ROC AUC {best.roc_auc:.4f}, best of {len(result.trials)} trials "
            f"({sum(t.pruned for t in result.trials)} pruned, "
            f"{sum(t.cpu_seconds for t in result.trials):.1f} CPU s)."
        )

    return platform.steps.run(
        f"candidates/{family}",
        compute,
        code=code_version(*MODEL_CODE),
        inputs={side: result.data_version for side, result in sides.items()},
        config={
            "tuning": platform.policy.tuning.model_dump(mode="json"),
            "spec": allowed_spec(platform).digest,
            "small": platform.policy.splits.model_dump(mode="json"),
            "versions": library_versions(),
        },
    )


def library_versions() -> dict[str, str]:
    """Versions that change what a fit learns, read without importing the libraries."""
    from importlib.metadata import version

    return {name: version(name) for name in ("scikit-learn", "numpy", "optuna")}


def _tune(platform: Platform, family: str, sides: Mapping[str, StepResult]) -> TuningResult:
    from attrition_platform.modeling.families import FAMILIES
    from attrition_platform.modeling.splits import needs_cross_validation
    from attrition_platform.modeling.tuning import tune

    train, validation = load_sides(platform, sides["train"]), load_sides(platform, sides["validation"])
    both = load_sides(platform, sides["train"], sides["validation"])
    small = needs_cross_validation(len(both.y_true), platform.policy.splits)
    return tune(
        family,
        FAMILIES[family],
        allowed_spec(platform),
        train=(train.X, train.y_true),
        validation=(validation.X, validation.y_true),
        folds=(both.X, both.y_true, both.folds) if small else None,
        budget=platform.policy.tuning,
        n_families=sum(known.searchable for known in FAMILIES.values()),
        n_jobs=platform.settings.n_threads,
    )


def _repeatable(trial: Trial) -> dict[str, Any]:
    return {k: v for k, v in asdict(trial).items() if k not in ("cpu_seconds", "latency_ms")}


def _log_trials(
    run: OpenRun, family: str, sides: Mapping[str, StepResult], trials: tuple[Trial, ...]
) -> None:
    from attrition_platform.adapters.mlflow_registry import TrialRecord

    run.log_dataset("train_split", sides["train"].data_version, sides["train"].facts["n_rows"])
    run.log({"family": family}, {"best_roc_auc": max(trial.roc_auc for trial in trials)})
    run.log_trials(
        [
            TrialRecord(
                name=f"{family}-{trial.number}",
                params=trial.params,
                metrics={
                    "roc_auc": trial.roc_auc,
                    "recall": trial.recall,
                    "cpu_seconds": trial.cpu_seconds,
                    "latency_ms": trial.latency_ms,
                    "n_steps": float(trial.n_steps),
                },
                pruned=trial.pruned,
            )
            for trial in trials
        ]
    )


def experiment(platform: Platform) -> str:
    """MLflow experiment of this contract."""
    return f"attrition/{platform.contract.name}"


def rank_candidates(platform: Platform, candidates: Mapping[str, StepResult]) -> StepResult:
    """Rank the trials of all families.

    Returns
    -------
    StepResult
        Facts: ``trials``, best first, and ``winner``. File ``leaderboard.csv``: the first five.
    """

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling.plots import leaderboard_plot
        from attrition_platform.modeling.tuning import Trial, rank

        trials = [
            Trial(**(repeatable | measured))
            for result in candidates.values()
            for repeatable, measured in zip(result.facts["trials"], result.measured["trials"], strict=True)
        ]
        ranked = rank(trials)
        out.facts["trials"] = [_repeatable(trial) for trial in ranked]
        out.facts["winner"] = _repeatable(ranked[0])
        out.measured["trials"] = [{"cpu_seconds": t.cpu_seconds, "latency_ms": t.latency_ms} for t in ranked]
        rows = [_repeatable(trial) | {"rank": place} for place, trial in enumerate(ranked[:LEADERS], 1)]
        out.file("leaderboard.csv").write_text(_as_csv(rows), encoding="utf-8")
        out.file("leaderboard.png").write_bytes(leaderboard_plot(ranked))

    return platform.steps.run(
        "leaderboard",
        compute,
        code=code_version("modeling/tuning.py", "modeling/plots.py", "stages/candidates.py"),
        inputs={family: result.data_version for family, result in candidates.items()},
        config={},
    )


def all_trials(leaderboard: StepResult) -> list[dict[str, Any]]:
    """Trials of a leaderboard with what was measured of each, best first."""
    measured = leaderboard.measured["trials"]
    return [fact | noise for fact, noise in zip(leaderboard.facts["trials"], measured, strict=True)]


def _as_csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    columns = ["rank", *(name for name in rows[0] if name != "rank")]
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([row | {"params": json.dumps(row["params"], sort_keys=True)} for row in rows])
    return buffer.getvalue()
