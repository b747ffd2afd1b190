"""MLflow: trials, challengers, and a registry whose alias follows the ledger.

The status of every MLflow run is ours: dagster-mlflow leaves a failed Dagster run FINISHED
(dagster#21872), so a run is closed here with what really happened, and runs whose process died are
closed as KILLED by the next one. Nothing reads the alias to find the champion; the ledger is the truth.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

CHAMPION_ALIAS = "champion"
_OWNER_TAG = "attrition.owner"
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class TrialRecord:
    """One tuning trial as MLflow keeps it: a nested run."""

    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    pruned: bool


class OpenRun:
    """An MLflow run that is being written; closed by `MlflowRegistry.run`."""

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, tags: dict[str, str]) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._tags = tags
        self.run_id = run_id

    def log(self, params: Mapping[str, object], metrics: Mapping[str, float]) -> None:
        """Write parameters and metrics in one call."""
        self._log(self.run_id, params, metrics)

    def log_trials(self, trials: Sequence[TrialRecord]) -> None:
        """Write each trial as a nested run, pruned ones as KILLED."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        for trial in trials:
            tags = self._tags | {MLFLOW_PARENT_RUN_ID: self.run_id, "attrition.pruned": str(trial.pruned)}
            child = self._client.create_run(self._experiment_id, tags=tags, run_name=trial.name)
            self._log(child.info.run_id, trial.params, trial.metrics)
            self._client.set_terminated(child.info.run_id, "KILLED" if trial.pruned else "FINISHED")

    def log_dataset(self, name: str, digest: str, n_rows: int) -> None:
        """Name the data that the run was made from."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(
            name=name,
            digest=digest[:36],
            source_type="attrition_store",
            source=f"sha256:{digest}",
            profile=f'{{"num_rows": {n_rows}}}',
        )
        self._client.log_inputs(
            self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
        )

    def log_file(self, file: Path, folder: str) -> None:
        """Copy a file to a folder of the run's artefacts."""
        self._client.log_artifact(self.run_id, str(file), folder)

    def log_model(self, pipeline: Pipeline, example: np.ndarray, trusted_types: Sequence[str]) -> None:
        """Store the pipeline as an MLflow model with its signature, in the skops format."""
        import mlflow.sklearn
        import sklearn
        from mlflow.models import infer_signature

        with tempfile.TemporaryDirectory() as folder:
            mlflow.sklearn.save_model(
                pipeline,
                f"{folder}/model",
                signature=infer_signature(example, pipeline.predict_proba(example)),
                serialization_format="skops",
                skops_trusted_types=list(trusted_types),
                pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
            )
            self._client.log_artifacts(self.run_id, f"{folder}/model", "model")

    def _log(self, run_id: str, params: Mapping[str, object], metrics: Mapping[str, float]) -> None:
        from time import time

        from mlflow.entities import Metric, Param

        now = int(time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[Metric(key, float(value), now, 0) for key, value in metrics.items()],
            params=[Param(key, str(value)) for key, value in params.items()],
        )


class MlflowRegistry:
    """The tracking store and the model registry at one URI.

    Parameters
    ----------
    uri : str
        SQLAlchemy or HTTP URI.
    folder : Path
        Local folder for artefacts and the initialisation lock.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.folder = folder

    @cached_property
    def _client(self) -> MlflowClient:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import logging

        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self.folder.mkdir(parents=True, exist_ok=True)
        # A fresh SQLite file that two processes initialise at once breaks both.
        with FileLock(self.folder / "initialise.lock"):
            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            client.search_experiments(max_results=1)
        return client

    @contextmanager
    def run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[OpenRun]:
        """Open an MLflow run and close it with its true status.

        Parameters
        ----------
        experiment : str
            Experiment, created when missing.
        name : str
            Name of the run.
        tags : mapping
            Links back to the Dagster run.
        """
        experiment_id = self._experiment(experiment)
        owned = {**tags, _OWNER_TAG: _this_process()}
        run_id = self._client.create_run(experiment_id, tags=owned, run_name=name).info.run_id
        status = "KILLED"
        try:
            yield OpenRun(self._client, experiment_id, run_id, dict(owned))
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            self._client.set_terminated(run_id, status)

    def close_orphans(self, experiment: str) -> int:
        """End runs as KILLED whose process on this machine no longer lives; return how many."""
        n_closed = 0
        experiment_id = self._experiment(experiment)
        for run in self._client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
            if _is_dead(run.data.tags.get(_OWNER_TAG, "")):
                self._client.set_terminated(run.info.run_id, "KILLED")
                n_closed += 1
        return n_closed

    def register(self, model: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Add a version of a registered model and return its number."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(run_id).info.artifact_uri}/model"
        return str(self._client.create_model_version(model, source, run_id=run_id, tags=dict(tags)).version)

    def status(self, run_id: str) -> str:
        """MLflow's status of a run, such as ``"FINISHED"``."""
        return str(self._client.get_run(run_id).info.status)

    def champion(self, model: str) -> str | None:
        """Version number under the champion alias; None when there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_model_version_by_alias(model, CHAMPION_ALIAS).version)
        except MlflowException:
            return None

    def mirror_champion(self, model: str, version: str) -> bool:
        """Let the alias follow the ledger; return whether it had to be moved."""
        if self.champion(model) == version:
            return False
        self._client.set_registered_model_alias(model, CHAMPION_ALIAS, version)
        return True

    def describe(self, run_id: str) -> dict[str, Any]:
        """Parameters, metrics and tags of a run."""
        data = self._client.get_run(run_id).data
        return {"params": data.params, "metrics": data.metrics, "tags": data.tags}

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.uri.startswith("sqlite:")
        location = (self.folder / "artefacts").as_uri() if local else None
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another run created it in between
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)


def _this_process() -> str:
    return f"{_boot_id()}/{os.getpid()}"


def _boot_id() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else os.uname().nodename


def _is_dead(owner: str) -> bool:
    boot, _, pid = owner.partition("/")
    if not pid.isdigit():
        return False
    if boot != _boot_id():
        # Another boot or another machine: dead only if it was this machine's earlier boot, unknowable here.
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
