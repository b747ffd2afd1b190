"""The champion and its card."""

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.assets.governance import AUDIT_OWNERS
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.materialize import Result, materialized
from attrition_platform.stages import champion as stage
from attrition_platform.stages.card import write_card
from attrition_platform.stages.platform import Platform


@dg.asset(group_name="governance", kinds={"mlflow"}, owners=OWNERS)
def champion(
    context: dg.AssetExecutionContext,
    platform: dg.ResourceParam[Platform],
    challenger: StepResult,
    promotion_decision: StepResult,
    split_manifest: StepResult,
    validated_employees: StepResult,
) -> Result:
    """The model version that serves, re-decided at each run.

    The head of the ledger, which the MLflow alias `champion` follows. Made from `challenger` and
    `promotion_decision`; read by scoring. Where the challenger is blocked, the champion stays.
    """
    inputs = {
        "validated_employees": validated_employees.data_version,
        "split_manifest": split_manifest.data_version,
        "challenger": challenger.data_version,
        "promotion_decision": promotion_decision.data_version,
    }
    result = stage.crown(
        platform,
        challenger,
        promotion_decision,
        validated_employees,
        inputs,
        context.run.run_id,
        context.log.info,
    )
    return materialized(
        result,
        version=result.facts["version"] or "none",
        promoted=promotion_decision.facts["promoted"],
        ledger_seq=result.measured["ledger_seq"],
        mlflow_version=result.measured["mlflow_version"] or "none",
    )


@dg.asset(group_name="governance", kinds={"markdown"}, owners=AUDIT_OWNERS)
def model_card(
    context: dg.AssetExecutionContext,
    platform: dg.ResourceParam[Platform],
    champion: StepResult,
    challenger: StepResult,
    promotion_decision: StepResult,
    fairness_audit: StepResult,
    frontier: StepResult,
    split_manifest: StepResult,
    validated_employees: StepResult,
    quarantined_employees: StepResult,
    raw_employees: StepResult,
) -> Result:
    """What the model is, for whom, how good and how fair, in the fields of Mitchell et al. (2019).

    Compiled from the assets above; every number names the materialization that it came from.
    """
    sources = {
        "champion": champion,
        "challenger": challenger,
        "promotion_decision": promotion_decision,
        "fairness_audit": fairness_audit,
        "frontier": frontier,
        "split_manifest": split_manifest,
        "validated_employees": validated_employees,
        "quarantined_employees": quarantined_employees,
        "raw_employees": raw_employees,
    }
    result = write_card(platform, sources)
    text = platform.file(result.files["model_card.md"]).read_text(encoding="utf-8")
    return materialized(
        result,
        card=dg.MetadataValue.md(text),
        html=str(platform.file(result.files["model_card.html"])),
    )


def champion_assets() -> list[dg.AssetsDefinition]:
    """Assets of this stage."""
    return [champion, model_card]
