"""The manifest and the three sides."""

from collections.abc import Iterator

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.model import Contract
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.materialize import Result, materialized, row_count, table
from attrition_platform.stages import splits
from attrition_platform.stages.platform import Platform

_SIDE_DESCRIPTIONS = {
    "train": "One row per labelled employee that candidates learn from (70 %).",
    "validation": "One row per labelled employee that selects among candidates (15 %).",
    "test": "One row per labelled employee that verifies the challenger, read once per decision (15 %).",
}


def feature_inputs(contract: Contract) -> dict[str, dg.AssetIn]:
    """Inputs ``features_<group>`` for every feature group of the contract."""
    return {f"features_{group}": dg.AssetIn(key=["features", group]) for group in contract.groups}


def by_group(inputs: dict[str, StepResult]) -> dict[str, StepResult]:
    """Results of the feature groups by the group's name."""
    return {name.removeprefix("features_"): result for name, result in inputs.items()}


def split_assets(contract: Contract) -> list[dg.AssetsDefinition]:
    """Build the manifest and the sides, which hold exactly the columns that candidates may read."""

    @dg.multi_asset(
        name="split_employees",
        ins={"validated_employees": dg.AssetIn()} | feature_inputs(contract),
        outs={
            "split_manifest": dg.AssetOut(
                group_name="splits",
                kinds={"json"},
                owners=OWNERS,
                description="Who is on which side and the fingerprint of exactly that: a keyed hash of the "
                "employee, so nobody moves as data grows. Made from the features and "
                "`validated_employees`; read by the model card and auditors.",
            )
        }
        | {
            f"{side}_split": dg.AssetOut(
                group_name="splits", kinds={"parquet"}, owners=OWNERS, description=description
            )
            for side, description in _SIDE_DESCRIPTIONS.items()
        },
    )
    def split_employees(
        platform: dg.ResourceParam[Platform], validated_employees: StepResult, **features: StepResult
    ) -> Iterator[Result]:
        manifest, sides = splits.split(platform, validated_employees, by_group(features))
        facts = manifest.facts
        yield materialized(
            manifest,
            asset="split_manifest",
            fingerprint_of_sides=facts["fingerprint"],
            rule=facts["rule"],
            cross_validated=facts["cross_validated"],
            n_unlabelled=facts["n_unlabelled"],
            n_without_side=facts["n_without_side"],
            excluded_columns=", ".join(sorted(platform.excluded_columns)) or "none",
            sides=table(
                [
                    {"side": s, "employees": facts["n_rows"][s], "left_rate": facts["left_rate"][s]}
                    for s in splits.SIDES
                ],
                ["side", "employees", "left_rate"],
            ),
        )
        for side, result in sides.items():
            rate = result.facts["n_positive"] / max(1, result.facts["n_rows"])
            yield materialized(
                result, asset=f"{side}_split", **row_count(result.facts["n_rows"]), left_rate=rate
            )

    return [split_employees]
