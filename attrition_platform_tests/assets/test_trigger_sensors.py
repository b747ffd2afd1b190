"""The sensors on real stores: a cause starts one run, which is followed until it has answered the cause."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.test_utils import create_run_for_test

from attrition_platform.adapters import outcome_files
from attrition_platform.adapters.cause_store import CauseStore
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs import run_endings, trigger_rehearsal, trigger_sensors
from attrition_platform.defs.gather import gather
from attrition_platform.defs.run_endings import RUN_KEY_TAG
from attrition_platform.defs.step_pointers import StepPointers
from attrition_platform.defs.trigger_rehearsal import rehearse
from attrition_platform.defs.trigger_sensors import NAMES
from attrition_platform.errors import SettingsError, StoreError
from attrition_platform.modeling.policy import load_policy
from attrition_platform.modeling.watch_rules import CauseKind, TriggerRule
from attrition_platform.monitoring.triggering import MAX_INTERRUPTIONS
from attrition_platform.settings import Settings
from attrition_platform.stages import detecting
from attrition_platform.stages.detecting import Reading
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.run_processes import PROCESS_TAG, is_gone, this_process
from attrition_platform.stages.synthetic_signals import RUN, signals

Tick = Callable[[str], Any]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = "train_champion"


class Clock:
    """A clock that tests move."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform(tmp_path: Path, clock: Clock) -> Iterator[Platform]:
    """An empty place: two attempts for a cause, five minutes after the first."""
    settings = Settings.from_environment(
        {"ATTRITION_DATA": str(tmp_path / "data"), "ATTRITION_KEY_FILE": str(tmp_path / "key")}
    )
    found = Platform(settings, clock)
    rule = TriggerRule(max_attempts=2, backoff_minutes=5.0)
    found.__dict__["policy"] = load_policy("responsible").model_copy(update={"triggers": rule})
    settings.inbox.mkdir(parents=True)
    yield found
    found.causes.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def tick(platform: Platform, instance: dg.DagsterInstance) -> Tick:
    """One look of a sensor of the code location; no cursor is handed on, as if each were lost."""
    definitions = gather(platform)
    sensors = {sensor.name: sensor for sensor in definitions.sensors or ()}

    def evaluate(name: str) -> Any:
        with dg.build_sensor_context(
            instance=instance, resources={"platform": platform}, definitions=definitions
        ) as context:
            return sensors[name].evaluate_tick(context)  # type: ignore[union-attr]

    return evaluate


def drop(folder: Path, name: str = "extract.csv", content: str = "a,b\n1,2\n", age: float = 60) -> Path:
    """A file that was last written `age` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(content)
    then = time.time() - age
    os.utime(file, (then, then))
    return file


def launched(instance: dg.DagsterInstance, request: Any, status: DagsterRunStatus, **tags: str) -> str:
    """What the daemon makes of a request."""
    run = create_run_for_test(instance, job_name=JOB, status=status, tags={**request.tags, **tags})
    return run.run_id


def report(platform: Platform, asset: str, **facts: Any) -> None:
    Pointers(platform.pointers_dir).write(asset, "r1", StepResult(asset, "v", "v", {}, facts, {}))


def report_drift(platform: Platform, *columns: str, window: str = "w1") -> None:
    found = {"window": window, "drifted": bool(columns), "score": 0.3, "columns": list(columns)}
    report(
        platform,
        "drift_report",
        window=window,
        reference="m1",
        problem=None,
        windows=[found],
        schema_changes=[],
        blocks_scoring=False,
    )


def another_process() -> str:
    """One of this machine that has ended."""
    return this_process().rpartition("/")[0] + "/1"


def told(platform: Platform) -> list[dict[str, Any]]:
    file = platform.settings.data_dir / "notifications.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# --- what is found


def test_a_file_in_the_inbox_starts_one_run_that_says_why(platform: Platform, tick: Tick) -> None:
    drop(platform.settings.inbox)

    looked = tick("on_new_file")
    (request,) = tick("start_runs").run_requests

    assert "1 new causes are on record" in looked.skip_message
    assert request.tags["cause"] == "new-file"
    assert request.tags[RUN_KEY_TAG] == request.run_key
    assert json.loads(request.tags["attrition/evidence"]) == {"file": "extract.csv"}
    assert request.tags["attrition/causes"].startswith("new-file/")
    assert request.tags["attrition/window"]


def test_the_same_bytes_under_another_name_or_seen_again_are_the_same_cause(
    platform: Platform, tick: Tick
) -> None:
    drop(platform.settings.inbox)
    tick("on_new_file")
    drop(platform.settings.inbox, "copy.csv")
    tick("on_new_file")

    assert len(platform.causes.records()) == 1


def test_what_is_no_extract_or_is_not_finished_is_left_alone_and_stops_no_later_file(
    platform: Platform, tick: Tick
) -> None:
    inbox = platform.settings.inbox
    os.mkfifo(inbox / "a.csv")
    (inbox / "b.csv").symlink_to("/nowhere")
    (inbox / "c.csv").mkdir()
    drop(inbox, "d.csv.part")
    drop(inbox, "e\n.csv")
    drop(inbox, ".hidden.csv")
    drop(inbox, "f.csv", age=0)
    quiet = tick("on_new_file").skip_message
    drop(inbox, "z.csv", "x\n")

    assert "Nothing new. Seen: 0 files in the inbox" in quiet
    assert "5 not finished or not readable" in quiet
    assert "1 new causes" in tick("on_new_file").skip_message


@pytest.mark.parametrize("kind", NAMES)
def test_in_an_empty_place_each_trigger_says_what_it_saw_and_when_it_would_fire(
    kind: CauseKind, platform: Platform, tick: Tick
) -> None:
    message = tick(NAMES[kind]).skip_message

    assert message.startswith("Nothing new. Seen: ")
    assert "Fires when " in message
    assert tick("start_runs").skip_message == "No cause waits for a run."


def test_an_event_is_moved_away_and_an_unusable_one_keeps_its_reason(platform: Platform, tick: Tick) -> None:
    events = platform.settings.data_dir / "events"
    drop(events, "good.toml", 'kind = "platform-update"\nreason = "new scikit-learn"\n')
    drop(events, "broken.json", "{")
    drop(events, "empty.json", "[]")
    os.mkfifo(events / "pipe.json")

    tick("on_event")
    (request,) = tick("start_runs").run_requests

    assert request.tags["cause"] == "event"
    assert json.loads(request.tags["attrition/evidence"])["reason"] == "new scikit-learn"
    assert len(list((events / "done").iterdir())) == 1
    assert len(list((events / "refused").glob("*.reason"))) == 2
    assert "Nothing new" in tick("on_event").skip_message


# --- what a drift makes anew


def test_drift_alone_makes_anew_the_groups_that_drifted_and_what_hangs_on_them(
    platform: Platform, tick: Tick
) -> None:
    column = next(iter(platform.contract.groups["compensation"]))
    report_drift(platform, column)
    tick("on_drift")
    (request,) = tick("start_runs").run_requests

    made = {key.to_user_string() for key in request.asset_selection}
    assert {"features/compensation", "train_split", "challenger", "champion", "model_card"} <= made
    assert {name for name in made if name.startswith("features/")} == {"features/compensation"}
    assert not made & {"raw_employees", "validated_employees", "scored_employees", "slo_report"}


def test_drift_of_the_probability_alone_and_drift_beside_a_file_are_for_the_whole_job(
    platform: Platform, tick: Tick
) -> None:
    report_drift(platform, "probability")
    tick("on_drift")
    (alone,) = tick("start_runs").run_requests
    assert alone.asset_selection is None


def test_drift_beside_a_file_joins_it_in_a_run_of_the_whole_job_that_is_told_by_the_drift(
    platform: Platform, tick: Tick
) -> None:
    report_drift(platform, next(iter(platform.contract.groups["compensation"])))
    drop(platform.settings.inbox)
    tick("on_drift")
    tick("on_new_file")
    (request,) = tick("start_runs").run_requests

    assert request.asset_selection is None
    assert request.tags["cause"] == "drift"
    assert len(request.tags["attrition/causes"].split()) == 2


# --- one cause, one run


def test_a_request_that_was_lost_is_made_again_under_the_same_key_until_the_run_is_there(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    """The daemon may die between a tick and the run, or between the run and its launch."""
    drop(platform.settings.inbox)
    tick("on_new_file")
    (first,) = tick("start_runs").run_requests
    (again,) = tick("start_runs").run_requests
    assert again.run_key == first.run_key

    run_id = launched(instance, first, DagsterRunStatus.NOT_STARTED)
    assert [r.run_key for r in tick("start_runs").run_requests] == [first.run_key]
    instance.delete_run(run_id)

    launched(instance, first, DagsterRunStatus.STARTED)
    quiet = tick("start_runs")
    assert (quiet.run_requests, quiet.skip_message) == ([], "No cause waits for a run.")


def test_a_cause_that_comes_while_a_run_is_under_way_gets_the_next_one(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    drop(platform.settings.inbox)
    tick("on_new_file")
    (first,) = tick("start_runs").run_requests
    run_id = launched(instance, first, DagsterRunStatus.STARTED)
    drop(platform.settings.inbox, "later.csv", "x\n")
    tick("on_new_file")

    assert tick("start_runs").skip_message == f"Run {first.run_key} is under way."
    instance.report_run_failed(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
    (second,) = tick("start_runs").run_requests
    assert len(second.tags["attrition/causes"].split()) == 1
    assert second.run_key != first.run_key


def test_a_run_that_succeeded_answers_its_cause_for_good(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    report_drift(platform, "monthly_income")
    tick("on_drift")
    (request,) = tick("start_runs").run_requests
    launched(instance, request, DagsterRunStatus.SUCCESS)

    assert tick("start_runs").skip_message == "No cause waits for a run."
    assert [record.state for record in platform.causes.records()] == ["done"]
    assert "Nothing new" in tick("on_drift").skip_message


def test_a_run_that_failed_is_tried_again_later_and_then_people_are_called_once(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance, clock: Clock
) -> None:
    status = DagsterRunStatus.FAILURE
    drop(platform.settings.inbox)
    tick("on_new_file")
    (first,) = tick("start_runs").run_requests
    launched(instance, first, status)
    assert tick("start_runs").skip_message == "Tried again at 2026-03-01T12:05+00:00, after a failed run."

    clock.move(minutes=5)
    (second,) = tick("start_runs").run_requests
    run_id = launched(instance, second, status)
    assert tick("start_runs").skip_message == "No cause waits for a run."
    tick("on_new_file")
    tick("start_runs")

    (ticket,) = told(platform)
    assert (ticket["kind"], ticket["severity"]) == ("trigger-ticketed", "ticket")
    assert ticket["run_url"].endswith(f"/runs/{run_id}")
    assert [record.state for record in platform.causes.records()] == ["ticketed"]


def test_a_run_whose_process_is_gone_is_failed_and_one_that_works_is_left_alone(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    drop(platform.settings.inbox)
    tick("on_new_file")
    (request,) = tick("start_runs").run_requests
    here = this_process()
    run_id = launched(instance, request, DagsterRunStatus.STARTED, **{PROCESS_TAG: here})
    tick("start_runs")
    assert instance.get_run_by_id(run_id).status == DagsterRunStatus.STARTED  # type: ignore[union-attr]

    instance.add_run_tags(run_id, {PROCESS_TAG: another_process()})
    quiet = tick("start_runs")
    assert instance.get_run_by_id(run_id).status == DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert "Tried again at" in quiet.skip_message


def test_causes_wait_for_a_run_of_the_clock_and_not_for_one_whose_process_is_gone(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    here = this_process()
    nightly = create_run_for_test(
        instance,
        job_name=JOB,
        status=DagsterRunStatus.STARTED,
        tags={"cause": "nightly", PROCESS_TAG: here},
    )
    drop(platform.settings.inbox)
    tick("on_new_file")
    assert f"Run {nightly.run_id} is under way" in tick("start_runs").skip_message

    instance.add_run_tags(nightly.run_id, {PROCESS_TAG: another_process()})
    assert len(tick("start_runs").run_requests) == 1


# --- what goes wrong in a tick


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("A pointer can't be read. Delete it."), "A pointer can't be read. Delete it."),
        (ValueError("could not convert 'Ana Lee, 61, divorced'"), "ValueError."),
    ],
)
def test_a_detector_that_raises_says_so_without_values_and_the_next_tick_looks_again(
    kind: CauseKind,
    error: Exception,
    said: str,
    platform: Platform,
    tick: Tick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Platform) -> Reading:
        raise error

    with monkeypatch.context() as patched:
        patched.setitem(detecting.DETECTORS, kind, fail)  # type: ignore[arg-type]
        message = tick(NAMES[kind]).skip_message
    assert message == f"Could not look: {said} The next tick looks again."
    assert "Nothing new" in tick(NAMES[kind]).skip_message


def test_a_store_of_causes_that_can_not_be_opened_is_told_by_whoever_needs_it(
    platform: Platform, tick: Tick
) -> None:
    (platform.settings.data_dir / "causes").write_text("a file where the folder should be")
    drop(platform.settings.inbox)

    assert "Could not look" in tick("on_new_file").skip_message
    assert "Could not look" in tick("start_runs").skip_message
    (platform.settings.data_dir / "causes").unlink()
    assert "1 new causes" in tick("on_new_file").skip_message


@pytest.mark.slow
def test_a_tick_takes_less_than_a_second_and_loads_no_library_of_models(tmp_path: Path) -> None:
    script = (
        "import sys, time, dagster as dg\n"
        "from attrition_platform.definitions import defs\n"
        "from attrition_platform.stages.platform import Platform\n"
        "from attrition_platform.settings import Settings\n"
        "platform, slowest = Platform(Settings.from_environment()), 0.0\n"
        "for sensor in defs.sensors:\n"
        "    if sensor.name.startswith('on_') or sensor.name == 'start_runs':\n"
        "        begin = time.process_time()  # not the wall: the machine may be busy\n"
        "        with dg.build_sensor_context(resources={'platform': platform}) as context:\n"
        "            sensor(context)\n"
        "        slowest = max(slowest, time.process_time() - begin)\n"
        "heavy = ('mlflow', 'sklearn', 'pandas', 'matplotlib', 'evidently')\n"
        "print([m for m in heavy if m in sys.modules], slowest < 1.0)\n"
    )
    environment = os.environ | {"ATTRITION_DATA": str(tmp_path), "ATTRITION_KEY_FILE": str(tmp_path / "key")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )

    assert done.stdout.strip() == "[] True"


# --- the code location, and the rehearsal


def test_every_trigger_is_in_the_code_location_and_runs_from_the_start() -> None:
    from attrition_platform.definitions import defs

    found = {sensor.name: sensor for sensor in defs.sensors or ()}
    quick = {"on_new_file", "on_event", "start_runs"}
    for name in {*NAMES.values(), "start_runs"}:
        sensor = found[name]
        assert isinstance(sensor, dg.SensorDefinition)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        assert sensor.minimum_interval_seconds == (5 if name in quick else 30)


def test_schedules_run_from_the_start_by_the_clock_of_the_policy(platform: Platform) -> None:
    rule = TriggerRule(time_zone="Europe/Berlin")
    platform.__dict__["policy"] = platform.policy.model_copy(update={"triggers": rule})
    found = {schedule.name: schedule for schedule in gather(platform).schedules or ()}

    assert set(found) == {"train_nightly", "train_weekly", "monitor_daily"}
    for schedule in found.values():
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.execution_timezone == "Europe/Berlin"
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert found["train_nightly"].cron_schedule == "0 2 * * *"  # type: ignore[union-attr]


@pytest.mark.slow
def test_in_a_rehearsal_every_trigger_fires_when_it_must_and_only_then(platform: Platform) -> None:
    lines = list(rehearse(platform))

    assert list(dict.fromkeys(line.trigger for line in lines)) == [*NAMES, "canary"]
    assert all(line.is_sound for line in lines)
    assert not (platform.settings.data_dir / "causes").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_a_disabled_detector_makes_exactly_its_lines_fail(
    kind: CauseKind, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(detecting.DETECTORS, kind, lambda _: Reading("", ""))  # type: ignore[arg-type]

    for line in rehearse(platform):
        assert (line.fired, line.stayed_silent) == (line.trigger != kind, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_a_detector_that_cries_wolf_makes_its_line_fail(
    kind: CauseKind, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause names the rehearsal's own run: labels counted from another training would be answered."""
    found = Reading("", "", (detecting.Cause(kind, f"{kind}/{RUN}", NOON, "w", {"columns": []}),))
    monkeypatch.setitem(detecting.DETECTORS, kind, lambda _: found)  # type: ignore[arg-type]

    own = [one for one in signals(platform.policy.performance) if one.trigger == kind]
    monkeypatch.setattr(trigger_rehearsal, "signals", lambda _: own)

    assert [line.stayed_silent for line in rehearse(platform)] == [False] * len(own) + [True]


def test_a_disabled_verdict_on_canaries_makes_exactly_its_line_fail(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger_rehearsal, "signals", lambda _: ())
    monkeypatch.setattr(trigger_rehearsal, "canary_action", lambda *_: "continue")

    (line,) = rehearse(platform)
    assert (line.trigger, line.fired, line.stayed_silent) == ("canary", False, True)


# --- what dies, and what must not take others with it


@pytest.mark.parametrize("kind", ["new-file", "event"])
def test_a_detector_that_raises_keeps_no_other_cause_waiting(
    kind: CauseKind, platform: Platform, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Platform) -> Reading:
        raise PermissionError("a folder that nobody may read")

    monkeypatch.setitem(detecting.DETECTORS, kind, fail)  # type: ignore[arg-type]
    report_drift(platform, "probability")
    tick("on_drift")

    (request,) = tick("start_runs").run_requests

    assert request.tags["cause"] == "drift"


@pytest.mark.parametrize(
    ("status", "seconds", "after"),
    [
        (DagsterRunStatus.STARTING, 59, DagsterRunStatus.STARTING),
        (DagsterRunStatus.STARTING, 61, DagsterRunStatus.FAILURE),
        (DagsterRunStatus.STARTED, 119, DagsterRunStatus.STARTED),
        (DagsterRunStatus.STARTED, 121, DagsterRunStatus.FAILURE),
        (DagsterRunStatus.SUCCESS, 9_999, DagsterRunStatus.SUCCESS),
    ],
)
def test_a_run_whose_process_died_before_it_named_itself_is_failed_after_a_while(
    platform: Platform,
    tick: Tick,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    status: DagsterRunStatus,
    seconds: float,
    after: DagsterRunStatus,
) -> None:
    drop(platform.settings.inbox)
    (request,) = tick("start_runs").run_requests
    run_id = launched(instance, request, status)
    monkeypatch.setattr(run_endings, "_age_seconds", lambda _: seconds)

    tick("start_runs")

    assert instance.get_run_by_id(run_id).status == after  # type: ignore[union-attr]


def test_a_run_that_ended_well_is_no_dead_one_although_its_process_has_ended(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    drop(platform.settings.inbox)
    (request,) = tick("start_runs").run_requests
    run_id = launched(instance, request, DagsterRunStatus.SUCCESS, **{PROCESS_TAG: another_process()})

    tick("start_runs")

    assert instance.get_run_by_id(run_id).status == DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
    assert [record.state for record in platform.causes.records()] == ["done"]


def test_a_run_that_is_being_canceled_and_whose_process_is_gone_is_over(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    drop(platform.settings.inbox)
    (request,) = tick("start_runs").run_requests
    run_id = launched(instance, request, DagsterRunStatus.CANCELING, **{PROCESS_TAG: another_process()})

    assert tick("start_runs").skip_message == "No cause waits for a run."
    assert instance.get_run_by_id(run_id).status == DagsterRunStatus.CANCELED  # type: ignore[union-attr]


def test_a_run_that_a_person_cancelled_is_not_started_again_by_itself(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance, clock: Clock
) -> None:
    drop(platform.settings.inbox)
    (first,) = tick("start_runs").run_requests
    launched(instance, first, DagsterRunStatus.CANCELED)
    tick("start_runs")
    clock.move(minutes=600)

    assert tick("start_runs").skip_message == "No cause waits for a run."
    (record,) = platform.causes.records()
    assert record.state == "ticketed"
    assert told(platform) == [], "who cancels a run knows of it"

    assert platform.causes.try_again(record.cause.key)
    (second,) = tick("start_runs").run_requests
    assert second.run_key != first.run_key


def test_a_run_that_was_stopped_with_its_daemon_is_tried_again_at_once_and_not_for_ever(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    drop(platform.settings.inbox)
    keys = []
    for _ in range(MAX_INTERRUPTIONS + 1):
        (request,) = tick("start_runs").run_requests
        keys.append(request.run_key)
        run_id = launched(instance, request, DagsterRunStatus.STARTED)
        ended = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
        instance.report_run_failed(instance.get_run_by_id(run_id), "", ended)  # type: ignore[arg-type]

    assert "Tried again at" in tick("start_runs").skip_message
    (record,) = platform.causes.records()
    assert (record.n_attempts, record.n_interrupted) == (MAX_INTERRUPTIONS + 1, MAX_INTERRUPTIONS)
    assert len(set(keys)) == len(keys)
    assert told(platform) == []


def test_a_training_by_hand_answers_tickets_and_whatever_else_was_found_before_it_began(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance, clock: Clock
) -> None:
    drop(platform.settings.inbox)
    launched(instance, tick("start_runs").run_requests[0], DagsterRunStatus.CANCELED)
    tick("start_runs")
    report_drift(platform, "monthly_income")
    tick("on_drift")
    clock.move(minutes=1)
    by_hand = create_run_for_test(instance, job_name=JOB, status=DagsterRunStatus.FAILURE)
    raw = StepResult("raw_employees", "v", "v", {}, {"batches": []}, {"began_at": platform.at()})
    for asset, result in (("raw_employees", raw), ("model_card", raw)):
        Pointers(platform.pointers_dir).write(asset, by_hand.run_id, result)
    (request,) = tick("start_runs").run_requests
    launched(instance, request, DagsterRunStatus.CANCELED)
    tick("start_runs")
    assert {record.state for record in platform.causes.records()} == {"ticketed"}, "that one did not end well"

    Pointers(platform.pointers_dir).write("raw_employees", "good", raw)
    Pointers(platform.pointers_dir).write("model_card", "good", raw)
    tick("start_runs")

    assert [record.state for record in platform.causes.records()] == ["done", "done"]


def test_causes_wait_for_a_run_that_a_person_executes_again_and_its_success_answers_them(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance, clock: Clock
) -> None:
    """Such a run has the tags of the first one."""
    drop(platform.settings.inbox)
    (request,) = tick("start_runs").run_requests
    launched(instance, request, DagsterRunStatus.FAILURE)
    tick("start_runs")
    clock.move(minutes=60)
    again = launched(instance, request, DagsterRunStatus.STARTED, **{PROCESS_TAG: this_process()})
    assert f"Run {again} is under way" in tick("start_runs").skip_message

    run = instance.get_run_by_id(again)
    assert run is not None
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, JOB), again)
    assert tick("start_runs").skip_message == "No cause waits for a run."
    assert [record.state for record in platform.causes.records()] == ["done"]


def test_outcome_files_are_taken_in_by_the_sensor_which_tells_what_became_of_each(
    platform: Platform, tick: Tick
) -> None:
    folder = platform.settings.data_dir / "outcomes"
    header = f"{platform.contract.columns[str(platform.contract.id)].source},date,outcome\n"
    drop(folder, "a.csv", header + "1,2026-01-31,left\n2,31.01.2026,left\n3,2026-01-31,maybe\n")
    drop(folder, "b.csv", "nothing\n")

    message = tick("on_new_labels").skip_message

    assert "Outcomes 'a.csv': 1 known, 2 rows could not be used: date (1), outcome (1)." in message
    assert "Refused outcomes 'b.csv': header." in message
    assert not [entry for entry in folder.iterdir() if entry.is_file() and entry.suffix == ".csv"]


def test_a_large_outcome_file_is_left_to_a_run(
    platform: Platform, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick has a minute."""
    monkeypatch.setattr(outcome_files, "QUICK_BYTES", 20)
    file = drop(platform.settings.data_dir / "outcomes", "a.csv", "Employee ID,date,outcome\n")

    assert "Left alone in 'outcomes/': 'a.csv'" in tick("on_new_labels").skip_message
    assert file.exists()


def test_outcomes_are_not_taken_in_under_another_key_than_the_one_of_the_place(
    platform: Platform, tick: Tick, tmp_path: Path
) -> None:
    _ = platform.key
    other = Platform(replace(platform.settings, key_file=tmp_path / "another key"), platform.clock)
    file = drop(
        platform.settings.data_dir / "outcomes", "a.csv", "Employee ID,date,outcome\n1,2026-01-31,left\n"
    )

    with pytest.raises(SettingsError, match="Set ATTRITION_KEY_FILE to the key file of whoever made"):
        trigger_sensors.take_in_what_it_counts("volume", other, None)
    assert file.exists()


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("", False),
        ("nonsense", False),
        ("a/b", False),
        ("a/b/1/d", False),
        ("{machine}/{boot}/x/1", False),
        ("{machine}/{boot}/{pid}/1", True),
        ("{machine}/another-boot/{pid}/1", True),
        ("another-machine/another-boot/1/1", False),
        ("another-machine/{boot}/1/1", False),
        ("{boot}/x/1", False),
        ("{boot}/{pid}/1", True),  # as older runs have it
        ("another-boot/1/1", False),
    ],
)
def test_a_process_is_gone_if_this_machine_was_started_again_or_does_not_have_it(
    text: str, gone: bool
) -> None:
    machine, boot, pid, began = this_process().split("/")

    assert is_gone(text.format(machine=machine, boot=boot, pid=pid)) is gone
    assert not is_gone(f"{machine}/{boot}/{pid}/{began}")
    assert not is_gone(f"{boot}/{pid}/{began}")


def test_people_are_called_before_the_ticket_is_on_record(
    platform: Platform,
    tick: Tick,
    instance: dg.DagsterInstance,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed in between, the next tick tells it again, which is recognised; the other way it is lost."""
    drop(platform.settings.inbox)
    launched(instance, tick("start_runs").run_requests[0], DagsterRunStatus.FAILURE)
    tick("start_runs")
    clock.move(minutes=5)
    launched(instance, tick("start_runs").run_requests[0], DagsterRunStatus.FAILURE)

    with monkeypatch.context() as killed:
        killed.setattr(CauseStore, "settle", lambda *_, **__: 1 / 0)
        assert tick("start_runs").skip_message.startswith("Could not look: ZeroDivisionError.")
    assert [one["kind"] for one in told(platform)] == ["trigger-ticketed"]
    tick("start_runs")

    assert [record.state for record in platform.causes.records()] == ["ticketed"]
    assert [one["kind"] for one in told(platform)] == ["trigger-ticketed"]


def test_a_run_on_a_part_of_the_graph_names_its_process_too(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    report(platform, "upstream")

    @dg.asset(ins={"upstream": dg.AssetIn()})
    def part(upstream: Any) -> None:
        return None

    source = dg.AssetSpec("upstream")
    found = dg.materialize(
        [source, part],
        instance=instance,
        selection=[part],
        resources={"io_manager": StepPointers(platform.pointers_dir)},
        raise_on_error=False,
    )

    run = instance.get_run_by_id(found.run_id)
    assert run is not None
    assert run.tags[PROCESS_TAG] == this_process()


def test_a_file_that_the_run_before_it_took_in_gets_no_run_of_its_own(
    platform: Platform, tick: Tick, instance: dg.DagsterInstance
) -> None:
    first = drop(platform.settings.inbox, "first.csv", "first")
    (request,) = tick("start_runs").run_requests
    run_id = launched(instance, request, DagsterRunStatus.STARTED)
    second = drop(platform.settings.inbox, "second.csv", "second")
    assert tick("start_runs").skip_message.endswith("is under way.")
    taken = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (first, second)]
    for file in (first, second):
        file.unlink()
    report(platform, "raw_employees", batches=[{"sha256": sha} for sha in taken])
    report(platform, "model_card")
    instance.report_run_failed(instance.get_run_by_id(run_id), "")  # type: ignore[arg-type]

    message = tick("start_runs").skip_message

    assert message.startswith("Tried again at"), "the one whose own run failed is not answered"
    states = {record.cause.evidence["file"]: record.state for record in platform.causes.records()}
    assert states == {"first.csv": "open", "second.csv": "done"}
