"""What each trigger waits for, made up: a signal that must fire it, and one that must not.

The signals go through the real verdicts (drift, performance, the canary's) and lie where the real ones lie,
in a scratch place. No data of anybody is read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult, digest
from attrition_platform.modeling.watch_rules import CauseKind, PerformanceRule
from attrition_platform.ports import FIRST_HASH, LedgerRecord, PredictionRecord
from attrition_platform.stages.answered_causes import LAST_OF_TRAINING
from attrition_platform.stages.counting import watched_columns
from attrition_platform.stages.detecting import events_folder
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from attrition_platform.monitoring.drift_verdict import DriftVerdict
    from attrition_platform.monitoring.summary import ColumnCounts, ColumnKind

RUN = "rehearsal"
VERSION = "0123456789abcdef"
N_LABELS, N_ROWS, N_ANSWERS = 1_000, 20_000, 200


@dataclass(frozen=True)
class Signal:
    """One thing that must fire a trigger, and its harmless sibling.

    Attributes
    ----------
    trigger : CauseKind
        Which must fire.
    name : str
        What shows it. Each of a trigger's signals is found by another verdict: one that is dead is not
        covered up by the others.
    make : callable
        Puts it where the real one would lie; with False, the sibling.
    """

    trigger: CauseKind
    name: str
    make: Callable[[Platform, bool], None]


def _new_file(platform: Platform, fires: bool) -> None:
    name = "extract.csv" if fires else "extract.csv.part"
    _drop(platform.settings.inbox / name, b"a file that nobody has seen\n")


def _event(platform: Platform, fires: bool) -> None:
    told = {"kind": "platform-update", "reason": "rehearsal"} if fires else {"kind": "platform-update"}
    _drop(events_folder(platform) / "event.json", json.dumps(told).encode())


def _number(platform: Platform, fires: bool) -> None:
    shares = (2_500, 2_500) if fires else (3_990, 1_010)
    _compare(platform, _two("number", 4_000, 1_000), _two("number", *shares))


def _category(platform: Platform, fires: bool) -> None:
    shares = (100, 4_900) if fires else (4_890, 110)
    _compare(platform, _two("category", 4_900, 100), _two("category", *shares))


def _missing_values(platform: Platform, fires: bool) -> None:
    """The values that are there are shared out as before."""
    n_missing = 4_000 if fires else 110
    half = (5_000 - n_missing) // 2
    before = replace(_two("number", 2_450, 2_450), n_missing=100)
    _compare(platform, before, replace(_two("number", half, half), n_missing=n_missing))


def _new_category(platform: Platform, fires: bool) -> None:
    """So few rows that the distribution alone would be let pass, where the policy tolerates few."""
    from attrition_platform.monitoring.summary import ColumnCounts

    n = round(N_ROWS * platform.policy.drift.max_new_category_share)
    n_new = n + N_ROWS // 200 if fires else n // 2
    before, now = (
        _two("category", N_ROWS // 2, N_ROWS // 2),
        _two("category", N_ROWS // 2, N_ROWS // 2 - n_new),
    )
    if n_new:
        now = ColumnCounts("category", (*now.values, "c"), (*now.counts, n_new))
    _compare(platform, before, now)


def _compare(platform: Platform, before: ColumnCounts, now: ColumnCounts) -> None:
    from attrition_platform.monitoring.drift import judge_drift
    from attrition_platform.monitoring.summary import FrameSummary

    column = watched_columns(platform)[0]
    reference, window = (FrameSummary(side.n_rows, {column: side}) for side in (before, now))
    _report_verdict(platform, judge_drift(reference, window, platform.policy.drift))


def _two(kind: ColumnKind, first: int, second: int) -> ColumnCounts:
    from attrition_platform.monitoring.summary import ColumnCounts

    return ColumnCounts(kind, (0.0, 1.0) if kind == "number" else ("a", "b"), (first, second))


def _answers(platform: Platform, fires: bool) -> None:
    """Answers of the service lie in its log, under yesterday; the champion never gave such before."""
    from attrition_platform.monitoring.drift import judge_drift
    from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary
    from attrition_platform.stages.drift import served_yesterday

    rule, n = platform.policy.drift, max(N_ANSWERS, platform.policy.drift.min_rows)
    noon = platform.clock().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    at = round(noon.timestamp() * 1e6)
    platform.predictions.append([_answer(k, at, 0.8 if fires or k % 5 == 0 else 0.2) for k in range(n)])
    champion = LedgerRecord(1, "promotion", noon.isoformat(), VERSION, {"reads": []}, FIRST_HASH, FIRST_HASH)
    served = served_yesterday(platform, champion)
    platform.predictions.close()
    if served is not None:
        (column,) = served.summary.columns
        before = FrameSummary(5_000, {column: ColumnCounts("number", (0.2, 0.8), (4_000, 1_000))})
        _report_verdict(platform, judge_drift(before, served.summary, rule))


def _answer(number: int, at: int, probability: float) -> PredictionRecord:
    return PredictionRecord(
        id=f"{number:032x}",
        at=at + number,
        pseudonym=str(number),
        client="local",
        variant="stable",
        version=VERSION,
        inputs_hash=f"{number:064x}",
        inputs=None,
        score=0.0,
        probability=probability,
        threshold=0.5,
        flagged=probability >= 0.5,
        tier="compiled",
        other_version=None,
        other_probability=None,
        failed=False,
        latency_us=1_000,
        shadow_latency_us=None,
    )


def _report_verdict(platform: Platform, verdict: DriftVerdict) -> None:
    window = {"window": RUN, **verdict.as_json()}
    columns = list(verdict.columns)
    _report_drift(platform, drifted=verdict.drifted, score=verdict.score, columns=columns, windows=[window])


def _new_column(platform: Platform, fires: bool) -> None:
    from attrition_platform.monitoring.schema_change import find_schema_changes
    from attrition_platform.monitoring.summary import FrameSummary

    nothing = FrameSummary(5_000, {})
    extra = ("rehearsed_column",) if fires else ()
    changes = find_schema_changes(platform.contract, nothing, nothing, extra=extra)
    _report_drift(platform, schema_changes=[change.as_json() for change in changes])


def _report_drift(platform: Platform, **found: Any) -> None:
    facts: dict[str, Any] = {"window": RUN, "reference": VERSION, "problem": None, "drifted": False}
    facts |= {"windows": [], "score": None, "columns": [], "schema_changes": [], "blocks_scoring": False}
    _made(platform, "drift_report", facts | found)


def _low_accuracy(platform: Platform, fires: bool) -> None:
    """Everybody is flagged, where one of twenty leaves: no leaver is missed."""
    _outcomes(platform, flag="everybody" if fires else "who leaves")


def _low_recall(platform: Platform, fires: bool) -> None:
    """Nobody is flagged, where one of twenty leaves: for nineteen that is right."""
    _outcomes(platform, flag="nobody" if fires else "who leaves")


def _concept(platform: Platform, fires: bool) -> None:
    """Every flag is right, so that no floor is broken; the probabilities are far from what became of it."""
    _outcomes(platform, chances=(0.6, 0.4) if fires else (0.98, 0.02))


def _outcomes(
    platform: Platform,
    *,
    flag: Literal["everybody", "nobody", "who leaves"] = "who leaves",
    chances: tuple[float, float] = (0.98, 0.02),
) -> None:
    """Report what became of predictions; `chances` are those given to who leaves and to who stays."""
    import polars as pl

    from attrition_platform.monitoring.performance import join_outcomes, judge_performance

    rule = platform.policy.performance
    now = platform.clock()
    n = max(N_LABELS, rule.min_labels)
    at = now - timedelta(days=rule.horizon_days + 30)
    person = pl.int_range(n, eager=True)
    leaves = person % 20 == 0
    flagged = {"everybody": person >= 0, "nobody": person < 0, "who leaves": leaves}[flag]
    ids = person.cast(pl.String)
    predictions = pl.DataFrame({"pseudonym": ids, "flagged": flagged, "left": leaves}).select(
        "pseudonym",
        "flagged",
        pl.lit(at).dt.convert_time_zone("UTC").alias("at"),
        pl.lit(VERSION).alias("version"),
        pl.when("left").then(chances[0]).otherwise(chances[1]).alias("probability"),
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


def signals(rule: PerformanceRule) -> tuple[Signal, ...]:
    """Every signal; a floor of 0 can't be broken, so it has none."""
    return (
        Signal("new-file", "file in the inbox", _new_file),
        Signal("drift", "number", _number),
        Signal("drift", "category", _category),
        Signal("drift", "new category", _new_category),
        Signal("drift", "missing values", _missing_values),
        Signal("drift", "answers", _answers),
        *([Signal("performance", "accuracy", _low_accuracy)] if rule.min_accuracy > 0 else ()),
        *([Signal("performance", "recall", _low_recall)] if rule.min_recall > 0 else ()),
        Signal("performance", "concept drift", _concept),
        Signal("volume", "new labels", _volume),
        Signal("new-column", "new column", _new_column),
        Signal("event", "event file", _event),
    )


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
