"""New data is held against what the champion was made from, before anything is trained on it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from attrition_platform.population.drawing import draw_block
from attrition_platform.population.facts import population_facts
from attrition_platform_tests.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N_ROWS = 5_000


@pytest.fixture
def copy(finished: Place, tmp_path: Path) -> Place:
    place = Place(tmp_path)
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copy2(finished.folder / "key", tmp_path / "key")
    return place


def extract(*, remote: float | None = None, seed: int = 11) -> pl.DataFrame:
    """Employees who are in no other extract; `remote` is the share who work from home."""
    facts = population_facts()
    if remote is not None:
        facts = replace(facts, shares={**facts.shares, "Remote Work": {"No": 1 - remote, "Yes": remote}})
    return draw_block(facts, seed, block=3).head(N_ROWS)


def watch(place: Place, frame: pl.DataFrame) -> dict[str, Any]:
    """Drop an extract, judge it, and read the report."""
    inbox = place.folder / "data" / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    frame.write_csv(inbox / "extract.csv")
    select = "raw_employees,drift_report"
    command = ["dagster", "asset", "materialize", "-m", "attrition_platform.definitions", "--select", select]
    done = place.run(*command)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    shown = place.run("attrition", "drift", "--json")
    assert shown.returncode == 0, shown.stderr
    report: dict[str, Any] = json.loads(shown.stdout)
    return report


def test_more_remote_work_and_more_pay_are_found_in_the_first_window_and_nothing_else(copy: Place) -> None:
    calm = watch(copy, extract(seed=12))
    champion = json.loads(copy.run("attrition", "champion", "--json").stdout)["version"]
    assert (calm["drifted"], calm["columns"], calm["reference"]) == (False, [], champion)
    assert copy.run("attrition", "drift", "--check").returncode == 0

    paid = extract(remote=0.35).with_columns((pl.col("Monthly Income") * 1.08).round().cast(pl.Int64))
    report = watch(copy, paid)

    assert set(report["columns"]) == {"remote_work", "monthly_income", "probability"}
    assert 0.1 <= report["score"] < 0.4
    assert copy.run("attrition", "drift", "--check").returncode == 1


def test_before_the_first_champion_there_is_nothing_to_compare_with(place: Place) -> None:
    report = watch(place, extract())

    assert report["problem"].startswith("There is no champion yet")
    assert (report["drifted"], report["score"], report["reference"]) == (False, None, None)
