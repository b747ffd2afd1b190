"""Files, causes and alarms are matched to the run that answered them, and to no other."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters.batches import Batch
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.monitoring.slo_facts import AlarmFact, RunFact, RunStatus
from attrition_platform.monitoring.triggering import Cause, CauseRecord
from attrition_platform.ports import FIRST_HASH, LedgerRecord, RecordKind
from attrition_platform.stages import slo_history
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.slo_history import (
    find_alarms,
    find_arrivals,
    find_batches,
    find_causes,
    first_looks,
    price_runs,
    read_drift,
    read_files,
)
from attrition_platform_tests.served_place import make_platform
from attrition_platform_tests.watched_place import accept_file

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MONTH_AGO = NOW - timedelta(days=28)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path)


def training(
    run_id: str, began: float, ended: float, status: RunStatus = "success", key: str | None = None
) -> RunFact:
    """A training that began and ended so many hours ago."""
    return RunFact(run_id, "train_champion", None, status, ago(began), ago(ended), run_key=key)


def accepted(platform: Platform, folder: Path, hours_ago: float, n_rows: int = 120) -> Batch:
    batch = accept_file(platform, folder, n_rows)
    at = ago(hours_ago).timestamp()
    for file in (batch.folder / "manifest.json", batch.path):
        os.utime(file, (at, at))
    return batch


def point(platform: Platform, asset: str, run_id: str, facts: dict[str, Any], **more: Any) -> Path:
    Pointers(platform.pointers_dir).write(asset, run_id, StepResult(asset, "f", "v", {}, facts, {}, **more))
    return platform.pointers_dir / asset / f"{run_id}.json"


def reads(platform: Platform, run_id: str, *batches: Batch) -> None:
    listed = [{"sha256": batch.sha256} for batch in batches]
    point(platform, "raw_employees", run_id, {"batches": listed})


def waits(platform: Platform, runs: list[RunFact], causes: list[CauseRecord] | None = None) -> list[float]:
    """Hours from being seen to the decision; infinity for a file that waits."""
    arrivals = find_arrivals(platform, runs, read_files(platform, runs), causes or [], MONTH_AGO)
    ended = [(a.arrived_at, a.decided_at) for a in arrivals]
    return [float("inf") if end is None else (end - at).total_seconds() / 3600.0 for at, end in ended]


def cause(
    key: str, hours_ago: float, state: Any = "done", *, run_key: str | None = None, window: str = "w"
) -> CauseRecord:
    found = Cause(key.split("/")[0], key, ago(hours_ago), window, {})  # type: ignore[arg-type]
    ended = ago(hours_ago - 1) if state in ("done", "ticketed") else None
    return CauseRecord(found, state, 1, run_key, ended_at=ended)


def ledger_record(kind: RecordKind, hours_ago: float, run_id: str | None) -> LedgerRecord:
    payload = {} if run_id is None else {"runs": {"dagster": run_id}}
    return LedgerRecord(1, kind, ago(hours_ago).isoformat(), "v", payload, FIRST_HASH, FIRST_HASH)


def test_a_file_from_before_the_runs_that_are_read_is_no_late_one(platform: Platform, tmp_path: Path) -> None:
    """Its training is not in the list any more, and the first one that is has nothing to do with it."""
    old = accepted(platform, tmp_path, 24 * 40)
    fresh = accepted(platform, tmp_path, 5, n_rows=60)
    reads(platform, "r1", old, fresh)

    assert waits(platform, [training("r1", 5, 4)]) == [1.0]


def test_a_training_that_had_not_read_a_file_does_not_decide_on_it(
    platform: Platform, tmp_path: Path
) -> None:
    """It began before the file came and ended after."""
    first = accepted(platform, tmp_path, 6)
    late = accepted(platform, tmp_path, 3, n_rows=60)
    reads(platform, "r1", first)
    reads(platform, "r2", first, late)
    one = training("r1", 7, 2)

    assert waits(platform, [one]) == [4.0, float("inf")]
    assert waits(platform, [training("r2", 2, 1), one]) == [4.0, 2.0]
    assert waits(platform, [one, training("r2", 2, 1, "failure")]) == [4.0, float("inf")]


def test_a_files_wait_begins_when_it_was_written(platform: Platform, tmp_path: Path) -> None:
    """It may have lain in the inbox for three days because nothing ran."""
    batch = accepted(platform, tmp_path, 2)
    reads(platform, "r1", batch)
    os.utime(batch.path, (ago(74).timestamp(), ago(74).timestamp()))

    assert waits(platform, [training("r1", 2, 1)]) == [73.0]


def test_a_files_wait_begins_at_the_latest_when_a_sensor_saw_it(platform: Platform, tmp_path: Path) -> None:
    batch = accepted(platform, tmp_path, 2)
    os.utime(batch.path, (ago(-9).timestamp(), ago(-9).timestamp()))
    reads(platform, "r1", batch)
    key = f"new-file/{batch.sha256[:32]}"
    seen, refused_once, again = cause(f"{key}/a", 74), cause(f"{key}/b", 200), cause(f"{key}/c", 1)

    assert waits(platform, [training("r1", 2, 1)], [seen, refused_once, again]) == [73.0]


def test_only_files_that_a_run_has_dealt_with_are_counted_for_their_rows(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, batch = accepted(platform, tmp_path, 24 * 40), accepted(platform, tmp_path, 2, n_rows=60)
    unread = accepted(platform, tmp_path, 1, n_rows=90)
    facts = {batch.sha256: {"n_quarantined": 3}}

    def validated(_: Platform, of: Batch, __: object) -> StepResult:
        return StepResult("batches", "f", "v", {}, facts[of.sha256], {})

    monkeypatch.setattr(slo_history, "validate_one_batch", validated)
    read = {"r1": (old.sha256, batch.sha256)}
    (found,) = find_batches(platform, read, MONTH_AGO, lambda _: None)

    assert (found.n_rows, found.n_quarantined) == (60, 3)
    assert unread.sha256 not in facts


def test_only_a_cause_whose_own_run_released_a_model_was_deployed() -> None:
    runs = [training("r1", 5, 4, key="k1"), training("r2", 3, 2, key="k2")]
    records = [ledger_record("promotion", 4, "r1"), ledger_record("decision", 2, "r2")]
    causes = [
        cause("drift/a", 6, run_key="k1"),
        cause("volume/b", 4, run_key="k2"),
        cause("event/c", 400, "ticketed", run_key="k3"),
        cause("event/d", 1, "open"),
    ]

    found = {fact.key: (fact.answer, fact.answered_at) for fact in find_causes(causes, runs, records)}

    assert found["drift/a"] == ("released", ago(5))
    assert found["volume/b"] == ("kept", ago(3))
    assert found["event/c"] == ("given-up", ago(399))
    assert found["event/d"][1] is None


def test_closing_a_cause_that_was_given_up_makes_it_late_no_second_time() -> None:
    runs = [training("r1", 300, 299, "failure", key="k1"), training("r2", 3, 2, "failure", key="k2")]
    closed = replace(cause("drift/a", 301, run_key="k1"), ended_at=ago(1))
    answered_by_another = replace(cause("drift/b", 4), ended_at=ago(1))

    found = {fact.key: (fact.answer, fact.answered_at) for fact in find_causes([closed], runs, [])}

    assert found == {"drift/a": ("given-up", ago(299))}
    (fact,) = find_causes([answered_by_another], runs, [])
    assert (fact.answer, fact.answered_at) == ("kept", ago(1))


def judged(platform: Platform, run_id: str, hours_ago: float, about: str, **drifted: bool) -> None:
    """A drift report about a file and perhaps a day of answers."""
    windows = [{"window": name, "drifted": found} for name, found in drifted.items()]
    facts = {"problem": None, "window": about, "windows": windows, "drifted": any(drifted.values())}
    path = point(platform, "drift_report", run_id, facts)
    os.utime(path, (ago(hours_ago).timestamp(), ago(hours_ago).timestamp()))


def alarms(
    platform: Platform, causes: list[CauseRecord], runs: list[RunFact], records: list[LedgerRecord]
) -> tuple[AlarmFact, ...]:
    return find_alarms(platform, read_drift(platform), causes, runs, records)


def test_every_drifted_window_is_one_alarm_however_often_it_is_judged(platform: Platform) -> None:
    judged(platform, "a", 50, "file", file=True)
    judged(platform, "b", 40, "file", file=True, day1=True)
    judged(platform, "c", 30, "file", file=True, day2=True)
    judged(platform, "d", 20, "file", file=False, day3=False)

    found = alarms(platform, [], [], [])

    assert {alarm.window: alarm.at for alarm in found} == {"file": ago(50), "day1": ago(40), "day2": ago(30)}
    assert len(first_looks(read_drift(platform))) == 4


def test_an_alarm_was_acted_on_when_its_own_run_released_something_in_time(platform: Platform) -> None:
    judged(platform, "a", 50, "file", file=True)
    runs = [training("r1", 48, 47, key="k1"), training("r2", 46, 45, key="k2")]
    found = cause("drift/file", 50, run_key="k1", window="file")

    def acted(kind: RecordKind, hours_ago: float, run_id: str | None) -> bool:
        (alarm,) = alarms(platform, [found], runs, [ledger_record(kind, hours_ago, run_id)])
        return alarm.acted

    assert acted("promotion", 47, "r1")
    assert acted("canary", 47, "r1")
    assert not acted("promotion", 45, "r2"), "another cause's run"
    assert not acted("rollback", 47, None), "a person had another reason"
    assert not acted("decision", 47, "r1"), "the champion stayed"
    assert not acted("promotion", 25, "r1"), "a day later"


def test_a_training_costs_what_its_own_steps_took(platform: Platform) -> None:
    for asset, run_id, cpu, reused in (
        ("features/tenure", "r1", 5.0, False),
        ("champion", "r1", 7.0, False),
        ("frontier", "r1", 90.0, True),
        ("champion", "r2", 3.0, False),
    ):
        result = StepResult(asset, "f", "v", {}, {}, {"cpu_seconds": cpu}, reused)
        Pointers(platform.pointers_dir).write(asset, run_id, result)
    runs = [training("r1", 5, 4), training("r2", 3, 2), training("gone", 2, 1)]

    assert [run.cpu_seconds for run in price_runs(platform, runs)] == [12.0, 3.0, None]
