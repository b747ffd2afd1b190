"""Ten promises: each is kept, broken or unknown for the right reason."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrition_platform.modeling.watch_rules import SloRule
from attrition_platform.monitoring.slo import measure_slos
from attrition_platform.monitoring.slo_facts import (
    AlarmFact,
    Answer,
    ArrivalFact,
    BatchFact,
    CauseFact,
    QualityFact,
    RefitFact,
    RunFact,
    RunStatus,
    SloFacts,
    StoreCheck,
)
from attrition_platform.monitoring.slo_report import (
    INDICATORS,
    MEASURES,
    ErrorBudget,
    Indicator,
    IndicatorName,
    Measure,
    MeasureName,
    SloReport,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULE = SloRule()
RANK = {"met": 0, "no-data": 1, "missed": 2}


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def make_run(
    hours_ago: float = 1.0, status: RunStatus = "success", *, job: str = "train_champion", **more: Any
) -> RunFact:
    ended = None if status == "running" else ago(hours_ago)
    begun = ago(hours_ago + 0.01)
    return RunFact(more.pop("run_id", f"r{hours_ago}"), job, None, status, begun, ended, **more)


def indicator(name: IndicatorName, **facts: Any) -> Indicator:
    report = measure_slos(SloFacts(**facts), RULE, NOW)
    return next(one for one in report.indicators if one.name == name)


def measure(name: MeasureName, **facts: Any) -> Measure:
    report = measure_slos(SloFacts(**facts), RULE, NOW)
    return next(one for one in report.measures if one.name == name)


def test_without_facts_nothing_is_known_and_nothing_is_met() -> None:
    report = measure_slos(SloFacts(), RULE, NOW)

    assert tuple(one.name for one in report.indicators) == INDICATORS
    assert tuple(one.name for one in report.measures) == MEASURES
    assert {one.verdict for one in report.measures} == {"no-data"}
    assert {one.verdict for one in report.indicators} == {"no-data"}
    assert report.as_json()["verdicts"] == {"met": 0, "missed": 0, "no-data": 10}
    assert all(one.text and one.source for one in report.indicators)


def test_targets_are_the_policys() -> None:
    given_rule = SloRule(run_success=0.5, max_latency_mean_minutes=3.0, window_days=7, max_job_cost=9.0)

    report = measure_slos(SloFacts(), given_rule, NOW)

    targets = {one.name: one.target for one in report.measures}
    assert (targets["run-success"], targets["latency-mean"], targets["cost-per-training-job"]) == (0.5, 3, 9)
    assert {one.window_days for one in report.indicators} == {7.0}


def test_a_week_of_a_hundred_runs_may_hold_one_failure() -> None:
    runs = [make_run(i + 1, run_id=str(i)) for i in range(100)]
    one_failed = (*runs[1:], make_run(1, "failure"))
    two_failed = (*runs[2:], make_run(1, "failure"), make_run(2, "failure"))

    kept = measure("run-success", runs=one_failed)

    assert (kept.verdict, kept.value) == ("met", 0.99)
    assert kept.budget == ErrorBudget(1.0, 1, "runs", counted=True)
    assert not kept.budget.exhausted
    broken = measure("run-success", runs=two_failed)
    assert broken.verdict == "missed"
    assert broken.budget is not None
    assert broken.budget.exhausted


def test_a_failure_of_last_week_is_forgiven_and_a_canceled_run_counts_neither_way() -> None:
    runs = (make_run(7 * 24 + 1, "failure"), make_run(2, "canceled"), make_run(1))

    assert measure("run-success", runs=runs).value == 1.0
    assert indicator("run-success", runs=runs[1:2]).verdict == "no-data"


def test_a_run_that_goes_on_for_ever_has_failed() -> None:
    young, stuck = make_run(1, "running"), make_run(RULE.max_recovery_hours + 1, "running")

    assert indicator("run-success", runs=(young,)).verdict == "no-data"
    assert measure("run-success", runs=(stuck,)).value == 0.0


def test_latency_is_judged_by_its_mean_and_by_its_95th_percentile() -> None:
    quick = [ArrivalFact(f"f{i}", ago(2), ago(2) + timedelta(minutes=5)) for i in range(19)]
    slow = ArrivalFact("slow", ago(3), ago(3) + timedelta(minutes=61))

    assert indicator("end-to-end-latency", arrivals=(*quick, slow)).verdict == "met"
    two_slow = (*quick[1:], slow, slow)
    p95 = measure("latency-p95", arrivals=two_slow)
    assert p95.value == 61.0
    assert p95.budget == ErrorBudget(pytest.approx(1.0), 2, "files", counted=True)
    assert measure("latency-mean", arrivals=two_slow).verdict == "met"
    assert indicator("end-to-end-latency", arrivals=two_slow).verdict == "missed"


def test_a_file_that_waits_for_ever_is_seen_and_one_that_just_came_is_not_counted() -> None:
    fresh, waiting = ArrivalFact("new", ago(0.1), None), ArrivalFact("old", ago(40), None)

    assert indicator("end-to-end-latency", arrivals=(fresh,)).verdict == "no-data"
    assert measure("latency-mean", arrivals=(fresh, waiting)).value == 40 * 60


def test_rows_that_break_the_contract_spend_the_budget_of_one_in_a_thousand() -> None:
    kept = measure("validation-pass-rate", batches=(BatchFact("b", ago(1), 5_000, 5),))
    broken = measure("validation-pass-rate", batches=(BatchFact("b", ago(1), 5_000, 6),))

    assert (kept.verdict, broken.verdict) == ("met", "missed")
    assert kept.budget is not None
    assert kept.budget.left == 0.0


@pytest.mark.parametrize(("current", "verdict"), [(0.81, "met"), (0.803, "met"), (0.80, "missed")])
def test_the_champion_may_lose_one_percent_of_what_was_promised(current: float, verdict: str) -> None:
    fact = QualityFact("v", ago(1), "roc_auc", 0.81, current, current, current)

    assert indicator("quality-gap", quality=(fact,)).verdict == verdict


def test_what_was_reached_is_told_with_its_interval_and_one_that_is_too_wide_tells_nothing() -> None:
    wide = measure("quality-gap", quality=(QualityFact("v", ago(1), "roc_auc", 0.80, 0.78, 0.74, 0.82),))
    lost = measure("quality-gap", quality=(QualityFact("v", ago(1), "roc_auc", 0.80, 0.74, 0.70, 0.78),))
    kept = measure("quality-gap", quality=(QualityFact("v", ago(1), "roc_auc", 0.80, 0.81, 0.795, 0.825),))

    assert wide.verdict == "no-data"
    assert wide.text == (
        "roc_auc is 0.7800 (95 % interval 0.7400 to 0.8200) where 0.8000 was promised and 1.0% less is "
        "allowed: too wide to tell."
    )
    assert (lost.verdict, lost.value) == ("missed", pytest.approx(0.075))
    assert lost.text.endswith("the whole interval breaks that.")
    assert (kept.verdict, kept.value) == ("met", pytest.approx(-0.0125))
    assert kept.text.endswith("the whole interval keeps that.")


def test_the_newest_quality_counts() -> None:
    bad, good = (QualityFact("v", ago(h), "roc_auc", 0.8, x, x, x) for h, x in ((48, 0.6), (1, 0.82)))

    newest = measure("quality-gap", quality=(good, bad))

    assert newest.verdict == "met"
    assert newest.budget is not None
    assert newest.budget.spent == 0.0


def test_recovery_runs_from_the_first_failure_to_the_next_good_run_of_that_job() -> None:
    runs = (
        make_run(10, "failure"),
        make_run(8, "failure"),
        make_run(7, job="score_employees"),  # another job's success mends nothing
        make_run(5),
    )

    found = measure("time-to-recover", runs=runs)

    assert found.value == pytest.approx(5.0)
    assert found.verdict == "missed"
    assert measure("time-to-recover", runs=runs[2:]).value == 0.0


def test_an_outage_that_goes_on_counts_until_now() -> None:
    assert measure("time-to-recover", runs=(make_run(50), make_run(30, "failure"))).value == pytest.approx(30)
    assert indicator("time-to-recover", runs=(make_run(3, "failure"),)).verdict == "met"


def test_the_dearest_training_job_is_held_against_its_budget() -> None:
    runs = (
        make_run(1, cpu_seconds=3600.0),
        make_run(2, cpu_seconds=21 * 3600.0),
        make_run(3, job="score_employees", cpu_seconds=1e9),
        make_run(4),
    )

    found = measure("cost-per-training-job", runs=runs)

    assert found.value == pytest.approx(21 * 0.05)
    assert found.verdict == "missed"
    assert "of 1 more the cost is unknown" in found.text
    assert indicator("cost-per-training-job", runs=runs[3:]).verdict == "no-data"


def test_a_training_of_unknown_cost_may_have_been_the_dearest() -> None:
    cheap, unknown = make_run(1, cpu_seconds=60.0), make_run(2)

    assert indicator("cost-per-training-job", runs=(cheap,)).verdict == "met"
    found = measure("cost-per-training-job", runs=(cheap, unknown))
    assert (found.verdict, found.value) == ("no-data", None)
    assert "of 1 more the cost is unknown" in found.text


def test_one_damaged_artefact_and_one_refit_that_differs_break_their_promise() -> None:
    checks = (StoreCheck(ago(1), 1_000, 1),)
    refits = (RefitFact("a", ago(1), True), RefitFact("b", ago(2), False))

    assert indicator("artefact-availability", store_checks=checks).verdict == "missed"
    assert indicator("reproducibility", refits=refits).verdict == "missed"
    assert indicator("reproducibility", refits=refits[:1]).verdict == "met"


def test_a_cause_without_an_answer_is_late_after_a_day() -> None:
    answered = CauseFact("a", "drift", ago(30), ago(10))
    young, old = CauseFact("b", "volume", ago(23), None), CauseFact("c", "volume", ago(25), None)

    assert measure("trigger-to-deployed", causes=(answered, young)).value == pytest.approx(20.0)
    assert indicator("trigger-to-deployed", causes=(young,)).verdict == "no-data"
    assert indicator("trigger-to-deployed", causes=(answered, old)).verdict == "missed"


def test_keeping_the_champion_answers_a_cause_and_deploys_nothing() -> None:
    kept = CauseFact("a", "drift", ago(30), ago(10), "kept")
    released = CauseFact("b", "drift", ago(30), ago(20), "released")

    nothing = measure("trigger-to-deployed", causes=(kept,))
    assert nothing.verdict == "no-data"
    assert nothing.text == "1 causes were answered by keeping the champion; nothing was deployed."
    assert measure("trigger-to-deployed", causes=(kept, released)).value == pytest.approx(20.0)
    late = CauseFact("c", "drift", ago(60), ago(10), "kept")
    assert indicator("trigger-to-deployed", causes=(late,)).verdict == "missed"


def test_a_cause_that_was_given_up_is_late_once_and_not_for_ever() -> None:
    fresh = CauseFact("a", "drift", ago(30), ago(29), "given-up")
    old = CauseFact("b", "drift", ago(24 * 400), ago(24 * 399), "given-up")

    found = measure("trigger-to-deployed", causes=(fresh,))
    assert found.verdict == "missed"
    assert "1 were not answered within 24 hours, 1 of them given up: no run ended well." in found.text
    assert measure("trigger-to-deployed", causes=(old,)).verdict == "no-data"


def test_drift_alarms_must_be_few_and_lead_somewhere() -> None:
    windows = tuple(ago(24 * i) for i in range(20))
    useful = AlarmFact("w1", ago(100), True)
    ignored = AlarmFact("w2", ago(101), False)
    fresh = AlarmFact("w3", ago(1), False)

    assert indicator("drift-alarms", judged_windows=windows).verdict == "met"
    assert indicator("drift-alarms", judged_windows=windows, alarms=(useful,)).verdict == "met"
    assert indicator("drift-alarms", judged_windows=windows, alarms=(ignored,)).verdict == "missed"
    # Nobody can have answered an alarm of an hour ago.
    assert measure("actionable-alarms", judged_windows=windows, alarms=(fresh,)).verdict == "no-data"
    assert measure("alarms-per-month", alarms=(useful,) * 3).verdict == "missed"
    two = measure("alarms-per-month", alarms=(useful,) * 2)
    assert (two.verdict, two.value) == ("met", 2.0)


def test_what_is_outside_the_window_or_in_the_future_is_not_read() -> None:
    outside = (ago(24 * 29), NOW + timedelta(minutes=1))
    facts = SloFacts(
        batches=tuple(BatchFact("b", at, 10, 10) for at in outside),
        quality=tuple(QualityFact("v", at, "roc_auc", 1.0, 0.1, 0.1, 0.1) for at in outside),
        store_checks=tuple(StoreCheck(at, 1, 1) for at in outside),
        refits=tuple(RefitFact("v", at, False) for at in outside),
        alarms=tuple(AlarmFact("w", at, False) for at in outside),
        judged_windows=outside,
        arrivals=(ArrivalFact("f", ago(24 * 40), outside[0]),),
        causes=(CauseFact("c", "drift", ago(24 * 40), outside[0]),),
    )

    assert {one.verdict for one in measure_slos(facts, RULE, NOW).indicators} == {"no-data"}


def test_a_report_of_the_past_can_be_computed_again() -> None:
    """A run that had not ended then was running then, whatever became of it."""
    run = RunFact("r", "train_champion", None, "failure", ago(2), ago(0.5))

    then = measure_slos(SloFacts(runs=(run,)), RULE, ago(1))

    assert {one.verdict for one in then.indicators} == {"no-data"}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        measure_slos(SloFacts(), RULE, datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_never_passes(odd: float) -> None:
    facts = SloFacts(
        runs=(make_run(1, cpu_seconds=odd), make_run(2, cpu_seconds=1.0)),
        quality=(QualityFact("v", ago(1), "roc_auc", odd, 0.8, 0.8, 0.8),),
    )

    report = measure_slos(facts, RULE, NOW)

    assert {"quality-gap", "cost-per-training-job"} <= set(report.missed)
    json.dumps(report.as_json(), allow_nan=False)
    current = QualityFact("v", ago(1), "roc_auc", 0.8, odd, odd, odd)
    assert indicator("quality-gap", quality=(current,)).verdict == "missed"


def test_a_clock_that_was_set_back_does_not_make_up_for_a_slow_file() -> None:
    back = ArrivalFact("back", ago(1), ago(30))
    slow = ArrivalFact("slow", ago(3), ago(2))

    assert measure("latency-mean", arrivals=(back, slow)).value == 30.0


times = st.floats(0.02, 24 * 40).map(ago)
maybe = st.none() | times
statuses: st.SearchStrategy[RunStatus] = st.sampled_from(get_args(RunStatus))
runs = st.builds(
    lambda i, job, status, at, took, cpu: RunFact(
        str(i), job, None, status, at, None if status == "running" else at + timedelta(hours=took), cpu
    ),
    st.integers(0, 99),
    st.sampled_from(["train_champion", "score_employees"]),
    statuses,
    times,
    st.floats(0, 30),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
some_facts = st.builds(
    SloFacts,
    runs=st.lists(runs, max_size=8).map(tuple),
    arrivals=st.lists(st.builds(ArrivalFact, st.just("f"), times, maybe), max_size=5).map(tuple),
    batches=st.lists(
        st.builds(BatchFact, st.just("b"), times, st.integers(10, 99), st.integers(0, 9)), max_size=4
    ).map(tuple),
    quality=st.lists(
        st.builds(QualityFact, st.just("v"), times, st.just("roc_auc"), *[st.floats()] * 4), max_size=3
    ).map(tuple),
    store_checks=st.lists(
        st.builds(StoreCheck, times, st.integers(10, 99), st.integers(0, 9)), max_size=4
    ).map(tuple),
    refits=st.lists(st.builds(RefitFact, st.just("v"), times, st.booleans()), max_size=4).map(tuple),
    causes=st.lists(
        st.builds(CauseFact, st.just("c"), st.just("drift"), times, maybe, st.sampled_from(get_args(Answer))),
        max_size=4,
    ).map(tuple),
    judged_windows=st.lists(times, max_size=4).map(tuple),
    alarms=st.lists(st.builds(AlarmFact, st.just("w"), times, st.booleans()), max_size=4).map(tuple),
)


def assert_no_better(after: SloReport, before: SloReport) -> None:
    for old, new in zip(before.measures, after.measures, strict=True):
        assert RANK[new.verdict] >= RANK[old.verdict] or old.verdict == "no-data", new.name
        # A run of unknown cost leaves nothing to be said of a budget, which is no less spent for that.
        if old.budget is not None and new.budget is not None and "no-data" not in (old.verdict, new.verdict):
            assert new.budget.left_share <= old.budget.left_share + 1e-9, new.name


@given(some_facts, st.data())
def test_a_run_that_failed_instead_never_improves_anything(facts: SloFacts, data: st.DataObject) -> None:
    good = [i for i, run in enumerate(facts.runs) if run.status == "success"]
    if not good:
        return
    i = data.draw(st.sampled_from(good))
    failed = replace(facts.runs[i], status="failure")
    worse = replace(facts, runs=(*facts.runs[:i], failed, *facts.runs[i + 1 :]))

    assert_no_better(measure_slos(worse, RULE, NOW), measure_slos(facts, RULE, NOW))


@given(some_facts, times)
def test_one_more_of_everything_bad_never_improves_anything(facts: SloFacts, at: datetime) -> None:
    worse = replace(
        facts,
        runs=(*facts.runs, RunFact("x", "train_champion", None, "failure", at, at)),
        store_checks=(*facts.store_checks, StoreCheck(at, 1, 1)),
        refits=(*facts.refits, RefitFact("x", at, False)),
        batches=(*facts.batches, BatchFact("x", at, 1, 1)),
        causes=(*facts.causes, CauseFact("x", "drift", at, None)),
        alarms=(*facts.alarms, AlarmFact("x", at, False)),
    )

    assert_no_better(measure_slos(worse, RULE, NOW), measure_slos(facts, RULE, NOW))


@given(some_facts)
def test_every_report_is_plain_json_without_nan_and_in_any_order_of_facts(facts: SloFacts) -> None:
    report = measure_slos(facts, RULE, NOW)
    turned = replace(facts, runs=facts.runs[::-1], causes=facts.causes[::-1], alarms=facts.alarms[::-1])

    assert json.loads(json.dumps(report.as_json(), allow_nan=False))
    for one, other in zip(report.measures, measure_slos(turned, RULE, NOW).measures, strict=True):
        assert one.verdict == other.verdict
