"""Promises are judged every ten minutes, without a run, and also where everything else has failed."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from attrition_platform.adapters.notifications import NOTIFICATIONS
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.assets.monitoring import monitoring_assets
from attrition_platform.defs.promise_sensor import LOOK_SECONDS, judge_promises
from attrition_platform.defs.resources import build_resources
from attrition_platform.defs.run_history import read_runs
from attrition_platform.errors import LedgerError
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.views import newest, newest_or_none
from attrition_platform_tests.assets.test_past_runs import add
from attrition_platform_tests.served_place import make_platform
from attrition_platform_tests.watched_place import now


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path)
    found.settings.data_dir.mkdir(parents=True, exist_ok=True)
    return found


def tick(platform: Platform, instance: dg.DagsterInstance) -> str:
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        found = judge_promises(context)
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def fail(instance: dg.DagsterInstance, n: int, **tags: str) -> None:
    for _ in range(n):
        run_id = add(instance, "monitor", DagsterRunStatus.STARTED, **tags)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_failed(run)


def test_three_failures_page_within_ten_minutes_and_start_no_run(platform: Platform) -> None:
    """There is no champion: nothing else of the watch could run."""
    with dg.DagsterInstance.ephemeral() as instance:
        fail(instance, 3)
        said = tick(platform, instance)
        n_runs = len(instance.get_runs())
        again = tick(platform, instance)

    assert "broken (run-success" in said
    assert n_runs == 3
    facts = newest(platform, "slo_report").facts
    assert ("fast-burn", "page") in [(a["name"], a["severity"]) for a in facts["alerts"]]
    lines = (platform.settings.data_dir / NOTIFICATIONS).read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [line["kind"] for line in told].count("slo-fast-burn") == 1
    assert again == said
    assert [file.name for file in (platform.pointers_dir / "slo_report").iterdir()] == ["newest.json"]
    assert LOOK_SECONDS == 600
    assert judge_promises.default_status is dg.DefaultSensorStatus.RUNNING


def test_a_store_that_cant_be_read_is_told_and_the_next_tick_looks_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise LedgerError("The ledger can't be opened.")

    with dg.DagsterInstance.ephemeral() as instance, monkeypatch.context() as patch:
        patch.setattr(platform.ledger, "records", broken)
        said = tick(platform, instance)

    assert said == "The promises were not judged: The ledger can't be opened. The next tick looks again."
    assert newest_or_none(platform, "slo_report") is None


def test_promises_are_judged_last_in_a_run_in_which_everything_else_failed(platform: Platform) -> None:
    """Nothing was taken in, so there is neither a window nor an outcome to judge."""

    @dg.asset
    def scored_employees() -> StepResult:
        return StepResult("scored_employees", "f", "v", {}, {}, {})

    inputs = [dg.AssetSpec("raw_employees"), dg.AssetSpec("validated_employees"), scored_employees]
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [*monitoring_assets(), *inputs],
            instance=instance,
            resources=build_resources(platform),
            raise_on_error=False,
        )

    failed = {event.step_key for event in done.get_step_failure_events()}
    steps = [event.step_key for event in done.all_events if event.event_type_value == "STEP_START"]
    assert failed == {"drift_report", "performance_report"}
    assert steps == ["drift_report", "scored_employees", "performance_report", "slo_report"]
    assert newest(platform, "slo_report").facts["verdicts"]["met"] == 0


def test_a_run_whose_process_was_ended_has_broken_no_promise() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        add(
            instance,
            "train_champion",
            DagsterRunStatus.FAILURE,
            **{"dagster/failure_reason": "UNEXPECTED_TERMINATION", "attrition/run_key": "k"},
        )
        add(instance, "monitor", DagsterRunStatus.FAILURE, **{"dagster/failure_reason": "STEP_FAILURE"})
        found = {run.job: (run.status, run.run_key) for run in read_runs(instance, now().replace(year=2020))}

    assert found == {"train_champion": ("canceled", "k"), "monitor": ("failure", None)}


def test_dagster_says_in_that_tag_that_a_run_was_interrupted() -> None:
    """Else a new version of Dagster would turn every restart of a machine into a failed run."""

    @dg.op
    def stop() -> None:
        raise dg.DagsterExecutionInterruptedError

    @dg.job(executor_def=dg.in_process_executor)
    def interrupted() -> None:
        stop()

    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            interrupted.execute_in_process(instance=instance)
        (run,) = read_runs(instance, now().replace(year=2020))

    assert run.status == "canceled"
