"""The short form of a simulated year, through the real graph."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from attrition_platform_tests.conftest import CHECKOUT, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def simulate(place: Place, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attrition_platform.cli", "simulate", *options],
        cwd=CHECKOUT,
        env=place.environment | {"TMPDIR": str(place.folder)} | variables,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def year(place: Place) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Four months; the user's own settings are broken, which must not matter."""
    out = place.folder / "out"
    broken = {"ATTRITION_CONTRACT": "/nowhere", "ATTRITION_POLICY": "none", "DAGSTER_HOME": "/nowhere"}
    done = simulate(place, "--months", "4", "--seed", "7", "--out", str(out), **broken)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return done, report


def test_what_was_planted_is_found_and_nothing_else(
    year: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    done, report = year

    assert report["false_alarms"] == []
    assert {entry["kind"]: entry["found"] is not None for entry in report["planted"]} == {
        "concept-drift": True,
        "new-column": True,
        "format-change": True,
        "data-drift": True,
    }
    delays = {entry["kind"]: entry["delay_months"] for entry in report["planted"]}
    assert delays.pop("concept-drift") <= 3
    assert set(delays.values()) == {0}
    assert (done.returncode, report["complete"], report["sound"]) == (0, True, True)


def test_each_month_says_what_its_champion_was_worth(
    year: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    _, report = year
    months = report["months"]

    assert [month["number"] for month in months] == [0, 1, 2, 3, 4]
    first = {"cause": "new-file", "kinds": ["new-file"], "outcome": "promoted", "blockers": []}
    assert months[0]["runs"] == [first]
    assert months[0]["worth"] == months[0]["first_worth"]
    assert all(0.65 < month["worth"]["roc_auc"] < 0.87 for month in months)
    # What no longer holds costs the first champion; who replaces it costs less.
    assert months[1]["first_worth"]["roc_auc"] < months[0]["first_worth"]["roc_auc"] - 0.02
    assert report["runs_by_cause"]["new-file"] >= 2
    assert {"drift", "performance"} <= set(report["runs_by_cause"])


def test_tables_files_and_progress_are_there_and_the_scratch_place_is_gone(
    year: tuple[subprocess.CompletedProcess[str], dict[str, Any]], place: Place
) -> None:
    done, _ = year

    assert done.stderr.count(" s  month") == 5
    assert len(done.stderr.splitlines()) == 6, "one line of its own, one a month, and none of the sensors"
    # So short a year has no month in which an alarm about outcomes could be false, and says so.
    silent = "says nothing about false alarms"
    for part in ("Planted and found", "Champions", "Found 4 of 4 plants; no false alarm", silent):
        assert part in done.stdout
    assert (place.folder / "out" / "year.png").read_bytes().startswith(b"\x89PNG")
    assert "| data-drift |" in (place.folder / "out" / "report.md").read_text()
    assert sorted(entry.name for entry in place.folder.iterdir()) == ["out"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_being_interrupted_keeps_what_was_done(place: Place, tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "attrition_platform.cli", "simulate", "--months", "4", "--out", str(out)]
    environment = place.environment | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if " s  month  0" in line:
            break
    os.kill(process.pid, how)
    output, told = process.communicate(timeout=120)

    assert process.returncode == 130, told[-2000:]
    report = json.loads((out / "report.json").read_text())
    assert (report["complete"], report["planted"], len(report["months"])) == (False, [], 1)
    assert "Champions" in output
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out"]
