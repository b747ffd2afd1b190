"""Every current employee scored by the champion, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.errors import NoChampionError, StoreError
from attrition_platform.stages.ingest import Progress, hashes_of
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm, no_champion
from attrition_platform.stages.release import release_state

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import polars as pl

    from attrition_platform.modeling.policy import Policy
    from attrition_platform.scoring.predictor import Arm

CHUNK_ROWS = 250_000
N_BINS = 20
_CODE = ("scoring", "features", "stages/scored.py")


def score_employees(
    platform: Platform, validated: StepResult, groups: Mapping[str, StepResult], tell: Progress
) -> StepResult:
    """Score everyone who is not known to have left.

    Parameters
    ----------
    validated : StepResult
        Says who there is; features and rows are in the same order.
    groups : mapping of str to StepResult
        The feature groups.

    Returns
    -------
    StepResult
        File ``scored.parquet``, see `score_frame`. Facts: the champion's version, the threshold, the base
        that contributions add up from, employees by tier, flagged, a histogram of probabilities.
        Measured: ``scored_at``, which is no part of the file, so that equal input gives equal bytes.

    Raises
    ------
    NoChampionError
        When nothing can score.
    StoreError
        When a feature that the champion reads is not among the groups.
    """
    record = release_state(platform.ledger.records()).stable
    if record is None:
        raise NoChampionError(no_champion(platform))
    arm = load_arm(platform, record)
    used = {name: g for name, g in groups.items() if set(g.facts["features"]) & set(arm.spec.names)}
    lacking = sorted(set(arm.spec.names) - {f for g in used.values() for f in g.facts["features"]})
    if lacking:
        raise StoreError(
            f"Champion {arm.version} reads {', '.join(lacking)}, which the feature groups lack. "
            "Run `make train`: it makes the features anew and decides again."
        )
    keys = ("pseudonym", platform.contract.label)
    inputs = hashes_of(validated, keys) | {name: group.data_version for name, group in used.items()}

    def compute(out: StepOutput) -> None:
        _score_all(platform, arm, validated, used, out)
        out.measured["scored_at"] = platform.at()

    policy = platform.policy
    result = platform.steps.run(
        "scored_employees",
        compute,
        code=code_version(*_CODE),
        inputs=inputs | {"champion": record.payload["sha256"]},
        config={
            "files": record.payload["files"],
            "tiers": policy.tiers.model_dump(mode="json"),
            "n_reasons": policy.serving.n_reasons,
            "labels": list(arm.labels),
        },
    )
    from attrition_platform.scoring.judgement import TIERS

    tiers = ", ".join(f"{result.facts['by_tier'][tier]:,} {tier}" for tier in TIERS)
    tell(f"Scored {result.facts['n_rows']:,} employees with {arm.version}: {tiers}.")
    return result


def _score_all(
    platform: Platform, arm: Arm, validated: StepResult, groups: Mapping[str, StepResult], out: StepOutput
) -> None:
    import polars as pl
    import pyarrow.parquet as pq

    from attrition_platform.adapters.step_cache import digest
    from attrition_platform.scoring.judgement import TIERS

    label = platform.contract.label
    rows = platform.file(validated.files["validated.parquet"])
    sources = [(platform.file(group.files["features.parquet"]), group) for group in groups.values()]
    data_version = digest({name: group.data_version for name, group in groups.items()})[:16]
    by_tier = dict.fromkeys(TIERS, 0)
    n_flagged = n_rows = n_left = 0
    histogram = [0] * N_BINS
    writer: pq.ParquetWriter | None = None
    for start in range(0, validated.facts["n_rows"], CHUNK_ROWS):
        people = _slice(rows, ["pseudonym", label], start)
        features = pl.concat(
            [_slice(file, _wanted(group, arm), start) for file, group in sources], how="horizontal"
        )
        current = ~people[label].fill_null(value=False)
        n_left += int((~current).sum())
        scored = score_frame(
            people["pseudonym"].filter(current), features.filter(current), arm, platform.policy
        ).with_columns(pl.lit(arm.version).alias("model_version"), pl.lit(data_version).alias("data_version"))
        n_rows += scored.height
        n_flagged += int(scored["flagged"].sum())
        for tier, n in scored.group_by("tier").len().iter_rows():
            by_tier[tier] += n
        bins = (scored["probability"] * N_BINS).cast(pl.Int64).clip(0, N_BINS - 1)
        for place, n in bins.value_counts().iter_rows():
            histogram[place] += n
        table = scored.to_arrow()
        if writer is None:
            writer = pq.ParquetWriter(out.file("scored.parquet"), table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    out.facts.update(
        version=arm.version,
        threshold=arm.threshold,
        base=arm.compiled.base,
        data_version=data_version,
        n_rows=n_rows,
        n_known_to_have_left=n_left,
        n_flagged=n_flagged,
        by_tier=by_tier,
        histogram=histogram,
    )


def _wanted(group: StepResult, arm: Arm) -> list[str]:
    return [name for name in group.facts["features"] if name in arm.spec.names]


def _slice(file: Path, columns: list[str], start: int) -> pl.DataFrame:
    import polars as pl

    return pl.scan_parquet(file).select(columns).slice(start, CHUNK_ROWS).collect()


def score_frame(pseudonyms: pl.Series, features: pl.DataFrame, arm: Arm, policy: Policy) -> pl.DataFrame:
    """Score employees whose features are at hand.

    Parameters
    ----------
    pseudonyms : Series
        One per row of `features`.
    features : DataFrame
        At least what the model reads.

    Returns
    -------
    DataFrame
        `pseudonym`, `probability`, `score`, `tier`, `flagged`, `label`; then by strength ``reason_1``,
        ``contribution_1`` and so on, null where no further feature moved the score. The base plus all
        contributions is the score; the strongest are kept.
    """
    import numpy as np
    import polars as pl

    from attrition_platform.features.matrix import to_matrix
    from attrition_platform.scoring.compiled import to_probabilities
    from attrition_platform.scoring.judgement import SLACK, TIERS, tier_codes, top_positions

    scores, contributions = arm.compiled.explain_rows(to_matrix(features, arm.spec))
    if not np.isfinite(scores).all():
        raise StoreError(f"Champion {arm.version} gave scores that are no numbers. Roll it back.")
    probabilities = to_probabilities(scores, arm.compiled.link)
    flagged = probabilities >= arm.threshold - SLACK
    column = arm.contract.columns[arm.contract.label]
    words = [next(value for value in column.values if value != column.positive), str(column.positive)]
    scored: dict[str, Any] = {
        "pseudonym": pseudonyms,
        "probability": probabilities,
        "score": scores,
        "tier": _named(tier_codes(probabilities, policy.tiers), list(TIERS)),
        "flagged": flagged,
        "label": _named(flagged.astype(np.uint32), words),
    }
    texts = [f"{label} {way} the risk" for label in arm.labels for way in ("raises", "lowers")]
    positions = top_positions(contributions, policy.serving.n_reasons)
    for place in range(positions.shape[1]):
        own = np.take_along_axis(contributions, positions[:, place : place + 1], axis=1)[:, 0]
        moved = pl.Series(own != 0)
        reason = _named(2 * positions[:, place] + (own < 0), texts)
        scored[f"reason_{place + 1}"] = pl.select(pl.when(moved).then(reason)).to_series()
        scored[f"contribution_{place + 1}"] = pl.select(pl.when(moved).then(pl.Series(own))).to_series()
    return pl.DataFrame(scored)


def _named(codes: np.ndarray, names: list[str]) -> pl.Series:
    """Codes as categories; two features may share a label, and then a text."""
    import polars as pl

    distinct = list(dict.fromkeys(names))
    place = {name: i for i, name in enumerate(distinct)}
    if len(distinct) < len(names):
        import numpy as np

        codes = np.array([place[name] for name in names])[codes]
    return pl.Series(distinct, dtype=pl.Enum(distinct)).gather(codes)
