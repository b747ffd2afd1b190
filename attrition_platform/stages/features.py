"""Stateless engineered columns, one stored table per feature group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.errors import StoreError
from attrition_platform.stages.ingest import hashes_of, read_columns
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl


def compute_features(platform: Platform, validated: StepResult, group: str) -> StepResult:
    """Compute one group from only the columns that it reads.

    Returns
    -------
    StepResult
        File ``features.parquet``: `pseudonym` and the group's features, in the order of the
        validated rows. Depends on no other column, so it is computed again only when one of its own
        changes.
    """
    contract = platform.contract
    columns = ("pseudonym", *contract.groups[group])

    def compute(out: StepOutput) -> None:
        from attrition_platform.features.groups import compute_group

        features = compute_group(read_columns(platform, validated, columns), contract, group)
        features.write_parquet(out.file("features.parquet"), compression="lz4")
        out.facts.update(
            n_rows=features.height,
            features=features.columns[1:],
            reads=list(columns[1:]),
            employees=validated.facts["columns"]["pseudonym"],
        )

    return platform.steps.run(
        f"features/{group}",
        compute,
        code=code_version("features", "stages/features.py"),
        inputs=hashes_of(validated, columns),
        config={
            "columns": {name: contract.columns[name].model_dump(mode="json") for name in columns[1:]},
            "derived": {
                name: derived.model_dump(mode="json")
                for name, derived in contract.derived.items()
                if derived.group == group
            },
        },
    )


def join_features(platform: Platform, groups: Iterable[StepResult]) -> pl.DataFrame:
    """Put the groups' tables side by side; all have the rows of `validated_employees` in its order.

    Returns
    -------
    DataFrame
        `pseudonym` and every feature of the given groups.

    Raises
    ------
    StoreError
        When the groups were computed from different employees.
    """
    import polars as pl

    first, *others = groups
    if {group.facts["employees"] for group in others} - {first.facts["employees"]}:
        raise StoreError("Feature groups hold different employees. Materialize all of 'features' again.")
    joined = pl.read_parquet(_features_file(platform, first))
    for group in others:
        joined = joined.hstack(
            pl.read_parquet(_features_file(platform, group), columns=group.facts["features"])
        )
    return joined


def _features_file(platform: Platform, group: StepResult) -> Path:
    return platform.file(group.files["features.parquet"])
