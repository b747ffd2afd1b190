"""What Prometheus reads: everything that is known, nothing that is not, and a bounded number of series."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from attrition_platform.modeling.watch_rules import SloRule
from attrition_platform.monitoring.burn_rate import ALERTS, Alert
from attrition_platform.monitoring.exposition import JOBS, STATUSES, PipelineFacts, pipeline_metrics
from attrition_platform.monitoring.slo import measure_slos
from attrition_platform.monitoring.slo_facts import BatchFact, SloFacts
from attrition_platform_tests.metric_names import known_pipeline

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Series = tuple[str, tuple[tuple[str, str], ...]]


def told(facts: PipelineFacts) -> dict[Series, float]:
    text = pipeline_metrics(facts, NOW).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_unknown_has_no_series() -> None:
    assert told(PipelineFacts()) == {}


def test_everything_known_is_told() -> None:
    found = told(known_pipeline(NOW))

    assert found["attrition_runs", (("dagster_job", "train_champion"), ("status", "failure"))] == 1
    assert found["attrition_last_success_time_seconds", (("dagster_job", "monitor"),)] == NOW.timestamp() - 60
    assert found["attrition_champion_info", (("family", "boosted_trees"), ("version", "769f"))] == 1
    assert found["attrition_champion_test_roc_auc", ()] == 0.81
    assert found["attrition_drift_score", ()] == 0.25
    assert found["attrition_drifted_columns", ()] == 2
    assert found["attrition_window_age_seconds", ()] == 7200
    assert found["attrition_matured_performance", (("metric", "recall"),)] == 0.7
    assert found["attrition_estimated_performance", (("metric", "accuracy"),)] == 0.72
    assert found["attrition_open_causes", (("kind", "drift"),)] == 2
    assert found["attrition_open_causes", (("kind", "volume"),)] == 0
    assert found["attrition_alerts_firing", (("alert", "slow-burn"), ("severity", "ticket"))] == 1
    assert found["attrition_alerts_firing", (("alert", "outage"), ("severity", "page"))] == 0
    assert found["attrition_notifications_failed", ()] == 3
    assert found["attrition_slo_judged_time_seconds", ()] == NOW.timestamp() - 1800
    assert found["attrition_ledger_intact", ()] == 1
    assert found["attrition_source_readable", (("source", "slo"),)] == 0
    assert found["attrition_ticketed_causes", (("kind", "new-file"),)] == 1
    assert found["attrition_ticketed_causes", (("kind", "drift"),)] == 0
    assert found["attrition_notifications_undelivered", (("channel", "webhook"),)] == 4
    assert found["attrition_channel_failing", (("channel", "webhook"),)] == 1
    assert found["attrition_channel_failing", (("channel", "file"),)] == 0
    assert ("attrition_channel_failing", (("channel", "mail"),)) not in found


def test_promises_without_data_have_no_verdict_but_a_target() -> None:
    report = measure_slos(SloFacts(batches=(BatchFact("b", NOW, 1_000, 2),)), SloRule(), NOW)

    found = told(PipelineFacts(slo=report.as_json()))

    assert found["attrition_slo_met", (("indicator", "validation-pass-rate"),)] == 0
    assert found["attrition_slo_value", (("measure", "validation-pass-rate"),)] == 0.998
    assert found["attrition_slo_budget_left_ratio", (("measure", "validation-pass-rate"),)] == 0
    assert found["attrition_slo_target", (("measure", "run-success"),)] == 0.99
    assert ("attrition_slo_met", (("indicator", "run-success"),)) not in found
    assert ("attrition_slo_budget_left_ratio", (("measure", "run-success"),)) not in found


def test_nobody_having_judged_is_not_the_same_as_no_alert() -> None:
    assert len(told(PipelineFacts(alerts=()))) == len(ALERTS)
    assert told(PipelineFacts(alerts=None)) == {}


def test_numbers_that_are_none_are_left_out() -> None:
    facts = PipelineFacts(
        drift_score=math.nan, champion_auc=math.inf, matured={"accuracy": math.nan, "recall": None}
    )

    assert told(facts) == {}


def test_a_window_of_the_future_is_new() -> None:
    found = told(PipelineFacts(window_at=NOW + timedelta(hours=1)))

    assert found["attrition_window_age_seconds", ()] == 0


words = st.text(max_size=5)


@given(
    st.dictionaries(st.tuples(words, words), st.integers(0, 9), max_size=30),
    st.dictionaries(words, st.integers(0, 9), max_size=30),
    st.dictionaries(words, st.floats(), max_size=30),
    st.lists(st.builds(Alert, st.sampled_from(ALERTS), words, words, words), max_size=30),
)
def test_no_input_adds_label_values(
    runs: dict[tuple[str, str], int],
    causes: dict[str, int],
    matured: dict[str, float],
    alerts: list[Alert],
) -> None:
    """Names of jobs, causes and metrics come from stores that anyone may write to."""
    found = told(PipelineFacts(runs=runs, open_causes=causes, matured=matured, alerts=alerts))

    assert len(found) <= 1 + (len(JOBS) + 1) * (len(STATUSES) + 1) + 7 + 4 + len(ALERTS)
    assert sum(v for (name, _), v in found.items() if name == "attrition_runs") == sum(runs.values())
    assert sum(v for (name, _), v in found.items() if name == "attrition_open_causes") == sum(causes.values())
