"""The sensors that tell people: of runs that ended, of releases, and none of them fails a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from attrition_platform.adapters import notification_outbox
from attrition_platform.adapters.notifications import Notifier
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.gather import gather
from attrition_platform.stages import telling
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.adapters.notification_servers import serving
from attrition_platform_tests.unit.test_canary_watch import notified
from attrition_platform_tests.unit.test_release import make_platform

ANA = "could not convert 'Ana Lee, 61, divorced'"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """Champion `m2` after `m1`; a training run's decision and champion lie where runs put them."""
    found = make_platform(tmp_path)
    for version in ("m1", "m2"):
        promote(found, version)
    for asset, facts in {
        "promotion_decision": {"outcome": "promoted", "incumbent": "m1"},
        "champion": {"version": "m2"},
    }.items():
        Pointers(found.pointers_dir).write(asset, "r1", StepResult(asset, "f", "v", {}, facts, {}))
    return found


def promote(platform: Platform, version: str) -> None:
    payload = {"metrics": {}, "policy": {"name": "responsible"}, "runs": {"dagster": f"run-{version}"}}
    platform.ledger.append("promotion", version, payload, at=platform.at())


def sensor(platform: Platform, name: str) -> Any:
    return next(each for each in gather(platform).sensors or () if each.name == name)


def ended_run(instance: dg.DagsterInstance, name: str, error: Exception | None = None) -> Any:
    """A run of a job of this name that really ran, and how it ended."""

    @dg.op
    def step() -> None:
        if error is not None:
            raise error

    @dg.job(name=name, tags={"cause": "new-file", "attrition/window": "ab12"})
    def job() -> None:
        step()

    return job.execute_in_process(instance=instance, raise_on_error=False)


def tell_of(platform: Platform, instance: dg.DagsterInstance, name: str, run: Any) -> str:
    event = run.get_run_success_event() if run.success else run.get_run_failure_event()
    context: Any = dg.build_run_status_sensor_context(
        name,
        event,
        instance,
        run.dagster_run,
        resources={"platform": platform},  # type: ignore[arg-type]
    )
    if not run.success:
        context = context.for_run_failure()
    with context:
        found = sensor(platform, name)(context)
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def tick(platform: Platform, cursor: str | None) -> dg.SensorResult:
    with dg.build_sensor_context(resources={"platform": platform}, cursor=cursor) as context:
        found = sensor(platform, "tell_of_releases")(context)
    assert isinstance(found, dg.SensorResult)
    return found


def test_a_training_that_ended_well_is_told_with_its_decision(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    run = ended_run(instance, "train_champion")

    assert tell_of(platform, instance, "tell_of_success", run) == f"Told of run {run.run_id}."
    (told,) = notified(platform)
    assert (told["kind"], told["cause"], told["version_after"]) == (
        "training-succeeded",
        "new-file: ab12",
        "m2",
    )
    assert told["run_url"] == f"http://127.0.0.1:3000/runs/{run.run_id}"


@pytest.mark.parametrize("job", ["train_champion", "score_employees", "monitor"])
def test_a_run_that_failed_is_told_by_step_and_type_and_never_with_a_value(
    platform: Platform, instance: dg.DagsterInstance, job: str
) -> None:
    tell_of(platform, instance, "tell_of_failure", ended_run(instance, job, ValueError(ANA)))

    (told,) = notified(platform)
    assert told["title"] == f"Training of {job} failed at step (ValueError)"
    assert told["version_after"] == "m2"
    assert "Ana" not in str(told)


def tell_of_end(platform: Platform, instance: dg.DagsterInstance, **tags: str) -> None:
    """A run whose process is gone, as its failure sensor sees it."""
    run = create_run_for_test(
        instance, job_name="train_champion", status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    event = instance.report_run_failed(run, "The process that worked on it is gone.")
    context = dg.build_run_status_sensor_context(
        "tell_of_failure",
        event,
        instance,
        run,
        resources={"platform": platform},  # type: ignore[arg-type]
    ).for_run_failure()
    with context:
        sensor(platform, "tell_of_failure")(context)


def test_a_run_whose_process_was_gone_is_told_without_a_step(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    tell_of_end(platform, instance)

    (told,) = notified(platform)
    assert told["title"] == "Training of train_champion failed"
    assert (told["evidence"]["step"], told["evidence"]["error_type"]) == (None, None)


def test_a_run_that_was_interrupted_calls_nobody(platform: Platform, instance: dg.DagsterInstance) -> None:
    """Ctrl-C on `make ui` is no failure of the run, which is tried again."""
    tell_of_end(platform, instance, **{"dagster/failure_reason": "UNEXPECTED_TERMINATION"})

    assert not notified(platform)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("tell_of_success", "Training of train_champion succeeded; the run says what it decided"),
        ("tell_of_failure", "Training of train_champion failed; the run says where"),
    ],
)
def test_a_run_is_told_in_short_where_its_facts_can_not_be_read_once(
    platform: Platform,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    title: str,
) -> None:
    """Dagster shows a run to its sensor once: what is not told then is told never."""

    def busy(*_: Any) -> None:
        raise OSError("the ledger is busy")

    monkeypatch.setattr(telling, "of_training", busy)
    monkeypatch.setattr(telling, "of_failure", busy)
    run = ended_run(instance, "train_champion", None if name == "tell_of_success" else ValueError(ANA))

    tell_of(platform, instance, name, run)

    (told,) = notified(platform)
    assert (told["title"], told["cause"]) == (title, "new-file: ab12")
    assert told["run_url"].endswith(run.run_id)


def test_a_scoring_run_that_ended_well_is_no_news(platform: Platform, instance: dg.DagsterInstance) -> None:
    run = ended_run(instance, "score_employees")

    assert tell_of(platform, instance, "tell_of_success", run) == "Nothing to tell."
    assert notified(platform) == []


def test_a_file_in_the_refused_folder_is_told_once(platform: Platform) -> None:
    folder = platform.settings.data_dir / "refused" / "ab12"
    folder.mkdir(parents=True)
    reason = {"contract": platform.contract.name, "name": "a.csv", "reason": "empty", "detail": "No bytes."}
    (folder / "reason.json").write_text(json.dumps(reason))

    def look(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(resources={"platform": platform}, cursor=cursor) as context:
            found = sensor(platform, "tell_of_refused_files")(context)
        assert isinstance(found, dg.SensorResult)
        return found

    first = look(None)
    look(first.cursor)
    look("nonsense")

    (told,) = notified(platform)
    assert (told["kind"], told["title"]) == ("file-refused", "File 'a.csv' was refused: it is empty")


def test_what_waits_goes_out_also_while_the_ledger_can_not_be_read(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(Notifier, "flush", lambda *_, patient: flushed.append(patient))
    platform.__dict__["ledger"] = None

    with pytest.raises(AttributeError):
        tick(platform, "1")

    assert flushed == [True]


@pytest.mark.parametrize("name", ["tell_of_success", "tell_of_failure"])
def test_a_channel_that_fails_fails_no_sensor(
    platform: Platform, instance: dg.DagsterInstance, name: str
) -> None:
    error = None if name == "tell_of_success" else ValueError(ANA)
    run = ended_run(instance, "train_champion", error)
    deaf = Platform(replace(platform.settings, webhook_url="http://127.0.0.1:1/hook"))
    deaf.__dict__["ledger"] = platform.ledger

    assert tell_of(deaf, instance, name, run).startswith("Told of run")


def test_releases_are_told_once_and_the_cursor_goes_on(platform: Platform) -> None:
    first = tick(platform, "1")
    assert (first.skip_reason.skip_message, first.cursor) == ("Told of 1 releases.", "2")  # type: ignore[union-attr]
    again = tick(platform, first.cursor)
    assert (again.skip_reason.skip_message, again.cursor) == ("Nothing new after ledger record 2.", "2")  # type: ignore[union-attr]

    assert [told["version_after"] for told in notified(platform)] == ["m2"]


@pytest.mark.parametrize("cursor", [None, "", "nonsense", "-1", "²"])
def test_a_lost_or_broken_cursor_tells_nothing_twice(platform: Platform, cursor: str | None) -> None:
    tick(platform, "0")
    before = [told["version_after"] for told in notified(platform)]

    found = tick(platform, cursor)

    assert found.cursor == "2"
    assert [told["version_after"] for told in notified(platform)] == before


def test_a_ledger_that_was_restored_and_is_shorter_than_the_cursor_is_followed_again(
    platform: Platform,
) -> None:
    assert tick(platform, "9").cursor == "2"
    promote(platform, "m3")

    tick(platform, "2")

    assert [told["version_after"] for told in notified(platform)] == ["m3"]


def test_what_a_channel_did_not_take_goes_out_when_it_is_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(500, 500) as hook:
        heard = Platform(replace(platform.settings, webhook_url=hook.url))
        heard.__dict__["ledger"] = platform.ledger
        cursor = tick(heard, "1").cursor
        tick(heard, cursor)  # a channel that has just failed is left alone for a while
        n_at_once = len(hook.bodies)
        for rest in ("REST", "PERHAPS_REST"):  # as if an hour had passed
            monkeypatch.setattr(notification_outbox, rest, timedelta(0))
        tick(heard, cursor)

    assert n_at_once == 2, "one message, which is posted twice at most"
    assert [body["kind"] for body in hook.bodies] == ["promotion"] * 3


def test_all_four_look_every_five_seconds_from_the_start_and_only_trainings_are_told_as_such(
    platform: Platform,
) -> None:
    for name in ("tell_of_success", "tell_of_failure", "tell_of_releases", "tell_of_refused_files"):
        found = sensor(platform, name)
        assert (found.minimum_interval_seconds, found.default_status) == (5, dg.DefaultSensorStatus.RUNNING)
