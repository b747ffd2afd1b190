"""A place with small champions made in milliseconds, for tests of what serves them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attrition_platform.adapters.model_store import save_model
from attrition_platform.contracts.toml_file import parse_contract
from attrition_platform.features.spec import FeatureSpec, feature_spec
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform.ports import LedgerRecord, RecordKind
from attrition_platform.scoring.compiled import CompiledModel
from attrition_platform.scoring.pipelines import compile_pipeline
from attrition_platform.settings import Settings
from attrition_platform.stages.challenger import MODEL_FILES
from attrition_platform.stages.platform import Platform

CONTRACT = """
[contract]
name = "tiny"

[columns.person]
source = "Person"
kind = "id"

[columns.level]
source = "Level"
kind = "ordinal"
values = ["Entry", "Mid", "Senior"]
label = "Level"

[columns.remote]
source = "Remote"
kind = "binary"
values = ["No", "Yes"]
missing = "allow"
label = "Remote work"

[columns.promotions]
source = "Promotions"
kind = "count"
min = 0
max = 50
label = "Promotions"

[columns.pay]
source = "Pay"
kind = "continuous"
min = 0
max = 100000
label = "Monthly pay"

[columns.age]
source = "Age"
kind = "count"
protected = true
label = "Age"

[columns.left]
source = "Left"
kind = "label"
values = ["Stayed", "Left"]
positive = "Left"
"""
EMPLOYEE: Mapping[str, Any] = {"person": 17, "level": "Entry", "remote": "No", "promotions": 1, "pay": 2500.0}
AT = "2026-01-01T00:00:00.000+00:00"


def make_platform(folder: Path, policy: str = "responsible", **variables: str) -> Platform:
    """A platform of the tiny contract in a folder."""
    contract = folder / "tiny.toml"
    contract.write_text(CONTRACT)
    environment = {
        "ATTRITION_DATA": str(folder / "data"),
        "ATTRITION_KEY_FILE": str(folder / "key"),
        "ATTRITION_CONTRACT": str(contract),
        "ATTRITION_POLICY": policy,
        "ATTRITION_RATE_LIMIT": "1000000",
        "ATTRITION_THREADS": "1",
        **variables,
    }
    return Platform(Settings.from_environment(environment))


def write_policy(folder: Path, more: str) -> str:
    """A policy file: the responsible one and more; returns its name."""
    from importlib.resources import files

    text = files("attrition_platform").joinpath("policies/responsible.toml").read_text(encoding="utf-8")
    (folder / "policy.toml").write_text(text + more)
    return str(folder / "policy.toml")


@functools.cache
def fitted(family: str, seed: int) -> tuple[Any, CompiledModel, FeatureSpec]:
    """A pipeline on made-up employees of the tiny contract, its compiled form and what it reads."""
    spec = feature_spec(parse_contract(CONTRACT, "tiny.toml"), frozenset({"age"}))
    rng = np.random.default_rng(seed)
    n = 800
    columns = {
        "level": rng.integers(0, 3, n),
        "remote": rng.integers(0, 2, n),
        "promotions": rng.integers(0, 6, n),
        "pay": rng.uniform(1_000, 9_000, n),
    }
    X = np.column_stack([columns[name] for name in spec.names]).astype(np.float64)
    risk = 1.2 - 0.8 * columns["level"] - 0.6 * columns["remote"] - columns["pay"] / 6_000
    pipeline = FAMILIES[family].build(spec, FAMILIES[family].first_params, seed, 1)
    fit_quietly(pipeline, X, rng.random(n) < 1 / (1 + np.exp(-risk)))
    return pipeline, compile_pipeline(pipeline, spec, X), spec


def store_model(
    platform: Platform, version: str, *, family: str = "logistic_regression", seed: int = 1
) -> dict[str, Any]:
    """Store and sign a model; returns the payload of its promotion."""
    pipeline, compiled, spec = fitted(family, seed)
    with platform.steps.store.workspace() as folder:
        save_model(folder, pipeline, compiled, spec, 0.5, {"version": version}, platform.key)
        files = {name: platform.steps.store.take(folder / name) for name in MODEL_FILES}
    return {
        "incumbent": None,
        "sha256": version * 4,
        "files": files,
        "family": family,
        "params": {},
        "threshold": 0.5,
        "reads": list(spec.source_columns),
        "excluded_columns": ["age"],
        "metrics": {"test": {"roc_auc": {"value": 0.8, "low": 0.79, "high": 0.81}}},
        "policy": {"name": platform.policy.name, "sha256": platform.policy_digest},
        "contract": {"name": platform.contract.name, "sha256": platform.contract_digest},
        "gates": [],
        "data_versions": {},
        "runs": {"dagster": "none", "mlflow": "none"},
        "mlflow_version": "1",
    }


def record(
    platform: Platform, version: str, kind: RecordKind = "promotion", *, seed: int = 1, **more: Any
) -> LedgerRecord:
    """Store a model and put a record of it into the ledger."""
    payload = store_model(platform, version, seed=seed) | more
    return platform.ledger.append(kind, version, payload, at=AT)
