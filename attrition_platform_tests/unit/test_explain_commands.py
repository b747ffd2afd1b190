"""`attrition explain`: the reasons are those of the logged score, or nothing is explained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepOutput
from attrition_platform.cli import explain_commands
from attrition_platform.contracts.identity import pseudonymiser
from attrition_platform.errors import AttritionError, InvalidEmployeeError
from attrition_platform.features.spec import feature_spec
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform.ports import PredictionRecord
from attrition_platform.scoring.pipelines import compile_pipeline
from attrition_platform.scoring.predictor import Arm, Predictor
from attrition_platform.stages import explaining
from attrition_platform.stages.explaining import ExplanationError, recompute
from attrition_platform.stages.logged_predictor import LoggedPredictor
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm, to_record
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog
from attrition_platform_tests.served_place import EMPLOYEE, make_platform, record, write_policy

V1, V2 = "1" * 16, "2" * 16
GIVEN = ("--data", json.dumps(dict(EMPLOYEE)))


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, *, keep: bool) -> Platform:
    policy = write_policy(folder, f"\n[serving]\nlog_inputs = {str(keep).lower()}\n")
    found = make_platform(folder, policy)
    found.__dict__["predictions"] = MemoryPredictionLog()
    record(found, V1)
    monkeypatch.setattr(explain_commands, "_platform", lambda: found)
    return found


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The policy keeps no inputs."""
    return make(tmp_path, monkeypatch, keep=False)


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The policy keeps inputs."""
    return make(tmp_path, monkeypatch, keep=True)


def predicted(platform: Platform, **more: Any) -> PredictionRecord:
    return LoggedPredictor(platform).answer(dict(EMPLOYEE) | more).record


def tampered(platform: Platform, logged: PredictionRecord, **changes: Any) -> str:
    """Put a changed copy of a prediction into the log; returns its id."""
    other = replace(logged, id="f" * 32, **changes)
    platform.predictions.append([other])
    return other.id


def explain(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(explain_commands.explain, list(arguments), input=typed)


def error_of(result: Result) -> AttritionError:
    assert isinstance(result.exception, AttritionError), result.output
    assert result.stdout == ""
    return result.exception


def store_employees(platform: Platform, **more: Any) -> None:
    """Put one validated employee into the store, as the ingest stage does."""
    values = {k: v for k, v in EMPLOYEE.items() if k != "person"} | more
    row = {"pseudonym": pseudonymiser(platform.key)(str(EMPLOYEE["person"])), **values, "age": 61}

    def compute(out: StepOutput) -> None:
        pl.DataFrame([row]).write_parquet(out.file("validated.parquet"))

    result = platform.steps.run("validated", compute, code="1", inputs={}, config=values)
    Pointers(platform.pointers_dir).write("validated_employees", "run", result)


def test_with_kept_inputs_the_letter_needs_nothing_else(keeping: Platform) -> None:
    logged = predicted(keeping)
    done = explain(logged.id)

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Dear colleague,")
    assert logged.id in done.stdout
    assert V1 in done.stdout
    assert "made the estimate higher" in done.stdout
    assert "It was not told: Age." in done.stdout


def test_the_json_has_the_reasons_of_the_logged_score(keeping: Platform) -> None:
    logged = predicted(keeping)
    told = json.loads(explain(logged.id, "--json").stdout)

    assert told["is_equal"]
    assert told["data_from"] == "log"
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(logged.score, abs=1e-12)
    top = max(told["contributions"].items(), key=lambda item: abs(item[1]))
    assert (told["reasons"][0]["feature"], told["reasons"][0]["contribution"]) == top


def test_an_unknown_id_exits_1(platform: Platform) -> None:
    error = error_of(explain("0" * 32))

    assert isinstance(error, ExplanationError)
    assert error.exit_code == 1
    assert "no prediction with this id" in str(error)


def test_without_kept_inputs_it_says_what_is_missing(platform: Platform) -> None:
    error = error_of(explain(predicted(platform).id))

    assert "log_inputs" in str(error)
    assert "--data" in str(error)


@pytest.mark.parametrize("way", ["data", "file", "stdin"])
def test_handed_in_data_is_explained_if_it_is_that_data(platform: Platform, tmp_path: Path, way: str) -> None:
    logged = predicted(platform)
    text = json.dumps(dict(EMPLOYEE) | {"age": 44, "pay": 2500})
    (tmp_path / "employee.json").write_text(text)
    arguments = {"data": ["--data", text], "file": ["--file", f"{tmp_path}/employee.json"]}
    done = explain(logged.id, *arguments.get(way, ["--file", "-"]), typed=text)

    assert done.exit_code == 0, done.output
    assert "Dear colleague" in done.stdout


def test_other_data_is_not_explained(platform: Platform) -> None:
    logged = predicted(platform)
    error = error_of(explain(logged.id, "--data", json.dumps(dict(EMPLOYEE) | {"pay": 2500.01})))

    assert "not the data that the prediction was made from" in str(error)
    assert "2500" not in str(error)


def test_data_that_can_not_be_scored_is_told_by_field(platform: Platform) -> None:
    logged = predicted(platform)

    assert isinstance(error_of(explain(logged.id, "--data", '{"level": "Mid"}')), InvalidEmployeeError)


def test_data_and_file_together_are_a_wrong_command(platform: Platform) -> None:
    assert explain("0" * 32, *GIVEN, "--file", "-").exit_code == 2


def test_the_validated_employees_stand_in_for_inputs_that_are_not_kept(platform: Platform) -> None:
    logged = predicted(platform)
    store_employees(platform)

    told = json.loads(explain(logged.id, "--json").stdout)

    assert told["data_from"] == "store"
    assert told["score"] == logged.score


def test_data_that_has_changed_since_explains_nothing(platform: Platform) -> None:
    logged = predicted(platform)
    store_employees(platform, promotions=2)

    error = error_of(explain(logged.id))

    assert "has changed since" in str(error)
    assert explain(logged.id, *GIVEN).exit_code == 0


def test_of_an_employee_without_an_id_the_store_knows_nothing(platform: Platform) -> None:
    logged = predicted(platform, person=None)
    store_employees(platform)

    assert "no validated employee" in str(error_of(explain(logged.id)))


def test_a_score_that_does_not_come_out_again_is_not_explained(keeping: Platform) -> None:
    logged = predicted(keeping)
    prediction_id = tampered(keeping, logged, score=float(np.nextafter(logged.score, 9)))

    assert "gives another score" in str(error_of(explain(prediction_id)))
    assert "gives another score" in str(error_of(explain(prediction_id, "--json")))


@pytest.mark.parametrize("field", ["score", "probability"])
def test_verify_says_equal_or_unequal(keeping: Platform, field: str) -> None:
    logged = predicted(keeping)
    prediction_id = tampered(keeping, logged, **{field: float(np.nextafter(getattr(logged, field), 9))})

    equal, unequal = explain(logged.id, "--verify"), explain(prediction_id, "--verify")
    assert (equal.exit_code, equal.stdout.split(":")[0]) == (0, "Equal")
    assert (unequal.exit_code, unequal.stdout.split(":")[0]) == (1, "UNEQUAL")
    assert json.loads(explain(prediction_id, "--verify", "--json").stdout)["is_equal"] is False


def test_logged_inputs_that_were_changed_are_not_explained(keeping: Platform) -> None:
    logged = predicted(keeping)
    changed = str(logged.inputs).replace("Entry", "Senior")

    assert "logged hash" in str(error_of(explain(tampered(keeping, logged, inputs=changed))))


def test_a_model_that_the_ledger_does_not_know_is_named(keeping: Platform) -> None:
    prediction_id = tampered(keeping, predicted(keeping), version="unheard-of")

    assert "no model unheard-of" in str(error_of(explain(prediction_id)))


def test_an_old_prediction_is_explained_by_the_model_of_its_time(keeping: Platform) -> None:
    logged = predicted(keeping)
    record(keeping, V2, seed=2)
    newer = predicted(keeping)

    assert (logged.version, newer.version) == (V1, V2)
    assert logged.score != newer.score
    for one in (logged, newer):
        assert recompute(keeping, one.id).is_equal
        assert one.version in explain(one.id).stdout


def narrow_arm(platform: Platform, version: str) -> Arm:
    """A model that does not read the pay."""
    spec = feature_spec(platform.contract, frozenset({"age", "pay"}))
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.integers(0, 2, 400) for _ in spec.names]).astype(np.float64)
    family = FAMILIES["logistic_regression"]
    pipeline = family.build(spec, family.first_params, 3, 1)
    fit_quietly(pipeline, X, rng.random(400) < 0.3 + 0.4 * X[:, 0])
    return Arm(version, compile_pipeline(pipeline, spec, X), spec, 0.5, platform.contract)


@pytest.mark.parametrize("keep", [True, False])
def test_what_a_canary_scored_is_explained_though_the_log_has_what_stable_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    platform = make(tmp_path, monkeypatch, keep=keep)
    champion = platform.ledger.champion()
    assert champion is not None
    stable, canary = load_arm(platform, champion), narrow_arm(platform, V2)
    monkeypatch.setattr(explaining, "_arm_of", lambda _, version: {V1: stable, V2: canary}.get(version))
    predictor = Predictor(platform.contract, platform.policy, platform.key, stable, canary, 1.0, lambda: 0.0)
    answer = predictor.predict(dict(EMPLOYEE))
    assert (answer.version, answer.other_version) == (V2, V1)
    platform.predictions.append([to_record(answer, "a" * 32, 10, "local", 5, keep_inputs=keep)])

    found = recompute(platform, "a" * 32, None if keep else dict(EMPLOYEE))

    assert found.is_equal
    assert found.arm is canary
    if not keep:
        with pytest.raises(ExplanationError, match="not the data"):
            recompute(platform, "a" * 32, dict(EMPLOYEE) | {"pay": 1.0})
