"""The main job as a user runs it, and what the command line says of it afterwards."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from attrition_platform_tests.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHANGING_STEPS = {"promotion_decision", "model_card"}
# The first run had no champion to hold its data against; the second has.
FIRST_LOOK = {"batch_counts", "drift_report"}


@pytest.fixture
def copy(finished: Place, tmp_path: Path) -> Place:
    """A place of its own that begins where the finished one ended."""
    place = Place(tmp_path)
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copy2(finished.folder / "key", tmp_path / "key")
    return place


def shown(place: Place, *command: str, **variables: str) -> Any:
    """What a command prints as JSON."""
    done = place.run("attrition", *command, "--json", **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def steps(place: Place) -> set[Path]:
    """Every step record, by its name and fingerprint."""
    root = place.folder / "data" / "store" / "steps"
    return {path.relative_to(root) for path in root.rglob("*.json")}


def step_names(records: set[Path]) -> set[str]:
    return {str(record.parent) for record in records}


def versions(place: Place, *assets: str) -> dict[str, str]:
    """Data version of each asset's newest materialization."""
    root = place.folder / "data" / "pointers" / "reference"
    return {asset: json.loads((root / asset / "newest.json").read_text())["data_version"] for asset in assets}


def test_the_champion_is_shown_with_everything_it_was_made_from(finished: Place) -> None:
    champion = shown(finished, "champion")

    assert len(champion["sha256"]) == 64
    assert champion["sha256"].startswith(champion["version"])
    assert champion["policy"]["name"] == "responsible"
    assert set(champion["runs"]) == {"dagster", "mlflow"}
    assert {"validated_employees", "split_manifest", "challenger"} <= set(champion["data_versions"])
    for name, metric in champion["metrics"]["test"].items():
        assert metric["low"] <= metric["value"] <= metric["high"], name
    assert champion["metrics"]["test"]["roc_auc"]["value"] > 0.75
    assert champion["gates"]
    assert not {"age", "gender", "marital_status"} & set(champion["reads"])


def test_the_decision_and_the_leaderboard_are_shown_whole(finished: Place) -> None:
    decision, leaderboard = shown(finished, "decision"), shown(finished, "leaderboard")

    assert decision["promoted"] is True
    assert all({"name", "value", "limit", "passed", "reason"} <= set(gate) for gate in decision["gates"])
    fields = {"family", "params", "roc_auc", "recall", "latency_ms", "cpu_seconds", "pruned"}
    assert all(fields <= set(trial) for trial in leaderboard["trials"])
    assert {trial["family"] for trial in leaderboard["trials"]} == {
        "baseline",
        "boosted_trees",
        "logistic_regression",
        "random_forest",
    }
    kept = [trial["roc_auc"] for trial in leaderboard["trials"] if not trial["pruned"]]
    assert [round(score, 4) for score in kept] == sorted((round(s, 4) for s in kept), reverse=True)


def test_the_plain_commands_end_well(finished: Place) -> None:
    for command in (["champion"], ["decision"], ["leaderboard"], ["history"], ["ledger", "verify"]):
        done = finished.run("attrition", *command)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_a_time_before_the_first_champion_has_none(finished: Place) -> None:
    assert finished.run("attrition", "champion", "--as-of", "2020-01-01").returncode == 1
    refused = finished.run("attrition", "champion", "--as-of", "yesterday")
    assert refused.returncode == 2
    assert "write it like" in refused.stderr


def test_a_ledger_changed_by_hand_is_named(copy: Place) -> None:
    file = copy.folder / "data" / "ledger" / "reference.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TRIGGER attrition_ledger_no_UPDATE")
        connection.execute("UPDATE attrition_ledger SET version = 'forged' WHERE kind = 'promotion'")

    done = copy.run("attrition", "ledger", "verify")

    assert done.returncode == 1
    assert "was changed after it was written" in done.stderr


def test_the_same_job_again_reuses_everything(copy: Place) -> None:
    assets = ("validated_employees", "split_manifest", "leaderboard", "challenger", "fairness_audit")
    before, had = versions(copy, *assets), steps(copy)

    done = copy.train(ATTRITION_ROWS="12000")

    assert done.returncode == 0, done.stderr
    assert versions(copy, *assets) == before
    assert step_names(steps(copy) - had) <= CHANGING_STEPS | FIRST_LOOK
    assert shown(copy, "decision")["outcome"] == "unchanged"


def test_one_changed_column_computes_only_what_hangs_on_it(place: Place) -> None:
    import polars as pl

    inbox = place.folder / "data" / "inbox"
    inbox.mkdir(parents=True)
    first = place.folder / "first.csv"
    done = place.run("attrition", "data", "generate", "--rows", "2500", "--seed", "3", "--out", str(first))
    assert done.returncode == 0, done.stderr
    shutil.copy(first, inbox / "first.csv")
    assert place.train().returncode == 0
    had = steps(place)
    raised = pl.read_csv(first).with_columns((pl.col("Monthly Income") + 1).alias("Monthly Income"))
    raised.write_csv(inbox / "second.csv")

    done = place.train()

    assert done.returncode == 0, done.stderr
    new = step_names(steps(place) - had)
    assert {name for name in new if name.startswith("features/")} == {"features/compensation"}
    assert "protected_attributes" not in new
    assert {"splits", "candidates/boosted_trees"} <= new
    assert (
        json.loads((place.folder / "data/pointers/reference/validated_employees/newest.json").read_text())[
            "facts"
        ]["n_superseded"]
        == 2500
    )


def test_a_second_store_with_the_same_key_has_the_same_versions(finished: Place, tmp_path: Path) -> None:
    second = Place(tmp_path)
    shutil.copy2(finished.folder / "key", tmp_path / "key")

    assert second.train(ATTRITION_ROWS="12000").returncode == 0

    assets = (
        "validated_employees",
        "features/tenure",
        "split_manifest",
        "challenger",
        "fairness_audit",
        "frontier",
    )
    assert versions(second, *assets) == versions(finished, *assets)
    assert shown(second, "champion")["sha256"] == shown(finished, "champion")["sha256"]


def test_protected_columns_forced_in_are_blocked_and_named(place: Place) -> None:
    done = place.train(ATTRITION_ROWS="6000", ATTRITION_COLUMNS="all")

    assert done.returncode == 0, done.stderr
    decision = shown(place, "decision")
    assert decision["outcome"] == "blocked"
    blocking = {gate["name"]: gate["reason"] for gate in decision["gates"] if not gate["passed"]}
    assert "marital_status" in blocking["protected-columns-unused"]
    none = place.run("attrition", "champion")
    assert none.returncode == 1
    assert "has no champion" in none.stderr


def test_rollback_goes_back_checks_the_model_and_stays_back(copy: Place) -> None:
    first = shown(copy, "champion")["version"]
    assert copy.train(ATTRITION_ROWS="12000", ATTRITION_POLICY="unrestricted").returncode == 0
    second = shown(copy, "champion")["version"]
    assert second != first

    back = copy.run("attrition", "rollback", "--reason", "works council asked", "--by", "Ada")
    assert back.returncode == 0, back.stderr
    assert shown(copy, "champion")["version"] == first
    assert shown(copy, "champion")["reason"] == "works council asked"

    further = copy.run("attrition", "rollback", "--reason", "once more")
    assert further.returncode == 1, "a second rollback returned the version that was left"
    assert "has no earlier champion" in further.stderr
    assert shown(copy, "champion")["version"] == first

    again = copy.train(ATTRITION_ROWS="12000", ATTRITION_POLICY="unrestricted")
    assert again.returncode == 0, again.stderr
    assert shown(copy, "champion")["version"] == first
    assert "not-rolled-back" in [g["name"] for g in shown(copy, "decision")["gates"] if not g["passed"]]

    model = next(
        r for r in shown(copy, "history")["records"] if r["version"] == second and r["kind"] == "promotion"
    )
    sha256 = model["payload"]["files"]["model.skops"]
    file = copy.folder / "data" / "store" / "objects" / sha256[:2] / sha256
    file.chmod(0o640)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    refused = copy.run("attrition", "rollback", "--to", second, "--reason", "try")
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    assert shown(copy, "champion")["version"] == first


def test_trials_and_challenger_are_runs_that_lead_back_to_dagster(copy: Place) -> None:
    from attrition_platform.adapters.mlflow_registry import MlflowRegistry

    folder = copy.folder / "data" / "mlflow"
    registry = MlflowRegistry(f"sqlite:///{folder / 'mlflow.sqlite'}", folder)
    champion = shown(copy, "champion")

    assert registry.champion("attrition-reference") == champion["mlflow_version"]
    run = registry.describe(champion["runs"]["mlflow"])
    assert registry.status(champion["runs"]["mlflow"]) == "FINISHED"
    assert run["tags"]["dagster.run_id"] == champion["runs"]["dagster"]
    assert run["metrics"]["test_roc_auc"] == pytest.approx(champion["metrics"]["test"]["roc_auc"]["value"])
    with sqlite3.connect(folder / "mlflow.sqlite") as connection:
        statuses = dict(connection.execute("SELECT status, COUNT(*) FROM runs GROUP BY status").fetchall())
        linked = connection.execute("SELECT DISTINCT value FROM tags WHERE key = 'dagster.run_id'").fetchall()
        n_linked = connection.execute("SELECT COUNT(*) FROM tags WHERE key = 'dagster.run_id'").fetchone()[0]
    assert set(statuses) <= {"FINISHED", "KILLED"}
    assert sum(statuses.values()) >= 14
    assert n_linked == sum(statuses.values())
    assert linked == [(champion["runs"]["dagster"],)]


def test_a_file_that_can_not_be_read_is_kept_and_the_job_goes_on(copy: Place) -> None:
    inbox = copy.folder / "data" / "inbox"
    (inbox / "broken.csv").write_bytes(b"Employee ID,Age\n1,\xff\xfe\n")

    done = copy.train(ATTRITION_ROWS="12000")

    assert done.returncode == 0, done.stderr
    kept = list((copy.folder / "data" / "refused").glob("*/reason.json"))
    assert len(kept) == 1
    assert json.loads(kept[0].read_text())["name"] == "broken.csv"
    assert not list(inbox.glob("*.csv"))


def test_a_contract_without_data_says_where_to_put_it(place: Place) -> None:
    contract = place.folder / "mine.toml"
    contract.write_text(
        '[contract]\nname = "mine"\n[columns.left]\nsource = "Left"\nkind = "label"\n'
        'values = ["No", "Yes"]\npositive = "Yes"\n[columns.pay]\nsource = "Pay"\nkind = "continuous"\n'
    )

    done = place.train(ATTRITION_CONTRACT=str(contract))

    assert done.returncode != 0
    assert "has no data" in done.stderr + done.stdout
    assert "inbox" in done.stderr + done.stdout


def test_too_few_rows_end_well_with_a_decision_that_says_so(place: Place) -> None:
    done = place.train(ATTRITION_ROWS="400")

    assert done.returncode == 0, done.stderr[-2000:]
    decision = shown(place, "decision")
    assert decision["promoted"] is False
    assert "test-rows" in [gate["name"] for gate in decision["gates"] if not gate["passed"]]


def test_a_drafted_contract_trains_on_an_extract_never_seen(place: Place, tmp_path: Path) -> None:
    """Other columns, other words, 13 % leavers, repeated rows, and no line of the draft edited."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(3)
    n = 2000
    tenure, level = random.integers(0, 30, n), random.choice(["low", "medium", "high"], n)
    left = random.random(n) < 1 / (1 + np.exp(2.2 + 0.06 * tenure - 1.4 * (level == "low")))
    frame = pl.DataFrame(
        {
            "StaffID": [f"E{number:05d}" for number in random.permutation(n)],
            "Unit": random.choice(["Sales", "R&D", "HR"], n),
            "Salary": random.normal(5000, 1500, n).round(2),
            "Tenure Years": tenure,
            "Engagement": level,
            "Gender": random.choice(["F", "M"], n),
            "Status": np.where(left, "Terminated", "Active"),
        }
    )
    extract, contract = tmp_path / "hr.csv", tmp_path / "hr.toml"
    pl.concat([frame, frame.head(10)]).write_csv(extract, separator=";")
    drafted = place.run("attrition", "contract", "draft", str(extract))
    assert drafted.returncode == 0, drafted.stderr
    contract.write_text(drafted.stdout)
    checked = place.run("attrition", "contract", "check", str(contract), str(extract))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "row:exact-duplicate" in checked.stdout
    (place.folder / "data" / "inbox").mkdir(parents=True)
    shutil.copy(extract, place.folder / "data" / "inbox")

    done = place.train(ATTRITION_CONTRACT=str(contract))

    assert done.returncode == 0, done.stderr[-2000:]
    trials = shown(place, "leaderboard", ATTRITION_CONTRACT=str(contract))["trials"]
    assert trials[0]["roc_auc"] > 0.6
