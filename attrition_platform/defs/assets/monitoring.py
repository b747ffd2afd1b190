"""What is watched: the data, the outcomes, and the platform itself."""

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.materialize import Result, materialized, table
from attrition_platform.stages.drift import in_words, judge_newest
from attrition_platform.stages.platform import Platform

# In a run that also trains, the window is judged first: against the champion that it met.
FIRST = {"dagster/priority": "10"}


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
        report=dg.MetadataValue.url(f"{platform.settings.reports_url}/reports/{facts['window']}"),
        reference=facts["reference"] or "none",
    )


def monitoring_assets() -> list[dg.AssetsDefinition]:
    """Build the assets of this stage."""
    return [drift_report]
