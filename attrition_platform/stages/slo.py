"""Whether the platform keeps what it promises: facts from the stores, held against the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult, digest, read_result
from attrition_platform.errors import AttritionError
from attrition_platform.monitoring.burn_rate import AlertFacts, Event, judge_alerts
from attrition_platform.monitoring.slo import measure_slos
from attrition_platform.monitoring.slo_facts import (
    AlarmFact,
    ArrivalFact,
    BatchFact,
    CauseFact,
    QualityFact,
    RefitFact,
    RunFact,
    SloFacts,
    StoreCheck,
)
from attrition_platform.ports import LedgerRecord
from attrition_platform.stages.ingest import Progress, validate_one_batch
from attrition_platform.stages.performance import BAD
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state
from attrition_platform.stages.views import newest_or_none

TRAIN = "train_champion"
N_CHECKED = 3  # the champion and those that a rollback would reach first
ANSWERS = ("promotion", "canary", "proposal", "rollback")


def measure(platform: Platform, runs: Sequence[RunFact], tell: Progress) -> StepResult:
    """Measure the ten indicators, and say which alerts stand.

    Parameters
    ----------
    runs : sequence of RunFact
        Runs of the window; what they cost is read from what they stored.

    Returns
    -------
    StepResult
        Facts: as `SloReport.as_json`, and ``alerts``.
    """
    now = platform.clock()
    records = platform.ledger.records()
    priced = tuple(replace(run, cpu_seconds=_cpu_seconds(platform, run.run_id)) for run in runs)
    facts = SloFacts(
        runs=priced,
        arrivals=_arrivals(platform, runs),
        batches=_batches(platform, tell),
        quality=_quality(platform, records, now),
        store_checks=(_check_store(platform, records, now),),
        refits=_refits(records),
        causes=_causes(platform),
        judged_windows=tuple(at for at, _ in _drift_reports(platform)),
        alarms=_alarms(platform, records),
        training_jobs=frozenset({TRAIN}),
        price_per_cpu_hour=platform.policy.prices.cpu_hour,
        currency=platform.policy.prices.currency,
    )
    report = measure_slos(facts, platform.policy.slo, now)
    alerts = judge_alerts(
        report, _alert_facts(platform, runs, records), now, platform.policy.notifications.runbooks
    )
    found = report.as_json() | {"alerts": [alert.as_json() for alert in alerts]}
    tell(in_words(found))
    version = digest(found)
    return StepResult("slo_report", version, version, {}, found, {"at": platform.at()})


def in_words(facts: Mapping[str, Any]) -> str:
    """Say in a sentence how many promises are kept.

    >>> in_words({"verdicts": {"met": 8, "missed": 1, "no-data": 1}, "missed": ["cost"], "alerts": []})
    '8 promises are kept, 1 broken (cost), 1 without data; 0 alerts stand.'
    """
    verdicts = facts["verdicts"]
    broken = f"{verdicts['missed']} broken" + (f" ({', '.join(facts['missed'])})" if facts["missed"] else "")
    return (
        f"{verdicts['met']} promises are kept, {broken}, {verdicts['no-data']} without data; "
        f"{len(facts['alerts'])} alerts stand."
    )


def _cpu_seconds(platform: Platform, run_id: str) -> float | None:
    """CPU of the steps that a run computed itself; None where it left nothing behind."""
    found = [read_result(file) for file in platform.pointers_dir.rglob(f"{run_id}.json")]
    if not found:
        return None
    return sum(float(result.measured.get("cpu_seconds", 0.0)) for result in found if not result.reused)


def _batch_folders(platform: Platform) -> list[tuple[Any, datetime]]:
    from attrition_platform.adapters.batches import list_batches

    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    return [(batch, _written(batch.folder / "manifest.json")) for batch in batches]


def _written(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _arrivals(platform: Platform, runs: Sequence[RunFact]) -> tuple[ArrivalFact, ...]:
    """Each accepted file with the end of the first good training that ended after it was accepted."""
    ended = sorted(
        run.ended_at for run in runs if run.job == TRAIN and run.status == "success" and run.ended_at
    )
    return tuple(
        ArrivalFact(batch.sha256[:16], at, next((end for end in ended if end >= at), None))
        for batch, at in _batch_folders(platform)
    )


def _batches(platform: Platform, tell: Progress) -> tuple[BatchFact, ...]:
    found = []
    for batch, at in _batch_folders(platform):
        facts = validate_one_batch(platform, batch, tell).facts
        n_bad = batch.n_rows if "refused" in facts else facts["n_quarantined"]
        found.append(BatchFact(batch.sha256[:16], at, batch.n_rows, n_bad))
    return tuple(found)


def _quality(platform: Platform, records: Sequence[LedgerRecord], now: datetime) -> tuple[QualityFact, ...]:
    result, champion = newest_or_none(platform, "performance_report"), release_state(records).stable
    judged = None if result is None else result.facts["judged"]
    if champion is None or judged is None or judged["version"] != champion.version:
        return ()
    current = judged["matured"].get("roc_auc")
    if (
        current is None
        or current["high"] is None
        or result is None
        or result.facts["verdict"] == "cannot-judge"
    ):
        return ()
    promised = champion.payload["metrics"]["test"]["roc_auc"]["value"]
    # The upper end is what can't be doubted: an estimate on few labels is below by chance half the time.
    return (QualityFact(champion.version, now, "roc_auc", promised, current["high"]),)


def _check_store(platform: Platform, records: Sequence[LedgerRecord], now: datetime) -> StoreCheck:
    state = release_state(records)
    watched = [record for record in (state.stable, *state.earlier) if record is not None][:N_CHECKED]
    files = {sha256 for record in watched for sha256 in record.payload["files"].values()}
    files |= {record.payload["reference"] for record in watched if "reference" in record.payload}
    n_damaged = 0
    for sha256 in files:
        try:
            platform.steps.store.verify(sha256)
        except (AttritionError, OSError):
            n_damaged += 1
    return StoreCheck(now, len(files), n_damaged)


def _refits(records: Sequence[LedgerRecord]) -> tuple[RefitFact, ...]:
    return tuple(
        RefitFact(record.version, datetime.fromisoformat(record.at), bool(gate["passed"]))
        for record in records
        if record.kind == "decision"
        for gate in record.payload["gates"]
        if gate["name"] == "reproducible"
    )


def _causes(platform: Platform) -> tuple[CauseFact, ...]:
    """Causes with the end of their run: then the release, or the decision against it, is on record."""
    return tuple(
        CauseFact(
            record.cause.key,
            record.cause.kind,
            record.cause.found_at,
            record.ended_at if record.state == "done" else None,
        )
        for record in platform.causes.records()
    )


def _drift_reports(platform: Platform) -> list[tuple[datetime, dict[str, Any]]]:
    """Every drift report that found something to compare with, oldest first."""
    files = (platform.pointers_dir / "drift_report").glob("*.json")
    reports = [(_written(file), read_result(file).facts) for file in files if file.name != NEWEST]
    return sorted(((at, facts) for at, facts in reports if not facts["problem"]), key=lambda item: item[0])


def _alarms(platform: Platform, records: Sequence[LedgerRecord]) -> tuple[AlarmFact, ...]:
    """The first report of each drifted window; a release after it, in time, is what was done."""
    within = timedelta(hours=platform.policy.slo.max_trigger_to_deployed_hours)
    answers = [datetime.fromisoformat(record.at) for record in records if record.kind in ANSWERS]
    first: dict[str, datetime] = {}
    for at, facts in _drift_reports(platform):
        if facts["drifted"]:
            first.setdefault(facts["window"], at)
    return tuple(
        AlarmFact(window, at, any(at <= answer <= at + within for answer in answers))
        for window, at in first.items()
    )


def _alert_facts(platform: Platform, runs: Sequence[RunFact], records: Sequence[LedgerRecord]) -> AlertFacts:
    ended = [run for run in runs if run.status in ("success", "failure") and run.ended_at is not None]
    newest: dict[str, RunFact] = {}
    for run in sorted(ended, key=lambda run: (run.ended_at or run.started_at, run.run_id)):
        newest[run.job] = run
    events = [Event(run.ended_at or run.started_at, run.status == "success") for run in ended]
    failed = {
        job: run.ended_at
        for job, run in newest.items()
        if run.status == "failure" and run.ended_at is not None
    }
    chain = platform.ledger.verify()
    security = () if chain.intact else (f"The ledger does not verify: {chain.problem}",)
    outages: tuple[str, ...] = ()
    if release_state(records).stable is None and any(record.kind == "promotion" for record in records):
        outages = ("There is no champion any more",)
    performance = newest_or_none(platform, "performance_report")
    verdict = "ok" if performance is None else performance.facts["verdict"]
    regressions = (f"Matured outcomes say: {verdict}",) if verdict in BAD else ()
    return AlertFacts({"run-success": events}, failed, outages, security, regressions)
