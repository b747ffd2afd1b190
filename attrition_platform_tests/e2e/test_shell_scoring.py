"""A shell says of each employee what the batch says, and explains it from what is on file."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from attrition_platform.contracts.identity import pseudonymiser
from attrition_platform.population.generator import write_population
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N_EMPLOYEES = 21_000  # of whom at least ten thousand have not left


def test_batch_and_file_agree_and_answers_are_explained(finished: Place, tmp_path: Path) -> None:
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copy2(finished.folder / "key", tmp_path / "key")
    place = Place(tmp_path)
    extract = tmp_path / "data" / "inbox" / "extract.csv"
    extract.parent.mkdir(exist_ok=True)
    write_population(extract, N_EMPLOYEES, seed=99)
    people = csv.DictReader(extract.read_text(encoding="utf-8").splitlines())
    one = next(row for row in people if row["Attrition"] == "Stayed")
    shutil.copy2(extract, tmp_path / "extract.csv")  # the inbox is emptied

    platform = Platform(Settings.from_environment(place.environment))
    n_logged = platform.predictions.count()  # other tests may have asked the champion before

    batch_file, answers_file = tmp_path / "batch.parquet", tmp_path / "answers.csv.gz"
    for command in (
        ["score"],
        ["scored", "export", "--out", str(batch_file)],
        ["predict", "--file", str(tmp_path / "extract.csv"), "--out", str(answers_file)],
    ):
        done = place.run("attrition", *command)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert f"Scored {N_EMPLOYEES:,} of {N_EMPLOYEES:,} rows" in done.stderr

    of_id = pseudonymiser(platform.key)
    answers = pl.read_csv(answers_file, schema_overrides={"employee": pl.String}).with_columns(
        pl.col("employee").map_elements(of_id, return_dtype=pl.String).alias("pseudonym")
    )
    both = pl.read_parquet(batch_file).join(answers, on="pseudonym", suffix="_of_file")
    assert both.height >= 10_000
    assert (both["probability"] - both["probability_of_file"]).abs().max() <= 1e-12
    for name in ("tier", "flagged", "label", "model_version", "reason_1", "contribution_1"):
        assert (both[name] == both[f"{name}_of_file"]).all(), name
    assert platform.predictions.count() == n_logged + N_EMPLOYEES

    # The log keeps no inputs under this policy; the data on file stands in, if it is the same.
    logged = answers.filter(pl.col("pseudonym") == of_id(one["Employee ID"]))["prediction_id"][0]
    letter = place.run("attrition", "explain", logged)
    assert letter.returncode == 0, letter.stderr
    assert "Dear colleague" in letter.stdout
    assert place.run("attrition", "explain", logged, "--verify").stdout.startswith("Equal")

    contract = platform.contract
    fields = {
        name: float(one[column.source]) if column.kind in ("count", "continuous") else one[column.source]
        for name, column in contract.features.items()
    }
    told = place.run("attrition", "predict", "--data", json.dumps(fields))
    assert told.returncode == 0, told.stderr
    mine = both.filter(pl.col("pseudonym") == of_id(one["Employee ID"]))
    assert json.loads(told.stdout)["probability"] == mine["probability_of_file"][0]
    assert {"age", "gender", "marital_status"} == set(json.loads(told.stdout)["ignored"])


@pytest.mark.parametrize("command", [["predict", "--data", "{}"], ["explain", "0" * 32], ["scored", "show"]])
def test_in_an_empty_place_a_command_says_what_to_do(place: Place, command: list[str]) -> None:
    done = place.run("attrition", *command)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
