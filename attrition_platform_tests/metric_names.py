"""Every metric that exists, read from what both addresses tell once everything is known."""

from __future__ import annotations

from datetime import datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from attrition_platform.modeling.watch_rules import SloRule
from attrition_platform.monitoring.burn_rate import Alert
from attrition_platform.monitoring.exposition import MODEL_METRICS, PipelineFacts, pipeline_metrics
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
from attrition_platform.serving.metrics import Metrics


def known_pipeline(now: datetime) -> PipelineFacts:
    """A pipeline of which everything is known."""
    then = now - timedelta(minutes=30)
    report = measure_slos(
        SloFacts(
            runs=(RunFact("r", "train_champion", "drift", "success", then, then, 60.0),),
            arrivals=(ArrivalFact("f", then, now),),
            batches=(BatchFact("b", then, 1_000, 0),),
            quality=(QualityFact("v", then, "roc_auc", 0.81, 0.72, 0.7, 0.74),),
            store_checks=(StoreCheck(then, 9, 0),),
            refits=(RefitFact("v", then, True),),
            causes=(CauseFact("c", "drift", then, now),),
            judged_windows=(then,),
            alarms=(AlarmFact("w", then, True),),
        ),
        SloRule(),
        now,
    )
    return PipelineFacts(
        runs={("train_champion", "success"): 6, ("train_champion", "failure"): 1},
        last_success={"monitor": now - timedelta(minutes=1)},
        champion=("769f", "boosted_trees"),
        champion_since=then,
        champion_auc=0.81,
        drift_score=0.25,
        n_drifted_columns=2,
        window_at=now - timedelta(hours=2),
        matured=dict.fromkeys(MODEL_METRICS, 0.7),
        estimated=dict.fromkeys(MODEL_METRICS, 0.72),
        slo=report.as_json(),
        slo_judged_at=then,
        open_causes={"drift": 2},
        ticketed_causes={"new-file": 1},
        alerts=(Alert("slow-burn", "run-success", "Text.", "docs/runbooks/slow-burn.md"),),
        n_notifications_failed=3,
        undelivered={"webhook": 4},
        failing={"file": False, "webhook": True},
        ledger_intact=True,
        readable={"release": True, "slo": False},
    )


def labels_by_series(text: bytes) -> dict[str, frozenset[str]]:
    """Label names of each series that a text for Prometheus holds, such as ``x_total`` or ``x_bucket``."""
    found: dict[str, frozenset[str]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name] = frozenset(sample.labels) | found.get(sample.name, frozenset())
    return found


def service_series() -> dict[str, frozenset[str]]:
    """Series of the service, with their labels."""
    return labels_by_series(Metrics().render({"stable": "a", "canary": "b"}, 0.1, True, 1))


def pipeline_series(now: datetime) -> dict[str, frozenset[str]]:
    """Series of the dashboard, with their labels."""
    return labels_by_series(pipeline_metrics(known_pipeline(now), now))
