"""The asset graph by its keys and edges, so that a change of it is a readable diff."""

from __future__ import annotations

import subprocess
import sys

EDGES = {
    "raw_employees": [],
    "validated_employees": ["raw_employees"],
    "quarantined_employees": ["raw_employees"],
    "protected_attributes": ["validated_employees"],
    "leaderboard": [
        "candidates/baseline",
        "candidates/boosted_trees",
        "candidates/logistic_regression",
        "candidates/random_forest",
    ],
    "challenger": ["leaderboard", "test_split", "train_split", "validation_split"],
    "fairness_audit": ["challenger", "protected_attributes"],
    "champion": ["challenger", "promotion_decision", "split_manifest", "validated_employees"],
    "candidates/boosted_trees": ["train_split", "validation_split"],
    "features/compensation": ["validated_employees"],
    "drift_report": ["raw_employees"],
    "performance_report": ["scored_employees", "validated_employees"],
    "slo_report": [],
}
BLOCKING = {
    "rows_keep_the_contract",
    "employees_are_unique",
    "no_feature_leaks_the_label",
    "no_feature_copies_the_id",
    "sides_do_not_overlap",
    "champion_is_the_signed_one",
}


def test_the_edges_are_the_designed_ones() -> None:
    from attrition_platform.definitions import defs

    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }

    for asset, parents in EDGES.items():
        assert found[asset] == parents, asset
    groups = [name for name in found if name.startswith("features/")]
    assert set(groups) < set(found["train_split"])
    assert set(groups) < set(found["frontier"])
    assert {*groups, "champion", "validated_employees"} == set(found["scored_employees"])


def test_no_candidate_reads_the_test_side_or_protected_columns() -> None:
    from attrition_platform.definitions import defs

    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        if key.path[0] == "candidates":
            parents = {parent.to_user_string() for parent in graph.get(key).parent_keys}
            assert parents == {"train_split", "validation_split"}


def test_the_main_job_ends_with_the_champion_and_the_scoring_job_needs_no_training() -> None:
    """Before the first champion there is nothing to score with, which must not fail the training."""
    from attrition_platform.definitions import defs

    def assets(job: str) -> set[str]:
        return {key.to_user_string() for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys}

    scored = assets("score_employees")
    assert not {"scored_employees", "performance_report", "slo_report"} & assets("train_champion")
    assert {"drift_report", "champion"} <= assets("train_champion")
    assert {"raw_employees", "scored_employees", "features/tenure"} <= scored
    assert not {"challenger", "champion", "train_split"} & scored


def test_checks_that_guard_the_next_stage_block() -> None:
    from attrition_platform.definitions import defs

    graph = defs.resolve_asset_graph()
    blocking = {
        check.name
        for check in graph.asset_check_keys
        if graph.get_check_spec(check).blocking  # type: ignore[attr-defined]
    }

    assert blocking == BLOCKING


def test_the_code_location_loads_without_heavy_libraries() -> None:
    """A code location that imports MLflow or scikit-learn takes four times as long to load."""
    script = (
        "import sys, attrition_platform.definitions; "
        "print([m for m in ('mlflow', 'sklearn', 'pandas', 'matplotlib', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_help_loads_neither_dagster_nor_a_data_library() -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom attrition_platform.cli import attrition\n"
        "assert CliRunner().invoke(attrition, ['--help']).exit_code == 0\n"
        "print([m for m in ('dagster', 'polars', 'numpy', 'pydantic', 'sqlalchemy', 'rich') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
