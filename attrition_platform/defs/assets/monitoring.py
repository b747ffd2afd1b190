"""What is watched: the data, the outcomes, and the platform itself."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.materialize import Result, materialized, table
from attrition_platform.defs.run_history import read_runs
from attrition_platform.stages import telling
from attrition_platform.stages.drift import in_words, judge_newest
from attrition_platform.stages.performance import METRICS, judge_outcomes
from attrition_platform.stages.performance import in_words as outcomes_in_words
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.slo import in_words as promises_in_words
from attrition_platform.stages.slo import measure as measure_promises
from attrition_platform.stages.views import newest_or_none

# In a run that also trains, the window is judged first: against the champion that it met.
FIRST = {"dagster/priority": "10"}
# Judged after everything else of its run, and all the same when what it judges has failed.
LAST = {"dagster/priority": "-10"}


@dg.asset(group_name="monitoring", kinds={"evidently"}, owners=OWNERS, op_tags=FIRST)
def drift_report(
    context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], raw_employees: StepResult
) -> Result:
    """The newest batch against the data that the champion was made from.

    One row per column: its score (comparable with the customary 0.1), the test, the verdict. Made from
    `raw_employees` and the champion's reference in the ledger; read by the sensor `on_drift`. A window
    without drift is the normal outcome, a window without a champion says so. The link opens Evidently's
    report of the same window.
    """
    result = judge_newest(platform, raw_employees, context.log.info)
    telling.send(
        platform,
        telling.of_drift(platform, result, platform.settings.run_url(context.run.run_id)),
        context.log.warning,
    )
    facts = result.facts
    columns = [
        {"window": window["window"], "column": name, **column}
        for window in facts["windows"]
        for name, column in window["by_column"].items()
    ]
    return materialized(
        result,
        verdict=in_words(facts),
        drifted=facts["drifted"],
        score=facts["score"],
        n_drifted_columns=len(facts["columns"]),
        columns=table(columns, ["window", "column", "outcome", "score", "p_value", "text"]),
        schema_changes=table(facts["schema_changes"], ["kind", "column", "text"]),
        report=dg.MetadataValue.url(telling.report_url(platform, facts["window"])),
        reference=facts["reference"] or "none",
    )


@dg.asset(group_name="monitoring", kinds={"polars"}, owners=OWNERS, deps=["scored_employees"])
def performance_report(
    context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], validated_employees: StepResult
) -> Result:
    """What the champion's predictions turned out to be worth, as far as outcomes are known.

    One row per week and model: matured, estimated and unknown apart. Made from the prediction log, from what
    `scored_employees` said over time and from the files in `outcomes/`; read by the sensor
    `on_performance`. Too few outcomes are a normal result and no "ok".
    """
    before = newest_or_none(platform, "performance_report")
    result = judge_outcomes(platform, validated_employees, context.log.info)
    told = telling.of_performance(platform, result, before, platform.settings.run_url(context.run.run_id))
    telling.send(platform, told, context.log.warning)
    facts = result.facts
    judged = facts["judged"] or {"matured": {}, "estimated": {}, "unknown": {}}
    rows = [
        {
            "metric": name,
            "matured": _interval(judged["matured"], name),
            "estimated": _interval(judged["estimated"], name),
        }
        for name in METRICS
    ]
    weeks = [
        {"week": week["week"], "model": week["version"]}
        | {"matured": week["matured"]["n"], "unknown": week["unknown"]["n"]}
        | {name: _interval(week["matured"], name) for name in ("roc_auc", "recall", "accuracy")}
        for week in facts["weeks"]
    ]
    return materialized(
        result,
        verdict=outcomes_in_words(facts),
        n_matured=judged["matured"].get("n"),
        n_unknown=judged["unknown"].get("n"),
        metrics=table(rows, ["metric", "matured", "estimated"]),
        weeks=table(weeks, ["week", "model", "matured", "unknown", "roc_auc", "recall", "accuracy"]),
    )


@dg.asset(group_name="monitoring", owners=OWNERS, op_tags=LAST)
def slo_report(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Result:
    """Whether the platform keeps what it promises: ten indicators with their error budgets, and alerts.

    One row per measure with its value, target and what is left. Made from the run history, the ledger, the
    store and the newest other reports, which it does not wait for: the sensor `judge_promises` makes it anew
    every ten minutes, without a run. A promise without data is shown as such, never as kept.
    """
    window = timedelta(days=platform.policy.slo.window_days)
    runs = read_runs(context.instance, platform.clock() - window, without=context.run.run_id)
    before = newest_or_none(platform, "slo_report")
    result = measure_promises(platform, runs, context.log.info)
    told = telling.of_promises(platform, result, before, platform.settings.run_url(context.run.run_id))
    telling.send(platform, told, context.log.warning)
    facts = result.facts
    rows = [
        {"indicator": indicator["name"], **measure}
        | {"budget left": None if measure["budget"] is None else measure["budget"]["left_share"]}
        for indicator in facts["indicators"]
        for measure in indicator["measures"]
    ]
    return materialized(
        result,
        verdict=promises_in_words(facts),
        n_missed=facts["verdicts"]["missed"],
        n_alerts=len(facts["alerts"]),
        indicators=table(rows, ["name", "value", "target", "unit", "verdict", "budget left", "text"]),
        alerts=table(facts["alerts"], ["severity", "name", "text", "runbook"]),
    )


def _interval(metrics: Mapping[str, Any], name: str) -> str:
    found = metrics.get(name)
    return "" if found is None else f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def monitoring_assets() -> list[dg.AssetsDefinition]:
    """Build the assets of this stage."""
    return [drift_report, performance_report, slo_report]
