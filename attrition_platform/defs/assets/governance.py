"""Audit, frontier and the decision."""

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.model import Contract
from attrition_platform.defs.assets.splits import by_group, feature_inputs
from attrition_platform.defs.materialize import Result, materialized, picture, table
from attrition_platform.stages import governance
from attrition_platform.stages.champion import decide_promotion
from attrition_platform.stages.platform import Platform

AUDIT_OWNERS = ["team:audit"]
CAUSE_TAG = "cause"


@dg.asset(group_name="governance", kinds={"parquet"}, owners=AUDIT_OWNERS)
def fairness_audit(
    platform: dg.ResourceParam[Platform], challenger: StepResult, protected_attributes: StepResult
) -> Result:
    """Group metrics of the challenger on test, in the layout of New York's Local Law 144 rule.

    One row per group of each protected column and of their combinations: n, unknown, selection
    rate, impact ratio with its interval, TPR, FPR, precision and calibration gap. Made from
    `challenger` and `protected_attributes`; read by `promotion_decision`.
    """
    result = governance.audit_fairness(platform, challenger, protected_attributes)
    ratios = {f"impact_ratio_{name}": r for name, r in result.facts["least_impact_ratios"].items()}
    columns = [
        "attribute",
        "group",
        "n",
        "selection_rate",
        "impact_ratio",
        "impact_ratio_low",
        "impact_ratio_high",
        "tpr",
        "fpr",
        "precision",
        "calibration_gap",
        "counted",
    ]
    return materialized(result, **ratios, audit=table(result.facts["rows"], columns))


def governance_assets(contract: Contract) -> list[dg.AssetsDefinition]:
    """Build the assets that need every feature group."""

    @dg.asset(
        group_name="governance",
        kinds={"scikitlearn"},
        owners=AUDIT_OWNERS,
        ins=feature_inputs(contract),
    )
    def frontier(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        challenger: StepResult,
        protected_attributes: StepResult,
        train_split: StepResult,
        validation_split: StepResult,
        **features: StepResult,
    ) -> Result:
        """What fairness costs and what accuracy costs, with and without protected and proxy columns.

        One row per set of columns: ROC AUC and recall against the least impact ratio, on validation.
        """
        sides = {"train": train_split, "validation": validation_split}
        result = governance.draw_frontier(
            platform, challenger, sides, by_group(features), protected_attributes, context.log.info
        )
        columns = ["variant", "excluded", "roc_auc", "recall", "least_impact_ratio"]
        png = platform.file(result.files["frontier.png"]).read_bytes()
        return materialized(
            result, points=table(result.facts["points"], columns), plot=picture(png, "frontier")
        )

    @dg.asset(group_name="governance", kinds={"json"}, owners=AUDIT_OWNERS, ins=feature_inputs(contract))
    def promotion_decision(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        challenger: StepResult,
        fairness_audit: StepResult,
        test_split: StepResult,
        **features: StepResult,
    ) -> Result:
        """Every gate of the policy with its value, limit and verdict.

        Made from `challenger`, the champion in force and `fairness_audit`; read by `champion`. A
        blocked challenger is a normal outcome.
        """
        result = decide_promotion(
            platform,
            challenger,
            fairness_audit,
            test_split,
            by_group(features),
            context.run.tags.get(CAUSE_TAG),
            context.log.info,
        )
        facts = result.facts
        return materialized(
            result,
            promoted=facts["promoted"],
            outcome=facts["outcome"],
            policy=facts["policy"],
            version=facts["version"],
            incumbent=facts["incumbent"] or "none",
            n_blocking=sum(g["enforced"] and not g["passed"] for g in facts["gates"]),
            gates=table(facts["gates"], ["name", "value", "limit", "passed", "enforced", "reason"]),
            decision=dg.MetadataValue.json(facts),
        )

    return [fairness_audit, frontier, promotion_decision]
