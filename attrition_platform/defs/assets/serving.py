"""Everyone scored by the champion."""

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.model import Contract
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.assets.splits import by_group, feature_inputs
from attrition_platform.defs.materialize import Result, materialized, row_count, table
from attrition_platform.scoring.judgement import TIERS
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.scored import N_BINS, score_employees


def scored_assets(contract: Contract) -> list[dg.AssetsDefinition]:
    """Build the asset of this stage."""

    @dg.asset(
        group_name="serving",
        kinds={"polars"},
        owners=OWNERS,
        ins={"validated_employees": dg.AssetIn()} | feature_inputs(contract),
        deps=["champion"],
    )
    def scored_employees(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        validated_employees: StepResult,
        **features: StepResult,
    ) -> Result:
        """Every current employee with risk, tier, flag and the strongest reasons.

        One row per employee who is not known to have left. Scored by the champion that the ledger names
        now; the strongest contributions are named in plain words, and all of them add up to the score.
        Read by `attrition scored export`.
        """
        result = score_employees(platform, validated_employees, by_group(features), context.log.info)
        facts = result.facts
        bins = [
            {"probability": f"{i / N_BINS:.2f} to {(i + 1) / N_BINS:.2f}", "rows": n}
            for i, n in enumerate(facts["histogram"])
        ]
        tiers = [{"tier": tier, "rows": facts["by_tier"][tier]} for tier in TIERS]
        return materialized(
            result,
            **row_count(facts["n_rows"]),
            model_version=facts["version"],
            n_flagged=facts["n_flagged"],
            n_known_to_have_left=facts["n_known_to_have_left"],
            by_tier=table(tiers, ["tier", "rows"]),
            probabilities=table(bins, ["probability", "rows"]),
            scored_at=result.measured["scored_at"],
        )

    return [scored_employees]
