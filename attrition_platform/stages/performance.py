"""What the champion's predictions turned out to be worth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult, digest, read_result
from attrition_platform.contracts.model import CATEGORICAL_KINDS
from attrition_platform.stages.counting import watched_columns
from attrition_platform.stages.ingest import Progress, read_columns, take_in_outcomes
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state

if TYPE_CHECKING:
    import polars as pl

MAX_LOGGED = 200_000
N_EARLIER = 4
LOOK_BACK = timedelta(days=450)
SCORED = "scored_employees"
BAD = ("below-floor", "concept-drift")
METRICS = ("roc_auc", "recall", "precision", "accuracy")


def judge_outcomes(platform: Platform, validated: StepResult, tell: Progress) -> StepResult:
    """Join predictions with outcomes, and judge the champion by the newest ones.

    Parameters
    ----------
    validated : StepResult
        Says which categories an employee is in, for the search for concept drift.

    Returns
    -------
    StepResult
        Facts: ``window`` (a new one for every `window_labels` labels of a champion), ``verdict``
        (``no-champion`` before there is one, else as `PerformanceVerdict.outcome`), ``judged`` (the verdict
        with matured, estimated and unknown apart, or None), ``weeks`` (each week and version).
    """
    take_in_outcomes(platform, tell)
    champion = release_state(platform.ledger.records()).stable
    facts: dict[str, Any] = {"window": "none", "verdict": "no-champion", "judged": None, "weeks": []}
    if champion is not None:
        facts |= _judge(platform, champion.version, validated)
    tell(in_words(facts))
    version = digest(facts)
    return StepResult("performance_report", version, version, {}, facts, {"at": platform.at()})


def in_words(facts: Mapping[str, Any]) -> str:
    """Say in a sentence or two what a performance report found.

    >>> in_words({"verdict": "no-champion", "judged": None})
    'There is no champion yet, so nothing can be judged.'
    """
    judged = facts["judged"]
    if judged is None:
        return "There is no champion yet, so nothing can be judged."
    unknown = judged["unknown"]["n"]
    reasons = " ".join(judged["reasons"])
    return (
        f"Champion {judged['version']}: {facts['verdict']}. {reasons} Unknown yet: {unknown:,} predictions."
    )


def _judge(platform: Platform, version: str, validated: StepResult) -> dict[str, Any]:
    import polars as pl

    from attrition_platform.adapters.outcome_files import read_outcomes
    from attrition_platform.monitoring.performance import join_outcomes, judge_performance, measure

    rule, contract = platform.policy.performance, platform.contract
    predictions = pl.concat([_logged(platform), _scored(platform)])
    outcomes = read_outcomes(platform.settings.data_dir, contract.name)
    joined = join_outcomes(predictions, outcomes, now=platform.clock(), horizon_days=rule.horizon_days)
    categories = {
        name: contract.columns[name].values
        for name in watched_columns(platform)
        if contract.columns[name].kind in CATEGORICAL_KINDS
    }
    # As they stand now: who changed the team since the prediction counts for the new one.
    current = read_columns(platform, validated, ("pseudonym", *categories))
    words = current.with_columns(pl.col(list(categories)).cast(pl.String))
    joined = joined.join(words, on="pseudonym", how="left", maintain_order="left")
    verdict = judge_performance(joined, rule, version=version, categories=categories)
    n_labels = joined.filter((pl.col("version") == version) & pl.col("left").is_not_null()).height
    return {
        "window": f"{version}/{n_labels // rule.window_labels}",
        "verdict": verdict.outcome,
        "judged": verdict.as_json(),
        "weeks": [week.as_json() for week in measure(joined.drop(list(categories)))],
    }


def _schema() -> dict[str, Any]:
    import polars as pl

    return {
        "pseudonym": pl.String,
        "at": pl.Datetime("us", "UTC"),
        "version": pl.String,
        "probability": pl.Float64,
        "flagged": pl.Boolean,
    }


def _logged(platform: Platform) -> pl.DataFrame:
    """Answers of the champion and of those before it, the newest of each."""
    import polars as pl

    state = release_state(platform.ledger.records())
    versions = [record.version for record in (state.stable, *state.earlier[:N_EARLIER]) if record]
    rows = [
        (record.pseudonym, record.at, record.version, record.probability, record.flagged)
        for version in versions
        for record in platform.predictions.tail(version, MAX_LOGGED // len(versions))
        if record.version == version
    ]
    plain = pl.DataFrame(rows, schema=_schema() | {"at": pl.Int64}, orient="row")
    return plain.with_columns(pl.col("at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))


def _scored(platform: Platform) -> pl.DataFrame:
    """What each run of `scored_employees` said; equal results count once, at their first time."""
    import polars as pl

    found: dict[str, StepResult] = {}
    for file in sorted((platform.pointers_dir / SCORED).glob("*.json")):
        if file.name != NEWEST:
            result = read_result(file)
            found[result.data_version] = result
    oldest = platform.clock() - LOOK_BACK
    frames = [pl.DataFrame(schema=_schema())]
    for result in found.values():
        at = datetime.fromisoformat(result.measured["scored_at"])
        if at >= oldest and platform.steps.store.has(result.files["scored.parquet"]):
            rows = pl.read_parquet(
                platform.file(result.files["scored.parquet"]),
                columns=["pseudonym", "probability", "flagged"],
            )
            frames.append(
                rows.select(
                    "pseudonym",
                    pl.lit(at).dt.convert_time_zone("UTC").alias("at"),
                    pl.lit(result.facts["version"]).alias("version"),
                    "probability",
                    "flagged",
                )
            )
    return pl.concat(frames)
