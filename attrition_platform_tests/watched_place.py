"""A place of which everything is known, made fast from real verdicts, for tests of what shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from attrition_platform.adapters.batches import Batch, accept_generated
from attrition_platform.adapters.notifications import Notification, build_notifier
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.modeling.watch_rules import DriftRule, PerformanceRule, SloRule
from attrition_platform.monitoring.burn_rate import AlertFacts, judge_alerts
from attrition_platform.monitoring.drift import judge_drift
from attrition_platform.monitoring.performance import join_outcomes, judge_performance, measure
from attrition_platform.monitoring.slo import measure_slos
from attrition_platform.monitoring.slo_facts import RunFact, SloFacts
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary
from attrition_platform.monitoring.triggering import Cause
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.served_place import make_platform, record

V1 = "1" * 16
HEADER = "Person,Level,Remote,Promotions,Pay,Age,Left"


def now() -> datetime:
    """Whole seconds, so that what is written and read again is equal."""
    return datetime.now(UTC).replace(microsecond=0)


def watched_place(folder: Path, *, troubled: bool = False) -> Platform:
    """A champion, a file and all three reports; with `troubled`, everything that can stand on a page."""
    platform = make_platform(folder)
    record(platform, V1)
    batch = accept_file(platform, folder)
    write_reports(platform, batch, troubled=troubled)
    if troubled:
        found = Cause("drift", f"drift/{batch.sha256[:16]}", now(), batch.sha256[:16], {"score": 0.2})
        platform.causes.add([found])
        refused = platform.settings.data_dir / "refused" / ("f" * 64)
        refused.mkdir(parents=True)
        reason = {
            "contract": "tiny",
            "name": "odd <b>.csv",
            "reason": "header",
            "detail": "Column x is missing.",
        }
        (refused / "reason.json").write_text(json.dumps(reason))
        told = Notification(
            "drift", "w", "Drift in 1 column", "level drifted", V1, None, {}, None, now().isoformat()
        )
        build_notifier(platform.settings, platform.policy).send(told)
    return platform


def accept_file(platform: Platform, folder: Path, n_rows: int = 120) -> Batch:
    """An extract of the tiny contract as an accepted batch."""
    rng = np.random.default_rng(5)
    rows = [
        f"E{i},{('Entry', 'Mid', 'Senior')[i % 3]},{('No', 'Yes')[i % 2]},{i % 6},"
        f"{rng.integers(1000, 9000)},40,{('Stayed', 'Left')[i % 2]}"
        for i in range(n_rows)
    ]
    file = folder / "extract.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return accept_generated(file, platform.settings.data_dir, platform.contract)


def write_reports(platform: Platform, batch: Batch, *, troubled: bool) -> None:
    """What the newest runs of the monitoring assets said."""
    write_report(platform, "drift_report", drift_facts(batch.sha256[:16], troubled=troubled))
    write_report(platform, "performance_report", performance_facts())
    write_report(platform, "slo_report", slo_facts(platform, troubled=troubled))
    scored = {"version": V1, "n_rows": 80, "n_flagged": 12, "by_tier": {"high": 12, "low": 68}}
    write_report(platform, "scored_employees", scored, scored_at=now().isoformat())


def write_report(platform: Platform, asset: str, facts: dict[str, Any], **measured: Any) -> None:
    """Point the newest run of an asset at facts."""
    plain = json.loads(json.dumps(facts))
    result = StepResult(asset, "f", "v", {}, plain, {"at": now().isoformat(), **measured})
    Pointers(platform.pointers_dir).write(asset, "run-1", result)


def drift_facts(window: str, *, troubled: bool) -> dict[str, Any]:
    """Facts of a drift report, decided by the real tests."""

    def side(entry: int) -> FrameSummary:
        counts = (entry, 1_000 - entry)
        level = ColumnCounts("category", ("Entry", "Mid"), counts, 0)
        pay = ColumnCounts("number", (1.0, 2.0), (500, 500), 0)
        constant = ColumnCounts("category", ("Yes",), (1_000,), 0)
        return FrameSummary(1_000, {"level": level, "pay": pay, "remote": constant})

    verdict = judge_drift(side(500), side(800 if troubled else 500), DriftRule())
    change = {"kind": "new-column", "column": "Mood", "text": "Column 'Mood' is new.", "names": ["Mood"]}
    return {
        "window": window,
        "reference": V1,
        "problem": None,
        "drifted": verdict.drifted,
        "score": verdict.score,
        "columns": list(verdict.columns),
        "windows": [{"window": window, **verdict.as_json()}],
        "schema_changes": [change] if troubled else [],
        "blocks_scoring": False,
    }


def performance_facts() -> dict[str, Any]:
    """Facts of a performance report over three weeks of well calibrated predictions."""
    rng, n = np.random.default_rng(3), 900
    start = now() - timedelta(days=200)
    chance = rng.beta(2.0, 2.0, n)
    left = rng.random(n) < chance
    predictions = pl.DataFrame(
        {
            "pseudonym": [f"e{i}" for i in range(n)],
            "at": [start + timedelta(days=7 * (i // 300)) for i in range(n)],
            "version": [V1] * n,
            "probability": chance,
            "flagged": chance >= 0.5,
        }
    )
    outcomes = pl.DataFrame(
        {
            "pseudonym": [f"e{i}" for i in range(n)],
            "date": [
                (start + timedelta(days=7 * (i // 300) + (60 if left[i] else 95))).date() for i in range(n)
            ],
            "left": left,
        }
    )
    rule = PerformanceRule()
    joined = join_outcomes(predictions, outcomes, now=now(), horizon_days=rule.horizon_days)
    verdict = judge_performance(joined, rule, version=V1)
    return {
        "window": f"{V1}/0",
        "verdict": verdict.outcome,
        "judged": verdict.as_json(),
        "weeks": [week.as_json() for week in measure(joined)],
    }


def slo_facts(platform: Platform, *, troubled: bool) -> dict[str, Any]:
    """Facts of an SLO report; troubled, a job has failed and the ledger does not verify."""
    at = now()
    runs = tuple(
        run("failure" if troubled else "success", hours, "train_champion") for hours in (1.0, 2.0, 3.0)
    )
    report = measure_slos(SloFacts(runs=runs), SloRule(), at)
    failed = {"train_champion": at - timedelta(hours=1)} if troubled else {}
    security = ("The ledger does not verify: <i>record 2</i>.",) if troubled else ()
    alerts = judge_alerts(
        report, AlertFacts({}, failed, security=security), at, platform.policy.notifications.runbooks
    )
    return report.as_json() | {"alerts": [alert.as_json() for alert in alerts]}


def run(status: str, hours: float, job: str) -> RunFact:
    """A run that began so many hours ago and took a minute."""
    began = now() - timedelta(hours=hours)
    ended = None if status == "running" else began + timedelta(minutes=1)
    return RunFact(f"run-{job}-{hours}", job, "drift", status, began, ended)  # type: ignore[arg-type]
