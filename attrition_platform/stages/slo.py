"""Whether the platform keeps what it promises: facts from the stores, held against the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrition_platform.adapters.step_cache import StepResult, digest
from attrition_platform.errors import AttritionError
from attrition_platform.monitoring.burn_rate import AlertFacts, Event, judge_alerts
from attrition_platform.monitoring.slo import measure_slos
from attrition_platform.monitoring.slo_facts import QualityFact, RefitFact, RunFact, SloFacts, StoreCheck
from attrition_platform.ports import LedgerRecord
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.performance import BAD
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state
from attrition_platform.stages.slo_history import (
    TRAIN,
    find_alarms,
    find_arrivals,
    find_batches,
    find_causes,
    first_looks,
    price_runs,
    read_drift,
    read_files,
)
from attrition_platform.stages.views import newest_or_none

N_CHECKED = 3  # the champion and those that a rollback would reach first


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
    since = now - timedelta(days=platform.policy.slo.window_days)
    records, causes = platform.ledger.records(), platform.causes.records()
    looks = read_drift(platform)
    files_read = read_files(platform, runs)
    facts = SloFacts(
        runs=price_runs(platform, runs),
        arrivals=find_arrivals(platform, runs, files_read, causes, since),
        batches=find_batches(platform, files_read, since, tell),
        quality=_quality(platform, records, now),
        store_checks=(_check_store(platform, records, now),),
        refits=_refits(records),
        causes=find_causes(causes, runs, records),
        judged_windows=tuple(first_looks(looks).values()),
        alarms=find_alarms(platform, looks, causes, runs, records),
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
    """Say in a sentence how many promises are kept; some are measured in two ways.

    >>> in_words({"verdicts": {"met": 1, "missed": 1, "no-data": 0}, "missed": ["cost"], "alerts": [],
    ...           "indicators": [{"measures": [{}, {}]}, {"measures": [{}]}]})
    '1 of 2 promises (3 measures) is kept, 1 broken (cost), 0 without data; 0 alerts stand.'
    """
    verdicts = facts["verdicts"]
    n_measures = sum(len(indicator["measures"]) for indicator in facts["indicators"])
    broken = f"{verdicts['missed']} broken" + (f" ({', '.join(facts['missed'])})" if facts["missed"] else "")
    return (
        f"{verdicts['met']} of {sum(verdicts.values())} promises ({n_measures} measures) "
        f"{'is' if verdicts['met'] == 1 else 'are'} kept, {broken}, {verdicts['no-data']} without data; "
        f"{len(facts['alerts'])} alert{' stands' if len(facts['alerts']) == 1 else 's stand'}."
    )


def _quality(platform: Platform, records: Sequence[LedgerRecord], now: datetime) -> tuple[QualityFact, ...]:
    result, champion = newest_or_none(platform, "performance_report"), release_state(records).stable
    judged = None if result is None else result.facts["judged"]
    if champion is None or judged is None or judged["version"] != champion.version:
        return ()
    current = judged["matured"].get("roc_auc")
    if current is None or judged["outcome"] == "cannot-judge":
        return ()
    value, low, high = (current[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return ()
    promised = champion.payload["metrics"]["test"]["roc_auc"]["value"]
    return (QualityFact(champion.version, now, "roc_auc", promised, value, low, high),)


def _check_store(platform: Platform, records: Sequence[LedgerRecord], now: datetime) -> StoreCheck:
    state = release_state(records)
    watched = [record for record in (state.stable, *state.earlier) if record is not None][:N_CHECKED]
    files = {sha256 for record in watched for sha256 in record.payload["files"].values()}
    counts = ("reference", "received")
    files |= {record.payload[name] for record in watched for name in counts if name in record.payload}
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
