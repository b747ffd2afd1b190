"""What each trigger waits for, made up: a signal that must fire it, and one that must not.

The signals go through the real verdicts (drift, performance, the canary's) and lie where the real ones lie,
in a scratch place. No data of anybody is read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult, digest
from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.stages.counting import watched_columns
from attrition_platform.stages.detecting import LAST_OF_TRAINING, events_folder
from attrition_platform.stages.platform import Platform

Signal = Callable[[Platform, bool], None]
RUN = "rehearsal"
VERSION = "0123456789abcdef"
N_LABELS = 1_000


def _new_file(platform: Platform, fires: bool) -> None:
    name = "extract.csv" if fires else "extract.csv.part"
    _drop(platform.settings.inbox / name, b"a file that nobody has seen\n")


def _event(platform: Platform, fires: bool) -> None:
    told = {"kind": "platform-update", "reason": "rehearsal"} if fires else {"kind": "platform-update"}
    _drop(events_folder(platform) / "event.json", json.dumps(told).encode())


def _drift(platform: Platform, fires: bool) -> None:
    from attrition_platform.monitoring.drift import judge_drift
    from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary

    column = watched_columns(platform)[0]

    def summary(n_small: int) -> FrameSummary:
        counts = ColumnCounts("number", (0.0, 1.0), (5_000 - n_small, n_small))
        return FrameSummary(5_000, {column: counts})

    verdict = judge_drift(summary(1_000), summary(2_500 if fires else 1_010), platform.policy.drift)
    _report_drift(platform, drifted=verdict.drifted, score=verdict.score, columns=list(verdict.columns))


def _new_column(platform: Platform, fires: bool) -> None:
    from attrition_platform.monitoring.schema_change import find_schema_changes
    from attrition_platform.monitoring.summary import FrameSummary

    nothing = FrameSummary(5_000, {})
    extra = ("rehearsed_column",) if fires else ()
    changes = find_schema_changes(platform.contract, nothing, nothing, extra=extra)
    _report_drift(platform, schema_changes=[change.as_json() for change in changes])


def _report_drift(platform: Platform, **found: Any) -> None:
    facts: dict[str, Any] = {"window": RUN, "reference": VERSION, "problem": None, "drifted": False}
    facts |= {"score": None, "columns": [], "schema_changes": [], "blocks_scoring": False}
    _made(platform, "drift_report", facts | found)


def _performance(platform: Platform, fires: bool) -> None:
    """Half have a chance of 0.8 to leave, half of 0.2; where it fires, the wrong half leaves."""
    import polars as pl

    from attrition_platform.monitoring.performance import join_outcomes, judge_performance

    rule = platform.policy.performance
    now = platform.clock()
    n = max(N_LABELS, rule.min_labels)
    at = now - timedelta(days=rule.horizon_days + 30)
    person = pl.int_range(n, eager=True)
    risky = person % 2 == 0
    leaves = ((person // 2) % 5 < 4) == (risky if not fires else ~risky)
    ids = person.cast(pl.String)
    predictions = pl.DataFrame({"pseudonym": ids, "flagged": risky}).with_columns(
        pl.lit(at).dt.convert_time_zone("UTC").alias("at"),
        pl.lit(VERSION).alias("version"),
        pl.when("flagged").then(0.8).otherwise(0.2).alias("probability"),
    )
    told = pl.select(pl.when(leaves).then((at + timedelta(days=1)).date()).otherwise(now.date())).to_series()
    outcomes = pl.DataFrame({"pseudonym": ids, "date": told, "left": leaves})
    joined = join_outcomes(predictions, outcomes, now=now, horizon_days=rule.horizon_days)
    verdict = judge_performance(joined, rule, version=VERSION)
    facts = {"window": RUN, "verdict": verdict.outcome, "judged": verdict.as_json(), "weeks": []}
    _made(platform, "performance_report", facts)


def _volume(platform: Platform, fires: bool) -> None:
    n_new = platform.policy.triggers.new_labels - (0 if fires else 1)
    _made(platform, LAST_OF_TRAINING, {})
    _made(platform, "validated_employees", {"n_labelled": 0})
    _made(platform, "validated_employees", {"n_labelled": n_new}, run=f"{RUN}-later")


SIGNALS: Mapping[CauseKind, Signal] = {
    "new-file": _new_file,
    "drift": _drift,
    "performance": _performance,
    "volume": _volume,
    "new-column": _new_column,
    "event": _event,
}


def canary_action(platform: Platform, fires: bool) -> str:
    """What the verdict does to a made-up canary: one that fails in every third answer, or one like stable."""
    from attrition_platform.monitoring.canary import judge
    from attrition_platform.monitoring.evidence import Observation

    rule = platform.policy.release.canary
    observations = []
    for n in range(max(rule.max_requests, rule.min_requests)):
        failed = fires and n % 3 == 0
        for arm, bad in (("stable", False), ("canary", failed)):
            client, at = f"client-{n}", n * 1_000
            differs = False if arm == "canary" and not bad else None
            observations.append(Observation(arm, client, at, bad, 1.0, differs))  # type: ignore[arg-type]
    return judge(observations, rule, budget_p95_ms=platform.policy.gates.max_latency_p95_ms).action


def _made(platform: Platform, asset: str, facts: Mapping[str, Any], run: str = RUN) -> None:
    version = digest(dict(facts))
    Pointers(platform.pointers_dir).write(
        asset, run, StepResult(asset, version, version, {}, dict(facts), {})
    )


def _drop(file: Path, content: bytes) -> None:
    """Write a file that seems to stand still for a minute."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    then = time.time() - 60
    os.utime(file, (then, then))
