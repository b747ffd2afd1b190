"""What is known is gathered fast; what is not known, or broken, is said and hides nothing else."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from attrition_platform.adapters.notifications import NOTIFICATIONS
from attrition_platform.errors import LedgerError
from attrition_platform.monitoring.slo_facts import RunFact
from attrition_platform.stages.overview import overview
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.served_place import EMPLOYEE, make_platform, record
from attrition_platform_tests.watched_place import V1, now, run, watched_place, write_report

PARTS = {
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
}


def states(platform: Platform) -> dict[str, str]:
    return {name: part["state"] for name, part in overview(platform).items() if name != "at"}


def test_an_empty_place_is_not_yet_known_and_nothing_fails(tmp_path: Path) -> None:
    found = states(make_platform(tmp_path))

    assert found.keys() == PARTS
    not_yet = {"release", "decision", "drift", "performance", "slo", "scored", "runs"}
    assert {name for name, state in found.items() if state == "not-yet"} == not_yet
    assert "problem" not in found.values()


def test_a_watched_place_is_told_whole_as_json(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    found = overview(platform)

    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["release"]["champion"]["version"] == V1
    assert found["release"]["champion"]["test"]["roc_auc"]["value"] == 0.8
    assert found["drift"]["columns"] == ["level"]
    assert found["drift"]["file"] == "extract.csv"
    assert datetime.fromisoformat(found["drift"]["arrived_at"]) <= datetime.fromisoformat(found["at"])
    assert found["performance"]["verdict"] == "ok"
    assert {alert["name"] for alert in found["slo"]["alerts"]} >= {"security", "failed-run"}
    assert found["scored"]["n_flagged"] == 12
    assert found["causes"]["n_open"] == {"drift": 1}
    assert found["refused"]["newest"][0]["detail"] == "Column x is missing."
    assert found["notifications"]["newest"][0]["title"] == "Drift in 1 column"


def test_no_part_tells_of_a_person(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    text = json.dumps(overview(platform))

    pseudonyms = [platform.contract.name and name for name in ("E0", "E1", "E119")]
    assert not [name for name in pseudonyms if f'"{name}"' in text]
    assert str(EMPLOYEE["pay"]) not in text


def test_it_takes_less_than_a_fifth_of_a_second(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    overview(platform)
    best = min(_seconds(platform) for _ in range(3))

    assert best < 0.2


def _seconds(platform: Platform) -> float:
    began = time.perf_counter()
    overview(platform)
    return time.perf_counter() - began


def test_a_damaged_report_says_so_and_the_others_are_there(tmp_path: Path) -> None:
    platform = watched_place(tmp_path)
    (platform.pointers_dir / "drift_report" / "newest.json").write_text("{half")

    found = overview(platform)

    assert found["drift"]["state"] == "problem"
    assert "half" not in found["drift"]["problem"]
    assert found["slo"]["state"] == found["performance"]["state"] == found["release"]["state"] == "known"


def test_a_ledger_that_cant_be_read_hides_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = watched_place(tmp_path)

    def fail() -> None:
        raise LedgerError("The ledger can't be opened.")

    monkeypatch.setattr(platform.ledger, "records", fail)
    found = overview(platform)

    assert found["release"] == {"state": "problem", "problem": "The ledger can't be opened."}
    assert found["drift"]["state"] == "known"


def test_a_history_that_raises_is_a_problem_without_its_text(tmp_path: Path) -> None:
    def fail(_: datetime) -> list[RunFact]:
        raise OSError("secret text")

    found = overview(make_platform(tmp_path), fail)["runs"]

    assert found == {"state": "problem", "problem": "This can't be read (OSError)."}


def test_runs_are_counted_over_a_week_and_the_newest_good_one_is_kept_however_old(tmp_path: Path) -> None:
    runs = [
        run("running", 200.0, "monitor"),
        run("failure", 2.0, "train_champion"),
        run("success", 30 * 24.0, "train_champion"),
    ]
    found = overview(make_platform(tmp_path), lambda _: runs)["runs"]

    assert found["counts"] == [
        {"job": "monitor", "status": "running", "n": 1},
        {"job": "train_champion", "status": "failure", "n": 1},
    ]
    assert found["last_success"].keys() == {"train_champion"}
    assert [one["status"] for one in found["newest"]] == ["failure", "running", "success"]
    assert found["newest"][0]["seconds"] == 60.0


def test_a_canary_and_an_earlier_champion_are_told_apart(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    record(platform, V1)
    record(platform, "2" * 16, "canary", share=0.1)

    found = overview(platform)["release"]

    assert found["champion"]["version"] == V1
    assert (found["canary"]["version"], found["canary"]["share"]) == ("2" * 16, 0.1)
    assert [one["seq"] for one in found["records"]] == [2, 1]


def test_only_failures_of_the_last_week_count_as_untold(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    file = platform.settings.data_dir / NOTIFICATIONS
    file.parent.mkdir(parents=True, exist_ok=True)
    times = [now() - timedelta(days=days) for days in (1, 6, 8)]
    lines = [{"kind": "notification-failed", "at": at.isoformat()} for at in times]
    lines += [{"kind": "notification-failed", "at": "yesterday"}, {"kind": "drift", "at": now().isoformat()}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert overview(platform)["notifications"]["n_failed"] == 2


def test_what_a_run_has_given_up_is_shown_and_no_longer_waits(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    rule = platform.policy.triggers.model_copy(update={"max_attempts": 1})
    requested = platform.causes.request(rule, now()).request
    platform.causes.settle(str(requested[0].run_key), succeeded=False, rule=rule, now=now())

    found = overview(platform)["causes"]

    assert (found["n_open"], found["n_ticketed"]) == ({}, {"drift": 1})
    assert [one["state"] for one in found["open"]] == ["ticketed"]


def test_a_reason_that_cant_be_read_hides_no_other_refused_file(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    broken = platform.settings.data_dir / "outcomes" / "refused" / ("e" * 64)
    broken.mkdir(parents=True)
    (broken / "reason.json").write_text("{half")

    found = overview(platform)["refused"]

    assert found["n"] == 2
    assert {one["reason"] for one in found["newest"]} == {"header", "unknown"}


def test_a_file_that_was_refused_for_what_it_holds_is_listed_too(tmp_path: Path) -> None:
    """It is a batch by then, so nothing lies in `refused/`."""
    platform = watched_place(tmp_path)
    refusals = [
        {"batch": "extract.csv", "reason": "unit-change"},
        {"batch": "gone.csv", "reason": "unit-change", "detail": "Months instead of years."},
    ]
    write_report(platform, "validated_employees", {"refused_batches": refusals})

    found = overview(platform)["refused"]

    assert (found["state"], found["n"]) == ("known", 2)
    assert {one["name"]: one["detail"] for one in found["newest"]} == {
        "extract.csv": "All of it is left out of training and scoring: unit-change.",
        "gone.csv": "Months instead of years.",
    }
    assert [one["name"] for one in found["newest"] if one["at"]] == ["extract.csv"]


def test_a_report_is_as_old_as_it_says(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    at = (now() - timedelta(days=3)).isoformat()
    write_report(platform, "performance_report", {"verdict": "ok"}, at=at)

    assert overview(platform)["performance"]["judged_at"] == at
