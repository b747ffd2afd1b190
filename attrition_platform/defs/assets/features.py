"""One asset per feature group of the contract."""

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.model import Contract
from attrition_platform.defs.assets.ingest import OWNERS
from attrition_platform.defs.materialize import Result, materialized, row_count
from attrition_platform.stages.features import compute_features
from attrition_platform.stages.platform import Platform


def feature_assets(contract: Contract) -> list[dg.AssetsDefinition]:
    """Build the assets ``features/<group>`` that the contract declares."""
    return [_feature_asset(group, columns) for group, columns in contract.groups.items()]


def _feature_asset(group: str, columns: tuple[str, ...]) -> dg.AssetsDefinition:
    @dg.asset(
        key=["features", group],
        group_name="features",
        kinds={"polars"},
        owners=OWNERS,
        description=f"Features of group '{group}', one row per employee: computed from "
        f"{', '.join(columns)} of `validated_employees`, without anything fitted. Read by the splits; "
        "computed again only when one of these columns changes.",
    )
    def features(platform: dg.ResourceParam[Platform], validated_employees: StepResult) -> Result:
        result = compute_features(platform, validated_employees, group)
        return materialized(
            result,
            **row_count(result.facts["n_rows"]),
            features=", ".join(result.facts["features"]),
            reads=", ".join(result.facts["reads"]),
        )

    return features
