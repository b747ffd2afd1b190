"""Who is trained on, who selects, who verifies; with exactly the columns that candidates may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version, digest
from attrition_platform.errors import NotEnoughRowsError
from attrition_platform.stages.features import join_features
from attrition_platform.stages.ingest import hashes_of, read_columns
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from attrition_platform.features.spec import FeatureSpec

SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Side:
    """Rows of one or more sides as a model sees them.

    Attributes
    ----------
    X : ndarray of shape (n_employees, n_features)
    y_true : ndarray of bool of shape (n_employees,)
        True where the employee left.
    folds : ndarray of int of shape (n_employees,)
        Fold 0..4 of each employee, from the same hash as the sides.
    pseudonyms : list of str
    """

    X: np.ndarray
    y_true: np.ndarray
    folds: np.ndarray
    pseudonyms: list[str]


def allowed_spec(platform: Platform) -> FeatureSpec:
    """What candidates may read under the policy in force."""
    from attrition_platform.features.spec import feature_spec

    return feature_spec(platform.contract, platform.excluded_columns)


def split(
    platform: Platform, validated: StepResult, groups: Mapping[str, StepResult]
) -> tuple[StepResult, dict[str, StepResult]]:
    """Sort labelled employees onto their sides.

    Returns
    -------
    manifest : StepResult
        Facts: the fingerprint, and per side the count and the share of leavers.
    sides : dict of str to StepResult
        By side: file ``rows.parquet`` with pseudonym, bucket, label and the allowed features.

    Raises
    ------
    NotEnoughRowsError
        When a side would lack either class.
    """
    contract = platform.contract
    spec = allowed_spec(platform)
    keys: tuple[str, ...] = ("pseudonym", "split_bucket", contract.label)
    if contract.out_of_time is not None:
        keys = (*keys, contract.out_of_time)
    used = {
        name: result for name, result in groups.items() if set(result.facts["features"]) & set(spec.names)
    }

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling.splits import assign_sides, build_manifest

        frame = read_columns(platform, validated, keys)
        sides = assign_sides(frame, contract)
        manifest = build_manifest(frame, sides, contract, platform.policy.splits)
        for side in SIDES:
            if min(manifest.n_positive[side], manifest.n_rows[side] - manifest.n_positive[side]) < 1:
                n_labelled = sum(manifest.n_rows.values())
                raise NotEnoughRowsError(f"the {side} side (both classes are needed)", n_labelled, 100)
        features = join_features(platform, used.values()).select("pseudonym", *spec.names)
        whole = frame.select("split_bucket", contract.label).hstack(features)
        for side in SIDES:
            rows = whole.filter(sides == side)
            rows.write_parquet(out.file(f"{side}.parquet"))
        out.facts.update(manifest.facts())

    result = platform.steps.run(
        "splits",
        compute,
        code=code_version("modeling/splits.py", "stages/splits.py"),
        inputs=hashes_of(validated, keys) | {name: group.data_version for name, group in used.items()},
        config={
            "excluded": sorted(platform.excluded_columns),
            "label": contract.label,
            "out_of_time": contract.out_of_time,
            "rule": platform.policy.splits.model_dump(mode="json"),
        },
    )
    sides = {side: _one_side(result, side) for side in SIDES}
    return replace(result, step="split_manifest", files={}), sides


def _one_side(result: StepResult, side: str) -> StepResult:
    files = {"rows.parquet": result.files[f"{side}.parquet"]}
    facts: dict[str, Any] = {
        "side": side,
        "n_rows": result.facts["n_rows"][side],
        "n_positive": result.facts["n_positive"][side],
    }
    version = digest({"side": side, "files": files})
    return replace(result, step=f"{side}_split", files=files, facts=facts, data_version=version)


def read_side(platform: Platform, side: StepResult, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a side's rows, or only some of its columns."""
    import polars as pl

    return pl.read_parquet(platform.file(side.files["rows.parquet"]), columns=columns)


def load_sides(platform: Platform, *sides: StepResult) -> Side:
    """Read sides as the matrix that a pipeline takes, sorted by pseudonym."""
    import polars as pl

    from attrition_platform.features.matrix import to_matrix
    from attrition_platform.modeling.splits import fold_of

    frame = pl.concat([read_side(platform, side) for side in sides]).sort("pseudonym")
    return Side(
        X=to_matrix(frame, allowed_spec(platform)),
        y_true=frame[platform.contract.label].to_numpy(),
        folds=fold_of(frame["split_bucket"].to_numpy()),
        pseudonyms=frame["pseudonym"].to_list(),
    )
