"""What the champion's predictions turned out to be worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult, digest, read_result
from attrition_platform.contracts.model import CATEGORICAL_KINDS
from attrition_platform.stages.counting import watched_columns
from attrition_platform.stages.ingest import Progress, read_columns, take_in_outcomes
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state, taken_away

if TYPE_CHECKING:
    import polars as pl

    from attrition_platform.monitoring.performance import PerformanceVerdict

# Answers that are read: so many of those whose horizon is over, and so many of the newest.
MAX_LOGGED = 200_000
# Outcomes may be heard of so long after the horizon before a turn of the year shortens what is read.
LATEST_NEWS = timedelta(weeks=26)
SHOWN = timedelta(days=450)
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
        Facts: ``window`` (a new one for every `window_labels` independent labels of the version that the
        verdict is from), ``verdict`` (``no-champion`` before there is one, else as
        `PerformanceVerdict.outcome`), ``judged`` (what is said of the champion, with matured, estimated and
        unknown apart, or None), ``predecessor`` (the same of an earlier champion, or None), ``weeks`` (each
        week and version of the last `SHOWN` days).

    Notes
    -----
    A champion that is replaced before its horizon is over would never be judged. So while nothing can be
    said of it, the newest champion before it that has enough outcomes is judged too: when people leave for
    other reasons than that one learned, the verdict is ``concept-drift``, from its labels. Its floors count
    for nothing any more; it was replaced.
    """
    take_in_outcomes(platform, tell)
    champion = release_state(platform.ledger.records()).stable
    facts: dict[str, Any] = {
        "window": "none",
        "verdict": "no-champion",
        "judged": None,
        "predecessor": None,
        "weeks": [],
    }
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

    rule, contract, now = platform.policy.performance, platform.contract, platform.clock()
    zone = platform.policy.triggers.time_zone
    predictions = pl.concat([_logged(platform, now), _scored(platform, now)])
    outcomes = read_outcomes(platform.settings.data_dir, contract.name, until=platform.today())
    joined = join_outcomes(predictions, outcomes, now=now, horizon_days=rule.horizon_days, time_zone=zone)
    categories = {
        name: contract.columns[name].values
        for name in watched_columns(platform)
        if contract.columns[name].kind in CATEGORICAL_KINDS
    }
    # As they stand now: who changed the team since the prediction counts for the new one.
    current = read_columns(platform, validated, ("pseudonym", *categories))
    words = current.with_columns(pl.col(list(categories)).cast(pl.String))
    joined = joined.join(words, on="pseudonym", how="left", maintain_order="left")

    def judge(version: str) -> PerformanceVerdict:
        return judge_performance(joined, rule, version=version, categories=categories)

    shown = joined.filter(pl.col("at") >= now - SHOWN)
    verdict = judge(version)
    before = _predecessor(platform, joined, judge) if verdict.outcome == "cannot-judge" else None
    told = verdict.as_json()
    source = verdict
    if before is not None:
        told["reasons"].append(f"Of model {before.version}, champion before it: {before.reasons[0]}")
        if before.outcome == "concept-drift":
            source = before
    return {
        # The window that the predecessor's drift had while it was champion is no new one.
        "window": f"{source.version}/{source.n_labels // rule.window_labels}",
        "verdict": source.outcome,
        "judged": told,
        "predecessor": None if before is None else before.as_json(),
        "weeks": [week.as_json() for week in measure(shown.drop(list(categories)))],
    }


def _predecessor(
    platform: Platform, joined: pl.DataFrame, judge: Callable[[str], PerformanceVerdict]
) -> PerformanceVerdict | None:
    """The newest champion before this one of which anything can be said; not one that was rolled back."""
    import polars as pl

    records, least = platform.ledger.records(), platform.policy.performance.min_labels
    by_version = joined.filter(pl.col("left").is_not_null()).group_by("version").len()
    known = {version for version, n in by_version.iter_rows() if n >= least} - taken_away(records)
    verdicts = (judge(r.version) for r in release_state(records).earlier if r.version in known)
    return next((verdict for verdict in verdicts if verdict.outcome != "cannot-judge"), None)


def _schema() -> dict[str, Any]:
    import polars as pl

    return {
        "pseudonym": pl.String,
        "at": pl.Datetime("us", "UTC"),
        "version": pl.String,
        "probability": pl.Float64,
        "flagged": pl.Boolean,
    }


def _oldest(platform: Platform, now: datetime) -> datetime:
    """From when on predictions are read; the same for a year, so that evidence is of the same labels."""
    from attrition_platform.monitoring.concept import read_from

    newest = now - timedelta(days=platform.policy.performance.horizon_days) - LATEST_NEWS
    return datetime.fromtimestamp(read_from(_microseconds(newest)) / 1e6, UTC)


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def _logged(platform: Platform, now: datetime) -> pl.DataFrame:
    """Answers of the champion and of those before it: the newest whose horizon is over, and the newest."""
    import polars as pl

    state = release_state(platform.ledger.records())
    versions = {record.version for record in (state.stable, *state.earlier) if record}
    oldest = _microseconds(_oldest(platform, now))
    due = _microseconds(now - timedelta(days=platform.policy.performance.horizon_days))
    read = platform.predictions.tail(None, MAX_LOGGED)
    if len(read) == MAX_LOGGED:  # what is due may lie before all of them
        pending = [record for record in read if record.at > due]
        read = platform.predictions.tail(None, MAX_LOGGED, until=due) + pending
    rows = [
        (record.pseudonym, record.at, record.version, record.probability, record.flagged)
        for record in read
        if record.version in versions and record.at >= oldest
    ]
    plain = pl.DataFrame(rows, schema=_schema() | {"at": pl.Int64}, orient="row")
    return plain.with_columns(pl.col("at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))


def _scored(platform: Platform, now: datetime) -> pl.DataFrame:
    """What each run of `scored_employees` said; equal results count once, at their first time.

    The latest prediction of an employee in each ISO week is enough, and all that fits into memory when
    everybody is scored every night for years.
    """
    import polars as pl

    found: dict[str, StepResult] = {}
    for file in sorted((platform.pointers_dir / SCORED).glob("*.json")):
        if file.name != NEWEST:
            result = read_result(file)
            found[result.data_version] = result
    oldest = _oldest(platform, now)
    weeks: dict[tuple[int, int], pl.DataFrame] = {}
    for at, result in sorted(((_scored_at(r), r) for r in found.values()), key=lambda pair: pair[0]):
        if at >= oldest and platform.steps.store.has(result.files["scored.parquet"]):
            rows = pl.read_parquet(
                platform.file(result.files["scored.parquet"]),
                columns=["pseudonym", "probability", "flagged"],
            ).select(
                "pseudonym",
                pl.lit(at, pl.Datetime("us", "UTC")).alias("at"),
                pl.lit(result.facts["version"]).alias("version"),
                "probability",
                "flagged",
            )
            week = at.isocalendar()[:2]
            both = pl.concat([weeks.get(week, pl.DataFrame(schema=_schema())), rows])
            weeks[week] = both.unique("pseudonym", keep="last", maintain_order=True)
    return pl.concat([pl.DataFrame(schema=_schema()), *weeks.values()])


def _scored_at(result: StepResult) -> datetime:
    return datetime.fromisoformat(result.measured["scored_at"]).astimezone(UTC)
