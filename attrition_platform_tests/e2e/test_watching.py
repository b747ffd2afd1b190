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
from attrition_platform_tests.conftest import CHECKOUT, Place

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


def test_what_changed_in_the_shape_of_the_data_is_named_and_is_no_drift_of_people(copy: Place) -> None:
    straight = extract(seed=13).with_columns(pl.col("Education Level").cast(pl.String).str.replace("’", "'"))
    report = watch(copy, straight.with_columns(pl.lit("x").alias("Badge Colour")))

    changes = {(change["kind"], change["column"]) for change in report["schema_changes"]}
    assert changes == {("format-change", "education_level"), ("new-column", "Badge Colour")}
    assert (report["drifted"], report["blocks_scoring"]) == (False, False)

    roles = pl.when(pl.int_range(pl.len()) % 100 < 8).then(pl.lit("Logistics"))
    merged = extract(seed=14).with_columns(
        roles.otherwise(pl.col("Job Role").cast(pl.String)).alias("Job Role")
    )
    report = watch(copy, merged)

    (change,) = report["schema_changes"]
    assert (change["kind"], change["column"], change["names"]) == ("new-category", "job_role", ["Logistics"])
    assert report["columns"] == ["job_role"]
    assert "'Logistics' (400 rows)" in change["text"]


def test_years_sent_as_months_are_refused_before_anything_is_scored(copy: Place) -> None:
    for seed in (15, 16):
        frame = extract(seed=seed).with_columns(pl.col("Employee ID") + 1_000_000 * seed)
        report = watch(copy, frame.with_columns(pl.col("Years at Company") * (12 if seed == 16 else 1)))

    (change,) = report["schema_changes"]
    assert (change["kind"], change["column"]) == ("unit-change", "years_at_company")
    assert "months instead of years" in change["text"]
    assert report["blocks_scoring"]

    scored = copy.run("attrition", "score")

    assert scored.returncode == 0, scored.stderr
    assert "is refused: unit-change. 'years_at_company' looks like months" in scored.stderr + scored.stdout
    assert "Scored 5,000 of" not in scored.stdout
    counted = json.loads(copy.run("attrition", "scored", "show", "--json").stdout)
    assert 0 < counted["n_employees"] < N_ROWS


def test_outcomes_that_arrive_later_become_labels(copy: Place) -> None:
    frame = extract(seed=17)
    inbox, outcomes = copy.folder / "data" / "inbox", copy.folder / "data" / "outcomes"
    inbox.mkdir(exist_ok=True)
    outcomes.mkdir(exist_ok=True)
    frame.with_columns(pl.lit("").alias("Attrition")).write_csv(inbox / "extract.csv")
    told = frame.head(2_000).select("Employee ID", pl.lit("2026-03-31").alias("date"), outcome="Attrition")
    later = frame[2_000:2_100].select("Employee ID", pl.lit("2090-01-31").alias("date"), outcome="Attrition")
    pl.concat([told, later]).write_csv(outcomes / "march.csv")  # who gives notice has not left yet
    (outcomes / "poison.csv").write_bytes(b"\x00\xff" * 50)
    select = "raw_employees,validated_employees,quarantined_employees"

    done = copy.run(
        "dagster", "asset", "materialize", "-m", "attrition_platform.definitions", "--select", select
    )

    assert done.returncode == 0, done.stderr[-2000:]
    newest = copy.folder / "data" / "pointers" / "reference" / "validated_employees" / "newest.json"
    facts = json.loads(newest.read_text())["facts"]
    assert (facts["n_labelled"], facts["n_labelled_later"], facts["n_rows"]) == (2_000, 2_000, N_ROWS)
    assert "Refused outcomes 'poison.csv'" in done.stderr + done.stdout


def test_before_the_first_champion_there_is_nothing_to_compare_with(place: Place) -> None:
    report = watch(place, extract())

    assert report["problem"].startswith("There was no champion yet when this window was judged")
    assert (report["drifted"], report["score"], report["reference"]) == (False, None, None)


def test_outcomes_say_what_predictions_were_worth_and_promises_are_measured(copy: Place) -> None:
    """The clock can't be turned forward from outside: a policy with a horizon of no day lets all be due."""
    shipped = CHECKOUT / "attrition_platform" / "policies" / "responsible.toml"
    policy = copy.folder / "policy.toml"
    policy.write_text(shipped.read_text() + "\n[performance]\nhorizon_days = 1\nmin_labels = 100\n")
    settings = {"ATTRITION_POLICY": str(policy)}
    assert copy.run("attrition", "monitor", **settings).returncode == 0
    first = json.loads(copy.run("attrition", "performance", "--json", **settings).stdout)
    assert first["verdict"] == "cannot-judge"
    assert first["judged"]["unknown"]["n"] > 5_000
    assert first["judged"]["estimated"]["roc_auc"]["value"] > 0.7
    assert first["judged"]["matured"]["roc_auc"] is None

    slo = json.loads(copy.run("attrition", "slo", "--json", **settings).stdout)

    met = {one["name"]: one["verdict"] for one in slo["indicators"]}
    assert len(met) == 10
    assert met["run-success"] == met["artefact-availability"] == met["reproducibility"] == "met"
    assert met["quality-gap"] == "no-data"
    assert copy.run("attrition", "slo", "--check", **settings).returncode == 0

    damaged = json.loads(copy.run("attrition", "champion", "--json").stdout)["files"]["compiled.json"]
    file = copy.folder / "data" / "store" / "objects" / damaged[:2] / damaged
    file.chmod(0o600)
    file.write_bytes(b"{}")
    done = copy.run(
        "dagster", "asset", "materialize", "-m", "attrition_platform.definitions", "--select", "slo_report"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = copy.run("attrition", "slo", "--check", **settings)
    assert shown.returncode == 1
    assert "PAGE budget-exhausted: 4 of 5 artefacts were there and whole." in " ".join(shown.stdout.split())


def test_a_column_that_went_empty_refuses_the_file(copy: Place) -> None:
    for seed in (18, 19):
        frame = extract(seed=seed).with_columns(pl.col("Employee ID") + 1_000_000 * seed)
        emptied = frame.with_columns(pl.lit("").alias("Overtime")) if seed == 19 else frame
        report = watch(copy, emptied)
    assert [(c["kind"], c["column"]) for c in report["schema_changes"]] == [("missing-column", "overtime")]

    scored = copy.run("attrition", "score")

    assert "is refused: missing-column. " in scored.stderr + scored.stdout
