"""The benchmarks that need no platform: the recipe keeps its described faults, the report is readable."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attrition_platform.population.generator import generate_chunks
from benchmarks.measuring import measure_command
from benchmarks.population_likeness import feature_matrix, told_apart_auc
from benchmarks.public_recipe import SCRIPTS, recipe_scores, run_scripts
from benchmarks.recipe_features import recipe_matrix
from benchmarks.report import Measured, draw, report
from benchmarks.result import Plot, Result


def people(n_rows: int, seed: int = 5) -> pl.DataFrame:
    text = pl.concat(generate_chunks(n_rows, seed)).write_csv()
    return pl.read_csv(text.encode())


def test_the_year_bin_of_the_recipe_is_constant_in_training_and_only_there() -> None:
    raw = people(2_000)

    assert np.ptp(recipe_matrix(raw)[:, -1]) == 0
    assert np.ptp(recipe_matrix(raw, years_divisor=1)[:, -1]) > 0


def test_the_recipe_is_worse_than_it_could_be_and_much_worse_as_it_serves() -> None:
    scores = recipe_scores(people(20_000))

    assert 0.72 < scores["roc_auc"] < 0.78
    assert scores["served_recall"] < scores["recall"] - 0.3


def test_features_do_not_depend_on_the_order_of_the_rows() -> None:
    raw = people(500)

    assert np.allclose(feature_matrix(raw)[::-1], feature_matrix(raw.reverse()))


def test_a_population_with_another_income_is_told_apart() -> None:
    raw = people(2_000)
    richer = people(2_000, seed=6).with_columns(pl.col("Monthly Income") + 3_000)

    assert told_apart_auc(people(2_000, seed=6), raw) < 0.56
    assert told_apart_auc(richer, raw) > 0.7


def test_a_failed_command_has_no_cost() -> None:
    import subprocess

    with pytest.raises(subprocess.CalledProcessError):
        measure_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_cost_of_a_command_includes_its_children() -> None:
    busy = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"

    assert measure_command([sys.executable, "-c", parent]).cpu_seconds > 0.4


@pytest.mark.slow
def test_every_script_of_the_recipe_runs_after_the_one_before(tmp_path: Path) -> None:
    csv = tmp_path / "people.csv"
    people(1_000).write_csv(csv)

    assert list(run_scripts(csv, tmp_path)) == list(SCRIPTS)
    assert pl.read_csv(tmp_path / "predictions.csv").height == 200


def test_the_report_shows_every_result_and_its_plots(tmp_path: Path) -> None:
    bars = Plot("bars", ("a", "b"), {"ours": (1.0, 2.0), "theirs": (2.0, 3.0)}, "seconds")
    lines = Plot("lines", (10, 100, 1000), {"ours": (1.0, 9.0, 90.0)}, "seconds", "rows")
    found = [
        Measured(
            Result("First", "Finds.", ("what", "s"), (("a", 0.12345),), (), (bars, lines)), "now", "here"
        ),
        Measured(Result("Second", "Finds more.", ("n",), ((12_345,),)), "now", "here"),
    ]
    draw([measured.result for measured in found], tmp_path / "results.png")
    text = report(found)

    assert text.index("## First") < text.index("| a | 0.1235 |") < text.index("## Second")
    assert "| 12,345 |" in text
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
