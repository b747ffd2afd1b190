"""Candidates, leaderboard and challenger."""

from typing import Any

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.materialize import Result, materialized, picture, table
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.stages import candidates
from attrition_platform.stages.challenger import PLOTS, build_challenger
from attrition_platform.stages.platform import Platform

TRIAL_COLUMNS = [
    "family",
    "number",
    "params",
    "roc_auc",
    "recall",
    "n_steps",
    "pruned",
    "cpu_seconds",
    "latency_ms",
]


def links_to(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Tags that lead from an MLflow run back to the Dagster run and asset."""
    return {
        "dagster.run_id": context.run.run_id,
        "dagster.job": context.run.job_name,
        "dagster.asset": context.assets_def.key.to_user_string(),
    }


def candidate_assets() -> list[dg.AssetsDefinition]:
    """Build ``candidates/<family>`` for every registered family."""
    return [_candidate(family) for family in FAMILIES]


def _candidate(family: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=["candidates", family],
        group_name="modeling",
        kinds={"scikitlearn", "mlflow"},
        owners=OWNERS,
        description=f"Family '{family}' with every setting that was tried: fitted on `train_split`, scored "
        "on `validation_split`. Read by `leaderboard`.",
    )
    def candidate(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        train_split: StepResult,
        validation_split: StepResult,
    ) -> Result:
        sides = {"train": train_split, "validation": validation_split}
        result = candidates.tune_candidate(platform, family, sides, links_to(context), context.log.info)
        best = result.facts["best"]
        return materialized(
            result,
            validation_roc_auc=best["roc_auc"],
            validation_recall=best["recall"],
            n_trials=len(result.facts["trials"]),
            n_pruned=sum(trial["pruned"] for trial in result.facts["trials"]),
            budget_exhausted=result.facts["budget_exhausted"],
            mlflow_run_id=result.measured["mlflow_run_id"],
            trials=table(candidates.all_trials(result), TRIAL_COLUMNS),
        )

    return candidate


@dg.asset(
    group_name="modeling",
    kinds={"csv"},
    owners=OWNERS,
    ins={family: dg.AssetIn(key=["candidates", family]) for family in FAMILIES},
)
def leaderboard(platform: dg.ResourceParam[Platform], **families: StepResult) -> Result:
    """All trials of all families, ranked; the first five as CSV.

    Ranked by validation ROC AUC; a tie goes to the model with fewer operations per row. Made from
    the candidates; read by `challenger` and by people.
    """
    result = candidates.rank_candidates(platform, families)
    winner = result.facts["winner"]
    return materialized(
        result,
        winner=winner["family"],
        winner_roc_auc=winner["roc_auc"],
        n_trials=len(result.facts["trials"]),
        top_five_csv=str(platform.file(result.files["leaderboard.csv"])),
        plot=picture(platform.file(result.files["leaderboard.png"]).read_bytes(), "leaderboard"),
        top_five=table(candidates.all_trials(result)[: candidates.LEADERS], TRIAL_COLUMNS),
    )


@dg.asset(group_name="modeling", kinds={"scikitlearn", "mlflow"}, owners=OWNERS)
def challenger(
    context: dg.AssetExecutionContext,
    platform: dg.ResourceParam[Platform],
    leaderboard: StepResult,
    train_split: StepResult,
    validation_split: StepResult,
    test_split: StepResult,
) -> Result:
    """The winner, refitted on train and validation, and evaluated once on test.

    Made from `leaderboard` and the sides; read by the audit, the frontier and the decision. The
    read of the test side is on record in the ledger.
    """
    sides = {"train": train_split, "validation": validation_split, "test": test_split}
    result = build_challenger(
        platform, leaderboard, sides, links_to(context), context.run.run_id, context.log.info
    )
    facts, measured = result.facts, result.measured
    metrics = facts["evaluation"]["metrics"]
    plots: dict[str, Any] = {
        f"plot_{name}": picture(platform.file(result.files[f"{name}.png"]).read_bytes(), name)
        for name in PLOTS
    }
    return materialized(
        result,
        version=facts["version"],
        family=facts["family"],
        **{f"test_{name}": estimate["value"] for name, estimate in metrics.items()},
        metrics=table(
            [{"metric": name} | estimate for name, estimate in metrics.items()],
            ["metric", "value", "low", "high"],
        ),
        threshold=facts["threshold"],
        reproducible=facts["reproducible"],
        model_bytes=measured["model_bytes"],
        training_cpu_seconds=measured["training_cpu_seconds"],
        training_cost=measured["training_cost"],
        latency_single_p95_ms=measured["latency"]["single_p95_ms"],
        mlflow_run_id=measured["mlflow_run_id"],
        drivers=table(facts["drivers"], ["feature", "importance", "effect"]),
        **plots,
    )


def challenger_assets() -> list[dg.AssetsDefinition]:
    """Assets that follow the candidates."""
    return [leaderboard, challenger]
