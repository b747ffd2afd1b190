"""The winner, refitted on train and validation, and evaluated once on test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version, digest
from attrition_platform.stages.candidates import MODEL_CODE, experiment, library_versions
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.splits import Side, allowed_spec, load_sides
from attrition_platform.stages.threads import single_threaded_kernels

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline

    from attrition_platform.adapters.mlflow_registry import OpenRun
    from attrition_platform.adapters.model_store import StoredModel, StoredScorer
    from attrition_platform.scoring.compiled import CompiledModel

SEED = 20260101
BASELINE = "baseline"
MODEL_FILES = ("model.skops", "model.json", "compiled.json", "manifest.json")
EVALUATION_CODE = (
    *(f"modeling/{name}.py" for name in ("delong", "evaluation", "identity", "drivers", "plots", "latency")),
    "scoring",
)
PLOTS = ("roc", "precision_recall", "calibration", "confusion", "drivers")
VERSION_DIGITS = 16


def build_challenger(
    platform: Platform,
    leaderboard: StepResult,
    sides: Mapping[str, StepResult],
    links: Mapping[str, str],
    run_id: str,
    tell: Progress,
) -> StepResult:
    """Refit the winner and read the test side once.

    Parameters
    ----------
    leaderboard : StepResult
        Names the winning family and its settings.
    sides : mapping of str to StepResult
        ``train``, ``validation`` and ``test``.
    links, run_id
        The Dagster run, for MLflow's tags and the record of the test read.
    tell : callable
        Progress in plain words.

    Returns
    -------
    StepResult
        Files: the signed model, ``predictions.parquet`` (pseudonym, y_true, y_prob, baseline_prob)
        and the plots. Facts: version, identity, evaluation, threshold, reproducibility. Measured:
        latency, seconds, cost, the MLflow run.

    Raises
    ------
    TestSideReadTwiceError
        When another run has read this test side for the same decision and its result is stored.
    """
    winner = leaderboard.facts["winner"]
    spec = allowed_spec(platform)
    inputs = {side: result.data_version for side, result in sides.items()} | {
        "leaderboard": leaderboard.data_version
    }
    config = {
        "policy": _relevant_policy(platform),
        "spec": spec.digest,
        "versions": library_versions(),
    }
    code = code_version(*MODEL_CODE, *EVALUATION_CODE, "stages/challenger.py")
    decision_id = digest({"inputs": inputs, "config": config, "code": code})

    def compute(out: StepOutput) -> None:
        registry = platform.registry
        registry.close_orphans(experiment(platform))
        with registry.run(experiment(platform), "challenger", links) as run:
            with single_threaded_kernels():
                _Builder(platform, winner, sides, out, tell).build(decision_id, run_id)
            _log_challenger(run, platform, sides, out)
        out.measured["mlflow_run_id"] = run.run_id

    return platform.steps.run(
        "challenger",
        compute,
        code=code,
        inputs=inputs,
        config=config,
    )


def _relevant_policy(platform: Platform) -> dict[str, Any]:
    policy = platform.policy
    return {
        "threshold": policy.threshold.model_dump(mode="json"),
        "tiers": policy.tiers.model_dump(mode="json"),
        "prices": policy.prices.model_dump(mode="json"),
    }


class _Builder:
    """The steps of one refit and one evaluation, in order."""

    def __init__(
        self,
        platform: Platform,
        winner: Mapping[str, Any],
        sides: Mapping[str, StepResult],
        out: StepOutput,
        tell: Progress,
    ) -> None:
        self.platform = platform
        self.winner = winner
        self.sides = sides
        self.out = out
        self.tell = tell
        self.spec = allowed_spec(platform)
        self.n_jobs = platform.settings.n_threads

    def build(self, decision_id: str, run_id: str) -> None:
        from attrition_platform.modeling.identity import make_probe, model_identity

        known = load_sides(self.platform, self.sides["train"], self.sides["validation"])
        self.tell(f"Refitting {self.winner['family']} on {len(known.y_true):,} employees.")
        pipeline, cpu_seconds = self._fit(self.winner["family"], self.winner["params"], known)
        probe = make_probe(self.spec)
        identity = model_identity(pipeline, self.spec, probe)
        again, _ = self._fit(self.winner["family"], self.winner["params"], known)
        self.out.facts["reproducible"] = model_identity(again, self.spec, probe) == identity
        baseline, _ = self._fit(BASELINE, {}, known)
        self.out.facts.update(
            identity=identity,
            version=identity[:VERSION_DIGITS],
            family=self.winner["family"],
            params=self.winner["params"],
            excluded_columns=sorted(self.platform.excluded_columns),
            reads=list(self.spec.source_columns),
            decision_id=decision_id,
        )
        threshold = self._threshold(pipeline, known)
        self._evaluate(pipeline, baseline, threshold, decision_id, run_id)
        self._measure(pipeline, known, cpu_seconds)
        self._drivers(pipeline)
        self._save(pipeline, self._compile(pipeline, known, probe), identity, threshold)

    def _fit(self, family: str, params: Mapping[str, Any], rows: Side) -> tuple[Pipeline, float]:
        import time

        from attrition_platform.modeling.families import FAMILIES
        from attrition_platform.modeling.families.family import fit_quietly

        started = time.process_time()
        pipeline = FAMILIES[family].build(self.spec, params, SEED, self.n_jobs)
        fit_quietly(pipeline, rows.X, rows.y_true)
        return pipeline, time.process_time() - started

    def _threshold(self, pipeline: Pipeline, known: Side) -> float:
        from attrition_platform.modeling.evaluation import choose_threshold

        y_prob = pipeline.predict_proba(known.X)[:, 1]
        threshold = float(choose_threshold(self.platform.policy.threshold, y_prob))
        self.out.facts["threshold"] = threshold
        return threshold

    def _evaluate(
        self, pipeline: Pipeline, baseline: Pipeline, threshold: float, decision_id: str, run_id: str
    ) -> None:
        import polars as pl

        from attrition_platform.modeling import plots
        from attrition_platform.modeling.evaluation import evaluate

        self._claim_test_read(decision_id, run_id)
        test = load_sides(self.platform, self.sides["test"])
        y_prob = pipeline.predict_proba(test.X)[:, 1]
        baseline_prob = baseline.predict_proba(test.X)[:, 1]
        split_id = self.sides["test"].data_version
        evaluation = evaluate(split_id, test.y_true, y_prob, threshold)
        reference = evaluate(split_id, test.y_true, baseline_prob, threshold)
        self.out.facts.update(evaluation=evaluation.as_json(), baseline=reference.as_json())
        auc = evaluation.metrics["roc_auc"]
        self.tell(f"Test ROC AUC {auc.value:.4f} (95 % interval {auc.low:.4f} to {auc.high:.4f}).")
        pl.DataFrame(
            {
                "pseudonym": test.pseudonyms,
                "y_true": test.y_true,
                "y_prob": y_prob,
                "baseline_prob": baseline_prob,
            }
        ).write_parquet(self.out.file("predictions.parquet"))
        self._plot("roc", plots.roc_plot(test.y_true, y_prob))
        self._plot("precision_recall", plots.precision_recall_plot(test.y_true, y_prob))
        self._plot("calibration", plots.calibration_plot(test.y_true, y_prob))
        self._plot("confusion", plots.confusion_plot(evaluation.confusion))

    def _claim_test_read(self, decision_id: str, run_id: str) -> None:
        """Put the read on record; a reader that died before its decision may be followed once more.

        This step's lock is held and no result is stored, so an earlier reader is dead. Where its
        decision is on record all the same, the test side has done its work and is not read again.
        """
        ledger = self.platform.ledger
        decided = any(
            record.kind == "decision" and record.payload.get("decision_id") == decision_id
            for record in ledger.records()
        )
        ledger.claim_test_read(decision_id, run_id, at=self.platform.at(), takeover=not decided)

    def _measure(self, pipeline: Pipeline, known: Side, cpu_seconds: float) -> None:
        from attrition_platform.modeling.latency import measure_latency

        latency = measure_latency(pipeline, known.X)
        self.out.measured.update(
            latency=latency.as_json(),
            training_cpu_seconds=round(cpu_seconds, 3),
            training_cost=round(cpu_seconds / 3600 * self.platform.policy.prices.cpu_hour, 6),
        )

    def _drivers(self, pipeline: Pipeline) -> None:
        from attrition_platform.modeling import plots
        from attrition_platform.modeling.drivers import find_drivers

        validation = load_sides(self.platform, self.sides["validation"])
        drivers = find_drivers(pipeline, self.spec, validation.X, validation.y_true, SEED)
        self.out.facts["drivers"] = [driver.as_json() for driver in drivers]
        self._plot("drivers", plots.drivers_plot(drivers))

    def _compile(self, pipeline: Pipeline, known: Side, probe: np.ndarray) -> CompiledModel:
        """Compile the pipeline, and hold both against each other on everyone known and the probe."""
        from attrition_platform.scoring.parity import parity_gap
        from attrition_platform.scoring.pipelines import compile_pipeline

        compiled = compile_pipeline(pipeline, self.spec, known.X)
        gap = max(parity_gap(compiled, pipeline, X) for X in (known.X, probe))
        # None where it is no number: the gate then blocks.
        self.out.facts["parity_gap"] = gap if math.isfinite(gap) else None
        return compiled

    def _save(self, pipeline: Pipeline, compiled: CompiledModel, identity: str, threshold: float) -> None:
        from attrition_platform.adapters.model_store import save_model

        for name in MODEL_FILES:
            self.out.file(name, repeats=name in ("model.json", "compiled.json"))
        save_model(
            self.out.folder,
            pipeline,
            compiled,
            self.spec,
            threshold,
            {"version": identity[:VERSION_DIGITS], "identity": identity, "family": self.winner["family"]},
            self.platform.key,
        )
        self.out.measured["model_bytes"] = (self.out.folder / "model.skops").stat().st_size

    def _plot(self, name: str, png: bytes) -> None:
        self.out.file(f"{name}.png").write_bytes(png)


def _log_challenger(
    run: OpenRun, platform: Platform, sides: Mapping[str, StepResult], out: StepOutput
) -> None:
    from attrition_platform.adapters.model_store import TRUSTED_TYPES, load_model
    from attrition_platform.modeling.identity import make_probe

    facts = out.facts
    metrics = {
        f"test_{name}": estimate["value"]
        for name, estimate in facts["evaluation"]["metrics"].items()
        if estimate["value"] is not None
    }
    run.log(
        {"family": facts["family"], "version": facts["version"], **facts["params"]},
        metrics | {"training_cpu_seconds": out.measured["training_cpu_seconds"]},
    )
    run.log_dataset("train_split", sides["train"].data_version, sides["train"].facts["n_rows"])
    # What is logged is what was stored and signed; the example row is made up, no employee's.
    stored = load_model(out.folder, platform.key)
    run.log_model(stored.pipeline, make_probe(stored.spec)[:5], TRUSTED_TYPES)
    for plot in PLOTS:
        run.log_file(out.folder / f"{plot}.png", "plots")


def _model_files(platform: Platform, files: Mapping[str, str]) -> dict[str, Path]:
    """Paths of a model's files in the store, after each was hashed against its name."""
    return {name: platform.steps.store.verify(files[name]) for name in MODEL_FILES if name in files}


def load_stored_model(platform: Platform, files: Mapping[str, str]) -> StoredModel:
    """Load a model after its signature and its files were checked.

    Raises
    ------
    StoreError
        When a file is missing or damaged.
    UntrustedArtefactError
        When the files are not the ones that were signed.
    """
    from attrition_platform.adapters.model_store import load_model

    return load_model(_model_files(platform, files), platform.key)


def load_stored_scorer(platform: Platform, files: Mapping[str, str]) -> StoredScorer:
    """Load a model's compiled form, without scikit-learn; errors as in `load_stored_model`."""
    from attrition_platform.adapters.model_store import load_scorer

    return load_scorer(_model_files(platform, files), platform.key)


def read_predictions(platform: Platform, challenger: StepResult) -> dict[str, np.ndarray]:
    """Test-side predictions by column: pseudonym, y_true, y_prob, baseline_prob."""
    import polars as pl

    frame = pl.read_parquet(platform.file(challenger.files["predictions.parquet"]))
    return {name: frame[name].to_numpy() for name in frame.columns}
