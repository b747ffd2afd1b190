"""Audit, frontier and decision: what is shown before a challenger may serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.stages.candidates import MODEL_CODE, library_versions
from attrition_platform.stages.challenger import SEED, load_stored_model, read_predictions
from attrition_platform.stages.features import join_features
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.splits import read_side
from attrition_platform.stages.threads import single_threaded_kernels

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

AUDIT_CODE = ("modeling/fairness.py", "stages/governance.py")


def audit_groups(platform: Platform, protected: StepResult, pseudonyms: list[str]) -> dict[str, np.ndarray]:
    """Group of each employee per protected column, in the order of the pseudonyms.

    Numeric columns are cut at the contract's bands. A missing value is None, which the audit counts
    as unknown.
    """
    import polars as pl

    from attrition_platform.contracts.bands import band_of

    frame = pl.read_parquet(platform.file(protected.files["protected.parquet"]))
    wanted = pl.DataFrame({"pseudonym": pseudonyms})
    rows = wanted.join(frame, on="pseudonym", how="left", maintain_order="left")
    return {
        name: band_of(rows[name], platform.contract.columns[name]).to_numpy()
        for name in platform.contract.protected
    }


def audit_fairness(platform: Platform, challenger: StepResult, protected: StepResult) -> StepResult:
    """Compare groups on the challenger's test predictions, in the layout of Local Law 144.

    Returns
    -------
    StepResult
        Facts: ``rows`` of the audit and, per protected column, the least impact ratio and the largest
        gaps over the groups that count.
    """

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling.fairness import audit

        predictions = read_predictions(platform, challenger)
        groups = audit_groups(platform, protected, predictions["pseudonym"].tolist())
        selected = predictions["y_prob"] >= challenger.facts["threshold"]
        found = audit(
            selected, predictions["y_true"], predictions["y_prob"], groups, platform.policy.fairness
        )
        out.facts.update(found.as_json())

    return platform.steps.run(
        "fairness_audit",
        compute,
        code=code_version(*AUDIT_CODE, "contracts/bands.py"),
        inputs={"challenger": challenger.data_version, "protected": protected.data_version},
        config={
            "rule": platform.policy.fairness.model_dump(mode="json"),
            "bands": {n: platform.contract.columns[n].bands for n in platform.contract.protected},
        },
    )


def draw_frontier(
    platform: Platform,
    challenger: StepResult,
    sides: Mapping[str, StepResult],
    groups: Mapping[str, StepResult],
    protected: StepResult,
    tell: Progress,
) -> StepResult:
    """Accuracy against impact ratio, with and without protected and proxy columns.

    The winner's family and settings are fitted on train and scored on validation for each variant:
    the test side is not read again.
    """

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling import plots

        with single_threaded_kernels():
            points = _frontier_points(platform, challenger, sides, groups, protected, tell)
        out.facts["points"] = points
        out.file("frontier.png").write_bytes(plots.frontier_plot(points))

    return platform.steps.run(
        "frontier",
        compute,
        code=code_version(*MODEL_CODE, *AUDIT_CODE),
        inputs={
            "train": sides["train"].data_version,
            "validation": sides["validation"].data_version,
            "challenger": challenger.data_version,
            "protected": protected.data_version,
        }
        | {f"features/{name}": group.data_version for name, group in groups.items()},
        config={"contract": platform.contract_digest, "versions": library_versions()},
    )


def _frontier_points(
    platform: Platform,
    challenger: StepResult,
    sides: Mapping[str, StepResult],
    groups: Mapping[str, StepResult],
    protected: StepResult,
    tell: Progress,
) -> list[dict[str, Any]]:
    from sklearn.metrics import recall_score, roc_auc_score

    from attrition_platform.features.matrix import to_matrix
    from attrition_platform.features.spec import feature_spec
    from attrition_platform.modeling.fairness import audit, frontier_variants
    from attrition_platform.modeling.families import FAMILIES
    from attrition_platform.modeling.families.family import fit_quietly

    features = join_features(platform, groups.values())
    train, validation = (_with_all_features(platform, sides[s], features) for s in ("train", "validation"))
    label = platform.contract.label
    y_train, y_true = train[label].to_numpy(), validation[label].to_numpy()
    by_attribute = audit_groups(platform, protected, validation["pseudonym"].to_list())
    family, params = FAMILIES[challenger.facts["family"]], challenger.facts["params"]
    threshold = challenger.facts["threshold"]
    points = []
    for variant in frontier_variants(platform.contract.protected, platform.contract.proxies):
        spec = feature_spec(platform.contract, frozenset(variant.excluded))
        if not spec.names:
            continue
        pipeline = family.build(spec, params, SEED, platform.settings.n_threads)
        fit_quietly(pipeline, to_matrix(train, spec), y_train)
        y_prob = pipeline.predict_proba(to_matrix(validation, spec))[:, 1]
        selected = y_prob >= threshold
        found = audit(selected, y_true, y_prob, by_attribute, platform.policy.fairness)
        ratios = found.least_impact_ratios()
        known = [ratio for ratio in ratios.values() if ratio is not None]
        point = {
            "variant": variant.name,
            "excluded": sorted(variant.excluded),
            "roc_auc": float(roc_auc_score(y_true, y_prob)),
            "recall": float(recall_score(y_true, selected)),
            "impact_ratios": ratios,
            "least_impact_ratio": min(known) if known else None,
        }
        points.append(point)
        tell(f"Frontier, {variant.name}: ROC AUC {point['roc_auc']:.4f}.")
    return points


def _with_all_features(platform: Platform, side: StepResult, features: pl.DataFrame) -> pl.DataFrame:
    rows = read_side(platform, side, ["pseudonym", platform.contract.label])
    return rows.join(features, on="pseudonym", how="left", maintain_order="left")


def score_incumbent(
    platform: Platform, files: Mapping[str, str], groups: Mapping[str, StepResult], pseudonyms: list[str]
) -> np.ndarray:
    """Score employees with the champion in force, after its signature was checked.

    Returns
    -------
    ndarray of float of shape (n_employees,)
        In the order of the pseudonyms.
    """
    import polars as pl

    from attrition_platform.features.matrix import to_matrix

    stored = load_stored_model(platform, files)
    features = join_features(platform, groups.values())
    rows = pl.DataFrame({"pseudonym": pseudonyms}).join(
        features, on="pseudonym", how="left", maintain_order="left"
    )
    scores: np.ndarray = stored.pipeline.predict_proba(to_matrix(rows, stored.spec))[:, 1]
    return scores
