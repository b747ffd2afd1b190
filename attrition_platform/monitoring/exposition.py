"""What Prometheus reads about the pipeline and its models, made from reports that stages have written.

Label values are closed sets (an unknown one counts as ``other``) apart from the champion's version, of which
there is one at a time: the number of series is bounded. What is unknown has no series; zero would be a claim.
`docs/metrics.md` explains each metric, and a test holds it to this file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.monitoring.burn_rate import ALERTS, SEVERITY, Alert
from attrition_platform.monitoring.slo_facts import RunStatus
from attrition_platform.monitoring.slo_report import INDICATORS, MEASURES

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
JOBS: Final = ("train_champion", "score_employees", "monitor")
STATUSES: Final[tuple[str, ...]] = get_args(RunStatus)
CAUSES: Final[tuple[str, ...]] = get_args(CauseKind)
MODEL_METRICS: Final = ("accuracy", "recall", "precision", "roc_auc")
CHANNELS: Final = ("file", "webhook", "mail")
PARTS: Final = (
    "place",
    "release",
    "decision",
    "drift",
    "performance",
    "slo",
    "scored",
    "predictions",
    "runs",
    "causes",
    "notifications",
    "refused",
)
OTHER: Final = "other"
_VERDICTS: Final = {"met": 1.0, "missed": 0.0}


@dataclass(frozen=True)
class PipelineFacts:
    """What is told; every part may be unknown.

    Attributes
    ----------
    runs : mapping of (str, str) to int
        Runs of the last 7 days by job and status; a run that goes on counts whenever it began.
    last_success : mapping of str to datetime
        End of each job's newest good run.
    champion : tuple of (str, str) or None
        Version and family.
    champion_since : datetime or None
    champion_auc : float or None
        ROC AUC on the test side, as its promotion recorded it.
    drift_score : float or None
        Largest column score of the newest window.
    n_drifted_columns : int or None
    window_at : datetime or None
        When the newest window came in.
    matured, estimated : mapping of str to float or None
        By name of `MODEL_METRICS`: on outcomes that are known, and from probabilities alone.
    slo : mapping or None
        `SloReport.as_json`.
    slo_judged_at : datetime or None
        When that was judged.
    open_causes, ticketed_causes : mapping of str to int or None
        By kind: that wait for a run, and that no run is started for any more. Kinds that are not named have
        none. None: nobody has looked.
    alerts : sequence of Alert or None
        Those that stand now. None: nobody has judged, which is not the same as none.
    n_notifications_failed : int or None
        Notifications of the last 7 days that a channel did not take.
    undelivered, failing : mapping of str to int, mapping of str to bool
        By channel that is set: messages that it has not taken yet, and whether it fails now.
    ledger_intact : bool or None
        Whether the chain held a moment ago. None: there is no record, or it can't be read.
    readable : mapping of str to bool
        By part of the overview, whether it could be read.
    """

    runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last_success: Mapping[str, datetime] = field(default_factory=dict)
    champion: tuple[str, str] | None = None
    champion_since: datetime | None = None
    champion_auc: float | None = None
    drift_score: float | None = None
    n_drifted_columns: int | None = None
    window_at: datetime | None = None
    matured: Mapping[str, float | None] = field(default_factory=dict)
    estimated: Mapping[str, float | None] = field(default_factory=dict)
    slo: Mapping[str, Any] | None = None
    slo_judged_at: datetime | None = None
    open_causes: Mapping[str, int] | None = None
    ticketed_causes: Mapping[str, int] | None = None
    alerts: Sequence[Alert] | None = None
    n_notifications_failed: int | None = None
    undelivered: Mapping[str, int] = field(default_factory=dict)
    failing: Mapping[str, bool] = field(default_factory=dict)
    ledger_intact: bool | None = None
    readable: Mapping[str, bool] = field(default_factory=dict)


def pipeline_metrics(facts: PipelineFacts, now: datetime) -> bytes:
    """Text for Prometheus.

    Parameters
    ----------
    facts : PipelineFacts
        What was read from the stores a moment ago.
    now : datetime
        With its time zone; ages are counted from it.

    Returns
    -------
    bytes
        Exposition format 0.0.4, see `CONTENT_TYPE`.

    Examples
    --------
    >>> from datetime import UTC
    >>> told = pipeline_metrics(PipelineFacts(drift_score=0.25), datetime(2026, 1, 1, tzinfo=UTC))
    >>> [line for line in told.decode().splitlines() if not line.startswith("#")]
    ['attrition_drift_score 0.25']
    """
    page = _Page()
    _tell_sight(page, facts)
    _tell_runs(page, facts)
    _tell_models(page, facts, now)
    _tell_promises(page, facts.slo)
    _tell_work(page, facts)
    return page.text()


def _tell_sight(page: _Page, facts: PipelineFacts) -> None:
    """What says whether the other metrics can be trusted."""
    judged = None if facts.slo_judged_at is None else facts.slo_judged_at.timestamp()
    page.tell("attrition_slo_judged_time_seconds", "When promises and alerts were judged", judged)
    page.tell("attrition_ledger_intact", "1 while the ledger's chain holds", facts.ledger_intact)
    sources = [((name,), facts.readable.get(name)) for name in PARTS]
    page.table("attrition_source_readable", "1 for what could be read", ("source",), sources)


def _tell_runs(page: _Page, facts: PipelineFacts) -> None:
    runs: Counter[tuple[str, str]] = Counter()
    for (job, status), n in facts.runs.items():
        runs[_known(job, JOBS), _known(status, STATUSES)] += n
    page.table("attrition_runs", "Runs of the last 7 days", ("dagster_job", "status"), runs.items())
    newest: dict[tuple[str, ...], float] = {}
    for job, ended in facts.last_success.items():
        key = (_known(job, JOBS),)
        newest[key] = max(ended.timestamp(), newest.get(key, -math.inf))
    page.table(
        "attrition_last_success_time_seconds", "End of the newest good run", ("dagster_job",), newest.items()
    )


def _tell_models(page: _Page, facts: PipelineFacts, now: datetime) -> None:
    champion = [] if facts.champion is None else [(facts.champion, 1.0)]
    page.table("attrition_champion_info", "1 for the champion", ("version", "family"), champion)
    since = None if facts.champion_since is None else facts.champion_since.timestamp()
    page.tell("attrition_champion_since_time_seconds", "When the champion became it", since)
    page.tell("attrition_champion_test_roc_auc", "ROC AUC on the test side", facts.champion_auc)
    page.tell("attrition_drift_score", "Largest column score, newest window", facts.drift_score)
    page.tell("attrition_drifted_columns", "Columns that drifted, newest window", facts.n_drifted_columns)
    age = None if facts.window_at is None else max(0.0, (now - facts.window_at).total_seconds())
    page.tell("attrition_window_age_seconds", "Since the newest window came in", age)
    for kind, told in (("matured", facts.matured), ("estimated", facts.estimated)):
        rows = [((name,), told.get(name)) for name in MODEL_METRICS]
        page.table(f"attrition_{kind}_performance", f"Performance, {kind}", ("metric",), rows)


def _tell_promises(page: _Page, slo: Mapping[str, Any] | None) -> None:
    indicators = [] if slo is None else [one for one in slo["indicators"] if one["name"] in INDICATORS]
    measures = [m for one in indicators for m in one["measures"] if m["name"] in MEASURES]
    met = [((one["name"],), _VERDICTS.get(one["verdict"])) for one in indicators]
    page.table("attrition_slo_met", "1 kept, 0 broken; none without data", ("indicator",), met)
    values = [((m["name"],), m["value"]) for m in measures]
    page.table("attrition_slo_value", "What was reached", ("measure",), values)
    targets = [((m["name"],), m["target"]) for m in measures]
    page.table("attrition_slo_target", "What was promised", ("measure",), targets)
    left = [
        ((m["name"],), m["budget"]["left_share"])
        for m in measures
        if m["budget"] is not None and m["verdict"] != "no-data"
    ]
    page.table("attrition_slo_budget_left_ratio", "Share of the budget left", ("measure",), left)


def _tell_work(page: _Page, facts: PipelineFacts) -> None:
    page.table("attrition_open_causes", "Causes that wait", ("kind",), _by_kind(facts.open_causes))
    given_up = _by_kind(facts.ticketed_causes)
    page.table("attrition_ticketed_causes", "Causes that people must answer", ("kind",), given_up)
    standing = Counter(alert.name for alert in facts.alerts or ())
    firing = [] if facts.alerts is None else [((a, SEVERITY[a]), float(standing[a])) for a in ALERTS]
    page.table("attrition_alerts_firing", "Alerts that stand now", ("alert", "severity"), firing)
    failed = facts.n_notifications_failed
    page.tell("attrition_notifications_failed", "Untold in 7 days", failed)
    waiting = [((name,), facts.undelivered.get(name)) for name in CHANNELS]
    page.table("attrition_notifications_undelivered", "Messages not taken yet", ("channel",), waiting)
    failing = [((name,), facts.failing.get(name)) for name in CHANNELS]
    page.table("attrition_channel_failing", "1 while a channel fails", ("channel",), failing)


def _by_kind(counts: Mapping[str, int] | None) -> list[tuple[tuple[str, ...], float]]:
    """Counts of all kinds that we know; those of others in one."""
    if counts is None:
        return []
    causes: Counter[str] = Counter()
    for kind, n in counts.items():
        causes[_known(kind, CAUSES)] += n
    return [((kind,), float(causes[kind])) for kind in (*CAUSES, *([OTHER] if causes[OTHER] else []))]


class _Page:
    """One registry, in which a number that is none has no series."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

    def tell(self, name: str, help_text: str, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            Gauge(name, help_text, registry=self._registry).set(value)

    def table(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...],
        rows: Iterable[tuple[tuple[str, ...], float | None]],
    ) -> None:
        gauge = Gauge(name, help_text, labels, registry=self._registry)
        for values, value in rows:
            if value is not None and math.isfinite(value):
                gauge.labels(*values).set(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _known(word: str, words: Sequence[str]) -> str:
    return word if word in words else OTHER
