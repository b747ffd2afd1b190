"""Who is called when: fast burns wake somebody, slow ones wait for the morning, one failure is a ticket."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrition_platform.modeling.watch_rules import SloRule
from attrition_platform.monitoring.burn_rate import (
    ALERTS,
    BURN_RULES,
    SEVERITY,
    Alert,
    AlertFacts,
    Event,
    burn_alerts,
    burn_rate,
    judge_alerts,
)
from attrition_platform.monitoring.slo import measure_slos
from attrition_platform.monitoring.slo_facts import AlarmFact, QualityFact, RunFact, SloFacts, StoreCheck

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUIET = measure_slos(SloFacts(), SloRule(), NOW)


def steady(bad_share: float, hours: float, n_per_hour: int = 600) -> list[Event]:
    """Events that arrive evenly until now, of which the same share is bad all the time."""
    n = int(hours * n_per_hour)
    step = timedelta(hours=1) / n_per_hour
    return [Event(NOW - i * step, int(i * bad_share) == int((i + 1) * bad_share)) for i in range(n)]


def names(alerts: tuple[Alert, ...]) -> list[str]:
    return [alert.name for alert in alerts]


def judge(**facts: Any) -> tuple[Alert, ...]:
    return judge_alerts(QUIET, AlertFacts(**({"events": {}, "failed_runs": {}} | facts)), NOW)


def test_windows_and_factors_are_those_of_the_workbook() -> None:
    told = [(r.factor, r.long, r.short, SEVERITY[r.name]) for r in BURN_RULES]

    assert told == [
        (14.4, timedelta(hours=1), timedelta(minutes=5), "page"),
        (6.0, timedelta(hours=6), timedelta(minutes=30), "page"),
        (3.0, timedelta(days=1), timedelta(hours=2), "ticket"),
        (1.0, timedelta(days=3), timedelta(hours=6), "ticket"),
    ]


@pytest.mark.parametrize(
    ("bad_share", "hours", "expected"),
    [
        (0.20, 1, ["fast-burn"]),
        (0.08, 6, ["fast-burn"]),
        (0.04, 24, ["slow-burn"]),
        (0.02, 72, ["slow-burn"]),
        (0.009, 72, []),
        (0.0, 72, []),
    ],
)
def test_the_rate_decides_who_is_called(bad_share: float, hours: float, expected: list[str]) -> None:
    events = steady(bad_share, hours, n_per_hour=120)

    assert names(burn_alerts("run-success", events, 0.99, NOW)) == expected


def test_a_page_ends_soon_after_its_cause_has() -> None:
    """A bad hour that ended half an hour ago still stands in the long windows, not in the short ones."""
    events = steady(0.5, 1)
    mended = [Event(event.at, event.good or event.at > NOW - timedelta(minutes=31)) for event in events]

    assert names(burn_alerts("x", events, 0.99, NOW)) == ["fast-burn"]
    assert names(burn_alerts("x", mended, 0.99, NOW)) == ["slow-burn"]


def test_one_failure_among_few_events_wakes_nobody() -> None:
    one, two, three = ([Event(NOW, False)] * n for n in (1, 2, 3))

    assert burn_alerts("run-success", one, 0.99, NOW) == ()
    assert names(burn_alerts("run-success", two, 0.99, NOW)) == ["slow-burn"]
    assert names(burn_alerts("run-success", three, 0.99, NOW)) == ["fast-burn"]


def test_where_nothing_may_be_bad_one_event_is_enough() -> None:
    assert burn_rate([Event(NOW, False)], 1.0, timedelta(hours=1), NOW) == math.inf
    assert names(burn_alerts("artefact-availability", [Event(NOW, False)], 1.0, NOW)) == ["fast-burn"]
    assert burn_alerts("artefact-availability", [Event(NOW, True)] * 9, 1.0, NOW) == ()


def test_without_events_there_is_no_rate() -> None:
    future = [Event(NOW + timedelta(seconds=1), False)] * 5

    assert burn_rate(future, 0.99, timedelta(hours=1), NOW) is None
    assert burn_alerts("x", future, 0.99, NOW) == ()


@pytest.mark.parametrize("target", [math.nan, -0.1, 1.1, math.inf])
def test_a_target_that_is_no_share_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="share in"):
        burn_rate([], target, timedelta(hours=1), NOW)


def test_one_failed_run_is_a_ticket_even_where_it_uses_the_budget_up() -> None:
    runs = tuple(
        RunFact(str(i), "train_champion", None, "failure" if i == 0 else "success", at, at)
        for i, at in enumerate(NOW - timedelta(hours=i) for i in range(20))
    )
    report = measure_slos(SloFacts(runs=runs), SloRule(), NOW)
    events = {"run-success": [Event(run.started_at, run.status == "success") for run in runs]}

    alerts = judge_alerts(report, AlertFacts(events, {"train_champion": NOW}), NOW)

    assert report.missed == ("run-success",)
    assert [(alert.name, alert.severity) for alert in alerts] == [("failed-run", "ticket")]


def test_two_failures_that_use_the_budget_up_page() -> None:
    runs = tuple(
        RunFact(str(i), "train_champion", None, "failure" if i < 2 else "success", at, at)
        for i, at in enumerate(NOW - timedelta(hours=50 + i) for i in range(20))
    )
    report = measure_slos(SloFacts(runs=runs), SloRule(), NOW)

    alerts = judge_alerts(report, AlertFacts({}, {}), NOW)

    assert ("budget-exhausted", "run-success") in [(alert.name, alert.about) for alert in alerts]


def test_a_damaged_artefact_pages_and_a_worse_model_is_a_ticket() -> None:
    facts = SloFacts(
        store_checks=(StoreCheck(NOW, 100, 1),),
        quality=(QualityFact("v", NOW, "roc_auc", 0.8, 0.7, 0.68, 0.72),),
    )

    alerts = judge_alerts(measure_slos(facts, SloRule(), NOW), AlertFacts({}, {}), NOW)

    assert [(alert.name, alert.about) for alert in alerts] == [
        ("budget-exhausted", "artefact-availability"),
        ("metric-regression", "quality-gap"),
    ]


def test_alarms_that_come_too_often_wake_nobody() -> None:
    alarms = tuple(AlarmFact(str(i), NOW - timedelta(days=3), True) for i in range(3))

    alerts = judge_alerts(measure_slos(SloFacts(alarms=alarms), SloRule(), NOW), AlertFacts({}, {}), NOW)

    assert [(a.name, a.about, a.severity) for a in alerts] == [
        ("too-many-alarms", "alarms-per-month", "ticket")
    ]


def test_what_is_down_or_forged_comes_first() -> None:
    alerts = judge(
        failed_runs={"score_employees": NOW},
        regressions=("recall is below its floor",),
        security=("Record 3 of the ledger does not hold",),
        outages=("No model can serve",),
    )

    assert names(alerts) == ["outage", "security", "metric-regression", "failed-run"]
    assert [alert.severity for alert in alerts] == ["page", "page", "ticket", "ticket"]


def test_a_failure_of_yesterday_is_not_told_again() -> None:
    assert judge(failed_runs={"monitor": NOW - timedelta(days=1, seconds=1)}) == ()


def test_unknown_indicators_are_refused_and_silence_calls_nobody() -> None:
    assert judge() == ()
    with pytest.raises(ValueError, match="no measure 'runs'"):
        judge(events={"runs": []})


def test_links_begin_as_the_policy_says() -> None:
    alerts = judge_alerts(QUIET, AlertFacts({}, {"monitor": NOW}), NOW, "https://wiki.example/run/")

    assert alerts[0].runbook == "https://wiki.example/run/failed-run.md"
    assert alerts[0].as_json()["severity"] == "ticket"
    assert Alert.from_json(alerts[0].as_json()) == alerts[0]
    assert set(SEVERITY) == set(ALERTS)


@given(st.lists(st.tuples(st.floats(0, 80), st.booleans()), max_size=60), st.integers(0, 59))
def test_one_more_bad_event_never_lowers_a_rate_or_an_alert(
    drawn: list[tuple[float, bool]], which: int
) -> None:
    events = [Event(NOW - timedelta(hours=hours), good) for hours, good in drawn]
    worse = [Event(e.at, e.good and i != which) for i, e in enumerate(events)]
    order = {"fast-burn": 2, "slow-burn": 1}

    for rule in BURN_RULES:
        before, after = (burn_rate(some, 0.99, rule.long, NOW) for some in (events, worse))
        assert (before is None) == (after is None)
        assert (after or 0.0) >= (before or 0.0)
    ranks = [
        max((order[n] for n in names(burn_alerts("x", e, 0.99, NOW))), default=0) for e in (events, worse)
    ]
    assert ranks[1] >= ranks[0]
