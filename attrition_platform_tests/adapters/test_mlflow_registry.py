"""A real MLflow registry on SQLite: every run ends with what really happened."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from attrition_platform.adapters.mlflow_registry import MlflowRegistry, TrialRecord

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    folder = tmp_path_factory.mktemp("mlflow")
    return MlflowRegistry(f"sqlite:///{folder / 'mlflow.sqlite'}", folder)


def test_a_run_that_succeeds_is_finished(registry: MlflowRegistry) -> None:
    with registry.run("e", "good", {"dagster.run_id": "d1"}) as run:
        run.log({"depth": 3}, {"roc_auc": 0.8})

    assert registry.status(run.run_id) == "FINISHED"
    described = registry.describe(run.run_id)
    assert described["params"] == {"depth": "3"}
    assert described["metrics"] == {"roc_auc": 0.8}
    assert described["tags"]["dagster.run_id"] == "d1"


def test_a_run_that_raises_is_failed(registry: MlflowRegistry) -> None:
    with pytest.raises(ValueError, match="boom"), registry.run("e", "bad", {}) as run:
        raise ValueError("boom")

    assert registry.status(run.run_id) == "FAILED"


def test_an_interrupted_run_is_killed(registry: MlflowRegistry) -> None:
    with pytest.raises(KeyboardInterrupt), registry.run("e", "stopped", {}) as run:
        raise KeyboardInterrupt

    assert registry.status(run.run_id) == "KILLED"


def _die_inside_a_run(uri: str, folder: str) -> None:
    with MlflowRegistry(uri, Path(folder)).run("e", "dies", {}) as run:
        Path(folder, "dying").write_text(run.run_id)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_whose_process_was_killed_is_closed_by_the_next(registry: MlflowRegistry) -> None:
    child = multiprocessing.get_context("spawn").Process(
        target=_die_inside_a_run, args=(registry.uri, str(registry.folder))
    )
    child.start()
    child.join(60)
    run_id = (registry.folder / "dying").read_text()
    assert registry.status(run_id) == "RUNNING"

    assert registry.close_orphans("e") == 1
    assert registry.status(run_id) == "KILLED"


def test_a_living_run_is_no_orphan(registry: MlflowRegistry) -> None:
    with registry.run("living", "now", {}):
        assert registry.close_orphans("living") == 0


def test_trials_are_nested_runs_with_their_status(registry: MlflowRegistry) -> None:
    with registry.run("trials", "family", {"dagster.run_id": "d2"}) as run:
        run.log_trials(
            [
                TrialRecord("t0", {"c": 1.0}, {"roc_auc": 0.7}, pruned=False),
                TrialRecord("t1", {"c": 2.0}, {"roc_auc": 0.6}, pruned=True),
            ]
        )

    children = registry._client.search_runs(
        [registry._experiment("trials")], f"tags.mlflow.parentRunId = '{run.run_id}'"
    )
    assert {(child.info.run_name, child.info.status) for child in children} == {
        ("t0", "FINISHED"),
        ("t1", "KILLED"),
    }


def test_the_alias_follows_and_is_repaired(registry: MlflowRegistry) -> None:
    versions = []
    for name in ("one", "two"):
        with registry.run("e", name, {}) as run:
            run.log({}, {"roc_auc": 0.8})
        versions.append(registry.register("attrition", run.run_id, {"identity": name}))

    assert registry.champion("attrition") is None
    assert registry.mirror_champion("attrition", versions[1])
    assert not registry.mirror_champion("attrition", versions[1])
    registry._client.set_registered_model_alias("attrition", "champion", versions[0])
    assert registry.mirror_champion("attrition", versions[1])
    assert registry.champion("attrition") == versions[1]


def test_a_logged_model_carries_its_signature_and_predicts_the_same(registry: MlflowRegistry) -> None:
    import mlflow.sklearn
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(0).normal(size=(50, 3))
    model = make_pipeline(LogisticRegression()).fit(X, X[:, 0] > 0)
    with registry.run("e", "model", {}) as run:
        run.log_model(model, X[:3], [])
        run.log_dataset("train", "a" * 64, 50)

    uri = f"{registry._client.get_run(run.run_id).info.artifact_uri}/model"
    loaded = mlflow.sklearn.load_model(uri)
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    from mlflow.models import Model

    assert Model.load(uri.removeprefix("file://")).signature is not None
